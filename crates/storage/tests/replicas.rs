//! Replicas that bring and take in two requests, on all stores, by one suite.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::sync::Arc;

use support::suites::conforms;
use support::{OnDisk, OnPostgres};
use tombolo_core::{Env, Purpose, ResetReason, Verdict};
use tombolo_storage::{Downloaded, Fate, Reading, Stale, Store, Upkeep as _};
use tombolo_testkit::replicas_suite::{App, Book};
use tombolo_testkit::{Note, Notes, Stores as _, TestEnv, at, put, replicas_suite, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

conforms!(
    replicas,
    replicas_suite,
    [
        a_copy_edits_what_it_edits,
        a_deletion_among_other_writes,
        a_deletion_is_undone,
        a_deletion_meets_two_edits,
        a_deletion_takes_all_with_it,
        a_device_is_one_users,
        a_device_set_back_reverts_nothing,
        a_page_is_cut,
        a_record_made_twice,
        a_record_twice_in_one_request,
        a_reply_is_lost_after_a_merge,
        a_retry_came_after_others,
        a_slow_clock_deletes,
        a_stale_cursor_is_told,
        a_tombstone_comes_before_its_record,
        an_edit_lost_or_was_merged,
        an_edit_was_reverted,
        an_unknown_base_counts_as_none,
        an_uploads_cursor_skips_nothing,
        devices_are_bounded,
        edits_of_one_request_come_again,
        equal_instants_go_to_the_greater_device,
        fields_of_two_devices_survive,
        grouped_fields_go_as_one,
        instants_are_shown_as_sent,
        marks_say_what_a_device_had,
        marks_say_what_was_skipped,
        own_uploads_say_what_a_device_had,
        pages_joined_are_the_whole,
        requests_of_one_device_overlap,
        the_cursor_says_what_a_device_had,
        the_far_future_gains_nothing,
        the_later_of_two_edits_wins,
        the_losers_next_edit_counts,
        the_same_was_written_by_another,
        who_presents_nothing_is_told,
        writes_between_pages_arrive,
    ],
    at_once [a_request_comes_twice_at_once, two_devices_edit_at_once, two_users_bring_one_device_at_once]
);

/// What a deletion takes is no damage; a record that is there without content is.
const DAMAGES: [(&str, &[&str]); 3] = [
    ("SELECT 1", &[]),
    (
        "UPDATE changes SET payload = NULL, checksum = 0, digest = (SELECT digest FROM changes WHERE seq = 1)
             WHERE seq = 4",
        &["space 1, change 4: its content was taken, and its record is there"],
    ),
    (
        "UPDATE changes SET payload = NULL, checksum = 0 WHERE seq = 4",
        &["space 1, change 4: its digest is not that of its content", "does not read"],
    ),
];

/// A note that was deleted, and one that is there.
async fn one_deleted_one_there(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let mut app = App::new("a", 0);
    for id in ["gone", "there"] {
        app.edit(&book, id, |note| note.x = "1".into());
    }
    app.upload(&book).await;
    app.delete(&book, "gone");
    app.edit(&book, "there", |note| note.x = "2".into());
    app.upload(&book).await;
    assert_eq!(book.len().await, 4);
}

fn names_damage(store: &dyn Store, damage: &str, expected: &[&str]) {
    let found = wait(store.check(vec![replicas_suite::reading()], Box::new(|_, _| {}))).unwrap().faults;
    assert_eq!(found.is_empty(), expected.is_empty(), "{damage}: {found:?}");
    for fault in &found {
        assert!(expected.iter().any(|words| fault.contains(words)), "{damage}: {found:?}");
    }
}

#[test]
fn content_that_is_gone_is_named_in_sqlite() {
    for (damage, expected) in DAMAGES {
        let disk = OnDisk::default();
        let store = disk.server(env());
        wait(one_deleted_one_there(&store));
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute_batch(damage).unwrap();
        names_damage(&store, damage, expected);
    }
}

#[test]
fn content_that_is_gone_is_named_in_postgres() {
    for (damage, expected) in DAMAGES {
        let Some(database) = OnPostgres::new() else { return };
        let store = database.node(env());
        wait(one_deleted_one_there(&*store));
        database.database().sql(damage);
        names_damage(&*store, damage, expected);
        wait(store.close()).unwrap();
    }
}

/// Nobody but a policy that erases lets content go.
#[test]
fn content_that_another_protocol_lost_is_damage() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(one_deleted_one_there(&store));
    let strict = Reading::of_records(Purpose::Wellbeing, Arc::new(Notes));
    let found = wait(store.check(vec![strict], Box::new(|_, _| {}))).unwrap().faults;
    assert!(matches!(found.as_slice(), [fault] if fault.contains("change 1")), "{found:?}");
}

/// A cursor from before a restart is good, what was given before it is remembered, and an older copy of the database is
/// noticed.
async fn carries_on<S: Store>(open: impl Fn(u64) -> S, set_back: impl FnOnce()) {
    let store = open(1);
    let book = Book::of(&store, "ann").await;
    let mut app = App::new("a", 0);
    app.edit(&book, "n", |note| note.x = "1".into());
    app.sync(&book).await;
    let before = book.pull("b", None).await.cursor;
    store.close().await.unwrap();
    let store = open(2);
    let book = Book::on(&store, book.owner());
    assert_eq!(book.pull("b", Some(before)).await.records, []);
    // B was given the note before, which counts where it presents nothing.
    let echo = book.upload("b", None, vec![put("n", &Note { x: "1".into(), ..Note::new("", "") }, at(9_000))]).await;
    assert!(matches!(echo.0.as_slice(), [Fate::Judged { verdict: Verdict::Unchanged, .. }]), "{echo:?}");
    app.edit(&book, "n", |note| note.x = "2".into());
    app.sync(&book).await;
    let lost = book.pull("b", Some(before)).await.cursor;
    store.close().await.unwrap();
    set_back();
    let store = open(3);
    let book = Book::on(&store, book.owner());
    let stale = Downloaded::Stale(Stale::Reset(ResetReason::Restored));
    assert_eq!(book.try_page("b", Some(lost), (10, 1_000)).await, stale);
    assert_eq!(book.pull("b", Some(before)).await.cursor.complete, before.complete);
    store.close().await.unwrap();
}

#[test]
fn a_restart_is_no_reset_in_sqlite() {
    let disk = OnDisk::default();
    let path = disk.file().unwrap().to_owned();
    let copy = path.with_extension("copy");
    let file = copy.clone();
    let open = |seed| {
        let store = disk.server(Arc::new(TestEnv::new(seed)));
        if seed == 2 {
            let sql = format!("VACUUM INTO '{}'", copy.display());
            rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        }
        store
    };
    wait(carries_on(open, || std::fs::rename(&file, disk.file().unwrap()).map(drop).unwrap()));
}
