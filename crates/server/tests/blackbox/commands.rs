//! The commands: their JSON, their exit codes, where their configuration comes from.

use serde_json::{Value, json};
use tombolo_testkit::http::Request;
use tombolo_testkit::served::Folder;

use crate::{install, serve};

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn every_command_answers_in_json_on_one_line() {
    let install = install();
    let one_line = |args: &[&str]| -> Value {
        let text = install.ok(&[args, &["--json"]].concat());
        assert_eq!(text.trim_end().lines().count(), 1, "{args:?}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(keys(&one_line(&["init"])), ["config", "data", "database", "made"]);
    let made = one_line(&["token", "--name", "laptop"]);
    assert_eq!(keys(&made), ["name", "token", "user"]);
    assert_eq!((&made["name"], &made["user"]), (&json!("laptop"), &json!("owner")));
    let token = made["token"].as_str().unwrap();
    let letters = token.strip_prefix("tks_").unwrap();
    assert!(letters.len() == 32 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{letters}");
    let listed = one_line(&["token", "--list"]);
    assert_eq!(keys(&listed[0]), ["created_at", "expires_at", "for", "last_used_at", "name", "user"]);
    assert_eq!(
        one_line(&["user", "add", "anne", "--email", "anne@example.org"]),
        json!({"name": "anne", "email": "anne@example.org"})
    );
    let users = one_line(&["user", "list"]);
    assert_eq!(keys(&users[0]), ["confirmed_at", "created_at", "disabled_at", "email", "name"]);
    assert!(one_line(&["user", "disable", "anne"])["disabled"] == true);
    let deleted = one_line(&["user", "delete", "anne", "--yes"]);
    assert_eq!(keys(&deleted), ["changes", "deleted", "name", "rooms", "swept", "tokens"]);
    assert_eq!(one_line(&["token", "--revoke", "laptop"])["revoked"], true);
    assert_eq!(one_line(&["token", "--list"]), json!([]));
    assert_eq!(one_line(&["refused"]), json!([]));
    assert_eq!(one_line(&["project", "list"]), json!([]));
    assert_eq!(keys(&one_line(&["check"])), ["changes", "faults", "ok", "records", "spaces"]);
}

#[test]
fn what_did_nothing_exits_with_another_code_than_0_and_says_why() {
    let install = install();
    install.ok(&["token", "--name", "laptop"]);
    install.ok(&["user", "add", "anne"]);
    for (args, words) in [
        (&["token", "--name", "laptop"][..], "already"),
        (&["token", "--revoke", "phone"], "no token phone"),
        (&["token", "--revoke", "laptop", "--user", "anne"], "no token laptop"),
        (&["token", "--name", "x", "--user", "bert"], "tombolo user add bert"),
        (&["token", "--name", "x", "--for", "nothing"], "--for"),
        (&["token"], "--name"),
        (&["token", "--name", "a", "--list"], "--list"),
        (&["token", "--for", "td", "--list"], "--list"),
        (&["token", "--list", "--revoke", "a"], "--revoke"),
        (&["token", "--list", "--expires", "3"], "--expires"),
        (&["token", "--name", ""], "name"),
        (&["user", "add", "anne"], "already"),
        (&["user", "disable", "bert"], "no user bert"),
        (&["user", "delete", "bert"], "no user bert"),
        (&["user", "delete", "anne"], "--yes"),
        (&["refused", "--user", "bert"], "no user bert"),
        (&["serve", "--listen", "nowhere"], "listen"),
        (&["nothing"], "nothing"),
        (&["serve", "--config", "/nowhere/tombolo.toml"], "/nowhere/tombolo.toml"),
    ] {
        let complaint = install.refused(args);
        assert!(complaint.contains(words), "{args:?}: {complaint}");
    }
    assert_eq!(install.json(&["token", "--list"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_command_line_is_stronger_than_the_environment_and_that_than_the_file() {
    let folder = Folder::new();
    let file = folder.path().join("any.toml");
    std::fs::write(&file, "public_url = \"https://file.example\"\n[log]\nlevel = \"warn\"\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let url = |install: &tombolo_testkit::served::Install, name: &str, more: &[&str]| -> String {
        let text = install.ok(&[&["token", "--name", name, "--config", &file], more].concat());
        let url = text.lines().find_map(|line| line.trim().strip_prefix("server = ")).unwrap().to_owned();
        url.trim_matches('"').to_owned()
    };
    let plain = install();
    assert_eq!(url(&plain, "a", &[]), "https://file.example");
    assert_eq!(url(&plain, "b", &["--set", "public_url=https://set.example"]), "https://set.example");
    let told = install().variable("TOMBOLO_PUBLIC_URL", "https://env.example");
    assert_eq!(url(&told, "a", &[]), "https://env.example");
    assert_eq!(url(&told, "b", &["--set", "public_url=https://set.example"]), "https://set.example");
    // The file that lies in the data folder needs not be named.
    std::fs::create_dir_all(plain.data()).unwrap();
    std::fs::write(plain.data().join("tombolo.toml"), "public_url = \"https://data.example\"\n").unwrap();
    assert!(plain.ok(&["token", "--name", "c"]).contains("https://data.example"));
}

#[test]
fn an_unknown_key_or_a_bad_value_is_an_error_that_names_it_wherever_it_stands() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    };
    let (unknown, bad) = (file("unknown.toml", "[log]\nlevle = \"info\"\n"), file("bad.toml", "[log]\nlevel = 7\n"));
    let broken = file("broken.toml", "[log\n");
    for command in [&["serve"][..], &["init"], &["token", "--list"], &["user", "list"], &["refused"], &["check"]] {
        for (more, words) in [
            (["--config", unknown.as_str()], "log.levle"),
            (["--config", bad.as_str()], "log.level"),
            (["--config", broken.as_str()], "broken.toml"),
            (["--set", "log.levle=info"], "log.levle"),
            (["--set", "log.level=loud"], "log.level"),
            (["--set", "trusted_proxies=10.0.0.0/99"], "trusted_proxies"),
            (["--set", "listen"], "listen"),
        ] {
            let complaint = install().refused(&[command, &more[..]].concat());
            assert!(complaint.contains(words), "{command:?} {more:?}: {complaint}");
        }
        let complaint = install().variable("TOMBOLO_LOG_LEVLE", "info").refused(command);
        assert!(complaint.contains("TOMBOLO_LOG_LEVLE"), "{command:?}: {complaint}");
    }
}

#[test]
fn commands_work_beside_a_running_server() {
    let served = serve();
    let install = &served.install;
    install.token("laptop");
    install.ok(&["user", "add", "anne"]);
    install.token_for("anne", "phone");
    install.ok(&["init"]);
    assert_eq!(install.json(&["check"])["ok"], true);
    install.ok(&["user", "disable", "anne"]);
    install.ok(&["token", "--revoke", "laptop"]);
    assert_eq!(install.json(&["token", "--list"]).as_array().unwrap().len(), 1);
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
}
