//! Keeps the tracking true when the app changes its tables, or what it declares of them.

use rusqlite::OptionalExtension;
use tombolo_wellbeing::SyncChange;

use super::apply::Applying;
use super::outbox::{Key, Pending};
use super::record::Members;
use super::row::Row;
use super::shape::{Shape, quoted};
use super::triggers::{self, Rebuilt};
use super::{LocalError, Work, read_change, schema, value};

/// Records looked at together, so that a table's content need not fit into memory.
const CHUNK: i64 = 500;

/// Makes the triggers fit the tables, and makes up for whatever passed while they did not.
pub(super) fn bring_up_to_date(work: &Work<'_>) -> Result<(), LocalError> {
    let rebuilt = triggers::rebuild(work.db, work.shapes)?;
    schema::set_applying(work.db, true)?;
    for (shape, rebuilt) in work.shapes.iter().zip(rebuilt) {
        if rebuilt == Rebuilt::Made {
            retrack(work, shape)?;
        }
        let added = note_fields(work, shape)?;
        if !added.is_empty() {
            fill_columns(work, shape, &added)?;
        }
        apply_foreign(work, shape)?;
    }
    schema::set_applying(work.db, false)?;
    Ok(())
}

/// A table that is tracked from now on, or was made anew: each row may have been edited, and is offered on the base that it
/// has; the server knows an unchanged one. A row that is missing is not deleted for that: it is downloaded again.
fn retrack(work: &Work<'_>, shape: &Shape) -> Result<(), LocalError> {
    let (table, id) = (quoted(&shape.table), quoted(&shape.id));
    let entity_type = shape.entity_type.as_str();
    work.db.execute(
        &format!(
            "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed)
             SELECT ?1, CAST(t.{id} AS TEXT), 1, r.version, {now}, 1, 0 FROM main.{table} t
             LEFT JOIN tombolo_rows r ON r.entity_type = ?1 AND r.id = CAST(t.{id} AS TEXT)
             WHERE t.{id} IS NOT NULL
             ON CONFLICT DO UPDATE SET revision = revision + 1, own_time = 1, removed = 0, wanted = NULL, refused = NULL",
            now = super::outbox::NOW,
        ),
        [entity_type],
    )?;
    let absent = format!("NOT EXISTS (SELECT 1 FROM main.{table} t WHERE t.{id} = k.id)");
    // A deletion that a trigger saw is still one.
    work.db.execute(
        &format!("DELETE FROM tombolo_outbox AS k WHERE entity_type = ?1 AND NOT removed AND {absent}"),
        [entity_type],
    )?;
    work.db.execute("UPDATE tombolo_outbox SET refused = NULL WHERE entity_type = ?1 AND removed", [entity_type])?;
    let forgotten = work.db.execute(
        &format!(
            "DELETE FROM tombolo_rows AS k WHERE entity_type = ?1 AND NOT gone AND {absent} AND NOT EXISTS
             (SELECT 1 FROM tombolo_outbox o WHERE o.entity_type = k.entity_type AND o.id = k.id)"
        ),
        [entity_type],
    )?;
    if forgotten > 0 {
        schema::forget_cursor(work.db)?;
    }
    Ok(())
}

/// Notes which fields the triggers follow; the places of the columns whose fields were not declared before.
fn note_fields(work: &Work<'_>, shape: &Shape) -> Result<Vec<usize>, LocalError> {
    let entity_type = shape.entity_type.as_str();
    let mut known = work.db.prepare("SELECT field FROM tombolo_tables WHERE entity_type = ?1")?;
    let known: Vec<String> = known.query_map([entity_type], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let fields: Vec<&str> = shape.columns.iter().map(|column| column.field.as_str()).collect();
    let added = (0..fields.len()).filter(|at| !known.iter().any(|known| known == fields[*at])).collect::<Vec<_>>();
    if added.is_empty() && known.len() == fields.len() {
        return Ok(added);
    }
    work.db.execute("DELETE FROM tombolo_tables WHERE entity_type = ?1", [entity_type])?;
    for field in fields {
        work.db.execute("INSERT INTO tombolo_tables VALUES (?1, ?2)", [entity_type, field])?;
    }
    Ok(added)
}

/// Columns that are new, at the places `added`: what the server told of their fields before goes into them, and what they
/// hold beyond that is offered.
fn fill_columns(work: &Work<'_>, shape: &Shape, added: &[usize]) -> Result<(), LocalError> {
    let mut last = String::new();
    loop {
        let mut chunk = work.db.prepare_cached(
            "SELECT id, version, written_at, data FROM tombolo_rows
             WHERE entity_type = ?1 AND id > ?2 AND NOT gone AND data IS NOT NULL ORDER BY id LIMIT ?3",
        )?;
        let entity_type = shape.entity_type.as_str();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        type Known = (String, Option<String>, Option<String>, String);
        let chunk: Vec<Known> = chunk.query_map((entity_type, &last, CHUNK), read)?.collect::<Result<_, _>>()?;
        let Some((id, ..)) = chunk.last() else { return Ok(()) };
        last.clone_from(id);
        for (id, version, written_at, data) in chunk {
            let Some(row) = Row::load(work.db, shape, &id)? else { continue };
            let Some(members) = Members::read(shape, &data) else { continue };
            let key = Key { entity_type: entity_type.to_owned(), id };
            for &at in added {
                let (column, cell) = (&shape.columns[at], &row.cells[at]);
                match members.get(&column.field) {
                    Some(member) if value::holds(column.kind, cell, member) => {}
                    Some(member) => {
                        // One that does not fit stays where it is, beside the row.
                        let Ok(kept) = value::kept(column.kind, member) else { continue };
                        let (table, id, name) = (quoted(&shape.table), quoted(&shape.id), quoted(&column.name));
                        let sql = format!("UPDATE OR IGNORE main.{table} SET {name} = ?2 WHERE {id} = ?1");
                        work.db.prepare_cached(&sql)?.execute((&key.id, kept))?;
                    }
                    None if value::same(cell, &column.default) || *cell == rusqlite::types::Value::Null => {}
                    None => Pending::offer(work.db, &key, version.as_deref(), written_at.as_deref())?,
                }
            }
        }
    }
}

/// Records that arrived before their table was declared.
fn apply_foreign(work: &Work<'_>, shape: &Shape) -> Result<(), LocalError> {
    let entity_type = shape.entity_type.as_str();
    let mut applying = Applying::begin(work, false);
    loop {
        let mut first =
            work.db.prepare_cached("SELECT id, change FROM tombolo_foreign WHERE entity_type = ?1 LIMIT 1")?;
        let first = first.query_row([entity_type], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((id, change)): Option<(String, String)> = first else { break };
        let change: SyncChange = read_change("tombolo_foreign", &change)?;
        work.db.execute("DELETE FROM tombolo_foreign WHERE entity_type = ?1 AND id = ?2", [entity_type, &id])?;
        applying.take(&change)?;
    }
    applying.restore_stamps()
}
