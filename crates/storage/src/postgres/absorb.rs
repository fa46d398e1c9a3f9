//! What was read, put where drafts look for it; and what was wanted and not found, noted as absent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tombolo_core::Seq;

use super::found::Found;
use super::load::Bounds;
use super::loaded::{Content, Heads, Loaded, NameOwner};
use super::wants::Wants;
use crate::columns::from_millis;
use crate::ledger::{Record, RecordRow, ReplicaRow};

impl Loaded {
    /// Takes in the rows of one statement, which read `wants`.
    pub(super) fn absorb(&mut self, wants: &Wants, bounds: Bounds, rows: Vec<Found>) {
        for target in &wants.referrers {
            self.referrers.entry(*target).or_default();
        }
        for (rank, after) in &wants.heads {
            // What goes on where the known ones end is added to them; anything else takes their place.
            let goes_on = self.heads.get(rank).is_some_and(|heads| heads.to == Some(*after));
            if !goes_on {
                let none = Heads { from: *after, to: Some(*after), rows: BTreeMap::new() };
                self.heads.insert(*rank, none);
            }
        }
        let mut counted = HashMap::new();
        for row in rows {
            self.take(row, &mut counted);
        }
        for (rank, after) in &wants.heads {
            self.note_heads(*rank, *after, counted.get(rank).copied().unwrap_or(0), bounds, &wants.readers);
        }
        if let Some(aliases) = &mut self.aliases {
            aliases.sort_unstable_by_key(|(_, ordinal)| *ordinal);
        }
        self.note_absent(wants);
    }

    fn take(&mut self, row: Found, counted: &mut HashMap<usize, usize>) {
        match row {
            Found::Space(..) => {}
            Found::Replica(name, replica, has_traffic) => {
                let row = replica.row;
                self.replica_names.insert(row, name.clone());
                self.replicas.insert(name, Some(replica));
                self.cursors.entry(row).or_default();
                if has_traffic {
                    self.has_traffic.insert(row);
                }
            }
            Found::Cursor(replica, cursor) => {
                self.cursors.entry(replica).or_default().known.insert(cursor.token, cursor);
            }
            Found::Record(key, row, change) => {
                self.keys.insert(row, key.clone());
                self.records.insert(key, Some(Record { row, head: change.state.clone() }));
                self.references.entry(row).or_default();
                self.changes.insert(change.state.seq, change);
            }
            Found::Change(change) => drop(self.changes.insert(change.state.seq, change)),
            Found::Traffic(replica, record, traffic) => {
                self.traffic.insert((replica, record), Some(traffic));
            }
            Found::Reference(source, target) => {
                self.references.entry(source).or_default().insert(target);
            }
            Found::Alias(alias, ordinal) => self.aliases.get_or_insert_default().push((alias, ordinal)),
            Found::Unique(key, row, value) => {
                self.uniques.insert((key.collection, value), Some(row));
                self.keys.insert(row, key);
            }
            Found::Payload(seq, content) => drop(self.payloads.insert(seq, content)),
            Found::Referrer(target, source) => {
                self.referrers.entry(target).or_default().insert(source);
            }
            Found::Head(rank, head, digest, is_damaged) => {
                if is_damaged {
                    self.payloads.insert(head.seq, Content::Damaged);
                }
                self.keys.entry(head.record).or_insert_with(|| head.key.clone());
                if let Some(heads) = self.heads.get_mut(&rank) {
                    heads.rows.insert(head.seq, (head, digest));
                }
            }
            Found::HeadCount(rank, count) => drop(counted.insert(rank, count)),
            Found::Age(replica, newest, given) => self.ages.get_or_insert_default().push((newest, given, replica)),
            Found::Owner(name, owner) => drop(self.owners.insert(name, owner)),
            Found::Generation(generation) => self.line.get_or_insert_default().push(generation),
            Found::Erased(space, how) => {
                let known = self.erased.entry(space).or_default();
                *known = how.max(*known);
            }
        }
    }

    fn note_absent(&mut self, wants: &Wants) {
        for name in &wants.replicas {
            self.replicas.entry(name.clone()).or_insert(None);
        }
        for key in &wants.keys {
            self.records.entry(key.clone()).or_insert(None);
        }
        for (name, token) in &wants.presented {
            if let (Some(Some(replica)), Some(time)) = (self.replicas.get(name), from_millis(*token)) {
                self.cursors.entry(replica.row).or_default().looked.insert(time);
            }
        }
        for (replica, token) in &wants.tokens {
            if let Some(time) = from_millis(*token) {
                self.cursors.entry(*replica).or_default().looked.insert(time);
            }
        }
        for (replica, time) in &wants.cursor_aliases {
            self.cursors.entry(*replica).or_default().looked_as_alias.insert(*time);
        }
        for replica in &wants.all_cursors {
            self.cursors.entry(*replica).or_default().is_all = true;
        }
        for (name, key) in &wants.exchanged {
            if let (Some(Some(replica)), Some(Some(record))) = (self.replicas.get(name), self.records.get(key)) {
                self.traffic.entry((replica.row, record.row)).or_insert(None);
            }
        }
        for pair in &wants.traffic {
            self.traffic.entry(*pair).or_insert(None);
        }
        for (collection, value) in &wants.uniques {
            self.uniques.entry((*collection, value.clone())).or_insert(None);
        }
        if wants.aliases {
            self.aliases.get_or_insert_default();
        }
        for name in &wants.owners {
            self.owners.entry(name.clone()).or_insert(NameOwner::Nobody);
        }
        for space in &wants.erased {
            self.erased.entry(*space).or_default();
        }
        if wants.line {
            self.line.get_or_insert_default().sort_unstable_by_key(|generation| generation.ordinal);
        }
        if wants.ages {
            self.ages.get_or_insert_default().sort_unstable();
        }
    }

    /// Notes up to where the heads of a rank are known now. `counted` are there, up to the bound; those whose contents did
    /// not fit did not come.
    fn note_heads(&mut self, rank: usize, after: Seq, counted: usize, bounds: Bounds, readers: &BTreeSet<ReplicaRow>) {
        let Some(heads) = self.heads.get_mut(&rank) else { return };
        let came = heads.rows.range(after.next()..).count();
        let is_cut = came < counted || i64::try_from(counted).is_ok_and(|counted| counted >= bounds.head_rows);
        let last = heads.rows.last_key_value().map_or(after, |(seq, _)| *seq);
        heads.to = is_cut.then_some(last);
        let records: Vec<RecordRow> = heads.rows.range(after.next()..).map(|(_, (head, _))| head.record).collect();
        for replica in readers {
            for record in &records {
                self.traffic.entry((*replica, *record)).or_insert(None);
            }
        }
    }
}
