//! Who has a room open.

use tombolo_core::Seq;
use tombolo_storage::{Document, OpenedRoom, Room, Store};

use super::{a_room, find, later, lease, made, make_room, nodes, open, put};

/// Opening says what there is, and who else has it open: each node once, and none whose lease has run out.
pub async fn an_opened_room_says_who_else_has_it_open(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let opened = open(store, &room, lease(1, 10, 90), 0).await;
    assert_eq!(opened, Some(OpenedRoom { room: room.clone(), document: None, others: Vec::new() }));
    // The same node once more, and two others, of which one has it open twice.
    for (id, node, until) in [(2, 10, 95), (3, 20, 40), (4, 30, 100), (5, 30, 110)] {
        open(store, &room, lease(id, node, until), 10).await.unwrap();
    }
    put(store, &room, "text", 20).await;
    let document = Document { version: Seq::new(1), at: later(20), text: "text".to_owned() };
    let spelt = Room { code: super::code("BOARD"), ..room.clone() };
    let opened = open(store, &spelt, lease(6, 10, 120), 40).await;
    let others = nodes([20, 30]);
    assert_eq!(opened, Some(OpenedRoom { room: room.clone(), document: Some(document), others }), "until 40 and at 40");
    let opened = open(store, &room, lease(7, 40, 130), 41).await.unwrap();
    assert_eq!(opened.others, nodes([10, 30]), "the node 20 did not renew its own");
    assert_eq!(find(store, &room).await, Some((room.clone(), nodes([10, 30, 40]))));
    // There is none of this code, which leaves no lease behind.
    let later_made = a_room(room.owner, 2, "later");
    assert_eq!(open(store, &later_made, lease(8, 10, 999), 0).await, None);
    made(store, later_made.clone()).await;
    assert_eq!(find(store, &later_made).await.unwrap().1, nodes([]));
}

/// A lease is put off, comes back when it had run out, and is not given for what is gone.
pub async fn leases_are_renewed(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let other = made(store, a_room(room.owner, 2, "other")).await;
    let never_made = a_room(room.owner, 3, "never");
    open(store, &room, lease(1, 10, 90), 0).await.unwrap();
    open(store, &room, lease(2, 20, 30), 0).await.unwrap();
    open(store, &other, lease(3, 10, 90), 0).await.unwrap();
    let asked = [
        (other.space(), lease(3, 10, 140)),
        (never_made.space(), lease(9, 10, 140)),
        (room.space(), lease(1, 10, 140)),
    ];
    let renewed = store.renew_leases(&asked, later(20)).await.unwrap();
    assert_eq!(renewed, [Some(nodes([])), None, Some(nodes([20]))]);
    assert_eq!(store.renew_leases(&[], later(20)).await.unwrap(), []);
    // Node 20 stood still for too long: it was forgotten, and is there again.
    let renewed = store.renew_leases(&asked, later(100)).await.unwrap();
    assert_eq!(renewed, [Some(nodes([])), None, Some(nodes([]))]);
    let late = [(room.space(), lease(2, 20, 200))];
    assert_eq!(store.renew_leases(&late, later(101)).await.unwrap(), [Some(nodes([10]))]);
    assert_eq!(find(store, &room).await.unwrap().1, nodes([10, 20]));
    // Both stay for as long as they were put off.
    assert_eq!(open(store, &room, lease(4, 30, 999), 140).await.unwrap().others, nodes([10, 20]));
    assert_eq!(open(store, &room, lease(4, 30, 999), 141).await.unwrap().others, nodes([20]));
}

/// What is given back is gone, another lease of the same node is not, and the time of use never goes back.
pub async fn rooms_are_closed(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let other = made(store, a_room(room.owner, 2, "other")).await;
    let never_made = a_room(room.owner, 3, "never");
    for (id, node) in [(1, 10), (2, 10), (3, 20)] {
        open(store, &room, lease(id, node, 90), 0).await.unwrap();
    }
    open(store, &other, lease(1, 10, 90), 0).await.unwrap();
    let used = async || {
        let rooms = store.rooms(Some(room.owner)).await.unwrap();
        rooms.into_iter().map(|overview| (overview.used_at, overview.is_open)).collect::<Vec<_>>()
    };
    let close = async |id: i64, secs| {
        let id = tombolo_core::LeaseId::new(id);
        store.close_rooms(&[(never_made.space(), id, later(secs)), (room.space(), id, later(secs))]).await.unwrap();
    };
    close(1, 50).await;
    assert_eq!(find(store, &room).await.unwrap().1, nodes([10, 20]));
    assert_eq!(find(store, &other).await.unwrap().1, nodes([10]), "a lease is of one room");
    assert_eq!(used().await, [(later(50), true), (other.created_at, true)]);
    close(2, 40).await;
    assert_eq!(find(store, &room).await.unwrap().1, nodes([20]));
    assert_eq!(used().await[0], (later(50), true), "it does not go back");
    // One that is not there any more is known to have been in it all the same.
    close(2, 60).await;
    close(3, 55).await;
    assert_eq!(used().await[0], (later(60), false));
    store.close_rooms(&[]).await.unwrap();
}
