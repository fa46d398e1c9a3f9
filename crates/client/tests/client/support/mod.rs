//! What the tests of the client need: an app with a database, and a server that does as it is told.

mod server;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tombolo_client::{ApiKey, Client, Column, Options, Settings, Table};

pub(crate) use server::{FakeServer, Fault, held, json, problem};
pub(crate) use store::Store;

pub(crate) const KEY: &str = "wb_0123456789abcdef0123456789abcdef";

pub(crate) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS moods (
    id TEXT PRIMARY KEY, value INTEGER NOT NULL, scale INTEGER NOT NULL DEFAULT 7, note TEXT,
    recorded_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleted_at TEXT)";

/// An app with a table of moods.
pub(crate) struct App {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: Client,
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with_timeout(Duration::from_secs(30))
    }

    pub(crate) fn with_timeout(request_timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = attach(&folder.path().join("app.db"), request_timeout);
        Self { folder, client }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub(crate) fn database(&self) -> Connection {
        open(&self.path())
    }

    pub(crate) fn configure(&self, server: &FakeServer) {
        self.client.configure_sync(settings(&server.url())).unwrap();
    }

    pub(crate) fn add(&self, value: i64, note: &str) -> uuid::Uuid {
        add(&self.database(), value, note)
    }

    /// Every row, as text, in the order of the ids.
    pub(crate) fn rows(&self) -> Vec<String> {
        rows(&self.database())
    }
}

pub(crate) fn settings(url: &str) -> Settings {
    Settings { endpoint: url.to_owned(), api_key: ApiKey::parse(KEY).unwrap(), device_id: None }
}

pub(crate) fn moods() -> Table {
    let table = Table::new("moods", "MoodEntry").column(Column::plain("value")).column(Column::plain("scale"));
    table.column(Column::plain("note")).column(Column::time("recorded_at"))
}

pub(crate) fn attach(path: &Path, request_timeout: Duration) -> Client {
    open(path).execute_batch(SCHEMA).unwrap();
    Client::attach_with(path, vec![moods()], Options { request_timeout, ..Options::default() }).unwrap()
}

pub(crate) fn open(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database
}

pub(crate) fn add(database: &Connection, value: i64, note: &str) -> uuid::Uuid {
    let id = store::random_id();
    database
        .execute(
            "INSERT INTO moods (id, value, note, recorded_at, updated_at)
             VALUES (?1, ?2, ?3, '2026-11-20 08:00:00', '2026-11-20 08:00:00')",
            (id.to_string(), value, note),
        )
        .unwrap();
    id
}

pub(crate) fn rows(database: &Connection) -> Vec<String> {
    // Of one that is gone, nothing else counts.
    let text =
        "SELECT id || CASE WHEN deleted_at IS NULL THEN '|' || value || '|' || coalesce(note, '-') ELSE ' gone' END
                FROM moods ORDER BY id";
    let mut statement = database.prepare(text).unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
