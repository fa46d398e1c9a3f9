//! The rules of simple-sync over HTTP: the vectors of its documents, each asked and tried.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tombolo_testkit::eventually::SetOnDrop;
use tombolo_testkit::served::Served;
use tombolo_testkit::simple_sync::{Participant, rule_of};

use crate::serve;

/// Rules, the oldest first, then requests and whether they are let.
type Vector = (&'static [&'static str], &'static [(&'static str, &'static str, &'static str, bool)]);

/// By number of the document's table; where it leaves one out, it is another request of the one before.
const VECTORS: [Vector; 24] = [
    (&[], &[("u", "i", "a", false), (".root", "i", "a", true)]),
    (&["D *|*|*"], &[(".root", ".acl", ".acl.addRule", true), ("u", "i", "a", false)]),
    (&["A *|*|*"], &[("u", "i", "a", true), ("u", ".acl", ".acl.addRule", true)]),
    (&["A u|i|a"], &[("u", "i", "a", true), ("v", "i", "a", false), ("u", "j", "a", false), ("u", "i", "b", false)]),
    (&["A *|task.*|*"], &[("u", "task.1", "a", true), ("u", "task.", "a", true), ("u", "task", "a", false)]),
    (&["A *|task*|*"], &[("u", "tasks.9", "a", true), ("u", "task", "a", true), ("u", "Task", "a", false)]),
    (&["A *|*|*", "A user.123|*|*", "D *|task.*|*", "A *|*|edit"], &[("user.123", "task.456", "edit", false)]),
    (&["A *|task.*|edit", "D *|*|edit"], &[("user.123", "task.456", "edit", true)]),
    (&["D *|task.*|*", "A admin.*|task.*|*"], &[("admin.123", "task.456", "edit", true)]),
    (&["A user.123|*|edit", "D *|task.*|*"], &[("user.123", "task.456", "edit", false)]),
    (&["A *|task.456|edit", "D user.*|task.456|*"], &[("user.123", "task.456", "edit", false)]),
    (&["A *|task.1*|*", "D *|task.*|*"], &[("u", "task.12", "a", true), ("u", "task.2", "a", false)]),
    (&["D u|i|a", "A u|i|a"], &[("u", "i", "a", true)]),
    (&["A u|i|a", "D u|i|a"], &[("u", "i", "a", false)]),
    (&["A u|i|a", "D u|i|a", "A u|i|a"], &[("u", "i", "a", true)]),
    (&["A admin.*|.acl|.acl.*"], &[("admin.1", ".acl", ".acl.addRule", true), ("u", ".acl", ".acl.addRule", false)]),
    (&["A admin|.user.*|.user.generateToken"], &[("admin", "bob", ".user.generateToken", false)]),
    (&["A admin|*|.user.generateToken"], &[("admin", "bob", ".user.generateToken", true)]),
    // Derived: a text with a wildcard behind all of it outranks the text.
    (&["D *|task.1|*", "A *|task.1*|*"], &[("u", "task.1", "a", true)]),
    (&["A *|task.1*|*", "D *|task.1|*"], &[("u", "task.1", "a", true)]),
    (&["A *|*|a*", "D *|*|a"], &[("u", "i", "a", true)]),
    (&["A *|*|*", "D u*|*|*", "A u|*|*"], &[("u", "i", "a", false), ("v", "i", "a", true)]),
    (&["A *|Ä*|*", "D *|Äp*|*"], &[("u", "Äpfel", "a", false), ("u", "Äste", "a", true)]),
    (&["A *|i|*", "A *|i|a", "D *|i|*"], &[("u", "i", "a", true), ("u", "i", "b", false)]),
];

fn start() -> (Served, Participant) {
    let served = serve();
    let root = Participant::root(&served.install);
    (served, root)
}

fn explain(served: &Served, who: &Participant, (user, item, action): (&str, &str, &str)) -> Value {
    let query: String = url(&[("user", user), ("item", item), ("action", action)]);
    who.ok(served, "GET", &format!("/api/v1/acl/explain?{query}"), &Value::Null)
}

fn url(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

/// Does it, and says whether it was let.
fn is_let(served: &Served, who: &Participant, (item, action): (&str, &str)) -> bool {
    let response = match action {
        ".acl.addRule" => who.rule(served, &["A nobody|nothing|never"]),
        ".user.generateToken" => who.send(served, "POST", "/api/v1/user/generateToken", &json!({ "user": item })),
        _ => who.push(served, &[who.event(item, action)]),
    };
    if response.status == 403 {
        assert_eq!(response.json()["error"], "Insufficient permissions");
    } else {
        assert_eq!(response.status, 200, "{}", response.text());
    }
    response.status == 200
}

#[test]
fn the_rules_decide_as_the_document_says() {
    for (rules, requests) in VECTORS {
        let (served, root) = start();
        let names = ["u", "v", "admin", "admin.1", "admin.123", "user.123", "bob"];
        let known = names.into_iter().filter(|name| *name == "bob" || requests.iter().any(|(user, ..)| user == name));
        let people: Vec<Participant> = known.map(|name| root.welcome(&served, name)).chain([root.clone()]).collect();
        for rule in rules {
            assert_eq!(root.rule(&served, &[rule]).status, 200);
        }
        for (user, item, action, expected) in requests {
            let explained = explain(&served, &root, (user, item, action));
            assert_eq!(explained["allowed"], *expected, "{rules:?} {user} {item} {action}: {explained}");
            let who = people.iter().find(|person| person.name == *user).unwrap();
            assert_eq!(is_let(&served, who, (item, action)), *expected, "{rules:?} {user} {item} {action}");
        }
    }
}

#[test]
fn of_many_equal_rules_the_latest_wins() {
    let (served, root) = start();
    let u = root.welcome(&served, "u");
    for count in 1..=61 {
        // Since the last one allowed, it is denied by this many, and allowed by one.
        assert_eq!(root.rule(&served, &vec!["D u|i|a"; count]).status, 200);
        assert!(!is_let(&served, &u, ("i", "a")), "{count}");
        assert_eq!(root.rule(&served, &["A u|i|a"]).status, 200);
        assert!(is_let(&served, &u, ("i", "a")), "{count}");
    }
    assert_eq!(root.ok(&served, "GET", "/api/v1/acl", &Value::Null), json!([rule_of("A u|i|a")]));
}

#[test]
fn rules_are_shown_as_they_are_posted_and_each_is_an_event() {
    let (served, root) = start();
    assert_eq!(root.ok(&served, "GET", "/api/v1/acl", &Value::Null), json!([]));
    let rules = ["A *|task.*|*", "D ann|task.1|edit", "A bob|\"<&>|ü"];
    assert_eq!(root.rule(&served, &rules).json(), json!({ "message": "ACL events submitted" }));
    let shown = root.ok(&served, "GET", "/api/v1/acl", &Value::Null);
    assert_eq!(shown, Value::from(rules.map(rule_of).to_vec()));
    let history = root.history(&served);
    for (event, rule) in history.iter().zip(rules.map(rule_of)) {
        let Value::String(payload) = &event["payload"] else { panic!("{event}") };
        assert_eq!(serde_json::from_str::<Value>(payload).unwrap(), rule);
        assert!(payload.starts_with("{\"user\":") && !payload.contains(": "), "{payload}");
        assert_eq!([&event["user"], &event["item"], &event["action"]], [".root", ".acl", ".acl.addRule"]);
        let uuid = event["uuid"].as_str().unwrap().replace('-', "");
        let seconds = u64::from_str_radix(&uuid[..12], 16).unwrap() / 1_000;
        assert_eq!((&uuid[12..13], &event["timestamp"]), ("7", &json!(seconds)));
    }
}

#[test]
fn whoever_may_not_write_rules_is_told_so_whatever_he_sent() {
    let (served, root) = start();
    let ann = root.welcome(&served, "ann");
    for body in ["", "{", "[]", "null"] {
        let request = ann.request("POST", "/acl", &Value::Null).body(body);
        let response = served.send(&request);
        assert_eq!((response.status, response.json()), (403, json!({ "error": "Insufficient permissions" })), "{body}");
    }
    let check = |who: &Participant, body: &Value, error: &str| {
        let response = who.send(&served, "POST", "/api/v1/acl", body);
        assert_eq!((response.status, response.json()), (400, json!({ "error": error })), "{body}");
    };
    check(&root, &json!([]), "At least one ACL rule required");
    check(&root, &json!({}), "Invalid request format");
    check(&root, &json!([rule_of("A |i|a")]), "user pattern cannot be empty");
    check(
        &root,
        &json!([rule_of("A u|i|a"), rule_of("A u|i*i|a")]),
        "item pattern can have at most one wildcard at the end",
    );
    check(&root, &json!([rule_of("invalid u|i|a")]), "type must be either 'allow' or 'deny'");
    assert_eq!(root.ok(&served, "GET", "/api/v1/acl", &Value::Null), json!([]));
    // A right to write rules is a right like any other.
    assert_eq!(root.rule(&served, &["A ann|.acl|.acl.addRule"]).status, 200);
    assert_eq!(ann.rule(&served, &["A ann|*|*"]).status, 200);
    assert!(is_let(&served, &ann, ("i", "a")));
    assert_eq!(root.rule(&served, &["D ann|.acl|.acl.addRule"]).status, 200);
    assert_eq!(ann.rule(&served, &["A ann|*|*"]).status, 403);
}

#[test]
fn the_ordered_list_binds_those_who_sign_in_once_it_was_put() {
    let (served, root) = start();
    let (ann, bob) = (Participant::signed_in(&served, &root, "ann"), root.welcome(&served, "bob"));
    let list = |rules: Value| json!({ "rules": rules });
    assert_eq!(ann.ok(&served, "GET", "/acl", &Value::Null), list(json!([])));
    let push = |who: &Participant, item: &str, action: &str| {
        who.send(&served, "POST", "/events", &json!([who.event(item, action)])).status
    };
    assert_eq!(root.rule(&served, &["A *|task.*|*"]).status, 200);
    assert_eq!((push(&ann, "task.1", "view"), push(&bob, "task.1", "view")), (200, 200));
    let rules = json!([
        { "user": "*", "item": "item123", "action": "view", "allow": true },
        { "user": "ann", "item": "*", "action": "edit", "allow": true },
        { "user": "*", "item": "task-*", "action": "view", "allow": true },
        { "user": "*", "item": "task-9", "action": "view", "allow": false },
    ]);
    for who in [&ann, &bob] {
        assert_eq!(who.send(&served, "PUT", "/acl", &list(rules.clone())).status, 403);
    }
    for bad in [
        json!({}),
        json!([]),
        list(Value::Null),
        list(json!([{ "user": "a*", "item": "i", "action": "a", "allow": true }])),
    ] {
        let response = root.send(&served, "PUT", "/acl", &bad);
        assert_eq!(
            (response.status, response.json()["error"].clone()),
            (400, json!("Invalid request format")),
            "{bad}"
        );
    }
    let put = root.send(&served, "PUT", "/acl", &list(rules.clone()));
    assert_eq!((put.status, put.body.len()), (204, 0));
    assert_eq!(bob.ok(&served, "GET", "/acl", &Value::Null), list(rules));
    assert_eq!((push(&ann, "task.1", "view"), push(&bob, "task.1", "view")), (403, 200));
    assert_eq!((push(&ann, "item123", "view"), push(&ann, "x", "edit"), push(&ann, "task-9", "view")), (200, 200, 200));
    assert_eq!(push(&ann, "task-9", "remove"), 403);
    let denied = |who| explain(&served, who, ("ann", "task.1", "view"));
    assert_eq!((denied(&ann)["allowed"].clone(), denied(&bob)["allowed"].clone()), (json!(false), json!(true)));
    assert!(denied(&ann)["reason"].as_str().unwrap().contains("list"));
    assert_eq!(root.ok(&served, "GET", "/api/v1/acl", &Value::Null), json!([rule_of("A *|task.*|*")]));
    assert_eq!(root.send(&served, "PUT", "/api/v1/acl", &list(json!([]))).status, 204);
    assert_eq!(push(&ann, "item123", "view"), 403);
}

#[test]
fn no_event_slips_in_under_a_rule_that_was_replaced() {
    let (served, root) = start();
    let ann = root.welcome(&served, "ann");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _over = SetOnDrop(&is_over);
            for n in 0..60 {
                let rule = if n % 2 == 0 { "A ann|task|*" } else { "D ann|task|*" };
                assert_eq!(root.rule(&served, &[rule]).status, 200);
            }
        });
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let status = ann.push(&served, &[ann.event("task", "edit")]).status;
                    assert!(status == 200 || status == 403, "{status}");
                }
            });
        }
    });
    // In the order of arrival, every event stands behind a rule that lets it.
    let log = root.ok(&served, "GET", "/api/v1/events?after=", &Value::Null);
    let mut is_allowed = false;
    let mut events = 0;
    for event in log.as_array().unwrap() {
        match event["item"].as_str().unwrap() {
            ".acl" => is_allowed = event["payload"].as_str().unwrap().contains("allow"),
            "task" => {
                assert!(is_allowed, "{event}");
                events += 1;
            }
            _ => {}
        }
    }
    assert!(events > 0, "some were let");
}
