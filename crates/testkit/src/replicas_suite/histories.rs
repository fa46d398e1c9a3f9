//! Histories that lose data without the rules of merging.

use tombolo_core::{Origin, Verdict};
use tombolo_storage::Store;

use super::{App, Book, anew, given, gone, on, pair, says, settle, told};
use crate::at;
use crate::notes::{Note, put};

/// A device is set back to an old backup with its old cursor: nothing of the time since is reverted.
pub async fn a_device_set_back_reverts_nothing(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    // B edits, A edits, B takes it; then B is as it was.
    let b = book.write("b", Some(cursor), says("n", "1", "2", 20)).await;
    book.write("a", Some(b.cursor), on(b.version, says("n", "2", "2", 30))).await;
    let now = book.pull("b", Some(cursor)).await.cursor;
    book.pull("b", Some(now)).await;
    let back = book.write("b", Some(cursor), put("n", &Note::new("1", "1").labelled(["l"]), at(40))).await;
    assert_eq!(back.verdict, Verdict::Merged);
    assert_eq!(book.note("n").await, Some(Note::new("2", "2").labelled(["l"])), "only the edit");
    // The same, said by the device.
    let named = on(version, put("n", &Note::new("1", "1").labelled(["m"]), at(50)));
    assert_eq!(book.write("b", Some(cursor), named).await.verdict, Verdict::Merged);
    assert_eq!(book.note("n").await, Some(Note::new("2", "2").labelled(["l", "m"])));
    book.is_whole().await;
}

/// A copied device: an edit in the copy is only that.
pub async fn a_copy_edits_what_it_edits(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let mut a = App::new("a", 0);
    a.edit(&book, "n", |note| *note = Note::new("1", "1"));
    a.sync(&book).await;
    let mut copy = a.clone();
    a.edit(&book, "n", |note| note.x = "2".into());
    a.sync(&book).await;
    copy.sync(&book).await;
    book.wait(5);
    copy.edit(&book, "n", |note| note.y = "3".into());
    copy.sync(&book).await;
    assert!(settle(&book, &mut [a, copy]).await);
    assert_eq!(book.note("n").await, pair("2", "3"));
    // Both before either hears of the other.
    let mut b = App::new("b", 0);
    b.sync(&book).await;
    let mut copy = b.clone();
    b.edit(&book, "n", |note| note.x = "4".into());
    copy.edit(&book, "n", |note| note.y = "5".into());
    assert!(settle(&book, &mut [b, copy]).await);
    assert_eq!(book.note("n").await, pair("4", "5"));
}

/// A device whose edit lost edits again: that is an edit, and the other's copy of it is none.
pub async fn the_losers_next_edit_counts(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    book.write("a", Some(cursor), on(version, says("n", "1", "2", 30))).await;
    let b = book.write("b", Some(cursor), on(version, says("n", "1", "3", 20))).await;
    assert_eq!(b.verdict, Verdict::Superseded);
    let again = book.write("b", Some(cursor), on(b.version, says("n", "1", "4", 40))).await;
    assert!(matches!(again.verdict, Verdict::Applied | Verdict::Merged), "{again:?}");
    assert_eq!(book.note("n").await, pair("1", "4"));
    let pulled = book.pull("a", Some(cursor)).await;
    let echo = book.write("a", Some(pulled.cursor), on(pulled.records[0].version, says("n", "1", "4", 99))).await;
    assert_eq!(echo.verdict, Verdict::Unchanged);
}

/// A device a year behind deletes what it saw.
pub async fn a_slow_clock_deletes(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    let year_ago = -365 * 86_400;
    let second = book.write("a", Some(cursor), on(version, says("n", "2", "2", 3_600))).await;
    let b = book.pull("b", Some(cursor)).await;
    let deleted = book.write("b", Some(b.cursor), on(second.version, gone("n", year_ago))).await;
    assert_eq!((deleted.verdict, book.note("n").await), (Verdict::Applied, None));
    let told = book.pull("a", Some(cursor)).await;
    assert_eq!(told.records[0].op, tombolo_core::Op::Delete);
    assert!(told.records[0].at > at(3_600), "later than what it deletes");
    let again = book.write("b", Some(b.cursor), on(deleted.version, gone("n", year_ago + 1))).await;
    assert_eq!(again.verdict, Verdict::Unchanged);
    // The same where the cursor alone says what it saw.
    let third = book.write("a", None, anew(says("m", "1", "1", 3_000))).await;
    let b = book.pull("b", Some(third.cursor)).await;
    assert_eq!(book.write("b", Some(b.cursor), gone("m", year_ago)).await.verdict, Verdict::Applied);
    assert_eq!(book.note("m").await, None);
}

/// A device in the far future gains nothing but the present, and still takes others' edits.
pub async fn the_far_future_gains_nothing(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (_, version) = given(&book).await;
    let future = super::instant("2999-01-01T00:00:00Z");
    let a = book.write("a", None, on(version, put("n", &Note::new("2", "1"), future))).await;
    book.wait(60);
    let b = book.write("b", None, on(version, says("n", "3", "1", book.secs()))).await;
    assert_eq!((b.verdict, book.note("n").await), (Verdict::Applied, pair("3", "1")), "it was later");
    let pulled = book.pull("a", None).await;
    assert_eq!(told(&pulled.records, "n"), pair("3", "1"));
    // A retry is known by what was sent, not by what was made of it.
    let length = book.len().await;
    let again = book.write("a", None, on(version, put("n", &Note::new("2", "1"), future))).await;
    assert_eq!((again.verdict, again.version, book.len().await), (Verdict::Applied, a.version, length + 1));
    let again = book.write("a", None, on(version, put("n", &Note::new("2", "1"), future))).await;
    assert_eq!((again.verdict, book.note("n").await), (Verdict::Applied, pair("3", "1")));
    // With whole devices.
    let mut apps = [App::new("x", 973 * 365 * 86_400), App::new("yu", 0), App::new("z", -86_400)];
    assert!(settle(&book, &mut apps).await);
    for n in 0..6 {
        book.wait(10);
        apps[n % 3].edit(&book, "n", |note| note.y = format!("turn {n}"));
        assert!(settle(&book, &mut apps).await);
        assert_eq!(book.note("n").await, pair("3", &format!("turn {n}")), "the last to edit wins");
    }
}

/// The reply is lost after a merge: the retry gets the first verdict, and the next edit undoes nothing.
pub async fn a_reply_is_lost_after_a_merge(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    for (id, y, verdict) in [("m", "1", Verdict::Merged), ("s", "3", Verdict::Superseded)] {
        let version = book.write("a", None, anew(says(id, "1", "1", 10))).await.version;
        book.write("a", None, on(version, says(id, "2", y, 30))).await;
        let write = on(version, says(id, "1", "2", 25));
        let first = book.write("b", None, write.clone()).await;
        assert_eq!(first.verdict, verdict);
        let uploads = async || book.log().await.iter().filter(|change| change.origin == Origin::Replica).count();
        let count = uploads().await;
        for _ in 0..3 {
            let again = book.write("b", None, write.clone()).await;
            assert_eq!((again.verdict, again.version), (verdict, first.version), "{id}");
        }
        assert_eq!(uploads().await, count, "{id}: it is stored once");
        book.write("b", None, on(first.version, says(id, "1", "4", 40))).await;
        assert_eq!(book.note(id).await, pair("2", "4"), "{id}");
    }
}

/// Two requests of one device arrive the wrong way round, once with clocks in order, once with a clock that was set
/// right between them: nothing that was edited later is reverted.
pub async fn requests_of_one_device_overlap(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    book.write("a", Some(cursor), says("n", "1", "12", 31)).await;
    let late = book.write("a", Some(cursor), says("n", "1", "11", 30)).await;
    assert_eq!((late.verdict, book.note("n").await), (Verdict::Superseded, pair("1", "12")));
    // A clock an hour ahead is set right: what follows is an edit nevertheless.
    let ahead = book.secs() + 3_600;
    let first = book.write("b", Some(cursor), on(version, says("n", "7", "1", ahead))).await;
    book.wait(5);
    let next = book.write("b", Some(cursor), on(first.version, says("n", "8", "1", book.secs()))).await;
    assert!(matches!(next.verdict, Verdict::Applied | Verdict::Merged), "{next:?}");
    assert_eq!(book.note("n").await, pair("8", "12"));
}
