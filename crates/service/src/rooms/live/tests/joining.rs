//! Joining and leaving.

use super::*;
use crate::rooms::outlet::CloseReason;

#[test]
fn a_guest_is_told_in_this_order() {
    let scene = Scene::new(Some("a"));
    let host = scene.enter(1, "*host(Host)");
    assert_eq!(host, ["room ROOM1 of host: host*@1(Host)", "connected host to ROOM1", "joined host*@1(Host)"]);
    let guest = scene.enter(2, "guest");
    let told =
        ["room ROOM1 of host: host*@1(Host) guest@2", "connected guest to ROOM1", "document a", "joined guest@2"];
    assert_eq!(guest, told);
    assert_eq!(scene.read(1), ["joined guest@2"]);
    // Without a document, none is sent.
    assert_eq!(Scene::new(None).enter(1, "guest").len(), 3);
}

#[test]
fn who_is_the_host() {
    for (peer, is_host, is_withheld) in
        [("*host", true, true), ("host", true, false), ("*guest", false, false), ("guest", false, false)]
    {
        let scene = Scene::new(Some("a"));
        assert_eq!(scene.join(1, peer).unwrap().is_withheld, is_withheld, "{peer}");
        assert_eq!(scene.room.peers()[0].is_host, is_host, "{peer}");
        assert_eq!(scene.read(1).contains(&"document a".to_owned()), !is_withheld, "{peer}");
    }
}

#[test]
fn what_is_withheld_comes_when_it_is_released() {
    let scene = Scene::new(Some("a"));
    scene.enter(1, "*host");
    scene.enter(2, "guest");
    scene.read(1);
    assert_eq!(scene.send(2, "b"), Written::Dirty);
    assert_eq!(scene.read(1), [""; 0], "no document of others either");
    scene.room.release(ConnectionId(1));
    assert_eq!(scene.read(1), ["document b"]);
    scene.room.release(ConnectionId(1));
    assert_eq!(scene.read(1), [""; 0]);
    scene.send(2, "c");
    assert_eq!(scene.read(1), ["document c"]);
}

#[test]
fn what_is_withheld_is_dropped_when_the_hosts_own_comes() {
    let scene = Scene::new(Some("a"));
    scene.enter(1, "*host");
    scene.enter(2, "guest");
    scene.read(1);
    scene.send(1, "b");
    scene.room.release(ConnectionId(1));
    assert_eq!(scene.read(1), [""; 0]);
    assert_eq!(scene.read(2), ["document b"]);
}

#[test]
fn asking_ends_the_withholding() {
    let scene = Scene::new(Some("a"));
    scene.enter(1, "*host");
    assert!(scene.room.request(ConnectionId(1)));
    scene.room.release(ConnectionId(1));
    assert_eq!(scene.read(1), ["document a"]);
}

#[test]
fn two_tabs_are_one_peer_and_two_connections() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    scene.enter(2, "guest(old)");
    scene.read(1);
    let second = scene.enter(3, "guest(new)");
    assert_eq!(second[0], "room ROOM1 of host: host*@1 guest@2(new)");
    assert_eq!(second[2], "joined guest@2(new)");
    assert_eq!((scene.read(1), scene.read(2)), (vec![], vec![]), "others have been told of it");
    // Echo is suppressed by connection.
    scene.send(3, "a");
    scene.room.data(ConnectionId(3), "x");
    assert_eq!(scene.read(2), ["document a", "data guest: x"]);
    assert_eq!(scene.read(3), [""; 0]);
    scene.read(1);
    // The newest that is left says what it is.
    scene.leave(3);
    assert_eq!(scene.read(1), [""; 0]);
    assert_eq!(scene.room.peers()[1].metadata.as_deref(), Some("old"));
    scene.leave(2);
    assert_eq!(scene.read(1), ["left guest"]);
    assert_eq!(scene.peers(), ["host"]);
}

#[test]
fn joining_again_tells_the_joiner_everything_and_others_nothing() {
    let scene = Scene::new(Some("a"));
    scene.enter(1, "host");
    let first = scene.enter(2, "guest");
    scene.read(1);
    assert_eq!(scene.enter(2, "guest"), first);
    assert_eq!(scene.read(1), [""; 0]);
    scene.leave(2);
    assert_eq!(scene.read(1), ["left guest"], "it is there once");
}

#[test]
fn joining_again_under_another_name_leaves_first() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    scene.enter(2, "guest");
    scene.read(1);
    let member = scene.join(2, "other").unwrap();
    assert_eq!(member.news, [News::Gone(name("guest")), News::Here(there("other", 3, ""))]);
    assert_eq!(scene.read(1), ["left guest", "joined other@3"]);
    assert_eq!(scene.peers(), ["host", "other"]);
    assert_eq!(scene.common.printer.tally().read(0).peers, 2);
}

#[test]
fn other_nodes_are_told_of_the_first_and_the_last() {
    let scene = Scene::new(None);
    let here = |metadata| News::Here(there("guest", 1, metadata));
    assert_eq!(scene.join(1, "guest(a)").unwrap().news, [here("a")]);
    assert_eq!(scene.join(2, "guest(a)").unwrap().news, []);
    assert_eq!(scene.join(3, "guest(b)").unwrap().news, [here("b")], "it says something else of itself");
    assert_eq!(scene.room.own_peers(), [there("guest", 1, "b")]);
    assert_eq!(scene.leave(3), Some(Some(here("a"))));
    assert_eq!(scene.leave(2), Some(None));
    assert_eq!(scene.leave(1), Some(Some(News::Gone(name("guest")))));
    assert_eq!(scene.leave(1), None);
}

#[test]
fn a_room_takes_so_many() {
    let scene = Scene::with(RoomOptions { peers_max: 3, ..RoomOptions::default() }, None);
    scene.room.joined_at(THERE, there("far", 1, ""));
    scene.enter(1, "a");
    scene.enter(2, "a");
    assert_eq!(scene.join(3, "a"), Err(NotJoined::Full));
    assert_eq!(scene.read(3), [""; 0]);
    assert!(scene.join(2, "b").is_ok(), "who is in it takes its own place");
    scene.leave(1);
    assert!(scene.join(3, "a").is_ok());
}

#[test]
fn a_room_is_let_go_of_when_it_is_left_and_stored() {
    let scene = Scene::new(None);
    assert_eq!(scene.room.empty_since(), Some(at(0)));
    scene.enter(1, "a");
    assert_eq!(scene.room.empty_since(), None);
    assert_eq!(scene.room.shut(at(100)), None);
    scene.send(1, "x");
    scene.leave(1);
    assert_eq!(scene.room.empty_since(), Some(at(2)));
    assert_eq!(scene.room.shut(at(100)), None, "something is to be stored");
    scene.store(1);
    assert_eq!(scene.room.shut(at(1)), None, "it was left too recently");
    assert_eq!(scene.room.shut(at(2)), Some(at(2)));
    assert_eq!(scene.join(1, "a"), Err(NotJoined::Shut));
}

#[test]
fn who_is_not_in_it_changes_nothing() {
    let scene = Scene::new(Some("a"));
    scene.enter(1, "host");
    let stranger = ConnectionId(2);
    assert_eq!(scene.room.data(stranger, "x"), None);
    assert_eq!(scene.send(2, "x"), Written::NotHere);
    assert!(!scene.room.request(stranger));
    scene.room.release(stranger);
    assert_eq!((scene.read(1), scene.read(2)), (vec![], vec![]));
    assert!(!scene.room.is_dirty());
}

#[test]
fn a_room_that_is_no_more_is_left_by_all() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    scene.enter(2, "guest");
    scene.read(1);
    scene.send(1, "x");
    scene.read(2);
    scene.room.evict_all("Room not found");
    for number in [1, 2] {
        assert_eq!(scene.read(number), ["error Room not found"]);
    }
    assert_eq!(scene.send(1, "y"), Written::NotHere);
    assert_eq!(scene.leave(1), None);
    assert_eq!(scene.join(1, "host"), Err(NotJoined::Shut));
    assert!(!scene.room.is_dirty());
    assert_eq!(scene.room.empty_since(), Some(at(2)));
    assert_eq!(scene.common.printer.tally().read(0).peers, 0);
}

#[test]
fn all_are_told_or_closed() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.enter(2, "b");
    scene.read(1);
    scene.room.tell_all("hear");
    scene.room.close_all(CloseReason::Stopping, "bye");
    for number in [1, 2] {
        assert_eq!(scene.read(number), ["error hear", "error bye", "closed Stopping"]);
    }
    assert_eq!(scene.peers(), ["a", "b"], "they are in it until they leave");
}

#[test]
fn who_does_not_read_is_given_up_and_others_notice_nothing() {
    let scene = Scene::with(RoomOptions { queue_count_max: 50, ..RoomOptions::default() }, None);
    scene.enter(1, "sender");
    scene.enter(2, "reader");
    scene.enter(3, "stalled");
    scene.read(2);
    for number in 0..200 {
        scene.send(1, &format!("d{number}"));
        scene.room.data(ConnectionId(1), &format!("x{number}"));
        assert_eq!(scene.read(2), [format!("document d{number}"), format!("data sender: x{number}")]);
    }
    assert!(scene.outlet(3).is_closing());
    assert_eq!(scene.read(3), ["error You are reading too slowly: reconnect to go on", "closed TooSlow"]);
    assert_eq!(scene.leave(3), Some(Some(News::Gone(name("stalled")))));
    scene.read(1);
    scene.read(2);
    assert_eq!(scene.common.printer.tally().waiting_bytes(), 0);
}

#[test]
fn who_reads_slowly_finds_all_but_superseded_documents() {
    let scene = Scene::with(RoomOptions { queue_count_max: 50, ..RoomOptions::default() }, None);
    scene.enter(1, "sender");
    scene.enter(2, "slow");
    for number in 0..500 {
        scene.send(1, &format!("d{number}"));
    }
    scene.room.data(ConnectionId(1), "x");
    let read = scene.read(2);
    assert!(read.len() <= 50);
    assert_eq!(read[read.len() - 2..], ["document d499", "data sender: x"]);
}
