//! Replicas that bring and take in two requests.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, params};
use tombolo_core::{Fork, Generation, ReplicaName, ResetReason, Seq, SpaceCursor, SpaceId, UserId, stand};

use super::connection::failed;
use super::ledger::SqliteLedger;
use super::{Sqlite, find_space, line, open_space};
use crate::columns::{count, int};
use crate::erasure::ERASED_KEPT;
use crate::exchange::{self, Here, Progress, Taken};
use crate::ledger::Ledger as _;
use crate::{Download, Downloaded, Message, Replicas, Reply, SpaceAddress, Stale, StoreError, Upload, Uploaded};

/// What downloads are to be remembered by that may wait for the next commit. What forgetting one comes to, [`Progress`]
/// says.
const PROGRESS_MAX: usize = 10_000;

/// How often a download begins anew because its space was erased, with the replica, while it was under way.
const ROUNDS_MAX: usize = 4;

/// What is to be remembered of downloads with the next commit.
pub(super) type Waiting = Arc<Mutex<Vec<Progress>>>;

/// This run of history: its ordinal and its id.
type Run = (i64, Generation);

impl Sqlite {
    async fn bring(&self, request: Upload) -> Result<Uploaded, StoreError> {
        let (run, waiting, address) = (self.generation, Arc::clone(&self.progress), request.space);
        let upload = move |connection: &Connection| {
            note_progress(connection, &waiting)?;
            bring(connection, &request, run)
        };
        let (uploaded, grown) = self.writer.write(upload).await?;
        if let Some(head) = grown {
            self.bus.tell(Message::Grew(address, head));
        }
        Ok(uploaded)
    }

    async fn take(&self, request: Download) -> Result<Downloaded, StoreError> {
        let request = Arc::new(request);
        for _ in 0..ROUNDS_MAX {
            if let Some(page) = self.read_page(&request).await? {
                return Ok(page);
            }
            let (run, registered) = (self.generation, Arc::clone(&request));
            let register = move |connection: &Connection| register(connection, &registered, run);
            if let Some(refusal) = self.writer.write(register).await? {
                return Ok(refusal);
            }
        }
        self.read_page(&request).await?.ok_or(StoreError::Busy)
    }

    /// A page from a snapshot; none for a replica that is not known.
    async fn read_page(&self, request: &Arc<Download>) -> Result<Option<Downloaded>, StoreError> {
        let (request, run) = (Arc::clone(request), self.generation);
        let taken = self.readers.read(move |connection| {
            let Some(space) = find_space(connection, request.space)? else { return Ok(Taken::Unknown) };
            let (mut ledger, here) = open(connection, (request.space, space), &*request.policy, run);
            exchange::download(&mut ledger, here, &request)
        });
        let Taken::Page(page, progress) = taken.await? else { return Ok(None) };
        if let Some(progress) = progress {
            remember(&self.progress, progress);
        }
        Ok(Some(page))
    }
}

/// A log's ledger, and what its requests are told of it.
fn open<'a>(
    connection: &'a Connection,
    (address, space): (SpaceAddress, SpaceId),
    policy: &'a dyn tombolo_core::Policy,
    (ordinal, generation): Run,
) -> (SqliteLedger<'a>, Here) {
    (SqliteLedger::new(connection, space, address.owner, policy, ordinal), Here { space, generation })
}

/// The answer, and the log's end if it grew.
fn bring(connection: &Connection, request: &Upload, run: Run) -> Result<(Uploaded, Option<Seq>), StoreError> {
    match meet(connection, request.space, &request.replica, request.presented)? {
        Met::Others => return Ok((Uploaded::OthersReplica, None)),
        Met::Stale(stale) => return Ok((Uploaded::Stale(stale), None)),
        Met::Welcome => {}
    }
    let space = open_space(connection, request.space, request.now)?;
    let (mut ledger, here) = open(connection, (request.space, space), &*request.policy, run);
    let before = ledger.end()?.seq;
    let uploaded = exchange::upload(&mut ledger, here, request)?;
    let head = ledger.end()?.seq;
    ledger.finish()?;
    Ok((uploaded, (head > before).then_some(head)))
}

/// Makes the replica known; otherwise the answer.
fn register(connection: &Connection, request: &Download, run: Run) -> Result<Option<Downloaded>, StoreError> {
    match meet(connection, request.space, &request.replica, request.since)? {
        Met::Others => return Ok(Some(Downloaded::OthersReplica)),
        Met::Stale(stale) => return Ok(Some(Downloaded::Stale(stale))),
        Met::Welcome => {}
    }
    let space = open_space(connection, request.space, request.now)?;
    let (mut ledger, _) = open(connection, (request.space, space), &*request.policy, run);
    let refusal = exchange::register(&mut ledger, request)?;
    ledger.finish()?;
    Ok(refusal)
}

/// Whether a log that is not there yet may be made for a request.
enum Met {
    Welcome,
    Others,
    Stale(Stale),
}

fn meet(
    connection: &Connection,
    address: SpaceAddress,
    replica: &ReplicaName,
    presented: Option<SpaceCursor>,
) -> Result<Met, StoreError> {
    if find_space(connection, address)?.is_some() {
        return Ok(Met::Welcome);
    }
    let sql = "SELECT 1 FROM replica_spaces b JOIN spaces s ON s.id = b.space
               WHERE b.purpose = ?1 AND b.name = ?2 AND s.owner <> ?3";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let params = params![address.purpose.as_str(), replica.as_str(), address.owner.get()];
    if statement.exists(params).map_err(failed)? {
        return Ok(Met::Others);
    }
    let stale = presented.map(|cursor| stale(connection, address.owner, None, cursor)).transpose()?.flatten();
    Ok(stale.map_or(Met::Welcome, Met::Stale))
}

/// Why `owner` cannot go on from `cursor` in his log, if he has one, which ends there.
pub(super) fn stale(
    connection: &Connection,
    owner: UserId,
    log: Option<(SpaceId, Seq)>,
    cursor: SpaceCursor,
) -> Result<Option<Stale>, StoreError> {
    let (space, head) = log.unwrap_or((SpaceId::new(0), Seq::ZERO));
    if cursor.space != space && was_erased(connection, owner, cursor.space)? {
        return Ok(Some(Stale::Erased));
    }
    // Most are of the present run of history: then its line need not be read.
    let newest = "SELECT 1 FROM generations WHERE ordinal = (SELECT max(ordinal) FROM generations) AND id = ?1";
    let mut statement = connection.prepare_cached(newest).map_err(failed)?;
    let is_present = statement.exists([cursor.generation.to_bytes()]).map_err(failed)?;
    let present = Fork { generation: cursor.generation, seq: Seq::ZERO };
    let line = if is_present { vec![present] } else { line(connection, space, head)? };
    match stand(cursor, space, &line, head).err() {
        Some(ResetReason::OtherAccount) if was_erased_long_ago(connection, owner, cursor.space)? => {
            Ok(Some(Stale::Erased))
        }
        reason => Ok(reason.map(Stale::Reset)),
    }
}

fn was_erased(connection: &Connection, owner: UserId, space: SpaceId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM erased_spaces WHERE space = ?1 AND owner = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.exists([space.get(), owner.get()]).map_err(failed)
}

/// Whether it is remembered of a log only that it is older than those that are remembered one by one.
fn was_erased_long_ago(connection: &Connection, owner: UserId, space: SpaceId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM spaces WHERE id = ?1) AND EXISTS
                   (SELECT 1 FROM erased_spaces WHERE owner = ?2 GROUP BY purpose
                    HAVING count(*) >= ?3 AND min(space) > ?1)";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.exists(params![space.get(), owner.get(), count(ERASED_KEPT)]).map_err(failed)
}

fn remember(waiting: &Waiting, progress: Progress) {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = waiting.iter_mut().find(|known| known.replica.row == progress.replica.row) {
        known.acknowledged = known.acknowledged.max(progress.acknowledged);
        known.given = progress.given;
    } else if waiting.len() < PROGRESS_MAX {
        waiting.push(progress);
    }
}

/// Writes down what waits of downloads.
pub(super) fn note_progress(connection: &Connection, waiting: &Waiting) -> Result<(), StoreError> {
    let noted = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
    let sql = "UPDATE replicas SET acknowledged = max(acknowledged, ?2), given = ?3 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    for Progress { replica, acknowledged, given } in noted {
        statement.execute(params![replica.row.0, int(acknowledged), int(given)]).map_err(failed)?;
    }
    Ok(())
}

impl Replicas for Sqlite {
    fn upload(&self, request: Upload) -> Reply<'_, Uploaded> {
        Box::pin(self.bring(request))
    }

    fn download(&self, request: Download) -> Reply<'_, Downloaded> {
        Box::pin(self.take(request))
    }
}
