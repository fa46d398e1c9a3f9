//! A room that somebody is in.
//!
//! Everything about it is plain data under one lock: a method locks, decides, puts what is to be told into the outlets of
//! its connections, and unlocks. None of them waits. What depends on nothing in the room is written before it locks.
//!
//! [`joining`] is who is in it, [`document`] what they have before them, and [`elsewhere`] what other nodes tell of it.

mod document;
mod elsewhere;
mod joining;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tombolo_core::{Env, NodeId, PeerName, Seq, ServerTime};
use tombolo_storage::{OpenedRoom, Room};

use super::bases::{Bases, Recent};
use super::board::Board;
use super::codec::{Notice, PeerInfo, RoomCodec};
use super::options::RoomOptions;
use super::outlet::{CloseReason, Outlet, Parcel};
use super::printer::{Printer, Sheet};
use super::roster::Roster;

/// Tells a connection apart from all others of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnectionId(pub(super) u64);

/// What all rooms of a node share.
pub(super) struct Common {
    pub(super) printer: Arc<Printer>,
    env: Arc<dyn Env>,
    /// What peers had before them that have gone.
    bases: Bases,
    merge: bool,
    peers_max: usize,
}

impl Common {
    /// What rooms share that are served as `options` say.
    pub(super) fn new(codec: Arc<dyn RoomCodec>, env: Arc<dyn Env>, options: &RoomOptions) -> Arc<Self> {
        let printer = Printer::new(codec, options);
        let RoomOptions { merge, peers_max, .. } = *options;
        Arc::new(Self { printer, env, bases: Bases::default(), merge, peers_max })
    }
}

/// A connection that wishes to join.
pub(super) struct NewMember {
    pub(super) connection: ConnectionId,
    /// What it calls itself, within the bounds.
    pub(super) peer: PeerName,
    /// What it says of itself, within the bounds.
    pub(super) metadata: Option<Arc<str>>,
    /// Whether it says that it is the host.
    pub(super) claims_host: bool,
    /// Where it is told.
    pub(super) outlet: Arc<Outlet>,
    pub(super) now: ServerTime,
}

/// What other nodes are to be told of a peer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is here, or says something else of itself than it did.
    Here(PeerInfo),
    /// Its last connection here has gone.
    Gone(PeerName),
}

/// What became of a connection that joined, and was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whether the document is withheld from it until it has sent its own, or is released.
    pub(super) is_withheld: bool,
    /// What other nodes are to be told: none, one, or two where it was there under another name.
    pub(super) news: Vec<News>,
}

/// Why nobody can join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotJoined {
    /// As many are in it as may be.
    Full,
    /// It was let go of, or has ended: it is to be looked for anew.
    Shut,
}

/// What became of a document that a connection sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It, or what was made of it, is to be stored.
    Dirty,
    /// It says what is there.
    Unchanged,
    /// It is larger than what is there, and all open rooms hold as much as they may.
    NoRoom,
    /// The connection is not in the room.
    NotHere,
}

/// A document that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToStore {
    /// What it says.
    pub(super) text: Arc<str>,
    /// What it was made of, where documents are merged; `None`: it wins over whatever is there.
    pub(super) after: Option<Seq>,
    /// Which one it is, for [`LiveRoom::stored`].
    pub(super) turn: u64,
}

/// A room that is open on this node.
pub(super) struct LiveRoom {
    room: Room,
    common: Arc<Common>,
    state: Mutex<State>,
}

struct State {
    /// The connections that are in it, in the order in which they joined. It is searched from end to end: telling
    /// them all does that anyway.
    members: Vec<Member>,
    roster: Roster,
    board: Board,
    /// The other nodes that have it open.
    others: Vec<Other>,
    /// Since when there are no members; of no meaning while there are.
    empty_since: ServerTime,
    /// It was let go of, or is no more.
    is_shut: bool,
    /// Its members have been told that it cannot be stored.
    is_failing: bool,
}

/// A connection that is in the room.
struct Member {
    connection: ConnectionId,
    peer: PeerName,
    outlet: Arc<Outlet>,
    is_withheld: bool,
    /// What it may have before it, where documents are merged.
    recent: Recent,
}

/// Another node that has the room open.
struct Other {
    node: NodeId,
    /// Whether it has said who is there.
    has_answered: bool,
}

impl LiveRoom {
    /// The room as it was opened, with nobody in it. Other nodes that have it open are waited for, see
    /// [`Self::unanswered`]. `None` when all open rooms would hold more than they may with its document.
    pub(super) fn open(opened: OpenedRoom, common: Arc<Common>, now: ServerTime) -> Option<Self> {
        let OpenedRoom { room, document, others } = opened;
        let stored = document.map(|document| {
            let sheet = common.printer.sheet(&document.text);
            (sheet, Arc::from(document.text), document.version)
        });
        let mut held = common.printer.held();
        let bytes = stored.as_ref().map_or(0, |(sheet, ..): &(Sheet, _, _)| sheet.size());
        if !held.may_resize(bytes, common.printer.held_bytes_max) {
            return None;
        }
        let state = State {
            members: Vec::new(),
            roster: Roster::default(),
            board: Board::new(common.merge, held, stored),
            others: others.into_iter().map(|node| Other { node, has_answered: false }).collect(),
            empty_since: now,
            is_shut: false,
            is_failing: false,
        };
        Some(Self { room, common, state: Mutex::new(state) })
    }

    /// The room as it is stored.
    pub(super) const fn room(&self) -> &Room {
        &self.room
    }

    /// Passes data on to the other connections; `None` when the sender is not in the room. Returns the sender's name, for
    /// other nodes.
    pub(super) fn data(&self, connection: ConnectionId, data: &str) -> Option<PeerName> {
        let from = self.state().member(connection)?.peer.clone();
        // Written without the lock; the sender does nothing else meanwhile, so what it sends keeps its order.
        let parcel = self.printer().parcel(Notice::Data { from: &from, data });
        let state = self.state();
        state.member(connection)?;
        state.tell(&parcel, |member| member.connection != connection);
        Some(from)
    }

    /// Tells all connections here what went wrong.
    pub(super) fn tell_all(&self, text: &str) {
        let parcel = self.printer().error(text);
        self.state().tell(&parcel, |_| true);
    }

    /// Tells all connections here why, and closes them. They are in the room until they leave.
    pub(super) fn close_all(&self, reason: CloseReason, text: &str) {
        let parcel = (!text.is_empty()).then(|| self.printer().error(text));
        self.state().members.iter().for_each(|member| member.outlet.close(reason, parcel.clone()));
    }

    /// The room is no more: all connections here are told, and are out of it. Nobody joins any more, and nothing is to
    /// be stored. To be taken out of where rooms are looked for.
    pub(super) fn evict_all(&self, text: &str) {
        let parcel = self.printer().error(text);
        let now = self.common.env.now();
        let mut state = self.state();
        state.tell(&parcel, |_| true);
        self.printer().tally().left(state.members.len());
        if !state.members.is_empty() {
            state.empty_since = now;
        }
        state.members = Vec::new();
        state.roster.clear_here();
        state.board.settle();
        state.is_shut = true;
    }

    fn printer(&self) -> &Printer {
        &self.common.printer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn position(&self, connection: ConnectionId) -> Option<usize> {
        self.members.iter().position(|member| member.connection == connection)
    }

    fn member(&self, connection: ConnectionId) -> Option<&Member> {
        self.position(connection).map(|at| &self.members[at])
    }

    /// Puts a parcel into the outlets of those who are `told`.
    fn tell(&self, parcel: &Parcel, told: impl Fn(&Member) -> bool) {
        self.members.iter().filter(|member| told(member)).for_each(|member| member.outlet.push(parcel.clone()));
    }
}
