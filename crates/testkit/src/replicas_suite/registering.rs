//! Whose a replica is.

use tombolo_core::{Seq, Verdict, limits};
use tombolo_storage::{Downloaded, Store, Uploaded};

use super::{Book, anew, pair, says};

/// A device is made known by its first request, of either kind, and opens no other user's log.
pub async fn a_device_is_one_users(store: &dyn Store) {
    let (ann, bob) = (Book::of(store, "ann").await, Book::of(store, "bob").await);
    ann.write("phone", None, anew(says("n", "1", "1", 10))).await;
    ann.pull("desktop", None).await;
    for device in ["phone", "desktop"] {
        assert_eq!(bob.try_page(device, None, (10, 1_000)).await, Downloaded::OthersReplica, "{device}");
        assert_eq!(
            bob.try_upload(device, None, vec![anew(says("n", "2", "2", 10))]).await,
            Uploaded::OthersReplica,
            "{device}"
        );
    }
    assert!(bob.is_empty().await, "nothing was stored");
    // Each has devices of his own, and the same ids of records.
    assert_eq!(bob.write("tablet", None, anew(says("n", "3", "3", 10))).await.verdict, Verdict::Applied);
    assert_eq!((ann.note("n").await, bob.note("n").await), (pair("1", "1"), pair("3", "3")));
    assert_eq!(ann.try_page("tablet", None, (10, 1_000)).await, Downloaded::OthersReplica);
    // Whoever has nothing yet is told so in either kind of request, also with somebody's cursor.
    let cursor = ann.pull("phone", None).await.cursor;
    let cem = Book::of(store, "cem").await;
    assert_eq!(cem.try_page("phone", Some(cursor), (10, 1_000)).await, Downloaded::OthersReplica);
    assert_eq!(cem.try_upload("phone", Some(cursor), Vec::new()).await, Uploaded::OthersReplica);
    ann.is_whole().await;
}

/// Devices beyond the limit are forgotten, those first that were given least; a name that is forgotten is free.
pub async fn devices_are_bounded(store: &dyn Store) {
    let (ann, bob) = (Book::of(store, "ann").await, Book::of(store, "bob").await);
    ann.pull("oldest", None).await;
    for n in 0..3 {
        ann.write("writer", None, anew(says(&format!("n{n}"), "1", "1", 10))).await;
    }
    let seen = ann.pull("seen", None).await;
    // Some stores remember what was given with the next upload.
    ann.upload("writer", Some(seen.cursor), Vec::new()).await;
    for n in 0..limits::REPLICAS_MAX - 2 {
        ann.upload(&format!("device-{n}"), Some(seen.cursor), Vec::new()).await;
    }
    assert!(matches!(bob.try_page("oldest", None, (10, 1_000)).await, Downloaded::Page { .. }), "it is nobody's");
    assert_eq!(bob.try_page("seen", None, (10, 1_000)).await, Downloaded::OthersReplica);
    assert_eq!(ann.try_page("oldest", None, (10, 1_000)).await, Downloaded::OthersReplica, "it is another's now");
    // Who was forgotten is new.
    assert_eq!(ann.pull("device-0", Some(seen.cursor)).await.cursor.resume, Seq::new(3));
}
