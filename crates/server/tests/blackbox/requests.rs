//! What is taken and what is refused as a whole: paths, headers, bodies.

use std::collections::HashSet;

use tombolo_testkit::http::{Request, Response, gzip};
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{Device, SYNC, ago, inbox, read_strictly, task};
use tombolo_testkit::transcript::uuid;

use crate::{install, serve};

const MIB: usize = 1024 * 1024;

fn empty_sync(path: &str, token: &str) -> Request {
    Request::post(path, format!(r#"{{"device_id":"{}","last_sync":null,"changes":[]}}"#, uuid("anne"))).bearer(token)
}

#[test]
fn every_spelling_of_the_path_is_taken_and_nothing_is_redirected() {
    let served = install().set("public_url=https://home.example/apps/sync/").serve();
    let token = served.install.token("laptop");
    for path in [
        "/api/v1/sync",
        "//api/v1/sync",
        "/api/v1/sync/",
        "/tickit/api/v1/sync",
        "/tickit//api/v1/sync",
        "/apps/sync/api/v1/sync",
        "/apps/sync//api/v1/sync",
        "/apps/sync/tickit//api/v1/sync",
    ] {
        assert_eq!(served.send(&empty_sync(path, &token)).status, 200, "{path}");
    }
    for path in ["/other/api/v1/sync", "/apps/syncing/api/v1/sync", "/api/v1/sync/more", "/API/v1/sync"] {
        let response = served.send(&empty_sync(path, &token));
        assert_eq!((response.status, response.text().as_str()), (404, "404 page not found"), "{path}");
    }
}

#[test]
fn pages_of_a_listed_origin_may_read_every_answer() {
    let served = serve_pages(PAGE);
    let token = served.install.token("laptop");
    let sync = empty_sync(SYNC, &token);
    let too_large = Request::post(SYNC, vec![b' '; 32 * MIB + 1]).bearer(&token);
    let broken = Request::post(SYNC, "{").bearer(&token);
    let send = |request: &Request| served.send(&request.clone().header("Origin", PAGE));
    let limited = || {
        let wrong = empty_sync(SYNC, "tks_wrong");
        (0..100).map(|_| send(&wrong)).find(|response| response.status == 429)
    };
    let answers: Vec<(u16, Response)> = vec![
        (200, send(&sync)),
        (200, send(&Request::get("/ready"))),
        (400, send(&broken)),
        (401, send(&sync.clone().without("Authorization"))),
        (404, send(&Request::get("/nothing"))),
        (405, send(&Request::get(SYNC))),
        (413, send(&too_large)),
        (415, send(&sync.clone().without("Content-Type"))),
        (422, send(&Request::post(SYNC, "{}").bearer(&token))),
        (429, limited().expect("wrong tokens are limited")),
    ];
    for (status, response) in answers {
        assert_eq!((response.status, response.header("access-control-allow-origin")), (status, Some(PAGE)));
        assert!(varies_by_origin(&response), "{status}: what one page was told must not be kept for another");
        if status >= 400 && status != 404 {
            let error = response.json()["error"].as_str().map(str::to_owned);
            assert!(error.is_some_and(|error| error.len() > 10), "{status} says what to do");
        }
    }
}

#[test]
fn a_preflight_is_answered_before_any_token_is_asked_for_and_names_authorization() {
    let served = serve_pages(PAGE);
    for path in [SYNC, "//api/v1/sync", "/tickit/api/v1/sync", "/ready"] {
        let response = served.send(&preflight(path, PAGE));
        assert_eq!((response.status, response.header("access-control-allow-origin")), (200, Some(PAGE)), "{path}");
        let headers = response.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        let named: Vec<&str> = headers.split(',').map(str::trim).collect();
        for name in ["authorization", "x-api-key", "content-type", "if-none-match", "last-event-id"] {
            assert!(named.contains(&name), "{path}: {name}: {headers}");
        }
        let methods = response.header("access-control-allow-methods").unwrap();
        assert!(["POST", "PUT", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{path}: {methods}");
        assert!(varies_by_origin(&response), "{path}");
    }
}

#[test]
fn a_page_that_is_not_listed_is_told_nothing() {
    let check = |served: &Served, origin: &str, told: Option<&str>| {
        let token = served.install.token(&format!("laptop-{}", origin.len()));
        let preflight = served.send(&preflight(SYNC, origin));
        let read = served.send(&empty_sync(SYNC, &token).header("Origin", origin));
        assert_eq!((preflight.status, read.status), (200, 200), "{origin}");
        for response in [preflight, read] {
            assert_eq!(response.header("access-control-allow-origin"), told, "{origin}");
            let others = response.headers.iter().filter(|(name, _)| name.starts_with("access-control-")).count();
            assert_eq!(others > 0, told.is_some(), "{origin}: {:?}", response.headers);
        }
    };
    let nobody = serve();
    check(&nobody, PAGE, None);
    let listed = serve_pages(&format!("https://other.example.test,{PAGE}"));
    check(&listed, PAGE, Some(PAGE));
    check(&listed, "https://other.example.test", Some("https://other.example.test"));
    check(&listed, "https://app.example.test:8443", None);
    check(&listed, "http://app.example.test", None);
    check(&listed, "null", None);
    let any = serve_pages("*");
    check(&any, "https://nobody.example.test", Some("*"));
}

/// A page that is listed.
const PAGE: &str = "https://app.example.test";

/// A server that pages of these origins may use.
fn serve_pages(origins: &str) -> Served {
    crate::install().set(&format!("cors.origins={origins}")).serve()
}

/// What a browser asks before a page of `origin` may sync.
fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type")
}

fn varies_by_origin(response: &Response) -> bool {
    response.headers.iter().any(|(name, value)| name == "vary" && value.to_ascii_lowercase().contains("origin"))
}

#[test]
fn requests_and_replies_may_be_compressed() {
    let served = serve();
    let mut device = Device::new("anne", &served.install.token("laptop"));
    let changes: Vec<_> = (0..200)
        .map(|n| task(&uuid(&format!("task{n}")), "The same title again and again", &device.inbox, &ago(600)))
        .chain([inbox(&device.inbox, &ago(600))])
        .collect();
    let asked = device.request(&changes).gzipped().header("Accept-Encoding", "gzip");
    let response = served.send(&asked);
    assert_eq!((response.status, response.header("content-encoding")), (200, Some("gzip")));
    let reply = read_strictly(&response.body).unwrap();
    assert_eq!(reply.changes.len(), 201);
    device.last_sync = Some(reply.server_time);
    // Who does not ask for it gets it as it is.
    let plain = served.send(&device.request(&[]));
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    // In chunks, with a length or without, it is one request.
    assert_eq!(served.send(&device.request(&[]).chunked()).status, 200);
    assert_eq!(served.send(&device.request(&[]).gzipped().chunked()).status, 200);
    let broken = device.request(&[]).header("Content-Encoding", "gzip");
    assert_eq!(served.send(&broken).status, 400);
}

#[test]
fn a_body_may_have_32_mib_however_it_comes() {
    let served = serve();
    let token = served.install.token("laptop");
    let whole = |len: usize| {
        let mut body = format!(r#"{{"device_id":"{}","last_sync":null,"changes":[]}}"#, uuid("anne")).into_bytes();
        body.resize(len, b' ');
        Request::post(SYNC, body).bearer(&token)
    };
    let most = whole(32 * MIB);
    for request in [most.clone(), most.clone().chunked(), most.gzipped()] {
        assert_eq!(served.send(&request).status, 200);
    }
    let more = whole(32 * MIB + 1);
    for request in [more.clone(), more.clone().chunked(), more.clone().gzipped(), more.gzipped().chunked()] {
        let response = served.send(&request);
        assert_eq!(response.status, 413, "{}", response.text());
        assert!(response.json()["error"].as_str().unwrap().contains("32 MiB"));
    }
    // A bomb: 256 MiB in one. It is refused without being unpacked as a whole, and the server lives on.
    let bomb = gzip(&vec![b' '; 256 * MIB]);
    let request = Request::post(SYNC, bomb).bearer(&token).header("Content-Encoding", "gzip");
    assert_eq!(served.send(&request).status, 413);
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.process_id()));
    if let Some(line) = status.unwrap_or_default().lines().find(|line| line.starts_with("VmHWM:")) {
        let peak_kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(peak_kib < 256 * 1024, "{line}: the bomb was unpacked");
    }
    assert_eq!(served.send(&Request::get("/health")).status, 200);
}

#[test]
fn a_large_body_costs_nothing_without_a_token() {
    let served = serve();
    let large = Request::post(SYNC, vec![b' '; 2 * MIB]).bearer("tks_wrong");
    assert_eq!(served.send(&large).status, 401);
}

#[test]
fn every_answer_has_an_id_of_its_own_that_the_log_knows() {
    let served = serve();
    let sent = "0123456789abcdef0123456789abcdef";
    let mut seen = HashSet::new();
    for request in [Request::get("/health"), Request::get("/nothing"), Request::get(SYNC), empty_sync(SYNC, "x")] {
        for request in [request.clone(), request.header("X-Request-Id", sent)] {
            let response = served.send(&request);
            let id = response.header("x-request-id").unwrap().to_owned();
            assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert!(id != sent && seen.insert(id.clone()), "{id} is not fresh");
            served.logged(&[&id, "answered"]);
        }
    }
    assert!(!served.log().contains(sent));
}

#[test]
fn the_log_holds_no_content_and_no_token() {
    let served = install().set("log.level=trace").set("log.format=json").serve();
    let token = served.install.token("laptop");
    let mut device = Device::new("anne", &token);
    let inbox = device.inbox.clone();
    let secret = task(&uuid("milk"), "Divorce lawyer", &inbox, &ago(600));
    let mut bad = secret.clone();
    bad["priority"] = "Divorce".into();
    device.join(&served, &[secret, bad]);
    served.send(&Request::get("/api/v1/sync/Divorce?token=Divorce"));
    served.send(&empty_sync(SYNC, "tks_DivorceDivorceDivorceDivorceDivo"));
    let id = served.send(&Request::get("/health")).header("x-request-id").unwrap().to_owned();
    served.logged(&[&id]);
    let log = served.log();
    assert!(!log.contains("Divorce") && !log.contains(&token[4..]), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
}

#[test]
fn a_protocol_that_is_switched_off_is_not_there() {
    let served = install().set("protocols.tickit=false").serve();
    let response = served.send(&empty_sync(SYNC, "x"));
    assert_eq!((response.status, response.text().as_str()), (404, "404 page not found"));
    assert_eq!(served.send(&Request::get("/health")).status, 200);
}
