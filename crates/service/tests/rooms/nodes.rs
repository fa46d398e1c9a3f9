//! Several nodes on one store: peers of one room are on any of them.

use std::time::Duration;

use futures_util::FutureExt as _;
use tombolo_core::RoomCode;
use tombolo_service::{CloseReason, PeerInfo, RoomFound, RoomOptions};
use tombolo_storage::{DocumentPut, Frame};

use crate::bench::{HOME, Node, Peer, World, settle};

const SECOND: Duration = Duration::from_secs(1);
const LOST: &str = "error Some messages of other peers may be lost: reload to be sure";

/// Two nodes, and a room with a peer on each of them who has read everything.
struct Pair {
    world: World,
    one: Node,
    two: Node,
    ann: Peer,
    bob: Peer,
}

impl Pair {
    async fn new() -> Self {
        Self::with(RoomOptions::default()).await
    }

    async fn with(options: RoomOptions) -> Self {
        let world = World::new().await;
        let (one, two) = (world.node_with(options), world.node_with(options));
        one.make("ROOM").await;
        let ann = one.guest("ROOM", "ann").await;
        let mut bob = two.connect();
        bob.join("ROOM", "bob").await;
        settle().await;
        assert_eq!(bob.lines(), ["room ROOM of host: ann bob", "connected bob ROOM", "joined bob"]);
        assert_eq!(ann.lines(), ["joined bob"]);
        Self { world, one, two, ann, bob }
    }

    async fn names(node: &Node) -> Vec<String> {
        let RoomFound::Room { peers, .. } = node.rooms.find(node.entrant(HOME), "ROOM").await.unwrap() else {
            panic!("it is there")
        };
        peers.into_iter().map(|PeerInfo { id, .. }| id.as_str().to_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn peers_see_each_other_come_and_go_on_whichever_node() {
    let Pair { world, one, two, ann, bob } = Pair::new().await;
    let carl = two.guest("ROOM", "carl").await;
    settle().await;
    assert_eq!((ann.lines(), bob.lines()), (vec!["joined carl".to_owned()], vec!["joined carl".to_owned()]));
    // A second tab of the same browser, on the other node.
    let tab = one.guest("ROOM", "bob").await;
    settle().await;
    assert_eq!((ann.lines().len(), carl.lines().len()), (0, 0));
    assert_eq!(Pair::names(&one).await, ["ann", "bob", "carl"]);
    drop(bob);
    settle().await;
    assert!(ann.lines().is_empty(), "bob is still there");
    drop(tab);
    settle().await;
    assert_eq!((ann.lines(), carl.lines()), (vec!["left bob".to_owned()], vec!["left bob".to_owned()]));
    drop((world, ann));
    settle().await;
    assert_eq!(carl.lines(), ["left ann"]);
}

#[tokio::test(start_paused = true)]
async fn data_and_documents_cross_both_ways_in_order() {
    let Pair { world, one: _one, two: _two, mut ann, mut bob } = Pair::new().await;
    for n in 0..100 {
        ann.0.broadcast(&format!("a{n}"));
        bob.0.broadcast(&format!("b{n}"));
    }
    settle().await;
    let expected = |from: &str, mark: &str| (0..100).map(|n| format!("data {from} {mark}{n}")).collect::<Vec<_>>();
    assert_eq!(ann.lines(), expected("bob", "b"));
    assert_eq!(bob.lines(), expected("ann", "a"));
    ann.0.put_document("of ann");
    settle().await;
    assert_eq!(bob.lines(), ["document of ann"]);
    world.pass(SECOND).await;
    bob.0.put_document("of bob");
    settle().await;
    assert_eq!(ann.lines(), ["document of bob"]);
    assert_eq!(world.document("ROOM").await.as_deref(), Some("of bob"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_larger_than_a_frame_crosses_in_pieces() {
    let Pair { one: _one, two: _two, mut ann, bob, .. } =
        Pair::with(RoomOptions { broadcast_bytes_max: 8 << 20, ..RoomOptions::default() }).await;
    let large: String = (0..600_000).map(|n| format!("{n:05}")).collect();
    ann.0.broadcast("before");
    ann.0.broadcast(&large);
    ann.0.broadcast("after");
    settle().await;
    assert_eq!(bob.lines(), ["data ann before", &format!("data ann {large}"), "data ann after"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_stores_last_wins_everywhere() {
    let Pair { world, one: _one, two: _two, mut ann, mut bob } = Pair::new().await;
    for round in 0..10 {
        ann.0.put_document(&format!("ann {round}"));
        bob.0.put_document(&format!("bob {round}"));
        world.pass(SECOND).await;
        let stored = world.document("ROOM").await.unwrap();
        for peer in [&mut ann, &mut bob] {
            peer.lines();
            peer.0.request_document();
            assert_eq!(peer.lines(), [format!("document {stored}")]);
        }
    }
}

/// The numbers of the documents of `of` among these.
fn numbers(lines: &[String], of: &str) -> Vec<usize> {
    let lines = lines.iter().filter_map(|line| line.strip_prefix("document ")?.strip_prefix(of)?.parse().ok());
    lines.collect()
}

/// Sends a document, which the peer has before it then, after what it was sent.
fn put(peer: &mut Peer, before: &mut Vec<String>, text: &str) {
    before.extend(peer.lines());
    before.push(format!("document {text}"));
    peer.0.put_document(text);
}

#[tokio::test(start_paused = true)]
async fn while_both_sides_write_each_sees_what_the_other_does() {
    // Whatever the one is behind the other, and also when they store at the same moment.
    for lag in [0, 1, 90, 180, 270, 359] {
        let Pair { world, one, two, mut ann, mut bob } = Pair::new().await;
        let (near_ann, near_bob) = (one.guest("ROOM", "near_ann").await, two.guest("ROOM", "near_bob").await);
        settle().await;
        let (_, mut of_ann, mut of_bob) = ((near_ann.lines(), near_bob.lines()), ann.lines(), bob.lines());
        for n in 0..30 {
            put(&mut ann, &mut of_ann, &format!("ann{n}"));
            world.pass(Duration::from_millis(lag)).await;
            put(&mut bob, &mut of_bob, &format!("bob{n}"));
            world.pass(Duration::from_millis(359 - lag)).await;
        }
        world.pass(SECOND * 2).await;
        let stored = world.document("ROOM").await.unwrap();
        of_ann.extend(ann.lines());
        of_bob.extend(bob.lines());
        let near = (near_ann.lines(), near_bob.lines());
        for (lines, of) in [(of_ann, "bob"), (near.0, "bob"), (of_bob, "ann"), (near.1, "ann")] {
            // What is sent each 360 ms and stored each 500 ms leaves out one at most, and each that is stored is shown.
            let seen = numbers(&lines, of);
            assert!(seen[0] == 0 && seen.last() >= Some(&28), "{lag}: {lines:?}");
            assert!(seen.windows(2).all(|two| (1..=2).contains(&(two[1] - two[0]))), "{lag}: {lines:?}");
            assert_eq!(*lines.last().unwrap(), format!("document {stored}"), "{lag}: all have the same before them");
        }
        drop((one, two));
    }
}

#[tokio::test(start_paused = true)]
async fn documents_that_are_changed_on_two_nodes_at_once_are_merged() {
    let options = RoomOptions { merge: true, ..RoomOptions::default() };
    let Pair { world, one: _one, two: _two, mut ann, mut bob } = Pair::with(options).await;
    ann.0.put_document("a b");
    world.pass(SECOND).await;
    assert_eq!(bob.lines(), ["document a b"]);
    ann.0.put_document("a b c");
    bob.0.put_document("a b d");
    world.pass(SECOND * 2).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("a b c d"));
    assert_eq!(ann.lines().last().unwrap(), "document a b c d");
    assert_eq!(bob.lines().last().unwrap(), "document a b c d");
}

#[tokio::test(start_paused = true)]
async fn who_opens_a_room_waits_a_second_for_a_node_that_was_killed() {
    let world = World::new().await;
    let (one, two) = (world.node(), world.node());
    one.make("ROOM").await;
    let _ghost = one.guest("ROOM", "ghost").await;
    one.kill().await;
    let began = tokio::time::Instant::now();
    let bob = two.guest("ROOM", "bob").await;
    assert_eq!(began.elapsed().as_millis(), 1_000);
    assert_eq!(Pair::names(&two).await, ["bob"]);
    drop(bob);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_killed_is_forgotten_with_its_peers() {
    let Pair { world, one, two, ann, bob } = Pair::new().await;
    let tasks = two.rooms.clone();
    two.kill().await;
    // Its peers are not heard to leave.
    drop((bob, tasks));
    for _ in 0..3 {
        one.rooms.renew().await.unwrap();
        assert!(ann.lines().is_empty());
        world.pass(SECOND * 20).await;
    }
    world.pass(SECOND * 20).await;
    one.rooms.renew().await.unwrap();
    assert_eq!(ann.lines(), ["left bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lets_go_of_a_room_is_told_nothing_more() {
    let Pair { world, one, two, mut ann, bob } = Pair::new().await;
    drop(bob);
    world.pass(SECOND * 6).await;
    two.rooms.sweep().await.unwrap();
    settle().await;
    let published = one.store.calls("publish");
    ann.0.broadcast("alone");
    settle().await;
    assert_eq!(one.store.calls("publish"), published);
    // And is told everything when it opens it again.
    let again = two.guest("ROOM", "bob").await;
    ann.0.broadcast("not alone");
    settle().await;
    assert_eq!(again.lines(), ["data ann not alone"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hears_nothing_of_another_finds_it_by_its_lease() {
    let world = World::new().await;
    let (one, two) = (world.node(), world.node());
    one.make("ROOM").await;
    let ann = one.guest("ROOM", "ann").await;
    // What it tells is lost, until it is not.
    two.store.lose_frames();
    let bob = two.guest("ROOM", "bob").await;
    settle().await;
    assert!(ann.lines().is_empty());
    two.store.heal("publish");
    one.rooms.renew().await.unwrap();
    settle().await;
    assert_eq!(ann.lines(), ["joined bob"]);
    assert_eq!(Pair::names(&two).await, ["ann", "bob"]);
    drop(bob);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_while_leases_are_asked_for_is_not_forgotten() {
    let world = World::new().await;
    let (one, two) = (world.node(), world.node());
    one.make("ROOM").await;
    let mut ann = one.guest("ROOM", "ann").await;
    let gate = one.store.lag("renew_leases");
    let mut renewing = Box::pin(one.rooms.renew());
    assert!(renewing.as_mut().now_or_never().is_none());
    let bob = two.guest("ROOM", "bob").await;
    settle().await;
    gate.add_permits(1);
    renewing.await.unwrap();
    assert_eq!(ann.lines(), ["joined bob"]);
    ann.0.broadcast("hello");
    settle().await;
    assert_eq!(bob.lines(), ["data ann hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_stored_while_a_room_is_being_opened_is_seen() {
    let world = World::new().await;
    let (one, two) = (world.node(), world.node());
    one.make("ROOM").await;
    let mut ann = one.guest("ROOM", "ann").await;
    ann.0.put_document("old");
    world.pass(SECOND).await;
    // It was read, and is not in the hub yet: that the log grew is heard for nobody.
    let gate = two.store.lag("open_room");
    let mut bob = two.connect();
    let mut joining = Box::pin(bob.join("ROOM", "bob"));
    assert!(joining.as_mut().now_or_never().is_none());
    ann.0.put_document("new");
    world.pass(SECOND).await;
    assert_eq!(world.document("ROOM").await.as_deref(), Some("new"));
    gate.add_permits(1);
    joining.await;
    assert!(bob.lines().contains(&"document new".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_room_is_said_by_the_nodes_where_it_is_open() {
    let world = World::new().await;
    let (one, two, three) = (world.node(), world.node(), world.node());
    one.make("ROOM").await;
    let held = (one.guest("ROOM", "ann").await, two.guest("ROOM", "bob").await);
    assert_eq!(Pair::names(&three).await, ["ann", "bob"]);
    assert_eq!(three.store.calls("open_room"), 0, "looking opens nothing");
    // A node that does not answer is not waited for long.
    two.kill().await;
    let began = tokio::time::Instant::now();
    assert_eq!(Pair::names(&three).await, ["ann"]);
    assert_eq!(began.elapsed().as_millis(), 300);
    drop(held);
}

/// Puts more on the bus than a listener may be behind, while none of them goes on.
async fn flood(world: &World) {
    for _ in 0..1_100 {
        let frame = Frame { topic: "junk".into(), payload: Vec::new().into() };
        world.memory.bus().publish(frame).now_or_never().unwrap().unwrap();
    }
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn who_may_have_missed_something_is_told_and_sees_again_who_is_there() {
    let Pair { world, one: _one, two, ann, bob } = Pair::new().await;
    // This is lost.
    let carl = two.guest("ROOM", "carl").await;
    bob.lines();
    flood(&world).await;
    assert_eq!(ann.lines(), [LOST, "joined carl"]);
    assert_eq!(bob.lines(), [LOST]);
    drop(carl);
}

#[tokio::test(start_paused = true)]
async fn documents_that_were_missed_are_read() {
    let Pair { world, one, two: _two, ann, bob } = Pair::new().await;
    let (room, _) = world.memory.room(world.owner, &RoomCode::parse("ROOM").unwrap()).await.unwrap().unwrap();
    let kept = one.rooms.options().versions;
    let put = DocumentPut { space: room.space(), text: "missed".to_owned(), after: None, kept, now: room.created_at };
    world.memory.put_document(put).now_or_never().unwrap().unwrap();
    flood(&world).await;
    assert!(ann.lines().contains(&"document missed".to_owned()));
    assert!(bob.lines().contains(&"document missed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_node_reads_few_documents_of_others_at_once_and_one_of_each_room() {
    let world = World::new().await;
    let (one, mut two) = (world.node(), world.node());
    let mut peers = Vec::new();
    for n in 0..20 {
        let code = format!("ROOM{n}");
        one.make(&code).await;
        peers.push((one.guest(&code, "ann").await, two.guest(&code, "bob").await));
    }
    let _gate = two.store.hold("document");
    for text in ["first", "second"] {
        peers.iter_mut().for_each(|(ann, _)| ann.0.put_document(text));
        world.pass(SECOND * 5).await;
        assert_eq!(two.store.calls("document"), 8, "{text}");
    }
    // Whoever read is dropped, and those who wait with him.
    two.tasks.shutdown().await;
    two.store.heal("document");
    let two = two.run();
    peers.iter_mut().for_each(|(ann, _)| ann.0.put_document("third"));
    world.pass(SECOND * 5).await;
    for (_, bob) in &peers {
        assert_eq!(bob.lines().last().unwrap(), "document third");
    }
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn where_data_are_passed_on_who_missed_some_had_better_come_again() {
    let Pair { world, one: _one, two: _two, mut ann, bob } = Pair::new().await;
    ann.0.broadcast("data");
    settle().await;
    flood(&world).await;
    for peer in [ann, bob] {
        let (lines, reason) = peer.read();
        assert_eq!(reason, Some(CloseReason::Busy));
        assert_eq!(lines.last().unwrap(), LOST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_lost_on_the_way_is_noticed() {
    let Pair { one, two: _two, ann, bob, .. } = Pair::new().await;
    one.store.lose_frames();
    let lost = one.guest("ROOM", "lost").await;
    settle().await;
    assert!(bob.lines().is_empty());
    one.store.heal("publish");
    let next = one.guest("ROOM", "next").await;
    settle().await;
    assert_eq!(bob.lines(), [LOST, "joined next", "joined lost"]);
    drop((ann, lost, next));
}

#[tokio::test(start_paused = true)]
async fn frames_that_could_not_be_sent_are_sent_again_in_order() {
    let Pair { world, one, two: _two, mut ann, bob } = Pair::new().await;
    one.store.fail("publish");
    for n in 0..10 {
        ann.0.broadcast(&n.to_string());
        settle().await;
    }
    assert!(bob.lines().is_empty());
    one.store.heal("publish");
    world.pass(SECOND).await;
    assert_eq!(bob.lines(), (0..10).map(|n| format!("data ann {n}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_while_nothing_can_be_sent_is_lost_and_said_to_be() {
    let options = RoomOptions { queue_count_max: 100_000, ..RoomOptions::default() };
    let Pair { world, one, two, mut ann, bob } = Pair::with(options).await;
    one.store.fail("publish");
    settle().await;
    for n in 0..20_000 {
        ann.0.broadcast(&n.to_string());
    }
    let late = one.guest("ROOM", "late").await;
    one.store.heal("publish");
    world.pass(SECOND * 2).await;
    let (lines, reason) = bob.read();
    // What came before it is in order, and then it is said.
    let arrived = lines.iter().filter(|line| line.starts_with("data ")).count();
    assert!((1..20_000).contains(&arrived), "{arrived}");
    assert_eq!(lines[..arrived], (0..arrived).map(|n| format!("data ann {n}")).collect::<Vec<_>>());
    assert_eq!((lines.last().unwrap().as_str(), reason), (LOST, Some(CloseReason::Busy)));
    // Who comes then sees who is there.
    drop(bob);
    let again = two.guest("ROOM", "bob").await;
    assert_eq!(Pair::names(&two).await, ["ann", "late", "bob"]);
    drop((again, late));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_read_makes_no_other_wait() {
    let Pair { one, two: _two, mut ann, bob, .. } = Pair::new().await;
    let _gate = one.store.hold("publish");
    let near = one.guest("ROOM", "near").await;
    ann.lines();
    ann.0.broadcast("hello");
    assert_eq!(near.lines(), ["data ann hello"]);
    settle().await;
    assert!(bob.lines().is_empty());
}
