//! Sockets whose client is a test, on a stream in memory and a clock that jumps.

mod closing;
mod decoding;
mod speaking;
mod writing;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control as OpControl, Data, OpCode};
use tombolo_core::RoomCode;
use tombolo_service::{CloseReason, Notice, RoomCodec as _, Taken};

use super::member::{Heard, Member};
use super::writer::Frames;
use crate::protocols::rooms::codec::Codec;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(OpControl::Ping);
const PONG: OpCode = OpCode::Control(OpControl::Pong);
const CLOSE: OpCode = OpCode::Control(OpControl::Close);

/// A frame as a client writes it.
#[derive(Clone)]
struct Sent {
    opcode: OpCode,
    is_final: bool,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
    rsv1: bool,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (payload, end) = (String::from_utf8_lossy(&self.payload), if self.is_final { "" } else { ", …" });
        let short: String = payload.chars().take(20).collect();
        write!(f, "{:?}({short:?} {}{end} mask {:?} {})", self.opcode, self.payload.len(), self.mask, self.rsv1)
    }
}

impl Sent {
    fn whole(opcode: OpCode, payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode, is_final: true, mask: Some([0x5a, 0, 0xff, 7]), payload: payload.into(), rsv1: false }
    }

    fn part(opcode: OpCode, payload: impl Into<Vec<u8>>) -> Self {
        Self { is_final: false, ..Self::whole(opcode, payload) }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = FrameHeader {
            is_final: self.is_final,
            opcode: self.opcode,
            mask: self.mask,
            rsv1: self.rsv1,
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header.format(self.payload.len() as u64, &mut bytes).unwrap();
        let mask = self.mask.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

fn on_wire(frames: &[Sent]) -> Vec<u8> {
    frames.iter().flat_map(Sent::bytes).collect()
}

/// What a server writes, taken apart: opcode and payload of each frame, all of them whole and none of them masked.
fn taken_apart(mut bytes: &[u8]) -> Vec<(OpCode, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let mut cursor = std::io::Cursor::new(bytes);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().expect("no frame is half written");
        assert!(header.is_final && header.mask.is_none());
        let start = usize::try_from(cursor.position()).unwrap();
        let end = start + usize::try_from(length).unwrap();
        frames.push((header.opcode, bytes[start..end].to_vec()));
        bytes = &bytes[end..];
    }
    frames
}

fn close_of(code: u16) -> (OpCode, Vec<u8>) {
    (CLOSE, code.to_be_bytes().to_vec())
}

/// A queue of what is to be written, without a bound.
#[derive(Default)]
struct Queue {
    state: Mutex<(VecDeque<Bytes>, Option<CloseReason>)>,
    asks: AtomicBool,
    pushed: Notify,
    closed: Notify,
}

impl Queue {
    fn push(&self, frame: Bytes) {
        let mut state = self.state.lock().unwrap();
        if state.1.is_none() {
            state.0.push_back(frame);
        }
        drop(state);
        self.pushed.notify_one();
    }

    fn close(&self, reason: CloseReason, text: &str) {
        let mut state = self.state.lock().unwrap();
        if state.1.is_none() {
            if !text.is_empty() {
                state.0.push_back(Codec.encode(Notice::Error(text)));
            }
            state.1 = Some(reason);
        }
        drop(state);
        self.closed.notify_waiters();
        self.pushed.notify_one();
    }
}

impl Frames for Queue {
    type Frame = Bytes;

    fn bytes(frame: &Bytes) -> &[u8] {
        frame
    }

    async fn take(&self, into: &mut Vec<Bytes>) -> Taken {
        loop {
            {
                let (frames, reason) = &mut *self.state.lock().unwrap();
                let count = frames.len().min(64);
                into.extend(frames.drain(..count));
                match *reason {
                    Some(reason) if frames.is_empty() => return Taken::Last(reason),
                    _ if count > 0 => return Taken::Some,
                    _ => {}
                }
            }
            self.pushed.notified().await;
        }
    }

    async fn closing(&self) -> CloseReason {
        loop {
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if let Some(reason) = self.state.lock().unwrap().1 {
                return reason;
            }
            closed.await;
        }
    }

    fn is_closing(&self) -> bool {
        self.state.lock().unwrap().1.is_some()
    }

    /// Always the same, if anything was written.
    fn to_ask(&self) -> Option<u64> {
        self.asks.load(Relaxed).then_some(0x0102)
    }
}

/// A member that answers each text with the same one, as an error.
#[derive(Clone, Default)]
struct Echo {
    queue: Arc<Queue>,
    heard: Arc<Mutex<Vec<String>>>,
    admitted: usize,
    admitted_max: Option<usize>,
}

impl Member for Echo {
    type Outlet = Queue;

    fn outlet(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    fn address(&self) -> IpAddr {
        HERE
    }

    fn admits(&mut self) -> bool {
        self.admitted += 1;
        if self.admitted_max.is_some_and(|max| self.admitted > max) {
            self.close(CloseReason::Limited, "Too many");
            return false;
        }
        true
    }

    /// `withhold` says that something is withheld, `leave` leaves, `work` takes a minute.
    async fn hear(&mut self, text: &str) -> Heard {
        self.heard.lock().unwrap().push(text.to_owned());
        match text {
            "withhold" => return Heard::Withheld,
            "leave" => self.close(CloseReason::Left, ""),
            "work" => tokio::time::sleep(std::time::Duration::from_secs(60)).await,
            _ => {}
        }
        self.queue.push(Codec.encode(Notice::Error(text)));
        Heard::Done
    }

    fn has_read(&mut self, pong: &[u8]) -> bool {
        pong == b"asked"
    }

    fn part(&mut self) {}

    fn release(&mut self) {
        let code = RoomCode::parse("RELEASED").unwrap();
        let peer = tombolo_core::PeerName::parse("me", 2).unwrap();
        self.queue.push(Codec.encode(Notice::Connected { peer: &peer, code: &code }));
    }

    fn close(&mut self, reason: CloseReason, text: &str) {
        self.queue.close(reason, text);
    }
}

fn said(text: &str) -> (OpCode, Vec<u8>) {
    (TEXT, format!(r#"{{"type":"error","message":"{text}"}}"#).into_bytes())
}
