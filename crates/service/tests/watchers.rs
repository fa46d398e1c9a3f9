//! Who watches a space is told that its log grew, wherever that happened.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tombolo_core::{Name, Purpose, ReplicaName, Seq, UserId};
use tombolo_service::{ServiceError, WATCHERS_MAX, Watcher, Watchers};
use tombolo_storage::memory::Memory;
use tombolo_storage::postgres::{Options, Postgres, Url};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Accounts as _, Elsewhere, Exchange, Message, SpaceAddress, Store, Upkeep as _};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::postgres::{Cluster, Durability};
use tombolo_testkit::{Note, Notes, TestEnv, at, put, runtime, wait};

const SPACE: SpaceAddress = SpaceAddress::only(UserId::new(1), Purpose::Tickit);

fn env() -> Arc<TestEnv> {
    Arc::new(TestEnv::new(1))
}

/// Pushes one note of that name to the space of `owner`, and returns where its log ends now.
async fn push(store: &dyn Store, owner: i64, id: &str) -> Seq {
    let space = SpaceAddress { owner: UserId::new(owner), ..SPACE };
    let request = Exchange {
        space,
        replica: ReplicaName::parse(id).unwrap(),
        presented: None,
        writes: vec![put(id, &Note::new("1", "1"), at(1))],
        refused: Vec::new(),
        policy: Arc::new(Notes),
        now: TestEnv::START,
        page_bytes_max: 1_000_000,
        delivery_overhead_bytes: 10,
    };
    store.exchange(request).await.unwrap();
    store.heads(&[space]).await.unwrap()[0]
}

/// Runs the keeper until the test ends.
fn kept(watchers: &Arc<Watchers>) -> JoinHandle<()> {
    let watchers = Arc::clone(watchers);
    runtime().spawn(async move { watchers.hear().await })
}

async fn told(watcher: &mut Watcher) -> Option<Seq> {
    timeout(FOREVER, watcher.changed()).await.expect("the watcher is told")
}

/// Whether it has something to say now; nothing is waited for.
async fn is_told(watcher: &mut Watcher) -> bool {
    timeout(Duration::ZERO, watcher.changed()).await.is_ok()
}

#[test]
fn who_watches_is_told_the_newest_head_and_no_other_space_s() {
    let store = Arc::new(Memory::new());
    let watchers = Arc::new(Watchers::new(store.clone()));
    let keeper = kept(&watchers);
    wait(async {
        let before = push(&*store, 1, "before").await;
        let (mut quick, mut slow) = (watchers.watch(SPACE).await.unwrap(), watchers.watch(SPACE).await.unwrap());
        let mut other = watchers.watch(SpaceAddress::only(UserId::new(2), Purpose::Tickit)).await.unwrap();
        assert_eq!((quick.seen(), other.seen()), (before, Seq::ZERO));
        for n in 0..300 {
            let head = push(&*store, 1, &format!("n{n}")).await;
            assert!(head > quick.seen());
            assert_eq!(told(&mut quick).await, Some(head));
        }
        assert_eq!(told(&mut slow).await, Some(quick.seen()), "who is slow is told once");
        assert!(!is_told(&mut slow).await);
        assert!(!is_told(&mut other).await);
        let head = push(&*store, 2, "n").await;
        assert_eq!(told(&mut other).await, Some(head));
    });
    keeper.abort();
}

/// The keeper is run for the first time after the commit: it looks at what it has not heard.
#[test]
fn what_was_committed_before_the_keeper_listens_is_told() {
    let store = Arc::new(Memory::new());
    let watchers = Arc::new(Watchers::new(store.clone()));
    let mut watcher = wait(watchers.watch(SPACE)).unwrap();
    let head = wait(push(&*store, 1, "n"));
    let keeper = kept(&watchers);
    assert_eq!(wait(told(&mut watcher)), Some(head));
    keeper.abort();
}

#[test]
fn what_was_not_heard_is_found_by_looking() {
    let store = Arc::new(Memory::new());
    let watchers = Watchers::new(store.clone());
    wait(async {
        let mut watcher = watchers.watch(SPACE).await.unwrap();
        let head = push(&*store, 1, "n").await;
        assert!(!is_told(&mut watcher).await, "nobody listens here");
        watchers.look().await.unwrap();
        assert_eq!(told(&mut watcher).await, Some(head));
    });
}

#[test]
fn a_watch_ends_when_the_database_is_another_one() {
    let store = Arc::new(Memory::new());
    let watchers = Watchers::new(store.clone());
    wait(async {
        push(&*store, 1, "n").await;
        let (mut watcher, last) = (watchers.watch(SPACE).await.unwrap(), watchers.watch(SPACE).await.unwrap());
        watchers.forget();
        assert_eq!(told(&mut watcher).await, None);
        let mut anew = watchers.watch(SPACE).await.unwrap();
        // The end of old watchers is not the new one's.
        drop((watcher, last));
        let head = push(&*store, 1, "m").await;
        watchers.look().await.unwrap();
        assert_eq!(told(&mut anew).await, Some(head));
    });
}

#[test]
fn watchers_are_bounded_and_leave_nothing_behind() {
    let store = Arc::new(Memory::new());
    let watchers = Watchers::new(store);
    wait(async {
        for _ in 0..2 {
            let space = |n: usize| SpaceAddress { owner: UserId::new(i64::try_from(n % 7).unwrap()), ..SPACE };
            let mut all = Vec::new();
            for n in 0..WATCHERS_MAX {
                all.push(watchers.watch(space(n)).await.unwrap());
            }
            assert!(matches!(watchers.watch(SPACE).await, Err(ServiceError::Busy)));
            all.pop();
            all.push(watchers.watch(SPACE).await.unwrap());
        }
    });
}

/// Another process writes to the file: a command, which has no bus.
#[test]
fn a_commit_of_another_process_is_found_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = |role| Arc::new(Sqlite::open(&folder.path().join("tombolo.db"), role, env()).unwrap());
    let (server, tool) = (open(Role::Server), open(Role::Tool));
    wait(async {
        server.add_user(&Name::parse("ada").unwrap(), None, TestEnv::START).await.unwrap();
        let watchers = Watchers::new(server.clone());
        let mut watcher = watchers.watch(SPACE).await.unwrap();
        server.changed_elsewhere().await.unwrap();
        let head = push(&*tool, 1, "n").await;
        assert_eq!(server.changed_elsewhere().await.unwrap(), Elsewhere::Committed);
        watchers.look().await.unwrap();
        assert_eq!(told(&mut watcher).await, Some(head));
        tool.close().await.unwrap();
        server.close().await.unwrap();
    });
}

/// A node on a database of PostgreSQL, listening.
async fn node(url: &str, env: Arc<TestEnv>) -> Arc<Postgres> {
    let options = Options { connections_max: 4, ..Options::new(Url::parse(url).unwrap()) };
    let node = Arc::new(Postgres::open(options, env).await.unwrap());
    let (tended, mut listener) = (node.clone(), node.bus().listen());
    runtime().spawn(async move { tended.tend().await });
    assert_eq!(timeout(FOREVER, listener.next()).await.unwrap(), Some(Message::Gap), "it listens from here on");
    node
}

#[test]
fn a_commit_on_one_node_wakes_a_watcher_on_another() {
    let Some(cluster) = Cluster::shared() else { return };
    let (database, env) = (cluster.database(), env());
    let (here, there) = wait(async { (node(database.url(), env.clone()).await, node(database.url(), env).await) });
    let watchers = Arc::new(Watchers::new(here.clone()));
    let keeper = kept(&watchers);
    wait(async {
        there.add_user(&Name::parse("ada").unwrap(), None, TestEnv::START).await.unwrap();
        let mut watcher = watchers.watch(SPACE).await.unwrap();
        for n in 0..20 {
            let head = push(&*there, 1, &format!("n{n}")).await;
            assert_eq!(told(&mut watcher).await, Some(head));
        }
    });
    keeper.abort();
    wait(async { tokio::join!(here.close(), there.close()) }).0.unwrap();
}

/// As the server does it: the keeper runs, and whether others wrote is asked again and again.
#[test]
fn an_idle_node_asks_the_database_nothing() {
    if Cluster::shared().is_none() {
        return;
    }
    let settings = ["log_statement=all", "log_autovacuum_min_duration=-1", "log_checkpoints=off"];
    let cluster = Cluster::start(Durability::Unsynced, &settings).unwrap();
    let statements =
        || cluster.log().matches("LOG:  statement:").count() + cluster.log().matches("LOG:  execute").count();
    let database = cluster.database();
    let node = wait(node(database.url(), env()));
    let watchers = Arc::new(Watchers::new(node.clone()));
    let keeper = kept(&watchers);
    wait(async {
        node.add_user(&Name::parse("ada").unwrap(), None, TestEnv::START).await.unwrap();
        push(&*node, 1, "n").await;
        // It has watched, and watches no longer.
        let mut watcher = watchers.watch(SPACE).await.unwrap();
        let head = push(&*node, 1, "m").await;
        assert_eq!(told(&mut watcher).await, Some(head));
        drop(watcher);
        // Looked at once after the last call; and what grew is told to others.
        node.changed_elsewhere().await.unwrap();
    });
    let mut before = 0;
    // What is still under way ends by itself.
    eventually("a node that has told everything", FOREVER, || {
        std::thread::sleep(Duration::from_millis(300));
        let now = statements();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    assert!(before > 0, "statements are counted");
    for _ in 0..15 {
        wait(async {
            assert_eq!(node.changed_elsewhere().await.unwrap(), Elsewhere::Nothing);
            watchers.look().await.unwrap();
        });
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(statements(), before, "{}", cluster.log());
    wait(push(&*node, 1, "o"));
    eventually("a statement that is counted", FOREVER, || (statements() > before).then_some(()));
    keeper.abort();
    wait(node.close()).unwrap();
}
