//! Appending: on a locked space, since what is new is known only from what is there, and nothing is thought over
//! meanwhile.
//!
//! What a transaction locks, it locks in the order that all do: the space; the project and its memberships, or nothing;
//! users, by number; what belongs to them; and last, where who gets in was changed, the version of the accounts.

mod admitted;
mod effects;
mod known;
mod locked;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{Digest, Refusal, Seq, ServerTime};

use super::Postgres;
use super::connection::{failed, is_transient};
use super::exchange::GROUP_BYTES_MAX;
use super::line::Waited;
use super::people::Tell;
use super::tries::{ATTEMPT_MAX, LOCKED_SETTINGS, Lane, REQUEST_MAX, Retries, Try};
use crate::entries::plan::{Known, Plan, plan};
use crate::ledger::End;
use crate::{Append, Appended, NotAppended, SpaceAddress, StoreError};
use admitted::Admitted;
use effects::has_effects;
use known::{compares, known};
pub(super) use locked::Target;
use locked::{Locked, lock_or_make};
use write::{New, write};

type Answers = Vec<Result<Vec<Appended>, NotAppended>>;

/// What a group of requests came to.
struct Done {
    answers: Answers,
    /// The log, if there is one, and where it ends.
    end: Option<(SpaceAddress, Seq)>,
    has_grown: bool,
}

/// What a request weighs in its group. One that does more than to be stored is a group of its own.
fn weight_of(append: &Append) -> usize {
    match has_effects(append) {
        true => GROUP_BYTES_MAX + 1,
        false => append.entries.iter().map(|entry| entry.payload.len() + 128).sum(),
    }
}

impl Postgres {
    /// Appends in turn with whoever else on this node appends to the same log: one transaction for all who wait.
    pub(super) async fn append_in_turn(
        &self,
        append: Append,
    ) -> Result<Result<Vec<Appended>, NotAppended>, StoreError> {
        append.check()?;
        let (target, _) = Target::of(&append);
        let run = async {
            match self.appending.wait(target, append, weight_of, GROUP_BYTES_MAX).await? {
                Waited::Done(done) => done,
                Waited::Lead(group) => {
                    let answers = self.append_each(target, &group.jobs()).await;
                    group.answer(answers)
                }
            }
        };
        timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
    }

    /// Answers the requests of a group, in their order.
    async fn append_each(
        &self,
        target: Target,
        jobs: &[Arc<Append>],
    ) -> Vec<Result<Result<Vec<Appended>, NotAppended>, StoreError>> {
        match self.append_group(target, jobs).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if jobs.len() == 1 || is_transient(&error) => jobs.iter().map(|_| Err(error.again())).collect(),
            Err(_) => {
                // What one of them met must not be the others' failure.
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    let answered = self.append_group(target, std::slice::from_ref(job)).await;
                    answers.push(answered.and_then(|mut one| one.pop().ok_or(StoreError::Closed)));
                }
                answers
            }
        }
    }

    async fn append_group(&self, target: Target, jobs: &[Arc<Append>]) -> Result<Answers, StoreError> {
        let mut retries = Retries::default();
        let mut has_failed = false;
        loop {
            let began_at = self.env.now();
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.append_on(&mut lane.connection, target, jobs)).await;
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
        target: Target,
        jobs: &[Arc<Append>],
    ) -> Result<Try<Done>, StoreError> {
        let present = self.present(connection).await?;
        let begin = sqlx::AssertSqlSafe(format!("BEGIN; {LOCKED_SETTINGS}"));
        let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
        let now = jobs.iter().map(|job| job.now).max().unwrap_or(ServerTime::from_micros(0));
        let Some(locked) = lock_or_make(&mut transaction, target, now).await? else {
            transaction.rollback().await.map_err(failed)?;
            let answers = jobs.iter().map(|_| Err(Refusal::NotMember.into())).collect();
            return Ok(Try::Done(Done { answers, end: None, has_grown: false }));
        };
        if locked.run != present.run {
            transaction.rollback().await.map_err(failed)?;
            self.forget();
            return Ok(Try::Again);
        }
        let Draft { answers, new, end, tell, .. } = Draft::of(&mut transaction, target, &locked, jobs).await?;
        if new.is_empty() {
            transaction.rollback().await.map_err(failed)?;
        } else {
            write(&mut transaction, &locked, present.ordinal, &new, end).await?;
            if tell == Tell::Nodes {
                self.tell_nodes(&mut transaction).await?;
            }
            transaction.commit().await.map_err(failed)?;
        }
        Ok(Try::Done(Done { answers, end: Some((locked.address, end.seq)), has_grown: !new.is_empty() }))
    }
}

/// What is decided of a group, request by request.
struct Draft<'e> {
    admitted: Admitted,
    known: HashMap<Digest, Known>,
    /// Whether contents are compared.
    compares: bool,
    answers: Answers,
    new: Vec<New<'e>>,
    /// Where the log ends with them.
    end: End,
    tell: Tell,
}

impl<'e> Draft<'e> {
    /// Decides a group, and does what its entries do. Where nothing is new in the end, nothing of that may stay.
    async fn of(
        connection: &mut PgConnection,
        target: Target,
        locked: &Locked,
        jobs: &'e [Arc<Append>],
    ) -> Result<Self, StoreError> {
        debug_assert!(jobs.len() == 1 || !jobs.iter().any(|job| has_effects(job)), "it is a group of its own");
        for job in jobs.iter().filter(|job| has_effects(job)) {
            effects::lock(connection, locked.address.purpose, job).await?;
        }
        let mut draft = Self {
            admitted: Admitted::read(connection, target, locked, jobs).await?,
            known: known(connection, locked.space, jobs).await?,
            compares: compares(jobs),
            answers: Answers::with_capacity(jobs.len()),
            new: Vec::new(),
            end: locked.end,
            tell: Tell::Nobody,
        };
        for job in jobs {
            let answer = match draft.admitted.admit(job) {
                Ok(()) => draft.decide(connection, locked, job).await?,
                Err(why) => Err(why),
            };
            draft.answers.push(answer);
        }
        Ok(draft)
    }

    /// Decides one request that may append: the first of its entries that cannot be is its answer.
    async fn decide(
        &mut self,
        connection: &mut PgConnection,
        locked: &Locked,
        job: &'e Append,
    ) -> Result<Result<Vec<Appended>, NotAppended>, StoreError> {
        let planned = plan(job, &self.known, self.end);
        if has_effects(job) {
            match effects::apply(connection, locked.address.purpose, job, &planned).await? {
                Ok(tell) => self.tell = tell,
                Err(unfit) => return Ok(Err(unfit)),
            }
        }
        match planned.clash {
            Some(index) => Ok(Err(NotAppended::Clash(index))),
            None => Ok(Ok(self.take(job, planned))),
        }
    }

    /// Takes what is new of a request.
    fn take(&mut self, job: &'e Append, planned: Plan<'e>) -> Vec<Appended> {
        let (_, actor) = Target::of(job);
        let is_timed = job.is_ruled();
        for placed in planned.new {
            let payload = self.compares.then(|| placed.entry.payload.clone());
            self.known.insert(placed.entry.key, Known { seq: placed.at.seq, payload });
            let is_ruling = is_timed && job.is_ruling(placed.index);
            if is_ruling {
                self.admitted.ruled(placed.at.seq);
            }
            self.new.push(New { placed, actor, is_timed, is_ruling });
        }
        self.end = planned.end;
        planned.answers
    }
}

fn int_at(row: &PgRow, at: usize) -> Result<i64, StoreError> {
    row.try_get(at).map_err(failed)
}
