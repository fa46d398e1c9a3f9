//! What the owner of a server does for simple-sync on the command line, beside the running server.

use serde_json::{Value, json};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::{Install, Served};

use crate::{install, stored};

fn told_refused(install: &Install, args: &[&str], input: &str) -> String {
    let output = install.run_with_input(args, input);
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?} did something");
    String::from_utf8(output.stderr).unwrap()
}

fn key(install: &Install, user: &str) -> Value {
    install.json(&["token", "--for", "simple-sync", "--user", user])
}

fn key_text(install: &Install, user: &str) -> String {
    key(install, user)["token"].as_str().unwrap().to_owned()
}

fn get(served: &Served, path: &str, key: &str) -> Response {
    served.send(&Request::get(path).header("X-API-Key", key))
}

fn post(served: &Served, path: &str, key: &str, body: &Value) -> Response {
    served.send(&Request::post(path, body.to_string()).header("X-API-Key", key))
}

fn sign_in(served: &Served, username: &str, password: &str) -> u16 {
    let body = json!({"username": username, "password": password});
    served.send(&Request::post("/auth/token", body.to_string())).status
}

#[test]
fn the_first_key_is_that_of_root_who_is_made_with_it() {
    let install = install();
    let made = key(&install, ".root");
    assert_eq!((&made["name"], &made["user"]), (&json!("key"), &json!(".root")));
    let text = made["token"].as_str().unwrap();
    assert!(text.starts_with("sk_") && text.len() == 46, "{text}");
    assert_eq!(key(&install, ".root")["name"], "key (2)");
    assert_eq!(install.json(&["token", "--for", "simple-sync", "--user", ".root", "--name", "n"])["name"], "n");
    let shown = install.ok(&["token", "--for", "simple-sync", "--user", ".root"]);
    assert!(shown.contains("curl -H 'X-API-Key: sk_") && shown.contains("/api/v1/events"), "{shown}");
    assert_eq!(install.json(&["user", "list"]).as_array().unwrap().len(), 1);
    let text = text.to_owned();
    let served = install.serve();
    let history = get(&served, "/api/v1/events", &text);
    assert_eq!((history.status, history.json()), (200, json!([])));
    let stored = stored(&served);
    assert!(!stored.windows(text.len()).any(|bytes| bytes == text.as_bytes()), "a key is kept as its hash");
}

#[test]
fn keys_are_made_for_users_there_are_and_let_them_in_nowhere_else() {
    let install = install();
    let complaint = install.refused(&["token", "--for", "simple-sync", "--user", "ann"]);
    assert!(complaint.contains("tombolo user add ann"), "{complaint}");
    install.ok(&["user", "add", "ann"]);
    let (root, ann) = (key_text(&install, ".root"), key_text(&install, "ann"));
    let complaint = install.refused(&["token", "--for", "td", "--user", ".root"]);
    assert!(complaint.contains("nothing in td"), "{complaint}");
    let served = install.serve();
    assert_eq!(get(&served, "/api/v1/events", &ann).status, 200);
    assert_eq!(served.send(&Request::get("/v1/projects").bearer(&ann)).status, 401);

    // Somebody whom simple-sync made is a user of simple-sync only, until the owner of the server adds him.
    // The uuid's first digits are its time.
    let create = json!([{
        "uuid": "019a9f3e-7c00-7abc-8def-0123456789ab", "timestamp": 0x019a_9f3e_7c00_u64 / 1_000, "user": ".root",
        "item": ".user.bob", "action": ".user.create", "payload": "{}"
    }]);
    let created = post(&served, "/api/v1/events", &root, &create);
    assert_eq!(created.status, 200, "{}", created.text());
    let install = &served.install;
    let complaint = install.refused(&["token", "--name", "phone", "--user", "bob"]);
    assert!(complaint.contains("simple-sync only") && complaint.contains("tombolo user add bob"), "{complaint}");
    let bob = key_text(install, "bob");
    assert_eq!(get(&served, "/api/v1/events", &bob).status, 200);
    install.ok(&["user", "add", "bob", "--email", "bob@example.org"]);
    install.ok(&["token", "--name", "phone", "--user", "bob"]);
    assert_eq!(get(&served, "/api/v1/events", &bob).status, 200);
    install.ok(&["user", "disable", "bob"]);
    let complaint = install.refused(&["token", "--for", "simple-sync", "--user", "bob"]);
    assert!(complaint.contains("disabled"), "{complaint}");
}

#[test]
fn passwords_are_set_by_whoever_owns_the_server_and_let_in_at_once() {
    let served = install().serve();
    let install = &served.install;
    let said = install.ok_with_input(&["user", "add", "ann", "--password-stdin"], "correct horse\n");
    assert!(said.contains("ann"), "{said}");
    assert_eq!(sign_in(&served, "ann", "correct horse"), 200);
    assert_eq!(sign_in(&served, "ann", "correct horse\n"), 401);
    install.ok_with_input(&["user", "password", "ann"], "battery staple");
    assert_eq!([sign_in(&served, "ann", "correct horse"), sign_in(&served, "ann", "battery staple")], [401, 200]);

    // A user who has none yet, and .root, who is made.
    install.ok(&["user", "add", "bob"]);
    let set = install.ok_with_input(&["user", "password", "bob", "--json"], "correct horse\r\nmore\n");
    assert_eq!(
        serde_json::from_str::<Value>(&set).unwrap(),
        json!({"name": "bob", "username": "bob", "changed": true})
    );
    install.ok_with_input(&["user", "password", ".root"], "correct horse\n");
    assert_eq!([sign_in(&served, "bob", "correct horse"), sign_in(&served, ".root", "correct horse")], [200, 200]);
    assert!(!stored(&served).windows(13).any(|bytes| bytes == b"correct horse"), "a password is kept as its hash");

    let refused = [
        (&["user", "add", "cat", "--password-stdin"][..], "\n", "at least one letter"),
        (&["user", "add", "cat", "--password-stdin"], "", "at least one letter"),
        (&["user", "add", "ann", "--password-stdin"], "correct horse\n", "tombolo user password ann"),
        (&["user", "password", "ann"], "\ncorrect horse\n", "at least one letter"),
        (&["user", "password", "cat"], "correct horse\n", "no user cat"),
    ];
    for (args, input, words) in refused {
        let complaint = told_refused(install, args, input);
        assert!(complaint.contains(words), "{args:?}: {complaint}");
    }
    assert_eq!(install.json(&["user", "list"]).as_array().unwrap().len(), 3, "what was refused made nobody");
    install.ok(&["user", "delete", "ann", "--yes"]);
    let complaint = told_refused(install, &["user", "add", "ann", "--password-stdin"], "correct horse\n");
    assert!(complaint.contains("ann, who was deleted"), "{complaint}");
    assert_eq!(install.json(&["user", "list"]).as_array().unwrap().len(), 2, "nobody was added half");
    install.ok(&["user", "disable", "bob"]);
    assert!(told_refused(install, &["user", "password", "bob"], "correct horse\n").contains("disabled"));
    assert_eq!(sign_in(&served, "bob", "correct horse"), 401);
}

#[test]
fn whoever_is_renamed_is_found_by_either_name_and_by_no_other() {
    let served = install().serve();
    let install = &served.install;
    install.ok_with_input(&["user", "add", "ann", "--password-stdin"], "correct horse\n");
    install.ok_with_input(&["user", "add", "bob", "--password-stdin"], "correct horse\n");
    let root = key_text(install, ".root");
    let rename = |who: &str, to: &str| {
        let body = json!({"new_username": to, "new_password": "correct horse"});
        let request = Request::new("PUT", &format!("/admin/users/{who}")).header("Content-Type", "application/json");
        let answer = served.send(&request.body(body.to_string()).bearer(&root));
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    rename("ann", "anna");
    for name in ["ann", "anna"] {
        let set = install.ok_with_input(&["user", "password", name, "--json"], "battery staple\n");
        assert_eq!(serde_json::from_str::<Value>(&set).unwrap()["username"], "anna");
    }
    assert_eq!([sign_in(&served, "ann", "battery staple"), sign_in(&served, "anna", "battery staple")], [401, 200]);
    // Now ann is one user's name, and what another signs in with.
    rename("bob", "ann");
    let complaint = told_refused(install, &["user", "password", "ann"], "battery staple\n");
    assert!(complaint.contains("ann is what bob signs in with"), "{complaint}");
    rename("bob", "cat-lover");
    rename("ann", "dan-fan");
    rename("bob", "cat");
    let complaint = told_refused(install, &["user", "add", "cat", "--password-stdin"], "battery staple\n");
    assert!(complaint.contains("bob signs in to simple-sync as cat"), "{complaint}");
}

#[test]
fn names_that_begin_with_a_dot_are_nobodys() {
    let install = install();
    let password = "correct horse\n";
    for args in [
        ["user", "add", ".evil"].as_slice(),
        &["user", "add", ".evil", "--password-stdin"],
        &["user", "add", ".root", "--password-stdin"],
        &["user", "password", ".evil"],
        &["token", "--for", "simple-sync", "--user", ".evil"],
    ] {
        told_refused(&install, args, password);
    }
    install.ok_with_input(&["user", "password", ".root"], password);
    assert_eq!(sign_in(&install.serve(), ".root", "correct horse"), 200);
}

#[test]
fn a_key_is_made_for_whoever_signs_in_so() {
    let served = install().serve();
    let root = key_text(&served.install, ".root");
    let iris = json!({"uuid": "iris-1", "username": "iris", "password": "correct horse"});
    assert_eq!(post(&served, "/admin/users", &root, &iris).status, 201);
    for name in ["iris", "iris-1"] {
        assert_eq!(key(&served.install, name)["user"], "iris-1");
    }
}

#[test]
fn rules_are_listed_and_explained_as_the_server_judges_by_them() {
    let served = install().serve();
    let install = &served.install;
    assert!(install.refused(&["acl", "explain", "ann", "task.1"]).contains("ACTION"));
    assert!(install.ok(&["acl", "list"]).contains("nobody but .root"));
    let explain =
        |user: &str, item: &str, more: &[&str]| install.json(&[&["acl", "explain", user, item, "edit"], more].concat());
    let denied = explain("ann", "task.1", &[]);
    assert_eq!((&denied["allowed"], &denied["rule"]), (&json!(false), &Value::Null));
    assert_eq!(explain(".root", "task.1", &[])["allowed"], true);

    let root = key_text(install, ".root");
    let rules = json!([
        {"user": "ann", "item": "task.*", "action": "*", "type": "allow"},
        {"user": "*", "item": "task.1", "action": "edit", "type": "deny"},
    ]);
    assert_eq!(post(&served, "/api/v1/acl", &root, &rules).status, 200);
    assert_eq!(install.json(&["acl", "list"]), json!({"rules": rules, "list": null}));
    let table = install.ok(&["acl", "list"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected =
        [["USER", "ITEM", "ACTION", "SAYS"], ["ann", "task.*", "*", "allow"], ["*", "task.1", "edit", "deny"]];
    assert_eq!(rows, expected);
    let allowed = explain("ann", "task.2", &[]);
    assert_eq!((&allowed["allowed"], &allowed["rule"]), (&json!(true), &rules[0]));
    let denied = explain("ann", "task.1", &[]);
    assert_eq!((&denied["allowed"], &denied["rule"]), (&json!(false), &rules[1]));
    let said = install.ok(&["acl", "explain", "ann", "task.1", "edit"]);
    assert!(said.starts_with("Denied: ") && said.contains(r#""item":"task.1""#), "{said}");

    let list = json!([{"user": "ann", "item": "*", "action": "*", "allow": true}]);
    let request = Request::new("PUT", "/acl").header("Content-Type", "application/json").bearer(&root);
    assert_eq!(served.send(&request.body(json!({"rules": list}).to_string())).status, 204);
    assert_eq!(install.json(&["acl", "list"])["list"], list);
    assert!(install.ok(&["acl", "list"]).contains("sign in with a password"));
    assert_eq!(explain("ann", "task.1", &[])["allowed"], false);
    assert_eq!(explain("ann", "task.1", &["--first-generation"])["allowed"], true);
}
