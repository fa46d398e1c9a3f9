//! Replicas that bring and take in two requests, on several nodes of one PostgreSQL at once.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::OnPostgres;
use support::nodes::{Node, env};
use tombolo_core::{
    CollectionName, Digest, Env as _, Fields, Name, Op, Policy, PolicyError, Purpose, RecordKey, RecordName,
    RecordVersion, ReplicaName, ResetReason, Seq, SpaceCursor, Unique, UserId, Verdict,
};
use tombolo_storage::{
    Accounts as _, Action, Download, Downloaded, Erasure as _, Fate, Logs as _, NamedBase, Present, Reading,
    Replicas as _, SpaceAddress, Stale, StoreError, Upkeep as _, Upload, Uploaded, UserDeleted, Write,
};
use tombolo_testkit::eventually::{FOREVER, SetOnDrop, eventually};
use tombolo_testkit::{Note, Peer, TestEnv, at, put, wait};

/// Pages of a diary, of two fields each: `x` and `y`, a line each.
const PAGE: CollectionName = CollectionName::new("page");

/// A protocol whose deletions take all with them, and whose clients keep the instants that they are sent.
struct Diary;

impl Policy for Diary {
    fn collections(&self) -> &'static [CollectionName] {
        &[PAGE]
    }

    fn rank(&self, _: CollectionName) -> usize {
        0
    }

    fn split<'a>(&self, _: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        let mut lines = payload.split(|byte| *byte == b'\n');
        let mut field = |name| (Cow::Borrowed(name), Cow::Borrowed(lines.next().unwrap_or_default()));
        Ok(vec![field("x"), field("y")])
    }

    fn join(&self, _: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        let value = |name| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_ref());
        Some([value("x")?, b"\n", value("y")?].concat())
    }

    fn same(&self, _: CollectionName, _: &str, left: &[u8], right: &[u8]) -> bool {
        left == right
    }

    fn merge_set(&self, _: CollectionName, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn digest(&self, _: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        Ok(Digest::of(payload))
    }

    fn references(&self, _: CollectionName, _: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        Ok(Vec::new())
    }

    fn redirect(
        &self,
        _: CollectionName,
        payload: &[u8],
        _: &RecordKey,
        _: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        Ok(payload.to_vec())
    }

    fn attach(&self, _: CollectionName, _: &[u8], _: &RecordKey) -> Result<Option<Vec<u8>>, PolicyError> {
        Ok(None)
    }

    fn unique(&self, _: CollectionName, _: &[u8]) -> Result<Option<Unique>, PolicyError> {
        Ok(None)
    }

    fn clients_restamp(&self) -> bool {
        false
    }

    fn erases(&self) -> bool {
        true
    }

    fn home(&self) -> Option<RecordKey> {
        None
    }
}

/// Two nodes and a third, and their users: ada, who is 1, and bob, who is 2.
struct Nodes {
    nodes: [Node; 3],
    database: OnPostgres,
}

fn of_user(user: i64) -> SpaceAddress {
    SpaceAddress::only(UserId::new(user), Purpose::Wellbeing)
}

fn page_key(name: &str) -> RecordKey {
    RecordKey::new(PAGE, RecordName::parse(name).unwrap())
}

fn write(name: &str, action: Action, written_at: i64, base: NamedBase) -> Write {
    Write { key: page_key(name), action, written_at: at(written_at), is_home: false, base }
}

fn page(name: &str, (x, y): (&str, &str), written_at: i64, base: NamedBase) -> Write {
    write(name, Action::Put(format!("{x}\n{y}").into_bytes()), written_at, base)
}

impl Nodes {
    /// `None` where there is no PostgreSQL.
    fn new() -> Option<Self> {
        let database = OnPostgres::new()?;
        let env = env();
        let node = || Node::deaf(&database, &env);
        let nodes = Self { nodes: [node(), node(), node()], database };
        wait(nodes.nodes[0].store.add_user(&Name::parse("bob").unwrap(), None, TestEnv::START)).unwrap();
        // The nodes tried to add ada again each.
        nodes.sql("UPDATE users SET id = 2 WHERE name = 'bob'");
        Some(nodes)
    }

    fn sql(&self, sql: &str) -> String {
        self.database.database().sql(sql)
    }

    /// The nodes dawdle before and after they take a device's name.
    fn dawdle(&self, table: &str) {
        self.sql(&format!(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$;
             CREATE TRIGGER before_it BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
             CREATE CONSTRAINT TRIGGER before_the_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION dawdle();"
        ));
    }

    fn upload(
        &self,
        node: usize,
        user: i64,
        replica: &str,
        presented: Option<SpaceCursor>,
        writes: Vec<Write>,
    ) -> Result<Uploaded, StoreError> {
        let node = &self.nodes[node];
        wait(node.store.upload(Upload {
            space: of_user(user),
            replica: ReplicaName::parse(replica).unwrap(),
            presented,
            writes,
            refused: Vec::new(),
            policy: Arc::new(Diary),
            now: node.place.env.now(),
        }))
    }

    fn bring(&self, node: usize, replica: &str, presented: Option<SpaceCursor>, writes: Vec<Write>) -> Brought {
        match self.upload(node, 1, replica, presented, writes).unwrap() {
            Uploaded::Done { fates, cursor } => Brought { fates, cursor },
            other => panic!("{other:?}"),
        }
    }

    fn download(&self, node: usize, user: i64, replica: &str, since: Option<SpaceCursor>, count: usize) -> Downloaded {
        let node = &self.nodes[node];
        let download = node.store.download(Download {
            space: of_user(user),
            replica: ReplicaName::parse(replica).unwrap(),
            since,
            count_max: count,
            page_bytes_max: 1 << 20,
            delivery_overhead_bytes: 10,
            policy: Arc::new(Diary),
            now: node.place.env.now(),
        });
        wait(download).unwrap()
    }

    fn take(
        &self,
        node: usize,
        replica: &str,
        since: Option<SpaceCursor>,
        count: usize,
    ) -> (Vec<Present>, SpaceCursor, bool) {
        match self.download(node, 1, replica, since, count) {
            Downloaded::Page { records, cursor, more } => (records, cursor, more),
            other => panic!("{other:?}"),
        }
    }

    /// All records, as a device that is new finds them.
    fn all(&self) -> BTreeMap<String, Present> {
        let (records, _, more) = self.take(2, "looker-on", None, 10_000);
        assert!(!more);
        records.into_iter().map(|record| (record.key.name.to_string(), record)).collect()
    }

    /// Erases ada's log, on the third node.
    fn erase(&self) -> bool {
        let node = &self.nodes[2];
        wait(node.store.erase_space(of_user(1), node.place.env.now())).unwrap()
    }

    /// Rows of spaces that are not there.
    fn strays(&self) -> String {
        let tables = ["changes", "records", "replicas", "replica_spaces", "forks"];
        let count = |table: &str| {
            format!("(SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT FROM spaces s WHERE s.id = t.space))")
        };
        self.sql(&format!("SELECT {}", tables.map(count).join(" + ")))
    }

    /// The log is dense and in order, and the whole database is in order.
    fn look_through(&self) {
        let policy: Arc<dyn Policy> = Arc::new(Diary);
        let log = wait(self.nodes[2].store.changes(of_user(1), &policy, Seq::ZERO, 1_000_000)).unwrap();
        for (place, change) in log.iter().enumerate() {
            assert_eq!(change.seq, Seq::new(place as u64 + 1));
        }
        let readings = vec![Reading::of_records(Purpose::Wellbeing, policy)];
        let report = wait(self.nodes[2].store.check(readings, Box::new(|_, _| {}))).unwrap();
        assert_eq!(report.faults, Vec::<String>::new());
    }
}

#[derive(Debug)]
struct Brought {
    fates: Vec<Fate>,
    cursor: SpaceCursor,
}

impl Brought {
    fn verdicts(&self) -> Vec<Verdict> {
        let verdict = |fate: &Fate| if let Fate::Judged { verdict, .. } = fate { *verdict } else { panic!("{fate:?}") };
        self.fates.iter().map(verdict).collect()
    }

    fn versions(&self) -> Vec<RecordVersion> {
        let version = |fate: &Fate| if let Fate::Judged { version, .. } = fate { *version } else { panic!("{fate:?}") };
        self.fates.iter().map(version).collect()
    }
}

fn text(present: &Present) -> &str {
    std::str::from_utf8(&present.payload).unwrap()
}

#[test]
fn uploads_of_two_nodes_at_once_are_all_stored() {
    const DEVICES: usize = 6;
    const UPLOADS: usize = 5;
    let Some(nodes) = Nodes::new() else { return };
    let names = |device: usize, n: usize| [0, 1, 2].map(|page| format!("d{device}-{n}-{page}"));
    std::thread::scope(|scope| {
        for device in 0..DEVICES {
            let nodes = &nodes;
            scope.spawn(move || {
                let mut cursor = None;
                for n in 0..UPLOADS {
                    let writes = names(device, n).map(|name| page(&name, ("1", "1"), 1, NamedBase::Nothing)).to_vec();
                    let brought = nodes.bring(device % 2, &format!("device-{device}"), cursor, writes);
                    assert_eq!(brought.verdicts(), [Verdict::Applied; 3]);
                    cursor = Some(brought.cursor);
                }
            });
        }
    });
    let all: BTreeSet<String> =
        (0..DEVICES).flat_map(|device| (0..UPLOADS).flat_map(move |n| names(device, n))).collect();
    assert_eq!(nodes.all().into_keys().collect::<BTreeSet<_>>(), all);
    assert_eq!(nodes.sql("SELECT count(*) FROM spaces WHERE purpose = 'wellbeing'"), "1");
    nodes.look_through();
}

#[test]
fn a_device_of_two_users_at_once_is_the_ones_who_was_first() {
    const ROUNDS: usize = 12;
    let Some(nodes) = Nodes::new() else { return };
    nodes.dawdle("replica_spaces");
    for round in 0..ROUNDS {
        let device = format!("device-{round}");
        let begin = |node: usize| {
            let user = i64::try_from(node).unwrap() + 1;
            if round % 2 == node {
                let upload = vec![page(&format!("page-{round}"), ("1", "1"), 1, NamedBase::Nothing)];
                match nodes.upload(node, user, &device, None, upload).unwrap() {
                    Uploaded::Done { .. } => true,
                    Uploaded::OthersReplica => false,
                    other @ Uploaded::Stale(_) => panic!("{other:?}"),
                }
            } else {
                match nodes.download(node, user, &device, None, 10) {
                    Downloaded::Page { .. } => true,
                    Downloaded::OthersReplica => false,
                    other @ Downloaded::Stale(_) => panic!("{other:?}"),
                }
            }
        };
        let won = std::thread::scope(|scope| {
            let users = [0, 1].map(|node| scope.spawn(move || begin(node)));
            users.map(|user| user.join().unwrap())
        });
        assert!(won[0] != won[1], "round {round}: {won:?}");
        let winner = if won[0] { 1 } else { 2 };
        let owner = format!(
            "SELECT s.owner FROM replica_spaces b JOIN spaces s ON s.id = b.space
                 JOIN replicas r ON r.space = b.space AND r.name = b.name WHERE b.name = '{device}'"
        );
        assert_eq!(nodes.sql(&owner), winner.to_string());
        assert_eq!(nodes.sql(&format!("SELECT count(*) FROM replicas WHERE name = '{device}'")), "1");
        // So it stays, on whichever node.
        for node in 0..3 {
            assert_eq!(nodes.download(node, 3 - winner, &device, None, 10), Downloaded::OthersReplica);
            let brought = nodes.upload(node, 3 - winner, &device, None, Vec::new()).unwrap();
            assert_eq!(brought, Uploaded::OthersReplica);
            assert!(matches!(nodes.download(node, winner, &device, None, 10), Downloaded::Page { .. }));
        }
    }
}

#[test]
fn a_node_goes_on_when_another_erased_what_it_knows() {
    let Some(nodes) = Nodes::new() else { return };
    let first = nodes.bring(0, "phone", None, vec![page("a", ("1", "1"), 1, NamedBase::Nothing)]);
    let (_, before, _) = nodes.take(1, "laptop", None, 10);
    assert_eq!(before.complete, Seq::new(1));
    assert!(nodes.erase());
    // Before there is another log, and after.
    for _ in 0..2 {
        for node in 0..3 {
            for cursor in [before, first.cursor] {
                let found = nodes.download(node, 1, "laptop", Some(cursor), 10);
                assert_eq!(found, Downloaded::Stale(Stale::Erased), "node {node}");
                let writes = vec![page("b", ("1", "1"), 1, NamedBase::Nothing)];
                let found = nodes.upload(node, 1, "laptop", Some(cursor), writes).unwrap();
                assert_eq!(found, Uploaded::Stale(Stale::Erased), "node {node}");
                // To others it is no log that they ever had.
                let others = nodes.download(node, 2, "bobs", Some(cursor), 10);
                assert_eq!(others, Downloaded::Stale(Stale::Reset(ResetReason::OtherAccount)));
            }
        }
        if nodes.sql("SELECT count(*) FROM spaces WHERE owner = 1 AND purpose = 'wellbeing'") == "0" {
            let again = nodes.bring(0, "phone", None, vec![page("c", ("1", "1"), 1, NamedBase::Nothing)]);
            assert_ne!(again.cursor.space, before.space);
        }
    }
    // The device of before may be anybody's now.
    assert!(matches!(nodes.download(1, 2, "laptop", None, 10), Downloaded::Page { .. }));
    assert_eq!(nodes.all().into_keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!(nodes.strays(), "0");
    nodes.look_through();
}

/// The same for those that resume by a time: as when a user is deleted.
#[test]
fn an_exchange_goes_on_when_another_node_erased_what_it_knows() {
    let Some(nodes) = Nodes::new() else { return };
    let mut phones = [Peer::new("a"), Peer::new("b")];
    let note = Note::new("1", "1");
    for (n, phone) in phones.iter_mut().enumerate() {
        phone.sync(&nodes.nodes[n].place, vec![put(&format!("n{n}"), &note, at(1))]);
        phone.sync(&nodes.nodes[n].place, Vec::new());
    }
    nodes.sql(
        "DELETE FROM spaces WHERE purpose = 'tickit'; DELETE FROM changes; DELETE FROM records; DELETE FROM replicas;
         DELETE FROM cursors; DELETE FROM traffic; DELETE FROM refs; DELETE FROM aliases; DELETE FROM forks",
    );
    for (n, phone) in phones.iter_mut().enumerate() {
        let polled = phone.sync(&nodes.nodes[n].place, Vec::new());
        assert!(polled.deliveries.len() <= n, "what was written since, and no more: {:?}", polled.deliveries);
        phone.sync(&nodes.nodes[n].place, vec![put(&format!("m{n}"), &note, at(2))]);
    }
    assert_eq!(nodes.strays(), "0");
    assert_eq!(nodes.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM records WHERE collection = 'note'"), "m0 m1");
}

#[test]
fn nothing_is_written_to_a_log_that_is_erased_meanwhile() {
    const ROUNDS: i64 = 8;
    let Some(nodes) = Nodes::new() else { return };
    nodes.dawdle("changes");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let devices: Vec<_> = (0..4)
            .map(|device| {
                let (nodes, done) = (&nodes, &done);
                scope.spawn(move || go_on(nodes, device, done))
            })
            .collect();
        for _ in 0..ROUNDS {
            eventually("a log with something in it", FOREVER, || {
                (nodes.sql("SELECT count(*) FROM changes") != "0").then_some(())
            });
            assert!(nodes.erase());
        }
        drop(over);
        let erased: usize = devices.into_iter().map(|device| device.join().unwrap()).sum();
        assert!(erased > 0, "some device noticed");
    });
    assert_eq!(nodes.strays(), "0");
    nodes.look_through();
    nodes.erase();
    assert_eq!((nodes.strays(), nodes.all().len()), ("0".to_owned(), 0));
}

/// Uploads and downloads in turn, and begins anew when the log was erased; says how often it was.
fn go_on(nodes: &Nodes, device: usize, done: &AtomicBool) -> usize {
    let (name, mut cursor, mut erased, mut n) = (format!("device-{device}"), None, 0, 0);
    while !done.load(Ordering::SeqCst) {
        n += 1;
        let writes = vec![page(&format!("d{device}-{n}"), ("1", "1"), n, NamedBase::Nothing)];
        match nodes.upload(device % 2, 1, &name, cursor, writes) {
            // It was erased again and again while this was under way.
            Ok(Uploaded::Done { .. }) | Err(StoreError::Busy) => {}
            Ok(Uploaded::Stale(Stale::Erased)) => (cursor, erased) = (None, erased + 1),
            other => panic!("{other:?}"),
        }
        match nodes.download(device % 2, 1, &name, cursor, 10_000) {
            Downloaded::Page { cursor: next, .. } => cursor = Some(next),
            Downloaded::Stale(Stale::Erased) => (cursor, erased) = (None, erased + 1),
            other => panic!("{other:?}"),
        }
    }
    erased
}

#[test]
fn a_user_who_is_deleted_gets_no_log_any_more() {
    let Some(nodes) = Nodes::new() else { return };
    nodes.bring(0, "phone", None, vec![page("a", ("1", "1"), 1, NamedBase::Nothing)]);
    let deleted = wait(nodes.nodes[2].store.delete_user(&Name::parse("ada").unwrap(), TestEnv::START)).unwrap();
    assert_eq!(deleted, UserDeleted::Gone);
    for node in 0..2 {
        let found = nodes.upload(node, 1, "phone", None, vec![page("b", ("1", "1"), 1, NamedBase::Nothing)]);
        assert!(matches!(found, Err(StoreError::NoSuchUser)), "{found:?}");
    }
    assert_eq!(nodes.sql("SELECT count(*) FROM spaces WHERE owner = 1 AND purpose = 'wellbeing'"), "0");
}

/// Whoever downloads while others upload, page by page, is given everything in the end, and holds all up to his cursor.
#[test]
fn downloads_beside_uploads_miss_nothing() {
    const UPLOADS: i64 = 12;
    let Some(nodes) = Nodes::new() else { return };
    nodes.dawdle("changes");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let reader = scope.spawn(|| {
            let (mut held, mut cursor): (BTreeMap<RecordKey, (Seq, Vec<u8>)>, _) = (BTreeMap::new(), None);
            loop {
                let is_last = done.load(Ordering::SeqCst);
                let (records, next, more) = nodes.take(2, "reader", cursor, 3);
                assert!(records.len() <= 3);
                let from = cursor.map_or(Seq::ZERO, |cursor: SpaceCursor| cursor.resume);
                for record in records {
                    assert!(from < record.version.seq && record.version.seq <= next.resume);
                    held.insert(record.key, (record.version.seq, record.payload));
                }
                cursor = Some(next);
                if is_last && !more {
                    return held;
                }
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|device: usize| {
                let nodes = &nodes;
                scope.spawn(move || {
                    let mut version = NamedBase::Nothing;
                    for n in 0..UPLOADS {
                        let own = format!("d{device}");
                        let writes = vec![
                            page(&format!("d{device}-{n}"), ("1", "1"), n, NamedBase::Nothing),
                            page(&own, (&n.to_string(), "1"), n, version),
                        ];
                        let brought = nodes.bring(device % 2, &own, None, writes);
                        version = NamedBase::Version(brought.versions()[1]);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        drop(over);
        let held = reader.join().unwrap();
        let all: BTreeMap<RecordKey, (Seq, Vec<u8>)> =
            nodes.all().into_values().map(|record| (record.key, (record.version.seq, record.payload))).collect();
        assert_eq!(held.len(), 4 * (usize::try_from(UPLOADS).unwrap() + 1));
        assert_eq!(held, all);
    });
    nodes.look_through();
}

/// How far a replica is was noted by a download on one node: an upload on another goes by it.
#[test]
fn marks_that_one_node_noted_count_on_the_others() {
    let Some(nodes) = Nodes::new() else { return };
    let made = nodes.bring(1, "other", None, vec![page("a", ("1", "1"), 1, NamedBase::Nothing)]);
    // What the second node keeps of the space is as of now.
    nodes.bring(1, "phone", None, Vec::new());
    let (_, cursor, _) = nodes.take(0, "phone", None, 10);
    let (none, _, _) = nodes.take(0, "phone", Some(cursor), 10);
    assert_eq!(none, []);
    let other = page("a", ("2", "1"), 20, NamedBase::Version(made.versions()[0]));
    assert_eq!(nodes.bring(1, "other", None, vec![other]).verdicts(), [Verdict::Applied]);
    // It says nothing of what it had: that is what it acknowledged.
    let brought = nodes.bring(1, "phone", None, vec![page("a", ("1", "2"), 10, NamedBase::Unsaid)]);
    assert_eq!(brought.verdicts(), [Verdict::Merged]);
    assert_eq!(text(&nodes.all()["a"]), "2\n2");
    nodes.look_through();
}

/// Large uploads of which every write meets another's take a few steps, not one for each.
#[test]
fn many_writes_that_need_their_past_are_judged_at_once() {
    const PAGES: usize = 300;
    let Some(nodes) = Nodes::new() else { return };
    let names: Vec<String> = (0..PAGES).map(|n| format!("p{n:03}")).collect();
    let all = |texts: (&str, &str), written_at: i64, bases: &[NamedBase]| -> Vec<Write> {
        names.iter().zip(bases).map(|(name, base)| page(name, texts, written_at, *base)).collect()
    };
    let named =
        |brought: &Brought| -> Vec<NamedBase> { brought.versions().into_iter().map(NamedBase::Version).collect() };
    let nothing = vec![NamedBase::Nothing; PAGES];
    let made = nodes.bring(0, "a", None, all(("1", "1"), 1, &nothing));
    let mut last = named(&made);
    // A past that is longer than what comes with a head.
    for n in 2..8 {
        last = named(&nodes.bring(1, "b", None, all((&n.to_string(), "1"), n, &last)));
    }
    let merged = nodes.bring(0, "a", None, all(("1", "2"), 9, &named(&made)));
    assert_eq!(merged.verdicts(), vec![Verdict::Merged; PAGES]);
    // The reply was lost.
    let again = nodes.bring(1, "a", None, all(("1", "2"), 9, &named(&made)));
    assert_eq!((again.verdicts(), again.versions()), (vec![Verdict::Merged; PAGES], merged.versions()));
    let late = nodes.bring(1, "c", None, all(("0", "0"), 0, &nothing));
    assert_eq!(late.verdicts(), vec![Verdict::Superseded; PAGES]);
    let unsaid = nodes.bring(0, "a", Some(made.cursor), all(("1", "3"), 10, &vec![NamedBase::Unsaid; PAGES]));
    assert!(unsaid.verdicts().iter().all(|verdict| *verdict == Verdict::Merged), "{:?}", unsaid.verdicts());
    nodes.look_through();
    let deletes = names.iter().zip(named(&unsaid)).map(|(name, base)| write(name, Action::Delete, 99, base)).collect();
    nodes.bring(1, "b", None, deletes);
    assert!(nodes.all().values().all(|record| record.op == Op::Delete));
    assert_eq!(nodes.sql("SELECT count(*) FROM changes WHERE payload IS NOT NULL"), "0");
    let digests = "SELECT count(*) FROM changes WHERE digest <> decode(repeat('00', 16), 'hex')";
    assert_eq!(nodes.sql(digests), "0");
    nodes.look_through();
}
