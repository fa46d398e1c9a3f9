//! Values as columns, and columns as values: what SQLite has no type for, and what must not be read wrongly.

use rusqlite::Row;
use rusqlite::types::Type;
use tombolo_core::merge::State;
use tombolo_core::{Coverage, Digest, Instant, Op, Origin, Page, RANKS, ReplicaName, Seq, Stamp, Verdict};

use crate::ledger::{Change, IssuedCursor};

/// The columns of [`read_change`], of a change `c` with its replica `p`.
macro_rules! change_columns {
    () => {
        "c.seq, c.op, c.stamp_at, c.written_at, c.public_at, c.digest, p.name, c.prev, c.base, c.origin, c.verdict"
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
        state,
        prev: seq_opt(row, 7)?,
        base: seq_opt(row, 8)?,
        origin: origin(row, 9)?,
        verdict: verdict(row, 10)?,
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

pub(super) fn checksum_of(payload: Option<&[u8]>) -> u32 {
    payload.map_or(0, crc32fast::hash)
}

pub(super) fn bad(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "out of range".to_owned(), Type::Null)
}

pub(super) fn int(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

pub(super) fn small(rank: usize) -> i64 {
    debug_assert!(rank < RANKS);
    i64::try_from(rank).unwrap_or(i64::MAX)
}

pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    u64::try_from(row.get::<_, i64>(column)?).map(Seq::new).map_err(|_| bad(column))
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

pub(super) fn from_millis(millis: i64) -> Option<Instant> {
    Instant::from_nanos(i128::from(millis) * 1_000_000)
}

/// `None` when it is not in whole milliseconds.
pub(super) fn to_millis(instant: Instant) -> Option<i64> {
    (instant == instant.ceil_to_millis()).then(|| whole_millis(instant))
}

pub(super) fn whole_millis(instant: Instant) -> i64 {
    i64::try_from(instant.nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

pub(super) fn op_code(op: Op) -> i64 {
    match op {
        Op::Put => 0,
        Op::Delete => 1,
    }
}

pub(super) fn op(row: &Row<'_>, column: usize) -> rusqlite::Result<Op> {
    match row.get(column)? {
        0 => Ok(Op::Put),
        1 => Ok(Op::Delete),
        _ => Err(bad(column)),
    }
}

pub(super) fn origin_code(origin: Origin) -> i64 {
    match origin {
        Origin::Replica => 0,
        Origin::Outcome => 1,
        Origin::Derived => 2,
    }
}

pub(super) fn origin(row: &Row<'_>, column: usize) -> rusqlite::Result<Origin> {
    match row.get(column)? {
        0 => Ok(Origin::Replica),
        1 => Ok(Origin::Outcome),
        2 => Ok(Origin::Derived),
        _ => Err(bad(column)),
    }
}

pub(super) fn verdict_code(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Applied => 0,
        Verdict::Merged => 1,
        Verdict::Superseded => 2,
        Verdict::Unchanged => 3,
    }
}

pub(super) fn verdict(row: &Row<'_>, column: usize) -> rusqlite::Result<Verdict> {
    match row.get(column)? {
        0 => Ok(Verdict::Applied),
        1 => Ok(Verdict::Merged),
        2 => Ok(Verdict::Superseded),
        _ => Err(bad(column)),
    }
}

/// Five numbers a page: its snapshot, then each rank's bounds.
const PAGE_NUMBERS: usize = 1 + 2 * RANKS;

pub(super) fn encode_pages(pages: &[Page]) -> Vec<u8> {
    let numbers = |page: &Page| {
        let mut numbers = vec![page.snapshot];
        numbers.extend(page.spans.iter().flat_map(|(from, to)| [*from, *to]));
        numbers
    };
    pages.iter().flat_map(numbers).flat_map(|seq| seq.get().to_be_bytes()).collect()
}

pub(super) fn decode_pages(bytes: &[u8]) -> Option<Vec<Page>> {
    let number = |bytes: &[u8]| {
        let number = u64::from_be_bytes(bytes.try_into().ok()?);
        (i64::try_from(number).is_ok()).then(|| Seq::new(number))
    };
    let page = |bytes: &[u8]| {
        let numbers = bytes.chunks(8).map(number).collect::<Option<Vec<Seq>>>()?;
        let spans = std::array::from_fn(|rank| (numbers[1 + 2 * rank], numbers[2 + 2 * rank]));
        Some(Page { snapshot: numbers[0], spans })
    };
    let whole = bytes.len().is_multiple_of(8 * PAGE_NUMBERS);
    whole.then(|| bytes.chunks(8 * PAGE_NUMBERS).map(page).collect())?
}

pub(super) use {change_columns, cursor_columns};
