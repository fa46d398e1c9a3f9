//! One sync at a time, and the thread that syncs by itself.

use std::sync::mpsc::Receiver;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::support::{App, FakeServer, Fault, attach, held, problem, settings};
use tombolo_client::{Client, Error, ErrorKind, Report, State};

/// Longer than any test runs: what happens, happens because it was asked for.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

fn sync_elsewhere(client: &Client) -> JoinHandle<Result<Report, Error>> {
    let client = client.clone();
    Builder::new().spawn(move || client.sync_once()).unwrap()
}

/// Lets the next `count` requests of `server` say that they came.
fn watch(server: &FakeServer, count: usize) -> Vec<Receiver<()>> {
    let mut arrivals = Vec::new();
    for _ in 0..count {
        let (fault, arrival, go) = held();
        go.send(()).unwrap();
        server.fail([fault]);
        arrivals.push(arrival);
    }
    arrivals
}

/// Waits for a request. It ends by itself only where it would hang: no machine is as slow as that.
fn arrived(arrival: &Receiver<()>) {
    arrival.recv_timeout(Duration::from_secs(300)).unwrap();
}

#[test]
fn one_syncs_at_a_time_and_an_edit_meanwhile_is_not_lost() {
    let (server, app) = (FakeServer::start(), App::new());
    app.configure(&server);
    app.add(3, "first");
    let (fault, arrival, go) = held();
    server.fail([fault]);
    let syncing = sync_elsewhere(&app.client);
    arrived(&arrival);
    assert!(matches!(app.client.sync_once(), Err(Error::Busy)));
    // As another process of the app would.
    let other = attach(&app.path(), Duration::from_secs(1));
    assert!(matches!(other.sync_once(), Err(Error::Busy)));
    let status = app.client.status().unwrap();
    assert_eq!((status.state, status.pending, status.last_error), (State::InProgress, 1, None));
    app.database().execute("UPDATE moods SET note = 'second', updated_at = '2026-11-20 09:00:00'", ()).unwrap();
    go.send(()).unwrap();
    let report = syncing.join().unwrap().unwrap();
    assert_eq!((report.uploaded, report.pending), (2, 0));
    assert_eq!(server.with(|store| store.rows()), app.rows());
    assert_eq!(app.client.status().unwrap().state, State::Idle);
    other.sync_once().unwrap();
}

#[test]
fn who_configures_ends_a_sync_with_its_present_request() {
    let (server, other, app) = (FakeServer::start(), FakeServer::start(), App::new());
    app.configure(&server);
    app.add(3, "x");
    let (fault, arrival, go) = held();
    server.fail([fault]);
    let syncing = sync_elsewhere(&app.client);
    arrived(&arrival);
    let client = app.client.clone();
    let url = other.url();
    let configuring = Builder::new().spawn(move || client.configure_sync(settings(&url))).unwrap();
    // It cannot be over before the request is, which nobody answers yet.
    while !app.client.is_somebody_waiting() {
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    assert!(matches!(syncing.join().unwrap(), Err(Error::Interrupted)));
    configuring.join().unwrap().unwrap();
    assert_eq!(server.seen().len(), 1);
    app.client.sync_once().unwrap();
    assert_eq!(other.with(|store| store.rows()), app.rows());
}

#[test]
fn the_background_waits_for_a_key_and_is_woken() {
    let (server, app) = (FakeServer::start(), App::new());
    app.configure(&server);
    app.add(3, "x");
    let (fault, refused, go) = held();
    server.fail([fault, problem(401, "", "{}")]);
    let background = app.client.start(NEVER).unwrap();
    arrived(&refused);
    go.send(()).unwrap();
    while app.client.status().unwrap().last_error.is_none_or(|error| error.kind != ErrorKind::KeyRefused) {
        std::thread::yield_now();
    }
    let arrivals = watch(&server, 1);
    app.configure(&server);
    arrived(&arrivals[0]);
    let arrivals = watch(&server, 1);
    background.sync_now();
    arrived(&arrivals[0]);
    background.stop();
    assert_eq!(server.with(|store| store.rows()), app.rows());
}

#[test]
fn the_background_tries_again_by_itself_after_a_failure() {
    let (server, app) = (FakeServer::start(), App::new());
    app.configure(&server);
    app.add(3, "x");
    server.fail([problem(503, "retry-after: 0\r\n", "{}"), Fault::LostAnswer]);
    let arrivals = watch(&server, 2);
    let background = app.client.start(NEVER).unwrap();
    for arrival in arrivals {
        arrived(&arrival);
    }
    background.stop();
    assert_eq!((server.with(|store| store.rows()), app.client.status().unwrap().last_error), (app.rows(), None));
}

#[test]
fn a_background_that_is_dropped_ends_with_its_present_request() {
    let (server, app) = (FakeServer::start(), App::new());
    app.configure(&server);
    app.add(3, "x");
    let (fault, arrival, go) = held();
    server.fail([fault]);
    let background = app.client.start(NEVER).unwrap();
    arrived(&arrival);
    drop(background);
    go.send(()).unwrap();
    while app.client.status().unwrap().state == State::InProgress {
        std::thread::yield_now();
    }
    assert_eq!(server.seen().len(), 1);
    app.client.sync_once().unwrap();
}
