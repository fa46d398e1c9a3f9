//! Replicas that resume by a cursor which says everything, and bring and take in two requests.

use std::sync::Arc;

use tombolo_core::{
    Instant, Op, Policy, RecordKey, RecordVersion, ReplicaName, ResetReason, ServerTime, SpaceCursor, Verdict,
};

use crate::{Refused, Reply, SpaceAddress, Write};

/// What a replica brings.
#[derive(Clone)]
pub struct Upload {
    /// The log.
    pub space: SpaceAddress,
    /// The device.
    pub replica: ReplicaName,
    /// Where it resumes, if it says so. One that is known and says nothing is taken to hold what it last presented.
    pub presented: Option<SpaceCursor>,
    /// Its writes, judged in this order.
    pub writes: Vec<Write>,
    /// What was refused before it became a write.
    pub refused: Vec<Refused>,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
    /// The server's time.
    pub now: ServerTime,
}

/// What a replica asks for.
#[derive(Clone)]
pub struct Download {
    /// The log.
    pub space: SpaceAddress,
    /// The device.
    pub replica: ReplicaName,
    /// Where it resumes; `None` for the beginning.
    pub since: Option<SpaceCursor>,
    /// Records of one page, at most; at least one.
    pub count_max: usize,
    /// Bytes that the records of one page may take, by payload, name and `delivery_overhead_bytes` each. A record is
    /// always smaller than this.
    pub page_bytes_max: usize,
    /// Bytes that a delivery takes in the reply besides its payload and name, at most.
    pub delivery_overhead_bytes: usize,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
    /// The server's time.
    pub now: ServerTime,
}

/// A record as it is now, on its way to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// The record.
    pub key: RecordKey,
    /// Put or deleted.
    pub op: Op,
    /// Its content; empty for a deletion.
    pub payload: Vec<u8>,
    /// What a write that is made of it names as its base.
    pub version: RecordVersion,
    /// When it was written, as replicas are told: rising from state to state, and never ahead of the server's clock by
    /// more than [`tombolo_core::limits::CLOCK_AHEAD_MAX`].
    pub at: Instant,
}

/// What became of one write of an [`Upload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was judged.
    Judged {
        /// How. [`Verdict::Superseded`] says that a value which it brought did not survive.
        verdict: Verdict,
        /// What the replica has in hand by it.
        version: RecordVersion,
        /// The record as it is now, where that is not what was sent as far as the verdict is
        /// [`Verdict::Superseded`], and until those of one request come to
        /// [`tombolo_core::limits::PRESENTS_BYTES_MAX`].
        present: Option<Present>,
    },
    /// It makes no sense on this log, and changed nothing. The text is one sentence for the client's user.
    Refused(&'static str),
}

/// Why a replica cannot go on from its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It has to start again from the beginning.
    Reset(ResetReason),
    /// The log that it was of was erased at the wish of its owner.
    Erased,
}

/// What became of an [`Upload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was stored.
    Done {
        /// What became of each write, in the order of the request.
        fates: Vec<Fate>,
        /// Where the replica resumes: the log's end where nobody else wrote since what it presented, and what it
        /// presented otherwise. It never skips what the replica has not seen.
        cursor: SpaceCursor,
    },
    /// Nothing was stored.
    Stale(Stale),
    /// The device is another user's: nothing was stored.
    OthersReplica,
}

/// What became of a [`Download`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// A page.
    Page {
        /// What changed since, in the order in which it was last changed; deletions too, since the replica may hold what
        /// was deleted. What the replica sent itself is among it.
        records: Vec<Present>,
        /// Where the replica resumes once it took them.
        cursor: SpaceCursor,
        /// Whether more is waiting for the next request.
        more: bool,
    },
    /// It is given nothing.
    Stale(Stale),
    /// The device is another user's: it is given nothing.
    OthersReplica,
}

/// Replicas that bring and take in two requests.
///
/// # Contract
/// Each method is atomic, and as durable when it returns `Ok` as what it says. A replica is made known by its first
/// request, and belongs to the owner of that log from then on, in all logs of the purpose: its name opens no other
/// user's. Dropping a future midway leaves the call done or not done, never half done.
///
/// A replica may be taken to hold a record that it was given but did not take, because it has an edit of it that was not
/// sent yet. So, whenever a write is judged and the record is not what was sent afterwards, the record's state lies
/// after what the replica presented in the log: it is given it (again).
pub trait Replicas: Send + Sync {
    /// Judges the writes of a request and stores them. All or nothing.
    ///
    /// # Errors
    /// After any failure the same request may be sent again: what was stored before is recognised.
    fn upload(&self, request: Upload) -> Reply<'_, Uploaded>;

    /// Reads a page of what changed since a cursor. Its rows, its bound and its cursor are of one snapshot.
    ///
    /// # Errors
    /// After any failure the same request may be sent again.
    fn download(&self, request: Download) -> Reply<'_, Downloaded>;
}
