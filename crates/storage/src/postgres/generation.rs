//! Runs of PostgreSQL, and the generations of history that follow from them.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tombolo_core::{Env, Fork, Generation, Seq, SpaceId};

use super::connection::failed;
use super::statement::Statement;
use crate::StoreError;
use crate::columns::seq_of;

/// What tells one run of a database from another: when its server process started, and which database it is. A server
/// that was restarted, restored from a backup, or replaced by its standby, and a database that took another's name, are
/// other runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    started_at_micros: i64,
    database: i64,
}

impl Run {
    /// What each statement that reads a space asks beside it, so that no run goes unnoticed.
    pub(super) const COLUMNS: [&str; 2] = [
        "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8",
        "(SELECT oid::int8 FROM pg_database WHERE datname = current_database())",
    ];

    pub(super) const fn new(started_at_micros: i64, database: i64) -> Self {
        Self { started_at_micros, database }
    }

    fn text(self) -> String {
        format!("{}/{}", self.started_at_micros, self.database)
    }
}

/// The present generation, and the run that it is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) ordinal: i64,
    pub(super) id: Generation,
    pub(super) run: Run,
}

/// The newest generation; a new one begins when it is of another run. All nodes of one run share one.
pub(super) async fn present(connection: &mut PgConnection, env: &dyn Env) -> Result<Present, StoreError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    // Two nodes that start at once find the same one.
    sqlx::query("LOCK TABLE generations IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let [started, database] = Run::COLUMNS;
    let sql = format!(
        "SELECT {started}, {database}, ordinal, id, run FROM (SELECT 1) one
         LEFT JOIN generations ON ordinal = (SELECT max(ordinal) FROM generations)"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *transaction).await.map_err(failed)?;
    let run = Run::new(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    let newest: Option<(i64, Vec<u8>, Option<String>)> = match row.try_get::<Option<i64>, _>(2).map_err(failed)? {
        Some(ordinal) => Some((ordinal, row.try_get(3).map_err(failed)?, row.try_get(4).map_err(failed)?)),
        None => None,
    };
    if let Some((ordinal, id, known)) = newest
        && known == Some(run.text())
    {
        transaction.rollback().await.map_err(failed)?;
        return Ok(Present { ordinal, id: read(&id)?, run });
    }
    let mut id = [0; 16];
    env.fill_random(&mut id);
    let sql = "INSERT INTO generations (id, started_at, run) VALUES ($1, $2, $3) RETURNING ordinal";
    let query = sqlx::query(sql).bind(id.as_slice()).bind(env.now().micros()).bind(run.text());
    let ordinal = query.fetch_one(&mut *transaction).await.map_err(failed)?.try_get(0).map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Present { ordinal, id: Generation::from_bytes(id), run })
}

fn read(id: &[u8]) -> Result<Generation, StoreError> {
    let bytes = id.try_into().map_err(|_| StoreError::Corrupt("a generation's id has not 16 bytes".to_owned()))?;
    Ok(Generation::from_bytes(bytes))
}

/// The generations that led to the present log of a space, oldest first, each with the head at which it took over; that
/// head; and the run that says so.
pub(super) async fn line(
    connection: &mut PgConnection,
    space: Option<SpaceId>,
) -> Result<(Vec<Fork>, Seq, Option<Run>), StoreError> {
    let mut statement = Statement::default();
    let space = statement.bind(space.map(SpaceId::get))?;
    // A generation that wrote nothing here took over where the next one that did found the head.
    statement.push(&format!(
        "SELECT g.id, (SELECT min(f.seq) FROM forks f WHERE f.space = {space} AND f.generation >= g.ordinal),
             (SELECT head_seq FROM spaces WHERE id = {space}), {}, {}
         FROM generations g ORDER BY g.ordinal",
        Run::COLUMNS[0],
        Run::COLUMNS[1]
    ));
    let rows = statement
        .rows(connection, |row| {
            let id: Vec<u8> = row.try_get(0).map_err(failed)?;
            let fork: Option<i64> = row.try_get(1).map_err(failed)?;
            let head: Option<i64> = row.try_get(2).map_err(failed)?;
            let head = head.map_or(Some(Seq::ZERO), seq_of);
            let head = head.ok_or_else(|| StoreError::Corrupt("a space's head is negative".to_owned()))?;
            let seq = fork.and_then(seq_of).unwrap_or(head);
            let run = Run::new(row.try_get(3).map_err(failed)?, row.try_get(4).map_err(failed)?);
            Ok((Fork { generation: read(&id)?, seq }, head, run))
        })
        .await?;
    let (head, run) = rows.first().map_or((Seq::ZERO, None), |(_, head, run)| (*head, Some(*run)));
    Ok((rows.into_iter().map(|(fork, ..)| fork).collect(), head, run))
}
