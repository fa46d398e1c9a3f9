//! The journal in the SQLite file: triggers that note which rows change, whichever process changes them.

use super::tables::{CHANGES, TABLES, Table};

/// The table that it is in: for as long as it is there, a migration is under way, or one was interrupted.
pub(crate) const JOURNAL: &str = "moving";

/// What a trigger follows.
const EVENTS: [&str; 3] = ["insert", "update", "delete"];

/// Makes the journal anew. It grows with what is written during the migration, and ends with it.
pub(super) fn create() -> String {
    let mut sql = remove();
    sql.push_str(&format!(
        "CREATE TABLE {JOURNAL} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, key1 ANY, key2 ANY, key3 ANY) STRICT;",
    ));
    sql.extend(followed().map(|(table, event)| trigger(table, event)));
    sql
}

/// Each table with what is followed of it. What is added to the log is found by its numbers, and nothing is taken from
/// it meanwhile; but a deletion may take the contents of earlier changes with it.
fn followed() -> impl Iterator<Item = (&'static Table, &'static str)> {
    TABLES.iter().flat_map(|table| EVENTS.map(|event| (table, event))).chain([(&CHANGES, "update")])
}

fn trigger_name(table: &Table, event: &str) -> String {
    format!("moving_{}_{event}", table.name)
}

/// What notes one kind of change of a table.
///
/// A row that gives way to another of the same unique values, as `INSERT OR REPLACE` has it, is not deleted by SQLite's
/// rules and not noted; the other is, and the row gives way to it in PostgreSQL too.
fn trigger(table: &Table, event: &str) -> String {
    let key = |row: &str| -> Vec<String> {
        let column = |column: usize| match table.space_in {
            Some((owner, by)) if column == 0 => format!("(SELECT space FROM {owner} WHERE id = {row}.{by})"),
            _ => format!("{row}.{}", table.columns[column].name),
        };
        (0..table.key_len).map(column).collect()
    };
    let note = |row: &str, condition: &str| {
        let (names, key) = (["key1", "key2", "key3"][..table.key_len].join(", "), key(row).join(", "));
        format!("INSERT INTO moving (name, {names}) SELECT '{}', {key} {condition};", table.name)
    };
    let notes = match event {
        "insert" => note("NEW", ""),
        "delete" => note("OLD", ""),
        _ => {
            let differ = key("OLD").into_iter().zip(key("NEW")).map(|(old, new)| format!("{old} IS NOT {new}"));
            let differ = differ.collect::<Vec<_>>().join(" OR ");
            note("OLD", &format!("WHERE {differ}")) + &note("NEW", "")
        }
    };
    let name = trigger_name(table, event);
    format!("CREATE TRIGGER {name} AFTER {event} ON {} BEGIN {notes} END;", table.name)
}

/// Removes the journal, of which any part may be missing.
pub(super) fn remove() -> String {
    let triggers = followed().map(|(table, event)| trigger_name(table, event));
    let mut sql: String = triggers.map(|name| format!("DROP TRIGGER IF EXISTS {name};")).collect();
    sql.push_str("DROP TABLE IF EXISTS moving;");
    sql
}
