//! Devices of a wellbeing app, as whoever reads its protocol builds one.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::http::{Request, Response};
use crate::served::Served;
use crate::transcript::uuid;

/// Where changes are brought.
pub const UPLOAD: &str = "/v1/sync/upload";
/// Where they are fetched.
pub const DOWNLOAD: &str = "/v1/sync/download";
/// What is erased.
pub const DATA: &str = "/v1/sync/data";

/// A device with a key. It remembers where it resumes, and nothing else.
#[derive(Clone, Debug)]
pub struct Phone {
    /// What it calls itself.
    pub id: String,
    /// Its key.
    pub key: String,
    /// Where it resumes.
    pub cursor: Option<String>,
}

impl Phone {
    /// A device that never synced.
    #[must_use]
    pub fn new(name: &str, key: &str) -> Self {
        Self { id: uuid(name), key: key.to_owned(), cursor: None }
    }

    /// An upload of `changes` under its cursor, not sent.
    #[must_use]
    pub fn uploading(&self, changes: &[Value]) -> Request {
        let body = json!({ "device_id": self.id, "client_cursor": self.cursor, "changes": changes });
        Request::post(UPLOAD, body.to_string()).bearer(&self.key)
    }

    /// Brings changes, and returns the answer.
    ///
    /// # Panics
    /// When they were not taken.
    pub fn upload(&self, served: &Served, changes: &[Value]) -> Value {
        taken(&served.send(&self.uploading(changes)))
    }

    /// Brings changes that all have to be stored as they are.
    ///
    /// # Panics
    /// When they were not.
    pub fn put(&self, served: &Served, changes: &[Value]) -> Value {
        let answer = self.upload(served, changes);
        assert_eq!(answer["conflicts"], json!([]), "{answer:#}");
        assert_eq!(answer["applied_ids"].as_array().map(Vec::len), Some(changes.len()), "{answer:#}");
        answer
    }

    /// A request for a page after its cursor, not sent.
    #[must_use]
    pub fn downloading(&self, limit: Option<u32>) -> Request {
        let body = json!({ "device_id": self.id, "since": self.cursor, "limit": limit });
        Request::post(DOWNLOAD, body.to_string()).bearer(&self.key)
    }

    /// Fetches one page, and goes on behind it; also says whether there is more.
    ///
    /// # Panics
    /// When it was given none.
    pub fn page(&mut self, served: &Served, limit: Option<u32>) -> (Vec<Value>, bool) {
        let page = taken(&served.send(&self.downloading(limit)));
        self.cursor = Some(page["server_cursor"].as_str().expect("a page has a cursor").to_owned());
        let changes = page["changes"].as_array().expect("a page has changes").clone();
        (changes, page["has_more"].as_bool().expect("a page says whether there is more"))
    }

    /// Fetches all that is new.
    ///
    /// # Panics
    /// When it was given none.
    pub fn download(&mut self, served: &Served) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let (changes, more) = self.page(served, None);
            all.extend(changes);
            if !more {
                return all;
            }
        }
    }

    /// All that the account has, as a new device would find it, by id.
    ///
    /// # Panics
    /// When it was given none.
    #[must_use]
    pub fn everything(&self, served: &Served) -> std::collections::BTreeMap<String, Value> {
        let mut fresh = Self { cursor: None, ..self.clone() };
        let all = fresh.download(served).into_iter();
        all.map(|change| (change["id"].as_str().expect("a change has an id").to_owned(), change)).collect()
    }
}

/// What was answered to a request that was taken.
///
/// # Panics
/// When it was not.
#[must_use]
pub fn taken(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// A time `seconds` from now, to the millisecond.
///
/// # Panics
/// Never: such times can be written.
#[must_use]
pub fn now_and(seconds: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "the process under test runs on the machine's clock")]
    let now = OffsetDateTime::now_utc();
    let at = now + Duration::seconds(seconds);
    let at = at.replace_millisecond(at.millisecond()).expect("a time's own milliseconds");
    at.format(&Rfc3339).expect("a time can be written")
}

fn change(kind: &str, name: &str, at: &str, data: Value) -> Value {
    json!({ "entity_type": kind, "id": uuid(name), "updated_at": at, "deleted": false, "data": data })
}

/// A mood.
#[must_use]
pub fn mood(name: &str, value: u8, note: &str, at: &str) -> Value {
    let metadata = json!({ "created_at": at, "updated_at": at });
    let data = json!({
        "value": value, "scale": 7, "activities": [], "note": note, "recorded_at": at, "metadata": metadata
    });
    change("MoodEntry", name, at, data)
}

/// Something that one does.
#[must_use]
pub fn activity(name: &str, label: &str, color: &str, at: &str) -> Value {
    let metadata = json!({ "created_at": at, "updated_at": at });
    change("Activity", name, at, json!({ "label": label, "color_hex": color, "metadata": metadata }))
}

/// The deletion of a record.
#[must_use]
pub fn gone(kind: &str, name: &str, at: &str) -> Value {
    json!({ "entity_type": kind, "id": uuid(name), "updated_at": at, "deleted": true, "data": null })
}

/// The same, made of a version of the record.
#[must_use]
pub fn on(base: impl Into<Value>, mut change: Value) -> Value {
    change["base"] = base.into();
    change
}
