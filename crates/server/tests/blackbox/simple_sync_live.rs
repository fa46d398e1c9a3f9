//! simple-sync's streams of events, seen from outside.

use serde_json::{Value, json};
use tombolo_testkit::http::Request;
use tombolo_testkit::served::Served;
use tombolo_testkit::simple_sync::Participant;
use tombolo_testkit::stream::Stream;

use crate::{alter, serve};

fn start() -> (Served, Participant) {
    let served = serve();
    let root = Participant::root(&served.install);
    (served, root)
}

fn next(stream: &Stream) -> (String, Value) {
    let id = stream.next("id:").expect("an event");
    (id, serde_json::from_str(&stream.next("data:").expect("its data")).unwrap())
}

fn ticket(served: &Served, who: &Participant) -> String {
    let given = who.ok(served, "POST", "/api/v1/events/ticket", &Value::Null);
    assert!(given["expiresAt"].is_string(), "{given}");
    given["ticket"].as_str().unwrap().to_owned()
}

fn with_ticket(served: &Served, ticket: &str) -> Stream {
    Stream::open(served, &format!("/api/v1/events/stream?ticket={ticket}"), &[])
}

#[test]
fn what_is_pushed_is_told_in_the_readers_spelling() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    let (today, first) = (root.stream(&served, "", None), ann.stream(&served, "", None));
    for stream in [&today, &first] {
        assert_eq!(stream.status(), "200");
        assert_eq!(stream.next("content-type:").as_deref(), Some("text/event-stream"));
        assert_eq!(stream.next(":").as_deref(), Some("open"), "before anything happens");
    }
    let event = root.event("task.1", "edit");
    let pushed = root.push(&served, std::slice::from_ref(&event));
    let (id, data) = next(&today);
    assert_eq!((Some(id.as_str()), &data), (pushed.header("sync-cursor"), &event));
    let (_, data) = next(&first);
    assert_eq!((&data["userUuid"], &data["itemUuid"], data.get("item")), (&json!(".root"), &json!("task.1"), None));
    assert_eq!(today.next(":").as_deref(), Some("ping"), "it says that it is alive");
}

#[test]
fn who_comes_back_is_told_what_he_missed() {
    let (served, root) = start();
    let events: Vec<Value> = (0..250).map(|n| root.event(&format!("task.{n}"), "edit")).collect();
    assert_eq!(root.push(&served, &events[..10]).status, 200);
    let cursor = root.send(&served, "GET", "/events", &Value::Null).header("sync-cursor").unwrap().to_owned();
    assert_eq!(root.push(&served, &events[10..]).status, 200);
    let streams = [
        (root.stream(&served, &format!("?after={cursor}"), None), 10),
        (root.stream(&served, "?after=", Some(&cursor)), 10),
        (root.stream(&served, "?after=", None), 0),
    ];
    for (stream, first) in streams {
        for event in &events[first..] {
            assert_eq!(next(&stream).1, *event);
        }
    }
    for cursor in ["7", &format!("{}.1", "a7".repeat(16))] {
        for stream in [root.stream(&served, "", Some(cursor)), root.stream(&served, &format!("?after={cursor}"), None)]
        {
            assert_eq!(stream.status(), "400");
        }
    }
}

#[test]
fn a_ticket_opens_one_stream_and_nothing_else() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    let ticket = ticket(&served, &ann);
    for path in ["/events", "/api/v1/events"] {
        assert_eq!(served.send(&Request::get(&format!("{path}?ticket={ticket}"))).status, 401);
    }
    let stream = with_ticket(&served, &ticket);
    assert_eq!(stream.status(), "200");
    assert_eq!(stream.next(":").as_deref(), Some("open"));
    assert_eq!(root.push(&served, &[root.event("task.1", "edit")]).status, 200);
    assert_eq!(next(&stream).1["itemUuid"], "task.1", "in the spelling of whoever asked for the ticket");
    for spent in [ticket.as_str(), "", "x"] {
        let response = served.send(&Request::get(&format!("/api/v1/events/stream?ticket={spent}")));
        assert_eq!(
            (response.status, response.json()),
            (401, json!({ "error": "Invalid or expired ticket" })),
            "{spent}"
        );
    }
}

#[test]
fn a_ticket_is_not_used_up_by_what_opens_no_stream() {
    let (served, root) = start();
    let ticket = ticket(&served, &root);
    let path = format!("/api/v1/events/stream?ticket={ticket}");
    let head = served.send(&Request::new("HEAD", &path));
    assert_eq!((head.status, head.header("allow")), (405, Some("GET, OPTIONS")));
    for request in [Request::get(&format!("{path}&after=7")), Request::get(&path).header("Last-Event-ID", "7")] {
        let response = served.send(&request);
        assert_eq!((response.status, response.json()), (400, json!({ "error": "Unknown cursor" })));
    }
    assert_eq!(with_ticket(&served, &ticket).status(), "200");
}

#[test]
fn a_ticket_ends_soon() {
    let (served, root) = start();
    let ticket = ticket(&served, &root);
    alter(&served, "UPDATE tickets SET expires_at = expires_at - 60000000");
    assert_eq!(with_ticket(&served, &ticket).status(), "401");
}

#[test]
fn a_stream_ends_with_what_let_its_reader_in() {
    let (served, root) = start();
    let bob = root.welcome(&served, "bob");
    let ann = Participant::signed_in(&served, &root, "ann");
    let (by_key, by_ticket) = (bob.stream(&served, "", None), with_ticket(&served, &ticket(&served, &bob)));
    let (by_session, unused) = (ann.stream(&served, "", None), ticket(&served, &bob));
    for stream in [&by_key, &by_ticket, &by_session] {
        assert_eq!(stream.status(), "200");
    }
    root.ok(&served, "POST", "/api/v1/user/resetKey", &json!({ "user": "bob" }));
    // The event that tells of it may still be read.
    for stream in [&by_key, &by_ticket] {
        while stream.next("id:").is_some() {}
    }
    assert_eq!(with_ticket(&served, &unused).status(), "401");
    served.install.ok(&["user", "disable", "ann"]);
    while by_session.next("id:").is_some() {}
}

#[test]
fn open_streams_do_not_hold_the_server_back_from_stopping() {
    let (mut served, root) = start();
    let stream = root.stream(&served, "", None);
    assert_eq!(stream.status(), "200");
    assert!(served.terminate().success());
    assert!(!served.log().contains("were cut off"), "{}", served.log());
    assert_eq!(stream.next("id:"), None);
}

#[test]
fn one_key_opens_so_many_streams_and_no_more() {
    let (served, root) = start();
    let open: Vec<Stream> = (0..32).map(|_| root.stream(&served, "", None)).collect();
    assert!(open.iter().all(|stream| stream.status() == "200"));
    assert_eq!(root.stream(&served, "", None).status(), "429");
}
