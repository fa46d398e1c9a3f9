//! Where a device resumes, and when it may not.

use tombolo_core::{Generation, ResetReason, Seq, SpaceCursor, SpaceId};
use tombolo_storage::{Downloaded, Stale, Store, Uploaded};

use super::{Book, anew, given, on, says, told};

async fn is_stale(book: &Book<'_>, device: &str, cursor: SpaceCursor, why: Stale) {
    let length = book.len().await;
    assert_eq!(book.try_page(device, Some(cursor), (10, 1_000)).await, Downloaded::Stale(why), "{cursor}");
    let write = anew(says("stale", "1", "1", 10));
    assert_eq!(book.try_upload(device, Some(cursor), vec![write]).await, Uploaded::Stale(why), "{cursor}");
    assert_eq!(book.len().await, length, "nothing was stored");
}

/// A cursor ahead of the log, of another account or of another history is none.
pub async fn a_stale_cursor_is_told(store: &dyn Store) {
    let (ann, bob) = (Book::of(store, "ann").await, Book::of(store, "bob").await);
    let (cursor, _) = given(&ann).await;
    let reset = Stale::Reset;
    let ahead = SpaceCursor { resume: cursor.resume.next(), ..cursor };
    is_stale(&ann, "a", ahead, reset(ResetReason::Ahead)).await;
    let foreign = SpaceCursor { generation: Generation::from_bytes([0xee; 16]), ..cursor };
    is_stale(&ann, "a", foreign, reset(ResetReason::Restored)).await;
    // Also of a device that is new, and of a user who has nothing yet.
    is_stale(&bob, "tablet", cursor, reset(ResetReason::OtherAccount)).await;
    is_stale(&bob, "tablet", foreign, reset(ResetReason::Restored)).await;
    is_stale(&ann, "new", ahead, reset(ResetReason::Ahead)).await;
    let bobs = bob.pull("tablet", None).await.cursor;
    assert_ne!(bobs.space, cursor.space);
    is_stale(&bob, "tablet", cursor, reset(ResetReason::OtherAccount)).await;
    let unknown = SpaceCursor { space: SpaceId::new(4_711), ..cursor };
    is_stale(&ann, "a", unknown, reset(ResetReason::OtherAccount)).await;
    // What a stale request came with did not make its device known.
    assert!(matches!(bob.try_page("new", None, (10, 1_000)).await, Downloaded::Page { .. }));
}

/// An upload's cursor is at the end where nobody else wrote, and never skips what the device has not seen.
pub async fn an_uploads_cursor_skips_nothing(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    // A first upload to an empty log.
    let first = book.write("a", None, anew(says("n", "1", "1", 10))).await;
    assert_eq!(first.cursor.complete, Seq::new(1));
    let second = book.write("a", Some(first.cursor), on(first.version, says("n", "2", "1", 11))).await;
    assert_eq!(second.cursor.complete, Seq::new(2));
    assert_eq!(book.pull("a", Some(second.cursor)).await.records, []);
    // B never saw it: without a cursor it begins where it was.
    let b = book.write("b", None, anew(says("m", "1", "1", 12))).await;
    assert_eq!((b.cursor.complete, b.cursor.resume), (Seq::ZERO, Seq::ZERO));
    assert!(told(&book.pull("b", Some(b.cursor)).await.records, "n").is_some());
    // Nor did A see B's.
    let third = book.write("a", Some(second.cursor), anew(says("k", "1", "1", 13))).await;
    assert_eq!(third.cursor, second.cursor);
    let pulled = book.pull("a", Some(third.cursor)).await;
    assert!(told(&pulled.records, "m").is_some() && told(&pulled.records, "k").is_some());
    // What was written on top of its own is told.
    let lost = book.write("a", Some(pulled.cursor), anew(says("m", "7", "7", 1))).await;
    assert_eq!(lost.cursor, pulled.cursor);
    // In the midst of a download it goes on where it was.
    let page = book.page("c", None, 1).await;
    assert!(page.more);
    let in_between = book.write("c", Some(page.cursor), anew(says("j", "1", "1", 14))).await;
    assert_eq!(in_between.cursor, page.cursor);
    // A retry is given the cursor that it came with.
    let end = book.pull("c", Some(page.cursor)).await.cursor;
    let write = anew(says("i", "1", "1", 15));
    assert_eq!(book.write("c", Some(end), write.clone()).await.cursor.complete, end.complete.next());
    assert_eq!(book.write("c", Some(end), write).await.cursor, end);
    // An upload that brings nothing.
    assert_eq!(book.upload("c", Some(end), Vec::new()).await.1, end);
}
