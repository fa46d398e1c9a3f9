//! Logs that are only appended to, in PostgreSQL.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Decode, Row as _, Type};
use tombolo_core::{Digest, Instant, Seq, ServerTime, SpaceId};

use super::connection::failed;
use super::statement::{Rows, Statement};
use super::tries::Try;
use super::{Postgres, at};
use crate::columns::{count, int, seq_of};
use crate::entries::check_keys;
use crate::entries::listing::Listing;
use crate::entries::page::Filling;
use crate::{
    Append, Appended, Entries, Entry, EntryPage, LogEnd, NotAppended, PageBounds, Place, Reply, SpaceAddress,
    StoreError, Totals,
};

impl Entries for Postgres {
    fn append(&self, append: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>> {
        self.note_call();
        Box::pin(self.append_in_turn(append))
    }

    fn find_entries<'a>(&'a self, space: SpaceAddress, keys: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        self.note_call();
        let keys = keys.to_vec();
        Box::pin(async move {
            check_keys(&keys)?;
            self.tried(async move |connection| find(connection, space, &keys).await.map(Try::Done)).await
        })
    }

    fn rulings(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        self.note_call();
        Box::pin(self.tried(async move |connection| rulings(connection, space, after, bounds).await.map(Try::Done)))
    }

    fn timeline(&self, space: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        self.note_call();
        Box::pin(
            self.tried(async move |connection| timeline(connection, space, after, upto, bounds).await.map(Try::Done)),
        )
    }

    fn entries(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage> {
        self.note_call();
        Box::pin(self.tried(async move |connection| page(connection, space, after, bounds).await.map(Try::Done)))
    }

    fn log_end(&self, space: SpaceAddress) -> Reply<'_, LogEnd> {
        self.note_call();
        Box::pin(self.tried(async move |connection| log_end(connection, space).await.map(Try::Done)))
    }

    fn totals(&self) -> Reply<'_, Totals> {
        Box::pin(self.tried(async |connection| totals(connection).await.map(Try::Done)))
    }
}

/// Reads a page in one statement, which is one snapshot: the space by its address, and as many entries as there is room
/// for. The running sum reads the contents' lengths only; they themselves are read where they fit.
async fn page(
    connection: &mut PgConnection,
    address: SpaceAddress,
    after: Seq,
    bounds: PageBounds,
) -> Result<EntryPage, StoreError> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    let (from, rows) = (statement.bind(int(after))?, statement.bind(count(bounds.count_max))?);
    let bytes = statement.bind(count(bounds.bytes_max))?;
    statement.push(&format!(
        "SELECT s.id, s.head_seq, c.seq, c.committed_at, c.checksum, c.payload, c.written_at FROM spaces s
         LEFT JOIN LATERAL (
             SELECT w.* FROM (
                 SELECT k.*, sum(octet_length(k.payload)) OVER (ORDER BY k.seq ROWS UNBOUNDED PRECEDING) AS bytes
                 FROM (SELECT seq, committed_at, checksum, payload, written_at FROM changes
                       WHERE space = s.id AND seq > {from} ORDER BY seq LIMIT {rows}) k
             ) w WHERE w.bytes <= {bytes} OR w.seq = {from} + 1
         ) c ON true WHERE {space}"
    ));
    let rows = statement.rows(connection, Ok).await?;
    let Some(first) = rows.first() else { return Ok(EntryPage { entries: Vec::new(), head: Seq::ZERO }) };
    let mut page = Filling::new(SpaceId::new(value(first, 0)?), after, bounds);
    let head = seq(first, 1)?;
    // A log without any more has one row of nothing.
    let is_empty = value::<Option<i64>>(first, 2)?.is_none();
    let mut placed =
        rows.iter().filter(|_| !is_empty).map(|row| Ok((seq(row, 2)?, row))).collect::<Result<Vec<_>, _>>()?;
    placed.sort_unstable_by_key(|(seq, _)| *seq);
    for (seq, row) in placed {
        // One that is out of range is not that of any content.
        let checksum = u32::try_from(value::<i64>(row, 4)?).map_err(|_| damaged(seq))?;
        let payload = value::<Option<&[u8]>>(row, 5)?.ok_or_else(|| damaged(seq))?;
        let written_at = written_at(row, 6)?.ok_or_else(|| damaged(seq))?;
        if !page.take(seq, ServerTime::from_micros(value(row, 3)?), written_at, checksum, payload)? {
            break;
        }
    }
    page.finish(head)
}

/// Finds entries by their keys, each by itself: see `append/known.rs`.
async fn find(
    connection: &mut PgConnection,
    address: SpaceAddress,
    keys: &[Digest],
) -> Result<Vec<Option<Entry>>, StoreError> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    let places = (0..keys.len()).map(count).collect::<Vec<_>>();
    let wanted = Rows::new()
        .column(&mut statement, places)?
        .column(&mut statement, keys.iter().map(|key| key.to_bytes().to_vec()).collect::<Vec<_>>())?
        .from("n(place, key)");
    statement.push(&format!(
        "SELECT n.place, s.id, k.seq, c.committed_at, c.checksum, c.payload, c.written_at
         FROM spaces s CROSS JOIN {wanted}
         CROSS JOIN LATERAL (SELECT * FROM idempotency_keys k WHERE k.space = s.id AND k.key = n.key OFFSET 0) k
         LEFT JOIN LATERAL (SELECT * FROM changes c WHERE c.space = s.id AND c.seq = k.seq OFFSET 0) c ON true
         WHERE {space}"
    ));
    let rows = statement.rows(connection, |row| Ok((value::<i64>(&row, 0)?, entry(&row, 1)?))).await?;
    let mut found = vec![None; keys.len()];
    for (place, entry) in rows {
        let place = usize::try_from(place).ok().and_then(|place| found.get_mut(place));
        *place.ok_or_else(|| StoreError::Internal("an entry was found that nobody asked for".to_owned()))? =
            Some(entry);
    }
    Ok(found)
}

async fn rulings(
    connection: &mut PgConnection,
    address: SpaceAddress,
    after: Seq,
    bounds: PageBounds,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = Statement::default();
    let after = statement.bind(int(after))?;
    let places = format!("SELECT seq FROM rulings WHERE space = s.id AND seq > {after} ORDER BY seq");
    listed(connection, statement, address, &places, "k.seq", bounds).await
}

async fn timeline(
    connection: &mut PgConnection,
    address: SpaceAddress,
    after: Place,
    upto: Seq,
    bounds: PageBounds,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = Statement::default();
    let (millis, seq) = (statement.bind(after.millis)?, statement.bind(int(after.seq))?);
    let upto = statement.bind(int(upto))?;
    let places = format!(
        "SELECT millis, seq FROM timeline WHERE space = s.id AND (millis, seq) > ({millis}, {seq}) AND seq <= {upto}
         ORDER BY millis, seq"
    );
    listed(connection, statement, address, &places, "k.millis, k.seq", bounds).await
}

/// Reads the entries of a space `s` at the `places` that a part of the statement selects, in their `order`, as many as
/// there is room for. The running sum reads the contents' lengths only, as in [`page`]. Each is looked up by
/// itself, whatever the plan was made for.
async fn listed(
    connection: &mut PgConnection,
    mut statement: Statement,
    address: SpaceAddress,
    places: &str,
    order: &str,
    bounds: PageBounds,
) -> Result<Vec<Entry>, StoreError> {
    let space = at(&mut statement, address)?;
    let (rows, bytes) = (statement.bind(count(bounds.count_max))?, statement.bind(count(bounds.bytes_max))?);
    statement.push(&format!(
        "SELECT s.id, w.place, w.committed_at, w.checksum, w.payload, w.written_at FROM spaces s CROSS JOIN LATERAL (
             SELECT k.seq AS place, c.*, row_number() OVER p AS n,
                 sum(coalesce(octet_length(c.payload), 0)) OVER (p ROWS UNBOUNDED PRECEDING) AS bytes
             FROM ({places} LIMIT {rows}) k LEFT JOIN LATERAL
                 (SELECT * FROM changes c WHERE c.space = s.id AND c.seq = k.seq OFFSET 0) c ON true
             WINDOW p AS (ORDER BY {order})
         ) w WHERE {space} AND (w.bytes <= {bytes} OR w.n = 1) ORDER BY w.n"
    ));
    statement.rows(connection, |row| entry(&row, 0)).await
}

/// An entry, from a space's number and its place there on: then come when it was committed, its checksum, its content,
/// and when it was written.
fn entry(row: &PgRow, from: usize) -> Result<Entry, StoreError> {
    let mut one = Listing::new(SpaceId::new(value(row, from)?), PageBounds { count_max: 1, bytes_max: 0 });
    let seq = seq(row, from + 1)?;
    let committed_at = value::<Option<i64>>(row, from + 2)?.ok_or_else(|| one.missing(seq))?;
    // One that is out of range is not that of any content.
    let checksum = u32::try_from(value::<i64>(row, from + 3)?).map_err(|_| damaged(seq))?;
    let payload = value::<Option<&[u8]>>(row, from + 4)?.ok_or_else(|| damaged(seq))?;
    let written_at = written_at(row, from + 5)?.ok_or_else(|| damaged(seq))?;
    one.take(seq, ServerTime::from_micros(committed_at), written_at, checksum, payload)?;
    one.finish().pop().ok_or_else(|| damaged(seq))
}

fn written_at(row: &PgRow, at: usize) -> Result<Option<Instant>, StoreError> {
    let bytes: Option<&[u8]> = value(row, at)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).and_then(Instant::from_bytes))
}

async fn log_end(connection: &mut PgConnection, address: SpaceAddress) -> Result<LogEnd, StoreError> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    statement.push(&format!("SELECT s.head_seq, s.head_time FROM spaces s WHERE {space}"));
    let ends = statement.rows(connection, |row| {
        let (head, time) = (seq(&row, 0)?, ServerTime::from_micros(value(&row, 1)?));
        Ok(LogEnd { head, committed_at: (head > Seq::ZERO).then_some(time) })
    });
    Ok(ends.await?.pop().unwrap_or(LogEnd { head: Seq::ZERO, committed_at: None }))
}

async fn totals(connection: &mut PgConnection) -> Result<Totals, StoreError> {
    let mut statement = Statement::default();
    statement.push("SELECT count(*), coalesce(sum(head_seq), 0)::int8 FROM spaces");
    let number = |row: &PgRow, at: usize| {
        let negative = |_| StoreError::Corrupt("a space's head is negative".to_owned());
        value::<i64>(row, at).and_then(|number| u64::try_from(number).map_err(negative))
    };
    let read = |row: PgRow| Ok(Totals { spaces: number(&row, 0)?, changes: number(&row, 1)? });
    Ok(statement.rows(connection, read).await?.pop().unwrap_or_default())
}

fn value<'r, T: Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>>(row: &'r PgRow, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(failed)
}

fn seq(row: &PgRow, at: usize) -> Result<Seq, StoreError> {
    seq_of(value(row, at)?).ok_or_else(|| StoreError::Corrupt("a place in a log is negative".to_owned()))
}

fn damaged(seq: Seq) -> StoreError {
    StoreError::Corrupt(format!("change {seq}: its content is not what was written"))
}
