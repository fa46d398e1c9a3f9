//! Where a replica resumes, what it presents, and what a poll leaves behind.

use tombolo_core::{Cursor, Generation, Resume, Seq, limits};

use super::{log_len, peers};
use crate::{NOTE, Note, Peer, Place, Told, at, delete, key, put};

/// The head counts changes, and a cursor is good up to it.
pub fn head_and_resume(place: &Place) {
    let start = place.head();
    assert_eq!(start.seq, Seq::ZERO);
    assert_eq!(place.resume(start), Resume::From(Seq::ZERO));
    let [mut a] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    let head = place.head();
    assert_eq!(head.seq.get(), log_len(place) as u64);
    assert_eq!(place.resume(head), Resume::From(head.seq));
    assert_eq!(place.resume(start), Resume::From(Seq::ZERO));
    assert_eq!(place.resume(Cursor { seq: head.seq.next(), ..head }), Resume::Reset, "beyond the head");
    let foreign = Cursor { generation: Generation::from_bytes([9; 16]), ..head };
    assert_eq!(place.resume(foreign), Resume::Reset, "of no history of ours");
}

/// `changes` pages through the log, and an unknown space is an empty one.
pub fn changes_are_read_in_pages(place: &Place) {
    assert!(place.log().is_empty());
    let [mut a] = peers();
    for n in 0..7 {
        a.sync(place, vec![put(&format!("n{n}"), &Note::new("1", "1"), at(n))]);
    }
    let whole = place.log();
    let mut joined = Vec::new();
    loop {
        let after = joined.last().map_or(Seq::ZERO, |change: &tombolo_storage::LoggedChange| change.seq);
        let page = crate::wait(place.store.changes(place.address, &place.policy, after, 2)).expect("the log reads");
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        joined.extend(page);
    }
    assert_eq!(joined, whole);
}

/// A request that brings nothing and is given nothing answers the cursor it came with, and writes nothing.
pub fn polls_write_nothing(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    b.sync(place, Vec::new());
    let quiet = b.sync(place, Vec::new());
    let (head, cursor) = (place.head(), quiet.cursor);
    for _ in 0..20 {
        let again = b.sync(place, Vec::new());
        assert!(again.deliveries.is_empty() && again.answers.is_empty() && !again.more);
        assert_eq!(again.cursor, cursor, "the cursor it came with");
    }
    assert_eq!(place.head(), head);
    assert!(a.sync(place, Vec::new()).deliveries.is_empty(), "its own write is not sent back");
}

/// A lost reply is answered again; each change arrives although the reply before it was lost.
pub fn lost_replies_are_sent_again(place: &Place) {
    let [mut a, mut b] = peers();
    b.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    assert!(b.lost(place, Vec::new()).note("n").is_some());
    a.sync(place, vec![put("m", &Note::new("1", "1"), at(2))]);
    let again = b.sync(place, Vec::new());
    assert!(again.note("n").is_some() && again.note("m").is_some());
    assert!(b.sync(place, Vec::new()).deliveries.is_empty());
}

/// No cursor, a time that nobody gave out, and one of the future: everything is sent.
pub fn unknown_times_are_sent_everything(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1)), put("m", &Note::new("2", "2"), at(2))]);
    b.sync(place, Vec::new());
    b.sync(place, Vec::new());
    for time in [None, Some(at(-10_000_000)), Some(at(10_000_000))] {
        let reply = Peer { cursor: time, ..b.clone() }.lost(place, Vec::new());
        assert!(reply.note("n").is_some() && reply.note("m").is_some(), "{time:?}");
        let stranger = Peer { name: format!("stranger-{}", time.is_some()), cursor: time };
        assert!(stranger.lost(place, Vec::new()).note("n").is_some(), "{time:?}");
    }
    assert!(b.sync(place, Vec::new()).deliveries.is_empty(), "its own cursor stays good");
}

/// A device that stores its own slow clock's time presents times that nobody gave out, and still resumes.
pub fn slow_clocks_resume(place: &Place) {
    let [mut a, mut b] = peers();
    b.sync(place, Vec::new());
    for n in 0..5_i64 {
        a.sync(place, vec![put("n", &Note::new(&n.to_string(), "1"), at(n))]);
        b.cursor = Some(at(-1_000_000 + n));
        assert_eq!(b.sync(place, Vec::new()).note("n").map(|note| note.x), Some(n.to_string()));
        b.cursor = Some(at(-1_000_000 + n + 1));
        let quiet = b.lost(place, Vec::new());
        assert!(quiet.deliveries.is_empty(), "round {n}: {:?}", quiet.deliveries);
    }
}

/// The same when two requests overlapped and the later reply was lost: nothing of that one is left out.
pub fn slow_clocks_miss_no_lost_reply(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![put("first", &Note::new("1", "1"), at(1))]);
    b.sync(place, Vec::new());
    b.cursor = Some(at(-1_000_000));
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(2))]);
    assert!(b.lost(place, Vec::new()).note("n").is_some(), "this one arrives");
    a.sync(place, vec![put("m", &Note::new("1", "1"), at(3))]);
    assert!(b.lost(place, Vec::new()).note("m").is_some(), "this one does not");
    b.cursor = Some(at(-999_999));
    assert_eq!(b.sync(place, Vec::new()).note("m"), Some(Note::new("1", "1")));
}

/// More cursors than are remembered: an old one is sent everything, a recent one only what is new.
pub fn cursors_are_bounded(place: &Place) {
    let [mut a] = peers();
    let mut b = Peer::new("b");
    b.sync(place, Vec::new());
    a.sync(place, vec![put("first", &Note::new("1", "1"), at(1))]);
    b.sync(place, Vec::new());
    let old = b.clone();
    for n in 0..i64::try_from(limits::CURSORS_MAX).expect("a small limit") + 80 {
        b.sync(place, vec![put("n", &Note::new(&n.to_string(), "1"), at(n))]);
    }
    assert!(b.lost(place, Vec::new()).deliveries.is_empty());
    let reply = old.lost(place, Vec::new());
    assert!(reply.note("first").is_some() && reply.note("n").is_some(), "it is sent everything");
    // What it does not hold it cannot undo.
    old.lost(place, vec![put("n", &Note::new("stale", "1"), at(-1))]).answers.clear();
    assert_ne!(place.note("n").map(|note| note.x), Some("stale".into()));
}

/// More devices than are remembered: the one unseen for longest is a stranger again, and nothing else is lost.
pub fn replicas_are_bounded(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    a.sync(place, vec![delete(key(NOTE, "n"), at(2)), put("m", &Note::new("1", "1"), at(2))]);
    for n in 0..limits::REPLICAS_MAX {
        Peer::new(&format!("r{n}")).sync(place, Vec::new());
    }
    b.sync(place, Vec::new());
    let back = a.sync(place, Vec::new());
    assert_eq!(back.note("m"), Some(Note::new("1", "1")), "it is sent everything");
    assert_eq!(a.sync(place, vec![put("m", &Note::new("2", "1"), at(9))]).verdict(), tombolo_core::Verdict::Applied);
    assert_eq!(b.sync(place, Vec::new()).note("m"), Some(Note::new("2", "1")));
}
