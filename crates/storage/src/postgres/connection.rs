//! The pool of connections, and what PostgreSQL's errors mean here.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _, PgPool, Postgres};

use crate::StoreError;

/// How long a request waits for a connection before it is told to come again: less than a client waits for an answer.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// A connection that nobody needed for this long is closed: an idle node keeps one, for notifications.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long a connection lives: so that a pool behind a balancer moves to servers that were added.
const LIFE_MAX: Duration = Duration::from_secs(1_800);
/// Statements that stay prepared on each connection: about as many texts as the store puts together.
const STATEMENTS_MAX: usize = 200;

/// What every connection is told. All that we ask is looked up by keys: a plan that was made while a table was small
/// must serve when it is large, and a scan or a hash of a whole table never does. Plans that depend on the values bound
/// would be made anew at each execution, which takes longer than most of our statements; compiling one takes longer
/// than any.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off";

/// What a statement that is to be acknowledged returns beside the rest: a database that was told to acknowledge before
/// its disk does is made to wait, for this transaction.
pub(super) const WAIT_FOR_DISK: &str = "CASE current_setting('synchronous_commit')
    WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END";

/// Where a PostgreSQL is.
#[derive(Clone)]
pub struct Url {
    options: PgConnectOptions,
    shown: String,
}

/// A text that is no URL of a PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no URL such as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full")]
pub struct UrlError;

/// The parameters that a URL may have.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

impl Url {
    /// Reads `postgres://…` or `postgresql://…`. What it leaves out is taken from the variables that PostgreSQL's own
    /// programs read (`PGHOST`, `PGUSER`, `PGPASSWORD` and so on) and from `~/.pgpass`.
    ///
    /// # Errors
    /// [`UrlError`] when it is no such URL, or has a parameter that is not known; it says nothing of the password.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if !Self::is_one(text) {
            return Err(UrlError);
        }
        let (_, query) = text.split_once('?').unwrap_or((text, ""));
        let is_known = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default();
            PARAMETERS.contains(&name) || name.starts_with("options[") || name.starts_with("options%5B")
        };
        if !query.split('&').filter(|pair| !pair.is_empty()).all(is_known) {
            return Err(UrlError);
        }
        // A capacity that the URL names stands over ours.
        let options = PgConnectOptions::from_str(text).map_err(|_| UrlError)?.disable_statement_logging();
        let has_capacity = query.contains("statement-cache-capacity=");
        let options = if has_capacity { options } else { options.statement_cache_capacity(STATEMENTS_MAX) };
        let host =
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let shown = format!("postgres://{host}/{database}");
        Ok(Self { options, shown })
    }

    /// Whether `text` means to be one.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl std::fmt::Display for Url {
    /// Host and database: what may be shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A pool, which connects when it is first used.
pub(crate) fn pool(url: &Url, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_MAX)
        .idle_timeout(IDLE_MAX)
        .max_lifetime(LIFE_MAX)
        // A question before each use would take as long as the use; a connection that is gone is noticed, and the
        // request goes to another.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SETTINGS).await.map(drop) }))
        .connect_lazy_with(url.options().clone())
}

pub(crate) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, StoreError> {
    pool.acquire().await.map_err(failed)
}

/// What an error of PostgreSQL means to the caller.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::PoolClosed => StoreError::Closed,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            StoreError::Unreachable(error.to_string().into())
        }
        sqlx::Error::Database(database) => by_state(&database.code().unwrap_or_default(), &**database),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Internal(error.to_string()),
    }
}

/// What an error means to who writes what must be unique, and has seen that it is: another was faster.
pub(super) fn faster(error: sqlx::Error) -> StoreError {
    let is_taken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    if is_taken { StoreError::Busy } else { failed(error) }
}

fn by_state(state: &str, error: &dyn sqlx::error::DatabaseError) -> StoreError {
    // The message alone: its details may hold values.
    let message = error.message().to_owned();
    match state {
        // Serialisation failures, deadlocks, locks that were waited for too long; a statement that was cancelled.
        "40001" | "40P01" | "55P03" | "57014" => StoreError::Busy,
        // Too many connections.
        "53300" => StoreError::Busy,
        "53100" => StoreError::Full,
        "53000" | "53200" => StoreError::Io(message.into()),
        // Damage that PostgreSQL itself found.
        "XX001" | "XX002" => StoreError::Corrupt(message),
        // Read-only: a standby, or a server that an administrator closed to writes.
        "25006" => StoreError::Unreachable(message.into()),
        // I/O errors of the server.
        "58030" | "58000" => StoreError::Io(message.into()),
        _ => match state.get(..2) {
            // Connection exceptions, a server that starts or stops, wrong credentials, no such database.
            Some("08" | "57" | "28" | "3D") => StoreError::Unreachable(message.into()),
            _ => StoreError::Internal(format!("{message} ({state})")),
        },
    }
}

/// Whether the same work may be tried again at once: the connection broke, or others were in the way.
pub(super) fn is_transient(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreachable(_) | StoreError::Busy)
}
