//! The logs: what replicas write, and what they are still to hear of.

use std::sync::Arc;

use tombolo_core::{
    Cursor, Instant, Op, Origin, Policy, Purpose, RecordKey, RecordName, RecordVersion, ReplicaName, Resume, Seq,
    ServerTime, SpaceNumber, UserId, Verdict,
};

use crate::Reply;

/// Which log. It is made when something is first written to it, or with the project whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceAddress {
    /// Whose it is; of a shared one, who made it.
    pub owner: UserId,
    /// The protocol that writes to it.
    pub purpose: Purpose,
    /// Which of his spaces of that protocol.
    pub number: SpaceNumber,
}

impl SpaceAddress {
    /// The one space that a user has for a protocol.
    #[must_use]
    pub const fn only(owner: UserId, purpose: Purpose) -> Self {
        Self { owner, purpose, number: SpaceNumber::ONLY }
    }
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The record shall be as the payload says, in the protocol's normal form.
    Put(Vec<u8>),
    /// The record shall be gone.
    Delete,
    /// A reference to another record shall be added to it.
    Attach {
        /// What is attached.
        target: RecordKey,
        /// What the client calls such a write, should it be refused.
        kind: &'static str,
    },
}

/// One write of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What it writes to, under the id that the replica uses.
    pub key: RecordKey,
    /// What it does.
    pub action: Action,
    /// When the client says it wrote.
    pub written_at: Instant,
    /// Whether this is the record that each replica makes for itself: its id becomes another name of the one record
    /// that [`Policy::home`] names.
    pub is_home: bool,
    /// What the client says that it had in hand.
    pub base: NamedBase,
}

/// What a client says that it had in hand when it wrote. Whatever it says counts above what the log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBase {
    /// Nothing is said: what the log delivered to the replica, or the replica's own last upload.
    Unsaid,
    /// It had nothing: the record is new to it.
    Nothing,
    /// This version of the record. One that is not the record's, or whose content was erased, counts as nothing.
    Version(RecordVersion),
}

impl Write {
    /// What the client calls what it sent, for the list of what was refused.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.action {
            Action::Attach { kind, .. } => kind,
            Action::Put(_) | Action::Delete => self.key.collection.as_str(),
        }
    }
}

/// A write that never became one, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The record's id as it was sent, cut.
    pub record: String,
    /// The record's kind as it was sent, cut.
    pub kind: String,
    /// One sentence.
    pub reason: String,
}

/// One request of a replica that resumes by a time: it brings its writes and takes what is new to it.
#[derive(Clone)]
pub struct Exchange {
    /// The log.
    pub space: SpaceAddress,
    /// The device.
    pub replica: ReplicaName,
    /// The time that it presents as its cursor: one that an earlier reply bore, one that its clock made of it, or none.
    pub presented: Option<Instant>,
    /// Its writes, judged in this order.
    pub writes: Vec<Write>,
    /// What was refused before it became a write.
    pub refused: Vec<Refused>,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
    /// The server's time.
    pub now: ServerTime,
    /// Bytes that the deliveries of one reply may take, by payload, name and `delivery_overhead_bytes` each. A record
    /// is always smaller than this.
    pub page_bytes_max: usize,
    /// Bytes that a delivery takes in the reply besides its payload and name, at most.
    pub delivery_overhead_bytes: usize,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was judged. [`Verdict::Superseded`] says that a value which it brought did not survive.
    Judged(Verdict),
    /// It makes no sense on this log, and changed nothing. The text is one sentence for the client's user.
    Refused(&'static str),
}

/// A record on its way to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The record.
    pub key: RecordKey,
    /// Put or deleted.
    pub op: Op,
    /// Its content; empty for a deletion.
    pub payload: Vec<u8>,
    /// The instant under which it goes out to this replica.
    pub instant: Instant,
}

/// The answer to an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// What became of each write, in the order of the request.
    pub answers: Vec<Answer>,
    /// What is new to the replica, by rank.
    pub deliveries: Vec<Delivery>,
    /// The replica's own id of the record that every replica makes for itself; when it is not known, that of the
    /// replica which made one first.
    pub home: Option<RecordName>,
    /// Whether `home` is the replica's own.
    pub home_is_own: bool,
    /// The time to present next. It is what was presented when nothing was exchanged.
    pub cursor: Instant,
    /// Whether more is waiting for the next request.
    pub more: bool,
}

/// A change as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its place.
    pub seq: Seq,
    /// What it wrote to.
    pub key: RecordKey,
    /// The record's preceding change.
    pub prev: Option<Seq>,
    /// What its replica had in hand.
    pub base: Option<Seq>,
    /// Put or delete.
    pub op: Op,
    /// Who made it.
    pub origin: Origin,
    /// What became of it; what the server made is always applied.
    pub verdict: Verdict,
    /// The device that sent it.
    pub replica: Option<ReplicaName>,
    /// When the client says it wrote.
    pub written_at: Instant,
    /// When it was committed.
    pub committed_at: ServerTime,
    /// The content; empty for a deletion.
    pub payload: Vec<u8>,
}

/// The logs.
///
/// # Contract
/// Each method is atomic. In one space, commit order is sequence order, and sequence numbers are dense: whoever has
/// seen `n` has seen all below it. Dropping a future midway leaves the call done or not done, never half done.
pub trait Logs: Send + Sync {
    /// Judges the writes of a request, stores them, and reads what is new to the replica.
    ///
    /// All or nothing: everything is durable when this returns `Ok`, or nothing was changed. The presented cursor is
    /// acknowledged before the writes are judged; deliveries, their bound and the new cursor come from one snapshot,
    /// read in or after the commit of the writes. A request that brings nothing and is given nothing writes nothing.
    ///
    /// # Errors
    /// After any failure the same request may be sent again: what was stored before is recognised.
    fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged>;

    /// The log's changes after `after`, at most `count_max`, in order. An unknown space is an empty log.
    fn changes<'a>(
        &'a self,
        space: SpaceAddress,
        policy: &'a Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Reply<'a, Vec<LoggedChange>>;

    /// Where each of some logs ends, in their order; an unknown space ends where it begins.
    fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>>;

    /// A cursor at the log's head, of the present generation.
    fn head(&self, space: SpaceAddress) -> Reply<'_, Cursor>;

    /// Whether a replica may go on from `cursor`.
    fn resume(&self, space: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume>;
}
