//! A file that is carried to PostgreSQL while its server runs.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod admission;
mod changes;
mod damage;
mod dump;
mod entries;
mod erased;
mod interruptions;
mod rig;
mod rooms;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use rig::{ENTRIES, Move, RULED_ENTRIES, VERSIONS};
use support::check;
use tombolo_core::{Name, Purpose, Resume, UserId};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Accounts as _, LoggedChange, NewCredential, StoreError, Write};
use tombolo_testkit::{LABEL, LogStore, Note, Place, TestEnv, at, delete, key, label, put, wait};

use crate::dump::dump_postgres;

/// The same requests to both, and the same answers.
fn answer_alike(left: &Place, right: &Place, replica: &str, cursor: Option<tombolo_core::Instant>, writes: &[Write]) {
    let [left, right] = [left, right].map(|place| place.exchange(replica, cursor, writes.to_vec()));
    assert_eq!(left, right, "{replica}");
}

#[test]
fn the_same_devices_go_on_as_if_nothing_had_happened() {
    let Some(mut one) = Move::new() else { return };
    // A poll whose acknowledgement the server only remembers.
    let mut last = one.peers.pop().unwrap();
    let _news = last.sync(&one.place, Vec::new());
    let _nothing = last.sync(&one.place, Vec::new());
    // The newest device is forgotten; its changes are not.
    let forget = "DELETE FROM traffic WHERE replica = (SELECT max(id) FROM replicas);
        DELETE FROM cursors WHERE replica = (SELECT max(id) FROM replicas);
        DELETE FROM replicas WHERE id = (SELECT max(id) FROM replicas)";
    rusqlite::Connection::open(one.file()).unwrap().execute_batch(forget).unwrap();
    let log: Vec<LoggedChange> = one.place.log();
    // A copy of the file, in which everything goes on where it was.
    let copy: PathBuf = one.file().with_extension("copy");
    rusqlite::Connection::open(one.file()).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let report = one.run().unwrap();
    assert!(!report.was_done_already);
    assert_eq!(report.tables.len(), 28);
    assert_eq!(report.tables.last().unwrap().count, (log.len() + ENTRIES + RULED_ENTRIES + VERSIONS) as u64);
    one.is_there();
    // The old server: what touches the store is refused, and its end is clean.
    for cursor in [None, one.peers[0].cursor] {
        let request = one.place.request("a0", cursor, Vec::new());
        assert!(matches!(one.place.send(request), Err(StoreError::Moved)));
    }
    let request = one.place.request("a0", None, vec![put("late", &Note::new("1", "1"), at(9_000))]);
    assert!(matches!(one.place.send(request), Err(StoreError::Moved)));
    assert!(matches!(wait(one.sqlite.users()), Err(StoreError::Moved)));
    wait(one.place.store.close()).unwrap();
    assert!(matches!(Sqlite::open(one.file(), Role::Server, one.place.env.clone()), Err(StoreError::Moved)));
    // A command reads the file still, and writes nothing to it.
    let tool = Arc::new(Sqlite::open(one.file(), Role::Tool, one.place.env.clone()).unwrap());
    assert_eq!(wait(tool.users()).unwrap().len(), 6);
    let zoe = Name::parse("zoe").unwrap();
    assert!(matches!(wait(tool.add_user(&zoe, None, TestEnv::START)), Err(StoreError::Moved)));
    assert_eq!(check(&Place::on(tool, one.place.env.clone())).faults, Vec::<String>::new());

    let there = one.there();
    assert_eq!(there.log(), log);
    for cursor in &one.cursors {
        assert_eq!(there.resume(*cursor), Resume::From(cursor.seq));
    }
    let here = Place::on(
        Arc::new(Sqlite::open(&copy, Role::Server, one.place.env.clone()).unwrap()) as Arc<dyn LogStore>,
        one.place.env.clone(),
    );
    for (n, peer) in one.peers.iter().enumerate() {
        // What it has is not sent again; what it sent before is known.
        answer_alike(&here, &there, &peer.name, peer.cursor, &[]);
        answer_alike(&here, &there, &peer.name, peer.cursor, &[put("lost2", &Note::new("1", "1"), at(220))]);
        let writes = [
            put(&format!("new{n}"), &Note::new("1", "1").labelled(["soon1"]), at(1_000)),
            put("n1", &Note::new("9", "9"), at(1_001)),
        ];
        answer_alike(&here, &there, &peer.name, peer.cursor, &writes);
        // The same once more, as if the reply were lost.
        answer_alike(&here, &there, &peer.name, peer.cursor, &writes);
        answer_alike(&here, &there, &peer.name, None, &[]);
    }
    let late =
        [label("other", &format!("1{}", "x".repeat(3_000)), 5_000, at(5_000)), delete(key(LABEL, "soon0"), at(5_001))];
    answer_alike(&here, &there, "a1", None, &late);
    assert_eq!(here.log(), there.log());
    assert_eq!(check(&there).faults, Vec::<String>::new());
    let reused = "SELECT count(*) FROM replicas WHERE name LIKE 'stranger%'
        AND id <= (SELECT max(replica) FROM changes)";
    let _stranger = there.live();
    assert_eq!(one.sql(reused), "0");
    // New numbers are greater than all that there were, also than those of rows that are gone.
    let new = NewCredential {
        user: UserId::new(1),
        name: Name::parse("phone 2").unwrap(),
        purpose: Purpose::Tickit,
        prefix: "prefix".to_owned(),
        hash: "hash".to_owned(),
        created_at: TestEnv::START,
        expires_at: None,
    };
    let accounts = one.database.node(one.place.env.clone());
    wait(accounts.add_credential(new)).unwrap();
    assert_eq!(one.sql("SELECT id FROM credentials WHERE name = 'phone 2'"), "4");
    for (table, next) in [("sign_ins", "3"), ("invitations", "2")] {
        assert_eq!(one.sql(&format!("SELECT nextval(pg_get_serial_sequence('{table}', 'id'))")), next);
    }
    assert!(wait(accounts.find_credential("prefix-0")).unwrap().is_some_and(|found| found.hash == "hash-0"));
}

#[test]
fn what_is_done_already_is_done_once() {
    let Some(one) = Move::new() else { return };
    let _first = one.run().unwrap();
    let _generation = one.there().head();
    let before = dump_postgres(&one);
    let again = one.run().unwrap();
    assert!(again.was_done_already);
    assert_eq!(dump_postgres(&one), before);
    assert!(one.is_moved());
}
