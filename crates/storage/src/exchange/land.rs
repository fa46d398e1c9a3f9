//! What follows from a change: references, names that only one may have, and the cascade of a deletion.

use tombolo_core::merge::State;
use tombolo_core::{
    Digest, Instant, Op, Origin, Policy, PolicyError, RecordKey, Seq, ServerTime, Unique, Verdict, limits,
};

use crate::StoreError;
use crate::ledger::{Alias, Ledger, NewChange, RecordRow};

pub(super) struct Land<'a> {
    pub(super) ledger: &'a mut dyn Ledger,
    pub(super) policy: &'a dyn Policy,
    pub(super) now: ServerTime,
}

impl Land<'_> {
    pub(super) fn unreadable(error: PolicyError) -> StoreError {
        StoreError::Corrupt(error.to_string())
    }

    pub(super) fn no_head() -> StoreError {
        StoreError::Internal("a write was merged with a record that has no head".to_owned())
    }

    /// The time at which the next change of this transaction is committed: the clock's, but never the last one's.
    pub(super) fn next_commit_time(&mut self) -> Result<ServerTime, StoreError> {
        Ok(self.ledger.end()?.next(self.now).committed_at)
    }

    /// The instant under which a state goes out to whoever never exchanged the record: in whole milliseconds, and later
    /// than that of the state before.
    ///
    /// Clients that restamp compare it with instants of their own, so the deciding one goes out. Others are shown when
    /// it was written, as their user knows it, unless that lies in a future which no clock that is set can mean.
    pub(super) fn public_at(
        &self,
        (written_at, stamp_at): (Instant, Instant),
        commit_time: ServerTime,
        head: Option<&State>,
    ) -> Instant {
        let is_believed = written_at <= commit_time.plus(limits::CLOCK_AHEAD_MAX).to_instant();
        let at = match self.policy.clients_restamp() {
            true => stamp_at,
            false if is_believed => written_at,
            false => commit_time.to_instant(),
        };
        let at = at.ceil_to_millis();
        head.map_or(at, |head| at.max(head.public_at.millisecond_later()))
    }

    /// Takes what a record ever said, where its deletion, which follows, does.
    pub(super) fn erase(&mut self, head: Option<&State>) -> Result<(), StoreError> {
        match head {
            // Below a deletion there is nothing left.
            Some(head) if head.op == Op::Put && self.policy.erases() => self.ledger.blank(head.seq),
            _ => Ok(()),
        }
    }

    pub(super) fn append(&mut self, change: &NewChange<'_>) -> Result<Seq, StoreError> {
        self.ledger.append(change, self.now)
    }

    /// The content of a state, or what lies under it when it is a deletion.
    pub(super) fn content(&mut self, seq: Seq) -> Result<Option<Vec<u8>>, StoreError> {
        if self.policy.erases() {
            return self.ledger.payload(seq);
        }
        let mut at = seq;
        for _ in 0..limits::BASE_WALK_MAX {
            if let Some(payload) = self.ledger.payload(at)? {
                return Ok(Some(payload));
            }
            let mut next = self.ledger.change(at)?.prev;
            while let Some(prev) = next {
                let change = self.ledger.change(prev)?;
                if change.is_effective() {
                    break;
                }
                next = change.prev;
            }
            let Some(prev) = next else { return Ok(None) };
            at = prev;
        }
        Ok(None)
    }

    /// Brings everything in line with a record's new head. `before` is the head that it replaced.
    pub(super) fn settle(
        &mut self,
        key: &RecordKey,
        row: RecordRow,
        before: Option<&State>,
        op: Op,
        payload: &[u8],
    ) -> Result<(), StoreError> {
        match op {
            Op::Put => {
                self.settle_references(key, row, before.is_none(), payload)?;
                self.settle_unique(key, row, payload)
            }
            Op::Delete if before.is_some_and(|before| before.op == Op::Put) => self.release(key, row, None),
            Op::Delete => Ok(()),
        }
    }

    /// References to what is gone are taken out, as a change of nobody's replica.
    fn settle_references(
        &mut self,
        key: &RecordKey,
        row: RecordRow,
        is_new: bool,
        payload: &[u8],
    ) -> Result<(), StoreError> {
        let targets = self.policy.references(key.collection, payload).map_err(Self::unreadable)?;
        if is_new && targets.is_empty() {
            return Ok(());
        }
        let mut live = Vec::with_capacity(targets.len());
        let mut gone = Vec::new();
        for target in targets {
            match self.ledger.record(&target)? {
                Some(record) if record.head.op == Op::Put => live.push(record.row),
                _ => gone.push(target),
            }
        }
        live.sort_unstable();
        live.dedup();
        self.ledger.set_references(row, &live)?;
        if gone.is_empty() {
            return Ok(());
        }
        let aliases = self.ledger.aliases()?;
        let mut detached = payload.to_vec();
        for target in gone {
            let successor = aliases.iter().find(|alias| alias.key == target).map(|alias| alias.of.clone());
            let to = successor.map(|name| RecordKey::new(target.collection, name));
            detached =
                self.policy.redirect(key.collection, &detached, &target, to.as_ref()).map_err(Self::unreadable)?;
        }
        self.derive(key, Op::Put, Some(&detached))
    }

    /// Of two live records with one value that only one may have, the older stays, and stands for the other.
    fn settle_unique(&mut self, key: &RecordKey, row: RecordRow, payload: &[u8]) -> Result<(), StoreError> {
        let Some(unique) = self.policy.unique(key.collection, payload).map_err(Self::unreadable)? else {
            return Ok(());
        };
        let holder = self.ledger.unique_holder(key.collection, &unique.key)?.filter(|holder| holder != key);
        let Some(holder) = holder else {
            self.ledger.remove_alias(key)?;
            return self.ledger.set_unique(row, key.collection, Some(&unique.key));
        };
        let record = self.ledger.record(&holder)?.ok_or_else(Self::no_head)?;
        let content = self.content(record.head.seq)?.unwrap_or_default();
        let age =
            self.policy.unique(holder.collection, &content).map_err(Self::unreadable)?.map(|Unique { age, .. }| age);
        if age.is_none_or(|age| unique.age < age) {
            self.retire(&holder, record.row, key)?;
            self.ledger.remove_alias(key)?;
            self.ledger.set_unique(row, key.collection, Some(&unique.key))
        } else {
            self.retire(key, row, &holder)
        }
    }

    /// `loser` goes, and `winner` stands for it wherever it is referred to, now and later.
    fn retire(&mut self, loser: &RecordKey, row: RecordRow, winner: &RecordKey) -> Result<(), StoreError> {
        for alias in self.ledger.aliases()? {
            if alias.key.collection == loser.collection && alias.of == loser.name {
                self.ledger.put_alias(&Alias { key: alias.key, of: winner.name.clone() })?;
            }
        }
        self.ledger.put_alias(&Alias { key: loser.clone(), of: winner.name.clone() })?;
        self.derive(loser, Op::Delete, None)?;
        self.release(loser, row, Some(winner))
    }

    /// Whatever refers to a record that is gone is turned to `successor`, or let go of it.
    fn release(&mut self, key: &RecordKey, row: RecordRow, successor: Option<&RecordKey>) -> Result<(), StoreError> {
        self.ledger.set_references(row, &[])?;
        self.ledger.set_unique(row, key.collection, None)?;
        for referrer in self.ledger.referrers(row)? {
            let Some(record) = self.ledger.record(&referrer)? else { continue };
            let content = self.content(record.head.seq)?.unwrap_or_default();
            let turned =
                self.policy.redirect(referrer.collection, &content, key, successor).map_err(Self::unreadable)?;
            self.derive(&referrer, Op::Put, Some(&turned))?;
        }
        Ok(())
    }

    /// Appends what the server derived on the record's present head. It keeps that one's stamp, so that it loses to
    /// any replica's edit.
    fn derive(&mut self, key: &RecordKey, op: Op, payload: Option<&[u8]>) -> Result<(), StoreError> {
        let record = self.ledger.record(key)?.ok_or_else(Self::no_head)?;
        let digest = match payload {
            Some(payload) => self.policy.digest(key.collection, payload).map_err(Self::unreadable)?,
            None => Digest::DELETED,
        };
        let head = &record.head;
        if op == Op::Delete {
            self.erase(Some(head))?;
        }
        self.append(&NewChange {
            record: record.row,
            prev: Some(head.seq),
            base: None,
            op,
            origin: Origin::Derived,
            verdict: Verdict::Applied,
            replica: None,
            written_at: head.written_at,
            stamp_at: head.stamp.at,
            public_at: head.public_at.millisecond_later(),
            digest,
            payload,
        })?;
        let Some(payload) = payload else { return Ok(()) };
        let mut targets = Vec::new();
        for target in self.policy.references(key.collection, payload).map_err(Self::unreadable)? {
            targets.extend(self.ledger.record(&target)?.map(|record| record.row));
        }
        targets.sort_unstable();
        targets.dedup();
        self.ledger.set_references(record.row, &targets)
    }
}
