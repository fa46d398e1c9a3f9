//! Transactions that change who gets in, and the accounts that they look at and make.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{EmailAddress, Name, ServerTime, UserId};

use super::Postgres;
use super::connection::{WAIT_FOR_DISK, acquire, failed};
use super::tries::{ATTEMPT_MAX, LOCKED_SETTINGS, Lane, REQUEST_MAX};
use crate::StoreError;
use crate::naming::{account_names, no_account_name};
use crate::told::Told;

type Done<T> = Result<T, StoreError>;

/// Tries of one transaction: it was in another's way, or another was faster. Each of them found an end.
const TRIES_MAX: u32 = 8;

/// Who has to know what a transaction changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// Every node: it lets somebody in, or keeps somebody out.
    Nodes,
    /// Nobody: it may also have changed nothing.
    Nobody,
}

impl Tell {
    /// Who has to know of an answer.
    pub(super) fn of(answer: &impl Told) -> Self {
        if answer.is_told() { Self::Nodes } else { Self::Nobody }
    }
}

impl Postgres {
    /// Decides and changes something in one transaction, again when others were in the way, and tells the nodes with
    /// the commit.
    ///
    /// # Errors
    /// [`StoreError::Busy`] from `change` means to try again; it is the answer when others were in the way for too long.
    pub(super) async fn settle<T>(
        &self,
        change: impl AsyncFn(&mut PgConnection) -> Done<(T, Tell)>,
    ) -> Result<T, StoreError> {
        let run = async {
            for _ in 1..TRIES_MAX {
                match self.settle_once(&change).await {
                    Err(StoreError::Busy) => {}
                    settled => return settled,
                }
            }
            self.settle_once(&change).await
        };
        timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn settle_once<T>(&self, change: &impl AsyncFn(&mut PgConnection) -> Done<(T, Tell)>) -> Done<T> {
        let mut lane = Lane::of(&self.pool).await?;
        let tried = timeout(ATTEMPT_MAX, self.settle_on(&mut lane.connection, change)).await;
        lane.settle(tried)
    }

    pub(super) async fn settle_on<T>(
        &self,
        connection: &mut PgConnection,
        change: &impl AsyncFn(&mut PgConnection) -> Done<(T, Tell)>,
    ) -> Done<T> {
        // A node that stands still here would keep others from signing in, and from the project.
        let begin = AssertSqlSafe(format!("BEGIN; {LOCKED_SETTINGS}"));
        let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
        let (changed, tell) = change(&mut transaction).await?;
        match tell {
            Tell::Nobody => {
                let select = sqlx::query(AssertSqlSafe(format!("SELECT {WAIT_FOR_DISK}")));
                select.execute(&mut *transaction).await.map(drop).map_err(failed)?;
            }
            Tell::Nodes => self.tell_nodes(&mut transaction).await?,
        }
        transaction.commit().await.map_err(failed)?;
        Ok(changed)
    }

    /// Tells every node, with the commit of the transaction, that who gets in was changed. The last that a transaction
    /// does, since all such ones meet here.
    pub(super) async fn tell_nodes(&self, connection: &mut PgConnection) -> Done<()> {
        let sql = format!(
            "UPDATE facts SET value = (value::int8 + 1)::text WHERE name = 'accounts_version'
             RETURNING {WAIT_FOR_DISK}"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(failed)?;
        self.bus.accounts_changed(connection).await
    }

    /// Reads in one snapshot.
    pub(super) async fn look_at<T>(&self, read: impl AsyncFnOnce(&mut PgConnection) -> Done<T>) -> Done<T> {
        let mut connection = acquire(&self.pool).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
        let found = read(&mut transaction).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(found)
    }
}

/// Whoever has an address.
pub(super) async fn user_of(connection: &mut PgConnection, email: &EmailAddress) -> Done<Option<UserId>> {
    let select = sqlx::query("SELECT id FROM users WHERE email_key = $1").bind(email.key());
    let found = select.fetch_optional(connection).await.map_err(failed)?;
    found.map(|row| row.try_get(0).map(UserId::new).map_err(failed)).transpose()
}

/// Whether a user is somebody, or somebody is still wanted under his address; and is not disabled.
pub(super) async fn is_wanted(connection: &mut PgConnection, email: &EmailAddress, now: ServerTime) -> Done<bool> {
    let sql = "SELECT 1 FROM users u WHERE u.email_key = $1 AND u.disabled_at IS NULL AND (u.confirmed_at IS NOT NULL
                   OR EXISTS (SELECT FROM memberships m JOIN projects p ON p.id = m.project
                       WHERE m.user_id = u.id AND p.deleted_at IS NULL)
                   OR EXISTS (SELECT FROM invitations i JOIN projects p ON p.id = i.project
                       WHERE i.email_key = u.email_key AND i.status = 'pending' AND i.expires_at > $2
                           AND p.deleted_at IS NULL))";
    let select = sqlx::query(sql).bind(email.key()).bind(now.micros());
    Ok(select.fetch_optional(connection).await.map_err(failed)?.is_some())
}

/// Removes an account that is pending, once nothing refers to it any more. One that is disabled stays so.
pub(super) async fn drop_pending(connection: &mut PgConnection, user: UserId) -> Done<()> {
    // Locked by itself: what was decided meanwhile is seen only by the next statement.
    let sql = "SELECT FROM users WHERE id = $1 AND confirmed_at IS NULL AND disabled_at IS NULL FOR UPDATE";
    let locked = sqlx::query(sql).bind(user.get()).fetch_optional(&mut *connection).await.map_err(failed)?;
    if locked.is_none() {
        return Ok(());
    }
    let sql = "DELETE FROM users WHERE id = $1
                   AND NOT EXISTS (SELECT FROM memberships WHERE user_id = $1)
                   AND NOT EXISTS (SELECT FROM invitations i WHERE i.email_key = users.email_key
                       AND i.status = 'pending')
                   AND NOT EXISTS (SELECT FROM identities WHERE user_id = $1)
                   AND NOT EXISTS (SELECT FROM credentials WHERE user_id = $1)
                   AND NOT EXISTS (SELECT FROM refusals WHERE user_id = $1)
                   AND NOT EXISTS (SELECT FROM spaces WHERE owner = $1)
                   AND NOT EXISTS (SELECT FROM projects WHERE created_by = $1)
                   AND NOT EXISTS (SELECT FROM sign_ins WHERE user_id = $1)";
    sqlx::query(sql).bind(user.get()).execute(connection).await.map(drop).map_err(failed)
}

/// Whether a user is enabled, of one who is there.
pub(super) async fn standing(connection: &mut PgConnection, user: UserId) -> Done<Option<bool>> {
    let select = sqlx::query("SELECT disabled_at IS NULL FROM users WHERE id = $1").bind(user.get());
    let found = select.fetch_optional(connection).await.map_err(failed)?;
    found.map(|row| row.try_get(0).map_err(failed)).transpose()
}

/// Locks users, in the order that all do: until the transaction ends, nobody disables or removes them, and nothing else is
/// decided that is bounded for each user.
pub(super) async fn lock_users(connection: &mut PgConnection, users: &[UserId]) -> Done<()> {
    let ids: Vec<i64> = users.iter().map(|user| user.get()).collect();
    let lock = sqlx::query("SELECT FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE").bind(ids);
    lock.execute(connection).await.map(drop).map_err(failed)
}

/// Whether there is such a user who is not disabled: until the transaction ends, nobody disables him, and nothing else
/// is decided that is bounded for each user.
pub(super) async fn lock_enabled(connection: &mut PgConnection, user: UserId) -> Done<bool> {
    let sql = "SELECT disabled_at IS NULL FROM users WHERE id = $1 FOR NO KEY UPDATE";
    let found = sqlx::query(sql).bind(user.get()).fetch_optional(connection).await.map_err(failed)?;
    found.map_or(Ok(false), |row| row.try_get(0).map_err(failed))
}

/// Makes a user; `None` when the name or the address is taken.
pub(super) async fn make_user(
    connection: &mut PgConnection,
    id: UserId,
    name: &Name,
    email: Option<&EmailAddress>,
    created_at: ServerTime,
    confirmed_at: Option<ServerTime>,
) -> Done<Option<UserId>> {
    let sql = "INSERT INTO users (id, name, email, email_key, created_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT DO NOTHING";
    let (text, key) = (email.map(EmailAddress::as_str), email.map(EmailAddress::key));
    let insert = sqlx::query(sql).bind(id.get()).bind(name.as_str()).bind(text).bind(key);
    let insert = insert.bind(created_at.micros()).bind(confirmed_at.map(ServerTime::micros));
    let made = insert.execute(connection).await.map_err(failed)?.rows_affected();
    Ok((made > 0).then_some(id))
}

/// A user's number that nobody has and nobody gets.
pub(super) async fn next_user(connection: &mut PgConnection) -> Done<UserId> {
    let select = sqlx::query("SELECT nextval(pg_get_serial_sequence('users', 'id'))");
    let row = select.fetch_one(connection).await.map_err(failed)?;
    row.try_get(0).map(UserId::new).map_err(failed)
}

/// Makes the account of an address that has none.
///
/// # Errors
/// [`StoreError::Busy`] when another was faster.
pub(super) async fn make_account(
    connection: &mut PgConnection,
    email: &EmailAddress,
    now: ServerTime,
    confirmed_at: Option<ServerTime>,
) -> Done<UserId> {
    let next = next_user(connection).await?;
    for name in account_names(email, next) {
        if let Some(user) = make_user(connection, next, &name, Some(email), now, confirmed_at).await? {
            return Ok(user);
        }
        if user_of(connection, email).await?.is_some() {
            return Err(StoreError::Busy);
        }
    }
    Err(no_account_name())
}

pub(super) fn time(row: &PgRow, index: usize) -> Done<ServerTime> {
    row.try_get(index).map(ServerTime::from_micros).map_err(failed)
}

pub(super) fn maybe_time(row: &PgRow, index: usize) -> Done<Option<ServerTime>> {
    Ok(row.try_get::<Option<i64>, _>(index).map_err(failed)?.map(ServerTime::from_micros))
}
