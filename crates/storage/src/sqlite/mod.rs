//! Everything in one SQLite file, so that one backup holds everything.
//!
//! One thread writes and groups what waits into one commit; a few threads read, each from a snapshot; checkpoints run
//! beside them. An acknowledgement follows the commit, with `synchronous=FULL`.

mod accounts;
mod append;
mod check;
mod checkpoint;
pub(crate) mod connection;
mod entries;
mod erasure;
mod heads;
mod identities;
mod invitations;
mod ledger;
mod members;
mod projects;
mod readers;
mod replicas;
mod rooms;
mod rows;
mod sign_ins;
mod sweep;
mod tail;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use tombolo_core::{Cursor, Env, Fork, Generation, Policy, Resume, Seq, ServerTime, SpaceId};

use crate::exchange::{self, Judged, NothingNew, Page};
use crate::ledger::{IssuedCursor, Ledger, Replica};
use crate::{
    Bus, CheckReport, CommitCounts, Elsewhere, Exchange, Exchanged, LocalBus, LoggedChange, Logs, Message, Progress,
    Reading, Reply, SpaceAddress, StoreError, Upkeep,
};
use connection::{failed, migrate, open_writer, refuse_moved};
use ledger::SqliteLedger;
use readers::Readers;
use writer::Writer;

/// Changes that a page may have to look at and still be read by the writer itself, in the transaction of the push. A
/// larger one is read beside it, so that others' pushes need not wait, and noted in a transaction of its own.
const INLINE_SPAN: u64 = 2_000;

/// Acknowledgements of polls that may wait for the next commit. Forgetting one only sends something again.
const POLLED_MAX: usize = 10_000;

/// What opens the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server: a new generation of history begins.
    Server,
    /// A command beside a running server, or without one.
    Tool,
}

/// A store in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    /// The ordinal and the id of this run of history.
    generation: (i64, Generation),
    /// Cursors that polls acknowledged, written with the next commit.
    polled: Arc<Mutex<Vec<(Replica, IssuedCursor)>>>,
    /// What is to be remembered of downloads, written with the next upload.
    progress: replicas::Waiting,
    data_version: Arc<Mutex<Option<i64>>>,
    /// Something was changed here of who gets in, which is perhaps told to nobody: whoever asked for it may be gone.
    is_untold: Arc<AtomicBool>,
    bus: LocalBus,
}

impl Sqlite {
    /// Opens the database at `path`, makes it when it is missing, and brings its schema up to this version.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version wrote it, [`StoreError::Corrupt`] when it is no database;
    /// [`StoreError::Moved`] when it was moved to another database, and a server is to begin.
    pub fn open(path: &Path, role: Role, env: Arc<dyn Env>) -> Result<Self, StoreError> {
        let connection = open_writer(path)?;
        migrate(&connection)?;
        if role == Role::Server {
            refuse_moved(&connection)?;
            rooms::begin(&connection, env.now())?;
            if let Err(error) = sweep::Sweeper::default().sweep_alone(&connection, &*env) {
                tracing::warn!(%error, "what was erased could not be removed from the file yet; it is tried again");
            }
        }
        let generation = generation(&connection, role, &*env)?;
        let writer = Writer::start(path.to_owned(), role, connection, &env);
        let readers = Readers::start(path, role, &env);
        Ok(Self {
            writer,
            readers,
            generation,
            polled: Arc::default(),
            progress: Arc::default(),
            data_version: Arc::default(),
            is_untold: Arc::default(),
            bus: LocalBus::default(),
        })
    }

    async fn run(&self, request: Exchange) -> Result<Exchanged, StoreError> {
        let request = Arc::new(request);
        if request.writes.is_empty()
            && request.refused.is_empty()
            && let Some(exchanged) = self.poll(Arc::clone(&request)).await?
        {
            return Ok(exchanged);
        }
        let generation = self.generation.0;
        let polled = Arc::clone(&self.polled);
        let (pushed, grown) = {
            let request = Arc::clone(&request);
            self.writer.write(move |connection| push(connection, &request, generation, &polled)).await?
        };
        if let Some(head) = grown {
            self.bus.tell(Message::Grew(request.space, head));
        }
        let (space, judged) = match pushed {
            Pushed::Whole(exchanged) => return Ok(exchanged),
            Pushed::PageIsLarge(space, judged) => (space, judged),
        };
        let (page, judged) = {
            let request = Arc::clone(&request);
            self.readers
                .read(move |connection| {
                    let mut ledger = SqliteLedger::new(connection, space, request.space.owner, &*request.policy, 0);
                    Ok((exchange::read_page(&mut ledger, &request, &judged)?, judged))
                })
                .await?
        };
        self.writer
            .write(move |connection| {
                let mut ledger =
                    SqliteLedger::new(connection, space, request.space.owner, &*request.policy, generation);
                let exchanged = exchange::issue(&mut ledger, &request, *judged, page)?;
                ledger.finish()?;
                Ok(exchanged)
            })
            .await
    }

    /// Answers a request that brings nothing from a snapshot, when there is nothing for it.
    async fn poll(&self, request: Arc<Exchange>) -> Result<Option<Exchanged>, StoreError> {
        let answered = self
            .readers
            .read(move |connection| {
                let Some(space) = find_space(connection, request.space)? else {
                    return Ok(Some(exchange::nothing(&request)));
                };
                let mut ledger = SqliteLedger::new(connection, space, request.space.owner, &*request.policy, 0);
                exchange::poll(&mut ledger, &request)
            })
            .await?;
        let Some(NothingNew { exchanged, acknowledged }) = answered else { return Ok(None) };
        if let Some((replica, cursor)) = acknowledged {
            let mut polled = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
            let known = polled.iter().any(|(other, waiting)| other.row == replica.row && waiting.token == cursor.token);
            if !known && polled.len() < POLLED_MAX {
                polled.push((replica, cursor));
            }
        }
        Ok(Some(exchanged))
    }
}

enum Pushed {
    Whole(Exchanged),
    PageIsLarge(SpaceId, Box<Judged>),
}

fn push(
    connection: &Connection,
    request: &Exchange,
    generation: i64,
    polled: &Mutex<Vec<(Replica, IssuedCursor)>>,
) -> Result<(Pushed, Option<Seq>), StoreError> {
    let space = open_space(connection, request.space, request.now)?;
    let mut ledger = SqliteLedger::new(connection, space, request.space.owner, &*request.policy, generation);
    let acknowledged = std::mem::take(&mut *polled.lock().unwrap_or_else(PoisonError::into_inner));
    note_polled(connection, acknowledged)?;
    let before = ledger.end()?.seq;
    let judged = exchange::push(&mut ledger, request)?;
    let head = ledger.end()?.seq;
    let grown = (head > before).then_some(head);
    if head.get().saturating_sub(judged.oldest_start().get()) > INLINE_SPAN {
        ledger.finish()?;
        return Ok((Pushed::PageIsLarge(space, Box::new(judged)), grown));
    }
    let page: Page = exchange::read_page(&mut ledger, request, &judged)?;
    let exchanged = exchange::issue(&mut ledger, request, judged, page)?;
    ledger.finish()?;
    Ok((Pushed::Whole(exchanged), grown))
}

fn find_space(connection: &Connection, address: SpaceAddress) -> Result<Option<SpaceId>, StoreError> {
    let sql = "SELECT id FROM spaces WHERE owner = ?1 AND purpose = ?2 AND number = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let params = params![address.owner.get(), address.purpose.as_str(), address.number.get()];
    statement.query_row(params, |row| row.get(0).map(SpaceId::new)).optional().map_err(failed)
}

fn open_space(connection: &Connection, address: SpaceAddress, now: ServerTime) -> Result<SpaceId, StoreError> {
    if let Some(space) = find_space(connection, address)? {
        return Ok(space);
    }
    erasure::refuse_deleted(connection, address)?;
    let sql = "INSERT INTO spaces (owner, purpose, number, created_at) VALUES (?1, ?2, ?3, ?4)";
    let params = params![address.owner.get(), address.purpose.as_str(), address.number.get(), now.micros()];
    connection.execute(sql, params).map_err(failed)?;
    Ok(SpaceId::new(connection.last_insert_rowid()))
}

/// Whether a migration to another database is under way, which copies the logs as they are. Asked inside a transaction:
/// what is done before the migration's journal is made is done before anything is copied.
fn is_being_moved(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.exists([crate::transfer::JOURNAL]).map_err(failed)
}

/// Begins a generation, or reads the present one.
fn generation(connection: &Connection, role: Role, env: &dyn Env) -> Result<(i64, Generation), StoreError> {
    let newest = || {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Generation::from_bytes(row.get(1)?)));
        let sql = "SELECT ordinal, id FROM generations ORDER BY ordinal DESC LIMIT 1";
        connection.query_row(sql, [], read).optional().map_err(failed)
    };
    if role == Role::Tool
        && let Some(newest) = newest()?
    {
        return Ok(newest);
    }
    let mut id = [0; 16];
    env.fill_random(&mut id);
    let sql = "INSERT INTO generations (id, started_at) VALUES (?1, ?2)";
    connection.execute(sql, params![id, env.now().micros()]).map_err(failed)?;
    newest()?.ok_or_else(|| StoreError::Internal("a generation vanished".to_owned()))
}

/// The generations that led to the present log of a space, oldest first, each with the head at which it took over.
fn line(connection: &Connection, space: SpaceId, head: Seq) -> Result<Vec<Fork>, StoreError> {
    // A generation that wrote nothing here took over where the next one that did found the head.
    let sql = "SELECT g.id, (SELECT min(f.seq) FROM forks f WHERE f.space = ?1 AND f.generation >= g.ordinal)
               FROM generations g ORDER BY g.ordinal";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let read = |row: &rusqlite::Row<'_>| {
        let seq = row.get::<_, Option<i64>>(1)?.and_then(|seq| u64::try_from(seq).ok()).map_or(head, Seq::new);
        Ok(Fork { generation: Generation::from_bytes(row.get(0)?), seq })
    };
    let rows = statement.query_map([space.get()], read).map_err(failed)?;
    rows.collect::<rusqlite::Result<Vec<Fork>>>().map_err(failed)
}

fn head_of(connection: &Connection, space: SpaceId) -> Result<Seq, StoreError> {
    let sql = "SELECT head_seq FROM spaces WHERE id = ?1";
    let head: i64 = connection.query_row(sql, [space.get()], |row| row.get(0)).map_err(failed)?;
    u64::try_from(head).map(Seq::new).map_err(|_| StoreError::Corrupt("a space's head is negative".to_owned()))
}

impl Logs for Sqlite {
    fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged> {
        Box::pin(self.run(request))
    }

    fn changes<'a>(
        &'a self,
        address: SpaceAddress,
        policy: &'a Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Reply<'a, Vec<LoggedChange>> {
        let policy = Arc::clone(policy);
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_space(connection, address)? else { return Ok(Vec::new()) };
            SqliteLedger::new(connection, space, address.owner, &*policy, 0).logged(after, count_max)
        }))
    }

    fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>> {
        let spaces = spaces.to_vec();
        Box::pin(self.readers.read(move |connection| {
            let head = |address: &SpaceAddress| match find_space(connection, *address)? {
                Some(space) => head_of(connection, space),
                None => Ok(Seq::ZERO),
            };
            spaces.iter().map(head).collect()
        }))
    }

    fn head(&self, address: SpaceAddress) -> Reply<'_, Cursor> {
        let generation = self.generation.1;
        Box::pin(self.readers.read(move |connection| {
            let space = find_space(connection, address)?;
            let seq = space.map_or(Ok(Seq::ZERO), |space| head_of(connection, space))?;
            Ok(Cursor { generation, seq })
        }))
    }

    fn resume(&self, address: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume> {
        Box::pin(self.readers.read(move |connection| {
            let space = find_space(connection, address)?.unwrap_or(SpaceId::new(0));
            let head = if space.get() == 0 { Seq::ZERO } else { head_of(connection, space)? };
            Ok(tombolo_core::resume(cursor, &line(connection, space, head)?, head))
        }))
    }
}

impl Upkeep for Sqlite {
    fn ready(&self) -> Reply<'_, ()> {
        Box::pin(self.writer.try_disk())
    }

    fn commits(&self) -> CommitCounts {
        self.writer.commits()
    }

    fn changed_elsewhere(&self) -> Reply<'_, Elsewhere> {
        let (known, is_untold) = (Arc::clone(&self.data_version), Arc::clone(&self.is_untold));
        Box::pin(async move {
            let changed = self.writer.beside(move |connection| {
                let version = connection.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(failed)?;
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                let is_changed = known.replace(version).is_some_and(|before| before != version);
                // Between transactions: what was noted is committed, or undone.
                Ok(is_changed | is_untold.swap(false, Ordering::Relaxed))
            });
            // A new connection counts from anew: the number may be the old one by chance.
            let is_changed = changed.await? | self.writer.was_reopened();
            Ok(if is_changed { Elsewhere::Committed } else { Elsewhere::Nothing })
        })
    }

    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn tend(&self) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self, readings: Vec<Reading>, progress: Progress) -> Reply<'_, CheckReport> {
        Box::pin(self.readers.read(move |connection| check::check(connection, &readings, progress)))
    }

    fn close(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            let (polled, progress) = (Arc::clone(&self.polled), Arc::clone(&self.progress));
            let acknowledged = std::mem::take(&mut *polled.lock().unwrap_or_else(PoisonError::into_inner));
            let waits = !progress.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if !acknowledged.is_empty() || waits {
                let note = move |connection: &Connection| {
                    note_polled(connection, acknowledged)?;
                    replicas::note_progress(connection, &progress)
                };
                match self.writer.write(note).await {
                    // Forgetting it only sends something again, from wherever the logs are now.
                    Ok(()) | Err(StoreError::Moved) => {}
                    Err(error) => return Err(error),
                }
            }
            self.writer.close().await
        })
    }
}

fn note_polled(connection: &Connection, acknowledged: Vec<(Replica, IssuedCursor)>) -> Result<(), StoreError> {
    let sql = "UPDATE cursors SET polled = 1, alias = ?3 WHERE replica = ?1 AND token = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    for (replica, cursor) in acknowledged {
        let token = i64::try_from(cursor.token.nanos() / 1_000_000).unwrap_or(i64::MAX);
        statement
            .execute(params![replica.row.0, token, cursor.alias.map(tombolo_core::Instant::to_bytes)])
            .map_err(failed)?;
    }
    Ok(())
}
