//! The rooms of all stores, by one suite.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::cell::RefCell;
use std::sync::Arc;

use support::suites::conforms;
use support::{OnDisk, OnPostgres};
use tombolo_core::{Env, LeaseId, NodeId};
use tombolo_storage::{Lease, Reading, Rooms as _, Store, Upkeep as _};
use tombolo_testkit::{Stores as _, TestEnv, rooms_suite, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

conforms!(
    rooms,
    rooms_suite,
    [
        a_code_is_made_once,
        a_document_made_of_an_older_one_is_not_stored,
        a_document_needs_a_room,
        a_large_document_comes_back_exactly,
        a_room_in_use_outlives_the_crash_of_its_node,
        a_room_is_found_in_any_spelling,
        a_stored_document_is_told,
        an_open_room_does_not_end,
        an_opened_room_says_who_else_has_it_open,
        an_owners_rooms_are_bounded,
        as_many_rooms_end_as_were_asked_for,
        documents_are_stored_as_versions,
        leases_are_renewed,
        nothing_is_left_of_a_room_that_ended,
        old_versions_are_let_go,
        rooms_are_closed,
        rooms_are_listed_by_owner_and_code,
        rooms_end_when_they_were_left_for_long,
        the_same_code_of_two_owners_is_two_rooms,
    ],
    at_once [
        a_code_is_made_many_times_at_once,
        a_document_is_stored_while_its_room_ends,
        a_lease_is_renewed_while_its_room_ends,
        a_room_is_ended_twice_at_once,
        a_room_is_opened_while_it_ends,
        documents_are_stored_at_once,
        the_last_room_of_an_owner_is_made_once,
        two_documents_are_made_of_one_version,
    ]
);

/// Each fault of a room with the versions 3, 5, 6 and 7, as SQL that both databases know, and what the check says of it.
const DAMAGES: [(&str, &[&str]); 16] = [
    (
        "DELETE FROM changes WHERE seq = 7",
        &["space 1: its log ends at 6, its head says 7", "its head, change 7, is none of its changes"],
    ),
    (
        "UPDATE spaces SET head_seq = 8",
        &["its log ends at 7, its head says 8", "its document is not the newest version"],
    ),
    ("UPDATE records SET seq = 6", &["space 1: its document is not the newest version"]),
    ("DELETE FROM records", &["space 1: its document is not the newest version"]),
    (
        "DELETE FROM rooms",
        &["space 1: it is the space of a room, and there is none", "space 1: it is leased as a room"],
    ),
    ("DELETE FROM spaces", &["space 1: there is a room of it, and it is not the space of one"]),
    (
        "UPDATE spaces SET purpose = 'td'",
        &["there is a room of it", "changes 1 to 2 are missing", "changes 4 to 4 are"],
    ),
    ("UPDATE rooms SET space = 9", &["space 9: there is a room of it", "space 1: it is the space of", "it is leased"]),
    (
        "INSERT INTO room_leases (space, lease, node, until) VALUES (2, 1, 1, 1), (2, 2, 1, 1)",
        &["space 2: it is leased"],
    ),
    (
        "UPDATE changes SET payload = substr(payload, 2) WHERE seq = 5",
        &["change 5: its content is not what was written", "change 5: its digest is not that of its content"],
    ),
    (
        "UPDATE changes SET digest = (SELECT digest FROM changes WHERE seq = 3) WHERE seq = 5",
        &["space 1, change 5: its digest is not that of its content"],
    ),
    ("UPDATE changes SET checksum = checksum + 1 WHERE seq = 3", &["change 3: its content is not what was written"]),
    ("UPDATE changes SET payload = NULL, checksum = 0 WHERE seq = 3", &["change 3: its content is no text"]),
    ("UPDATE changes SET committed_at = 0 WHERE seq = 6", &["change 6: it was committed before the one below it"]),
    ("UPDATE changes SET prev = 7 WHERE seq = 6", &["change 6: its record's history does not lead back"]),
    // What may be missing is no fault, even if nobody let go of it.
    ("DELETE FROM changes WHERE seq < 7", &[]),
];

fn names_damage(store: &dyn Store, damage: &str, expected: &[&str]) {
    let found = wait(store.check(vec![rooms_suite::reading()], Box::new(|_, _| {}))).unwrap().faults;
    for words in expected {
        assert!(found.iter().any(|fault| fault.contains(words)), "{damage}: {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{damage}: {found:?}");
}

/// Nothing may be missing where nobody says that it may.
fn unread_is_strict(store: &dyn Store) {
    let readings = [Vec::new(), vec![Reading { is_thinned: false, ..rooms_suite::reading() }]];
    for readings in readings {
        let found = wait(store.check(readings, Box::new(|_, _| {}))).unwrap().faults;
        assert_eq!(found, ["space 1: changes 1 to 2 are missing", "space 1: changes 4 to 4 are missing"]);
    }
}

#[test]
fn damage_of_a_room_is_named_in_sqlite() {
    for (damage, expected) in DAMAGES {
        let disk = OnDisk::default();
        let store = disk.server(env());
        wait(rooms_suite::seven_versions(&store));
        names_damage(&store, "nothing", &[]);
        unread_is_strict(&store);
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(damage, []).unwrap();
        names_damage(&store, damage, expected);
    }
}

#[test]
fn damage_of_a_room_is_named_in_postgres() {
    for (damage, expected) in DAMAGES {
        let Some(database) = OnPostgres::new() else { return };
        let store = database.node(env());
        wait(rooms_suite::seven_versions(&*store));
        names_damage(&*store, "nothing", &[]);
        unread_is_strict(&*store);
        database.database().sql(damage);
        names_damage(&*store, damage, expected);
        wait(store.close()).unwrap();
    }
}

/// A version that is damaged or gone is told, and not left out: a room without a document would be another one.
#[test]
fn a_damaged_document_is_not_read_as_if_there_were_none() {
    let damages =
        ["UPDATE changes SET payload = substr(payload, 2) WHERE seq = 7", "DELETE FROM changes WHERE seq = 7"];
    for (damage, gives_way) in damages.into_iter().zip([true, false]) {
        let disk = OnDisk::default();
        let store = disk.server(env());
        wait(rooms_suite::seven_versions(&store));
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(damage, []).unwrap();
        wait(rooms_suite::damage_of_a_document_is_told(&store));
        if gives_way {
            wait(rooms_suite::a_damaged_document_gives_way(&store));
        }
        let Some(database) = OnPostgres::new() else { continue };
        let node = database.node(env());
        wait(rooms_suite::seven_versions(&*node));
        database.database().sql(damage);
        wait(rooms_suite::damage_of_a_document_is_told(&*node));
        if gives_way {
            wait(rooms_suite::a_damaged_document_gives_way(&*node));
        }
        wait(node.close()).unwrap();
    }
}

/// What a room is called is damaged: every store says it alike.
#[test]
fn a_damaged_room_is_told_alike() {
    let damages = [
        ("UPDATE rooms SET code = '?'", "a stored room's code is none"),
        ("UPDATE rooms SET id = substr(id, 2)", "a room's id has not 16 bytes"),
        ("UPDATE rooms SET host = ''", "a room's host has no name"),
    ];
    let is_told = |store: &dyn Store, expected: &str| {
        let why = wait(store.rooms(None)).unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    };
    for (damage, expected) in damages {
        let disk = OnDisk::default();
        let store = disk.server(env());
        wait(rooms_suite::make_room(&store, "ann", "board"));
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(damage, []).unwrap();
        is_told(&store, expected);
        let Some(database) = OnPostgres::new() else { continue };
        let node = database.node(env());
        wait(rooms_suite::make_room(&*node, "ann", "board"));
        database.database().sql(damage);
        is_told(&*node, expected);
        wait(node.close()).unwrap();
    }
}

/// Many rooms end while somebody stores a document: he waits for a few of them, and not for all.
#[test]
fn others_write_while_many_rooms_end_in_sqlite() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let room = wait(rooms_suite::many_rooms(&store, 20));
    let done = RefCell::new(Vec::new());
    wait(async {
        let end = async {
            assert_eq!(store.end_rooms(rooms_suite::all_that_are_empty()).await.unwrap(), 20);
            done.borrow_mut().push("ended");
        };
        let write = async {
            rooms_suite::write(&store, &room, "more").await;
            done.borrow_mut().push("stored");
        };
        tokio::join!(end, write)
    });
    assert_eq!(*done.borrow(), ["stored", "ended"]);
    wait(store.close()).unwrap();
}

/// Nothing of a room that ended stays in the file.
#[test]
fn nothing_of_a_room_that_ended_stays_in_the_file() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(rooms_suite::seven_versions(&store));
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    let count = || -> i64 {
        let sql =
            "SELECT (SELECT count(*) FROM rooms) + (SELECT count(*) FROM room_leases) + (SELECT count(*) FROM spaces)
            + (SELECT count(*) FROM changes) + (SELECT count(*) FROM records) + (SELECT count(*) FROM forks)";
        file.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 1 + 1 + 1 + 4 + 1 + 1);
    wait(rooms_suite::every_room_ends(&store));
    assert_eq!(count(), 0);
    wait(store.close()).unwrap();
}

/// A file has one server: when it begins anew, whoever had a room open before was killed, and is not waited for.
#[test]
fn a_server_that_begins_anew_on_a_file_is_alone() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let room = wait(rooms_suite::make_room(&store, "ann", "board"));
    let until = TestEnv::START.plus(std::time::Duration::from_secs(60));
    let lease = Lease { id: LeaseId::new(1), node: NodeId::new(1), until };
    wait(store.open_room(room.owner, &room.code, lease, TestEnv::START)).unwrap().unwrap();
    assert_eq!(wait(store.room(room.owner, &room.code)).unwrap().unwrap().1, [NodeId::new(1)]);
    drop(store);
    let store = disk.server(Arc::new(TestEnv::new(2)));
    assert_eq!(wait(store.room(room.owner, &room.code)).unwrap().unwrap().1, []);
}
