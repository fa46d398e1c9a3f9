//! A space as the requests of one transaction leave it: what was read of it, and over that what they write.
//!
//! Nothing here waits for the database. Where a decision asks for what was not read, the draft notes it in its
//! [`Wants`] and fails; whoever made the decision reads it and makes the decision again, on a new draft.

mod relations;
mod replicas;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tombolo_core::merge::State;
use tombolo_core::{
    CollectionName, Digest, Instant, Op, Policy, RecordKey, RecordName, ReplicaName, Seq, ServerTime, SpaceCursor,
    SpaceId, Stamp,
};

use super::kept::Kept;
use super::loaded::{Content, Cursors, Loaded, NameOwner, SpaceRow};
use super::pending::{Head, Logged, Pending};
use super::wants::Wants;
use crate::columns::whole_millis;
use crate::ledger::{
    Alias, Change, End, HeadRow, HeadVisitor, IssuedCursor, Ledger, NewChange, Record, RecordRow, Replica, ReplicaRow,
    Traffic,
};
use crate::{Stale, StoreError};

type Done<T> = Result<T, StoreError>;

/// A space in the making.
pub(super) struct Draft<'a> {
    space: SpaceId,
    loaded: &'a Loaded,
    policy: &'a dyn Policy,
    /// The ordinal of this run of history.
    generation: i64,
    end: End,
    last_record: i64,
    last_replica: i64,
    // What was written, as it is looked up again.
    replicas: HashMap<ReplicaName, Replica>,
    replica_names: HashMap<ReplicaRow, ReplicaName>,
    evicted: HashSet<ReplicaRow>,
    cursors: HashMap<ReplicaRow, Cursors>,
    records: HashMap<RecordKey, Record>,
    new_records: HashMap<RecordRow, (RecordKey, usize)>,
    heads: BTreeMap<Seq, RecordRow>,
    head_of: HashMap<RecordRow, Seq>,
    changes: HashMap<Seq, Change>,
    payloads: HashMap<Seq, Option<Vec<u8>>>,
    /// Changes that lost their content, whenever they were written.
    blanked: HashSet<Seq>,
    traffic: HashMap<(ReplicaRow, RecordRow), Traffic>,
    has_traffic: HashSet<ReplicaRow>,
    references: HashMap<RecordRow, BTreeSet<RecordRow>>,
    aliases: Option<Vec<(Alias, i64)>>,
    uniques: HashMap<(CollectionName, Vec<u8>), RecordRow>,
    unique_of: HashMap<RecordRow, Option<(CollectionName, Vec<u8>)>>,
    pending: Pending,
    wants: Wants,
    /// How much may be found missing before it is read.
    scouted_max: usize,
}

impl<'a> Draft<'a> {
    pub(super) fn new(space: SpaceId, loaded: &'a Loaded, policy: &'a dyn Policy, generation: i64) -> Self {
        Self {
            space,
            loaded,
            policy,
            generation,
            end: loaded.space.end,
            last_record: loaded.space.last_record,
            last_replica: loaded.space.last_replica,
            replicas: HashMap::new(),
            replica_names: HashMap::new(),
            evicted: HashSet::new(),
            cursors: HashMap::new(),
            records: HashMap::new(),
            new_records: HashMap::new(),
            heads: BTreeMap::new(),
            head_of: HashMap::new(),
            changes: HashMap::new(),
            payloads: HashMap::new(),
            blanked: HashSet::new(),
            traffic: HashMap::new(),
            has_traffic: HashSet::new(),
            references: HashMap::new(),
            aliases: None,
            uniques: HashMap::new(),
            unique_of: HashMap::new(),
            pending: Pending::default(),
            wants: Wants::default(),
            scouted_max: 0,
        }
    }

    /// The same, which goes on after something was found missing, until so much of what records need is.
    pub(super) fn scouting(self, scouted_max: usize) -> Self {
        Self { scouted_max, ..self }
    }

    /// What is missing, when a decision failed for it.
    pub(super) fn wants(&self) -> &Wants {
        &self.wants
    }

    /// # Errors
    /// When something was found missing.
    pub(super) fn is_complete(&self) -> Done<()> {
        if self.wants.is_empty() { Ok(()) } else { self.missing() }
    }

    /// What there is to be written.
    pub(super) fn finish(mut self) -> (Pending, Kept) {
        self.pending.end = self.end;
        self.pending.generation =
            if self.pending.changes.is_empty() { self.loaded.space.generation } else { self.generation };
        self.pending.last_record = self.last_record;
        self.pending.last_replica = self.last_replica;
        self.pending.uniques = std::mem::take(&mut self.unique_of).into_iter().collect();
        self.pending.leave_out_evicted();
        let kept = self.kept();
        (self.pending, kept)
    }

    /// What is left behind when all of it is written.
    fn kept(&self) -> Kept {
        let mut replicas: HashMap<ReplicaName, Replica> = self
            .loaded
            .replicas
            .iter()
            .filter_map(|(name, replica)| Some((name.clone(), replica.clone()?)))
            .chain(self.replicas.iter().map(|(name, replica)| (name.clone(), replica.clone())))
            .collect();
        replicas.retain(|_, replica| !self.evicted.contains(&replica.row));
        let rows = || replicas.values().map(|replica| replica.row);
        let newest = |row: ReplicaRow| {
            let newest = self.cursors_of(row)?.known.values().next_back();
            newest.map(|newest| (row, newest.clone()))
        };
        let newest = rows().filter_map(newest).collect();
        let has_traffic = |row: &ReplicaRow| self.has_traffic.contains(row) || self.loaded.has_traffic.contains(row);
        let has_traffic = rows().filter(has_traffic).collect();
        let space = SpaceRow {
            end: self.end,
            generation: self.pending.generation,
            version: self.loaded.space.version + 1,
            last_record: self.last_record,
            last_replica: self.last_replica,
        };
        let aliases = self.aliases.clone().or_else(|| self.loaded.aliases.clone());
        Kept::new(space, replicas, has_traffic, newest, aliases)
    }

    fn missing<T>(&self) -> Done<T> {
        Err(StoreError::Internal("what a decision needs was not read".to_owned()))
    }

    fn damaged(&self, seq: Seq, what: &str) -> StoreError {
        StoreError::Corrupt(format!("change {seq} of space {}: {what}", self.space))
    }

    fn key_of(&self, record: RecordRow) -> Done<&RecordKey> {
        let new = self.new_records.get(&record).map(|(key, _)| key);
        new.or_else(|| self.loaded.keys.get(&record))
            .ok_or_else(|| StoreError::Corrupt(format!("record {} of space {} is missing", record.0, self.space)))
    }

    /// The heads that were read after `after`, as far as nothing newer was written now. `false` when the visitor has
    /// enough.
    fn visit_loaded(&mut self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<bool> {
        let mut at = after;
        while at < self.loaded.space.end.seq {
            let heads = self.loaded.heads.get(&rank).filter(|heads| heads.from <= at && heads.to != Some(at));
            let Some(heads) = heads else {
                self.wants.heads.insert(rank, at);
                return self.missing();
            };
            for (seq, (head, digest)) in heads.rows.range(at.next()..) {
                at = *seq;
                let is_head = !self.head_of.contains_key(&head.record);
                if !is_head || !visitor.wants(head.record, head.seq, head.op, *digest) {
                    continue;
                }
                if matches!(self.loaded.payloads.get(&head.seq), Some(Content::Damaged)) {
                    return Err(self.damaged(head.seq, "its content is not what was written"));
                }
                if !visitor.visit(head.clone())? {
                    return Ok(false);
                }
            }
            if heads.to.is_none() {
                break;
            }
            if heads.rows.is_empty() {
                return Err(StoreError::Corrupt(format!("space {}: a head is none of its changes", self.space)));
            }
        }
        Ok(true)
    }

    fn head_row(&self, seq: Seq, record: RecordRow) -> Done<HeadRow> {
        let key = self.key_of(record)?.clone();
        let change = self.changes.get(&seq).ok_or_else(|| self.damaged(seq, "it is missing"))?;
        Ok(HeadRow {
            record,
            key,
            seq,
            op: change.state.op,
            written_at: change.state.written_at,
            public_at: change.state.public_at,
            digest: change.state.digest,
            is_first: change.prev.is_none(),
            payload: self.payloads.get(&seq).cloned().flatten().unwrap_or_default(),
        })
    }
}

impl Ledger for Draft<'_> {
    fn is_scouting(&self) -> bool {
        !self.wants.is_empty() && self.wants.of_records() < self.scouted_max
    }

    fn end(&mut self) -> Done<End> {
        Ok(self.end)
    }

    fn replica(&mut self, name: &ReplicaName) -> Done<Option<Replica>> {
        self.known_replica(name)
    }

    fn add_replica(&mut self, name: &ReplicaName, now: ServerTime) -> Done<Replica> {
        self.new_replica(name, now)
    }

    fn set_home(&mut self, replica: ReplicaRow, home: &RecordName) -> Done<()> {
        self.change_replica(replica, |replica| replica.home = Some(home.clone()))
    }

    fn set_floor(&mut self, replica: ReplicaRow, floor: Instant) -> Done<()> {
        self.change_replica(replica, |replica| replica.floor = Some(floor))
    }

    fn set_progress(&mut self, replica: ReplicaRow, acknowledged: Seq, given: Seq) -> Done<()> {
        self.note_progress(replica, acknowledged, given)
    }

    fn is_others(&mut self, name: &ReplicaName) -> Done<bool> {
        Ok(self.owner(name)? == NameOwner::Other)
    }

    fn bind(&mut self, name: &ReplicaName) -> Done<()> {
        let was_own = self.owner(name)? == NameOwner::Own;
        self.pending.names.insert(name.clone(), was_own);
        Ok(())
    }

    fn stale(&mut self, cursor: SpaceCursor) -> Done<Option<Stale>> {
        self.why_stale(cursor)
    }

    fn cursor(&mut self, replica: ReplicaRow, time: Instant) -> Done<Option<IssuedCursor>> {
        self.cursor_at(replica, time)
    }

    fn newest_cursor(&mut self, replica: ReplicaRow) -> Done<Option<IssuedCursor>> {
        Ok(self.cursors_of(replica).and_then(|cursors| cursors.known.values().next_back().cloned()))
    }

    fn cursors_since(&mut self, replica: ReplicaRow, snapshot: Seq) -> Done<Vec<IssuedCursor>> {
        let all = self.all_cursors(replica)?.known.values();
        Ok(all.filter(|cursor| cursor.coverage.snapshot() >= snapshot).cloned().collect())
    }

    fn cursors(&mut self, replica: ReplicaRow) -> Done<Vec<IssuedCursor>> {
        Ok(self.all_cursors(replica)?.known.values().cloned().collect())
    }

    fn put_cursor(&mut self, replica: ReplicaRow, cursor: &IssuedCursor) -> Done<()> {
        self.issue_cursor(replica, cursor)
    }

    fn record(&mut self, key: &RecordKey) -> Done<Option<Record>> {
        let mut found = match (self.records.get(key), self.loaded.records.get(key)) {
            (Some(record), _) => Some(record.clone()),
            (None, Some(known)) => known.clone(),
            (None, None) => {
                self.wants.keys.insert(key.clone());
                return self.missing();
            }
        };
        if let Some(record) = found.as_mut().filter(|record| self.blanked.contains(&record.head.seq)) {
            take_content(&mut record.head);
        }
        Ok(found)
    }

    fn record_row(&mut self, key: &RecordKey, rank: usize) -> Done<RecordRow> {
        self.last_record += 1;
        let row = RecordRow(self.last_record);
        self.new_records.insert(row, (key.clone(), rank));
        self.references.insert(row, BTreeSet::new());
        Ok(row)
    }

    fn change(&mut self, seq: Seq) -> Done<Change> {
        if let Some(change) = self.changes.get(&seq).or_else(|| self.loaded.changes.get(&seq)) {
            let mut change = change.clone();
            if self.blanked.contains(&seq) {
                take_content(&mut change.state);
            }
            return Ok(change);
        }
        self.wants.chains.insert(seq);
        self.missing()
    }

    fn payload(&mut self, seq: Seq) -> Done<Option<Vec<u8>>> {
        if self.blanked.contains(&seq) {
            return Ok(None);
        }
        if let Some(payload) = self.payloads.get(&seq) {
            return Ok(payload.clone());
        }
        match self.loaded.payloads.get(&seq) {
            Some(Content::Is(payload)) => Ok(payload.clone()),
            Some(Content::Damaged) => Err(self.damaged(seq, "its content is not what was written")),
            None => {
                self.wants.payloads.insert(seq);
                self.missing()
            }
        }
    }

    fn append(&mut self, new: &NewChange<'_>, now: ServerTime) -> Done<Seq> {
        if self.pending.changes.is_empty() && self.loaded.space.generation != self.generation {
            self.pending.fork = Some(self.end.seq);
        }
        let End { seq, committed_at } = self.end.next(now);
        let replica = new
            .replica
            .and_then(|row| self.replica_names.get(&row).or_else(|| self.loaded.replica_names.get(&row)).cloned());
        let state = State {
            seq,
            op: new.op,
            stamp: Stamp { at: new.stamp_at, replica, digest: new.digest },
            written_at: new.written_at,
            public_at: new.public_at,
            digest: new.digest,
        };
        let NewChange { record, prev, base, origin, verdict, .. } = *new;
        let change = Change { record, state: state.clone(), prev, base, origin, verdict };
        if change.is_effective() {
            self.set_head(new.record, state)?;
        }
        let payload = new.payload.map(<[u8]>::to_vec);
        self.pending.changes.push(Logged {
            change: change.clone(),
            record: new.record,
            replica: new.replica,
            committed_at,
            payload: payload.clone(),
        });
        self.changes.insert(seq, change);
        self.payloads.insert(seq, payload);
        self.end = End { seq, committed_at };
        Ok(seq)
    }

    fn blank(&mut self, from: Seq) -> Done<()> {
        let mut past = Vec::new();
        let mut next = Some(from);
        while let Some(seq) = next {
            let change = self.change(seq)?;
            past.push(seq);
            // Below a deletion there is nothing left to take.
            let is_tombstone = change.state.op == Op::Delete && change.is_effective();
            next = change.prev.filter(|_| !is_tombstone);
        }
        let written_from = self.loaded.space.end.seq;
        for seq in past {
            self.blanked.insert(seq);
            if seq <= written_from {
                self.pending.blanked.insert(seq);
                continue;
            }
            // What is written now follows that without a gap.
            let place = usize::try_from(seq.get() - written_from.get() - 1).ok();
            let Some(logged) = place.and_then(|place| self.pending.changes.get_mut(place)) else {
                return Err(self.damaged(seq, "it is missing"));
            };
            take_content(&mut logged.change.state);
            logged.payload = None;
        }
        Ok(())
    }

    fn has_traffic(&mut self, replica: ReplicaRow) -> Done<bool> {
        Ok(self.has_traffic.contains(&replica) || self.loaded.has_traffic.contains(&replica))
    }

    fn traffic(&mut self, replica: ReplicaRow, record: RecordRow) -> Done<Option<Traffic>> {
        self.known_traffic(replica, record)
    }

    fn put_traffic(&mut self, replica: ReplicaRow, record: RecordRow, traffic: &Traffic) -> Done<()> {
        self.note_traffic(replica, record, traffic)
    }

    fn set_references(&mut self, record: RecordRow, targets: &[RecordRow]) -> Done<()> {
        self.refer(record, targets)
    }

    fn referrers(&mut self, target: RecordRow) -> Done<Vec<RecordKey>> {
        self.who_refers(target)
    }

    fn aliases(&mut self) -> Done<Vec<Alias>> {
        Ok(self.aliases_mut()?.iter().map(|(alias, _)| alias.clone()).collect())
    }

    fn put_alias(&mut self, alias: &Alias) -> Done<()> {
        self.name_alias(alias)
    }

    fn remove_alias(&mut self, key: &RecordKey) -> Done<()> {
        self.forget_alias(key)
    }

    fn unique_holder(&mut self, collection: CollectionName, value: &[u8]) -> Done<Option<RecordKey>> {
        self.holder(collection, value)
    }

    fn set_unique(&mut self, record: RecordRow, collection: CollectionName, value: Option<&[u8]>) -> Done<()> {
        self.hold(record, collection, value)
    }

    fn heads_after(&mut self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<()> {
        if !self.visit_loaded(rank, after, visitor)? {
            return Ok(());
        }
        let written: Vec<(Seq, RecordRow)> =
            self.heads.range(after.next()..).map(|(seq, record)| (*seq, *record)).collect();
        for (seq, record) in written {
            let is_of_rank = self.policy.rank(self.key_of(record)?.collection) == rank;
            let state = self.changes.get(&seq).map(|change| (change.state.op, change.state.digest));
            let (op, digest) = state.unwrap_or((Op::Put, tombolo_core::Digest::DELETED));
            if is_of_rank && visitor.wants(record, seq, op, digest) && !visitor.visit(self.head_row(seq, record)?)? {
                break;
            }
        }
        Ok(())
    }

    fn add_refusals(&mut self, replica: &ReplicaName, refused: &[crate::Refused], now: ServerTime) -> Done<()> {
        for one in refused {
            self.pending.refusals.retain(|(device, known, _)| device != replica || known != one);
            self.pending.refusals.push((replica.clone(), one.clone(), now));
        }
        Ok(())
    }
}

/// A state as it is known once its content was taken.
fn take_content(state: &mut State) {
    (state.digest, state.stamp.digest) = (Digest::DELETED, Digest::DELETED);
}

impl Draft<'_> {
    /// The record's present state is the change that is about to be appended.
    fn set_head(&mut self, record: RecordRow, state: State) -> Done<()> {
        let key = self.key_of(record)?.clone();
        let seq = state.seq;
        let rank = self.new_records.get(&record).map_or_else(|| self.policy.rank(key.collection), |(_, rank)| *rank);
        self.pending.heads.insert(record, Head { key: key.clone(), rank, seq });
        if let Some(before) = self.head_of.insert(record, seq) {
            self.heads.remove(&before);
        }
        self.heads.insert(seq, record);
        self.records.insert(key, Record { row: record, head: state });
        Ok(())
    }
}

/// Whether the oldest cursors of a replica are to be forgotten now. Once in a while is enough: the bound is on what is
/// kept, and one more statement per push would cost as much as the rest.
pub(super) fn is_time_to_prune(token: Instant) -> bool {
    whole_millis(token) % 64 == 0
}
