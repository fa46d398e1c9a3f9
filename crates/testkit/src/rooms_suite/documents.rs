//! Documents and their versions.

use std::time::Duration;

use tombolo_core::Seq;
use tombolo_core::versions::VersionsKept;
use tombolo_storage::{Document, DocumentPut, DocumentStored, Message, Store, Version};

use super::{ALL, a_room, add_user, document, later, make_room, newest, numbers, put, stored, text};

/// Documents are stored under numbers that rise, unless they say what is there.
pub async fn documents_are_stored_as_versions(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    assert_eq!(newest(store, &room).await, None);
    assert_eq!(store.versions(room.space()).await.unwrap(), []);
    assert_eq!(put(store, &room, "one", 20).await, stored(1));
    assert_eq!(put(store, &room, "one", 21).await, DocumentStored::Unchanged(Seq::new(1)));
    assert_eq!(put(store, &room, "", 22).await, stored(2), "an empty one is one");
    // The clock was set back: later versions have later times.
    assert_eq!(put(store, &room, "one", 10).await, stored(3), "what an older one said is new");
    let third = Document { version: Seq::new(3), at: later(22).plus(Duration::from_micros(1)), text: "one".to_owned() };
    assert_eq!(newest(store, &room).await.as_ref(), Some(&third));
    let version = |version, at, bytes| Version { version: Seq::new(version), at, bytes };
    let expected = [version(3, third.at, 3), version(2, later(22), 0), version(1, later(20), 3)];
    assert_eq!(store.versions(room.space()).await.unwrap(), expected);
    let second = store.document(room.space(), Some(Seq::new(2))).await.unwrap().unwrap();
    assert_eq!((second.version, second.at, second.text.as_str()), (Seq::new(2), later(22), ""));
    for none in [0, 4, i64::MAX.unsigned_abs()] {
        assert_eq!(store.document(room.space(), Some(Seq::new(none))).await.unwrap(), None, "{none}");
    }
    assert_eq!(store.heads(&[room.space()]).await.unwrap(), [Seq::new(3)]);
}

/// One that was made of another version than the newest is told what that is.
pub async fn a_document_made_of_an_older_one_is_not_stored(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let put_after = async |text: &str, after| {
        let put = DocumentPut { after: Some(Seq::new(after)), ..document(&room, text, 30) };
        store.put_document(put).await.unwrap()
    };
    assert_eq!(put_after("one", 7).await, stored(1), "there is nothing that it could be merged with");
    assert_eq!(put_after("two", 1).await, stored(2));
    let second = Document { version: Seq::new(2), at: newest(store, &room).await.unwrap().at, text: "two".to_owned() };
    assert_eq!(put_after("other", 1).await, DocumentStored::Moved(second.clone()));
    assert_eq!(put_after("other", 0).await, DocumentStored::Moved(second.clone()));
    assert_eq!(put_after("two", 1).await, DocumentStored::Unchanged(Seq::new(2)), "it was made of it, in the end");
    assert_eq!(put_after("other", 7).await, DocumentStored::Moved(second.clone()), "a version that never was");
    assert_eq!(newest(store, &room).await, Some(second));
    assert_eq!(put(store, &room, "other", 31).await, stored(3), "whatever is there");
}

/// What has no room is not stored, and makes none.
pub async fn a_document_needs_a_room(store: &dyn Store) {
    let nowhere = a_room(add_user(store, "ann").await, 1, "board");
    assert_eq!(put(store, &nowhere, "text", 20).await, DocumentStored::NoRoom);
    let put = DocumentPut { after: Some(Seq::ZERO), ..document(&nowhere, "text", 20) };
    assert_eq!(store.put_document(put).await.unwrap(), DocumentStored::NoRoom);
    assert_eq!(newest(store, &nowhere).await, None);
    assert_eq!(store.versions(nowhere.space()).await.unwrap(), []);
    assert_eq!(store.totals().await.unwrap().spaces, 0);
}

/// Versions that nothing speaks for are let go; the others keep their numbers.
pub async fn old_versions_are_let_go(store: &dyn Store) {
    const HOUR: u64 = 3_600;
    let room = make_room(store, "ann", "board").await;
    let kept = VersionsKept { newest: 2, minutes: 0, hours: 2, days: 1, bytes_max: 20 };
    // The test's time begins somewhere within an hour, so whole hours apart are hours apart.
    let put =
        async |text: &str, secs| store.put_document(DocumentPut { kept, ..document(&room, text, secs) }).await.unwrap();
    for (n, secs) in [0, 1, 2].into_iter().enumerate() {
        assert_eq!(put(&format!("a{n}"), secs).await, stored(n as u64 + 1));
    }
    assert_eq!(numbers(store, &room).await, [3, 2]);
    assert_eq!(store.document(room.space(), Some(Seq::new(1))).await.unwrap(), None);
    assert_eq!(put("b", 30 * HOUR).await, stored(4));
    assert_eq!(put("c", 31 * HOUR).await, stored(5));
    assert_eq!(put("d", 32 * HOUR).await, stored(6));
    assert_eq!(numbers(store, &room).await, [6, 5, 4, 3], "the hours of b, and of a");
    assert_eq!(put("e", 33 * HOUR).await, stored(7));
    assert_eq!(numbers(store, &room).await, [7, 6, 5, 4, 3], "a is the last of its day");
    assert_eq!(put("e", 34 * HOUR).await, DocumentStored::Unchanged(Seq::new(7)));
    assert_eq!(store.document(room.space(), Some(Seq::new(3))).await.unwrap().unwrap().text, "a2");
    assert_eq!(put("a large one: 20 byte", 34 * HOUR).await, stored(8));
    assert_eq!(numbers(store, &room).await, [8], "it leaves no room for any other");
    assert_eq!(put("one that is larger than all together may be", 35 * HOUR).await, stored(9));
    assert_eq!(numbers(store, &room).await, [9], "the newest one stays");
    assert_eq!(store.heads(&[room.space()]).await.unwrap(), [Seq::new(9)]);
}

/// A large text comes back as it was, whatever is in it.
pub async fn a_large_document_comes_back_exactly(store: &dyn Store) {
    const BYTES: usize = 1 << 20;
    let room = make_room(store, "ann", "board").await;
    let line = "1,\"งานแรก \"\"ด่วน\"\"\",\u{1f600},'',\\,\0\r\n\u{feff},";
    let large = line.repeat(BYTES / line.len() + 1);
    assert_eq!(put(store, &room, &large, 20).await, stored(1));
    assert_eq!(put(store, &room, &large, 21).await, DocumentStored::Unchanged(Seq::new(1)));
    assert!(text(store, &room).await == large, "not shown: it is large");
    assert_eq!(store.versions(room.space()).await.unwrap()[0].bytes, large.len() as u64);
    let opened = super::open(store, &room, super::lease(1, 1, 90), 30).await.unwrap();
    assert!(opened.document.unwrap().text == large, "not shown: it is large");
    let moved = DocumentPut { after: Some(Seq::ZERO), kept: ALL, ..document(&room, "small", 40) };
    let DocumentStored::Moved(found) = store.put_document(moved).await.unwrap() else { panic!("it is there") };
    assert!(found.text == large, "not shown: it is large");
}

/// That a document was stored is told as a log that grew, and nothing else is.
pub async fn a_stored_document_is_told(store: &dyn Store) {
    let room = make_room(store, "ann", "board").await;
    let mut listener = store.bus().listen();
    put(store, &room, "one", 20).await;
    put(store, &room, "one", 21).await;
    let moved = DocumentPut { after: Some(Seq::ZERO), ..document(&room, "other", 22) };
    store.put_document(moved).await.unwrap();
    put(store, &a_room(room.owner, 2, "never"), "one", 23).await;
    put(store, &room, "two", 24).await;
    for version in [1, 2] {
        let heard = tokio::time::timeout(Duration::from_secs(30), listener.next()).await.unwrap();
        assert_eq!(heard, Some(Message::Grew(room.space(), Seq::new(version))));
    }
}
