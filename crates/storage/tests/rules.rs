//! Identities, and logs that are guarded by their own rules, on all stores.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::sync::Arc;

use support::suites::conforms;
use support::{OnDisk, OnPostgres};
use tombolo_core::Env;
use tombolo_storage::memory::Memory;
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Elsewhere, Identities as _, Message, Store, Upkeep};
use tombolo_testkit::conformance::bus::next;
use tombolo_testkit::{Stores as _, TestEnv, identities_suite, ruled_suite, runtime, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

conforms!(
    identities,
    identities_suite,
    [
        a_pending_account_that_is_known_stays,
        a_secret_stays,
        a_subject_is_known_once,
        a_ticket_ends_to_the_microsecond,
        a_ticket_is_used_once,
        an_identity_is_found_by_what_it_has,
        one_who_is_known_is_adopted,
        tickets_are_bounded,
        usernames_are_unique,
    ],
    at_once [
        a_secret_is_made_twice_at_once,
        a_subject_is_made_known_twice_at_once,
        a_ticket_is_used_twice_at_once,
        a_user_is_added_and_made_known_at_once,
        a_username_is_given_twice_at_once,
    ]
);

conforms!(
    ruled,
    ruled_suite,
    [
        a_log_is_read_in_the_order_of_writing,
        a_refused_first_request_leaves_nothing,
        a_setup_token_is_used_once,
        entries_are_found_by_their_keys,
        keys_are_revoked_together,
        keys_from_setup_tokens_are_bounded,
        many_rulings_come_at_once,
        one_key_is_one_entry,
        outdated_rules_are_refused,
        rulings_are_read_page_by_page,
        times_are_told_apart_by_the_millisecond,
        what_entries_do_beside_others,
        what_entries_do_is_done_once,
        what_is_far_longer_is_another,
        who_may_append_under_rules,
    ],
    at_once [
        a_setup_token_is_used_twice_at_once,
        a_user_is_made_twice_at_once,
        nothing_slips_in_under_rules_of_before,
    ]
);

#[test]
fn what_happens_in_a_log_under_rules_is_told_in_this_process() {
    let store = Memory::new();
    wait(ruled_suite::what_happens_in_the_log_is_told(&store, &mut store.bus().listen()));
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(ruled_suite::what_happens_in_the_log_is_told(&store, &mut store.bus().listen()));
    // And if nobody heard it, it is found.
    assert_eq!(wait(store.changed_elsewhere()).unwrap(), Elsewhere::Committed);
    assert_eq!(wait(store.changed_elsewhere()).unwrap(), Elsewhere::Nothing);
    wait(store.close()).unwrap();
}

#[test]
fn what_happens_in_a_log_under_rules_is_told_on_its_node() {
    let Some(database) = OnPostgres::new() else { return };
    let store = database.node(env());
    let mut listener = Upkeep::bus(&*store).listen();
    let tending = runtime().spawn({
        let store = Arc::clone(&store);
        async move { Upkeep::tend(&*store).await }
    });
    wait(async {
        assert_eq!(next(&mut listener).await, Message::Gap, "it listens");
        ruled_suite::what_happens_in_the_log_is_told(&*store, &mut listener).await;
    });
    tending.abort();
    wait(store.close()).unwrap();
}

/// Each fault of a log under rules of seven entries, of which the second and the fifth are rulings, as SQL that both
/// databases know, and what the check says of it.
const DAMAGES: [(&str, &[&str]); 14] = [
    ("DELETE FROM rulings WHERE seq = 2", &["space 1, change 2: it is missing among the rules"]),
    ("DELETE FROM rulings", &["change 2: it is missing among the rules", "change 5: it is missing among the rules"]),
    ("INSERT INTO rulings (space, seq) VALUES (1, 3)", &["space 1: the rules name change 3, which says none"]),
    ("UPDATE rulings SET seq = 6 WHERE seq = 5", &["change 5: it is missing among", "change 6, which says none"]),
    ("DELETE FROM timeline WHERE millis = -7", &["change 4: it is missing in the order of writing"]),
    ("DELETE FROM timeline", &["missing in the order of writing"; 7]),
    ("INSERT INTO rulings (space, seq) VALUES (1, 9)", &["the rules name change 9, which is no entry"]),
    (
        "UPDATE rulings SET space = 8 WHERE seq = 5",
        &["space 8: the rules name change 5, which is no entry", "space 1, change 5: it is missing among the rules"],
    ),
    ("DELETE FROM timeline WHERE seq = 3", &["change 3: it is missing in the order of writing"]),
    ("UPDATE timeline SET millis = millis + 1 WHERE seq = 3", &["change 3: it is not where it was written"]),
    ("INSERT INTO timeline (space, millis, seq) VALUES (1, 5, 9)", &["order of writing names change 9, which is no"]),
    ("INSERT INTO timeline (space, millis, seq) VALUES (1, 6, 3)", &["change 3: it is not where it was written"]),
    (
        "UPDATE timeline SET space = 8 WHERE seq = 3",
        &["space 8: the order of writing names change 3", "space 1, change 3: it is missing in the order of writing"],
    ),
    (
        "UPDATE changes SET record = 7 WHERE seq = 5",
        &["a key names change 5", "the rules name change 5", "order of writing names change 5, which is no entry"],
    ),
];

fn names_damage(store: &dyn Store, damage: &str, expected: &[&str]) {
    let found = wait(store.check(vec![ruled_suite::reading()], Box::new(|_, _| {}))).unwrap().faults;
    for words in expected {
        assert!(found.iter().any(|fault| fault.contains(words)), "{damage}: {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{damage}: {found:?}");
}

/// A log that never had a ruling, and lost its order of writing.
const TIMELESS: &str = "DELETE FROM timeline";

#[test]
fn a_log_without_rulings_and_times_is_noticed() {
    let expected = ["missing in the order of writing"; 5];
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(ruled_suite::one_key_is_one_entry(&store));
    names_damage(&store, "nothing", &[]);
    rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(TIMELESS, []).unwrap();
    names_damage(&store, TIMELESS, &expected);
    let Some(database) = OnPostgres::new() else { return };
    let store = database.node(env());
    wait(ruled_suite::one_key_is_one_entry(&*store));
    database.database().sql(TIMELESS);
    names_damage(&*store, TIMELESS, &expected);
    wait(store.close()).unwrap();
}

#[test]
fn damage_of_a_log_under_rules_is_named_in_sqlite() {
    for (damage, expected) in DAMAGES {
        let disk = OnDisk::default();
        let store = disk.server(env());
        wait(ruled_suite::seven_entries(&store));
        names_damage(&store, "nothing", &[]);
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(damage, []).unwrap();
        names_damage(&store, damage, expected);
    }
}

#[test]
fn damage_of_a_log_under_rules_is_named_in_postgres() {
    for (damage, expected) in DAMAGES {
        let Some(database) = OnPostgres::new() else { return };
        let store = database.node(env());
        wait(ruled_suite::seven_entries(&*store));
        names_damage(&*store, "nothing", &[]);
        database.database().sql(damage);
        names_damage(&*store, damage, expected);
        wait(store.close()).unwrap();
    }
}

/// What a log under rules names and does not have is told, and not left out.
#[test]
fn a_damaged_log_under_rules_is_not_read_as_if_it_were_whole() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(ruled_suite::seven_entries(&store));
    let database = OnPostgres::new();
    let node = database.as_ref().map(|database| database.node(env()));
    if let Some(node) = &node {
        wait(ruled_suite::seven_entries(&**node));
    }
    let damaged = |sql: &str| {
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(sql, []).unwrap();
        if let Some(database) = &database {
            database.database().sql(sql);
        }
        wait(ruled_suite::damage_is_told(&store));
        if let Some(node) = &node {
            wait(ruled_suite::damage_is_told(&**node));
        }
    };
    damaged("UPDATE changes SET payload = substr(payload, 2) WHERE seq = 5");
    damaged("DELETE FROM changes WHERE seq = 5");
    if let Some(node) = node {
        wait(node.close()).unwrap();
    }
}

/// A command beside the server makes the same secret, and what it makes known is.
#[test]
fn a_command_and_its_server_know_the_same() {
    let disk = OnDisk::default();
    let server = disk.server(env());
    let command = Sqlite::open(disk.file().unwrap(), Role::Tool, env()).unwrap();
    wait(async {
        assert_eq!(command.secret("jwt", b"one").await.unwrap(), b"one");
        assert_eq!(server.secret("jwt", b"two").await.unwrap(), b"one");
        identities_suite::a_subject_is_made_known_twice_at_once([&server, &command]).await;
        ruled_suite::a_setup_token_is_used_twice_at_once([&command, &server]).await;
    });
    for store in [command, server] {
        wait(store.close()).unwrap();
    }
}
