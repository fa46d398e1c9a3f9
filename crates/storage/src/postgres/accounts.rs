//! Users, credentials and refusals in PostgreSQL.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tombolo_core::{CredentialId, Name, Purpose, ServerTime, UserId, limits};

use super::Postgres;
use super::connection::{WAIT_FOR_DISK, acquire, failed};
use crate::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, Reply, StoreError, User};

impl Accounts for Postgres {
    fn add_user<'a>(&'a self, name: &'a Name, email: Option<&'a str>, now: ServerTime) -> Reply<'a, Added<UserId>> {
        Box::pin(async move {
            let sql = format!(
                "INSERT INTO users (name, email, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
                 RETURNING id, {WAIT_FOR_DISK}"
            );
            let insert = sqlx::query(AssertSqlSafe(sql)).bind(name.as_str()).bind(email).bind(now.micros());
            let added = insert.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            match added {
                Some(row) => Ok(Added::New(UserId::new(row.try_get(0).map_err(failed)?))),
                None => Ok(Added::NameTaken),
            }
        })
    }

    fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>> {
        Box::pin(async move {
            let sql = "SELECT id, name, email, created_at, disabled_at FROM users WHERE name = $1";
            let select = sqlx::query(sql).bind(name.as_str());
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read_user).transpose()
        })
    }

    fn users(&self) -> Reply<'_, Vec<User>> {
        Box::pin(async move {
            let sql = "SELECT id, name, email, created_at, disabled_at FROM users ORDER BY name";
            let rows = sqlx::query(sql).fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_user).collect()
        })
    }

    fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool> {
        Box::pin(self.change_accounts(async move |connection| {
            let sql = "UPDATE users SET disabled_at = coalesce(disabled_at, $2) WHERE name = $1";
            let update = sqlx::query(sql).bind(name.as_str()).bind(now.micros());
            Ok(update.execute(connection).await.map_err(failed)?.rows_affected() > 0)
        }))
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>> {
        Box::pin(self.change_accounts(async move |connection| {
            // A taken prefix would be a fault, and is no taken name.
            let sql = "INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at, expires_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, name) DO NOTHING RETURNING id";
            let NewCredential { user, name, purpose, prefix, hash, created_at, expires_at } = &new;
            let insert = sqlx::query(sql).bind(user.get()).bind(name.as_str()).bind(purpose.as_str()).bind(prefix);
            let insert = insert.bind(hash).bind(created_at.micros()).bind(expires_at.map(ServerTime::micros));
            match insert.fetch_optional(connection).await.map_err(failed)? {
                Some(row) => Ok(Added::New(CredentialId::new(row.try_get(0).map_err(failed)?))),
                None => Ok(Added::NameTaken),
            }
        }))
    }

    fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>> {
        Box::pin(async move {
            let sql = "SELECT c.id, c.name, u.name, c.purpose, c.created_at, c.last_used_at, c.expires_at
                       FROM credentials c JOIN users u ON u.id = c.user_id
                       WHERE $1::int8 IS NULL OR u.id = $1 ORDER BY u.name, c.name";
            let select = sqlx::query(sql).bind(user.map(UserId::get));
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_credential).collect()
        })
    }

    fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool> {
        Box::pin(self.change_accounts(async move |connection| {
            let delete = sqlx::query("DELETE FROM credentials WHERE user_id = $1 AND name = $2");
            let delete = delete.bind(user.get()).bind(name.as_str());
            Ok(delete.execute(connection).await.map_err(failed)?.rows_affected() > 0)
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
            let sql = "UPDATE credentials c SET last_used_at = n.at FROM (SELECT id, max(at) AS at
                           FROM unnest($1::int8[], $2::int8[]) u(id, at) GROUP BY id) n
                       WHERE c.id = n.id AND coalesce(c.last_used_at < n.at, true)";
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
                       JOIN users u ON u.id = r.user_id WHERE r.place <= $2 ORDER BY r.id DESC";
            let count_max = i64::try_from(limits::REFUSALS_MAX).unwrap_or(i64::MAX);
            let select = sqlx::query(sql).bind(user.map(UserId::get)).bind(count_max);
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_refusal).collect()
        })
    }
}

impl Postgres {
    /// Changes what lets people in, and tells every node with the commit.
    async fn change_accounts<T>(
        &self,
        change: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = acquire(&self.pool).await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let changed = change(&mut transaction).await?;
        let sql = format!(
            "UPDATE facts SET value = (value::int8 + 1)::text WHERE name = 'accounts_version' RETURNING {WAIT_FOR_DISK}"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(failed)?;
        self.bus.accounts_changed(&mut transaction).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(changed)
    }
}

fn read_user(row: &PgRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId::new(row.try_get(0).map_err(failed)?),
        name: name(row, 1)?,
        email: row.try_get(2).map_err(failed)?,
        created_at: time(row, 3)?,
        disabled_at: maybe_time(row, 4)?,
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

fn name(row: &PgRow, index: usize) -> Result<Name, StoreError> {
    let text: &str = row.try_get(index).map_err(failed)?;
    Name::parse(text).map_err(|error| StoreError::Corrupt(format!("a stored name is none: {error}")))
}

fn purpose(row: &PgRow, index: usize) -> Result<Purpose, StoreError> {
    let text: &str = row.try_get(index).map_err(failed)?;
    Purpose::parse(text).map_err(|error| StoreError::Corrupt(format!("a credential's purpose: {error}")))
}

fn time(row: &PgRow, index: usize) -> Result<ServerTime, StoreError> {
    row.try_get(index).map(ServerTime::from_micros).map_err(failed)
}

fn maybe_time(row: &PgRow, index: usize) -> Result<Option<ServerTime>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(index).map_err(failed)?.map(ServerTime::from_micros))
}
