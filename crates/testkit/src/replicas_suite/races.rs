//! Devices at once.

use tombolo_core::Verdict;
use tombolo_storage::{Downloaded, Store, Uploaded};

use super::{Book, anew, on, pair, says};

/// Two devices edit one note at once: both fields survive, whichever comes first.
pub async fn two_devices_edit_at_once(stores: [&dyn Store; 2]) {
    let one = Book::of(stores[0], "ann").await;
    let two = Book::on(stores[1], one.owner());
    for n in 0..20 {
        let id = format!("n{n}");
        let version = one.write("a", None, anew(says(&id, "1", "1", 10))).await.version;
        let first = one.write("a", None, on(version, says(&id, "2", "1", 20)));
        let second = two.write("b", None, on(version, says(&id, "1", "2", 21)));
        tokio::join!(first, second);
        assert_eq!(one.note(&id).await, pair("2", "2"));
    }
    one.is_whole().await;
}

/// One device sends the same request twice at once: it is stored once.
pub async fn a_request_comes_twice_at_once(stores: [&dyn Store; 2]) {
    let one = Book::of(stores[0], "ann").await;
    let two = Book::on(stores[1], one.owner());
    for n in 0..20 {
        let length = one.len().await;
        let write = anew(says(&format!("n{n}"), "1", "1", 10));
        let (first, second) = tokio::join!(one.write("a", None, write.clone()), two.write("a", None, write));
        assert_eq!((first.verdict, second.verdict), (Verdict::Applied, Verdict::Applied));
        assert_eq!((first.version, one.len().await), (second.version, length + 1));
    }
}

/// Two users bring one device at once: it is one's.
pub async fn two_users_bring_one_device_at_once(stores: [&dyn Store; 2]) {
    let (ann, bob) = (Book::of(stores[0], "ann").await, Book::of(stores[1], "bob").await);
    for n in 0..10 {
        let (by_upload, by_download) = (format!("u{n}"), format!("d{n}"));
        let (first, second) =
            tokio::join!(ann.try_upload(&by_upload, None, Vec::new()), bob.try_upload(&by_upload, None, Vec::new()));
        let others = [&first, &second].into_iter().filter(|one| **one == Uploaded::OthersReplica).count();
        assert_eq!(others, 1, "{first:?} {second:?}");
        let (first, second) =
            tokio::join!(ann.try_page(&by_download, None, (10, 1_000)), bob.try_page(&by_download, None, (10, 1_000)));
        let others = [&first, &second].into_iter().filter(|one| **one == Downloaded::OthersReplica).count();
        assert_eq!(others, 1, "{first:?} {second:?}");
    }
}
