//! A file that is carried to PostgreSQL while its server runs.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use support::{OnDisk, OnPostgres, check};
use tombolo_core::{Cursor, Digest, Env, Name, Purpose, Resume, UserId};
use tombolo_storage::postgres::{Options, Postgres, Url};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::transfer::{self, Event, Report, Step, TransferError};
use tombolo_storage::{Accounts, LoggedChange, NewCredential, Refused, StoreError, Write};
use tombolo_testkit::{
    FOLDER, LABEL, LogStore, NOTE, Note, Peer, Place, Stores, TestEnv, at, delete, folder, home, key, label, put, wait,
};

const STEPS: [Step; 7] =
    [Step::Copy, Step::CatchUp, Step::Compare, Step::Pause, Step::Rest, Step::Finish, Step::CleanUp];

/// A server on a file, and an empty database.
struct Move {
    disk: OnDisk,
    database: OnPostgres,
    place: Place,
    sqlite: Arc<Sqlite>,
    peers: Vec<Peer>,
    /// The heads of earlier generations.
    cursors: Vec<Cursor>,
}

impl Move {
    /// A store with something of everything; `None` where there is no PostgreSQL, which was said loudly.
    fn new() -> Option<Self> {
        let (disk, database) = (OnDisk::default(), OnPostgres::new()?);
        let env = Arc::new(TestEnv::new(1));
        env.advance(std::time::Duration::from_secs(3_600));
        let mut cursors = Vec::new();
        let mut peers = Vec::new();
        for round in 0..3 {
            let place = Place::on(disk.open(&env), Arc::clone(&env));
            fill(&place, round, &mut peers);
            cursors.push(place.head());
            wait(place.store.close()).unwrap();
        }
        let sqlite = Arc::new(disk.server(Arc::clone(&env) as Arc<dyn Env>));
        let place = Place::on(Arc::clone(&sqlite) as Arc<dyn LogStore>, env);
        accounts(&*sqlite);
        fill(&place, 3, &mut peers);
        Some(Self { disk, database, place, sqlite, peers, cursors })
    }

    fn file(&self) -> &Path {
        self.disk.file().unwrap()
    }

    fn url(&self) -> Url {
        Url::parse(self.database.database().url()).unwrap()
    }

    fn sql(&self, text: &str) -> String {
        self.database.database().sql(text)
    }

    fn run(&self) -> Result<Report, TransferError> {
        self.run_with(|_| ())
    }

    /// Migrates, and calls `at` when a step begins.
    fn run_with(&self, at: impl FnMut(Step)) -> Result<Report, TransferError> {
        run(self.file(), &self.url(), &*self.place.env, at)
    }

    fn is_moved(&self) -> bool {
        matches!(wait(self.place.store.ready()), Err(StoreError::Moved))
    }

    /// That the server of the file goes on, and that nothing of the migration is left in the file.
    fn goes_on(&self) {
        let _reply = Peer::new("anybody").sync(&self.place, vec![put("on", &Note::new("1", "1"), at(9_000))]);
        assert_eq!(left_behind(self.file()), Vec::<String>::new());
    }

    /// That all is on the other side, and nothing of the migration is left in the file.
    fn is_there(&self) {
        assert!(self.is_moved());
        assert_eq!(dump_sqlite(self.file()), dump_postgres(self));
        assert_eq!(left_behind(self.file()), Vec::<String>::new());
    }

    /// The same space, served from PostgreSQL.
    fn there(&self) -> Place {
        let place = Place::on(self.database.open(&self.place.env), Arc::clone(&self.place.env));
        let _dense = place.log();
        assert_eq!(check(&place).faults, Vec::<String>::new());
        place
    }
}

fn run(file: &Path, url: &Url, env: &dyn Env, mut at: impl FnMut(Step)) -> Result<Report, TransferError> {
    let mut progress = |event| {
        if let Event::Step(step) = event {
            at(step);
        }
    };
    wait(transfer::run(file, url, env, &mut progress))
}

/// Does something of the running server, from within the runtime.
fn meanwhile<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn accounts(store: &dyn Accounts) {
    let (ada, bob) = (Name::parse("ada").unwrap(), Name::parse("bob").unwrap());
    wait(store.add_user(&bob, Some("bob@example.org"), TestEnv::START)).unwrap();
    for n in 0..3 {
        let new = NewCredential {
            user: UserId::new(1),
            name: Name::parse(&format!("phone {n}")).unwrap(),
            purpose: Purpose::Tickit,
            prefix: format!("prefix-{n}"),
            hash: format!("hash-{n}"),
            created_at: TestEnv::START,
            expires_at: (n == 1).then_some(TestEnv::START),
        };
        wait(store.add_credential(new)).unwrap();
    }
    assert!(wait(store.revoke_credential(UserId::new(1), &Name::parse("phone 2").unwrap())).unwrap());
    assert!(wait(store.disable_user(&bob, TestEnv::START)).unwrap());
    assert!(wait(store.user(&ada)).unwrap().is_some());
}

/// Folders, labels, homes, deletions, conflicts, refusals, and devices that got a part of it.
fn fill(place: &Place, round: i64, peers: &mut Vec<Peer>) {
    let now = 100 * round;
    let id = |name: &str| format!("{name}{round}");
    let mut a = Peer::new(&id("a"));
    let mut b = Peer::new(&id("b"));
    let _made = a.sync(
        place,
        vec![
            home(&id("inbox-a"), at(now)),
            folder(&id("work"), "Work", at(now)),
            label(&id("long"), &format!("{round}{}", "x".repeat(3_000)), now, at(now)),
            label(&id("soon"), &format!("Soon {round}"), now, at(now)),
            put(&id("n"), &Note::new("1", "1").within(&id("work")).labelled([&id("long"), &id("soon")]), at(now)),
            put(&id("gone"), &Note::new("1", "1"), at(now)),
        ],
    );
    // A label of the same name, which becomes one with the other; a home of its own.
    let _merged = b.sync(
        place,
        vec![home(&id("inbox-b"), at(now)), label(&id("soon-b"), &format!("soon {round}"), now + 1, at(now + 1))],
    );
    // Edits at once of both devices: of different fields, and of one.
    let _edit = a.sync(place, vec![put(&id("n"), &Note::new("2", "1").within(&id("work")), at(now + 10))]);
    let _edit = b.sync(place, vec![put(&id("n"), &Note::new("3", "2").within(&id("work")), at(now + 11))]);
    let _deleted = a.sync(place, vec![delete(key(NOTE, &id("gone")), at(now + 12))]);
    let _cascade = b.sync(place, vec![delete(key(FOLDER, &id("work")), at(now + 13))]);
    let refused =
        |record: &str| Refused { record: record.to_owned(), kind: "note".to_owned(), reason: "no".to_owned() };
    let _refused = place.refuse(&a.name, a.cursor, vec![refused("x"), refused("y\0z"), refused("y\u{fffd}z")]);
    // Replies that were lost, and pages.
    let _lost = a.lost(place, vec![put(&id("lost"), &Note::new("1", "1"), at(now + 20))]);
    let mut paged = Peer::new(&id("paged"));
    let small = Place { page_bytes_max: 300, ..place.clone() };
    let _page = paged.sync(&small, Vec::new());
    let _page = paged.sync(&small, Vec::new());
    peers.extend([a, b, paged]);
    for n in 0..10 {
        let mut other = Peer::new(&format!("other-{round}-{n}"));
        let _reply = other.sync(place, vec![put(&format!("o{round}-{n}"), &Note::new("1", "1"), at(now + 30))]);
        peers.push(other);
    }
}

/// What a migration leaves in the schema.
fn left_behind(file: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'moving%'").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Tables with their columns, those of the space first where SQLite has none; and where it has it.
const TABLES: [(&str, &str, &str); 14] = [
    ("generations", "ordinal, id, started_at", ""),
    ("users", "id, name, email, created_at, disabled_at", ""),
    ("credentials", "id, user_id, name, purpose, prefix, hash, created_at, last_used_at, expires_at", ""),
    ("refusals", "user_id, device, record, kind, reason, at", ""),
    ("spaces", "id, owner, purpose, head_seq, head_time, generation, created_at", ""),
    ("forks", "space, generation, seq", ""),
    (
        "changes",
        "space, seq, record, prev, base, committed_at, written_at, stamp_at, public_at, actor, replica, op, origin, \
         verdict, digest, checksum, payload",
        "",
    ),
    ("records", "space, id, collection, name, rank, seq", ""),
    ("replicas", "space, id, name, home, floor, added_at", ""),
    ("cursors", "replica, token, parent, alias, polled, complete, snapshot, pages", "replicas p ON p.id = t.replica"),
    (
        "traffic",
        "replica, record, greatest, last, held, held_under, tombstone, upload, upload_under",
        "replicas p ON p.id = t.replica",
    ),
    ("refs", "source, target", "records p ON p.id = t.source"),
    ("aliases", "space, collection, name, canonical, ordinal", ""),
    ("uniques", "space, collection, value, record", ""),
];

/// Everything in the file, a line for each row, as PostgreSQL should have it.
fn dump_sqlite(file: &Path) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut lines = BTreeSet::new();
    for (table, columns, owner) in TABLES {
        let columns = columns.replace(", ", ", t.");
        let sql = if owner.is_empty() {
            format!("SELECT t.{columns} FROM {table} t")
        } else {
            format!("SELECT p.space, t.{columns} FROM {table} t JOIN {owner}")
        };
        let mut select = connection.prepare(&sql).unwrap();
        let count = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let mut line = table.to_owned();
            for column in 0..count {
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => line += "|~",
                    ValueRef::Integer(int) => write!(line, "|{int}").unwrap(),
                    ValueRef::Text(text) => {
                        let text = std::str::from_utf8(text).unwrap().replace('\0', "\u{fffd}");
                        write!(line, "|{}", hex(text.as_bytes())).unwrap();
                    }
                    ValueRef::Blob(blob) if table == "uniques" && blob.len() > 1_024 => {
                        write!(line, "|{}", hex(&Digest::of(blob).to_bytes())).unwrap();
                    }
                    ValueRef::Blob(blob) => write!(line, "|{}", hex(blob)).unwrap(),
                    ValueRef::Real(_) => unreachable!("no table has a real number"),
                }
            }
            lines.insert(line);
        }
    }
    lines
}

fn dump_postgres(one: &Move) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (table, columns, owner) in TABLES {
        let space = if owner.is_empty() { "" } else { "space, " };
        let columns = format!("{space}{columns}");
        let types = one.sql(&format!(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}'"
        ));
        let show = |column: &str| match types.lines().find_map(|line| line.strip_prefix(&format!("{column}|"))) {
            Some("text") => format!("encode(convert_to({column}, 'UTF8'), 'hex')"),
            Some("bytea") => format!("encode({column}, 'hex')"),
            Some("bigint") => format!("{column}::text"),
            other => panic!("{table}.{column} is {other:?}"),
        };
        let shown: Vec<_> = columns.split(", ").map(|column| format!("coalesce({}, '~')", show(column))).collect();
        let rows = one.sql(&format!("SELECT concat_ws('|', '{table}', {}) FROM {table}", shown.join(", ")));
        lines.extend(rows.lines().filter(|line| !line.is_empty()).map(str::to_owned));
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The same requests to both, and the same answers.
fn answer_alike(left: &Place, right: &Place, replica: &str, cursor: Option<tombolo_core::Instant>, writes: &[Write]) {
    let [left, right] = [left, right].map(|place| place.exchange(replica, cursor, writes.to_vec()));
    assert_eq!(left, right, "{replica}");
}

#[test]
fn the_same_devices_go_on_as_if_nothing_had_happened() {
    let Some(one) = Move::new() else { return };
    let log: Vec<LoggedChange> = one.place.log();
    // A copy of the file, in which everything goes on where it was.
    let copy: PathBuf = one.file().with_extension("copy");
    rusqlite::Connection::open(one.file()).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let report = one.run().unwrap();
    assert!(!report.was_done_already);
    assert_eq!(report.tables.len(), 14);
    assert_eq!(report.tables.last().unwrap().count, log.len() as u64);
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
    assert_eq!(wait(tool.users()).unwrap().len(), 2);
    let eve = Name::parse("eve").unwrap();
    assert!(matches!(wait(tool.add_user(&eve, None, TestEnv::START)), Err(StoreError::Moved)));
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

#[test]
fn it_may_be_killed_at_any_step_and_run_again() {
    let Some(mut one) = Move::new() else { return };
    for step in STEPS {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{step:?} is a step");
        let is_marked = one.is_moved();
        assert_eq!(is_marked, matches!(step, Step::Rest | Step::Finish | Step::CleanUp), "{step:?}");
        let opened = wait(Postgres::open(Options::new(one.url()), one.place.env.clone()));
        match step {
            Step::CleanUp => drop(opened.unwrap()),
            _ => assert!(matches!(opened, Err(StoreError::Unfinished)), "{step:?}"),
        }
        if !is_marked {
            // The server goes on, and what it writes must not be missing.
            let note = Note::new("1", &format!("{step:?}"));
            let peer = &mut one.peers[0];
            let _reply = peer.sync(
                &one.place,
                vec![put(&format!("{step:?}"), &note, at(9_000)), delete(key(NOTE, "n1"), at(9_001))],
            );
        }
        if step == STEPS[6] {
            let again = one.run().unwrap();
            assert!(again.was_done_already);
            one.is_there();
        }
    }
    let _log = one.there().log();
}

#[test]
fn a_run_after_a_killed_one_finds_what_changed_meanwhile() {
    for step in [Step::CatchUp, Step::Rest] {
        let Some(mut one) = Move::new() else { return };
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new(()))
                }
            })
        }));
        assert!(killed.is_err());
        transfer::undo(one.file()).unwrap();
        let writes = vec![put("n1", &Note::new("7", "7"), at(9_000)), delete(key(LABEL, "soon1"), at(9_001))];
        let _reply = one.peers[0].sync(&one.place, writes);
        wait(one.sqlite.revoke_credential(UserId::new(1), &Name::parse("phone 0").unwrap())).unwrap();
        let _report = one.run().unwrap();
        one.is_there();
        let _log = one.there().log();
    }
}

#[test]
fn only_an_empty_database_is_written_to() {
    let Some(one) = Move::new() else { return };
    let refused = |found: Result<Report, TransferError>, words: &str| match found {
        Err(TransferError::Refused(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{other:?}"),
    };
    // A server runs there.
    let served = one.database.node(one.place.env.clone());
    let tending = tombolo_testkit::runtime().spawn({
        let served = Arc::clone(&served);
        async move { tombolo_storage::Upkeep::tend(&*served).await }
    });
    tombolo_testkit::eventually::eventually("it listens", std::time::Duration::from_secs(10), || {
        (one.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
            != "0")
            .then_some(())
    });
    refused(one.run(), "a server runs on");
    tending.abort();
    wait(tombolo_storage::Upkeep::close(&*served)).unwrap();
    // It holds a user.
    let there = one.database.node(one.place.env.clone());
    wait(there.add_user(&Name::parse("eve").unwrap(), None, TestEnv::START)).unwrap();
    refused(one.run(), "in use already");
    assert_eq!(one.sql("SELECT name FROM users"), "eve");
    one.goes_on();
    one.sql("DELETE FROM users");
    // Another file's migration is not finished.
    one.sql("INSERT INTO facts VALUES ('migration', 'copying 00')");
    refused(one.run(), "another file");
    one.sql("DELETE FROM facts WHERE name = 'migration'");
    one.goes_on();

    let _report = one.run().unwrap();
    let elsewhere = OnPostgres::new().unwrap();
    let url = Url::parse(elsewhere.database().url()).unwrap();
    refused(run(one.file(), &url, &*one.place.env, |_| ()), "was moved to postgres://");
    assert!(one.is_moved());
    assert!(transfer::undo(one.file()).unwrap());
    assert!(!transfer::undo(one.file()).unwrap(), "there is nothing to undo any more");
    one.goes_on();
    refused(one.run(), "which was undone");
    one.goes_on();
    let _report = run(one.file(), &url, &*one.place.env, |_| ()).unwrap();
}

#[test]
fn two_at_once_are_one_too_many() {
    let (Some(one), Some(two)) = (Move::new(), Move::new()) else { return };
    let mut refused = Vec::new();
    let _first = one
        .run_with(|step| {
            if step == Step::Compare {
                // Into another database, from another file, and back.
                refused.push(meanwhile(|| run(one.file(), &two.url(), &*one.place.env, |_| ()).map(drop)));
                refused.push(meanwhile(|| run(two.file(), &one.url(), &*one.place.env, |_| ()).map(drop)));
                refused.push(meanwhile(|| transfer::undo(one.file()).map(drop)));
            }
        })
        .unwrap();
    for (refused, words) in refused.into_iter().zip(["of this file", "into postgres://", "of this file"]) {
        assert!(matches!(&refused, Err(TransferError::Refused(text)) if text.contains(words)), "{refused:?}");
    }
    one.is_there();
    two.goes_on();
}

/// Statements that change each table in each way that it has, and leave it sound.
const CHANGES: &str = "
    UPDATE users SET email = 'ada@example.org' WHERE id = 1;
    INSERT INTO users (name, created_at) VALUES ('new-STEP', 5);
    UPDATE credentials SET last_used_at = last_used_at + 1 WHERE id = 1;
    DELETE FROM credentials WHERE prefix = 'p-again';
    INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at)
        SELECT max(id), 'again', 'tickit', 'p-again', 'h', 5 FROM users;
    INSERT OR REPLACE INTO refusals (user_id, device, record, kind, reason, at) VALUES (1, 'd', 'r', 'k', 'w', 1);
    INSERT OR REPLACE INTO refusals (user_id, device, record, kind, reason, at) VALUES (1, 'd', 'r', 'k', 'w', 2);
    UPDATE refusals SET at = at + 1 WHERE device = 'a1';
    DELETE FROM refusals WHERE id = (SELECT min(id) FROM refusals);
    INSERT INTO spaces (owner, purpose, created_at) SELECT max(id), 'tickit', 5 FROM users;
    UPDATE spaces SET head_time = head_time + 1 WHERE id = 1;
    INSERT OR REPLACE INTO forks (space, generation, seq) SELECT max(id), 1, 0 FROM spaces;
    UPDATE forks SET seq = seq + 1 WHERE space > 1;
    INSERT INTO generations (id, started_at) VALUES (randomblob(16), 5);
    UPDATE generations SET started_at = started_at + 1 WHERE ordinal = 2;
    INSERT INTO records (space, collection, name, rank, seq) SELECT max(id), 'note', 'n', 1, 1 FROM spaces;
    UPDATE records SET rank = 1 - rank WHERE id = 1;
    DELETE FROM traffic WHERE replica = (SELECT id FROM replicas WHERE name = 'again');
    DELETE FROM cursors WHERE replica = (SELECT id FROM replicas WHERE name = 'again');
    DELETE FROM replicas WHERE name = 'again';
    INSERT INTO replicas (space, name, added_at) VALUES (1, 'again', 5);
    UPDATE replicas SET floor = 9, home = 'h-STEP' WHERE id = 2;
    INSERT INTO cursors SELECT max(id), 7, NULL, NULL, 0, 1, 1, x'00' FROM replicas;
    INSERT INTO traffic SELECT max(id), 1, x'01', x'02', NULL, NULL, NULL, NULL, NULL FROM replicas;
    UPDATE cursors SET polled = 1 - polled, alias = randomblob(12) WHERE replica = 2;
    DELETE FROM cursors WHERE replica = 2 AND token = (SELECT max(token) FROM cursors WHERE replica = 2);
    UPDATE traffic SET last = randomblob(12) WHERE replica = 3;
    DELETE FROM traffic WHERE replica = 1;
    DELETE FROM refs WHERE source = 9;
    INSERT OR IGNORE INTO refs VALUES (9, 1), (9, 2);
    UPDATE refs SET target = target + 100 WHERE source = 9 AND target = 2;
    INSERT OR REPLACE INTO aliases VALUES (1, 'label', 'alias', 'c-STEP', 77), (1, 'label', 'b-STEP', 'c', 78);
    DELETE FROM aliases WHERE name = 'soon-b1';
    INSERT OR REPLACE INTO uniques VALUES (1, 'label', CAST('again' AS BLOB), (SELECT max(id) FROM records));
    DELETE FROM uniques WHERE length(value) > 2000 AND record < 20;
    INSERT OR REPLACE INTO uniques VALUES (1, 'label', zeroblob(2000), 5);
";

#[test]
fn each_change_of_each_table_arrives_whenever_it_is_made() {
    for steps in [&[Step::Copy][..], &[Step::CatchUp], &[Step::Compare], &[Step::Pause], &STEPS[..4]] {
        let Some(one) = Move::new() else { return };
        let mut server = one.peers[0].clone();
        let report = one.run_with(|step| {
            if !steps.contains(&step) {
                return;
            }
            let connection = rusqlite::Connection::open(one.file()).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            connection.execute_batch(&CHANGES.replace("STEP", &format!("{step:?}"))).unwrap();
            let id = format!("{step:?}");
            let writes = vec![put(&id, &Note::new("1", "1"), at(9_000)), label(&id, &id, 9_000, at(9_000))];
            let _reply = meanwhile(|| server.sync(&one.place, writes));
        });
        let report = report.unwrap_or_else(|error| panic!("{steps:?}: {error}"));
        one.is_there();
        let rows: u64 = report.tables.iter().map(|table| table.count).sum();
        assert_eq!(rows, dump_postgres(&one).len() as u64, "{steps:?}");
    }
}

#[test]
fn a_changed_value_has_another_digest_and_an_equal_one_the_same() {
    let Some(one) = Move::new() else { return };
    let digests = |report: &Report| -> Vec<_> { report.tables.iter().map(|table| table.digest.clone()).collect() };
    let first = digests(&one.run().unwrap());
    assert!(transfer::undo(one.file()).unwrap());
    let run_to_another = |at: &dyn Fn(Step)| {
        let other = OnPostgres::new().unwrap();
        let url = Url::parse(other.database().url()).unwrap();
        let report = run(one.file(), &url, &*one.place.env, at).unwrap();
        assert!(transfer::undo(one.file()).unwrap());
        digests(&report)
    };
    assert_eq!(run_to_another(&|_| ()), first);
    let set = |aliases: &str| {
        let connection = rusqlite::Connection::open(one.file()).unwrap();
        connection.execute(&format!("UPDATE aliases SET canonical = {aliases} WHERE name = 'soon-b1'"), []).unwrap();
    };
    set("canonical || 'x'");
    let other = run_to_another(&|_| ());
    let differ: Vec<_> = other.iter().zip(&first).map(|(left, right)| left != right).collect();
    assert_eq!(differ.iter().filter(|differs| **differs).count(), 1);
    // The digest follows what is copied after everything was compared.
    let last = run_to_another(&|step| {
        if step == Step::Pause {
            set("rtrim(canonical, 'x')")
        }
    });
    assert_eq!(last, first);
}

/// What one value of the copy is changed to, and what the complaint names.
const DAMAGES: [(&str, &str); 15] = [
    ("UPDATE changes SET payload = payload || 'x' WHERE seq = 3", "changes: space 1, seq 3"),
    ("UPDATE changes SET stamp_at = stamp_at + 1 WHERE seq = 9", "changes: space 1, seq 9"),
    ("DELETE FROM changes WHERE seq = 5", "changes: space 1, seq 5"),
    ("UPDATE generations SET started_at = 1 WHERE ordinal = 1", "generations: ordinal 1"),
    ("UPDATE users SET email = 'x' WHERE id = 1", "users: id 1"),
    ("UPDATE credentials SET hash = 'x' WHERE id = 1", "credentials: id 1"),
    ("DELETE FROM refusals", "refusals: id"),
    ("UPDATE spaces SET head_time = 1", "spaces: id 1"),
    ("UPDATE forks SET seq = seq + 1 WHERE generation = 2", "forks: space 1, generation 2"),
    ("UPDATE records SET seq = 1 WHERE id = 7", "records: space 1, id 7"),
    ("UPDATE replicas SET floor = 1 WHERE id = 1", "replicas: space 1, id 1"),
    ("UPDATE cursors SET snapshot = 1 WHERE replica = 2", "cursors: space 1, replica 2"),
    (
        "INSERT INTO traffic VALUES (1, 1, 99, '', '', NULL, NULL, NULL, NULL, NULL)",
        "traffic: space 1, replica 1, record 99",
    ),
    ("DELETE FROM refs WHERE ctid = (SELECT min(ctid) FROM refs)", "refs: space 1, source"),
    (
        "UPDATE uniques SET record = record + 1000 WHERE ctid = (SELECT min(ctid) FROM uniques)",
        "uniques: space 1, collection label",
    ),
];

#[test]
fn a_damaged_copy_is_named_and_the_server_goes_on() {
    let Some(one) = Move::new() else { return };
    for (damage, words) in DAMAGES {
        let found = one.run_with(|step| {
            if step == Step::Compare {
                drop(one.sql(damage));
            }
        });
        match found {
            Err(TransferError::Differs(text)) => assert!(text.contains(words), "{damage}: {text}"),
            other => panic!("{damage}: {other:?}"),
        }
        assert!(!one.is_moved());
        one.goes_on();
        // What was copied of the log is kept for the next run.
        one.sql("DELETE FROM changes");
    }
    let _report = one.run().unwrap();
    one.is_there();
}

#[test]
fn a_copy_that_is_damaged_during_the_pause_is_named_and_the_server_goes_on() {
    for (table, set) in [("changes", "NEW.public_at = 1"), ("records", "NEW.rank = 5"), ("cursors", "NEW.snapshot = 0")]
    {
        let Some(mut one) = Move::new() else { return };
        let mut peer = one.peers.remove(0);
        let mut was_marked = false;
        let found = one.run_with(|step| match step {
            Step::Pause => {
                one.sql(&format!(
                    "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {set}; RETURN NEW; END';
                     CREATE TRIGGER damage BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION damage()"
                ));
                let _last = meanwhile(|| peer.sync(&one.place, vec![put("last", &Note::new("1", "1"), at(9_000))]));
            }
            Step::Rest => was_marked = meanwhile(|| one.is_moved()),
            _ => {}
        });
        assert!(was_marked);
        match found {
            Err(TransferError::Differs(text)) => assert!(text.contains(&format!("{table}: space 1")), "{text}"),
            other => panic!("{table}: {other:?}"),
        }
        assert!(!one.is_moved());
        one.goes_on();
    }
}

#[test]
fn a_database_that_goes_away_gives_the_file_back() {
    for step in [Step::CatchUp, Step::Compare, Step::Rest] {
        let Some(one) = Move::new() else { return };
        let found = one.run_with(|at| {
            if at == step {
                let mine = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
                assert!(one.sql(mine).contains('t'));
            }
        });
        assert!(matches!(found, Err(TransferError::Target(_))), "{found:?}");
        one.goes_on();
        let _report = one.run().unwrap();
        one.is_there();
    }
}

#[test]
fn when_the_last_answer_is_lost_nothing_is_served_until_it_is_known() {
    let Some(one) = Move::new() else { return };
    let found = one.run_with(|at| {
        if at == Step::Finish {
            one.sql(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
    });
    assert!(matches!(found, Err(TransferError::Unknown(_))), "{found:?}");
    assert!(one.is_moved());
    assert!(!one.run().unwrap().was_done_already, "it was not done");
    one.is_there();
}
