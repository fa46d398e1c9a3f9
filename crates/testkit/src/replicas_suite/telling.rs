//! Whoever skipped a state that it was given, because of an edit that was not sent yet, is given it again.

use tombolo_core::{Origin, RecordVersion, SpaceCursor, Verdict};
use tombolo_storage::Store;

use super::{Book, Judged, anew, given, on, pair, says, told};

/// B has an edit to send, is given A's state and does not take it; then it sends `x` and `y`.
async fn after_a_skip(book: &Book<'_>, (x, y): (&str, &str), secs: i64) -> (Judged, SpaceCursor, RecordVersion) {
    let (cursor, version) = given(book).await;
    book.write("a", Some(cursor), on(version, says("n", "2", "2", 30))).await;
    let skipped = book.pull("b", Some(cursor)).await;
    assert_eq!(told(&skipped.records, "n"), pair("2", "2"));
    let judged = book.write("b", Some(skipped.cursor), on(version, says("n", x, y, secs))).await;
    (judged, skipped.cursor, version)
}

/// An edit that is undone before it is sent.
pub async fn an_edit_was_reverted(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (judged, cursor, version) = after_a_skip(&book, ("1", "1"), 40).await;
    assert_eq!((judged.verdict, judged.version), (Verdict::Unchanged, version));
    assert_eq!(judged.cursor, cursor, "it must not skip what it is told");
    let pulled = book.pull("b", Some(judged.cursor)).await;
    assert_eq!(told(&pulled.records, "n"), pair("2", "2"), "it is given it again");
    let last = book.log().await.pop().unwrap();
    assert_eq!((last.origin, last.replica), (Origin::Outcome, None));
    // Once is enough.
    let length = book.len().await;
    book.write("b", Some(cursor), on(version, says("n", "1", "1", 40))).await;
    assert_eq!(book.len().await, length);
    book.is_whole().await;
}

/// A write that lost, or was merged.
pub async fn an_edit_lost_or_was_merged(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (judged, cursor, _) = after_a_skip(&book, ("3", "1"), 20).await;
    assert_eq!(judged.verdict, Verdict::Superseded);
    let present = judged.present.unwrap();
    let pulled = book.pull("b", Some(cursor)).await;
    assert_eq!((told(&pulled.records, "n"), &pulled.records[0]), (pair("2", "2"), &present));
    let bob = Book::of(store, "bob").await;
    let (cursor, version) = {
        let first = bob.write("d", None, anew(says("n", "1", "1", 10))).await;
        (bob.pull("e", None).await.cursor, first.version)
    };
    bob.write("d", None, on(version, says("n", "2", "1", 30))).await;
    let skipped = bob.pull("e", Some(cursor)).await.cursor;
    let merged = bob.write("e", Some(skipped), on(version, says("n", "1", "3", 20))).await;
    assert_eq!((merged.verdict, merged.cursor), (Verdict::Merged, skipped));
    assert_eq!(told(&bob.pull("e", Some(skipped)).await.records, "n"), pair("2", "3"));
}

/// A retry after others wrote, when the state since was given and skipped.
pub async fn a_retry_came_after_others(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    let write = on(version, says("n", "1", "2", 20));
    let first = book.write("b", Some(cursor), write.clone()).await;
    // The reply is lost; A edits on top, and B is given it while its edit is still on its way to it.
    book.write("a", Some(cursor), on(first.version, says("n", "3", "3", 30))).await;
    let skipped = book.pull("b", Some(cursor)).await.cursor;
    let again = book.write("b", Some(skipped), write).await;
    assert_eq!((again.verdict, again.version), (Verdict::Applied, first.version));
    assert_eq!(told(&book.pull("b", Some(skipped)).await.records, "n"), pair("3", "3"));
}

/// A write that comes to what the record is already needs no word: the device has it.
pub async fn the_same_was_written_by_another(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (judged, cursor, _) = after_a_skip(&book, ("2", "2"), 40).await;
    assert_eq!(judged.verdict, Verdict::Unchanged);
    assert_eq!(judged.version, super::version_of(&book.pull("c", None).await.records, "n"));
    assert_eq!(book.pull("b", Some(cursor)).await.records, []);
    // Its result is the record's state, but not what it sent.
    let bob = Book::of(store, "bob").await;
    let version = bob.write("d", None, anew(says("n", "1", "1", 10))).await.version;
    bob.write("d", None, on(version, says("n", "2", "3", 30))).await;
    let skipped = bob.pull("e", None).await.cursor;
    let part = bob.write("e", Some(skipped), on(version, says("n", "1", "3", 40))).await;
    assert_eq!(bob.note("n").await, pair("2", "3"), "{part:?}");
    assert_eq!(told(&bob.pull("e", Some(part.cursor)).await.records, "n"), pair("2", "3"));
}

/// Without a cursor, what was last given counts.
pub async fn marks_say_what_was_skipped(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    book.write("a", Some(cursor), on(version, says("n", "2", "2", 30))).await;
    let skipped = book.pull("b", Some(cursor)).await.cursor;
    let judged = book.write("b", None, on(version, says("n", "1", "1", 40))).await;
    assert_eq!(judged.verdict, Verdict::Unchanged);
    assert_eq!(told(&book.pull("b", Some(skipped)).await.records, "n"), pair("2", "2"));
}

/// What a device was given is not remembered for ever: one that presents nothing is told, whatever is remembered.
pub async fn who_presents_nothing_is_told(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    book.write("a", Some(cursor), anew(says("m", "1", "1", 20))).await;
    book.write("a", Some(cursor), on(version, says("n", "2", "2", 30))).await;
    let skipped = book.pull("b", Some(cursor)).await.cursor;
    // As if that had been forgotten.
    assert!(book.page("b", Some(cursor), 1).await.more);
    let judged = book.write("b", None, on(version, says("n", "1", "1", 40))).await;
    assert_eq!(judged.verdict, Verdict::Unchanged);
    assert_eq!(told(&book.pull("b", Some(skipped)).await.records, "n"), pair("2", "2"));
    // What it is told by its own write it need not be told twice.
    let length = book.len().await;
    let lost = book.write("b", None, on(version, says("n", "3", "1", 25))).await;
    assert_eq!((lost.verdict, book.len().await), (Verdict::Superseded, length + 2));
    book.is_whole().await;
}
