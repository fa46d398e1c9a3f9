//! What a replica had in hand when it wrote, as its cursor, its marks or its own word say, read from the record's
//! history.

use std::collections::HashMap;

use tombolo_core::merge::{Incoming, Own, State};
use tombolo_core::{
    Digest, Instant, Op, Origin, RecordKey, RecordVersion, ReplicaName, Seq, SpaceCursor, Stamp, limits,
};

use crate::ledger::{Change, Ledger, Record, RecordRow, Replica};
use crate::{NamedBase, StoreError, Write};

/// How far a replica is, as its request and what is remembered of it say.
#[derive(Clone, Copy)]
pub(super) struct Hand {
    /// Everything up to here is in its hands, as it was here; none where nothing is known of it.
    complete: Option<Seq>,
    /// It was given what lies up to here, and may have taken it or not.
    given: Seq,
    /// Whether `given` is not its own word.
    is_assumed: bool,
    /// Whether its own uploads count: one that was set back does not hold what it sent since.
    counts_own: bool,
}

impl Hand {
    pub(super) fn of(known: Option<&Replica>, presented: Option<SpaceCursor>) -> Self {
        let acknowledged = known.map(|replica| replica.acknowledged);
        match presented {
            Some(SpaceCursor { complete, resume, .. }) => Self {
                complete: Some(complete),
                given: resume,
                is_assumed: false,
                counts_own: acknowledged.is_none_or(|acknowledged| complete >= acknowledged),
            },
            None => Self {
                complete: acknowledged,
                given: known.map_or(Seq::ZERO, |replica| replica.given),
                is_assumed: true,
                counts_own: true,
            },
        }
    }
}

/// What the history of a record tells of a write.
#[derive(Default)]
pub(super) struct Past {
    /// What the replica had in hand.
    pub(super) delivered: Option<State>,
    /// What it may have been given since. Where the mark of that was lost, this is none or older, and a field that
    /// arrived since looks like an edit of the replica's.
    pub(super) unconfirmed: Option<State>,
    /// Its own last upload, if that counts; where the replica names what it had in hand, only this write itself.
    pub(super) own: Option<Own>,
    /// Where this very write is in the log, if `own` is it.
    pub(super) repeated: Option<Seq>,
}

/// Changes of a record above which no repeat is looked for, and for each write of the request that is the record's
/// some more: a client that heard nothing sends the very same again before much else happened, and each of the writes
/// left at most its upload, an outcome, and another to tell of it.
const REPEAT_WALK: usize = 64;
const REPEAT_WALK_PER_WRITE: usize = 4;

/// Changes that one upload may read of its records' pasts, and some more for each of its writes. So many are read in
/// less than a second; above it, what was not read counts as not known, and the later stamp decides.
const UPLOAD_WALK: usize = 5 * limits::BASE_WALK_MAX;
const UPLOAD_WALK_PER_WRITE: usize = 4;

/// The histories that the writes of one request lead to. No change is read twice on the way down, however many writes
/// a record has in the request.
pub(super) struct Pasts<'a> {
    name: &'a ReplicaName,
    hand: Hand,
    writes: HashMap<&'a RecordKey, usize>,
    seen: HashMap<RecordRow, Seen>,
    /// Whose writes heads were found to be.
    stamps: HashMap<RecordRow, (Seq, Stamp)>,
    /// Changes that may still be read.
    left: usize,
}

impl<'a> Pasts<'a> {
    pub(super) fn new(name: &'a ReplicaName, hand: Hand, writes: &'a [Write]) -> Self {
        let mut counts = HashMap::new();
        writes.iter().for_each(|write| *counts.entry(&write.key).or_default() += 1);
        let left = UPLOAD_WALK + UPLOAD_WALK_PER_WRITE * writes.len();
        Self { name, hand, writes: counts, seen: HashMap::new(), stamps: HashMap::new(), left }
    }

    /// What the history of `record` tells of `write`.
    pub(super) fn read(
        &mut self,
        ledger: &mut dyn Ledger,
        write: &Write,
        incoming: &Incoming,
        record: &Record,
    ) -> Result<Past, StoreError> {
        let head = record.head.seq;
        let seen = self.seen.entry(record.row).or_insert_with(|| Seen::at(head));
        let repeats = REPEAT_WALK + REPEAT_WALK_PER_WRITE * self.writes.get(&write.key).copied().unwrap_or(1);
        let mut walk = Walk { ledger, name: self.name, hand: self.hand, seen, left: &mut self.left, repeats };
        walk.catch_up(head)?;
        match write.base {
            NamedBase::Version(version) => walk.named(Some(version), incoming, record),
            NamedBase::Nothing => walk.named(None, incoming, record),
            NamedBase::Unsaid => walk.unsaid(incoming),
        }
    }

    /// Whose write the content of the state `head` is: the greater stamp of those at its instant, where it is an
    /// outcome. As far as that may still be read.
    pub(super) fn stamp_of(&mut self, ledger: &mut dyn Ledger, record: &Record) -> Result<Stamp, StoreError> {
        let mut stamp = record.head.stamp.clone();
        let known = self.stamps.get(&record.row).filter(|(_, known)| known.at == stamp.at);
        let mut next = Some(record.head.seq);
        while let Some(seq) = next.filter(|_| self.left > 0) {
            if let Some((_, known)) = known.filter(|(at, _)| *at == seq) {
                stamp = stamp.max(known.clone());
                break;
            }
            let change = ledger.change(seq)?;
            self.left -= 1;
            next = change.prev.filter(|_| change.origin == Origin::Outcome || !change.is_effective());
            if change.state.stamp.at == stamp.at {
                stamp = stamp.max(change.state.stamp);
            }
        }
        self.stamps.insert(record.row, (record.head.seq, stamp.clone()));
        Ok(stamp)
    }
}

/// What was seen of a record's history, from its head down to some place.
struct Seen {
    /// The head that it was seen from.
    from: Seq,
    /// Where it goes on.
    next: Option<Seq>,
    count: usize,
    /// The replica's own uploads as they were found, each the newest of its kind.
    own: HashMap<(Op, Instant, Digest), Seq>,
    newest_own: Option<Seq>,
    /// The newest states that the replica had in hand, and may have been given.
    delivered: Option<Seq>,
    unconfirmed: Option<Seq>,
}

impl Seen {
    fn at(head: Seq) -> Self {
        let (own, next) = (HashMap::new(), Some(head));
        Self { from: head, next, count: 0, own, newest_own: None, delivered: None, unconfirmed: None }
    }

    /// Where this write may be in the log: as it was sent, or without its content.
    fn find(&self, incoming: &Incoming) -> Option<Seq> {
        let Incoming { op, written_at, digest } = *incoming;
        let places = [digest, Digest::DELETED].map(|digest| self.own.get(&(op, written_at, digest)).copied());
        places.into_iter().max().flatten()
    }
}

/// A walk through the history of one record.
struct Walk<'a> {
    ledger: &'a mut dyn Ledger,
    name: &'a ReplicaName,
    hand: Hand,
    seen: &'a mut Seen,
    left: &'a mut usize,
    /// Changes among which a repeat is looked for.
    repeats: usize,
}

impl Walk<'_> {
    /// Sees what this request added on top.
    fn catch_up(&mut self, head: Seq) -> Result<(), StoreError> {
        let mut next = Some(head);
        let mut added = Vec::new();
        while let Some(seq) = next.filter(|seq| *seq > self.seen.from) {
            let change = self.ledger.change(seq)?;
            next = change.prev;
            added.extend(Some(change).filter(|change| is_by(change, self.name)));
        }
        for change in added.iter().rev() {
            self.seen.own.insert(kind(change), change.state.seq);
            self.seen.newest_own = Some(change.state.seq);
        }
        self.seen.from = head;
        Ok(())
    }

    /// Goes back until it is enough, or the end, or as far as it may.
    fn back(&mut self, is_enough: impl Fn(&Seen, Seq) -> bool) -> Result<(), StoreError> {
        while let Some(seq) = self.seen.next.filter(|_| *self.left > 0 && self.seen.count < limits::BASE_WALK_MAX) {
            if is_enough(self.seen, seq) {
                break;
            }
            let change = self.ledger.change(seq)?;
            *self.left -= 1;
            let seen = &mut *self.seen;
            (seen.next, seen.count) = (change.prev, seen.count + 1);
            if is_by(&change, self.name) {
                seen.own.entry(kind(&change)).or_insert(seq);
                seen.newest_own = seen.newest_own.or(Some(seq));
            }
            if change.is_effective() && seen.delivered.is_none() {
                let is_given = self.hand.is_assumed && seq <= self.hand.given;
                seen.unconfirmed = seen.unconfirmed.or(Some(seq).filter(|_| is_given));
                seen.delivered = Some(seq).filter(|seq| Some(*seq) <= self.hand.complete);
            }
        }
        Ok(())
    }

    /// This very write, if it is in the log above `floor`.
    fn repeated(&mut self, incoming: &Incoming, floor: Seq) -> Result<Option<Past>, StoreError> {
        let Some(seq) = self.seen.find(incoming).filter(|seq| *seq > floor) else { return Ok(None) };
        let change = self.ledger.change(seq)?;
        Ok(is_again(&change, incoming).then(|| Past::repeat(change, incoming)))
    }

    /// The replica says what it had in hand. A version that is not in the record's history, or whose content was taken,
    /// counts as nothing.
    fn named(
        mut self,
        version: Option<RecordVersion>,
        incoming: &Incoming,
        record: &Record,
    ) -> Result<Past, StoreError> {
        let floor = version.map_or(Seq::ZERO, |version| version.seq);
        let repeats = self.repeats;
        self.back(|seen, seq| seq <= floor || seen.count >= repeats || seen.find(incoming).is_some())?;
        if let Some(past) = self.repeated(incoming, floor)? {
            return Ok(past);
        }
        let Some(version) = version.filter(|it| it.seq > Seq::ZERO && it.seq <= record.head.seq) else {
            return Ok(Past::default());
        };
        let change = self.ledger.change(version.seq)?;
        let is_it = change.record == record.row && !change.is_blank() && version.is_of(change.state.digest);
        Ok(Past { delivered: Some(change.state).filter(|_| is_it), ..Past::default() })
    }

    /// The replica does not say it: it had the newer of what it was given and what it sent itself.
    fn unsaid(mut self, incoming: &Incoming) -> Result<Past, StoreError> {
        let Hand { complete, given, is_assumed, counts_own, .. } = self.hand;
        let Some(complete) = complete else { return Ok(Past::default()) };
        let repeats = self.repeats;
        self.back(|seen, seq| {
            let is_own_wanted = counts_own && seq > complete && seen.newest_own.is_none();
            let is_repeat_wanted =
                counts_own && seq > complete && seen.count < repeats && seen.find(incoming).is_none();
            let is_given_wanted = is_assumed && given > Seq::ZERO && seen.unconfirmed.is_none();
            let is_state_wanted = seen.delivered.is_none() && (complete > Seq::ZERO || is_given_wanted);
            !(is_own_wanted || is_repeat_wanted || is_state_wanted)
        })?;
        let (delivered, unconfirmed) = (self.seen.delivered, self.seen.unconfirmed);
        let mut past = Past::default();
        if counts_own {
            past = match self.repeated(incoming, complete)? {
                Some(past) => past,
                None => Past { own: self.own_upload(complete)?, ..past },
            };
        }
        past.unconfirmed = self.state(unconfirmed)?;
        past.delivered = self.state(delivered)?;
        Ok(past)
    }

    /// The replica's last upload above `floor`.
    fn own_upload(&mut self, floor: Seq) -> Result<Option<Own>, StoreError> {
        let Some(seq) = self.seen.newest_own.filter(|seq| *seq > floor) else { return Ok(None) };
        let change = self.ledger.change(seq)?;
        let is_blank = change.is_blank();
        let Change { state, verdict, .. } = change;
        Ok(Some(Own { state, verdict, same_cursor: false }).filter(|_| !is_blank))
    }

    /// A state as it is by now: this request may have taken its content.
    fn state(&mut self, seq: Option<Seq>) -> Result<Option<State>, StoreError> {
        let change = seq.map(|seq| self.ledger.change(seq)).transpose()?;
        Ok(change.filter(|change| !change.is_blank()).map(|change| change.state))
    }
}

impl Past {
    fn repeat(change: Change, incoming: &Incoming) -> Self {
        let Change { mut state, verdict, .. } = change;
        let repeated = Some(state.seq);
        state.digest = incoming.digest;
        Self { own: Some(Own { state, verdict, same_cursor: false }), repeated, ..Self::default() }
    }
}

/// What an upload is known by.
fn kind(change: &Change) -> (Op, Instant, Digest) {
    (change.state.op, change.state.written_at, change.state.digest)
}

fn is_by(change: &Change, name: &ReplicaName) -> bool {
    change.origin == Origin::Replica && change.state.stamp.replica.as_ref() == Some(name)
}

/// Whether `change` is the same write, stored before. Where its content was taken, its instant tells.
fn is_again(change: &Change, incoming: &Incoming) -> bool {
    let State { op, written_at, digest, .. } = &change.state;
    let is_of = *digest == incoming.digest || (change.is_blank() && incoming.op == Op::Put);
    (*op, *written_at) == (incoming.op, incoming.written_at) && is_of
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
