//! The document: who is sent it, what is stored, and what it is merged with.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::rooms::codec::{Notice, RoomCodec};

#[test]
fn a_document_goes_to_others_and_is_to_be_stored() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.enter(2, "b");
    scene.read(1);
    assert_eq!(scene.send(1, "x"), Written::Dirty);
    assert_eq!((scene.read(1), scene.read(2)), (vec![], vec!["document x".to_owned()]));
    assert_eq!(scene.store(1), "x");
    assert!(!scene.room.is_dirty());
    assert_eq!(scene.room.to_store(), None);
    // It is sent again, and not stored again.
    assert_eq!(scene.send(2, "x"), Written::Unchanged);
    assert_eq!(scene.read(1), ["document x"]);
    assert!(!scene.room.is_dirty());
    assert_eq!(scene.enter(3, "c")[2], "document x", "its text is gone, what is sent is not");
}

#[test]
fn who_asks_is_answered_alone() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.enter(2, "b");
    scene.read(1);
    assert!(scene.room.request(ConnectionId(1)));
    assert_eq!(scene.read(1), ["document "]);
    scene.send(2, "x");
    scene.read(1);
    scene.room.request(ConnectionId(2));
    assert_eq!((scene.read(1), scene.read(2)), (vec![], vec!["document x".to_owned()]));
}

#[test]
fn an_empty_document_is_one() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    assert_eq!(scene.send(1, ""), Written::Dirty);
    assert_eq!(scene.enter(2, "b")[2], "document ");
    assert_eq!(scene.store(2), "");
}

#[test]
fn what_came_while_it_was_stored_is_stored_after_it() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.send(1, "x");
    let first = scene.room.to_store().unwrap();
    assert_eq!(first.after, None);
    scene.send(1, "y");
    scene.room.stored(first.turn, Seq::new(1));
    assert!(scene.room.is_dirty());
    assert_eq!(scene.room.version(), Seq::new(1));
    assert_eq!(scene.store(2), "y");
    assert!(!scene.room.is_dirty());
}

#[test]
fn that_it_cannot_be_stored_is_told_once_until_it_can() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.send(1, "x");
    scene.room.store_failed("keep this page open");
    scene.room.store_failed("keep this page open");
    assert_eq!(scene.read(1), ["error keep this page open"]);
    assert!(scene.room.is_dirty());
    assert_eq!(scene.store(1), "x");
    scene.room.store_failed("again");
    assert_eq!(scene.read(1), ["error again"]);
}

#[test]
fn what_others_stored_is_taken_over_by_version() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "*host");
    scene.enter(2, "a");
    scene.read(1);
    scene.room.hear_of(Seq::new(2));
    assert!(scene.room.is_behind());
    scene.room.stored_elsewhere(document(2, "y"));
    assert!(!scene.room.is_behind() && !scene.room.is_dirty());
    assert_eq!((scene.read(1), scene.read(2)), (vec![], vec!["document y".to_owned()]));
    for (version, text) in [(1, "x"), (2, "z")] {
        scene.room.stored_elsewhere(document(version, text));
        assert_eq!(scene.read(2), [""; 0], "{version} is known");
    }
    scene.room.stored_elsewhere(document(3, "y"));
    assert_eq!(scene.read(2), [""; 0], "it says the same");
    assert_eq!(scene.room.version(), Seq::new(3));
}

#[test]
fn what_is_to_be_stored_wins_over_what_others_stored_before_it() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "mine");
    scene.room.stored_elsewhere(document(2, "theirs"));
    assert!(!scene.room.is_behind());
    assert_eq!(scene.store(3), "mine");
    assert!(!scene.room.is_behind());
}

#[test]
fn what_others_stored_after_it_is_read_when_it_is_stored() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "mine");
    scene.read(1);
    // It was stored as 2, and another as 3, before this node heard of either.
    scene.room.stored_elsewhere(document(3, "theirs"));
    assert_eq!(scene.read(1), [""; 0]);
    assert_eq!(scene.store(2), "mine");
    assert!(scene.room.is_behind());
    scene.room.stored_elsewhere(document(3, "theirs"));
    assert_eq!(scene.read(1), ["document theirs"]);
}

// Merging.

#[test]
fn edits_of_two_are_brought_together_and_sent_to_both() {
    let scene = Scene::merging(Some("a,b,c,d"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.read(1);
    scene.send(1, "a,b,c,d,e");
    // Two has not seen it yet when it takes one away.
    assert_eq!(scene.send(2, "b,c,d"), Written::Dirty);
    assert_eq!(scene.read(1), ["document b,c,d,e"]);
    assert_eq!(scene.read(2), ["document a,b,c,d,e", "document b,c,d,e"]);
    assert_eq!(scene.store(2), "b,c,d,e");
    // A while later it has what is there before it: it is what it is.
    scene.env.advance(Duration::from_secs(10));
    scene.send(2, "b");
    assert_eq!((scene.read(1), scene.read(2)), (vec!["document b".to_owned()], vec![]));
}

#[test]
fn without_merging_the_last_one_wins() {
    let scene = Scene::new(Some("a,b"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.read(1);
    scene.send(1, "a,b,c");
    scene.send(2, "b");
    assert_eq!(scene.read(1), ["document b"]);
    assert_eq!(scene.store(2), "b");
}

#[test]
fn what_cannot_be_read_wins_as_it_is() {
    let scene = Scene::merging(Some("a,b"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.send(1, "a,b,c");
    scene.send(2, "!");
    assert_eq!(scene.store(2), "!");
    scene.send(1, "a");
    assert_eq!(scene.store(3), "a");
}

#[test]
fn a_peer_whose_base_is_not_known_wins_as_it_is() {
    let scene = Scene::merging(Some("a,b"));
    scene.enter(1, "*host");
    scene.send(1, "x");
    assert_eq!(scene.store(2), "x");
}

#[test]
fn what_is_too_large_is_not_merged() {
    let large = "x".repeat(4 << 20);
    let scene = Scene::merging(Some("a,b"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.send(1, "a,b,c");
    scene.send(2, &format!("b,{large}"));
    assert_eq!(scene.store(2), format!("b,{large}"));
    scene.send(1, "a");
    assert_eq!(scene.store(3), "a");
}

#[test]
fn a_host_that_was_away_keeps_its_edit_and_those_of_others() {
    for (away, is_merged) in [(Duration::from_secs(599), true), (Duration::from_secs(600), false)] {
        let scene = Scene::merging(Some("a,b"));
        scene.enter(1, "host");
        scene.enter(2, "guest");
        scene.leave(1);
        scene.send(2, "a,b,guests");
        scene.env.advance(away - Duration::from_micros(1));
        assert!(scene.join(3, "*host").unwrap().is_withheld);
        scene.read(3);
        scene.send(3, "b,hosts");
        assert_eq!(scene.store(2), if is_merged { "b,guests,hosts" } else { "b,hosts" });
        let told: &[&str] = if is_merged { &["document b,guests,hosts"] } else { &[] };
        assert_eq!(scene.read(3), told);
    }
}

#[test]
fn the_base_is_the_nearest_and_of_several_the_oldest() {
    let scene = Scene::merging(Some("a,b,c,d"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.send(1, "a,b,c,d,e,f");
    // As far from the first as from the second: made of the first, it takes nothing away.
    scene.send(2, "a,b,c,d,e");
    assert_eq!(scene.store(2), "a,b,c,d,e,f");
    scene.send(1, "a,b");
    scene.send(1, "a");
    // Nearest to the second of three.
    scene.send(2, "a,b,z");
    assert_eq!(scene.store(3), "a,z");
}

#[test]
fn what_a_peer_takes_back_is_gone() {
    let scene = Scene::merging(Some("a"));
    scene.enter(1, "one");
    scene.send(1, "a,mine");
    scene.send(1, "a");
    assert_eq!(scene.store(2), "a", "it had its own before it");
    // What another added, it has before it a while later.
    for (later, left) in [(9, "a,theirs"), (10, "a")] {
        let scene = Scene::merging(Some("a"));
        scene.enter(1, "one");
        scene.enter(2, "two");
        scene.send(1, "a");
        scene.send(2, "a,theirs");
        scene.env.advance(Duration::from_secs(later));
        scene.send(1, "a");
        assert_eq!(scene.store(2), left);
    }
}

#[test]
fn what_another_node_stored_is_brought_together_with_what_is_to_be_stored() {
    let scene = Scene::merging(Some("a,b"));
    scene.enter(1, "one");
    scene.send(1, "a,b,mine");
    scene.read(1);
    assert_eq!(scene.room.to_store().unwrap().after, Some(Seq::new(1)));
    assert!(scene.room.moved(document(2, "b,theirs")));
    assert_eq!(scene.read(1), ["document b,mine,theirs"]);
    let to_store = scene.room.to_store().unwrap();
    assert_eq!((&*to_store.text, to_store.after), ("b,mine,theirs", Some(Seq::new(2))));
    // A second time: what was made of is what was stored last.
    assert!(scene.room.moved(document(3, "theirs")));
    assert_eq!(scene.store(4), "mine,theirs");
    // Nothing of this node is missing there: nothing is to be stored.
    scene.send(1, "mine");
    assert!(!scene.room.moved(document(5, "mine")));
    assert!(!scene.room.is_dirty());
    assert_eq!(scene.room.version(), Seq::new(5));
}

#[test]
fn what_cannot_be_brought_together_with_another_nodes_is_stored_after_it() {
    let scene = Scene::merging(Some("a"));
    scene.enter(1, "one");
    scene.read(1);
    scene.send(1, "b");
    assert!(scene.room.moved(document(2, "!")));
    assert_eq!(scene.read(1), [""; 0]);
    let to_store = scene.room.to_store().unwrap();
    assert_eq!((&*to_store.text, to_store.after), ("b", Some(Seq::new(2))));
}

/// While it merges for the first times, something else happens.
struct Interrupted {
    happens: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl RoomCodec for Interrupted {
    fn encode(&self, notice: Notice<'_>) -> Bytes {
        Lines.encode(notice)
    }

    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String> {
        let next = self.happens.lock().unwrap().pop();
        next.into_iter().for_each(|happens| happens());
        Lines.merge(base, theirs, mine)
    }

    fn distance(&self, one: &str, other: &str) -> Option<usize> {
        Lines.distance(one, other)
    }
}

#[test]
fn what_comes_while_it_is_merged_is_not_lost() {
    let codec = Arc::new(Interrupted { happens: Mutex::default() });
    let options = RoomOptions { merge: true, ..RoomOptions::default() };
    let common = Common::new(codec.clone(), Arc::new(TestEnv::new(1)), &options);
    let opened = OpenedRoom { room: room(1), document: Some(document(1, "a")), others: vec![] };
    let live = Arc::new(LiveRoom::open(opened, Arc::clone(&common), at(0)));
    for number in 1..=3 {
        let outlet = Arc::new(Outlet::new(Arc::clone(&common.printer)));
        let (connection, peer) = (ConnectionId(number), name(&format!("peer{number}")));
        live.join(NewMember { connection, peer, metadata: None, claims_host: false, outlet, now: at(0) }).unwrap();
    }
    live.document_from(ConnectionId(1), "a,one");
    // Each time it is merged without the lock, another comes; the last time, nothing can.
    for text in ["a,one,three,six", "a,one,three,five", "a,one,three"] {
        let live = Arc::clone(&live);
        let sends = move || assert_eq!(live.document_from(ConnectionId(3), text), Written::Dirty);
        codec.happens.lock().unwrap().push(Box::new(sends));
    }
    live.document_from(ConnectionId(2), "a,two");
    assert!(codec.happens.lock().unwrap().is_empty());
    let text = live.to_store().unwrap().text;
    assert_eq!(text.split(',').collect::<Vec<_>>(), ["a", "one", "six", "three", "two"]);
}
