//! The triggers that note which rows were edited, whichever connection edits them.

use std::collections::HashMap;

use rusqlite::Connection;

use super::shape::{Shape, quoted};

/// What a trigger follows.
const EVENTS: [&str; 3] = ["insert", "update", "delete"];

/// What became of a table's triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rebuilt {
    /// They are as they were.
    Untouched,
    /// They followed other columns, and follow the declared ones now.
    Adjusted,
    /// One was missing: edits may have passed unseen.
    Made,
}

/// Brings the triggers in line with `shapes`: what is missing or out of date is made anew, what belongs to no table goes.
/// One outcome for each of the shapes.
pub(super) fn rebuild(db: &Connection, shapes: &[Shape]) -> rusqlite::Result<Vec<Rebuilt>> {
    let mut there = present(db)?;
    let mut outcomes = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let mut outcome = Rebuilt::Untouched;
        for event in EVENTS {
            let (name, sql) = (name(shape, event), create(shape, event));
            let was = there.remove(&name);
            if was.as_deref() == Some(sql.as_str()) {
                continue;
            }
            if was.is_none() {
                outcome = Rebuilt::Made;
            } else if outcome == Rebuilt::Untouched {
                outcome = Rebuilt::Adjusted;
            }
            db.execute_batch(&format!("DROP TRIGGER IF EXISTS main.{}; {sql}", quoted(&name)))?;
        }
        outcomes.push(outcome);
    }
    drop_all(db, there.into_keys())?;
    Ok(outcomes)
}

/// Removes every trigger of ours.
pub(super) fn remove(db: &Connection) -> rusqlite::Result<()> {
    drop_all(db, present(db)?.into_keys())
}

fn drop_all(db: &Connection, names: impl Iterator<Item = String>) -> rusqlite::Result<()> {
    for name in names {
        db.execute_batch(&format!("DROP TRIGGER IF EXISTS main.{}", quoted(&name)))?;
    }
    Ok(())
}

fn present(db: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    let mut statement = db.prepare(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND name LIKE 'tombolo\\_%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn name(shape: &Shape, event: &str) -> String {
    format!("tombolo_{}_{event}", shape.entity_type)
}

/// A row without an id is not noted: it is no record yet. `applying` is set while the sync itself writes.
///
/// A row that makes way for another by `OR REPLACE` is deleted without a trigger; the batch looks for those.
fn create(shape: &Shape, event: &str) -> String {
    let (table, id, updated_at) = (quoted(&shape.table), quoted(&shape.id), quoted(&shape.updated_at));
    // Equal by a column's own collation is not equal: a letter that became a capital is an edit.
    let differs = |column: &str| format!("OLD.{0} IS NOT NEW.{0} COLLATE BINARY", quoted(column));
    let is_person = "NOT (SELECT applying FROM tombolo_state)";
    let (when, notes) = match event {
        "insert" => {
            let own_time = format!("NEW.{updated_at} IS NOT NULL");
            (is_person.to_owned(), note(shape, "NEW", &own_time, &format!("NEW.{id} IS NOT NULL")))
        }
        "update" => {
            let mut edited = vec![differs(&shape.id), differs(&shape.deleted_at)];
            edited.extend(shape.columns.iter().map(|column| differs(&column.name)));
            let own_time = format!("NEW.{updated_at} IS NOT NULL AND ({})", differs(&shape.updated_at));
            let other_id = differs(&shape.id);
            let left = note(shape, "OLD", "0", &format!("OLD.{id} IS NOT NULL AND {other_id}"));
            let made = note(shape, "NEW", &own_time, &format!("NEW.{id} IS NOT NULL"));
            (format!("{is_person} AND ({})", edited.join(" OR ")), left + &made)
        }
        // What the server said of it stays until the deletion is sent: a row that is written anew has the same members.
        _ => (is_person.to_owned(), note(shape, "OLD", "0", &format!("OLD.{id} IS NOT NULL"))),
    };
    format!("CREATE TRIGGER {} AFTER {event} ON {table} WHEN {when} BEGIN{notes} END", quoted(&name(shape, event)))
}

/// Notes the row, `OLD` when it is gone, where `condition` holds. The base stays that of the first edit which was not sent.
fn note(shape: &Shape, row: &str, own_time: &str, condition: &str) -> String {
    let entity_type = &shape.entity_type;
    let id = format!("CAST({row}.{} AS TEXT)", quoted(&shape.id));
    format!(
        " INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed) \
         SELECT '{entity_type}', {id}, 1, \
         (SELECT version FROM tombolo_rows WHERE entity_type = '{entity_type}' AND id = {id}), {now}, {own_time}, {removed} \
         WHERE {condition} \
         ON CONFLICT (entity_type, id) DO UPDATE SET revision = revision + 1, changed_at = excluded.changed_at, \
         own_time = excluded.own_time, removed = excluded.removed, wanted = NULL, refused = NULL;",
        now = super::outbox::NOW,
        removed = u8::from(row == "OLD"),
    )
}
