//! Who is let in, a user's keys, and what asks for none.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use tombolo_core::Purpose;
use tombolo_core::limits::{KEYS_MAX, WRONG_TOKENS_PER_MINUTE};

use crate::{LAPTOP, PHONE, START, World, mood, on_each_store};

/// A key that nobody has.
const WRONG: &str = "wb_WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";

const GUARDED: [(&str, &str); 6] = [
    ("POST", "/v1/sync/upload"),
    ("POST", "/v1/sync/download"),
    ("DELETE", "/v1/sync/data"),
    ("GET", "/v1/auth/api-keys"),
    ("POST", "/v1/auth/api-keys"),
    ("DELETE", "/v1/auth/api-keys/ak_7fffffffffffffff"),
];

#[tokio::test]
async fn a_key_of_this_protocol_lets_in_and_nothing_else_does() {
    on_each_store(async |world| {
        let other = world.key_of(world.user, "terminal", Purpose::Td).await;
        let unauthorized = (401, "unauthorized".to_owned());
        for (method, path) in GUARDED {
            assert_eq!(world.send(method, path, &[], Body::empty()).await.problem(), unauthorized, "{path}");
            for key in [WRONG, "wb_", &other] {
                let answer = world.send_as(key, method, path, Body::empty()).await;
                assert_eq!(answer.problem(), unauthorized, "{path}");
            }
            let right = world.ask(method, path, Body::empty()).await;
            assert!(right.status != 401, "{path}: {}", right.body);
        }
        let by_header = world.send("GET", "/v1/auth/api-keys", &[("x-api-key", &world.key)], Body::empty()).await;
        assert_eq!(by_header.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_key_ends_and_wrong_ones_are_counted() {
    on_each_store(async |world| {
        world.env.advance(Duration::from_secs(3_601));
        let ended = world.download_as(&world.key).await;
        assert_eq!(ended.problem(), (401, "unauthorized".to_owned()));
        assert!(ended.body.contains("ended at 2027-01-15T09:00:00.000Z"), "{}", ended.body);
        for _ in 0..WRONG_TOKENS_PER_MINUTE {
            assert_eq!(world.download_as(WRONG).await.status, 401);
        }
        let limited = world.download_as(WRONG).await;
        assert_eq!(limited.problem(), (429, "rate_limited".to_owned()));
        assert!((1..=60).contains(&limited.header("retry-after").parse::<u64>().unwrap()));
        let right = world.key_of(world.user, "another", Purpose::Wellbeing).await;
        assert_eq!(world.download_as(&right).await.status, 200, "a wrong key keeps no right one out");
        assert!(world.send("GET", "/metrics", &[], Body::empty()).await.body.contains("class=\"wrong_key\""));
    })
    .await;
}

#[tokio::test]
async fn another_users_device_lets_nobody_in() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, START)]).await;
        let bob = world.user("bob").await;
        let key = world.key_of(bob, "phone", Purpose::Wellbeing).await;
        let others = (403, "device_of_another_user".to_owned());
        let upload = json!({ "device_id": LAPTOP.to_uppercase(), "changes": [mood(2, 4, START)] }).to_string();
        assert_eq!(world.send_as(&key, "POST", "/v1/sync/upload", upload).await.problem(), others);
        let download = json!({ "device_id": LAPTOP, "since": null }).to_string();
        assert_eq!(world.send_as(&key, "POST", "/v1/sync/download", download).await.problem(), others);
        // The same id of a record is another record for another user.
        let upload = json!({ "device_id": PHONE, "changes": [mood(1, 7, START)] }).to_string();
        assert_eq!(world.send_as(&key, "POST", "/v1/sync/upload", upload).await.ok()["conflicts"], json!([]));
        let mine = world.download(LAPTOP, None).await;
        assert_eq!(mine["changes"][0]["data"]["value"], 3);
        assert_eq!(mine["changes"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn keys_are_listed_made_and_revoked() {
    on_each_store(async |world| {
        let list = world.ask("GET", "/v1/auth/api-keys", Body::empty()).await.ok();
        let first = &list["api_keys"][0];
        assert_eq!((&first["name"], &first["created_at"]), (&"laptop".into(), &START.into()));
        assert_eq!(first["expires_at"], "2027-01-15T09:00:00.000Z");
        let made = world.ask("POST", "/v1/auth/api-keys", r#"{"name":" Ann's phone "}"#).await;
        assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
        let made = made.json();
        let (key, key_id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
        assert_eq!((made.as_object().unwrap().len(), &made["name"]), (3, &"Ann's phone".into()));
        assert!(key.starts_with("wb_") && key_id.starts_with("ak_"));
        let list = world.send_as(key, "GET", "/v1/auth/api-keys", Body::empty()).await.ok();
        let names: Vec<&Value> = list["api_keys"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
        assert_eq!(names, ["Ann's phone", "laptop"]);
        // It ends with the one that made it.
        assert_eq!(list["api_keys"][0]["expires_at"], list["api_keys"][1]["expires_at"]);
        assert!(!list.to_string().contains(&key[3..]));

        let again = world.ask("POST", "/v1/auth/api-keys", r#"{"name":"laptop"}"#).await;
        assert_eq!(again.problem(), (409, "name_taken".to_owned()));

        let path = format!("/v1/auth/api-keys/{key_id}");
        let bob = world.user("bob").await;
        let bobs = world.key_of(bob, "phone", Purpose::Wellbeing).await;
        for (who, path) in [
            (&bobs, path.as_str()),
            (&world.key, "/v1/auth/api-keys/ak_7fffffffffffffff"),
            (&world.key, "/v1/auth/api-keys/laptop"),
            (&world.key, "/v1/auth/api-keys/%ff"),
        ] {
            let answer = world.send_as(who, "DELETE", path, Body::empty()).await;
            assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{path}");
        }
        assert_eq!(world.ask("DELETE", &path, Body::empty()).await.status, 204);
        assert_eq!(world.download_as(key).await.status, 401);
        assert_eq!(world.ask("DELETE", &path, Body::empty()).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn a_key_of_another_protocol_is_neither_shown_nor_revoked() {
    on_each_store(async |world| {
        world.key_of(world.user, "terminal", Purpose::Td).await;
        let keys = world.store.credentials(Some(world.user)).await.unwrap();
        let td = keys.iter().find(|key| key.purpose == Purpose::Td).unwrap().id.public();
        let list = world.ask("GET", "/v1/auth/api-keys", Body::empty()).await.body;
        assert!(!list.contains(&td) && !list.contains("terminal"), "{list}");
        let path = format!("/v1/auth/api-keys/{td}");
        assert_eq!(world.ask("DELETE", &path, Body::empty()).await.status, 404);
        assert_eq!(world.store.credentials(Some(world.user)).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_key_may_not_be_called_and_how_many_there_are() {
    on_each_store(async |world| {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(101));
        for (body, expected) in [
            ("", (400, "invalid_json")),
            ("{", (400, "invalid_json")),
            ("{}", (422, "invalid_request")),
            (r#"["x"]"#, (422, "invalid_request")),
            (r#"{"name":null}"#, (422, "invalid_request")),
            (r#"{"name":7}"#, (422, "invalid_request")),
            (r#"{"name":"  "}"#, (422, "invalid_request")),
            (r#"{"name":"a\nb"}"#, (422, "invalid_request")),
            (&long, (422, "invalid_request")),
        ] {
            let (status, code) = world.ask("POST", "/v1/auth/api-keys", body.to_owned()).await.problem();
            assert_eq!((status, code.as_str()), expected, "{body}");
        }
        for n in 1..KEYS_MAX {
            let body = json!({ "name": format!("key {n}") }).to_string();
            assert_eq!(world.ask("POST", "/v1/auth/api-keys", body).await.status, 201);
        }
        let one_more = world.ask("POST", "/v1/auth/api-keys", r#"{"name":"one more"}"#).await;
        assert_eq!(one_more.problem(), (409, "too_many_keys".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn other_methods_are_told_which_are_taken() {
    on_each_store(async |world| {
        for (path, allow) in [
            ("/v1/sync/upload", "POST, OPTIONS"),
            ("/v1/sync/download", "POST, OPTIONS"),
            ("/v1/sync/data", "DELETE, OPTIONS"),
            ("/v1/auth/api-keys", "GET, HEAD, POST, OPTIONS"),
            ("/v1/auth/api-keys/ak_0000000000000001", "DELETE, OPTIONS"),
            ("/v1/meta", "GET, HEAD, OPTIONS"),
        ] {
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
                if allow.split(", ").any(|taken| taken == method) {
                    continue;
                }
                let answer = world.send(method, path, &[], Body::empty()).await;
                assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
                if method != "HEAD" {
                    assert_eq!(answer.problem().1, "method_not_allowed");
                }
            }
        }
        assert_eq!(world.ask("HEAD", "/v1/auth/api-keys", Body::empty()).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn what_this_server_is_and_takes_needs_no_key() {
    on_each_store(async |world| {
        let meta = world.send("GET", "/v1/meta", &[], Body::empty()).await.ok();
        assert_eq!((&meta["server"], &meta["protocol"]), (&"tombolo".into(), &"wellbeing/1".into()));
        assert_eq!(
            (&meta["limits"]["upload_changes"], &meta["limits"]["upload_bytes"]),
            (&100_000.into(), &33_554_432.into())
        );
        for path in ["/health", "/ready"] {
            assert_eq!(world.send("GET", path, &[], Body::empty()).await.status, 200);
        }
    })
    .await;
}

impl World {
    async fn download_as(&self, key: &str) -> crate::Answer {
        let body = json!({ "device_id": LAPTOP, "since": null }).to_string();
        self.send_as(key, "POST", "/v1/sync/download", body).await
    }
}
