//! What was read, put where drafts look for it; and what was wanted and not found, noted as absent.

use tombolo_core::Seq;

use super::load::{Bounds, Found};
use super::loaded::{Content, Loaded};
use super::wants::Wants;
use crate::columns::from_millis;
use crate::ledger::{Record, RecordRow, ReplicaRow};

impl Loaded {
    /// Takes in the rows of one statement, which read `wants`.
    pub(super) fn absorb(&mut self, wants: &Wants, bounds: Bounds, rows: Vec<Found>) {
        for target in &wants.referrers {
            self.referrers.entry(*target).or_default();
        }
        for row in rows {
            self.take(row, bounds);
        }
        for heads in self.heads.values_mut() {
            heads.rows.sort_unstable_by_key(|(head, _)| head.seq);
        }
        if let Some(aliases) = &mut self.aliases {
            aliases.sort_unstable_by_key(|(_, ordinal)| *ordinal);
        }
        self.note_absent(wants);
    }

    fn take(&mut self, row: Found, bounds: Bounds) {
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
            Found::Head(rank, after, head, digest, is_damaged) => {
                if is_damaged {
                    self.payloads.insert(head.seq, Content::Damaged);
                }
                self.heads.entry((rank, after)).or_default().rows.push((head, digest));
            }
            Found::HeadCount(rank, after, counted) => {
                let heads = self.heads.entry((rank, after)).or_default();
                let is_cut = i64::try_from(counted).is_ok_and(|counted| counted >= bounds.head_rows);
                // Whether all that were counted came too is seen once the rows are here.
                heads.counted = counted;
                heads.is_all = !is_cut;
            }
            Found::Age(replica, newest) => self.ages.get_or_insert_default().push((newest, replica)),
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
        if wants.ages {
            self.ages.get_or_insert_default().sort_unstable();
        }
        for (rank, after, replica) in &wants.heads {
            self.note_heads((*rank, *after), *replica);
        }
    }

    fn note_heads(&mut self, place: (usize, Seq), replica: Option<ReplicaRow>) {
        let heads = self.heads.entry(place).or_default();
        heads.is_all &= heads.rows.len() == heads.counted;
        let records: Vec<RecordRow> = heads.rows.iter().map(|(head, _)| head.record).collect();
        for (head, _) in &heads.rows {
            self.keys.entry(head.record).or_insert_with(|| head.key.clone());
        }
        if let Some(replica) = replica {
            for record in records {
                self.traffic.entry((replica, record)).or_insert(None);
            }
        }
    }
}
