//! How much is taken and given at a time.

use serde_json::{Value, json};
use tombolo_testkit::http::gzip;

use crate::{LAPTOP, PHONE, START, cursor, id, ids, mood, on_each_store};

/// An unknown kind of record that takes so many bytes.
fn large(number: u32, bytes: usize) -> String {
    let empty = r#"{"a":""}"#.len();
    let text = "x".repeat(bytes - empty);
    format!(r#"{{"entity_type":"Photo","id":"{}","updated_at":"{START}","data":{{"a":"{text}"}}}}"#, id(number))
}

#[tokio::test]
async fn a_body_and_a_batch_are_bounded() {
    on_each_store(async |world| {
        let too_large = (413, "too_large".to_owned());
        let body = vec![b' '; 32 * 1_048_576 + 1];
        assert_eq!(world.ask("POST", "/v1/sync/upload", body.clone()).await.problem(), too_large);
        let headers = [("authorization", format!("Bearer {}", world.key)), ("content-encoding", "gzip".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let packed = world.send("POST", "/v1/sync/upload", &headers, gzip(&body)).await;
        assert_eq!(packed.problem(), too_large);
        for path in ["/v1/sync/download", "/v1/auth/api-keys"] {
            assert_eq!(world.ask("POST", path, vec![b' '; 65_537]).await.problem(), too_large, "{path}");
        }
        let changes = |count: usize| {
            let list = vec!["7"; count].join(",");
            format!(r#"{{"device_id":"{LAPTOP}","changes":[{list}]}}"#)
        };
        let all = world.ask("POST", "/v1/sync/upload", changes(100_000)).await.ok();
        assert_eq!(all["conflicts"].as_array().unwrap().len(), 100_000);
        assert_eq!(world.ask("POST", "/v1/sync/upload", changes(100_001)).await.problem(), too_large);
    })
    .await;
}

#[tokio::test]
async fn a_record_is_bounded_and_every_one_that_is_taken_comes_back() {
    on_each_store(async |world| {
        let taken: Vec<String> = (1..=10).map(|n| large(n, 1_048_576)).collect();
        let mut changes: Vec<&str> = taken.iter().map(String::as_str).collect();
        let refused = large(11, 1_048_577);
        changes.push(&refused);
        let answer = world.bring(LAPTOP, None, &changes).await.ok();
        assert_eq!(answer["applied_ids"].as_array().unwrap().len(), 10);
        let conflict = &answer["conflicts"][0];
        assert_eq!(
            (&conflict["id"], &conflict["reason"]),
            (&id(11).into(), &"invalid: data is larger than 1048576 bytes".into())
        );
        let first = world.fetch(PHONE, None).await;
        assert!(first.body.len() <= 8_500_000, "{}", first.body.len());
        let first = first.ok();
        assert_eq!((first["changes"].as_array().unwrap().len(), &first["has_more"]), (8, &true.into()));
        let second = world.download(PHONE, cursor(&first)).await;
        assert_eq!(
            (ids(&second["changes"]), &second["has_more"]),
            (vec![id(9).as_str(), id(10).as_str()], &false.into())
        );
    })
    .await;
}

#[tokio::test]
async fn a_page_is_bounded_whatever_is_wished_for() {
    on_each_store(async |world| {
        let moods: Vec<Value> = (0..10_001).map(|n| mood(n, 3, START)).collect();
        world.upload(LAPTOP, None, &moods).await;
        for (limit, expected) in
            [(json!(null), 1_000), (json!(10_000), 10_000), (json!(1e9), 10_000), (json!(0), 1), (json!(-7), 1)]
        {
            let body = json!({ "device_id": PHONE, "since": null, "limit": limit }).to_string();
            let page = world.ask("POST", "/v1/sync/download", body).await.ok();
            let count = page["changes"].as_array().unwrap().len();
            assert_eq!((count, &page["has_more"]), (expected, &true.into()), "{limit}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_records_beside_conflicts_are_bounded() {
    on_each_store(async |world| {
        let newer: Vec<String> = (1..=10).map(|n| large(n, 1_000_000)).collect();
        world.bring(LAPTOP, None, &newer.iter().map(String::as_str).collect::<Vec<_>>()).await.ok();
        let older: Vec<String> = (1..=10)
            .map(|n| json!({ "entity_type": "Photo", "id": id(n), "updated_at": "2027-01-15T07:00:00Z", "base": null, "data": {} }).to_string())
            .collect();
        let answer = world.bring(PHONE, None, &older.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(answer.body.len() < 8_600_000, "{}", answer.body.len());
        let answer = answer.ok();
        let conflicts = answer["conflicts"].as_array().unwrap();
        assert_eq!(conflicts.len(), 10);
        assert_eq!(conflicts.iter().filter(|conflict| conflict["server"].is_object()).count(), 8);
    })
    .await;
}
