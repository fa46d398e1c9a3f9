//! Rooms that are made, found and listed.

use tombolo_core::{SpaceNumber, UserId};
use tombolo_storage::{NewRoom, Room, RoomAdded, RoomOverview, Store, Version};

use super::{a_room, add, code, find, later, lease, made, make_room, open, put};
use crate::projects_suite::add_user;

/// A room is found by its code in any spelling, and by nothing else.
pub async fn a_room_is_found_in_any_spelling(store: &dyn Store) {
    let room = make_room(store, "ann", "2mH9-jc").await;
    for spelling in ["2mH9-jc", "2MH9-JC", "2mh9-jc"] {
        let (found, open) = store.room(room.owner, &code(spelling)).await.unwrap().unwrap();
        assert_eq!((found.code.as_str(), open), ("2mH9-jc", Vec::new()), "it stays as it was first spelt");
        assert_eq!(found, room);
    }
    assert_eq!(store.room(room.owner, &code("2mh9-jd")).await.unwrap(), None);
    let other = add_user(store, "bob").await;
    assert_eq!(store.room(other, &room.code).await.unwrap(), None, "it is somebody else's");
    assert_eq!(store.heads(&[room.space()]).await.unwrap(), [tombolo_core::Seq::ZERO]);
}

/// A code is made once; a second time the first room is told, and stays as it is.
pub async fn a_code_is_made_once(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let again = a_room(room.owner, 2, "BOARD");
    assert_eq!(add(store, &again).await, RoomAdded::Exists(room.clone()));
    assert_eq!(find(store, &again).await, Some((room.clone(), Vec::new())));
    assert_eq!(store.room_count(None).await.unwrap(), 1);
    assert_eq!(store.totals().await.unwrap().spaces, 1, "nothing is left of the second one");
    // A number that is taken is a fault, and leaves nothing behind.
    let same_number = Room { number: room.number, ..a_room(room.owner, 3, "other") };
    store.add_room(NewRoom { room: same_number.clone(), of_owner_max: 9 }).await.unwrap_err();
    assert_eq!(find(store, &same_number).await, None);
    let free = Room { number: SpaceNumber::new(5), ..same_number };
    assert_eq!(add(store, &free).await, RoomAdded::New);
}

/// Rooms of one owner are bounded; who has that many is told so of new ones only.
pub async fn an_owners_rooms_are_bounded(store: &dyn Store) {
    let [ann, bob] = [add_user(store, "ann").await, add_user(store, "bob").await];
    let add = async |owner: UserId, number, text: &str, of_owner_max| {
        store.add_room(NewRoom { room: a_room(owner, number, text), of_owner_max }).await.unwrap()
    };
    assert_eq!(add(ann, 1, "one-", 0).await, RoomAdded::Full);
    assert_eq!(add(ann, 1, "one-", 2).await, RoomAdded::New);
    assert_eq!(add(ann, 2, "two-", 2).await, RoomAdded::New);
    assert_eq!(add(ann, 3, "three", 2).await, RoomAdded::Full);
    assert_eq!(add(ann, 3, "ONE-", 2).await, RoomAdded::Exists(a_room(ann, 1, "one-")));
    assert_eq!(add(bob, 1, "one-", 2).await, RoomAdded::New, "each owner is counted alone");
    assert_eq!(store.room_count(Some(ann)).await.unwrap(), 2);
    assert_eq!(store.room_count(Some(bob)).await.unwrap(), 1);
    assert_eq!(store.room_count(None).await.unwrap(), 3);
    assert_eq!(add(ann, 3, "three", 3).await, RoomAdded::New);
}

/// One code of two owners is two rooms, with a document each.
pub async fn the_same_code_of_two_owners_is_two_rooms(store: &dyn Store) {
    let of_ann = make_room(store, "ann", "board").await;
    let of_bob = make_room(store, "bob", "BOARD").await;
    assert_eq!(of_ann.number, of_bob.number, "numbers are an owner's own");
    put(store, &of_ann, "of ann", 20).await;
    assert_eq!(super::text(store, &of_bob).await, "");
    put(store, &of_bob, "of bob", 20).await;
    assert_eq!(super::text(store, &of_ann).await, "of ann");
    assert_eq!(find(store, &of_bob).await, Some((of_bob.clone(), Vec::new())));
}

/// Rooms are listed by owner and code, with what is known of each.
pub async fn rooms_are_listed_by_owner_and_code(store: &dyn Store) {
    let [ann, bob] = [add_user(store, "ann").await, add_user(store, "bob").await];
    assert_eq!(store.rooms(None).await.unwrap(), []);
    assert_eq!(store.room_count(None).await.unwrap(), 0);
    let of_bob = made(store, a_room(bob, 1, "aaaa")).await;
    let second = made(store, a_room(ann, 2, "bbbb")).await;
    let first = made(store, a_room(ann, 3, "BBBA")).await;
    let third = made(store, a_room(ann, 4, "CCCC")).await;
    put(store, &second, "a", 20).await;
    put(store, &second, "กข", 21).await;
    open(store, &third, lease(7, 70, 90), 30).await.unwrap();
    let plain =
        |room: &Room| RoomOverview { room: room.clone(), used_at: room.created_at, is_open: false, newest: None };
    let version = Version { version: tombolo_core::Seq::new(2), at: later(21), bytes: 6 };
    let of_ann = [
        plain(&first),
        RoomOverview { newest: Some(version), ..plain(&second) },
        RoomOverview { is_open: true, ..plain(&third) },
    ];
    assert_eq!(store.rooms(Some(ann)).await.unwrap(), of_ann);
    assert_eq!(store.rooms(Some(bob)).await.unwrap(), [plain(&of_bob)]);
    let mut all = of_ann.to_vec();
    all.push(plain(&of_bob));
    assert_eq!(store.rooms(None).await.unwrap(), all);
}
