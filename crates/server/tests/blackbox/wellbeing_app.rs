//! An app with a database of its own, which the client library syncs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use tombolo_client::{ApiKey, Client, Column, Error, Report, Settings, Table};
use tombolo_testkit::transcript::uuid;
use tombolo_testkit::wellbeing::now_and;

/// What an activity says: its name, its color, its icon.
pub(crate) type Row = (String, String, String);

/// A device with the app on it.
pub(crate) struct App {
    pub(crate) path: PathBuf,
    pub(crate) client: Client,
    /// The app's own connection.
    pub(crate) own: Connection,
    /// How far its clock is off, in seconds.
    pub(crate) clock: i64,
}

impl App {
    /// An app that was used for a while, or not at all, and never synced.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.db"));
        let own = Connection::open(&path).unwrap();
        own.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        own.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS activities (
                 id TEXT PRIMARY KEY, name TEXT NOT NULL, color TEXT, icon TEXT,
                 updated_at TEXT NOT NULL, deleted_at TEXT
             );
             CREATE UNIQUE INDEX IF NOT EXISTS one_name ON activities (name) WHERE deleted_at IS NULL;",
        )
        .unwrap();
        let client = attach(&path);
        Self { path, client, own, clock: 0 }
    }

    /// The same, syncing with `server` as the user of `key`.
    pub(crate) fn syncing(folder: &Path, name: &str, server: &str, key: &str) -> Self {
        let app = Self::new(folder, name);
        app.configure(server, key);
        app
    }

    pub(crate) fn configure(&self, server: &str, key: &str) {
        let api_key = ApiKey::parse(key).unwrap();
        self.client.configure_sync(Settings { endpoint: server.to_owned(), api_key, device_id: None }).unwrap();
    }

    fn now(&self) -> String {
        now_and(self.clock)
    }

    /// Adds an activity.
    pub(crate) fn add(&self, name: &str, (label, color, icon): (&str, &str, &str)) {
        let sql = "INSERT INTO activities (id, name, color, icon, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.own.execute(sql, params![uuid(name), label, color, icon, self.now()]).unwrap();
    }

    /// Edits one column of an activity that is there; `false` when it is not.
    pub(crate) fn edit(&self, name: &str, column: &str, value: &str) -> bool {
        edit(&self.own, name, (column, value), &self.now()).unwrap()
    }

    /// Deletes an activity; `false` when it is not there.
    pub(crate) fn delete(&self, name: &str) -> bool {
        let sql = "UPDATE activities SET deleted_at = ?2, updated_at = ?2 WHERE id = ?1 AND deleted_at IS NULL";
        self.own.execute(sql, params![uuid(name), self.now()]).unwrap() == 1
    }

    /// The activities that are there, by id.
    pub(crate) fn rows(&self) -> BTreeMap<String, Row> {
        let sql = "SELECT id, name, coalesce(color, ''), coalesce(icon, '') FROM activities WHERE deleted_at IS NULL";
        let mut statement = self.own.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// What one of them says.
    pub(crate) fn row(&self, name: &str) -> Option<Row> {
        self.rows().remove(&uuid(name))
    }

    pub(crate) fn sync(&self) -> Result<Report, Error> {
        self.client.sync_once()
    }

    /// How many rows are still to be sent.
    pub(crate) fn pending(&self) -> u64 {
        self.client.status().unwrap().pending
    }

    /// Whether SQLite finds its database whole.
    pub(crate) fn is_whole(&self) -> bool {
        let check: String = self.own.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        check == "ok"
    }
}

fn edit(db: &Connection, name: &str, (column, value): (&str, &str), now: &str) -> rusqlite::Result<bool> {
    let sql = format!("UPDATE activities SET {column} = ?2, updated_at = ?3 WHERE id = ?1 AND deleted_at IS NULL");
    Ok(db.execute(&sql, params![uuid(name), value, now])? == 1)
}

/// Edits an activity beside whatever else has the database open; `false` when it is not there, or somebody is writing.
pub(crate) fn edit_beside(path: &Path, clock: i64, name: &str, column: &str, value: &str) -> bool {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(std::time::Duration::ZERO).unwrap();
    match edit(&db, name, (column, value), &now_and(clock)) {
        Ok(is_edited) => is_edited,
        Err(error) => {
            assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
            false
        }
    }
}

/// Attaches the library to the app's database.
pub(crate) fn attach(path: &Path) -> Client {
    let activities = Table::new("activities", "Activity")
        .column(Column::plain("name").field("label"))
        .column(Column::plain("color").field("color_hex"))
        .column(Column::plain("icon"))
        .unique_name("name");
    Client::attach(path, vec![activities]).unwrap()
}
