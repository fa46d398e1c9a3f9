//! Several nodes on one PostgreSQL: what they tell each other, and what they do to one space at once.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::nodes::{Node, env, heard};
use support::{OnPostgres, check};
use tombolo_core::{Name, Purpose, RecordKey, Seq, UserId};
use tombolo_storage::{
    Accounts as _, Elsewhere, FRAME_BYTES_MAX, Frame, Logs as _, Message, NewCredential, Refused, Upkeep as _,
};
use tombolo_testkit::conformance::bus::frame;
use tombolo_testkit::eventually::{FOREVER, SetOnDrop, eventually};
use tombolo_testkit::{NOTE, Note, Peer, TestEnv, at, key, put, wait};

/// How old what a busy node knows of credentials may be.
const STALE_MAX: Duration = Duration::from_secs(2);

fn note(n: usize) -> Note {
    Note::new(&n.to_string(), "1")
}

fn credential(name: &str) -> NewCredential {
    NewCredential {
        user: UserId::new(1),
        name: Name::parse(name).expect("it is a name"),
        purpose: Purpose::Tickit,
        prefix: name.to_owned(),
        hash: "a hash".to_owned(),
        created_at: TestEnv::START,
        expires_at: None,
    }
}

/// The log is dense and in order of time, and the whole database is in order.
fn look_through(node: &Node) {
    let _dense_and_in_order = node.place.log();
    assert_eq!(check(&node.place).faults, Vec::<String>::new());
}

#[test]
fn a_commit_is_told_on_every_node_once() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let nodes = [Node::tended(&database, &env), Node::tended(&database, &env), Node::tended(&database, &env)];
    let mut listeners = nodes.each_ref().map(Node::listen);
    let mut a = Peer::new("a");
    for n in 0..12 {
        a.sync(&nodes[n % 3].place, vec![put(&format!("n{n}"), &note(n), at(1))]);
        let grew = Message::Grew(nodes[0].place.address, nodes[0].head());
        listeners.iter_mut().for_each(|listener| assert_eq!(heard(listener), grew));
    }
    look_through(&nodes[0]);
}

#[test]
fn frames_cross_once_and_in_the_order_of_their_node() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let nodes = [Node::tended(&database, &env), Node::tended(&database, &env)];
    let mut listeners = nodes.each_ref().map(Node::listen);
    let sizes = [0, 10, 200_000, 10, 4_000, 3_800, FRAME_BYTES_MAX, 10, 50_000, 1];
    let of = |node: usize| -> Vec<Frame> {
        sizes.iter().enumerate().map(|(n, bytes)| frame(&format!("{node}: the {n}th ü"), *bytes)).collect()
    };
    std::thread::scope(|scope| {
        for (n, node) in nodes.iter().enumerate() {
            scope.spawn(move || of(n).iter().for_each(|frame| node.publish(frame)));
        }
    });
    for (listener, name) in listeners.iter_mut().zip(["first", "second"]) {
        let mut frames = [Vec::new(), Vec::new()];
        for _ in 0..2 * sizes.len() {
            let Message::Frame(frame) = heard(listener) else { panic!("nothing else happens") };
            frames[usize::from(frame.topic.starts_with('1'))].push(frame);
        }
        for (n, frames) in frames.iter().enumerate() {
            assert!(*frames == of(n), "what the {name} node hears of node {n}");
        }
    }
    // Whatever came twice would come before this, on the own node and on the other.
    for (n, node) in nodes.iter().enumerate() {
        let last = frame(&format!("the last of {n}"), 1);
        node.publish(&last);
        listeners.iter_mut().for_each(|listener| assert_eq!(heard(listener), Message::Frame(last.clone())));
    }
}

#[test]
fn a_lost_connection_is_told_as_a_gap_and_made_anew() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let mut listener = here.listen();
    for n in 0..3 {
        let ended = database.database().sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND query ILIKE 'LISTEN%'",
        );
        assert_eq!(ended.lines().collect::<Vec<_>>(), ["t", "t"], "each node has one connection that listens");
        assert_eq!(heard(&mut listener), Message::Gap);
        let sent = frame(&n.to_string(), 10);
        there.publish(&sent);
        loop {
            match heard(&mut listener) {
                Message::Frame(frame) => break assert_eq!(frame, sent),
                other => assert_eq!(other, Message::Gap),
            }
        }
        eventually("both nodes listen again", FOREVER, || {
            let listening = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
            (database.database().sql(listening) == "2").then_some(())
        });
    }
}

/// What grew meanwhile is told when others can be told again.
#[test]
fn what_could_not_be_told_is_told_later() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let mut listener = there.listen();
    let rename = |from: &str, to: &str| {
        let sql = format!(
            "SET allow_system_table_mods = on;
             UPDATE pg_proc SET proname = '{to}' WHERE proname = '{from}' AND pronamespace = 'pg_catalog'::regnamespace"
        );
        database.database().sql(&sql);
    };
    rename("pg_notify", "pg_notify_not");
    let mut a = Peer::new("a");
    a.sync(&here.place, vec![put("n", &note(1), at(1))]);
    // It has tried, which the server's log says.
    eventually("a notification that fails", FOREVER, || {
        let failures = "SELECT xact_rollback > 0 FROM pg_stat_database WHERE datname = current_database()";
        (database.database().sql(failures) == "t").then_some(())
    });
    rename("pg_notify_not", "pg_notify");
    assert_eq!(heard(&mut listener), Message::Grew(here.place.address, here.head()));
}

#[test]
fn changed_credentials_are_told_to_a_tended_node() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    // From here on: that it began to listen was a reason to look.
    eventually("a node at rest", FOREVER, || (here.look() == Elsewhere::Nothing).then_some(()));
    let noticed = |what: &str| {
        eventually(what, STALE_MAX, || (here.look() == Elsewhere::Committed).then_some(()));
        eventually("a node at rest", FOREVER, || (here.look() == Elsewhere::Nothing).then_some(()));
    };
    // No time goes by on the nodes' clock, and nobody asks them anything.
    wait(there.store.add_credential(credential("phone"))).expect("it is stored");
    noticed("a new credential");
    let (name, ada) = (Name::parse("phone").expect("it is a name"), Name::parse("ada").expect("it is a name"));
    assert!(wait(there.store.revoke_credential(UserId::new(1), &name)).expect("it is stored"));
    noticed("a revoked credential");
    assert!(wait(there.store.disable_user(&ada, TestEnv::START)).expect("it is stored"));
    noticed("a disabled user");
}

#[test]
fn changed_credentials_are_noticed_without_notifications() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::deaf(&database, &env), Node::deaf(&database, &env));
    assert_eq!(here.look(), Elsewhere::Nothing);
    for is_busy in [true, false] {
        wait(there.store.add_credential(credential(&format!("phone-{is_busy}")))).expect("it is stored");
        if is_busy {
            wait(here.store.find_credential("unknown")).expect("it is looked for");
        }
        env.advance(STALE_MAX);
        assert_eq!(here.look(), Elsewhere::Committed, "busy: {is_busy}");
        env.advance(STALE_MAX);
        assert_eq!(here.look(), Elsewhere::Nothing, "busy: {is_busy}");
    }
}

/// The database failed the question that it asked: it is asked again, though nothing else happened since.
#[test]
fn a_look_that_failed_is_made_good() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::deaf(&database, &env));
    eventually("a node at rest", FOREVER, || (here.look() == Elsewhere::Nothing).then_some(()));
    // The version changes without a notification, as if that was lost.
    wait(here.store.find_credential("unknown")).expect("it is looked for");
    let sql = |sql: &str| database.database().sql(sql);
    sql("UPDATE facts SET value = 'another' WHERE name = 'accounts_version'; ALTER TABLE facts RENAME TO gone");
    env.advance(STALE_MAX);
    wait(here.store.changed_elsewhere()).expect_err("the database cannot say");
    sql("ALTER TABLE gone RENAME TO facts");
    assert_eq!(here.look(), Elsewhere::Committed);
    drop(there);
}

/// Two nodes push at once, slowly, while a third reads on: what it has read has no gap, and none is filled later.
#[test]
fn slow_transactions_of_two_nodes_leave_no_gap() {
    const PUSHES: usize = 10;
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (nodes, third) = ([Node::deaf(&database, &env), Node::deaf(&database, &env)], Node::deaf(&database, &env));
    database.database().sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(random() * 0.01); RETURN NULL; END $$;
         CREATE TRIGGER before_the_lock BEFORE INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
         CREATE TRIGGER between_rows AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION dawdle();
         CREATE CONSTRAINT TRIGGER before_the_commit AFTER INSERT ON changes DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION dawdle();",
    );
    let done = AtomicBool::new(false);
    let mut devices: Vec<(Peer, BTreeSet<RecordKey>)> =
        (0..5).map(|n| (Peer::new(&format!("d{n}")), BTreeSet::new())).collect();
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let (last, writers) = devices.split_last_mut().expect("there are some");
        let mut threads = Vec::new();
        for (w, (device, held)) in writers.iter_mut().enumerate() {
            let place = &nodes[w % 2].place;
            threads.push(scope.spawn(move || {
                for n in 0..PUSHES {
                    let own = [key(NOTE, &format!("n{w}-{n}")), key(NOTE, &format!("m{w}-{n}"))];
                    let writes = own.iter().map(|key| put(key.name.as_str(), &note(n), at(1))).collect();
                    let reply = device.sync(place, writes);
                    held.extend(own);
                    held.extend(reply.deliveries.into_iter().map(|delivery| delivery.key));
                }
            }));
        }
        let reader = scope.spawn(|| read_on(&third, &done));
        while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let reply = last.0.sync(&third.place, Vec::new());
            last.1.extend(reply.deliveries.into_iter().map(|delivery| delivery.key));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("all pushes are taken"));
        drop(over);
        reader.join().expect("no gap was seen");
    });
    let all: BTreeSet<RecordKey> = (0..4)
        .flat_map(|w| (0..PUSHES).flat_map(move |n| [key(NOTE, &format!("n{w}-{n}")), key(NOTE, &format!("m{w}-{n}"))]))
        .collect();
    for (n, (mut device, mut held)) in devices.into_iter().enumerate() {
        let reply = device.sync(&nodes[n % 2].place, Vec::new());
        held.extend(reply.deliveries.into_iter().map(|delivery| delivery.key));
        held.retain(|key| key.collection == NOTE);
        assert!(held == all, "device {n} has {} of {}", held.len(), all.len());
    }
    look_through(&third);
}

/// Reads the log page by page, and the head, until all is done.
fn read_on(node: &Node, done: &AtomicBool) {
    let (place, mut last, mut head) = (&node.place, Seq::ZERO, Seq::ZERO);
    loop {
        let is_last = done.load(Ordering::SeqCst);
        let now = node.head();
        assert!(now >= head, "the head never falls");
        head = now;
        loop {
            let page = wait(node.store.changes(place.address, &place.policy, last, 3)).expect("the log reads");
            if page.is_empty() {
                break;
            }
            for change in page {
                assert_eq!(change.seq, last.next(), "no gap, now or later");
                last = change.seq;
            }
        }
        assert!(last >= head, "what the head counts can be read");
        if is_last {
            return;
        }
    }
}

/// Somebody else's transaction holds the row of the space.
#[test]
fn a_held_space_delays_pushes_and_loses_none() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let nodes = [Node::deaf(&database, &env), Node::deaf(&database, &env)];
    let mut first = Peer::new("first");
    first.sync(&nodes[0].place, vec![put("first", &note(0), at(1))]);
    let head = nodes[0].head();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            database.database().sql(
                "BEGIN; SELECT 1 FROM spaces FOR UPDATE;
                 DO $$ BEGIN
                     FOR n IN 1..1000 LOOP
                         PERFORM pg_stat_clear_snapshot();
                         EXIT WHEN (SELECT count(*) >= 2 FROM pg_stat_activity
                             WHERE datname = current_database() AND wait_event_type = 'Lock');
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                     PERFORM pg_sleep(1);
                 END $$;
                 SELECT head_seq FROM spaces; COMMIT",
            )
        });
        eventually("a transaction that holds the space", FOREVER, || {
            let held = "SELECT count(*) FROM pg_locks WHERE relation = 'spaces'::regclass AND mode = 'RowShareLock'";
            (database.database().sql(held) != "0").then_some(())
        });
        for w in 0..6 {
            let place = &nodes[w % 2].place;
            scope.spawn(move || Peer::new(&format!("d{w}")).sync(place, vec![put(&format!("n{w}"), &note(w), at(1))]));
        }
        let seen = holder.join().expect("the transaction ends");
        assert_eq!(seen, format!("1\n{head}"), "nothing was written while it held the space");
    });
    assert_eq!(nodes[0].place.live().iter().filter(|delivery| delivery.key.collection == NOTE).count(), 1 + 6);
    look_through(&nodes[0]);
}

/// Makes inserts into `table` fail `times` times with errors after which a transaction is to be tried again.
fn fail_at_first(database: &OnPostgres, event: &str, times: usize) {
    database.database().sql(&format!(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE try bigint := nextval('tries');
             BEGIN
                 IF try > {times} THEN RETURN NULL; END IF;
                 IF try % 2 = 0 THEN RAISE 'a deadlock' USING ERRCODE = '40P01'; END IF;
                 RAISE 'could not serialise' USING ERRCODE = '40001';
             END $$;
         CREATE TRIGGER fail_at_first BEFORE {event} FOR EACH STATEMENT EXECUTE FUNCTION fail_at_first();"
    ));
}

/// How often a device's write of the note is in the log.
fn stored(node: &Node, id: &str) -> usize {
    node.place.log().iter().filter(|change| change.key == key(NOTE, id) && change.replica.is_some()).count()
}

#[test]
fn deadlocks_are_tried_again_and_stored_once() {
    // As many as are tried without the lock of the space; and one with it, too.
    for times in [1, 4, 6] {
        let Some(database) = OnPostgres::new() else { return };
        let node = Node::deaf(&database, &env());
        let mut a = Peer::new("a");
        a.sync(&node.place, vec![put("before", &note(0), at(1))]);
        fail_at_first(&database, "INSERT ON changes", times);
        let mut listener = node.listen();
        let reply = a.sync(&node.place, vec![put("n", &note(1), at(2)), put("m", &note(2), at(2))]);
        assert_eq!(reply.answers.len(), 2);
        assert_eq!(database.database().sql("SELECT last_value FROM tries"), (times + 1).to_string());
        assert_eq!((stored(&node, "n"), stored(&node, "m")), (1, 1));
        assert_eq!(heard(&mut listener), Message::Grew(node.place.address, node.head()));
        assert_eq!((node.place.note("n"), node.place.note("m")), (Some(note(1)), Some(note(2))));
        look_through(&node);
    }
}

/// A push that failed often locks the space first: its transaction ends later than its statement.
#[test]
fn what_is_told_is_committed() {
    let Some(database) = OnPostgres::new() else { return };
    let node = Node::deaf(&database, &env());
    Peer::new("a").sync(&node.place, vec![put("before", &note(0), at(1))]);
    fail_at_first(&database, "INSERT ON changes", 5);
    database.database().sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER before_the_commit AFTER INSERT ON changes DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION dawdle();",
    );
    let mut listener = node.listen();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::new("b").sync(&node.place, vec![put("n", &note(1), at(1))]));
        let Message::Grew(_, head) = heard(&mut listener) else { panic!("nothing else happens") };
        assert!(node.head() >= head, "no message says more than the database");
    });
}

/// What a push does after its commit fails, and the push is tried again: it finds that all is stored already.
#[test]
fn a_commit_after_which_something_failed_is_told() {
    let Some(database) = OnPostgres::new() else { return };
    let node = Node::deaf(&database, &env());
    Peer::new("a").sync(&node.place, vec![put("before", &note(0), at(1))]);
    fail_at_first(&database, "DELETE ON refusals", 1);
    let mut listener = node.listen();
    let refused = Refused { record: "r".to_owned(), kind: "k".to_owned(), reason: "none".to_owned() };
    let request = node.place.request("a", None, vec![put("n", &note(1), at(2))]);
    node.place.send(tombolo_storage::Exchange { refused: vec![refused], ..request }).expect("it is tried again");
    assert_eq!(database.database().sql("SELECT last_value FROM tries"), "2", "it failed once");
    assert_eq!(stored(&node, "n"), 1);
    assert_eq!(heard(&mut listener), Message::Grew(node.place.address, node.head()));
    look_through(&node);
}

/// A database that is told to acknowledge before its disk does.
#[test]
fn a_push_waits_for_the_disk_whatever_the_database_is_told() {
    let Some(database) = OnPostgres::new() else { return };
    database.database().sql(&format!(
        "ALTER DATABASE \"{}\" SET synchronous_commit = off;
         CREATE TABLE settings (value text);",
        database.database().name()
    ));
    let node = Node::deaf(&database, &env());
    database.database().sql(
        "CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO settings VALUES (current_setting('synchronous_commit'));
                 RETURN NULL;
             END $$;
         CREATE TRIGGER note_setting AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION note_setting();",
    );
    Peer::new("a").sync(&node.place, vec![put("n", &note(0), at(1))]);
    assert_eq!(database.database().sql("SELECT DISTINCT value FROM settings"), "on");
    assert_eq!(database.database().sql("SHOW synchronous_commit"), "off", "or this showed nothing");
    look_through(&node);
}
