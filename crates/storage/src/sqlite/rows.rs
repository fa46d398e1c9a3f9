//! Rows of SQLite as values.

use rusqlite::Row;
use rusqlite::types::Type;
use tombolo_core::merge::State;
use tombolo_core::{Coverage, Digest, Instant, Op, ReplicaName, Seq, Stamp};

use crate::columns::{decode_pages, from_millis, op_of, origin_of, seq_of, verdict_of};
use crate::ledger::{Change, IssuedCursor, RecordRow};

/// The columns of [`read_change`], of a change `c` with its replica `p`.
macro_rules! change_columns {
    () => {
        "c.seq, c.op, c.stamp_at, c.written_at, c.public_at, c.digest, p.name, c.prev, c.base, c.origin, c.verdict, c.record"
    };
}

pub(super) fn read_change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let replica: Option<String> = row.get(6)?;
    let digest = Digest::from_bytes(row.get(5)?);
    let state = State {
        seq: seq(row, 0)?,
        op: op(row, 1)?,
        stamp: Stamp { at: nanos(row, 2)?, replica: replica.and_then(|name| ReplicaName::parse(&name).ok()), digest },
        written_at: instant(row, 3)?,
        public_at: millis(row, 4)?,
        digest,
    };
    Ok(Change {
        record: RecordRow(row.get(11)?),
        state,
        prev: seq_opt(row, 7)?,
        base: seq_opt(row, 8)?,
        origin: origin_of(row.get(9)?).ok_or_else(|| bad(9))?,
        verdict: verdict_of(row.get(10)?).ok_or_else(|| bad(10))?,
    })
}

pub(super) fn read_cursor(row: &Row<'_>) -> rusqlite::Result<IssuedCursor> {
    let pages: Option<Vec<u8>> = row.get(6)?;
    let pages = pages.map_or_else(|| Some(Vec::new()), |bytes| decode_pages(&bytes)).ok_or_else(|| bad(6))?;
    let parent: Option<i64> = row.get(1)?;
    let alias: Option<[u8; 12]> = row.get(2)?;
    Ok(IssuedCursor {
        token: millis(row, 0)?,
        parent: parent.map(|parent| from_millis(parent).ok_or_else(|| bad(1))).transpose()?,
        alias: alias.map(|alias| Instant::from_bytes(alias).ok_or_else(|| bad(2))).transpose()?,
        polled: row.get(3)?,
        coverage: Coverage::with_pages(seq(row, 4)?, pages),
    })
}

macro_rules! cursor_columns {
    () => {
        "token, parent, alias, polled, complete, snapshot, pages"
    };
}

pub(super) fn bad(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "out of range".to_owned(), Type::Null)
}

pub(super) fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    seq_of(row.get(column)?).ok_or_else(|| bad(column))
}

pub(super) fn seq_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Seq>> {
    row.get::<_, Option<i64>>(column)?.map(|_| seq(row, column)).transpose()
}

pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Instant> {
    Instant::from_bytes(row.get(column)?).ok_or_else(|| bad(column))
}

pub(super) fn nanos(row: &Row<'_>, column: usize) -> rusqlite::Result<Instant> {
    Instant::from_nanos(row.get::<_, i64>(column)?.into()).ok_or_else(|| bad(column))
}

pub(super) fn millis(row: &Row<'_>, column: usize) -> rusqlite::Result<Instant> {
    from_millis(row.get(column)?).ok_or_else(|| bad(column))
}

pub(super) fn millis_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Instant>> {
    row.get::<_, Option<i64>>(column)?.map(|_| millis(row, column)).transpose()
}

pub(super) fn op(row: &Row<'_>, column: usize) -> rusqlite::Result<Op> {
    op_of(row.get(column)?).ok_or_else(|| bad(column))
}

pub(super) use {change_columns, cursor_columns};
