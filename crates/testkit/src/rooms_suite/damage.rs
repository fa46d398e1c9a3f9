//! Rooms that are damaged.

use tombolo_core::versions::VersionsKept;
use tombolo_core::{Purpose, Seq};
use tombolo_storage::{DocumentPut, Reading, Store, StoreError};

use super::{code, document, later, lease, make_room, numbers, open, put, stored};

/// How the logs of rooms are read.
#[must_use]
pub const fn reading() -> Reading {
    Reading::of_versions(Purpose::Rooms)
}

/// A room of seven versions, of which the first, second and fourth were let go, and which a node has open: all that a
/// store has.
///
/// # Panics
/// When the store does not take it.
pub async fn seven_versions(store: &dyn Store) {
    const HOUR: u64 = 3_600;
    let room = make_room(store, "ann", "board").await;
    let kept = VersionsKept { newest: 3, minutes: 0, hours: 9, days: 0, bytes_max: u64::MAX };
    for (version, secs) in (1..).zip([1, 2, 3, HOUR, HOUR + 1, 2 * HOUR, 2 * HOUR + 1]) {
        let put = DocumentPut { kept, ..document(&room, &format!("version {version}"), secs) };
        assert_eq!(store.put_document(put).await.unwrap(), stored(version));
    }
    assert_eq!(numbers(store, &room).await, [7, 6, 5, 3]);
    open(store, &room, lease(1, 1, 9_000), 10).await.unwrap();
}

/// That the newest of [`seven_versions`] is damaged is told by whatever would give it out.
///
/// # Panics
/// When it is not.
pub async fn damage_of_a_document_is_told(store: &dyn Store) {
    let ann = store.users().await.unwrap()[0].id;
    let (room, _) = store.room(ann, &code("board")).await.unwrap().unwrap();
    let is_corrupt = |why: Option<StoreError>| assert!(matches!(why, Some(StoreError::Corrupt(_))), "{why:?}");
    is_corrupt(store.document(room.space(), None).await.err());
    is_corrupt(store.open_room(ann, &room.code, lease(2, 2, 9_000), later(20)).await.err());
    let other = DocumentPut { after: Some(Seq::new(6)), ..document(&room, "other", 9_000) };
    is_corrupt(store.put_document(other).await.err());
    // What is whole is read.
    let sixth = store.document(room.space(), Some(Seq::new(6))).await.unwrap();
    assert_eq!(sixth.unwrap().text, "version 6");
}

/// After [`damage_of_a_document_is_told`], another document makes the room usable again.
///
/// # Panics
/// When it does not.
pub async fn a_damaged_document_gives_way(store: &dyn Store) {
    let ann = store.users().await.unwrap()[0].id;
    let (room, _) = store.room(ann, &code("board")).await.unwrap().unwrap();
    assert_eq!(put(store, &room, "whole", 9_001).await, stored(8));
    assert_eq!(super::text(store, &room).await, "whole");
}
