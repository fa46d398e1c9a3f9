//! Both sides beside each other, value by value.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;

use futures_util::TryStreamExt as _;

use super::TransferError;
use super::source::Source;
use super::tables::{self, LOG, Row, Table, Tally};
use super::target::Target;

/// Differences that are remembered until it is known whether the server made them: far more than it can make meanwhile.
const DIFFERENCES_MAX: usize = 100_000;

/// A row that is not the same on both sides.
pub(super) struct Difference {
    /// The place of its table.
    pub(super) table: usize,
    pub(super) key: Row,
    what: &'static str,
}

impl Difference {
    pub(super) fn error(&self) -> TransferError {
        TransferError::Differs(format!("{} {}", tables::at(self.table).describe(&self.key), self.what))
    }
}

const MISSING: &str = "is missing in the copy";
const SURPLUS: &str = "is in the copy only";
const DIFFERENT: &str = "is different in the copy";

/// The rows of a table of the source, along its walk.
struct Rows<'a> {
    source: &'a Source,
    table: &'static Table,
    read: VecDeque<Row>,
    next: Option<Row>,
}

impl<'a> Rows<'a> {
    fn new(source: &'a Source, table: &'static Table) -> Result<Self, TransferError> {
        let page = source.page(table, None).map_err(TransferError::Source)?;
        Ok(Self { source, table, read: page.rows.into(), next: page.next })
    }

    fn first(&mut self) -> Result<Option<&Row>, TransferError> {
        // Each page goes on behind the last, so that this ends with the table.
        while self.read.is_empty()
            && let Some(after) = self.next.take()
        {
            let page = self.source.page(self.table, Some(&after)).map_err(TransferError::Source)?;
            (self.read, self.next) = (page.rows.into(), page.next);
        }
        Ok(self.read.front())
    }
}

/// Compares one table while the server goes on: what differs is either a fault, or a row that the server changed
/// meanwhile and that the journal therefore names.
///
/// It reads both sides once, which takes seconds for each million rows. All of it is done before the server pauses;
/// after that, only what the journal named in the meantime is compared, so that the pause does not grow with what is
/// stored.
pub(super) async fn table(
    source: &Source,
    target: &mut Target,
    place: usize,
    differences: &mut Vec<Difference>,
) -> Result<Tally, TransferError> {
    let table = tables::at(place);
    let mut tally = Tally::default();
    let mut ours = Rows::new(source, table)?;
    let mut theirs = pin!(target.walk(table));
    let mut copy = theirs.try_next().await.map_err(TransferError::Target)?;
    loop {
        let side = match (ours.first()?, &copy) {
            (None, None) => return Ok(tally),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(row), Some(copy)) => table.place(row).cmp(&table.place(copy)),
        };
        let row = if side == Ordering::Greater { None } else { ours.read.pop_front() };
        let same_place = if side == Ordering::Less { None } else { copy.take() };
        if let Some(found) = &same_place {
            tally.add(found);
            copy = theirs.try_next().await.map_err(TransferError::Target)?;
        }
        let mut differs = |row: &Row, what| differences.push(Difference { table: place, key: table.key(row), what });
        match (row, same_place) {
            (Some(row), Some(copy)) if row == copy => {}
            (Some(row), Some(copy)) if table.key(&row) == table.key(&copy) => differs(&row, DIFFERENT),
            (row, copy) => {
                row.iter().for_each(|row| differs(row, MISSING));
                copy.iter().for_each(|copy| differs(copy, SURPLUS));
            }
        }
        if differences.len() > DIFFERENCES_MAX {
            return Err(TransferError::Differs(format!("{} has too many differences to tell", table.name)));
        }
    }
}

/// Compares rows that were just written with what is found of their keys.
///
/// # Errors
/// [`TransferError::Differs`], which names the first difference.
pub(super) fn rows(place: usize, written: &[Row], found: &[Row]) -> Result<(), TransferError> {
    let table = tables::at(place);
    let mut by_key: HashMap<&[_], &Row> = found.iter().map(|row| (&row[..table.key_len], row)).collect();
    for row in written {
        let what = match by_key.remove(&row[..table.key_len]) {
            Some(copy) if copy == row => continue,
            Some(_) => DIFFERENT,
            None => MISSING,
        };
        return Err(Difference { table: place, key: table.key(row), what }.error());
    }
    match by_key.values().next() {
        Some(row) => Err(Difference { table: place, key: table.key(row), what: SURPLUS }.error()),
        None => Ok(()),
    }
}

/// Compares the changes of one stretch of a log: what differs is either a fault, or a change whose content the server
/// took out meanwhile and that the journal therefore names.
pub(super) async fn changes(
    target: &mut Target,
    space: i64,
    after: i64,
    rows: &[Row],
    tally: &mut Tally,
    differences: &mut Vec<Difference>,
) -> Result<(), TransferError> {
    let seq = |row: &Row| row[1].int().unwrap_or(0);
    let Some(to) = rows.last().map(seq) else { return Ok(()) };
    let copies = target.changes(space, after, to).await.map_err(TransferError::Target)?;
    let mut by_key: HashMap<&[_], &Row> = copies.iter().map(|copy| (&copy[..2], copy)).collect();
    let mut differs = |row: &Row, what| {
        differences.push(Difference { table: LOG, key: tables::at(LOG).key(row), what });
    };
    for row in rows {
        match by_key.remove(&row[..2]) {
            Some(copy) if copy == row => {}
            Some(_) => differs(row, DIFFERENT),
            None => differs(row, MISSING),
        }
    }
    by_key.values().for_each(|copy| differs(copy, SURPLUS));
    copies.iter().for_each(|copy| tally.add(copy));
    if differences.len() > DIFFERENCES_MAX {
        return Err(TransferError::Differs("changes has too many differences to tell".to_owned()));
    }
    Ok(())
}
