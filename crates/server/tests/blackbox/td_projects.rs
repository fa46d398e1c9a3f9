//! td's projects and people, seen from outside: who may do what, over every route.

use serde_json::{Value, json};
use tombolo_testkit::http::Request;
use tombolo_testkit::served::Served;
use tombolo_testkit::td::{Teammate, event};

use crate::install;

/// Four people and what they are in a project; with a fifth, on whom things are done.
struct Team {
    served: Served,
    /// A stranger, a reader, a writer, an owner.
    people: [Teammate; 4],
    victim: Teammate,
}

impl Team {
    fn new() -> Self {
        // One owner asks for more in this minute than people do.
        let served = install().set("rate_limit.other=0").serve();
        let people = ["stranger", "reader", "writer", "owner"].map(|name| Teammate::new(&served.install, name));
        let victim = Teammate::new(&served.install, "victim");
        Self { served, people, victim }
    }

    fn owner(&self) -> &Teammate {
        &self.people[3]
    }

    /// A project of theirs, and in it the victim's id and an invitation's.
    fn project(&self) -> (String, String, String) {
        let (served, owner) = (&self.served, self.owner());
        let project = owner.create(served, "Lighthouse repairs");
        owner.add(served, &project, &self.people[1].email, "reader");
        owner.add(served, &project, &self.people[2].email, "writer");
        let victim = owner.add(served, &project, &self.victim.email, "reader");
        let path = format!("/v1/projects/{project}/invitations");
        let invitation = owner.ok(served, "POST", &path, &json!({ "email": "guest@example.org", "role": "reader" }));
        (project, victim, invitation["id"].as_str().unwrap().to_owned())
    }

    fn push(&self) -> Value {
        self.owner().batch(&[event(1, "td-1", "The lamp")])
    }
}

/// Each route of a project, what is sent to it, and what a stranger, a reader, a writer and an owner are answered.
fn routes(team: &Team, victim: &str, invitation: &str) -> Vec<(&'static str, String, Value, [u16; 4])> {
    let owners = |done| [403, 403, 403, done];
    let writers = |done| [403, 403, done, done];
    let all = |done| [403, done, done, done];
    let member = format!("/members/{victim}");
    vec![
        ("GET", String::new(), Value::Null, all(200)),
        ("PATCH", String::new(), json!({ "name": "Renamed" }), writers(200)),
        ("GET", "/members".to_owned(), Value::Null, all(200)),
        ("POST", "/members".to_owned(), json!({ "email": "new@example.org", "role": "reader" }), owners(201)),
        ("PATCH", member.clone(), json!({ "role": "writer" }), owners(200)),
        ("DELETE", member, Value::Null, owners(204)),
        ("POST", "/invitations".to_owned(), json!({ "email": "you@example.org", "role": "reader" }), owners(201)),
        ("GET", "/invitations".to_owned(), Value::Null, owners(200)),
        ("DELETE", format!("/invitations/{invitation}"), Value::Null, owners(204)),
        ("POST", "/sync/push".to_owned(), team.push(), writers(200)),
        ("GET", "/sync/pull".to_owned(), Value::Null, all(200)),
        ("GET", "/sync/status".to_owned(), Value::Null, all(200)),
        ("GET", "/sync/snapshot".to_owned(), Value::Null, all(404)),
        ("GET", "/events".to_owned(), Value::Null, all(200)),
        ("DELETE", String::new(), Value::Null, owners(204)),
    ]
}

/// What makes no sense on a route, and what its four are answered.
fn malformed(victim: &str) -> Vec<(&'static str, String, Value, [u16; 4])> {
    let owners = [403, 403, 403, 400];
    let writers = [403, 403, 400, 400];
    let all = [403, 400, 400, 400];
    vec![
        ("PATCH", String::new(), json!({ "name": 7 }), writers),
        ("PATCH", String::new(), json!({ "name": "" }), writers),
        ("POST", "/members".to_owned(), json!([]), owners),
        ("POST", "/members".to_owned(), json!({ "email": "nobody", "role": "reader" }), owners),
        ("PATCH", format!("/members/{victim}"), json!({ "role": "king" }), owners),
        ("PATCH", format!("/members/{victim}"), json!(7), owners),
        ("POST", "/invitations".to_owned(), json!({}), owners),
        ("POST", "/invitations".to_owned(), json!("x"), owners),
        ("POST", "/sync/push".to_owned(), json!({ "events": 7 }), writers),
        ("POST", "/sync/push".to_owned(), json!({ "device_id": "d", "session_id": "s", "events": [] }), writers),
        ("GET", "/sync/pull?limit=x".to_owned(), Value::Null, all),
    ]
}

#[test]
fn who_may_not_ask_is_told_that_before_what_is_wrong() {
    let team = Team::new();
    let (project, victim, _) = team.project();
    for gone in [false, true] {
        if gone {
            team.owner().ok(&team.served, "DELETE", &format!("/v1/projects/{project}"), &Value::Null);
        }
        for (place, who) in team.people.iter().enumerate() {
            for (method, rest, body, expected) in malformed(&victim) {
                let (status, text) = status(&team, who, method, &project, &rest, &body);
                let expected = if gone && place > 0 { 404 } else { expected[place] };
                assert_eq!(status, expected, "{} {method} {rest} {body}: {text}", who.email);
            }
            let stream = who.stream(&team.served, &project, Some("yesterday")).status();
            assert_eq!(stream, ["403", if gone { "404" } else { "400" }][usize::from(place > 0)], "{}", who.email);
        }
    }
}

#[test]
fn who_leaves_is_answered_by_what_he_is() {
    let team = Team::new();
    for (who, expected) in team.people.iter().zip([403, 204, 204, 409]) {
        let (project, ..) = team.project();
        let members = team.owner().ok(&team.served, "GET", &format!("/v1/projects/{project}/members"), &Value::Null);
        let own = members.as_array().unwrap().iter().find(|member| member["email"] == who.email.as_str());
        let id = own.map_or("u_7fffffffffffffff", |member| member["user_id"].as_str().unwrap()).to_owned();
        let (status, text) = status(&team, who, "DELETE", &project, &format!("/members/{id}"), &Value::Null);
        assert_eq!(status, expected, "{}: {text}", who.email);
    }
}

/// What a route answers; of a stream, only how it begins.
fn status(team: &Team, who: &Teammate, method: &str, project: &str, rest: &str, body: &Value) -> (u16, String) {
    if rest == "/events" {
        let status = who.stream(&team.served, project, None).status();
        if status == "200" {
            return (200, String::new());
        }
    }
    let response = who.send(&team.served, method, &format!("/v1/projects/{project}{rest}"), body);
    (response.status, response.text())
}

#[test]
fn each_role_may_do_on_each_route_what_the_table_says() {
    let team = Team::new();
    let count = routes(&team, "", "").len();
    for route in 0..count {
        for (place, who) in team.people.iter().enumerate() {
            let (project, victim, invitation) = team.project();
            let (method, rest, body, expected) = routes(&team, &victim, &invitation).swap_remove(route);
            let (status, text) = status(&team, who, method, &project, &rest, &body);
            assert_eq!(status, expected[place], "{} {method} {rest}: {text}", who.email);
        }
    }
}

#[test]
fn a_deleted_project_is_gone_on_each_route_and_comes_back() {
    let team = Team::new();
    let (project, victim, invitation) = team.project();
    team.owner().push(&team.served, &project, &[event(1, "td-1", "The lamp")]);
    team.owner().ok(&team.served, "DELETE", &format!("/v1/projects/{project}"), &Value::Null);
    for (method, rest, body, _) in routes(&team, &victim, &invitation) {
        for (place, who) in team.people.iter().enumerate() {
            let (status, text) = status(&team, who, method, &project, &rest, &body);
            assert_eq!(status, if place == 0 { 403 } else { 404 }, "{} {method} {rest}: {text}", who.email);
            assert!(text.contains(if place == 0 { "\"forbidden\"" } else { "\"not_found\"" }), "{text}");
        }
    }
    assert_eq!(team.owner().ok(&team.served, "GET", "/v1/projects", &Value::Null), json!([]));
    team.served.install.ok(&["project", "restore", &project]);
    assert_eq!(team.owner().pull(&team.served, &project, 0, 100).len(), 1);
    team.served.install.refused(&["project", "restore", &project]);
    team.served.install.ok(&["project", "delete", &project]);
    let gone = team.owner().send(&team.served, "GET", &format!("/v1/projects/{project}/sync/pull"), &Value::Null);
    assert_eq!(gone.status, 404);
}

#[test]
fn every_route_asks_for_a_key_of_td() {
    let team = Team::new();
    let (project, victim, invitation) = team.project();
    let other = team.served.install.token("tickit");
    let outside = ["/v1/projects", "/v1/keys", "/v1/invitations"].map(|path| ("GET", path.to_owned()));
    let inside = routes(&team, &victim, &invitation).into_iter();
    let inside = inside.map(|(method, rest, ..)| (method, format!("/v1/projects/{project}{rest}")));
    for (method, path) in outside.into_iter().chain(inside) {
        let bare = team.served.send(&Request::new(method, &path));
        assert_eq!(bare.status, 401, "{method} {path} without a key");
        assert_eq!(bare.json()["code"], "unauthorized");
        assert_eq!(bare.json()["error"]["code"], "unauthorized");
        let foreign = team.served.send(&Request::new(method, &path).bearer(&other));
        assert_eq!(foreign.status, 401, "{method} {path} with a key of Tickit");
    }
    let body = br#"{"device_id":"d","last_sync":null,"changes":[]}"#.as_slice();
    let key = &team.owner().key;
    assert_eq!(team.served.send(&Request::post("/api/v1/sync", body).bearer(key)).status, 401, "a key of td on Tickit");
}

#[test]
fn mistakes_are_told_as_such() {
    let team = Team::new();
    let (project, victim, _) = team.project();
    let (served, owner) = (&team.served, team.owner());
    let owner_id =
        owner.ok(served, "GET", &format!("/v1/projects/{project}/members"), &Value::Null)[0]["user_id"].clone();
    let owner_id = owner_id.as_str().unwrap().to_owned();
    let unknown = "u_7fffffffffffffff";
    let cases = [
        ("POST", "/v1/projects".to_owned(), json!({ "name": "" }), 400, "bad_request"),
        ("POST", "/v1/projects".to_owned(), json!({ "name": "x".repeat(10_000) }), 400, "bad_request"),
        ("POST", "/v1/projects".to_owned(), json!({ "name": "a\u{0}b" }), 400, "bad_request"),
        ("POST", "/v1/projects".to_owned(), json!({ "name": 7 }), 400, "bad_request"),
        ("POST", "/v1/projects".to_owned(), json!([]), 400, "bad_request"),
        ("PATCH", format!("/v1/projects/{project}"), json!({ "name": "" }), 400, "bad_request"),
        ("POST", format!("/v1/projects/{project}/members"), json!({}), 400, "bad_request"),
        (
            "POST",
            format!("/v1/projects/{project}/members"),
            json!({ "email": "not an email", "role": "reader" }),
            400,
            "bad_request",
        ),
        (
            "POST",
            format!("/v1/projects/{project}/members"),
            json!({ "email": "a@example.org", "role": "king" }),
            400,
            "bad_request",
        ),
        (
            "POST",
            format!("/v1/projects/{project}/members"),
            json!({ "user_id": unknown, "role": "reader" }),
            404,
            "not_found",
        ),
        (
            "POST",
            format!("/v1/projects/{project}/members"),
            json!({ "user_id": "nobody", "role": "reader" }),
            404,
            "not_found",
        ),
        (
            "POST",
            format!("/v1/projects/{project}/members"),
            json!({ "user_id": victim, "role": "reader" }),
            409,
            "conflict",
        ),
        ("PATCH", format!("/v1/projects/{project}/members/{victim}"), json!({ "role": "king" }), 400, "bad_request"),
        ("PATCH", format!("/v1/projects/{project}/members/{unknown}"), json!({ "role": "reader" }), 404, "not_found"),
        ("PATCH", format!("/v1/projects/{project}/members/{owner_id}"), json!({ "role": "reader" }), 409, "last_owner"),
        ("DELETE", format!("/v1/projects/{project}/members/{owner_id}"), Value::Null, 409, "last_owner"),
        ("DELETE", format!("/v1/projects/{project}/members/{unknown}"), Value::Null, 404, "not_found"),
        ("DELETE", format!("/v1/projects/{project}/invitations/inv_7fffffffffffffff"), Value::Null, 404, "not_found"),
        ("POST", "/v1/invitations/inv_7fffffffffffffff/accept".to_owned(), Value::Null, 404, "not_found"),
        ("DELETE", "/v1/keys/ak_7fffffffffffffff".to_owned(), Value::Null, 404, "not_found"),
        ("GET", "/v1/projects/p_0000000000000001".to_owned(), Value::Null, 403, "forbidden"),
        ("GET", "/v1/projects/p_7fffffffffffffff/sync/pull".to_owned(), Value::Null, 403, "forbidden"),
        ("GET", "/v1/projects/%00/sync/pull".to_owned(), Value::Null, 403, "forbidden"),
    ];
    for (method, path, body, status, code) in cases {
        let response = owner.send(served, method, &path, &body);
        assert_eq!(response.status, status, "{method} {path} {body:.100}: {}", response.text());
        let answer = response.json();
        assert_eq!((&answer["code"], &answer["error"]["code"]), (&json!(code), &json!(code)), "{method} {path}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{method} {path}");
    }
}

#[test]
fn a_member_may_leave_and_the_last_owner_may_not() {
    let team = Team::new();
    let (project, victim, _) = team.project();
    let path = format!("/v1/projects/{project}/members/{victim}");
    assert_eq!(team.victim.send(&team.served, "DELETE", &path, &Value::Null).status, 204);
    assert_eq!(team.victim.send(&team.served, "DELETE", &path, &Value::Null).status, 403);
}

#[test]
fn who_is_invited_accepts_or_declines() {
    let team = Team::new();
    let (served, owner) = (&team.served, team.owner());
    let project = owner.create(served, "Lighthouse repairs");
    let path = format!("/v1/projects/{project}/invitations");
    let guest = &team.people[0];
    let invited = owner.ok(served, "POST", &path, &json!({ "email": guest.email.to_uppercase(), "role": "writer" }));
    let own = guest.ok(served, "GET", "/v1/invitations", &Value::Null);
    assert_eq!(own[0]["id"], invited["id"]);
    assert_eq!(team.victim.ok(served, "GET", "/v1/invitations", &Value::Null), json!([]));
    let accept = format!("/v1/invitations/{}/accept", invited["id"].as_str().unwrap());
    assert_eq!(team.victim.send(served, "POST", &accept, &Value::Null).status, 404, "somebody else's");
    let member = guest.ok(served, "POST", &accept, &Value::Null);
    assert_eq!(member["role"], "writer");
    assert_eq!(guest.send(served, "POST", &accept, &Value::Null).status, 409, "a second time");
    assert_eq!(guest.push(served, &project, &[event(1, "td-1", "The lamp")]).status, 200);
    let again = owner.send(served, "POST", &path, &json!({ "email": guest.email, "role": "writer" }));
    assert_eq!(again.status, 409, "he belongs to it already");
    let declined = owner.ok(served, "POST", &path, &json!({ "email": team.victim.email, "role": "reader" }));
    let decline = format!("/v1/invitations/{}/decline", declined["id"].as_str().unwrap());
    assert_eq!(team.victim.ok(served, "POST", &decline, &Value::Null), json!({ "status": "declined" }));
    assert_eq!(team.victim.send(served, "GET", &format!("/v1/projects/{project}"), &Value::Null).status, 403);
}

#[test]
fn people_see_and_revoke_their_own_keys_only() {
    let team = Team::new();
    let served = &team.served;
    let [stranger, reader, ..] = &team.people;
    let keys = reader.ok(served, "GET", "/v1/keys", &Value::Null);
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
    assert_eq!(keys[0]["name"], "terminal");
    let mut fields: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["created_at", "expires_at", "id", "last_used_at", "name"]);
    let path = format!("/v1/keys/{}", keys[0]["id"].as_str().unwrap());
    assert_eq!(stranger.send(served, "DELETE", &path, &Value::Null).status, 404, "somebody else's key");
    assert_eq!(reader.send(served, "DELETE", &path, &Value::Null).status, 204);
    assert_eq!(reader.send(served, "GET", "/v1/keys", &Value::Null).status, 401, "it opens nothing any more");
}
