//! What came in: changes of others, written into the app's tables.

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{ErrorCode, params_from_iter};
use tombolo_wellbeing::{SyncChange, SyncDownloadResponse};

use super::outbox::{Held, Key, Pending};
use super::record::Members;
use super::row::Row;
use super::shape::{Shape, quoted};
use super::unique::{Sameness, clear_name};
use super::{LocalError, Work, foreign, read_change, resync, schema, step, times, unique, value, write_change};

/// Changes that were set aside and are tried again with one sync; those that were tried least come first.
const RETRIES_MAX: i64 = 1_000;

/// Why a change does not go into its table.
pub(super) enum WriteError {
    /// The app's database refuses this one: it is set aside.
    Refused(String),
    /// Anything else.
    Failed(LocalError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // What a constraint or the app's own trigger says names columns, no content.
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::Refused(error.to_string())
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// Applies one page, with its cursor. How many rows it changed.
pub(super) fn page(work: &Work<'_>, page: &SyncDownloadResponse) -> Result<u64, LocalError> {
    let is_recovering = schema::is_recovering(work.db)?;
    schema::set_applying(work.db, true)?;
    let mut applying = Applying::begin(work, is_recovering);
    for change in &page.changes {
        applying.take(change)?;
        step("a change was applied");
    }
    if !page.has_more {
        applying.retry_set_aside()?;
        unique::restore_names(work)?;
        if is_recovering {
            resync::offer_unseen(work)?;
        }
    }
    applying.restore_stamps()?;
    schema::set_applying(work.db, false)?;
    let mut resumes = work.db.prepare_cached("UPDATE tombolo_state SET cursor = ?1, last_cursor = NULL")?;
    resumes.execute([&page.server_cursor])?;
    step("a page was applied");
    Ok(applying.changed)
}

/// Whether applying `page` would change nothing.
pub(super) fn is_idle(work: &Work<'_>, page: &SyncDownloadResponse) -> Result<bool, LocalError> {
    let is_same = schema::standing(work.db)?.cursor.as_ref() == Some(&page.server_cursor);
    let mut waiting = work.db.prepare_cached(
        "SELECT recovering OR EXISTS (SELECT 1 FROM tombolo_set_aside)
            OR EXISTS (SELECT 1 FROM tombolo_outbox WHERE wanted IS NOT NULL) FROM tombolo_state",
    )?;
    Ok(is_same && page.changes.is_empty() && !waiting.query_row([], |row| row.get::<_, bool>(0))?)
}

/// Changes that are being applied.
pub(super) struct Applying<'a> {
    work: &'a Work<'a>,
    is_recovering: bool,
    /// Rows whose `updated_at` a trigger of the app changed: the table, the id, and what it was to be.
    restamped: Vec<(&'a Shape, String, String)>,
    /// Rows that are not as they were.
    changed: u64,
}

impl<'a> Applying<'a> {
    pub(super) fn begin(work: &'a Work<'a>, is_recovering: bool) -> Self {
        Self { work, is_recovering, restamped: Vec::new(), changed: 0 }
    }

    /// Applies `change`, unless its record has an edit that was not sent yet: then the server tells of it again after that.
    pub(super) fn take(&mut self, change: &SyncChange) -> Result<(), LocalError> {
        let db = self.work.db;
        let key =
            Key { entity_type: change.entity_type.as_str().to_owned(), id: change.id.as_hyphenated().to_string() };
        if self.is_recovering {
            let sql = "INSERT OR IGNORE INTO tombolo_seen VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute((&key.entity_type, &key.id))?;
        }
        let pending = Pending::load(db, &key)?;
        if pending.as_ref().is_some_and(|pending| !pending.is_ours()) {
            return Ok(());
        }
        let Some(shape) = self.work.shape(&key.entity_type) else { return self.keep_foreign(&key, change) };
        let held = Held::load(db, &key)?;
        if let Some(held) = &held {
            if held.version.is_some() && held.version == change.version {
                return Ok(());
            }
            if self.is_recovering && held.is_later_than(change.updated_at) {
                // What the server was set back to is older than what it once told: the later one is offered again.
                Pending::remove(db, &key)?;
                return Ok(Pending::offer(db, &key, None, held.written_at.as_deref())?);
            }
        }
        let row = Row::load(db, shape, &key.id)?;
        if let Some(held) = held.filter(|held| row.is_none() && !held.gone && !change.deleted) {
            return Ok(Pending::note_vanished(db, &key, held.version.as_deref())?);
        }
        if pending.is_some() {
            Pending::remove(db, &key)?;
        }
        match self.write(shape, &key, change, row.as_ref()) {
            Ok(()) => {
                self.changed += u64::from(row.is_some() || !change.deleted);
                Ok(())
            }
            Err(WriteError::Refused(reason)) => self.set_aside(&key, &reason, change),
            Err(WriteError::Failed(error)) => Err(error),
        }
    }

    fn keep_foreign(&self, key: &Key, change: &SyncChange) -> Result<(), LocalError> {
        let kept = foreign::load(self.work.db, key)?;
        if let Some(kept) = kept.filter(|kept| self.is_recovering && kept.updated_at > change.updated_at) {
            let written_at = times::write(kept.updated_at);
            return Ok(Pending::offer(self.work.db, key, None, written_at.as_deref())?);
        }
        foreign::store(self.work.db, key, change)
    }

    fn set_aside(&self, key: &Key, reason: &str, change: &SyncChange) -> Result<(), LocalError> {
        let sql = "INSERT INTO tombolo_set_aside VALUES (?1, ?2, ?3, ?4, 0)
             ON CONFLICT (entity_type, id) DO UPDATE SET reason = excluded.reason, change = excluded.change,
                tries = tries + 1";
        let change = write_change(change)?;
        self.work.db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, reason, change))?;
        Ok(())
    }

    fn write(&mut self, shape: &'a Shape, key: &Key, change: &SyncChange, row: Option<&Row>) -> Result<(), WriteError> {
        let refused = |what: &str| WriteError::Refused(what.to_owned());
        let stamp = times::write(change.updated_at).ok_or_else(|| refused("its time cannot be written"))?;
        let mut wanted = None;
        if change.deleted {
            if row.is_some() {
                self.delete(shape, key, &stamp)?;
            }
        } else {
            let data = change.data.as_ref().map(|data| data.get()).ok_or_else(|| refused("it says nothing"))?;
            wanted = self.put(shape, key, data, &stamp, row)?;
        }
        if shape.has_app_triggers {
            let mut statement = self.work.db.prepare_cached(&shape.sql.is_restamped)?;
            if statement.query_row([&key.id, &stamp], |row| row.get(0))? {
                self.restamped.push((shape, key.id.clone(), stamp.clone()));
            }
        }
        let held = Held {
            version: change.version.clone(),
            written_at: Some(stamp),
            data: change.data.as_ref().filter(|_| !change.deleted).map(|data| data.get().to_owned()),
            gone: change.deleted,
        };
        held.store(self.work.db, key)?;
        if let Some(wanted) = wanted {
            Pending::note_rename(self.work.db, key, held.version.as_deref(), &wanted)?;
        }
        let sql = "DELETE FROM tombolo_set_aside WHERE entity_type = ?1 AND id = ?2";
        self.work.db.prepare_cached(sql)?.execute((&key.entity_type, &key.id))?;
        Ok(())
    }

    /// Leaves the row no content, where the app's constraints allow that.
    fn delete(&self, shape: &Shape, key: &Key, stamp: &str) -> Result<(), WriteError> {
        let blanked = self.work.db.prepare_cached(&shape.sql.blank)?.execute([&key.id, stamp]);
        match blanked.map_err(WriteError::from) {
            Err(WriteError::Refused(_)) => {
                self.work.db.prepare_cached(&shape.sql.bury)?.execute([&key.id, stamp])?;
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Writes what the record says; the name that it should have, if it was given another.
    fn put(
        &self,
        shape: &Shape,
        key: &Key,
        data: &str,
        stamp: &str,
        row: Option<&Row>,
    ) -> Result<Option<String>, WriteError> {
        let mut cells = cells(shape, data)?;
        let mut wanted = clear_name(self.work, shape, key, &mut cells, Sameness::AsColumn)?;
        let written = self.write_cells(shape, key, &cells, stamp, row);
        let Err(WriteError::Refused(reason)) = written else { return written.map(|()| wanted) };
        // The app's index may call equal what the column does not: a name in capitals, for one.
        let again = clear_name(self.work, shape, key, &mut cells, Sameness::IgnoringCase)?;
        let is_settled = again.is_some() || unique::was_cleared(self.work, shape, key, &cells)?;
        if !is_settled {
            return Err(WriteError::Refused(reason));
        }
        wanted = wanted.or(again);
        self.write_cells(shape, key, &cells, stamp, row)?;
        Ok(wanted)
    }

    fn write_cells(
        &self,
        shape: &Shape,
        key: &Key,
        cells: &[Option<Value>],
        stamp: &str,
        row: Option<&Row>,
    ) -> Result<(), WriteError> {
        let head = [Value::Text(key.id.clone()), Value::Text(stamp.to_owned())];
        if let Some(row) = row {
            let absent = |at: usize| if shape.columns[at].not_null { row.cells[at].clone() } else { Value::Null };
            let cells = cells.iter().enumerate().map(|(at, cell)| cell.clone().unwrap_or_else(|| absent(at)));
            let values = head.into_iter().chain(cells);
            self.work.db.prepare_cached(&shape.sql.update)?.execute(params_from_iter(values))?;
            return Ok(());
        }
        // A column of which nothing is said is as a new row's.
        let said = || shape.columns.iter().zip(cells).filter_map(|(column, cell)| Some((column, cell.clone()?)));
        let names: String = said().map(|(column, _)| format!(", {}", quoted(&column.name))).collect();
        let holes: String = (3..said().count() + 3).map(|at| format!(", ?{at}")).collect();
        let [table, id, updated_at] = [&shape.table, &shape.id, &shape.updated_at].map(|name| quoted(name));
        let sql = format!("INSERT OR ABORT INTO main.{table} ({id}, {updated_at}{names}) VALUES (?1, ?2{holes})");
        let values = head.into_iter().chain(said().map(|(_, cell)| cell));
        self.work.db.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        Ok(())
    }

    fn retry_set_aside(&mut self) -> Result<(), LocalError> {
        let mut changes =
            self.work.db.prepare_cached("SELECT change FROM tombolo_set_aside ORDER BY tries LIMIT ?1")?;
        let changes = changes.query_map([RETRIES_MAX], |row| row.get::<_, String>(0))?;
        let is_recovering = std::mem::replace(&mut self.is_recovering, false);
        for change in changes.collect::<Result<Vec<_>, _>>()? {
            self.take(&read_change("tombolo_set_aside", &change)?)?;
        }
        self.is_recovering = is_recovering;
        Ok(())
    }

    /// Gives rows their `updated_at` back which triggers of the app changed, this time without those.
    pub(super) fn restore_stamps(&mut self) -> Result<(), LocalError> {
        if self.restamped.is_empty() {
            return Ok(());
        }
        self.work.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        let restored = self.restamped.drain(..).try_for_each(|(shape, id, stamp)| {
            self.work.db.prepare_cached(&shape.sql.restamp)?.execute([&id, &stamp]).map(|_| ())
        });
        self.work.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)?;
        Ok(restored?)
    }
}

/// What goes into each column; nothing for one of which the record says nothing.
fn cells(shape: &Shape, data: &str) -> Result<Vec<Option<Value>>, WriteError> {
    let members = Members::read(shape, data).ok_or_else(|| WriteError::Refused("it is no object".to_owned()))?;
    if members.is_sealed() && !shape.columns.iter().any(|column| column.field == "enc") {
        return Err(WriteError::Refused("it is encrypted, and this app does not read that".to_owned()));
    }
    let cell = |column: &super::shape::ShapeColumn| {
        let Some(member) = members.get(&column.field) else { return Ok(None) };
        let unfit = |unfit| WriteError::Refused(format!("the field {} {unfit}", column.field));
        value::kept(column.kind, member).map(Some).map_err(unfit)
    };
    shape.columns.iter().map(cell).collect()
}
