//! A project's log as it grows, for those who stay connected.

use std::sync::Arc;

use tombolo_core::{Act, Env, ProjectId, Refusal, Seq, ServerTime};
use tombolo_storage::{Entry, Store};

use crate::access_changes::AccessChanges;
use crate::follower::{Follower, Leave};
use crate::seats::{Holder, Seat, Seats};
use crate::watchers::Watchers;
use crate::{Caller, ServiceError};

/// Feeds that one key may have open: some browser tabs of one person. All together are bounded by
/// [`WATCHERS_MAX`](crate::WATCHERS_MAX).
pub const FEEDS_PER_KEY_MAX: usize = 32;

/// Opens feeds.
pub struct Feeds {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    watchers: Arc<Watchers>,
    changes: Arc<AccessChanges>,
    seats: Arc<Seats>,
}

/// What became of opening a feed.
pub enum Opened {
    /// It is open.
    Feed(Box<Feed>),
    /// The caller may not read the project.
    Refused(Refusal),
    /// The key has [`FEEDS_PER_KEY_MAX`] open.
    TooMany,
}

impl Feeds {
    /// Feeds of the logs in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, watchers: Arc<Watchers>, changes: Arc<AccessChanges>) -> Self {
        Self { store, env, watchers, changes, seats: Seats::new(FEEDS_PER_KEY_MAX) }
    }

    /// Opens a feed of a project's log, after `after`, or from its present end. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when too many watch already; [`ServiceError::Store`].
    pub async fn open(&self, caller: Caller, project: ProjectId, after: Option<Seq>) -> Result<Opened, ServiceError> {
        let Caller { credential, user, expires_at } = caller;
        let Some(seat) = self.seats.take(Holder::Key(credential)) else { return Ok(Opened::TooMany) };
        // Before it is asked whether he may: what changes from here on is heard.
        let changes = self.changes.listen();
        let space = match self.store.project(project, user, Act::Pull).await? {
            Ok(project) => project.space(),
            Err(refusal) => return Ok(Opened::Refused(refusal)),
        };
        let watcher = self.watchers.watch(space).await?;
        // A log that is shorter than the reader remembers was brought back from a backup.
        let is_beyond = after.is_some_and(|after| after > watcher.seen());
        let place = (self.store.clone(), self.env.clone());
        let leave = Leave::Member { project, user, credential };
        let follower = Follower::new(place, (leave, expires_at), (space, watcher, changes), after);
        Ok(Opened::Feed(Box::new(Feed { follower, is_beyond, _seat: seat })))
    }
}

/// One project's log, for one who stays connected. It reads when it is asked, so that a reader who stalls costs a place
/// and nothing else.
pub struct Feed {
    follower: Follower,
    is_beyond: bool,
    _seat: Seat,
}

impl Feed {
    /// The next entries, never none; `None` when the feed has ended: the caller may not read the project any more, or
    /// the database is another one. That the caller's key ends is seen when this begins: whoever waits for it asks anew
    /// at [`Self::expires_at`]. May be dropped midway: nothing is lost by it.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it may be asked again.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, ServiceError> {
        self.follower.next().await
    }

    /// Whether the reader asked for what comes after a place that the log does not reach: it begins at the log's end,
    /// and what the reader knows is not what is there.
    #[must_use]
    pub const fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// When the caller's key ends, and the feed with it.
    #[must_use]
    pub const fn expires_at(&self) -> Option<ServerTime> {
        self.follower.ends_at()
    }

    /// What the reader was given last, or where it began.
    #[must_use]
    pub const fn sent(&self) -> Seq {
        self.follower.sent()
    }
}
