//! A log of events that all its users share, guarded by rules that it holds itself.

mod address;
mod history;
mod rulebook;
mod stream;
mod submit;

use std::sync::Arc;

use tombolo_core::{Cursor, Env, Purpose, Resume, UserId};
use tombolo_storage::{SpaceAddress, Store};

use crate::known::Known;
use crate::seats::{Holder, Seat, Seats};
use crate::{AccessChanges, Keyring, ServiceError, Watchers};
pub use address::ROOT;
pub use history::{Asked, Encoding, History, Parts, Shown};
use history::{HistoryCache, Log};
pub use rulebook::{Rulebook, Ruling};
pub use stream::{Admission, EventStream, EventsOpened, STREAMS_EACH_MAX, StreamFrom};
pub use submit::{Submission, Submitted};

/// Replies to one user that may be under way while they are read from the store: each keeps a page, and asks the store
/// for another whenever its reader took one. His devices begin anew one after the other.
pub const REPLIES_PER_USER_MAX: usize = 8;

/// In which of two forms a client is shown what the log holds. What they look like is the codec's; here they are two
/// that are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The one that is written now.
    Today,
    /// The one before it, for clients that know no other.
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
    address: Known<Option<SpaceAddress>>,
    rules: Known<Arc<Rulebook>>,
    history: HistoryCache,
    seats: Arc<Seats>,
    replies: Arc<Seats>,
}

/// What a reader who resumes is given.
pub enum Since {
    /// What came after his cursor, in the order of arrival.
    News(Shown),
    /// His cursor is none of this history.
    Unknown,
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
        let (address, rules, seats) = (Known::default(), Known::default(), Seats::new(STREAMS_EACH_MAX));
        let history = HistoryCache::new(cache_bytes, Arc::clone(&env));
        let replies = Seats::new(REPLIES_PER_USER_MAX);
        Self { store, env, keyring, watchers, changes, codec, address, rules, history, seats, replies }
    }

    /// Forgets what is remembered of the database: to be called when it may be another one than it was.
    pub fn forget(&self) {
        self.address.forget();
        self.rules.forget();
        self.history.forget();
    }

    /// The history.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn history(&self, asked: Asked) -> Result<History, ServiceError> {
        let log = self.log(asked.form).await?;
        self.history.show(&log, asked).await
    }

    /// What came after a cursor; after the beginning, where there is none.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn since(&self, after: Option<Cursor>, form: Form) -> Result<Since, ServiceError> {
        self.log(form).await?.since(after).await
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn head(&self) -> Result<Cursor, ServiceError> {
        Ok(self.store.head(self.place().await?).await?)
    }

    /// Whether a cursor is one of this history.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn knows(&self, cursor: Cursor) -> Result<bool, ServiceError> {
        Ok(self.store.resume(self.place().await?, cursor).await? != Resume::Reset)
    }

    /// A seat for a reply whose length is not known, since it is read from the store while it is sent: to be held for as
    /// long as it takes memory. `None` when the user has [`REPLIES_PER_USER_MAX`] under way.
    #[must_use]
    pub fn reply_seat(&self, user: UserId) -> Option<Seat> {
        self.replies.take(Holder::User(user))
    }

    /// The log, as it is sent in one form.
    async fn log(&self, form: Form) -> Result<Log<dyn Store>, ServiceError> {
        let space = self.place().await?;
        Ok(Log { store: Arc::clone(&self.store), space, form, write: self.codec.write })
    }

    /// Where the log is to be read.
    async fn place(&self) -> Result<SpaceAddress, ServiceError> {
        // Nobody has this number: its log is empty.
        let nowhere = SpaceAddress::only(UserId::new(0), self.codec.purpose);
        Ok(self.space().await?.unwrap_or(nowhere))
    }
}
