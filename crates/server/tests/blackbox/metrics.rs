//! What an operator can see: is it well, what was counted, and one line for each request.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{Device, ago, task};
use tombolo_testkit::transcript::uuid;

use crate::{install, serve};

fn metrics(served: &Served) -> String {
    let response = served.send(&Request::get("/metrics"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.text()
}

/// The value of a sample, by its name with its labels; 0 where there is none yet.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn event(id: i64, payload: Value) -> Value {
    json!({"client_action_id": id, "action_type": "create", "entity_type": "issues", "entity_id": "td-1",
        "payload": payload, "client_timestamp": "2026-01-01T10:00:00Z"})
}

fn push(served: &Served, project: &str, key: &str, events: &[Value]) -> Response {
    let body = json!({"device_id": "hidden-device", "session_id": "s", "events": events});
    served.send(&Request::post(&format!("/v1/projects/{project}/sync/push"), body.to_string()).bearer(key))
}

fn project(served: &Served, key: &str) -> String {
    let made = served.send(&Request::post("/v1/projects", r#"{"name":"hidden-name"}"#).bearer(key));
    made.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn who_asks_whether_it_is_well_is_told_as_by_the_original_server() {
    let served = install().set("protocols.td=false").set("protocols.tickit=false").serve();
    let well = served.send(&Request::get("/healthz"));
    assert_eq!((well.status, well.text().as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(well.header("content-type"), Some("application/json"));
    for path in ["/healthz", "/metricz", "/metrics", "/health", "/ready"] {
        let head = served.send(&Request::new("HEAD", path));
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
        let post = served.send(&Request::post(path, "{}"));
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "POST {path}");
    }
    assert_eq!(served.send(&Request::get("/v1/projects")).status, 404, "td is off");
}

#[test]
fn the_six_numbers_count_what_they_say() {
    let served = serve();
    let numbers = || served.send(&Request::get("/metricz")).json();
    let before = numbers();
    let names: Vec<&str> = before.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["uptime_seconds", "requests", "server_errors", "client_errors", "push_events_accepted", "pull_requests"];
    expected.sort_unstable();
    assert_eq!(BTreeSet::from_iter(names), BTreeSet::from(expected));
    assert!(before["uptime_seconds"].is_f64(), "{before}");
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    let events = [event(1, json!({"a": 1})), event(2, json!({"a": 1})), event(3, json!(null))];
    assert_eq!(push(&served, &project, &key, &events).status, 200);
    assert_eq!(push(&served, &project, &key, &events).status, 200);
    for _ in 0..3 {
        served.send(&Request::get(&format!("/v1/projects/{project}/sync/pull")).bearer(&key));
    }
    assert_eq!(served.send(&Request::get("/nowhere")).status, 404);
    let after = numbers();
    let grown = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    // Each of them is counted when it is answered: the first look, and not the second.
    let counts = [grown("requests"), grown("client_errors"), grown("server_errors")];
    assert_eq!(counts, [8, 1, 0]);
    assert_eq!((grown("push_events_accepted"), grown("pull_requests")), (2, 3));
    assert!(after["uptime_seconds"].as_f64() > before["uptime_seconds"].as_f64());
}

#[test]
fn what_is_shown_is_what_is_documented() {
    let served = serve();
    // What is counted by protocol or by route has no sample before the first.
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    push(&served, &project, &key, &[event(1, json!({"a": 1}))]);
    served.send(&Request::get(&format!("/v1/projects/{project}/sync/pull")).bearer(&key));
    let text = metrics(&served);
    let shown: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let document = include_str!("../../../../docs/operating.md");
    let rows = document.lines().filter(|line| line.starts_with("| `tombolo_"));
    let documented: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn requests_commits_and_what_they_carried_are_counted() {
    let served = serve();
    let mut anne = Device::new("anne", &served.install.token("phone"));
    let inbox = anne.inbox.clone();
    let mut bad = task("no-id", "x", &inbox, &ago(1));
    bad["priority"] = "none".into();
    anne.join(&served, &[task(&uuid("milk"), "Milk", &inbox, &ago(600)), bad]);
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    push(&served, &project, &key, &[event(1, json!({"a": 1})), event(2, json!("text"))]);
    served.send(&Request::get(&format!("/v1/projects/{project}/sync/pull?limit=1")).bearer(&key));
    let text = metrics(&served);
    let check = |name: &str, expected: f64| assert_eq!(sample(&text, name), expected, "{name} in:\n{text}");
    let route = |name: &str| format!("route=\"/v1/projects/{{id}}/sync/{name}\"");
    check(&format!("tombolo_http_requests_total{{method=\"POST\",{},status=\"200\"}}", route("push")), 1.0);
    check(&format!("tombolo_http_request_duration_seconds_count{{method=\"GET\",{}}}", route("pull")), 1.0);
    check("tombolo_push_size_events_sum{protocol=\"td\"}", 2.0);
    check("tombolo_accepted_writes_total{protocol=\"td\"}", 1.0);
    check("tombolo_refused_writes_total{protocol=\"td\"}", 1.0);
    check("tombolo_pull_size_events_sum{protocol=\"td\"}", 1.0);
    check("tombolo_refused_writes_total{protocol=\"tickit\"}", 1.0);
    check("tombolo_stored_spaces", 2.0);
    assert!(sample(&text, "tombolo_stored_changes") >= 2.0, "{text}");
    assert!(sample(&text, "tombolo_commit_duration_seconds_count") >= 2.0, "{text}");
    assert!(sample(&text, "tombolo_commit_size_jobs_sum") >= 2.0, "{text}");
    assert!(sample(&text, "tombolo_commit_duration_seconds_sum") > 0.0, "{text}");
    check("tombolo_commit_waiting_jobs", 0.0);
}

#[test]
fn no_client_writes_into_the_metrics_or_the_log() {
    let served = serve();
    let key = served.install.key_for("owner", "laptop");
    let ask = |n: usize| {
        let hostile = format!("hostile-{n}");
        let requests = [
            Request::get(&format!("/{hostile}")),
            Request::new(&format!("HOSTILE{n}"), "/v1/projects"),
            Request::get(&format!("/v1/projects/{hostile}")).bearer(&key),
            Request::get(&format!("/v1/projects/{hostile}/sync/pull?x={hostile}")).bearer(&key),
            Request::get("/v1/projects").bearer(&hostile),
            Request::get("/v1/projects").bearer(&key).header("X-Request-Id", &hostile).header("User-Agent", &hostile),
            Request::post(&format!("/v1/projects/{hostile}/sync/push"), format!("\"{hostile}\"")).bearer(&key),
            Request::post("/v1/auth/login/start", format!("{{\"email\":\"{hostile}@example.test\"}}")),
        ];
        for request in &requests {
            let response = served.send(request);
            let id = response.header("x-request-id").unwrap();
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    };
    ask(0);
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let once = series(&metrics(&served));
    for n in 1..10 {
        ask(n);
    }
    let text = metrics(&served);
    assert!(!text.to_lowercase().contains("hostile"), "{text}");
    assert!(text.contains("method=\"other\"") && text.contains("route=\"none\""), "{text}");
    // The scrape itself is new.
    assert!(series(&text) <= once + 20, "{} samples, and {once} after one round", series(&text));
    served.logged(&["route=\"/metrics\"", "answered"]);
    assert!(!served.log().to_lowercase().contains("hostile"), "{}", served.log());
}

#[test]
fn a_line_of_the_log_says_who_asked_for_what() {
    let served = install().set("log.format=json").serve();
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    let user =
        &served.send(&Request::get(&format!("/v1/projects/{project}/members")).bearer(&key)).json()[0]["user_id"];
    let pushed = push(&served, &project, &key, &[event(1, json!({"title": "hidden-title"}))]);
    let line = |response: &Response| -> Value {
        let id = response.header("x-request-id").unwrap();
        serde_json::from_str(&served.logged(&[id, "answered"])).unwrap()
    };
    let said = line(&pushed);
    let span = &said["span"];
    assert_eq!((&span["method"], &span["route"]), (&"POST".into(), &"/v1/projects/{id}/sync/push".into()), "{said}");
    assert_eq!((&span["user"], &span["project"]), (user, &Value::from(project.as_str())), "{said}");
    assert_eq!(said["status"], 200, "{said}");
    assert!(said["duration_us"].as_u64().is_some(), "{said}");
    let id = pushed.header("x-request-id").unwrap();
    assert_eq!(served.log().lines().filter(|line| line.contains(id)).count(), 1, "one line a request");
    // Tickit's callers are named likewise; who has no good key is not named, nor is the project that he names.
    let synced = Device::new("anne", &served.install.token("phone")).send(&served, &[]);
    assert_eq!((&line(&synced)["span"]["user"], &line(&synced)["span"]["project"]), (user, &Value::Null));
    let refused = push(&served, &project, "td_live_wrong", &[]);
    assert_eq!((&line(&refused)["span"]["user"], &line(&refused)["span"]["project"]), (&Value::Null, &Value::Null));
    let log = served.log();
    for hidden in ["hidden-title", "hidden-name", "hidden-device", &key, "td_live_"] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}
