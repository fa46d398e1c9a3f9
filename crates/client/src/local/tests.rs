//! The rules of the local database, each on a file of its own.

mod crash;
mod declared;
mod edits;
mod names;
mod pages;
mod restored;
mod scale;
mod together;

use std::cell::Cell;
use std::collections::BTreeMap;

use rusqlite::{Connection, Params};
use tempfile::TempDir;
use tombolo_wellbeing::{Base, ConflictInfo, SyncChange, SyncDownloadResponse, SyncUploadResponse};

use super::{BatchBounds, Local};
use crate::table::{Column, Table};

thread_local! {
    static STEPS_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Lets the thread panic at the `steps`-th step from now on; never again for `None`.
fn arm(steps: Option<u64>) {
    STEPS_LEFT.set(steps);
}

pub(super) fn crash_if_armed() {
    let left = STEPS_LEFT.get();
    STEPS_LEFT.set(left.map(|left| left.saturating_sub(1)));
    assert!(left != Some(1), "the crash that was asked for");
}

const BOUNDS: BatchBounds = BatchBounds { changes_max: 100, bytes_max: 1 << 20 };

/// The app's tables: as small as such an app's can be.
const APP: &str = "
    CREATE TABLE moods (
        key INTEGER PRIMARY KEY, id TEXT UNIQUE, value INTEGER CHECK (value BETWEEN 1 AND 7), note TEXT, tags TEXT,
        weight REAL, done INTEGER NOT NULL DEFAULT 0, at TEXT,
        updated_at TEXT DEFAULT CURRENT_TIMESTAMP, deleted_at TEXT
    );
    CREATE TABLE activities (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, updated_at TEXT DEFAULT CURRENT_TIMESTAMP, deleted_at TEXT
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX names ON activities (name) WHERE deleted_at IS NULL;";

fn moods() -> Table {
    Table::new("moods", "MoodEntry")
        .column(Column::plain("value"))
        .column(Column::plain("note"))
        .column(Column::json("tags"))
        .column(Column::plain("weight"))
        .column(Column::boolean("done"))
        .column(Column::time("at").field("recorded_at"))
}

fn activities() -> Table {
    Table::new("activities", "Activity").column(Column::plain("name").field("label")).unique_name("name")
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// An app with its sync.
struct Device {
    folder: TempDir,
    app: Connection,
    local: Local,
}

impl Device {
    /// One that syncs.
    fn new() -> Self {
        let mut device = Self::off();
        device.local.begin_afresh().unwrap();
        device
    }

    /// One that does not yet.
    fn off() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = Connection::open(folder.path().join("app.db")).unwrap();
        app.execute_batch(APP).unwrap();
        let local = Local::attach(&folder.path().join("app.db"), vec![activities(), moods()]).unwrap();
        // No test pulls the plug, so none needs to wait for the disk.
        [&app, &local.db].into_iter().for_each(|db| db.pragma_update(None, "synchronous", false).unwrap());
        Self { folder, app, local }
    }

    /// As after a start of the app, which may declare other tables by now.
    fn restart(&mut self, tables: Vec<Table>) {
        self.local = Local::attach(&self.folder.path().join("app.db"), tables).unwrap();
        self.local.db.pragma_update(None, "synchronous", false).unwrap();
    }

    fn run(&self, sql: &str, params: impl Params) {
        assert!(self.app.execute(sql, params).unwrap() > 0, "nothing was changed by {sql}");
    }

    fn mood(&self, number: u32, value: i64, note: &str) {
        self.run("INSERT INTO moods (id, value, note) VALUES (?1, ?2, ?3)", (id(number), value, note));
    }

    fn activity(&self, number: u32, name: &str) {
        self.run("INSERT INTO activities (id, name) VALUES (?1, ?2)", (id(number), name));
    }

    /// What the query says, as text.
    fn read(&self, sql: &str) -> Vec<String> {
        let mut statement = self.app.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..columns).map(|at| match row.get_ref(at).unwrap() {
                rusqlite::types::ValueRef::Null => "-".to_owned(),
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Real(number) => format!("{number:?}"),
                rusqlite::types::ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:?}"),
            });
            Ok(cells.collect::<Vec<_>>().join(" "))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.read("SELECT name FROM activities WHERE deleted_at IS NULL ORDER BY id")
    }

    fn batch(&mut self) -> Vec<SyncChange> {
        self.local.next_batch(BOUNDS).unwrap()
    }

    fn pending(&self) -> u64 {
        self.local.pending_count().unwrap()
    }

    fn take(&mut self, changes: &[SyncChange]) {
        let page = SyncDownloadResponse { server_cursor: "c".to_owned(), changes: changes.to_vec(), has_more: false };
        self.local.apply_page(&page).unwrap();
    }

    /// Syncs until there is nothing to do.
    fn sync(&mut self, server: &mut Server) {
        for _ in 0..20 {
            let batch = self.batch();
            if batch.is_empty() {
                break;
            }
            let answer = server.upload_once(&batch);
            self.local.settle_batch(&answer).unwrap();
        }
        let cursor = self.local.standing().unwrap().cursor;
        let page = server.download(cursor.as_deref());
        self.local.apply_page(&page).unwrap();
    }
}

/// A change as a server tells of it.
fn told(number: u32, entity_type: &str, at: &str, version: &str, data: &str) -> SyncChange {
    let change = format!(
        r#"{{"entity_type":"{entity_type}","id":"{}","updated_at":"{at}","deleted":{},"data":{data},"version":"{version}"}}"#,
        id(number),
        data == "null",
    );
    serde_json::from_str(&change).unwrap()
}

fn mood_told(number: u32, version: &str, data: &str) -> SyncChange {
    told(number, "MoodEntry", "2026-11-20T20:00:00.000Z", version, data)
}

/// An answer that all of `batch` was stored, under versions that end with `mark`.
fn stored(batch: &[SyncChange], mark: &str) -> SyncUploadResponse {
    SyncUploadResponse {
        server_cursor: String::new(),
        applied_ids: batch.iter().map(|change| change.id).collect(),
        applied: Vec::new(),
        versions: batch.iter().map(|change| (change.id, format!("v{mark}"))).collect(),
        conflicts: Vec::new(),
    }
}

fn data(change: &SyncChange) -> serde_json::Value {
    serde_json::from_str(change.data.as_ref().map_or("null", |data| data.get())).unwrap()
}

/// A server as small as one can be: it merges by member, by the bases that it is told.
#[derive(Default)]
struct Server {
    /// All that was ever stored; a change's version is its place.
    log: Vec<SyncChange>,
    /// What each record is, by its place in the log.
    heads: BTreeMap<(String, uuid::Uuid), usize>,
}

impl Server {
    fn upload(&mut self, batch: &[SyncChange]) -> SyncUploadResponse {
        let mut answer = stored(batch, "");
        for change in batch {
            let key = (change.entity_type.as_str().to_owned(), change.id);
            let head = self.heads.get(&key).copied();
            let base = match &change.base {
                Base::Version(version) => version.parse::<usize>().ok().filter(|at| *at < self.log.len()),
                _ => None,
            };
            let own = self.log.len();
            self.log.push(change.clone());
            answer.versions.insert(change.id, own.to_string());
            self.heads.insert(key.clone(), own);
            let Some(head) = head.filter(|head| Some(*head) != base) else { continue };
            let merged = merge(base.map(|base| &self.log[base]), &self.log[head], change);
            let is_as_sent = data(&merged) == data(change);
            if !is_as_sent {
                self.heads.insert(key, self.log.len());
                self.log.push(merged);
            }
        }
        answer
    }

    /// Knows a change that it has already, and says of it what it said then.
    fn upload_once(&mut self, batch: &[SyncChange]) -> SyncUploadResponse {
        let text = |change: &SyncChange| serde_json::to_string(change).unwrap();
        let (known, new): (Vec<_>, Vec<_>) =
            batch.iter().cloned().partition(|change| self.place(&text(change)).is_some());
        let mut answer = self.upload(&new);
        for change in known {
            let place = self.place(&text(&change)).unwrap();
            answer.applied_ids.push(change.id);
            answer.versions.insert(change.id, place.to_string());
        }
        answer
    }

    fn place(&self, change: &str) -> Option<usize> {
        self.log.iter().position(|stored| serde_json::to_string(stored).unwrap() == change)
    }

    fn download(&self, cursor: Option<&str>) -> SyncDownloadResponse {
        let since = cursor.map_or(0, |cursor| cursor.parse::<usize>().unwrap());
        let new = self.heads.values().filter(|at| **at >= since);
        let changes =
            new.map(|at| SyncChange { version: Some(at.to_string()), base: Base::Unsaid, ..self.log[*at].clone() });
        SyncDownloadResponse { server_cursor: self.log.len().to_string(), changes: changes.collect(), has_more: false }
    }
}

fn merge(base: Option<&SyncChange>, head: &SyncChange, change: &SyncChange) -> SyncChange {
    let (later, earlier) = if change.updated_at > head.updated_at { (change, head) } else { (head, change) };
    let (Some(base), Some(mut members), Some(others)) =
        (base.map(data), data(later).as_object().cloned(), data(earlier).as_object().cloned())
    else {
        return later.clone();
    };
    for (name, value) in others {
        if members.get(&name) == base.get(&name) {
            members.insert(name, value);
        }
    }
    let data = serde_json::value::to_raw_value(&members).unwrap();
    SyncChange { data: Some(data), ..later.clone() }
}

/// An answer that one change was refused.
fn refused(change: &SyncChange, reason: &str) -> SyncUploadResponse {
    let conflict = ConflictInfo {
        entity_type: change.entity_type.to_string(),
        id: change.id.to_string(),
        reason: reason.to_owned(),
        server: None,
    };
    SyncUploadResponse { conflicts: vec![conflict], ..stored(&[], "") }
}
