//! What outlives the store, in one file.

use std::fs;
use std::path::Path;

use tombolo_core::{Resume, Verdict};

use super::peers;
use crate::{Note, Peer, Place, Stores, Told, at, put, wait};

fn reopened(place: Place, stores: &dyn Stores) -> Place {
    wait(place.store.close()).expect("the store ends cleanly");
    let Place { env, store, page_bytes_max, .. } = place;
    drop(store);
    Place { page_bytes_max, ..Place::on(stores.open(&env), env) }
}

fn file(stores: &dyn Stores) -> &Path {
    stores.file().expect("the store has a file")
}

/// What was acknowledged is there after a restart, cursors of before stay good, and a new generation begins.
pub fn restarts(stores: &dyn Stores) {
    let place = Place::new(stores);
    let [mut a, mut b] = peers();
    let write = put("n", &Note::new("1", "1"), at(1));
    let first = a.lost(&place, vec![write.clone()]);
    b.sync(&place, Vec::new());
    let (before, log) = (place.head(), place.log());
    let place = reopened(place, stores);
    assert_eq!(place.log(), log);
    let after = place.head();
    assert_eq!(after.seq, before.seq);
    assert_ne!(after.generation, before.generation);
    assert_eq!(place.resume(before), Resume::From(before.seq));
    assert_eq!(a.sync(&place, vec![write]).answers, first.answers, "the retry is known");
    assert_eq!(place.log().len(), log.len());
    assert!(b.sync(&place, Vec::new()).deliveries.is_empty());
    a.sync(&place, vec![put("n", &Note::new("2", "1"), at(2))]);
    assert_eq!(b.sync(&place, vec![put("n", &Note::new("1", "2"), at(3))]).verdict(), Verdict::Merged);
    assert_eq!(place.note("n"), Some(Note::new("2", "2")));
    assert_eq!(place.resume(before), Resume::From(before.seq));
    let place = reopened(place, stores);
    assert_eq!(place.resume(before), Resume::From(before.seq), "also of an older ancestor");
    wait(place.store.close()).expect("the store ends cleanly");
}

/// An older copy of the file takes the place of the present one: cursors of the lost history are noticed, whatever
/// their numbers say, and what devices hold comes back.
pub fn an_older_copy(stores: &dyn Stores) {
    let place = Place::new(stores);
    let [mut a, mut b] = peers();
    a.sync(&place, vec![put("n", &Note::new("1", "1"), at(1))]);
    b.sync(&place, Vec::new());
    let kept = place.head();
    let place = reopened(place, stores);
    wait(place.store.close()).expect("the store ends cleanly");
    let env = place.env.clone();
    drop(place);
    let copy = file(stores).with_extension("copy");
    fs::copy(file(stores), &copy).expect("a backup");
    let place = Place::on(stores.open(&env), env.clone());
    a.sync(&place, vec![put("n", &Note::new("2", "1"), at(2)), put("m", &Note::new("1", "1"), at(2))]);
    b.sync(&place, Vec::new());
    let lost = place.head();
    wait(place.store.close()).expect("the store ends cleanly");
    drop(place);
    for old in ["db-wal", "db-shm"] {
        drop(fs::remove_file(file(stores).with_extension(old)));
    }
    fs::copy(&copy, file(stores)).expect("the backup comes back");
    let place = Place::on(stores.open(&env), env);
    assert_eq!(place.resume(kept), Resume::From(kept.seq), "what both histories share stays good");
    assert_eq!(place.resume(lost), Resume::Reset);
    // Others write until the numbers reach those that were lost.
    let mut c = Peer::new("c");
    for n in 0..5 {
        c.sync(&place, vec![put(&format!("c{n}"), &Note::new("1", "1"), at(10 + n))]);
    }
    assert!(place.head().seq > lost.seq);
    assert_eq!(place.resume(lost), Resume::Reset, "whatever the numbers say");
    assert_eq!(place.resume(kept), Resume::From(kept.seq));
    // The devices present times that this history never gave out: they are sent everything.
    let told = b.sync(&place, Vec::new());
    assert!((0..5).all(|n| told.note(&format!("c{n}")).is_some()) && told.note("n").is_some());
    // A still has what was lost, and brings it back when it next saves it.
    a.sync(&place, vec![put("n", &Note::new("2", "1"), at(2)), put("m", &Note::new("1", "1"), at(2))]);
    assert_eq!(place.note("n"), Some(Note::new("2", "1")));
    assert_eq!(place.note("m"), Some(Note::new("1", "1")));
    wait(place.store.close()).expect("the store ends cleanly");
}

/// A poll that is given nothing leaves the file as it was.
pub fn polls_leave_the_file_alone(stores: &dyn Stores) {
    let place = Place::new(stores);
    let [mut a, mut b] = peers();
    a.sync(&place, vec![put("n", &Note::new("1", "1"), at(1))]);
    b.sync(&place, Vec::new());
    b.sync(&place, Vec::new());
    let bytes = || ["db", "db-wal"].map(|name| fs::read(file(stores).with_extension(name)).unwrap_or_default());
    let before = bytes();
    for _ in 0..50 {
        assert!(b.sync(&place, Vec::new()).deliveries.is_empty());
    }
    assert!(bytes() == before, "nothing was written");
    wait(place.store.close()).expect("the store ends cleanly");
}
