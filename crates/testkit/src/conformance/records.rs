//! What becomes of writes: tombstones, homes, names that only one may have, references, refusals, instants.

use std::collections::BTreeMap;

use tombolo_core::{Op, Origin, Verdict};
use tombolo_storage::{Action, Answer, NamedBase, Refused, Write};

use super::{log_len, peers};
use crate::{FOLDER, INBOX, LABEL, NOTE, Note, Peer, Place, Told, at, delete, folder, home, key, label, put};

/// The same write again gets the same answer, and is stored once.
pub fn retries_are_stored_once(place: &Place) {
    let [a] = peers();
    let writes = vec![folder("f", "Work", at(1)), put("n", &Note::new("1", "1").within("f"), at(2))];
    let first = a.lost(place, writes.clone());
    let stored = log_len(place);
    for _ in 0..3 {
        assert_eq!(a.lost(place, writes.clone()).answers, first.answers);
    }
    assert_eq!(log_len(place), stored);
}

/// A deletion reaches who had the record, and no stranger; what was deleted can be made again.
pub fn tombstones(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    b.sync(place, Vec::new());
    assert_eq!(a.sync(place, vec![delete(key(NOTE, "n"), at(2))]).verdict(), Verdict::Applied);
    assert_eq!(a.sync(place, vec![delete(key(NOTE, "n"), at(3))]).verdict(), Verdict::Unchanged, "it is gone already");
    assert_eq!(b.sync(place, Vec::new()).delivery(&key(NOTE, "n")).map(|one| one.op), Some(Op::Delete));
    assert_eq!(Peer::new("stranger").sync(place, Vec::new()).deliveries, Vec::new());
    b.sync(place, vec![put("n", &Note::new("2", "2"), at(4))]);
    let told = a.sync(place, Vec::new());
    assert_eq!(told.note("n"), Some(Note::new("2", "2")));
    let instant = told.delivery(&key(NOTE, "n")).expect("A is told").instant;
    assert!(instant > at(3), "above the deletion that A sent");
    // A's old deletion, sent once more, is no new one.
    assert_eq!(a.lost(place, vec![delete(key(NOTE, "n"), at(3))]).verdict(), Verdict::Unchanged);
    assert_eq!(place.note("n"), Some(Note::new("2", "2")));
    // A deletion of what never was is no harm.
    a.sync(place, vec![delete(key(NOTE, "never"), at(5))]);
    assert_eq!(place.note("never"), None);
}

/// Every replica's home is one record to the server, under the replica's own id to the replica.
pub fn homes_are_one(place: &Place) {
    let [mut a, mut b, mut c] = peers();
    let first = a.forced(place, vec![home("home-a", at(1)), put("n", &Note::new("1", "1").within("home-a"), at(1))]);
    assert_eq!((first.home.map(|home| home.to_string()), first.home_is_own), (Some("home-a".into()), true));
    let second = b.forced(place, vec![home("home-b", at(2)), put("m", &Note::new("2", "2").within("home-b"), at(2))]);
    assert_eq!((second.home.as_ref().map(ToString::to_string), second.home_is_own), (Some("home-b".into()), true));
    assert_eq!(second.note("n"), Some(Note::new("1", "1")), "in the one home");
    assert!(second.deliveries.iter().all(|one| one.key != key(FOLDER, "home-a")), "nobody sees another's home");
    assert_eq!(place.note("m"), Some(Note::new("2", "2")));
    let third = c.sync(place, Vec::new());
    assert_eq!((third.home.map(|home| home.to_string()), third.home_is_own), (Some("home-a".into()), false));
    assert_eq!(b.sync(place, vec![delete(key(FOLDER, "home-b"), at(9))]).verdict(), Verdict::Unchanged);
    assert!(place.live().iter().any(|one| one.key == key(FOLDER, INBOX)), "nobody's home can be deleted");
    // A later write may still use any of their ids.
    b.sync(place, vec![put("late", &Note::new("3", "3").within("home-a"), at(10))]);
    assert_eq!(place.note("late"), Some(Note::new("3", "3")));
}

/// Of two live records with one name the older stays, whichever came first, and stands for the other from then on.
pub fn names_are_unique(place: &Place) {
    for (old_first, n) in [(true, "1"), (false, "2")] {
        let (mut a, mut b) = (Peer::new(&format!("a{n}")), Peer::new(&format!("b{n}")));
        let (old, new) = (format!("old{n}"), format!("new{n}"));
        let tagged = |id: &str| Note::new("1", "1").labelled([id]);
        let sends = |id: &str, born: i64, note: &str| {
            vec![label(id, &format!("Name{n}"), born, at(born)), put(note, &tagged(id), at(born))]
        };
        let (from_a, from_b) = (sends(&old, 10, &format!("x{n}")), sends(&new, 20, &format!("y{n}")));
        if old_first {
            a.sync(place, from_a);
            b.sync(place, from_b);
        } else {
            b.sync(place, from_b);
            a.sync(place, from_a);
        }
        let live = place.live();
        assert!(live.iter().any(|one| one.key == key(LABEL, &old)), "the older stays");
        assert!(live.iter().all(|one| one.key != key(LABEL, &new)), "the younger goes");
        for note in ["x", "y"] {
            assert_eq!(place.note(&format!("{note}{n}")), Some(tagged(&old)), "references are turned");
        }
        // A late upload with the id that went, and the device that sent it is told.
        let late = b.sync(place, vec![put(&format!("z{n}"), &tagged(&new), at(30))]);
        assert_eq!(late.note(&format!("z{n}")), Some(tagged(&old)));
        assert_eq!(place.note(&format!("z{n}")), Some(tagged(&old)));
    }
}

/// What refers to a record that goes lets go of it, as a change of nobody's replica.
pub fn deletions_cascade(place: &Place) {
    let [mut a, mut b] = peers();
    a.forced(place, vec![home("home-a", at(1)), folder("f", "Work", at(1)), label("red", "Red", 1, at(1))]);
    a.sync(place, vec![put("n", &Note::new("1", "1").within("f").labelled(["red"]), at(2))]);
    b.sync(place, Vec::new());
    let told = b.sync(place, vec![delete(key(FOLDER, "f"), at(3)), delete(key(LABEL, "red"), at(3))]);
    assert_eq!(told.note("n"), Some(Note::new("1", "1")), "who deleted is told as well");
    assert_eq!(a.sync(place, Vec::new()).note("n"), Some(Note::new("1", "1")));
    let log = place.log();
    let derived: Vec<_> = log.iter().filter(|change| change.origin == Origin::Derived).collect();
    assert!(!derived.is_empty() && derived.iter().all(|change| change.replica.is_none()));
    // What arrives for a folder that is gone does not bring it back.
    a.sync(place, vec![put("m", &Note::new("1", "1").within("f"), at(4))]);
    assert_eq!(place.note("m"), Some(Note::new("1", "1")));
}

/// Many records at once were edited elsewhere, often: each of them is merged.
pub fn many_merges_in_one_push(place: &Place) {
    for count in [200, 400] {
        let [mut a, mut b] = peers();
        let name = |n: usize| format!("n{count}-{n}");
        let all = |x: &str, y: &str, second| -> Vec<Write> {
            (0..count).map(|n| put(&name(n), &Note::new(x, y), at(second))).collect()
        };
        a.sync(place, all("0", "0", 1));
        b.sync(place, Vec::new());
        for round in 2..22 {
            a.sync(place, all(&round.to_string(), "0", round));
        }
        let told = b.sync(place, all("0", "mine", 100));
        assert!(told.answers.iter().all(|answer| matches!(answer, Answer::Judged(_))));
        let expected: BTreeMap<String, Note> = (0..count).map(|n| (name(n), Note::new("21", "mine"))).collect();
        assert_eq!(live_notes(place, &format!("n{count}-")), expected);
    }
}

/// What the notes say whose names begin so.
fn live_notes(place: &Place, prefix: &str) -> BTreeMap<String, Note> {
    let notes = place.live().into_iter().filter(|it| it.key.collection == NOTE);
    let named = notes.map(|it| (it.key.name.to_string(), Note::parse(&it.payload).expect("a stored note reads")));
    named.filter(|(name, _)| name.starts_with(prefix)).collect()
}

/// Many records that others refer to go at once: each of the others lets go.
pub fn many_deletions_cascade(place: &Place) {
    const COUNT: usize = 200;
    let [mut a, mut b] = peers();
    let folders: Vec<String> = (0..COUNT).map(|n| format!("f{n}")).collect();
    a.forced(place, vec![home("home-a", at(1))]);
    a.sync(place, folders.iter().map(|name| folder(name, name, at(1))).collect());
    a.sync(
        place,
        folders.iter().map(|name| put(&format!("n-{name}"), &Note::new("1", "1").within(name), at(2))).collect(),
    );
    b.sync(place, Vec::new());
    b.sync(place, folders.iter().map(|name| delete(key(FOLDER, name), at(3))).collect());
    let expected: BTreeMap<String, Note> =
        folders.iter().map(|name| (format!("n-{name}"), Note::new("1", "1"))).collect();
    assert_eq!(live_notes(place, "n-"), expected, "all are back in the inbox");
}

/// A reference is added to a record as it is now, and a wrong one is refused.
pub fn references_are_attached(place: &Place) {
    let [mut a, mut b] = peers();
    a.sync(place, vec![label("red", "Red", 1, at(1)), put("n", &Note::new("1", "1"), at(1))]);
    let attach = |to, target| Write {
        key: to,
        action: Action::Attach { target, kind: "note_label" },
        written_at: at(5),
        is_home: false,
        base: NamedBase::Unsaid,
    };
    let reply = b.sync(place, vec![attach(key(NOTE, "n"), key(LABEL, "red"))]);
    assert_eq!(reply.verdict(), Verdict::Applied);
    assert_eq!(reply.note("n"), Some(Note::new("1", "1").labelled(["red"])));
    assert_eq!(b.sync(place, vec![attach(key(NOTE, "n"), key(LABEL, "red"))]).verdict(), Verdict::Unchanged);
    assert_eq!(a.sync(place, Vec::new()).note("n"), Some(Note::new("1", "1").labelled(["red"])));
    let before = place.head();
    for wrong in [
        attach(key(NOTE, "never"), key(LABEL, "red")),
        attach(key(NOTE, "n"), key(LABEL, "never")),
        attach(key(LABEL, "red"), key(LABEL, "red")),
    ] {
        let answers = b.sync(place, vec![wrong]).answers;
        assert!(matches!(answers.as_slice(), [Answer::Refused(_)]), "{answers:?}");
    }
    assert_eq!(place.head(), before);
}

/// Refusals are noted without touching the log, however many they are.
pub fn refusals_touch_no_log(place: &Place) {
    let [mut a] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1))]);
    let head = place.head();
    let refused = |n: usize| Refused { record: format!("r{n}"), kind: "note".into(), reason: "it is odd".into() };
    for _ in 0..2 {
        let reply = place.refuse("a", a.cursor, (0..1_200).map(refused).collect());
        assert!(reply.answers.is_empty());
        a.cursor = Some(reply.cursor);
    }
    assert_eq!(place.head(), head);
}

/// What goes out bears an instant one millisecond above the greatest ever exchanged, and above the presented cursor.
pub fn instants_that_go_out(place: &Place) {
    let [mut a, mut b, mut c] = peers();
    let instant = |reply: &tombolo_storage::Exchanged| reply.delivery(&key(NOTE, "n")).expect("it is told").instant;
    a.forced(place, vec![home("home", at(1)), put("n", &Note::new("1", "1"), at(10))]);
    assert_eq!(instant(&b.sync(place, Vec::new())), at(10), "to a stranger, the writer's own");
    // B's desktop stamps it anew; then A edits with an older clock.
    b.sync(place, vec![put("n", &Note::new("1", "1"), at(5_000))]);
    a.sync(place, vec![put("n", &Note::new("2", "1"), at(11))]);
    let told = b.sync(place, Vec::new());
    assert_eq!(instant(&told), at(5_000).millisecond_later());
    let other = instant(&c.sync(place, Vec::new()));
    assert!(other < at(20), "what one device's clock says is no other's business: {other}");
    // A device that presents a cursor is sent nothing below it: its own edit on top would not be uploaded.
    let mut d = Peer::new("d");
    let cursor = d.sync(place, Vec::new()).cursor;
    a.sync(place, vec![put("n", &Note::new("3", "1"), at(12)), put("m", &Note::new("3", "1"), at(12))]);
    let told = d.sync(place, Vec::new());
    assert!(told.deliveries.len() == 2 && told.deliveries.iter().all(|one| one.instant > cursor));
}

/// What lost stays readable, with who sent it and on what.
pub fn losers_stay_in_the_log(place: &Place) {
    let [mut a, mut b] = peers();
    a.forced(place, vec![home("home", at(1)), put("n", &Note::new("1", "1"), at(1))]);
    b.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("2", "1"), at(30))]);
    assert_eq!(b.sync(place, vec![put("n", &Note::new("3", "1"), at(20))]).verdict(), Verdict::Superseded);
    let of_n: Vec<_> = place.log().into_iter().filter(|change| change.key == key(NOTE, "n")).collect();
    let [first, winner, loser, outcome] = of_n.as_slice() else { panic!("{of_n:#?}") };
    assert_eq!(loser.payload, Note::new("3", "1").to_payload());
    assert_eq!(loser.replica.as_ref().map(ToString::to_string), Some("b".into()));
    assert_eq!((loser.base, loser.written_at), (Some(first.seq), at(20)));
    assert_eq!((loser.prev, outcome.prev), (Some(winner.seq), Some(loser.seq)));
    assert_eq!((outcome.origin, outcome.replica.clone()), (Origin::Outcome, None));
    assert_eq!(outcome.payload, Note::new("2", "1").to_payload());
}
