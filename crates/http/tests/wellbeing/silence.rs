//! Nothing of what people write, and nothing that opens anything, reaches logs, counts and errors.

use axum::body::Body;
use serde_json::json;

use crate::heard::HEARD;
use crate::{LAPTOP, START, mood, on_each_store};

#[tokio::test]
async fn nothing_of_what_people_write_reaches_logs_counts_and_errors() {
    on_each_store(async |world| {
        let mut told = String::new();
        let mut secret = mood(1, 3, START);
        secret["data"]["note"] = "HarmlessSecret".into();
        world.upload(LAPTOP, None, &[secret.clone()]).await;
        for (pointer, value) in [
            ("/updated_at", json!("HarmlessSecret")),
            ("/data/value", json!("HarmlessSecret")),
            ("/data/recorded_at", json!(["HarmlessSecret"])),
            ("/data/activities", json!(["HarmlessSecret"])),
            ("/deleted", json!("HarmlessSecret")),
            ("/data", json!("HarmlessSecret")),
            ("/data", json!(["HarmlessSecret"])),
        ] {
            let mut change = secret.clone();
            *change.pointer_mut(pointer).unwrap() = value;
            let answer = world.upload(LAPTOP, None, &[change]).await;
            assert_eq!(answer["conflicts"].as_array().unwrap().len(), 1, "{pointer}: {answer}");
            told += &answer.to_string();
        }
        for body in [
            r#"{"device_id":"HarmlessSecret","changes":[]}"#.to_owned(),
            format!(r#"{{"device_id":"{LAPTOP}","client_cursor":"HarmlessSecret","changes":[]}}"#),
            format!(r#"{{"device_id":"{LAPTOP}","changes":"HarmlessSecret"}}"#),
            format!(r#"{{"device_id":"{LAPTOP}","changes":[HarmlessSecret]}}"#),
            r#"HarmlessSecret"#.to_owned(),
        ] {
            let answer = world.ask("POST", "/v1/sync/upload", body).await;
            assert!(answer.status >= 400, "{}", answer.body);
            told += &answer.body;
        }
        told += &world.send_as("wb_HarmlessSecret", "GET", "/v1/auth/api-keys", Body::empty()).await.body;
        told += &world.ask("DELETE", "/v1/auth/api-keys/HarmlessSecret", Body::empty()).await.body;
        told += &world.send("GET", "/metrics", &[], Body::empty()).await.body;
        told += &HEARD.told();
        assert!(told.contains("route=\"/v1/sync/upload\"") && told.contains("status=200"), "{told}");
        for secret in ["HarmlessSecret", &world.key[3..], &crate::id(1)[24..]] {
            // The ids of what is refused are told to whoever sent them.
            let found = told.replace(&crate::id(1), "").contains(secret);
            assert!(!found, "{secret} in {told}");
        }
        assert!(!HEARD.told().contains(&crate::id(1)));
    })
    .await;
}
