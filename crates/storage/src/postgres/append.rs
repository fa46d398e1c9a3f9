//! Appending: on a locked space, since what is new is known only from what is there, and nothing is thought over
//! meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{
    Digest, Instant, Op, Origin, ProjectId, Purpose, Role, Seq, ServerTime, SpaceId, SpaceNumber, UserId, Verdict,
};

use super::Postgres;
use super::connection::{WAIT_FOR_DISK, failed, is_transient};
use super::exchange::GROUP_BYTES_MAX;
use super::generation::Run;
use super::line::Waited;
use super::statement::{Rows, Statement};
use super::tries::{ATTEMPT_MAX, LOCKED_SETTINGS, Lane, REQUEST_MAX, Retries, Try};
use crate::columns::{checksum_of, int, op_code, origin_code, seq_of, verdict_code, whole_millis};
use crate::entries::Standing;
use crate::entries::plan::{Placed, plan};
use crate::ledger::{End, NO_RECORD, NewChange};
use crate::{Append, Appended, Guard, NotAppended, SpaceAddress, StoreError};

type Answers = Vec<Result<Vec<Appended>, NotAppended>>;

/// What a group of requests came to.
struct Done {
    answers: Answers,
    /// The project's log, if there is one, and where it ends.
    end: Option<(SpaceAddress, Seq)>,
    has_grown: bool,
}

/// The locked row of a space.
struct Locked {
    space: SpaceId,
    address: SpaceAddress,
    end: End,
    /// The generation that last wrote here.
    generation: i64,
    run: Run,
}

/// An entry with its place, and who appends it.
struct New<'e> {
    placed: Placed<'e>,
    actor: UserId,
}

fn bytes_of(append: &Append) -> usize {
    append.entries.iter().map(|entry| entry.payload.len() + 128).sum()
}

fn parts(append: &Append) -> (ProjectId, UserId) {
    match append.guard {
        Guard::Member { project, user } => (project, user),
        // Not built yet: such a project there is not.
        Guard::Rules { user, .. } => (ProjectId::new(0), user),
    }
}

impl Postgres {
    /// Appends in turn with whoever else on this node appends to the same project: one transaction for all who wait.
    pub(super) async fn append_in_turn(
        &self,
        append: Append,
    ) -> Result<Result<Vec<Appended>, NotAppended>, StoreError> {
        append.check()?;
        let (project, _) = parts(&append);
        let run = async {
            match self.appending.wait(project, append, bytes_of, GROUP_BYTES_MAX).await? {
                Waited::Done(done) => done,
                Waited::Lead(group) => {
                    let answers = self.append_each(project, &group.jobs()).await;
                    group.answer(answers)
                }
            }
        };
        timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
    }

    /// Answers the requests of a group, in their order.
    async fn append_each(
        &self,
        project: ProjectId,
        jobs: &[Arc<Append>],
    ) -> Vec<Result<Result<Vec<Appended>, NotAppended>, StoreError>> {
        match self.append_group(project, jobs).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if jobs.len() == 1 || is_transient(&error) => jobs.iter().map(|_| Err(error.again())).collect(),
            Err(_) => {
                // What one of them met must not be the others' failure.
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    let answered = self.append_group(project, std::slice::from_ref(job)).await;
                    answers.push(answered.and_then(|mut one| one.pop().ok_or(StoreError::Closed)));
                }
                answers
            }
        }
    }

    async fn append_group(&self, project: ProjectId, jobs: &[Arc<Append>]) -> Result<Answers, StoreError> {
        let mut retries = Retries::default();
        let mut has_failed = false;
        loop {
            let began_at = self.env.now();
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.append_on(&mut lane.connection, project, jobs)).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            has_failed |= tried.is_err();
            if let Some(Done { answers, end, has_grown }) = retries.weigh(tried).await? {
                if has_grown {
                    self.commits.count(jobs.len(), self.env.now().since(began_at));
                }
                // Only now is it committed. A try that failed may have been, too: then this one found all of it there.
                if let Some((address, head)) = end.filter(|_| has_grown || has_failed) {
                    self.bus.grew(address, head);
                }
                return Ok(answers);
            }
        }
    }

    async fn append_on(
        &self,
        connection: &mut PgConnection,
        project: ProjectId,
        jobs: &[Arc<Append>],
    ) -> Result<Try<Done>, StoreError> {
        let present = self.present(connection).await?;
        let begin = sqlx::AssertSqlSafe(format!("BEGIN; {LOCKED_SETTINGS}"));
        let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
        let now = jobs.iter().map(|job| job.now).max().unwrap_or(ServerTime::from_micros(0));
        let Some(locked) = lock_or_make(&mut transaction, project, now).await? else {
            transaction.rollback().await.map_err(failed)?;
            let answers =
                jobs.iter().map(|_| Standing::admit(None).map(|_| Vec::new()).map_err(NotAppended::from)).collect();
            return Ok(Try::Done(Done { answers, end: None, has_grown: false }));
        };
        if locked.run != present.run {
            transaction.rollback().await.map_err(failed)?;
            self.forget();
            return Ok(Try::Again);
        }
        let standings = standings(&mut transaction, project, jobs).await?;
        let mut known = known(&mut transaction, locked.space, jobs).await?;
        let (mut answers, mut new, mut end) = (Answers::with_capacity(jobs.len()), Vec::new(), locked.end);
        for job in jobs {
            let (_, actor) = parts(job);
            answers.push(
                Standing::admit(standings.get(&actor).copied())
                    .map(|_| {
                        let planned = plan(&job.entries, &known, end, job.now);
                        known.extend(planned.new.iter().map(|placed| (placed.entry.key, placed.at.seq)));
                        new.extend(planned.new.into_iter().map(|placed| New { placed, actor }));
                        end = planned.end;
                        planned.answers
                    })
                    .map_err(NotAppended::from),
            );
        }
        if new.is_empty() {
            transaction.rollback().await.map_err(failed)?;
        } else {
            write(&mut transaction, &locked, present.ordinal, &new, end).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(Try::Done(Done { answers, end: Some((locked.address, end.seq)), has_grown: !new.is_empty() }))
    }
}

// What is looked up below is looked up by its whole key, row by row: a plan that was made while the tables were small, and
// that went through one of them instead, would serve when they are large.

/// Locks the space of a project, which is made when it is missing; `None` when there is no such project.
async fn lock_or_make(
    connection: &mut PgConnection,
    project: ProjectId,
    now: ServerTime,
) -> Result<Option<Locked>, StoreError> {
    if let Some(locked) = lock(connection, project).await? {
        return Ok(Some(locked));
    }
    let sql = "INSERT INTO spaces (owner, purpose, number, created_at)
               SELECT created_by, purpose, id, $2 FROM projects WHERE id = $1 ON CONFLICT DO NOTHING";
    let insert = sqlx::query(sql).bind(project.get()).bind(now.micros());
    insert.execute(&mut *connection).await.map_err(failed)?;
    lock(connection, project).await
}

async fn lock(connection: &mut PgConnection, project: ProjectId) -> Result<Option<Locked>, StoreError> {
    let [started, database] = Run::COLUMNS;
    let mut statement = Statement::default();
    let id = statement.bind(project.get())?;
    statement.push(&format!(
        "SELECT s.id, s.owner, s.purpose, s.head_seq, s.head_time, s.generation, {started}, {database}
         FROM projects p CROSS JOIN LATERAL (SELECT * FROM spaces k
             WHERE k.owner = p.created_by AND k.purpose = p.purpose AND k.number = p.id FOR UPDATE) s
         WHERE p.id = {id}"
    ));
    let rows = statement.rows(connection, |row| {
        let seq =
            seq_of(int_at(&row, 3)?).ok_or_else(|| StoreError::Corrupt("a space's head is negative".to_owned()))?;
        Ok(Locked {
            space: SpaceId::new(int_at(&row, 0)?),
            address: address(&row, project, 1, 2)?,
            end: End { seq, committed_at: ServerTime::from_micros(int_at(&row, 4)?) },
            generation: int_at(&row, 5)?,
            run: Run::new(int_at(&row, 6)?, int_at(&row, 7)?),
        })
    });
    Ok(rows.await?.pop())
}

/// How those who append stand to the project, as far as they belong to it. What says so is locked until the end, so
/// that whoever is removed has appended before that, or not at all: the project first, as whoever changes its members
/// does.
async fn standings(
    connection: &mut PgConnection,
    project: ProjectId,
    jobs: &[Arc<Append>],
) -> Result<BTreeMap<UserId, Standing>, StoreError> {
    let mut users: Vec<i64> = jobs.iter().map(|job| parts(job).1.get()).collect();
    users.sort_unstable();
    users.dedup();
    let mut statement = Statement::default();
    let (id, users) = (statement.bind(project.get())?, statement.bind(users)?);
    statement.push(&format!(
        "WITH p AS MATERIALIZED (SELECT id, created_by, purpose, deleted_at IS NOT NULL AS is_deleted FROM projects
             WHERE id = {id} FOR SHARE)
         SELECT m.user_id, m.role, p.created_by, p.purpose, p.is_deleted FROM p CROSS JOIN unnest({users}) n(id)
         CROSS JOIN LATERAL (SELECT * FROM memberships k WHERE k.project = p.id AND k.user_id = n.id FOR SHARE) m
         CROSS JOIN LATERAL (SELECT FROM users k WHERE k.id = n.id AND k.disabled_at IS NULL FOR SHARE) u"
    ));
    let rows = statement.rows(connection, |row| {
        let role: &str = row.try_get(1).map_err(failed)?;
        let role = Role::parse(role).map_err(|_| StoreError::Corrupt("a member's role is none".to_owned()))?;
        let is_deleted = row.try_get(4).map_err(failed)?;
        let standing = Standing { space: address(&row, project, 2, 3)?, is_deleted, role: Some(role) };
        Ok((UserId::new(int_at(&row, 0)?), standing))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Which keys of the entries the log holds, each with its place.
async fn known(
    connection: &mut PgConnection,
    space: SpaceId,
    jobs: &[Arc<Append>],
) -> Result<HashMap<Digest, Seq>, StoreError> {
    let keys: Vec<Vec<u8>> =
        jobs.iter().flat_map(|job| &job.entries).map(|entry| entry.key.to_bytes().to_vec()).collect();
    let mut statement = Statement::default();
    let space = statement.bind(space.get())?;
    let keys = Rows::new().column(&mut statement, keys)?.from("n(key)");
    // Looked up one by one, whatever the plan was made for: one that was made while the table was small might look
    // through all keys of the space.
    statement.push(&format!(
        "SELECT k.key, k.seq FROM {keys}
         CROSS JOIN LATERAL (SELECT * FROM idempotency_keys k WHERE k.space = {space} AND k.key = n.key OFFSET 0) k"
    ));
    let damaged = || StoreError::Corrupt("an entry's key is damaged".to_owned());
    let rows = statement.rows(connection, |row| {
        let key: &[u8] = row.try_get(0).map_err(failed)?;
        let key = Digest::from_bytes(key.try_into().map_err(|_| damaged())?);
        Ok((key, seq_of(int_at(&row, 1)?).ok_or_else(damaged)?))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Writes the entries and their keys, and the log's new end, in one statement. The commit then waits for the disk,
/// whatever the database was told.
async fn write(
    connection: &mut PgConnection,
    locked: &Locked,
    generation: i64,
    new: &[New<'_>],
    end: End,
) -> Result<(), StoreError> {
    let mut statement = Statement::default();
    let s = &mut statement;
    let (space, before) = (s.bind(locked.space.get())?, s.bind(int(locked.end.seq))?);
    let (head, time, present) = (s.bind(int(end.seq))?, s.bind(end.committed_at.micros())?, s.bind(generation)?);
    // What nodes keep of a space they refuse to believe at another version.
    s.push(&format!(
        "WITH g AS (UPDATE spaces SET head_seq = {head}, head_time = {time}, generation = {present},
             version = version + 1 WHERE id = {space} AND head_seq = {before} RETURNING {WAIT_FOR_DISK})"
    ));
    if locked.generation != generation {
        s.push(&format!(
            ", f AS (INSERT INTO forks (space, generation, seq) SELECT {space}, {present}, {before} FROM g
                 ON CONFLICT DO NOTHING)"
        ));
    }
    let changes = changes(s, new)?;
    let keys = Rows::new()
        .column(s, new.iter().map(|one| int(one.placed.at.seq)).collect::<Vec<_>>())?
        .column(s, new.iter().map(|one| one.placed.entry.key.to_bytes().to_vec()).collect::<Vec<_>>())?
        .from("n");
    let (record, op) = (NO_RECORD.0, op_code(Op::Put));
    let (origin, verdict) = (origin_code(Origin::Replica), verdict_code(Verdict::Applied));
    s.push(&format!(
        ", c AS (INSERT INTO changes (space, record, op, origin, verdict, seq, committed_at, written_at, stamp_at,
                 public_at, actor, digest, checksum, payload)
             SELECT {space}, {record}, {op}, {origin}, {verdict}, n.* FROM g, {changes}),
         k AS (INSERT INTO idempotency_keys (space, seq, key) SELECT {space}, n.* FROM g, {keys})
         SELECT 1 FROM g"
    ));
    let written = statement.rows(connection, |_| Ok(())).await?;
    if written.is_empty() {
        return Err(StoreError::Internal("a locked space was changed".to_owned()));
    }
    Ok(())
}

/// What differs between the entries, a column each.
fn changes(s: &mut Statement, new: &[New<'_>]) -> Result<String, StoreError> {
    let rows: Vec<(NewChange<'_>, &New<'_>)> =
        new.iter().map(|one| (NewChange::of_entry(one.placed.entry, one.placed.at.committed_at), one)).collect();
    let bytes = |instant: Instant| instant.to_bytes().to_vec();
    let stamps: Result<Vec<i64>, _> = rows.iter().map(|(change, _)| i64::try_from(change.stamp_at.nanos())).collect();
    let stamps = stamps.map_err(|_| StoreError::Internal("a stamp is beyond 2262".to_owned()))?;
    Ok(Rows::new()
        .column(s, rows.iter().map(|(_, one)| int(one.placed.at.seq)).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(_, one)| one.placed.at.committed_at.micros()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| bytes(change.written_at)).collect::<Vec<_>>())?
        .column(s, stamps)?
        .column(s, rows.iter().map(|(change, _)| whole_millis(change.public_at)).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(_, one)| one.actor.get()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| change.digest.to_bytes().to_vec()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| i64::from(checksum_of(change.payload))).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| change.payload).collect::<Vec<_>>())?
        .from("n"))
}

fn int_at(row: &PgRow, at: usize) -> Result<i64, StoreError> {
    row.try_get(at).map_err(failed)
}

fn address(row: &PgRow, project: ProjectId, owner: usize, purpose: usize) -> Result<SpaceAddress, StoreError> {
    let purpose: &str = row.try_get(purpose).map_err(failed)?;
    let purpose = Purpose::parse(purpose).map_err(|_| StoreError::Corrupt("a project's purpose is none".to_owned()))?;
    Ok(SpaceAddress { owner: UserId::new(int_at(row, owner)?), purpose, number: SpaceNumber::new(project.get()) })
}
