//! What a draft knows of replicas: who they are, how far they are, their cursors, and what went to and fro.

use tombolo_core::{Fork, Instant, ReplicaName, ResetReason, Seq, ServerTime, SpaceCursor, limits, stand};

use super::{Done, Draft};
use crate::columns::to_millis;
use crate::ledger::{IssuedCursor, RecordRow, Replica, ReplicaRow, Traffic, Upload};
use crate::postgres::loaded::{Cursors, NameOwner, Remembered};
use crate::{Stale, StoreError};

impl Draft<'_> {
    /// The replica, if this space knows it.
    pub(super) fn known_replica(&mut self, name: &ReplicaName) -> Done<Option<Replica>> {
        if let Some(replica) = self.replicas.get(name) {
            return Ok(Some(replica.clone()));
        }
        match self.loaded.replicas.get(name) {
            Some(known) => Ok(known.clone().filter(|replica| !self.evicted.contains(&replica.row))),
            None => {
                self.wants.replicas.insert(name.clone());
                self.missing()
            }
        }
    }

    /// Makes the replica known; the oldest of too many goes.
    pub(super) fn new_replica(&mut self, name: &ReplicaName, now: ServerTime) -> Done<Replica> {
        let Some(ages) = &self.loaded.ages else {
            self.wants.ages = true;
            return self.missing();
        };
        // What was added now is the youngest: it stays.
        let added = self.pending.replicas.values().filter(|(.., added_at)| added_at.is_some()).count();
        let too_many = (ages.len() + added + 1).saturating_sub(limits::REPLICAS_MAX + self.evicted.len());
        let here = ages.iter().map(|(.., row)| *row).filter(|row| !self.evicted.contains(row));
        let oldest: Vec<ReplicaRow> = if ages.is_empty() { Vec::new() } else { here.take(too_many).collect() };
        self.evicted.extend(&oldest);
        self.pending.evicted.extend(oldest);
        self.last_replica += 1;
        let replica = Replica {
            row: ReplicaRow(self.last_replica),
            home: None,
            floor: None,
            acknowledged: Seq::ZERO,
            given: Seq::ZERO,
        };
        self.replica_names.insert(replica.row, name.clone());
        self.replicas.insert(name.clone(), replica.clone());
        self.pending.replicas.insert(replica.row, (name.clone(), replica.clone(), Some(now)));
        Ok(replica)
    }

    /// How far the replica is, and how far it was given.
    pub(super) fn note_progress(&mut self, replica: ReplicaRow, acknowledged: Seq, given: Seq) -> Done<()> {
        let mut is_given = false;
        self.change_replica(replica, |replica| {
            is_given = replica.given != given;
            (replica.acknowledged, replica.given) = (acknowledged, given);
        })?;
        if is_given {
            self.pending.given.insert(replica);
        }
        Ok(())
    }

    /// Whose a replica's name is.
    pub(super) fn owner(&mut self, name: &ReplicaName) -> Done<NameOwner> {
        if self.pending.names.contains_key(name) {
            return Ok(NameOwner::Own);
        }
        match self.loaded.owners.get(name) {
            Some(owner) => Ok(*owner),
            None => {
                self.wants.owners.insert(name.clone());
                self.missing()
            }
        }
    }

    pub(super) fn change_replica(&mut self, row: ReplicaRow, change: impl FnOnce(&mut Replica)) -> Done<()> {
        let name = self.replica_names.get(&row).or_else(|| self.loaded.replica_names.get(&row)).cloned();
        let Some(name) = name else { return Err(StoreError::Internal("a replica vanished".to_owned())) };
        let known = self.replicas.get(&name).or_else(|| self.loaded.replicas.get(&name).and_then(Option::as_ref));
        let Some(mut replica) = known.cloned() else {
            return Err(StoreError::Internal("a replica vanished".to_owned()));
        };
        change(&mut replica);
        let added_at = self.pending.replicas.get(&row).and_then(|(_, _, added_at)| *added_at);
        self.pending.replicas.insert(row, (name.clone(), replica.clone(), added_at));
        self.replicas.insert(name, replica);
        Ok(())
    }

    /// Why `cursor` is none of this log's, if it is none.
    pub(super) fn why_stale(&mut self, cursor: SpaceCursor) -> Done<Option<Stale>> {
        let mut remembered = Remembered::No;
        if cursor.space != self.space {
            match self.loaded.erased.get(&cursor.space) {
                Some(Remembered::ByItself) => return Ok(Some(Stale::Erased)),
                Some(known) => remembered = *known,
                None => {
                    self.wants.erased.insert(cursor.space);
                    return self.missing();
                }
            }
        }
        let Some(line) = &self.loaded.line else {
            self.wants.line = true;
            return self.missing();
        };
        let head = self.end.seq;
        let here = self.pending.fork.unwrap_or(head);
        let line: Vec<Fork> =
            line.iter().map(|one| Fork { generation: one.id, seq: one.fork.unwrap_or(here) }).collect();
        Ok(match stand(cursor, self.space, &line, head).err() {
            Some(ResetReason::OtherAccount) if remembered == Remembered::AsOlder => Some(Stale::Erased),
            reason => reason.map(Stale::Reset),
        })
    }

    pub(super) fn is_new(&self, replica: ReplicaRow) -> bool {
        replica.0 > self.loaded.space.last_replica
    }

    /// The replica's cursors, those that were written now among them.
    pub(super) fn cursors_of(&self, replica: ReplicaRow) -> Option<&Cursors> {
        self.cursors.get(&replica).or_else(|| self.loaded.cursors.get(&replica))
    }

    fn cursors_mut(&mut self, replica: ReplicaRow) -> &mut Cursors {
        let is_new = self.is_new(replica);
        self.cursors.entry(replica).or_insert_with(|| {
            let mut known = self.loaded.cursors.get(&replica).cloned().unwrap_or_default();
            known.is_all |= is_new;
            known
        })
    }

    pub(super) fn all_cursors(&mut self, replica: ReplicaRow) -> Done<&Cursors> {
        if self.is_new(replica) || self.cursors_of(replica).is_some_and(|cursors| cursors.is_all) {
            return Ok(self.cursors_mut(replica));
        }
        self.wants.all_cursors.insert(replica);
        self.missing()
    }

    /// The cursor that was issued as `time`, or goes by it.
    pub(super) fn cursor_at(&mut self, replica: ReplicaRow, time: Instant) -> Done<Option<IssuedCursor>> {
        let is_new = self.is_new(replica);
        let none = Cursors { is_all: is_new, ..Cursors::default() };
        let cursors = self.cursors_of(replica).unwrap_or(&none);
        if let Some(cursor) = cursors.known.get(&time) {
            return Ok(Some(cursor.clone()));
        }
        let is_all = is_new || cursors.is_all;
        if let Some(token) = to_millis(time).filter(|_| !is_all && !cursors.looked.contains(&time)) {
            self.wants.tokens.insert((replica, token));
            return self.missing();
        }
        if !is_all && !cursors.looked_as_alias.contains(&time) {
            self.wants.cursor_aliases.insert((replica, time));
            return self.missing();
        }
        Ok(cursors.known.values().rev().find(|cursor| cursor.alias == Some(time)).cloned())
    }

    /// Issues a cursor, or changes what is known of one.
    pub(super) fn issue_cursor(&mut self, replica: ReplicaRow, cursor: &IssuedCursor) -> Done<()> {
        self.cursors_mut(replica).known.insert(cursor.token, cursor.clone());
        self.pending.cursors.insert((replica, cursor.token), cursor.clone());
        Ok(())
    }

    /// What went to and fro of a record.
    pub(super) fn known_traffic(&mut self, replica: ReplicaRow, record: RecordRow) -> Done<Option<Traffic>> {
        if let Some(traffic) = self.traffic.get(&(replica, record)) {
            return Ok(Some(traffic.clone()));
        }
        if self.is_new(replica) || self.new_records.contains_key(&record) || !self.loaded.has_traffic.contains(&replica)
        {
            return Ok(None);
        }
        match self.loaded.traffic.get(&(replica, record)) {
            Some(known) => Ok(known.clone()),
            None => {
                self.wants.traffic.insert((replica, record));
                self.missing()
            }
        }
    }

    /// Notes what went to and fro of a record.
    pub(super) fn note_traffic(&mut self, replica: ReplicaRow, record: RecordRow, traffic: &Traffic) -> Done<()> {
        let place = (replica, record);
        let known = self.traffic.get(&place);
        let before = known.or_else(|| self.loaded.traffic.get(&place).and_then(Option::as_ref));
        let merged = before.map_or_else(|| traffic.clone(), |before| after(before, traffic));
        self.pending.traffic.insert(place, merged.clone());
        self.traffic.insert(place, merged);
        self.has_traffic.insert(replica);
        Ok(())
    }
}

/// What is remembered once `new` was exchanged after `before`. A page may be read before another request of the same
/// device is judged, and noted after it.
fn after(before: &Traffic, new: &Traffic) -> Traffic {
    let later = |a: Option<Upload>, b: Option<Upload>| match (a, b) {
        (Some(a), Some(b)) => Some(if a.seq > b.seq { a } else { b }),
        (a, b) => b.or(a),
    };
    Traffic {
        greatest: before.greatest.max(new.greatest),
        last: new.last,
        held: new.held,
        held_under: new.held_under,
        tombstone: new.tombstone.or(before.tombstone),
        upload: later(before.upload, new.upload),
    }
}
