//! What is erased at the wish of whom it is about, in SQLite: the rows first, in one transaction, then what the file and
//! its log hold of them still.

use rusqlite::{Connection, OptionalExtension as _, params};
use tombolo_core::{Name, ServerTime, SpaceId, UserId};

use super::accounts::{drop_pending, execute, select};
use super::connection::failed;
use super::projects::number;
use super::{Sqlite, find_space, is_being_moved, sweep};
use crate::columns::count;
use crate::erasure::{ERASED_KEPT, ONE_PERSONS, name_of_deleted};
use crate::{Erasure, Reply, SpaceAddress, StoreError, UserDeleted};

type Done<T> = Result<T, StoreError>;

/// What belongs to a space, of which the first are found by what comes after them. The space goes last, and its number is
/// never given out again.
const OF_A_SPACE: [&str; 17] = [
    "DELETE FROM refusals WHERE user_id = (SELECT owner FROM spaces WHERE id = ?1)
         AND device IN (SELECT name FROM replicas WHERE space = ?1)",
    "DELETE FROM cursors WHERE replica IN (SELECT id FROM replicas WHERE space = ?1)",
    "DELETE FROM traffic WHERE replica IN (SELECT id FROM replicas WHERE space = ?1)",
    "DELETE FROM refs WHERE source IN (SELECT id FROM records WHERE space = ?1)",
    "DELETE FROM replicas WHERE space = ?1",
    "DELETE FROM replica_spaces WHERE space = ?1",
    "DELETE FROM uniques WHERE space = ?1",
    "DELETE FROM aliases WHERE space = ?1",
    "DELETE FROM records WHERE space = ?1",
    "DELETE FROM idempotency_keys WHERE space = ?1",
    "DELETE FROM rulings WHERE space = ?1",
    "DELETE FROM timeline WHERE space = ?1",
    "DELETE FROM room_leases WHERE space = ?1",
    "DELETE FROM rooms WHERE space = ?1",
    "DELETE FROM changes WHERE space = ?1",
    "DELETE FROM forks WHERE space = ?1",
    "DELETE FROM spaces WHERE id = ?1",
];

/// What belongs to a project, but for its log.
const OF_A_PROJECT: [&str; 3] = [
    "DELETE FROM memberships WHERE project = ?1",
    "DELETE FROM invitations WHERE project = ?1",
    "DELETE FROM projects WHERE id = ?1",
];

/// What belongs to a user besides his logs. Under a subject that stands in what others read, nobody else becomes known:
/// so an identity stays, with nothing that lets anybody in.
const OF_A_USER: [&str; 8] = [
    "DELETE FROM credentials WHERE user_id = ?1",
    "DELETE FROM sign_ins WHERE user_id = ?1 OR email_key = (SELECT lower(email) FROM users WHERE id = ?1)",
    "DELETE FROM setup_tokens WHERE user_id = ?1",
    "DELETE FROM tickets WHERE user_id = ?1",
    "UPDATE identities SET username = NULL, password = NULL WHERE user_id = ?1",
    "DELETE FROM memberships WHERE user_id = ?1",
    "DELETE FROM invitations WHERE email_key = (SELECT lower(email) FROM users WHERE id = ?1)",
    "DELETE FROM refusals WHERE user_id = ?1",
];

impl Erasure for Sqlite {
    fn erase_space(&self, space: SpaceAddress, now: ServerTime) -> Reply<'_, bool> {
        Box::pin(async move {
            let is_erased = self.writer.write(move |connection| erase_space(connection, space, now)).await?;
            self.writer.sweep().await?;
            Ok(is_erased)
        })
    }

    fn delete_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, UserDeleted> {
        let name = name.clone();
        Box::pin(async move {
            let deleted = self.admit(move |connection| delete_user(connection, &name, now)).await?;
            // Also when there is no such user (any more): he may have been deleted by a call that was broken off.
            self.writer.sweep().await?;
            Ok(deleted)
        })
    }
}

fn erase_space(connection: &Connection, address: SpaceAddress, now: ServerTime) -> Done<bool> {
    refuse_moving(connection)?;
    let Some(space) = find_space(connection, address)? else { return Ok(false) };
    erase(connection, space)?;
    let sql = "INSERT INTO erased_spaces (space, owner, purpose, erased_at) VALUES (?1, ?2, ?3, ?4)";
    let (owner, purpose) = (address.owner.get(), address.purpose.as_str());
    execute(connection, sql, params![space.get(), owner, purpose, now.micros()])?;
    let sql = "DELETE FROM erased_spaces WHERE owner = ?1 AND purpose = ?2 AND space NOT IN
                   (SELECT space FROM erased_spaces WHERE owner = ?1 AND purpose = ?2 ORDER BY space DESC LIMIT ?3)";
    execute(connection, sql, params![owner, purpose, count(ERASED_KEPT)])?;
    sweep::note(connection)?;
    Ok(true)
}

fn delete_user(connection: &Connection, name: &Name, now: ServerTime) -> Done<UserDeleted> {
    refuse_moving(connection)?;
    let sql = "SELECT id FROM users WHERE name = ?1 AND deleted_at IS NULL";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let found = statement.query_row([name.as_str()], |row| row.get(0).map(UserId::new)).optional().map_err(failed)?;
    let Some(user) = found else { return Ok(UserDeleted::Unknown) };
    let owned = owned_alone(connection, user)?;
    if !owned.is_empty() {
        return Ok(UserDeleted::LastOwner(owned));
    }
    for project in deleted_projects(connection, user)? {
        erase_project(connection, project)?;
    }
    for space in spaces_of(connection, user)? {
        erase(connection, space)?;
    }
    for sql in OF_A_USER {
        execute(connection, sql, [user.get()])?;
    }
    let sql = "DELETE FROM erased_spaces WHERE owner = ?1";
    execute(connection, sql, [user.get()])?;
    let sql = "UPDATE users SET name = ?2, email = NULL, email_key = NULL, disabled_at = ifnull(disabled_at, ?3),
                   deleted_at = ?3 WHERE id = ?1";
    execute(connection, sql, params![user.get(), name_of_deleted(user), now.micros()])?;
    sweep::note(connection)?;
    Ok(UserDeleted::Gone)
}

/// What a migration copied of a log must stay there until it is done.
fn refuse_moving(connection: &Connection) -> Done<()> {
    if is_being_moved(connection)? { Err(StoreError::Busy) } else { Ok(()) }
}

fn erase(connection: &Connection, space: SpaceId) -> Done<()> {
    OF_A_SPACE.iter().try_for_each(|sql| execute(connection, sql, [space.get()]).map(drop))
}

/// The names of the projects that would have no owner left who is not disabled.
fn owned_alone(connection: &Connection, user: UserId) -> Done<Vec<String>> {
    let sql = "SELECT p.name FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = ?1 AND m.role = 'owner' AND p.deleted_at IS NULL AND NOT EXISTS
                   (SELECT 1 FROM memberships o JOIN users u ON u.id = o.user_id WHERE o.project = p.id
                       AND o.role = 'owner' AND o.user_id <> ?1 AND u.disabled_at IS NULL)
               ORDER BY p.name, p.id";
    select(connection, sql, [user.get()], |row| row.get(0).map_err(failed))
}

/// The deleted projects that nobody else owns.
fn deleted_projects(connection: &Connection, user: UserId) -> Done<Vec<i64>> {
    let sql = "SELECT p.id FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = ?1 AND m.role = 'owner' AND p.deleted_at IS NOT NULL AND NOT EXISTS
                   (SELECT 1 FROM memberships o WHERE o.project = p.id AND o.role = 'owner' AND o.user_id <> ?1)";
    select(connection, sql, [user.get()], |row| row.get(0).map_err(failed))
}

/// Erases a project with its log, and the accounts that were there for it only.
fn erase_project(connection: &Connection, project: i64) -> Done<()> {
    let sql = "SELECT s.id FROM projects p JOIN spaces s
                   ON s.owner = p.created_by AND s.purpose = p.purpose AND s.number = p.id WHERE p.id = ?1";
    let spaces = select(connection, sql, [project], |row| row.get(0).map(SpaceId::new).map_err(failed))?;
    let sql = "SELECT user_id FROM memberships WHERE project = ?1
               UNION SELECT u.id FROM invitations i JOIN users u ON u.email_key = i.email_key WHERE i.project = ?1";
    let guests = select(connection, sql, [project], |row| row.get(0).map(UserId::new).map_err(failed))?;
    spaces.into_iter().try_for_each(|space| erase(connection, space))?;
    OF_A_PROJECT.iter().try_for_each(|sql| execute(connection, sql, [project]).map(drop))?;
    guests.into_iter().try_for_each(|guest| drop_pending(connection, guest))
}

/// The logs that are a user's alone.
fn spaces_of(connection: &Connection, user: UserId) -> Done<Vec<SpaceId>> {
    let mut all = Vec::new();
    for purpose in ONE_PERSONS {
        let sql = "SELECT id FROM spaces WHERE owner = ?1 AND purpose = ?2";
        let read = |row: &rusqlite::Row<'_>| row.get(0).map(SpaceId::new).map_err(failed);
        all.extend(select(connection, sql, params![user.get(), purpose.as_str()], read)?);
    }
    Ok(all)
}

/// Refuses to begin a log of one who was deleted: whoever has still a key of his in hand is let in no more.
///
/// # Errors
/// [`StoreError::NoSuchUser`].
pub(super) fn refuse_deleted(connection: &Connection, address: SpaceAddress) -> Done<()> {
    let sql = "SELECT count(*) FROM users WHERE id = ?1 AND deleted_at IS NOT NULL";
    let is_his_alone = ONE_PERSONS.contains(&address.purpose);
    if is_his_alone && number(connection, sql, [address.owner.get()])? > 0 {
        Err(StoreError::NoSuchUser)
    } else {
        Ok(())
    }
}
