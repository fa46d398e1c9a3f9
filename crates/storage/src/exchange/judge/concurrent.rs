//! A write that met another's: the contents and the past are read, and merged.

use std::borrow::Cow;

use tombolo_core::merge::{self, Base, Content, Entry, Scheme, State, Trace};
use tombolo_core::{Digest, Op, Origin, ServerTime, Verdict, limits};

use super::super::land::Land;
use super::{Arrival, Judge, Outcome};
use crate::StoreError;
use crate::ledger::Change;

impl Judge<'_> {
    /// Another wrote meanwhile: field by field against the base.
    pub(super) fn merge(
        &mut self,
        arrival: &Arrival,
        base: Base,
        commit_time: ServerTime,
    ) -> Result<Verdict, StoreError> {
        let policy = self.land.policy;
        let collection = arrival.key.collection;
        let head = arrival.record.as_ref().map(|record| record.head.clone()).ok_or_else(Land::no_head)?;
        let stamp = self.stamp(&arrival.incoming, Some(base.at), commit_time);
        let base_change = self.land.ledger.change(base.seq)?;
        let base_payload = self.land.content(base.seq)?.unwrap_or_default();
        let head_payload = self.land.content(head.seq)?.unwrap_or_default();
        let (past, complete) = self.past(&head, &base_change)?;
        let split = |payload: &'_ [u8]| -> Result<_, StoreError> {
            if payload.is_empty() {
                return Ok(Vec::new());
            }
            let fields = policy.split(collection, payload).map_err(Land::unreadable)?;
            Ok(fields.into_iter().map(|(name, value)| (name, Cow::Owned(value.into_owned()))).collect())
        };
        let mut entries = Vec::with_capacity(past.len());
        for write in &past {
            let base = write.base.as_deref().map(split).transpose()?;
            let fields = split(write.payload.as_deref().unwrap_or_default())?;
            entries.push(Entry { stamp: write.change.state.stamp.clone(), op: write.change.state.op, fields, base });
        }
        let trace = Trace { entries, head: head.stamp.clone(), complete };
        let before = match &arrival.unconfirmed {
            Some(state) if arrival.incoming.op == Op::Put => {
                Some((state.op == Op::Delete, self.land.content(state.seq)?.unwrap_or_default()))
            }
            _ => None,
        };
        let mut was = Content { deleted: base_change.state.op == Op::Delete, fields: split(&base_payload)? };
        let theirs = Content { deleted: head.op == Op::Delete, fields: split(&head_payload)? };
        let ours = Content { deleted: arrival.incoming.op == Op::Delete, fields: split(&arrival.payload)? };
        let scheme = Scheme { policy, collection };
        if let Some((deleted, payload)) = before {
            was = merge::probable_base(scheme, was, &Content { deleted, fields: split(&payload)? }, &ours);
        }
        let merged = merge::merge(scheme, &was, &theirs, &ours, &stamp, &trace)
            .ok_or_else(|| StoreError::Internal("a policy cannot join what it split".to_owned()))?;

        let digest = match (merged.deleted, merged.payload.is_empty()) {
            (false, false) => policy.digest(collection, &merged.payload).map_err(Land::unreadable)?,
            _ => Digest::DELETED,
        };
        let op = if merged.deleted { Op::Delete } else { Op::Put };
        let equals = |other_op: Op, other: Digest| op == other_op && digest == other;
        if !merged.lost {
            let is_head = equals(head.op, head.digest);
            let is_incoming = equals(arrival.incoming.op, arrival.incoming.digest) && stamp > head.stamp;
            // Content that the head has already comes from a device that was sent it, and was not yet heard to have it:
            // its instant is no edit's.
            if is_incoming && !(is_head && op == Op::Put) {
                return self.apply(arrival, Some(base.seq), &stamp);
            }
            if is_head {
                self.note(arrival, None)?;
                return Ok(Verdict::Unchanged);
            }
        }
        let verdict = if merged.lost { Verdict::Superseded } else { Verdict::Merged };
        let payload = (!merged.payload.is_empty()).then_some(merged.payload);
        let outcome = Outcome { op, payload, stamp_at: head.stamp.at.max(stamp.at) };
        self.settle(arrival, Some(base.seq), &stamp, verdict, outcome)
    }

    /// What replicas wrote to the record since the base, with contents, newest first; and whether that is all.
    fn past(&mut self, head: &State, base: &Change) -> Result<(Vec<PastWrite>, bool), StoreError> {
        // What the head says may have been written before a base that lost: then the past goes back to that one's base.
        let floor = if base.is_effective() { Some(base.state.seq) } else { base.base };
        let mut past = Vec::new();
        let mut next = Some(head.seq);
        for _ in 0..limits::TRACE_MAX {
            let Some(seq) = next.filter(|seq| Some(*seq) > floor) else { return Ok((past, true)) };
            let change = self.land.ledger.change(seq)?;
            next = change.prev;
            if change.origin == Origin::Replica {
                let payload = self.land.ledger.payload(seq)?;
                let base = match change.base {
                    Some(base) => self.land.content(base)?,
                    None => None,
                };
                past.push(PastWrite { change, payload, base });
            }
        }
        Ok((past, false))
    }
}

/// A write of the past with its contents.
struct PastWrite {
    change: Change,
    payload: Option<Vec<u8>>,
    base: Option<Vec<u8>>,
}
