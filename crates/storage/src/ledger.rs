//! What a backend has to be able to do inside one transaction on one space. Private to this crate: the exchange is
//! written once against it, so that all stores decide alike.

use tombolo_core::merge::State;
use tombolo_core::{
    CollectionName, Coverage, Digest, Instant, Op, Origin, RecordKey, RecordName, ReplicaName, Seq, ServerTime,
    SpaceCursor, Verdict,
};

use crate::{NewEntry, Stale, StoreError};

/// A backend's number for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordRow(pub(crate) i64);

/// What stands for the record of an entry, which writes to none: no record has this number.
pub(crate) const NO_RECORD: RecordRow = RecordRow(0);

/// A backend's number for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaRow(pub(crate) i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) row: ReplicaRow,
    /// Its own id of the record that every replica makes for itself.
    pub(crate) home: Option<RecordName>,
    /// The instant under which the later replies of its first download send what is older, so that none of it has to be
    /// remembered record by record.
    pub(crate) floor: Option<Instant>,
    /// The greatest place up to which it ever said that it holds everything, where it resumes by a [`SpaceCursor`].
    pub(crate) acknowledged: Seq,
    /// Where the cursor resumes that it was last given.
    pub(crate) given: Seq,
}

/// A record with its present state.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) row: RecordRow,
    pub(crate) head: State,
}

/// A cursor that was given out to a replica: a time to the client, a coverage to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuedCursor {
    /// The time that was given out, in whole milliseconds.
    pub(crate) token: Instant,
    /// The cursor that the request presented to which this one answered.
    pub(crate) parent: Option<Instant>,
    /// What the client's clock made of the token.
    pub(crate) alias: Option<Instant>,
    /// Whether a request without writes acknowledged it. One with writes left a cursor whose parent it is.
    pub(crate) polled: bool,
    pub(crate) coverage: Coverage,
}

/// What was exchanged with one replica for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The greatest instant, sent or seen.
    pub(crate) greatest: Instant,
    /// The last instant, sent or seen.
    pub(crate) last: Instant,
    /// When `last` was sent: the instant before it, which the replica has in hand if the reply was lost, and the cursor
    /// that it presented. While it presents that one again, no reply has arrived.
    pub(crate) held: Option<Instant>,
    pub(crate) held_under: Option<Instant>,
    /// The instant of the last deletion, sent or seen.
    pub(crate) tombstone: Option<Instant>,
    /// The replica's last upload that was stored.
    pub(crate) upload: Option<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) seq: Seq,
    /// The cursor that it was made under.
    pub(crate) under: Option<Instant>,
}

/// A change as it is found in the log, without its payload.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) record: RecordRow,
    pub(crate) state: State,
    pub(crate) prev: Option<Seq>,
    pub(crate) base: Option<Seq>,
    pub(crate) origin: Origin,
    pub(crate) verdict: Verdict,
}

impl Change {
    /// Whether it was the record's state: what lost or was merged never was.
    pub(crate) fn is_effective(&self) -> bool {
        self.origin != Origin::Replica || self.verdict == Verdict::Applied
    }

    /// Whether its content was taken, because the record was deleted: nothing is known any more of what it said.
    pub(crate) fn is_blank(&self) -> bool {
        self.state.op == Op::Put && self.state.digest == Digest::DELETED
    }
}

/// A change to be appended.
#[derive(Clone, Debug)]
pub(crate) struct NewChange<'a> {
    pub(crate) record: RecordRow,
    pub(crate) prev: Option<Seq>,
    pub(crate) base: Option<Seq>,
    pub(crate) op: Op,
    pub(crate) origin: Origin,
    pub(crate) verdict: Verdict,
    pub(crate) replica: Option<ReplicaRow>,
    pub(crate) written_at: Instant,
    pub(crate) stamp_at: Instant,
    pub(crate) public_at: Instant,
    pub(crate) digest: Digest,
    pub(crate) payload: Option<&'a [u8]>,
}

/// The log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) seq: Seq,
    pub(crate) committed_at: ServerTime,
}

impl End {
    /// The place after this one. It was committed `now`, or a microsecond after this one where the clock stands still.
    pub(crate) fn next(self, now: ServerTime) -> Self {
        Self { seq: self.seq.next(), committed_at: now.max(ServerTime::from_micros(self.committed_at.micros() + 1)) }
    }

    /// Moves to `at`, which has to be the place after this one: anything else would leave a gap in the log for ever.
    pub(crate) fn move_to(&mut self, at: Self) {
        assert_eq!(at.seq, self.seq.next(), "a log is dense");
        assert!(at.committed_at > self.committed_at, "commit time is the order of the log");
        *self = at;
    }
}

impl<'a> NewChange<'a> {
    /// An entry that is appended: it writes to no record, and is where it is by its place alone.
    pub(crate) fn of_entry(entry: &'a NewEntry, committed_at: ServerTime) -> Self {
        Self {
            record: NO_RECORD,
            prev: None,
            base: None,
            op: Op::Put,
            origin: Origin::Replica,
            verdict: Verdict::Applied,
            replica: None,
            written_at: entry.written_at,
            stamp_at: committed_at.to_instant(),
            public_at: committed_at.to_instant(),
            digest: entry.key,
            payload: Some(&entry.payload),
        }
    }

    /// A version of a room's document, after the version `prev`. The server's clock alone says when it was written.
    pub(crate) fn of_document(
        record: RecordRow,
        prev: Option<Seq>,
        (text, digest): (&'a str, Digest),
        committed_at: ServerTime,
    ) -> Self {
        let at = committed_at.to_instant();
        Self {
            record,
            prev,
            base: None,
            op: Op::Put,
            origin: Origin::Replica,
            verdict: Verdict::Applied,
            replica: None,
            written_at: at,
            stamp_at: at,
            public_at: at,
            digest,
            payload: Some(text.as_bytes()),
        }
    }
}

/// A head that is to be delivered, with its content.
#[derive(Clone, Debug)]
pub(crate) struct HeadRow {
    pub(crate) record: RecordRow,
    pub(crate) key: RecordKey,
    pub(crate) seq: Seq,
    pub(crate) op: Op,
    pub(crate) written_at: Instant,
    pub(crate) public_at: Instant,
    pub(crate) digest: Digest,
    /// Whether the record never had another state.
    pub(crate) is_first: bool,
    pub(crate) payload: Vec<u8>,
}

/// Who is shown heads.
pub(crate) trait HeadVisitor {
    /// Whether it wants the content of this head; asked before it is read.
    fn wants(&mut self, record: RecordRow, seq: Seq, op: Op, digest: Digest) -> bool;
    /// Shows a head that it wants. `false` ends the visit.
    fn visit(&mut self, head: HeadRow) -> Done<bool>;
}

/// Another id of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) key: RecordKey,
    pub(crate) of: RecordName,
}

type Done<T> = Result<T, StoreError>;

pub(crate) trait Ledger {
    /// Whether a request whose write just failed is to be gone on with, to find out what else it asks for: of a store
    /// that reads what decisions turned out to need, and makes them anew. Nothing is kept of what is decided until then.
    fn is_scouting(&self) -> bool {
        false
    }

    fn end(&mut self) -> Done<End>;

    fn replica(&mut self, name: &ReplicaName) -> Done<Option<Replica>>;
    /// Adds a replica, forgetting those unseen for longest beyond the limit.
    fn add_replica(&mut self, name: &ReplicaName, now: ServerTime) -> Done<Replica>;
    fn set_home(&mut self, replica: ReplicaRow, home: &RecordName) -> Done<()>;
    fn set_floor(&mut self, replica: ReplicaRow, floor: Instant) -> Done<()>;
    /// Notes how far a replica said that it is, and what it was last given.
    fn set_progress(&mut self, replica: ReplicaRow, acknowledged: Seq, given: Seq) -> Done<()>;

    /// Whether the name is that of a replica of another user's log of this protocol. Asked only of a name that is no
    /// replica's here.
    fn is_others(&mut self, name: &ReplicaName) -> Done<bool>;
    /// Notes that the name is a replica's of this log, and opens no other user's. One that is forgotten by
    /// [`Self::add_replica`] is free again.
    fn bind(&mut self, name: &ReplicaName) -> Done<()>;
    /// Why whoever presents `cursor` cannot go on from there: what was erased at the wish of this log's owner is
    /// [`Stale::Erased`], anything else is as [`tombolo_core::stand`] says.
    fn stale(&mut self, cursor: SpaceCursor) -> Done<Option<Stale>>;

    /// The cursor given out as `time`, or which the replica's clock made `time` of.
    fn cursor(&mut self, replica: ReplicaRow, time: Instant) -> Done<Option<IssuedCursor>>;
    fn newest_cursor(&mut self, replica: ReplicaRow) -> Done<Option<IssuedCursor>>;
    /// Those given out when the head was at `snapshot` or later, oldest first.
    fn cursors_since(&mut self, replica: ReplicaRow, snapshot: Seq) -> Done<Vec<IssuedCursor>>;
    /// All that the replica has, oldest first: at most [`tombolo_core::limits::CURSORS_MAX`].
    fn cursors(&mut self, replica: ReplicaRow) -> Done<Vec<IssuedCursor>>;
    /// Adds or replaces a cursor, forgetting the oldest beyond the limit.
    fn put_cursor(&mut self, replica: ReplicaRow, cursor: &IssuedCursor) -> Done<()>;

    fn record(&mut self, key: &RecordKey) -> Done<Option<Record>>;
    /// The number of a record that may not exist yet.
    fn record_row(&mut self, key: &RecordKey, rank: usize) -> Done<RecordRow>;
    fn change(&mut self, seq: Seq) -> Done<Change>;
    fn payload(&mut self, seq: Seq) -> Done<Option<Vec<u8>>>;
    /// Appends a change at the next place. One that is effective becomes its record's head; any other is followed by
    /// the outcome in the same transaction.
    fn append(&mut self, change: &NewChange<'_>, now: ServerTime) -> Done<Seq>;
    /// Takes the content of the change `from` and of all that its record's history leads back to: no payload is left,
    /// and the digest is [`Digest::DELETED`]. What else the log says of them stays. Also the states that
    /// [`Self::record`], [`Self::change`] and [`Self::payload`] give afterwards are without it.
    fn blank(&mut self, from: Seq) -> Done<()>;

    /// Whether anything is remembered of what was exchanged with the replica.
    fn has_traffic(&mut self, replica: ReplicaRow) -> Done<bool>;
    fn traffic(&mut self, replica: ReplicaRow, record: RecordRow) -> Done<Option<Traffic>>;
    fn put_traffic(&mut self, replica: ReplicaRow, record: RecordRow, traffic: &Traffic) -> Done<()>;

    /// Replaces what a record refers to; writes nothing when it stays the same.
    fn set_references(&mut self, record: RecordRow, targets: &[RecordRow]) -> Done<()>;
    fn referrers(&mut self, target: RecordRow) -> Done<Vec<RecordKey>>;

    fn aliases(&mut self) -> Done<Vec<Alias>>;
    fn put_alias(&mut self, alias: &Alias) -> Done<()>;
    fn remove_alias(&mut self, key: &RecordKey) -> Done<()>;

    /// The live record that holds `value` in its collection.
    fn unique_holder(&mut self, collection: CollectionName, value: &[u8]) -> Done<Option<RecordKey>>;
    fn set_unique(&mut self, record: RecordRow, collection: CollectionName, value: Option<&[u8]>) -> Done<()>;

    /// The heads of `rank` after `after`, in the order of their numbers, until `visitor` says that it has enough.
    fn heads_after(&mut self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<()>;

    fn add_refusals(&mut self, replica: &ReplicaName, refused: &[crate::Refused], now: ServerTime) -> Done<()>;
}
