//! Which rows have an edit that is still to be sent, and what the device and the server last agreed on.

use rusqlite::{Connection, OptionalExtension};
use tombolo_wellbeing::Timestamp;

use super::times;

/// A record: its kind, and its id as the app's table has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) entity_type: String,
    pub(super) id: String,
}

/// An edit, or several, that are still to be sent.
pub(super) struct Pending {
    pub(super) revision: i64,
    pub(super) base: Option<String>,
    pub(super) changed_at: String,
    pub(super) own_time: bool,
    pub(super) wanted: Option<String>,
    pub(super) is_on_its_way: bool,
}

/// What the device and the server last agreed on.
pub(super) struct Held {
    pub(super) version: Option<String>,
    pub(super) written_at: Option<String>,
    pub(super) data: Option<String>,
    pub(super) gone: bool,
}

/// The time of now, by the clock that the triggers use, in milliseconds.
pub(super) const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now')";

impl Pending {
    pub(super) fn load(db: &Connection, key: &Key) -> rusqlite::Result<Option<Self>> {
        let mut statement = db.prepare_cached(
            "SELECT revision, base, changed_at, own_time, wanted,
                    EXISTS (SELECT 1 FROM tombolo_sent s WHERE s.entity_type = o.entity_type AND s.id = o.id)
             FROM tombolo_outbox o WHERE entity_type = ?1 AND id = ?2",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                revision: row.get(0)?,
                base: row.get(1)?,
                changed_at: row.get(2)?,
                own_time: row.get(3)?,
                wanted: row.get(4)?,
                is_on_its_way: row.get(5)?,
            })
        };
        statement.query_row((&key.entity_type, &key.id), read).optional()
    }

    /// Whether nobody edited the row since we renamed it: what is downloaded may take its place.
    pub(super) const fn is_ours(&self) -> bool {
        self.wanted.is_some() && !self.is_on_its_way
    }

    pub(super) fn remove(db: &Connection, key: &Key) -> rusqlite::Result<()> {
        db.prepare_cached("DELETE FROM tombolo_outbox WHERE entity_type = ?1 AND id = ?2")?
            .execute((&key.entity_type, &key.id))?;
        Ok(())
    }

    /// Notes that the row has something to be sent that was made on `base` at the time `at`, or now; one of which this was
    /// noted before is left as it is.
    pub(super) fn offer(db: &Connection, key: &Key, base: Option<&str>, at: Option<&str>) -> rusqlite::Result<()> {
        let sql = "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed)
             VALUES (?1, ?2, 1, ?3, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now')), 0, 0) ON CONFLICT DO NOTHING";
        db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, base, at))?;
        Ok(())
    }

    /// Notes that the row is gone without a trigger having seen it go.
    pub(super) fn note_vanished(db: &Connection, key: &Key, base: Option<&str>) -> rusqlite::Result<()> {
        Self::offer(db, key, base, None)?;
        db.prepare_cached("UPDATE tombolo_outbox SET removed = 1 WHERE entity_type = ?1 AND id = ?2")?
            .execute((&key.entity_type, &key.id))?;
        Ok(())
    }

    /// Notes that we renamed the row, which was called `wanted`, on `base`.
    pub(super) fn note_rename(db: &Connection, key: &Key, base: Option<&str>, wanted: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed, wanted)
             VALUES (?1, ?2, 1, ?3, strftime('%Y-%m-%d %H:%M:%f', 'now'), 0, 0, ?4)
             ON CONFLICT (entity_type, id) DO UPDATE SET revision = revision + 1, changed_at = excluded.changed_at,
                own_time = 0, refused = NULL";
        db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, base, wanted))?;
        Ok(())
    }
}

impl Held {
    pub(super) fn load(db: &Connection, key: &Key) -> rusqlite::Result<Option<Self>> {
        let mut statement = db.prepare_cached(
            "SELECT version, written_at, data, gone FROM tombolo_rows WHERE entity_type = ?1 AND id = ?2",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self { version: row.get(0)?, written_at: row.get(1)?, data: row.get(2)?, gone: row.get(3)? })
        };
        statement.query_row((&key.entity_type, &key.id), read).optional()
    }

    /// Notes what both now agree on.
    pub(super) fn store(&self, db: &Connection, key: &Key) -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached(
            "INSERT OR REPLACE INTO tombolo_rows (entity_type, id, version, written_at, data, gone)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        statement.execute((&key.entity_type, &key.id, &self.version, &self.written_at, &self.data, self.gone))?;
        Ok(())
    }

    /// Forgets what the record said: it is about to be gone.
    pub(super) fn blank(db: &Connection, key: &Key) -> rusqlite::Result<()> {
        let sql = "UPDATE tombolo_rows SET data = NULL WHERE entity_type = ?1 AND id = ?2";
        db.prepare_cached(sql)?.execute((&key.entity_type, &key.id))?;
        Ok(())
    }

    /// Whether it was written after `moment`.
    pub(super) fn is_later_than(&self, moment: Timestamp) -> bool {
        self.written_at.as_deref().and_then(times::read).is_some_and(|written_at| written_at > moment)
    }
}
