//! Writing down what was decided of a write, however it came to be known what its replica had in hand.

use tombolo_core::merge::{Base, Incoming, State, Step};
use tombolo_core::{Digest, Instant, Op, Origin, RecordKey, ReplicaName, Seq, ServerTime, Stamp, Verdict};

use super::super::land::Land;
use crate::StoreError;
use crate::ledger::{NewChange, Record, RecordRow, ReplicaRow};

/// Writes down what was decided, for one replica.
pub(in crate::exchange) struct Clerk<'a> {
    pub(in crate::exchange) land: Land<'a>,
    pub(in crate::exchange) name: &'a ReplicaName,
    pub(in crate::exchange) replica: ReplicaRow,
}

/// A write in the server's terms: its ids are the server's, its content is in hand.
pub(in crate::exchange) struct Arrival {
    pub(in crate::exchange) key: RecordKey,
    pub(in crate::exchange) incoming: Incoming,
    pub(in crate::exchange) payload: Vec<u8>,
    pub(in crate::exchange) record: Option<Record>,
    /// What was delivered in a reply of which it is not known whether it arrived.
    pub(in crate::exchange) unconfirmed: Option<State>,
}

/// What became of a write.
#[derive(Clone, Copy)]
pub(in crate::exchange) struct Ruled {
    pub(in crate::exchange) verdict: Verdict,
    /// Its record; none where it changed nothing about a record that never was.
    pub(in crate::exchange) row: Option<RecordRow>,
    /// Where it was stored as it came, if it was.
    pub(in crate::exchange) stored: Option<Seq>,
}

/// What the record is after a write that did not simply become its head.
pub(super) struct Outcome {
    pub(super) op: Op,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) stamp_at: Instant,
}

impl Clerk<'_> {
    pub(in crate::exchange) fn stamp(
        &self,
        incoming: &Incoming,
        base: Option<Instant>,
        commit_time: ServerTime,
    ) -> Stamp {
        Stamp::decide(incoming.written_at, commit_time, base, self.name.clone(), incoming.digest)
    }

    pub(in crate::exchange) fn carry_out(
        &mut self,
        arrival: &Arrival,
        step: Step,
        commit_time: ServerTime,
    ) -> Result<Ruled, StoreError> {
        match step {
            Step::Repeat(verdict) => Ok(Self::nothing(arrival, verdict)),
            Step::Unchanged => Ok(Self::nothing(arrival, Verdict::Unchanged)),
            Step::Apply { base } => {
                let stamp = self.stamp(&arrival.incoming, base.map(|base| base.at), commit_time);
                self.apply(arrival, base.map(|base| base.seq), &stamp, commit_time)
            }
            Step::Supersede => {
                let stamp = self.stamp(&arrival.incoming, None, commit_time);
                let head = arrival.record.as_ref().map(|record| &record.head).ok_or_else(Land::no_head)?;
                let payload = self.land.content(head.seq)?.filter(|_| head.op == Op::Put);
                let outcome = Outcome { op: head.op, payload, stamp_at: head.stamp.at };
                self.settle(arrival, (None, Verdict::Superseded), &stamp, outcome, commit_time)
            }
            Step::Merge { base: Base { seq, at } } => self.merge(arrival, Base { seq, at }, commit_time),
        }
    }

    /// Nothing is stored.
    pub(super) fn nothing(arrival: &Arrival, verdict: Verdict) -> Ruled {
        Ruled { verdict, row: arrival.record.as_ref().map(|record| record.row), stored: None }
    }

    /// The write becomes the head as it came.
    pub(super) fn apply(
        &mut self,
        arrival: &Arrival,
        base: Option<Seq>,
        stamp: &Stamp,
        commit_time: ServerTime,
    ) -> Result<Ruled, StoreError> {
        let rank = self.land.policy.rank(arrival.key.collection);
        let row = match &arrival.record {
            Some(record) => record.row,
            None => self.land.ledger.record_row(&arrival.key, rank)?,
        };
        let head = arrival.record.as_ref().map(|record| &record.head);
        if arrival.incoming.op == Op::Delete {
            self.land.erase(head)?;
        }
        let change = self.upload(arrival, row, (base, Verdict::Applied), stamp, commit_time);
        let seq = self.land.append(&change)?;
        self.land.settle(&arrival.key, row, head, arrival.incoming.op, &arrival.payload)?;
        Ok(Ruled { verdict: Verdict::Applied, row: Some(row), stored: Some(seq) })
    }

    fn upload<'c>(
        &self,
        arrival: &'c Arrival,
        row: RecordRow,
        (base, verdict): (Option<Seq>, Verdict),
        stamp: &Stamp,
        commit_time: ServerTime,
    ) -> NewChange<'c> {
        let head = arrival.record.as_ref().map(|record| &record.head);
        NewChange {
            record: row,
            prev: head.map(|head| head.seq),
            base,
            op: arrival.incoming.op,
            origin: Origin::Replica,
            verdict,
            replica: Some(self.replica),
            written_at: arrival.incoming.written_at,
            stamp_at: stamp.at,
            public_at: self.land.public_at((arrival.incoming.written_at, stamp.at), commit_time, head),
            digest: arrival.incoming.digest,
            payload: (arrival.incoming.op == Op::Put).then_some(arrival.payload.as_slice()),
        }
    }

    /// The write enters the log as it came, and the outcome follows it, also when that is what the head was: so the
    /// replica is told, and its next write is judged by what it then holds.
    ///
    /// Where a deletion takes all with it, it takes the write that lost to it as well.
    pub(super) fn settle(
        &mut self,
        arrival: &Arrival,
        (base, verdict): (Option<Seq>, Verdict),
        stamp: &Stamp,
        mut outcome: Outcome,
        commit_time: ServerTime,
    ) -> Result<Ruled, StoreError> {
        let record = arrival.record.as_ref().ok_or_else(Land::no_head)?;
        let mut change = self.upload(arrival, record.row, (base, verdict), stamp, commit_time);
        if outcome.op == Op::Delete && self.land.policy.erases() {
            self.land.erase(Some(&record.head))?;
            (change.payload, change.digest, outcome.payload) = (None, Digest::DELETED, None);
        }
        let seq = self.land.append(&change)?;
        let digest = match (&outcome.payload, outcome.op) {
            (Some(payload), Op::Put) => {
                self.land.policy.digest(arrival.key.collection, payload).map_err(Land::unreadable)?
            }
            _ => Digest::DELETED,
        };
        let written_at = record.head.written_at.max(arrival.incoming.written_at.min(outcome.stamp_at));
        self.land.append(&NewChange {
            prev: Some(seq),
            base: None,
            op: outcome.op,
            origin: Origin::Outcome,
            verdict: Verdict::Applied,
            replica: None,
            written_at,
            stamp_at: outcome.stamp_at,
            public_at: self.land.public_at((written_at, outcome.stamp_at), commit_time, Some(&record.head)),
            digest,
            payload: outcome.payload.as_deref(),
            ..change
        })?;
        let payload = outcome.payload.as_deref().unwrap_or_default();
        self.land.settle(&arrival.key, record.row, Some(&record.head), outcome.op, payload)?;
        Ok(Ruled { verdict, row: Some(record.row), stored: Some(seq) })
    }
}
