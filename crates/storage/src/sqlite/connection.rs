//! Opening connections, the schema's migrations, and what SQLite's errors mean here.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::migrations::pending;

/// Numbered, applied in order at start, never edited after release.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_moved.sql"),
    include_str!("migrations/0003_people.sql"),
    include_str!("migrations/0004_entries.sql"),
    include_str!("migrations/0005_identities.sql"),
    include_str!("migrations/0006_rooms.sql"),
    include_str!("migrations/0007_replicas.sql"),
];

/// How long a statement waits for another process that holds the database: the command line's writes take milliseconds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages kept in memory per connection, in KiB: heads and inner nodes of a busy space; more is left to the file cache.
const CACHE_KIB: i64 = 2_048;

/// Statements that stay prepared: there are about a hundred and sixty.
const STATEMENTS_MAX: usize = 200;

/// Opens the database for writing, and makes it when it is missing, readable by its owner only.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
    // Checkpoints run beside the commits, not inside them: see checkpoint.rs.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = ON;").map_err(failed)?;
    // What is deleted is overwritten, always: a page that is split or joined otherwise leaves copies behind that a later
    // deletion does not know of. See sweep.rs for what stays all the same.
    connection.execute_batch("PRAGMA secure_delete = ON;").map_err(failed)?;
    Ok(connection)
}

/// Opens the database for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Plans do not depend on the values bound: without this, SQLite prepares many statements anew at each execution,
    // which is a third of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)
}

#[cfg(unix)]
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    // SQLite gives its -wal and -shm files the mode of the database.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    ignore_existing(made)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> Result<(), StoreError> {
    ignore_existing(OpenOptions::new().write(true).create_new(true).open(path))
}

fn ignore_existing(made: std::io::Result<std::fs::File>) -> Result<(), StoreError> {
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Err(StoreError::Full),
        Err(error) => Err(StoreError::Io(Box::new(error))),
    }
}

/// Brings the schema up to this version.
///
/// # Errors
/// [`StoreError::Newer`] when a later version of Tombolo wrote the database: it is left as it is.
pub(crate) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(failed);
    if pending(version()?, MIGRATIONS)?.is_empty() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let migrated = version().and_then(|found| {
        for migration in pending(found, MIGRATIONS)? {
            connection.execute_batch(migration).map_err(failed)?;
        }
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        connection.pragma_update(None, "user_version", known).map_err(failed)
    });
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute_batch(end).map_err(failed);
    migrated.and(ended)
}

/// Refuses a database that was moved to another one. Asked inside each transaction of a server, since another process
/// sets the mark: what began before it is copied, what begins after it is told to come again.
///
/// # Errors
/// [`StoreError::Moved`] when it was.
pub(super) fn refuse_moved(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM moved").map_err(failed)?;
    if statement.exists([]).map_err(failed)? { Err(StoreError::Moved) } else { Ok(()) }
}

/// What an error of SQLite means to the caller.
pub(crate) fn failed(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::NoLargeFileSupport,
        ) => StoreError::Io(Box::new(error)),
        _ => match error {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt(error.to_string()),
            error => StoreError::Internal(error.to_string()),
        },
    }
}
