//! All stores, for the suites that every store has to pass.

#![allow(dead_code, unused_imports, unused_macros, unreachable_pub, reason = "each suite uses a part of it")]

pub mod nodes;
pub mod suites;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;
use tombolo_core::{Cursor, Env, Name, Policy, Purpose, Resume, Seq};
use tombolo_storage::memory::Memory;
use tombolo_storage::postgres::{Options, Postgres, Url};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{
    Accounts, Bus, CheckReport, Elsewhere, Exchange, Exchanged, LoggedChange, Logs, Progress, Reading, Reply,
    SpaceAddress, Upkeep,
};
use tombolo_testkit::postgres::{Cluster, Database};
use tombolo_testkit::{LogStore, Place, Stores, TestEnv, wait};

/// The model: it lives as long as this value.
#[derive(Default)]
pub struct InMemory(Arc<Memory>);

impl Stores for InMemory {
    fn open(&self, _: &Arc<TestEnv>) -> Arc<dyn LogStore> {
        Arc::clone(&self.0) as Arc<dyn LogStore>
    }

    fn file(&self) -> Option<&Path> {
        None
    }
}

/// A real file in a folder of its own.
pub struct OnDisk {
    path: PathBuf,
    _folder: TempDir,
}

impl Default for OnDisk {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self { path: folder.path().join("tombolo.db"), _folder: folder }
    }
}

impl OnDisk {
    /// The server's store.
    pub fn server(&self, env: Arc<dyn Env>) -> Sqlite {
        Sqlite::open(&self.path, Role::Server, env).expect("the database opens")
    }
}

impl Stores for OnDisk {
    fn open(&self, env: &Arc<TestEnv>) -> Arc<dyn LogStore> {
        let store = self.server(Arc::clone(env) as Arc<dyn Env>);
        let ada = Name::parse("ada").expect("it is a name");
        wait(store.add_user(&ada, None, TestEnv::START)).expect("there is a user, from the first time on");
        Arc::new(store)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// A database of its own in a real PostgreSQL.
pub struct OnPostgres(Database);

impl OnPostgres {
    /// A fresh one; `None` where there is no PostgreSQL, which was said loudly.
    pub fn new() -> Option<Self> {
        Cluster::shared().map(|cluster| Self(cluster.database()))
    }

    /// One node on the database.
    pub fn node(&self, env: Arc<dyn Env>) -> Arc<Postgres> {
        let url = Url::parse(self.0.url()).expect("it is a URL");
        let options = Options { connections_max: 6, ..Options::new(url) };
        Arc::new(wait(Postgres::open(options, env)).expect("the database opens"))
    }

    /// The database itself.
    pub fn database(&self) -> &Database {
        &self.0
    }
}

impl Stores for OnPostgres {
    fn open(&self, env: &Arc<TestEnv>) -> Arc<dyn LogStore> {
        let store = self.node(Arc::clone(env) as Arc<dyn Env>);
        let ada = Name::parse("ada").expect("it is a name");
        wait(store.add_user(&ada, None, TestEnv::START)).expect("there is a user, from the first time on");
        store
    }

    fn file(&self) -> Option<&Path> {
        None
    }
}

/// Two nodes on one database, which answer in turn whatever is asked.
pub struct OnTwoNodes(pub OnPostgres);

impl Stores for OnTwoNodes {
    fn open(&self, env: &Arc<TestEnv>) -> Arc<dyn LogStore> {
        let second = self.0.node(Arc::clone(env) as Arc<dyn Env>);
        Arc::new(InTurn { nodes: [self.0.open(env), second], turn: AtomicUsize::new(0) })
    }

    fn file(&self) -> Option<&Path> {
        None
    }
}

struct InTurn {
    nodes: [Arc<dyn LogStore>; 2],
    turn: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &dyn LogStore {
        &*self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

impl Logs for InTurn {
    fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged> {
        self.next().exchange(request)
    }

    fn changes<'a>(
        &'a self,
        space: SpaceAddress,
        policy: &'a Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Reply<'a, Vec<LoggedChange>> {
        self.next().changes(space, policy, after, count_max)
    }

    fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>> {
        self.next().heads(spaces)
    }

    fn head(&self, space: SpaceAddress) -> Reply<'_, Cursor> {
        self.next().head(space)
    }

    fn resume(&self, space: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume> {
        self.next().resume(space, cursor)
    }
}

impl Upkeep for InTurn {
    fn ready(&self) -> Reply<'_, ()> {
        self.next().ready()
    }

    fn commits(&self) -> tombolo_storage::CommitCounts {
        self.next().commits()
    }

    fn changed_elsewhere(&self) -> Reply<'_, Elsewhere> {
        self.next().changed_elsewhere()
    }

    /// The first one's: a bus is of one node.
    fn bus(&self) -> &dyn Bus {
        self.nodes[0].bus()
    }

    fn tend(&self) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self, readings: Vec<Reading>, progress: Progress) -> Reply<'_, CheckReport> {
        self.next().check(readings, progress)
    }

    fn close(&self) -> Reply<'_, ()> {
        Box::pin(async {
            self.nodes[0].close().await?;
            self.nodes[1].close().await
        })
    }
}

/// Runs `test` on a fresh store, and looks through all that it left behind.
pub fn on(stores: &dyn Stores, test: impl FnOnce(&Place)) {
    let place = Place::new(stores);
    test(&place);
    let _dense_and_in_order = place.log();
    assert_eq!(check(&place).faults, Vec::<String>::new());
    wait(place.store.close()).expect("the store ends cleanly");
}

/// Makes of each named function a test on each store.
macro_rules! on_all_stores {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test]
            fn $name() {
                crate::support::on(&crate::support::InMemory::default(), super::$name);
            })*
        }
        mod sqlite {
            $(#[test]
            fn $name() {
                crate::support::on(&crate::support::OnDisk::default(), super::$name);
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(stores) = crate::support::OnPostgres::new() {
                    crate::support::on(&stores, super::$name);
                }
            })*
        }
    };
}
pub(crate) use on_all_stores;

/// Any number does, as long as it stays.
const SEED: u64 = 20;

/// As many lives as `cases`, or as the environment asks for: the same ones in every run, unless it asks for others.
pub fn lives(cases: u32) -> ProptestConfig {
    let is_random = std::env::var("TOMBOLO_RANDOM").is_ok_and(|value| value == "1");
    let rng_seed = if is_random { RngSeed::Random } else { RngSeed::Fixed(SEED) };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// What a check of the whole store finds.
pub fn check(place: &Place) -> CheckReport {
    let readings = vec![
        Reading::of_records(place.address.purpose, Arc::clone(&place.policy)),
        Reading::of_versions(Purpose::Rooms),
    ];
    wait(place.store.check(readings, Box::new(|_, _| {}))).expect("the store can be checked")
}
