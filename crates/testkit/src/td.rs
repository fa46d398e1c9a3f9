//! Teammates: people with a key of td, who speak its protocol as its command line does, or as no honest client would.

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::served::{Install, Served};
pub use crate::stream::Stream;

/// One person at one machine.
#[derive(Clone, Debug)]
pub struct Teammate {
    /// What he signs in with.
    pub email: String,
    /// What lets him in.
    pub key: String,
    /// What his machine calls itself.
    pub device: String,
    /// What his terminal calls itself.
    pub session: String,
}

impl Teammate {
    /// Somebody with an account of this name, who is added when there is none, and a key.
    ///
    /// # Panics
    /// When there is no key.
    #[must_use]
    pub fn new(install: &Install, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let _ = install.run(&["user", "add", name, "--email", &email]);
        let key = install.key_for(name, "terminal");
        Self { email, key, device: format!("machine-of-{name}"), session: "ses_1".to_owned() }
    }

    /// A request of his.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Request {
        let request = Request::new(method, path).bearer(&self.key);
        if body.is_null() { request } else { request.header("Content-Type", "application/json").body(body.to_string()) }
    }

    /// Sends a request.
    pub fn send(&self, served: &Served, method: &str, path: &str, body: &Value) -> Response {
        served.send(&self.request(method, path, body))
    }

    /// What a request that must succeed was answered.
    ///
    /// # Panics
    /// When it did not.
    pub fn ok(&self, served: &Served, method: &str, path: &str, body: &Value) -> Value {
        let response = self.send(served, method, path, body);
        assert!(response.status < 300, "{method} {path}: {} {}", response.status, response.text());
        if response.body.is_empty() { Value::Null } else { response.json() }
    }

    /// Makes a project, and returns its id.
    ///
    /// # Panics
    /// When there is none.
    pub fn create(&self, served: &Served, name: &str) -> String {
        let made = self.ok(served, "POST", "/v1/projects", &json!({ "name": name }));
        made["id"].as_str().expect("a project has an id").to_owned()
    }

    /// Adds somebody to a project, and returns his id.
    ///
    /// # Panics
    /// When he was not added.
    pub fn add(&self, served: &Served, project: &str, email: &str, role: &str) -> String {
        let path = format!("/v1/projects/{project}/members");
        let member = self.ok(served, "POST", &path, &json!({ "email": email, "role": role }));
        member["user_id"].as_str().expect("a member has an id").to_owned()
    }

    /// Sends events of his session.
    pub fn push(&self, served: &Served, project: &str, events: &[Value]) -> Response {
        self.send(served, "POST", &format!("/v1/projects/{project}/sync/push"), &self.batch(events))
    }

    /// The body of a push.
    #[must_use]
    pub fn batch(&self, events: &[Value]) -> Value {
        json!({ "device_id": self.device, "session_id": self.session, "events": events })
    }

    /// Everything in a project's log after a place, in pages of `limit`.
    ///
    /// # Panics
    /// When a page does not begin after the last one's end, or its numbers do not rise.
    pub fn pull(&self, served: &Served, project: &str, after: u64, limit: usize) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), after);
        loop {
            let path = format!("/v1/projects/{project}/sync/pull?after_server_seq={after}&limit={limit}");
            let page = self.ok(served, "GET", &path, &Value::Null);
            for event in page["events"].as_array().expect("a list of events") {
                let seq = event["server_seq"].as_u64().expect("a number");
                assert!(seq > after, "{seq} after {after}");
                after = seq;
                all.push(event.clone());
            }
            assert_eq!(page["last_server_seq"].as_u64(), Some(after));
            if page["has_more"] == false {
                return all;
            }
        }
    }

    /// Opens a project's stream of events.
    ///
    /// # Panics
    /// When the server cannot be reached.
    #[must_use]
    pub fn stream(&self, served: &Served, project: &str, last_event_id: Option<&str>) -> Stream {
        let mut headers = vec![("Authorization", format!("Bearer {}", self.key))];
        headers.extend(last_event_id.map(|id| ("Last-Event-ID", id.to_owned())));
        Stream::open(served, &format!("/v1/projects/{project}/events"), &headers)
    }
}

/// An event that makes an issue.
#[must_use]
pub fn event(action: i64, issue: &str, title: &str) -> Value {
    json!({
        "client_action_id": action, "action_type": "create", "entity_type": "issues", "entity_id": issue,
        "payload": { "schema_version": 1, "new_data": { "id": issue, "title": title }, "previous_data": {} },
        "client_timestamp": "2026-11-20T23:53:11Z"
    })
}
