//! A write that met another's: the contents and the past are read, and merged.

use std::collections::HashMap;
use std::sync::Arc;

use tombolo_core::merge::{self, Base, Content, Entry, Scheme, State, Trace};
use tombolo_core::{CollectionName, Digest, Fields, Op, Origin, Policy, Seq, ServerTime, Verdict, limits};

use super::super::land::Land;
use super::clerk::{Arrival, Clerk, Outcome, Ruled};
use crate::StoreError;
use crate::ledger::Change;

/// Bytes of contents that are read to tell which write set a field, beside the last one: more than any record has that
/// is edited by hand. Above it the head's stamp stands for all, as above [`limits::TRACE_MAX`].
const TRACE_BYTES_MAX: usize = 16 << 20;

impl Clerk<'_> {
    /// Another wrote meanwhile: field by field against the base.
    pub(super) fn merge(
        &mut self,
        arrival: &Arrival,
        base: Base,
        commit_time: ServerTime,
    ) -> Result<Ruled, StoreError> {
        let policy = self.land.policy;
        let collection = arrival.key.collection;
        let head = arrival.record.as_ref().map(|record| record.head.clone()).ok_or_else(Land::no_head)?;
        let stamp = self.stamp(&arrival.incoming, Some(base.at), commit_time);
        let base_change = self.land.ledger.change(base.seq)?;
        let mut contents = Contents { read: HashMap::new(), missing: Ok(()) };
        let base_payload = self.content(&mut contents, base.seq)?;
        let head_payload = self.content(&mut contents, head.seq)?;
        let (past, complete) = self.past(&head, &base_change, &mut contents)?;
        let Contents { read, missing } = contents;
        missing?;
        let content = |seq: Seq| read.get(&seq).map_or(&[][..], |content| content.as_slice());
        let split = |payload| -> Result<Fields<'_>, StoreError> { fields(policy, collection, payload) };
        let mut entries = Vec::with_capacity(past.len());
        for change in past {
            let base = change.base.map(content).filter(|base| !base.is_empty()).map(split).transpose()?;
            let State { seq, op, stamp, .. } = change.state;
            // What lies under a deletion is not its writer's.
            let fields = if op == Op::Put { split(content(seq))? } else { Vec::new() };
            entries.push(Entry { stamp, op, fields, base });
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
        if let Some((deleted, payload)) = &before {
            was = merge::probable_base(scheme, was, &Content { deleted: *deleted, fields: split(payload)? }, &ours);
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
                return self.apply(arrival, Some(base.seq), &stamp, commit_time);
            }
            if is_head {
                return Ok(Self::nothing(arrival, Verdict::Unchanged));
            }
        }
        let verdict = if merged.lost { Verdict::Superseded } else { Verdict::Merged };
        let payload = (!merged.payload.is_empty()).then_some(merged.payload);
        let outcome = Outcome { op, payload, stamp_at: head.stamp.at.max(stamp.at) };
        self.settle(arrival, (Some(base.seq), verdict), &stamp, outcome, commit_time)
    }

    /// What replicas wrote to the record since the base, newest first, with the contents of it and of what it was written
    /// on; and whether that is all.
    fn past(
        &mut self,
        head: &State,
        base: &Change,
        contents: &mut Contents,
    ) -> Result<(Vec<Change>, bool), StoreError> {
        // What the head says may have been written before a base that lost: then the past goes back to that one's base.
        let floor = if base.is_effective() { Some(base.state.seq) } else { base.base };
        let mut past = Vec::new();
        let mut next = Some(head.seq);
        for _ in 0..limits::TRACE_MAX {
            let Some(seq) = next.filter(|seq| Some(*seq) > floor) else { return Ok((past, true)) };
            let change = self.land.ledger.change(seq)?;
            next = change.prev;
            if change.origin == Origin::Replica {
                if contents.read.values().map(|content| content.len()).sum::<usize>() > TRACE_BYTES_MAX {
                    return Ok((past, false));
                }
                if change.state.op == Op::Put {
                    self.content(contents, seq)?;
                }
                if let Some(base) = change.base {
                    self.content(contents, base)?;
                }
                past.push(change);
            }
        }
        Ok((past, false))
    }

    /// Reads what a state says, or what lies under it, if it was not read yet.
    fn content(&mut self, contents: &mut Contents, seq: Seq) -> Result<Arc<Vec<u8>>, StoreError> {
        if let Some(content) = contents.read.get(&seq) {
            return Ok(Arc::clone(content));
        }
        let content = match self.land.content(seq) {
            Ok(content) => Arc::new(content.unwrap_or_default()),
            Err(error) if self.land.ledger.is_scouting() => {
                contents.missing = Err(error);
                Arc::default()
            }
            Err(error) => return Err(error),
        };
        contents.read.insert(seq, Arc::clone(&content));
        Ok(content)
    }
}

/// What states say.
struct Contents {
    /// Each once: what one was written on is mostly another.
    read: HashMap<Seq, Arc<Vec<u8>>>,
    /// Whether some could not be read, which is then known of all.
    missing: Result<(), StoreError>,
}

fn fields<'p>(policy: &dyn Policy, collection: CollectionName, payload: &'p [u8]) -> Result<Fields<'p>, StoreError> {
    match payload {
        [] => Ok(Vec::new()),
        _ => policy.split(collection, payload).map_err(Land::unreadable),
    }
}
