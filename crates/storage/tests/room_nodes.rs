//! Rooms on several nodes of one PostgreSQL at once: what one does holds on all, and nobody waits for somebody who waits
//! for him.

mod support;

use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use support::OnPostgres;
use support::nodes::{Node, env, heard};
use tombolo_core::versions::VersionsKept;
use tombolo_core::{LeaseId, NodeId, PeerName, RoomCode, RoomId, Seq, ServerTime, SpaceNumber, UserId};
use tombolo_storage::{
    DocumentPut, DocumentStored, IdleRooms, Lease, Listener, Logs, Message, NewRoom, OpenedRoom, Room, RoomAdded,
    Rooms as _, StoreError,
};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::{TestEnv, wait};

const KEPT: VersionsKept = VersionsKept { newest: 1_000, minutes: 0, hours: 0, days: 0, bytes_max: u64::MAX };

/// Two nodes, and rooms of their user.
struct Nodes {
    nodes: [Node; 2],
    database: OnPostgres,
}

fn later(secs: u64) -> ServerTime {
    TestEnv::START.plus(Duration::from_secs(secs))
}

fn room(number: u8) -> Room {
    Room {
        owner: UserId::new(1),
        number: SpaceNumber::new(i64::from(number) - 7),
        code: RoomCode::parse(&format!("room-{number}")).expect("it is a code"),
        id: RoomId::make([number; 16]),
        host: PeerName::parse("host_1", 64).expect("it is a name"),
        created_at: later(0),
    }
}

fn lease(node: usize, secs: u64) -> Lease {
    let id = i64::try_from(node).expect("a small number");
    Lease { id: LeaseId::new(id + 1), node: NodeId::new(id + 10), until: later(secs) }
}

const fn node_ids<const N: usize>(nodes: [i64; N]) -> [NodeId; N] {
    let mut ids = [NodeId::new(0); N];
    let mut n = 0;
    while n < N {
        ids[n] = NodeId::new(nodes[n] + 10);
        n += 1;
    }
    ids
}

impl Nodes {
    /// With a room; `None` where there is no PostgreSQL. `is_tended` as a server's are, who hear each other.
    fn new(is_tended: bool) -> Option<(Self, Room)> {
        let database = OnPostgres::new()?;
        let env = env();
        let node = || if is_tended { Node::tended(&database, &env) } else { Node::deaf(&database, &env) };
        let nodes = Self { nodes: [node(), node()], database };
        let room = room(1);
        nodes.make(0, &room);
        Some((nodes, room))
    }

    fn sql(&self, sql: &str) -> String {
        self.database.database().sql(sql)
    }

    fn make(&self, node: usize, room: &Room) {
        let new = NewRoom { room: room.clone(), of_owner_max: 100 };
        assert_eq!(wait(self.nodes[node].store.add_room(new)).expect("the database answers"), RoomAdded::New);
    }

    fn try_put(&self, node: usize, room: &Room, text: &str) -> Result<DocumentStored, StoreError> {
        let put = DocumentPut { space: room.space(), text: text.to_owned(), after: None, kept: KEPT, now: later(100) };
        wait(self.nodes[node].store.put_document(put))
    }

    fn put(&self, node: usize, room: &Room, text: &str) -> DocumentStored {
        self.try_put(node, room, text).expect("the database answers")
    }

    fn open(&self, node: usize, room: &Room, until: u64, now: u64) -> Option<OpenedRoom> {
        let opened = self.nodes[node].store.open_room(room.owner, &room.code, lease(node, until), later(now));
        wait(opened).expect("the database answers")
    }

    fn renew(&self, node: usize, rooms: &[&Room], until: u64, now: u64) -> Vec<Option<Vec<NodeId>>> {
        let leases: Vec<_> = rooms.iter().map(|room| (room.space(), lease(node, until))).collect();
        wait(self.nodes[node].store.renew_leases(&leases, later(now))).expect("the database answers")
    }

    fn close(&self, node: usize, rooms: &[&Room], used_at: u64) {
        let closed: Vec<_> = rooms.iter().map(|room| (room.space(), lease(node, 0).id, later(used_at))).collect();
        wait(self.nodes[node].store.close_rooms(&closed)).expect("the database answers");
    }

    /// Ends what nobody has open and was left until `used_at`.
    fn end(&self, node: usize, used_at: u64, now: u64) -> u64 {
        let since = Some(later(used_at));
        let idle = IdleRooms { empty_since: since, since, now: later(now), count_max: 100 };
        wait(self.nodes[node].store.end_rooms(idle)).expect("the database answers")
    }

    /// What is there of any room.
    fn rows(&self) -> String {
        self.sql(
            "SELECT (SELECT count(*) FROM rooms), (SELECT count(*) FROM spaces WHERE purpose = 'rooms'),
                 (SELECT count(*) FROM records), (SELECT count(*) FROM changes), (SELECT count(*) FROM forks),
                 (SELECT count(*) FROM room_leases)",
        )
    }

    /// Makes `event` on `table` wait, each row, until [`Self::let_pass`].
    fn hold(&self, event: &str, table: &str) {
        self.sql(&format!(
            "CREATE TABLE ends (n int);
             CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 FOR n IN 1..1000 LOOP
                     EXIT WHEN EXISTS (SELECT FROM ends);
                     PERFORM pg_sleep(0.01);
                 END LOOP;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER gate AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION gate();"
        ));
    }

    /// Waits until somebody stands at the gate.
    fn held(&self) {
        let sleeping = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event = 'PgSleep'";
        eventually("a transaction at the gate", FOREVER, || (self.sql(sleeping) == "1").then_some(()));
    }

    /// Waits until somebody waits for a lock.
    fn blocked(&self) {
        let locks = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("somebody who waits for a lock", FOREVER, || (self.sql(locks) == "1").then_some(()));
    }

    fn let_pass(&self) {
        self.sql("INSERT INTO ends VALUES (1)");
    }

    /// Nobody was in anybody's way for good.
    fn look_through(self) {
        self.nodes.iter().for_each(|node| {
            wait(tombolo_storage::Upkeep::close(&*node.store)).expect("the node ends cleanly");
        });
        // What a connection counted is known when it is gone.
        let others = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        eventually("connections that are gone", FOREVER, || (self.sql(others) == "0").then_some(()));
        assert_eq!(self.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), "0");
    }
}

/// Hears until it is told that the log has grown so far. What it is told on the way never falls.
fn hears_of(listener: &mut Listener, room: &Room, version: Seq) {
    loop {
        match heard(listener) {
            Message::Grew(space, seq) => {
                assert_eq!(space, room.space());
                if seq == version {
                    return;
                }
            }
            other => panic!("nothing else happens: {other:?}"),
        }
    }
}

/// Two nodes store at once: the versions are in one order, and both hear how far they go.
#[test]
fn versions_of_two_nodes_are_in_one_order_and_told_to_both() {
    const EACH: u64 = 12;
    let Some((nodes, room)) = Nodes::new(true) else { return };
    let mut listeners = nodes.nodes.each_ref().map(Node::listen);
    let mut stored: Vec<(Seq, String)> = std::thread::scope(|scope| {
        let writers = [0, 1].map(|node| {
            let (nodes, room) = (&nodes, &room);
            scope.spawn(move || {
                let put = |n: u64| {
                    let text = format!("{node}: {n}");
                    match nodes.put(node, room, &text) {
                        DocumentStored::Stored(version) => (version, text),
                        other => panic!("it is new: {other:?}"),
                    }
                };
                (0..EACH).map(put).collect::<Vec<_>>()
            })
        });
        writers.into_iter().flat_map(|writer| writer.join().expect("all are stored")).collect()
    });
    stored.sort_unstable();
    let versions: Vec<Seq> = stored.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=2 * EACH).map(Seq::new).collect::<Vec<_>>());
    for (n, (version, text)) in stored.iter().enumerate() {
        let found = wait(nodes.nodes[n % 2].store.document(room.space(), Some(*version)));
        assert_eq!(found.expect("the database answers").map(|document| document.text).as_ref(), Some(text));
    }
    for listener in &mut listeners {
        hears_of(listener, &room, Seq::new(2 * EACH));
    }
    assert_eq!(nodes.sql("SELECT seq, prev FROM changes WHERE prev IS DISTINCT FROM nullif(seq - 1, 0)"), "");
    nodes.look_through();
}

/// Both have the room open, and each is told of the other, for as long as that is so.
#[test]
fn nodes_know_of_each_other() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    let other = self::room(2);
    nodes.make(1, &other);
    assert_eq!(nodes.open(0, &room, 190, 100).expect("it is there").others, []);
    assert_eq!(nodes.open(1, &room, 190, 100).expect("it is there").others, node_ids([0]));
    assert_eq!(nodes.renew(0, &[&other, &room], 210, 120), [Some(vec![]), Some(node_ids([1]).to_vec())]);
    nodes.close(1, &[&room, &other], 150);
    assert_eq!(nodes.renew(0, &[&room], 220, 130), [Some(vec![])]);
    let found = wait(nodes.nodes[1].store.room(room.owner, &room.code)).expect("the database answers");
    assert_eq!(found, Some((room, node_ids([0]).to_vec())));
    nodes.look_through();
}

/// A room that somebody opens does not end, and who ends rooms does not wait for him.
#[test]
fn a_room_that_is_being_opened_stays() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    nodes.hold("INSERT", "room_leases");
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| nodes.open(0, &room, 190, 100));
        nodes.held();
        assert_eq!(nodes.end(1, 50, 100), 0);
        nodes.let_pass();
        assert!(opening.join().expect("it comes to something").is_some());
    });
    assert_eq!(nodes.end(1, 50, 100), 0, "it is open");
    assert_eq!(nodes.end(1, 190, 191), 1);
    nodes.look_through();
}

/// A lease that is put off while rooms end counts, though it had run out when they were looked at.
#[test]
fn a_room_whose_lease_is_being_renewed_stays() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    nodes.open(0, &room, 99, 90).expect("it is there");
    nodes.hold("UPDATE", "room_leases");
    std::thread::scope(|scope| {
        let renewing = scope.spawn(|| nodes.renew(0, &[&room], 190, 100));
        nodes.held();
        assert_eq!(nodes.end(1, 99, 100), 0);
        nodes.let_pass();
        assert_eq!(renewing.join().expect("it comes to something"), [Some(vec![])]);
    });
    assert_eq!(nodes.rows(), "1|1|0|0|0|1");
    nodes.look_through();
}

/// A lease that has run out and could not be swept away, since somebody held it, keeps its room until it is: when the room
/// was used last is not known before.
#[test]
fn a_room_with_a_lease_that_was_not_swept_stays() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    nodes.open(0, &room, 99, 90).expect("it is there");
    nodes.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER keep BEFORE DELETE ON room_leases FOR EACH ROW EXECUTE FUNCTION keep();",
    );
    assert_eq!(nodes.end(1, 99, 100), 0);
    nodes.sql("DROP TRIGGER keep ON room_leases");
    assert_eq!(nodes.end(1, 99, 100), 1);
    nodes.look_through();
}

/// Rooms end a few at a time: what happened to the others since they were found idle counts.
#[test]
fn a_room_that_was_found_idle_and_then_used_stays() {
    let Some((nodes, _)) = Nodes::new(false) else { return };
    let [opened, written] = [room(9), room(10)];
    (2..11).for_each(|number| nodes.make(0, &room(number)));
    nodes.hold("DELETE", "rooms");
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let idle = IdleRooms { empty_since: Some(later(50)), since: None, now: later(100), count_max: 100 };
            wait(nodes.nodes[0].store.end_rooms(idle)).expect("the database answers")
        });
        nodes.held();
        assert!(nodes.open(1, &opened, 190, 100).is_some());
        assert_eq!(nodes.put(1, &written, "text"), DocumentStored::Stored(Seq::new(1)));
        nodes.let_pass();
        assert_eq!(ending.join().expect("it comes to something"), 8);
    });
    assert_eq!(nodes.rows(), "2|2|1|1|1|1");
    nodes.look_through();
}

/// A room that somebody writes to does not end.
#[test]
fn a_room_that_is_being_written_to_stays() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    nodes.hold("INSERT", "changes");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| nodes.put(0, &room, "text"));
        nodes.held();
        assert_eq!(nodes.end(1, 50, 100), 0);
        nodes.let_pass();
        assert_eq!(writing.join().expect("it comes to something"), DocumentStored::Stored(Seq::new(1)));
    });
    assert_eq!(nodes.rows(), "1|1|1|1|1|0");
    nodes.look_through();
}

/// Whoever comes while a room ends waits, and finds none.
#[test]
fn a_room_that_ends_is_gone_for_who_waits() {
    type Come = fn(&Nodes, &Room) -> bool;
    let all: [Come; 4] = [
        |nodes, room| nodes.open(1, room, 190, 100).is_none(),
        |nodes, room| nodes.renew(1, &[room], 190, 100) == [None],
        |nodes, room| nodes.put(1, room, "late") == DocumentStored::NoRoom,
        |nodes, room| {
            nodes.close(1, &[room], 500);
            true
        },
    ];
    for (n, come) in all.into_iter().enumerate() {
        let Some((nodes, room)) = Nodes::new(false) else { return };
        assert_eq!(nodes.put(0, &room, "text"), DocumentStored::Stored(Seq::new(1)));
        nodes.hold("DELETE", "changes");
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| nodes.end(0, 50, 100));
            nodes.held();
            let coming = scope.spawn(|| come(&nodes, &room));
            nodes.blocked();
            nodes.let_pass();
            assert!(coming.join().expect("it comes to something"), "the {n}th");
            assert_eq!(ending.join().expect("it comes to something"), 1);
        });
        assert_eq!(nodes.rows(), "0|0|0|0|0|0", "the {n}th");
        nodes.look_through();
    }
}

/// A node that stood still over its lease finds others' word of what happened.
#[test]
fn what_was_decided_on_an_older_state_is_decided_again() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    nodes.hold("INSERT", "changes");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| nodes.put(0, &room, "same"));
        nodes.held();
        // It was read before the first one was written, and is decided anew.
        let second = scope.spawn(|| nodes.put(1, &room, "same"));
        nodes.blocked();
        nodes.let_pass();
        assert_eq!(first.join().expect("it comes to something"), DocumentStored::Stored(Seq::new(1)));
        assert_eq!(second.join().expect("it comes to something"), DocumentStored::Unchanged(Seq::new(1)));
    });
    nodes.look_through();
}

/// As large as a document may be, beside versions as large: their lengths are asked for, and not what they say.
#[test]
fn the_largest_documents_are_stored() {
    const BYTES: usize = 32 << 20;
    let Some((nodes, room)) = Nodes::new(false) else { return };
    let line = |n: usize| format!("{n},\"งาน\",{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut text: String = (0..)
        .map(line)
        .scan(0, |bytes, line| {
            (*bytes < BYTES).then(|| {
                *bytes += line.len();
                line
            })
        })
        .collect();
    for version in 1..4 {
        text.push('x');
        assert_eq!(nodes.put(0, &room, &text), DocumentStored::Stored(Seq::new(version)));
        assert_eq!(nodes.put(1, &room, &text), DocumentStored::Unchanged(Seq::new(version)));
    }
    let opened = nodes.open(1, &room, 190, 100).and_then(|opened| opened.document).expect("there is one");
    assert!(opened.text == text, "not shown: it is large");
    let versions = wait(nodes.nodes[1].store.versions(room.space())).expect("the database answers");
    let bytes = text.len() as u64;
    assert_eq!(versions.iter().map(|version| version.bytes).collect::<Vec<_>>(), [bytes, bytes - 1, bytes - 2]);
    assert_eq!(nodes.end(0, 190, 191), 1);
    nodes.look_through();
}

/// A space that was remembered is gone with its room: another one may have its address.
#[test]
fn nothing_is_remembered_of_a_room_that_ended() {
    let Some((nodes, room)) = Nodes::new(false) else { return };
    let head = |node: usize| {
        let head = wait(Logs::head(&*nodes.nodes[node].store, room.space())).expect("the database answers");
        head.seq
    };
    for node in [0, 1] {
        nodes.put(node, &room, "one");
        nodes.put(node, &room, "two");
        assert_eq!((head(0), head(1)), (Seq::new(2), Seq::new(2)));
        assert_eq!(nodes.end(node, 50, 100), 1);
        assert_eq!((head(0), head(1)), (Seq::ZERO, Seq::ZERO));
        nodes.make(node, &room);
    }
    nodes.put(0, &room, "one");
    assert_eq!((head(0), head(1)), (Seq::new(1), Seq::new(1)));
    nodes.look_through();
}

/// Everything at once, on many rooms: no deadlock, and what is there in the end is whole.
#[test]
fn nobody_is_in_anybodys_way_for_good() {
    const ROUNDS: u64 = 15;
    let Some((nodes, _)) = Nodes::new(false) else { return };
    let rooms: Vec<Room> = (2..12).map(room).collect();
    let make = |node: usize| {
        for room in &rooms {
            let new = NewRoom { room: Room { number: random(), ..room.clone() }, of_owner_max: 100 };
            wait(nodes.nodes[node].store.add_room(new)).expect("the database answers");
        }
    };
    make(0);
    let there = |node: usize| -> Vec<Room> {
        let all = wait(nodes.nodes[node].store.rooms(None)).expect("the database answers");
        all.into_iter().map(|overview| overview.room).collect()
    };
    std::thread::scope(|scope| {
        let (nodes, there, make) = (&nodes, &there, &make);
        let mut threads: Vec<ScopedJoinHandle<'_, ()>> = Vec::new();
        for node in [0, 1] {
            threads.push(scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut rooms = there(node);
                    if node == 1 {
                        rooms.reverse();
                    }
                    rooms.iter().for_each(|room| drop(nodes.open(node, room, 100 + round, 90)));
                    let rooms: Vec<&Room> = rooms.iter().collect();
                    nodes.renew(node, &rooms, 120, 90);
                    nodes.close(node, &rooms, round);
                }
            }));
            threads.push(scope.spawn(move || {
                for round in 0..ROUNDS {
                    there(node).iter().for_each(|room| drop(nodes.put(node, room, &format!("{round}"))));
                    make(node);
                }
            }));
            threads.push(scope.spawn(move || (0..ROUNDS).for_each(|round| _ = nodes.end(node, 100 + round, 115))));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("nothing fails"));
    });
    let orphans = |table: &str, space: &str| {
        nodes.sql(&format!("SELECT count(*) FROM {table} WHERE {space} NOT IN (SELECT space FROM rooms)"))
    };
    for table in ["changes", "records", "forks", "room_leases"] {
        assert_eq!(orphans(table, "space"), "0", "{table}");
    }
    assert_eq!(orphans("spaces", "id"), "0");
    nodes.end(0, 1_000, 1_000);
    assert_eq!(nodes.rows(), "0|0|0|0|0|0");
    nodes.look_through();
}

/// A number that no room has yet.
fn random() -> SpaceNumber {
    static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1_000);
    SpaceNumber::new(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// What would be read wrong is a failure.
#[test]
fn damaged_documents_are_noticed() {
    for damage in [
        "UPDATE changes SET payload = 'x' WHERE seq = 2",
        "UPDATE changes SET payload = NULL WHERE seq = 2",
        "UPDATE changes SET payload = '\\xff', checksum = 4278190080 WHERE seq = 2",
        "DELETE FROM changes WHERE seq = 2",
    ] {
        let Some((nodes, room)) = Nodes::new(false) else { return };
        nodes.put(0, &room, "one");
        nodes.put(0, &room, "two");
        nodes.sql(damage);
        let store = &nodes.nodes[0].store;
        let reads = [
            wait(store.document(room.space(), None)).map(drop),
            wait(store.open_room(room.owner, &room.code, lease(0, 190), later(100))).map(drop),
        ];
        for read in reads {
            assert!(matches!(read, Err(StoreError::Corrupt(_))), "{damage}: {read:?}");
        }
        let put = nodes.try_put(0, &room, "three");
        let is_missing = damage.starts_with("DELETE");
        assert_eq!(matches!(put, Err(StoreError::Corrupt(_))), is_missing, "{damage}: {put:?}");
        assert!(wait(store.document(room.space(), Some(Seq::new(1)))).is_ok(), "what is whole reads");
    }
}

/// A database that is told to acknowledge before its disk does.
#[test]
fn what_is_stored_waits_for_the_disk_whatever_the_database_is_told() {
    let Some(database) = OnPostgres::new() else { return };
    database.database().sql(&format!(
        "ALTER DATABASE \"{}\" SET synchronous_commit = off;
         CREATE TABLE settings (value text);",
        database.database().name()
    ));
    let env: Arc<TestEnv> = env();
    let nodes = Nodes { nodes: [Node::deaf(&database, &env), Node::deaf(&database, &env)], database };
    nodes.sql(
        "CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO settings VALUES (TG_TABLE_NAME || ' ' || current_setting('synchronous_commit'));
             RETURN NULL;
         END $$;",
    );
    for table in ["rooms", "room_leases", "changes"] {
        nodes.sql(&format!(
            "CREATE CONSTRAINT TRIGGER note_setting AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION note_setting()"
        ));
    }
    let room = room(1);
    nodes.make(0, &room);
    nodes.put(0, &room, "text");
    nodes.open(0, &room, 190, 100);
    assert_eq!(nodes.sql("SELECT value FROM settings ORDER BY value"), "changes on\nroom_leases on\nrooms on");
    assert_eq!(nodes.sql("SHOW synchronous_commit"), "off", "or this showed nothing");
}
