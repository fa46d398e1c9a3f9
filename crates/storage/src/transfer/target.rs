//! The PostgreSQL database that the file is carried to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _};
use tombolo_core::Purpose;

use super::tables::{CHANGES, Kind, Row, TABLES, Table, Value};
use crate::StoreError;
use crate::postgres::Url;
use crate::postgres::connection::{acquire, failed, pool};
use crate::postgres::schema;
use crate::postgres::statement::Statement;

/// The advisory lock that one migration holds: the letters "migrate".
const LOCK: i64 = 0x6d_6967_7261_7465;
/// How long the lock is waited for. PostgreSQL notices within moments that an interrupted migration is gone.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How far a migration into this database came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There was none, and nothing is stored.
    Empty,
    /// It is used otherwise.
    InUse,
    /// One of this source is not finished.
    Copying(String),
    /// One of this source is.
    Done(String),
}

pub(super) struct Target {
    pool: PgPool,
    connection: PoolConnection<sqlx::Postgres>,
}

impl Target {
    /// Connects, and brings the schema up to this version.
    pub(super) async fn open(url: &Url) -> Result<Self, StoreError> {
        let pool = pool(url, 1);
        let mut connection = acquire(&pool).await?;
        schema::migrate(&mut connection).await?;
        Ok(Self { pool, connection })
    }

    /// Closes the connection, and with it the lock.
    pub(super) async fn close(self) {
        drop(self.connection);
        self.pool.close().await;
    }

    /// Keeps other migrations away for as long as this is open; `false` when there is one.
    pub(super) async fn lock(&mut self) -> Result<bool, StoreError> {
        self.run(&format!("SET lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
        let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *self.connection).await;
        let locked = match locked.map(drop).map_err(failed) {
            Err(StoreError::Busy) => false,
            other => other.map(|()| true)?,
        };
        self.run("RESET lock_timeout").await?;
        Ok(locked)
    }

    pub(super) async fn state(&mut self) -> Result<State, StoreError> {
        let sql = "SELECT (SELECT value FROM facts WHERE name = 'migration'), EXISTS (SELECT FROM users)
                       OR EXISTS (SELECT FROM spaces) OR EXISTS (SELECT FROM changes)";
        let row = sqlx::query(sql).fetch_one(&mut *self.connection).await.map_err(failed)?;
        let (fact, is_in_use) = (row.try_get::<Option<String>, _>(0), row.try_get(1));
        Ok(match (fact.map_err(failed)?.as_deref().and_then(|fact| fact.split_once(' ')), is_in_use.map_err(failed)?) {
            (Some(("copying", source)), _) => State::Copying(source.to_owned()),
            (Some(("done", source)), _) => State::Done(source.to_owned()),
            (_, false) => State::Empty,
            (_, true) => State::InUse,
        })
    }

    /// Whether a server listens here, for what its other nodes tell it.
    pub(super) async fn is_served(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                       AND pid <> pg_backend_pid() AND query LIKE 'LISTEN %')";
        let row = sqlx::query(sql).fetch_one(&mut *self.connection).await.map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    /// Begins, or begins anew: says whose copy this is going to be, and forgets all that may have changed since an
    /// interrupted one. Of the log it keeps what is there, but where something may have left it between two runs: rooms let
    /// go of versions, and end; a deleted record of the wellbeing protocol takes its contents with it.
    pub(super) async fn begin(&mut self, source: &str) -> Result<(), StoreError> {
        let tables = TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        // Whoever remembers a space of an interrupted copy must find it changed.
        self.run(&format!(
            "BEGIN;
             INSERT INTO facts (name, value) SELECT 'migration_version', coalesce(max(version), 0) FROM spaces
             ON CONFLICT (name) DO UPDATE SET value = greatest(facts.value::int8, excluded.value::int8);
             INSERT INTO facts (name, value) VALUES ('migration', 'copying {source}')
             ON CONFLICT (name) DO UPDATE SET value = excluded.value;
             DELETE FROM changes c USING spaces s WHERE s.id = c.space AND s.purpose IN ('{}', '{}');
             TRUNCATE {tables};
             COMMIT;
             -- What a crash takes of the copy is copied again; the end of it waits for the disk.
             SET synchronous_commit = off",
            Purpose::Rooms,
            Purpose::Wellbeing
        ))
        .await
    }

    /// Forgets the logs of spaces that are gone from the source, other than `spaces`: they were erased.
    pub(super) async fn forget_erased(&mut self, spaces: &[i64]) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM changes WHERE space <> ALL ($1)").bind(spaces);
        delete.execute(&mut *self.connection).await.map(drop).map_err(failed)
    }

    /// What is there of each log: its space and its last change.
    pub(super) async fn positions(&mut self) -> Result<BTreeMap<i64, i64>, StoreError> {
        let mut statement = Statement::default();
        statement.push("SELECT space, max(seq) FROM changes GROUP BY space");
        let read = |row: PgRow| Ok((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?));
        Ok(statement.rows(&mut self.connection, read).await?.into_iter().collect())
    }

    /// Writes rows over those of the same key, and returns what gave way to them though its key is another: of what
    /// must be unique, the source has the present owner.
    pub(super) async fn put(&mut self, table: &Table, rows: &[Row]) -> Result<Vec<Row>, StoreError> {
        let mut replaced = Vec::new();
        if rows.is_empty() {
            return Ok(replaced);
        }
        for unique in table.uniques {
            let mut statement = Statement::default();
            let columns: Vec<_> = (0..table.key_len).chain(unique.iter().copied()).collect();
            let values = unnest(&mut statement, table, &columns, rows)?;
            let same: Vec<_> = (table.key_len..columns.len())
                .map(|at| format!("t.{} = n.c{at}", table.columns[columns[at]].name))
                .collect();
            let other: Vec<_> =
                (0..table.key_len).map(|at| format!("t.{} <> n.c{at}", table.columns[at].name)).collect();
            statement.push(&format!(
                "DELETE FROM {} t USING {values} WHERE {} AND ({}) RETURNING {}",
                table.name,
                same.join(" AND "),
                other.join(" OR "),
                table.names(0..table.columns.len(), "t.", ", ")
            ));
            replaced.extend(statement.rows(&mut self.connection, |row| read(table, &row)).await?);
        }
        let mut statement = Statement::default();
        let all: Vec<_> = (0..table.columns.len()).collect();
        let values = unnest(&mut statement, table, &all, rows)?;
        let set = (table.key_len..all.len()).map(|column| table.columns[column].name);
        let set: Vec<_> = set.map(|name| format!("{name} = excluded.{name}")).collect();
        let conflict = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        statement.push(&format!(
            "INSERT INTO {} ({}) SELECT * FROM {values} ON CONFLICT ({}) DO {conflict}",
            table.name,
            table.names(all, "", ", "),
            table.names(0..table.key_len, "", ", ")
        ));
        statement.execute(&mut self.connection).await?;
        Ok(replaced)
    }

    /// Removes the rows of these keys.
    pub(super) async fn remove(&mut self, table: &Table, keys: &[Row]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut statement = Statement::default();
        let matches = matches(&mut statement, table, keys)?;
        statement.push(&format!("DELETE FROM {} t USING {matches}", table.name));
        statement.execute(&mut self.connection).await.map(drop)
    }

    /// The rows of these keys, those that there are.
    pub(super) async fn find(&mut self, table: &Table, keys: &[Row]) -> Result<Vec<Row>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = Statement::default();
        let matches = matches(&mut statement, table, keys)?;
        statement.push(&format!("SELECT {} FROM {} t, {matches}", names(table), table.name));
        statement.rows(&mut self.connection, |row| read(table, &row)).await
    }

    /// All rows of a table, along its walk.
    pub(super) fn walk<'s>(&'s mut self, table: &'s Table) -> impl Stream<Item = Result<Row, StoreError>> + 's {
        let walk = table.names(table.walk.iter().copied(), "t.", ", ");
        let sql = format!("SELECT {} FROM {} t ORDER BY {walk}", names(table), table.name);
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *self.connection);
        rows.map_err(failed).and_then(move |row| std::future::ready(read(table, &row)))
    }

    /// The changes of a space after `after`, up to `to`: no more than were read of the source.
    pub(super) async fn changes(&mut self, space: i64, after: i64, to: i64) -> Result<Vec<Row>, StoreError> {
        let mut statement = Statement::default();
        let (space, after, to) = (statement.bind(space)?, statement.bind(after)?, statement.bind(to)?);
        statement.push(&format!(
            "SELECT {} FROM changes t WHERE space = {space} AND seq > {after} AND seq <= {to} ORDER BY seq",
            names(&CHANGES)
        ));
        statement.rows(&mut self.connection, |row| read(&CHANGES, &row)).await
    }

    pub(super) async fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *self.connection).await.map_err(failed)?;
        let count: i64 = row.try_get(0).map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Spaces whose log does not end where the space says it does.
    pub(super) async fn other_ends(&mut self) -> Result<Vec<i64>, StoreError> {
        let mut statement = Statement::default();
        statement.push(
            "SELECT id FROM spaces WHERE head_seq <> coalesce((SELECT max(seq) FROM changes WHERE space = id), 0)",
        );
        statement.rows(&mut self.connection, |row| row.try_get(0).map_err(failed)).await
    }

    /// Lets PostgreSQL learn what is in the tables, or it plans for empty ones.
    pub(super) async fn analyze(&mut self) -> Result<(), StoreError> {
        let tables = TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        self.run(&format!("ANALYZE {tables}, changes")).await
    }

    /// Brings what follows from the rows in line with them: the counters of numbers that were given out.
    pub(super) async fn settle(&mut self, greatest: &[(&str, i64)]) -> Result<(), StoreError> {
        for (table, greatest) in greatest {
            if *table == "replicas" {
                // Changes still name replicas that were forgotten: none of their numbers is given out again.
                let sql = "UPDATE spaces s SET last_replica = $1,
                               last_record = coalesce((SELECT max(id) FROM records r WHERE r.space = s.id), 0),
                               version = 1 + (SELECT value::int8 FROM facts WHERE name = 'migration_version')";
                sqlx::query(sql).bind(greatest).execute(&mut *self.connection).await.map_err(failed)?;
                continue;
            }
            let column = if *table == "generations" { "ordinal" } else { "id" };
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), greatest($1, 1), $1 > 0)");
            sqlx::query(AssertSqlSafe(sql)).bind(greatest).execute(&mut *self.connection).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Says that all is here: from now on a server may open it. Everything is on disk when this returns.
    pub(super) async fn finish(&mut self, source: &str) -> Result<(), StoreError> {
        self.run("RESET synchronous_commit").await?;
        let sql = "WITH durable AS MATERIALIZED (SELECT CASE current_setting('synchronous_commit')
                       WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END)
                   UPDATE facts SET value = CASE name WHEN 'migration' THEN 'done ' || $1
                       ELSE (value::int8 + 1)::text END
                   FROM durable WHERE name IN ('migration', 'accounts_version')";
        sqlx::query(sql).bind(source).execute(&mut *self.connection).await.map(drop).map_err(failed)
    }

    async fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        (&mut *self.connection).execute(AssertSqlSafe(sql)).await.map(drop).map_err(failed)
    }
}

fn names(table: &Table) -> String {
    table.names(0..table.columns.len(), "t.", ", ")
}

/// Columns of `rows` as a relation `n` with the columns `c0`, `c1` and so on.
fn unnest(statement: &mut Statement, table: &Table, columns: &[usize], rows: &[Row]) -> Result<String, StoreError> {
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let values = || rows.iter().map(|row| &row[*column]);
        let array = match table.columns[*column].kind {
            Kind::Int => {
                let ints = values().map(|value| if let Value::Int(int) = value { Some(*int) } else { None });
                format!("{}::int8[]", statement.bind(ints.collect::<Vec<_>>())?)
            }
            Kind::Text => {
                let texts =
                    values().map(|value| if let Value::Text(text) = value { Some(text.as_str()) } else { None });
                format!("{}::text[]", statement.bind(texts.collect::<Vec<_>>())?)
            }
            Kind::Blob => {
                let blobs =
                    values().map(|value| if let Value::Blob(blob) = value { Some(blob.as_slice()) } else { None });
                format!("{}::bytea[]", statement.bind(blobs.collect::<Vec<_>>())?)
            }
        };
        arrays.push(array);
    }
    let names: Vec<_> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    Ok(format!("unnest({}) n({})", arrays.join(", "), names.join(", ")))
}

/// The relation of `keys`, and that a row `t` is one of them.
fn matches(statement: &mut Statement, table: &Table, keys: &[Row]) -> Result<String, StoreError> {
    let columns: Vec<_> = (0..table.key_len).collect();
    let values = unnest(statement, table, &columns, keys)?;
    let same: Vec<_> = columns.iter().map(|at| format!("t.{} = n.c{at}", table.columns[*at].name)).collect();
    Ok(format!("{values} WHERE {}", same.join(" AND ")))
}

fn read(table: &Table, row: &PgRow) -> Result<Row, StoreError> {
    let value = |(at, kind)| {
        let value = match kind {
            Kind::Int => row.try_get::<Option<i64>, _>(at).map(|value| value.map(Value::Int)),
            Kind::Text => row.try_get::<Option<String>, _>(at).map(|value| value.map(Value::Text)),
            Kind::Blob => row.try_get::<Option<Vec<u8>>, _>(at).map(|value| value.map(Value::Blob)),
        };
        value.map(|value| value.unwrap_or(Value::Null)).map_err(failed)
    };
    table.columns.iter().map(|column| column.kind).enumerate().map(value).collect()
}
