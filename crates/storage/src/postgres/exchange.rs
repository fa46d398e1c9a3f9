//! One request of a replica, or a group of them: read, decide, write; again when another node was faster.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor as _};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::timeout;
use tombolo_core::{Seq, SpaceId};

use super::Postgres;
use super::connection::{failed, is_transient};
use super::draft::Draft;
use super::generation::Present;
use super::job::{Job, Outcome};
use super::kept::Kept;
use super::line::Waited;
use super::loaded::{Loaded, SpaceRow};
use super::pending::Pending;
use super::reader::{Met, Reader};
use super::tries::{ATTEMPT_MAX, LOCKED_SETTINGS, Lane, REQUEST_MAX, Retries, Try};
use super::wants::Wants;
use crate::columns::whole_millis;
use crate::exchange::{self as shared, Here, Judged, NothingNew, Page};
use crate::ledger::{IssuedCursor, Ledger as _, Replica};
use crate::{Delivery, Exchange, Exchanged, StoreError};

/// Bytes of writes that one transaction groups: some of the largest requests.
pub(super) const GROUP_BYTES_MAX: usize = 4 << 20;
/// Tries on an unlocked space: where nodes meet, its row is locked first the next time, so that each gets its turn and
/// none works in vain.
const UNLOCKED_TRIES_MAX: u32 = 1;
/// What a poll reads of what is new: enough for the usual news to be there when the full request follows.
const POLL_HEAD_ROWS: i64 = 64;
const POLL_HEAD_BYTES: i64 = 1 << 16;
/// Writes of a request above which deciding it is not done between two other requests of the same thread.
pub(super) const BLOCKING_WRITES: usize = 256;
/// The same of the bytes that it is decided on, those of the writes and what was read for them: taking so much apart and
/// putting it together takes milliseconds.
const BLOCKING_BYTES: usize = 1 << 18;
/// Preceding changes that come with each one that is wanted of a large request: what is missing comes in another round.
const CHAIN_OF_MANY: i64 = 4;
/// How often a push begins anew because its space was erased while it was under way.
const ROUNDS_MAX: usize = 4;

/// What a group of jobs came to.
struct Answered {
    answers: Vec<Result<Outcome, StoreError>>,
    /// Where the log ends, and whether this made it grow.
    head: Seq,
    has_grown: bool,
    /// Whether anything was written.
    is_written: bool,
    /// The space as it was found, and what is known of it once this is committed, where that is kept.
    left: Option<(SpaceRow, Kept)>,
}

impl Answered {
    /// Nothing was done.
    fn nothing(answers: Vec<Result<Outcome, StoreError>>) -> Self {
        Self { answers, head: Seq::ZERO, has_grown: false, is_written: false, left: None }
    }
}

/// What a decision came to.
enum Decided {
    Done(Vec<Outcome>, Box<(Pending, Kept)>),
    Missing(Box<Wants>),
    /// This job fails, and no other.
    Failed(usize, StoreError),
}

impl Postgres {
    pub(super) async fn run(&self, request: Exchange) -> Result<Exchanged, StoreError> {
        let request = Arc::new(request);
        let run = async {
            if request.writes.is_empty()
                && request.refused.is_empty()
                && let Some(exchanged) = self.poll(&request).await?
            {
                return Ok(exchanged);
            }
            self.push(request).await
        };
        timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn push(&self, request: Arc<Exchange>) -> Result<Exchanged, StoreError> {
        for _ in 0..ROUNDS_MAX {
            let job = || Job::Push(Arc::clone(&request));
            let (space, judged) = match self.in_turn(request.space, request.now, job).await? {
                (_, Outcome::Whole(exchanged)) => return Ok(exchanged),
                (space, Outcome::PageIsLarge(judged)) => (space, judged),
                _ => return Err(StoreError::Internal("a job was answered as another".to_owned())),
            };
            let Some(mut page) = self.read_page(space, &request, &judged).await? else { continue };
            let deliveries: Vec<Delivery> = std::mem::take(&mut page.deliveries);
            match self.submit(space, Job::Issue(Arc::clone(&request), Box::new((*judged, page)))).await? {
                Outcome::Whole(exchanged) => return Ok(Exchanged { deliveries, ..exchanged }),
                Outcome::Gone => {}
                _ => return Err(StoreError::Internal("a page was read twice".to_owned())),
            }
        }
        Err(StoreError::Busy)
    }

    pub(super) async fn submit(&self, space: SpaceId, job: Job) -> Result<Outcome, StoreError> {
        match self.lines.wait(space, job, Job::bytes, GROUP_BYTES_MAX).await? {
            Waited::Done(done) => done,
            Waited::Lead(group) => {
                let answers = self.process(space, &group.jobs()).await;
                group.answer(answers)
            }
        }
    }

    /// Answers the jobs of a group, in their order.
    async fn process(&self, space: SpaceId, jobs: &[Arc<Job>]) -> Vec<Result<Outcome, StoreError>> {
        match self.group(space, jobs).await {
            Ok(answers) => answers,
            Err(error) if jobs.len() == 1 || is_transient(&error) => jobs.iter().map(|_| Err(error.again())).collect(),
            Err(_) => {
                // What one of them met must not be the others' failure.
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    let answered = self.group(space, std::slice::from_ref(job)).await;
                    answers.push(answered.and_then(|mut one| one.pop().unwrap_or(Err(StoreError::Closed))));
                }
                answers
            }
        }
    }

    async fn group(&self, space: SpaceId, jobs: &[Arc<Job>]) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let mut retries = Retries::default();
        let mut has_failed = false;
        loop {
            let began_at = self.env.now();
            let is_locked = retries.count >= UNLOCKED_TRIES_MAX;
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.attempt_on(&mut lane.connection, space, jobs, is_locked));
                    let tried = tried.await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            has_failed |= tried.is_err();
            if let Some(Answered { answers, head, has_grown, is_written, left }) = retries.weigh(tried).await? {
                if is_written {
                    self.commits.count(jobs.len(), self.env.now().since(began_at));
                }
                if let Some((found, kept)) = left {
                    self.kept.keep(space, &found, kept);
                }
                // Only now is it committed. A try that failed may have been, too: then this one found all of it done.
                if let Some(first) = jobs.first().filter(|_| has_grown || has_failed) {
                    self.bus.grew(first.space(), head);
                }
                return Ok(answers);
            }
        }
    }

    async fn attempt_on(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        jobs: &[Arc<Job>],
        is_locked: bool,
    ) -> Result<Try<Answered>, StoreError> {
        let present = self.present(connection).await?;
        if !is_locked {
            return self.attempt(connection, space, present, jobs).await;
        }
        let mut transaction = Connection::begin(connection).await.map_err(failed)?;
        transaction.execute(LOCKED_SETTINGS).await.map_err(failed)?;
        let row = sqlx::query("SELECT 1 FROM spaces WHERE id = $1 FOR UPDATE").bind(space.get());
        row.execute(&mut *transaction).await.map_err(failed)?;
        let tried = self.attempt(&mut transaction, space, present, jobs).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(tried)
    }

    async fn attempt(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        present: Present,
        jobs: &[Arc<Job>],
    ) -> Result<Try<Answered>, StoreError> {
        let Some(first) = jobs.first() else { return Ok(Try::Done(Answered::nothing(Vec::new()))) };
        let (policy, owner) = (first.policy(), first.space().owner);
        let exchanges: Vec<&Exchange> = jobs.iter().filter_map(|job| job.exchange()).collect();
        let write_count = jobs.iter().map(|job| job.writes().len()).sum();
        let mut reader = Reader::new(self, connection, space, policy, present);
        // How far replicas are is noted by downloads without a turn: it is not kept, but read.
        reader.is_kept_used = exchanges.len() == jobs.len();
        if let Some(exchange) = exchanges.first() {
            reader.bounds.head_bytes = i64::try_from(exchange.page_bytes_max).unwrap_or(i64::MAX);
        }
        if write_count >= BLOCKING_WRITES {
            reader.bounds.chain = CHAIN_OF_MANY;
        }
        let mut wants = Wants::default();
        jobs.iter().for_each(|job| job.foresee(&mut wants));
        let mut loaded = match reader.begin(&wants).await? {
            Met::There(loaded) => loaded,
            Met::Gone => {
                return Ok(Try::Done(Answered::nothing(jobs.iter().map(|_| Ok(Outcome::Gone)).collect())));
            }
            Met::Elsewhere => return Ok(Try::Again),
        };
        let mut errors = BTreeMap::new();
        let bytes: usize = jobs.iter().map(|job| job.bytes()).sum();
        let (outcomes, written) = loop {
            let is_large = bytes + loaded.content_bytes() >= BLOCKING_BYTES;
            let size = if is_large { BLOCKING_WRITES } else { write_count };
            let scouted_max = reader.scouted_max();
            let decided = blocking(size, || decide(space, (&loaded, scouted_max), present, jobs, &errors));
            match decided {
                Decided::Done(outcomes, written) => break (outcomes, written),
                Decided::Failed(place, error) => drop(errors.insert(place, error)),
                Decided::Missing(wants) => {
                    if reader.go_on(&mut loaded, *wants, &exchanges).await?.is_break() {
                        return Ok(Try::Again);
                    }
                }
            }
        };
        let (pending, kept) = *written;
        let is_written = errors.len() < jobs.len() && !pending.is_empty();
        if is_written {
            if !pending.write(reader.connection, space, owner, loaded.space.version).await? {
                self.kept.forget(space);
                return Ok(Try::Again);
            }
            pending.prune_refusals(reader.connection, owner).await?;
        }
        let before = loaded.space.end.seq;
        let head = if is_written { pending.end.seq } else { before };
        let mut outcomes = outcomes.into_iter();
        let answers = (0..jobs.len()).map(|place| match errors.remove(&place) {
            Some(error) => Err(error),
            None => outcomes.next().ok_or_else(|| StoreError::Internal("a job was not decided".to_owned())),
        });
        let left = (is_written && reader.is_kept_used).then_some((loaded.space, kept));
        Ok(Try::Done(Answered { answers: answers.collect(), head, has_grown: head > before, is_written, left }))
    }

    /// Answers a request that brings nothing, when there is nothing for it either.
    async fn poll(&self, request: &Arc<Exchange>) -> Result<Option<Exchanged>, StoreError> {
        let mut retries = Retries::default();
        loop {
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.poll_on(&mut lane.connection, request)).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            if let Some(answer) = retries.weigh(tried).await? {
                return Ok(answer);
            }
        }
    }

    async fn poll_on(
        &self,
        connection: &mut PgConnection,
        request: &Arc<Exchange>,
    ) -> Result<Try<Option<Exchanged>>, StoreError> {
        let Some(space) = self.space(connection, request.space, None).await? else {
            return Ok(Try::Done(Some(shared::nothing(request).exchanged)));
        };
        let present = self.present(connection).await?;
        let mut reader = Reader::new(self, connection, space, &*request.policy, present);
        (reader.bounds.head_rows, reader.bounds.head_bytes) = (POLL_HEAD_ROWS, POLL_HEAD_BYTES);
        let mut wants = Wants::default();
        wants.foresee(request);
        let Met::There(mut loaded) = reader.begin(&wants).await? else { return Ok(Try::Again) };
        loop {
            let (polled, wants) = {
                let mut draft = Draft::new(space, &loaded, &*request.policy, present.ordinal);
                let polled = shared::poll(&mut draft, request);
                (polled, draft.wants().clone())
            };
            if !wants.is_empty() {
                if reader.go_on(&mut loaded, wants, &[request]).await?.is_break() {
                    return Ok(Try::Again);
                }
                continue;
            }
            let Some(NothingNew { exchanged, acknowledged }) = polled? else { return Ok(Try::Done(None)) };
            if let Some((replica, cursor)) = acknowledged {
                acknowledge(reader.connection, space, &replica, &cursor).await?;
                self.kept.acknowledge(space, replica.row, &cursor);
            }
            return Ok(Try::Done(Some(exchanged)));
        }
    }

    /// Reads a page that is too large to be read with the push that it answers; `None` when the space is gone.
    async fn read_page(
        &self,
        space: SpaceId,
        request: &Arc<Exchange>,
        judged: &Judged,
    ) -> Result<Option<Page>, StoreError> {
        let mut retries = Retries::default();
        loop {
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.page_on(&mut lane.connection, space, request, judged)).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            if let Some(page) = retries.weigh(tried).await? {
                return Ok(page);
            }
        }
    }

    /// Reads it from one snapshot.
    async fn page_on(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        request: &Arc<Exchange>,
        judged: &Judged,
    ) -> Result<Try<Option<Page>>, StoreError> {
        let present = self.present(connection).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut snapshot = connection.begin_with(begin).await.map_err(failed)?;
        let mut reader = Reader::new(self, &mut snapshot, space, &*request.policy, present);
        reader.bounds.head_bytes = i64::try_from(request.page_bytes_max).unwrap_or(i64::MAX);
        let mut wants = Wants::default();
        wants.replicas.insert(request.replica.clone());
        let mut loaded = match reader.begin(&wants).await? {
            Met::There(loaded) => loaded,
            Met::Gone => return Ok(Try::Done(None)),
            Met::Elsewhere => return Ok(Try::Again),
        };
        let page = loop {
            let (page, wants) = {
                let mut draft = Draft::new(space, &loaded, &*request.policy, present.ordinal);
                let page = blocking(BLOCKING_WRITES, || shared::read_page(&mut draft, request, judged));
                (page, draft.wants().clone())
            };
            if wants.is_empty() {
                break page?;
            }
            if reader.go_on(&mut loaded, wants, &[request]).await?.is_break() {
                return Ok(Try::Again);
            }
        };
        snapshot.commit().await.map_err(failed)?;
        Ok(Try::Done(Some(page)))
    }
}

/// Runs what may take long where it holds up no other request, if there is such a place.
pub(super) fn blocking<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let is_possible = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if size >= BLOCKING_WRITES && is_possible { tokio::task::block_in_place(work) } else { work() }
}

/// Decides the jobs on one draft, one after the other, but for those that failed before.
fn decide(
    space: SpaceId,
    (loaded, scouted_max): (&Loaded, usize),
    present: Present,
    jobs: &[Arc<Job>],
    failed: &BTreeMap<usize, StoreError>,
) -> Decided {
    let here = Here { space, generation: present.id };
    let mut draft = Draft::new(space, loaded, jobs[0].policy(), present.ordinal).scouting(scouted_max);
    let mut outcomes = Vec::with_capacity(jobs.len());
    for (place, job) in jobs.iter().enumerate().filter(|(place, _)| !failed.contains_key(place)) {
        let decided = catch_unwind(AssertUnwindSafe(|| job.decide(&mut draft, here)));
        if !draft.wants().is_empty() {
            if draft.is_scouting() {
                continue;
            }
            break;
        }
        match decided {
            Ok(Ok(outcome)) => outcomes.push(outcome),
            Ok(Err(error)) => return Decided::Failed(place, error),
            Err(_) => {
                tracing::error!("a decision panicked; its request fails, the others go on");
                return Decided::Failed(place, StoreError::Internal("a decision panicked: see the log".to_owned()));
            }
        }
    }
    if !draft.wants().is_empty() {
        return Decided::Missing(Box::new(draft.wants().clone()));
    }
    Decided::Done(outcomes, Box::new(draft.finish()))
}

/// Notes that a poll acknowledged a cursor. It need not wait for the disk: if it is lost, something is sent again.
async fn acknowledge(
    connection: &mut PgConnection,
    space: SpaceId,
    replica: &Replica,
    cursor: &IssuedCursor,
) -> Result<(), StoreError> {
    let sql = "WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
         UPDATE cursors SET polled = 1, alias = $4 FROM relaxed WHERE space = $1 AND replica = $2 AND token = $3";
    let alias = cursor.alias.map(|alias| alias.to_bytes().to_vec());
    let update = sqlx::query(sql).bind(space.get()).bind(replica.row.0).bind(whole_millis(cursor.token)).bind(alias);
    update.execute(connection).await.map(drop).map_err(failed)
}
