//! What the log knows that a device had in hand, where it does not say so.

use tombolo_core::{Origin, Verdict};
use tombolo_storage::Store;

use super::{Book, given, pair, says, told};

/// The base is what was delivered as of the cursor that comes with the write.
pub async fn the_cursor_says_what_a_device_had(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, _) = given(&book).await;
    book.write("a", Some(cursor), says("n", "2", "1", 30)).await;
    let b = book.write("b", Some(cursor), says("n", "1", "3", 20)).await;
    assert_eq!((b.verdict, book.note("n").await), (Verdict::Merged, pair("2", "3")));
    // What it saves again as it was sent is no edit.
    let pulled = book.pull("b", Some(cursor)).await;
    let length = book.len().await;
    let echo = book.write("b", Some(pulled.cursor), says("n", "2", "3", 90)).await;
    assert_eq!((echo.verdict, echo.version), (Verdict::Unchanged, pulled.records[0].version));
    assert_eq!(book.len().await, length);
    book.is_whole().await;
}

/// Without a cursor, it is what the device last said that it had, or may have been given since.
pub async fn marks_say_what_a_device_had(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, _) = given(&book).await;
    book.write("a", Some(cursor), says("n", "2", "1", 30)).await;
    // B is known to have the first state, and was not given the second.
    let b = book.write("b", None, says("n", "1", "3", 20)).await;
    assert_eq!((b.verdict, book.note("n").await), (Verdict::Merged, pair("2", "3")));
    // C was given it, and never said that it has it.
    let first = book.pull("c", None).await;
    assert_eq!(told(&first.records, "n"), pair("2", "3"));
    let length = book.len().await;
    let echo = book.write("c", None, says("n", "2", "3", 99)).await;
    assert_eq!((echo.verdict, book.len().await), (Verdict::Unchanged, length), "it saves again what it was given");
    // A device that is new has nothing: the later wins as a whole.
    let d = book.write("d", None, says("n", "4", "4", 15)).await;
    assert_eq!((d.verdict, book.note("n").await), (Verdict::Superseded, pair("2", "3")));
}

/// A device has what it sent itself, also where it was merged or lost.
pub async fn own_uploads_say_what_a_device_had(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, _) = given(&book).await;
    book.write("a", Some(cursor), says("n", "2", "1", 30)).await;
    assert_eq!(book.write("b", Some(cursor), says("n", "1", "3", 20)).await.verdict, Verdict::Merged);
    // Its x is still the first: it does not revert the second.
    assert_eq!(book.write("b", Some(cursor), says("n", "1", "4", 40)).await.verdict, Verdict::Merged);
    assert_eq!(book.note("n").await, pair("2", "4"));
    assert_eq!(book.write("b", None, says("n", "1", "5", 50)).await.verdict, Verdict::Merged, "without a cursor too");
    assert_eq!(book.note("n").await, pair("2", "5"));
    book.is_whole().await;
}

/// The base is what had been delivered when a download in pages began.
pub async fn a_page_is_cut(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    let a = book.write("a", Some(cursor), super::on(version, says("n", "2", "1", 20))).await;
    book.write("a", Some(cursor), super::anew(says("other", "1", "1", 21))).await;
    book.write("a", Some(cursor), super::anew(says("another", "1", "1", 21))).await;
    book.write("a", Some(cursor), super::on(a.version, says("n", "2", "4", 22))).await;
    let page = book.page("b", Some(cursor), 1).await;
    assert!(page.more && told(&page.records, "n").is_none());
    assert_eq!(page.cursor.complete, cursor.complete);
    // B edits y of what it has: x=1, y=1.
    let b = book.write("b", Some(page.cursor), says("n", "1", "3", 30)).await;
    assert_eq!(b.verdict, Verdict::Merged);
    assert_eq!(book.note("n").await, pair("2", "3"), "A's x survives");
    assert_eq!(b.cursor, page.cursor, "and B goes on where it was");
    let rest = book.pull("b", Some(page.cursor)).await;
    assert_eq!(told(&rest.records, "n"), pair("2", "3"));
    assert!(told(&rest.records, "another").is_some());
}

/// Edits of one record that come in one request and come again are known, all of them.
pub async fn edits_of_one_request_come_again(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, _) = given(&book).await;
    for presented in [Some(cursor), None] {
        let secs = book.secs();
        let writes = vec![
            says("n", "2", "1", secs),
            says("n", "3", "1", secs + 1),
            says("n", "3", "4", secs + 2),
            says("n", "5", &secs.to_string(), secs + 3),
        ];
        let (first, _) = book.upload("b", presented, writes.clone()).await;
        let uploads = async || book.log().await.iter().filter(|change| change.origin == Origin::Replica).count();
        let count = uploads().await;
        let (again, _) = book.upload("b", presented, writes).await;
        assert_eq!((again, uploads().await), (first, count), "{presented:?}");
        book.wait(10);
    }
    book.is_whole().await;
}
