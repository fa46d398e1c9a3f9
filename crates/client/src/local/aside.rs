//! Rows that are not synced, and why.

use super::shape::{Shape, quoted};
use super::{LocalError, Work};
use crate::status::SetAside;

/// More than anybody reads; a count says how many there are.
const ROWS_MAX: usize = 1_000;

/// What the server refused, or cannot be sent; and what the app's database refused.
const REFUSED: &str = "SELECT entity_type, id, refused FROM tombolo_outbox WHERE refused IS NOT NULL
    UNION ALL SELECT entity_type, id, reason FROM tombolo_set_aside ORDER BY 1, 2";

/// How many there are.
pub(super) fn count(work: &Work<'_>) -> Result<u64, LocalError> {
    let mut count = work.count(&format!("SELECT count(*) FROM ({REFUSED})"))?;
    for shape in work.shapes {
        count += without_id(work, shape)?;
    }
    Ok(count)
}

/// The first of them.
pub(super) fn list(work: &Work<'_>) -> Result<Vec<SetAside>, LocalError> {
    let mut rows = work.db.prepare_cached(&format!("{REFUSED} LIMIT {ROWS_MAX}"))?;
    let rows = rows
        .query_map([], |row| Ok(SetAside { entity_type: row.get(0)?, id: Some(row.get(1)?), reason: row.get(2)? }))?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    for shape in work.shapes {
        let row =
            || SetAside { entity_type: shape.entity_type.to_string(), id: None, reason: "it has no id".to_owned() };
        let count = usize::try_from(without_id(work, shape)?).unwrap_or(usize::MAX);
        rows.extend(std::iter::repeat_with(row).take(count.min(ROWS_MAX - rows.len())));
    }
    Ok(rows)
}

fn without_id(work: &Work<'_>, shape: &Shape) -> rusqlite::Result<u64> {
    let (table, id) = (quoted(&shape.table), quoted(&shape.id));
    work.count(&format!("SELECT count(*) FROM main.{table} WHERE {id} IS NULL"))
}
