//! Rooms: what is passed on to many, and what a connection costs that says nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::Scale;
use crate::process::Served;
use crate::table::Table;

/// Frames that are sent at once.
const BURST: usize = 2_000;
/// Peers of a room, where it is not about one large room.
const ROOM: usize = 100;
/// Letters of what is passed on, about as many as a change of a task has.
const DATA_BYTES: usize = 120;
/// While latency is measured, one frame goes out in this time.
const PACE: Duration = Duration::from_millis(10);

/// What a run came to.
pub(crate) struct Passed {
    /// Deliveries a second, in bursts.
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn run(table: &mut Table, scale: Scale) {
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for subscribers in [100, 1_000] {
        let mut rounds: Vec<(Passed, Passed, Passed)> = (0..scale.rounds)
            .map(|_| {
                let floor = Served::floor();
                let bare = runtime.block_on(pass(floor.address, "/ws", subscribers, false, scale));
                drop(floor);
                let [ours, stalled] = [false, true].map(|is_one_stalled| {
                    let served = Served::tombolo_rooms();
                    let path = format!("/k/{}/ws", served.tokens[0]);
                    runtime.block_on(pass(served.address, &path, subscribers, is_one_stalled, scale))
                });
                (bare, ours, stalled)
            })
            .collect();
        rounds.sort_by(|a, b| (a.1.per_second / a.0.per_second).total_cmp(&(b.1.per_second / b.0.per_second)));
        let (bare, ours, stalled) = rounds.swap_remove(rounds.len() / 2);
        table.passed(&format!("rooms, passed on to {subscribers}"), &ours, &bare, "≥ 0.70");
        table.passed("rooms, the same beside one that never reads", &stalled, &ours, "1");
    }
    for (count, is_joined) in [(1_000, false), (1_000, true), (10_000, false), (10_000, true)] {
        let count = if scale.rounds == 1 { count / 10 } else { count };
        let served = Served::tombolo_rooms();
        let path = format!("/k/{}/ws", served.tokens[0]);
        let grown = runtime.block_on(idle(&served, &path, count, is_joined));
        let (what, goal) = if is_joined { ("in rooms of 100", "≤ 12 KiB") } else { ("bare", "≤ 8 KiB") };
        table.note(&format!("rooms, an idle connection of {count}, {what}"), &format!("{grown:.1} KiB"), goal);
    }
}

/// Bursts to all, and then frames at a pace.
async fn pass(address: SocketAddr, path: &str, subscribers: usize, is_one_stalled: bool, scale: Scale) -> Passed {
    let is_floor = path == "/ws";
    let room = if is_floor { String::new() } else { made_room(address, path).await };
    let began = Instant::now();
    let (latencies, mut measured) = mpsc::unbounded_channel();
    let heard = Arc::new((AtomicUsize::new(0), Notify::new()));
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..subscribers {
        let socket = joined(address, path, &room, n).await;
        readers.spawn(count(socket, began, Arc::clone(&heard), latencies.clone(), subscribers));
    }
    let _stalled = if is_one_stalled { Some(joined(address, path, &room, subscribers).await) } else { None };
    let mut sender = joined(address, path, &room, subscribers + 1).await;
    // What the sender is told is of no interest, and must not stop it.
    let (mut from_server, mut to_server) = {
        let (read, write) = std::mem::replace(&mut sender, TcpStream::connect(address).await.unwrap()).into_split();
        (read, write)
    };
    readers.spawn(async move { drop(tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await) });

    let mut spent = Duration::ZERO;
    let mut sent = 0;
    let bursts = if scale.rounds == 1 { 1 } else { 20_000 / subscribers.max(1_000) };
    for _ in 0..bursts {
        let frames: Vec<u8> = (0..BURST).flat_map(|_| frame(&message(is_floor, began))).collect();
        let started = Instant::now();
        to_server.write_all(&frames).await.unwrap();
        sent += BURST;
        until(&heard, sent * subscribers).await;
        spent += started.elapsed();
    }
    let per_second = (sent * subscribers) as f64 / spent.as_secs_f64();

    while measured.try_recv().is_ok() {}
    let paced = scale.seconds.as_millis() / PACE.as_millis();
    for _ in 0..paced {
        to_server.write_all(&frame(&message(is_floor, began))).await.unwrap();
        sent += 1;
        tokio::time::sleep(PACE).await;
    }
    until(&heard, sent * subscribers).await;
    readers.shutdown().await;
    let mut latencies = Vec::new();
    while let Ok(latency) = measured.try_recv() {
        latencies.push(latency);
    }
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() * share / 100).min(latencies.len() - 1)];
    Passed { per_second, p50: at(50), p99: at(99) }
}

/// Waits until so many were delivered: none may be lost.
async fn until(heard: &(AtomicUsize, Notify), count: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while heard.0.load(Ordering::Relaxed) < count {
            heard.1.notified().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{} of {count} were delivered", heard.0.load(Ordering::Relaxed)));
}

/// What is said: when it was, in nanoseconds, and letters.
fn message(is_floor: bool, began: Instant) -> String {
    let at = began.elapsed().as_nanos();
    let letters = "x".repeat(DATA_BYTES);
    if is_floor {
        // As long as what a room passes on.
        return format!(r#"{{"type":"data","from":"peer0","data":"{at:020}{letters}"}}"#);
    }
    format!(r#"{{"action":"broadcast","data":"{at:020}{letters}"}}"#)
}

/// Reads what is passed on, and notes how long it took.
async fn count(
    socket: TcpStream,
    began: Instant,
    heard: Arc<(AtomicUsize, Notify)>,
    latencies: mpsc::UnboundedSender<Duration>,
    subscribers: usize,
) {
    let mut socket = BufReader::with_capacity(16 * 1024, socket);
    let mut text = Vec::new();
    let mut own = 0_usize;
    while read_frame(&mut socket, &mut text).await {
        if !text.starts_with(br#"{"type":"data""#) {
            continue;
        }
        let digits = &text[text.len() - DATA_BYTES - 22..][..20];
        let at: u64 = std::str::from_utf8(digits).unwrap().parse().unwrap();
        // Each is one of many: a few of them tell how long it takes.
        own += 1;
        if own.is_multiple_of(subscribers / 100) {
            let _ = latencies.send(began.elapsed().saturating_sub(Duration::from_nanos(at)));
        }
        // Whoever waits looks at all of them.
        if (heard.0.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(subscribers) {
            heard.1.notify_one();
        }
    }
}

/// Reads a frame of a server; `false` at the end.
async fn read_frame(socket: &mut BufReader<TcpStream>, text: &mut Vec<u8>) -> bool {
    let Ok(_) = socket.read_u8().await else { return false };
    let len = match socket.read_u8().await.unwrap() {
        126 => u64::from(socket.read_u16().await.unwrap()),
        127 => socket.read_u64().await.unwrap(),
        len => u64::from(len),
    };
    text.resize(usize::try_from(len).unwrap(), 0);
    socket.read_exact(text).await.is_ok()
}

/// A frame of a client. Its mask is zero, which changes nothing in what is masked.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()).unwrap() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A connection; of a room, one that has joined and was told so.
async fn joined(address: SocketAddr, path: &str, room: &str, n: usize) -> TcpStream {
    let mut socket = opened(address, path).await;
    if !room.is_empty() {
        let join = format!(r#"{{"action":"join","room_code":"{room}","peer_id":"peer{n}","is_host":false}}"#);
        socket.write_all(&frame(&join)).await.unwrap();
        // The first thing that is told is the room; the rest is passed over by whoever reads.
        let mut head = [0; 2];
        socket.read_exact(&mut head).await.unwrap();
        let len = match head[1] {
            126 => u64::from(socket.read_u16().await.unwrap()),
            127 => socket.read_u64().await.unwrap(),
            len => u64::from(len),
        };
        let mut text = vec![0; usize::try_from(len).unwrap()];
        socket.read_exact(&mut text).await.unwrap();
        assert!(text.starts_with(br#"{"type":"room_info""#), "{}", String::from_utf8_lossy(&text));
    }
    socket
}

async fn opened(address: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket
}

async fn made_room(address: SocketAddr, path: &str) -> String {
    let path = path.replace("/ws", "/api/rooms");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await.unwrap();
    let code = reply.split_once(r#""room_code":""#).and_then(|(_, rest)| rest.split_once('"'));
    code.unwrap_or_else(|| panic!("{reply}")).0.to_owned()
}

/// By how much the process grows for each of so many connections that say nothing, in KiB.
async fn idle(served: &Served, path: &str, count: usize, is_joined: bool) -> f64 {
    // What the first ones need once.
    let mut sockets = vec![opened(served.address, path).await];
    let before = served.resident_kib();
    let mut room = String::new();
    for n in 0..count {
        if is_joined && n % ROOM == 0 {
            room = made_room(served.address, path).await;
        }
        sockets.push(joined(served.address, path, if is_joined { &room } else { "" }, n).await);
    }
    // What was passed on to each is on its way when the last one has been answered twice.
    for _ in 0..2 {
        let last = sockets.last_mut().unwrap();
        last.write_all(&frame(r#"{"action":"ping"}"#)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    (served.resident_kib() - before) as f64 / count as f64
}

/// Both ends of a connection are files, and here are as many as the server has.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
}
