//! A row of one of the app's tables.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use tombolo_wellbeing::Timestamp;

use super::shape::Shape;
use super::times;

/// A row as it is now.
pub(super) struct Row {
    updated_at: Value,
    pub(super) is_deleted: bool,
    /// In the order of the shape's columns.
    pub(super) cells: Vec<Value>,
}

impl Row {
    pub(super) fn load(db: &Connection, shape: &Shape, id: &str) -> rusqlite::Result<Option<Self>> {
        let mut statement = db.prepare_cached(&shape.sql.row)?;
        let read = |row: &rusqlite::Row<'_>| {
            let cells = (0..shape.columns.len()).map(|at| row.get(at + 2)).collect::<Result<_, _>>()?;
            Ok(Self { updated_at: row.get(0)?, is_deleted: row.get::<_, Value>(1)? != Value::Null, cells })
        };
        statement.query_row([id], read).optional()
    }

    /// What it says of when it was written, where that can be read.
    pub(super) fn written_at(&self) -> Option<Timestamp> {
        match &self.updated_at {
            Value::Text(text) => times::read(text),
            _ => None,
        }
    }
}
