//! What a transaction writes of replicas: who they are, whose their names are, their cursors, and what went to and fro.

use std::collections::BTreeSet;

use tombolo_core::{ServerTime, limits};

use super::{Column, Pending, Write, bytes};
use crate::StoreError;
use crate::columns::{count, encode_pages, int, whole_millis};
use crate::ledger::{IssuedCursor, Replica, ReplicaRow};
use crate::postgres::draft::is_time_to_prune;
use crate::postgres::statement::Rows;

impl Pending {
    /// Those who are new, or as they are now, and those who went.
    pub(super) fn replicas(&self, write: &mut Write) -> Result<(), StoreError> {
        let (new, known): (Vec<_>, Vec<_>) = self.replicas.iter().partition(|(_, (.., added_at))| added_at.is_some());
        let home = |replica: &Replica| replica.home.as_ref().map(|home| home.as_str().to_owned());
        if !new.is_empty() {
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, new.iter().map(|(row, _)| row.0).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (name, ..))| name.as_str()).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| home(replica)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| floor(replica)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (.., at))| at.map_or(0, ServerTime::micros)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| int(replica.acknowledged)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| int(replica.given)).collect::<Column<_>>())?
                .from("n");
            write.part(&format!(
                "INSERT INTO replicas (space, id, name, home, floor, added_at, acknowledged, given)
                 SELECT $1, n.* FROM g, {rows}"
            ));
        }
        if !known.is_empty() {
            let given = |row: &ReplicaRow, replica: &Replica| self.given.contains(row).then(|| int(replica.given));
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, known.iter().map(|(row, _)| row.0).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| home(replica)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| floor(replica)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| int(replica.acknowledged)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(row, (_, replica, _))| given(row, replica)).collect::<Column<_>>())?
                .from("n(id, home, floor, acknowledged, given)");
            // What a download notes of a replica does not wait for its turn on the space.
            write.part(&format!(
                "UPDATE replicas r SET home = n.home, floor = n.floor,
                     acknowledged = greatest(r.acknowledged, n.acknowledged), given = coalesce(n.given, r.given)
                 FROM g, {rows} WHERE r.space = $1 AND r.id = n.id"
            ));
        }
        self.names(write)?;
        if !self.evicted.is_empty() {
            let rows = write.statement.bind(self.evicted.iter().map(|row| row.0).collect::<Column<_>>())?;
            write.part(&format!(
                "DELETE FROM replica_spaces b USING g, replicas r, spaces s WHERE s.id = $1 AND r.space = $1
                     AND r.id = ANY ({rows}) AND b.purpose = s.purpose AND b.name = r.name AND b.space = $1"
            ));
            for (table, column) in [("traffic", "replica"), ("cursors", "replica"), ("replicas", "id")] {
                write.part(&format!("DELETE FROM {table} t USING g WHERE t.space = $1 AND t.{column} = ANY ({rows})"));
            }
        }
        Ok(())
    }

    /// Whose names are. One that was nobody's and is another user's meanwhile fails the statement.
    fn names(&self, write: &mut Write) -> Result<(), StoreError> {
        for was_own in [false, true] {
            let names = self.names.iter().filter(|(_, own)| **own == was_own).map(|(name, _)| name.as_str());
            let names: Column<&str> = names.collect();
            if names.is_empty() {
                continue;
            }
            let names = write.statement.bind(names)?;
            write.part(&if was_own {
                format!(
                    "UPDATE replica_spaces b SET space = $1 FROM g, spaces s
                     WHERE s.id = $1 AND b.purpose = s.purpose AND b.name = ANY ({names})"
                )
            } else {
                format!(
                    "INSERT INTO replica_spaces (purpose, name, space)
                     SELECT s.purpose, n.name, $1 FROM g, spaces s, unnest({names}) n(name) WHERE s.id = $1"
                )
            });
        }
        Ok(())
    }

    /// Cursors that were given out or acknowledged, and instants that went out or came in.
    pub(super) fn exchanged(&self, write: &mut Write) -> Result<(), StoreError> {
        if !self.cursors.is_empty() {
            let all: Vec<(&ReplicaRow, &IssuedCursor)> =
                self.cursors.iter().map(|((replica, _), cursor)| (replica, cursor)).collect();
            let pages = |cursor: &IssuedCursor| Some(encode_pages(cursor.coverage.pages())).filter(|p| !p.is_empty());
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, all.iter().map(|(replica, _)| replica.0).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| whole_millis(cursor.token)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| cursor.parent.map(whole_millis)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| cursor.alias.map(bytes)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| i64::from(cursor.polled)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| int(cursor.coverage.complete_to())).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| int(cursor.coverage.snapshot())).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| pages(cursor)).collect::<Column<_>>())?
                .from("n");
            write.part(&format!(
                "INSERT INTO cursors (space, replica, token, parent, alias, polled, complete, snapshot, pages)
                 SELECT $1, n.* FROM g, {rows}
                 ON CONFLICT (space, replica, token) DO UPDATE SET alias = excluded.alias, polled = excluded.polled"
            ));
            self.prune_cursors(write)?;
        }
        if self.traffic.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self.traffic.iter().collect();
        let s = &mut write.statement;
        let rows = Rows::new()
            .column(s, all.iter().map(|((replica, _), _)| replica.0).collect::<Column<_>>())?
            .column(s, all.iter().map(|((_, record), _)| record.0).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| bytes(traffic.greatest)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| bytes(traffic.last)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.held.map(bytes)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.held_under.map(whole_millis)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.tombstone.map(bytes)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.upload.map(|up| int(up.seq))).collect::<Column<_>>())?
            .column(
                s,
                all.iter()
                    .map(|(_, traffic)| traffic.upload.and_then(|up| up.under).map(whole_millis))
                    .collect::<Column<_>>(),
            )?
            .from("n");
        // A page may be read before another request of the same device is judged, and noted after it.
        let is_later = "coalesce(t.upload, 0) > coalesce(excluded.upload, 0)";
        write.part(&format!(
            "INSERT INTO traffic AS t
                 (space, replica, record, greatest, last, held, held_under, tombstone, upload, upload_under)
             SELECT $1, n.* FROM g, {rows}
             ON CONFLICT (space, replica, record) DO UPDATE SET greatest = greatest(t.greatest, excluded.greatest),
                 last = excluded.last, held = excluded.held, held_under = excluded.held_under,
                 tombstone = coalesce(excluded.tombstone, t.tombstone),
                 upload_under = CASE WHEN {is_later} THEN t.upload_under ELSE excluded.upload_under END,
                 upload = CASE WHEN {is_later} THEN t.upload ELSE excluded.upload END"
        ));
        Ok(())
    }

    /// Forgets the oldest cursors of those that it is time for.
    fn prune_cursors(&self, write: &mut Write) -> Result<(), StoreError> {
        let due: BTreeSet<i64> =
            self.cursors.keys().filter(|(_, token)| is_time_to_prune(*token)).map(|(replica, _)| replica.0).collect();
        if due.is_empty() {
            return Ok(());
        }
        let s = &mut write.statement;
        let (replicas, kept) = (s.bind(due.into_iter().collect::<Column<_>>())?, s.bind(count(limits::CURSORS_MAX))?);
        // One statement must not write a row and delete it.
        let tokens = s.bind(self.cursors.keys().map(|(_, token)| whole_millis(*token)).collect::<Column<_>>())?;
        write.part(&format!(
            "DELETE FROM cursors c USING g, unnest({replicas}) n(replica), LATERAL (SELECT k.ctid FROM cursors k
                 WHERE k.space = $1 AND k.replica = n.replica AND k.token <> ALL ({tokens}) AND k.token <=
                     (SELECT token FROM cursors o WHERE o.space = $1 AND o.replica = n.replica
                      ORDER BY token DESC LIMIT 1 OFFSET {kept}) OFFSET 0) k
             WHERE c.ctid = k.ctid"
        ));
        Ok(())
    }
}

fn floor(replica: &Replica) -> Option<i64> {
    replica.floor.map(whole_millis)
}
