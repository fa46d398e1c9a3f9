//! Each write of a request in turn: gather what is known, decide, write down.

mod clerk;
mod concurrent;

use std::collections::{HashMap, HashSet};

use tombolo_core::merge::{self, Facts, Incoming, Own, State};
use tombolo_core::{Coverage, Digest, Instant, Op, RecordKey, RecordName, Seq, Verdict, limits};

pub(super) use clerk::{Arrival, Clerk, Ruled};

use super::land::Land;
use super::{Presented, Sent};
use crate::ledger::{Alias, Ledger, RecordRow, Replica, Traffic, Upload};
use crate::{Action, Answer, Exchange, StoreError, Write};

pub(super) struct Judge<'a> {
    clerk: Clerk<'a>,
    request: &'a Exchange,
    replica: &'a mut Replica,
    presented: &'a Presented,
    /// Other ids of records, by the id that the replica uses.
    aliases: HashMap<RecordKey, RecordName>,
    sent: Sent,
}

/// A write, and what is remembered of its record and this replica.
struct Met {
    arrival: Arrival,
    /// Whether it stayed what the replica has in hand. If not, the replica is told what became of it.
    is_as_sent: bool,
    traffic: Option<Traffic>,
    delivered: Option<State>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        ledger: &'a mut dyn Ledger,
        request: &'a Exchange,
        replica: &'a mut Replica,
        presented: &'a Presented,
    ) -> Result<Self, StoreError> {
        let aliases = ledger.aliases()?.into_iter().map(|alias| (alias.key, alias.of)).collect();
        let land = Land { ledger, policy: &*request.policy, now: request.now };
        let clerk = Clerk { land, name: &request.replica, replica: replica.row };
        let mut judge = Self { clerk, request, replica, presented, aliases, sent: HashMap::new() };
        judge.learn_home()?;
        Ok(judge)
    }

    pub(super) fn is_scouting(&self) -> bool {
        self.clerk.land.ledger.is_scouting()
    }

    /// What the replica has in hand of the records that it sent.
    pub(super) fn into_sent(self) -> Sent {
        self.sent
    }

    /// Notes under which id the replica keeps the record that every replica makes for itself.
    fn learn_home(&mut self) -> Result<(), StoreError> {
        let Some(home) = self.clerk.land.policy.home() else { return Ok(()) };
        let mut own: Vec<&RecordKey> = Vec::new();
        for write in self.request.writes.iter().filter(|write| write.is_home) {
            // An id that is an ordinary record already stays one.
            if self.clerk.land.ledger.record(&write.key)?.is_none() {
                own.push(&write.key);
            }
        }
        for key in &own {
            if !self.aliases.contains_key(*key) {
                self.clerk.land.ledger.put_alias(&Alias { key: (*key).clone(), of: home.name.clone() })?;
                self.aliases.insert((*key).clone(), home.name.clone());
            }
        }
        let Some(first) = own.first() else { return Ok(()) };
        // A device that was set up anew under its old id has made itself a new one.
        let is_stale = match &self.replica.home {
            None => true,
            Some(known) => self.request.presented.is_none() && own.iter().all(|key| key.name != *known),
        };
        if is_stale {
            self.clerk.land.ledger.set_home(self.replica.row, &first.name)?;
            self.replica.home = Some(first.name.clone());
        }
        Ok(())
    }

    pub(super) fn judge(&mut self, write: &Write) -> Result<Answer, StoreError> {
        let home = self.clerk.land.policy.home();
        let is_home = home.as_ref().is_some_and(|home| self.stands_for(&write.key, home));
        let key = if is_home { home.unwrap_or_else(|| write.key.clone()) } else { write.key.clone() };
        let (incoming, (payload, is_as_sent)) = match &write.action {
            // Nobody's home can be deleted: each replica has one.
            Action::Delete if is_home => return Ok(Answer::Judged(Verdict::Unchanged)),
            Action::Delete => {
                (Incoming { op: Op::Delete, written_at: write.written_at, digest: Digest::DELETED }, (Vec::new(), true))
            }
            Action::Put(payload) => {
                let (payload, is_as_sent) = self.own_ids_to_ours(&key, payload)?;
                let digest = self.clerk.land.policy.digest(key.collection, &payload).map_err(Land::unreadable)?;
                (Incoming { op: Op::Put, written_at: write.written_at, digest }, (payload, is_as_sent))
            }
            Action::Attach { target, .. } => return self.attach(&key, target, write.written_at),
        };
        let met = self.meet(key, incoming, payload, is_as_sent)?;
        let own = self.own_upload(&met)?;
        let Met { arrival, traffic, delivered, .. } = &met;
        let exchanged = [
            traffic.as_ref().map(|traffic| traffic.last),
            traffic.as_ref().and_then(|traffic| traffic.held),
            Self::unremembered(&met, delivered.as_ref()),
            Self::unremembered(&met, arrival.unconfirmed.as_ref()),
            self.replica.floor,
        ];
        let facts = Facts {
            incoming: &arrival.incoming,
            delivered: delivered.as_ref(),
            unconfirmed: arrival.unconfirmed.as_ref(),
            own: own.as_ref(),
            exchanged,
            tombstone: traffic.as_ref().and_then(|traffic| traffic.tombstone),
            head: arrival.record.as_ref().map(|record| &record.head),
            clients_restamp: self.clerk.land.policy.clients_restamp(),
            is_home,
        };
        let commit_time = self.clerk.land.next_commit_time()?;
        let step = merge::weigh(&facts, |base| self.clerk.stamp(&arrival.incoming, base, commit_time));
        let ruled = self.clerk.carry_out(arrival, step, commit_time)?;
        self.note(&met, ruled)
    }

    fn stands_for(&self, key: &RecordKey, home: &RecordKey) -> bool {
        key.collection == home.collection && (key == home || self.aliases.get(key) == Some(&home.name))
    }

    /// The payload with the server's ids, and whether those are the ones under which the replica gets them back: its own
    /// home's is, that of a record which another stands for is not.
    fn own_ids_to_ours(&self, key: &RecordKey, payload: &[u8]) -> Result<(Vec<u8>, bool), StoreError> {
        let policy = self.clerk.land.policy;
        let mut ours = payload.to_vec();
        let mut is_as_sent = true;
        if self.aliases.is_empty() {
            return Ok((ours, is_as_sent));
        }
        let home = policy.home().map(|home| home.collection);
        for target in policy.references(key.collection, payload).map_err(Land::unreadable)? {
            if let Some(name) = self.aliases.get(&target) {
                let to = RecordKey::new(target.collection, name.clone());
                ours = policy.redirect(key.collection, &ours, &target, Some(&to)).map_err(Land::unreadable)?;
                is_as_sent &= home == Some(target.collection) && self.replica.home.as_ref() == Some(&target.name);
            }
        }
        Ok((ours, is_as_sent))
    }

    fn meet(
        &mut self,
        key: RecordKey,
        incoming: Incoming,
        payload: Vec<u8>,
        is_as_sent: bool,
    ) -> Result<Met, StoreError> {
        let record = self.clerk.land.ledger.record(&key)?;
        let arrival = Arrival { key, incoming, payload, record, unconfirmed: None };
        let mut met = Met { arrival, is_as_sent, traffic: None, delivered: None };
        if let Some(record) = &met.arrival.record {
            met.traffic = self.clerk.land.ledger.traffic(self.replica.row, record.row)?;
            let (presented, rank) = (self.presented, self.clerk.land.policy.rank(met.arrival.key.collection));
            met.delivered = self.delivered(presented.coverage(), rank, &record.head)?;
            met.arrival.unconfirmed = self.delivered(presented.unconfirmed.as_ref(), rank, &record.head)?;
        }
        Ok(met)
    }

    /// The state of a record that a replica which holds `coverage` has in hand.
    fn delivered(
        &mut self,
        coverage: Option<&Coverage>,
        rank: usize,
        head: &State,
    ) -> Result<Option<State>, StoreError> {
        let Some(coverage) = coverage else { return Ok(None) };
        if coverage.holds(rank, head.seq, None) {
            return Ok(Some(head.clone()));
        }
        let mut newer = Some(head.seq);
        let mut next = self.clerk.land.ledger.change(head.seq)?.prev;
        for _ in 0..limits::BASE_WALK_MAX {
            let Some(seq) = next else { return Ok(None) };
            let change = self.clerk.land.ledger.change(seq)?;
            if change.is_effective() {
                if coverage.holds(rank, seq, newer) {
                    return Ok(Some(change.state));
                }
                newer = Some(seq);
            }
            next = change.prev;
        }
        Ok(None)
    }

    /// The replica's last upload of the record, if it was made under the presented cursor or one that led to it, and
    /// no later reply was acknowledged on another branch: then a device that was set back would be taken to hold it.
    fn own_upload(&mut self, met: &Met) -> Result<Option<Own>, StoreError> {
        let Some(upload) = met.traffic.as_ref().and_then(|traffic| traffic.upload) else { return Ok(None) };
        let under = self.presented.under();
        let covered = self.presented.coverage().is_some_and(|coverage| upload.seq <= coverage.complete_to());
        if covered || !self.counts(upload, under)? {
            return Ok(None);
        }
        let change = self.clerk.land.ledger.change(upload.seq)?;
        Ok(Some(Own { state: change.state, verdict: change.verdict, same_cursor: upload.under == under }))
    }

    fn counts(&mut self, upload: Upload, under: Option<Instant>) -> Result<bool, StoreError> {
        let since = self.clerk.land.ledger.cursors_since(self.replica.row, upload.seq)?;
        if since.is_empty() && upload.under == under {
            return Ok(true);
        }
        let mut line: HashSet<Instant> = HashSet::new();
        let mut next = under;
        while let Some(token) = next.filter(|_| line.len() < limits::CURSORS_MAX) {
            line.insert(token);
            next = self.clerk.land.ledger.cursor(self.replica.row, token)?.and_then(|cursor| cursor.parent);
        }
        let parents: HashSet<Instant> = since.iter().filter_map(|cursor| cursor.parent).collect();
        let elsewhere = since
            .iter()
            .any(|cursor| (cursor.polled || parents.contains(&cursor.token)) && !line.contains(&cursor.token));
        Ok(!elsewhere && upload.under.is_none_or(|token| line.contains(&token)))
    }

    /// A reference is added to a record as it is now.
    fn attach(&mut self, key: &RecordKey, target: &RecordKey, written_at: Instant) -> Result<Answer, StoreError> {
        let policy = self.clerk.land.policy;
        let target = self
            .aliases
            .get(target)
            .map_or_else(|| target.clone(), |name| RecordKey::new(target.collection, name.clone()));
        let record = self.clerk.land.ledger.record(key)?.filter(|record| record.head.op == Op::Put);
        let Some(record) = record else {
            return Ok(Answer::Refused("the record that it belongs to is not known here"));
        };
        if self.clerk.land.ledger.record(&target)?.is_none_or(|target| target.head.op == Op::Delete) {
            return Ok(Answer::Refused("the record that it names is not known here"));
        }
        let content = self.clerk.land.content(record.head.seq)?.unwrap_or_default();
        let attached = policy.attach(key.collection, &content, &target).map_err(Land::unreadable)?;
        let Some(payload) = attached else { return Ok(Answer::Refused("records of this kind take no such reference")) };
        let digest = policy.digest(key.collection, &payload).map_err(Land::unreadable)?;
        if digest == record.head.digest {
            return Ok(Answer::Judged(Verdict::Unchanged));
        }
        let incoming = Incoming { op: Op::Put, written_at, digest };
        let (seq, at) = (record.head.seq, record.head.stamp.at);
        let commit_time = self.clerk.land.next_commit_time()?;
        let stamp = self.clerk.stamp(&incoming, Some(at), commit_time);
        let traffic = self.clerk.land.ledger.traffic(self.replica.row, record.row)?;
        let delivered = Some(record.head.clone());
        let arrival = Arrival { key: key.clone(), incoming, payload, record: Some(record), unconfirmed: None };
        // The device holds the parts, not the record that they make: it is told.
        let met = Met { arrival, is_as_sent: false, traffic, delivered };
        let ruled = self.clerk.apply(&met.arrival, Some(seq), &stamp, commit_time)?;
        self.note(&met, ruled)
    }

    /// The instant under which what was delivered may have gone out without being remembered. Once the replica had
    /// uploaded the record, whatever went out to it was: then an edit that it makes in the very millisecond in which that
    /// was committed is no echo.
    fn unremembered(met: &Met, delivered: Option<&State>) -> Option<Instant> {
        let upload = met.traffic.as_ref().and_then(|traffic| traffic.upload);
        let state = delivered?;
        upload.is_none_or(|upload| upload.seq > state.seq).then_some(state.public_at)
    }

    /// The latest instant under which what was delivered can have gone out without being remembered.
    fn at_the_latest(&self, delivered: Option<&State>) -> Option<Instant> {
        delivered.map(|state| self.replica.floor.map_or(state.public_at, |floor| floor.max(state.public_at)))
    }

    /// Remembers what was exchanged: the instant, and which upload is the replica's last.
    fn note(&mut self, met: &Met, ruled: Ruled) -> Result<Answer, StoreError> {
        if let Some(row) = ruled.row {
            self.note_row(row, met, ruled.stored)?;
        }
        Ok(Answer::Judged(ruled.verdict))
    }

    fn note_row(&mut self, row: RecordRow, met: &Met, upload: Option<Seq>) -> Result<(), StoreError> {
        let Incoming { op, written_at, digest } = met.arrival.incoming;
        let in_hand = Some((op, digest)).filter(|_| met.is_as_sent);
        // A device that sends a record and its deletion at once has the one or the other.
        self.sent.entry(row).and_modify(|known| *known = in_hand.filter(|now| *known == Some(*now))).or_insert(in_hand);
        let before = met.traffic.as_ref();
        let known = before.map(|traffic| traffic.greatest).max(self.at_the_latest(met.delivered.as_ref()));
        // It has what it was sent, as the log says. Were it another content under that instant, then what goes out next
        // would have to be later, or the device would not take it.
        let is_as_delivered = met.delivered.as_ref().is_some_and(|state| (state.op, state.digest) == (op, digest));
        if upload.is_none() && before.is_none() && is_as_delivered && op == Op::Put && known == Some(written_at) {
            return Ok(());
        }
        let traffic = Traffic {
            greatest: known.map_or(written_at, |known| known.max(written_at)),
            last: written_at,
            held: None,
            held_under: None,
            tombstone: if op == Op::Delete { Some(written_at) } else { before.and_then(|traffic| traffic.tombstone) },
            upload: match upload {
                Some(seq) => Some(Upload { seq, under: self.presented.under() }),
                None => before.and_then(|traffic| traffic.upload),
            },
        };
        if before == Some(&traffic) {
            return Ok(());
        }
        self.clerk.land.ledger.put_traffic(self.replica.row, row, &traffic)
    }
}
