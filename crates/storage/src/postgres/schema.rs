//! The schema of the PostgreSQL database.

use sqlx::{Connection as _, Executor as _, Row as _};

use super::connection::failed;
use crate::StoreError;
use crate::migrations::pending;

/// Numbered, applied in order at start, never edited after release.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_people.sql"),
    include_str!("migrations/0003_entries.sql"),
    include_str!("migrations/0004_identities.sql"),
    include_str!("migrations/0005_rooms.sql"),
    include_str!("migrations/0006_replicas.sql"),
];

/// The advisory lock under which one node at a time brings the schema up: the letters "tombolo".
const LOCK: i64 = 0x74_6f6d_626f_6c6f;

/// Brings the schema up to this version, in one transaction.
///
/// # Errors
/// [`StoreError::Newer`] when a later version of Tombolo wrote the database: it is left as it is.
pub(crate) async fn migrate(connection: &mut sqlx::PgConnection) -> Result<(), StoreError> {
    // The usual start finds nothing to do, and takes no lock.
    if pending(version(connection).await?, MIGRATIONS)?.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await.map_err(failed)?;
    let found = version(&mut transaction).await?;
    let create = "CREATE TABLE IF NOT EXISTS tombolo_schema (version BIGINT NOT NULL)";
    transaction.execute(create).await.map_err(failed)?;
    for migration in pending(found, MIGRATIONS)? {
        transaction.execute(*migration).await.map_err(failed)?;
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.execute("DELETE FROM tombolo_schema").await.map_err(failed)?;
    let insert = sqlx::query("INSERT INTO tombolo_schema (version) VALUES ($1)").bind(known);
    insert.execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

async fn version(connection: &mut sqlx::PgConnection) -> Result<i64, StoreError> {
    // Asked of the catalogue as of now: a function that looks a name up may answer from before the lock was waited for.
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relname = 'tombolo_schema' AND n.nspname = current_schema())";
    let table = sqlx::query(sql).fetch_one(&mut *connection);
    if !table.await.map_err(failed)?.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(0);
    }
    let version = sqlx::query("SELECT coalesce(max(version), 0) FROM tombolo_schema").fetch_one(connection);
    version.await.map_err(failed)?.try_get(0).map_err(failed)
}
