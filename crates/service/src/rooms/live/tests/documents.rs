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
    scene.enter(2, "*host");
    scene.send(1, "mine");
    scene.read(1);
    // It is shown meanwhile, once, but to whom none is shown.
    scene.room.hear_of(Seq::new(2));
    assert!(scene.room.is_behind());
    (0..2).for_each(|_| assert!(scene.room.stored_elsewhere(document(2, "theirs"))));
    assert!(!scene.room.is_behind());
    assert_eq!((scene.read(1), scene.read(2)), (vec!["document theirs".to_owned()], vec![]));
    assert_eq!(scene.enter(3, "c")[2], "document mine");
    scene.read(1);
    assert_eq!(scene.store(3), "mine");
    assert!(!scene.room.is_behind());
    assert_eq!((scene.read(1), scene.read(3)), (vec!["document mine".to_owned()], vec!["document mine".to_owned()]));
    // Nobody was shown another since.
    scene.send(3, "next");
    assert_eq!(scene.read(1), ["document next"]);
    assert_eq!(scene.store(4), "next");
    assert_eq!((scene.read(1), scene.read(3)), (vec![], vec![]));
}

#[test]
fn a_newer_document_is_shown_instead_of_the_older_one_again() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "mine");
    scene.room.stored_elsewhere(document(2, "theirs"));
    assert_eq!(scene.read(1), ["document theirs"]);
    let storing = scene.room.to_store().unwrap();
    scene.send(1, "newer");
    assert_eq!(scene.room.stored(storing.turn, Seq::new(3)), None);
    assert_eq!(scene.store(4), "newer");
    assert_eq!(scene.read(1), [""; 0], "it has its own before it");
}

#[test]
fn what_others_stored_just_before_it_is_shown_before_it() {
    for (there, told) in
        [(Some("theirs"), vec!["document theirs", "document mine"]), (None, vec![]), (Some("mine"), vec![])]
    {
        let scene = Scene::new(Some("x"));
        scene.enter(1, "a");
        scene.send(1, "mine");
        let storing = scene.room.to_store().unwrap();
        assert_eq!(scene.room.stored(storing.turn, Seq::new(3)), Some(Seq::new(2)));
        scene.room.missed(there.map(|text| document(2, text)));
        assert_eq!(scene.read(1), told);
        assert_eq!(scene.room.version(), Seq::new(3));
    }
}

#[test]
fn what_is_taken_over_is_shown_though_it_says_what_was_covered() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "mine");
    scene.room.stored_elsewhere(document(3, "theirs"));
    scene.room.hear_of(Seq::new(4));
    // Its own was stored before those of others, of which the last says the same.
    assert_eq!(scene.store(2), "mine");
    assert_eq!(scene.read(1), ["document theirs"]);
    scene.room.stored_elsewhere(document(4, "mine"));
    assert_eq!(scene.read(1), ["document mine"]);
}

#[test]
fn where_documents_are_merged_what_others_stored_waits_for_that() {
    let scene = Scene::merging(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "x,mine");
    scene.room.stored_elsewhere(document(2, "x,theirs"));
    assert!(!scene.room.is_behind());
    assert_eq!(scene.read(1), [""; 0]);
}

#[test]
fn what_others_stored_after_it_is_read_when_it_is_stored() {
    let scene = Scene::new(Some("x"));
    scene.enter(1, "a");
    scene.send(1, "mine");
    scene.read(1);
    // It was stored as 2, and another as 3, before this node heard of either.
    scene.room.stored_elsewhere(document(3, "theirs"));
    assert_eq!(scene.read(1), ["document theirs"]);
    assert_eq!(scene.store(2), "mine");
    assert_eq!(scene.read(1), [""; 0]);
    assert!(scene.room.is_behind());
    scene.room.stored_elsewhere(document(3, "theirs"));
    assert_eq!(scene.read(1), ["document theirs"]);
}

#[test]
fn what_documents_take_is_bounded_and_what_is_there_stays() {
    let max = "document 12345678".len();
    let scene = Scene::with(RoomOptions { held_bytes_max: max, ..RoomOptions::default() }, Some("1234"));
    let tally = scene.common.printer.tally();
    scene.enter(1, "a");
    scene.enter(2, "b");
    scene.read(1);
    assert_eq!(scene.send(1, "12345678"), Written::Dirty);
    assert_eq!(scene.read(2), ["document 12345678"]);
    assert_eq!(scene.send(1, "123456789"), Written::NoRoom);
    assert_eq!((scene.read(2), scene.store(2)), (vec![], "12345678".to_owned()));
    // What others stored cannot be refused; what is not larger than it may follow.
    scene.room.stored_elsewhere(document(3, "123456789abc"));
    assert_eq!(scene.send(1, "123456789abcd"), Written::NoRoom);
    assert_eq!(scene.send(1, "123456789ab"), Written::Dirty);
    assert_eq!(tally.held_bytes(), "document 123456789ab".len());
    let open = |text: Option<&str>| {
        let document = text.map(|text| document(1, text));
        LiveRoom::open(OpenedRoom { room: room(2), document, others: vec![] }, Arc::clone(&scene.common), at(0))
    };
    assert!(open(Some("")).is_none());
    assert!(open(None).is_some(), "it takes nothing yet");
    let Scene { common, room, .. } = scene;
    drop(room);
    assert_eq!(common.printer.tally().held_bytes(), 0);
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
    assert_eq!(scene.read_and_say_so(2), ["document a,b,c,d,e", "document b,c,d,e"]);
    assert_eq!(scene.store(2), "b,c,d,e");
    // A while later it has what is there before it: it is what it is.
    scene.env.advance(Duration::from_secs(1));
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
fn what_others_added_while_a_peer_did_not_read_stays() {
    for added in 0..20 {
        let scene = Scene::merging(Some("a,b"));
        scene.enter(1, "one");
        scene.enter(2, "two");
        let mut text = "a,b".to_owned();
        for number in 0..added {
            text.push_str(&format!(",n{number:02}"));
            scene.send(1, &text);
        }
        scene.send(2, "a");
        assert_eq!(scene.store(2), text.replace(",b", ""), "{added}");
    }
}

#[test]
fn what_a_client_cannot_take_in_it_did_not_delete() {
    let scene = Scene::merging(Some("a,b?"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.read(1);
    // Two was sent it as it joined.
    scene.send(2, "a,two");
    assert_eq!(scene.store(2), "a,b?,two");
    assert_eq!(scene.read(1), ["document a,b?,two"]);
    // One wrote it, and has it.
    scene.send(1, "a,c?");
    scene.send(1, "a");
    assert_eq!(scene.store(3), "a,b?,two");
}

#[test]
fn what_a_peer_takes_back_is_gone() {
    let scene = Scene::merging(Some("a"));
    scene.enter(1, "one");
    scene.send(1, "a,mine");
    scene.send(1, "a");
    assert_eq!(scene.store(2), "a", "it had its own before it");
}

#[test]
fn what_another_did_is_taken_back_by_who_has_read_it() {
    let check = |says_so: bool, later: u64, left: &str| {
        let scene = Scene::merging(Some("a"));
        scene.enter(1, "one");
        scene.enter(2, "two");
        scene.send(1, "a");
        scene.send(2, "a,theirs");
        if says_so {
            scene.read_and_say_so(1);
        } else {
            scene.read(1);
        }
        scene.env.advance(Duration::from_millis(later));
        scene.send(1, "a");
        assert_eq!(scene.store(2), left, "{says_so} {later}");
    };
    check(true, 999, "a,theirs");
    check(true, 1_000, "a");
    // However long that takes.
    check(false, 1_000_000, "a,theirs");
}

#[test]
fn what_was_written_to_a_client_is_read_when_it_says_so_and_not_before() {
    let scene = Scene::merging(Some("a"));
    scene.enter(1, "one");
    scene.enter(2, "two");
    scene.read(1);
    assert_eq!(scene.outlet(1).to_ask(), Some(1), "it joined with one");
    scene.send(2, "a,theirs");
    assert_eq!(scene.outlet(1).to_ask(), None, "one waits");
    // It answers late, what it was asked before the second.
    scene.read(1);
    scene.room.has_read(ConnectionId(1), 1);
    scene.env.advance(Duration::from_secs(60));
    scene.send(1, "a,mine");
    assert_eq!(scene.store(2), "a,mine,theirs");
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

    fn taken_in(&self, sent: &str) -> Option<String> {
        Lines.taken_in(sent)
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
    let live = Arc::new(LiveRoom::open(opened, Arc::clone(&common), at(0)).unwrap());
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
