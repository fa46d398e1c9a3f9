//! Apps of simple-sync: people with a key or a session, who speak its protocol.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::http::{Request, Response};
use crate::served::{Install, Served};
use crate::stream::Stream;

/// What an app says who it is for.
#[derive(Clone, Debug)]
enum Proof {
    Key(String),
    Session(String),
}

/// Somebody's app.
#[derive(Clone, Debug)]
pub struct Participant {
    /// What he is known as.
    pub name: String,
    proof: Proof,
}

impl Participant {
    /// Whoever may do everything, with a key from the command line.
    ///
    /// # Panics
    /// When there is no key.
    #[must_use]
    pub fn root(install: &Install) -> Self {
        Self::with_key(".root", &install.sk_for(".root"))
    }

    /// Somebody with a key.
    #[must_use]
    pub fn with_key(name: &str, key: &str) -> Self {
        Self { name: name.to_owned(), proof: Proof::Key(key.to_owned()) }
    }

    /// Somebody who signs in with a password, whom `root` makes.
    ///
    /// # Panics
    /// When he cannot.
    #[must_use]
    pub fn signed_in(served: &Served, root: &Self, name: &str) -> Self {
        let credentials = json!({ "username": name, "password": "correct horse" });
        let mut user = credentials.clone();
        user["uuid"] = json!(name);
        root.ok(served, "POST", "/admin/users", &user);
        let session = served.send(&Request::post("/auth/token", credentials.to_string())).json();
        let token = session["token"].as_str().expect("a session has a token").to_owned();
        Self { name: name.to_owned(), proof: Proof::Session(token) }
    }

    /// Somebody whom this one, who may, makes known, and gives a key by a setup token.
    ///
    /// # Panics
    /// When he is there already.
    #[must_use]
    pub fn welcome(&self, served: &Served, name: &str) -> Self {
        let created = self.push(served, &[self.event(&format!(".user.{name}"), ".user.create")]);
        assert_eq!(created.status, 200, "{}", created.text());
        let token = self.ok(served, "POST", "/api/v1/user/generateToken", &json!({ "user": name }))["token"].clone();
        let exchange = Request::post("/api/v1/user/exchangeToken", json!({ "token": token }).to_string());
        let made = served.send(&exchange).json();
        Self::with_key(name, made["apiKey"].as_str().unwrap_or_else(|| panic!("no key: {made}")))
    }

    /// What lets him in.
    #[must_use]
    pub fn secret(&self) -> &str {
        match &self.proof {
            Proof::Key(secret) | Proof::Session(secret) => secret,
        }
    }

    /// Whether he signed in with a password, as the first generation does.
    #[must_use]
    pub const fn has_session(&self) -> bool {
        matches!(self.proof, Proof::Session(_))
    }

    /// The header that says who he is.
    #[must_use]
    pub fn header(&self) -> (&'static str, String) {
        match &self.proof {
            Proof::Key(key) => ("X-API-Key", key.clone()),
            Proof::Session(session) => ("Authorization", format!("Bearer {session}")),
        }
    }

    /// A request of his; without a body where it is null.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Request {
        let (name, value) = self.header();
        let request = Request::new(method, path).header(name, &value);
        if body.is_null() { request } else { request.body(body.to_string()) }
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

    /// Pushes events.
    pub fn push(&self, served: &Served, events: &[Value]) -> Response {
        self.send(served, "POST", "/api/v1/events", &Value::from(events))
    }

    /// The whole history.
    ///
    /// # Panics
    /// When it is not shown.
    #[must_use]
    pub fn history(&self, served: &Served) -> Vec<Value> {
        let history = self.ok(served, "GET", "/api/v1/events", &Value::Null);
        history.as_array().unwrap_or_else(|| panic!("no list: {history}")).clone()
    }

    /// Adds rules, each written `A user|item|action` or `D …`.
    pub fn rule(&self, served: &Served, rules: &[&str]) -> Response {
        let rules: Vec<Value> = rules.iter().map(|rule| rule_of(rule)).collect();
        self.send(served, "POST", "/api/v1/acl", &Value::from(rules))
    }

    /// A new event of his, made now.
    #[must_use]
    pub fn event(&self, item: &str, action: &str) -> Value {
        self.event_at(now_millis(), item, action)
    }

    /// A new event of his, made so many milliseconds after 1970.
    #[must_use]
    pub fn event_at(&self, millis: u64, item: &str, action: &str) -> Value {
        json!({ "uuid": uuid(millis), "timestamp": millis / 1_000, "user": self.name, "item": item, "action": action,
            "payload": "{}" })
    }

    /// Opens the stream of events, with `query` behind its path.
    #[must_use]
    pub fn stream(&self, served: &Served, query: &str, last_event_id: Option<&str>) -> Stream {
        let last = last_event_id.map(|id| ("Last-Event-ID", id.to_owned()));
        let headers: Vec<(&str, String)> = [self.header()].into_iter().chain(last).collect();
        Stream::open(served, &format!("/api/v1/events/stream{query}"), &headers)
    }
}

/// A rule, written `A user|item|action` or `D …`.
///
/// # Panics
/// When it is written otherwise.
#[must_use]
pub fn rule_of(text: &str) -> Value {
    let (effect, patterns) = text.split_once(' ').expect("A or D, and a space");
    let [user, item, action] = patterns.split('|').collect::<Vec<_>>()[..] else { panic!("three patterns: {text}") };
    let effect = match effect {
        "A" => "allow",
        "D" => "deny",
        other => other,
    };
    json!({ "user": user, "item": item, "action": action, "type": effect })
}

/// The present, in milliseconds since 1970.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now_millis() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the process under test runs on the machine's clock")]
    let now = OffsetDateTime::now_utc();
    u64::try_from(now.unix_timestamp_nanos() / 1_000_000).expect("it is later than 1970")
}

/// A new uuid of version 7, made so many milliseconds after 1970.
#[must_use]
pub fn uuid(millis: u64) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = format!("{millis:012x}");
    format!("{}-{}-7000-8000-{count:012x}", &time[..8], &time[8..])
}
