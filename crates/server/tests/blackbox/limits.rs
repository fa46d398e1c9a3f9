//! How often td's clients may ask, and what they are told of it and of their keys.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::Device;

use crate::{install, serve};

fn project(served: &Served, key: &str) -> String {
    let made = served.send(&Request::post("/v1/projects", json!({"name": "Website"}).to_string()).bearer(key));
    assert_eq!(made.status, 201, "{}", made.text());
    format!("/v1/projects/{}", made.json()["id"].as_str().unwrap())
}

fn push(served: &Served, project: &str, key: &str) -> Response {
    let event = json!({"client_action_id": 1, "action_type": "create", "entity_type": "issues", "entity_id": "td-1",
        "payload": {"schema_version": 1, "new_data": {"title": "Milk"}}, "client_timestamp": "2026-01-01T10:00:00Z"});
    let body = json!({"device_id": "d", "session_id": "s", "events": [event]});
    served.send(&Request::post(&format!("{project}/sync/push"), body.to_string()).bearer(key))
}

fn pull(served: &Served, project: &str, key: &str) -> Response {
    served.send(&Request::get(&format!("{project}/sync/pull")).bearer(key))
}

fn number(response: &Response, header: &str) -> u64 {
    let text = response.header(header).unwrap_or_else(|| panic!("{header} is missing: {:?}", response.headers));
    text.parse().unwrap_or_else(|_| panic!("{header}: {text}"))
}

/// That it is one too many of `limit`, said in every way that somebody may read.
fn is_over(response: &Response, limit: u64) {
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!((number(response, "ratelimit-limit"), number(response, "ratelimit-remaining")), (limit, 0));
    let wait = number(response, "retry-after");
    assert!((1..=60).contains(&wait) && number(response, "ratelimit-reset") == wait, "{wait} s");
    let body = response.json();
    assert_eq!((&body["code"], &body["error"]["code"]), (&"rate_limited".into(), &"rate_limited".into()));
    assert!(body["message"].as_str().unwrap().starts_with("rate limit exceeded"), "{body}");
    assert_eq!(body["message"], body["error"]["message"]);
}

#[test]
fn the_sixty_first_push_of_a_minute_waits_and_nothing_else_does() {
    let served = serve();
    let (key, other) = (served.install.key_for("owner", "laptop"), served.install.key_for("owner", "desk"));
    let project = project(&served, &key);
    for n in 1..=60 {
        let pushed = push(&served, &project, &key);
        assert_eq!(pushed.status, 200, "{n}: {}", pushed.text());
        assert_eq!((number(&pushed, "ratelimit-limit"), number(&pushed, "ratelimit-remaining")), (60, 60 - n));
        assert!((1..=60).contains(&number(&pushed, "ratelimit-reset")));
    }
    is_over(&push(&served, &project, &key), 60);
    let pulled = pull(&served, &project, &key);
    assert_eq!(
        (pulled.status, number(&pulled, "ratelimit-limit"), number(&pulled, "ratelimit-remaining")),
        (200, 120, 119)
    );
    let listed = served.send(&Request::get("/v1/projects").bearer(&key));
    // The project was made with this key, too.
    assert_eq!(
        (listed.status, number(&listed, "ratelimit-limit"), number(&listed, "ratelimit-remaining")),
        (200, 300, 298)
    );
    // Another key of the same person has a count of its own.
    assert_eq!(push(&served, &project, &other).status, 200);
    let metrics = served.send(&Request::get("/metrics")).text();
    assert!(metrics.contains("tombolo_rate_limited_requests_total{class=\"push\"} 1\n"), "{metrics}");
}

#[test]
fn two_classes_of_the_same_number_share_no_count() {
    let limits = ["rate_limit.push=3", "rate_limit.pull=3", "rate_limit.other=3", "rate_limit.auth=3"];
    let served = limits.iter().fold(install(), |install, limit| install.set(limit)).serve();
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    let status = || served.send(&Request::get(&format!("{project}/sync/status")).bearer(&key));
    let sign_in = || served.send(&Request::post("/v1/auth/login/start", r#"{"email":"eve@example.test"}"#));
    let poll = || served.send(&Request::post("/v1/auth/login/poll", r#"{"device_code":"x"}"#));
    let classes: [(&str, &dyn Fn() -> Response, usize); 5] = [
        ("push", &|| push(&served, &project, &key), 3),
        ("pull", &|| pull(&served, &project, &key), 3),
        // One was the project.
        ("other", &status, 2),
        ("auth", &sign_in, 3),
        ("poll", &poll, 3),
    ];
    for (class, ask, count) in classes {
        for n in 1..=count {
            let asked = ask();
            assert_ne!(asked.status, 429, "{n} of {class}: {}", asked.text());
        }
        is_over(&ask(), 3);
    }
}

#[test]
fn zero_is_no_limit_and_says_nothing() {
    let served = install().set("rate_limit.push=0").set("rate_limit.auth=0").serve();
    let key = served.install.key_for("owner", "laptop");
    let project = project(&served, &key);
    for _ in 0..70 {
        let pushed = push(&served, &project, &key);
        assert_eq!((pushed.status, pushed.header("ratelimit-limit")), (200, None));
        let shown = served.send(&Request::get("/auth/verify"));
        assert_eq!((shown.status, shown.header("ratelimit-limit")), (200, None));
    }
}

#[test]
fn only_routes_of_td_are_counted() {
    let served = install().set("rate_limit.other=1").set("rate_limit.auth=1").serve();
    let mut device = Device::new("anne", &served.install.token("phone"));
    device.join(&served, &[]);
    for path in ["/health", "/healthz", "/ready", "/metricz", "/metrics", "/nowhere", "/v1/nowhere"] {
        for _ in 0..3 {
            let response = served.send(&Request::get(path));
            assert!([200, 404].contains(&response.status), "{path}: {}", response.status);
            assert_eq!(response.header("ratelimit-limit"), None, "{path}");
        }
    }
    device.sync(&served, &[]);
    let key = served.install.key_for("owner", "laptop");
    assert_eq!(served.send(&Request::get("/v1/projects").bearer(&key)).status, 200);
    is_over(&served.send(&Request::get("/v1/projects").bearer(&key)), 1);
}

#[test]
fn sign_ins_are_counted_by_the_address_that_a_trusted_proxy_names() {
    let start = |served: &Served, forwarded: &str| {
        let request = Request::post("/v1/auth/login/start", r#"{"email":"eve@example.test"}"#);
        served.send(&request.header("X-Forwarded-For", forwarded))
    };
    let direct = serve();
    for n in 1..=10 {
        assert_eq!(start(&direct, &format!("198.51.100.{n}")).status, 200);
    }
    is_over(&start(&direct, "198.51.100.11"), 10);
    let proxied = install().set("trusted_proxies=127.0.0.0/8").serve();
    for n in 1..=10 {
        // What a client writes to the left of what the proxy writes is worth nothing.
        assert_eq!(start(&proxied, &format!("198.51.100.{n}, 203.0.113.7")).status, 200);
        assert_eq!(start(&proxied, &format!("2001:db8::{n}")).status, 200);
    }
    is_over(&start(&proxied, "203.0.113.7"), 10);
    is_over(&start(&proxied, "2001:db8::ffff:1"), 10);
    assert_eq!(start(&proxied, "203.0.113.8").status, 200);
    assert_eq!(start(&proxied, "2001:db8:0:1::1").status, 200);
}

#[test]
fn who_brings_no_good_key_is_told_what_to_do() {
    let served = serve();
    let refused = |request: &Request, words: &[&str]| {
        let response = served.send(request);
        let body = response.json();
        let message = body["message"].as_str().unwrap().to_owned();
        assert_eq!((response.status, &body["code"]), (401, &"unauthorized".into()), "{message}");
        assert_eq!((&body["error"]["code"], &body["error"]["message"]), (&body["code"], &body["message"]));
        assert_eq!(response.header("ratelimit-limit"), None);
        for word in words {
            assert!(message.contains(word), "{word} is missing in: {message}");
        }
    };
    let list = Request::get("/v1/projects");
    refused(&list, &["missing or invalid authorization header", "td auth login"]);
    refused(&list.clone().header("Authorization", "Basic abc"), &["missing or invalid authorization header"]);
    refused(&list.clone().bearer("td_live_00000000000000000000000000000000"), &["not known here", "td auth login"]);
    refused(&list.clone().bearer(&served.install.token("phone")), &["is for tickit", "--for td"]);
    let key = served.install.key_for("owner", "laptop");
    assert_eq!(served.send(&list.clone().header("Authorization", &format!("bearer {key}"))).status, 200);
    let mut sync = Device::new("anne", &key).send(&served, &[]);
    assert_eq!(sync.status, 401, "a key of td opens td alone: {}", sync.text());
    served.install.ok(&["token", "--revoke", "laptop"]);
    let within = std::time::Duration::from_secs(1);
    tombolo_testkit::eventually::eventually("a revoked key ends", within, || {
        sync = served.send(&list.clone().bearer(&key));
        (sync.status == 401).then_some(())
    });
    // From here on the address presents too many: only the answer changes, and no good key is kept out.
    let wrong: Vec<Response> = (0..40).map(|_| served.send(&list.clone().bearer("td_live_wrong"))).collect();
    let limited = wrong.last().unwrap();
    assert_eq!((limited.status, &limited.json()["code"]), (429, &Value::from("rate_limited")));
    assert!((1..=60).contains(&number(limited, "retry-after")));
    let fresh = served.install.key_for("owner", "tablet");
    assert_eq!(served.send(&list.bearer(&fresh)).status, 200);
}

/// The status of a push of `body`, for a client that wants to be rid of all of it before it listens.
fn push_whole(served: &Served, path: &str, key: &str, body: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(served.address())?;
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
    stream.write_all(body)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn a_refusal_is_read_by_a_client_that_sends_everything_first() {
    let served = install().set("rate_limit.push=1").serve();
    let key = served.install.key_for("owner", "laptop");
    let path = format!("{}/sync/push", project(&served, &key));
    // More than what connections hold on their way.
    let large = vec![b' '; 9 << 20];
    let push = |key: &str| push_whole(&served, &path, key, &large).unwrap();
    assert_eq!(push("td_live_wrong"), "401");
    assert_eq!(push(&key), "400");
    assert_eq!(push(&key), "429");
}

#[test]
fn a_key_that_ends_within_thirty_days_is_announced_with_each_reply() {
    let served = serve();
    let made = |name: &str, days: &[&str]| {
        let made = served.install.json(&[&["token", "--name", name, "--for", "td"], days].concat());
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        (text("token"), text("expires_at"))
    };
    let header = |key: &str, path: &str| {
        let response = served.send(&Request::get(path).bearer(key));
        response.header("x-key-expires-at").map(str::to_owned)
    };
    let (soon, ends_at) = made("soon", &["--expires", "30"]);
    // To the second: the second in which it ends.
    assert_eq!(header(&soon, "/v1/projects"), Some(format!("{}Z", &ends_at[..19])));
    assert!(header(&soon, "/v1/projects/p_0000000000000001").is_some(), "with refusals as well");
    assert_eq!(header(&made("later", &["--expires", "32"]).0, "/v1/projects"), None);
    let (year, year_ends_at) = made("year", &[]);
    assert_eq!(header(&year, "/v1/projects"), None);
    assert!(year_ends_at > ends_at, "{year_ends_at}");
    let listed = served.install.ok(&["token", "--list"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("soon").ends_with("(ends in 30 days)"), "{listed}");
    assert!(!line("later").contains("ends in") && !line("year").contains("ends in"), "{listed}");
    for days in ["0", "-1", "36501", "x"] {
        served.install.refused(&["token", "--name", "never", "--for", "td", "--expires", days]);
    }
}

#[test]
fn a_listed_page_may_use_every_method_and_read_how_it_stands() {
    let served = crate::install().set("cors.origins=https://watch.example.test").serve();
    let preflight = Request::new("OPTIONS", "/v1/projects/p_1")
        .header("Origin", "https://watch.example.test")
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "authorization,last-event-id");
    let allowed = served.send(&preflight);
    for (header, words) in [
        ("access-control-allow-methods", ["PATCH", "DELETE"]),
        ("access-control-allow-headers", ["authorization", "last-event-id"]),
    ] {
        let value = allowed.header(header).unwrap();
        assert!(words.iter().all(|word| value.contains(word)), "{header}: {value}");
    }
    let read = served.send(&Request::get("/v1/projects").header("Origin", "https://watch.example.test"));
    let exposed = read.header("access-control-expose-headers").unwrap();
    for name in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-key-expires-at", "x-request-id"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
}
