//! What a replica brings that resumes by a cursor which says everything.

use tombolo_core::merge::{self, Facts, Incoming, State, Step};
use tombolo_core::{Digest, Generation, Op, Origin, RecordVersion, ReplicaName, Seq, SpaceCursor, SpaceId, Verdict};

use super::download::present;
use super::judge::{Arrival, Clerk, Ruled};
use super::land::Land;
use super::past::{Hand, Past, Pasts};
use crate::ledger::{Ledger, NewChange, Replica};
use crate::{Action, Fate, Refused, Stale, StoreError, Upload, Uploaded, Write};

/// The log that a request meets, and the run of history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    pub(crate) space: SpaceId,
    pub(crate) generation: Generation,
}

impl Here {
    /// A cursor at `complete`, from which one resumes at `resume`.
    pub(super) const fn cursor(self, complete: Seq, resume: Seq) -> SpaceCursor {
        SpaceCursor { space: self.space, generation: self.generation, complete, resume }
    }
}

/// Why a replica is turned away.
pub(super) enum Refusal {
    Others,
    Stale(Stale),
}

/// The replica, if it may go on from `presented`; `None` when it is not known yet.
pub(super) fn admit(
    ledger: &mut dyn Ledger,
    name: &ReplicaName,
    presented: Option<SpaceCursor>,
) -> Result<Result<Option<Replica>, Refusal>, StoreError> {
    let known = ledger.replica(name)?;
    // One that is known here was bound when it became so.
    if known.is_none() && ledger.is_others(name)? {
        return Ok(Err(Refusal::Others));
    }
    let stale = presented.map(|cursor| ledger.stale(cursor)).transpose()?.flatten();
    Ok(stale.map_or(Ok(known), |stale| Err(Refusal::Stale(stale))))
}

/// Judges the writes of a request and stores them. What it answers besides [`Uploaded::Done`] comes of having written
/// nothing.
pub(crate) fn upload(ledger: &mut dyn Ledger, here: Here, request: &Upload) -> Result<Uploaded, StoreError> {
    let known = match admit(ledger, &request.replica, request.presented)? {
        Ok(known) => known,
        Err(Refusal::Others) => return Ok(Uploaded::OthersReplica),
        Err(Refusal::Stale(stale)) => return Ok(Uploaded::Stale(stale)),
    };
    let hand = Hand::of(known.as_ref(), request.presented);
    let replica = match known {
        Some(replica) => replica,
        None => {
            ledger.bind(&request.replica)?;
            ledger.add_replica(&request.replica, request.now)?
        }
    };
    let acknowledged = request.presented.map_or(Seq::ZERO, |cursor| cursor.complete).max(replica.acknowledged);
    if acknowledged != replica.acknowledged {
        ledger.set_progress(replica.row, acknowledged, replica.given)?;
    }
    let before = ledger.end()?.seq;
    // What was given without a cursor may have been forgotten again, as one may forget to have taken it: then nothing but
    // what this request adds lies after it.
    let given = request.presented.map_or(before, |cursor| cursor.resume);
    let mut fates = Vec::with_capacity(request.writes.len());
    let (mut applied, mut told_bytes) = (0, 0);
    let mut pasts = Pasts::new(&request.replica, hand, &request.writes);
    let mut missing = Ok(());
    for write in &request.writes {
        let land = Land { ledger: &mut *ledger, policy: &*request.policy, now: request.now };
        let clerk = Clerk { land, name: &request.replica, replica: replica.row };
        let (mut fate, is_applied) = match (Bringing { clerk, pasts: &mut pasts, given }).judge(write) {
            Ok(judged) => judged,
            Err(error) if ledger.is_scouting() => {
                missing = Err(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Fate::Judged { present, .. } = &mut fate {
            told_bytes += present.as_ref().map_or(0, |present| present.payload.len());
            present.take_if(|_| told_bytes > tombolo_core::limits::PRESENTS_BYTES_MAX);
        }
        fates.push(fate);
        applied += u64::from(is_applied);
    }
    missing?;
    note_refusals(ledger, request, &fates)?;
    let end = ledger.end()?.seq;
    let cursor = next_cursor(here, request.presented, (before, end), applied);
    Ok(Uploaded::Done { fates, cursor })
}

fn note_refusals(ledger: &mut dyn Ledger, request: &Upload, fates: &[Fate]) -> Result<(), StoreError> {
    let mut refused = request.refused.clone();
    for (write, fate) in request.writes.iter().zip(fates) {
        if let Fate::Refused(reason) = fate {
            let (record, kind) = (write.key.name.to_string(), write.kind().to_owned());
            refused.push(Refused { record, kind, reason: (*reason).to_owned() });
        }
    }
    if refused.is_empty() { Ok(()) } else { ledger.add_refusals(&request.replica, &refused, request.now) }
}

/// Where the replica resumes. It is at the log's end only if all that lies between is what it brought itself, as it
/// brought it: whatever else was written, an outcome too, makes the log longer than by what was `applied`.
fn next_cursor(here: Here, presented: Option<SpaceCursor>, (before, end): (Seq, Seq), applied: u64) -> SpaceCursor {
    let is_at_end =
        presented.map_or(before == Seq::ZERO, |cursor| cursor.complete == before && cursor.resume == before);
    if is_at_end && end.get() == before.get() + applied {
        return here.cursor(end, end);
    }
    presented.unwrap_or_else(|| here.cursor(Seq::ZERO, Seq::ZERO))
}

/// One write of a replica.
struct Bringing<'a, 'w> {
    clerk: Clerk<'a>,
    pasts: &'a mut Pasts<'w>,
    /// What lies up to here may have been given to the replica.
    given: Seq,
}

impl Bringing<'_, '_> {
    /// What became of it, and whether it was stored and became the head.
    fn judge(mut self, write: &Write) -> Result<(Fate, bool), StoreError> {
        let policy = self.clerk.land.policy;
        let (op, payload, digest) = match &write.action {
            Action::Delete => (Op::Delete, Vec::new(), Digest::DELETED),
            Action::Put(payload) => {
                let digest = policy.digest(write.key.collection, payload).map_err(Land::unreadable)?;
                (Op::Put, payload.clone(), digest)
            }
            Action::Attach { .. } => return Ok((Fate::Refused("records of this kind take no such reference"), false)),
        };
        let incoming = Incoming { op, written_at: write.written_at, digest };
        let record = self.clerk.land.ledger.record(&write.key)?;
        let past = match &record {
            Some(record) => self.pasts.read(&mut *self.clerk.land.ledger, write, &incoming, record)?,
            None => Past::default(),
        };
        let Past { delivered, unconfirmed, own, .. } = &past;
        let mut arrival =
            Arrival { key: write.key.clone(), incoming, payload, record, unconfirmed: unconfirmed.clone() };
        let commit_time = self.clerk.land.next_commit_time()?;
        self.name_the_heads_writer(&mut arrival, commit_time)?;
        let facts = Facts {
            incoming: &arrival.incoming,
            delivered: delivered.as_ref(),
            unconfirmed: arrival.unconfirmed.as_ref(),
            own: own.as_ref(),
            exchanged: [None; 5],
            tombstone: None,
            head: arrival.record.as_ref().map(|record| &record.head),
            clients_restamp: policy.clients_restamp(),
            is_home: false,
        };
        let step = merge::weigh(&facts, |base| self.clerk.stamp(&arrival.incoming, base, commit_time));
        let is_repeat = matches!(step, Step::Repeat(_));
        let held = merge::base(&facts).cloned();
        let Ruled { verdict, stored, .. } = self.clerk.carry_out(&arrival, step, commit_time)?;
        let is_applied = stored.is_some() && verdict == Verdict::Applied;
        if let Some(seq) = stored.filter(|_| is_applied) {
            // The record is as it was sent: there is nothing to read.
            let version = RecordVersion::new(seq, arrival.incoming.digest);
            return Ok((Fate::Judged { verdict, version, present: None }, true));
        }
        let head = self.tell(&arrival)?;
        let version = match (stored, past.repeated) {
            (Some(stored), _) => self.version_of(stored)?,
            (None, Some(repeated)) if is_repeat => self.version_of(repeated)?,
            _ => in_hand(&arrival, held.as_ref()),
        };
        let present = match head.filter(|_| verdict == Verdict::Superseded) {
            Some(head) => {
                let payload = self.clerk.land.ledger.payload(head.seq)?.unwrap_or_default();
                Some(present(arrival.key, &head, payload))
            }
            None => None,
        };
        Ok((Fate::Judged { verdict, version, present }, false))
    }

    /// An outcome is nobody's replica's, but where instants are equal the greater replica wins: then it is looked up
    /// whose write the head's content is.
    fn name_the_heads_writer(
        &mut self,
        arrival: &mut Arrival,
        commit_time: tombolo_core::ServerTime,
    ) -> Result<(), StoreError> {
        let claimed = self.clerk.stamp(&arrival.incoming, None, commit_time).at;
        let Some(record) = &mut arrival.record else { return Ok(()) };
        if record.head.stamp.replica.is_none() && record.head.stamp.at == claimed {
            record.head.stamp = self.pasts.stamp_of(&mut *self.clerk.land.ledger, record)?;
        }
        Ok(())
    }

    /// Sees to it that the replica is given the record, if it is not as it sent it: it may have been given this state
    /// and not have taken it, since it had this write still to send. Returns the record's state.
    fn tell(&mut self, arrival: &Arrival) -> Result<Option<State>, StoreError> {
        let Arrival { key, incoming, .. } = arrival;
        let Some(record) = self.clerk.land.ledger.record(key)? else { return Ok(None) };
        let head = record.head;
        let is_as_sent = (head.op, head.digest) == (incoming.op, incoming.digest);
        if is_as_sent || head.seq > self.given {
            return Ok(Some(head));
        }
        let payload = self.clerk.land.ledger.payload(head.seq)?;
        let commit_time = self.clerk.land.next_commit_time()?;
        let public_at = self.clerk.land.public_at((head.written_at, head.stamp.at), commit_time, Some(&head));
        let seq = self.clerk.land.append(&NewChange {
            record: record.row,
            prev: Some(head.seq),
            base: None,
            op: head.op,
            origin: Origin::Outcome,
            verdict: Verdict::Applied,
            replica: None,
            written_at: head.written_at,
            stamp_at: head.stamp.at,
            public_at,
            digest: head.digest,
            payload: payload.as_deref(),
        })?;
        Ok(Some(State { seq, public_at, ..head }))
    }

    fn version_of(&mut self, seq: Seq) -> Result<RecordVersion, StoreError> {
        Ok(RecordVersion::new(seq, self.clerk.land.ledger.change(seq)?.state.digest))
    }
}

/// What a replica has in hand by a write that said nothing new: the state that says the same, the newest of them.
fn in_hand(arrival: &Arrival, base: Option<&State>) -> RecordVersion {
    let head = arrival.record.as_ref().map(|record| &record.head);
    let states = || head.into_iter().chain(base).chain(&arrival.unconfirmed);
    let is_same = |state: &&State| (state.op, state.digest) == (arrival.incoming.op, arrival.incoming.digest);
    let state = states().find(is_same).or(base).or(head);
    state.map_or(RecordVersion::new(Seq::ZERO, Digest::DELETED), |state| RecordVersion::new(state.seq, state.digest))
}
