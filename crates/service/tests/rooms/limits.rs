//! What one connection, or one address, may do.

use std::time::Duration;

use futures_util::future::join_all;
use tombolo_core::RoomCode;
use tombolo_service::{CloseReason, Entrant, NotConnected, RoomFound, RoomMade, RoomOptions, RoomWish};

use crate::bench::{HOME, Node, Peer, World};

/// Asks for rooms that are not there, by turns in each of the ways there are, `count` times.
async fn guess(node: &Node, entrant: Entrant, count: usize) {
    let mut peer = Peer(node.rooms.connect(entrant).unwrap());
    for n in 0..count {
        match n % 3 {
            0 => assert_eq!(node.rooms.find(entrant, "WRONG").await.unwrap(), RoomFound::NotFound),
            1 => {
                peer.join("WRONG", "ann").await;
                assert_eq!(peer.lines(), ["error Room not found"]);
            }
            _ => {
                let wish = RoomWish { code: Some("ROOM"), host: None };
                assert_eq!(node.rooms.make(entrant, wish).await.unwrap(), RoomMade::Taken);
            }
        }
    }
}

const TOO_MANY: &str = "error Too many wrong room codes from this address: try again in 60 s";

#[tokio::test(start_paused = true)]
async fn wrong_codes_are_counted_in_whatever_way_one_asks() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    let _warm = node.guest("ROOM", "bob").await;
    let stranger = node.entrant("198.51.100.1");
    guess(&node, stranger, 100).await;
    // Nothing is looked at any more, be it right.
    let looked = node.store.calls("room");
    for code in ["WRONG", "ROOM"] {
        assert_eq!(node.rooms.find(stranger, code).await.unwrap(), RoomFound::TooMany(Duration::from_secs(60)));
        let mut peer = Peer(node.rooms.connect(stranger).unwrap());
        peer.join(code, "ann").await;
        assert_eq!(peer.lines(), [TOO_MANY]);
        let wish = RoomWish { code: Some(code), host: Some("host") };
        let made = node.rooms.make(stranger, wish).await.unwrap();
        assert_eq!(made, RoomMade::TooMany(Duration::from_secs(60)));
    }
    assert_eq!(node.store.calls("room"), looked);
    // Others are not kept out, and he is for a minute.
    let _other = node.guest("ROOM", "carl").await;
    world.pass(Duration::from_secs(60)).await;
    assert!(matches!(node.rooms.find(stranger, "ROOM").await.unwrap(), RoomFound::Room { .. }));
}

#[tokio::test(start_paused = true)]
async fn as_many_codes_are_wrong_as_may_be_however_many_are_asked_for_at_once() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { wrong_codes_per_minute: 10, ..RoomOptions::default() });
    let gate = node.store.hold("room");
    let home = node.entrant(HOME);
    let asking = join_all((0..50).map(|_| node.rooms.find(home, "WRONG")));
    let letting = async { gate.add_permits(50) };
    let (answers, ()) = tokio::join!(asking, letting);
    let wrong = answers.into_iter().filter(|answer| matches!(answer, Ok(RoomFound::NotFound))).count();
    assert_eq!((wrong, node.store.calls("room")), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn right_codes_count_for_nothing() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { wrong_codes_per_minute: 2, ..RoomOptions::default() });
    node.make("ROOM").await;
    let home = node.entrant(HOME);
    let answers = join_all((0..50).map(|_| node.rooms.find(home, "ROOM"))).await;
    assert!(answers.into_iter().all(|answer| matches!(answer, Ok(RoomFound::Room { .. }))));
    assert_eq!(node.rooms.find(home, "WRONG").await.unwrap(), RoomFound::NotFound);
    assert!(matches!(node.rooms.find(home, "ROOM").await.unwrap(), RoomFound::Room { .. }));
}

#[tokio::test(start_paused = true)]
async fn so_many_rooms_are_made_in_a_minute() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { made_per_minute: 3, ..RoomOptions::default() });
    let make = |entrant| node.rooms.make(entrant, RoomWish::default());
    for _ in 0..3 {
        assert!(matches!(make(node.entrant(HOME)).await.unwrap(), RoomMade::New(_)));
    }
    assert_eq!(make(node.entrant(HOME)).await.unwrap(), RoomMade::TooMany(Duration::from_secs(60)));
    assert!(matches!(make(node.entrant("198.51.100.1")).await.unwrap(), RoomMade::New(_)));
}

#[tokio::test(start_paused = true)]
async fn so_many_connections_come_from_one_address() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { sockets_per_address_max: 2, ..RoomOptions::default() });
    let held = [node.connect(), node.connect()];
    assert_eq!(node.rooms.connect(node.entrant(HOME)).err(), Some(NotConnected::TooMany));
    assert!(node.rooms.connect(node.entrant("198.51.100.1")).is_ok());
    drop(held);
    assert!(node.rooms.connect(node.entrant(HOME)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_closes_the_connection_that_sent_it() {
    let world = World::new().await;
    let options = RoomOptions { document_bytes_max: 8, broadcast_bytes_max: 4, ..RoomOptions::default() };
    let node = world.node_with(options);
    node.make("ROOM").await;
    let other = node.guest("ROOM", "ann").await;
    let (mut writer, mut sender) = (node.guest("ROOM", "bob").await, node.guest("ROOM", "carl").await);
    writer.lines();
    other.lines();
    writer.0.put_document("12345678");
    sender.0.broadcast("1234");
    assert_eq!(other.lines(), ["document 12345678", "data carl 1234"]);
    writer.0.put_document("123456789");
    sender.0.broadcast("12345");
    let told = |peer: &Peer, what: &str| {
        let (lines, reason) = peer.read();
        assert_eq!(reason, Some(CloseReason::TooBig));
        assert_eq!(lines.last().unwrap(), what);
    };
    told(&writer, "error The document is too large: it may have at most 8 bytes");
    told(&sender, "error The message is too large: it may have at most 4 bytes");
    assert!(other.lines().is_empty());
    // Whoever is being closed is not listened to any more.
    writer.0.put_document("x");
    sender.0.broadcast("x");
    assert!(other.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn documents_of_open_rooms_take_so_much_together() {
    let world = World::new().await;
    let options = RoomOptions { held_bytes_max: 2 * "document 1234".len(), ..RoomOptions::default() };
    let node = world.node_with(options);
    for code in ["FIRST", "SECOND", "THIRD"] {
        node.make(code).await;
    }
    let full = "error The server holds too many large documents at the moment: try again later";
    let (mut one, mut two) = (node.guest("FIRST", "ann").await, node.guest("SECOND", "bob").await);
    one.0.put_document("1234");
    two.0.put_document("12345");
    assert_eq!(two.read(), (vec![full.to_owned()], Some(CloseReason::Busy)));
    drop(two);
    let mut two = node.guest("SECOND", "bob").await;
    two.0.put_document("1234");
    let mut three = node.guest("THIRD", "carl").await;
    three.0.put_document("1");
    assert_eq!(three.read().1, Some(CloseReason::Busy));
    // One that nobody is in is let go of, which makes room for another; it is not opened again meanwhile.
    drop(two);
    world.pass(Duration::from_secs(6)).await;
    node.rooms.sweep().await.unwrap();
    one.0.put_document("12345678");
    let mut late = node.connect();
    late.join("SECOND", "late").await;
    assert_eq!(late.lines(), [full]);
    let (_, open) = world.memory.room(world.owner, &RoomCode::parse("SECOND").unwrap()).await.unwrap().unwrap();
    assert!(open.is_empty(), "nobody holds it by having asked");
    one.0.put_document("");
    late.join("SECOND", "late").await;
    assert!(late.lines().contains(&"document 1234".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_fast_is_closed() {
    let world = World::new().await;
    let options = RoomOptions { messages_per_second: 2, messages_burst: 3, ..RoomOptions::default() };
    let node = world.node_with(options);
    let mut peer = node.connect();
    assert!((0..3).all(|_| peer.0.admits()));
    world.pass(Duration::from_secs(1)).await;
    assert!(peer.0.admits() && peer.0.admits() && !peer.0.admits());
    let expected = vec!["error Too many messages: at most 2 a second".to_owned()];
    assert_eq!(peer.read(), (expected, Some(CloseReason::Limited)));
    let closed = node.rooms.counts().closes.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    assert_eq!(closed, [(CloseReason::Limited, 1)]);
}

#[tokio::test(start_paused = true)]
async fn who_joins_too_often_is_closed() {
    let world = World::new().await;
    let options = RoomOptions { messages_per_second: 2, messages_burst: 50, ..RoomOptions::default() };
    let node = world.node_with(options);
    node.make("ROOM").await;
    let mut peer = node.connect();
    for _ in 0..2 {
        assert!(peer.0.admits());
        peer.join("ROOM", "ann").await;
        assert_eq!(peer.read(), (lines_of_a_join(), None));
    }
    world.pass(Duration::from_secs(4)).await;
    assert!(peer.0.admits(), "a message, and no more than that");
    peer.join("ROOM", "ann").await;
    let expected = vec!["error Too many messages: at most 2 a second".to_owned()];
    assert_eq!(peer.read(), (expected, Some(CloseReason::Limited)));
}

#[tokio::test(start_paused = true)]
async fn who_finds_another_room_full_was_never_out_of_his_own() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { peers_max: 2, ..RoomOptions::default() });
    node.make("HOME").await;
    node.make("FULL").await;
    let (mut peer, other) = (node.guest("HOME", "ann").await, node.guest("HOME", "bob").await);
    let _full = (node.guest("FULL", "carl").await, node.guest("FULL", "dora").await);
    peer.lines();
    peer.join("FULL", "ann").await;
    assert_eq!(peer.read(), (vec!["error The room is full".to_owned()], Some(CloseReason::Limited)));
    assert!(other.lines().is_empty());
    drop(peer);
    assert_eq!(other.lines(), ["left ann"]);
}

fn lines_of_a_join() -> Vec<String> {
    ["room ROOM of host: ann", "connected ann ROOM", "joined ann"].map(str::to_owned).to_vec()
}
