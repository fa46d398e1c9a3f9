//! What is erased at the wish of whom it is about, in PostgreSQL: in one transaction, after which the tables are asked to
//! be vacuumed, so that what was in the rows is not kept for longer than others still read them.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{Name, ServerTime, UserId};

use super::connection::{acquire, failed};
use super::people::{Tell, drop_pending};
use super::statement::Statement;
use super::tries::Lane;
use super::{Postgres, at, lock};
use crate::columns::count;
use crate::erasure::{ERASED_KEPT, ONE_PERSONS, name_of_deleted};
use crate::told::Told as _;
use crate::{Erasure, Reply, SpaceAddress, StoreError, UserDeleted};

type Done<T> = Result<T, StoreError>;

/// How long a log of millions of changes takes, on a slow disk. Nobody else waits for it.
const ERASE_MAX: Duration = Duration::from_secs(60);
/// Tries: others were in the way, who are done in seconds.
const TRIES_MAX: u32 = 4;

/// What holds contents, and is vacuumed.
const CONTENTS: &str = "changes, records, uniques, aliases, refusals";
/// How long the answer waits for that: what is not reached, autovacuum reaches later.
const VACUUM_MAX: Duration = Duration::from_secs(5);

/// What belongs to spaces, by number. The spaces are locked, and go last; their numbers are never given out again.
const OF_SPACES: [&str; 17] = [
    "DELETE FROM refusals r USING spaces s, replicas p
         WHERE s.id = ANY ($1) AND p.space = s.id AND r.user_id = s.owner AND r.device = p.name",
    "DELETE FROM cursors WHERE space = ANY ($1)",
    "DELETE FROM traffic WHERE space = ANY ($1)",
    "DELETE FROM refs WHERE space = ANY ($1)",
    "DELETE FROM replicas WHERE space = ANY ($1)",
    "DELETE FROM replica_spaces WHERE space = ANY ($1)",
    "DELETE FROM uniques WHERE space = ANY ($1)",
    "DELETE FROM aliases WHERE space = ANY ($1)",
    "DELETE FROM records WHERE space = ANY ($1)",
    "DELETE FROM idempotency_keys WHERE space = ANY ($1)",
    "DELETE FROM rulings WHERE space = ANY ($1)",
    "DELETE FROM timeline WHERE space = ANY ($1)",
    "DELETE FROM room_leases WHERE space = ANY ($1)",
    "DELETE FROM rooms WHERE space = ANY ($1)",
    "DELETE FROM changes WHERE space = ANY ($1)",
    "DELETE FROM forks WHERE space = ANY ($1)",
    "DELETE FROM spaces WHERE id = ANY ($1)",
];

/// What belongs to a project, but for its log.
const OF_A_PROJECT: [&str; 3] = [
    "DELETE FROM memberships WHERE project = $1",
    "DELETE FROM invitations WHERE project = $1",
    "DELETE FROM projects WHERE id = $1",
];

/// What belongs to a user besides his logs. Under a subject that stands in what others read, nobody else becomes known:
/// so an identity stays, with nothing that lets anybody in.
const OF_A_USER: [&str; 9] = [
    "DELETE FROM credentials WHERE user_id = $1",
    "DELETE FROM sign_ins WHERE user_id = $1
         OR email_key = (SELECT lower(email COLLATE \"C\") FROM users WHERE id = $1)",
    "DELETE FROM setup_tokens WHERE user_id = $1",
    "DELETE FROM tickets WHERE user_id = $1",
    "UPDATE identities SET username = NULL, password = NULL WHERE user_id = $1",
    "DELETE FROM memberships WHERE user_id = $1",
    "DELETE FROM invitations WHERE email_key = (SELECT lower(email COLLATE \"C\") FROM users WHERE id = $1)",
    "DELETE FROM refusals WHERE user_id = $1",
    "DELETE FROM erased_spaces WHERE owner = $1",
];

impl Erasure for Postgres {
    fn erase_space(&self, space: SpaceAddress, now: ServerTime) -> Reply<'_, bool> {
        Box::pin(self.erase(async move |connection| {
            let is_erased = erase_space(connection, space, now).await?;
            Ok(Erased { answer: is_erased, is_something: is_erased, tell: Tell::Nobody })
        }))
    }

    fn delete_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, UserDeleted> {
        let name = name.clone();
        Box::pin(self.erase(async move |connection| {
            let deleted = delete_user(connection, &name, now).await?;
            let (is_something, tell) = (deleted.is_told(), Tell::of(&deleted));
            Ok(Erased { answer: deleted, is_something, tell })
        }))
    }
}

/// What came of a transaction that erases.
struct Erased<T> {
    answer: T,
    is_something: bool,
    tell: Tell,
}

impl Postgres {
    /// Erases in one transaction, again when others were in the way. What takes as long as a large log is not broken off
    /// as a request is.
    async fn erase<T>(&self, erase: impl AsyncFn(&mut PgConnection) -> Done<Erased<T>>) -> Done<T> {
        let change = async move |connection: &mut PgConnection| {
            let Erased { answer, is_something, tell } = erase(connection).await?;
            Ok(((answer, is_something), tell))
        };
        let run = async {
            for _ in 1..TRIES_MAX {
                match self.erase_once(&change).await {
                    Err(StoreError::Busy) => {}
                    erased => return erased,
                }
            }
            self.erase_once(&change).await
        };
        let (answer, is_something) = timeout(ERASE_MAX, run).await.unwrap_or(Err(StoreError::Busy))?;
        if is_something {
            lock(&self.spaces).clear();
            self.vacuum().await;
        }
        Ok(answer)
    }

    async fn erase_once<T>(&self, change: &impl AsyncFn(&mut PgConnection) -> Done<(T, Tell)>) -> Done<T> {
        let mut lane = Lane::of(&self.pool).await?;
        let tried = timeout(ERASE_MAX, self.settle_on(&mut lane.connection, change)).await;
        lane.settle(tried)
    }

    /// Has the tables vacuumed, as far as that is quick and this role may. Nothing depends on it but how long what was
    /// erased stays in pages that nobody reads.
    async fn vacuum(&self) {
        let run = async {
            let mut connection = acquire(&self.pool).await?;
            // What is set here, and what is broken off, is no other request's.
            connection.close_on_drop();
            let set = format!("SET statement_timeout = {}; SET lock_timeout = '1s'", VACUUM_MAX.as_millis());
            connection.execute(sqlx::AssertSqlSafe(set)).await.map_err(failed)?;
            let vacuum = format!("VACUUM (SKIP_LOCKED) {CONTENTS}");
            connection.execute(sqlx::AssertSqlSafe(vacuum)).await.map_err(failed)?;
            Ok::<(), StoreError>(())
        };
        match timeout(VACUUM_MAX, run).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "what was erased is left to autovacuum"),
            Err(_) => tracing::debug!("what was erased is left to autovacuum"),
        }
    }
}

async fn erase_space(connection: &mut PgConnection, address: SpaceAddress, now: ServerTime) -> Done<bool> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    statement.push(&format!("SELECT s.id FROM spaces s WHERE {space} FOR UPDATE"));
    let found = statement.rows(connection, |row| row.try_get::<i64, _>(0).map_err(failed)).await?;
    let Some(space) = found.first().copied() else { return Ok(false) };
    erase(connection, found).await?;
    let sql = "INSERT INTO erased_spaces (space, owner, purpose, erased_at) VALUES ($1, $2, $3, $4)";
    let (owner, purpose) = (address.owner.get(), address.purpose.as_str());
    let insert = sqlx::query(sql).bind(space).bind(owner).bind(purpose).bind(now.micros());
    insert.execute(&mut *connection).await.map_err(failed)?;
    let sql = "DELETE FROM erased_spaces WHERE owner = $1 AND purpose = $2 AND space NOT IN
                   (SELECT space FROM erased_spaces WHERE owner = $1 AND purpose = $2 ORDER BY space DESC LIMIT $3)";
    let delete = sqlx::query(sql).bind(owner).bind(purpose).bind(count(ERASED_KEPT));
    delete.execute(connection).await.map_err(failed)?;
    Ok(true)
}

async fn delete_user(connection: &mut PgConnection, name: &Name, now: ServerTime) -> Done<UserDeleted> {
    let Some(user) = lock_with_projects(connection, name).await? else { return Ok(UserDeleted::Unknown) };
    let owned = owned_alone(connection, user).await?;
    if !owned.is_empty() {
        return Ok(UserDeleted::LastOwner(owned));
    }
    for project in deleted_projects(connection, user).await? {
        erase_project(connection, project).await?;
    }
    let personal = ONE_PERSONS.map(|purpose| purpose.as_str());
    let sql = "SELECT id FROM spaces WHERE owner = $1 AND purpose = ANY ($2) ORDER BY id FOR UPDATE";
    let select = sqlx::query(sql).bind(user.get()).bind(personal.as_slice());
    let spaces = numbers(select.fetch_all(&mut *connection).await.map_err(failed)?)?;
    erase(connection, spaces).await?;
    for sql in OF_A_USER {
        sqlx::query(sql).bind(user.get()).execute(&mut *connection).await.map_err(failed)?;
    }
    let sql = "UPDATE users SET name = $2, email = NULL, email_key = NULL, disabled_at = coalesce(disabled_at, $3),
                   deleted_at = $3 WHERE id = $1";
    let update = sqlx::query(sql).bind(user.get()).bind(name_of_deleted(user)).bind(now.micros());
    update.execute(connection).await.map_err(failed)?;
    Ok(UserDeleted::Gone)
}

/// Finds a user, and locks first the projects that he belongs to and then himself, in the order in which whoever changes
/// members does: until the transaction ends, nothing else is decided of either.
///
/// # Errors
/// [`StoreError::Busy`] when he came to belong to another one meanwhile.
async fn lock_with_projects(connection: &mut PgConnection, name: &Name) -> Done<Option<UserId>> {
    let select = sqlx::query("SELECT id FROM users WHERE name = $1 AND deleted_at IS NULL").bind(name.as_str());
    let Some(row) = select.fetch_optional(&mut *connection).await.map_err(failed)? else { return Ok(None) };
    let user: i64 = row.try_get(0).map_err(failed)?;
    let of_user = "SELECT project FROM memberships WHERE user_id = $1 ORDER BY project";
    let before = numbers(sqlx::query(of_user).bind(user).fetch_all(&mut *connection).await.map_err(failed)?)?;
    let lock = sqlx::query("SELECT FROM projects WHERE id = ANY ($1) ORDER BY id FOR UPDATE").bind(&before);
    lock.execute(&mut *connection).await.map_err(failed)?;
    let lock = sqlx::query("SELECT FROM users WHERE id = $1 AND name = $2 FOR UPDATE").bind(user).bind(name.as_str());
    let is_there = lock.fetch_optional(&mut *connection).await.map_err(failed)?.is_some();
    let after = numbers(sqlx::query(of_user).bind(user).fetch_all(connection).await.map_err(failed)?)?;
    if is_there && before == after { Ok(Some(UserId::new(user))) } else { Err(StoreError::Busy) }
}

/// The names of the projects that would have no owner left who is not disabled.
async fn owned_alone(connection: &mut PgConnection, user: UserId) -> Done<Vec<String>> {
    let sql = "SELECT p.name FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = $1 AND m.role = 'owner' AND p.deleted_at IS NULL AND NOT EXISTS
                   (SELECT FROM memberships o JOIN users u ON u.id = o.user_id WHERE o.project = p.id
                       AND o.role = 'owner' AND o.user_id <> $1 AND u.disabled_at IS NULL)
               ORDER BY p.name COLLATE \"C\", p.id";
    let rows = sqlx::query(sql).bind(user.get()).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}

/// The deleted projects that nobody else owns.
async fn deleted_projects(connection: &mut PgConnection, user: UserId) -> Done<Vec<i64>> {
    let sql = "SELECT p.id FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = $1 AND m.role = 'owner' AND p.deleted_at IS NOT NULL AND NOT EXISTS
                   (SELECT FROM memberships o WHERE o.project = p.id AND o.role = 'owner' AND o.user_id <> $1)";
    numbers(sqlx::query(sql).bind(user.get()).fetch_all(connection).await.map_err(failed)?)
}

/// Erases a project with its log, and the accounts that were there for it only.
async fn erase_project(connection: &mut PgConnection, project: i64) -> Done<()> {
    let sql = "SELECT s.id FROM projects p JOIN spaces s
                   ON s.owner = p.created_by AND s.purpose = p.purpose AND s.number = p.id
               WHERE p.id = $1 FOR UPDATE OF s";
    let spaces = numbers(sqlx::query(sql).bind(project).fetch_all(&mut *connection).await.map_err(failed)?)?;
    let sql = "SELECT user_id FROM memberships WHERE project = $1
               UNION SELECT u.id FROM invitations i JOIN users u ON u.email_key = i.email_key WHERE i.project = $1
               ORDER BY 1";
    let guests = numbers(sqlx::query(sql).bind(project).fetch_all(&mut *connection).await.map_err(failed)?)?;
    erase(connection, spaces).await?;
    for sql in OF_A_PROJECT {
        sqlx::query(sql).bind(project).execute(&mut *connection).await.map_err(failed)?;
    }
    for guest in guests {
        drop_pending(connection, UserId::new(guest)).await?;
    }
    Ok(())
}

/// Erases spaces that are locked: whoever wrote to one is seen by each of these, and whoever is to write next finds none.
async fn erase(connection: &mut PgConnection, spaces: Vec<i64>) -> Done<()> {
    for sql in OF_SPACES.into_iter().filter(|_| !spaces.is_empty()) {
        sqlx::query(sql).bind(&spaces).execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

fn numbers(rows: Vec<sqlx::postgres::PgRow>) -> Done<Vec<i64>> {
    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}
