//! What a draft knows between records: references, other names, and values that only one may have.

use std::collections::BTreeSet;

use tombolo_core::{CollectionName, RecordKey};

use super::{Done, Draft};
use crate::ledger::{Alias, RecordRow};
use crate::postgres::wants::unique_key;

impl Draft<'_> {
    fn references_of(&self, record: RecordRow) -> Option<&BTreeSet<RecordRow>> {
        self.references.get(&record).or_else(|| self.loaded.references.get(&record))
    }

    /// Makes the record refer to these, and to no others.
    pub(super) fn refer(&mut self, record: RecordRow, targets: &[RecordRow]) -> Done<()> {
        let Some(had) = self.references_of(record).cloned() else {
            self.wants.keys.insert(self.key_of(record)?.clone());
            return self.missing();
        };
        let has: BTreeSet<RecordRow> = targets.iter().copied().collect();
        for target in had.difference(&has) {
            self.pending.references.insert((record, *target), false);
        }
        for target in has.difference(&had) {
            self.pending.references.insert((record, *target), true);
        }
        self.references.insert(record, has);
        Ok(())
    }

    /// The records that refer to one.
    pub(super) fn who_refers(&mut self, target: RecordRow) -> Done<Vec<RecordKey>> {
        let mut sources = match self.loaded.referrers.get(&target) {
            Some(known) => known.clone(),
            None if self.new_records.contains_key(&target) => BTreeSet::new(),
            None => {
                self.wants.referrers.insert(target);
                return self.missing();
            }
        };
        for (source, targets) in &self.references {
            if targets.contains(&target) {
                sources.insert(*source)
            } else {
                sources.remove(source)
            };
        }
        sources.into_iter().map(|source| self.key_of(source).cloned()).collect()
    }

    pub(super) fn aliases_mut(&mut self) -> Done<&mut Vec<(Alias, i64)>> {
        if self.aliases.is_none() {
            let Some(loaded) = &self.loaded.aliases else {
                self.wants.aliases = true;
                return self.missing();
            };
            self.aliases = Some(loaded.clone());
        }
        Ok(self.aliases.get_or_insert_default())
    }

    /// Lets one name stand for another record.
    pub(super) fn name_alias(&mut self, alias: &Alias) -> Done<()> {
        let aliases = self.aliases_mut()?;
        let last = aliases.iter().map(|(_, ordinal)| *ordinal).max().unwrap_or(0);
        let ordinal = match aliases.iter_mut().find(|(known, _)| known.key == alias.key) {
            Some((known, ordinal)) => {
                known.of = alias.of.clone();
                *ordinal
            }
            None => {
                aliases.push((alias.clone(), last + 1));
                last + 1
            }
        };
        self.pending.aliases.insert(alias.key.clone(), Some((alias.of.clone(), ordinal)));
        Ok(())
    }

    /// Lets a name stand for itself again.
    pub(super) fn forget_alias(&mut self, key: &RecordKey) -> Done<()> {
        let aliases = self.aliases_mut()?;
        let before = aliases.len();
        aliases.retain(|(alias, _)| alias.key != *key);
        if aliases.len() < before {
            self.pending.aliases.insert(key.clone(), None);
        }
        Ok(())
    }

    /// The record that has a value which only one may have.
    pub(super) fn holder(&mut self, collection: CollectionName, value: &[u8]) -> Done<Option<RecordKey>> {
        let place = (collection, unique_key(value));
        if let Some(record) = self.uniques.get(&place) {
            return self.key_of(*record).cloned().map(Some);
        }
        let Some(known) = self.loaded.uniques.get(&place) else {
            self.wants.uniques.insert(place);
            return self.missing();
        };
        match known.filter(|record| !self.unique_of.contains_key(record)) {
            Some(record) => self.key_of(record).cloned().map(Some),
            None => Ok(None),
        }
    }

    /// Gives the record such a value, or none.
    pub(super) fn hold(&mut self, record: RecordRow, collection: CollectionName, value: Option<&[u8]>) -> Done<()> {
        self.uniques.retain(|_, holder| *holder != record);
        let held = value.map(|value| (collection, unique_key(value)));
        if let Some(held) = &held {
            self.uniques.insert(held.clone(), record);
        }
        self.unique_of.insert(record, held);
        Ok(())
    }
}
