//! Logs that are only appended to, in SQLite: one job of the writer for each request, one snapshot for each page.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tombolo_core::{Digest, Seq, ServerTime, SpaceId};

use super::connection::failed;
use super::projects::ruled;
use super::rows::{bad, instant, seq};
use super::tail::Tail;
use super::{Sqlite, find_space, head_of, open_space};
use crate::columns::{count, int};
use crate::entries::page::Filling;
use crate::entries::plan::plan;
use crate::ledger::NewChange;
use crate::{
    Append, Appended, Entries, Entry, EntryPage, Guard, LogEnd, Message, NewEntry, NotAppended, PageBounds, Place,
    Reply, SpaceAddress, StoreError, Totals,
};

type Done<T> = Result<T, StoreError>;

impl Entries for Sqlite {
    fn append(&self, append: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>> {
        Box::pin(async move {
            append.check()?;
            let generation = self.generation.0;
            let appended = self.writer.write(move |connection| run(connection, &append, generation)).await?;
            Ok(appended.map(|Outcome { answers, grown }| {
                if let Some((space, head)) = grown {
                    self.bus.tell(Message::Grew(space, head));
                }
                answers
            }))
        })
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

/// What a request came to.
struct Outcome {
    answers: Vec<Appended>,
    /// How far the log goes now, if it is longer.
    grown: Option<(SpaceAddress, Seq)>,
}

/// Not built yet.
fn unbuilt<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not built yet".to_owned()))
}

fn run(connection: &Connection, append: &Append, generation: i64) -> Done<Result<Outcome, NotAppended>> {
    let Guard::Member { project, user } = append.guard else { return unbuilt() };
    let address = match ruled(connection, project, user, Guard::ACT)? {
        Ok(project) => project.space(),
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    if append.entries.is_empty() {
        return Ok(Ok(Outcome { answers: Vec::new(), grown: None }));
    }
    let space = open_space(connection, address, append.now)?;
    let mut tail = Tail::new(connection, space, generation);
    let known = known(connection, space, &append.entries)?;
    let plan = plan(&append.entries, &known, tail.end()?, append.now);
    for placed in &plan.new {
        tail.append(&NewChange::of_entry(placed.entry, placed.at.committed_at), user, placed.at)?;
        let sql = "INSERT INTO idempotency_keys (space, key, seq) VALUES (?1, ?2, ?3)";
        let mut insert = connection.prepare_cached(sql).map_err(failed)?;
        let key = placed.entry.key.to_bytes();
        insert.execute(params![space.get(), key, int(placed.at.seq)]).map_err(failed)?;
    }
    tail.finish()?;
    let grown = (!plan.new.is_empty()).then_some((address, plan.end.seq));
    Ok(Ok(Outcome { answers: plan.answers, grown }))
}

/// Which keys of the entries the log holds, each with its place.
fn known(connection: &Connection, space: SpaceId, entries: &[NewEntry]) -> Done<HashMap<Digest, Seq>> {
    let sql = "SELECT seq FROM idempotency_keys WHERE space = ?1 AND key = ?2";
    let mut select = connection.prepare_cached(sql).map_err(failed)?;
    let mut known = HashMap::new();
    for entry in entries {
        let found = select.query_row(params![space.get(), entry.key.to_bytes()], |row| seq(row, 0));
        if let Some(seq) = found.optional().map_err(failed)? {
            known.insert(entry.key, seq);
        }
    }
    Ok(known)
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
