//! The one thread that writes. It drains its queue, runs each job in a savepoint, commits them together, then answers:
//! one sync to disk serves everyone who waits (group commit), and nobody waits for company.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tombolo_core::Env;

use super::Role;
use super::checkpoint::Checkpointer;
use super::connection::{failed, open_writer, refuse_moved};
use super::sweep::{Sweeper, TRUNCATE_TRIES_MAX};
use crate::commits::CommitCounter;
use crate::{CommitCounts, StoreError};

/// Jobs that may wait: a few seconds of work. More would only be answered after their clients gave up.
const QUEUE_MAX: usize = 1_024;
/// Jobs of one commit: above this, the first would wait for the last longer than for a sync to disk.
const GROUP_MAX: usize = 256;

/// Called once the fate of the job's transaction is known.
type Answer = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;
/// A job that failed: why, for the others; its own client was told.
struct Failed(StoreError);
/// Does the work on a connection, or passes on why there is none. `Err` asks to undo what it did.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Result<Answer, Failed> + Send>;

/// Looks at the connection, and answers by itself.
type Look = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

enum Job {
    /// Runs inside the group's transaction.
    Write(Work),
    /// Runs between transactions.
    Beside(Look),
    /// Removes from the file what was erased, between transactions.
    Sweep(oneshot::Sender<Result<bool, StoreError>>),
    /// Ends the thread, once all before it is done.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A handle on the writing thread.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    reopened: Arc<AtomicBool>,
    /// The disk refused a write, and was not seen to take one since.
    in_doubt: Arc<AtomicBool>,
    commits: Arc<CommitCounter>,
}

impl Writer {
    pub(super) fn start(path: PathBuf, role: Role, mut connection: Connection, env: &Arc<dyn Env>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let checkpointer = Checkpointer::start(path.clone(), &mut connection, env);
        let reopened = Arc::new(AtomicBool::new(false));
        let commits = Arc::<CommitCounter>::default();
        let mut thread = Thread {
            path,
            role,
            reopened: Arc::clone(&reopened),
            connection: Some(connection),
            jobs,
            checkpointer,
            sweeper: Sweeper::default(),
            commits: Arc::clone(&commits),
            env: Arc::clone(env),
        };
        env.spawn("tombolo-writer", Box::new(move || thread.run()));
        Self { queue, reopened, in_doubt: Arc::default(), commits }
    }

    /// How commits went, and what waits for one.
    pub(super) fn commits(&self) -> CommitCounts {
        self.commits.read(self.queue.max_capacity() - self.queue.capacity())
    }

    /// Whether the connection was opened anew since the last call.
    pub(super) fn was_reopened(&self) -> bool {
        self.reopened.swap(false, Ordering::Relaxed)
    }

    /// Runs `work` in the next transaction, and answers after its commit reached the disk.
    ///
    /// Once it is queued, the work is done whether or not anybody still waits for the answer.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::Write(Box::new(move |connection| match connection.and_then(work) {
            Ok(value) => Ok(Box::new(move |fate| drop(answer.send(fate.map(|()| value).map_err(StoreError::again))))),
            Err(error) => {
                let failed = Failed(error.again());
                drop(answer.send(Err(error)));
                Err(failed)
            }
        }));
        self.queue.send(job).await.map_err(|_| StoreError::Closed)?;
        let lost = |_| StoreError::Internal("the writer dropped a job: see the log".to_owned());
        let answered = answered.await.map_err(lost)?;
        if matches!(answered, Err(StoreError::Full | StoreError::Io(_))) {
            self.in_doubt.store(true, Ordering::Relaxed);
        }
        answered
    }

    /// Whether the disk takes writes. It is tried, with a page that says what it said, only after it refused one: who
    /// asks need not have a token.
    pub(super) async fn try_disk(&self) -> Result<(), StoreError> {
        let is_in_doubt = self.in_doubt.load(Ordering::Relaxed);
        self.write(move |connection| {
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
            if is_in_doubt { connection.pragma_update(None, "user_version", version).map_err(failed) } else { Ok(()) }
        })
        .await?;
        if is_in_doubt {
            self.in_doubt.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Runs `work` on the writing connection between transactions.
    pub(super) async fn beside<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::Beside(Box::new(move |connection| drop(answer.send(connection.and_then(work)))));
        self.queue.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Removes from the file and its log what was erased. Others write between the tries.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when reads, or another process, held it up: it is to be tried again. [`StoreError::Full`]
    /// when there is no room to write the file anew.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        for _ in 0..TRUNCATE_TRIES_MAX {
            let (answer, answered) = oneshot::channel();
            self.queue.send(Job::Sweep(answer)).await.map_err(|_| StoreError::Closed)?;
            if answered.await.map_err(|_| StoreError::Closed)?? {
                return Ok(());
            }
        }
        Err(StoreError::Busy)
    }

    /// Commits what waits, folds the log file into the database and ends the thread.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job::Close(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Wakes a thread that waits for a job.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How a failed job is undone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undo {
    Transaction,
    Savepoint,
}

struct Thread {
    path: PathBuf,
    role: Role,
    /// Set when the connection was opened anew: what was known of other processes' commits is then void.
    reopened: Arc<AtomicBool>,
    /// `None` while the disk does not let us open it again.
    connection: Option<Connection>,
    jobs: mpsc::Receiver<Job>,
    checkpointer: Checkpointer,
    sweeper: Sweeper,
    commits: Arc<CommitCounter>,
    env: Arc<dyn Env>,
}

impl Thread {
    fn run(&mut self) {
        let mut next = self.jobs.blocking_recv();
        while let Some(job) = next.take() {
            match job {
                Job::Write(work) => next = self.group(work),
                Job::Beside(work) => work(self.connection()),
                Job::Sweep(answer) => drop(answer.send(self.sweep())),
                Job::Close(answer) => {
                    self.jobs.close();
                    let closed = self.checkpointer.finish(self.connection.take(), self.role);
                    drop(answer.send(closed));
                    return;
                }
            }
            if next.is_none() {
                next = self.jobs.try_recv().ok();
            }
            while next.is_none() {
                let Some(time) = self.tidy() else {
                    next = self.jobs.blocking_recv();
                    break;
                };
                match self.next_within(time) {
                    Poll::Ready(Some(job)) => next = Some(job),
                    Poll::Ready(None) => return,
                    Poll::Pending => {}
                }
            }
        }
    }

    /// The next job; `Ready(None)` when nobody can send one any more, `Pending` when none came for about as long.
    fn next_within(&mut self, time: Duration) -> Poll<Option<Job>> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let polled = self.jobs.poll_recv(&mut context);
        if polled.is_ready() {
            return polled;
        }
        std::thread::park_timeout(time);
        self.jobs.poll_recv(&mut context)
    }

    /// Removes what was erased from the file, as far as it is time, and says when it is to be called again. That is the
    /// server's to do: a command says itself when.
    fn tidy(&mut self) -> Option<Duration> {
        let connection = self.connection.as_ref().filter(|_| self.role == Role::Server)?;
        self.sweeper.tidy(connection, &*self.env)
    }

    fn sweep(&mut self) -> Result<bool, StoreError> {
        self.connection()?;
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        self.sweeper.sweep(connection, &*self.env)
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.is_none() {
            let mut connection = open_writer(&self.path)?;
            self.checkpointer.watch(&mut connection);
            self.reopened.store(true, Ordering::Relaxed);
            self.connection = Some(connection);
        }
        self.connection.as_ref().ok_or(StoreError::Closed)
    }

    /// Runs `first` and what waits behind it in one transaction. Returns the job that did not belong to it.
    fn group(&mut self, first: Work) -> Option<Job> {
        let began_at = self.env.now();
        if let Err(error) = self.begin() {
            if matches!(error, StoreError::Moved) {
                tracing::debug!("the database was moved: nothing is written here any more");
            } else {
                tracing::error!(%error, "no transaction could be begun");
            }
            drop(first(Err(error)));
            return None;
        }
        // The first has the transaction to itself: it needs no savepoint.
        let mut answers = match self.run_one(first, Undo::Transaction) {
            Ok(Some(answer)) => vec![answer],
            Ok(None) => return None,
            Err(error) => {
                self.recover(&error);
                return None;
            }
        };
        let mut next = self.jobs.try_recv().ok();
        let mut lost = None;
        let mut ran = 1;
        loop {
            let work = match next.take() {
                Some(Job::Write(work)) => work,
                other => {
                    next = other;
                    break;
                }
            };
            match self.run_one(work, Undo::Savepoint) {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => {}
                Err(error) => {
                    lost = Some(error);
                    break;
                }
            }
            // Those that failed count too: they take as long.
            ran += 1;
            if ran < GROUP_MAX {
                next = self.jobs.try_recv().ok();
            }
        }
        let fate = match lost {
            Some(error) => Err(error),
            None => self.commit(),
        };
        if let Err(error) = &fate {
            tracing::error!(%error, jobs = answers.len(), "a commit failed; nothing of it was acknowledged");
            self.recover(error);
        }
        if fate.is_ok() {
            self.commits.count(ran, self.env.now().since(began_at));
        }
        for answer in answers {
            answer(fate.as_ref().copied());
        }
        if fate.is_ok() {
            self.checkpointer.after_commit(self.connection.as_ref());
        }
        next
    }

    /// Begins a group's transaction, unless the database was moved to another one.
    fn begin(&mut self) -> Result<(), StoreError> {
        let connection = self.connection()?;
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(failed)?;
        let begun = refuse_moved(connection);
        if let Err(error) = &begun {
            let is_undone = connection.execute_batch("ROLLBACK").is_ok();
            if !is_undone || !matches!(error, StoreError::Moved) {
                self.connection = None;
            }
        }
        begun
    }

    /// Runs one job, and undoes it when it fails. `Err` when the whole transaction is gone.
    fn run_one(&self, work: Work, undo: Undo) -> Result<Option<Answer>, StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        let sql =
            |sql: &str| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map_err(failed);
        if undo == Undo::Savepoint {
            sql("SAVEPOINT job")?;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| work(Ok(connection))));
        // A full disk or an I/O error may have ended the transaction that the other jobs are in.
        if connection.is_autocommit() {
            return Err(match ran {
                Ok(Err(Failed(error))) => error,
                _ => StoreError::Io("the transaction was ended by an error of the disk".into()),
            });
        }
        if ran.is_err() {
            tracing::error!("a job of the writer panicked; it was undone, the others go on");
        }
        match (ran, undo) {
            (Ok(Ok(answer)), Undo::Transaction) => Ok(Some(answer)),
            (Ok(Ok(answer)), Undo::Savepoint) => {
                sql("RELEASE job")?;
                Ok(Some(answer))
            }
            (_, Undo::Transaction) => sql("ROLLBACK").map(|_| None),
            (_, Undo::Savepoint) => {
                sql("ROLLBACK TO job")?;
                sql("RELEASE job")?;
                Ok(None)
            }
        }
    }

    fn commit(&self) -> Result<(), StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        connection.prepare_cached("COMMIT").and_then(|mut statement| statement.execute([])).map_err(failed)?;
        Ok(())
    }

    /// After a failed commit: back to a connection that can be trusted.
    fn recover(&mut self, error: &StoreError) {
        let Some(connection) = &self.connection else { return };
        let open = !connection.is_autocommit();
        let rolled_back = !open || connection.execute_batch("ROLLBACK").is_ok();
        if !rolled_back || !matches!(error, StoreError::Busy | StoreError::Full) {
            self.connection = None;
        }
    }
}
