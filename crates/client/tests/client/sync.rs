//! What a sync does while all is well, and what it does about a server that says to start again.

use std::time::Duration;

use crate::support::{App, FakeServer, Fault, KEY, problem, settings};
use tombolo_client::{Error, ErrorKind, State};

/// Two devices of one account.
fn pair() -> (FakeServer, App, App) {
    let (server, one, two) = (FakeServer::start(), App::new(), App::new());
    one.configure(&server);
    two.configure(&server);
    (server, one, two)
}

fn uploads(server: &FakeServer) -> Vec<usize> {
    let changes =
        |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["changes"].as_array().map(Vec::len);
    server.seen().iter().filter_map(|seen| changes(&seen.body)).collect()
}

#[test]
fn two_devices_come_to_have_the_same() {
    let (server, one, two) = pair();
    let (mine, _) = (one.add(3, "one"), two.add(4, "two"));
    let report = one.client.sync_once().unwrap();
    assert_eq!((report.uploaded, report.downloaded), (1, 0), "what one sent is no news to it");
    let report = two.client.sync_once().unwrap();
    assert_eq!((report.uploaded, report.downloaded, report.pending, report.set_aside), (1, 1, 0, 0));
    one.client.sync_once().unwrap();
    assert_eq!(one.rows(), two.rows());
    one.database()
        .execute(
            "UPDATE moods SET note = 'edited', updated_at = '2026-11-20 09:00:00' WHERE id = ?1",
            [mine.to_string()],
        )
        .unwrap();
    two.database().execute("DELETE FROM moods WHERE id <> ?1", [mine.to_string()]).unwrap();
    for app in [&one, &two, &one] {
        app.client.sync_once().unwrap();
    }
    let live = |app: &App| app.rows().into_iter().filter(|row| !row.ends_with(" gone")).collect::<Vec<_>>();
    assert_eq!(live(&one), [format!("{mine}|3|edited")]);
    assert_eq!(live(&one), live(&two));
    // Nothing is sent that came from there.
    server.seen();
    for app in [&one, &two] {
        assert_eq!(app.client.sync_once().unwrap().uploaded, 0);
    }
    assert_eq!(uploads(&server), [0; 0]);
    assert_eq!(server.with(|store| store.stored()), 4);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let (server, one, _) = pair();
    let id = one.add(3, "one");
    server.fail([Fault::LostAnswer, Fault::HalfAnswer]);
    for _ in 0..2 {
        assert_eq!(one.client.sync_once().unwrap_err().kind(), ErrorKind::Network);
    }
    // What is edited meanwhile goes after what was on its way, and not in its place.
    one.database().execute("UPDATE moods SET note = 'later', updated_at = '2026-11-20 09:00:00'", ()).unwrap();
    one.client.sync_once().unwrap();
    assert_eq!(server.with(|store| (store.repeats, store.stored())), (2, 2));
    assert_eq!(server.with(|store| store.rows()), [format!("{id}|3|later")]);
    assert_eq!(one.client.status().unwrap().pending, 0);
}

#[test]
fn many_rows_go_in_batches_and_come_in_pages() {
    let (server, one, two) = pair();
    let database = one.database();
    database.execute_batch("BEGIN").unwrap();
    for value in 0..2_500 {
        crate::support::add(&database, value % 7 + 1, "x");
    }
    database.execute_batch("COMMIT").unwrap();
    one.client.sync_once().unwrap();
    assert_eq!(uploads(&server), [1_000, 1_000, 500]);
    server.with(|store| store.page = 400);
    let report = two.client.sync_once().unwrap();
    assert_eq!((report.downloaded, server.seen().len()), (2_500, 7));
    assert_eq!(one.rows(), two.rows());
}

#[test]
fn what_is_too_large_goes_in_halves_and_what_stays_too_large_is_set_aside() {
    let (server, one, _) = pair();
    for _ in 0..8 {
        one.add(3, "x");
    }
    server.with(|store| store.changes_max = 3);
    assert_eq!(one.client.sync_once().unwrap().uploaded, 8);
    assert_eq!(uploads(&server), [8, 4, 2, 2, 4, 2, 2]);
    one.add(4, "huge");
    server.with(|store| store.changes_max = 0);
    let report = one.client.sync_once().unwrap();
    assert_eq!((report.refused, report.set_aside, report.pending), (1, 1, 0));
}

#[test]
fn one_refused_row_holds_up_nothing() {
    let (server, one, _) = pair();
    let refused = one.add(0, "no mood is that bad");
    one.add(3, "x");
    let report = one.client.sync_once().unwrap();
    assert_eq!((report.uploaded, report.refused, report.set_aside, report.pending), (1, 1, 1, 0));
    let aside = serde_json::to_value(one.client.set_aside().unwrap()).unwrap();
    let reason = "invalid: a mood is 1 to 7";
    assert_eq!(aside, serde_json::json!([{"entity_type": "MoodEntry", "id": refused, "reason": reason}]));
    one.database()
        .execute("UPDATE moods SET value = 1, updated_at = '2026-11-20 09:00:00' WHERE value = 0", ())
        .unwrap();
    assert_eq!(one.client.sync_once().unwrap().uploaded, 1);
    assert_eq!((one.client.status().unwrap().set_aside, one.client.set_aside().unwrap().len()), (0, 0));
    assert_eq!(server.with(|store| store.rows()), one.rows());
}

#[test]
fn a_server_that_was_set_back_is_given_what_it_lacks() {
    let (server, one, _) = pair();
    one.add(3, "kept");
    one.client.sync_once().unwrap();
    server.with(|store| {
        *store = crate::support::Store::of(2);
        store.add(6, "of another device")
    });
    one.add(4, "new");
    one.client.sync_once().unwrap();
    assert_eq!((server.with(|store| store.rows()), one.rows().len()), (one.rows(), 3));
    assert_eq!(one.client.status().unwrap().pending, 0);
}

#[test]
fn a_new_start_is_made_once_in_a_sync() {
    let (server, one, _) = pair();
    let reset = |reason: &str| problem(409, "", &format!(r#"{{"code":"cursor_reset","reason":"{reason}"}}"#));
    for reason in ["restored", "other_account", "ahead", "unreadable", "of a later version"] {
        one.add(3, reason);
        server.fail([reset(reason)]);
        one.client.sync_once().expect(reason);
        assert_eq!(server.with(|store| store.rows()), one.rows(), "{reason}");
    }
    for reason in ["restored", "ahead"] {
        server.fail([reset(reason), reset(reason)]);
        assert!(matches!(one.client.sync_once(), Err(Error::StartedAgain)));
    }
    one.client.sync_once().unwrap();
    assert_eq!(server.with(|store| store.rows()), one.rows());
}

#[test]
fn the_key_of_another_account_begins_afresh_under_another_id() {
    let (server, one, _) = pair();
    one.add(3, "x");
    one.client.sync_once().unwrap();
    let device = one.client.configuration().unwrap().unwrap().device_id;
    // The other account is empty. Its server may know the device, and tell the accounts apart by the cursor.
    server.with(|store| *store = crate::support::Store::of(8));
    server.fail([problem(409, "", r#"{"code":"cursor_reset","reason":"other_account"}"#)]);
    one.client.sync_once().unwrap();
    assert_eq!((server.with(|store| store.rows()), one.rows().len()), (one.rows(), 1));
    assert_eq!(one.client.configuration().unwrap().unwrap().device_id, device);
    let other = FakeServer::start();
    let others = || problem(403, "", r#"{"code":"device_of_another_user"}"#);
    server.with(|store| *store = crate::support::Store::of(9));
    server.fail([others()]);
    one.client.sync_once().unwrap();
    assert_ne!(one.client.configuration().unwrap().unwrap().device_id, device);
    assert_eq!(server.with(|store| store.rows()), one.rows());
    // An id that the app chose is its own to replace.
    let chosen = tombolo_client::Settings { device_id: Some(device), ..settings(&other.url()) };
    one.client.configure_sync(chosen).unwrap();
    other.fail([others()]);
    assert!(matches!(one.client.sync_once(), Err(Error::DeviceRefused)));
    assert_eq!(one.client.configuration().unwrap().unwrap().device_id, device);
}

#[test]
fn after_an_erasure_nothing_is_sent_until_it_is_configured_again() {
    let (server, one, two) = pair();
    one.add(3, "x");
    one.client.sync_once().unwrap();
    two.client.sync_once().unwrap();
    one.client.wipe_remote().unwrap();
    assert!(!one.client.status().unwrap().enabled);
    assert!(matches!(one.client.sync_once(), Err(Error::NotConfigured)));
    assert!(!std::fs::read_to_string(one.folder.path().join("app.db.sync.json")).unwrap().contains(KEY));
    two.add(4, "y");
    server.seen();
    assert!(matches!(two.client.sync_once(), Err(Error::Erased)));
    assert!(matches!(two.client.sync_once(), Err(Error::Erased)));
    assert_eq!(server.seen().len(), 1);
    assert_eq!((two.client.status().unwrap().last_error.unwrap().kind, two.rows().len()), (ErrorKind::Erased, 2));
    two.configure(&server);
    two.client.sync_once().unwrap();
    assert_eq!((server.with(|store| store.rows()), two.rows().len()), (two.rows(), 2));
}

#[test]
fn an_erasure_is_noticed_by_a_device_that_has_to_begin_at_the_beginning() {
    // With something to send, and with nothing.
    for has_edit in [true, false] {
        let (server, one, two) = pair();
        one.add(3, "x");
        one.client.sync_once().unwrap();
        two.client.sync_once().unwrap();
        one.client.wipe_remote().unwrap();
        two.database().execute_batch(&format!("DROP TABLE moods; {}", crate::support::SCHEMA)).unwrap();
        if has_edit {
            two.add(4, "y");
        }
        server.seen();
        assert!(matches!(two.client.sync_once(), Err(Error::Erased)), "{has_edit}");
        assert_eq!((server.with(|store| store.stored()), server.seen().len()), (0, 1), "{has_edit}");
    }
}

#[test]
fn an_erasure_is_noticed_after_a_cursor_was_refused_and_nothing_came_since() {
    let (server, one, two) = pair();
    one.add(3, "x");
    one.client.sync_once().unwrap();
    two.client.sync_once().unwrap();
    server.fail([problem(409, "", r#"{"code":"cursor_reset","reason":"restored"}"#), problem(503, "", "{}")]);
    assert_eq!(two.client.sync_once().unwrap_err().kind(), ErrorKind::Server);
    one.client.wipe_remote().unwrap();
    two.add(4, "y");
    assert!(matches!(two.client.sync_once(), Err(Error::Erased)));
    assert_eq!(server.with(|store| store.stored()), 0);
}

#[test]
fn off_is_off_and_another_server_begins_afresh() {
    let (server, one, _) = pair();
    one.add(3, "x");
    one.client.sync_once().unwrap();
    let device = one.client.configuration().unwrap().unwrap().device_id;
    one.client.disable_sync().unwrap();
    server.seen();
    one.add(4, "while it is off");
    assert!(matches!(one.client.sync_once(), Err(Error::NotConfigured)));
    let status = one.client.status().unwrap();
    assert_eq!((status.enabled, status.pending, status.last_error, one.rows().len()), (false, 0, None, 2));
    assert!(server.seen().is_empty());
    let other = FakeServer::start();
    one.configure(&other);
    assert_eq!(one.client.status().unwrap().pending, 2);
    one.client.sync_once().unwrap();
    assert_eq!(other.with(|store| store.rows()), one.rows());
    assert_eq!(one.client.configuration().unwrap().unwrap().device_id, device);
    // A new key goes on where the old one was.
    other.seen();
    one.client.configure_sync(settings(&other.url())).unwrap();
    assert_eq!((one.client.sync_once().unwrap().uploaded, one.client.sync_once().unwrap().downloaded), (0, 0));
}

#[test]
fn a_database_that_was_made_anew_is_filled_and_tracked() {
    let (server, one, _) = pair();
    one.add(3, "x");
    one.client.sync_once().unwrap();
    let path = one.path();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let client = crate::support::attach(&path, Duration::from_secs(30));
    assert_eq!(client.status().unwrap().pending, 0);
    client.sync_once().unwrap();
    one.add(4, "y");
    assert_eq!(client.sync_once().unwrap().uploaded, 1);
    assert_eq!((server.with(|store| store.rows()), one.rows().len()), (one.rows(), 2));
}

#[test]
fn the_status_lasts_and_holds_no_key() {
    let (_server, one, _) = pair();
    one.client.sync_once().unwrap();
    let status = one.client.status().unwrap();
    assert_eq!((status.enabled, status.state, status.last_error.as_ref()), (true, State::Idle, None));
    let later = crate::support::attach(&one.path(), Duration::from_secs(1));
    assert_eq!(later.status().unwrap(), status);
    let text = serde_json::to_string(&status).unwrap();
    assert!(text.contains(r#""state":"idle""#) && !text.contains(KEY), "{text}");
    let at: tombolo_client::Timestamp = status.last_success_at.unwrap();
    assert!(text.contains(&format!(r#""last_success_at":"{at}""#)) && at.to_string().ends_with('Z'), "{text}");
}
