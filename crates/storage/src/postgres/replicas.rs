//! Replicas that bring and take in two requests.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{ReplicaName, ResetReason, ServerTime, SpaceCursor, SpaceId, stand};

use super::Postgres;
use super::connection::{acquire, failed};
use super::draft::Draft;
use super::exchange::{BLOCKING_WRITES, blocking};
use super::generation::{self, Present};
use super::job::{Job, Outcome};
use super::reader::{Met, Reader};
use super::tries::{ATTEMPT_MAX, Lane, REQUEST_MAX, Retries, Try};
use super::wants::Wants;
use crate::columns::{count, int};
use crate::erasure::ERASED_KEPT;
use crate::exchange::{self as shared, Here, Progress, Taken};
use crate::{Download, Downloaded, Replicas, Reply, SpaceAddress, Stale, StoreError, Upload, Uploaded};

/// How often a request begins anew because its space was erased, or its replica forgotten, while it was under way.
const ROUNDS_MAX: usize = 4;

/// Why a replica is turned away where there is no space.
enum Away {
    Others,
    Stale(Stale),
}

impl Replicas for Postgres {
    fn upload(&self, request: Upload) -> Reply<'_, Uploaded> {
        self.note_call();
        Box::pin(async move {
            let run = self.bring(Arc::new(request));
            timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
        })
    }

    fn download(&self, request: Download) -> Reply<'_, Downloaded> {
        self.note_call();
        Box::pin(async move {
            let run = self.take(Arc::new(request));
            timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
        })
    }
}

impl Postgres {
    async fn bring(&self, request: Arc<Upload>) -> Result<Uploaded, StoreError> {
        match self.away(request.space, &request.replica, request.presented).await? {
            Some(Away::Others) => return Ok(Uploaded::OthersReplica),
            Some(Away::Stale(stale)) => return Ok(Uploaded::Stale(stale)),
            None => {}
        }
        match self.in_turn(request.space, request.now, || Job::Upload(Arc::clone(&request))).await? {
            (_, Outcome::Uploaded(uploaded)) => Ok(uploaded),
            _ => Err(other_answer()),
        }
    }

    async fn take(&self, request: Arc<Download>) -> Result<Downloaded, StoreError> {
        for _ in 0..ROUNDS_MAX {
            match self.away(request.space, &request.replica, request.since).await? {
                Some(Away::Others) => return Ok(Downloaded::OthersReplica),
                Some(Away::Stale(stale)) => return Ok(Downloaded::Stale(stale)),
                None => {}
            }
            let taken = match self.found_space(request.space).await? {
                Some(space) => self.page(space, &request).await?,
                None => Some(Taken::Unknown),
            };
            match taken {
                // It was erased between the two.
                None => {}
                Some(Taken::Page(page, _)) => return Ok(page),
                Some(Taken::Unknown) => {
                    let job = || Job::Register(Arc::clone(&request));
                    match self.in_turn(request.space, request.now, job).await? {
                        (_, Outcome::Registered(Some(answer))) => return Ok(answer),
                        (_, Outcome::Registered(None)) => {}
                        _ => return Err(other_answer()),
                    }
                }
            }
        }
        Err(StoreError::Busy)
    }

    /// Does a job in turn on its space, which is made where it is missing.
    pub(super) async fn in_turn(
        &self,
        address: SpaceAddress,
        now: ServerTime,
        job: impl Fn() -> Job,
    ) -> Result<(SpaceId, Outcome), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let space = match self.known_space(address) {
                Some(space) => space,
                None => self.make_space(address, now).await?,
            };
            match self.submit(space, job()).await? {
                // Another node erased it; this one has forgotten it now.
                Outcome::Gone => {}
                outcome => return Ok((space, outcome)),
            }
        }
        Err(StoreError::Busy)
    }

    async fn make_space(&self, address: SpaceAddress, now: ServerTime) -> Result<SpaceId, StoreError> {
        // Another erased it as soon as it was made.
        self.looked_up(address, Some(now)).await?.ok_or(StoreError::Busy)
    }

    async fn found_space(&self, address: SpaceAddress) -> Result<Option<SpaceId>, StoreError> {
        match self.known_space(address) {
            Some(space) => Ok(Some(space)),
            None => self.looked_up(address, None).await,
        }
    }

    /// The number of a space, which is made when it is missing and `is_to_be` says when.
    async fn looked_up(
        &self,
        address: SpaceAddress,
        is_to_be: Option<ServerTime>,
    ) -> Result<Option<SpaceId>, StoreError> {
        let mut retries = Retries::default();
        loop {
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let found = self.space(&mut lane.connection, address, is_to_be);
                    let tried = timeout(ATTEMPT_MAX, found).await;
                    lane.settle(tried).map(Try::Done)
                }
                Err(error) => Err(error),
            };
            if let Some(found) = retries.weigh(tried).await? {
                return Ok(found);
            }
        }
    }

    /// Why a replica is turned away where there is no space: none is made for that.
    async fn away(
        &self,
        address: SpaceAddress,
        replica: &ReplicaName,
        presented: Option<SpaceCursor>,
    ) -> Result<Option<Away>, StoreError> {
        if self.found_space(address).await?.is_some() {
            return Ok(None);
        }
        let mut connection = acquire(&self.pool).await?;
        self.present(&mut connection).await?;
        let sql = "SELECT EXISTS (SELECT FROM replica_spaces b JOIN spaces s ON s.id = b.space
                       WHERE b.purpose = $1 AND b.name = $2 AND s.owner <> $3),
                   EXISTS (SELECT FROM erased_spaces WHERE space = $4 AND owner = $3),
                   CASE WHEN EXISTS (SELECT FROM spaces WHERE id = $4) THEN false ELSE EXISTS
                       (SELECT FROM erased_spaces WHERE owner = $3 GROUP BY purpose
                        HAVING count(*) >= $5 AND min(space) > $4) END";
        let select = sqlx::query(sql).bind(address.purpose.as_str()).bind(replica.as_str());
        let select = select.bind(address.owner.get()).bind(presented.map(|cursor| cursor.space.get()));
        let select = select.bind(count(ERASED_KEPT));
        let row = select.fetch_one(&mut *connection).await.map_err(failed)?;
        if row.try_get(0).map_err(failed)? {
            return Ok(Some(Away::Others));
        }
        let Some(cursor) = presented else { return Ok(None) };
        if row.try_get(1).map_err(failed)? {
            return Ok(Some(Away::Stale(Stale::Erased)));
        }
        let (line, head, _) = generation::line(&mut connection, None).await?;
        // No space has this number.
        Ok(match stand(cursor, SpaceId::new(0), &line, head).err() {
            Some(ResetReason::OtherAccount) if row.try_get(2).map_err(failed)? => Some(Away::Stale(Stale::Erased)),
            reason => reason.map(|reason| Away::Stale(Stale::Reset(reason))),
        })
    }

    /// Reads a page; `None` when the space is gone.
    async fn page(&self, space: SpaceId, request: &Arc<Download>) -> Result<Option<Taken>, StoreError> {
        let mut retries = Retries::default();
        loop {
            let is_again = retries.count > 0;
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = self.page_of(&mut lane.connection, space, request, is_again);
                    let tried = timeout(ATTEMPT_MAX, tried).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            if let Some(page) = retries.weigh(tried).await? {
                return Ok(page);
            }
        }
    }

    /// The usual page is read in one statement, which is a snapshot. Where it takes several and the space changed between
    /// them, they are made again in one.
    async fn page_of(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        request: &Download,
        is_again: bool,
    ) -> Result<Try<Option<Taken>>, StoreError> {
        let present = self.present(connection).await?;
        let taken = if is_again {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut snapshot = connection.begin_with(begin).await.map_err(failed)?;
            let taken = self.page_in(&mut snapshot, space, request, present).await?;
            snapshot.commit().await.map_err(failed)?;
            taken
        } else {
            self.page_in(connection, space, request, present).await?
        };
        if let Try::Done(Some(Taken::Page(_, Some(progress)))) = &taken {
            note(connection, space, progress).await?;
        }
        Ok(taken)
    }

    async fn page_in(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        request: &Download,
        present: Present,
    ) -> Result<Try<Option<Taken>>, StoreError> {
        let mut reader = Reader::new(self, connection, space, &*request.policy, present);
        reader.is_kept_used = false;
        // One more than fit says whether there are more.
        reader.bounds.head_rows = count(request.count_max.saturating_add(1));
        reader.bounds.head_bytes = count(request.page_bytes_max);
        let mut wants = Wants::default();
        wants.foresee_download(request);
        let mut loaded = match reader.begin(&wants).await? {
            Met::There(loaded) => loaded,
            Met::Gone => return Ok(Try::Done(None)),
            Met::Elsewhere => return Ok(Try::Again),
        };
        let here = Here { space, generation: present.id };
        loop {
            let (taken, wants) = {
                let mut draft = Draft::new(space, &loaded, &*request.policy, present.ordinal);
                let taken = blocking(BLOCKING_WRITES, || shared::download(&mut draft, here, request));
                (taken, draft.wants().clone())
            };
            if wants.is_empty() {
                return Ok(Try::Done(Some(taken?)));
            }
            if reader.go_on(&mut loaded, wants, &[]).await?.is_break() {
                return Ok(Try::Again);
            }
        }
    }
}

/// Notes how far a replica is. It need not wait for the disk: what its loss comes to, [`Progress`] says.
async fn note(connection: &mut PgConnection, space: SpaceId, progress: &Progress) -> Result<(), StoreError> {
    let sql = "WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
         UPDATE replicas SET acknowledged = greatest(acknowledged, $3), given = $4 FROM relaxed
         WHERE space = $1 AND id = $2";
    let update = sqlx::query(sql).bind(space.get()).bind(progress.replica.row.0);
    let update = update.bind(int(progress.acknowledged)).bind(int(progress.given));
    update.execute(connection).await.map(drop).map_err(failed)
}

fn other_answer() -> StoreError {
    StoreError::Internal("a job was answered as another".to_owned())
}
