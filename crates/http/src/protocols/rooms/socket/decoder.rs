//! The frames of a client, and the messages that they make (RFC 6455, section 5).
//!
//! A library would keep the buffer of the largest message for as long as the connection lasts: a hundred hosts that sent
//! one large document each would be gigabytes of nothing. Here a message has a buffer of its own, which goes with it, and
//! a connection on which nothing arrives has none.

use std::io::Cursor;
use std::net::IpAddr;

use tokio::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::arriving::{Arrived, Arriving};

/// The longest header: two bytes, eight for the length, four for the mask.
const HEADER_BYTES_MAX: usize = 14;
/// What the payload of a control frame has at most.
const CONTROL_BYTES_MAX: u64 = 125;
/// From how much of a message on its buffer grows in large steps, by [`GROWTH`] times what is there: a client that only
/// announces much is given little.
const GROWS_FROM_BYTES: usize = 64 << 10;
/// So a document is copied by a third once more, and not each time that its buffer doubles.
const GROWTH: usize = 3;

/// How long a message may take from its first frame on: whoever begins many and ends none would keep others from theirs.
const MESSAGE_MAX: Duration = Duration::from_secs(60);
/// For so many bytes of it that have arrived it may take [`MORE`] longer: those who send slowly send all the same.
const MORE_EVERY_BYTES: usize = 64 << 10;
const MORE: Duration = Duration::from_secs(1);

/// How much of messages may arrive.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Bounds {
    /// Bytes of one message.
    pub(in super::super) message_bytes_max: usize,
    /// Bytes of those of all connections.
    pub(in super::super) arriving_bytes_max: usize,
}

/// What a client sent.
#[derive(Debug)]
pub(super) enum Item {
    /// A text.
    Text(Text),
    /// Something else than a text.
    Binary,
    /// That it wants these bytes back.
    Ping(Vec<u8>),
    /// That it is there, and has read these bytes, if it was sent them.
    Pong(Vec<u8>),
    /// That it closes, and with which code that is to be answered.
    Close(Option<u16>),
}

/// A text, which counts as arriving until it is dropped.
#[derive(Debug)]
pub(super) struct Text {
    /// What it says.
    pub(super) text: String,
    _arrived: Arrived,
}

/// Why nothing that a client sends can be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It does not keep to the protocol.
    Protocol,
    /// Its text is none.
    NotText,
    /// Its message is too large.
    TooBig,
    /// There is no room for its message now.
    NoRoom,
    /// Its message takes too long.
    TooLate,
}

/// Puts together what a client sends, from bytes that are cut anywhere.
pub(super) struct Decoder {
    bounds: Bounds,
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    /// The frame of which the payload arrives.
    frame: Option<Frame>,
    /// Whether the message that arrives is a text; `None` between messages.
    is_text: Option<bool>,
    /// When it began; of no meaning between messages.
    began: Instant,
    /// Bytes that have arrived of it.
    there: usize,
    /// Those of a text; what is none is not kept.
    message: Vec<u8>,
    arrived: Arrived,
    control: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// Of the next byte, and those after it.
    mask: [u8; 4],
    /// Bytes that are still to come. It is no more than a message may have.
    left: usize,
}

impl Decoder {
    pub(super) fn new(bounds: Bounds, arriving: &Arriving, from: IpAddr) -> Self {
        Self {
            bounds,
            header: [0; HEADER_BYTES_MAX],
            header_bytes: 0,
            frame: None,
            is_text: None,
            began: Instant::now(),
            there: 0,
            message: Vec::new(),
            arrived: arriving.message(from, bounds.arriving_bytes_max),
            control: Vec::new(),
        }
    }

    /// Takes from the front of `bytes` as much as the next item needs; `None` when that is not all there.
    ///
    /// # Errors
    /// [`Broken`]; nothing may be given to it after that.
    pub(super) fn feed(&mut self, bytes: &mut &[u8]) -> Result<Option<Item>, Broken> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.begin(bytes)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let count = frame.left.min(bytes.len());
            let (payload, rest) = bytes.split_at(count);
            *bytes = rest;
            self.append(frame, payload)?;
            frame.left -= count;
            if frame.left > 0 {
                frame.mask.rotate_left(count % 4);
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(item) = self.end(frame)? {
                return Ok(Some(item));
            }
        }
    }

    /// Until when the message that has begun must be whole, if one has.
    pub(super) fn due(&self) -> Option<Instant> {
        let more = u32::try_from(self.there / MORE_EVERY_BYTES).unwrap_or(u32::MAX);
        self.is_text.map(|_| self.began + MESSAGE_MAX + MORE * more)
    }

    /// Waits until what has begun has to give way to others. May be dropped midway.
    pub(super) fn gives_way(&self) -> impl Future<Output = ()> + Send + use<> {
        self.arrived.gives_way()
    }

    /// Lets go of what has arrived: nothing may be given to it after that.
    pub(super) fn forget(&mut self) {
        (self.message, self.control) = (Vec::new(), Vec::new());
        drop(self.arrived.take());
    }

    /// What the buffer of a text has room for.
    #[cfg(test)]
    pub(super) const fn message_capacity(&self) -> usize {
        self.message.capacity()
    }

    /// Reads a frame's header; `None` when it is not all there.
    fn begin(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Broken> {
        while self.header_bytes < self.header_needs() {
            let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
            self.header[self.header_bytes] = *first;
            self.header_bytes += 1;
            *bytes = rest;
        }
        let whole = &self.header[..std::mem::take(&mut self.header_bytes)];
        // What is neither known nor complete is no header: it is complete.
        let (header, length) = FrameHeader::parse(&mut Cursor::new(whole)).ok().flatten().ok_or(Broken::Protocol)?;
        self.admit(&header, length).map(Some)
    }

    /// Bytes that the header has, as far as that is known.
    fn header_needs(&self) -> usize {
        if self.header_bytes < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    /// Whether a frame may come now.
    fn admit(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Broken> {
        // A client masks everything, and no extension was agreed on.
        let mask = header.mask.filter(|_| !(header.rsv1 || header.rsv2 || header.rsv3)).ok_or(Broken::Protocol)?;
        let before = match (header.opcode, self.is_text) {
            (OpCode::Control(_), _) if header.is_final && length <= CONTROL_BYTES_MAX => 0,
            (OpCode::Data(Data::Continue), Some(_)) => self.there,
            (OpCode::Data(Data::Text | Data::Binary), None) => 0,
            _ => return Err(Broken::Protocol),
        };
        let left = usize::try_from(length).ok().filter(|left| *left <= self.bounds.message_bytes_max - before);
        let left = left.ok_or(Broken::TooBig)?;
        if let OpCode::Data(data @ (Data::Text | Data::Binary)) = header.opcode {
            (self.is_text, self.began) = (Some(data == Data::Text), Instant::now());
        }
        Ok(Frame { opcode: header.opcode, is_final: header.is_final, mask, left })
    }

    /// Adds what has arrived of a frame's payload.
    fn append(&mut self, frame: Frame, payload: &[u8]) -> Result<(), Broken> {
        if let OpCode::Control(_) = frame.opcode {
            append_unmasked(&mut self.control, payload, frame.mask);
            return Ok(());
        }
        let there = self.there;
        self.there += payload.len();
        if self.is_text == Some(false) {
            return Ok(());
        }
        if there + payload.len() > self.message.capacity() && there >= GROWS_FROM_BYTES {
            self.message.reserve_exact(frame.left.min(GROWTH * there).max(payload.len()));
        }
        append_unmasked(&mut self.message, payload, frame.mask);
        if self.arrived.grow_to(self.message.len()) { Ok(()) } else { Err(Broken::NoRoom) }
    }

    /// What a frame that has arrived whole makes.
    fn end(&mut self, frame: Frame) -> Result<Option<Item>, Broken> {
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = std::mem::take(&mut self.control);
                match control {
                    Control::Ping => Ok(Some(Item::Ping(payload))),
                    Control::Pong => Ok(Some(Item::Pong(payload))),
                    _ => answer_to_close(&payload).map(Item::Close).map(Some),
                }
            }
            OpCode::Data(_) if !frame.is_final => Ok(None),
            OpCode::Data(_) => {
                self.there = 0;
                let (message, arrived) = (std::mem::take(&mut self.message), self.arrived.take());
                if self.is_text.take() == Some(false) {
                    return Ok(Some(Item::Binary));
                }
                let text = String::from_utf8(message).map_err(|_| Broken::NotText)?;
                Ok(Some(Item::Text(Text { text, _arrived: arrived })))
            }
        }
    }
}

/// With which code a close is answered that holds `payload`.
fn answer_to_close(payload: &[u8]) -> Result<Option<u16>, Broken> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Broken::Protocol) };
    };
    std::str::from_utf8(reason).map_err(|_| Broken::NotText)?;
    let code = CloseCode::from(u16::from_be_bytes(*code));
    Ok(Some(if code.is_allowed() { code } else { CloseCode::Protocol }.into()))
}

/// Adds `payload`, of which the first byte is masked with the first of `mask`.
fn append_unmasked(into: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    let from = into.len();
    into.extend_from_slice(payload);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = into[from..].as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}
