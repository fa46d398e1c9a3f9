//! Rooms: what outlives the server, who gets in, and what is told to whom.

use std::time::Duration;

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, Stopwatch, eventually};
use tombolo_testkit::http::Request;
use tombolo_testkit::peer::{Heard, Peer};
use tombolo_testkit::served::Served;

/// The path under which the owner's rooms are reached.
fn path_of(served: &Served) -> String {
    format!("/k/{}", served.install.rk_for("owner"))
}

/// A room, and the path of its socket.
fn room(served: &Served, code: &str) -> String {
    let path = path_of(served);
    let made = served.send(&Request::post(
        &format!("{path}/api/rooms"),
        json!({ "desired_room_code": code, "desired_host_id": "host_1" }).to_string(),
    ));
    assert_eq!(made.json()["success"], true, "{}", made.text());
    format!("{path}/ws")
}

fn join(served: &Served, path: &str, code: &str, peer: &str) -> Peer {
    Peer::join(served.address(), path, code, peer)
}

fn document(text: &str) -> Value {
    json!({ "action": "sync_document", "document": text })
}

/// What a newcomer is given.
fn present(served: &Served, path: &str, code: &str) -> String {
    let mut peer = Peer::connect(served.address(), path);
    peer.say(&json!({ "action": "join", "room_code": code, "peer_id": "newcomer", "is_host": false }));
    peer.say(&json!({ "action": "request_sync" }));
    peer.told_of("document_sync")["document"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_written_is_there_after_a_kill() {
    let mut served = crate::serve();
    let path = room(&served, "BOARD1");
    let mut ann = join(&served, &path, "BOARD1", "ann");
    let text = format!("# TASKS\nid,title\n1,\"งานแรก\"\n{}", "x".repeat(1 << 20));
    ann.say(&document(&text));
    ann.settle();
    // Nobody is told when it is stored; it is within a second.
    std::thread::sleep(Duration::from_secs(1));
    served.kill();
    served.start_again();
    assert!(present(&served, &path, "board1") == text);
}

#[test]
fn a_kill_while_documents_arrive_leaves_one_of_them() {
    let mut served = crate::serve();
    let path = room(&served, "BOARD1");
    let mut stored_last = 0;
    for round in 0..4 {
        let mut ann = join(&served, &path, "BOARD1", "ann");
        let first = stored_last + 1;
        for n in first..first + 40 {
            ann.say(&document(&format!("{n} {}", "x".repeat(100_000))));
            ann.heard_so_far();
        }
        let last = first + 39;
        served.kill();
        served.start_again();
        let text = present(&served, &path, "BOARD1");
        let (number, letters) = text.split_once(' ').unwrap_or(("0", ""));
        assert!(letters.is_empty() || letters.len() == 100_000, "round {round}: a document is whole");
        let stored = number.parse().unwrap();
        assert!((stored_last..=last).contains(&stored), "round {round}: {stored} after {stored_last}");
        stored_last = stored;
        let found = served.install.json(&["check"]);
        assert_eq!(found["faults"], json!([]), "round {round}");
    }
}

#[test]
fn a_stop_stores_what_came_and_says_goodbye() {
    let mut served = crate::serve();
    let path = room(&served, "BOARD1");
    let mut ann = join(&served, &path, "BOARD1", "ann");
    ann.say(&document("the last word"));
    ann.settle();
    assert!(served.terminate().success());
    let (heard, code) = ann.to_end();
    assert_eq!(code, Some(1001), "{heard:?}");
    served.start_again();
    assert_eq!(present(&served, &path, "BOARD1"), "the last word");
}

#[test]
fn an_older_version_is_brought_back_to_whoever_is_there() {
    let served = crate::serve();
    let path = room(&served, "BOARD1");
    let mut ann = join(&served, &path, "BOARD1", "ann");
    let versions = |count: usize| {
        eventually("so many versions", FOREVER, || {
            let versions = served.install.json(&["room", "history", "board1"])["versions"].clone();
            (versions.as_array().unwrap().len() == count).then_some(versions)
        })
    };
    for (count, text) in [(1, "one"), (2, "two, and more"), (3, "")] {
        ann.say(&document(text));
        versions(count);
    }
    let versions = versions(3);
    assert_eq!(versions[2]["bytes"], 3);
    let wanted = versions[1]["version"].to_string();
    assert_eq!(served.install.ok(&["room", "show", "BOARD1", &wanted]), "two, and more");
    served.install.ok(&["room", "restore", "BOARD1", &wanted]);
    assert_eq!(ann.told_of("document_sync")["document"], "two, and more");
    assert_eq!(present(&served, &path, "BOARD1"), "two, and more");
    let now = served.install.json(&["room", "history", "BOARD1"]);
    assert_eq!(now["room"], "BOARD1");
    assert_eq!(now["versions"].as_array().unwrap().len(), 4, "a restored version is a new one: {now}");
}

#[test]
fn only_so_many_versions_are_kept() {
    let served = crate::install().set("rooms.versions=3").serve();
    let path = room(&served, "BOARD1");
    let mut ann = join(&served, &path, "BOARD1", "ann");
    let mut newest = 0;
    for n in 1..=5 {
        ann.say(&document(&format!("text {n}")));
        newest = eventually("a new version", FOREVER, || {
            let version = served.install.json(&["room", "history", "BOARD1"])["versions"][0]["version"].as_u64();
            version.filter(|version| *version > newest)
        });
    }
    let versions = served.install.json(&["room", "history", "BOARD1"])["versions"].clone();
    // One more than the newest three where an hour ended meanwhile.
    assert!((3..=4).contains(&versions.as_array().unwrap().len()), "{versions}");
    assert_eq!(served.install.json(&["check"])["faults"], json!([]));
}

#[test]
fn a_room_that_everybody_left_ends_and_one_that_somebody_is_in_does_not() {
    let served = crate::install().set("rooms.idle_empty=1s").set("rooms.idle=1s").serve();
    let path = room(&served, "BOARD1");
    let ann = join(&served, &path, "BOARD1", "ann");
    room(&served, "OTHER1");
    let codes = || {
        let rooms = served.install.json(&["room", "list"]);
        rooms.as_array().unwrap().iter().map(|room| room["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    eventually("the empty room ends", FOREVER, || (codes() == ["BOARD1"]).then_some(()));
    drop(ann);
    eventually("the other one ends too", FOREVER, || codes().is_empty().then_some(()));
}

#[test]
fn a_key_that_is_revoked_closes_what_came_in_by_it() {
    let served = crate::serve();
    served.install.ok(&["token", "--for", "rooms", "--name", "board"]);
    let made = served.install.json(&["token", "--for", "rooms", "--name", "other"]);
    let url = made["url"].as_str().unwrap();
    let path = format!("/k/{}", made["token"].as_str().unwrap());
    assert!(url.ends_with(&path), "{url}");
    let made = served.send(&Request::post(&format!("{path}/api/rooms"), r#"{"desired_room_code":"BOARD1"}"#));
    assert_eq!(made.status, 200);
    let path = format!("{path}/ws");
    let (mut ann, mut un_joined) = (join(&served, &path, "BOARD1", "ann"), Peer::connect(served.address(), &path));
    let mut bob = join(&served, &room(&served, "OTHER1"), "OTHER1", "bob");
    served.install.ok(&["token", "--revoke", "other"]);
    let stopwatch = Stopwatch::start();
    for peer in [&mut ann, &mut un_joined] {
        let (heard, code) = peer.to_end();
        assert_eq!(code, Some(1008));
        assert_eq!(heard.last().unwrap()["type"], "error", "it is told why: {heard:?}");
    }
    assert!(stopwatch.elapsed() < crate::CLOSED_WITHIN, "{:?}", stopwatch.elapsed());
    assert!(Peer::try_connect(served.address(), &path).is_err_and(|(status, _)| status == 401));
    bob.settle();
}

#[test]
fn open_rooms_take_no_key() {
    let served = crate::install().set("rooms.access=open").serve();
    let root = served.send(&Request::get("/"));
    assert_eq!((root.status, &root.json()["websocket"]), (200, &json!("/ws")));
    let made = served.send(&Request::post("/api/rooms", r#"{"desired_room_code":"BOARD1"}"#));
    assert_eq!(made.json()["websocket_url"], format!("ws://{}/ws", served.address()), "{}", made.text());
    let mut ann = join(&served, "/ws", "BOARD1", "ann");
    ann.say(&document("open to everybody"));
    ann.settle();
    assert_eq!(present(&served, "/ws", "BOARD1"), "open to everybody");
    // They are the owner's, who reaches them by a key too.
    let path = format!("{}/ws", path_of(&served));
    assert_eq!(present(&served, &path, "BOARD1"), "open to everybody");
}

#[test]
fn joining_makes_a_room_where_that_is_wished() {
    let served = crate::install().set("rooms.auto_create=true").serve();
    let path = format!("{}/ws", path_of(&served));
    let code = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    // The later client does not wait for an answer.
    let mut ann = Peer::connect(served.address(), &path);
    let mut bob = join(&served, &path, code, "bob");
    ann.say(&json!({ "action": "join", "room_code": code, "peer_id": "ann", "is_host": false, "metadata": null }));
    for n in 0..25 {
        ann.say(&json!({ "action": "broadcast", "data": format!("{n}") }));
    }
    assert_eq!(bob.told()["type"], "peer_joined");
    for n in 0..25 {
        assert_eq!(bob.told(), json!({ "type": "data", "from": "ann", "data": format!("{n}") }));
    }
    ann.say(&json!({ "action": "join", "room_code": "a b", "peer_id": "ann", "is_host": false }));
    assert_eq!(ann.told_of("error")["message"], "Invalid room code");
}

#[test]
fn frames_in_pieces_and_of_every_letter_arrive_whole() {
    use std::io::Write as _;
    use tokio_tungstenite::tungstenite::Message;
    let served = crate::serve();
    let path = room(&served, "BOARD1");
    let (mut ann, mut bob) = (join(&served, &path, "BOARD1", "ann"), join(&served, &path, "BOARD1", "bob"));
    assert_eq!(ann.told()["type"], "peer_joined");
    let said = format!("ผู้ใช้ {} 🏖 é \u{0} \\ \" {}", "งาน".repeat(40), "x".repeat(300));
    let text = json!({ "action": "broadcast", "data": said }).to_string();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    let mask = [7, 0, 255, 128];
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    for byte in frame {
        ann.stream().write_all(&[byte]).unwrap();
    }
    assert_eq!(bob.told(), json!({ "type": "data", "from": "ann", "data": said }));
    // What is no text is passed over, and a ping of the protocol is answered beneath.
    ann.send(Message::binary(vec![1, 2, 3]));
    ann.send(Message::Ping(vec![4].into()));
    ann.settle();
}

#[test]
fn a_connection_that_breaks_every_rule_of_websockets_ends_alone() {
    use std::io::Write as _;
    let served = crate::serve();
    let path = room(&served, "BOARD1");
    let mut bob = join(&served, &path, "BOARD1", "bob");
    let bad: [&[u8]; 5] = [
        // Not masked; reserved bits; an opcode that is none; a ping in parts; text that is no text.
        &[0x81, 0x02, b'{', b'}'],
        &[0xf1, 0x80, 0, 0, 0, 0],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
    ];
    for bytes in bad {
        let mut peer = join(&served, &path, "BOARD1", "evil");
        assert_eq!(bob.told()["type"], "peer_joined");
        peer.stream().write_all(bytes).unwrap();
        let end = std::iter::repeat_with(|| peer.hear()).find(|heard| matches!(heard, Heard::Closed(_))).unwrap();
        assert!(matches!(end, Heard::Closed(None | Some(1002 | 1007))), "{bytes:?}: {end:?}");
        assert_eq!(bob.told(), json!({ "type": "peer_left", "peer_id": "evil" }));
    }
}

#[test]
fn nothing_of_what_people_write_is_logged() {
    let mut served = crate::install().set("log.level=debug").serve();
    let path = room(&served, "BOARD1");
    let mut ann = join(&served, &path, "BOARD1", "somebody-secret");
    ann.say(&document("a document that is nobody's business"));
    ann.say(&json!({ "action": "broadcast", "data": "data that is nobody's business" }));
    ann.say_text("{\"action\":\"business\"}");
    ann.told_of("error");
    served.terminate();
    let log = served.log();
    let key = path.split('/').nth(2).unwrap();
    for secret in ["business", "somebody-secret", key, "BOARD1"] {
        assert!(!log.contains(secret), "{secret} stands in the log:\n{log}");
    }
}

#[test]
fn metrics_tell_of_rooms() {
    let served = crate::install().set("rooms.queue_count=16").serve();
    let path = room(&served, "BOARD1");
    let (mut ann, mut bob) = (join(&served, &path, "BOARD1", "ann"), join(&served, &path, "BOARD1", "bob"));
    ann.say(&json!({ "action": "broadcast", "data": "x" }));
    bob.told_of("data");
    let metric = |name: &str| {
        let text = served.send(&Request::get("/metrics")).text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert!(metric("tombolo_rooms") >= 1.0);
    assert!((metric("tombolo_room_peers") - 2.0).abs() < 0.1);
    assert!(metric("tombolo_room_frames_total{direction=\"received\"}") >= 1.0);
    assert!(metric("tombolo_room_frames_total{direction=\"sent\"}") >= 8.0);
    assert!(metric("tombolo_room_queue_bytes") >= 0.0);
    assert!(metric("tombolo_room_closes_total{reason=\"revoked\"}") < 0.1);
    ann.say(&json!({ "action": "leave" }));
    ann.to_end();
    eventually("the peer is gone", FOREVER, || ((metric("tombolo_room_peers") - 1.0).abs() < 0.1).then_some(()));
}
