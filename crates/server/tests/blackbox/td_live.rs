//! td's streams of events, seen from outside.

use serde_json::{Value, json};
use tombolo_testkit::served::Served;
use tombolo_testkit::td::{Stream, Teammate, event};

use crate::{NOW, alter, serve};

fn team() -> (Served, Teammate, Teammate, String, String) {
    let served = serve();
    let (ada, bob) = (Teammate::new(&served.install, "ada"), Teammate::new(&served.install, "bob"));
    let project = ada.create(&served, "Lighthouse repairs");
    let id = ada.add(&served, &project, &bob.email, "reader");
    (served, ada, bob, project, id)
}

fn next(stream: &Stream) -> (String, Value) {
    let id = stream.next("id:").expect("an event");
    let data = stream.next("data:").expect("its data");
    (id, serde_json::from_str(&data).unwrap())
}

#[test]
fn what_a_command_line_pushes_is_told_and_the_stream_stays_open() {
    let (served, ada, bob, project, _) = team();
    ada.push(&served, &project, &[event(1, "td-1", "Before anybody looked")]);
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    assert_eq!(stream.next("content-type:").as_deref(), Some("text/event-stream"));
    let mut gone = event(2, "td-1", "The lamp");
    gone["action_type"] = json!("soft_delete");
    ada.push(&served, &project, &[gone, event(3, "td-2", "The socket")]);
    let (id, data) = next(&stream);
    assert_eq!((id.as_str(), &data["type"], &data["issue_id"]), ("2", &json!("issue.deleted"), &json!("td-1")));
    let (id, data) = next(&stream);
    assert_eq!((id.as_str(), &data["type"], &data["issue_id"]), ("3", &json!("issue.upserted"), &json!("td-2")));
    assert_eq!(stream.next(":").as_deref(), Some("ping"), "it says that it is alive");
    ada.push(&served, &project, &[event(4, "td-3", "The stairs")]);
    assert_eq!(next(&stream).0, "4");
}

#[test]
fn who_comes_back_is_told_what_he_missed() {
    let (served, ada, bob, project, _) = team();
    let events: Vec<Value> = (1..=250).map(|n| event(n, &format!("td-{n}"), "A bolt")).collect();
    ada.push(&served, &project, &events);
    let stream = bob.stream(&served, &project, Some("17"));
    for expected in 18..=250 {
        assert_eq!(next(&stream).0, expected.to_string());
    }
    let bad = bob.stream(&served, &project, Some("yesterday"));
    assert_eq!(bad.status(), "400");
}

#[test]
fn who_remembers_more_than_there_is_is_told_to_begin_anew() {
    let (served, ada, bob, project, _) = team();
    ada.push(&served, &project, &[event(1, "td-1", "Before the backup")]);
    let stream = bob.stream(&served, &project, Some("9000"));
    let (id, data) = next(&stream);
    assert_eq!((id.as_str(), &data["type"], &data["change_token"]), ("1", &json!("refresh"), &json!("1")));
    ada.push(&served, &project, &[event(2, "td-2", "After it")]);
    let (id, data) = next(&stream);
    assert_eq!((id.as_str(), &data["issue_id"]), ("2", &json!("td-2")));
}

#[test]
fn a_stream_takes_no_other_method() {
    let (served, ada, _, project, _) = team();
    let response = ada.send(&served, "POST", &format!("/v1/projects/{project}/events"), &Value::Null);
    assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(response.json()["error"]["code"], "method_not_allowed");
}

#[test]
fn a_stream_ends_when_its_reader_is_removed() {
    let (served, ada, bob, project, id) = team();
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    ada.ok(&served, "DELETE", &format!("/v1/projects/{project}/members/{id}"), &Value::Null);
    assert_eq!(stream.next("id:"), None);
    assert_eq!(bob.stream(&served, &project, None).status(), "403");
}

#[test]
fn a_stream_ends_when_its_key_is_revoked_on_the_command_line() {
    let (served, _, bob, project, _) = team();
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    served.install.ok(&["token", "--revoke", "terminal", "--user", "bob"]);
    assert_eq!(stream.next("id:"), None);
}

#[test]
fn a_stream_ends_with_its_key_though_nothing_happens() {
    let (served, _, bob, project, _) = team();
    let keys = "user_id = (SELECT id FROM users WHERE name = 'bob')";
    alter(&served, &format!("UPDATE credentials SET expires_at = {NOW} + 6000000 WHERE {keys}"));
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    assert_eq!(stream.next(":"), None, "not even a sign of life after fifteen seconds");
}

#[test]
fn a_stream_ends_when_the_project_is_deleted() {
    let (served, ada, bob, project, _) = team();
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    ada.ok(&served, "DELETE", &format!("/v1/projects/{project}"), &Value::Null);
    assert_eq!(stream.next("id:"), None);
}

#[test]
fn open_streams_do_not_hold_the_server_back_from_stopping() {
    let (mut served, _, bob, project, _) = team();
    let stream = bob.stream(&served, &project, None);
    assert_eq!(stream.status(), "200");
    assert!(served.terminate().success());
    assert!(!served.log().contains("were cut off"), "{}", served.log());
    assert_eq!(stream.next("id:"), None);
}

#[test]
fn one_key_opens_so_many_streams_and_no_more() {
    let (served, ada, _, project, _) = team();
    let open: Vec<Stream> = (0..32).map(|_| ada.stream(&served, &project, None)).collect();
    assert!(open.iter().all(|stream| stream.status() == "200"));
    assert_eq!(ada.stream(&served, &project, None).status(), "429");
}
