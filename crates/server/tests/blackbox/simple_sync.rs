//! simple-sync seen from outside: who is let in, what is pushed, what is read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::simple_sync::{Participant, now_millis, uuid};

use crate::{install, serve};

const MIB: usize = 1024 * 1024;
/// A moment that tests write at, in milliseconds since 1970.
const THEN: u64 = 1_700_000_000_123;

fn start() -> (Served, Participant) {
    let served = serve();
    let root = Participant::root(&served.install);
    (served, root)
}

/// A server with somebody who may do everything that rules can let him.
fn with_ann() -> (Served, Participant, Participant) {
    let (served, root) = start();
    let ann = root.welcome(&served, "ann");
    assert_eq!(root.rule(&served, &["A ann|*|*"]).status, 200);
    (served, root, ann)
}

fn refused(response: &Response, status: u16, error: &str, event: Option<&Value>) {
    let expected = match event {
        Some(event) => json!({ "error": error, "eventUuid": event["uuid"] }),
        None => json!({ "error": error }),
    };
    assert_eq!((response.status, response.json()), (status, expected));
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
}

/// Every route that needs a credential, with what it takes.
const GUARDED: [(&str, &str, &str); 21] = [
    ("GET", "/events", "GET, HEAD, POST, OPTIONS"),
    ("POST", "/events", "GET, HEAD, POST, OPTIONS"),
    ("GET", "/api/v1/events", "GET, HEAD, POST, OPTIONS"),
    ("POST", "/api/v1/events", "GET, HEAD, POST, OPTIONS"),
    ("GET", "/api/v1/events/stream", "GET, OPTIONS"),
    ("POST", "/api/v1/events/ticket", "POST, OPTIONS"),
    ("GET", "/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("POST", "/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("PUT", "/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("GET", "/api/v1/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("POST", "/api/v1/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("PUT", "/api/v1/acl", "GET, HEAD, POST, PUT, OPTIONS"),
    ("GET", "/api/v1/acl/explain", "GET, HEAD, OPTIONS"),
    ("POST", "/api/v1/user/generateToken", "POST, OPTIONS"),
    ("POST", "/api/v1/user/resetKey", "POST, OPTIONS"),
    ("POST", "/admin/users", "POST, OPTIONS"),
    ("PUT", "/admin/users/ann", "PUT, OPTIONS"),
    ("POST", "/api/v1/admin/users", "POST, OPTIONS"),
    ("PUT", "/api/v1/admin/users/ann", "PUT, OPTIONS"),
    ("HEAD", "/events", "GET, HEAD, POST, OPTIONS"),
    ("HEAD", "/api/v1/events", "GET, HEAD, POST, OPTIONS"),
];
/// Every other.
const OPEN: [(&str, &str, &str); 5] = [
    ("GET", "/api/v1/health", "GET, HEAD, OPTIONS"),
    ("POST", "/auth/token", "POST, OPTIONS"),
    ("POST", "/api/v1/auth/token", "POST, OPTIONS"),
    ("POST", "/api/v1/user/exchangeToken", "POST, OPTIONS"),
    ("POST", "/api/v1/setup/exchangeToken", "POST, OPTIONS"),
];

#[test]
fn every_route_asks_who_it_is_in_its_generations_words() {
    let (served, _) = start();
    for (method, path, _) in GUARDED.into_iter().filter(|(method, ..)| *method != "HEAD") {
        let missing =
            if path.starts_with("/api/") { "X-API-Key header required" } else { "Authorization header required" };
        let request = || Request::new(method, path).body("{");
        refused(&served.send(&request()), 401, missing, None);
        for value in ["bearer a.b.c", "Bearer", "Bearer a b", "Basic YTpi", "Bearer  a.b.c"] {
            refused(&served.send(&request().header("Authorization", value)), 401, missing, None);
        }
        refused(&served.send(&request().header("X-API-Key", "")), 401, missing, None);
        refused(&served.send(&request().bearer("a.b.c")), 401, "Invalid or expired token", None);
    }
}

#[test]
fn every_route_refuses_keys_that_are_not_for_it() {
    let (served, root) = start();
    // So many wrong keys are let from one address, and 429 is another test.
    let key = "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (method, path, _) in GUARDED.into_iter().filter(|(method, ..)| *method != "HEAD") {
        let response = served.send(&Request::new(method, path).header("X-API-Key", key));
        refused(&response, 401, "Invalid API key", None);
    }
    for other in [served.install.token("laptop"), served.install.key_for("owner", "terminal")] {
        refused(&served.send(&Request::get("/events").header("X-API-Key", &other)), 401, "Invalid API key", None);
    }
    for request in [Request::post("/api/v1/sync", "{}"), Request::get("/v1/projects")] {
        assert_eq!(served.send(&request.bearer(root.secret())).status, 401, "it opens nothing else");
    }
}

#[test]
fn every_route_says_which_methods_it_takes() {
    let (served, root) = start();
    for (_, path, allow) in GUARDED.into_iter().chain(OPEN) {
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].into_iter().filter(|method| !allow.contains(method))
        {
            for request in [Request::new(method, path), root.request(method, path, &Value::Null)] {
                let response = served.send(&request);
                assert_eq!((response.status, response.header("allow")), (405, Some(allow)), "{method} {path}");
                if method != "HEAD" {
                    assert!(response.json()["error"].is_string());
                }
            }
        }
    }
}

#[test]
fn what_nobody_wrote_yet_is_an_empty_list_and_not_nothing() {
    let (served, root) = start();
    for path in ["/events", "/api/v1/events", "/api/v1/events?after=", "/events?fromTimestamp=1"] {
        let response = root.send(&served, "GET", path, &Value::Null);
        assert_eq!((response.status, response.text().as_str()), (200, "[]"), "{path}");
    }
    for body in ["[]", "null"] {
        let response = served.send(&root.request("POST", "/api/v1/events", &Value::Null).body(body));
        assert_eq!((response.status, response.text().as_str()), (200, "[]"), "{body}");
    }
}

#[test]
fn a_push_is_checked_in_the_documented_order() {
    let (served, root, ann) = with_ann();
    assert_eq!(root.rule(&served, &["D *|secret|*"]).status, 200);
    let before = ann.history(&served);
    let with = |change: Value| {
        let mut event = ann.event_at(THEN, "task.1", "edit");
        for (field, value) in change.as_object().unwrap() {
            event[field] = value.clone();
        }
        event
    };
    let check = |events: &[&Value], status: u16, error: &str, at_fault: usize| {
        let events: Vec<Value> = events.iter().map(|event| (*event).clone()).collect();
        refused(&ann.push(&served, &events), status, error, Some(&events[at_fault]));
    };
    let acl = with(
        json!({ "uuid": "a1a2a3a4-b1b2-c1c2-d1d2-d3d4d5d6d7d8", "item": ".acl", "action": ".acl.addRule", "user": "bob" }),
    );
    let (foreign, nameless) = (with(json!({ "user": "bob" })), with(json!({ "action": "" })));
    let (denied, internal) = (with(json!({ "item": "secret" })), with(json!({ "item": ".secret" })));
    let good = with(json!({}));
    let acl_error = "ACL events must be submitted via dedicated /api/v1/acl endpoint";
    check(&[&good, &nameless, &foreign, &acl], 400, acl_error, 3);
    check(&[&good, &denied, &nameless, &foreign], 400, "action is required", 2);
    check(&[&good, &denied, &foreign, &nameless], 403, "Cannot submit events for other users", 2);
    check(&[&good, &internal, &denied], 403, "Cannot add internal events through this endpoint", 1);
    check(&[&good, &denied, &internal], 403, "Insufficient permissions", 1);
    let early = with(json!({ "uuid": "00000000-0001-7000-8000-000000000000", "timestamp": 0 }));
    check(&[&early], 400, "invalid timestamp", 0);
    for body in ["{}", "", "[", "{\"a\":1}", "[{\"timestamp\":\"1\"}]"] {
        let response = served.send(&ann.request("POST", "/api/v1/events", &Value::Null).body(body));
        refused(&response, 400, "Invalid JSON format", None);
    }
    assert_eq!(ann.history(&served), before, "nothing of a refused push is stored");
}

#[test]
fn the_same_push_again_is_answered_as_the_first_time() {
    let (served, root, ann) = with_ann();
    let events = [ann.event_at(THEN, "task.1", "edit"), ann.event_at(THEN, "task.2", "edit")];
    let first = ann.push(&served, &events);
    let again = ann.push(&served, &events);
    assert_eq!((first.status, again.status, first.text()), (200, 200, again.text()));
    // It is known in every form of its uuid, in either unit of its time, and whatever the rules say by now.
    assert_eq!(root.rule(&served, &["D ann|task.*|*"]).status, 200);
    let mut other_form = events[0].clone();
    other_form["uuid"] = json!(format!("urn:uuid:{}", events[0]["uuid"].as_str().unwrap().to_uppercase()));
    let before = ann.history(&served);
    for push in [&events[..], &[other_form.clone()], &[events[1].clone(), other_form]] {
        assert_eq!(ann.push(&served, push).status, 200);
    }
    assert_eq!(ann.history(&served), before);
    let mut other = events[1].clone();
    other["uuid"] = json!(uuid(THEN));
    refused(&ann.push(&served, &[events[0].clone(), other.clone()]), 403, "Insufficient permissions", Some(&other));
}

#[test]
fn one_uuid_is_one_event() {
    let (served, _, ann) = with_ann();
    let event = ann.event_at(THEN, "task.1", "edit");
    assert_eq!(ann.push(&served, std::slice::from_ref(&event)).status, 200);
    let before = ann.history(&served);
    let mut other = event.clone();
    other["payload"] = json!("{\"other\":true}");
    let new = ann.event_at(THEN, "task.2", "edit");
    let taken = "Another event has this UUID already";
    refused(&ann.push(&served, &[new.clone(), other.clone()]), 409, taken, Some(&other));
    refused(
        &ann.push(
            &served,
            &[new.clone(), {
                let mut twice = new.clone();
                twice["item"] = json!("x");
                twice
            }],
        ),
        409,
        taken,
        Some(&new),
    );
    assert_eq!(ann.history(&served), before);
    assert_eq!(ann.push(&served, &[new.clone(), new]).status, 200);
    assert_eq!(ann.history(&served).len(), before.len() + 1);
}

#[test]
fn a_history_is_in_the_order_of_writing_whatever_the_unit() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    assert_eq!(root.rule(&served, &["A ann|*|*"]).status, 200);
    let event = |n: u64, timestamp: u64| json!({ "uuid": format!("e{n}"), "timestamp": timestamp, "itemUuid": "task", "action": "edit" });
    let events = [
        event(1, 1_600_000_002),
        event(2, 1_600_000_001_500),
        event(3, 1_600_000_001),
        event(4, 1_600_000_002_000),
        event(5, 1),
        event(6, 1_600_000_001_500),
    ];
    let pushed = ann.send(&served, "POST", "/events", &Value::from(&events[..])).json();
    let order = |history: &Value| -> Vec<(String, u64)> {
        let ours = history.as_array().unwrap().iter().filter(|event| event["itemUuid"] == "task");
        ours.map(|event| (event["uuid"].as_str().unwrap().to_owned(), event["timestamp"].as_u64().unwrap())).collect()
    };
    let expected: Vec<(String, u64)> = [
        ("e5", 1),
        ("e3", 1_600_000_001),
        ("e2", 1_600_000_001_500),
        ("e6", 1_600_000_001_500),
        ("e1", 1_600_000_002),
        ("e4", 1_600_000_002_000),
    ]
    .map(|(uuid, timestamp)| (uuid.to_owned(), timestamp))
    .to_vec();
    assert_eq!(order(&pushed), expected);
    let from = |from: &str| order(&ann.ok(&served, "GET", &format!("/events?fromTimestamp={from}"), &Value::Null));
    assert_eq!(from("1600000002"), expected[4..]);
    assert_eq!(from("1600000001500"), expected[2..]);
    assert_eq!(from("1600000001501"), expected[4..]);
    assert_eq!(from(""), expected);
    for from in ["0", "x", "-1", &(now_millis() / 1_000 + 90_000).to_string()] {
        let response = ann.send(&served, "GET", &format!("/api/v1/events?fromTimestamp={from}"), &Value::Null);
        refused(&response, 400, "Invalid timestamp parameter", None);
    }
    // Today's generation has no such parameter.
    assert_eq!(root.ok(&served, "GET", "/api/v1/events?fromTimestamp=x", &Value::Null).as_array().unwrap().len(), 8);
}

#[test]
fn each_generation_reads_its_own_spelling_and_writes_either() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    assert_eq!(root.rule(&served, &["A ann|*|*"]).status, 200);
    let first =
        json!({ "uuid": "any", "timestamp": 1_600_000_000, "userUuid": "bob", "item": "task.1", "action": "edit" });
    assert_eq!(ann.send(&served, "POST", "/api/v1/events", &json!([first])).status, 200);
    let mut today = root.event_at(1_600_000_001_000, "", "edit");
    (today["user"], today["userUuid"], today["itemUuid"]) = (Value::Null, json!(".root"), json!("task.2"));
    assert_eq!(root.push(&served, &[today.clone()]).status, 200);
    let keys = |event: &Value| event.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ");
    let read = ann.ok(&served, "GET", "/events", &Value::Null);
    assert_eq!(
        read[0],
        json!({ "uuid": "any", "timestamp": 1_600_000_000, "userUuid": "ann", "itemUuid": "task.1", "action": "edit", "payload": "" })
    );
    assert_eq!((&read[1]["userUuid"], &read[1]["itemUuid"]), (&json!(".root"), &json!("task.2")));
    let bearer = served.send(&Request::get("/events").bearer(root.secret())).json();
    for event in root.history(&served).iter().chain(bearer.as_array().unwrap()) {
        assert_eq!(keys(event), "action item payload timestamp user uuid");
    }
    // The order of keys is the original's.
    let text = root.send(&served, "GET", "/events", &Value::Null).text();
    assert!(text.starts_with(
        r#"[{"uuid":"any","timestamp":1600000000,"user":"ann","item":"task.1","action":"edit","payload":""},{"#
    ));
    for (change, error) in [
        ("uuid", "Missing required fields"),
        ("itemUuid", "Missing required fields"),
        ("timestamp", "Invalid timestamp"),
    ] {
        let mut event = json!({ "uuid": "x", "timestamp": 1, "itemUuid": "task.1", "action": "edit" });
        event[change] = Value::Null;
        refused(&ann.send(&served, "POST", "/events", &json!([event])), 400, error, None);
    }
}

#[test]
fn whoever_has_the_history_is_told_so_and_whoever_has_some_is_given_the_rest() {
    let (served, _, ann) = with_ann();
    let read = |path: &str, tag: Option<&str>| {
        let request = ann.request("GET", path, &Value::Null);
        served.send(&tag.map_or(request.clone(), |tag| request.header("If-None-Match", tag)))
    };
    let before = read("/api/v1/events", None);
    let (tag, cursor) = (before.header("etag").unwrap(), before.header("sync-cursor").unwrap());
    assert!(tag.starts_with("W/\"") && tag.contains(cursor), "{tag} {cursor}");
    assert_eq!(before.header("vary"), Some("Authorization, X-API-Key, Accept-Encoding"));
    assert_eq!(before.header("cache-control"), Some("private, no-cache"));
    let length: usize = before.header("content-length").unwrap().parse().unwrap();
    assert_eq!(length, before.body.len());
    let unchanged = read("/events", Some(tag));
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!((unchanged.header("etag"), unchanged.header("sync-cursor")), (Some(tag), Some(cursor)));
    let pushed = ann.push(&served, &[ann.event_at(THEN, "task.1", "edit")]);
    let changed = read("/api/v1/events", Some(tag));
    assert_eq!((changed.status, changed.text()), (200, pushed.text()));
    assert_eq!(changed.header("etag"), pushed.header("etag"));
    assert_eq!(read("/events", pushed.header("etag")).status, 304);
    let again = ann.request("POST", "/events", &json!([])).header("If-None-Match", pushed.header("etag").unwrap());
    assert_eq!(served.send(&again).text(), pushed.text(), "a push is always answered");

    let news = read(&format!("/api/v1/events?after={cursor}"), None);
    assert_eq!((news.json().as_array().unwrap().len(), news.json()[0]["item"].clone()), (1, json!("task.1")));
    assert_eq!(news.header("sync-cursor"), pushed.header("sync-cursor"));
    let none = read(&format!("/events?after={}", news.header("sync-cursor").unwrap()), None);
    assert_eq!((none.status, none.text().as_str()), (200, "[]"));
    let all = read("/events?after=", None).json();
    assert_eq!(all.as_array().unwrap().len(), changed.json().as_array().unwrap().len());
    assert_eq!(
        all.as_array().unwrap().last().unwrap()["item"],
        "task.1",
        "it arrived last, though it was written first"
    );
    let older = ann.event_at(THEN - 1, "task.0", "edit");
    let path = format!("/api/v1/events?after={}", news.header("sync-cursor").unwrap());
    let pushed = ann.send(&served, "POST", &path, &json!([older]));
    assert_eq!((pushed.status, pushed.json()), (200, json!([older])));
}

#[test]
fn a_cursor_that_is_none_of_this_history_stores_nothing() {
    let (served, _, ann) = with_ann();
    let before = ann.history(&served);
    let other = format!("{}.1", "a7".repeat(16));
    for cursor in ["0", "x", "7.7", &other] {
        for method in ["GET", "POST"] {
            let event = if method == "POST" { json!([ann.event("task.1", "edit")]) } else { Value::Null };
            let response = ann.send(&served, method, &format!("/api/v1/events?after={cursor}"), &event);
            refused(&response, 400, "Unknown cursor", None);
        }
    }
    assert_eq!(ann.history(&served), before);
}

#[test]
fn a_reader_who_has_several_histories_has_the_last_one() {
    let (served, root) = start();
    let tag = || root.send(&served, "GET", "/events", &Value::Null).header("etag").unwrap().to_owned();
    let push = || assert_eq!(root.push(&served, &[root.event("task.1", "edit")]).status, 200);
    let ask = |tags: &str| {
        let response = served.send(&root.request("GET", "/events", &Value::Null).header("If-None-Match", tags));
        (response.status, response.header("etag").map(str::to_owned))
    };
    let first = tag();
    push();
    let (second, beyond) = (tag(), tag().replace(".1-", ".7-"));
    for tags in [format!("{first}, {second}"), format!("{beyond}, x, {second}, {first}"), "*".to_owned()] {
        assert_eq!(ask(&tags), (304, Some(second.clone())), "{tags}");
    }
    push();
    let third = Some(tag());
    assert_eq!(ask(&format!("{first}, {second}, {beyond}")), (200, third.clone()));
    assert_eq!(ask("*"), (304, third));
}

#[test]
fn a_cursor_and_a_tag_outlive_the_process() {
    let (mut served, _, ann) = with_ann();
    let before = ann.send(&served, "GET", "/events", &Value::Null);
    assert!(served.terminate().success());
    served.start_again();
    let tag = before.header("etag").unwrap();
    let unchanged = served.send(&ann.request("GET", "/events", &Value::Null).header("If-None-Match", tag));
    assert_eq!(unchanged.status, 304);
    let path = format!("/events?after={}", before.header("sync-cursor").unwrap());
    assert_eq!(ann.ok(&served, "GET", &path, &Value::Null), json!([]));
}

#[test]
fn compressed_it_is_the_same() {
    let (served, root, ann) = with_ann();
    let events: Vec<Value> = (0..500).map(|n| ann.event_at(THEN + n, &format!("task.{n}"), "edit")).collect();
    assert_eq!(ann.push(&served, &events).status, 200);
    for who in [&ann, &root] {
        for path in ["/events", "/api/v1/events?after="] {
            let plain = who.send(&served, "GET", path, &Value::Null);
            let packed = served.send(&who.request("GET", path, &Value::Null).header("Accept-Encoding", "gzip"));
            assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
            assert_eq!(plain.body, packed.body);
            assert_eq!(plain.header("etag"), packed.header("etag"));
        }
        let packed = served.send(&who.request("GET", "/events", &Value::Null).header("Accept-Encoding", "gzip"));
        let bytes: usize = packed.header("content-length").unwrap().parse().unwrap();
        assert!(bytes * 4 < packed.body.len(), "{bytes} of {}", packed.body.len());
    }
    let packed = served.send(&ann.request("POST", "/events", &json!([ann.event("task", "edit")])).gzipped());
    assert_eq!(packed.status, 200);
    let strange = ann.request("POST", "/events", &json!([])).header("Content-Encoding", "br");
    let response = served.send(&strange);
    assert_eq!((response.status, response.json()["error"].is_string()), (415, true));
}

#[test]
fn a_long_history_is_compressed_for_all_readers_and_for_none_of_them_alone() {
    let (served, root, ann) = with_ann();
    // Three times what is compressed for one reader.
    for n in 0..60 {
        let mut event = ann.event_at(THEN + n, "task", "edit");
        event["payload"] = "x".repeat(100_000).into();
        assert_eq!(ann.push(&served, &[event]).status, 200);
    }
    let read = || {
        let request = root.request("GET", "/api/v1/events", &Value::Null).header("Accept-Encoding", "gzip");
        let sent = served.send(&request);
        assert!(sent.header("content-length").is_some(), "nothing is made of it while it is sent");
        (sent.header("content-encoding").is_some(), sent.body)
    };
    let all: Vec<(bool, Vec<u8>)> = (0..4).map(|_| read()).collect();
    assert!(!all[0].0, "not all of it is compressed yet, so the text is sent as it is");
    assert!(all[3].0, "it is by now");
    assert!(all.iter().all(|(_, body)| *body == all[0].1));
}

/// A reader of `path` who begins to read, and goes no further.
fn stalled(served: &Served, who: &Participant, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let accepts = "Accept-Encoding: gzip";
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n{accepts}\r\n\r\n", who.secret());
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    stream
}

#[test]
fn one_user_has_so_many_long_replies_under_way_and_goes_on_when_they_end() {
    // More than is kept in memory, and what is not kept.
    for (served, path) in
        [(install().set("simple_sync.cache_bytes=0").serve(), "/events"), (serve(), "/api/v1/events?after=")]
    {
        let root = Participant::root(&served.install);
        let bob = root.welcome(&served, "bob");
        // More than the machine keeps for a connection that nobody reads.
        for n in 0..9 {
            let mut event = root.event_at(THEN + n, "task.1", "edit");
            event["payload"] = json!("x".repeat(MIB));
            assert_eq!(root.push(&served, &[event]).status, 200);
        }
        let gzip = served.send(&root.request("GET", path, &Value::Null).header("Accept-Encoding", "gzip"));
        let shape = |name: &str| gzip.header(name);
        assert_eq!((gzip.status, shape("content-encoding"), shape("content-length")), (200, None, None), "{path}");
        let open: Vec<TcpStream> = (0..8).map(|_| stalled(&served, &root, path)).collect();
        let one_more = root.send(&served, "GET", path, &Value::Null);
        refused(&one_more, 429, "8 long replies to this user are under way: read them first", None);
        assert_eq!(one_more.header("retry-after"), Some("1"));
        // Refused is not stored.
        let event = root.event("task.2", "edit");
        assert_eq!(root.push(&served, std::slice::from_ref(&event)).status, 429);
        let others = bob.send(&served, "GET", path, &Value::Null);
        assert_eq!(others.status, 200, "others are none of their business");
        assert!(!others.text().contains(event["uuid"].as_str().unwrap()));
        if path != "/events" {
            // Nor is what all readers share.
            let shared: Vec<TcpStream> = (0..9).map(|_| stalled(&served, &root, "/events")).collect();
            assert_eq!(shared.len(), 9);
        }
        drop(open);
        eventually("room for a reply", FOREVER, || {
            (root.send(&served, "GET", path, &Value::Null).status == 200).then_some(())
        });
    }
}

#[test]
fn what_a_head_says_is_what_a_get_sends() {
    let (served, _, ann) = with_ann();
    let (get, head) =
        (ann.send(&served, "GET", "/events", &Value::Null), ann.send(&served, "HEAD", "/events", &Value::Null));
    for name in ["etag", "sync-cursor", "content-length", "content-type"] {
        assert_eq!((head.status, head.header(name)), (200, get.header(name)), "{name}");
    }
}

#[test]
fn bodies_and_batches_are_bounded() {
    let (served, root, ann) = with_ann();
    let many: Vec<Value> = (0..10_001).map(|n| ann.event_at(THEN, &format!("task.{n}"), "edit")).collect();
    refused(&ann.push(&served, &many), 413, "10001 events at once: send at most 10000", None);
    assert_eq!(ann.push(&served, &many[..10_000]).status, 200);
    assert_eq!(ann.push(&served, &many[..10_000]).status, 200, "a retry");
    let large = |path: &str, bytes: usize| {
        let mut body = b"[]".to_vec();
        body.resize(bytes, b' ');
        Request::new("POST", path).header("X-API-Key", root.secret()).body(body)
    };
    let paths =
        ["/api/v1/acl", "/api/v1/user/generateToken", "/api/v1/user/exchangeToken", "/auth/token", "/admin/users"];
    for path in paths.into_iter().chain(["/events"]) {
        for request in
            [large(path, 10 * MIB + 1), large(path, 10 * MIB + 1).chunked(), large(path, 10 * MIB + 1).gzipped()]
        {
            let response = served.send(&request);
            assert_eq!((response.status, response.json()["error"].is_string()), (413, true), "{path}");
        }
    }
    assert_eq!(served.send(&large("/events", 10 * MIB)).status, 200);
    let mut long = ann.event("task.1", "edit");
    long["payload"] = json!("x".repeat(MIB + 1));
    refused(&ann.push(&served, &[long.clone()]), 400, "payload is longer than 1048576 bytes", Some(&long));
}

#[test]
fn whatever_is_sent_is_answered_with_a_reason_and_never_a_fault() {
    let (served, root) = start();
    let texts = [
        "",
        " ",
        "null",
        "7",
        "\"\"",
        "[]",
        "{}",
        "{",
        "[null]",
        "[{}]",
        "[[]]",
        "{\"\":",
        "\u{feff}{}",
        "[[[[",
        "\u{0}",
    ];
    let bodies = texts.iter().map(|body| body.as_bytes().to_vec());
    let bodies: Vec<Vec<u8>> =
        bodies.chain([vec![0xff, 0xfe], vec![b'['; MIB / 128], b"{\"user\":\x01}".to_vec()]).collect();
    for (method, path, _) in GUARDED.into_iter().chain(OPEN).filter(|(method, ..)| ["POST", "PUT"].contains(method)) {
        for body in &bodies {
            let response = served.send(&root.request(method, path, &Value::Null).body(body.clone()));
            let is_answer = response.status == 200 && (path.ends_with("events") || path.ends_with("ticket"));
            let is_refused = response.status == 400 && response.json()["error"].is_string();
            assert!(is_answer || is_refused, "{method} {path} {:?}: {}", &body[..body.len().min(9)], response.status);
        }
    }
    for path in ["/admin/users/%00", "/admin/users/%FF", "/api/v1/admin/users/%2e%2e"] {
        let change = json!({ "new_username": "cai" });
        refused(&root.send(&served, "PUT", path, &change), 404, "User not found", None);
    }
    for query in ["", "?user=a", "?user=&item=&action=", "?user=%FF&item=%00"] {
        let response = root.send(&served, "GET", &format!("/api/v1/acl/explain{query}"), &Value::Null);
        refused(&response, 400, "user, item and action are required", None);
    }
}

#[test]
fn strictness_asks_for_what_the_documents_say() {
    let served = install().set("simple_sync.strict=true").serve();
    let root = Participant::root(&served.install);
    let mut event = root.event("task.1", "edit");
    assert_eq!(root.push(&served, &[event.clone()]).status, 200);
    event["payload"] = json!("text");
    refused(&root.push(&served, &[event.clone()]), 400, "payload must be a JSON object", Some(&event));
}

#[test]
fn it_can_be_switched_off() {
    let served = install().set("protocols.simple_sync=false").serve();
    for (method, path, _) in GUARDED.into_iter().chain(OPEN) {
        assert_eq!(served.send(&Request::new(method, path)).status, 404, "{path}");
    }
}
