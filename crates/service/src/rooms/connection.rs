//! One connection of a peer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tombolo_core::{CredentialId, PeerName, RoomCode, ServerTime, UserId};

use super::Rooms;
use super::allowance::Allowance;
use super::codec::Notice;
use super::hub::OpenRoom;
use super::keeping::NOT_FOUND;
use super::live::{Arrival, ConnectionId, NewMember, NotJoined, Written};
use super::lock::lock;
use super::opening::Entered;
use super::outlet::{CloseReason, Outlet};
use crate::ServiceError;
use crate::windows::network;

/// How often a room is looked for that is let go of at the moment of joining it.
const JOIN_TRIES: usize = 3;
/// Messages as which joining counts: who is told of everybody in a full room is sent some megabytes, and all others are
/// told of him.
const JOIN_COST: u32 = 20;
/// What is told when documents take as much as they may.
const TOO_MUCH_HELD: &str = "The server holds too many large documents at the moment: try again later";

/// Whom a connection was let in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Whose rooms it reaches.
    pub owner: UserId,
    /// The key that it came with; none where rooms are open to everybody.
    pub credential: Option<CredentialId>,
    /// When that key ends.
    pub expires_at: Option<ServerTime>,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Which room a peer wishes to join, and as whom. As it came: what is wrong with it is told to the peer.
#[derive(Clone, Copy, Debug)]
pub struct JoinWish<'a> {
    /// The room's code.
    pub code: &'a str,
    /// What it calls itself.
    pub peer: &'a str,
    /// Whether it says that it made the room.
    pub claims_host: bool,
    /// What it says of itself: JSON in its protocol.
    pub metadata: Option<&'a str>,
}

/// What became of a wish to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It has joined, and was told; or it has not, and was told why.
    Done,
    /// It has joined as the host, and the stored document is withheld until the host's own has come, or until
    /// [`Connection::release`].
    Withheld,
}

/// One connection. What it sends comes here in order; what it is to be sent is in its [`Outlet`].
///
/// It leaves its room when it is dropped.
pub struct Connection {
    rooms: Arc<Rooms>,
    id: ConnectionId,
    entrant: Entrant,
    outlet: Arc<Outlet>,
    room: Option<Arc<OpenRoom>>,
    allowance: Allowance,
    /// Up to which document its client is known to have read what it was sent.
    read: u64,
}

/// A wish to join that is within the bounds.
struct Wish {
    code: RoomCode,
    peer: PeerName,
    claims_host: bool,
    metadata: Option<Arc<str>>,
}

impl Connection {
    /// A connection that is known, and in no room.
    pub(super) fn new(rooms: Arc<Rooms>, id: ConnectionId, entrant: Entrant, outlet: Arc<Outlet>) -> Self {
        let (options, now) = (&rooms.options, rooms.env.now());
        let allowance = Allowance::new(options.messages_per_second, options.messages_burst, now);
        Self { rooms, id, entrant, outlet, room: None, allowance, read: 0 }
    }

    /// What is to be written.
    #[must_use]
    pub const fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Where it comes from, as that is counted: of an IPv6 address, its network.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        network(self.entrant.address)
    }

    /// Counts a message of the client; `false` when it was one too many: the connection is being closed then.
    pub fn admits(&mut self) -> bool {
        if self.room.is_some() {
            self.rooms.common.printer.tally().received();
        }
        let is_admitted = self.allowance.take(self.rooms.env.now());
        if !is_admitted {
            self.close_too_fast();
        }
        is_admitted
    }

    fn close_too_fast(&self) {
        let rate = self.rooms.options.messages_per_second;
        self.close(CloseReason::Limited, &format!("Too many messages: at most {rate} a second"));
    }

    /// Joins a room, and leaves the one it was in. Where it cannot, it stays in the one it was in; only if the other fills
    /// up or ends between leaving the one and joining the other, it is in none. May be dropped midway.
    ///
    /// It counts as several messages. One who joins too often, or a room that is full, is closed.
    ///
    /// # Errors
    /// [`ServiceError::Store`]: the peer is to be told that it may try again.
    pub async fn join(&mut self, wish: JoinWish<'_>) -> Result<Joined, ServiceError> {
        if !self.allowance.take_more(JOIN_COST, self.rooms.env.now()) {
            self.close_too_fast();
            return Ok(Joined::Done);
        }
        let Some(wish) = self.read(wish) else { return Ok(Joined::Done) };
        for _ in 0..JOIN_TRIES {
            let room = match self.rooms.enter(&self.entrant, &wish.code).await? {
                Entered::Room(room) => room,
                other => {
                    self.refuse(&other);
                    return Ok(Joined::Done);
                }
            };
            let refused = room.live.refuses(self.id);
            if refused.is_none() && self.room.as_ref().is_some_and(|old| !Arc::ptr_eq(old, &room)) {
                self.part();
            }
            match refused.map_or_else(|| self.join_open(&room, &wish), Err) {
                Ok(Arrival { is_withheld, .. }) => {
                    self.room = Some(room);
                    return Ok(if is_withheld { Joined::Withheld } else { Joined::Done });
                }
                Err(NotJoined::Full) => {
                    self.close(CloseReason::Limited, "The room is full");
                    return Ok(Joined::Done);
                }
                // It was let go of, or ended, a moment ago.
                Err(NotJoined::Shut) => self.rooms.hub.remove(&room),
            }
        }
        Err(ServiceError::Busy)
    }

    /// The wish, if it is within the bounds; else the peer is told what is wrong with it.
    fn read(&self, wish: JoinWish<'_>) -> Option<Wish> {
        let options = &self.rooms.options;
        let Ok(code) = RoomCode::parse(wish.code) else {
            // Where rooms are not made by joining them, clients know what to do about one that is not there.
            self.tell(if options.auto_create { "Invalid room code" } else { NOT_FOUND });
            return None;
        };
        let Some(peer) = PeerName::parse(wish.peer, options.peer_name_bytes_max) else {
            let max = options.peer_name_bytes_max;
            self.close(CloseReason::Limited, &format!("A peer's id has 1 to {max} bytes"));
            return None;
        };
        if wish.metadata.is_some_and(|metadata| metadata.len() > options.metadata_bytes_max) {
            let max = options.metadata_bytes_max;
            self.close(CloseReason::Limited, &format!("A peer's metadata has at most {max} bytes"));
            return None;
        }
        Some(Wish { code, peer, claims_host: wish.claims_host, metadata: wish.metadata.map(Into::into) })
    }

    fn refuse(&self, entered: &Entered) {
        match entered {
            Entered::TooManyWrong(wait) => self.tell_to_wait("Too many wrong room codes from this address", *wait),
            Entered::TooManyMade(wait) => self.tell_to_wait("Too many rooms were made from this address", *wait),
            Entered::TooMuchHeld => self.tell(TOO_MUCH_HELD),
            Entered::Full => self.tell("No more rooms can be made here"),
            Entered::Unknown | Entered::Room(_) => self.tell(NOT_FOUND),
        }
    }

    fn tell_to_wait(&self, what: &str, wait: Duration) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.tell(&format!("{what}: try again in {seconds} s"));
    }

    fn join_open(&self, room: &OpenRoom, wish: &Wish) -> Result<Arrival, NotJoined> {
        let new = NewMember {
            connection: self.id,
            peer: wish.peer.clone(),
            metadata: wish.metadata.clone(),
            claims_host: wish.claims_host,
            outlet: Arc::clone(&self.outlet),
            now: self.rooms.env.now(),
        };
        let _telling = lock(&room.telling);
        let mut member = room.live.join(new)?;
        self.rooms.crossing.tell_news(room, member.news.drain(..));
        Ok(member)
    }

    /// Sends the document that was withheld, if it still is.
    pub fn release(&mut self) {
        if let Some(room) = &self.room {
            room.live.release(self.id);
        }
    }

    /// Leaves its room, and is to be closed then; `false` when it was in none, which changes nothing.
    pub fn leave(&mut self) -> bool {
        let has_left = self.part();
        if has_left {
            self.close(CloseReason::Left, "");
        }
        has_left
    }

    /// Leaves its room, if it is in one; `false` when it is in none. What it is still to be sent is.
    pub fn part(&mut self) -> bool {
        let Some(room) = self.room.take() else { return false };
        let _telling = lock(&room.telling);
        let left = room.live.leave(self.id, self.rooms.env.now());
        let was_there = left.is_some();
        self.rooms.crossing.tell_news(&room, left.flatten());
        was_there
    }

    /// Passes data on to the other connections of its room.
    pub fn broadcast(&mut self, data: &str) {
        if self.outlet.is_closing() {
            return;
        }
        let max = self.rooms.options.broadcast_bytes_max;
        if data.len() > max {
            self.close_too_big("The message", max);
            return;
        }
        let sent = self.room.as_ref().and_then(|room| Some((room, room.live.data(self.id, data)?)));
        let Some((room, from)) = sent else { return self.is_in_none() };
        room.has_data.store(true, Relaxed);
        self.rooms.crossing.tell_data(room, from, data);
    }

    /// Makes `text` the document of its room.
    pub fn put_document(&mut self, text: &str) {
        let max = self.rooms.options.document_bytes_max;
        if text.len() > max {
            self.close_too_big("The document", max);
            return;
        }
        let Some(room) = &self.room else { return self.is_in_none() };
        // Held until the room knows that it is to be stored: nothing is taken in that would not be.
        let is_stopping = self.rooms.is_stopping.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *is_stopping || self.outlet.is_closing() {
            return;
        }
        let written = room.live.document_from(self.id, text);
        drop(is_stopping);
        match written {
            Written::Dirty => self.rooms.due.add(room),
            Written::Unchanged => {}
            Written::NoRoom => self.close(CloseReason::Busy, TOO_MUCH_HELD),
            Written::NotHere => self.is_in_none(),
        }
    }

    /// Asks for the document of its room.
    pub fn request_document(&mut self) {
        if !self.room.as_ref().is_some_and(|room| room.live.request(self.id)) {
            self.is_in_none();
        }
    }

    /// It is in no room, perhaps not any more. The clients that made the room make it again when they are told.
    fn is_in_none(&mut self) {
        self.room = None;
        self.tell(NOT_FOUND);
    }

    /// The client has read all documents that it was sent, up to the one that [`Outlet::to_ask`] named. Says whether it was
    /// asked that, and had not answered yet: anything else changes nothing.
    pub fn has_read(&mut self, ordinal: u64) -> bool {
        let is_news = ordinal > self.read && self.outlet.has_asked(ordinal);
        if is_news {
            self.read = ordinal;
            self.room.iter().for_each(|room| room.live.has_read(self.id, ordinal));
        }
        is_news
    }

    /// Answers that the server is there.
    pub fn ping(&mut self) {
        self.outlet.push(self.rooms.common.printer.parcel(Notice::Pong));
    }

    /// Tells the peer what went wrong, in a sentence for its user. The connection stays open.
    pub fn tell(&self, text: &str) {
        self.outlet.push(self.rooms.common.printer.error(text));
    }

    /// Tells the peer why, and closes the connection.
    pub fn close(&self, reason: CloseReason, text: &str) {
        self.rooms.close_outlets([&self.outlet], reason, text);
    }

    fn close_too_big(&self, what: &str, bytes_max: usize) {
        let text = format!("{what} is too large: it may have at most {bytes_max} bytes");
        self.close(CloseReason::TooBig, &text);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.part();
        self.rooms.entrants.leave(self.id);
    }
}
