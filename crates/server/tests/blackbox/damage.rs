//! A database that was damaged behind the server's back.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tombolo_testkit::http::Request;
use tombolo_testkit::served::{Install, Served};
use tombolo_testkit::tickit::{Device, ago, task};
use tombolo_testkit::transcript::uuid;

use crate::serve;

/// A server that was stopped, with a few hundred tasks.
fn stopped() -> (Served, Device) {
    let mut served = serve();
    let mut device = Device::new("anne", &served.install.token("phone"));
    let inbox = device.inbox.clone();
    let tasks: Vec<_> =
        (0..500).map(|n| task(&uuid(&format!("t{n}")), &format!("needle-{n}-needle"), &inbox, &ago(600))).collect();
    device.join(&served, &tasks);
    assert!(served.terminate().success());
    (served, device)
}

/// What `check` says of a damaged database, in words and in JSON.
fn check(install: &Install) -> (String, serde_json::Value) {
    let output = install.run(&["check"]);
    assert!(!output.status.success(), "the damage was not noticed");
    let text = [output.stdout, output.stderr].concat();
    let json = install.run(&["check", "--json"]);
    assert!(!json.status.success());
    (String::from_utf8_lossy(&text).into_owned(), serde_json::from_slice(&json.stdout).unwrap_or_default())
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn find(path: &Path, needle: &[u8]) -> u64 {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).expect("it is in the file") as u64
}

#[test]
fn a_byte_of_a_content_that_changed_is_named_by_its_change() {
    let (mut served, device) = stopped();
    let database = served.install.database();
    let seq: i64 = {
        let open = rusqlite::Connection::open(&database).unwrap();
        let sql = "SELECT seq FROM changes WHERE instr(payload, 'needle-250-needle') > 0";
        open.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    overwrite(&database, find(&database, b"needle-250-needle"), b"X");
    let (text, json) = check(&served.install);
    assert!(text.contains(&format!("change {seq}:")), "{text}");
    assert!(!text.contains("needle"), "{text}");
    assert_eq!(json["ok"], false);
    assert_eq!(json["faults"].as_array().unwrap().len(), text.matches("change ").count(), "{json}");
    // A device that would be given it is told, and the log names it.
    served.start_again();
    let response = Device::new("reader", &device.token).send(&served, &[]);
    assert_eq!(response.status, 500, "{}", response.text());
    assert!(response.json()["error"].as_str().unwrap().contains("tombolo check"));
    served.logged(&["ERROR", "damaged", &format!("{seq}")]);
    // The rest goes on: another user's data are not hit.
    let other = served.install.token_for("bert", "phone");
    assert_eq!(Device::new("bert", &other).send(&served, &[]).status, 200);
}

#[test]
fn a_page_of_the_file_that_was_overwritten_is_met_and_named() {
    let (mut served, device) = stopped();
    let database = served.install.database();
    let page_bytes = 4096;
    let page = find(&database, b"needle-250-needle") / page_bytes;
    overwrite(&database, page * page_bytes, &[0xA5; 4096]);
    let (text, json) = check(&served.install);
    assert!(text.contains("the file:") || text.contains("malformed"), "{text}");
    assert_eq!(json["ok"], false, "{text}");
    served.start_again();
    let response = Device::new("reader", &device.token).send(&served, &[]);
    assert_eq!(response.status, 500, "{}", response.text());
    served.logged(&["ERROR", "damaged"]);
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let install = crate::install();
    std::fs::create_dir_all(install.data()).unwrap();
    let text = "These are somebody's notes, and no database. ".repeat(200);
    std::fs::write(install.database(), &text).unwrap();
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["check"], &["token", "--name", "x"]] {
        let complaint = install.refused(args);
        assert!(complaint.contains("tombolo.db"), "{args:?}: {complaint}");
    }
    assert_eq!(std::fs::read_to_string(install.database()).unwrap(), text);
}

/// Rules of both generations are where they are to be; one that is lost is named, whatever is left of the others.
#[test]
fn a_rule_that_was_lost_is_named() {
    let mut served = serve();
    let key = served.install.json(&["token", "--for", "simple-sync", "--user", ".root"]);
    let key = key["token"].as_str().unwrap();
    let rules = serde_json::json!([
        {"user": "*", "item": "task.*", "action": "*", "type": "allow"},
        {"user": "ann", "item": "task.1", "action": "edit", "type": "deny"},
    ]);
    let posted = Request::post("/api/v1/acl", rules.to_string()).header("X-API-Key", key);
    assert_eq!(served.send(&posted).status, 200);
    let list = serde_json::json!({"rules": [{"user": "ann", "item": "*", "action": "*", "allow": true}]});
    let put = Request::new("PUT", "/acl").header("Content-Type", "application/json").bearer(key);
    assert_eq!(served.send(&put.body(list.to_string())).status, 204);
    assert!(served.terminate().success());
    assert_eq!(served.install.json(&["check"])["ok"], true);
    for lost in [2, 3] {
        let database = rusqlite::Connection::open(served.install.database()).unwrap();
        assert_eq!(database.execute("DELETE FROM rulings WHERE seq = ?1", [lost]).unwrap(), 1);
        let (text, _) = check(&served.install);
        assert!(text.contains(&format!("change {lost}: it is missing among the rules")), "{text}");
    }
}
