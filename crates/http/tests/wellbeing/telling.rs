//! What devices are told of each other's edits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{LAPTOP, PHONE, START, World, cursor, id, ids, mood, on_each_store};

/// The one change that a download brings.
async fn the_one(world: &World, device: &str, since: Option<&str>) -> Value {
    let page = world.download(device, since).await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 1, "{page}");
    page["changes"][0].clone()
}

#[tokio::test]
async fn a_time_to_come_is_shown_as_that_of_receipt_and_stays_it() {
    on_each_store(async |world| {
        let change = mood(1, 3, "2031-01-01T00:00:00Z");
        let first = world.upload(LAPTOP, None, std::slice::from_ref(&change)).await;
        assert_eq!(first["conflicts"], json!([]));
        let shown = the_one(&world, PHONE, None).await;
        assert_eq!(shown["updated_at"], START);
        assert_eq!(shown["data"]["metadata"]["updated_at"], START);
        world.env.advance(Duration::from_secs(60));
        let again = world.upload(LAPTOP, None, &[change]).await;
        assert_eq!((&again["applied_ids"], &again["versions"]), (&first["applied_ids"], &first["versions"]));
        assert_eq!(the_one(&world, PHONE, None).await, shown);
        assert_eq!(world.change_count().await, 1);
        // A clock that is a little fast is believed.
        world.upload(LAPTOP, None, &[mood(2, 3, "2027-01-15T08:05:30.123456Z")]).await;
        let page = world.download(PHONE, None).await;
        assert_eq!(page["changes"][1]["updated_at"], "2027-01-15T08:05:30.123456Z");
        // Others' later edits win over the fast clock.
        world.env.advance(Duration::from_secs(60));
        let mut edit = mood(1, 7, "2027-01-15T08:01:30Z");
        edit["base"] = shown["version"].clone();
        assert_eq!(world.upload(PHONE, cursor(&page), &[edit]).await["conflicts"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_same_again_is_applied_again_and_stores_nothing() {
    on_each_store(async |world| {
        let change = mood(1, 3, START);
        let first = world.upload(LAPTOP, None, std::slice::from_ref(&change)).await;
        let again = world.upload(LAPTOP, None, std::slice::from_ref(&change)).await;
        assert_eq!((&again["applied_ids"], &again["versions"]), (&first["applied_ids"], &first["versions"]));
        assert_eq!((&again["conflicts"], world.change_count().await), (&json!([]), 1));
        // In another spelling, too.
        let mut spelt = change;
        spelt["updated_at"] = "2027-01-15 08:00:00".into();
        spelt["entity_type"] = "mood_entry".into();
        let again = world.upload(LAPTOP, None, &[spelt]).await;
        assert_eq!((&again["versions"], world.change_count().await), (&first["versions"], 1));
    })
    .await;
}

#[tokio::test]
async fn edits_of_two_devices_both_survive_by_their_base() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, "2027-01-15T07:00:00Z")]).await;
        let seen = world.download(PHONE, None).await;
        let base = seen["changes"][0]["version"].clone();
        let (mut value, mut note) = (mood(1, 6, "2027-01-15T07:10:00Z"), mood(1, 3, "2027-01-15T07:05:00Z"));
        note["data"]["note"] = "ran".into();
        (value["base"], note["base"]) = (base.clone(), base);
        world.upload(LAPTOP, None, &[value]).await;
        let merged = world.upload(PHONE, cursor(&seen), &[note]).await;
        assert_eq!((ids(&merged["applied_ids"]), &merged["conflicts"]), (vec![id(1).as_str()], &json!([])));
        for device in [LAPTOP, PHONE] {
            let shown = the_one(&world, device, None).await;
            assert_eq!((&shown["data"]["value"], &shown["data"]["note"]), (&6.into(), &"ran".into()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_value_that_lost_is_told_with_the_record_as_it_is() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, "2027-01-15T07:00:00Z")]).await;
        let seen = world.download(PHONE, None).await;
        let base = seen["changes"][0]["version"].clone();
        let (mut later, mut earlier) = (mood(1, 6, "2027-01-15T07:10:00Z"), mood(1, 5, "2027-01-15T07:05:00Z"));
        (later["base"], earlier["base"]) = (base.clone(), base);
        world.upload(LAPTOP, None, &[later]).await;
        let lost = world.upload(PHONE, cursor(&seen), &[earlier]).await;
        assert_eq!((&lost["applied_ids"], &lost["applied"]), (&json!([]), &json!([])));
        let conflict = &lost["conflicts"][0];
        assert_eq!((&conflict["entity_type"], &conflict["id"]), (&"MoodEntry".into(), &id(1).into()));
        assert_eq!((&conflict["reason"], &conflict["server"]["data"]["value"]), (&"server_newer".into(), &6.into()));
        // What was stored is told also where it lost: it is the base of the next edit.
        assert!(lost["versions"][id(1)].is_string());
        let told = world.download(PHONE, cursor(&lost)).await;
        assert_eq!(told["changes"][0]["data"]["value"], 6);
        assert_eq!(told["changes"][0]["version"], conflict["server"]["version"]);
    })
    .await;
}

#[tokio::test]
async fn a_deletion_is_stored_also_of_what_nobody_knows_and_erases_what_was_said() {
    on_each_store(async |world| {
        let delete = |number: u32, at: &str| {
            json!({ "entity_type": "MoodEntry", "id": id(number), "updated_at": at, "deleted": true })
        };
        let unknown = world.upload(LAPTOP, None, &[delete(1, "2027-01-15T07:00:00Z")]).await;
        assert_eq!(ids(&unknown["applied_ids"]), [id(1)]);
        let shown = the_one(&world, PHONE, None).await;
        assert_eq!((&shown["deleted"], &shown["data"]), (&true.into(), &Value::Null));
        assert_eq!(shown["updated_at"], "2027-01-15T07:00:00.000Z");
        // An older one does not bring it back.
        let late = world.upload(PHONE, None, &[mood(1, 3, "2027-01-15T06:00:00Z")]).await;
        assert_eq!((&late["conflicts"][0]["reason"], &late["conflicts"][0]["server"]["deleted"]), (&"server_newer".into(), &true.into()));
        // With data or without.
        world.upload(LAPTOP, None, &[mood(2, 3, "2027-01-15T06:00:00Z")]).await;
        let mut gone = mood(2, 3, "2027-01-15T07:30:00Z");
        gone["deleted"] = true.into();
        world.upload(LAPTOP, None, &[gone]).await;
        let page = world.download(PHONE, None).await;
        assert!(page["changes"].as_array().unwrap().iter().all(|change| change["deleted"] == true), "{page}");
        let policy: std::sync::Arc<dyn tombolo_core::Policy> = std::sync::Arc::new(tombolo_http::WellbeingPolicy);
        let space = tombolo_storage::SpaceAddress::only(world.user, tombolo_core::Purpose::Wellbeing);
        let changes = world.store.changes(space, &policy, tombolo_core::Seq::ZERO, 100).await.unwrap();
        assert!(changes.len() >= 4 && changes.iter().all(|change| change.payload.is_empty()), "{changes:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_brought_and_taken_is_counted() {
    on_each_store(async |world| {
        world.upload(LAPTOP, None, &[mood(1, 3, START), mood(2, 99, START)]).await;
        world.download(PHONE, None).await;
        let metrics = world.send("GET", "/metrics", &[], axum::body::Body::empty()).await.body;
        for (line, count) in [
            ("tombolo_accepted_writes_total{protocol=\"wellbeing\"}", "1"),
            ("tombolo_refused_writes_total{protocol=\"wellbeing\"}", "1"),
        ] {
            assert!(metrics.contains(&format!("{line} {count}")), "{line}: {metrics}");
        }
    })
    .await;
}
