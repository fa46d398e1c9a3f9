//! Identities, setup tokens and secrets in PostgreSQL.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{Name, Purpose, ServerTime, UserId};

use super::accounts::name;
use super::connection::{acquire, failed, faster};
use super::people::{Tell, lock_users, standing};
use super::{Postgres, tickets};
use crate::{
    Identities, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, Reply, SecretHash,
    StoreError, Ticket, Username,
};

type Done<T> = Result<T, StoreError>;

/// What [`read`] reads, of an identity `i` and its user `u`.
macro_rules! select_identities {
    ($rest:literal) => {
        concat!(
            "SELECT i.user_id, i.subject, i.username, i.password, u.disabled_at IS NOT NULL
             FROM identities i JOIN users u ON u.id = i.user_id ",
            $rest
        )
    };
}

impl Identities for Postgres {
    fn identity(&self, purpose: Purpose, key: IdentityKey) -> Reply<'_, Option<Identity>> {
        self.note_call();
        Box::pin(async move {
            let select = match &key {
                IdentityKey::Subject(subject) => {
                    let sql = select_identities!("WHERE i.purpose = $1 AND i.subject = $2");
                    sqlx::query(sql).bind(purpose.as_str()).bind(subject.as_str())
                }
                IdentityKey::Username(username) => {
                    let sql = select_identities!("WHERE i.purpose = $1 AND i.username = $2");
                    sqlx::query(sql).bind(purpose.as_str()).bind(username.as_str())
                }
                IdentityKey::User(user) => {
                    let sql = select_identities!("WHERE i.purpose = $1 AND i.user_id = $2");
                    sqlx::query(sql).bind(purpose.as_str()).bind(user.get())
                }
            };
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read).transpose()
        })
    }

    fn add_identity(&self, new: NewIdentity, now: ServerTime) -> Reply<'_, IdentityAdded> {
        Box::pin(self.settle(async move |connection| {
            let added = add(connection, &new, now).await?;
            Ok((added, Tell::of(&added)))
        }))
    }

    fn change_identity(&self, purpose: Purpose, user: UserId, change: IdentityChange) -> Reply<'_, IdentityChanged> {
        Box::pin(self.settle(async move |connection| {
            Ok((self::change(connection, purpose, user, &change).await?, Tell::Nobody))
        }))
    }

    fn setup_token(&self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Reply<'_, Option<Identity>> {
        self.note_call();
        Box::pin(async move {
            let sql = select_identities!(
                "JOIN setup_tokens t ON t.user_id = i.user_id AND t.purpose = i.purpose
                 WHERE i.purpose = $1 AND t.hash = $2 AND t.expires_at > $3 AND u.disabled_at IS NULL"
            );
            let select = sqlx::query(sql).bind(purpose.as_str()).bind(token.0.as_slice()).bind(now.micros());
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read).transpose()
        })
    }

    fn keep_ticket(&self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) -> Reply<'_, ()> {
        Box::pin(self.settle(async move |connection| {
            tickets::keep(connection, hash, &ticket, now, expires_at).await?;
            Ok(((), Tell::Nobody))
        }))
    }

    fn use_ticket(&self, hash: SecretHash, now: ServerTime) -> Reply<'_, Option<Ticket>> {
        self.note_call();
        Box::pin(self.settle(async move |connection| Ok((tickets::take(connection, hash, now).await?, Tell::Nobody))))
    }

    fn secret<'a>(&'a self, name: &'a str, fresh: &'a [u8]) -> Reply<'a, Vec<u8>> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        Box::pin(self.settle(async move |connection| {
            // Two statements: who waited for another's secret sees it only in the next one.
            let insert = sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING");
            insert.bind(&name).bind(&fresh).execute(&mut *connection).await.map_err(failed)?;
            let select = sqlx::query("SELECT value FROM secrets WHERE name = $1").bind(&name);
            let row = select.fetch_one(connection).await.map_err(failed)?;
            Ok((row.try_get(0).map_err(failed)?, Tell::Nobody))
        }))
    }
}

/// Makes somebody known.
///
/// # Errors
/// [`StoreError::Busy`] when another was faster.
pub(super) async fn add(connection: &mut PgConnection, new: &NewIdentity, now: ServerTime) -> Done<IdentityAdded> {
    let NewIdentity { purpose, subject, username, password } = new;
    let wished = match username {
        Username::Subject => subject,
        Username::Named(name) => name,
    };
    // Few statements: a request may make many known, while nobody else appends.
    let sql = "SELECT (SELECT user_id FROM identities WHERE purpose = $1 AND subject = $2),
                   EXISTS (SELECT FROM identities WHERE purpose = $1 AND username = $3),
                   (SELECT id FROM users WHERE name = $2)";
    let select = sqlx::query(sql).bind(purpose.as_str()).bind(subject.as_str()).bind(wished.as_str());
    let found = select.fetch_one(&mut *connection).await.map_err(failed)?;
    if let Some(known) = user_at(&found, 0)? {
        return Ok(IdentityAdded::Known(known));
    }
    let is_free = !found.try_get::<bool, _>(1).map_err(failed)?;
    if !is_free && matches!(username, Username::Named(_)) {
        return Ok(IdentityAdded::UsernameTaken);
    }
    let user = match user_at(&found, 2)? {
        Some(named) => {
            stays(connection, named).await?;
            if is_known(connection, *purpose, named).await? {
                return Ok(IdentityAdded::Known(named));
            }
            named
        }
        None => make_pending(connection, subject, now).await?,
    };
    let sql = "INSERT INTO identities (user_id, purpose, subject, username, password, created_at)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let insert = sqlx::query(sql).bind(user.get()).bind(purpose.as_str()).bind(subject.as_str());
    let insert = insert.bind(is_free.then(|| wished.as_str())).bind(password.as_deref()).bind(now.micros());
    match insert.execute(connection).await.map_err(failed)?.rows_affected() {
        0 => Err(StoreError::Busy),
        _ => Ok(IdentityAdded::New(user)),
    }
}

/// Sees to it that a user who was found stays: one who is pending goes with the last of what made him, unless he is
/// known by then.
async fn stays(connection: &mut PgConnection, user: UserId) -> Done<()> {
    lock_users(connection, &[user]).await?;
    standing(connection, user).await?.map(drop).ok_or(StoreError::Busy)
}

/// Makes somebody who is pending.
async fn make_pending(connection: &mut PgConnection, name: &Name, now: ServerTime) -> Done<UserId> {
    let sql = "INSERT INTO users (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
    let insert = sqlx::query(sql).bind(name.as_str()).bind(now.micros());
    let made = insert.fetch_optional(connection).await.map_err(failed)?.ok_or(StoreError::Busy)?;
    made.try_get(0).map(UserId::new).map_err(failed)
}

fn user_at(row: &PgRow, at: usize) -> Done<Option<UserId>> {
    Ok(row.try_get::<Option<i64>, _>(at).map_err(failed)?.map(UserId::new))
}

async fn change(
    connection: &mut PgConnection,
    purpose: Purpose,
    user: UserId,
    change: &IdentityChange,
) -> Done<IdentityChanged> {
    let IdentityChange { username, password } = change;
    if let Some(username) = username
        && user_signing_in_as(connection, purpose, username).await?.is_some_and(|other| other != user)
    {
        let is_known = is_known(connection, purpose, user).await?;
        return Ok(if is_known { IdentityChanged::UsernameTaken } else { IdentityChanged::Unknown });
    }
    let sql = "UPDATE identities SET username = coalesce($3, username), password = coalesce($4, password)
               WHERE user_id = $1 AND purpose = $2";
    let update = sqlx::query(sql).bind(user.get()).bind(purpose.as_str());
    let update = update.bind(username.as_ref().map(Name::as_str)).bind(password.as_deref());
    match update.execute(connection).await.map_err(faster)?.rows_affected() {
        0 => Ok(IdentityChanged::Unknown),
        _ => Ok(IdentityChanged::Done),
    }
}

async fn is_known(connection: &mut PgConnection, purpose: Purpose, user: UserId) -> Done<bool> {
    let select = sqlx::query("SELECT FROM identities WHERE user_id = $1 AND purpose = $2");
    let select = select.bind(user.get()).bind(purpose.as_str());
    Ok(select.fetch_optional(connection).await.map_err(failed)?.is_some())
}

/// Whoever is known as `subject`, disabled or not.
pub(super) async fn user_known_as(
    connection: &mut PgConnection,
    purpose: Purpose,
    subject: &Name,
) -> Done<Option<UserId>> {
    let sql = "SELECT user_id FROM identities WHERE purpose = $1 AND subject = $2";
    user_by(connection, sql, purpose, subject).await
}

async fn user_signing_in_as(connection: &mut PgConnection, purpose: Purpose, username: &Name) -> Done<Option<UserId>> {
    let sql = "SELECT user_id FROM identities WHERE purpose = $1 AND username = $2";
    user_by(connection, sql, purpose, username).await
}

async fn user_by(
    connection: &mut PgConnection,
    sql: &'static str,
    purpose: Purpose,
    name: &Name,
) -> Done<Option<UserId>> {
    let select = sqlx::query(sql).bind(purpose.as_str()).bind(name.as_str());
    let found = select.fetch_optional(connection).await.map_err(failed)?;
    found.map(|row| row.try_get(0).map(UserId::new).map_err(failed)).transpose()
}

fn read(row: &PgRow) -> Done<Identity> {
    let username: Option<&str> = row.try_get(2).map_err(failed)?;
    Ok(Identity {
        user: UserId::new(row.try_get(0).map_err(failed)?),
        subject: name(row, 1)?,
        username: username.map(|_| name(row, 2)).transpose()?,
        password: row.try_get(3).map_err(failed)?,
        is_disabled: row.try_get(4).map_err(failed)?,
    })
}
