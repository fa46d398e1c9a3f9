//! What is too large for td, what is too strange, and how pages are cut.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::td::Teammate;

use crate::{install, serve};

const MIB: usize = 1024 * 1024;

/// Ann, and a project of hers.
fn team(served: Served) -> (Served, Teammate, String) {
    let ann = Teammate::new(&served.install, "ann");
    let project = ann.create(&served, "Website");
    (served, ann, project)
}

fn event(id: usize, payload: Value) -> Value {
    json!({"client_action_id": id, "action_type": "create", "entity_type": "issues", "entity_id": format!("td-{id}"),
        "payload": payload, "client_timestamp": "2026-01-01T10:00:00Z"})
}

/// The command line reads the code at the top, others below `error`.
fn same_in_both_shapes(response: &Response) {
    let body = response.json();
    assert_eq!([&body["code"], &body["message"]], [&body["error"]["code"], &body["error"]["message"]]);
    assert!(body["code"].is_string() && body["message"].is_string(), "{body}");
}

#[test]
fn a_body_that_is_too_large_is_answered_and_nothing_of_it_kept() {
    let (served, ann, project) = team(serve());
    let body = |bytes: usize| {
        let mut body = ann.batch(&[event(1, json!({}))]).to_string().into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let push = format!("/v1/projects/{project}/sync/push");
    let own = format!("/v1/projects/{project}");
    for (path, method) in [(push.as_str(), "POST"), ("/v1/projects", "POST"), (own.as_str(), "PATCH")] {
        let request = Request::new(method, path).bearer(&ann.key).body(body(10 * MIB + 1));
        for request in [request.clone(), request.clone().chunked(), request.gzipped()] {
            let response = served.send(&request);
            assert_eq!((response.status, response.json()["code"].clone()), (413, json!("too_large")), "{path}");
            same_in_both_shapes(&response);
        }
    }
    assert_eq!(ann.ok(&served, "GET", &format!("{own}/sync/status"), &Value::Null)["event_count"], 0);
    let largest = Request::new("POST", &push).bearer(&ann.key).body(body(10 * MIB));
    assert_eq!(served.send(&largest).json()["accepted"], 1);
}

#[test]
fn a_whole_batch_is_taken_and_the_end_of_the_log_is_known() {
    let (served, ann, project) = team(serve());
    let events: Vec<Value> = (1..=1_000).map(|id| event(id, json!({"new_data": {"n": id}}))).collect();
    let pushed = ann.push(&served, &project, &events).json();
    assert_eq!((&pushed["accepted"], &pushed["acks"][999]), (&json!(1_000), &acknowledged(1_000, 1_000)));
    let page = |after: usize, limit: usize| {
        let path = format!("/v1/projects/{project}/sync/pull?after_server_seq={after}&limit={limit}");
        let page = ann.ok(&served, "GET", &path, &Value::Null);
        (page["events"].as_array().unwrap().len(), page["has_more"].as_bool().unwrap())
    };
    assert_eq!(page(0, 999), (999, true));
    // It is not asked for once more in vain.
    assert_eq!(page(0, 1_000), (1_000, false));
    assert_eq!(page(700, 300), (300, false));
    assert_eq!(page(0, 1_000_000), (1_000, false));
}

fn acknowledged(id: usize, seq: usize) -> Value {
    json!({"client_action_id": id, "server_seq": seq})
}

#[test]
fn a_page_is_bounded_in_bytes_and_never_empty_while_there_is_more() {
    let (served, ann, project) = team(serve());
    let large = |n: usize, bytes: usize| event(n, json!({"new_data": {"text": "x".repeat(bytes), "n": n}}));
    for (n, bytes) in [(1, 4_000_000), (2, 4_000_000), (3, 4_000_000), (4, 9_000_000), (5, 1)] {
        assert_eq!(ann.push(&served, &project, &[large(n, bytes)]).json()["acks"], json!([acknowledged(n, n)]));
    }
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/v1/projects/{project}/sync/pull?after_server_seq={after}");
        let page = ann.ok(&served, "GET", &path, &Value::Null);
        let events = page["events"].as_array().unwrap();
        pages.push(events.iter().map(|event| event["server_seq"].as_u64().unwrap()).collect::<Vec<_>>());
        after = page["last_server_seq"].as_u64().unwrap();
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2], vec![3], vec![4], vec![5]]);
}

#[test]
fn one_key_has_so_many_pulls_under_way_and_goes_on_when_they_end() {
    let (served, ann, project) = team(install().set("rate_limit.pull=0").serve());
    let other = served.install.key_for("ann", "other");
    // More than the machine keeps for a connection that nobody reads.
    let large = event(1, json!({"new_data": {"text": "x".repeat(9_000_000)}}));
    assert_eq!(ann.push(&served, &project, &[large]).json()["accepted"], 1);
    let path = format!("/v1/projects/{project}/sync/pull");
    let stalled: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(served.address()).unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", ann.key);
            stream.write_all(head.as_bytes()).unwrap();
            let mut begun = [0; 12];
            stream.read_exact(&mut begun).unwrap();
            assert_eq!(&begun, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let one_more = ann.send(&served, "GET", &path, &Value::Null);
    assert_eq!((one_more.status, one_more.json()["code"].clone()), (429, json!("rate_limited")));
    assert_eq!(one_more.header("retry-after"), Some("1"));
    same_in_both_shapes(&one_more);
    // Others are none of their business.
    assert_eq!(served.send(&Request::get(&path).bearer(&other)).status, 200);
    drop(stalled);
    eventually("room for a pull", FOREVER, || {
        (ann.send(&served, "GET", &path, &Value::Null).status == 200).then_some(())
    });
}

#[test]
fn whatever_is_sent_is_answered_with_a_reason_and_never_a_fault() {
    // It asks more often than people do.
    let limits = ["rate_limit.push=0", "rate_limit.pull=0", "rate_limit.other=0"];
    let (served, ann, project) = team(limits.into_iter().fold(install(), |install, limit| install.set(limit)).serve());
    let rea = ann.add(&served, &project, "rea@example.org", "reader");
    let project = format!("/v1/projects/{project}");
    let texts = ["", " ", "null", "7", "\"\"", "[]", "{}", "{", "{}{}", "{\"\":", "\u{feff}{}", "[[[[", "\u{0}"];
    let bodies = texts.iter().map(|body| body.as_bytes().to_vec());
    let bodies: Vec<Vec<u8>> = bodies.chain([vec![0xff, 0xfe], vec![b'['; MIB], b"{\"a\":\x01}".to_vec()]).collect();
    let paths = [
        ("POST", "/v1/projects".to_owned()),
        ("PATCH", project.clone()),
        ("POST", format!("{project}/members")),
        ("PATCH", format!("{project}/members/{rea}")),
        ("POST", format!("{project}/invitations")),
        ("POST", format!("{project}/sync/push")),
    ];
    for (method, path) in &paths {
        for body in &bodies {
            let response = served.send(&Request::new(method, path).bearer(&ann.key).body(body.clone()));
            let is_change_of_nothing = *method == "PATCH" && *path == project && response.status == 200;
            assert!(response.status == 400 || is_change_of_nothing, "{method} {path} {:?}", &body[..body.len().min(9)]);
            if response.status == 400 {
                same_in_both_shapes(&response);
            }
        }
    }
    for path in ["/v1/projects/%00", "/v1/projects/%FF/sync/pull", "/v1/projects/p_/members", "/v1/keys/%2e%2e"] {
        let response = ann.send(&served, "GET", path, &Value::Null);
        assert!([403, 405].contains(&response.status), "{path}: {}", response.status);
    }
    let long = format!("/v1/projects/{}", "x".repeat(4_000));
    assert!(ann.send(&served, "GET", &long, &Value::Null).text().len() < 500, "an answer repeats little");
}
