//! Names that only one live row may have: of two rows from different devices, the one with the greater id is renamed.
//!
//! A rename is ours, not a person's: what is downloaded takes its place, and it is undone when the name is free after all.

use rusqlite::OptionalExtension;
use rusqlite::types::Value;

use super::apply::WriteError;
use super::outbox::{Held, Key, Pending};
use super::shape::{Shape, quoted};
use super::{LocalError, Work};

/// Numbers that are tried behind a name: a person has fewer rows of one name.
const TRIES_MAX: u32 = 1_000;

/// A name that was given a number is not longer than this, or than it was: the shortest bound of a name that apps and the
/// server keep (that of an activity), in characters.
const NAME_CHARS_MAX: usize = 50;

/// When two names are one.
#[derive(Clone, Copy)]
pub(super) enum Sameness {
    AsColumn,
    IgnoringCase,
}

impl Sameness {
    const fn sql(self) -> &'static str {
        match self {
            Self::AsColumn => "",
            Self::IgnoringCase => " COLLATE NOCASE",
        }
    }
}

/// Sees to it that no other live row has the name that `cells` give to the row `key`: renames the one with the greater id.
/// If that is the row itself, its cell is changed, and the name that it should have had is returned.
pub(super) fn clear_name(
    work: &Work<'_>,
    shape: &Shape,
    key: &Key,
    cells: &mut [Option<Value>],
    sameness: Sameness,
) -> Result<Option<String>, WriteError> {
    let Some(at) = shape.unique_name else { return Ok(None) };
    let Some(Value::Text(name)) = cells[at].clone() else { return Ok(None) };
    let Some(other) = holder(work, shape, &name, &key.id, sameness)? else { return Ok(None) };
    if other.0 < key.id {
        cells[at] = Some(Value::Text(free_name(work, shape, &name, sameness)?));
        return Ok(Some(name));
    }
    let other_key = Key { entity_type: key.entity_type.clone(), id: other.0 };
    let free = free_name(work, shape, &other.1, sameness)?;
    rename(work, shape, &other_key.id, &free, None)?;
    let base = Held::load(work.db, &other_key)?.and_then(|held| held.version);
    Pending::note_rename(work.db, &other_key, base.as_deref(), &other.1)?;
    Ok(None)
}

/// Whether the name that `cells` give to the row `key` is nobody else's by now, whatever the case.
pub(super) fn was_cleared(
    work: &Work<'_>,
    shape: &Shape,
    key: &Key,
    cells: &[Option<Value>],
) -> Result<bool, WriteError> {
    let Some(Some(Value::Text(name))) = shape.unique_name.map(|at| &cells[at]) else { return Ok(false) };
    Ok(holder(work, shape, name, &key.id, Sameness::IgnoringCase)?.is_none())
}

/// Gives rows that we renamed their names back, where those are free after all.
pub(super) fn restore_names(work: &Work<'_>) -> Result<(), LocalError> {
    let mut renamed = work.db.prepare_cached(
        "SELECT entity_type, id, wanted FROM tombolo_outbox o WHERE wanted IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM tombolo_sent s WHERE s.entity_type = o.entity_type AND s.id = o.id)",
    )?;
    let renamed = renamed
        .query_map([], |row| Ok((Key { entity_type: row.get(0)?, id: row.get(1)? }, row.get::<_, String>(2)?)))?;
    for (key, wanted) in renamed.collect::<Result<Vec<_>, _>>()? {
        let Some(shape) = work.shape(&key.entity_type) else { continue };
        if holder(work, shape, &wanted, &key.id, Sameness::AsColumn)?.is_some() {
            continue;
        }
        let written_at = Held::load(work.db, &key)?.and_then(|held| held.written_at);
        match rename(work, shape, &key.id, &wanted, written_at.as_deref()) {
            Ok(()) => Pending::remove(work.db, &key)?,
            // It is not free by the app's own index: the row keeps its number.
            Err(WriteError::Refused(_)) => {}
            Err(WriteError::Failed(error)) => return Err(error),
        }
    }
    Ok(())
}

/// The live row of that name, but for `id`: its id and its name as it has it.
fn holder(
    work: &Work<'_>,
    shape: &Shape,
    name: &str,
    id: &str,
    sameness: Sameness,
) -> rusqlite::Result<Option<(String, String)>> {
    let Some(column) = shape.unique_name.map(|at| quoted(&shape.columns[at].name)) else { return Ok(None) };
    let [table, key, deleted_at] = [&shape.table, &shape.id, &shape.deleted_at].map(|name| quoted(name));
    let sql = format!(
        "SELECT CAST({key} AS TEXT), {column} FROM main.{table} WHERE {column} = ?1{} AND {deleted_at} IS NULL
         AND {key} IS NOT NULL AND {key} IS NOT ?2 LIMIT 1",
        sameness.sql(),
    );
    work.db.prepare_cached(&sql)?.query_row([name, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Calls the row `name`, as of `at`, or now.
fn rename(work: &Work<'_>, shape: &Shape, id: &str, name: &str, at: Option<&str>) -> Result<(), WriteError> {
    let Some(column) = shape.unique_name.map(|at| quoted(&shape.columns[at].name)) else { return Ok(()) };
    let [table, key, updated_at] = [&shape.table, &shape.id, &shape.updated_at].map(|name| quoted(name));
    let sql = format!(
        "UPDATE OR ABORT main.{table} SET {column} = ?2, {updated_at} = coalesce(?3, {now}) WHERE {key} = ?1",
        now = super::outbox::NOW,
    );
    work.db.prepare_cached(&sql)?.execute((id, name, at))?;
    Ok(())
}

/// `NAME (2)`, or the first number that nobody has.
fn free_name(work: &Work<'_>, shape: &Shape, name: &str, sameness: Sameness) -> Result<String, WriteError> {
    for number in 2..=TRIES_MAX {
        let candidate = numbered(name, number);
        if holder(work, shape, &candidate, "", sameness)?.is_none() {
            return Ok(candidate);
        }
    }
    Err(WriteError::Refused("too many rows have its name".to_owned()))
}

/// The name with a number behind it, in the place of one that it has.
fn numbered(name: &str, number: u32) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.strip_suffix(')').and_then(|name| name.rsplit_once(" ("));
    let stem = stem.filter(|(_, tail)| is_number(tail)).map_or(name, |(stem, _)| stem);
    let suffix = format!(" ({number})");
    let room = name.chars().count().max(NAME_CHARS_MAX) - suffix.len();
    let stem: String = stem.chars().take(room).collect();
    format!("{}{suffix}", stem.trim_end())
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_number_is_put_behind_a_name_and_takes_the_place_of_another() {
        assert_eq!(numbered("Run", 2), "Run (2)");
        assert_eq!(numbered("Run (2)", 3), "Run (3)");
        assert_eq!(numbered("Run (fast)", 2), "Run (fast) (2)");
        assert_eq!(numbered("Run ()", 2), "Run () (2)");
    }

    #[test]
    fn a_numbered_name_stays_within_what_names_may_be() {
        assert_eq!(numbered(&"ä".repeat(50), 2).chars().count(), 50);
        assert_eq!(numbered(&"ä".repeat(48), 12).chars().count(), 50);
        assert_eq!(numbered(&"ä".repeat(90), 2).chars().count(), 90);
        assert!(numbered(&"ä".repeat(50), 2).ends_with("ä (2)"));
    }
}
