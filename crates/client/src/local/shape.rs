//! A declared table, held against the one that is there.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use tombolo_wellbeing::EntityType;

use super::LocalError;
use crate::table::{Column, Kind, Table};

/// What our own tables and triggers begin with.
pub(super) const PREFIX: &str = "tombolo_";

/// A table as it was declared and as it is.
pub(super) struct Shape {
    pub(super) table: String,
    pub(super) entity_type: EntityType,
    pub(super) id: String,
    pub(super) updated_at: String,
    pub(super) deleted_at: String,
    pub(super) columns: Vec<ShapeColumn>,
    pub(super) unique_name: Option<usize>,
    /// The objects that declared fields are members of.
    pub(super) outers: Vec<String>,
    /// Whether the app has triggers of its own on it, which may change a row that was just written.
    pub(super) has_app_triggers: bool,
    pub(super) sql: Statements,
}

/// A synced column.
pub(super) struct ShapeColumn {
    pub(super) name: String,
    pub(super) field: String,
    pub(super) kind: Kind,
    pub(super) not_null: bool,
    pub(super) default: Value,
}

/// What is said to the database about the table; written once, so that each is prepared once.
pub(super) struct Statements {
    /// A row by its id (?1): `updated_at`, `deleted_at`, then the columns in their order.
    pub(super) row: String,
    /// Sets `updated_at` (?2) and every column (?3 and on) of the row ?1, and makes it live.
    pub(super) update: String,
    /// Makes the row ?1 deleted as of ?2, and leaves it no content.
    pub(super) blank: String,
    /// Makes the row ?1 deleted as of ?2.
    pub(super) bury: String,
    /// Whether the row ?1 says another `updated_at` than ?2.
    pub(super) is_restamped: String,
    /// Sets the `updated_at` of the row ?1 to ?2.
    pub(super) restamp: String,
}

/// A name between quotes, as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the schema says of one column.
struct Found {
    name: String,
    declared_type: String,
    not_null: bool,
    default: Option<String>,
    key_place: i64,
    is_generated: bool,
}

/// Holds `tables` against the schema of `db`.
///
/// # Errors
/// [`LocalError::Table`] for the first thing that is not as it was declared.
pub(super) fn survey(db: &Connection, tables: &[Table]) -> Result<Vec<Shape>, LocalError> {
    let mut names = HashSet::new();
    let mut types = HashSet::new();
    let mut shapes = Vec::with_capacity(tables.len());
    for table in tables {
        let wrong = |what: String| LocalError::Table { table: table.name.clone(), what };
        if !names.insert(table.name.to_lowercase()) {
            return Err(wrong("it is declared twice".to_owned()));
        }
        let shape = look(db, table)?.map_err(wrong)?;
        if !types.insert(shape.entity_type.as_str().to_lowercase()) {
            return Err(wrong(format!("another table is declared as {} too", shape.entity_type)));
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

/// The outer error is the database's, the inner one the declaration's.
fn look(db: &Connection, table: &Table) -> rusqlite::Result<Result<Shape, String>> {
    let kind: Option<(String, String)> = db
        .query_row("SELECT type, coalesce(sql, '') FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')", [&table.name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match kind {
        None => return Ok(Err("there is no such table".to_owned())),
        Some((kind, sql)) if kind == "view" || sql.to_uppercase().starts_with("CREATE VIRTUAL") => {
            return Ok(Err("it is a view or a virtual table, whose rows cannot be synced".to_owned()));
        }
        Some(_) if table.name.to_lowercase().starts_with(PREFIX) => {
            return Ok(Err("it is one of the sync's own".to_owned()));
        }
        Some(_) => {}
    }
    let found = found_columns(db, &table.name)?;
    if let Err(what) = check_columns(table, &found) {
        return Ok(Err(what));
    }
    if !is_key(db, table, &found)? {
        let what = format!(
            "two rows could have one {}: make it the primary key, or put a unique index on that column alone",
            table.id
        );
        return Ok(Err(what));
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let found = find(&found, &column.name);
        let default = found.and_then(|found| found.default.as_deref());
        columns.push(ShapeColumn {
            name: column.name.clone(),
            field: column.field.clone(),
            kind: column.kind,
            not_null: found.is_some_and(|found| found.not_null),
            default: default_value(db, default)?,
        });
    }
    let has_app_triggers = db.query_row(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
         AND name NOT LIKE 'tombolo\\_%' ESCAPE '\\')",
        [&table.name],
        |row| row.get(0),
    )?;
    let entity_type = match table.entity_type.parse::<EntityType>() {
        Ok(entity_type) => entity_type,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut outers: Vec<String> =
        columns.iter().filter_map(|column| column.field.split_once('.')).map(|(outer, _)| outer.to_owned()).collect();
    outers.sort();
    outers.dedup();
    let unique_name = table.unique_name.as_ref();
    let unique_name = unique_name.and_then(|name| columns.iter().position(|column| is_named(&column.name, name)));
    Ok(Ok(Shape {
        sql: statements(table, &columns),
        table: table.name.clone(),
        entity_type,
        id: table.id.clone(),
        updated_at: table.updated_at.clone(),
        deleted_at: table.deleted_at.clone(),
        columns,
        unique_name,
        outers,
        has_app_triggers,
    }))
}

fn found_columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<Found>> {
    let mut statement =
        db.prepare("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main')")?;
    let rows = statement.query_map([table], |row| {
        Ok(Found {
            name: row.get(0)?,
            declared_type: row.get::<_, String>(1)?.to_uppercase(),
            not_null: row.get(2)?,
            default: row.get(3)?,
            key_place: row.get(4)?,
            // 1 is a hidden column of a virtual table, 2 and 3 are computed ones.
            is_generated: row.get::<_, i64>(5)? > 0,
        })
    })?;
    rows.collect()
}

fn is_named(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn find<'a>(found: &'a [Found], name: &str) -> Option<&'a Found> {
    found.iter().find(|found| is_named(&found.name, name))
}

fn check_columns(table: &Table, found: &[Found]) -> Result<(), String> {
    let there = |name: &str| match find(found, name) {
        None => Err(format!("there is no column {name}")),
        Some(found) if found.is_generated => Err(format!("the column {name} is computed, so it cannot be synced")),
        Some(found) => Ok(found),
    };
    let id = there(&table.id)?;
    if id.declared_type.contains("INT") || id.declared_type.contains("BLOB") {
        return Err(format!(
            "the column {} must hold UUIDs as text; where another column does, name that one as the id",
            table.id
        ));
    }
    there(&table.updated_at)?;
    if there(&table.deleted_at)?.not_null {
        return Err(format!("the column {} must be null in a row that is there", table.deleted_at));
    }
    let own = [&table.id, &table.updated_at, &table.deleted_at];
    let mut names: Vec<String> = own.map(|name| name.to_lowercase()).to_vec();
    let mut fields: Vec<&str> = Vec::new();
    for column in &table.columns {
        let found = there(&column.name)?;
        if names.contains(&column.name.to_lowercase()) {
            return Err(format!("the column {} is declared twice", column.name));
        }
        names.push(column.name.to_lowercase());
        check_field(column, &fields)?;
        fields.push(&column.field);
        if found.declared_type.contains("BLOB") && column.kind != Kind::Json {
            return Err(format!("the column {} holds bytes, which cannot be synced", column.name));
        }
    }
    let Some(name) = &table.unique_name else { return Ok(()) };
    match table.columns.iter().find(|column| is_named(&column.name, name)) {
        Some(column) if column.kind == Kind::Plain => Ok(()),
        _ => Err(format!("the unique name {name} is none of the plain columns that are declared")),
    }
}

fn check_field(column: &Column, fields: &[&str]) -> Result<(), String> {
    let field = column.field.as_str();
    let is_path = field.split('.').count() <= 2 && field.split('.').all(|part| !part.is_empty());
    if !is_path {
        return Err(format!("the field of the column {} is neither a name nor outer.inner", column.name));
    }
    // `a` and `a.b` cannot both be there: one would be inside the other.
    let is_inside = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let clashes = |other: &str| other == field || is_inside(other, field) || is_inside(field, other);
    if fields.iter().any(|other| clashes(other)) {
        return Err(format!("the field of the column {} is another column's too", column.name));
    }
    Ok(())
}

/// Whether no two rows can have one id.
fn is_key(db: &Connection, table: &Table, found: &[Found]) -> rusqlite::Result<bool> {
    let key: Vec<&Found> = found.iter().filter(|found| found.key_place > 0).collect();
    if matches!(key.as_slice(), [only] if is_named(&only.name, &table.id)) {
        return Ok(true);
    }
    let mut indexes = db.prepare("SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial")?;
    let indexes: Vec<String> = indexes.query_map([&table.name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for index in indexes {
        let mut columns = db.prepare("SELECT name FROM pragma_index_info(?1, 'main')")?;
        let columns: Vec<Option<String>> = columns.query_map([&index], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if matches!(columns.as_slice(), [Some(only)] if is_named(only, &table.id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a new row has in a column of which nothing is said. An expression that is no constant counts as nothing: a value
/// that it gave is sent like any other.
fn default_value(db: &Connection, default: Option<&str>) -> rusqlite::Result<Value> {
    match default {
        Some(default) => db.query_row(&format!("SELECT {default}"), [], |row| row.get(0)).or(Ok(Value::Null)),
        None => Ok(Value::Null),
    }
}

fn statements(table: &Table, columns: &[ShapeColumn]) -> Statements {
    let [name, id, updated_at, deleted_at] =
        [&table.name, &table.id, &table.updated_at, &table.deleted_at].map(|name| quoted(name));
    let all: String = columns.iter().map(|column| format!(", {}", quoted(&column.name))).collect();
    let set: String = (3..).zip(columns).map(|(at, column)| format!(", {} = ?{at}", quoted(&column.name))).collect();
    let blank: String = columns.iter().filter_map(blanked).collect();
    // Whatever the app's constraints say of conflicts: a row that is refused is set aside, and no other makes way for it.
    let update = format!("UPDATE OR ABORT main.{name} SET {updated_at} = ?2");
    Statements {
        row: format!("SELECT {updated_at}, {deleted_at}{all} FROM main.{name} WHERE {id} = ?1"),
        update: format!("{update}, {deleted_at} = NULL{set} WHERE {id} = ?1"),
        blank: format!("{update}, {deleted_at} = ?2{blank} WHERE {id} = ?1"),
        bury: format!("{update}, {deleted_at} = ?2 WHERE {id} = ?1"),
        is_restamped: format!(
            "SELECT EXISTS (SELECT 1 FROM main.{name} WHERE {id} = ?1 AND {updated_at} IS NOT ?2 COLLATE BINARY)"
        ),
        restamp: format!("{update} WHERE {id} = ?1"),
    }
}

/// What leaves a column without its content, where it can be left so.
fn blanked(column: &ShapeColumn) -> Option<String> {
    let name = quoted(&column.name);
    match column.kind {
        _ if !column.not_null => Some(format!(", {name} = NULL")),
        Kind::Plain => Some(format!(", {name} = CASE typeof({name}) WHEN 'text' THEN '' ELSE {name} END")),
        Kind::Json => Some(format!(
            ", {name} = CASE substr(ltrim({name}), 1, 1) WHEN '[' THEN '[]' WHEN '{{' THEN '{{}}' ELSE 'null' END"
        )),
        Kind::Boolean | Kind::Time => None,
    }
}
