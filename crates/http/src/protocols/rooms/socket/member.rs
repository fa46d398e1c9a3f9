//! For whom a socket is spoken on.

use std::net::IpAddr;
use std::sync::Arc;

use tombolo_service::{CloseReason, Connection, JoinWish, Joined, Outlet};

use super::writer::Frames;
use crate::protocols::rooms::message::{ClientMessage, parse};

/// What a peer is told when its room could not be read.
const NO_STORE: &str = "The server cannot reach its store: try again";

/// For whom a socket is spoken on.
pub(super) trait Member: Send {
    /// Where what is to be written comes from.
    type Outlet: Frames;

    /// What is to be written.
    fn outlet(&self) -> Arc<Self::Outlet>;

    /// Where it comes from, as that is counted.
    fn address(&self) -> IpAddr;

    /// Counts an item; `false` when it was one too many: it is being closed then.
    fn admits(&mut self) -> bool;

    /// Does what a text says.
    fn hear(&mut self, text: &str) -> impl Future<Output = Heard> + Send;

    /// The client gave these bytes back, which it may have been sent after what it was asked about, see
    /// [`Frames::to_ask`]; `false` when it was not.
    fn has_read(&mut self, pong: &[u8]) -> bool;

    /// Leaves its room: it is being closed.
    fn part(&mut self);

    /// Sends what is withheld.
    fn release(&mut self);

    /// Has the client told why, and closes.
    fn close(&mut self, reason: CloseReason, text: &str);
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was done.
    Done,
    /// It was done, and something is withheld, which [`Member::release`] sends.
    Withheld,
}

impl Member for Connection {
    type Outlet = Outlet;

    fn outlet(&self) -> Arc<Outlet> {
        Arc::clone(Self::outlet(self))
    }

    fn address(&self) -> IpAddr {
        Self::address(self)
    }

    fn admits(&mut self) -> bool {
        Self::admits(self)
    }

    async fn hear(&mut self, text: &str) -> Heard {
        match parse(text) {
            Ok(ClientMessage::Join { room_code, peer_id, is_host, metadata }) => {
                let wish = JoinWish { code: &room_code, peer: &peer_id, claims_host: is_host, metadata };
                // It is rare, and larger than all else together: it is not to lie within each connection.
                return match Box::pin(self.join(wish)).await {
                    Ok(Joined::Done) => Heard::Done,
                    Ok(Joined::Withheld) => Heard::Withheld,
                    Err(error) => {
                        tracing::warn!(%error, "a peer could not join a room");
                        self.tell(NO_STORE);
                        Heard::Done
                    }
                };
            }
            // It closes when it has left a room, and changes nothing when it is in none.
            Ok(ClientMessage::Leave) => drop(self.leave()),
            Ok(ClientMessage::Broadcast { data }) => self.broadcast(&data),
            Ok(ClientMessage::SyncDocument { document }) => self.put_document(&document),
            Ok(ClientMessage::RequestSync) => self.request_document(),
            Ok(ClientMessage::Ping) => self.ping(),
            Err(error) => self.tell(&error),
        }
        Heard::Done
    }

    fn has_read(&mut self, pong: &[u8]) -> bool {
        pong.try_into().is_ok_and(|ordinal| Self::has_read(self, u64::from_be_bytes(ordinal)))
    }

    fn part(&mut self) {
        Self::part(self);
    }

    fn release(&mut self) {
        Self::release(self);
    }

    fn close(&mut self, reason: CloseReason, text: &str) {
        Self::close(self, reason, text);
    }
}
