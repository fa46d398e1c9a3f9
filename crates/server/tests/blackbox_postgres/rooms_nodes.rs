//! Rooms whose peers are on different nodes.

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, Stopwatch, eventually};
use tombolo_testkit::http::Request;
use tombolo_testkit::peer::Peer;
use tombolo_testkit::served::Served;

/// Two nodes on one database with one room, and the path of its socket.
fn two_nodes() -> ([Served; 2], String) {
    let database = crate::database();
    let nodes = [crate::node(&database).serve(), crate::node(&database).serve()];
    let path = format!("/k/{}", nodes[0].install.rk_for("owner"));
    let made = nodes[0].send(&Request::post(&format!("{path}/api/rooms"), r#"{"desired_room_code":"BOARD1"}"#));
    assert_eq!(made.status, 200, "{}", made.text());
    (nodes, format!("{path}/ws"))
}

fn join(node: &Served, path: &str, peer: &str) -> Peer {
    Peer::join(node.address(), path, "BOARD1", peer)
}

fn data(from: &str, n: usize) -> Value {
    json!({ "type": "data", "from": from, "data": format!("{from} {n}") })
}

#[test]
fn peers_on_two_nodes_see_and_hear_each_other_in_order() {
    let ([one, two], path) = two_nodes();
    let mut ann = join(&one, &path, "ann");
    let mut bob = Peer::connect(two.address(), &path);
    bob.say(&json!({ "action": "join", "room_code": "board1", "peer_id": "bob", "is_host": false }));
    let info = bob.told();
    let ids: Vec<_> = info["peers"].as_array().unwrap().iter().map(|peer| &peer["id"]).collect();
    assert_eq!(ids, ["ann", "bob"], "who is on the other node is there too");
    bob.told_of("peer_joined");
    assert_eq!(ann.told()["peer"]["id"], "bob");
    for n in 0..300 {
        ann.say(&json!({ "action": "broadcast", "data": format!("ann {n}") }));
        bob.say(&json!({ "action": "broadcast", "data": format!("bob {n}") }));
    }
    for n in 0..300 {
        assert_eq!(ann.told(), data("bob", n));
        assert_eq!(bob.told(), data("ann", n));
    }
    let found = one.send(&Request::get(&path.replace("/ws", "/api/rooms/BOARD1")));
    assert_eq!(found.json()["peer_count"], 2, "{}", found.text());
    drop(bob);
    assert_eq!(ann.told(), json!({ "type": "peer_left", "peer_id": "bob" }));
}

#[test]
fn large_and_small_messages_keep_their_order_between_nodes() {
    let ([one, two], path) = two_nodes();
    let (mut ann, mut bob) = (join(&one, &path, "ann"), join(&two, &path, "bob"));
    let text = |n: usize| format!("{n} {}", "x".repeat(if n.is_multiple_of(3) { 900_000 } else { 10 }));
    for n in 0..12 {
        ann.say(&json!({ "action": "broadcast", "data": text(n) }));
    }
    for n in 0..12 {
        assert!(bob.told_of("data")["data"] == text(n), "message {n}");
    }
}

#[test]
fn documents_of_two_nodes_end_equal() {
    let ([one, two], path) = two_nodes();
    let (mut ann, mut bob) = (join(&one, &path, "ann"), join(&two, &path, "bob"));
    ann.say(&json!({ "action": "sync_document", "document": "from ann" }));
    assert_eq!(bob.told_of("document_sync")["document"], "from ann");
    for n in 0..50 {
        ann.say(&json!({ "action": "sync_document", "document": format!("ann {n}") }));
        bob.say(&json!({ "action": "sync_document", "document": format!("bob {n}") }));
    }
    // Whoever comes later is given on both what was stored last.
    let last = eventually("both nodes have one document", FOREVER, || {
        let [of_one, of_two] = [&one, &two].map(|node| {
            let mut peer = Peer::connect(node.address(), &path);
            peer.say(&json!({ "action": "join", "room_code": "BOARD1", "peer_id": "new", "is_host": false }));
            peer.say(&json!({ "action": "request_sync" }));
            peer.told_of("document_sync")["document"].clone()
        });
        let stored = Value::from(one.install.ok(&["room", "show", "BOARD1"]));
        (of_one == of_two && of_one == stored).then_some(of_one)
    });
    // And whoever was there has it before it, unless it is its own.
    for (peer, own) in [(&mut ann, "ann 49"), (&mut bob, "bob 49")] {
        let mut documents = peer.heard_so_far().into_iter().rev().filter(|told| told["type"] == "document_sync");
        let heard = documents.next().map(|told| told["document"].clone());
        assert!(heard == Some(last.clone()) || last == own, "{heard:?}, {last}");
    }
}

#[test]
fn a_node_that_is_killed_is_missed_and_what_it_stored_is_there() {
    let ([one, mut two], path) = two_nodes();
    let (mut ann, mut bob) = (join(&one, &path, "ann"), join(&two, &path, "bob"));
    assert_eq!(ann.told()["peer"]["id"], "bob");
    bob.say(&json!({ "action": "sync_document", "document": "before the end" }));
    assert_eq!(ann.told_of("document_sync")["document"], "before the end");
    two.kill();
    two.start_again();
    let mut bob = join(&two, &path, "bob");
    bob.say(&json!({ "action": "request_sync" }));
    assert_eq!(bob.told_of("document_sync")["document"], "before the end");
    bob.say(&json!({ "action": "broadcast", "data": "back again" }));
    assert_eq!(ann.told_of("data")["data"], "back again");
}

#[test]
fn a_key_that_is_revoked_on_one_node_is_refused_on_the_other() {
    let ([one, two], _) = two_nodes();
    let made = one.install.json(&["token", "--for", "rooms", "--name", "board"]);
    let path = format!("/k/{}/ws", made["token"].as_str().unwrap());
    let mut bob = Peer::connect(two.address(), &path);
    bob.settle();
    one.install.ok(&["token", "--revoke", "board"]);
    let stopwatch = Stopwatch::start();
    assert_eq!(bob.to_end().1, Some(1008));
    assert!(stopwatch.elapsed() < crate::CLOSED_WITHIN, "{:?}", stopwatch.elapsed());
}
