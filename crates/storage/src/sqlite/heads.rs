//! A walk through the heads of one space, along with its log.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows, params};
use tombolo_core::{Digest, Seq};

use super::connection::failed;
use super::ledger::{Done, SqliteLedger};
use super::rows::{instant, millis, op, seq};
use crate::columns::{checksum_of, int, small};
use crate::ledger::{HeadRow, HeadVisitor, RecordRow};

/// Changes between two heads that are passed over; where there are more, the second is looked for.
const BETWEEN_HEADS_MAX: u64 = 8;

impl SqliteLedger<'_> {
    /// Shows the heads of a rank behind `after`, in the order of the log, until the visitor has enough.
    pub(super) fn walk_heads(&self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<()> {
        let sql = "SELECT id, collection, name, seq FROM records
                   WHERE space = ?1 AND rank = ?2 AND seq > ?3 ORDER BY seq";
        let mut heads = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut heads = heads.query(params![self.space.get(), small(rank), int(after)]).map_err(failed)?;
        let sql = "SELECT seq, op, public_at, digest, payload, checksum, prev, written_at FROM changes
                   WHERE space = ?1 AND seq >= ?2 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        heads.advance().map_err(failed)?;
        while let Some(first) = heads.get() {
            // The log is read along with its heads, and not looked into for each, as long as there is little between.
            let mut next = seq(first, 3).map_err(failed)?;
            let mut changes = statement.query(params![self.space.get(), int(next)]).map_err(failed)?;
            while let Some(head) = heads.get() {
                let at = seq(head, 3).map_err(failed)?;
                // A log has no gaps.
                if at.get().saturating_sub(next.get()) > BETWEEN_HEADS_MAX {
                    break;
                }
                let change = change_at(&mut changes, at)?.ok_or_else(|| self.damaged(at, "it is missing"))?;
                let op = op(change, 1).map_err(failed)?;
                let digest = Digest::from_bytes(change.get(3).map_err(failed)?);
                let record = RecordRow(head.get(0).map_err(failed)?);
                if visitor.wants(record, at, op, digest) && !visitor.visit(self.read_head(head, change, record)?)? {
                    return Ok(());
                }
                next = at.next();
                heads.advance().map_err(failed)?;
            }
        }
        Ok(())
    }

    fn read_head(&self, head: &Row<'_>, change: &Row<'_>, record: RecordRow) -> Done<HeadRow> {
        let text = |index| head.get_ref(index).and_then(|value| Ok(value.as_str()?)).map_err(failed);
        let at = seq(change, 0).map_err(failed)?;
        let payload = change.get_ref(4).and_then(|value| Ok(value.as_blob_or_null()?)).map_err(failed)?;
        if change.get::<_, u32>(5).map_err(failed)? != checksum_of(payload) {
            return Err(self.damaged(at, "its content is not what was written"));
        }
        Ok(HeadRow {
            record,
            key: self.key(text(1)?, text(2)?)?,
            seq: at,
            op: op(change, 1).map_err(failed)?,
            written_at: instant(change, 7).map_err(failed)?,
            public_at: millis(change, 2).map_err(failed)?,
            digest: Digest::from_bytes(change.get(3).map_err(failed)?),
            is_first: change.get_ref(6).map_err(failed)? == ValueRef::Null,
            payload: payload.unwrap_or_default().to_vec(),
        })
    }
}

/// The change at `at`, which is none of those that `changes` has passed.
fn change_at<'r, 's>(changes: &'r mut Rows<'s>, at: Seq) -> Done<Option<&'r Row<'s>>> {
    let mut found = None;
    while found.is_none_or(|found| found < at) {
        (*changes).advance().map_err(failed)?;
        let Some(change) = (*changes).get() else { return Ok(None) };
        found = Some(seq(change, 0).map_err(failed)?);
    }
    Ok((*changes).get().filter(|_| found == Some(at)))
}
