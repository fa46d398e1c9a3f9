//! What is deleted, in every order of arrival, and that it is gone.

use tombolo_core::{Op, Verdict};
use tombolo_storage::{Fate, Store};

use super::{App, Book, anew, given, gone, note, on, pair, says, settle};
use crate::at;
use crate::notes::{Note, put};

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// A deletion of what nobody has is stored: the record, when it comes with an older stamp, stays deleted.
pub async fn a_tombstone_comes_before_its_record(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let deleted = book.write("a", None, anew(gone("n", 20))).await;
    assert_eq!((deleted.verdict, book.len().await), (Verdict::Applied, 1));
    let late = book.write("b", None, anew(says("n", "1", "1", 10))).await;
    assert_eq!((late.verdict, book.note("n").await), (Verdict::Superseded, None));
    assert_eq!(late.present.map(|present| present.op), Some(Op::Delete));
    assert_eq!(book.pull("c", None).await.records[0].op, Op::Delete);
    let later = book.write("b", None, anew(says("n", "2", "2", 30))).await;
    assert_eq!((later.verdict, book.note("n").await), (Verdict::Applied, pair("2", "2")));
    book.is_whole().await;
}

/// A deletion and two edits, in every order of arrival, at every order of their clocks: all devices end as the server
/// does, and whether the record is there does not depend on the order.
pub async fn a_deletion_meets_two_edits(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    for clocks in ORDERS {
        let mut lives = Vec::new();
        for order in ORDERS {
            let id = format!("n-{clocks:?}-{order:?}").replace([' ', ','], "");
            let mut apps = ["d", "e", "f"].map(|name| App::new(name, 0));
            apps[0].edit(&book, &id, |note| (note.x, note.y) = ("1".into(), "1".into()));
            assert!(settle(&book, &mut apps).await);
            for (turn, who) in clocks.into_iter().zip(0..) {
                let app: &mut App = &mut apps[who];
                app.set_clock(10 + i64::try_from(turn).unwrap());
                match who {
                    0 => app.delete(&book, &id),
                    1 => app.edit(&book, &id, |note| note.x = "2".into()),
                    _ => app.edit(&book, &id, |note| note.y = "2".into()),
                }
            }
            book.wait(60);
            for who in order {
                apps[who].upload(&book).await;
            }
            assert!(settle(&book, &mut apps).await, "{clocks:?} {order:?}: {apps:#?}");
            lives.push(book.note(&id).await.is_some());
        }
        assert_eq!(lives, [clocks[0] != 2; 6], "{clocks:?}: the later of deletion and edit wins");
    }
    book.is_whole().await;
}

/// A deletion takes with it what the record ever said, what lost before it and what loses to it. Numbers stay, and a
/// version from before is unknown.
pub async fn a_deletion_takes_all_with_it(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, first) = given(&book).await;
    let a = book.write("a", Some(cursor), on(first, says("n", "secret", "2", 30))).await;
    let lost = book.write("b", Some(cursor), on(first, says("n", "secret too", "1", 20))).await;
    assert_eq!(lost.verdict, Verdict::Superseded);
    let other = book.write("b", Some(cursor), anew(says("other", "stays", "1", 20))).await;
    let before = book.log().await;
    let head = super::version_of(&book.pull("c", None).await.records, "n");
    let deleted = book.write("c", None, on(head, gone("n", 40))).await;
    let loser = on(first, says("n", "secret as well", "1", 35));
    let late = book.write("b", Some(cursor), loser.clone()).await;
    assert_eq!((late.verdict, book.note("n").await), (Verdict::Superseded, None));
    let log = book.log().await;
    for (was, is) in before.iter().zip(&log) {
        let payload = if was.key == note("n") { Vec::new() } else { was.payload.clone() };
        assert_eq!(*is, tombolo_storage::LoggedChange { payload, ..was.clone() });
    }
    assert!(log.iter().all(|change| change.key != note("n") || change.payload.is_empty()), "{log:#?}");
    // The retry of what lost is known, though nothing is left of it.
    let again = book.write("b", Some(cursor), loser).await;
    assert_eq!((again.verdict, again.version, book.len().await), (Verdict::Superseded, late.version, log.len()));
    // No version of before is a base any more, nor that of what lost: what is earlier loses as a whole, what is later
    // begins anew.
    for version in [first, a.version, lost.version, late.version] {
        let earlier = book.write("b", Some(cursor), on(version, says("n", "2", "1", 36))).await;
        assert_eq!((earlier.verdict, book.note("n").await), (Verdict::Superseded, None));
    }
    book.is_whole().await;
    let labelled = |label: &str| Note::new("1", "new").labelled([label]);
    let back = book.write("b", Some(cursor), on(first, put("n", &labelled("l"), at(50)))).await;
    assert_eq!((back.verdict, book.note("n").await), (Verdict::Applied, Some(labelled("l"))));
    let back = book.write("c", None, on(late.version, put("n", &labelled("m"), at(55)))).await;
    assert_eq!(book.note("n").await, Some(labelled("m")), "it is not merged with what nobody knows any more");
    assert_eq!(book.note("other").await, pair("stays", "1"));
    assert_ne!(other.version, deleted.version);
    // And again.
    book.write("b", Some(cursor), on(back.version, gone("n", 60))).await;
    assert!(book.log().await.iter().all(|change| change.key != note("n") || change.payload.is_empty()));
    book.is_whole().await;
}

/// Who saw a deletion may undo it; an edit of what lies under it is none.
pub async fn a_deletion_is_undone(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    let deleted = book.write("a", Some(cursor), on(version, gone("n", 90))).await;
    let back = book.write("a", Some(deleted.cursor), on(deleted.version, says("n", "1", "2", 20))).await;
    assert_eq!((back.verdict, book.note("n").await), (Verdict::Applied, pair("1", "2")), "also by a slow clock");
    // A deletion of one who saw the first tombstone only.
    let again = book.write("b", None, on(deleted.version, gone("n", 10))).await;
    assert_eq!(again.verdict, Verdict::Unchanged, "it was deleted then, and still would be to him");
    assert_eq!(book.note("n").await, pair("1", "2"));
}

/// A deletion and writes of the same record in one request.
pub async fn a_deletion_among_other_writes(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let writes = vec![anew(says("n", "1", "1", 10)), anew(gone("n", 20)), anew(says("n", "2", "2", 15))];
    let (fates, _) = book.upload("a", None, writes).await;
    let verdicts: Vec<_> = fates
        .iter()
        .map(|fate| match fate {
            Fate::Judged { verdict, .. } => *verdict,
            Fate::Refused(reason) => panic!("{reason}"),
        })
        .collect();
    assert_eq!(verdicts, [Verdict::Applied, Verdict::Applied, Verdict::Superseded]);
    assert_eq!(book.note("n").await, None);
    assert!(book.log().await.iter().all(|change| change.payload.is_empty()));
    book.is_whole().await;
}
