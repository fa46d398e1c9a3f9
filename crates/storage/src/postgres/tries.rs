//! The tries of a request: others may be faster, connections break, the database restarts.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres as Postgresql};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::Postgres;
use super::connection::{acquire, is_transient};
use crate::StoreError;

/// Tries of one request: others may be faster, the database may be restarted meanwhile.
const TRIES_MAX: u32 = 12;
/// Before the second try after the database failed; each next one waits twice as long, up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_millis(1_000);

/// How long a request may take in all, its waits included, before its client is told to come again.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long one connection may be busy with a request. A server that is gone without a word would be waited for
/// for ever.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(8);
/// A node that stands still while it holds a space's row is cut off, so that the others go on; and nobody waits for the
/// row for longer than for a connection.
pub(super) const LOCKED_SETTINGS: &str =
    "SET LOCAL idle_in_transaction_session_timeout = '2s'; SET LOCAL lock_timeout = '5s'";

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

impl Postgres {
    /// Makes an attempt until it comes to something, each time on a connection of its own.
    pub(super) async fn tried<T>(
        &self,
        attempt: impl AsyncFn(&mut PgConnection) -> Result<Try<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let mut retries = Retries::default();
        loop {
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, attempt(&mut lane.connection)).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            if let Some(done) = retries.weigh(tried).await? {
                return Ok(done);
            }
        }
    }
}
