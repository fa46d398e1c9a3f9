//! Records of kinds for which no table is declared: kept as they are.

use rusqlite::{Connection, OptionalExtension};
use tombolo_wellbeing::SyncChange;

use super::outbox::Key;
use super::{LocalError, read_change, write_change};

pub(super) fn load(db: &Connection, key: &Key) -> Result<Option<SyncChange>, LocalError> {
    let mut statement = db.prepare_cached("SELECT change FROM tombolo_foreign WHERE entity_type = ?1 AND id = ?2")?;
    let change: Option<String> = statement.query_row((&key.entity_type, &key.id), |row| row.get(0)).optional()?;
    change.map(|change| read_change("tombolo_foreign", &change)).transpose()
}

pub(super) fn store(db: &Connection, key: &Key, change: &SyncChange) -> Result<(), LocalError> {
    let sql = "INSERT OR REPLACE INTO tombolo_foreign VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, write_change(change)?))?;
    Ok(())
}
