//! Rooms that end.

use tombolo_core::{LeaseId, Seq};
use tombolo_storage::{DocumentPut, DocumentStored, IdleRooms, Room, RoomAdded, Store};

use super::{
    a_room, add, add_user, document, find, later, lease, left_by, made, make_room, newest, numbers, open, put, stored,
    text,
};

/// The rooms that are left, by their codes.
async fn codes(store: &dyn Store) -> Vec<String> {
    store.rooms(None).await.unwrap().into_iter().map(|overview| overview.room.code.to_string()).collect()
}

/// Rooms without a document end sooner than those with one, each by when it was used last.
pub async fn rooms_end_when_they_were_left_for_long(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    for (number, text) in [(10, "empty-10"), (20, "empty-20"), (30, "full-30"), (40, "full-40")] {
        let room = made(store, a_room(ann, number, text)).await;
        if text.starts_with("full") {
            put(store, &room, "text", 500).await;
        }
    }
    let end = async |empty, full| store.end_rooms(left_by(empty, full, 1_000)).await.unwrap();
    assert_eq!(end(None, None).await, 0);
    assert_eq!(end(Some(9), Some(29)).await, 0);
    assert_eq!(end(None, Some(29)).await, 0, "no document is no reason by itself");
    assert_eq!(end(Some(40), None).await, 2, "when it was stored does not matter, and a document keeps");
    assert_eq!(codes(store).await, ["full-30", "full-40"]);
    assert_eq!(end(Some(40), Some(30)).await, 1, "nobody was in it since");
    assert_eq!(codes(store).await, ["full-40"]);
    assert_eq!(store.room_count(Some(ann)).await.unwrap(), 1);
    // Somebody came back, and went.
    let room = a_room(ann, 40, "full-40");
    store.close_rooms(&[(room.space(), LeaseId::new(1), later(60))]).await.unwrap();
    assert_eq!(end(None, Some(59)).await, 0);
    assert_eq!(end(None, Some(60)).await, 1);
    assert_eq!(codes(store).await, Vec::<String>::new());
}

/// A room that a node has open does not end before its lease has run out or was given back.
pub async fn an_open_room_does_not_end(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let [given, lost] = [made(store, a_room(ann, 1, "given")).await, made(store, a_room(ann, 2, "lost")).await];
    put(store, &lost, "text", 20).await;
    for (room, id, until) in [(&given, 1, 900), (&lost, 2, 100), (&lost, 3, 90)] {
        open(store, room, lease(id, 10, until), 30).await.unwrap();
    }
    assert_eq!(store.end_rooms(left_by(Some(99), Some(99), 100)).await.unwrap(), 0, "its lease ends then");
    assert_eq!(find(store, &lost).await.unwrap().1, super::nodes([10]));
    assert_eq!(store.end_rooms(left_by(Some(99), Some(99), 101)).await.unwrap(), 0, "somebody was in it until then");
    assert_eq!(find(store, &lost).await.unwrap().1, super::nodes([]), "its node was killed");
    assert_eq!(store.end_rooms(left_by(Some(100), Some(100), 101)).await.unwrap(), 1);
    assert_eq!(codes(store).await, ["given"]);
    // What has run out is swept away, also where the room stays.
    open(store, &given, lease(4, 20, 110), 101).await.unwrap();
    assert_eq!(store.end_rooms(left_by(None, None, 111)).await.unwrap(), 0);
    assert_eq!(find(store, &given).await.unwrap().1, super::nodes([10]));
    store.close_rooms(&[(given.space(), LeaseId::new(1), later(115))]).await.unwrap();
    assert_eq!(store.end_rooms(left_by(Some(114), None, 121)).await.unwrap(), 0);
    assert_eq!(store.end_rooms(left_by(Some(115), None, 121)).await.unwrap(), 1);
}

/// A room that was in use for longer than it may be left, until its node was killed: it was left when its lease ran out,
/// whoever notices that.
pub async fn a_room_in_use_outlives_the_crash_of_its_node(store: &dyn Store) {
    const IDLE: u64 = 1_000;
    let ann = add_user(store, "ann").await;
    let [ended, renewed, opened] = [1, 2, 3].map(|number| a_room(ann, number, &format!("room-{number}")));
    for room in [&ended, &renewed, &opened] {
        made(store, room.clone()).await;
        put(store, room, "text", 20).await;
        open(store, room, lease(1, 10, 90), 0).await.unwrap();
        for now in (50..=5_000).step_by(50) {
            let until = lease(1, 10, now + 90);
            store.renew_leases(&[(room.space(), until)], later(now)).await.unwrap();
        }
    }
    let used =
        async || store.rooms(None).await.unwrap().into_iter().map(|overview| overview.used_at).collect::<Vec<_>>();
    assert_eq!(used().await, vec![later(5_000); 3], "whoever renews a lease is in it");
    // The node is gone. Others come to two of the rooms before anybody ends what was left.
    store.renew_leases(&[(renewed.space(), lease(2, 20, 5_095))], later(5_000)).await.unwrap();
    store.renew_leases(&[(renewed.space(), lease(2, 20, 6_000))], later(4_999)).await.unwrap();
    assert_eq!(used().await, vec![later(5_000); 3], "the time of use does not go back");
    open(store, &opened, lease(3, 20, 5_091), 5_091).await.unwrap();
    assert_eq!(used().await[2], later(5_090), "it was left when its lease ran out");
    let end = async |now| store.end_rooms(left_by(Some(now - 60), Some(now - IDLE), now)).await.unwrap();
    assert_eq!(end(5_092).await, 0);
    assert_eq!(used().await, [5_090, 5_090, 5_091].map(later));
    assert_eq!(find(store, &renewed).await.unwrap().1, super::nodes([20]));
    assert_eq!(end(5_089 + IDLE).await, 0);
    assert_eq!(end(5_090 + IDLE).await, 1);
    assert_eq!(codes(store).await, ["room-2", "room-3"]);
    assert_eq!(end(5_091 + IDLE).await, 1);
    assert_eq!(codes(store).await, ["room-2"], "its other node was killed at 6000");
    assert_eq!(end(5_999 + IDLE).await, 0);
    assert_eq!(end(6_000 + IDLE).await, 1);
}

/// So many end at a time as were asked for, those that were left for longest first.
pub async fn as_many_rooms_end_as_were_asked_for(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    for number in [3, 1, 2, 5, 4] {
        let room = made(store, a_room(ann, number, &format!("room-{number}"))).await;
        if number % 2 == 0 {
            put(store, &room, "text", 20).await;
        }
    }
    let idle = |count_max| IdleRooms { count_max, ..left_by(Some(100), Some(100), 100) };
    assert_eq!(store.end_rooms(idle(0)).await.unwrap(), 0);
    assert_eq!(store.end_rooms(idle(2)).await.unwrap(), 2);
    assert_eq!(codes(store).await, ["room-3", "room-4", "room-5"]);
    assert_eq!(store.end_rooms(idle(2)).await.unwrap(), 2);
    assert_eq!(codes(store).await, ["room-5"]);
    assert_eq!(store.end_rooms(idle(2)).await.unwrap(), 1);
    assert_eq!(store.end_rooms(idle(2)).await.unwrap(), 0);
}

/// Makes so many rooms without a document, which nobody was in for long, and one with a document, which is the answer.
///
/// # Panics
/// When the store does not take them.
pub async fn many_rooms(store: &dyn Store, count: u8) -> Room {
    let written = make_room(store, "ann", "written").await;
    write(store, &written, "text").await;
    for number in 0..count {
        made(store, a_room(written.owner, number + 2, &format!("room-{number}"))).await;
    }
    written
}

/// Stores a document that says something else than the one there.
///
/// # Panics
/// When the store does not take it.
pub async fn write(store: &dyn Store, room: &Room, text: &str) {
    assert!(matches!(put(store, room, text, 20).await, DocumentStored::Stored(_)));
}

/// The rooms of [`many_rooms`] that have no document.
#[must_use]
pub fn all_that_are_empty() -> IdleRooms {
    left_by(Some(1_000), None, 1_000)
}

/// Ends every room that there is, whoever has it open.
///
/// # Panics
/// When one stays.
pub async fn every_room_ends(store: &dyn Store) {
    const LATER: u64 = 1_000_000;
    store.end_rooms(left_by(Some(LATER), Some(LATER), LATER)).await.unwrap();
    assert_eq!(store.rooms(None).await.unwrap(), []);
}

/// Nothing is left of a room that ended, and its code is free.
pub async fn nothing_is_left_of_a_room_that_ended(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let other = made(store, a_room(room.owner, 2, "other")).await;
    for n in 1..=3 {
        assert_eq!(put(store, &room, &format!("old {n}"), 20).await, stored(n));
    }
    put(store, &other, "stays", 20).await;
    open(store, &room, lease(1, 10, 90), 30).await.unwrap();
    open(store, &other, lease(2, 10, 900), 30).await.unwrap();
    assert_eq!(store.end_rooms(left_by(None, Some(90), 100)).await.unwrap(), 1);
    assert_eq!(find(store, &room).await, None);
    assert_eq!(open(store, &room, lease(1, 10, 200), 100).await, None);
    assert_eq!(store.renew_leases(&[(room.space(), lease(1, 10, 200))], later(100)).await.unwrap(), [None]);
    assert_eq!(store.rooms(None).await.unwrap().len(), 1);
    assert_eq!((newest(store, &room).await, numbers(store, &room).await), (None, Vec::new()));
    assert_eq!(store.document(room.space(), Some(Seq::new(2))).await.unwrap(), None);
    assert_eq!(store.heads(&[room.space()]).await.unwrap(), [Seq::ZERO]);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.spaces, totals.changes), (1, 1));
    assert_eq!(super::put(store, &room, "late", 100).await, tombolo_storage::DocumentStored::NoRoom);
    // The code again, and even the number.
    let anew = Room { code: super::code("BOARD"), id: a_room(room.owner, 9, "any-").id, ..room.clone() };
    assert_eq!(add(store, &anew).await, RoomAdded::New);
    assert_eq!(find(store, &room).await, Some((anew.clone(), Vec::new())));
    assert_eq!((newest(store, &anew).await, numbers(store, &anew).await), (None, Vec::new()));
    let first = DocumentPut { after: Some(Seq::ZERO), ..document(&anew, "old 3", 110) };
    assert_eq!(store.put_document(first).await.unwrap(), stored(1));
    assert_eq!(numbers(store, &anew).await, [1]);
    assert_eq!((text(store, &anew).await.as_str(), text(store, &other).await.as_str()), ("old 3", "stays"));
}
