//! Users, credentials and refusals in SQLite.

use rusqlite::{Connection, Row, params};
use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, UserId, limits};

use super::Sqlite;
use super::connection::failed;
use super::projects::number;
use crate::naming::{account_names, no_account_name};
use crate::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, Reply, StoreError, User};

/// The columns of [`read_user`].
macro_rules! user_columns {
    () => {
        "id, name, email, created_at, confirmed_at, disabled_at"
    };
}

impl Accounts for Sqlite {
    fn add_user<'a>(
        &'a self,
        name: &'a Name,
        email: Option<&'a EmailAddress>,
        now: ServerTime,
    ) -> Reply<'a, Added<UserId>> {
        let (name, email) = (name.clone(), email.cloned());
        Box::pin(self.writer.write(move |connection| {
            let of_email = email.as_ref().map_or(Ok(None), |email| user_of(connection, email))?;
            if let (Some(user), Some(email)) = (of_email, &email) {
                return adopt(connection, user, &name, email, now);
            }
            if let Some(user) = adopt_known(connection, &name, email.as_ref(), now)? {
                return Ok(Added::New(user));
            }
            if is_taken(connection, &name)? {
                return Ok(Added::NameTaken);
            }
            make_user(connection, &name, email.as_ref(), now, Some(now)).map(Added::New)
        }))
    }

    fn user_by_id(&self, id: UserId) -> Reply<'_, Option<User>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1 AND deleted_at IS NULL");
            Ok(select(connection, sql, [id.get()], read_user)?.pop())
        }))
    }

    fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>> {
        let name = name.clone();
        Box::pin(self.readers.read(move |connection| {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE name = ?1");
            Ok(select(connection, sql, [name.as_str()], read_user)?.pop())
        }))
    }

    fn users(&self) -> Reply<'_, Vec<User>> {
        Box::pin(self.readers.read(|connection| {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE deleted_at IS NULL ORDER BY name");
            select(connection, sql, [], read_user)
        }))
    }

    fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool> {
        let name = name.clone();
        self.admit(move |connection| {
            let sql = "UPDATE users SET disabled_at = ifnull(disabled_at, ?2) WHERE name = ?1";
            Ok(execute(connection, sql, params![name.as_str(), now.micros()])? > 0)
        })
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>> {
        self.admit(move |connection| add_credential(connection, &new))
    }

    fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = "SELECT c.id, c.name, u.name, c.purpose, c.created_at, c.last_used_at, c.expires_at
                       FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE (?1 IS NULL OR u.id = ?1) AND u.deleted_at IS NULL ORDER BY u.name, c.name";
            select(connection, sql, [user.map(UserId::get)], read_credential)
        }))
    }

    fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool> {
        let name = name.clone();
        self.admit(move |connection| {
            let sql = "DELETE FROM credentials WHERE user_id = ?1 AND name = ?2";
            Ok(execute(connection, sql, params![user.get(), name.as_str()])? > 0)
        })
    }

    fn revoke_credential_by_id(&self, user: UserId, id: CredentialId, purpose: Purpose) -> Reply<'_, bool> {
        self.admit(move |connection| {
            let sql = "DELETE FROM credentials WHERE id = ?2 AND user_id = ?1 AND purpose = ?3";
            Ok(execute(connection, sql, params![user.get(), id.get(), purpose.as_str()])? > 0)
        })
    }

    fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>> {
        let prefix = prefix.to_owned();
        Box::pin(self.readers.read(move |connection| {
            let sql = "SELECT c.id, c.user_id, c.purpose, c.hash, c.expires_at
                       FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE c.prefix = ?1 AND u.disabled_at IS NULL";
            Ok(select(connection, sql, [prefix], read_found)?.pop())
        }))
    }

    fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>> {
        let ids = ids.to_owned();
        Box::pin(self.readers.read(move |connection| {
            let sql = "SELECT 1 FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE c.id = ?1 AND u.disabled_at IS NULL";
            let mut is_live = connection.prepare_cached(sql).map_err(failed)?;
            let mut live = Vec::with_capacity(ids.len());
            for id in ids {
                if is_live.exists([id.get()]).map_err(failed)? {
                    live.push(id);
                }
            }
            Ok(live)
        }))
    }

    fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()> {
        let used = used.to_owned();
        Box::pin(self.writer.write(move |connection| {
            let sql = "UPDATE credentials SET last_used_at = ?2 WHERE id = ?1 AND ifnull(last_used_at < ?2, 1)";
            for (id, at) in used {
                execute(connection, sql, params![id.get(), at.micros()])?;
            }
            Ok(())
        }))
    }

    fn refusals(&self, user: Option<UserId>) -> Reply<'_, Vec<Refusal>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = "SELECT u.name, r.device, r.record, r.kind, r.reason, r.at
                       FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY id DESC) AS place FROM refusals
                             WHERE ?1 IS NULL OR user_id = ?1) r
                       JOIN users u ON u.id = r.user_id WHERE r.place <= ?2 AND u.deleted_at IS NULL
                       ORDER BY r.id DESC";
            let count_max = i64::try_from(limits::REFUSALS_MAX).unwrap_or(i64::MAX);
            select(connection, sql, params![user.map(UserId::get), count_max], read_refusal)
        }))
    }
}

fn is_taken(connection: &Connection, name: &Name) -> Result<bool, StoreError> {
    let mut taken = connection.prepare_cached("SELECT 1 FROM users WHERE name = ?1").map_err(failed)?;
    taken.exists([name.as_str()]).map_err(failed)
}

/// Makes somebody of a pending account.
fn adopt(
    connection: &Connection,
    user: UserId,
    name: &Name,
    email: &EmailAddress,
    now: ServerTime,
) -> Result<Added<UserId>, StoreError> {
    let sql = "SELECT count(*) FROM users WHERE id = ?1 AND confirmed_at IS NULL AND disabled_at IS NULL";
    let is_pending = number(connection, sql, [user.get()])? > 0;
    let sql = "SELECT count(*) FROM users WHERE name = ?1 AND NOT (id = ?2 AND ?3)";
    if number(connection, sql, params![name.as_str(), user.get(), is_pending])? > 0 {
        // Whoever is known by the name might have become somebody, with another address.
        return Ok(if is_known_only(connection, name)? { Added::EmailTaken } else { Added::NameTaken });
    }
    if !is_pending {
        return Ok(Added::EmailTaken);
    }
    let sql = "UPDATE users SET name = ?2, email = ?3, confirmed_at = ?4 WHERE id = ?1";
    execute(connection, sql, params![user.get(), name.as_str(), email.as_str(), now.micros()])?;
    Ok(Added::New(user))
}

/// Whether only a protocol knows the user of this name.
fn is_known_only(connection: &Connection, name: &Name) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM users WHERE name = ?1 AND email IS NULL AND confirmed_at IS NULL
                   AND disabled_at IS NULL";
    Ok(number(connection, sql, [name.as_str()])? > 0)
}

/// Makes somebody of whoever is known by this name in one protocol, and nowhere else, if there is one.
fn adopt_known(
    connection: &Connection,
    name: &Name,
    email: Option<&EmailAddress>,
    now: ServerTime,
) -> Result<Option<UserId>, StoreError> {
    let sql = "UPDATE users SET email = ?2, email_key = ?3, confirmed_at = ?4 WHERE name = ?1 AND email IS NULL
                   AND confirmed_at IS NULL AND disabled_at IS NULL RETURNING id";
    let (text, key) = (email.map(EmailAddress::as_str), email.map(EmailAddress::key));
    let values = params![name.as_str(), text, key, now.micros()];
    Ok(select(connection, sql, values, |row| row.get(0).map(UserId::new).map_err(failed))?.pop())
}

/// Whether a user is somebody, or somebody is still wanted under his address.
pub(super) fn is_wanted(connection: &Connection, user: UserId, now: ServerTime) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM users u WHERE u.id = ?1 AND (u.confirmed_at IS NOT NULL
                   OR EXISTS (SELECT 1 FROM memberships m JOIN projects p ON p.id = m.project
                       WHERE m.user_id = u.id AND p.deleted_at IS NULL)
                   OR EXISTS (SELECT 1 FROM invitations i JOIN projects p ON p.id = i.project
                       WHERE i.email_key = u.email_key AND i.status = 'pending' AND i.expires_at > ?2
                           AND p.deleted_at IS NULL))";
    Ok(number(connection, sql, params![user.get(), now.micros()])? > 0)
}

/// Removes an account that is pending, once nothing refers to it any more. One that is disabled stays so.
pub(super) fn drop_pending(connection: &Connection, user: UserId) -> Result<(), StoreError> {
    let sql = "DELETE FROM users WHERE id = ?1 AND confirmed_at IS NULL AND disabled_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM memberships WHERE user_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM invitations i WHERE i.email_key = users.email_key
                       AND i.status = 'pending')
                   AND NOT EXISTS (SELECT 1 FROM credentials WHERE user_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM refusals WHERE user_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM spaces WHERE owner = ?1)
                   AND NOT EXISTS (SELECT 1 FROM projects WHERE created_by = ?1)
                   AND NOT EXISTS (SELECT 1 FROM sign_ins WHERE user_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM identities WHERE user_id = ?1)";
    execute(connection, sql, [user.get()]).map(drop)
}

pub(super) fn make_user(
    connection: &Connection,
    name: &Name,
    email: Option<&EmailAddress>,
    created_at: ServerTime,
    confirmed_at: Option<ServerTime>,
) -> Result<UserId, StoreError> {
    let sql = "INSERT INTO users (name, email, email_key, created_at, confirmed_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (text, key) = (email.map(EmailAddress::as_str), email.map(EmailAddress::key));
    let confirmed_at = confirmed_at.map(ServerTime::micros);
    execute(connection, sql, params![name.as_str(), text, key, created_at.micros(), confirmed_at])?;
    Ok(UserId::new(connection.last_insert_rowid()))
}

/// Makes the account of an address that has none.
pub(super) fn make_account(
    connection: &Connection,
    email: &EmailAddress,
    now: ServerTime,
    confirmed_at: Option<ServerTime>,
) -> Result<UserId, StoreError> {
    let sql = "SELECT 1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0)";
    let next = UserId::new(number(connection, sql, [])?);
    for name in account_names(email, next) {
        if !is_taken(connection, &name)? {
            return make_user(connection, &name, Some(email), now, confirmed_at);
        }
    }
    Err(no_account_name())
}

/// Whoever has an address.
pub(super) fn user_of(connection: &Connection, email: &EmailAddress) -> Result<Option<UserId>, StoreError> {
    let sql = "SELECT id FROM users WHERE email_key = ?1";
    Ok(select(connection, sql, [email.key()], |row| row.get(0).map(UserId::new).map_err(failed))?.pop())
}

/// Whether there is such a user who is not disabled.
pub(super) fn is_enabled(connection: &Connection, user: UserId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM users WHERE id = ?1 AND disabled_at IS NULL";
    let mut enabled = connection.prepare_cached(sql).map_err(failed)?;
    enabled.exists([user.get()]).map_err(failed)
}

pub(super) fn add_credential(connection: &Connection, new: &NewCredential) -> Result<Added<CredentialId>, StoreError> {
    // Looked for first, so that a taken prefix, which would be a fault, is not mistaken for a taken name.
    let sql = "SELECT 1 FROM credentials WHERE user_id = ?1 AND name = ?2";
    let mut taken = connection.prepare_cached(sql).map_err(failed)?;
    if taken.exists(params![new.user.get(), new.name.as_str()]).map_err(failed)? {
        return Ok(Added::NameTaken);
    }
    let sql = "INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at, expires_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM users WHERE id = ?1 AND deleted_at IS NULL";
    let NewCredential { user, name, purpose, prefix, hash, created_at, expires_at } = new;
    let expires_at = expires_at.map(ServerTime::micros);
    let (name, purpose) = (name.as_str(), purpose.as_str());
    let values = params![user.get(), name, purpose, prefix, hash, created_at.micros(), expires_at];
    if execute(connection, sql, values)? == 0 {
        return Err(StoreError::Internal("a credential of nobody".to_owned()));
    }
    Ok(Added::New(CredentialId::new(connection.last_insert_rowid())))
}

pub(super) fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<usize, StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(failed)
}

/// The rows of a query, each read by `read`. The lists here are people's: none needs a page.
pub(super) fn select<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn read_user(row: &Row<'_>) -> Result<User, StoreError> {
    Ok(User {
        id: UserId::new(row.get(0).map_err(failed)?),
        name: name(row, 1)?,
        email: row.get(2).map_err(failed)?,
        created_at: time(row, 3)?,
        confirmed_at: maybe_time(row, 4)?,
        disabled_at: maybe_time(row, 5)?,
    })
}

fn read_credential(row: &Row<'_>) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: CredentialId::new(row.get(0).map_err(failed)?),
        name: name(row, 1)?,
        user: name(row, 2)?,
        purpose: purpose(row, 3)?,
        created_at: time(row, 4)?,
        last_used_at: maybe_time(row, 5)?,
        expires_at: maybe_time(row, 6)?,
    })
}

fn read_found(row: &Row<'_>) -> Result<FoundCredential, StoreError> {
    Ok(FoundCredential {
        id: CredentialId::new(row.get(0).map_err(failed)?),
        user: UserId::new(row.get(1).map_err(failed)?),
        purpose: purpose(row, 2)?,
        hash: row.get(3).map_err(failed)?,
        expires_at: maybe_time(row, 4)?,
    })
}

fn read_refusal(row: &Row<'_>) -> Result<Refusal, StoreError> {
    Ok(Refusal {
        user: name(row, 0)?,
        device: row.get(1).map_err(failed)?,
        record: row.get(2).map_err(failed)?,
        kind: row.get(3).map_err(failed)?,
        reason: row.get(4).map_err(failed)?,
        at: time(row, 5)?,
    })
}

pub(super) fn name(row: &Row<'_>, index: usize) -> Result<Name, StoreError> {
    let text: String = row.get(index).map_err(failed)?;
    Name::parse(&text).map_err(|error| StoreError::Corrupt(format!("a stored name is none: {error}")))
}

fn purpose(row: &Row<'_>, index: usize) -> Result<Purpose, StoreError> {
    let text: String = row.get(index).map_err(failed)?;
    Purpose::parse(&text).map_err(|error| StoreError::Corrupt(format!("a credential's purpose: {error}")))
}

pub(super) fn time(row: &Row<'_>, index: usize) -> Result<ServerTime, StoreError> {
    row.get(index).map(ServerTime::from_micros).map_err(failed)
}

pub(super) fn maybe_time(row: &Row<'_>, index: usize) -> Result<Option<ServerTime>, StoreError> {
    Ok(row.get::<_, Option<i64>>(index).map_err(failed)?.map(ServerTime::from_micros))
}
