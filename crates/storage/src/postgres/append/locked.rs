//! The space that a group of requests appends to, locked.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{ProjectId, Purpose, ServerTime, SpaceId, SpaceNumber, UserId};

use super::super::at;
use super::super::connection::failed;
use super::super::generation::Run;
use super::super::statement::Statement;
use super::int_at;
use crate::columns::seq_of;
use crate::ledger::End;
use crate::{Append, Guard, SpaceAddress, StoreError};

/// What is appended to, as a request says it: those who wait for the same one are served together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Target {
    /// A project's log.
    Project(ProjectId),
    /// A log that holds its own rules.
    Ruled(SpaceAddress),
}

impl Target {
    pub(super) const fn of(append: &Append) -> (Self, UserId) {
        match append.guard {
            Guard::Member { project, user } => (Self::Project(project), user),
            Guard::Rules { space, user, .. } => (Self::Ruled(space), user),
        }
    }
}

/// The locked row of a space.
pub(super) struct Locked {
    pub(super) space: SpaceId,
    pub(super) address: SpaceAddress,
    pub(super) end: End,
    /// The generation that last wrote here.
    pub(super) generation: i64,
    pub(super) run: Run,
}

// What is looked up here is looked up by its whole key, row by row: a plan that was made while the tables were small,
// and that went through one of them instead, would serve when they are large.

/// Locks the space, which is made when it is missing; `None` when there is no such project, or owner.
pub(super) async fn lock_or_make(
    connection: &mut PgConnection,
    target: Target,
    now: ServerTime,
) -> Result<Option<Locked>, StoreError> {
    if let Some(locked) = lock(connection, target).await? {
        return Ok(Some(locked));
    }
    let mut statement = Statement::default();
    let now = statement.bind(now.micros())?;
    let from = match target {
        Target::Project(project) => {
            let id = statement.bind(project.get())?;
            format!("created_by, purpose, id, {now} FROM projects WHERE id = {id}")
        }
        Target::Ruled(SpaceAddress { owner, purpose, number }) => {
            let (owner, purpose) = (statement.bind(owner.get())?, statement.bind(purpose.as_str())?);
            let number = statement.bind(number.get())?;
            format!("id, {purpose}, {number}, {now} FROM users WHERE id = {owner}")
        }
    };
    let columns = "owner, purpose, number, created_at";
    statement.push(&format!("INSERT INTO spaces ({columns}) SELECT {from} ON CONFLICT DO NOTHING"));
    statement.execute(connection).await?;
    lock(connection, target).await
}

async fn lock(connection: &mut PgConnection, target: Target) -> Result<Option<Locked>, StoreError> {
    let [started, database] = Run::COLUMNS;
    let mut statement = Statement::default();
    let from = match target {
        Target::Project(project) => {
            let id = statement.bind(project.get())?;
            format!(
                "projects p CROSS JOIN LATERAL (SELECT * FROM spaces k
                     WHERE k.owner = p.created_by AND k.purpose = p.purpose AND k.number = p.id FOR UPDATE) s
                 WHERE p.id = {id}"
            )
        }
        Target::Ruled(address) => {
            let space = at(&mut statement, address)?;
            format!("spaces s WHERE {space} FOR UPDATE OF s")
        }
    };
    statement.push(&format!(
        "SELECT s.id, s.owner, s.purpose, s.number, s.head_seq, s.head_time, s.generation, {started}, {database}
         FROM {from}"
    ));
    let rows = statement.rows(connection, |row| {
        let seq =
            seq_of(int_at(&row, 4)?).ok_or_else(|| StoreError::Corrupt("a space's head is negative".to_owned()))?;
        Ok(Locked {
            space: SpaceId::new(int_at(&row, 0)?),
            address: address(&row)?,
            end: End { seq, committed_at: ServerTime::from_micros(int_at(&row, 5)?) },
            generation: int_at(&row, 6)?,
            run: Run::new(int_at(&row, 7)?, int_at(&row, 8)?),
        })
    });
    Ok(rows.await?.pop())
}

/// The address of a space, from its row's second column on.
fn address(row: &PgRow) -> Result<SpaceAddress, StoreError> {
    let purpose: &str = row.try_get(2).map_err(failed)?;
    let purpose = Purpose::parse(purpose).map_err(|_| StoreError::Corrupt("a space's purpose is none".to_owned()))?;
    Ok(SpaceAddress { owner: UserId::new(int_at(row, 1)?), purpose, number: SpaceNumber::new(int_at(row, 3)?) })
}
