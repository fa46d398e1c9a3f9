//! Nothing of what people write, and nothing that opens anything, reaches logs, counts and errors.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::Body;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::{LAPTOP, START, mood, on_each_store};

/// What is logged in all of these tests: one that begins to listen while others log may miss everything.
pub(crate) static HEARD: LazyLock<Heard> = LazyLock::new(|| {
    let heard = Heard::default();
    tracing::subscriber::set_global_default(heard.clone()).unwrap();
    heard
});

/// All that is logged, whatever its level, and the values of spans.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<String>>);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

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
        told += &HEARD.0.lock().unwrap();
        assert!(told.contains("route=\"/v1/sync/upload\"") && told.contains("status=200"), "{told}");
        for secret in ["HarmlessSecret", &world.key[3..], &crate::id(1)[24..]] {
            // The ids of what is refused are told to whoever sent them.
            let found = told.replace(&crate::id(1), "").contains(secret);
            assert!(!found, "{secret} in {told}");
        }
        assert!(!HEARD.0.lock().unwrap().contains(&crate::id(1)));
    })
    .await;
}
