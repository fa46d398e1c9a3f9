//! What is taken, in how many spellings, and what is refused alone.

use serde_json::{Value, json};
use tombolo_testkit::http::gzip;

use crate::{LAPTOP, PHONE, START, World, activity, cursor, id, ids, mood, on_each_store};

/// The change of an unknown kind with `data` as they are written.
fn foreign(number: u32, data: &str) -> String {
    format!(r#"{{"entity_type":"sleep_log","id":"{}","updated_at":"{START}","data":{data}}}"#, id(number))
}

/// The text of `data` in a download that brings one change.
async fn data_of_one(world: &World) -> String {
    let body = world.fetch(PHONE, None).await.body;
    assert_eq!(body.matches(r#""entity_type":"#).count(), 1, "{body}");
    let (_, rest) = body.split_once(r#""data":"#).unwrap();
    rest.rsplit_once(r#","version":"#).unwrap().0.to_owned()
}

#[tokio::test]
async fn what_is_sent_comes_back_in_one_spelling() {
    on_each_store(async |world| {
        let change = json!({
            "entity_type": "mood_entry", "id": id(1).to_uppercase(),
            "updated_at": [2027, 15, 7, 30, 0, 250_000_000, 1, 0, 0],
            "data": {
                "id": id(1), "score": 6, "notes": "fine",
                "recorded_at": "2027-01-14 20:00:00.0 +00:00:00",
                "metadata": { "created_at": "2027-01-14 20:00:00", "updated_at": "1999-01-01T00:00:00Z" }
            }
        });
        let answer = world.upload(&LAPTOP.to_uppercase(), None, &[change]).await;
        assert_eq!((ids(&answer["applied_ids"]), &answer["conflicts"]), (vec![id(1).as_str()], &json!([])));
        assert_eq!(answer["applied"], answer["applied_ids"]);
        let page = world.download(PHONE, None).await;
        let shown = &page["changes"][0];
        assert_eq!((&shown["entity_type"], &shown["id"]), (&"MoodEntry".into(), &id(1).into()));
        assert_eq!((&shown["updated_at"], &shown["deleted"]), (&"2027-01-15T06:30:00.250Z".into(), &false.into()));
        assert_eq!(shown["version"], answer["versions"][id(1)]);
        let data = &shown["data"];
        assert_eq!((&data["value"], &data["note"]), (&6.into(), &"fine".into()));
        assert_eq!(data["recorded_at"], "2027-01-14T20:00:00.000Z");
        // The envelope counts, not what the data say.
        assert_eq!(data["metadata"]["updated_at"], "2027-01-15T06:30:00.250Z");
        assert_eq!(data["metadata"]["created_at"], "2027-01-14T20:00:00.000Z");
    })
    .await;
}

#[tokio::test]
async fn a_bad_change_is_refused_alone() {
    on_each_store(async |world| {
        let with = |pointer: &str, value: Value| {
            let mut change = mood(9, 3, START);
            *change.pointer_mut(pointer).unwrap() = value;
            change.to_string()
        };
        let without = |name: &str| {
            let mut change = mood(9, 3, START);
            change.as_object_mut().unwrap().remove(name);
            change.to_string()
        };
        let bad = [
            ("7".to_owned(), "it is no JSON object of a change"),
            ("null".to_owned(), "it is no JSON object of a change"),
            ("[]".to_owned(), "it is no JSON object of a change"),
            (r#"{"id":"x","id":"x"}"#.to_owned(), "it is no JSON object of a change"),
            ("{}".to_owned(), "entity_type is missing"),
            (without("entity_type"), "entity_type is missing"),
            (with("/entity_type", 7.into()), "entity_type is no text"),
            (with("/entity_type", "a/b".into()), "entity_type: "),
            (without("id"), "id is missing"),
            (with("/id", "7".into()), "id is no UUID"),
            (without("updated_at"), "updated_at is missing"),
            (with("/updated_at", "now".into()), "updated_at is no time"),
            (with("/updated_at", "9999-12-31T00:00:00Z".into()), "updated_at is no time"),
            (with("/updated_at", 1e300.into()), "updated_at is no time"),
            (with("/deleted", "yes".into()), "deleted is neither true nor false"),
            (without("data"), "data is missing"),
            (with("/data", Value::Null), "data is missing"),
            (with("/data", "text".into()), "data"),
            (with("/data", json!([1])), "data"),
            (with("/data", json!({})), ""),
            (with("/data/value", 8.into()), "value"),
            (with("/data/value", 0.into()), "value"),
            (with("/data/value", Value::Null), "value"),
        ];
        let (first, last) = (mood(1, 3, START).to_string(), mood(2, 4, START).to_string());
        let changes: Vec<&str> = [first.as_str()]
            .into_iter()
            .chain(bad.iter().map(|(change, _)| change.as_str()))
            .chain([last.as_str()])
            .collect();
        let answer = world.bring(LAPTOP, None, &changes).await.ok();
        assert_eq!(ids(&answer["applied_ids"]), [id(1), id(2)]);
        let conflicts = answer["conflicts"].as_array().unwrap();
        assert_eq!(conflicts.len(), bad.len());
        for (conflict, (change, reason)) in conflicts.iter().zip(&bad) {
            let told = conflict["reason"].as_str().unwrap();
            assert!(told.starts_with(&format!("invalid: {reason}")), "{change}: {told}");
            let sent: Value = serde_json::from_str(change).unwrap();
            if sent.as_object().is_some_and(|sent| sent.len() > 1) {
                assert_eq!(conflict["id"], *sent["id"].as_str().unwrap_or_default(), "{conflict}");
                assert_eq!(conflict["entity_type"], *sent["entity_type"].as_str().unwrap_or_default(), "{conflict}");
            }
        }
        assert_eq!(ids(&world.download(PHONE, None).await["changes"]), [id(1), id(2)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_known_comes_back_as_it_was() {
    on_each_store(async |world| {
        let data = concat!(
            r#"{"z":1.0,"a":12345678901234567890123456789,"e":1e400,"n":null,"deep":{"b":[1,{"c":"\ud800"}],"a":-0},"#,
            r#""text":"ä","metadata":{"by":"x"}}"#
        );
        let spaced = data.replace(',', " ,\n ").replace(':', "\t: ");
        let answer = world.bring(LAPTOP, None, &[&foreign(1, &spaced)]).await.ok();
        assert_eq!(answer["conflicts"], json!([]));
        let back = data_of_one(&world).await;
        let sorted = |text: &str| {
            let members: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_str(text).unwrap();
            members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&back), sorted(data));
        let body = world.fetch(PHONE, None).await.body;
        assert!(body.contains(r#"[{"entity_type":"sleep_log","id":"#), "{body}");
    })
    .await;
}

#[tokio::test]
async fn unknown_members_of_known_kinds_come_back() {
    on_each_store(async |world| {
        let mut change = activity(1, " Running ", START);
        change["data"]["streak"] = json!({ "best": 1.50, "now": [1, 2] });
        change["data"]["metadata"]["device"] = "tablet".into();
        let text = change.to_string().replace("1.5,", "1.50,");
        world.bring(LAPTOP, None, &[&text]).await.ok();
        let back = data_of_one(&world).await;
        assert!(back.contains(r#""streak":{"best":1.50,"now":[1,2]}"#), "{back}");
        let back: Value = serde_json::from_str(&back).unwrap();
        assert_eq!((&back["label"], &back["metadata"]["device"]), (&"Running".into(), &"tablet".into()));
    })
    .await;
}

#[tokio::test]
async fn what_is_encrypted_passes_unread_and_wins_as_a_whole() {
    on_each_store(async |world| {
        let sealed = |seal: &str, at: &str| {
            let data = format!(r#"{{"enc":"v1","nonce":"n","text":"{seal}","value":99}}"#);
            format!(r#"{{"entity_type":"MoodEntry","id":"{}","updated_at":"{at}","data":{data},"base":null}}"#, id(1))
        };
        world.bring(LAPTOP, None, &[&sealed("later", "2027-01-15T07:00:01Z")]).await.ok();
        let lost = world.bring(PHONE, None, &[&sealed("earlier", "2027-01-15T07:00:00Z")]).await.ok();
        assert_eq!(lost["conflicts"][0]["reason"], "server_newer");
        assert_eq!(data_of_one(&world).await, r#"{"enc":"v1","nonce":"n","text":"later","value":99}"#);
    })
    .await;
}

#[tokio::test]
async fn what_is_hostile_is_refused_or_kept_and_breaks_nothing() {
    on_each_store(async |world| {
        let deep = |levels: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let answer = world
            .bring(
                LAPTOP,
                None,
                &[
                    &foreign(1, &deep(60)),
                    &foreign(2, &deep(65)),
                    &foreign(3, &deep(100_000)),
                    &foreign(4, r#"{"a":1,"a":2}"#),
                    &foreign(5, r#"{"":{"":[]}}"#),
                    &foreign(6, r#"{"a":"\u0000"}"#),
                ],
            )
            .await
            .ok();
        assert_eq!(ids(&answer["applied_ids"]), [id(1), id(5), id(6)]);
        assert_eq!(ids(&answer["conflicts"]), [id(2), id(3), id(4)]);
        assert_eq!(ids(&world.download(PHONE, None).await["changes"]), [id(1), id(5), id(6)]);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_whole() {
    on_each_store(async |world| {
        let body = |rest: &str| format!(r#"{{"device_id":"{LAPTOP}"{rest}}}"#);
        for (path, sent, expected) in [
            ("upload", String::new(), (400, "invalid_json")),
            ("upload", "{".to_owned(), (400, "invalid_json")),
            ("upload", "\u{feff}{}".to_owned(), (400, "invalid_json")),
            ("upload", body(r#","changes":[]}"#), (400, "invalid_json")),
            ("upload", body(r#","changes":[{]"#), (400, "invalid_json")),
            ("upload", "[]".to_owned(), (422, "invalid_request")),
            ("upload", "null".to_owned(), (422, "invalid_request")),
            ("upload", r#"{"changes":[]}"#.to_owned(), (422, "invalid_request")),
            ("upload", r#"{"device_id":"laptop","changes":[]}"#.to_owned(), (422, "invalid_request")),
            ("upload", body(""), (422, "invalid_request")),
            ("upload", body(r#","changes":null"#), (422, "invalid_request")),
            ("upload", body(r#","changes":{}"#), (422, "invalid_request")),
            ("upload", body(r#","changes":[],"changes":[]"#), (422, "invalid_request")),
            ("upload", body(r#","changes":[],"client_cursor":7"#), (422, "invalid_request")),
            ("download", "{}".to_owned(), (422, "invalid_request")),
            ("download", body(r#","since":7"#), (422, "invalid_request")),
            ("download", body(r#","limit":"many""#), (422, "invalid_request")),
        ] {
            let answer = world.ask("POST", &format!("/v1/sync/{path}"), sent.clone()).await;
            let (status, code) = answer.problem();
            assert_eq!((status, code.as_str()), expected, "{path} {sent}");
        }
        let broken = world.ask("POST", "/v1/sync/upload", b"{\"device_id\":\"\xff\"}".to_vec()).await;
        assert_eq!(broken.problem(), (400, "invalid_json".to_owned()));
        assert_eq!(world.change_count().await, 0);
    })
    .await;
}

#[tokio::test]
async fn bodies_come_compressed_or_are_told_how_to() {
    on_each_store(async |world| {
        let body = json!({ "device_id": LAPTOP, "changes": [mood(1, 3, START)] }).to_string();
        let bearer = format!("Bearer {}", world.key);
        let send = async |encoding: &str, body: Vec<u8>| {
            let headers = [("authorization", bearer.as_str()), ("content-encoding", encoding)];
            world.send("POST", "/v1/sync/upload", &headers, body).await
        };
        let packed = gzip(body.as_bytes());
        assert_eq!(ids(&send("gzip", packed.clone()).await.ok()["applied_ids"]), [id(1)]);
        assert_eq!(send("gzip", packed[..20].to_vec()).await.problem(), (400, "incomplete_body".to_owned()));
        assert_eq!(send("gzip", body.clone().into_bytes()).await.problem(), (400, "incomplete_body".to_owned()));
        assert_eq!(send("br", packed).await.problem(), (415, "unsupported_encoding".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_record_twice_in_one_batch_is_judged_in_order() {
    on_each_store(async |world| {
        let (mut first, mut second) = (mood(1, 3, "2027-01-15T07:00:00Z"), mood(1, 5, "2027-01-15T07:00:01Z"));
        for change in [&mut first, &mut second] {
            change["base"] = Value::Null;
        }
        let answer = world.upload(LAPTOP, None, &[first, mood(2, 4, START), second]).await;
        assert_eq!(ids(&answer["applied_ids"]), [id(1), id(2)]);
        assert_eq!(answer["versions"].as_object().unwrap().len(), 2);
        let page = world.download(PHONE, None).await;
        let shown = page["changes"].as_array().unwrap().iter().find(|change| change["id"] == *id(1)).unwrap();
        assert_eq!((&shown["data"]["value"], &shown["version"]), (&5.into(), &answer["versions"][id(1)]));
        // Two kinds may have one id.
        let both = world.upload(LAPTOP, cursor(&page), &[activity(1, "Running", START)]).await;
        assert_eq!(both["conflicts"], json!([]));
        assert_eq!(world.download(PHONE, None).await["changes"].as_array().unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_id_is_applied_where_nothing_of_it_was_refused() {
    on_each_store(async |world| {
        let bad = || {
            let mut bad = mood(1, 5, START);
            bad["data"]["value"] = 9.into();
            bad
        };
        for changes in [[mood(1, 3, START), bad()], [bad(), mood(1, 3, START)]] {
            let answer = world.upload(LAPTOP, None, &changes).await;
            assert_eq!(answer["applied_ids"], json!([]));
            assert_eq!(answer["conflicts"].as_array().unwrap().len(), 1);
            assert_eq!(answer["versions"].as_object().unwrap().len(), 1, "what was stored is what it has in hand");
        }
        // A version says of which record it is by the id alone.
        let answer = world.upload(LAPTOP, None, &[mood(2, 3, START), activity(2, "Running", START)]).await;
        assert_eq!(ids(&answer["applied_ids"]), [id(2)]);
        assert_eq!(answer["versions"], json!({}));
    })
    .await;
}
