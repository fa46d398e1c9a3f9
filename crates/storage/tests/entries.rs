//! What `Entries` promises, on every store: method by method, under faults, and against a list.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use support::{OnDisk, OnPostgres, lives};
use tombolo_core::{Cursor, Env, Resume, Seq};
use tombolo_storage::memory::Memory;
use tombolo_storage::postgres::{Options, Postgres, Url};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Appended, Message, PageBounds, StoreError, Upkeep as _};
use tombolo_testkit::conformance::bus::next;
use tombolo_testkit::conformance::entries::{
    a_key_is_of_one_project, an_unknown_space_is_an_empty_log, appends_from_many_threads,
    entries_are_kept_in_their_order, pages_joined_are_the_log, repeats_are_answered_with_their_place,
    time_goes_on_in_the_log, too_many_at_once_are_refused, what_is_appended_is_told, who_may_append,
    whoever_is_removed_appends_nothing_afterwards,
};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::postgres::{Cluster, Durability, Stop};
use tombolo_testkit::team::{ALL, EntryStore, Team, entries, names};
use tombolo_testkit::{Note, Peer, Place, Stores as _, TestEnv, at, put, runtime, wait};

fn env() -> Arc<TestEnv> {
    env_of(1)
}

/// One whose randomness is that of another process.
fn env_of(seed: u64) -> Arc<TestEnv> {
    let env = TestEnv::new(seed);
    env.advance(Duration::from_secs(3_600));
    Arc::new(env)
}

fn in_memory() -> Team {
    Team::new(vec![Arc::new(Memory::new())], env())
}

fn on_disk(disk: &OnDisk) -> Team {
    let env = env();
    Team::new(vec![Arc::new(disk.server(Arc::clone(&env) as Arc<dyn Env>))], env)
}

fn on_nodes(database: &OnPostgres, count: usize) -> Team {
    let env = env();
    let node = || database.node(Arc::clone(&env) as Arc<dyn Env>) as Arc<dyn EntryStore>;
    Team::new((0..count).map(|_| node()).collect(), Arc::clone(&env))
}

/// Runs `test`, and looks through all that it left behind.
fn on(team: &Team, test: impl FnOnce(&Team)) {
    test(team);
    let _dense_and_in_order = team.log();
    assert_eq!(team.faults(), Vec::<String>::new());
    team.close();
}

macro_rules! on_all_stores {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test]
            fn $name() {
                super::on(&super::in_memory(), super::$name);
            })*
        }
        mod sqlite {
            $(#[test]
            fn $name() {
                let disk = crate::OnDisk::default();
                super::on(&super::on_disk(&disk), super::$name);
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                let Some(database) = crate::OnPostgres::new() else { return };
                super::on(&super::on_nodes(&database, 1), super::$name);
            })*
        }
        mod two_nodes {
            $(#[test]
            fn $name() {
                let Some(database) = crate::OnPostgres::new() else { return };
                super::on(&super::on_nodes(&database, 2), super::$name);
            })*
        }
    };
}

on_all_stores!(
    a_key_is_of_one_project,
    an_unknown_space_is_an_empty_log,
    appends_from_many_threads,
    entries_are_kept_in_their_order,
    pages_joined_are_the_log,
    repeats_are_answered_with_their_place,
    time_goes_on_in_the_log,
    too_many_at_once_are_refused,
    what_is_appended_is_told,
    who_may_append,
    whoever_is_removed_appends_nothing_afterwards,
);

/// A session's request, and how often it is sent before its answer arrives; some of that comes late.
#[derive(Clone, Debug)]
struct Sent {
    keys: Vec<u8>,
    times: usize,
    /// After how many other requests the last of them arrives.
    late: usize,
}

fn sent() -> impl Strategy<Value = Sent> {
    (prop::collection::vec(0_u8..24, 0..8), 1_usize..4, 0_usize..4).prop_map(|(keys, times, late)| Sent {
        keys,
        times,
        late,
    })
}

/// The requests in the order in which they arrive.
fn arrivals(all: &[Sent]) -> Vec<Vec<u8>> {
    let mut arrivals: Vec<(usize, Vec<u8>)> = Vec::new();
    for (n, Sent { keys, times, late }) in all.iter().enumerate() {
        arrivals.extend((1..*times).map(|_| (n, keys.clone())));
        arrivals.push((n + late, keys.clone()));
    }
    arrivals.sort_by_key(|(place, _)| *place);
    arrivals.into_iter().map(|(_, keys)| keys).collect()
}

/// What every request is told, and the log in the end, are those of a list of the keys without repeats.
fn equals_a_list(team: &Team, all: &[Sent]) -> Result<(), TestCaseError> {
    let mut list: Vec<String> = Vec::new();
    for keys in arrivals(all) {
        let names: Vec<String> = keys.iter().map(|key| format!("key {key}")).collect();
        let expected = names.iter().map(|name| match list.iter().position(|known| known == name) {
            Some(place) => Appended::Repeat(Seq::new(place as u64 + 1)),
            None => {
                list.push(name.clone());
                Appended::New(Seq::new(list.len() as u64))
            }
        });
        let expected: Vec<Appended> = expected.collect();
        prop_assert_eq!(team.push(&names), expected);
    }
    prop_assert_eq!(team.logged(), list);
    prop_assert_eq!(team.faults(), Vec::<String>::new());
    team.close();
    Ok(())
}

proptest! {
    #![proptest_config(lives(32))]

    #[test]
    fn lost_repeated_and_reordered_requests_come_to_a_list(all in prop::collection::vec(sent(), 0..10)) {
        equals_a_list(&in_memory(), &all)?;
        let disk = OnDisk::default();
        equals_a_list(&on_disk(&disk), &all)?;
    }
}

proptest! {
    #![proptest_config(lives(8))]

    #[test]
    fn two_nodes_in_turn_come_to_a_list_too(all in prop::collection::vec(sent(), 4..10)) {
        if let Some(database) = OnPostgres::new() {
            equals_a_list(&on_nodes(&database, 2), &all)?;
        }
    }
}

/// What was acknowledged is there after a restart, what is sent again is known, and cursors of before stay good, also
/// where only entries follow.
#[test]
fn what_was_acknowledged_outlives_a_restart() {
    let disk = OnDisk::default();
    let mut team = on_disk(&disk);
    team.push(&names("a", 5));
    for round in 1..3 {
        let (log, before) = (team.log(), wait(team.first().head(team.space)).unwrap());
        team.close();
        let env = Arc::clone(&team.env);
        team = Team::existing(vec![Arc::new(disk.server(Arc::clone(&env) as Arc<dyn Env>))], env);
        assert_eq!(team.log(), log);
        let after = wait(team.first().head(team.space)).unwrap();
        assert_ne!(after.generation, before.generation);
        assert!(team.push(&names("a", 5)).iter().all(|answer| matches!(answer, Appended::Repeat(_))));
        team.push(&[format!("b{round}")]);
        assert_eq!(team.log().len(), log.len() + 1);
        assert_eq!(wait(team.first().resume(team.space, before)).unwrap(), Resume::From(before.seq));
    }
    on(&team, |_| ());
}

/// The first five of ten entries are all that is there, in a run of history that is not the one which wrote them, and
/// others follow: a cursor of what was lost is noticed, whatever the numbers say, and one of what is there is good.
fn lost_history_is_noticed(team: &Team, lost: Cursor) {
    assert_eq!(lost.seq, Seq::new(10));
    assert_eq!(team.logged(), names("a", 5));
    assert_eq!(wait(team.first().resume(team.space, lost)).unwrap(), Resume::Reset);
    team.push(&names("b", 20));
    assert_eq!(wait(team.first().resume(team.space, lost)).unwrap(), Resume::Reset);
    let kept = Cursor { seq: Seq::new(5), ..lost };
    assert_eq!(wait(team.first().resume(team.space, kept)).unwrap(), Resume::From(kept.seq));
    on(team, |_| ());
}

#[test]
fn an_older_copy_of_the_file_is_noticed() {
    let disk = OnDisk::default();
    let file = disk.file().unwrap();
    let team = on_disk(&disk);
    team.push(&names("a", 5));
    let copy = file.with_extension("copy");
    rusqlite::Connection::open(file).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    team.push(&names("c", 5));
    let lost = wait(team.first().head(team.space)).unwrap();
    team.close();
    let env = Arc::clone(&team.env);
    drop(team);
    for old in ["db-wal", "db-shm"] {
        drop(std::fs::remove_file(file.with_extension(old)));
    }
    std::fs::rename(&copy, file).unwrap();
    let store = disk.server(Arc::clone(&env) as Arc<dyn Env>);
    lost_history_is_noticed(&Team::existing(vec![Arc::new(store)], env), lost);
}

#[test]
fn an_older_state_of_the_database_is_noticed() {
    let Some(database) = OnPostgres::new() else { return };
    let team = on_nodes(&database, 1);
    team.push(&names("a", 5));
    team.push(&names("c", 5));
    let lost = wait(team.first().head(team.space)).unwrap();
    let env = Arc::clone(&team.env);
    // What it was before, in another run: a backup that came back.
    database.database().sql(
        "DELETE FROM changes WHERE seq > 5; DELETE FROM idempotency_keys WHERE seq > 5;
         UPDATE spaces SET head_seq = 5; UPDATE generations SET run = 'another'",
    );
    let node = database.node(Arc::clone(&env) as Arc<dyn Env>);
    lost_history_is_noticed(&Team::existing(vec![node], env), lost);
}

/// Each fault, as SQL that both databases know, and what the check says of it.
const DAMAGES: [(&str, &[&str]); 8] = [
    ("DELETE FROM changes WHERE seq = 3", &["changes 3 to 3 are missing", "a key names change 3"]),
    ("DELETE FROM changes WHERE seq = 6", &["its log ends at 5, its head says 6", "a key names change 6"]),
    ("UPDATE changes SET payload = substr(payload, 2) WHERE seq = 2", &["change 2: its content is not what was"]),
    ("UPDATE changes SET committed_at = 5 WHERE seq = 4", &["change 4: it was committed before"]),
    ("UPDATE changes SET prev = 1 WHERE seq = 4", &["change 4: it writes to no record, and has its history"]),
    ("DELETE FROM idempotency_keys WHERE seq = 3", &["change 3: its key is missing"]),
    (
        "UPDATE changes SET digest = (SELECT digest FROM changes WHERE seq = 1) WHERE seq = 2",
        &["change 2: its key is missing", "a key names change 2"],
    ),
    ("UPDATE idempotency_keys SET seq = 9 WHERE seq = 5", &["change 5: its key is missing", "a key names change 9"]),
];

fn names_damage(damage: &str, expected: &[&str], found: &[String]) {
    for words in expected {
        assert!(found.iter().any(|fault| fault.contains(words)), "{damage}: {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{damage}: {found:?}");
}

#[test]
fn damage_is_named_in_sqlite() {
    for (damage, expected) in DAMAGES {
        let disk = OnDisk::default();
        let team = on_disk(&disk);
        team.push(&names("e", 6));
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(damage, []).unwrap();
        names_damage(damage, expected, &team.faults());
    }
}

#[test]
fn damage_is_named_in_postgres() {
    for (damage, expected) in DAMAGES {
        let Some(database) = OnPostgres::new() else { return };
        let team = on_nodes(&database, 1);
        team.push(&names("e", 6));
        database.database().sql(damage);
        names_damage(damage, expected, &team.faults());
    }
}

/// A page that would hold what was not written, or nothing where there is something, is a failure and no page.
#[test]
fn a_damaged_log_is_not_read_as_if_it_were_whole() {
    let disk = OnDisk::default();
    let team = on_disk(&disk);
    team.push(&names("e", 6));
    let database = OnPostgres::new();
    let other = database.as_ref().map(|database| on_nodes(database, 1));
    if let Some(other) = &other {
        other.push(&names("e", 6));
    }
    let sql = |text: &str| {
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute(text, []).unwrap();
        if let Some(database) = &database {
            database.database().sql(text);
        }
    };
    let is_refused = |after: u64| {
        for team in [Some(&team), other.as_ref()].into_iter().flatten() {
            let bounds = PageBounds { count_max: 2, ..ALL };
            let page = wait(team.first().entries(team.space, Seq::new(after), bounds));
            assert!(matches!(page, Err(StoreError::Corrupt(_))), "{page:?}");
        }
    };
    sql("DELETE FROM changes WHERE seq = 6");
    is_refused(5);
    sql("DELETE FROM changes WHERE seq = 4");
    is_refused(2);
    is_refused(3);
    sql("UPDATE changes SET payload = substr(payload, 2) WHERE seq = 2");
    is_refused(0);
}

/// The file of the process that [`appends_until_it_is_killed`] is, and nothing else.
const CHILD: &str = "TOMBOLO_APPENDS_TO";
const CHILD_BATCH: usize = 20;

#[test]
#[ignore = "it is the process that another test kills"]
fn appends_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let env = env();
    let store = Arc::new(Sqlite::open(Path::new(&path), Role::Server, Arc::clone(&env) as Arc<dyn Env>).unwrap());
    let team = Team::new(vec![store], env);
    for round in 0.. {
        team.push(&names(&round.to_string(), CHILD_BATCH));
        println!("acknowledged {round}");
    }
}

/// Killed at any moment: what was acknowledged is there, a request is there whole or not at all, and what is sent again
/// is told the places that it has.
#[test]
fn a_process_that_is_killed_loses_nothing() {
    for acknowledged_min in [1, 3, 10, 25] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tombolo.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "appends_until_it_is_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        while acknowledged < acknowledged_min {
            let line = lines.next().expect("it goes on").unwrap();
            acknowledged += usize::from(line.contains("acknowledged"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged += lines.filter(|line| line.as_ref().is_ok_and(|line| line.starts_with("acknowledged"))).count();
        let env = env_of(2);
        let store = Arc::new(Sqlite::open(&path, Role::Server, Arc::clone(&env) as Arc<dyn Env>).unwrap());
        let team = Team::existing(vec![store], env);
        let logged = team.logged();
        assert!(logged.len() >= acknowledged * CHILD_BATCH, "{} of {acknowledged}", logged.len());
        assert_eq!(logged.len() % CHILD_BATCH, 0, "requests are there whole");
        for (round, batch) in logged.chunks(CHILD_BATCH).enumerate() {
            assert_eq!(batch, names(&round.to_string(), CHILD_BATCH));
            let places = (1..).skip(round * CHILD_BATCH).map(|place| Appended::Repeat(Seq::new(place)));
            assert_eq!(team.push(batch), places.take(CHILD_BATCH).collect::<Vec<_>>());
        }
        on(&team, |_| ());
    }
}

/// A PostgreSQL that is killed while nodes append: the nodes go on when it is back, and nothing is lost or there twice.
#[test]
fn a_database_that_is_killed_loses_nothing() {
    if Cluster::shared().is_none() {
        return;
    }
    let mut cluster = Cluster::start(Durability::Real, &["max_connections=60"]).unwrap();
    let database = cluster.database();
    let env = env();
    let node = || {
        let options = Options::new(Url::parse(database.url()).unwrap());
        Arc::new(wait(Postgres::open(options, Arc::clone(&env) as Arc<dyn Env>)).unwrap()) as Arc<dyn EntryStore>
    };
    let team = Team::new(vec![node(), node()], Arc::clone(&env));
    team.push(&names("before", 10));
    let known = wait(team.first().head(team.space)).unwrap();
    std::thread::scope(|scope| {
        let pushed: Vec<_> = (0..4)
            .map(|session| {
                let team = &team;
                scope.spawn(move || {
                    let mut places = HashMap::new();
                    for round in 0..25 {
                        let batch = names(&format!("{session}-{round}"), 5);
                        // As a client does: the same again until there is an answer.
                        let answers = loop {
                            match team.send(team.request(team.writer, entries(&batch))) {
                                Ok(answers) => break answers.unwrap(),
                                Err(StoreError::Busy | StoreError::Unreachable(_)) => {}
                                Err(error) => panic!("{error}"),
                            }
                        };
                        for (name, Appended::New(seq) | Appended::Repeat(seq)) in batch.into_iter().zip(answers) {
                            places.insert(seq, name);
                        }
                    }
                    places
                })
            })
            .collect();
        for _ in 0..2 {
            cluster.restart(Stop::Immediate);
        }
        let places: HashMap<Seq, String> = pushed.into_iter().flat_map(|session| session.join().unwrap()).collect();
        let log = team.logged();
        assert_eq!(log.len(), 10 + 4 * 25 * 5);
        for (seq, name) in places {
            assert_eq!(log[usize::try_from(seq.get()).unwrap() - 1], name);
        }
    });
    let after = wait(team.first().head(team.space)).unwrap();
    assert_ne!(after.generation, known.generation, "it is another run");
    assert_eq!(wait(team.first().resume(team.space, known)).unwrap(), Resume::From(known.seq));
    on(&team, |_| ());
}

/// A node takes a space's number from nowhere but the statement that uses it: what it read earlier may be another
/// database's.
#[test]
fn a_space_is_found_under_whatever_number_it_has() {
    let Some(database) = OnPostgres::new() else { return };
    let team = on_nodes(&database, 1);
    team.push(&names("a", 3));
    let notes = Place::on(database.node(Arc::clone(&team.env) as Arc<dyn Env>), Arc::clone(&team.env));
    Peer::new("phone").sync(&notes, vec![put("n", &Note::new("1", "1"), at(1))]);
    let (log, entries) = (notes.log(), team.log());
    for table in ["changes", "records", "replicas", "cursors", "traffic", "idempotency_keys", "forks"] {
        database.database().sql(&format!("UPDATE {table} SET space = space + 1000"));
    }
    database.database().sql("UPDATE spaces SET id = id + 1000");
    assert_eq!(notes.log(), log);
    assert_eq!(team.log(), entries);
    assert!(team.push(&names("a", 3)).iter().all(|answer| matches!(answer, Appended::Repeat(_))));
    assert_eq!(team.push(&["b"]), [Appended::New(Seq::new(4))]);
    on(&team, |_| ());
}

/// Somebody holds the row of a busy space: those who append to it wait on one connection of the node, and all else goes
/// on.
#[test]
fn a_held_space_takes_one_connection_of_a_node() {
    let Some(database) = OnPostgres::new() else { return };
    let team = on_nodes(&database, 1);
    team.push(&["first"]);
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        // It lets go when the test says so.
        database.database().sql("CREATE TABLE letting_go (id BIGINT)");
        let holder = scope.spawn(|| {
            database.database().sql(
                "BEGIN; SELECT 1 FROM spaces FOR UPDATE;
                 DO $$ BEGIN
                     FOR n IN 1..1000 LOOP
                         EXIT WHEN EXISTS (SELECT FROM letting_go);
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                 END $$;
                 COMMIT",
            )
        });
        eventually("a transaction that holds the space", FOREVER, || {
            let held = "SELECT count(*) FROM pg_locks WHERE relation = 'spaces'::regclass AND mode = 'RowShareLock'";
            (database.database().sql(held) != "0").then_some(())
        });
        // More than the node has connections.
        let pushed: Vec<_> = (0..20)
            .map(|n| {
                let team = &team;
                scope.spawn(move || team.push(&[format!("p{n}"), "shared".to_owned()]))
            })
            .collect();
        eventually("somebody waits for it", FOREVER, || (database.database().sql(waiting) != "0").then_some(()));
        for _ in 0..10 {
            assert_eq!(team.log().len(), 1);
            assert_eq!(database.database().sql(waiting), "1");
        }
        database.database().sql("INSERT INTO letting_go VALUES (1)");
        holder.join().unwrap();
        let new = pushed.into_iter().flat_map(|push| push.join().unwrap());
        assert_eq!(new.filter(|answer| matches!(answer, Appended::New(_))).count(), 21);
    });
    on(&team, |_| ());
}

/// Each node hears of what grew on another, under the project's own address.
#[test]
fn other_nodes_are_told() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let nodes = [0, 1].map(|_| database.node(Arc::clone(&env) as Arc<dyn Env>));
    let team = Team::new(nodes.iter().map(|node| Arc::clone(node) as Arc<dyn EntryStore>).collect(), env);
    let mut listeners = nodes.each_ref().map(|node| node.bus().listen());
    for (node, listener) in nodes.iter().zip(&mut listeners) {
        let node = Arc::clone(node);
        runtime().spawn(async move { node.tend().await });
        assert_eq!(wait(next(listener)), Message::Gap, "it listens from here on");
    }
    for head in 1..=6 {
        team.push(&[format!("e{head}")]);
        for listener in &mut listeners {
            assert_eq!(wait(next(listener)), Message::Grew(team.space, Seq::new(head)));
        }
    }
    on(&team, |_| ());
}
