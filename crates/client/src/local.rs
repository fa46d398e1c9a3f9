//! The app's own database, as the sync sees it: what is still to be sent, what arrived, and where both stand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use serde_json::value::RawValue;
use tombolo_wellbeing::{SyncChange, SyncDownloadResponse, SyncUploadResponse};

use crate::status::SetAside;
use crate::table::Table;

mod apply;
mod aside;
mod batch;
mod foreign;
mod outbox;
mod record;
mod resync;
mod row;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod times;
mod tracking;
mod triggers;
mod unique;
mod value;

use shape::Shape;

/// How long a statement waits for the app's own writes, which take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that stay prepared: about thirty, and ten for each table.
const STATEMENTS_MAX: usize = 200;

/// What went wrong with the app's database.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// SQLite said so.
    #[error("the app's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A table is not as it was declared.
    #[error("the table {table}: {what}")]
    Table {
        /// The table.
        table: String,
        /// What is not so.
        what: String,
    },
}

impl LocalError {
    /// What is kept in one of the sync's own tables cannot be read, or written.
    fn unreadable(table: &str) -> Self {
        Self::Table { table: table.to_owned(), what: "it holds what the sync did not write".to_owned() }
    }
}

/// Where the sync stands, as the database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where the next download resumes; `None` for the beginning.
    pub(crate) cursor: Option<String>,
    /// While that is the beginning: the last cursor that was held, as a proof of the log that the device knew.
    pub(crate) last_cursor: Option<String>,
    /// Whether the account's data were erased: nothing is uploaded until the sync is configured again.
    pub(crate) erased: bool,
}

/// How much of one upload goes into one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBounds {
    /// Changes, at most.
    pub(crate) changes_max: usize,
    /// Bytes of their data, at most; a single change may be larger.
    pub(crate) bytes_max: usize,
}

impl BatchBounds {
    fn rows_max(self) -> i64 {
        i64::try_from(self.changes_max).unwrap_or(i64::MAX)
    }
}

/// Why everything is downloaded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The server was set back: what it lacks is offered again once everything was downloaded.
    Restored,
    /// Any other reason.
    Other,
}

/// The app's database.
pub(crate) struct Local {
    db: Connection,
    tables: Vec<Table>,
    shapes: Arc<[Shape]>,
    /// The schema that `shapes` were held against; `None` when it may be another by now.
    schema: Option<i64>,
}

/// What the work of one transaction is done with.
struct Work<'a> {
    db: &'a Connection,
    shapes: &'a [Shape],
}

impl Work<'_> {
    fn shape(&self, entity_type: &str) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.entity_type.as_str() == entity_type)
    }

    /// What a statement that counts says.
    fn count(&self, sql: &str) -> rusqlite::Result<u64> {
        let count: i64 = self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

impl Local {
    /// Attaches to the database at `path`: makes the sync's own tables, or brings them and the triggers up to date with
    /// `tables`. Nothing is tracked before [`Self::begin_afresh`], and until then there are no triggers.
    ///
    /// # Errors
    /// [`LocalError::Table`] for the first table that is not as it was declared; [`LocalError::Sqlite`] when there is no
    /// such database, or it is busy for more than five seconds.
    pub(crate) fn attach(path: &Path, tables: Vec<Table>) -> Result<Self, LocalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Rows arrive in any order; the app's own connections enforce its references for its own writes.
        db.pragma_update(None, "foreign_keys", false)?;
        db.pragma_update(None, "recursive_triggers", false)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let mut local = Self { db, tables, shapes: Arc::new([]), schema: None };
        local.write(|_| Ok(()))?;
        Ok(local)
    }

    /// Does `work` in one transaction: all of it is done, or nothing.
    ///
    /// When the schema changed since the last, the tables are looked at again first, so that an app which alters them, or
    /// makes them anew, is not tracked by what they were.
    fn write<T>(&mut self, work: impl FnOnce(&Work<'_>) -> Result<T, LocalError>) -> Result<T, LocalError> {
        let known = self.schema.take();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_known = known == Some(schema::version(&transaction)?);
        let shapes: Arc<[Shape]> = if is_known {
            Arc::clone(&self.shapes)
        } else {
            schema::create(&transaction)?;
            shape::survey(&transaction, &self.tables)?.into()
        };
        let result = {
            let in_hand = Work { db: &transaction, shapes: &shapes };
            if !is_known && schema::is_tracking(&transaction)? {
                tracking::bring_up_to_date(&in_hand)?;
            }
            work(&in_hand)?
        };
        let version = schema::version(&transaction)?;
        step("before a commit");
        transaction.commit()?;
        step("after a commit");
        self.shapes = shapes;
        self.schema = Some(version);
        Ok(result)
    }

    fn at_hand(&self) -> Work<'_> {
        Work { db: &self.db, shapes: &self.shapes }
    }

    pub(crate) fn standing(&self) -> Result<Standing, LocalError> {
        Ok(schema::standing(&self.db)?)
    }

    /// Whether edits are tracked: what is configured beside a database that was made anew says nothing of it.
    pub(crate) fn is_tracking(&self) -> Result<bool, LocalError> {
        schema::is_tracking(&self.db).map_err(LocalError::from)
    }

    /// Starts without a cursor: whatever the tables hold is offered to the server, as new to it. From now on, edits are
    /// tracked.
    pub(crate) fn begin_afresh(&mut self) -> Result<(), LocalError> {
        self.write(resync::begin_afresh)
    }

    /// Stops tracking, and forgets where the sync stood. The app's rows stay.
    pub(crate) fn end(&mut self) -> Result<(), LocalError> {
        self.write(resync::end)
    }

    /// The next changes to send, noted as being on their way before this returns; those of a request whose answer never
    /// came are returned again, as they were. Empty when there is nothing to send.
    pub(crate) fn next_batch(&mut self, bounds: BatchBounds) -> Result<Vec<SyncChange>, LocalError> {
        self.write(|work| match may_sync(work)? {
            true => batch::next(work, bounds),
            false => Ok(Vec::new()),
        })
    }

    /// Takes the answer to the batch that is on its way: what was stored is no longer pending, unless it was edited
    /// meanwhile; what was refused is set aside with its reason until it is edited again.
    pub(crate) fn settle_batch(&mut self, answer: &SyncUploadResponse) -> Result<(), LocalError> {
        self.write(|work| if may_sync(work)? { batch::settle(work, answer) } else { Ok(()) })
    }

    /// Applies one page, with its cursor, in one transaction. Rows with an edit that was not sent yet stay as they are.
    /// How many rows it changed.
    pub(crate) fn apply_page(&mut self, page: &SyncDownloadResponse) -> Result<u64, LocalError> {
        self.write(|work| {
            let has_work = may_sync(work)? && !apply::is_idle(work, page)?;
            if has_work { apply::page(work, page) } else { Ok(0) }
        })
    }

    /// Starts again from the beginning.
    pub(crate) fn reset(&mut self, reset: Reset) -> Result<(), LocalError> {
        self.write(|work| resync::reset(work, reset))
    }

    /// Notes that the account's data were erased.
    pub(crate) fn note_erased(&mut self) -> Result<(), LocalError> {
        self.write(|work| Ok(work.db.execute("UPDATE tombolo_state SET erased = 1", []).map(|_| ())?))
    }

    /// Rows with an edit that is still to be sent.
    pub(crate) fn pending_count(&self) -> Result<u64, LocalError> {
        Ok(self.at_hand().count("SELECT count(*) FROM tombolo_outbox WHERE refused IS NULL")?)
    }

    /// Rows that were set aside: refused by the server, or refused by the app's own database when they arrived.
    pub(crate) fn set_aside_count(&self) -> Result<u64, LocalError> {
        if !schema::is_tracking(&self.db)? {
            return Ok(0);
        }
        let work = self.at_hand();
        aside::count(&work)
    }

    /// The first of these rows, with the reasons.
    pub(crate) fn set_aside(&self) -> Result<Vec<SetAside>, LocalError> {
        if !schema::is_tracking(&self.db)? {
            return Ok(Vec::new());
        }
        aside::list(&self.at_hand())
    }
}

/// Whether edits are tracked, and the account was not erased.
fn may_sync(work: &Work<'_>) -> Result<bool, LocalError> {
    Ok(schema::is_tracking(work.db)? && !schema::standing(work.db)?.erased)
}

/// A change that one of our tables holds.
fn read_change(table: &str, text: &str) -> Result<SyncChange, LocalError> {
    serde_json::from_str(text).map_err(|_| LocalError::unreadable(table))
}

fn write_change(change: &SyncChange) -> Result<String, LocalError> {
    serde_json::to_string(change).map_err(|_| LocalError::unreadable("tombolo_sent"))
}

/// What was composed, as a record's data.
fn raw(text: String) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text).map_err(|_| "it cannot be written as JSON".to_owned())
}

/// A place where a crash must do no harm.
fn step(name: &str) {
    crate::fault::step(name);
    #[cfg(test)]
    tests::crash_if_armed();
}
