//! What is answered, with its fields in the order in which the original has them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tombolo_core::{PeerName, ServerTime};
use tombolo_service::{PeerInfo, Room};

/// What stands for the host where strangers ask: who knows its name can join in its place.
const HOST: &str = "host";

/// Answers with JSON that nobody on the way keeps: what is in a room changes, and its address is secret.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("texts, numbers and lists of them can be written as JSON");
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// A request that was refused.
#[derive(Serialize)]
pub(super) struct Refused<'a> {
    pub(super) success: bool,
    pub(super) error: &'a str,
}

/// What the server is.
#[derive(Serialize)]
pub(super) struct Info {
    name: &'static str,
    version: &'static str,
    status: &'static str,
    websocket: &'static str,
    api: Api,
    server: &'static str,
}

#[derive(Serialize)]
struct Api {
    create_room: &'static str,
    room_info: &'static str,
}

impl Info {
    /// In the words of the original, and whose they are.
    pub(super) const HERE: Self = Self {
        name: "Khun Phaen Sync Server",
        version: env!("CARGO_PKG_VERSION"),
        status: "running",
        websocket: "/ws",
        api: Api { create_room: "POST /api/rooms", room_info: "GET /api/rooms/:room_code" },
        server: "tombolo",
    };
}

/// Whether the server is there.
#[derive(Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
    pub(super) rooms: u64,
    pub(super) timestamp: Time,
}

/// A room that is there for whoever made it.
#[derive(Serialize)]
pub(super) struct MadeRoom<'a> {
    success: bool,
    room_code: &'a str,
    room_id: String,
    host_id: &'a str,
    websocket_url: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    restored: bool,
}

impl<'a> MadeRoom<'a> {
    /// `room`, which was there before if it is `restored`.
    pub(super) fn new(room: &'a Room, restored: bool, websocket_url: &'a str) -> Self {
        let (room_code, host_id) = (room.code.as_str(), room.host.as_str());
        Self { success: true, room_code, room_id: room.id.to_string(), host_id, websocket_url, restored }
    }
}

/// A room, and who is in it, as strangers see it.
#[derive(Serialize)]
pub(super) struct FoundRoom<'a> {
    success: bool,
    room_code: &'a str,
    /// Always empty.
    host_id: &'static str,
    peers: Vec<Peer<'a>>,
    created_at: Time,
    peer_count: usize,
}

impl<'a> FoundRoom<'a> {
    pub(super) fn new(room: &'a Room, peers: &'a [PeerInfo]) -> Self {
        let (room_code, created_at, peer_count) = (room.code.as_str(), Time(room.created_at), peers.len());
        let peers = peers.iter().map(|peer| Peer::seen_by_strangers(peer, &room.host)).collect();
        Self { success: true, room_code, host_id: "", peers, created_at, peer_count }
    }
}

#[derive(Serialize)]
struct Peer<'a> {
    id: &'a str,
    joined_at: Time,
    is_host: bool,
    metadata: Option<&'a RawValue>,
}

impl<'a> Peer<'a> {
    fn seen_by_strangers(peer: &'a PeerInfo, host: &PeerName) -> Self {
        let id = if peer.id == *host { HOST } else { peer.id.as_str() };
        // It came as JSON; what is none is nothing, rather than an answer that nobody can read.
        let metadata = peer.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self { id, joined_at: Time(peer.joined_at), is_host: peer.is_host, metadata }
    }
}

/// A time as RFC 3339 writes it, in UTC, to the microsecond.
pub(super) struct Time(pub(super) ServerTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tombolo_core::{RoomCode, RoomId, SpaceNumber, UserId};

    use super::*;

    const MADE_AT: ServerTime = ServerTime::from_micros(1_800_000_000_123_456);

    fn room() -> Room {
        Room {
            owner: UserId::new(1),
            number: SpaceNumber::new(7),
            code: RoomCode::parse("2mh9JC").unwrap(),
            id: RoomId::make([0xff; 16]),
            host: PeerName::parse("host_2a4b9a0b", 100).unwrap(),
            created_at: MADE_AT,
        }
    }

    #[track_caller]
    fn check(value: &impl Serialize, expected: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), expected);
    }

    #[test]
    fn a_room_that_was_made_and_one_that_was_there() {
        let start = "{\"success\":true,\"room_code\":\"2mh9JC\",\"room_id\":\"ffffffff-ffff-4fff-bfff-ffffffffffff\",\
                     \"host_id\":\"host_2a4b9a0b\",\"websocket_url\":\"ws://x/ws\"";
        check(&MadeRoom::new(&room(), false, "ws://x/ws"), &format!("{start}}}"));
        check(&MadeRoom::new(&room(), true, "ws://x/ws"), &format!("{start},\"restored\":true}}"));
    }

    #[test]
    fn strangers_do_not_learn_who_is_host() {
        let peer = |id: &str, is_host, metadata: Option<&str>| PeerInfo {
            id: PeerName::parse(id, 100).unwrap(),
            joined_at: MADE_AT.plus(Duration::from_secs(1)),
            is_host,
            metadata: metadata.map(Into::into),
        };
        let peers = [
            peer("host_2a4b9a0b", true, None),
            peer("peer_1", false, Some("{\"name\": \"ผู้ใช้\"}")),
            peer("peer_2", false, Some("no JSON")),
        ];
        check(
            &FoundRoom::new(&room(), &peers),
            "{\"success\":true,\"room_code\":\"2mh9JC\",\"host_id\":\"\",\"peers\":[\
             {\"id\":\"host\",\"joined_at\":\"2027-01-15T08:00:01.123456Z\",\"is_host\":true,\"metadata\":null},\
             {\"id\":\"peer_1\",\"joined_at\":\"2027-01-15T08:00:01.123456Z\",\"is_host\":false,\
             \"metadata\":{\"name\": \"ผู้ใช้\"}},\
             {\"id\":\"peer_2\",\"joined_at\":\"2027-01-15T08:00:01.123456Z\",\"is_host\":false,\"metadata\":null}],\
             \"created_at\":\"2027-01-15T08:00:00.123456Z\",\"peer_count\":3}",
        );
    }

    #[test]
    fn what_the_server_is_and_how_it_is() {
        check(
            &Info::HERE,
            concat!(
                "{\"name\":\"Khun Phaen Sync Server\",\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\",\"status\":\"running\",\"websocket\":\"/ws\",\"api\":{\"create_room\":\"POST /api/rooms\",",
                "\"room_info\":\"GET /api/rooms/:room_code\"},\"server\":\"tombolo\"}"
            ),
        );
        check(
            &Health { status: "healthy", rooms: 3, timestamp: Time(MADE_AT) },
            "{\"status\":\"healthy\",\"rooms\":3,\"timestamp\":\"2027-01-15T08:00:00.123456Z\"}",
        );
    }
}
