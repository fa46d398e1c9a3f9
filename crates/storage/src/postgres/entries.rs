//! Logs that are only appended to, in PostgreSQL.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Decode, Row as _, Type};
use tombolo_core::{Digest, Instant, Seq, ServerTime, SpaceId};

use super::connection::failed;
use super::statement::Statement;
use super::tries::Try;
use super::{Postgres, at};
use crate::columns::{count, int, seq_of};
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

    fn find_entries<'a>(&'a self, _: SpaceAddress, _: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        Box::pin(async { unbuilt() })
    }

    fn rulings(&self, _: SpaceAddress, _: Seq, _: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async { unbuilt() })
    }

    fn timeline(&self, _: SpaceAddress, _: Place, _: Seq, _: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async { unbuilt() })
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
        let written_at: &[u8] = value(row, 6)?;
        let written_at = written_at.try_into().ok().and_then(Instant::from_bytes).ok_or_else(|| damaged(seq))?;
        if !page.take(seq, ServerTime::from_micros(value(row, 3)?), written_at, checksum, payload)? {
            break;
        }
    }
    page.finish(head)
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

/// Not built yet.
fn unbuilt<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not built yet".to_owned()))
}
