//! The tries of a request: others may be faster, connections break, the database restarts.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres as Postgresql};
use tokio::time::error::Elapsed;
use tokio::time::sleep;

use super::connection::{acquire, is_transient};
use crate::StoreError;

/// Tries of one request: others may be faster, the database may be restarted meanwhile.
const TRIES_MAX: u32 = 12;
/// Before the second try after the database failed; each next one waits twice as long, up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_millis(1_000);

/// What came of one try.
pub(super) enum Try<T> {
    Done(T),
    /// Another was faster, or the database is another run: from the beginning.
    Again,
}

/// A connection in use.
pub(super) struct Lane {
    pub(super) connection: PoolConnection<Postgresql>,
}

impl Lane {
    pub(super) async fn of(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self { connection: acquire(pool).await? })
    }

    /// Gives the connection back, unless what was `tried` on it failed or got no answer: then it is not used again.
    pub(super) fn settle<T>(mut self, tried: Result<Result<T, StoreError>, Elapsed>) -> Result<T, StoreError> {
        let tried = tried.unwrap_or_else(|_| Err(StoreError::Unreachable("the database does not answer".into())));
        if matches!(tried, Err(StoreError::Unreachable(_))) {
            self.connection.close_on_drop();
        }
        tried
    }
}

/// The tries of one request.
pub(super) struct Retries {
    pub(super) count: u32,
    wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { count: 0, wait: RETRY_FIRST }
    }
}

impl Retries {
    /// What a try came to; `None` when it is to be tried again, after a wait if the database failed.
    pub(super) async fn weigh<T>(&mut self, tried: Result<Try<T>, StoreError>) -> Result<Option<T>, StoreError> {
        self.count += 1;
        match tried {
            Ok(Try::Done(done)) => Ok(Some(done)),
            Ok(Try::Again) if self.count < TRIES_MAX => Ok(None),
            Ok(Try::Again) => Err(StoreError::Busy),
            Err(error) if is_transient(&error) && self.count < TRIES_MAX => {
                tracing::warn!(%error, "the database failed; the request is tried again");
                sleep(self.wait).await;
                self.wait = (self.wait * 2).min(RETRY_LAST);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
