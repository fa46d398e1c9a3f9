//! Wellbeing over HTTP, on both stores that run within a process: who is let in, what is taken, and what is answered,
//! whatever goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

#[path = "../served/answer.rs"]
mod answer;
mod bounds;
mod cursors;
mod entry;
#[path = "../served/heard.rs"]
mod heard;
#[path = "../served/mod.rs"]
mod served;
mod silence;
mod taking;
mod telling;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tombolo_core::{Env as _, Name, Purpose, Seq, UserId};
use tombolo_http::{App, Options, WellbeingPolicy, router};
use tombolo_service::{Made, NewToken};
use tombolo_storage::memory::Memory;
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Added, SpaceAddress, Store};
use tombolo_testkit::TestEnv;
use tombolo_testkit::served::Folder;
use tower::ServiceExt as _;

use self::answer::Answer;
use self::served::app;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const LAPTOP: &str = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c0001";
const PHONE: &str = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c0002";
/// When a test's clock starts.
const START: &str = "2027-01-15T08:00:00.000Z";

/// A server, and a user with a key.
struct World {
    store: Arc<dyn Store>,
    env: Arc<TestEnv>,
    app: Arc<App>,
    router: Router,
    user: UserId,
    key: String,
    _folder: Option<Folder>,
}

impl Answer {
    /// The body of an answer that is good.
    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!((self.status, self.header("content-type")), (200, "application/json"), "{}", self.body);
        self.json()
    }

    /// What went wrong: the status and the code.
    #[track_caller]
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.body);
        let json = self.json();
        assert_eq!((&json["status"], &json["type"]), (&self.status.into(), &"about:blank".into()));
        assert!(json["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{}", self.body);
        (self.status, json["code"].as_str().unwrap().to_owned())
    }
}

/// Runs a test on each store.
async fn on_each_store(test: impl AsyncFn(World)) {
    LazyLock::force(&heard::HEARD);
    let env = Arc::new(TestEnv::new(1));
    test(World::new(Arc::new(Memory::new()), env, None).await).await;
    let (env, folder) = (Arc::new(TestEnv::new(1)), Folder::new());
    let store = Sqlite::open(&folder.path().join("tombolo.db"), Role::Server, env.clone()).unwrap();
    test(World::new(Arc::new(store), env, Some(folder)).await).await;
}

impl World {
    async fn new(store: Arc<dyn Store>, env: Arc<TestEnv>, folder: Option<Folder>) -> Self {
        let app = app(store.clone(), env.clone(), Options::default());
        let router = router(app.clone());
        let user = UserId::new(0);
        let mut world = Self { store, env, app, router, user, key: String::new(), _folder: folder };
        world.user = world.user("ann").await;
        world.key = world.key_of(world.user, "laptop", Purpose::Wellbeing).await;
        world
    }

    async fn user(&self, name: &str) -> UserId {
        match self.store.add_user(&Name::parse(name).unwrap(), None, self.env.now()).await.unwrap() {
            Added::New(user) => user,
            taken => panic!("{taken:?}"),
        }
    }

    /// A key that ends in an hour.
    async fn key_of(&self, user: UserId, name: &str, purpose: Purpose) -> String {
        let expires_at = Some(self.env.now().plus(Duration::from_secs(3_600)));
        let new = NewToken { user, name: Name::parse(name).unwrap(), purpose, expires_at };
        match self.app.keyring.make_token(new).await.unwrap() {
            Made::Token(token) => token.secret().reveal().to_owned(),
            Made::NameTaken => panic!("the name is free"),
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((ADDRESS, 4_711))));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn send_as(&self, key: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send(method, path, &[("authorization", &format!("Bearer {key}"))], body).await
    }

    /// What the world's user sends.
    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send_as(&self.key, method, path, body).await
    }

    /// An upload of `changes`, as they are written, from a device at `cursor`.
    async fn bring(&self, device: &str, cursor: Option<&str>, changes: &[&str]) -> Answer {
        let (device, cursor) = (Value::from(device), Value::from(cursor));
        let changes = changes.join(",");
        let body = format!(r#"{{"device_id":{device},"client_cursor":{cursor},"changes":[{changes}]}}"#);
        self.ask("POST", "/v1/sync/upload", body).await
    }

    async fn upload(&self, device: &str, cursor: Option<&str>, changes: &[Value]) -> Value {
        let changes: Vec<String> = changes.iter().map(Value::to_string).collect();
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        self.bring(device, cursor, &changes).await.ok()
    }

    async fn fetch(&self, device: &str, since: Option<&str>) -> Answer {
        let body = json!({ "device_id": device, "since": since });
        self.ask("POST", "/v1/sync/download", body.to_string()).await
    }

    async fn download(&self, device: &str, since: Option<&str>) -> Value {
        self.fetch(device, since).await.ok()
    }

    /// How many changes the log holds.
    async fn change_count(&self) -> usize {
        let policy: Arc<dyn tombolo_core::Policy> = Arc::new(WellbeingPolicy);
        let space = SpaceAddress::only(self.user, Purpose::Wellbeing);
        self.store.changes(space, &policy, Seq::ZERO, 1_000).await.unwrap().len()
    }
}

fn id(number: u32) -> String {
    format!("7c9e6679-7425-40de-944b-{number:012x}")
}

/// A mood as the app sends it.
fn mood(number: u32, value: i64, updated_at: &str) -> Value {
    json!({
        "entity_type": "MoodEntry", "id": id(number), "updated_at": updated_at, "deleted": false,
        "data": {
            "value": value, "scale": 7, "note": "slept well", "activities": [],
            "recorded_at": "2027-01-14T20:00:00.000Z",
            "metadata": { "created_at": "2027-01-14T20:00:00.000Z" }
        }
    })
}

fn activity(number: u32, label: &str, updated_at: &str) -> Value {
    json!({
        "entity_type": "Activity", "id": id(number), "updated_at": updated_at, "deleted": false,
        "data": { "label": label, "metadata": { "created_at": "2027-01-14T20:00:00.000Z" } }
    })
}

/// What an answer's list names, by id.
fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().or(item["id"].as_str()).unwrap()).collect()
}

fn cursor(answer: &Value) -> Option<&str> {
    Some(answer["server_cursor"].as_str().unwrap())
}
