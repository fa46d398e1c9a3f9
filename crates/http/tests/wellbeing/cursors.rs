//! Where a device resumes, when it has to start again, and that an erasure is told.

use axum::body::Body;
use serde_json::{Value, json};
use tombolo_core::Purpose;

use crate::{Answer, LAPTOP, PHONE, START, World, activity, cursor, id, ids, mood, on_each_store};

#[track_caller]
fn reset(answer: &Answer) -> String {
    assert_eq!(answer.problem(), (409, "cursor_reset".to_owned()), "{}", answer.body);
    answer.json()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_upload_gives_no_cursor_that_skips_what_the_device_has_not_seen() {
    on_each_store(async |world| {
        let first = world.upload(LAPTOP, None, &[mood(1, 3, START)]).await;
        // Everything in the log is its own.
        assert_eq!(world.download(LAPTOP, cursor(&first)).await["changes"], json!([]));
        let phone = world.upload(PHONE, None, &[mood(2, 4, START)]).await;
        assert_eq!(ids(&world.download(PHONE, cursor(&phone)).await["changes"]), [id(1), id(2)]);
        let second = world.upload(LAPTOP, cursor(&first), &[mood(3, 5, START)]).await;
        assert_eq!(second["server_cursor"], first["server_cursor"], "the phone's mood lies between");
        let news = world.download(LAPTOP, cursor(&second)).await;
        assert_eq!(ids(&news["changes"]), [id(2), id(3)]);
        let third = world.upload(LAPTOP, cursor(&news), &[mood(4, 5, START)]).await;
        assert_ne!(third["server_cursor"], news["server_cursor"], "nothing lies between");
        assert_eq!(world.download(LAPTOP, cursor(&third)).await["changes"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_beginning_is_said_in_several_ways() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, START)]).await;
        for since in ["", r#","since":null"#, r#","since":"""#, r#","since":"0""#] {
            let body = format!(r#"{{"device_id":"{PHONE}"{since}}}"#);
            assert_eq!(ids(&world.ask("POST", "/v1/sync/download", body).await.ok()["changes"]), [id(1)], "{since}");
        }
        for client_cursor in ["", r#","client_cursor":null"#, r#","client_cursor":"""#, r#","client_cursor":"0""#] {
            let body = format!(r#"{{"device_id":"{PHONE}"{client_cursor},"changes":[]}}"#);
            let answer = world.ask("POST", "/v1/sync/upload", body).await.ok();
            assert_eq!(ids(&world.download(PHONE, cursor(&answer)).await["changes"]), [id(1)], "{client_cursor}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cursor_that_is_no_good_says_why_and_stores_nothing() {
    on_each_store(async |world| {
        let brought = world.upload(LAPTOP, None, &[mood(1, 3, START)]).await;
        let good = cursor(&brought).unwrap().to_owned();
        let [space, generation, seq] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        let ahead = format!("{space}.{generation}.{}", seq.parse::<u64>().unwrap() + 1);
        let restored = format!("{space}.{}.{seq}", "0123456789abcdef".repeat(2));
        let bob = world.user("bob").await;
        let key = world.key_of(bob, "phone", Purpose::Wellbeing).await;
        let body = json!({ "device_id": PHONE, "changes": [mood(1, 3, START)] }).to_string();
        let bobs = world.send_as(&key, "POST", "/v1/sync/upload", body).await.ok();
        for (reason, since) in [
            ("unreadable", "yesterday"),
            ("ahead", ahead.as_str()),
            ("restored", restored.as_str()),
            ("other_account", cursor(&bobs).unwrap()),
        ] {
            assert_eq!(reset(&world.fetch(LAPTOP, Some(since)).await), reason);
            let change = mood(2, 3, START).to_string();
            assert_eq!(reset(&world.bring(LAPTOP, Some(since), &[&change]).await), reason);
        }
        assert_eq!(world.change_count().await, 1);
        assert_eq!(ids(&world.download(LAPTOP, None).await["changes"]), [id(1)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_erased_is_gone_and_devices_are_told() {
    on_each_store(async |world| {
        let brought = world.upload(LAPTOP, None, &[mood(1, 3, START), activity(2, "Running", START)]).await;
        let erased = world.ask("DELETE", "/v1/sync/data", Body::empty()).await;
        assert_eq!((erased.status, erased.body.as_str()), (204, ""));
        // Also when there was nothing.
        assert_eq!(world.ask("DELETE", "/v1/sync/data", Body::empty()).await.status, 204);
        let gone = (410, "erased".to_owned());
        assert_eq!(world.fetch(LAPTOP, cursor(&brought)).await.problem(), gone);
        let change = mood(3, 3, START).to_string();
        assert_eq!(world.bring(LAPTOP, cursor(&brought), &[&change]).await.problem(), gone);
        assert_eq!(world.change_count().await, 0);
        // Set up again, it begins without a cursor.
        assert_eq!(world.download(LAPTOP, None).await["changes"], json!([]));
        let again = world.upload(LAPTOP, None, &[mood(3, 3, START)]).await;
        assert_eq!(ids(&world.download(PHONE, None).await["changes"]), [id(3)]);
        assert_eq!(world.fetch(LAPTOP, cursor(&again)).await.status, 200);
        assert_eq!(world.fetch(LAPTOP, cursor(&brought)).await.problem(), gone);
    })
    .await;
}

#[tokio::test]
async fn another_users_data_are_not_erased() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, START)]).await;
        let bob = world.user("bob").await;
        let key = world.key_of(bob, "phone", Purpose::Wellbeing).await;
        assert_eq!(world.send_as(&key, "DELETE", "/v1/sync/data", Body::empty()).await.status, 204);
        assert_eq!(ids(&world.download(LAPTOP, None).await["changes"]), [id(1)]);
    })
    .await;
}

/// Pages of `limit` changes until there is no more.
async fn pages(world: &World, device: &str, limit: u32) -> Vec<Value> {
    let (mut pages, mut since) = (Vec::new(), None);
    loop {
        let body = json!({ "device_id": device, "since": since, "limit": limit }).to_string();
        let page = world.ask("POST", "/v1/sync/download", body).await.ok();
        since = cursor(&page).map(str::to_owned);
        let more = page["has_more"].as_bool().unwrap();
        pages.push(page);
        if !more {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_joined_are_everything() {
    on_each_store(async |world| {
        let moods: Vec<Value> = (0..10).map(|n| mood(n, 3, START)).collect();
        world.upload(LAPTOP, None, &moods).await;
        let expected: Vec<String> = (0..10).map(id).collect();
        for (limit, count) in [(1, 10), (4, 3), (10, 1), (100_000, 1)] {
            let pages = pages(&world, PHONE, limit).await;
            assert_eq!(pages.len(), count, "{limit}");
            let joined: Vec<&str> = pages.iter().flat_map(|page| ids(&page["changes"])).collect();
            assert_eq!(joined, expected, "{limit}");
        }
    })
    .await;
}
