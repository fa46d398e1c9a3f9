//! The journal of a project: what its members append to its log, and read of it.

use std::sync::Arc;

use tombolo_core::{Act, Env, ProjectId, Seq};
use tombolo_storage::{Append, Appended, Entry, Guard, LogEnd, NewEntry, NotAppended, PageBounds, Ruled, Store};

use crate::seats::{Holder, Seat, Seats};
use crate::{Caller, ServiceError};

/// Pages that one pull reads at most while it leaves entries out. At a thousand entries a page and more, a client gets
/// past a million of its own.
const PAGES_MAX: usize = 1_000;
/// Entries of a page that is read to be sifted: a small limit must not make many pages.
const SIFTED_PAGE: usize = 1_000;

/// Pulls of one key that may be under way, until the last of each reply is on its way: a clone pulls one page after the
/// other, and a page of 8 MiB that its reader does not read stays in memory until it is given up.
pub const PULLS_PER_KEY_MAX: usize = 8;

/// What a pull asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Where the replica is.
    pub after: Seq,
    /// What the answer may hold.
    pub bounds: PageBounds,
    /// Entries whose content begins so are left out.
    pub without: Option<Vec<u8>>,
}

/// The answer to a [`Pull`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What is new, in order.
    pub entries: Vec<Entry>,
    /// Where the replica is with it; where it was, when there is nothing new.
    pub last: Seq,
    /// Whether the log goes on after that.
    pub has_more: bool,
}

/// What became of a pull.
#[derive(Debug)]
pub enum PullAnswer {
    /// It was read. The seat is to be held for as long as the reply takes memory.
    Page(Pulled, Seat),
    /// The key has [`PULLS_PER_KEY_MAX`] under way.
    TooMany,
}

/// What one can do with a project's log.
pub struct Journal {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    seats: Arc<Seats>,
}

impl Journal {
    /// The journals of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>) -> Self {
        Self { store, env, seats: Seats::new(PULLS_PER_KEY_MAX) }
    }

    /// Appends entries, each once, and says what became of each, in their order.
    ///
    /// All or nothing, and durable when it returns `Ok`. Dropped midway it is done or not done: the same entries sent
    /// again are recognised. Without an entry it only says whether the caller might.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; the same entries may be sent again.
    pub async fn push(
        &self,
        caller: Caller,
        project: ProjectId,
        entries: Vec<NewEntry>,
    ) -> Result<Ruled<Vec<Appended>>, ServiceError> {
        if entries.is_empty() {
            let may = self.store.project(project, caller.user, Guard::ACT).await?;
            return Ok(may.map(|_| Vec::new()));
        }
        let guard = Guard::Member { project, user: caller.user };
        let append = Append { guard, entries, weights: Vec::new(), is_same: None, now: self.env.now() };
        Ok(match self.store.append(append).await? {
            Ok(appended) => Ok(appended),
            Err(NotAppended::Refused(refusal)) => Err(refusal),
            Err(other) => {
                return Err(ServiceError::Internal(format!("a member's entries were not appended: {other:?}")));
            }
        })
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn pull(
        &self,
        caller: Caller,
        project: ProjectId,
        pull: Pull,
    ) -> Result<Ruled<PullAnswer>, ServiceError> {
        let Some(seat) = self.seats.take(Holder::Key(caller.credential)) else { return Ok(Ok(PullAnswer::TooMany)) };
        let pulled = self.read(caller, project, pull).await?;
        Ok(pulled.map(|pulled| PullAnswer::Page(pulled, seat)))
    }

    async fn read(&self, caller: Caller, project: ProjectId, pull: Pull) -> Result<Ruled<Pulled>, ServiceError> {
        let space = match self.store.project(project, caller.user, Act::Pull).await? {
            Ok(project) => project.space(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(without) = &pull.without else {
            let page = self.store.entries(space, pull.after, pull.bounds).await?;
            let last = page.entries.last().map_or(pull.after, |entry| entry.seq);
            return Ok(Ok(Pulled { entries: page.entries, last, has_more: last < page.head }));
        };
        let mut sieve = Sieve::new(&pull, without);
        for _ in 0..PAGES_MAX {
            let bounds = PageBounds { count_max: pull.bounds.count_max.max(SIFTED_PAGE), ..pull.bounds };
            let page = self.store.entries(space, sieve.pulled.last, bounds).await?;
            if page.entries.is_empty() || !sieve.take(page.entries, page.head) {
                break;
            }
        }
        Ok(Ok(sieve.pulled))
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn end(&self, caller: Caller, project: ProjectId) -> Result<Ruled<LogEnd>, ServiceError> {
        match self.store.project(project, caller.user, Act::Pull).await? {
            Ok(project) => Ok(Ok(self.store.log_end(project.space()).await?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

/// Gathers what is left of pages, until the answer is full.
struct Sieve<'a> {
    bounds: PageBounds,
    without: &'a [u8],
    bytes: usize,
    pulled: Pulled,
}

impl<'a> Sieve<'a> {
    fn new(pull: &Pull, without: &'a [u8]) -> Self {
        let pulled = Pulled { entries: Vec::new(), last: pull.after, has_more: false };
        Self { bounds: pull.bounds, without, bytes: 0, pulled }
    }

    /// Takes the entries of a page; whether more of the log is wanted, which it is until something was found. What was
    /// left out counts as read.
    fn take(&mut self, page: Vec<Entry>, head: Seq) -> bool {
        for entry in page {
            let seq = entry.seq;
            if !entry.payload.starts_with(self.without) {
                let bytes = self.bytes + entry.payload.len();
                let is_full = self.pulled.entries.len() >= self.bounds.count_max || bytes > self.bounds.bytes_max;
                if is_full && !self.pulled.entries.is_empty() {
                    break;
                }
                self.bytes = bytes;
                self.pulled.entries.push(entry);
            }
            self.pulled.last = seq;
        }
        self.pulled.has_more = self.pulled.last < head;
        self.pulled.has_more && self.pulled.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::ServerTime;

    use super::*;

    fn entries(from: u64, letters: &str) -> Vec<Entry> {
        let entry = |(seq, letter): (u64, char)| Entry {
            seq: Seq::new(seq),
            committed_at: ServerTime::from_micros(0),
            written_at: ServerTime::from_micros(0).to_instant(),
            payload: letter.to_string().repeat(10).into_bytes(),
        };
        (from..).zip(letters.chars()).map(entry).collect()
    }

    fn pull(count_max: usize, bytes_max: usize) -> Pull {
        Pull { after: Seq::ZERO, bounds: PageBounds { count_max, bytes_max }, without: Some(b"o".to_vec()) }
    }

    #[test]
    fn what_is_left_out_counts_as_read() {
        let check = |letters: &str,
                     head: u64,
                     count_max,
                     bytes_max,
                     (seqs, last, has_more, wants): (&[u64], u64, bool, bool)| {
            let pull = pull(count_max, bytes_max);
            let mut sieve = Sieve::new(&pull, b"o");
            assert_eq!(sieve.take(entries(1, letters), Seq::new(head)), wants, "{letters}");
            let found: Vec<u64> = sieve.pulled.entries.iter().map(|entry| entry.seq.get()).collect();
            assert_eq!((&*found, sieve.pulled.last.get(), sieve.pulled.has_more), (seqs, last, has_more), "{letters}");
        };
        check("abc", 3, 10, 1_000, (&[1, 2, 3], 3, false, false));
        check("oaobo", 5, 10, 1_000, (&[2, 4], 5, false, false));
        // Full: the own ones up to the next other count as read.
        check("oaoobo", 6, 1, 1_000, (&[2], 4, true, false));
        check("aooo", 4, 1, 1_000, (&[1], 4, false, false));
        // Bytes bound it, too, and never to nothing.
        check("aab", 3, 10, 25, (&[1, 2], 2, true, false));
        check("aab", 3, 10, 1, (&[1], 1, true, false));
        // Nothing yet.
        check("ooo", 9, 10, 1_000, (&[], 3, true, true));
        check("ooo", 3, 10, 1_000, (&[], 3, false, false));
    }

    #[test]
    fn pages_are_read_on_until_something_is_found() {
        let pull = pull(2, 1_000);
        let mut sieve = Sieve::new(&pull, b"o");
        assert!(sieve.take(entries(1, "ooo"), Seq::new(9)));
        assert!(sieve.take(entries(4, "ooo"), Seq::new(9)));
        assert!(!sieve.take(entries(7, "oab"), Seq::new(9)));
        assert_eq!((sieve.pulled.entries.len(), sieve.pulled.last, sieve.pulled.has_more), (2, Seq::new(9), false));
    }
}
