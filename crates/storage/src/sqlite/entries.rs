//! Logs that are only appended to, in SQLite: one job of the writer for each request, one snapshot for each page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Params, Row, params};
use tombolo_core::{Digest, Instant, Seq, ServerTime, SpaceId};

use super::append::{Outcome, append};
use super::connection::failed;
use super::rows::{bad, instant, seq};
use super::tail::Tail;
use super::{Sqlite, find_space, head_of};
use crate::columns::{count, int};
use crate::entries::check_keys;
use crate::entries::listing::Listing;
use crate::entries::page::Filling;
use crate::told::Told;
use crate::{
    Append, Appended, Entries, Entry, EntryPage, LogEnd, Message, NotAppended, PageBounds, Place, Reply, SpaceAddress,
    StoreError, Totals,
};

type Done<T> = Result<T, StoreError>;

/// The columns of [`Found`], of a change `c` that the place `t.seq` refers to.
macro_rules! found_columns {
    () => {
        "t.seq, c.committed_at, c.checksum, c.payload, c.written_at"
    };
}

impl Entries for Sqlite {
    fn append(&self, request: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>> {
        Box::pin(async move {
            request.check()?;
            let (generation, is_untold) = (self.generation.0, Arc::clone(&self.is_untold));
            let work = move |connection: &Connection| {
                let appended = append(connection, &request, generation)?;
                is_untold.fetch_or(appended.is_told(), Ordering::Relaxed);
                Ok(appended)
            };
            let appended = self.writer.write(work).await?;
            if appended.is_told() {
                self.bus.tell(Message::Accounts);
            }
            Ok(appended.map(|Outcome { answers, grown, .. }| {
                if let Some((space, head)) = grown {
                    self.bus.tell(Message::Grew(space, head));
                }
                answers
            }))
        })
    }

    fn find_entries<'a>(&'a self, address: SpaceAddress, keys: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        let keys = keys.to_vec();
        Box::pin(async move {
            check_keys(&keys)?;
            let find = move |connection: &Connection| match find_space(connection, address)? {
                Some(space) => keys.iter().map(|key| find_entry(connection, space, *key)).collect(),
                None => Ok(vec![None; keys.len()]),
            };
            self.readers.read(find).await
        })
    }

    fn rulings(&self, address: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_space(connection, address)? else { return Ok(Vec::new()) };
            let sql = concat!(
                "SELECT ",
                found_columns!(),
                " FROM rulings t LEFT JOIN changes c ON c.space = t.space AND c.seq = t.seq
                 WHERE t.space = ?1 AND t.seq > ?2 ORDER BY t.seq LIMIT ?3"
            );
            list(connection, sql, params![space.get(), int(after), count(bounds.count_max)], space, bounds)
        }))
    }

    fn timeline(&self, address: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_space(connection, address)? else { return Ok(Vec::new()) };
            let sql = concat!(
                "SELECT ",
                found_columns!(),
                " FROM timeline t LEFT JOIN changes c ON c.space = t.space AND c.seq = t.seq
                 WHERE t.space = ?1 AND (t.millis, t.seq) > (?2, ?3) AND t.seq <= ?4
                 ORDER BY t.millis, t.seq LIMIT ?5"
            );
            let Place { millis, seq } = after;
            let values = params![space.get(), millis, int(seq), int(upto), count(bounds.count_max)];
            list(connection, sql, values, space, bounds)
        }))
    }

    fn entries(&self, address: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_space(connection, address)? else {
                return Ok(EntryPage { entries: Vec::new(), head: Seq::ZERO });
            };
            page(connection, space, after, bounds)
        }))
    }

    fn log_end(&self, address: SpaceAddress) -> Reply<'_, LogEnd> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_space(connection, address)? else {
                return Ok(LogEnd { head: Seq::ZERO, committed_at: None });
            };
            let end = Tail::new(connection, space, 0).end()?;
            Ok(LogEnd { head: end.seq, committed_at: (end.seq > Seq::ZERO).then_some(end.committed_at) })
        }))
    }

    fn totals(&self) -> Reply<'_, Totals> {
        Box::pin(self.readers.read(|connection| {
            let sql = "SELECT count(*), coalesce(sum(head_seq), 0) FROM spaces";
            let number = |row: &Row<'_>, at: usize| u64::try_from(row.get::<_, i64>(at)?).map_err(|_| bad(at));
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            statement
                .query_row([], |row| Ok(Totals { spaces: number(row, 0)?, changes: number(row, 1)? }))
                .map_err(failed)
        }))
    }
}

/// The entries after `after`, row by row, until the page is full.
fn page(connection: &Connection, space: SpaceId, after: Seq, bounds: PageBounds) -> Done<EntryPage> {
    let head = head_of(connection, space)?;
    let sql = "SELECT seq, committed_at, checksum, payload, written_at FROM changes WHERE space = ?1 AND seq > ?2
               ORDER BY seq LIMIT ?3";
    let mut select = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = select.query(params![space.get(), int(after), count(bounds.count_max)]).map_err(failed)?;
    let mut page = Filling::new(space, after, bounds);
    while let Some(row) = rows.next().map_err(failed)? {
        let (seq, checksum) = (seq(row, 0).map_err(failed)?, row.get(2).map_err(failed)?);
        let committed_at = ServerTime::from_micros(row.get(1).map_err(failed)?);
        let payload = row.get_ref(3).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
        let written_at = instant(row, 4).map_err(failed)?;
        if !page.take(seq, committed_at, written_at, checksum, payload)? {
            break;
        }
    }
    page.finish(head)
}

/// An entry as a row shows it; what is none is missing.
struct Found<'r> {
    seq: Seq,
    rest: Option<(ServerTime, u32, &'r [u8], Instant)>,
}

impl<'r> Found<'r> {
    fn read(row: &'r Row<'_>) -> rusqlite::Result<Self> {
        let Some(committed_at) = row.get::<_, Option<i64>>(1)? else {
            return Ok(Self { seq: seq(row, 0)?, rest: None });
        };
        let payload = row.get_ref(3)?.as_blob()?;
        let rest = Some((ServerTime::from_micros(committed_at), row.get(2)?, payload, instant(row, 4)?));
        Ok(Self { seq: seq(row, 0)?, rest })
    }

    /// Puts it into a list; `false` when there is no room.
    fn put(self, listing: &mut Listing) -> Done<bool> {
        let (committed_at, checksum, payload, written_at) = self.rest.ok_or_else(|| listing.missing(self.seq))?;
        listing.take(self.seq, committed_at, written_at, checksum, payload)
    }
}

/// The entries that a query finds, row by row, until there is no more room.
fn list(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    space: SpaceId,
    bounds: PageBounds,
) -> Done<Vec<Entry>> {
    let mut select = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = select.query(values).map_err(failed)?;
    let mut listing = Listing::new(space, bounds);
    while let Some(row) = rows.next().map_err(failed)? {
        if !Found::read(row).map_err(failed)?.put(&mut listing)? {
            break;
        }
    }
    Ok(listing.finish())
}

fn find_entry(connection: &Connection, space: SpaceId, key: Digest) -> Done<Option<Entry>> {
    let sql = concat!(
        "SELECT ",
        found_columns!(),
        " FROM idempotency_keys t LEFT JOIN changes c ON c.space = t.space AND c.seq = t.seq
         WHERE t.space = ?1 AND t.key = ?2"
    );
    let one = PageBounds { count_max: 1, bytes_max: 0 };
    Ok(list(connection, sql, params![space.get(), key.to_bytes()], space, one)?.pop())
}
