//! The part of a space that was read, as it is in the database at one version.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tombolo_core::{CollectionName, Digest, Generation, Instant, Op, RecordKey, ReplicaName, Seq, SpaceId};

use crate::ledger::{Alias, Change, End, HeadRow, IssuedCursor, Record, RecordRow, Replica, ReplicaRow, Traffic};

/// The row of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpaceRow {
    pub(super) end: End,
    /// The generation that last wrote here.
    pub(super) generation: i64,
    pub(super) version: i64,
    pub(super) last_record: i64,
    pub(super) last_replica: i64,
}

/// What is known of a replica's cursors.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursors {
    pub(super) known: BTreeMap<Instant, IssuedCursor>,
    /// Whether all of them are known. The newest always is.
    pub(super) is_all: bool,
    /// Times that were looked for as they were given out, and as a replica's clock made of them.
    pub(super) looked: HashSet<Instant>,
    pub(super) looked_as_alias: HashSet<Instant>,
}

/// A content as it was read.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Is(Option<Vec<u8>>),
    /// It is not what was written.
    Damaged,
}

/// Some heads of a rank.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    /// They are those after this place,
    pub(super) from: Seq,
    /// up to this one; `None` when there are none after them.
    pub(super) to: Option<Seq>,
    pub(super) rows: BTreeMap<Seq, (HeadRow, Digest)>,
}

/// How it is remembered of a space that it was the owner's and was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remembered {
    /// Not at all.
    #[default]
    No,
    /// It is older than those that are remembered one by one, and there is none of its number.
    AsOlder,
    /// By its number.
    ByItself,
}

/// What was read. An entry that is `None` is known to be absent; one that is missing is not known.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) space: SpaceRow,
    pub(super) replicas: HashMap<ReplicaName, Option<Replica>>,
    pub(super) replica_names: HashMap<ReplicaRow, ReplicaName>,
    /// Those with which anything was exchanged that is remembered.
    pub(super) has_traffic: HashSet<ReplicaRow>,
    pub(super) cursors: HashMap<ReplicaRow, Cursors>,
    pub(super) records: HashMap<RecordKey, Option<Record>>,
    pub(super) keys: HashMap<RecordRow, RecordKey>,
    pub(super) changes: HashMap<Seq, Change>,
    pub(super) payloads: HashMap<Seq, Content>,
    pub(super) traffic: HashMap<(ReplicaRow, RecordRow), Option<Traffic>>,
    pub(super) references: HashMap<RecordRow, BTreeSet<RecordRow>>,
    pub(super) referrers: HashMap<RecordRow, BTreeSet<RecordRow>>,
    /// In the order in which they were made, each with its ordinal.
    pub(super) aliases: Option<Vec<(Alias, i64)>>,
    pub(super) uniques: HashMap<(CollectionName, Vec<u8>), Option<RecordRow>>,
    pub(super) heads: HashMap<usize, Heads>,
    /// The replicas with the newest time and the furthest place that each was given, oldest first; empty below the
    /// limit.
    pub(super) ages: Option<Vec<(Option<i64>, i64, ReplicaRow)>>,
    /// Whose replicas' names are.
    pub(super) owners: HashMap<ReplicaName, NameOwner>,
    /// The generations, oldest first.
    pub(super) line: Option<Vec<LineGeneration>>,
    /// Whether spaces were erased that were the owner's.
    pub(super) erased: HashMap<SpaceId, Remembered>,
}

/// Whose a replica's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameOwner {
    /// Nobody's.
    Nobody,
    /// This user's.
    Own,
    /// Another user's.
    Other,
}

/// A generation that led to a space's log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineGeneration {
    pub(super) ordinal: i64,
    pub(super) id: Generation,
    /// Where it, or the next that wrote anything, took over; `None` when none of them did.
    pub(super) fork: Option<Seq>,
}

impl Loaded {
    pub(super) fn new(space: SpaceRow) -> Self {
        Self {
            space,
            replicas: HashMap::new(),
            replica_names: HashMap::new(),
            has_traffic: HashSet::new(),
            cursors: HashMap::new(),
            records: HashMap::new(),
            keys: HashMap::new(),
            changes: HashMap::new(),
            payloads: HashMap::new(),
            traffic: HashMap::new(),
            references: HashMap::new(),
            referrers: HashMap::new(),
            aliases: None,
            uniques: HashMap::new(),
            heads: HashMap::new(),
            ages: None,
            owners: HashMap::new(),
            line: None,
            erased: HashMap::new(),
        }
    }

    /// How large the contents are that were read.
    pub(super) fn content_bytes(&self) -> usize {
        let size = |content: &Content| if let Content::Is(Some(payload)) = content { payload.len() } else { 0 };
        self.payloads.values().map(size).sum()
    }

    /// Contents of live records that were read, for what they lead to.
    pub(super) fn live_contents(&self) -> impl Iterator<Item = (CollectionName, &[u8])> {
        self.records.iter().filter_map(|(key, record)| {
            let head = &record.as_ref()?.head;
            match self.payloads.get(&head.seq)? {
                Content::Is(Some(payload)) if head.op == Op::Put => Some((key.collection, payload.as_slice())),
                _ => None,
            }
        })
    }
}
