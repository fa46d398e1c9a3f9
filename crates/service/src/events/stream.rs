//! The shared log as it grows, for those who stay connected.

use tombolo_core::{CredentialId, Cursor, Generation, Resume, Seq, ServerTime, UserId};
use tombolo_storage::Entry;

use super::Events;
use crate::ServiceError;
use crate::follower::{Follower, Leave};
use crate::seats::{Holder, Seat};

/// Streams that one key, or one user without one, may have open: some browser tabs of one person. All together are
/// bounded by [`WATCHERS_MAX`](crate::WATCHERS_MAX).
pub const STREAMS_EACH_MAX: usize = 32;

/// By what somebody was let in, and for how long: a stream ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who.
    pub user: UserId,
    /// His key; none for one who signed in with a password.
    pub credential: Option<CredentialId>,
    /// When it ends; `None` for never.
    pub ends_at: Option<ServerTime>,
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFrom {
    /// With what comes from now on.
    Now,
    /// With the first entry of the log.
    Beginning,
    /// Behind a cursor.
    Cursor(Cursor),
}

/// What became of opening a stream.
pub enum EventsOpened {
    /// It is open.
    Stream(Box<EventStream>),
    /// The cursor to resume from is none of this history.
    UnknownCursor,
    /// Whoever asks has [`STREAMS_EACH_MAX`] open with his key, or without one.
    TooMany,
}

/// The log as it grows, for one who stays connected. It reads when it is asked, so that a reader who stalls costs a place
/// and nothing else.
pub struct EventStream {
    follower: Follower,
    /// The run of history that all of it belongs to: when another begins, the stream ends.
    generation: Generation,
    _seat: Seat,
}

impl Events {
    /// Opens a stream. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when too many watch already; [`ServiceError::Store`].
    pub async fn stream(&self, admission: Admission, from: StreamFrom) -> Result<EventsOpened, ServiceError> {
        let Admission { user, credential, ends_at } = admission;
        let holder = credential.map_or(Holder::User(user), Holder::Key);
        let Some(seat) = self.seats.take(holder) else { return Ok(EventsOpened::TooMany) };
        // Whether he may is asked when the stream is first read: what changes from here on is heard.
        let changes = self.changes.listen();
        let space = self.space_or_new().await?;
        let after = match from {
            StreamFrom::Now => None,
            StreamFrom::Beginning => Some(Seq::ZERO),
            StreamFrom::Cursor(cursor) => match self.store.resume(space, cursor).await? {
                Resume::From(seq) => Some(seq),
                Resume::Reset => return Ok(EventsOpened::UnknownCursor),
            },
        };
        let watcher = self.watchers.watch(space).await?;
        let generation = self.store.head(space).await?.generation;
        let leave = credential.map_or(Leave::Known(self.codec.purpose, user), Leave::Key);
        let place = (self.store.clone(), self.env.clone());
        let follower = Follower::new(place, (leave, ends_at), (space, watcher, changes), after);
        Ok(EventsOpened::Stream(Box::new(EventStream { follower, generation, _seat: seat })))
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
        let generation = self.generation;
        let placed = |entry: Entry| (Cursor { generation, seq: entry.seq }, entry);
        Ok(self.follower.next().await?.map(|entries| entries.into_iter().map(placed).collect()))
    }

    /// When what let the reader in ends.
    #[must_use]
    pub const fn ends_at(&self) -> Option<ServerTime> {
        self.follower.ends_at()
    }
}
