//! How peers of a room are told what happens, as it goes over the wire.

use std::io::Write as _;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tombolo_core::{PeerName, RoomCode};
use tombolo_service::{Notice, PeerInfo, RoomCodec};

/// The protocol's own way to write.
pub(super) struct Codec;

impl RoomCodec for Codec {
    /// A whole WebSocket frame: it is the same for all who are told, since what servers send is not masked.
    fn encode(&self, notice: Notice<'_>) -> Bytes {
        match notice {
            Notice::RoomInfo { code, host, peers } => room_info(code, host, peers),
            Notice::Connected { peer, code } => {
                let mut frame = TextFrame::of("connected", 2 * TEXT_BYTES);
                frame.member("peer_id").text(peer.as_str());
                frame.member("room_code").text(code.as_str()).end()
            }
            Notice::PeerJoined(peer) => {
                let mut frame = TextFrame::of("peer_joined", bytes_of(peer));
                frame.member("peer").peer(peer).end()
            }
            Notice::PeerLeft(peer) => {
                TextFrame::of("peer_left", TEXT_BYTES).member("peer_id").text(peer.as_str()).end()
            }
            Notice::Document(text) => {
                TextFrame::of("document_sync", escaped_bytes(text)).member("document").text(text).end()
            }
            Notice::Data { from, data } => {
                let mut frame = TextFrame::of("data", TEXT_BYTES + escaped_bytes(data));
                frame.member("from").text(from.as_str());
                frame.member("data").text(data).end()
            }
            Notice::Error(text) => TextFrame::of("error", escaped_bytes(text)).member("message").text(text).end(),
            Notice::Pong => TextFrame::of("pong", 0).end(),
        }
    }

    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String> {
        super::csv::merge(base, theirs, mine)
    }

    fn taken_in(&self, sent: &str) -> Option<String> {
        super::csv::taken_in(sent)
    }

    fn distance(&self, one: &str, other: &str) -> Option<usize> {
        super::csv::distance(one, other)
    }
}

fn room_info(code: &RoomCode, host: &PeerName, peers: &[PeerInfo]) -> Bytes {
    let bytes = peers.iter().map(bytes_of).sum::<usize>() + 3 * TEXT_BYTES;
    let mut frame = TextFrame::of("room_info", bytes);
    frame.member("room_code").text(code.as_str());
    frame.member("host_id").text(host.as_str());
    frame.member("peers").raw("[");
    for (index, peer) in peers.iter().enumerate() {
        frame.raw(if index == 0 { "" } else { "," }).peer(peer);
    }
    frame.raw("]").end()
}

/// What a short text takes at most, as a rule: more only costs a copy.
const TEXT_BYTES: usize = 80;

/// What a peer takes, as a rule.
fn bytes_of(peer: &PeerInfo) -> usize {
    120 + peer.id.as_str().len() + peer.metadata.as_ref().map_or(4, |metadata| metadata.len())
}

/// What a text takes between its quotes.
fn escaped_bytes(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}

/// The longest header that a server's frame has: two bytes, and eight for its length.
const HEADER_BYTES_MAX: usize = 10;
/// The type, the braces, and the names of members.
const AROUND_BYTES: usize = 96;

/// One object of JSON in one frame, written into one buffer: a document is copied no more often than that.
struct TextFrame {
    /// Begins with room for the header, which depends on the length.
    buffer: Vec<u8>,
}

impl TextFrame {
    /// Begins a message of some `bytes` besides what all have.
    fn of(kind: &str, bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + AROUND_BYTES + bytes);
        buffer.resize(HEADER_BYTES_MAX, 0);
        let mut frame = Self { buffer };
        frame.raw("{\"type\":\"").raw(kind).raw("\"");
        frame
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.buffer.extend_from_slice(text.as_bytes());
        self
    }

    fn member(&mut self, name: &str) -> &mut Self {
        self.raw(",\"").raw(name).raw("\":")
    }

    fn text(&mut self, text: &str) -> &mut Self {
        serde_json::to_writer(&mut self.buffer, text).expect("a text can be written to memory");
        self
    }

    fn peer(&mut self, peer: &PeerInfo) -> &mut Self {
        self.raw("{\"id\":").text(peer.id.as_str());
        write!(self.buffer, ",\"joined_at\":\"{}\"", peer.joined_at.to_instant()).expect("memory can be written to");
        self.raw(if peer.is_host { ",\"is_host\":true" } else { ",\"is_host\":false" });
        self.raw(",\"metadata\":").raw(peer.metadata.as_deref().unwrap_or("null")).raw("}")
    }

    /// Ends the object, and puts the header before it.
    fn end(&mut self) -> Bytes {
        self.raw("}");
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        let length = (self.buffer.len() - HEADER_BYTES_MAX) as u64;
        let start = HEADER_BYTES_MAX - header.len(length);
        header.format(length, &mut &mut self.buffer[start..HEADER_BYTES_MAX]).expect("there is room for the longest");
        Bytes::from(std::mem::take(&mut self.buffer)).slice(start..)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tombolo_core::ServerTime;

    use super::*;

    fn name(text: &str) -> PeerName {
        PeerName::parse(text, 200).unwrap()
    }

    fn peer(id: &str, is_host: bool, metadata: Option<&str>) -> PeerInfo {
        let joined_at = ServerTime::from_micros(1_795_218_466_479_738);
        PeerInfo { id: name(id), joined_at, is_host, metadata: metadata.map(Arc::from) }
    }

    /// The text of a frame, which is one whole text frame that is not masked.
    fn text_of(frame: &Bytes) -> &str {
        let mut cursor = Cursor::new(frame);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert_eq!(header, FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() });
        let text = &frame[usize::try_from(cursor.position()).unwrap()..];
        assert_eq!(text.len() as u64, length);
        std::str::from_utf8(text).unwrap()
    }

    #[test]
    fn every_frame_is_written_as_the_original_writes_it() {
        let check = |notice: Notice<'_>, expected: &str| assert_eq!(text_of(&Codec.encode(notice)), expected);
        let code = RoomCode::parse("2MH9JC").unwrap();
        let host = peer("host_2a4b9a0b", true, Some(r#"{"name":"Host"}"#));
        let guest = peer("peer_\"1\"", false, None);
        let (host_text, guest_text) = (
            r#"{"id":"host_2a4b9a0b","joined_at":"2026-11-20T23:47:46.479738Z","is_host":true,"metadata":{"name":"Host"}}"#,
            r#"{"id":"peer_\"1\"","joined_at":"2026-11-20T23:47:46.479738Z","is_host":false,"metadata":null}"#,
        );
        let (peer_id, none, both) = (&host.id, &[][..], &[host.clone(), guest.clone()][..]);
        let info = |peers| Notice::RoomInfo { code: &code, host: peer_id, peers };
        let info_text = r#"{"type":"room_info","room_code":"2MH9JC","host_id":"host_2a4b9a0b","peers":["#;
        check(info(none), &format!("{info_text}]}}"));
        check(info(both), &format!("{info_text}{host_text},{guest_text}]}}"));
        check(
            Notice::Connected { peer: peer_id, code: &code },
            r#"{"type":"connected","peer_id":"host_2a4b9a0b","room_code":"2MH9JC"}"#,
        );
        check(Notice::PeerJoined(&guest), &format!(r#"{{"type":"peer_joined","peer":{guest_text}}}"#));
        check(Notice::PeerLeft(&guest.id), r#"{"type":"peer_left","peer_id":"peer_\"1\""}"#);
        check(Notice::Document(""), r#"{"type":"document_sync","document":""}"#);
        check(Notice::Document("# TASKS\n1,งานแรก"), r##"{"type":"document_sync","document":"# TASKS\n1,งานแรก"}"##);
        let data = Notice::Data { from: peer_id, data: r#"{"a":1}"# };
        check(data, r#"{"type":"data","from":"host_2a4b9a0b","data":"{\"a\":1}"}"#);
        check(Notice::Error("Room not found"), r#"{"type":"error","message":"Room not found"}"#);
        check(Notice::Pong, r#"{"type":"pong"}"#);
    }

    #[test]
    fn headers_fit_every_length() {
        let around = r#"{"type":"document_sync","document":""}"#.len();
        for bytes in [0, 125, 126, 127, 65_535, 65_536, 65_537, 3 << 20] {
            let text = "x".repeat(usize::saturating_sub(bytes, around));
            let frame = Codec.encode(Notice::Document(&text));
            assert_eq!(serde_json::from_str::<Value>(text_of(&frame)).unwrap()["document"], json!(text));
        }
    }

    #[test]
    fn the_room_that_a_document_takes_is_known_before_it_is_written() {
        let every: String =
            (0..0x80).map(|byte| char::from(u8::try_from(byte).unwrap())).chain("กก\u{1f600}".chars()).collect();
        let escaped = serde_json::to_string(&every).unwrap();
        assert_eq!(escaped_bytes(&every) + 2, escaped.len());
    }
}
