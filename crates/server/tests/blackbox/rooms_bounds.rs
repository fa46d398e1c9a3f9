//! Rooms: what is too much, and what becomes of everybody else meanwhile.

use std::thread::JoinHandle;

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, eventually, spawn};
use tombolo_testkit::http::Request;
use tombolo_testkit::peer::{Heard, Peer};
use tombolo_testkit::served::{Install, Served};

/// A server with one room, and the path of its socket.
fn serve(install: Install) -> (Served, String) {
    let key = install.rk_for("owner");
    let served = install.serve();
    let path = format!("/k/{key}");
    let made = served.send(&Request::post(&format!("{path}/api/rooms"), r#"{"desired_room_code":"BOARD1"}"#));
    assert_eq!(made.status, 200, "{}", made.text());
    (served, format!("{path}/ws"))
}

fn join(served: &Served, path: &str, peer: &str) -> Peer {
    Peer::join(served.address(), path, "BOARD1", peer)
}

fn data(text: &str) -> Value {
    json!({ "action": "broadcast", "data": text })
}

/// Reads to the end, which has to be this one, with a sentence before it.
fn closed_with(peer: &mut Peer, code: u16) -> String {
    let (heard, closed) = peer.to_end();
    assert_eq!(closed, Some(code), "{heard:?}");
    let last = heard.last().unwrap_or_else(|| panic!("nothing was told before {code}"));
    assert_eq!(last["type"], "error", "{last}");
    last["message"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_too_large_is_said_and_ends_the_connection() {
    let install = crate::install().set("rooms.document_bytes=1000").set("rooms.broadcast_bytes=100");
    let (served, path) = serve(install.set("rooms.message_bytes=5000"));
    let mut bob = join(&served, &path, "bob");
    let too_large = [
        json!({ "action": "sync_document", "document": "x".repeat(1_001) }),
        data(&"x".repeat(101)),
        json!({ "action": "sync_document", "document": "x".repeat(6_000) }),
    ];
    for message in too_large {
        let mut ann = join(&served, &path, "ann");
        assert_eq!(bob.told()["type"], "peer_joined");
        ann.try_say(&message);
        let said = closed_with(&mut ann, 1009);
        assert!(said.contains("too large") || said.contains("bytes"), "{said}");
        assert_eq!(bob.told()["type"], "peer_left");
    }
    let mut ann = join(&served, &path, "ann");
    ann.say(&json!({ "action": "sync_document", "document": "x".repeat(1_000) }));
    ann.say(&data(&"\u{1}".repeat(100)));
    assert_eq!(bob.told()["type"], "peer_joined");
    assert_eq!(bob.told()["document"], "x".repeat(1_000));
    assert_eq!(bob.told()["data"], "\u{1}".repeat(100), "it is longer on the wire than it is");
}

#[test]
fn whoever_says_too_much_is_stopped() {
    let install = crate::install().set("rooms.messages_per_second=10").set("rooms.messages_burst=50");
    let (served, path) = serve(install);
    let mut ann = join(&served, &path, "ann");
    let mut said = 0;
    while said < 1_000 && ann.try_say(&data("x")) {
        said += 1;
    }
    closed_with(&mut ann, 1008);
}

#[test]
fn names_and_what_peers_say_of_themselves_are_bounded() {
    let (served, path) = serve(crate::install());
    for (peer, metadata) in
        [("x".repeat(129), Value::Null), (String::new(), Value::Null), ("x".to_owned(), json!("x".repeat(5_000)))]
    {
        let mut ann = Peer::connect(served.address(), &path);
        let join =
            json!({ "action": "join", "room_code": "BOARD1", "peer_id": peer, "is_host": false, "metadata": metadata });
        ann.say(&join);
        closed_with(&mut ann, 1008);
    }
}

#[test]
fn a_room_and_an_address_have_so_many_connections() {
    let install = crate::install().set("rooms.peers=2").set("rooms.sockets_per_address=4");
    let (served, path) = serve(install);
    let _two = [join(&served, &path, "ann"), join(&served, &path, "bob")];
    let mut third = Peer::connect(served.address(), &path);
    third.say(&json!({ "action": "join", "room_code": "BOARD1", "peer_id": "eve", "is_host": false }));
    closed_with(&mut third, 1008);
    let open: Vec<Peer> = (0..2)
        .map(|_| eventually("a place is free", FOREVER, || Peer::try_connect(served.address(), &path).ok()))
        .collect();
    let (status, body) = Peer::try_connect(served.address(), &path).unwrap_err();
    assert_eq!(status, 429, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["success"], false);
    drop(open);
    eventually("their places are free again", FOREVER, || Peer::try_connect(served.address(), &path).ok());
}

#[test]
fn a_user_has_so_many_rooms() {
    let (served, path) = serve(crate::install().set("rooms.rooms=2"));
    let path = path.replace("/ws", "/api/rooms");
    assert_eq!(served.send(&Request::post(&path, "{}")).json()["success"], true);
    let refused = served.send(&Request::post(&path, "{}"));
    assert_eq!((refused.status, &refused.json()["success"]), (403, &json!(false)), "{}", refused.text());
}

#[test]
fn codes_cannot_be_found_by_trying() {
    let (served, path) = serve(crate::install());
    let api = path.replace("/ws", "/api/rooms");
    // Counted together: over HTTP, over sockets, whatever the key.
    let other = format!("/k/{}/api/rooms", served.install.rk_for("bob"));
    for n in 0..49 {
        assert_eq!(served.send(&Request::get(&format!("{api}/WRONG{n}"))).json()["error"], "Room not found");
        assert_eq!(served.send(&Request::get(&format!("{other}/WRONG{n}"))).json()["error"], "Room not found");
    }
    let mut ann = Peer::connect(served.address(), &path);
    let try_code = |ann: &mut Peer, code: &str| {
        ann.say(&json!({ "action": "join", "room_code": code, "peer_id": "ann", "is_host": false }));
        ann.told()["message"].as_str().unwrap_or_default().to_owned()
    };
    // What has not joined and says something is told so, and that is no guess.
    for _ in 0..200 {
        ann.say(&data("x"));
        assert_eq!(ann.told()["message"], "Room not found");
    }
    assert_eq!(try_code(&mut ann, "WRONG1"), "Room not found");
    assert_eq!(try_code(&mut ann, "WRONG2"), "Room not found");
    let over = try_code(&mut ann, "WRONG3");
    assert!(over.contains("Too many"), "{over}");
    let over = try_code(&mut ann, "BOARD1");
    assert!(over.contains("Too many"), "a right code is not told from a wrong one: {over}");
    let refused = served.send(&Request::get(&format!("{api}/BOARD1")));
    assert_eq!((refused.status, &refused.json()["success"]), (429, &json!(false)), "{}", refused.text());
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert!(refused.header("retry-after").is_some());
}

/// A peer that reads nothing until the others were told that it left: it is then that the server waits for it, and not
/// for long.
struct Stalled {
    peer: Option<Peer>,
    end: Option<JoinHandle<String>>,
}

impl Stalled {
    fn join(served: &Served, path: &str) -> Self {
        Self { peer: Some(join(served, path, "stalled")), end: None }
    }

    fn has_left(&mut self) {
        if let Some(mut peer) = self.peer.take() {
            self.end = Some(spawn(move || closed_with(&mut peer, 1013)));
        }
    }

    /// What it was told in the end.
    fn end(self) -> String {
        self.end.expect("it was closed").join().unwrap()
    }
}

#[test]
fn one_that_never_reads_is_closed_and_the_others_notice_nothing() {
    let install = crate::install().set("rooms.queue_count=500").set("rooms.queue_bytes=2000000");
    let (served, path) = serve(install.set("rooms.messages_burst=100000"));
    let mut stalled = Stalled::join(&served, &path);
    let mut bob = join(&served, &path, "bob");
    let mut ann = join(&served, &path, "ann");
    bob.told();
    // More than the kernel keeps for one who does not read, and than the server does.
    let text = "x".repeat(50_000);
    for n in 0..400 {
        ann.say(&data(&format!("{n} {text}")));
        loop {
            let told = bob.told();
            if told["type"] == "data" {
                assert!(told["data"].as_str().unwrap().starts_with(&format!("{n} ")), "in order, none lost");
                break;
            }
            assert_eq!(told, json!({ "type": "peer_left", "peer_id": "stalled" }));
            stalled.has_left();
        }
    }
    let told = stalled.end();
    assert!(told.contains("slow"), "{told}");
}

#[test]
fn documents_that_were_superseded_go_first() {
    let install = crate::install().set("rooms.queue_count=20").set("rooms.queue_bytes=8000000");
    let (served, path) = serve(install.set("rooms.messages_burst=100000"));
    let mut slow = join(&served, &path, "slow");
    let mut ann = join(&served, &path, "ann");
    let text = "x".repeat(1_000_000);
    for n in 0..60 {
        ann.say(&json!({ "action": "sync_document", "document": format!("{n} {text}") }));
    }
    ann.settle();
    let mut last = None;
    while last != Some(59) {
        let told = slow.told_of("document_sync");
        let number = told["document"].as_str().unwrap().split(' ').next().unwrap().parse::<i32>().unwrap();
        assert!(last.is_none_or(|last| last < number), "in order");
        last = Some(number);
    }
}

#[test]
fn hundreds_of_peers_hear_everything_beside_one_that_never_reads() {
    let install = crate::install().set("rooms.queue_count=50").set("rooms.messages_burst=100000");
    let (served, path) = serve(install);
    let mut stalled = Stalled::join(&served, &path);
    let mut peers: Vec<Peer> = (0..300).map(|n| join(&served, &path, &format!("peer{n}"))).collect();
    // Whoever came is told of those who came after it, and takes that before it is too much.
    let mut hear = |peer: &mut Peer, n: usize| loop {
        let Heard::Text(text) = peer.hear() else { panic!("a peer that reads was closed") };
        if text.starts_with(r#"{"type":"data""#) {
            return assert!(text.contains(&format!(":\"{n} ")), "in order, none lost");
        }
        if text.starts_with(r#"{"type":"peer_left""#) {
            stalled.has_left();
        }
    };
    let mut ann = join(&served, &path, "ann");
    // More than the kernel takes for one who does not read, and than may wait for it here.
    let text = "x".repeat(20_000);
    for n in 0..400 {
        ann.say(&data(&format!("{n} {text}")));
        if n % 20 == 19 {
            peers.iter_mut().for_each(|peer| (n - 19..=n).for_each(|n| hear(peer, n)));
        }
    }
    stalled.end();
}
