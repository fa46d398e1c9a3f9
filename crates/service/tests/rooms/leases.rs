//! Rooms that are open are held on to, whatever the clock and the database do, and those that are not are given back.

use std::time::Duration;

use futures_util::FutureExt as _;
use tombolo_core::RoomCode;
use tombolo_service::RoomOptions;

use crate::bench::{World, settle};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_room_that_somebody_is_in_outlives_a_clock_that_jumps() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { idle: SECOND, idle_empty: SECOND, ..RoomOptions::default() });
    for code in ["EMPTY", "FULL", "LEFT"] {
        node.make(code).await;
    }
    let (empty, mut full) = (node.guest("EMPTY", "ann").await, node.guest("FULL", "bob").await);
    full.0.put_document("text");
    settle().await;
    for jump in [HOUR, HOUR * 24, HOUR * 24 * 365] {
        // Suspended: nobody renewed a lease meanwhile, and the sweep comes first.
        world.env.advance(jump);
        node.rooms.sweep().await.unwrap();
        full.0.request_document();
        assert_eq!(full.lines(), ["document text"]);
        empty.0.tell("still here");
        assert_eq!(empty.lines(), ["error still here"], "and nothing else");
        assert_eq!(node.rooms.count(None).await.unwrap(), 2, "only the one ended that nobody was in");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_ends_while_leases_cannot_be_renewed() {
    let world = World::new().await;
    let node = world.node_with(RoomOptions { idle_empty: SECOND, ..RoomOptions::default() });
    node.make("ROOM").await;
    let peer = node.guest("ROOM", "ann").await;
    world.env.advance(HOUR);
    node.store.fail("renew_leases");
    node.rooms.sweep().await.unwrap_err();
    assert_eq!((node.store.calls("end_rooms"), node.rooms.count(None).await.unwrap()), (0, 1));
    node.store.heal("renew_leases");
    node.rooms.sweep().await.unwrap();
    assert_eq!((node.store.calls("end_rooms"), node.rooms.count(None).await.unwrap()), (1, 1));
    assert!(peer.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_while_leases_are_renewed_is_gone() {
    let world = World::new().await;
    let node = world.node();
    node.make("ROOM").await;
    drop(node.guest("ROOM", "ann").await);
    world.pass(SECOND * 5).await;
    let gate = node.store.hold("renew_leases");
    let mut renewing = Box::pin(node.rooms.renew());
    assert!(renewing.as_mut().now_or_never().is_none());
    let mut sweeping = Box::pin(node.rooms.sweep());
    assert!(sweeping.as_mut().now_or_never().is_none(), "it waits for its turn");
    gate.add_permits(10);
    let (renewed, swept) = tokio::join!(renewing, sweeping);
    renewed.and(swept).unwrap();
    let (_, open) = world.memory.room(world.owner, &RoomCode::parse("ROOM").unwrap()).await.unwrap().unwrap();
    assert!(open.is_empty(), "nobody has it open");
}
