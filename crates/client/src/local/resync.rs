//! Beginning, ending, and beginning again.

use super::outbox::Key;
use super::record::Members;
use super::row::Row;
use super::shape::quoted;
use super::{LocalError, Reset, Work, foreign, schema, times, tracking, triggers};

/// Tracks from now on, and offers everything that the tables hold.
///
/// What the server once said of a row beside its columns is kept, and goes with it.
pub(super) fn begin_afresh(work: &Work<'_>) -> Result<(), LocalError> {
    triggers::remove(work.db)?;
    work.db.execute_batch(
        "DELETE FROM tombolo_outbox; DELETE FROM tombolo_sent; DELETE FROM tombolo_foreign;
         DELETE FROM tombolo_set_aside; DELETE FROM tombolo_seen; DELETE FROM tombolo_rows WHERE gone;
         UPDATE tombolo_rows SET version = NULL, written_at = NULL;
         UPDATE tombolo_state SET tracking = 1, erased = 0, recovering = 0;",
    )?;
    tracking::bring_up_to_date(work)?;
    work.db.execute("UPDATE tombolo_state SET cursor = NULL, last_cursor = NULL", [])?;
    Ok(())
}

/// Stops tracking. Of what the server said, only what no column holds is kept: the rest is in the app's own rows, and goes
/// when the app deletes those.
pub(super) fn end(work: &Work<'_>) -> Result<(), LocalError> {
    triggers::remove(work.db)?;
    let mut rows = work.db.prepare("SELECT entity_type, id, data FROM tombolo_rows WHERE data IS NOT NULL")?;
    let rows =
        rows.query_map([], |row| Ok((Key { entity_type: row.get(0)?, id: row.get(1)? }, row.get::<_, String>(2)?)))?;
    let mut beyond = Vec::new();
    for row in rows {
        let (key, data) = row?;
        let Some(shape) = work.shape(&key.entity_type) else { continue };
        if Row::load(work.db, shape, &key.id)?.is_none() {
            continue;
        }
        if let Some(rest) = Members::read(shape, &data).and_then(|members| members.beyond(shape)) {
            beyond.push((key, rest));
        }
    }
    work.db.execute_batch(
        "DELETE FROM tombolo_outbox; DELETE FROM tombolo_sent; DELETE FROM tombolo_foreign; DELETE FROM tombolo_tables;
         DELETE FROM tombolo_set_aside; DELETE FROM tombolo_seen; DELETE FROM tombolo_rows;
         UPDATE tombolo_state SET tracking = 0, erased = 0, recovering = 0, cursor = NULL, last_cursor = NULL;",
    )?;
    let mut keep =
        work.db.prepare_cached("INSERT INTO tombolo_rows (entity_type, id, data, gone) VALUES (?1, ?2, ?3, 0)")?;
    for (key, rest) in beyond {
        keep.execute((key.entity_type, key.id, rest))?;
    }
    Ok(())
}

/// Downloads everything anew.
pub(super) fn reset(work: &Work<'_>, reset: Reset) -> Result<(), LocalError> {
    work.db.execute("DELETE FROM tombolo_seen", [])?;
    schema::forget_cursor(work.db)?;
    match reset {
        Reset::Restored => work.db.execute("UPDATE tombolo_state SET recovering = 1", [])?,
        // What was set aside comes again. While a recovery is unfinished, it goes on.
        Reset::Other => work.db.execute("DELETE FROM tombolo_set_aside", [])?,
    };
    Ok(())
}

/// Offers what a complete download did not bring: the server that was set back lacks it.
pub(super) fn offer_unseen(work: &Work<'_>) -> Result<(), LocalError> {
    let unseen = "NOT EXISTS (SELECT 1 FROM tombolo_seen s WHERE s.entity_type = r.entity_type AND s.id = r.id)";
    let now = super::outbox::NOW;
    for shape in work.shapes {
        // A deletion counts too: another device may still have the record, and offer that.
        work.db.execute(
            &format!(
                "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed)
                 SELECT r.entity_type, r.id, 1, NULL, coalesce(r.written_at, {now}), 0, r.gone FROM tombolo_rows r
                 WHERE r.entity_type = ?1 AND {unseen} ON CONFLICT DO NOTHING"
            ),
            [shape.entity_type.as_str()],
        )?;
        // And rows of which nothing was ever agreed, should any not be pending.
        let (table, id) = (quoted(&shape.table), quoted(&shape.id));
        work.db.execute(
            &format!(
                "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed)
                 SELECT ?1, CAST(t.{id} AS TEXT), 1, NULL, {now}, 1, 0 FROM main.{table} t
                 WHERE t.{id} IS NOT NULL AND NOT EXISTS
                    (SELECT 1 FROM tombolo_rows r WHERE r.entity_type = ?1 AND r.id = CAST(t.{id} AS TEXT))
                 AND NOT EXISTS
                    (SELECT 1 FROM tombolo_seen s WHERE s.entity_type = ?1 AND s.id = CAST(t.{id} AS TEXT))
                 ON CONFLICT DO NOTHING"
            ),
            [shape.entity_type.as_str()],
        )?;
    }
    let mut unseen_foreign =
        work.db.prepare(&format!("SELECT entity_type, id FROM tombolo_foreign r WHERE {unseen}"))?;
    let keys = unseen_foreign.query_map([], |row| Ok(Key { entity_type: row.get(0)?, id: row.get(1)? }))?;
    for key in keys.collect::<Result<Vec<_>, _>>()? {
        let Some(kept) = foreign::load(work.db, &key)? else { continue };
        let written_at = times::write(kept.updated_at);
        super::outbox::Pending::offer(work.db, &key, None, written_at.as_deref())?;
    }
    work.db.execute_batch("DELETE FROM tombolo_seen; UPDATE tombolo_state SET recovering = 0;")?;
    Ok(())
}
