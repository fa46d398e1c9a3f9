//! Rooms over sockets: the whole way, from a listener on a real port to a store in memory, with another library's client.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod served;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tombolo_core::{Env as _, Name, UserId};
use tombolo_http::{App, Options, Takeover, room_codec, router};
use tombolo_service::{AccessChanges, CloseReason, Entrant, RoomOptions, Rooms};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Added};
use tombolo_testkit::TestEnv;
use tower::ServiceExt as _;

use self::served::app;

type Socket = WebSocketStream<TcpStream>;

/// A server on a real port, whose rooms are open to everybody.
struct World {
    app: Arc<App>,
    address: SocketAddr,
    owner: UserId,
}

impl World {
    async fn open() -> Self {
        Self::open_with(RoomOptions::default(), Arc::new(TestEnv::new(1))).await
    }

    async fn open_with(options: RoomOptions, env: Arc<TestEnv>) -> Self {
        let store = Arc::new(Memory::new());
        let Added::New(owner) = store.add_user(&Name::parse("owner").unwrap(), None, env.now()).await.unwrap() else {
            panic!("nobody is there yet");
        };
        let mut app = app(store.clone(), env.clone(), Options { rooms_open_to: Some(owner), ..Options::default() });
        Arc::get_mut(&mut app).unwrap().rooms =
            Arc::new(Rooms::new(store, env, Arc::new(AccessChanges::default()), room_codec(), options));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        start(serve(listener, router(app.clone())));
        Self { app, address, owner }
    }

    /// Makes a room; its code and its host.
    async fn room(&self) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = "POST /api/rooms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let body: Value = serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap();
        (body["room_code"].as_str().unwrap().to_owned(), body["host_id"].as_str().unwrap().to_owned())
    }

    async fn socket(&self) -> Socket {
        let stream = TcpStream::connect(self.address).await.unwrap();
        client_async("ws://rooms.example/ws", stream).await.unwrap().0
    }

    /// A socket that has joined `code`, and was told all that it is told of that.
    async fn joined(&self, code: &str, peer: &str, is_host: bool) -> Socket {
        let mut socket = self.socket().await;
        let metadata = json!({"name": "ผู้ใช้ 42"});
        let join =
            json!({"action": "join", "room_code": code, "peer_id": peer, "is_host": is_host, "metadata": metadata});
        send(&mut socket, join).await;
        while receive(&mut socket).await["type"] != "peer_joined" {}
        socket
    }
}

#[expect(clippy::disallowed_methods, reason = "the test ends with it")]
fn start(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Does what the server's listener does.
async fn serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let router = router.clone();
        start(async move {
            let takeover = Takeover::default();
            let given = takeover.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                request.extensions_mut().insert(given.clone());
                router.clone().oneshot(request)
            });
            let http = http1::Builder::new();
            http.serve_connection(TokioIo::new(stream), service).with_upgrades().await.unwrap();
            if let Some(afterwards) = takeover.take() {
                afterwards.await;
            }
        });
    }
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text.
async fn receive(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// With which code the server closes, after what it says before that.
async fn closed(socket: &mut Socket) -> (Vec<Value>, Option<CloseCode>) {
    let mut said = Vec::new();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => said.push(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return (said, frame.map(|frame: CloseFrame| frame.code)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn two_work_on_one_document_and_one_leaves() {
    let world = World::open().await;
    let (code, host_id) = world.room().await;
    let mut host = world.joined(&code, &host_id, true).await;
    send(&mut host, json!({"action": "sync_document", "document": "# TASKS\n1,งานแรก"})).await;
    let mut guest = world.socket().await;
    send(&mut guest, json!({"action": "join", "room_code": code.to_lowercase(), "peer_id": "g", "is_host": false}))
        .await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(receive(&mut guest).await);
    }
    let types: Vec<_> = told.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["room_info", "connected", "document_sync", "peer_joined"]);
    assert_eq!(told[0]["peers"][0]["metadata"], json!({"name": "ผู้ใช้ 42"}));
    assert_eq!(told[2], json!({"type": "document_sync", "document": "# TASKS\n1,งานแรก"}));
    assert_eq!(receive(&mut host).await["peer"]["id"], "g");
    // In order, whatever lies between, and whichever way.
    for number in 0..100 {
        send(&mut guest, json!({"action": "broadcast", "data": number.to_string()})).await;
    }
    guest.send(Message::Binary(vec![1, 2, 3].into())).await.unwrap();
    send(&mut guest, json!({"action": "nope"})).await;
    send(&mut guest, json!({"action": "ping"})).await;
    for number in 0..100 {
        assert_eq!(receive(&mut host).await, json!({"type": "data", "from": "g", "data": number.to_string()}));
    }
    assert!(
        receive(&mut guest).await["message"].as_str().unwrap().starts_with("Invalid message format: unknown variant")
    );
    assert_eq!(receive(&mut guest).await, json!({"type": "pong"}));
    send(&mut guest, json!({"action": "leave"})).await;
    assert_eq!(closed(&mut guest).await, (vec![], Some(CloseCode::Normal)));
    assert_eq!(receive(&mut host).await, json!({"type": "peer_left", "peer_id": "g"}));
    // Whoever goes without a word has left too.
    let other = world.joined(&code, "h", false).await;
    assert_eq!(receive(&mut host).await["peer"]["id"], "h");
    drop(other);
    assert_eq!(receive(&mut host).await, json!({"type": "peer_left", "peer_id": "h"}));
    host.close(None).await.unwrap();
    assert!(matches!(host.next().await, Some(Ok(Message::Close(_)))));
    assert!(host.next().await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
}

/// Reads until the server asks whether that was read, and answers. Whatever is sent after it comes after the answer.
async fn answer(socket: &mut Socket) {
    while !matches!(socket.next().await.unwrap().unwrap(), Message::Ping(asked) if asked.len() == 8) {}
    socket.flush().await.unwrap();
}

#[tokio::test]
async fn what_others_added_is_deleted_by_who_has_answered_that_it_read_it() {
    for answers in [false, true] {
        let env = Arc::new(TestEnv::new(1));
        let world = World::open_with(RoomOptions { merge: true, ..RoomOptions::default() }, env.clone()).await;
        let (code, host_id) = world.room().await;
        let mut host = world.joined(&code, &host_id, true).await;
        let [before, after] = ["", "\n2,Eggs,c2"].map(|more| format!("# TASKS\nid,title,created_at\n1,Milk,c1{more}"));
        send(&mut host, json!({"action": "sync_document", "document": before})).await;
        send(&mut host, json!({"action": "ping"})).await;
        while receive(&mut host).await != json!({"type": "pong"}) {}
        let mut guest = world.joined(&code, "g", false).await;
        answer(&mut guest).await;
        send(&mut host, json!({"action": "sync_document", "document": after})).await;
        assert_eq!(receive(&mut guest).await["document"], Value::from(after.as_str()));
        if answers {
            answer(&mut guest).await;
        } else {
            guest.send(Message::Pong(vec![0xff; 8].into())).await.unwrap();
        }
        // Whatever it sent before was heard when this is.
        send(&mut guest, json!({"action": "broadcast", "data": ""})).await;
        while receive(&mut host).await["type"] != "data" {}
        env.advance(Duration::from_secs(1));
        let mine = before.replace("Milk", "Soy");
        send(&mut guest, json!({"action": "sync_document", "document": mine})).await;
        let left = if answers { mine } else { after.replace("Milk", "Soy") };
        assert_eq!(receive(&mut host).await["document"], Value::from(left), "{answers}");
    }
}

#[tokio::test]
async fn a_large_document_comes_and_goes_whole() {
    let world = World::open().await;
    let (code, host_id) = world.room().await;
    let mut host = world.joined(&code, &host_id, true).await;
    let mut guest = world.joined(&code, "g", false).await;
    let document = "1,\"งาน\",\u{1f600}\n".repeat(400_000);
    send(&mut host, json!({"action": "sync_document", "document": document})).await;
    assert_eq!(receive(&mut guest).await["document"], Value::from(document.as_str()));
    // Nothing of it counts as arriving any more once it was passed on.
    send(&mut host, json!({"action": "ping"})).await;
    while receive(&mut host).await != json!({"type": "pong"}) {}
    assert_eq!(world.app.arriving.bytes(), 0);
    let most = world.app.rooms.options().document_bytes_max;
    send(&mut host, json!({"action": "sync_document", "document": "x".repeat(most + 1)})).await;
    let (said, code) = closed(&mut host).await;
    assert_eq!((said.last().unwrap()["type"].as_str(), code), (Some("error"), Some(CloseCode::Size)));
}

#[tokio::test]
async fn when_the_server_stops_everybody_is_told() {
    let world = World::open().await;
    let (code, host_id) = world.room().await;
    let mut host = world.joined(&code, &host_id, true).await;
    world.app.rooms.close_all(CloseReason::Stopping, "The server stops");
    let expected = vec![json!({"type": "error", "message": "The server stops"})];
    assert_eq!(closed(&mut host).await, (expected, Some(CloseCode::Away)));
    let stream = TcpStream::connect(world.address).await.unwrap();
    let Err(Error::Http(refused)) = client_async("ws://rooms.example/ws", stream).await else {
        panic!("no more sockets are taken");
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
}

#[tokio::test]
async fn an_address_that_has_too_many_is_told_when_to_come_again() {
    let world = World::open().await;
    let most = world.app.rooms.options().sockets_per_address_max;
    let entrant = Entrant { owner: world.owner, credential: None, expires_at: None, address: [127, 0, 0, 1].into() };
    let held: Vec<_> = (0..most).map(|_| world.app.rooms.connect(entrant).unwrap()).collect();
    let stream = TcpStream::connect(world.address).await.unwrap();
    let Err(Error::Http(refused)) = client_async("ws://rooms.example/ws", stream).await else {
        panic!("it has as many as it may");
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"10".parse().unwrap()));
    drop(held);
    world.socket().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_told_what_is() {
    let world = World::open().await;
    for (version, head) in [("1.1", ""), ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n")] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let lines = "Host: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        stream.write_all(format!("GET /ws HTTP/{version}\r\n{head}{lines}\r\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; 4_096];
        let count = stream.read(&mut reply).await.unwrap();
        let reply = String::from_utf8_lossy(&reply[..count]).to_lowercase();
        assert!(reply.starts_with(&format!("http/{version} 426 ")), "{reply}");
        assert!(reply.contains("sec-websocket-version: 13\r\n"), "{reply}");
        assert!(reply.contains("access-control-allow-origin: *\r\n"), "{reply}");
    }
}
