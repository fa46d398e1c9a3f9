//! What is done to one room at once, on real threads.

use tombolo_core::{Seq, UserId};
use tombolo_storage::{DocumentPut, DocumentStored, NewRoom, RoomAdded, Store};

use super::{a_room, document, find, lease, left_by, made, newest, numbers, open, put, text};
use crate::projects_suite::add_user;
use crate::wait;

/// How often each race is run.
const ROUNDS: u8 = 12;

/// Does both at once, each on a thread of its own: the one that runs the test drives its runtime.
fn both<A: Send, B: Send>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(first), scope.spawn(second));
        (first.join().unwrap(), second.join().unwrap())
    })
}

/// One code that eight make at once is made once, and all are told of the same room.
pub async fn a_code_is_made_many_times_at_once([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let text = format!("race-{round}");
        let mut added: Vec<RoomAdded> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|n| {
                    let room = a_room(owner, 8 * round + n, &text);
                    let store = [one, two][usize::from(n % 2)];
                    scope.spawn(move || wait(store.add_room(NewRoom { room, of_owner_max: 100 })).unwrap())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        added.retain(|added| *added != RoomAdded::New);
        let (room, _) = one.room(owner, &super::code(&text)).await.unwrap().unwrap();
        assert_eq!(added, vec![RoomAdded::Exists(room); 7]);
    }
    assert_eq!(one.room_count(Some(owner)).await.unwrap(), u64::from(ROUNDS));
    assert_eq!(one.totals().await.unwrap().spaces, u64::from(ROUNDS));
}

/// The last room that an owner may have is made once.
pub async fn the_last_room_of_an_owner_is_made_once([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    let add = |store: &dyn Store, owner: UserId, number, of_owner_max| {
        let room = a_room(owner, number, &format!("room-{number}"));
        wait(store.add_room(NewRoom { room, of_owner_max })).unwrap()
    };
    for round in 0..ROUNDS {
        let max = usize::from(round) + 1;
        let (first, second) = both(|| add(one, owner, 2 * round, max), || add(two, owner, 2 * round + 1, max));
        let answers = [first, second];
        assert!(answers.contains(&RoomAdded::New) && answers.contains(&RoomAdded::Full), "{answers:?}");
    }
}

/// A document that is stored while its room ends: it is there with its room, or neither is.
pub async fn a_document_is_stored_while_its_room_ends([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let room = made(one, a_room(owner, round, &format!("race-{round}"))).await;
        let (stored, ended) =
            both(|| wait(put(one, &room, "text", 200)), || wait(two.end_rooms(left_by(Some(150), None, 200))).unwrap());
        let is_there = find(one, &room).await.is_some();
        assert_eq!((ended, is_there), if is_there { (0, true) } else { (1, false) });
        let (expected, said) =
            if is_there { (DocumentStored::Stored(Seq::new(1)), "text") } else { (DocumentStored::NoRoom, "") };
        assert_eq!((stored, text(two, &room).await.as_str()), (expected, said));
        one.end_rooms(left_by(Some(150), Some(150), 200)).await.unwrap();
    }
    let totals = one.totals().await.unwrap();
    assert_eq!((totals.spaces, totals.changes), (0, 0));
}

/// A room that is opened while it ends: it is open and stays, or it was never opened.
pub async fn a_room_is_opened_while_it_ends([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let room = made(one, a_room(owner, round, &format!("race-{round}"))).await;
        put(one, &room, "text", 100).await;
        let (opened, ended) = both(
            || wait(open(one, &room, lease(1, 10, 300), 200)),
            || wait(two.end_rooms(left_by(Some(150), Some(150), 200))).unwrap(),
        );
        assert_eq!(ended, u64::from(opened.is_none()));
        assert_eq!(find(two, &room).await.map(|(_, nodes)| nodes), opened.map(|_| super::nodes([10])));
        let renewed = two.renew_leases(&[(room.space(), lease(1, 10, 300))], super::later(201)).await.unwrap();
        assert_eq!(renewed[0].is_none(), ended == 1);
        one.end_rooms(left_by(Some(300), Some(300), 301)).await.unwrap();
        assert_eq!(one.room_count(None).await.unwrap(), 0);
    }
}

/// A lease that is renewed while its room ends: it holds, or the room is known to be gone.
pub async fn a_lease_is_renewed_while_its_room_ends([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let room = made(one, a_room(owner, round, &format!("race-{round}"))).await;
        open(one, &room, lease(1, 10, 190), 100).await.unwrap();
        let (renewed, ended) = both(
            || wait(one.renew_leases(&[(room.space(), lease(1, 10, 300))], super::later(200))).unwrap(),
            || wait(two.end_rooms(left_by(Some(190), None, 200))).unwrap(),
        );
        assert_eq!(renewed, [(ended == 0).then(Vec::new)]);
        assert_eq!(find(one, &room).await.is_some(), ended == 0);
        one.end_rooms(left_by(Some(300), None, 301)).await.unwrap();
        assert_eq!(one.room_count(None).await.unwrap(), 0);
    }
}

/// A room that two end at once is ended once.
pub async fn a_room_is_ended_twice_at_once([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let room = made(one, a_room(owner, round, "board")).await;
        put(one, &room, "text", 100).await;
        let end = |store: &dyn Store| wait(store.end_rooms(left_by(None, Some(150), 200))).unwrap();
        let (first, second) = both(|| end(one), || end(two));
        assert_eq!(first + second, 1);
    }
    assert_eq!(one.totals().await.unwrap().spaces, 0);
}

/// Of two documents that were made of one version, one is stored, and the other is told of it.
pub async fn two_documents_are_made_of_one_version([one, two]: [&dyn Store; 2]) {
    let owner = add_user(one, "ann").await;
    let room = made(one, a_room(owner, 1, "board")).await;
    for round in 0..u64::from(ROUNDS) {
        let store = |store: &dyn Store, by: &str| {
            let put = DocumentPut { after: Some(Seq::new(round)), ..document(&room, &format!("{by} {round}"), 200) };
            wait(store.put_document(put)).unwrap()
        };
        let (first, second) = both(|| store(one, "one"), || store(two, "two"));
        let there = newest(one, &room).await.unwrap();
        assert_eq!(there.version, Seq::new(round + 1));
        let answers = [first, second];
        assert!(answers.contains(&DocumentStored::Stored(there.version)), "{answers:?}");
        assert!(answers.contains(&DocumentStored::Moved(there)), "{answers:?}");
    }
}

/// Many store at once: each has a version of its own, and the newest is what is there.
pub async fn documents_are_stored_at_once([one, two]: [&dyn Store; 2]) {
    const EACH: u64 = 10;
    let owner = add_user(one, "ann").await;
    let room = made(one, a_room(owner, 1, "board")).await;
    let store = |store: &dyn Store, by: &str| -> Vec<(u64, String)> {
        let put = |n: u64| {
            let text = format!("{by} {n}");
            match wait(put(store, &room, &text, 200)) {
                DocumentStored::Stored(version) => (version.get(), text),
                other => panic!("{other:?}"),
            }
        };
        (0..EACH).map(put).collect()
    };
    let (mut all, second) = both(|| store(one, "one"), || store(two, "two"));
    all.extend(second);
    all.sort();
    assert_eq!(all.iter().map(|(version, _)| *version).collect::<Vec<_>>(), (1..=2 * EACH).collect::<Vec<_>>());
    for (version, text) in &all {
        let document = two.document(room.space(), Some(Seq::new(*version))).await.unwrap().unwrap();
        assert_eq!(document.text, *text);
    }
    assert_eq!(numbers(one, &room).await.len() as u64, 2 * EACH);
}
