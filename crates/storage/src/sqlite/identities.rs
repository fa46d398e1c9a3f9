//! Identities, setup tokens, tickets and secrets in SQLite.

use rusqlite::{Connection, Row, params};
use tombolo_core::{CredentialId, Name, Purpose, ServerTime, UserId, limits};

use super::Sqlite;
use super::accounts::{execute, is_enabled, make_user, maybe_time, name, select, time};
use super::connection::failed;
use super::projects::number;
use super::sign_ins::make_key;
use crate::columns::count;
use crate::sign_ins::SWEPT_MAX;
use crate::{
    Effect, Identities, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, NewKey,
    Reply, SecretHash, StoreError, Ticket, Unfit, Username,
};

type Done<T> = Result<T, StoreError>;

macro_rules! select_identities {
    ($rest:literal) => {
        concat!(
            "SELECT i.user_id, i.subject, i.username, i.password, u.disabled_at IS NOT NULL
             FROM identities i JOIN users u ON u.id = i.user_id ",
            $rest
        )
    };
}

impl Identities for Sqlite {
    fn identity(&self, purpose: Purpose, key: IdentityKey) -> Reply<'_, Option<Identity>> {
        Box::pin(self.readers.read(move |connection| identity(connection, purpose, &key)))
    }

    fn add_identity(&self, new: NewIdentity, now: ServerTime) -> Reply<'_, IdentityAdded> {
        self.admit(move |connection| add_identity(connection, &new, now))
    }

    fn change_identity(&self, purpose: Purpose, user: UserId, change: IdentityChange) -> Reply<'_, IdentityChanged> {
        Box::pin(self.writer.write(move |connection| change_identity(connection, purpose, user, change)))
    }

    fn setup_token(&self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Reply<'_, Option<Identity>> {
        Box::pin(self.readers.read(move |connection| setup_token(connection, purpose, token, now)))
    }

    fn keep_ticket(&self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) -> Reply<'_, ()> {
        Box::pin(self.writer.write(move |connection| keep_ticket(connection, hash, &ticket, now, expires_at)))
    }

    fn use_ticket(&self, hash: SecretHash, now: ServerTime) -> Reply<'_, Option<Ticket>> {
        Box::pin(self.writer.write(move |connection| use_ticket(connection, hash, now)))
    }

    fn secret<'a>(&'a self, name: &'a str, fresh: &'a [u8]) -> Reply<'a, Vec<u8>> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        Box::pin(self.writer.write(move |connection| {
            execute(
                connection,
                "INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![name, fresh],
            )?;
            let sql = "SELECT value FROM secrets WHERE name = ?1";
            let found = select(connection, sql, [&name], |row| row.get(0).map_err(failed))?.pop();
            found.ok_or_else(|| StoreError::Internal("a secret vanished".to_owned()))
        }))
    }
}

fn identity(connection: &Connection, purpose: Purpose, key: &IdentityKey) -> Done<Option<Identity>> {
    let purpose = purpose.as_str();
    let found = match key {
        IdentityKey::Subject(subject) => {
            let sql = select_identities!("WHERE i.purpose = ?1 AND i.subject = ?2");
            select(connection, sql, params![purpose, subject.as_str()], read)
        }
        IdentityKey::Username(username) => {
            let sql = select_identities!("WHERE i.purpose = ?1 AND i.username = ?2");
            select(connection, sql, params![purpose, username.as_str()], read)
        }
        IdentityKey::User(user) => {
            let sql = select_identities!("WHERE i.purpose = ?1 AND i.user_id = ?2");
            select(connection, sql, params![purpose, user.get()], read)
        }
    };
    Ok(found?.pop())
}

/// Whoever is known as this, if he is not disabled.
fn enabled(connection: &Connection, purpose: Purpose, subject: &Name) -> Done<Option<UserId>> {
    let known = identity(connection, purpose, &IdentityKey::Subject(subject.clone()))?;
    Ok(known.filter(|identity| !identity.is_disabled).map(|identity| identity.user))
}

fn add_identity(connection: &Connection, new: &NewIdentity, now: ServerTime) -> Done<IdentityAdded> {
    let NewIdentity { purpose, subject, username, password } = new;
    let find = |key| Ok::<_, StoreError>(identity(connection, *purpose, &key)?.map(|known| known.user));
    if let Some(user) = find(IdentityKey::Subject(subject.clone()))? {
        return Ok(IdentityAdded::Known(user));
    }
    let is_free = |username: &Name| Ok::<_, StoreError>(find(IdentityKey::Username(username.clone()))?.is_none());
    let username = match username {
        Username::Named(username) if !is_free(username)? => return Ok(IdentityAdded::UsernameTaken),
        Username::Named(username) => Some(username),
        Username::Subject => is_free(subject)?.then_some(subject),
    };
    let of_name = "SELECT id FROM users WHERE name = ?1";
    let of_name = select(connection, of_name, [subject.as_str()], |row| row.get(0).map(UserId::new).map_err(failed))?;
    let user = match of_name.first() {
        Some(user) if find(IdentityKey::User(*user))?.is_some() => return Ok(IdentityAdded::Known(*user)),
        Some(user) => *user,
        None => make_user(connection, subject, None, now, None)?,
    };
    let sql = "INSERT INTO identities (user_id, purpose, subject, username, password, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let username = username.map(Name::as_str);
    execute(
        connection,
        sql,
        params![user.get(), purpose.as_str(), subject.as_str(), username, password, now.micros()],
    )?;
    Ok(IdentityAdded::New(user))
}

fn change_identity(
    connection: &Connection,
    purpose: Purpose,
    user: UserId,
    IdentityChange { username, password }: IdentityChange,
) -> Done<IdentityChanged> {
    if identity(connection, purpose, &IdentityKey::User(user))?.is_none() {
        return Ok(IdentityChanged::Unknown);
    }
    if let Some(username) = &username {
        let holder = identity(connection, purpose, &IdentityKey::Username(username.clone()))?;
        if holder.is_some_and(|holder| holder.user != user) {
            return Ok(IdentityChanged::UsernameTaken);
        }
    }
    let sql = "UPDATE identities SET username = coalesce(?3, username), password = coalesce(?4, password)
               WHERE user_id = ?1 AND purpose = ?2";
    let username = username.as_ref().map(Name::as_str);
    execute(connection, sql, params![user.get(), purpose.as_str(), username, password])?;
    Ok(IdentityChanged::Done)
}

fn setup_token(
    connection: &Connection,
    purpose: Purpose,
    token: SecretHash,
    now: ServerTime,
) -> Done<Option<Identity>> {
    let sql = select_identities!(
        "JOIN setup_tokens t ON t.user_id = i.user_id AND t.purpose = i.purpose
         WHERE t.hash = ?1 AND t.purpose = ?2 AND t.expires_at > ?3 AND u.disabled_at IS NULL"
    );
    Ok(select(connection, sql, params![token.0, purpose.as_str(), now.micros()], read)?.pop())
}

/// Does what an entry of a log of this purpose does.
pub(super) fn carry_out(
    connection: &Connection,
    purpose: Purpose,
    effect: &Effect,
    now: ServerTime,
) -> Done<Result<(), Unfit>> {
    match effect {
        Effect::AddIdentity(new) => Ok(add_identity(connection, new, now)?.fits()),
        Effect::GiveSetupToken { subject, token, expires_at } => {
            let Some(user) = enabled(connection, purpose, subject)? else { return Ok(Err(Unfit::Unknown)) };
            let sql = "INSERT INTO setup_tokens (user_id, purpose, hash, expires_at) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (user_id, purpose)
                           DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at";
            execute(connection, sql, params![user.get(), purpose.as_str(), token.0, expires_at.micros()])?;
            Ok(Ok(()))
        }
        Effect::UseSetupToken { token, key } => use_setup_token(connection, purpose, *token, key, now),
        Effect::RevokeKeys { subject } => {
            let sql = "DELETE FROM credentials WHERE purpose = ?1
                           AND user_id = (SELECT user_id FROM identities WHERE purpose = ?1 AND subject = ?2)";
            execute(connection, sql, params![purpose.as_str(), subject.as_str()])?;
            Ok(Ok(()))
        }
    }
}

fn use_setup_token(
    connection: &Connection,
    purpose: Purpose,
    token: SecretHash,
    key: &NewKey,
    now: ServerTime,
) -> Done<Result<(), Unfit>> {
    let Some(Identity { user, .. }) = setup_token(connection, purpose, token, now)? else {
        return Ok(Err(Unfit::Spent));
    };
    execute(connection, "DELETE FROM setup_tokens WHERE hash = ?1", [token.0])?;
    make_key(connection, user, key.clone(), now).map(|_| Ok(()))
}

fn keep_ticket(
    connection: &Connection,
    hash: SecretHash,
    ticket: &Ticket,
    now: ServerTime,
    expires_at: ServerTime,
) -> Done<()> {
    let sql = "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE expires_at <= ?1 LIMIT ?2)";
    execute(connection, sql, params![now.micros(), count(SWEPT_MAX)])?;
    let sql = "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE user_id = ?1
                   ORDER BY expires_at DESC LIMIT -1 OFFSET ?2)";
    execute(connection, sql, params![ticket.user.get(), count(limits::TICKETS_MAX - 1)])?;
    let Ticket { user, credential, ends_at, form } = ticket;
    let sql = "INSERT INTO tickets (hash, user_id, credential, ends_at, form, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (credential, ends_at) = (credential.map(CredentialId::get), ends_at.map(ServerTime::micros));
    execute(connection, sql, params![hash.0, user.get(), credential, ends_at, form, expires_at.micros()]).map(drop)
}

fn use_ticket(connection: &Connection, hash: SecretHash, now: ServerTime) -> Done<Option<Ticket>> {
    let sql = "DELETE FROM tickets WHERE hash = ?1 RETURNING user_id, credential, ends_at, form, expires_at";
    let Some((ticket, expires_at)) = select(connection, sql, [hash.0], read_ticket)?.pop() else { return Ok(None) };
    let sql = "SELECT count(*) FROM credentials WHERE id = ?1 AND user_id = ?2";
    let is_key_there = match ticket.credential {
        Some(credential) => number(connection, sql, params![credential.get(), ticket.user.get()])? > 0,
        None => true,
    };
    let is_good = expires_at > now
        && ticket.ends_at.is_none_or(|at| at > now)
        && is_key_there
        && is_enabled(connection, ticket.user)?;
    Ok(is_good.then_some(ticket))
}

fn read(row: &Row<'_>) -> Done<Identity> {
    let text = |index| row.get::<_, Option<String>>(index).map_err(failed);
    let username = text(2)?.map(|_| name(row, 2)).transpose()?;
    Ok(Identity {
        user: UserId::new(row.get(0).map_err(failed)?),
        subject: name(row, 1)?,
        username,
        password: text(3)?,
        is_disabled: row.get(4).map_err(failed)?,
    })
}

fn read_ticket(row: &Row<'_>) -> Done<(Ticket, ServerTime)> {
    let credential: Option<i64> = row.get(1).map_err(failed)?;
    let ticket = Ticket {
        user: UserId::new(row.get(0).map_err(failed)?),
        credential: credential.map(CredentialId::new),
        ends_at: maybe_time(row, 2)?,
        form: row.get(3).map_err(failed)?,
    };
    Ok((ticket, time(row, 4)?))
}
