//! Users, keys, setup tokens and sessions of simple-sync, seen from outside.

use serde_json::{Value, json};
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::simple_sync::Participant;

use crate::{serve, stored};

fn start() -> (Served, Participant) {
    let served = serve();
    let root = Participant::root(&served.install);
    (served, root)
}

fn generate(served: &Served, root: &Participant, user: &str) -> String {
    let made = root.ok(served, "POST", "/api/v1/user/generateToken", &json!({ "user": user }));
    assert!(made["expiresAt"].as_str().unwrap().ends_with('Z'), "{made}");
    made["token"].as_str().unwrap().to_owned()
}

fn exchange(served: &Served, token: &str) -> Response {
    served.send(&Request::post("/api/v1/user/exchangeToken", json!({ "token": token }).to_string()))
}

fn sign_in(served: &Served, username: &str, password: &str) -> Response {
    let credentials = json!({ "username": username, "password": password });
    served.send(&Request::post("/auth/token", credentials.to_string()))
}

fn read(served: &Served, who: &Participant) -> u16 {
    who.send(served, "GET", "/events", &Value::Null).status
}

fn is_refused(response: &Response, status: u16, error: &str) {
    assert_eq!((response.status, response.json()), (status, json!({ "error": error })));
}

#[test]
fn a_user_is_made_given_keys_and_loses_them() {
    let (served, root) = start();
    let created = root.event(".user.ann", ".user.create");
    assert_eq!(root.push(&served, std::slice::from_ref(&created)).status, 200);
    assert_eq!(root.push(&served, &[created]).status, 200, "the same again is the same");
    let again = root.event(".user.ann", ".user.create");
    let known = root.push(&served, &[root.event("task", "edit"), again.clone()]);
    assert_eq!(
        (known.status, known.json()),
        (409, json!({ "error": "User already exists", "eventUuid": again["uuid"] }))
    );
    let keys: Vec<Participant> = (0..2)
        .map(|_| {
            let made = exchange(&served, &generate(&served, &root, "ann")).json();
            assert_eq!((&made["user"], &made["description"]), (&json!("ann"), &json!("")));
            Participant::with_key("ann", made["apiKey"].as_str().unwrap())
        })
        .collect();
    assert!(keys.iter().all(|key| key.secret().len() == 46 && key.secret().starts_with("sk_")));
    assert_eq!((read(&served, &keys[0]), read(&served, &keys[1])), (200, 200), "several keys are good at once");
    let reset = root.send(&served, "POST", "/api/v1/user/resetKey", &json!({ "user": "ann" }));
    assert_eq!((reset.status, reset.json()), (200, json!({ "message": "API keys invalidated successfully" })));
    assert_eq!((read(&served, &keys[0]), read(&served, &keys[1]), read(&served, &root)), (401, 401, 200));
    // Whoever is not there has no keys.
    assert_eq!(root.send(&served, "POST", "/api/v1/user/resetKey", &json!({ "user": "nobody" })).status, 200);
    let audit: Vec<(Value, Value)> =
        root.history(&served).iter().map(|event| (event["user"].clone(), event["action"].clone())).collect();
    for (user, action, count) in
        [(".root", ".user.generateToken", 2), ("ann", ".user.exchangeToken", 2), (".root", ".user.resetKey", 2)]
    {
        let found = audit.iter().filter(|(who, what)| who == user && what == action);
        assert_eq!(found.count(), count, "{action}");
    }
    let stored = String::from_utf8_lossy(&stored(&served)).into_owned();
    assert!(keys.iter().all(|key| !stored.contains(key.secret())), "a key is never stored");
}

#[test]
fn a_setup_token_is_good_once_however_many_try_it() {
    let (served, root) = start();
    assert_eq!(root.push(&served, &[root.event(".user.ann", ".user.create")]).status, 200);
    let earlier = generate(&served, &root, "ann");
    let token = generate(&served, &root, "ann");
    is_refused(&exchange(&served, &earlier), 400, "Failed to exchange setup token");
    let tries: Vec<Response> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| exchange(&served, &token))).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    let (made, refused): (Vec<&Response>, Vec<&Response>) = tries.iter().partition(|tried| tried.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|tried| tried.json()["error"] == "Failed to exchange setup token"));
    assert_eq!(read(&served, &Participant::with_key("ann", made[0].json()["apiKey"].as_str().unwrap())), 200);
    let uuid = made[0].json()["keyUuid"].clone();
    assert!(root.history(&served).iter().any(|event| event["uuid"] == uuid), "the history tells of the key");
}

#[test]
fn setup_tokens_are_asked_for_in_the_words_of_each_generation() {
    let (served, root) = start();
    let generate = |path: &str, body: &Value| root.send(&served, "POST", path, body);
    is_refused(&generate("/api/v1/user/generateToken", &json!({ "user": "nobody" })), 404, "User not found");
    for body in [json!({}), json!({ "user": "" }), json!([]), json!({ "user": null }), json!({ "user": "a\nb" })] {
        is_refused(&generate("/api/v1/user/generateToken", &body), 400, "Invalid request format");
    }
    is_refused(&generate("/api/v1/user/generateToken", &Value::Null), 400, "Invalid request format");
    is_refused(&generate("/api/v1/user/generateToken?user=", &Value::Null), 400, "user parameter required");
    for path in ["/api/v1/user/generateToken", "/api/v1/user/resetKey", "/api/v1/user/resetKey?user=&user=ann"] {
        let request = Request::new("POST", path).bearer(root.secret());
        is_refused(&served.send(&request), 400, "user parameter required");
        is_refused(&served.send(&request.body("{}")), 400, "Invalid request format");
    }
    assert_eq!(root.push(&served, &[root.event(".user.ann", ".user.create")]).status, 200);
    let request = Request::new("POST", "/api/v1/user/generateToken?user=ann").bearer(root.secret());
    let token = served.send(&request).json()["token"].as_str().unwrap().to_owned();
    let is_letters =
        |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let (first, second) = token.split_once('-').unwrap();
    assert!(is_letters(first) && is_letters(second), "{token}");
    let path = "/api/v1/setup/exchangeToken";
    let exchange =
        |token: &str| served.send(&Request::post(path, json!({ "token": token, "description": "laptop" }).to_string()));
    is_refused(&exchange("AAAA-AAAA"), 401, "Unauthorized");
    let made = exchange(&token).json();
    assert_eq!((&made["user"], &made["description"]), (&json!("ann"), &json!("laptop")));
    is_refused(&exchange(&token), 401, "Unauthorized");
    is_refused(&exchange(""), 400, "Invalid request format");
}

#[test]
fn whoever_stands_above_the_rules_is_not_for_those_below_them() {
    let (served, root) = start();
    let ann = root.welcome(&served, "ann");
    assert_eq!(root.rule(&served, &["A *|*|*"]).status, 200);
    assert_eq!(root.push(&served, &[root.event(".user.bob", ".user.create")]).status, 200);
    for path in ["/api/v1/user/generateToken", "/api/v1/user/resetKey"] {
        assert_eq!(ann.send(&served, "POST", path, &json!({ "user": "bob" })).status, 200);
        is_refused(&ann.send(&served, "POST", path, &json!({ "user": ".root" })), 403, "Insufficient permissions");
    }
    assert_eq!(read(&served, &root), 200);
}

#[test]
fn wrong_keys_are_limited_and_right_ones_are_not() {
    let (served, root) = start();
    let wrong = |n: usize| format!("sk_{n:043}");
    let statuses: Vec<u16> = (0..40)
        .map(|n| {
            let response = served.send(&Request::get("/events").header("X-API-Key", &wrong(n)));
            assert!(response.status == 401 || response.header("retry-after").is_some());
            assert_eq!(read(&served, &root), 200);
            response.status
        })
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(statuses[39], 429);
}

#[test]
fn wrong_passwords_and_setup_tokens_are_limited() {
    let (served, root) = start();
    let _ann = Participant::signed_in(&served, &root, "ann");
    let statuses: Vec<u16> = (0..21).map(|_| sign_in(&served, "ann", "wrong horse").status).collect();
    assert_eq!((&statuses[..20], statuses[20]), (&[401; 20][..], 429));
    assert!(sign_in(&served, "ann", "correct horse").header("retry-after").is_some(), "not even the right one");
    let statuses: Vec<u16> = (0..21).map(|_| exchange(&served, "AAAA-AAAA").status).collect();
    assert_eq!((&statuses[..20], statuses[20]), (&[400; 20][..], 429));
}

#[test]
fn a_session_is_for_whoever_is_still_let_in() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    is_refused(&sign_in(&served, "ann", "wrong horse"), 401, "Invalid username or password");
    is_refused(&sign_in(&served, "nobody", "wrong horse"), 401, "Invalid username or password");
    for body in [
        "",
        "{}",
        "[]",
        r#"{"username":"ann"}"#,
        r#"{"username":"ann","password":""}"#,
        r#"{"username":7,"password":"x"}"#,
    ] {
        is_refused(&served.send(&Request::post("/api/v1/auth/token", body)), 400, "Invalid request format");
    }
    assert_eq!(read(&served, &ann), 200);
    let parts: Vec<&str> = ann.secret().split('.').collect();
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
    let other = serve();
    let stranger = Participant::signed_in(&other, &Participant::root(&other.install), "ann");
    for forged in [&none, stranger.secret(), &format!("{}.{}.", parts[0], parts[1]), &format!("{}x", ann.secret())] {
        is_refused(&served.send(&Request::get("/events").bearer(forged)), 401, "Invalid or expired token");
    }
    served.install.ok(&["user", "disable", "ann"]);
    is_refused(&ann.send(&served, "GET", "/events", &Value::Null), 401, "Invalid or expired token");
    is_refused(&sign_in(&served, "ann", "correct horse"), 401, "Invalid username or password");
}

#[test]
fn sessions_outlive_the_process() {
    let (mut served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    assert!(served.terminate().success());
    served.start_again();
    assert_eq!(read(&served, &ann), 200);
}

#[test]
fn root_makes_users_and_changes_what_they_sign_in_with() {
    let (served, root) = start();
    let ann = Participant::signed_in(&served, &root, "ann");
    let user = |uuid: &str, username: &str, password: &str| json!({ "uuid": uuid, "username": username, "password": password });
    let create = |who: &Participant, body: &Value| who.send(&served, "POST", "/api/v1/admin/users", body);
    is_refused(&create(&ann, &Value::Null), 403, "Insufficient permissions");
    let made = create(&root, &user("b-1", "bob", "correct horse"));
    assert_eq!((made.status, made.json()), (201, json!({ "uuid": "b-1" })));
    is_refused(&create(&root, &user("b-1", "bobby", "correct horse")), 409, "User already exists");
    is_refused(&create(&root, &user("b-2", "bob", "correct horse")), 409, "Username already exists");
    for bad in [
        user("", "cai", "correct horse"),
        user(".cai", "cai", "correct horse"),
        user("cai", "ca", "correct horse"),
        user("cai", "c.ai", "correct horse"),
        user("cai", "cai", ""),
    ] {
        is_refused(&create(&root, &bad), 400, "Invalid request format");
    }
    assert_eq!(sign_in(&served, "bob", "correct horse").status, 200);
    let change = |uuid: &str, body: &Value| root.send(&served, "PUT", &format!("/admin/users/{uuid}"), body);
    let renamed = change("b-1", &json!({ "new_username": "robert", "new_password": "another horse" }));
    assert_eq!((renamed.status, renamed.body.len()), (204, 0));
    assert_eq!(sign_in(&served, "bob", "correct horse").status, 401);
    let session = sign_in(&served, "robert", "another horse").json()["token"].as_str().unwrap().to_owned();
    assert_eq!(root.rule(&served, &["A b-1|*|*"]).status, 200);
    let event = json!([{ "uuid": "e", "timestamp": 1, "itemUuid": "task", "action": "edit" }]);
    let pushed = served.send(&Request::post("/events", event.to_string()).bearer(&session)).json();
    assert_eq!(pushed[0]["userUuid"], "b-1", "what he is known as stays");
    is_refused(&change("nobody", &json!({ "new_username": "cai" })), 404, "User not found");
    is_refused(&change("b-1", &json!({ "new_username": "ann" })), 409, "Username already exists");
    for bad in [json!({}), json!({ "new_password": "" }), json!([])] {
        is_refused(&change("b-1", &bad), 400, "Invalid request format");
    }
    is_refused(&ann.send(&served, "PUT", "/admin/users/b-1", &Value::Null), 403, "Insufficient permissions");
}
