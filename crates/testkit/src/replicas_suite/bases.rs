//! What a device says that it had in hand.

use tombolo_core::{Digest, RecordVersion, Seq, Verdict};
use tombolo_storage::Store;

use super::{Book, anew, given, note, on, pair, says, told, version_of};
use crate::at;
use crate::notes::{Note, put};

/// Fields that two devices edited both survive.
pub async fn fields_of_two_devices_survive(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (cursor, version) = given(&book).await;
    let a = book.write("a", Some(cursor), on(version, says("n", "2", "1", 30))).await;
    assert_eq!(a.verdict, Verdict::Applied);
    let b = book.write("b", Some(cursor), on(version, says("n", "1", "3", 20))).await;
    assert_eq!((b.verdict, &b.present), (Verdict::Merged, &None));
    assert_eq!(book.note("n").await, pair("2", "3"));
    for device in ["a", "b"] {
        let pulled = book.pull(device, Some(cursor)).await;
        assert_eq!(told(&pulled.records, "n"), pair("2", "3"), "{device}");
    }
    // B has its own upload in hand until then: its next edit is one of that.
    let b = book.write("b", Some(cursor), on(b.version, says("n", "1", "4", 40))).await;
    assert_eq!(b.verdict, Verdict::Merged);
    assert_eq!(book.note("n").await, pair("2", "4"));
    book.is_whole().await;
}

/// Fields that make sense together go together.
pub async fn grouped_fields_go_as_one(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let repeats = |every: &str, days: &str| Note::new("1", "1").repeating(every, days);
    let first = book.write("a", None, anew(put("n", &repeats("week", "mon"), at(10)))).await;
    let version = first.version;
    book.write("a", None, on(version, put("n", &repeats("week", "fri"), at(31)))).await;
    let b = book.write("b", None, on(version, put("n", &repeats("month", "mon"), at(30)))).await;
    assert_eq!(b.verdict, Verdict::Superseded);
    assert_eq!(told(&[b.present.unwrap()], "n"), Some(repeats("week", "fri")), "the server's row comes with it");
    assert_eq!(book.note("n").await, Some(repeats("week", "fri")));
}

/// A field that both edited goes to the later, whoever comes first; what lost stays readable.
pub async fn the_later_of_two_edits_wins(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    for (id, clocks) in [("n", [20, 30]), ("m", [30, 20])] {
        let first = book.write("a", None, anew(says(id, "1", "1", 10))).await;
        book.write("a", None, on(first.version, says(id, "a", "1", clocks[0]))).await;
        let b = book.write("b", None, on(first.version, says(id, "b", "1", clocks[1]))).await;
        let wins = clocks[1] > clocks[0];
        assert_eq!(b.verdict, if wins { Verdict::Applied } else { Verdict::Superseded });
        assert_eq!(book.note(id).await, if wins { pair("b", "1") } else { pair("a", "1") });
        let log = book.log().await;
        let lost = if wins { Note::new("a", "1") } else { Note::new("b", "1") };
        assert!(log.iter().any(|change| change.payload == lost.to_payload()));
    }
}

/// A base that the record never had, or another record's, counts as none: the later stamp wins as a whole.
pub async fn an_unknown_base_counts_as_none(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let (_, version) = given(&book).await;
    let other = book.write("a", None, anew(says("other", "7", "7", 10))).await.version;
    let beyond = RecordVersion::new(Seq::new(1_000), Digest::of(b"never"));
    let forged = RecordVersion::new(version.seq, Digest::of(b"another history"));
    for (n, wrong) in [other, beyond, forged, RecordVersion::new(Seq::ZERO, Digest::DELETED)].into_iter().enumerate() {
        let secs = 100 * i64::try_from(n + 1).unwrap();
        let (x, y) = (format!("x{n}"), format!("y{n}"));
        let head = version_of(&book.pull("c", None).await.records, "n");
        book.write("a", None, on(head, says("n", &x, "a", secs))).await;
        let earlier = book.write("b", None, on(wrong, says("n", "b", &y, secs - 1))).await;
        assert_eq!(earlier.verdict, Verdict::Superseded);
        assert_eq!(book.note("n").await, pair(&x, "a"), "nothing of it");
        let later = book.write("b", None, on(wrong, says("n", "b", &y, secs + 1))).await;
        assert_eq!(later.verdict, Verdict::Applied);
        assert_eq!(book.note("n").await, pair("b", &y), "all of it");
    }
    book.is_whole().await;
}

/// A record that two devices made, and the same content.
pub async fn a_record_made_twice(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let first = book.write("a", None, anew(says("n", "1", "1", 10))).await;
    let same = book.write("b", None, anew(says("n", "1", "1", 20))).await;
    assert_eq!((same.verdict, same.version), (Verdict::Unchanged, first.version));
    assert_eq!(book.len().await, 1);
    let earlier = book.write("b", None, anew(says("n", "2", "2", 5))).await;
    assert_eq!((earlier.verdict, book.note("n").await), (Verdict::Superseded, pair("1", "1")));
    let later = book.write("c", None, anew(says("n", "3", "3", 15))).await;
    assert_eq!((later.verdict, book.note("n").await), (Verdict::Applied, pair("3", "3")));
}

/// Equal instants go to the greater replica, in every order of arrival, outcomes between them or not.
pub async fn equal_instants_go_to_the_greater_device(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let id = format!("new-{n}");
        for who in order {
            let (device, x) = (["a", "b", "c"][who], ["1", "2", "3"][who]);
            book.write(device, None, anew(says(&id, x, x, 50))).await;
        }
        assert_eq!(book.note(&id).await, pair("3", "3"), "{order:?}, without a base");
        let id = format!("old-{n}");
        let version = book.write("z", None, anew(says(&id, "0", "0", 10))).await.version;
        for who in order {
            let (device, x) = (["a", "b", "c"][who], ["1", "2", "3"][who]);
            book.write(device, None, on(version, says(&id, x, "0", 50))).await;
        }
        assert_eq!(book.note(&id).await, pair("3", "0"), "{order:?}, on a base");
    }
}

/// A record twice in one request is judged in that order; what makes no sense is refused alone.
pub async fn a_record_twice_in_one_request(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let writes = vec![anew(says("n", "1", "1", 10)), anew(says("n", "2", "1", 11)), anew(says("m", "1", "1", 10))];
    let (fates, cursor) = book.upload("a", None, writes).await;
    assert_eq!((fates.len(), cursor.complete), (3, Seq::new(3)));
    assert_eq!(book.note("n").await, pair("2", "1"));
    let attach = tombolo_storage::Action::Attach { target: note("m"), kind: "note" };
    let odd = tombolo_storage::Write { action: attach, ..says("n", "", "", 12) };
    let (fates, _) = book.upload("a", Some(cursor), vec![odd, anew(says("k", "1", "1", 10))]).await;
    assert!(matches!(fates[0], tombolo_storage::Fate::Refused(_)));
    assert!(matches!(fates[1], tombolo_storage::Fate::Judged { verdict: Verdict::Applied, .. }));
}

/// What was written is shown exactly as it was sent, and rises with each state of a record.
pub async fn instants_are_shown_as_sent(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let exact = super::instant("2027-01-15T08:00:00.123456789Z");
    let first = book.write("a", None, anew(put("n", &Note::new("1", "1"), exact))).await;
    let shown = async || book.pull("b", None).await.records[0].at;
    assert_eq!(shown().await, exact);
    let second = book.write("a", None, on(first.version, put("n", &Note::new("2", "1"), exact))).await;
    assert!(shown().await > exact, "a state is later than the one before it");
    // A clock that is a little ahead is believed, one in another century is not.
    let ahead = at(book.secs() + 200);
    let third = book.write("a", None, on(second.version, put("n", &Note::new("3", "1"), ahead))).await;
    assert_eq!(shown().await, ahead);
    book.write("b", None, anew(put("m", &Note::new("3", "1"), super::instant("2999-01-01T00:00:00Z")))).await;
    let pulled = book.pull("b", Some(third.cursor)).await;
    let of_m = pulled.records.iter().find(|record| record.key == note("m")).unwrap();
    assert!(of_m.at <= at(book.secs() + 1), "{}", of_m.at);
}
