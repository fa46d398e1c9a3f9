//! The SQLite file, beside the server that writes to it.
//!
//! Every read is a short snapshot of its own, since a long one would keep the server from folding its log into the
//! file; every write is a short transaction, since the server waits for it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row as SqliteRow, ToSql, params_from_iter};
use tombolo_core::ServerTime;

use super::journal;
use super::tables::{self, CHANGES, Kind, Row, TABLES_AND_LOG, Table, Value};
use crate::StoreError;
use crate::postgres::unique_key;
use crate::sqlite::connection::{failed, migrate, open_writer};

/// Rows that are read at once.
pub(super) const ROWS_MAX: usize = 1_000;
/// Bytes after which no further row is read: payloads are large.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the name of the file whose lock a migration holds has after the database's.
const LOCK_SUFFIX: &str = "-migrate";

/// Between two tries to write. The server's transactions follow each other closely while it is busy, and leave a gap of
/// some microseconds only.
const RETRY_EVERY: Duration = Duration::from_micros(500);
/// Tries to write: about five seconds of them.
const TRIES_MAX: i32 = 10_000;

/// What was read at once, and where to go on; nowhere at the end of the table.
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<Row>,
}

/// An entry of the journal: that a row came, changed or went.
pub(super) struct Entry {
    pub(super) id: i64,
    /// The place of its table.
    pub(super) table: usize,
    /// The row's key as SQLite has it.
    pub(super) key: Row,
}

pub(super) struct Source {
    connection: Connection,
    /// Held until the migration ends, also when the process is killed.
    _lock: Lock,
}

/// The right to migrate a file; given up when dropped, also when the process is killed.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started by another thread may have the file open still.
        let _ = self.0.unlock();
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

impl Source {
    /// Opens the file, which must be there; `None` when another migration of it is under way.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Io(format!("there is no file {}", path.display()).into()));
        }
        let Some(lock) = lock(path).map_err(|error| StoreError::Io(Box::new(error)))? else { return Ok(None) };
        let mut connection = open_writer(path)?;
        let wait: fn(i32) -> bool = |tries| {
            std::thread::sleep(RETRY_EVERY);
            tries < TRIES_MAX
        };
        connection.busy_handler(Some(wait)).map_err(failed)?;
        migrate(&connection)?;
        Ok(Some(Self { connection, _lock: lock }))
    }

    /// The oldest generation's id, in hexadecimal digits: what tells this history from others. `None` where nothing was
    /// ever stored.
    pub(super) fn identity(&self) -> Result<Option<String>, StoreError> {
        self.one("SELECT lower(hex(id)) FROM generations ORDER BY ordinal LIMIT 1", &[], |row| row.get(0))
    }

    /// Where it was moved to, if it was.
    pub(super) fn moved(&self) -> Result<Option<String>, StoreError> {
        self.one("SELECT target FROM moved", &[], |row| row.get(0))
    }

    /// Says that it is moved: no transaction that begins after this one writes anything.
    pub(super) fn mark(&self, target: &str, now: ServerTime) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO moved (id, at, target) VALUES (1, ?1, ?2)";
            connection.execute(sql, rusqlite::params![now.micros(), target]).map(drop)
        })
    }

    /// Takes that back, and says whether there was something to take back.
    pub(super) fn unmark(&self) -> Result<bool, StoreError> {
        self.write(|connection| Ok(connection.execute("DELETE FROM moved", [])? > 0))
    }

    /// Begins a new journal: from now on each change of a row is noted, but for what the log grows by, by whichever process.
    pub(super) fn begin_journal(&self) -> Result<(), StoreError> {
        self.write(|connection| connection.execute_batch(&journal::create()))
    }

    /// Ends the journal, and forgets it; there need not be one.
    pub(super) fn end_journal(&self) -> Result<(), StoreError> {
        let there = "SELECT 1 FROM sqlite_schema WHERE name = 'moving'";
        if self.one(there, &[], |_| Ok(()))?.is_none() {
            return Ok(());
        }
        self.write(|connection| connection.execute_batch(&journal::remove()))
    }

    /// The journal's last entry.
    pub(super) fn journal_head(&self) -> Result<i64, StoreError> {
        Ok(self.one("SELECT max(id) FROM moving", &[], |row| row.get::<_, Option<i64>>(0))?.flatten().unwrap_or(0))
    }

    /// The journal's next entries after `after`.
    pub(super) fn journal(&self, after: i64) -> Result<Vec<Entry>, StoreError> {
        let sql = format!("SELECT id, name, key1, key2, key3 FROM moving WHERE id > ?1 ORDER BY id LIMIT {ROWS_MAX}");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query([after]).map_err(failed)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let name: String = row.get(1).map_err(failed)?;
            let table = tables::all().position(|table| table.name == name);
            let table = table.ok_or_else(|| StoreError::Corrupt("the journal names an unknown table".to_owned()))?;
            let columns = &tables::at(table).columns[..tables::at(table).key_len];
            let key = columns.iter().zip(2..).map(|(column, at)| value(row, at, column.kind));
            entries.push(Entry { id: row.get(0).map_err(failed)?, table, key: key.collect::<Result<_, _>>()? });
        }
        Ok(entries)
    }

    /// The next rows of `table` after the place `after`.
    pub(super) fn page(&self, table: &Table, after: Option<&Row>) -> Result<Page, StoreError> {
        let walk = table.names(table.walk.iter().copied(), "t.", ", ");
        let places = vec!["?"; table.walk.len()].join(", ");
        let condition = after.map_or_else(String::new, |_| format!("WHERE ({walk}) > ({places})"));
        let sql = format!("{} {condition} ORDER BY {walk} LIMIT {ROWS_MAX}", select(table));
        self.rows(table, &sql, after.map_or(&[], Vec::as_slice))
    }

    /// The next changes of a space.
    pub(super) fn changes(&self, space: i64, after: i64) -> Result<Page, StoreError> {
        let sql = format!("{} WHERE space = ?1 AND seq > ?2 ORDER BY seq LIMIT {ROWS_MAX}", select(&CHANGES));
        self.rows(&CHANGES, &sql, &[Value::Int(space), Value::Int(after)])
    }

    /// The row of this key, if it is there now.
    fn find(&self, table: &Table, key: &Row) -> Result<Option<Row>, StoreError> {
        let condition: Vec<_> =
            (0..table.key_len).map(|column| format!("{} = ?", sqlite_name(table, column))).collect();
        let sql = format!("{} WHERE {}", select(table), condition.join(" AND "));
        Ok(self.rows(table, &sql, key)?.rows.pop())
    }

    /// The rows of these keys that are there, of each table, in one snapshot.
    pub(super) fn find_all(
        &self,
        keys: &[BTreeSet<Row>; TABLES_AND_LOG],
    ) -> Result<[Vec<Row>; TABLES_AND_LOG], StoreError> {
        let snapshot = self.connection.unchecked_transaction().map_err(failed)?;
        let mut all: [Vec<Row>; TABLES_AND_LOG] = Default::default();
        for ((table, keys), rows) in tables::all().zip(keys).zip(&mut all) {
            for key in keys {
                rows.extend(self.find(table, key)?);
            }
        }
        snapshot.finish().map_err(failed)?;
        Ok(all)
    }

    /// How many rows `table` has.
    pub(super) fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let count = self.one(&format!("SELECT count(*) {}", from(table)), &[], |row| row.get::<_, i64>(0))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// The greatest number that `table` ever gave out: none is given out again, also when its row is gone.
    pub(super) fn greatest(&self, table: &str) -> Result<i64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let greatest = self.one(sql, &[Value::Text(table.to_owned())], |row| row.get(0))?;
        Ok(greatest.unwrap_or(0))
    }

    /// Each space with its log's head.
    pub(super) fn heads(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = "SELECT id, head_seq FROM spaces ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl FnOnce(&SqliteRow<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_row(params_from_iter(values), read).optional().map_err(failed)
    }

    fn rows(&self, table: &Table, sql: &str, values: &[Value]) -> Result<Page, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut found = statement.query(params_from_iter(values)).map_err(failed)?;
        let (mut page, mut read, mut bytes) = (Page { rows: Vec::new(), next: None }, 0, 0);
        while let Some(row) = found.next().map_err(failed)? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(row, at, column.kind));
            let mut row = values.collect::<Result<Row, _>>()?;
            read += 1;
            bytes += row.iter().map(Value::size_bytes).sum::<usize>();
            if read == ROWS_MAX || bytes >= BYTES_MAX {
                page.next = Some(table.place(&row));
            }
            if !self.is_superseded(table, &row)? {
                present(table, &mut row);
                page.rows.push(row);
            }
            if page.next.is_some() {
                break;
            }
        }
        Ok(page)
    }

    /// Whether a later row is the same as this one in PostgreSQL, which knows no zero in texts. They are few: only what
    /// devices sent has any, and of one user there are no more than [`tombolo_core::limits::REFUSALS_MAX`] rows.
    fn is_superseded(&self, table: &Table, row: &Row) -> Result<bool, StoreError> {
        let is_doubtful = |value: &Value| matches!(value, Value::Text(text) if text.contains(['\0', '\u{fffd}']));
        let Some(user) = table.user.filter(|_| table.name == "refusals" && row.iter().any(is_doubtful)) else {
            return Ok(false);
        };
        let sql = format!("{} WHERE user_id = ?1 AND id > ?2", select(table));
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let mut later = statement.query(params_from_iter([&row[user], &row[0]])).map_err(failed)?;
        let unique = table.uniques[0];
        let shown = |row: &Row| -> Row { unique.iter().map(|column| without_zero(row[*column].clone())).collect() };
        while let Some(other) = later.next().map_err(failed)? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(other, at, column.kind));
            if shown(&values.collect::<Result<Row, _>>()?) == shown(row) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        let done = work(&self.connection).map_err(failed);
        let ended = self.connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(failed);
        let is_open = !self.connection.is_autocommit();
        if is_open {
            // A commit that the disk refused; what failed is told, not how it was undone.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done.and_then(|done| ended.map(|()| done))
    }
}

/// Locks a file beside the database, which SQLite locks in its own ways. It stays: who deletes it could take it from
/// under another's lock.
fn lock(path: &Path) -> std::io::Result<Option<Lock>> {
    let mut name = path.as_os_str().to_owned();
    name.push(LOCK_SUFFIX);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A row, or its key, as PostgreSQL has it.
pub(super) fn present(table: &Table, row: &mut Row) {
    for value in row.iter_mut() {
        *value = without_zero(std::mem::replace(value, Value::Null));
    }
    if let Some(Value::Blob(long)) = table.shortened.map(|column| &mut row[column]) {
        *long = unique_key(long);
    }
}

/// PostgreSQL's text holds no zero byte; what a device sent may.
fn without_zero(value: Value) -> Value {
    match value {
        Value::Text(text) if text.contains('\0') => Value::Text(text.replace('\0', "\u{fffd}")),
        other => other,
    }
}

fn value(row: &SqliteRow<'_>, at: usize, kind: Kind) -> Result<Value, StoreError> {
    match (kind, row.get_ref(at).map_err(failed)?) {
        (_, ValueRef::Null) => Ok(Value::Null),
        (Kind::Int, ValueRef::Integer(int)) => Ok(Value::Int(int)),
        (Kind::Text, ValueRef::Text(text)) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(StoreError::Corrupt("a text is not UTF-8: run 'tombolo check'".to_owned())),
        },
        (Kind::Blob, ValueRef::Blob(blob)) => Ok(Value::Blob(blob.to_vec())),
        _ => Err(StoreError::Corrupt("a column holds another type: run 'tombolo check'".to_owned())),
    }
}

fn sqlite_name(table: &Table, column: usize) -> String {
    let prefix = if column == 0 && table.space_in.is_some() { "owner" } else { "t" };
    format!("{prefix}.{}", table.columns[column].name)
}

/// A table with what its rows belong to. One whose replica was removed in the meantime belongs to nothing: nobody finds
/// it any more, and it stays behind.
fn from(table: &Table) -> String {
    let name = table.name;
    // CROSS tells SQLite to read the table in the order of its own key.
    let owner = |(owner, by)| format!(" CROSS JOIN {owner} owner ON owner.id = t.{by}");
    format!("FROM {name} t{}", table.space_in.map_or_else(String::new, owner))
}

fn select(table: &Table) -> String {
    let columns: Vec<_> = (0..table.columns.len()).map(|column| sqlite_name(table, column)).collect();
    format!("SELECT {} {}", columns.join(", "), from(table))
}
