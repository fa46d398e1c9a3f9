//! One space of the model.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use tombolo_core::merge::State;
use tombolo_core::{
    CollectionName, Digest, Fork, Generation, Instant, RecordKey, RecordName, ReplicaName, ResetReason, Seq,
    ServerTime, SpaceCursor, SpaceId, Stamp, limits, stand,
};

use crate::columns::checksum_of;
use crate::entries::listing::Listing;
use crate::entries::page::Filling;
use crate::entries::plan::{Known, Placed, Plan, plan};
use crate::ledger::{
    Alias, Change, End, HeadRow, HeadVisitor, IssuedCursor, Ledger, NO_RECORD, NewChange, Record, RecordRow, Replica,
    ReplicaRow, Traffic,
};
use crate::{Append, Entry, EntryPage, LogEnd, LoggedChange, PageBounds, Place, Refused, Stale, StoreError};

type Done<T> = Result<T, StoreError>;

#[derive(Clone, Debug)]
struct Logged {
    change: Change,
    record: RecordRow,
    committed_at: ServerTime,
    payload: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Row {
    key: RecordKey,
    rank: usize,
    head: Option<Seq>,
}

/// What a request has to know of all logs.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) generation: Generation,
    /// Whether its replica is one of another user's log.
    pub(super) is_others: bool,
    /// The log that its cursor is of was erased, and was of this log's owner.
    pub(super) was_erased: bool,
    /// Whether it is older than those that are remembered one by one, and none that there is.
    pub(super) was_erased_long_ago: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    /// Given when a replica first brings or takes something in two requests.
    pub(super) id: Option<SpaceId>,
    pub(super) visit: Option<Visit>,
    log: Vec<Logged>,
    records: Vec<Row>,
    rows: BTreeMap<RecordKey, RecordRow>,
    replicas: Vec<(ReplicaName, Replica)>,
    cursors: BTreeMap<(ReplicaRow, Instant), IssuedCursor>,
    traffic: BTreeMap<(ReplicaRow, RecordRow), Traffic>,
    references: BTreeMap<RecordRow, BTreeSet<RecordRow>>,
    aliases: Vec<Alias>,
    uniques: BTreeMap<(CollectionName, Vec<u8>), RecordRow>,
    /// The keys of the entries, with their places.
    keys: HashMap<Digest, Seq>,
    /// The entries that change the rules, and the order of writing: only where there are rules.
    rulings: BTreeSet<Seq>,
    timeline: BTreeSet<Place>,
    /// Refused writes, by device, with the time.
    refusals: Vec<(ReplicaName, Refused, ServerTime)>,
}

impl Space {
    pub(super) fn head(&self) -> Seq {
        Seq::new(self.log.len() as u64)
    }

    /// Whether anybody ever used it: the model has a space for whatever was asked about.
    pub(super) fn is_used(&self) -> bool {
        !self.log.is_empty() || !self.replicas.is_empty() || !self.refusals.is_empty()
    }

    /// The refused writes, newest first.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &(ReplicaName, Refused, ServerTime)> {
        self.refusals.iter().rev()
    }

    pub(super) fn logged(&self, after: Seq, count_max: usize) -> Vec<LoggedChange> {
        let newer = self.log.iter().filter(|logged| logged.change.state.seq > after && logged.record != NO_RECORD);
        newer
            .take(count_max)
            .map(|logged| {
                let Change { state, prev, base, origin, verdict, .. } = logged.change.clone();
                LoggedChange {
                    seq: state.seq,
                    key: self.row(logged.record).key.clone(),
                    prev,
                    base,
                    op: state.op,
                    origin,
                    verdict,
                    replica: state.stamp.replica,
                    written_at: state.written_at,
                    committed_at: logged.committed_at,
                    payload: logged.payload.clone().unwrap_or_default(),
                }
            })
            .collect()
    }

    /// Where the log ends.
    pub(super) fn log_end(&self) -> LogEnd {
        LogEnd { head: self.head(), committed_at: self.log.last().map(|logged| logged.committed_at) }
    }

    /// What a request to append comes to.
    pub(super) fn plan<'e>(&mut self, append: &'e Append) -> Done<Plan<'e>> {
        let mut known = HashMap::new();
        for key in append.entries.iter().map(|entry| entry.key) {
            if let Some(seq) = self.keys.get(&key).copied() {
                known.insert(key, Known { seq, payload: self.at(seq)?.payload.clone() });
            }
        }
        Ok(plan(append, &known, self.end()?))
    }

    /// Appends entries that are new.
    pub(super) fn append_entries(&mut self, append: &Append, new: &[Placed<'_>]) -> Done<()> {
        for placed in new {
            let seq = self.append(&NewChange::of_entry(placed.entry, placed.at.committed_at), append.now)?;
            debug_assert_eq!(seq, placed.at.seq, "an entry goes where it was to go");
            self.keys.insert(placed.entry.key, seq);
            if append.is_ruled() {
                self.timeline.insert(placed.place());
                self.rulings.extend(append.is_ruling(placed.index).then_some(seq));
            }
        }
        Ok(())
    }

    /// The ruling that is in force; zero where there is none.
    pub(super) fn last_ruling(&self) -> Seq {
        self.rulings.last().copied().unwrap_or(Seq::ZERO)
    }

    pub(super) fn find_entries(&self, keys: &[Digest]) -> Done<Vec<Option<Entry>>> {
        let find = |key| self.keys.get(key).map(|seq| Ok(self.entry(self.at(*seq)?))).transpose();
        keys.iter().map(find).collect()
    }

    /// The rulings after `after`, as many as there is room for.
    pub(super) fn rulings(&self, after: Seq, bounds: PageBounds) -> Done<Vec<Entry>> {
        let later = self.rulings.range((Bound::Excluded(after), Bound::Unbounded));
        self.list(later.copied(), bounds)
    }

    /// The entries after `after` in the order of writing, as many as there is room for.
    pub(super) fn timeline(&self, after: Place, upto: Seq, bounds: PageBounds) -> Done<Vec<Entry>> {
        let later = self.timeline.range((Bound::Excluded(after), Bound::Unbounded));
        self.list(later.map(|place| place.seq).filter(|seq| *seq <= upto), bounds)
    }

    fn list(&self, seqs: impl Iterator<Item = Seq>, bounds: PageBounds) -> Done<Vec<Entry>> {
        let mut listing = Listing::new(SpaceId::new(0), bounds);
        for seq in seqs {
            let Entry { seq, committed_at, written_at, payload } = self.entry(self.at(seq)?);
            if !listing.take(seq, committed_at, written_at, checksum_of(Some(&payload)), &payload)? {
                break;
            }
        }
        Ok(listing.finish())
    }

    fn entry(&self, logged: &Logged) -> Entry {
        let State { seq, written_at, .. } = logged.change.state;
        let payload = logged.payload.clone().unwrap_or_default();
        Entry { seq, committed_at: logged.committed_at, written_at, payload }
    }

    /// The entries after `after` that a page has room for.
    pub(super) fn entries(&self, after: Seq, bounds: PageBounds) -> Done<EntryPage> {
        let mut page = Filling::new(SpaceId::new(0), after, bounds);
        for logged in self.log.iter().skip(usize::try_from(after.get()).unwrap_or(usize::MAX)) {
            let payload = logged.payload.as_deref().unwrap_or_default();
            let (state, checksum) = (&logged.change.state, checksum_of(Some(payload)));
            if !page.take(state.seq, logged.committed_at, state.written_at, checksum, payload)? {
                break;
            }
        }
        page.finish(self.head())
    }

    fn row(&self, record: RecordRow) -> &Row {
        &self.records[place(record)]
    }

    fn at(&self, seq: Seq) -> Done<&Logged> {
        let place = usize::try_from(seq.get()).ok().and_then(|place| place.checked_sub(1));
        place
            .and_then(|place| self.log.get(place))
            .ok_or_else(|| StoreError::Corrupt(format!("change {seq} is missing")))
    }

    fn visit(&self) -> Done<&Visit> {
        self.visit.as_ref().ok_or_else(|| StoreError::Internal("nobody asked for this of the model".to_owned()))
    }

    pub(super) fn knows(&self, name: &ReplicaName) -> bool {
        self.replicas.iter().any(|(known, _)| known == name)
    }

    fn of_replica(&self, replica: ReplicaRow) -> impl DoubleEndedIterator<Item = &IssuedCursor> {
        self.cursors.iter().filter(move |((row, _), _)| *row == replica).map(|(_, cursor)| cursor)
    }
}

/// Where a record is among the records: they are numbered from one.
fn place(record: RecordRow) -> usize {
    usize::try_from(record.0 - 1).expect("the model numbers records from one")
}

fn number(len: usize) -> i64 {
    i64::try_from(len).expect("the model stays small")
}

#[cfg(test)]
thread_local! {
    /// How many changes this thread read.
    pub(crate) static CHANGES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    /// How many bytes of contents it read.
    pub(crate) static BYTES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Ledger for Space {
    fn end(&mut self) -> Done<End> {
        let committed_at = self.log.last().map_or(ServerTime::from_micros(0), |logged| logged.committed_at);
        Ok(End { seq: self.head(), committed_at })
    }

    fn replica(&mut self, name: &ReplicaName) -> Done<Option<Replica>> {
        Ok(self.replicas.iter().find(|(known, _)| known == name).map(|(_, replica)| replica.clone()))
    }

    fn add_replica(&mut self, name: &ReplicaName, _: ServerTime) -> Done<Replica> {
        while self.replicas.len() >= limits::REPLICAS_MAX {
            let newest = |row: ReplicaRow| self.of_replica(row).next_back().map(|cursor| cursor.token);
            let oldest = self.replicas.iter().map(|(_, replica)| replica);
            let oldest = oldest.min_by_key(|r| (newest(r.row), r.acknowledged.max(r.given), r.row)).map(|r| r.row);
            let Some(oldest) = oldest else { break };
            self.replicas.retain(|(_, replica)| replica.row != oldest);
            self.cursors.retain(|(row, _), _| *row != oldest);
            self.traffic.retain(|(row, _), _| *row != oldest);
        }
        let next = self.replicas.iter().map(|(_, replica)| replica.row.0 + 1).max().unwrap_or(0);
        let (row, acknowledged, given) = (ReplicaRow(next), Seq::ZERO, Seq::ZERO);
        let replica = Replica { row, home: None, floor: None, acknowledged, given };
        self.replicas.push((name.clone(), replica.clone()));
        Ok(replica)
    }

    fn set_home(&mut self, replica: ReplicaRow, home: &RecordName) -> Done<()> {
        for (_, known) in self.replicas.iter_mut().filter(|(_, known)| known.row == replica) {
            known.home = Some(home.clone());
        }
        Ok(())
    }

    fn set_floor(&mut self, replica: ReplicaRow, floor: Instant) -> Done<()> {
        for (_, known) in self.replicas.iter_mut().filter(|(_, known)| known.row == replica) {
            known.floor = Some(floor);
        }
        Ok(())
    }

    fn set_progress(&mut self, replica: ReplicaRow, acknowledged: Seq, given: Seq) -> Done<()> {
        for (_, known) in self.replicas.iter_mut().filter(|(_, known)| known.row == replica) {
            (known.acknowledged, known.given) = (acknowledged, given);
        }
        Ok(())
    }

    fn is_others(&mut self, _: &ReplicaName) -> Done<bool> {
        Ok(self.visit()?.is_others)
    }

    fn bind(&mut self, _: &ReplicaName) -> Done<()> {
        // Whoever asks looks at the replicas of the other logs.
        Ok(())
    }

    fn stale(&mut self, cursor: SpaceCursor) -> Done<Option<Stale>> {
        let Visit { generation, was_erased, was_erased_long_ago, .. } = self.visit()?.clone();
        if was_erased {
            return Ok(Some(Stale::Erased));
        }
        let line = [Fork { generation, seq: Seq::ZERO }];
        let space = self.id.unwrap_or(SpaceId::new(0));
        Ok(match stand(cursor, space, &line, self.head()).err() {
            Some(ResetReason::OtherAccount) if was_erased_long_ago => Some(Stale::Erased),
            reason => reason.map(Stale::Reset),
        })
    }

    fn cursor(&mut self, replica: ReplicaRow, time: Instant) -> Done<Option<IssuedCursor>> {
        let exact = self.cursors.get(&(replica, time));
        let alias = || self.of_replica(replica).rev().find(|cursor| cursor.alias == Some(time));
        Ok(exact.or_else(alias).cloned())
    }

    fn newest_cursor(&mut self, replica: ReplicaRow) -> Done<Option<IssuedCursor>> {
        Ok(self.of_replica(replica).next_back().cloned())
    }

    fn cursors_since(&mut self, replica: ReplicaRow, snapshot: Seq) -> Done<Vec<IssuedCursor>> {
        Ok(self.of_replica(replica).filter(|cursor| cursor.coverage.snapshot() >= snapshot).cloned().collect())
    }

    fn cursors(&mut self, replica: ReplicaRow) -> Done<Vec<IssuedCursor>> {
        Ok(self.of_replica(replica).cloned().collect())
    }

    fn put_cursor(&mut self, replica: ReplicaRow, cursor: &IssuedCursor) -> Done<()> {
        self.cursors.insert((replica, cursor.token), cursor.clone());
        let too_many = self.of_replica(replica).count().saturating_sub(limits::CURSORS_MAX);
        let oldest: Vec<Instant> = self.of_replica(replica).take(too_many).map(|cursor| cursor.token).collect();
        for token in oldest {
            self.cursors.remove(&(replica, token));
        }
        Ok(())
    }

    fn record(&mut self, key: &RecordKey) -> Done<Option<Record>> {
        let Some(row) = self.rows.get(key).copied() else { return Ok(None) };
        let Some(head) = self.row(row).head else { return Ok(None) };
        Ok(Some(Record { row, head: self.at(head)?.change.state.clone() }))
    }

    fn record_row(&mut self, key: &RecordKey, rank: usize) -> Done<RecordRow> {
        self.records.push(Row { key: key.clone(), rank, head: None });
        let row = RecordRow(number(self.records.len()));
        self.rows.insert(key.clone(), row);
        Ok(row)
    }

    fn change(&mut self, seq: Seq) -> Done<Change> {
        #[cfg(test)]
        CHANGES_READ.with(|count| count.set(count.get() + 1));
        Ok(self.at(seq)?.change.clone())
    }

    fn payload(&mut self, seq: Seq) -> Done<Option<Vec<u8>>> {
        let payload = self.at(seq)?.payload.clone();
        #[cfg(test)]
        BYTES_READ.with(|count| count.set(count.get() + payload.as_ref().map_or(0, Vec::len)));
        Ok(payload)
    }

    fn append(&mut self, new: &NewChange<'_>, now: ServerTime) -> Done<Seq> {
        let End { seq, committed_at } = self.end()?.next(now);
        let replica = self.replicas.iter().find(|(_, replica)| Some(replica.row) == new.replica);
        let state = State {
            seq,
            op: new.op,
            stamp: Stamp { at: new.stamp_at, replica: replica.map(|(name, _)| name.clone()), digest: new.digest },
            written_at: new.written_at,
            public_at: new.public_at,
            digest: new.digest,
        };
        let NewChange { record, prev, base, origin, verdict, .. } = *new;
        let change = Change { record, state, prev, base, origin, verdict };
        if change.is_effective() && new.record != NO_RECORD {
            self.records[place(new.record)].head = Some(seq);
        }
        self.log.push(Logged { change, record: new.record, committed_at, payload: new.payload.map(<[u8]>::to_vec) });
        Ok(seq)
    }

    fn blank(&mut self, from: Seq) -> Done<()> {
        let mut next = Some(from);
        while let Some(seq) = next {
            next = self.at(seq)?.change.prev;
            let place = usize::try_from(seq.get() - 1).expect("the model stays small");
            let Logged { change: Change { state, .. }, payload, .. } = &mut self.log[place];
            (state.digest, state.stamp.digest, *payload) = (Digest::DELETED, Digest::DELETED, None);
        }
        Ok(())
    }

    fn has_traffic(&mut self, replica: ReplicaRow) -> Done<bool> {
        Ok(self.traffic.keys().any(|(known, _)| *known == replica))
    }

    fn traffic(&mut self, replica: ReplicaRow, record: RecordRow) -> Done<Option<Traffic>> {
        Ok(self.traffic.get(&(replica, record)).cloned())
    }

    fn put_traffic(&mut self, replica: ReplicaRow, record: RecordRow, traffic: &Traffic) -> Done<()> {
        self.traffic.insert((replica, record), traffic.clone());
        Ok(())
    }

    fn set_references(&mut self, record: RecordRow, targets: &[RecordRow]) -> Done<()> {
        self.references.insert(record, targets.iter().copied().collect());
        Ok(())
    }

    fn referrers(&mut self, target: RecordRow) -> Done<Vec<RecordKey>> {
        let referring = self.references.iter().filter(|(_, targets)| targets.contains(&target));
        Ok(referring.map(|(source, _)| self.row(*source).key.clone()).collect())
    }

    fn aliases(&mut self) -> Done<Vec<Alias>> {
        Ok(self.aliases.clone())
    }

    fn put_alias(&mut self, alias: &Alias) -> Done<()> {
        match self.aliases.iter_mut().find(|known| known.key == alias.key) {
            Some(known) => known.of = alias.of.clone(),
            None => self.aliases.push(alias.clone()),
        }
        Ok(())
    }

    fn remove_alias(&mut self, key: &RecordKey) -> Done<()> {
        self.aliases.retain(|alias| alias.key != *key);
        Ok(())
    }

    fn unique_holder(&mut self, collection: CollectionName, value: &[u8]) -> Done<Option<RecordKey>> {
        let holder = self.uniques.get(&(collection, value.to_vec()));
        Ok(holder.map(|row| self.row(*row).key.clone()))
    }

    fn set_unique(&mut self, record: RecordRow, collection: CollectionName, value: Option<&[u8]>) -> Done<()> {
        self.uniques.retain(|_, holder| *holder != record);
        if let Some(value) = value {
            self.uniques.insert((collection, value.to_vec()), record);
        }
        Ok(())
    }

    fn heads_after(&mut self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<()> {
        let mut heads: Vec<(Seq, RecordRow)> = Vec::new();
        for (place, row) in self.records.iter().enumerate().filter(|(_, row)| row.rank == rank) {
            heads.extend(row.head.filter(|head| *head > after).map(|head| (head, RecordRow(number(place + 1)))));
        }
        heads.sort_unstable();
        for (seq, record) in heads {
            let logged = self.at(seq)?;
            let State { op, written_at, public_at, digest, .. } = logged.change.state;
            if !visitor.wants(record, seq, op, digest) {
                continue;
            }
            let head = HeadRow {
                record,
                key: self.row(record).key.clone(),
                seq,
                op,
                written_at,
                public_at,
                digest,
                is_first: logged.change.prev.is_none(),
                payload: logged.payload.clone().unwrap_or_default(),
            };
            if !visitor.visit(head)? {
                break;
            }
        }
        debug_assert!(self.records.iter().all(|row| row.head.is_none_or(|head| head <= self.head())));
        Ok(())
    }

    fn add_refusals(&mut self, replica: &ReplicaName, refused: &[Refused], now: ServerTime) -> Done<()> {
        for one in refused {
            self.refusals.retain(|(device, known, _)| device != replica || known != one);
            self.refusals.push((replica.clone(), one.clone(), now));
        }
        let too_many = self.refusals.len().saturating_sub(limits::REFUSALS_MAX);
        self.refusals.drain(..too_many);
        Ok(())
    }
}
