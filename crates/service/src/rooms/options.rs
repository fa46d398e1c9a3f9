//! How much of everything rooms may have.

use std::time::Duration;

use tombolo_core::versions::VersionsKept;

/// How rooms are served, and how much of everything they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// Whether joining a room that is not there makes it.
    pub auto_create: bool,
    /// Whether documents that were changed by two peers at once are merged, where their protocol can.
    pub merge: bool,
    /// Which versions of a document are kept.
    pub versions: VersionsKept,
    /// How long a room without a document is kept that nobody is in; zero for ever.
    pub idle_empty: Duration,
    /// How long a room with one is kept that nobody is in; zero for ever.
    pub idle: Duration,
    /// Rooms of one user.
    pub rooms_max: usize,
    /// Connections in one room.
    pub peers_max: usize,
    /// Connections of one address.
    pub sockets_per_address_max: usize,
    /// Bytes of what a peer calls itself.
    pub peer_name_bytes_max: usize,
    /// Bytes of what a peer says of itself.
    pub metadata_bytes_max: usize,
    /// Bytes of a document.
    pub document_bytes_max: usize,
    /// Bytes of what is passed on.
    pub broadcast_bytes_max: usize,
    /// Bytes of one message of a client: escaped, a document is longer than it is.
    pub message_bytes_max: usize,
    /// Messages a second that one connection may go on sending. Joining counts as several.
    pub messages_per_second: u32,
    /// Messages that it may send at once before that.
    pub messages_burst: u32,
    /// Messages that wait for one connection.
    pub queue_count_max: usize,
    /// Bytes of them.
    pub queue_bytes_max: usize,
    /// Bytes of everything that waits for any connection, each message counted once. Above it, connections with much
    /// before them are given up first.
    pub waiting_bytes_max: usize,
    /// Bytes of the documents of all rooms that are open on a node.
    pub held_bytes_max: usize,
    /// Bytes of messages that have begun to arrive, of all connections together.
    pub arriving_bytes_max: usize,
    /// Wrong codes of one address in a minute.
    pub wrong_codes_per_minute: u32,
    /// Rooms that one address may make in a minute.
    pub made_per_minute: u32,
}

impl Default for RoomOptions {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            auto_create: false,
            merge: false,
            versions: VersionsKept { newest: 100, minutes: 60, hours: 24, days: 30, bytes_max: 256 << 20 },
            idle_empty: Duration::from_secs(3_600),
            idle: Duration::from_secs(90 * 86_400),
            rooms_max: 10_000,
            peers_max: 2_000,
            sockets_per_address_max: 5_000,
            peer_name_bytes_max: 128,
            metadata_bytes_max: 4_096,
            document_bytes_max: 32 * MIB,
            broadcast_bytes_max: MIB,
            message_bytes_max: 72 * MIB,
            messages_per_second: 200,
            messages_burst: 4_000,
            queue_count_max: 4_096,
            queue_bytes_max: 96 * MIB,
            waiting_bytes_max: 1_024 * MIB,
            held_bytes_max: 2_048 * MIB,
            arriving_bytes_max: 1_024 * MIB,
            wrong_codes_per_minute: 100,
            made_per_minute: 600,
        }
    }
}
