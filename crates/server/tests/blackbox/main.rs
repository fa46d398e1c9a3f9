//! The real binary, seen from outside: what it says on the wire, what it keeps, how its commands answer.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod commands;
mod connections;
mod damage;
mod disk;
mod documented;
mod durability;
mod event_apps;
mod file;
mod limits;
mod metrics;
mod migrate;
mod replies;
mod requests;
mod rooms;
mod rooms_bounds;
mod sign_in;
mod simple_sync;
mod simple_sync_commands;
mod simple_sync_live;
mod simple_sync_people;
mod simple_sync_rules;
mod td_bounds;
mod td_live;
mod td_projects;
mod td_sync;
mod tokens;
mod transcripts;
mod wellbeing_app;
mod wellbeing_client;
mod wellbeing_devices;
mod wellbeing_failures;
mod wellbeing_restore;

use tombolo_testkit::served::{Install, Served};

/// The binary with a data folder of its own.
fn install() -> Install {
    Install::new(env!("CARGO_BIN_EXE_tombolo"))
}

/// A server with a data folder of its own.
fn serve() -> Served {
    install().serve()
}

/// What tells whether anything was written.
fn written(served: &Served) -> [u64; 2] {
    let database = served.install.database();
    let wal = database.with_extension("db-wal");
    [database, wal].map(|file| std::fs::metadata(file).map_or(0, |file| file.len()))
}

/// Whether a server that stopped left nothing to be done at the next start: its log file is folded in.
fn is_put_away(served: &Served) -> bool {
    let wal = served.install.database().with_extension("db-wal");
    std::fs::metadata(wal).map_or(0, |file| file.len()) == 0
}

/// How soon what came in by a key is closed when that is revoked.
const CLOSED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The present, as the database tells it, in microseconds.
const NOW: &str = "unixepoch() * 1000000";

/// Changes what is stored behind the server's back: one row.
fn alter(served: &Served, sql: &str) {
    let database = rusqlite::Connection::open(served.install.database()).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
}

/// Everything that is stored, to look for what must not be.
fn stored(served: &Served) -> Vec<u8> {
    let entries = std::fs::read_dir(served.install.data()).unwrap();
    entries.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}
