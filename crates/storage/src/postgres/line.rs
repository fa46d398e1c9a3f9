//! Who writes to a space next.
//!
//! On one node one request at a time leads a space, under whatever key it is known by; those that come meanwhile wait,
//! and the next leader takes them all into one transaction: one commit serves everyone who waited, and nobody waits for
//! company. No task is started for it: whoever leads does so within its own request, and passes the lead on when it
//! ends, also when it is dropped.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::StoreError;

/// Requests of one space that may wait on one node: some seconds of work. More would only be answered after their
/// clients gave up.
const WAITING_MAX: usize = 1_024;
/// Requests of one transaction: above this, the first would wait for the last longer than for a commit.
const GROUP_MAX: usize = 64;

/// What a space is known by while it is waited for.
pub(super) trait Key: Copy + Eq + Hash {}

impl<K: Copy + Eq + Hash> Key for K {}

/// What a waiting request is told.
enum Turn<K: Key, J, T> {
    /// Another did its work.
    Done(Result<T, StoreError>),
    /// It leads now.
    Lead(Lead<K, J, T>),
}

struct Ticket<K: Key, J, T> {
    job: Arc<J>,
    turn: oneshot::Sender<Turn<K, J, T>>,
}

type Waiting<K, J, T> = HashMap<K, VecDeque<Ticket<K, J, T>>>;
type Queues<K, J, T> = Mutex<Waiting<K, J, T>>;

/// The spaces that somebody leads, each with who waits for it.
pub(super) struct Lines<K: Key, J, T>(Arc<Queues<K, J, T>>);

impl<K: Key, J, T> Default for Lines<K, J, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Key, J, T> Lines<K, J, T> {
    /// Requests that wait, of all spaces.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0).values().map(VecDeque::len).sum()
    }
}

/// The right to write to a space. Dropped, it goes to who waits longest, or ends.
struct Lead<K: Key, J, T> {
    queues: Arc<Queues<K, J, T>>,
    space: K,
}

fn lock<K: Key, J, T>(queues: &Queues<K, J, T>) -> MutexGuard<'_, Waiting<K, J, T>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Key, J, T> Drop for Lead<K, J, T> {
    fn drop(&mut self) {
        let next = {
            let mut queues = lock(&self.queues);
            let next = queues.get_mut(&self.space).and_then(VecDeque::pop_front);
            if next.is_none() {
                queues.remove(&self.space);
            }
            next
        };
        // One that waits no longer drops the lead, and so passes it on.
        if let Some(ticket) = next {
            let lead = Self { queues: Arc::clone(&self.queues), space: self.space };
            drop(ticket.turn.send(Turn::Lead(lead)));
        }
    }
}

/// The jobs that a request leads, its own first.
pub(super) struct Group<K: Key, J, T> {
    own: Arc<J>,
    tickets: Vec<Ticket<K, J, T>>,
    _lead: Lead<K, J, T>,
}

/// What came of waiting.
pub(super) enum Waited<K: Key, J, T> {
    /// Another did the work.
    Done(Result<T, StoreError>),
    /// These are to be done now.
    Lead(Group<K, J, T>),
}

impl<K: Key, J, T> Lead<K, J, T> {
    /// Takes who waits, up to what fits in one transaction beside `own`.
    fn group(self, own: Arc<J>, size_of: impl Fn(&J) -> usize, size_max: usize) -> Group<K, J, T> {
        let mut tickets = Vec::new();
        let mut size = size_of(&own);
        let mut queues = lock(&self.queues);
        while tickets.len() + 1 < GROUP_MAX
            && let Some(queue) = queues.get_mut(&self.space)
            && let Some(next) = queue.front()
        {
            size = size.saturating_add(size_of(&next.job));
            if size > size_max {
                break;
            }
            tickets.extend(queue.pop_front().filter(|ticket| !ticket.turn.is_closed()));
        }
        drop(queues);
        Group { own, tickets, _lead: self }
    }
}

impl<K: Key, J, T> Group<K, J, T> {
    pub(super) fn jobs(&self) -> Vec<Arc<J>> {
        std::iter::once(&self.own).chain(self.tickets.iter().map(|ticket| &ticket.job)).map(Arc::clone).collect()
    }

    /// Tells everyone what became of his job, given in the order of [`Self::jobs`]; returns the leader's own.
    pub(super) fn answer(self, answers: Vec<Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut answers = answers.into_iter();
        let own = answers.next();
        for (ticket, answer) in self.tickets.into_iter().zip(answers) {
            drop(ticket.turn.send(Turn::Done(answer)));
        }
        own.unwrap_or_else(|| Err(StoreError::Internal("a job was not answered".to_owned())))
    }
}

impl<K: Key, J, T> Lines<K, J, T> {
    /// Waits until `job` is done on `space` by another, or until it is to be done here, in a group with others.
    ///
    /// Dropped midway it is done or not done; if it led, those that it led for have theirs done anew.
    pub(super) async fn wait(
        &self,
        space: K,
        job: J,
        size_of: impl Fn(&J) -> usize,
        size_max: usize,
    ) -> Result<Waited<K, J, T>, StoreError> {
        let job = Arc::new(job);
        loop {
            let waiting = match self.queue(space, &job)? {
                Place::First(lead) => return Ok(Waited::Lead(lead.group(job, size_of, size_max))),
                Place::Behind(waiting) => waiting,
            };
            match waiting.await {
                Ok(Turn::Done(done)) => return Ok(Waited::Done(done)),
                Ok(Turn::Lead(lead)) => return Ok(Waited::Lead(lead.group(job, size_of, size_max))),
                // Who led was dropped with our job in hand: it may be done, and is recognised if so.
                Err(_) => {}
            }
        }
    }

    fn queue(&self, space: K, job: &Arc<J>) -> Result<Place<K, J, T>, StoreError> {
        let mut queues = lock(&self.0);
        let Some(queue) = queues.get_mut(&space) else {
            queues.insert(space, VecDeque::new());
            return Ok(Place::First(Lead { queues: Arc::clone(&self.0), space }));
        };
        if queue.len() >= WAITING_MAX {
            return Err(StoreError::Busy);
        }
        let (turn, waiting) = oneshot::channel();
        queue.push_back(Ticket { job: Arc::clone(job), turn });
        Ok(Place::Behind(waiting))
    }
}

/// Where a request finds itself that comes to a space.
enum Place<K: Key, J, T> {
    /// Nobody led: it does.
    First(Lead<K, J, T>),
    Behind(oneshot::Receiver<Turn<K, J, T>>),
}
