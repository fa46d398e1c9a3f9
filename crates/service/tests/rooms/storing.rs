//! What is accepted is stored, soon and in the right order.

use std::time::Duration;

use futures_util::FutureExt as _;
use tombolo_core::{RoomCode, ServerTime};
use tombolo_service::{CloseReason, JoinWish, NotConnected, RoomOptions};
use tombolo_storage::{DocumentPut, IdleRooms};

use crate::bench::{World, settle};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_first_document_is_stored_at_once_and_further_ones_twice_a_second() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.put_document("0");
    settle().await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("0"));
    for n in 1..=100 {
        peer.0.put_document(&n.to_string());
        world.pass(Duration::from_millis(20)).await;
    }
    assert!((4..=6).contains(&node.store.calls("put_document")), "{}", node.store.calls("put_document"));
    world.pass(SECOND).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("100"));
    let stored = node.store.calls("put_document");
    peer.0.put_document("100");
    world.pass(SECOND).await;
    assert_eq!(node.store.calls("put_document"), stored, "what is there is not stored again");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_for_one_room_holds_up_no_other() {
    let world = World::new().await;
    let node = world.node();
    let gate = node.store.hold("put_document");
    let mut peers = Vec::new();
    for n in 0..20 {
        node.make(&format!("ROOM{n}")).await;
        let mut peer = node.guest(&format!("ROOM{n}"), "ann").await;
        peer.0.put_document("text");
        peers.push(peer);
    }
    world.pass(SECOND * 10).await;
    assert_eq!(node.store.calls("put_document"), 8, "no more are under way at once");
    gate.add_permits(100);
    world.pass(SECOND).await;
    assert_eq!(node.store.calls("put_document"), 20);
    assert_eq!(world.document("ROOM19").await.as_deref(), Some("text"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let (mut peer, other) = (node.guest("ROOM", "ann").await, node.guest("ROOM", "bob").await);
    node.store.fail("put_document");
    peer.0.put_document("one");
    world.pass(SECOND * 5).await;
    let failure = "error The server cannot store the document right now: keep this page open";
    assert_eq!(other.lines(), ["document one", failure], "they are told once");
    assert!((5..=7).contains(&node.store.calls("put_document")), "{}", node.store.calls("put_document"));
    peer.0.put_document("two");
    // Nobody is in it any more: it is kept all the same.
    drop((peer, other));
    world.pass(SECOND * 10).await;
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.store.calls("close_rooms"), 0);
    node.store.heal("put_document");
    world.pass(SECOND).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("two"));
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.store.calls("close_rooms"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_comes_while_one_is_stored_is_stored_after_it() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    for lagging in [true, false] {
        let gate = if lagging { node.store.lag("put_document") } else { node.store.hold("put_document") };
        peer.0.put_document(&format!("old {lagging}"));
        world.pass(SECOND).await;
        peer.0.put_document(&format!("new {lagging}"));
        node.store.heal("put_document");
        world.pass(SECOND).await;
        gate.add_permits(1);
        world.pass(SECOND).await;
        assert_eq!(world.document("ROOM").await.unwrap(), format!("new {lagging}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_stored_when_the_one_who_stores_was_dropped_is_stored_by_the_next() {
    let world = World::new().await;
    let mut node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    let gate = node.store.hold("put_document");
    peer.0.put_document("text");
    settle().await;
    node.tasks.shutdown().await;
    drop(gate);
    node.store.heal("put_document");
    let node = node.run();
    world.pass(SECOND).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("text"));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_is_stored_and_the_rooms_are_given_back() {
    let world = World::new().await;
    let mut node = world.node_with(RoomOptions { idle: SECOND, ..RoomOptions::default() });
    let mut peers = Vec::new();
    for n in 0..20 {
        node.make(&format!("ROOM{n}")).await;
        let mut peer = node.guest(&format!("ROOM{n}"), "ann").await;
        peer.0.put_document("first");
        peers.push(peer);
    }
    settle().await;
    peers.iter_mut().for_each(|peer| peer.0.put_document("last"));
    node.rooms.close_all(CloseReason::Stopping, "The server stops");
    assert_eq!(peers[0].read().1, Some(CloseReason::Stopping));
    assert_eq!(node.rooms.connect(node.entrant("192.0.2.9")).err(), Some(NotConnected::Stopping));
    peers[0].0.put_document("too late");
    drop(peers);
    node.tasks.shutdown().await;
    node.rooms.store_all().await.unwrap();
    for n in 0..20 {
        assert_eq!(world.document(&format!("ROOM{n}")).await.as_deref(), Some("last"));
    }
    let (_, open) = world.memory.room(world.owner, &RoomCode::parse("ROOM0").unwrap()).await.unwrap().unwrap();
    assert!(open.is_empty(), "no lease is left");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_at_the_end_is_said() {
    let world = World::new().await;
    let node = world.deaf_node(RoomOptions::default());
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.put_document("text");
    node.rooms.close_all(CloseReason::Stopping, "");
    drop(peer);
    node.store.fail("put_document");
    node.rooms.store_all().await.unwrap_err();
    node.store.heal("put_document");
    node.rooms.store_all().await.unwrap();
    assert_eq!(world.document("ROOM").await.as_deref(), Some("text"));
}

/// Real threads: documents come at the very moment of the end. What was taken in is what others were sent, and that is
/// stored.
#[test]
fn a_document_that_comes_at_the_end_is_stored_or_not_taken_in() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    for round in 0..50 {
        let (world, sent) = runtime.block_on(async {
            let world = World::new().await;
            let node = world.node();
            node.make("ROOM").await;
            let (mut writer, reader) = (node.guest("ROOM", "ann").await, node.guest("ROOM", "bob").await);
            let mut writing = tokio::task::JoinSet::new();
            writing.spawn(async move {
                let mut n = 0;
                while !writer.0.outlet().is_closing() {
                    n += 1;
                    writer.0.put_document(&n.to_string());
                    tokio::task::yield_now().await;
                }
            });
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            node.rooms.close_all(CloseReason::Stopping, "");
            node.rooms.store_all().await.unwrap();
            writing.join_all().await;
            (world, reader.lines())
        });
        let last = sent.iter().rev().find_map(|line| line.strip_prefix("document "));
        let stored = runtime.block_on(world.document("ROOM"));
        // The reader is closed a moment before or after the writer: what it was sent is never newer than what is stored.
        let number = |text: Option<&str>| text.map_or(0, |text| text.parse::<u64>().unwrap());
        assert!(number(last) <= number(stored.as_deref()), "{last:?} {stored:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn peers_of_a_room_that_somebody_else_ended_are_told() {
    let world = World::new().await;
    let options = RoomOptions { idle_empty: SECOND, ..RoomOptions::default() };
    for finds_out_by_storing in [true, false] {
        let node = world.node_with(options);
        node.make("ROOM").await;
        let (mut peer, other) = (node.guest("ROOM", "ann").await, node.guest("ROOM", "bob").await);
        peer.lines();
        // The node did not renew its lease for too long, and another one swept.
        world.env.advance(Duration::from_secs(1_000));
        let now = ServerTime::from_micros(i64::MAX);
        let idle = IdleRooms { empty_since: Some(now), since: Some(now), now, count_max: 10 };
        assert_eq!(world.memory.end_rooms(idle).await.unwrap(), 1);
        if finds_out_by_storing {
            peer.0.put_document("text");
            settle().await;
            assert_eq!(other.lines(), ["document text", "error Room not found"]);
        } else {
            node.rooms.renew().await.unwrap();
            assert_eq!(other.lines(), ["error Room not found"]);
        }
        assert_eq!(peer.lines(), ["error Room not found"]);
        peer.0.put_document("text");
        assert_eq!(peer.lines(), ["error Room not found"], "the client makes the room again when it is told that");
        node.make("ROOM").await;
        peer.join("ROOM", "ann").await;
        peer.0.put_document("healed");
        settle().await;
        assert_eq!(world.document("ROOM").await.as_deref(), Some("healed"));
        drop((peer, other));
        world.env.advance(Duration::from_secs(1_000));
        assert_eq!(world.memory.end_rooms(idle).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_merging_panics_at_wins_as_it_is_and_storing_goes_on() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { merge: true, ..RoomOptions::default() });
    node.make("ROOM").await;
    node.make("OTHER").await;
    let (mut ann, mut bob) = (node.guest("ROOM", "ann").await, node.guest("ROOM", "bob").await);
    let mut other = node.guest("OTHER", "carl").await;
    // When it comes: what both have before them cannot be compared with it, nor what comes then.
    ann.0.put_document("a");
    ann.0.put_document("a ?");
    bob.0.put_document("b");
    assert_eq!(ann.lines().last().unwrap(), "document b");
    world.pass(SECOND).await;
    // When it is stored: another version is there, which it cannot be brought together with.
    let (room, _) = world.memory.room(world.owner, &RoomCode::parse("ROOM").unwrap()).await.unwrap().unwrap();
    let kept = RoomOptions::default().versions;
    let put = DocumentPut { space: room.space(), text: "c ?".to_owned(), after: None, kept, now: room.created_at };
    node.store.fail("document");
    world.memory.put_document(put).now_or_never().unwrap().unwrap();
    ann.0.put_document("b d");
    world.pass(SECOND * 20).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("b d"));
    other.0.put_document("text");
    world.pass(SECOND).await;
    assert_eq!(world.document("OTHER").await.as_deref(), Some("text"));
}

#[tokio::test(start_paused = true)]
async fn what_the_command_line_stores_is_seen_at_the_next_look() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let peer = node.guest("ROOM", "ann").await;
    let (room, _) = world.memory.room(world.owner, &RoomCode::parse("ROOM").unwrap()).await.unwrap().unwrap();
    let put = DocumentPut {
        space: room.space(),
        text: "restored".to_owned(),
        after: None,
        kept: RoomOptions::default().versions,
        now: room.created_at,
    };
    world.memory.put_document(put).await.unwrap();
    node.rooms.look().await.unwrap();
    assert_eq!(peer.lines(), ["document restored"]);
    settle().await;
    assert!(peer.lines().is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn another_database_is_not_given_what_was_made_of_the_old_one() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    node.store.fail("put_document");
    peer.0.put_document("text");
    settle().await;
    node.rooms.forget();
    let (lines, reason) = peer.read();
    assert_eq!(reason, Some(CloseReason::Busy));
    assert_eq!(lines.last().unwrap(), "error The server's data was replaced: reload the page");
    node.store.heal("put_document");
    world.pass(SECOND * 5).await;
    assert_eq!(world.document("ROOM").await, None);
    // It is opened anew.
    let again = node.guest("ROOM", "ann").await;
    assert_eq!(node.store.calls("open_room"), 2);
    drop(again);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_being_opened_when_the_database_is_replaced_is_not_opened() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let gate = node.store.lag("open_room");
    let mut peer = node.connect();
    let wish = JoinWish { code: "ROOM", peer: "ann", claims_host: false, metadata: None };
    let mut joining = Box::pin(peer.0.join(wish));
    assert!(joining.as_mut().now_or_never().is_none());
    node.rooms.forget();
    gate.add_permits(1);
    assert!(joining.await.is_err());
    assert_eq!(node.rooms.counts().live, 0);
}
