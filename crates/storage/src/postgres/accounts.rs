//! Users, credentials and refusals in PostgreSQL.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, UserId, limits};

use super::Postgres;
use super::connection::{acquire, failed, faster};
use super::people::{Tell, make_user, maybe_time, next_user, time};
use crate::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, Reply, StoreError, User};

/// The columns of [`read_user`].
macro_rules! user_columns {
    () => {
        "id, name, email, created_at, confirmed_at, disabled_at"
    };
}

impl Accounts for Postgres {
    fn add_user<'a>(
        &'a self,
        name: &'a Name,
        email: Option<&'a EmailAddress>,
        now: ServerTime,
    ) -> Reply<'a, Added<UserId>> {
        let (name, email) = (name.clone(), email.cloned());
        Box::pin(self.settle(async move |connection| {
            if let Some(email) = &email
                && let Some(adopted) = adopt(connection, &name, email, now).await?
            {
                return Ok((adopted, Tell::Nobody));
            }
            let id = next_user(connection).await?;
            if let Some(user) = make_user(connection, id, &name, email.as_ref(), now, Some(now)).await? {
                return Ok((Added::New(user), Tell::Nobody));
            }
            // Looked for only now, so that whoever was made known meanwhile is found, too.
            let added = match adopt_known(connection, &name, email.as_ref(), now).await? {
                Some(adopted) => adopted,
                None if is_taken(connection, &name).await? => Added::NameTaken,
                None => Added::EmailTaken,
            };
            Ok((added, Tell::Nobody))
        }))
    }

    fn user_by_id(&self, id: UserId) -> Reply<'_, Option<User>> {
        Box::pin(async move {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1 AND deleted_at IS NULL");
            let select = sqlx::query(sql).bind(id.get());
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read_user).transpose()
        })
    }

    fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>> {
        Box::pin(async move {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE name = $1");
            let select = sqlx::query(sql).bind(name.as_str());
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read_user).transpose()
        })
    }

    fn users(&self) -> Reply<'_, Vec<User>> {
        Box::pin(async move {
            let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE deleted_at IS NULL ORDER BY name");
            let rows = sqlx::query(sql).fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_user).collect()
        })
    }

    fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool> {
        let name = name.clone();
        Box::pin(self.settle(async move |connection| {
            let sql = "UPDATE users SET disabled_at = coalesce(disabled_at, $2) WHERE name = $1";
            let update = sqlx::query(sql).bind(name.as_str()).bind(now.micros());
            Ok((update.execute(connection).await.map_err(failed)?.rows_affected() > 0, Tell::Nodes))
        }))
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>> {
        Box::pin(self.settle(async move |connection| Ok((add_credential(connection, &new).await?, Tell::Nodes))))
    }

    fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>> {
        Box::pin(async move {
            let sql = "SELECT c.id, c.name, u.name, c.purpose, c.created_at, c.last_used_at, c.expires_at
                       FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE ($1::int8 IS NULL OR u.id = $1) AND u.deleted_at IS NULL ORDER BY u.name, c.name";
            let select = sqlx::query(sql).bind(user.map(UserId::get));
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_credential).collect()
        })
    }

    fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool> {
        let name = name.clone();
        Box::pin(self.settle(async move |connection| {
            let delete = sqlx::query("DELETE FROM credentials WHERE user_id = $1 AND name = $2");
            let delete = delete.bind(user.get()).bind(name.as_str());
            Ok((delete.execute(connection).await.map_err(failed)?.rows_affected() > 0, Tell::Nodes))
        }))
    }

    fn revoke_credential_by_id(&self, user: UserId, id: CredentialId, purpose: Purpose) -> Reply<'_, bool> {
        Box::pin(self.settle(async move |connection| {
            let delete = sqlx::query("DELETE FROM credentials WHERE id = $2 AND user_id = $1 AND purpose = $3");
            let delete = delete.bind(user.get()).bind(id.get()).bind(purpose.as_str());
            let is_revoked = delete.execute(connection).await.map_err(failed)?.rows_affected() > 0;
            Ok((is_revoked, if is_revoked { Tell::Nodes } else { Tell::Nobody }))
        }))
    }

    fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>> {
        self.note_call();
        Box::pin(async move {
            let sql = "SELECT c.id, c.user_id, c.purpose, c.hash, c.expires_at
                       FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE c.prefix = $1 AND u.disabled_at IS NULL";
            let select = sqlx::query(sql).bind(prefix);
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read_found).transpose()
        })
    }

    fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>> {
        Box::pin(async move {
            let sql = "SELECT c.id FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE c.id = ANY ($1) AND u.disabled_at IS NULL";
            let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
            let rows = sqlx::query(sql).bind(ids).fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(|row| row.try_get(0).map(CredentialId::new).map_err(failed)).collect()
        })
    }

    fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()> {
        Box::pin(async move {
            // Locked first, in the order in which whoever revokes several locks them: an update by itself takes them as
            // it finds them.
            let sql = "WITH used AS (SELECT id, max(at) AS at
                           FROM unnest($1::int8[], $2::int8[]) u(id, at) GROUP BY id),
                       locked AS MATERIALIZED (SELECT id FROM credentials WHERE id IN (SELECT id FROM used)
                           ORDER BY id FOR UPDATE)
                       UPDATE credentials c SET last_used_at = n.at FROM locked l JOIN used n ON n.id = l.id
                       WHERE c.id = l.id AND coalesce(c.last_used_at < n.at, true)";
            let (ids, times): (Vec<i64>, Vec<i64>) = used.iter().map(|(id, at)| (id.get(), at.micros())).unzip();
            let update = sqlx::query(sql).bind(ids).bind(times);
            update.execute(&mut *acquire(&self.pool).await?).await.map(drop).map_err(failed)
        })
    }

    fn refusals(&self, user: Option<UserId>) -> Reply<'_, Vec<Refusal>> {
        Box::pin(async move {
            let sql = "SELECT u.name, r.device, r.record, r.kind, r.reason, r.at
                       FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY id DESC) AS place FROM refusals
                             WHERE $1::int8 IS NULL OR user_id = $1) r
                       JOIN users u ON u.id = r.user_id WHERE r.place <= $2 AND u.deleted_at IS NULL
                       ORDER BY r.id DESC";
            let count_max = i64::try_from(limits::REFUSALS_MAX).unwrap_or(i64::MAX);
            let select = sqlx::query(sql).bind(user.map(UserId::get)).bind(count_max);
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_refusal).collect()
        })
    }
}

/// Makes somebody of the pending account of an address; `None` when there is none.
async fn adopt(
    connection: &mut PgConnection,
    name: &Name,
    email: &EmailAddress,
    now: ServerTime,
) -> Result<Option<Added<UserId>>, StoreError> {
    let sql = "SELECT id FROM users WHERE email_key = $1 AND confirmed_at IS NULL AND disabled_at IS NULL FOR UPDATE";
    let found = sqlx::query(sql).bind(email.key()).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(row) = found else { return Ok(None) };
    let user: i64 = row.try_get(0).map_err(failed)?;
    let sql = "UPDATE users SET name = $2, email = $3, confirmed_at = $4
               WHERE id = $1 AND NOT EXISTS (SELECT FROM users o WHERE o.name = $2 AND o.id <> $1)";
    let update = sqlx::query(sql).bind(user).bind(name.as_str()).bind(email.as_str()).bind(now.micros());
    if update.execute(&mut *connection).await.map_err(faster)?.rows_affected() > 0 {
        return Ok(Some(Added::New(UserId::new(user))));
    }
    // Whoever is known by the name might have become somebody, with another address.
    // Only looked at: users are locked by number, and his may be the lower one.
    let sql = "SELECT FROM users WHERE name = $1 AND email IS NULL AND confirmed_at IS NULL AND disabled_at IS NULL";
    let known = sqlx::query(sql).bind(name.as_str()).fetch_optional(connection).await.map_err(failed)?;
    Ok(Some(if known.is_some() { Added::EmailTaken } else { Added::NameTaken }))
}

/// Makes somebody of a user whom only a protocol knew; `None` when there is none of this name.
async fn adopt_known(
    connection: &mut PgConnection,
    name: &Name,
    email: Option<&EmailAddress>,
    now: ServerTime,
) -> Result<Option<Added<UserId>>, StoreError> {
    let sql = "SELECT id FROM users WHERE name = $1 AND email IS NULL AND confirmed_at IS NULL AND disabled_at IS NULL
               FOR UPDATE";
    let found = sqlx::query(sql).bind(name.as_str()).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(row) = found else { return Ok(None) };
    let user: i64 = row.try_get(0).map_err(failed)?;
    let sql = "UPDATE users SET email = $2, email_key = $3, confirmed_at = $4
               WHERE id = $1 AND NOT EXISTS (SELECT FROM users o WHERE o.email_key = $3)";
    let update = sqlx::query(sql).bind(user).bind(email.map(EmailAddress::as_str)).bind(email.map(EmailAddress::key));
    let update = update.bind(now.micros()).execute(connection).await.map_err(faster)?;
    let is_adopted = update.rows_affected() > 0;
    Ok(Some(if is_adopted { Added::New(UserId::new(user)) } else { Added::EmailTaken }))
}

async fn is_taken(connection: &mut PgConnection, name: &Name) -> Result<bool, StoreError> {
    let select = sqlx::query("SELECT 1 FROM users WHERE name = $1").bind(name.as_str());
    Ok(select.fetch_optional(connection).await.map_err(failed)?.is_some())
}

pub(super) async fn add_credential(
    connection: &mut PgConnection,
    new: &NewCredential,
) -> Result<Added<CredentialId>, StoreError> {
    // A taken prefix would be a fault, and is no taken name. The user is held as the reference to him does it: whoever
    // deletes him is waited for, and then there is nobody.
    let sql = "WITH u AS MATERIALIZED (SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE),
               c AS (INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at, expires_at)
                   SELECT $1, $2, $3, $4, $5, $6, $7 FROM u ON CONFLICT (user_id, name) DO NOTHING RETURNING id)
               SELECT c.id, EXISTS (SELECT FROM u) FROM (VALUES (1)) one LEFT JOIN c ON true";
    let NewCredential { user, name, purpose, prefix, hash, created_at, expires_at } = new;
    let insert = sqlx::query(sql).bind(user.get()).bind(name.as_str()).bind(purpose.as_str()).bind(prefix);
    let insert = insert.bind(hash).bind(created_at.micros()).bind(expires_at.map(ServerTime::micros));
    let row = insert.fetch_one(connection).await.map_err(failed)?;
    let made: Option<i64> = row.try_get(0).map_err(failed)?;
    match (made, row.try_get(1).map_err(failed)?) {
        (Some(id), _) => Ok(Added::New(CredentialId::new(id))),
        (None, true) => Ok(Added::NameTaken),
        (None, false) => Err(StoreError::Internal("a credential of nobody".to_owned())),
    }
}

fn read_user(row: &PgRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId::new(row.try_get(0).map_err(failed)?),
        name: name(row, 1)?,
        email: row.try_get(2).map_err(failed)?,
        created_at: time(row, 3)?,
        confirmed_at: maybe_time(row, 4)?,
        disabled_at: maybe_time(row, 5)?,
    })
}

fn read_credential(row: &PgRow) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: CredentialId::new(row.try_get(0).map_err(failed)?),
        name: name(row, 1)?,
        user: name(row, 2)?,
        purpose: purpose(row, 3)?,
        created_at: time(row, 4)?,
        last_used_at: maybe_time(row, 5)?,
        expires_at: maybe_time(row, 6)?,
    })
}

fn read_found(row: &PgRow) -> Result<FoundCredential, StoreError> {
    Ok(FoundCredential {
        id: CredentialId::new(row.try_get(0).map_err(failed)?),
        user: UserId::new(row.try_get(1).map_err(failed)?),
        purpose: purpose(row, 2)?,
        hash: row.try_get(3).map_err(failed)?,
        expires_at: maybe_time(row, 4)?,
    })
}

fn read_refusal(row: &PgRow) -> Result<Refusal, StoreError> {
    Ok(Refusal {
        user: name(row, 0)?,
        device: row.try_get(1).map_err(failed)?,
        record: row.try_get(2).map_err(failed)?,
        kind: row.try_get(3).map_err(failed)?,
        reason: row.try_get(4).map_err(failed)?,
        at: time(row, 5)?,
    })
}

pub(super) fn name(row: &PgRow, index: usize) -> Result<Name, StoreError> {
    let text: &str = row.try_get(index).map_err(failed)?;
    Name::parse(text).map_err(|error| StoreError::Corrupt(format!("a stored name is none: {error}")))
}

fn purpose(row: &PgRow, index: usize) -> Result<Purpose, StoreError> {
    let text: &str = row.try_get(index).map_err(failed)?;
    Purpose::parse(text).map_err(|error| StoreError::Corrupt(format!("a credential's purpose: {error}")))
}
