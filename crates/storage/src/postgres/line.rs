//! Who writes to a space next.
//!
//! On one node one request at a time leads a space; those that come meanwhile wait, and the next leader takes them all
//! into one transaction: one commit serves everyone who waited, and nobody waits for company. No task is started for
//! it: whoever leads does so within its own request, and passes the lead on when it ends, also when it is dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tombolo_core::SpaceId;

use crate::StoreError;

/// Requests of one space that may wait on one node: some seconds of work. More would only be answered after their
/// clients gave up.
const WAITING_MAX: usize = 1_024;
/// Requests of one transaction: above this, the first would wait for the last longer than for a commit.
const GROUP_MAX: usize = 64;

/// What a waiting request is told.
enum Turn<J, T> {
    /// Another did its work.
    Done(Result<T, StoreError>),
    /// It leads now.
    Lead(Lead<J, T>),
}

struct Ticket<J, T> {
    job: Arc<J>,
    turn: oneshot::Sender<Turn<J, T>>,
}

type Queues<J, T> = Mutex<HashMap<SpaceId, VecDeque<Ticket<J, T>>>>;

/// The spaces that somebody leads, each with who waits for it.
pub(super) struct Lines<J, T>(Arc<Queues<J, T>>);

impl<J, T> Default for Lines<J, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The right to write to a space. Dropped, it goes to who waits longest, or ends.
struct Lead<J, T> {
    queues: Arc<Queues<J, T>>,
    space: SpaceId,
}

fn lock<J, T>(queues: &Queues<J, T>) -> MutexGuard<'_, HashMap<SpaceId, VecDeque<Ticket<J, T>>>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<J, T> Drop for Lead<J, T> {
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
pub(super) struct Group<J, T> {
    own: Arc<J>,
    tickets: Vec<Ticket<J, T>>,
    _lead: Lead<J, T>,
}

/// What came of waiting.
pub(super) enum Waited<J, T> {
    /// Another did the work.
    Done(Result<T, StoreError>),
    /// These are to be done now.
    Lead(Group<J, T>),
}

impl<J, T> Lead<J, T> {
    /// Takes who waits, up to what fits in one transaction beside `own`.
    fn group(self, own: Arc<J>, size_of: impl Fn(&J) -> usize, size_max: usize) -> Group<J, T> {
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

impl<J, T> Group<J, T> {
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

impl<J, T> Lines<J, T> {
    /// Waits until `job` is done on `space` by another, or until it is to be done here, in a group with others.
    ///
    /// Dropped midway it is done or not done; if it led, those that it led for have theirs done anew.
    pub(super) async fn wait(
        &self,
        space: SpaceId,
        job: J,
        size_of: impl Fn(&J) -> usize,
        size_max: usize,
    ) -> Result<Waited<J, T>, StoreError> {
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

    fn queue(&self, space: SpaceId, job: &Arc<J>) -> Result<Place<J, T>, StoreError> {
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
enum Place<J, T> {
    /// Nobody led: it does.
    First(Lead<J, T>),
    Behind(oneshot::Receiver<Turn<J, T>>),
}
