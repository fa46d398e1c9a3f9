//! The sync's own tables in the app's database.

use rusqlite::{Connection, OptionalExtension};

use super::{LocalError, Standing};

/// How the tables below are laid out. A later version of this library brings an older layout up to date.
const LAYOUT: i64 = 1;

/// - `tombolo_state`: where the sync stands; one row. `last_cursor`: the last one that was held, while there is none.
/// - `tombolo_tables`: which fields of which tables were declared when their triggers were made.
/// - `tombolo_outbox`: rows with an edit that is still to be sent. `base` is what the device had in hand when the first of
///   the edits was made; `revision` rises with each. `own_time`: the row's own `updated_at` tells when the last was made,
///   else `changed_at` does. `removed`: the row was
///   deleted. `wanted` is the name that a row had before it was renamed by us, while nobody else edited it.
///   `refused`: why it is not sent until it is edited again.
/// - `tombolo_sent`: changes that are on their way, word for word, with the revision that each is of.
/// - `tombolo_rows`: what this device and the server last agreed on about a record: its version, when it was written and
///   what it said; nothing of what it said once it is gone.
/// - `tombolo_foreign`: records of kinds for which no table is declared.
/// - `tombolo_set_aside`: changes that the app's database refused.
/// - `tombolo_seen`: what was downloaded so far after the server had been set back.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS tombolo_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    layout INTEGER NOT NULL,
    tracking INTEGER NOT NULL DEFAULT 0,
    applying INTEGER NOT NULL DEFAULT 0,
    erased INTEGER NOT NULL DEFAULT 0,
    recovering INTEGER NOT NULL DEFAULT 0,
    cursor TEXT,
    last_cursor TEXT
);
CREATE TABLE IF NOT EXISTS tombolo_tables (
    entity_type TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY (entity_type, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombolo_outbox (
    entity_type TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    base TEXT,
    changed_at TEXT NOT NULL,
    own_time INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    wanted TEXT,
    refused TEXT,
    PRIMARY KEY (entity_type, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombolo_sent (
    entity_type TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, change TEXT NOT NULL,
    PRIMARY KEY (entity_type, id)
);
CREATE TABLE IF NOT EXISTS tombolo_rows (
    entity_type TEXT NOT NULL, id TEXT NOT NULL, version TEXT, written_at TEXT, data TEXT, gone INTEGER NOT NULL,
    PRIMARY KEY (entity_type, id)
);
CREATE TABLE IF NOT EXISTS tombolo_foreign (
    entity_type TEXT NOT NULL, id TEXT NOT NULL, change TEXT NOT NULL, PRIMARY KEY (entity_type, id)
);
CREATE TABLE IF NOT EXISTS tombolo_set_aside (
    entity_type TEXT NOT NULL, id TEXT NOT NULL, reason TEXT NOT NULL, change TEXT NOT NULL, tries INTEGER NOT NULL,
    PRIMARY KEY (entity_type, id)
);
CREATE TABLE IF NOT EXISTS tombolo_seen (
    entity_type TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (entity_type, id)
) WITHOUT ROWID;
";

/// Makes the tables that are missing.
pub(super) fn create(db: &Connection) -> Result<(), LocalError> {
    let is_there = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'tombolo_state')";
    if !db.query_row(is_there, [], |row| row.get::<_, bool>(0))? {
        db.execute_batch(TABLES)?;
        db.execute("INSERT INTO tombolo_state (one, layout) VALUES (1, ?1)", [LAYOUT])?;
    }
    let layout: Option<i64> = db.query_row("SELECT layout FROM tombolo_state", [], |row| row.get(0)).optional()?;
    if layout == Some(LAYOUT) {
        return Ok(());
    }
    let what = "a later version of this library made it: update the app".to_owned();
    Err(LocalError::Table { table: "tombolo_state".to_owned(), what })
}

/// Rises whenever anybody changes the schema.
pub(super) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))
}

pub(super) fn standing(db: &Connection) -> rusqlite::Result<Standing> {
    let mut statement = db.prepare_cached("SELECT cursor, last_cursor, erased FROM tombolo_state")?;
    statement.query_row([], |row| Ok(Standing { cursor: row.get(0)?, last_cursor: row.get(1)?, erased: row.get(2)? }))
}

/// Downloads from the beginning. Which log the device knew stays noted until it has a cursor again: no one else could say
/// that the log was erased meanwhile.
pub(super) fn forget_cursor(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE tombolo_state SET last_cursor = coalesce(cursor, last_cursor), cursor = NULL")?
        .execute([])?;
    Ok(())
}

/// Whether edits are tracked.
pub(super) fn is_tracking(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT tracking FROM tombolo_state")?.query_row([], |row| row.get(0))
}

/// Whether what the server lacks is to be offered to it once everything was downloaded.
pub(super) fn is_recovering(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT recovering FROM tombolo_state")?.query_row([], |row| row.get(0))
}

/// Says to the triggers whether what is written is a person's edit. Only inside a transaction: nobody else ever sees it set.
pub(super) fn set_applying(db: &Connection, applying: bool) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE tombolo_state SET applying = ?1")?.execute([applying])?;
    Ok(())
}
