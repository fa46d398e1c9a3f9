//! A server that answers as a real one would, or as it was told to for the next requests.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::store::Store;

/// What goes wrong with one request.
pub(crate) enum Fault {
    /// This comes back, byte for byte; nothing is done.
    Raw(Vec<u8>),
    /// Nothing comes back, and the connection stays open until the client gives up.
    Silence,
    /// It is done, and the answer is lost.
    LostAnswer,
    /// It is done, and half of the answer arrives.
    HalfAnswer,
    /// It is done as it should be.
    None,
    /// So it is, after somebody was told that it came and said that it may go on.
    Held(SyncSender<()>, Receiver<()>),
}

/// A fault that holds a request, with what says that it came, and what lets it go on.
pub(crate) fn held() -> (Fault, Receiver<()>, SyncSender<()>) {
    let ((arrived, arrival), (go, going)) = (sync_channel(1), sync_channel(1));
    (Fault::Held(arrived, going), arrival, go)
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    faults: VecDeque<Fault>,
    seen: Vec<Seen>,
    store: Store,
}

pub(crate) struct FakeServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

/// An answer of JSON with more headers, each ended by a line break.
pub(crate) fn answer(status: u16, kind: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn json(status: u16, headers: &str, body: &str) -> Fault {
    Fault::Raw(answer(status, "application/json", headers, body.as_bytes()))
}

pub(crate) fn problem(status: u16, headers: &str, body: &str) -> Fault {
    Fault::Raw(answer(status, "application/problem+json", headers, body.as_bytes()))
}

impl FakeServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let its = Arc::clone(&shared);
        let serve = move || {
            for stream in listener.incoming() {
                let its = Arc::clone(&its);
                let one = move || serve_one(&stream.unwrap(), &its);
                std::thread::Builder::new().spawn(one).unwrap();
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next requests go wrong, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().unwrap().faults.extend(faults);
    }

    /// Takes the requests that came since the last time.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.lock().unwrap().seen)
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Store) -> T) -> T {
        look(&mut self.shared.lock().unwrap().store)
    }
}

fn serve_one(stream: &TcpStream, shared: &Mutex<Shared>) {
    // A client that was killed has nobody to answer.
    let Some(seen) = read(stream) else { return };
    let mut fault = shared.lock().unwrap().faults.pop_front().unwrap_or(Fault::None);
    if let Fault::Held(arrived, going) = fault {
        arrived.send(()).unwrap();
        going.recv().unwrap();
        fault = Fault::None;
    }
    let reply = {
        let mut shared = shared.lock().unwrap();
        shared.seen.push(seen.clone());
        let is_done = matches!(fault, Fault::LostAnswer | Fault::HalfAnswer | Fault::None);
        is_done.then(|| shared.store.handle(&seen.line, &seen.body))
    };
    let mut stream = stream;
    let mut send = |bytes: &[u8]| drop(stream.write_all(bytes).and_then(|()| stream.flush()));
    match (fault, reply) {
        (Fault::Raw(bytes), _) => send(&bytes),
        (Fault::Silence, _) => drop(stream.read(&mut [0])),
        (Fault::HalfAnswer, Some((status, body))) => {
            let whole = answer(status, "application/json", "", body.as_bytes());
            send(&whole[..whole.len() - body.len() / 2 - 1]);
        }
        (Fault::None, Some((status, body))) => {
            let kind = if status == 200 { "application/json" } else { "application/problem+json" };
            send(&answer(status, kind, "", body.as_bytes()));
        }
        _ => {}
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
    }
    let headers = headers.to_ascii_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { line: line.trim().to_owned(), headers, body })
}
