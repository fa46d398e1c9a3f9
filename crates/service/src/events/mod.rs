//! A log of events that all its users share, guarded by rules that it holds itself.

mod history;
mod rulebook;

use std::sync::Arc;

use tombolo_core::{Cursor, Env, Purpose, ServerTime, UserId};
use tombolo_storage::{Appended, Entry, NewEntry, Store, Unfit, Weight};

use crate::{AccessChanges, Keyring, ServiceError, Watchers};
pub use history::{Asked, Encoding, History, Parts, Shown};
pub use rulebook::{Rulebook, Ruling};

/// In which of two forms a client is shown what the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As today's generation of clients writes it.
    Today,
    /// As the first generation did.
    First,
}

/// How a protocol reads and shows what its log holds.
#[derive(Clone, Copy)]
pub struct EventCodec {
    /// The protocol.
    pub purpose: Purpose,
    /// What an entry says of the rules; `None` for what cannot be read, which then counts for nothing.
    pub ruling: fn(&[u8]) -> Option<Ruling>,
    /// Writes an entry behind what is there already.
    pub write: fn(&[u8], Form, &mut Vec<u8>),
    /// Whether an entry that is stored (first), and one with the same key (second), are the same.
    pub is_same: fn(&[u8], &[u8]) -> bool,
}

/// What somebody submits: all of it is stored, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// In this order.
    pub entries: Vec<NewEntry>,
    /// What they are, in their order; those without one weigh nothing.
    pub weights: Vec<Weight>,
}

/// What became of a submission; places are those of entries. Where several entries are at fault, the first one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted<D> {
    /// Each is stored, or was.
    Done(Vec<Appended>),
    /// The rules do not let the entry at this place, and it is not stored already.
    Denied(usize, D),
    /// Something else is stored under the key of the entry at this place.
    Clash(usize),
    /// What the entry at this place does cannot be done.
    Unfit(usize, Unfit),
    /// Whoever submits it may do nothing any more.
    Disabled,
}

/// What one can do with the shared log of a protocol.
///
/// The log is a space of the user `.root`, who is made on first use.
pub struct Events {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    keyring: Arc<Keyring>,
    watchers: Arc<Watchers>,
    changes: Arc<AccessChanges>,
    codec: EventCodec,
}

/// What a reader who resumes is given.
pub enum Since {
    /// What came after his cursor, in the order of arrival.
    News(Shown),
    /// His cursor is none of this history.
    Unknown,
}

/// What became of opening a stream.
pub enum EventsOpened {
    /// It is open.
    Stream(Box<EventStream>),
    /// The cursor to resume from is none of this history.
    UnknownCursor,
    /// Whoever asks has too many open.
    TooMany,
}

/// The log as it grows, for one who stays connected.
pub struct EventStream {}

/// By what somebody was let in, and for how long: a stream ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who.
    pub user: UserId,
    /// His key; none for one who signed in with a password.
    pub credential: Option<tombolo_core::CredentialId>,
    /// When it ends; `None` for never.
    pub ends_at: Option<ServerTime>,
}

impl Events {
    /// The shared log of `codec`'s protocol, with a cache of `cache_bytes` for its history.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        env: Arc<dyn Env>,
        keyring: Arc<Keyring>,
        watchers: Arc<Watchers>,
        changes: Arc<AccessChanges>,
        codec: EventCodec,
        cache_bytes: usize,
    ) -> Self {
        let _ = cache_bytes;
        Self { store, env, keyring, watchers, changes, codec }
    }

    /// The rules in force now.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn rulebook(&self) -> Result<Arc<Rulebook>, ServiceError> {
        unbuilt()
    }

    /// Appends what somebody submits, each entry once, if `judge` lets each that is not stored already: it is asked
    /// with the rules that are in force when the submission is committed, in the order of the entries, perhaps several
    /// times.
    ///
    /// All or nothing, and durable when it returns [`Submitted::Done`]. Dropped midway it is done or not done.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when the rules were changed faster than it could be judged; [`ServiceError::Store`].
    pub async fn submit<D>(
        &self,
        by: UserId,
        submission: Submission,
        judge: impl Fn(&Rulebook, usize) -> Result<(), D>,
    ) -> Result<Submitted<D>, ServiceError> {
        let _ = (by, submission, judge);
        unbuilt()
    }

    /// The history.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn history(&self, asked: Asked) -> Result<History, ServiceError> {
        let _ = asked;
        unbuilt()
    }

    /// What came after a cursor; after the beginning, where there is none.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn since(&self, after: Option<Cursor>, form: Form) -> Result<Since, ServiceError> {
        let _ = (after, form);
        unbuilt()
    }

    /// Opens a stream of what comes after a cursor, or from now on.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when too many watch already; [`ServiceError::Store`].
    pub async fn stream(&self, admission: Admission, after: Option<Cursor>) -> Result<EventsOpened, ServiceError> {
        let _ = (admission, after);
        unbuilt()
    }
}

impl EventStream {
    /// The next entries, never none, each with the cursor behind it; `None` when the stream has ended: whoever reads may
    /// not any more, or the database is another one. That what let him in ends is seen when this begins: whoever waits
    /// for it asks anew at [`Self::ends_at`]. May be dropped midway: nothing is lost by it.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it may be asked again.
    pub async fn next(&mut self) -> Result<Option<Vec<(Cursor, Entry)>>, ServiceError> {
        unbuilt()
    }

    /// When what let the reader in ends.
    #[must_use]
    pub const fn ends_at(&self) -> Option<ServerTime> {
        None
    }
}

fn unbuilt<T>() -> Result<T, ServiceError> {
    Err(ServiceError::Internal("not built yet".to_owned()))
}
