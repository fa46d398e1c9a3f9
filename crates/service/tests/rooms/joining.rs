//! Joining rooms, and all that may happen meanwhile.

use std::time::Duration;

use futures_util::FutureExt as _;
use tombolo_core::UserId;
use tombolo_service::{CloseReason, Entrant, JoinWish, Joined, RoomFound, RoomMade, RoomOptions, RoomWish};

use crate::bench::{HOME, Peer, World, settle};

const NOT_FOUND: [&str; 1] = ["error Room not found"];

#[tokio::test(start_paused = true)]
async fn a_peer_that_joins_is_told_and_so_are_the_others() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let first = node.guest("ROOM", "ann").await;
    let mut second = node.connect();
    assert_eq!(second.join("room", "bob").await, Joined::Done);
    assert_eq!(second.lines(), ["room ROOM of host: ann bob", "connected bob ROOM", "joined bob"]);
    assert_eq!(first.lines(), ["joined bob"]);
    second.0.broadcast("hello");
    assert_eq!(first.lines(), ["data bob hello"]);
    assert!(second.lines().is_empty());
    drop(second);
    assert_eq!(first.lines(), ["left bob"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_no_room_is_told_so_by_whatever_he_asks() {
    let world = World::new().await;
    let node = world.node();
    let mut peer = node.connect();
    peer.0.broadcast("data");
    peer.0.put_document("text");
    peer.0.request_document();
    assert_eq!(peer.lines(), [NOT_FOUND[0]; 3]);
    peer.0.ping();
    assert_eq!(peer.lines(), ["pong"]);
    assert!(!peer.0.leave());
    assert_eq!(peer.read(), (vec![], None));
    // None of that was a wrong code.
    node.make("ROOM").await;
    for _ in 0..200 {
        peer.0.broadcast("data");
    }
    peer.join("ROOM", "ann").await;
    assert_eq!(peer.lines().last().unwrap(), "joined ann");
}

#[tokio::test(start_paused = true)]
async fn leaving_closes_the_connection() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let (first, mut second) = (node.guest("ROOM", "ann").await, node.guest("ROOM", "bob").await);
    first.lines();
    assert!(second.0.leave());
    assert_eq!(second.read(), (vec![], Some(CloseReason::Left)));
    assert_eq!(first.lines(), ["left bob"]);
}

#[tokio::test(start_paused = true)]
async fn joining_another_room_leaves_the_first_only_if_there_is_one() {
    let world = World::new().await;
    let node = world.node();
    node.make("ONE1").await;
    node.make("TWO2").await;
    let (other, mut mover) = (node.guest("ONE1", "ann").await, node.guest("ONE1", "bob").await);
    other.lines();
    mover.join("THREE", "bob").await;
    assert_eq!(mover.lines(), NOT_FOUND);
    mover.0.broadcast("still here");
    assert_eq!(other.lines(), ["data bob still here"]);
    mover.join("TWO2", "bob").await;
    assert_eq!(other.lines(), ["left bob"]);
    mover.0.broadcast("not there");
    assert!(other.lines().is_empty());
    assert_eq!(mover.lines().first().unwrap(), "room TWO2 of host: bob");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_joined() {
    let world = World::new().await;
    let options = RoomOptions { peers_max: 1, metadata_bytes_max: 4, peer_name_bytes_max: 8, ..RoomOptions::default() };
    let node = world.node_with(options);
    node.make("ROOM").await;
    let mut peer = node.connect();
    peer.join("x y", "ann").await;
    assert_eq!(peer.lines(), NOT_FOUND);
    let closed = async |wish: JoinWish<'static>, expected: &str| {
        let mut peer = node.connect();
        assert_eq!(peer.0.join(wish).await.unwrap(), Joined::Done);
        assert_eq!(peer.read(), (vec![format!("error {expected}")], Some(CloseReason::Limited)));
    };
    let good = JoinWish { code: "ROOM", peer: "ann", claims_host: false, metadata: None };
    closed(JoinWish { peer: "", ..good }, "A peer's id has 1 to 8 bytes").await;
    closed(JoinWish { peer: "far too long", ..good }, "A peer's id has 1 to 8 bytes").await;
    closed(JoinWish { metadata: Some("[1,2]"), ..good }, "A peer's metadata has at most 4 bytes").await;
    let _there = node.guest("ROOM", "bob").await;
    closed(good, "The room is full").await;
}

#[tokio::test(start_paused = true)]
async fn rooms_of_other_owners_are_others() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let stranger = Entrant { owner: UserId::new(world.owner.get() + 1), ..node.entrant(HOME) };
    let mut peer = Peer(node.rooms.connect(stranger).unwrap());
    peer.join("ROOM", "ann").await;
    assert_eq!(peer.lines(), NOT_FOUND);
    assert_eq!(node.rooms.find(stranger, "ROOM").await.unwrap(), RoomFound::NotFound);
}

#[tokio::test(start_paused = true)]
async fn where_rooms_are_made_by_joining_them() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { auto_create: true, made_per_minute: 2, ..RoomOptions::default() });
    let mut peer = node.connect();
    peer.join("x y", "ann").await;
    assert_eq!(peer.lines(), ["error Invalid room code"]);
    peer.join("new-1", "ann").await;
    let lines = peer.lines();
    assert!(lines[0].starts_with("room new-1 of host_") && lines[0].ends_with(": ann"), "{lines:?}");
    peer.join("new-2", "ann").await;
    peer.lines();
    peer.join("new-3", "ann").await;
    assert_eq!(peer.lines(), ["error Too many rooms were made from this address: try again in 60 s"]);
    peer.join("NEW-1", "ann").await;
    assert_eq!(peer.lines().last().unwrap(), "joined ann");
}

#[tokio::test(start_paused = true)]
async fn two_who_open_a_cold_room_at_once_are_in_one_room() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let gate = node.store.lag("open_room");
    let (mut one, mut other) = (node.connect(), node.connect());
    let both = async { tokio::join!(one.join("ROOM", "ann"), other.join("ROOM", "bob")) };
    let opened = async {
        settle().await;
        assert_eq!(node.store.calls("open_room"), 1, "the second waits for the first");
        gate.add_permits(1);
    };
    tokio::join!(both, opened);
    one.0.broadcast("hello");
    assert_eq!(other.lines().last().unwrap(), "data ann hello");
    // The one lease there is keeps the room.
    world.pass(Duration::from_secs(80)).await;
    node.rooms.renew().await.unwrap();
    world.pass(Duration::from_secs(80)).await;
    assert_eq!(node.store.calls("open_room"), 1);
    node.rooms.sweep().await.unwrap();
    one.0.broadcast("still");
    assert_eq!(other.lines(), ["data ann still"]);
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_dropped_midway_holds_up_nobody() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    for call in ["room", "open_room"] {
        let _gate = node.store.lag(call);
        let mut gone = node.connect();
        let mut joining = Box::pin(gone.join("ROOM", "gone"));
        assert!(joining.as_mut().now_or_never().is_none());
        // Somebody else waits for him.
        let mut waiting = node.connect();
        let mut second = Box::pin(waiting.join("ROOM", "ann"));
        assert!(second.as_mut().now_or_never().is_none());
        drop(joining);
        node.store.heal(call);
        second.await;
        assert_eq!(waiting.lines()[0], "room ROOM of host: ann");
        drop(waiting);
        world.pass(Duration::from_secs(6)).await;
        node.rooms.sweep().await.unwrap();
        assert_eq!(node.rooms.counts().live, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_holds_up_nobody_else() {
    let world = World::new().await;
    let node = world.node();
    node.make("WARM").await;
    node.make("COLD").await;
    let warm = node.guest("WARM", "ann").await;
    let gate = node.store.hold("open_room");
    let mut slow = node.connect();
    let mut joining = Box::pin(slow.join("COLD", "bob"));
    assert!(joining.as_mut().now_or_never().is_none());
    let mut quick = node.connect();
    assert!(quick.join("WARM", "carl").now_or_never().is_some(), "the room is open already");
    quick.0.put_document("text");
    assert_eq!(warm.lines(), ["joined carl", "document text"]);
    gate.add_permits(1);
    joining.await;
    assert_eq!(slow.lines().last().unwrap(), "joined bob");
}

#[tokio::test(start_paused = true)]
async fn a_room_is_let_go_of_when_nobody_was_in_it_for_a_while() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let mut peer = node.guest("ROOM", "ann").await;
    peer.0.put_document("text");
    world.pass(Duration::from_secs(3)).await;
    drop(peer);
    node.rooms.sweep().await.unwrap();
    let back = node.guest("ROOM", "ann").await;
    assert_eq!(node.store.calls("open_room"), 1, "who reloads finds it open");
    drop(back);
    world.pass(Duration::from_secs(5)).await;
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.store.calls("close_rooms"), 1);
    let mut again = node.connect();
    again.join("ROOM", "ann").await;
    assert_eq!(node.store.calls("open_room"), 2);
    assert_eq!(again.lines(), ["room ROOM of host: ann", "connected ann ROOM", "document text", "joined ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_joined_while_it_is_let_go_of_stays() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { idle_empty: Duration::from_secs(1), ..RoomOptions::default() });
    node.make("ROOM").await;
    drop(node.guest("ROOM", "ann").await);
    world.pass(Duration::from_secs(5)).await;
    // Its lease is being given back: the room is open no more, and is opened anew under another.
    let gate = node.store.hold("close_rooms");
    let mut sweeping = Box::pin(node.rooms.sweep());
    assert!(sweeping.as_mut().now_or_never().is_none());
    let one = node.guest("ROOM", "bob").await;
    gate.add_permits(1);
    sweeping.await.unwrap();
    node.rooms.sweep().await.unwrap();
    let mut other = node.guest("ROOM", "carl").await;
    other.0.put_document("text");
    assert_eq!(one.lines(), ["joined carl", "document text"]);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("text"));
}

#[tokio::test(start_paused = true)]
async fn leases_that_could_not_be_given_back_are_given_back_later() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { idle_empty: Duration::from_secs(10), ..RoomOptions::default() });
    node.make("ROOM").await;
    drop(node.guest("ROOM", "ann").await);
    world.pass(Duration::from_secs(5)).await;
    node.store.fail("close_rooms");
    node.rooms.sweep().await.unwrap_err();
    world.pass(Duration::from_secs(20)).await;
    node.rooms.sweep().await.unwrap_err();
    assert_eq!(node.rooms.count(None).await.unwrap(), 1);
    node.store.heal("close_rooms");
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.rooms.count(None).await.unwrap(), 0, "nobody was in it for more than ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_somebody_is_in_is_not_ended_however_long_nobody_writes() {
    let world = World::new().await;
    let idle = Duration::from_secs(60);
    let node = world.node_with(RoomOptions { idle_empty: idle, idle, ..RoomOptions::default() });
    node.make("ROOM").await;
    let peer = node.guest("ROOM", "ann").await;
    for _ in 0..30 {
        world.pass(Duration::from_secs(20)).await;
        node.rooms.renew().await.unwrap();
        node.rooms.sweep().await.unwrap();
    }
    assert_eq!(node.rooms.count(Some(world.owner)).await.unwrap(), 1);
    drop(peer);
    world.pass(Duration::from_secs(59)).await;
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.rooms.count(None).await.unwrap(), 1, "it counts from when the last one left");
    node.rooms.sweep().await.unwrap();
    // It is looked for such rooms twelve times a minute, where they are kept for one.
    world.pass(Duration::from_secs(5)).await;
    node.rooms.sweep().await.unwrap();
    assert_eq!(node.rooms.count(None).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_made_and_found() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { rooms_max: 2, ..RoomOptions::default() });
    let home = node.entrant(HOME);
    let make = |code, host| node.rooms.make(home, RoomWish { code, host });
    let RoomMade::New(made) = make(None, None).await.unwrap() else { panic!("there is none") };
    assert!(made.code.as_str().len() == 6 && made.host.as_str().starts_with("host_"), "{made:?}");
    let RoomMade::New(mine) = make(Some("mine"), Some("host_1")).await.unwrap() else { panic!("it is free") };
    assert_eq!(make(Some("MINE"), Some("host_1")).await.unwrap(), RoomMade::Restored(mine.clone()));
    assert_eq!(make(Some("mine"), Some("host_2")).await.unwrap(), RoomMade::Taken);
    assert_eq!(make(Some("mine"), None).await.unwrap(), RoomMade::Taken);
    assert_eq!(make(Some("more"), Some("")).await.unwrap(), RoomMade::Full);
    assert!(matches!(make(Some(""), None).await.unwrap(), RoomMade::BadCode(_)));
    assert_eq!(make(None, Some(&"h".repeat(129))).await.unwrap(), RoomMade::BadHost);
    let found = node.rooms.find(home, "MINE").await.unwrap();
    assert_eq!(found, RoomFound::Room { room: mine.clone(), peers: vec![] });
    let _peer = node.guest("mine", "ann").await;
    let RoomFound::Room { peers, .. } = node.rooms.find(home, "mine").await.unwrap() else { panic!("it is there") };
    assert_eq!(peers.len(), 1);
    assert!(matches!(node.rooms.find(home, "").await.unwrap(), RoomFound::BadCode(_)));
    assert_eq!(node.rooms.count(Some(world.owner)).await.unwrap(), 2);
}
