//! Rooms in a file outlive the process. On the machine's clock: the store has threads of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::RoomCode;
use tombolo_service::{CloseReason, RoomOptions};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{DocumentPut, Store};
use tombolo_testkit::TestEnv;

use crate::bench::World;

/// Each run has randomness of its own, by its `seed`.
fn open(path: &Path, role: Role, seed: u64) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(path, role, Arc::new(TestEnv::new(seed))).unwrap())
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_there_after_a_crash_and_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombolo.db");
    let world = World::on(open(&path, Role::Server, 1)).await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.put_document("one");
    eventually("it is stored", async || world.document("ROOM").await.as_deref() == Some("one")).await;
    // Nothing is stored, given back or said at a crash.
    node.kill().await;
    drop(peer);
    world.memory.close().await.unwrap();
    drop(world.memory);

    let world = World { memory: open(&path, Role::Server, 2), env: world.env, owner: world.owner };
    let mut node = world.node();
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.request_document();
    assert_eq!(peer.lines(), ["document one"]);
    for n in 0..50 {
        peer.0.put_document(&n.to_string());
    }
    node.rooms.close_all(CloseReason::Stopping, "");
    drop(peer);
    node.tasks.shutdown().await;
    node.rooms.store_all().await.unwrap();
    assert_eq!(world.document("ROOM").await.as_deref(), Some("49"));
    let (_, nodes) = world.memory.room(world.owner, &RoomCode::parse("ROOM").unwrap()).await.unwrap().unwrap();
    assert!(nodes.len() <= 1, "the lease of the crashed run has still to run out, and that is all");
    world.memory.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_restores_is_sent_to_those_who_are_connected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombolo.db");
    let world = World::on(open(&path, Role::Server, 1)).await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.put_document("old");
    eventually("it is stored", async || world.document("ROOM").await.as_deref() == Some("old")).await;
    peer.0.put_document("new");
    eventually("it is stored", async || world.document("ROOM").await.as_deref() == Some("new")).await;
    let command = open(&path, Role::Tool, 3);
    let (room, _) = command.room(world.owner, &RoomCode::parse("room").unwrap()).await.unwrap().unwrap();
    let kept = RoomOptions::default().versions;
    let put = DocumentPut { space: room.space(), text: "old".to_owned(), after: None, kept, now: room.created_at };
    command.put_document(put).await.unwrap();
    node.rooms.look().await.unwrap();
    assert_eq!(peer.lines(), ["document old"]);
    // What is written next comes after it.
    peer.0.put_document("newer");
    eventually("it is stored", async || world.document("ROOM").await.as_deref() == Some("newer")).await;
    assert_eq!(world.memory.versions(room.space()).await.unwrap().len(), 4);
}
