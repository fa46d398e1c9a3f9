//! schemathesis against the real server: it reads `/openapi.json` and sends, to every route, requests that are as it
//! describes them and requests that are not. No answer may be a server's error, and each has a status, a content type
//! and a body that the document names. What it does not check stands in `schemathesis.toml`, each with its reason.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tombolo_testkit::http::Request;
use tombolo_testkit::served::{Folder, Install, Served, output_within};
use tombolo_testkit::simple_sync::Participant;
use tombolo_testkit::td::Teammate;

/// It takes half a minute by itself, and several on a machine that does much else.
const RUN_MAX: Duration = Duration::from_secs(600);

/// Where schemathesis is; `None` where it is not installed, which is said loudly.
fn schemathesis() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/schemathesis/bin/schemathesis");
    if program.is_file() {
        return Some(program);
    }
    let how = "schemathesis is not installed: run scripts/install-schemathesis, which needs Python";
    assert!(std::env::var_os("TOMBOLO_REQUIRE_CLIENTS").is_none_or(|value| value != "1"), "{how}");
    // Past the test harness, which shows only what failing tests print.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {how} ***\n");
    None
}

/// A server that limits nobody by the minute: what a minute of requests may be is tested elsewhere.
fn serve() -> Served {
    let install = Install::new(env!("CARGO_BIN_EXE_tombolo"));
    ["auth", "push", "pull", "other"]
        .iter()
        .fold(install, |install, class| install.set(&format!("rate_limit.{class}=0")))
        .serve()
}

/// What `schemathesis.toml` names and a server only knows when it runs.
fn known(served: &Served) -> Vec<(&'static str, String)> {
    let (ann, bob) = (Teammate::new(&served.install, "ann"), Teammate::new(&served.install, "bob"));
    served.install.key_for("ann", "spare");
    let keys = ann.ok(served, "GET", "/v1/keys", &Value::Null);
    let spare = keys.as_array().unwrap().iter().find(|key| key["name"] == "spare").unwrap();
    let invitation = |project: &str| {
        let path = format!("/v1/projects/{}/invitations", bob.create(served, project));
        let made = bob.ok(served, "POST", &path, &json!({ "email": ann.email, "role": "writer" }));
        made["id"].as_str().unwrap().to_owned()
    };
    let root = Participant::root(&served.install);
    let rooms = served.install.json(&["token", "--for", "rooms", "--name", "board"]);
    let wellbeing = served.install.wb_for("owner");
    vec![
        ("WELLBEING_SPARE_KEY_ID", spare_key(served, &wellbeing)),
        ("WELLBEING_KEY", wellbeing),
        ("ROOMS_KEY", rooms["token"].as_str().unwrap().to_owned()),
        ("SIMPLE_SYNC_KEY", root.secret().to_owned()),
        ("SIMPLE_SYNC_SESSION", Participant::signed_in(served, &root, "eve").secret().to_owned()),
        ("TICKIT_TOKEN", served.install.token_for("ann", "phone")),
        ("TD_SPARE_KEY_ID", spare["id"].as_str().unwrap().to_owned()),
        ("TD_INVITATION_TO_ACCEPT", invitation("Lighthouse")),
        ("TD_INVITATION_TO_DECLINE", invitation("Harbour")),
        ("TD_KEY", ann.key),
    ]
}

/// Another key of whoever has `key`, by what it is revoked by.
fn spare_key(served: &Served, key: &str) -> String {
    let made = served.send(&Request::post("/v1/auth/api-keys", r#"{"name":"spare diary"}"#).bearer(key)).json();
    made["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_answer_is_as_the_document_describes_it() {
    let Some(program) = schemathesis() else { return };
    let served = serve();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/schemathesis.toml");
    // It keeps what it found beside where it runs.
    let folder = Folder::new();
    let mut command = Command::new(program);
    command.current_dir(folder.path()).envs(known(&served)).arg("--config-file").arg(config);
    command.args(["run", "--no-color", &format!("http://{}/openapi.json", served.address())]);
    let output = output_within(command, RUN_MAX);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // What would succeed as well: nothing tried.
    let log = served.log();
    let answered = |route: &str, status: u16| {
        let (route, status) = (format!("route=\"{route}\""), format!("status={status}"));
        log.lines().any(|line| line.contains(&route) && line.contains(&status))
    };
    for (route, status) in [
        ("/api/v1/sync", 200),
        ("/api/v1/sync", 422),
        ("/v1/projects", 201),
        ("/v1/projects/{id}/sync/push", 200),
        ("/v1/projects/{id}/sync/push", 400),
        ("/v1/projects/{id}/sync/pull", 200),
        ("/v1/invitations/{invitation}/accept", 200),
        ("/v1/invitations/{invitation}/decline", 200),
        ("/v1/keys/{key}", 204),
        ("/v1/auth/device/start", 200),
        ("/api/v1/events", 200),
        ("/api/v1/acl", 200),
        ("/api/v1/acl/explain", 200),
        ("/api/v1/user/resetKey", 200),
        ("/admin/users/{uuid}", 204),
        ("/api/rooms", 200),
        ("/api/rooms/{code}", 200),
        ("/ws", 426),
        ("/v1/sync/upload", 200),
        ("/v1/sync/upload", 422),
        ("/v1/sync/download", 200),
        ("/v1/sync/data", 204),
        ("/v1/auth/api-keys", 200),
        ("/v1/auth/api-keys", 201),
        ("/v1/auth/api-keys/{id}", 204),
        ("/v1/meta", 200),
        ("/k/{key}", 200),
        ("/k/{key}/health", 200),
        ("/k/{key}/api/rooms", 200),
        ("/k/{key}/api/rooms/{code}", 200),
        ("/k/{key}/ws", 426),
    ] {
        assert!(answered(route, status), "{route} was never answered with {status}:\n{said}");
    }
    assert!(!log.contains("status=5") && !log.contains("panicked"), "a server's error:\n{log}");
}
