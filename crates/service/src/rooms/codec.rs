//! How a protocol writes what its peers are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tombolo_core::{PeerName, RoomCode, ServerTime};

/// A peer as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// What it calls itself.
    pub id: PeerName,
    /// When the first of its connections joined.
    pub joined_at: ServerTime,
    /// Whether it made the room: whether it is called what the room's host is called.
    pub is_host: bool,
    /// What it says of itself, as it came: JSON in its protocol. That of its newest connection.
    pub metadata: Option<Arc<str>>,
}

/// What a peer is told.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// Which room it is in, and who else is.
    RoomInfo {
        /// The room's code, as it was first spelt.
        code: &'a RoomCode,
        /// Who made it.
        host: &'a PeerName,
        /// All peers, the one that is told included, in the order in which they joined.
        peers: &'a [PeerInfo],
    },
    /// That it has joined.
    Connected {
        /// The one that is told.
        peer: &'a PeerName,
        /// The room's code, as it was first spelt.
        code: &'a RoomCode,
    },
    /// That a peer has joined, perhaps itself.
    PeerJoined(&'a PeerInfo),
    /// That a peer has left.
    PeerLeft(&'a PeerName),
    /// What the document says; empty where there is none.
    Document(&'a str),
    /// What another peer passes on.
    Data {
        /// From whom.
        from: &'a PeerName,
        /// What.
        data: &'a str,
    },
    /// What went wrong, in a sentence for its user.
    Error(&'a str),
    /// That the server is there.
    Pong,
}

/// How a protocol writes what its peers are told, and reads their documents.
pub trait RoomCodec: Send + Sync {
    /// The whole message as it goes over the wire, written once for all who are told.
    fn encode(&self, notice: Notice<'_>) -> Bytes;

    /// Brings together two documents that were both made of `base`: `theirs`, which is there, and `mine`, which came
    /// now and wins where both say different things of the same. `None` when one of them cannot be read: then `mine`
    /// is all there is.
    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String>;

    /// What a client has of a document that it was sent, where that is less than all of it: clients drop what they
    /// cannot take in, and did not delete it. `None`: all of it.
    fn taken_in(&self, sent: &str) -> Option<String>;

    /// By how much two documents differ, in parts that can be merged; `None` when one of them cannot be read.
    fn distance(&self, one: &str, other: &str) -> Option<usize>;
}

/// A codec that does not panic where it reads documents: clients send what they like, and a document over which a codec
/// stumbles must not end the storing of all rooms, or the connection that it came by.
pub(super) struct CarefulCodec(pub(super) Arc<dyn RoomCodec>);

impl RoomCodec for CarefulCodec {
    fn encode(&self, notice: Notice<'_>) -> Bytes {
        self.0.encode(notice)
    }

    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String> {
        unless_it_panics(|| self.0.merge(base, theirs, mine))
    }

    fn taken_in(&self, sent: &str) -> Option<String> {
        unless_it_panics(|| self.0.taken_in(sent))
    }

    fn distance(&self, one: &str, other: &str) -> Option<usize> {
        unless_it_panics(|| self.0.distance(one, other))
    }
}

/// As if a document could not be read, where reading it panics: a codec has no state that could be left half changed.
fn unless_it_panics<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        tracing::error!("merging documents panicked; the one that came last wins as it is");
        None
    })
}
