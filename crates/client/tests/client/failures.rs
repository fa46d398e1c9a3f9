//! Whatever the server and the line do, the app's rows stay as they were, and the next sync finishes the work.

use std::io::Write;
use std::time::Duration;

use crate::support::{App, FakeServer, Fault, KEY, json, problem};
use tombolo_client::{Error, ErrorKind};

const PAGE: &str = r#"{"server_cursor":"c.1.0","changes":[],"has_more":false}"#;

/// Fails the first request of a sync in one way; says what came of it, and that nothing else did.
fn check(name: &str, fault: Fault, kind: ErrorKind) -> Error {
    let (server, app) = (FakeServer::start(), App::with_timeout(Duration::from_secs(1)));
    app.add(3, "mine");
    server.with(|store| store.add(5, "theirs"));
    app.configure(&server);
    let before = app.rows();
    server.fail([fault]);
    let error = app.client.sync_once().expect_err(name);
    assert_eq!(error.kind(), kind, "{name}: {error}");
    let status = app.client.status().unwrap();
    let last = status.last_error.expect(name);
    assert_eq!((last.kind, last.message), (kind, error.to_string()), "{name}");
    assert!(status.last_attempt_at.is_some() && status.last_success_at.is_none(), "{name}");
    assert_eq!((app.rows(), status.pending), (before, 1), "{name}");
    let told = format!("{error} {error:?} {:?} {:?}", app.client, app.client.status());
    assert!(!told.contains(KEY) && !told.contains("mine") && !told.contains("evil"), "{name}: {told}");
    if !error.needs_configuration() {
        app.client.sync_once().expect(name);
        assert_eq!(app.rows(), server.with(|store| store.rows()), "{name}");
        assert_eq!((app.rows().len(), app.client.status().unwrap().last_error), (2, None), "{name}");
    }
    error
}

#[test]
fn statuses_are_told_apart() {
    check("500", problem(500, "", r#"{"code":"internal"}"#), ErrorKind::Server);
    check(
        "502 of a proxy",
        Fault::Raw(b"HTTP/1.1 502 Bad\r\ncontent-length: 3\r\n\r\nbad".to_vec()),
        ErrorKind::Server,
    );
    let wait = |fault| check("wait", fault, ErrorKind::Server).retry_after();
    assert_eq!(wait(problem(503, "retry-after: 120\r\n", "{}")), Some(Duration::from_secs(120)));
    assert_eq!(wait(problem(503, "retry-after: Fri, 20 Nov 2020 20:00:00 GMT\r\n", "{}")), Some(Duration::ZERO));
    assert_eq!(
        wait(problem(503, "retry-after: Fri, 20 Nov 2999 20:00:00 GMT\r\n", "{}")),
        Some(Duration::from_secs(3600))
    );
    assert_eq!(wait(problem(429, "retry-after: 7\r\n", "{}")), Some(Duration::from_secs(7)));
    assert_eq!(wait(problem(503, "", "{}")), None);
    check("401", problem(401, "", r#"{"code":"unauthorized"}"#), ErrorKind::KeyRefused);
    check("403", problem(403, "", r#"{"code":"forbidden"}"#), ErrorKind::KeyRefused);
    let refused = check("422", problem(422, "", r#"{"code":"invalid_request","detail":"evil"}"#), ErrorKind::Server);
    assert!(refused.to_string().contains("invalid_request"));
    check("a code that is none", problem(400, "", r#"{"code":"evil <b>"}"#), ErrorKind::Server);
    // Of something on the way, and not of the server that was meant.
    check("409", json(409, "", "{}"), ErrorKind::Server);
    check("410", json(410, "", "{}"), ErrorKind::Server);
    check("404", Fault::Raw(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec()), ErrorKind::Server);
}

#[test]
fn what_is_no_answer_changes_nothing() {
    check("bad json", json(200, "", r#"{"server_cursor":"#), ErrorKind::Protocol);
    check("other json", json(200, "", r#"{"hello":"evil"}"#), ErrorKind::Protocol);
    check(
        "an answer about nothing",
        json(200, "", r#"{"server_cursor":"x","applied_ids":[],"conflicts":[]}"#),
        ErrorKind::Protocol,
    );
    let portal = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nevil";
    check("a captive portal", Fault::Raw(portal.to_vec()), ErrorKind::Protocol);
    check("no http", Fault::Raw(b"SSH-2.0-evil\r\n\r\n".to_vec()), ErrorKind::Protocol);
    check("half a body", Fault::HalfAnswer, ErrorKind::Network);
    check("no answer", Fault::LostAnswer, ErrorKind::Network);
    check("silence", Fault::Silence, ErrorKind::Network);
}

#[test]
fn a_body_is_bounded_packed_or_not() {
    let spaces = vec![b' '; 33 << 20];
    // Spaces are no JSON either: what is said has to be the size.
    let check = |name, fault| assert!(check(name, fault, ErrorKind::Protocol).to_string().contains("larger"), "{name}");
    check("huge", json(200, "", std::str::from_utf8(&spaces).unwrap()));
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&spaces).unwrap();
    let packed = packer.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    check("a bomb", Fault::Raw([head.as_bytes(), &packed].concat()));
}

#[test]
fn a_packed_page_is_read() {
    let (server, app) = (FakeServer::start(), App::new());
    app.configure(&server);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(PAGE.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    server.fail([Fault::Raw([head.as_bytes(), &packed].concat())]);
    app.client.sync_once().unwrap();
    let seen = server.seen();
    assert!(seen[0].headers.contains("accept-encoding: gzip"));
    assert!(seen[0].headers.contains(concat!("user-agent: tombolo-client/", env!("CARGO_PKG_VERSION"))));
    assert!(seen[0].headers.contains(&format!("authorization: bearer {KEY}")));
}

#[test]
fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let elsewhere = FakeServer::start();
    for status in [301, 302, 303, 307, 308] {
        let to = format!("location: {}/v1/sync/download\r\n", elsewhere.url());
        let error = check("redirect", json(status, &to, PAGE), ErrorKind::Server);
        assert!(matches!(error, Error::Redirected));
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn nobody_there_and_no_tls_are_said() {
    let (server, app) = (FakeServer::start(), App::new());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    app.client.configure_sync(crate::support::settings(&format!("http://{port}"))).unwrap();
    assert!(matches!(app.client.sync_once(), Err(Error::Unreachable(_))));
    app.client.configure_sync(crate::support::settings(&server.url().replace("http:", "https:"))).unwrap();
    assert_eq!(app.client.sync_once().unwrap_err().kind(), ErrorKind::Network);
    assert!(server.seen().iter().all(|seen| !seen.line.contains("sync") && !seen.headers.contains("bearer")));
    let plain = app.client.configure_sync(crate::support::settings("http://sync.example.org")).unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Settings);
}

#[test]
fn the_key_is_in_one_file_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (server, app) = (FakeServer::start(), App::new());
    app.add(3, "mine");
    app.configure(&server);
    app.client.sync_once().unwrap();
    let mut holders = Vec::new();
    for entry in std::fs::read_dir(app.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(KEY) {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            holders.push(path.file_name().unwrap().to_owned());
        }
    }
    assert_eq!(holders, ["app.db.sync.json"]);
}
