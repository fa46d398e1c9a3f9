//! The client is killed at every step of a sync, and nothing is lost or sent twice.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{App, FakeServer, attach, open, rows, settings};

const STEP: &str = "TOMBOLO_TEST_KILL_STEP";
const DATABASE: &str = "TOMBOLO_TEST_KILL_DATABASE";
const SERVER: &str = "TOMBOLO_TEST_KILL_SERVER";
const MODE: &str = "TOMBOLO_TEST_KILL_MODE";

/// More steps than any of these syncs has: a sync that never ends is a bug.
const STEPS_MAX: u64 = 500;

/// The process that is killed: this same binary, with nothing but this test to run.
#[test]
fn the_child() {
    let Ok(step) = std::env::var(STEP) else { return };
    let [path, url, mode] = [DATABASE, SERVER, MODE].map(|name| std::env::var(name).unwrap());
    let client = attach(Path::new(&path), Duration::from_secs(30));
    tombolo_client::fault::arm(step.parse().unwrap());
    if mode == "configures" {
        client.configure_sync(settings(&url)).unwrap();
    }
    client.sync_once().unwrap();
    tombolo_client::fault::arm(0);
}

/// Syncs in a process that is killed at `step`; whether it got through before.
fn sync_killed_at(step: u64, path: &Path, server: &FakeServer, mode: &str) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "kill::the_child", "--nocapture"]).env(STEP, step.to_string());
    child.env(DATABASE, path).env(SERVER, server.url()).env(MODE, mode);
    let ended = child.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let was_killed = std::os::unix::process::ExitStatusExt::signal(&ended.status).is_some();
    assert!(was_killed || ended.status.success(), "step {step}: {}", String::from_utf8_lossy(&ended.stderr));
    !was_killed
}

/// What is as it was before: no page and no edit torn.
fn check_whole(step: u64, path: &Path, mine: &[String]) {
    let database = open(path);
    let integrity: String = database.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok", "step {step}");
    let found = rows(&database);
    for row in mine {
        assert!(found.contains(row), "step {step}: {row} is not in {found:?}");
    }
}

/// Kills a sync at each step of it, one after the other, until one gets through: each time on a database and a server
/// of its own, which `prepare` has brought to where the sync begins.
fn kill_everywhere(mode: &str, prepare: impl Fn(&App, &FakeServer)) {
    for step in 1..=STEPS_MAX {
        let (server, app) = (FakeServer::start(), App::new());
        prepare(&app, &server);
        let (before, stored) = (app.rows(), server.with(|store| store.stored()));
        let pending = app.client.status().unwrap().pending;
        let got_through = sync_killed_at(step, &app.path(), &server, mode);
        check_whole(step, &app.path(), &before);
        // A process of its own, as after a restart.
        let client = attach(&app.path(), Duration::from_secs(30));
        let left = client.status().unwrap();
        let was_settled = (server.with(|store| store.stored()) - stored) as u64;
        if left.enabled && mode == "syncs" {
            assert!(left.pending <= pending && left.pending + was_settled >= pending, "step {step}: {left:?}");
        }
        if !left.enabled || client.configuration().unwrap().is_none() {
            assert_eq!(mode, "configures", "step {step}");
            client.configure_sync(settings(&server.url())).unwrap();
        }
        client.sync_once().unwrap();
        let status = client.status().unwrap();
        assert_eq!((status.pending, status.set_aside, status.last_error), (0, 0, None), "step {step}");
        assert_eq!(app.rows(), server.with(|store| store.rows()), "step {step}");
        assert_eq!(server.with(|store| store.stored()) - stored, 3, "step {step}: each edit is stored once");
        if got_through {
            assert!(step > 10, "a sync has more steps than that");
            return;
        }
    }
    panic!("no end after {STEPS_MAX} steps");
}

#[test]
fn killed_in_a_first_sync() {
    kill_everywhere("configures", |app, server| {
        for value in 1..=3 {
            app.add(value, "mine");
        }
        server.with(|store| {
            store.page = 2;
            for value in 4..=7 {
                store.add(value, "theirs");
            }
        });
    });
}

#[test]
fn killed_in_a_later_sync() {
    kill_everywhere("syncs", |app, server| {
        let (one, two) = (app.add(1, "mine"), app.add(2, "mine"));
        app.configure(server);
        app.client.sync_once().unwrap();
        let change = |text: &str, id: uuid::Uuid| app.database().execute(text, [id.to_string()]).unwrap();
        change("UPDATE moods SET note = 'edited', updated_at = '2026-11-20 10:00:00' WHERE id = ?1", one);
        change(
            "UPDATE moods SET deleted_at = '2026-11-20 10:00:00', updated_at = '2026-11-20 10:00:00' WHERE id = ?1",
            two,
        );
        app.add(3, "mine");
        server.with(|store| {
            store.page = 2;
            for value in 4..=7 {
                store.add(value, "theirs");
            }
        });
    });
}
