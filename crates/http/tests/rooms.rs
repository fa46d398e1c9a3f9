//! Rooms over HTTP: who is let in, and what is answered, to any page, whatever goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

#[path = "served/answer.rs"]
mod answer;
#[path = "served/heard.rs"]
mod heard;
mod served;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tombolo_core::{Env as _, Name, Purpose, UserId};
use tombolo_http::{App, CorsOrigins, Options, router};
use tombolo_service::{Entrant, JoinWish, Made, NewToken};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Added};
use tombolo_testkit::TestEnv;
use tower::ServiceExt as _;

use self::answer::Answer;
use self::heard::HEARD;
use self::served::app;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// A key that nobody has.
const WRONG: &str = "rk_WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";
/// Wrong keys that an address may present in a minute.
const WRONG_KEYS_MAX: usize = tombolo_core::limits::WRONG_TOKENS_PER_MINUTE as usize;

/// A server on a store in memory, and its owner.
struct World {
    store: Arc<Memory>,
    env: Arc<TestEnv>,
    app: Arc<App>,
    router: Router,
    owner: UserId,
}

impl Answer {
    /// What went wrong, in the shape that the app reads.
    #[track_caller]
    fn error(&self) -> String {
        let (json, any) = (self.json(), self.headers.get_all("access-control-allow-origin"));
        let error = json["error"].as_str().unwrap().to_owned();
        assert_eq!(self.body, format!("{{\"success\":false,\"error\":{}}}", Value::from(error.as_str())));
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(any.iter().collect::<Vec<_>>(), ["*"], "{}", self.body);
        error
    }
}

impl World {
    async fn keyed() -> Self {
        Self::new(|_| Options::default()).await
    }

    async fn open() -> Self {
        Self::new(|owner| Options { rooms_open_to: Some(owner), ..Options::default() }).await
    }

    async fn new(options: impl FnOnce(UserId) -> Options) -> Self {
        LazyLock::force(&HEARD);
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(1)));
        let owner = user(&store, &env, "owner").await;
        let app = app(store.clone(), env.clone(), options(owner));
        Self { store, env, router: router(app.clone()), app, owner }
    }

    /// A key of a new user of this name, which ends in an hour.
    async fn key(&self, name: &str, purpose: Purpose) -> String {
        let user = user(&self.store, &self.env, name).await;
        let expires_at = Some(self.env.now().plus(Duration::from_secs(3_600)));
        let new = NewToken { user, name: Name::parse("board").unwrap(), purpose, expires_at };
        match self.app.keyring.make_token(new).await.unwrap() {
            Made::Token(token) => token.secret().reveal().to_owned(),
            Made::NameTaken => panic!("the name is free"),
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "rooms.example:3030");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((ADDRESS, 4_711))));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_owned()).await
    }
}

async fn user(store: &Memory, env: &TestEnv, name: &str) -> UserId {
    match store.add_user(&Name::parse(name).unwrap(), None, env.now()).await.unwrap() {
        Added::New(user) => user,
        taken => panic!("{taken:?}"),
    }
}

#[tokio::test]
async fn a_key_opens_rooms_wherever_it_stands_and_nothing_else_does() {
    let world = World::keyed().await;
    let (key, other) = (world.key("ann", Purpose::Rooms).await, world.key("bob", Purpose::Td).await);
    let bearer = |key: &str| format!("Bearer {key}");
    for path in ["/api/rooms/ABCD", "/ws"] {
        for (headers, in_path) in [
            (vec![], None),
            (vec![("authorization", "Basic x".to_owned())], None),
            (vec![("authorization", bearer(WRONG))], None),
            (vec![("authorization", bearer(&other))], None),
            (vec![("x-api-key", WRONG.to_owned()), ("authorization", bearer(&key))], None),
            (vec![], Some(WRONG)),
            (vec![], Some("rk%5F")),
            (vec![], Some("%ff")),
            (vec![], Some(other.as_str())),
            // What stands in the path counts.
            (vec![("x-api-key", key.clone())], Some(WRONG)),
        ] {
            let path = in_path.map_or(path.to_owned(), |wrong| format!("/k/{wrong}{path}"));
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = world.send("GET", &path, &headers, Body::empty()).await;
            assert_eq!((answer.status, answer.header("retry-after")), (401, ""), "{path} {headers:?}");
            let error = answer.error();
            assert!(!error.contains("WWW") && !error.contains(&other) && !error.contains(&key), "{error}");
        }
        let authorization = bearer(&key);
        for (headers, path) in [
            (vec![("x-api-key", key.as_str())], path.to_owned()),
            (vec![("authorization", authorization.as_str())], path.to_owned()),
            (vec![], format!("/k/{key}{path}")),
            (vec![], format!("//k//{key}/{path}/")),
            (vec![], format!("/tickit/k/{key}{path}")),
        ] {
            let answer = world.send("GET", &path, &headers, Body::empty()).await;
            assert_ne!(answer.status, 401, "{path} {headers:?}: {}", answer.body);
        }
    }
    assert!(world.get(&format!("/k/{other}")).await.error().starts_with("This key is for td"));
    world.env.advance(Duration::from_secs(3_600));
    let late = world.get(&format!("/k/{key}/api/rooms/ABCD")).await;
    assert_eq!(late.status, 401);
    assert!(late.error().contains("ended at 2027-01-15T09:00:00"), "{}", late.body);
}

#[tokio::test]
async fn wrong_keys_are_counted_and_keep_no_right_one_out() {
    let world = World::keyed().await;
    let key = world.key("ann", Purpose::Rooms).await;
    for _ in 0..WRONG_KEYS_MAX {
        assert_eq!(world.get(&format!("/k/{WRONG}/health")).await.status, 401);
    }
    for path in [format!("/k/{WRONG}/health"), format!("/k/{WRONG}/ws"), format!("/k/{WRONG}/api/rooms/ABCD")] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "60"), "{path}");
        assert_eq!(answer.error(), "Too many wrong keys from this address: try again in 60 s");
    }
    assert_eq!(world.get(&format!("/k/{key}")).await.status, 200);
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("tombolo_rate_limited_requests_total{class=\"wrong_key\"} 3\n"), "{metrics}");
}

#[tokio::test]
async fn what_a_key_asks_in_a_minute_is_limited_and_its_health_is_not() {
    let world = World::keyed().await;
    let key = world.key("ann", Purpose::Rooms).await;
    world.post(&format!("/k/{key}/api/rooms"), "{\"desired_room_code\":\"ABCD\"}").await;
    for _ in 1..300 {
        assert_eq!(world.get(&format!("/k/{key}/api/rooms/ABCD")).await.status, 200);
    }
    for answer in [
        world.get(&format!("/k/{key}/api/rooms/ABCD")).await,
        world.post(&format!("/k/{key}/api/rooms"), "{}").await,
        world.send("GET", "/api/rooms/ABCD", &[("x-api-key", &key)], Body::empty()).await,
    ] {
        assert_eq!((answer.status, answer.header("retry-after")), (429, "60"), "{}", answer.body);
        assert_eq!(answer.error(), "This address may be asked 300 times a minute: try again in 60 s");
    }
    for path in ["", "/health", "/ws"] {
        assert_ne!(world.get(&format!("/k/{key}{path}")).await.status, 429, "{path}");
    }
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("tombolo_rate_limited_requests_total{class=\"other\"} 3\n"), "{metrics}");
}

#[tokio::test]
async fn open_rooms_need_no_key_and_a_wrong_one_still_opens_nothing() {
    let (keyed, open) = (World::keyed().await, World::open().await);
    for (method, path) in [("GET", "/api/rooms/ABCD"), ("POST", "/api/rooms"), ("GET", "/ws")] {
        assert_eq!(keyed.send(method, path, &[], Body::empty()).await.status, 401, "{path}");
        let answer = open.send(method, path, &[("authorization", "Bearer x")], Body::empty()).await;
        assert_ne!(answer.status, 401, "{path}");
        assert_eq!(open.send(method, &format!("/k/{WRONG}{path}"), &[], Body::empty()).await.status, 401, "{path}");
    }
    let expected = format!(
        "{{\"name\":\"Khun Phaen Sync Server\",\"version\":\"{}\",\"status\":\"running\",\"websocket\":\"/ws\",\
         \"api\":{{\"create_room\":\"POST /api/rooms\",\"room_info\":\"GET /api/rooms/:room_code\"}},\
         \"server\":\"tombolo\"}}",
        env!("CARGO_PKG_VERSION")
    );
    let key = open.key("ann", Purpose::Rooms).await;
    for path in ["/".to_owned(), format!("/k/{key}"), format!("/k/{key}/")] {
        let answer = open.get(&path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected.as_str()), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    assert_eq!(keyed.get("/").await.status, 404);
}

#[tokio::test]
async fn any_page_may_read_whatever_is_answered() {
    let world = World::new(|_| Options {
        cors_origins: CorsOrigins::parse(["https://elsewhere.example"]).unwrap(),
        ..Options::default()
    })
    .await;
    let key = world.key("ann", Purpose::Rooms).await;
    let page = ("origin", "https://app.example");
    for (method, path, headers, status) in [
        ("GET", "/k", vec![], 404),
        ("GET", "/k/K/nothing", vec![], 404),
        ("POST", "/k/K/api/v1/sync", vec![], 404),
        ("GET", "/k/wrong/nothing", vec![], 404),
        ("DELETE", "/k/K", vec![], 405),
        ("GET", "/k/K/api/rooms", vec![], 405),
        ("GET", "/api/rooms", vec![], 405),
        ("PUT", "/api/rooms/ABCD", vec![], 405),
        ("POST", "/ws", vec![], 405),
        ("HEAD", "/k/K/ws", vec![], 405),
        ("POST", "/k/K/health", vec![], 405),
        ("GET", "/k/wrong/ws", vec![], 401),
        ("POST", "/k/K/api/rooms", vec![("content-encoding", "br")], 415),
        ("GET", "/k/K", vec![], 200),
        ("GET", "/health", vec![], 200),
    ] {
        let path = path.replace("/K", &format!("/{key}"));
        let headers: Vec<_> = headers.into_iter().chain([page]).collect();
        let answer = world.send(method, &path, &headers, Body::empty()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{method} {path}");
        if status != 200 && method != "HEAD" {
            let error = answer.error();
            assert!(!error.contains(&key), "{error}");
        }
        let allow = match path.rsplit('/').next() {
            _ if status != 405 => "",
            Some("rooms") => "POST, OPTIONS",
            Some("ws") => "GET, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        };
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    for path in ["/api/rooms", "/api/rooms/ABCD", "/ws", "/health", "/k/wrong/api/rooms", "/k/wrong/nothing"] {
        let asked = [page, ("access-control-request-method", "POST")];
        let answer = world.send("OPTIONS", path, &asked, Body::empty()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), "*", "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "*", "{path}");
    }
    // What is none of theirs is as it was.
    for (method, path) in [("GET", "/ready"), ("OPTIONS", "/api/v1/sync")] {
        let answer = world.send(method, path, &[page], Body::empty()).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test]
async fn a_room_is_made_and_found_again_by_who_names_its_host() {
    let world = World::open().await;
    let made = world.post("/api/rooms", "{}").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let json = made.json();
    let of = |json: &Value, name: &str| json[name].as_str().unwrap().to_owned();
    let (code, id, host) = (of(&json, "room_code"), of(&json, "room_id"), of(&json, "host_id"));
    let there = format!(
        "{{\"success\":true,\"room_code\":\"{code}\",\"room_id\":\"{id}\",\"host_id\":\"{host}\",\
         \"websocket_url\":\"ws://rooms.example:3030/ws\""
    );
    assert_eq!(made.body, format!("{there}}}"));
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()), "{code}");
    assert!(host.len() == 13 && host.starts_with("host_"), "{host}");
    assert!(id.len() == 36, "{id}");

    let wish = |code: &str, host: &str| format!("{{\"desired_room_code\":\"{code}\",\"desired_host_id\":\"{host}\"}}");
    let restored = world.post("/api/rooms", &wish(&code.to_lowercase(), &host)).await;
    assert_eq!((restored.status, restored.body), (200, format!("{there},\"restored\":true}}")));
    for other in ["", "host_evil"] {
        let taken = world.post("/api/rooms", &wish(&code, other)).await;
        assert_eq!((taken.status, taken.error().as_str()), (200, "Room code is already in use"));
    }
    let wished = world.post("/api/rooms", &wish("My-Room", "peer_me")).await.json();
    assert_eq!((of(&wished, "room_code"), of(&wished, "host_id")), ("My-Room".to_owned(), "peer_me".to_owned()));
}

#[tokio::test]
async fn what_is_no_wish_makes_a_room_and_what_cannot_be_is_refused() {
    let world = World::open().await;
    let mut codes = std::collections::BTreeSet::new();
    for body in ["", "{bad", "null", "5", "{\"desired_room_code\":5}", "{\"desired_room_code\":null,\"x\":1}"] {
        let answer = world.post("/api/rooms", body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        codes.insert(answer.json()["room_code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes.len(), 6);
    let unnamed = world.post("/api/rooms", "{\"desired_host_id\":\"\"}").await;
    assert!(unnamed.body.contains("\"host_id\":\"host_"), "{}", unnamed.body);
    for code in ["", "ABC", "a b/c", "กขคง", &"x".repeat(65)] {
        let answer = world.post("/api/rooms", &format!("{{\"desired_room_code\":\"{code}\"}}")).await;
        assert_eq!(answer.status, 400, "{code}: {}", answer.body);
        assert!(answer.error().starts_with("A room's code has 4 to 64 letters"), "{}", answer.body);
    }
    let named = |bytes: usize| format!("{{\"desired_host_id\":\"{}\"}}", "h".repeat(bytes));
    assert_eq!(world.post("/api/rooms", &named(128)).await.status, 200);
    let answer = world.post("/api/rooms", &named(129)).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "desired_host_id is longer than 128 bytes"));
    assert_eq!(world.post("/api/rooms", &" ".repeat(64 << 10)).await.status, 200);
    let answer = world.post("/api/rooms", &" ".repeat((64 << 10) + 1)).await;
    assert_eq!((answer.status, answer.error().as_str()), (413, "The request is larger than 64 KiB"));
    for code in ["ABC", "a%20b%2Fc", "%E0%B8%81%E0%B8%82", "%ff%ff%ff%ff"] {
        let answer = world.get(&format!("/api/rooms/{code}")).await;
        assert_eq!(answer.status, 400, "{code}: {}", answer.body);
        assert!(answer.error().starts_with("A room's code"), "{}", answer.body);
    }
}

#[tokio::test]
async fn strangers_see_who_is_in_a_room_but_not_who_its_host_is() {
    let world = World::open().await;
    let made = world.post("/api/rooms", "{\"desired_room_code\":\"Board-1\"}").await.json();
    let host = made["host_id"].as_str().unwrap().to_owned();
    let empty = world.get("/api/rooms/board-1").await;
    let nobody = "{\"success\":true,\"room_code\":\"Board-1\",\"host_id\":\"\",\"peers\":[],\
                  \"created_at\":\"2027-01-15T08:00:00.000Z\",\"peer_count\":0}";
    assert_eq!((empty.status, empty.body.as_str()), (200, nobody));

    let entrant = Entrant { owner: world.owner, credential: None, expires_at: None, address: ADDRESS };
    let mut inside = Vec::new();
    for (peer, claims_host, metadata) in [(host.as_str(), true, Some("{\"name\":\"Host\"}")), ("peer_abc", false, None)]
    {
        world.env.advance(Duration::from_micros(1));
        let mut connection = world.app.rooms.connect(entrant).unwrap();
        connection.join(JoinWish { code: "BOARD-1", peer, claims_host, metadata }).await.unwrap();
        inside.push(connection);
    }
    let full = world.get("/api/rooms/BOARD-1").await;
    let expected = "{\"success\":true,\"room_code\":\"Board-1\",\"host_id\":\"\",\"peers\":[\
                    {\"id\":\"host\",\"joined_at\":\"2027-01-15T08:00:00.000001Z\",\"is_host\":true,\
                    \"metadata\":{\"name\":\"Host\"}},\
                    {\"id\":\"peer_abc\",\"joined_at\":\"2027-01-15T08:00:00.000002Z\",\"is_host\":false,\
                    \"metadata\":null}],\"created_at\":\"2027-01-15T08:00:00.000Z\",\"peer_count\":2}";
    assert_eq!((full.status, full.body.as_str()), (200, expected));
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("\ntombolo_room_peers 2\n") && metrics.contains("\ntombolo_rooms 1\n"), "{metrics}");
    drop(inside);
    assert_eq!(world.get("/api/rooms/BOARD-1").await.body, nobody);
}

#[tokio::test]
async fn each_users_rooms_are_found_by_their_own_keys_only() {
    let world = World::keyed().await;
    let (ann, bob) = (world.key("ann", Purpose::Rooms).await, world.key("bob", Purpose::Rooms).await);
    let wish = "{\"desired_room_code\":\"BOARD\",\"desired_host_id\":\"peer_me\"}";
    let made = world.post(&format!("/k/{ann}/api/rooms"), wish).await;
    assert_eq!(made.json()["websocket_url"], format!("ws://rooms.example:3030/k/{ann}/ws"));
    assert_eq!(world.get(&format!("/k/{ann}/api/rooms/BOARD")).await.json()["success"], true);
    let unknown = world.get(&format!("/k/{bob}/api/rooms/BOARD")).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (200, "Room not found"));
    let other = world.post(&format!("/k/{bob}/api/rooms"), wish).await.json();
    assert_eq!((&other["success"], &other["restored"]), (&true.into(), &Value::Null));
    world.post(&format!("/k/{bob}/api/rooms"), "").await;
    let healthy =
        |rooms| format!("{{\"status\":\"healthy\",\"rooms\":{rooms},\"timestamp\":\"2027-01-15T08:00:00.000Z\"}}");
    assert_eq!(world.get(&format!("/k/{ann}/health")).await.body, healthy(1));
    assert_eq!(world.get(&format!("/k/{bob}/health/")).await.body, healthy(2));
}

#[tokio::test]
async fn wrong_codes_are_limited_over_keys() {
    let world = World::keyed().await;
    let keys = [world.key("ann", Purpose::Rooms).await, world.key("bob", Purpose::Rooms).await];
    world.post(&format!("/k/{}/api/rooms", keys[0]), "{\"desired_room_code\":\"BOARD\"}").await;
    for key in &keys {
        for number in 0..50 {
            let answer = world.get(&format!("/k/{key}/api/rooms/WRONG{number}")).await;
            assert_eq!((answer.status, answer.error().as_str()), (200, "Room not found"), "{number}");
        }
    }
    let answer = world.get(&format!("/k/{}/api/rooms/BOARD", keys[0])).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "60"));
    assert!(answer.error().starts_with("Too many wrong room codes from this address: try again in"), "{}", answer.body);
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("tombolo_rate_limited_requests_total{class=\"room\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn the_servers_health_tells_how_many_rooms_there_are() {
    let world = World::open().await;
    let healthy = |rooms| {
        format!(
            "{{\"service\":\"tickit-sync\",\"status\":\"ok\",\"version\":\"{}\",\"server\":\"tombolo\",\
             \"rooms\":{rooms},\"timestamp\":\"2027-01-15T08:00:00.000Z\"}}",
            env!("CARGO_PKG_VERSION")
        )
    };
    assert_eq!(world.get("/health").await.body, healthy(0));
    world.post("/api/rooms", "").await;
    assert_eq!(world.get("/health").await.body, healthy(1));
    let off = World::new(|_| Options { rooms: false, ..Options::default() }).await;
    let answer = off.get("/health").await;
    assert!(answer.status == 200 && !answer.body.contains("rooms"), "{}", answer.body);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(off.get("/api/rooms/ABCD").await.status, 404);
}

#[tokio::test]
async fn neither_a_key_nor_a_code_reaches_logs_and_counts() {
    let world = World::new(|_| Options { path_prefix: Some("/sync".to_owned()), ..Options::default() }).await;
    let key = world.key("ann", Purpose::Rooms).await;
    for key in [&key, WRONG, "Misspelt"] {
        for path in ["", "/health", "/api/rooms", "/api/rooms/SeCret", "/ws", "/nothing/SeCret", "//x"] {
            for method in ["GET", "POST", "BREW"] {
                let wish = "{\"desired_room_code\":\"SeCret\"}";
                world.send(method, &format!("/k/{key}{path}"), &[], wish).await;
                world.send(method, &format!("/sync//k/{key}{path}"), &[], wish).await;
            }
        }
    }
    let logged = HEARD.told();
    let metrics = world.get("/metrics").await.body;
    assert!(logged.contains("status=401"), "{logged}");
    for text in [&logged, &metrics] {
        assert!(text.contains("/k/{key}/api/rooms/{code}"), "{text}");
        for secret in [&key[3..], &WRONG[3..], "Misspelt", "SeCret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
