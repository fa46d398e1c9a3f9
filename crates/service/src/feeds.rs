//! A project's log as it grows, for those who stay connected.

use std::sync::Arc;

use tombolo_core::{Act, Env, ProjectId, Refusal, Seq, ServerTime};
use tombolo_storage::{Entry, PageBounds, Project, Ruled, Store};

use crate::access_changes::{AccessChanges, AccessListener};
use crate::seats::{Seat, Seats};
use crate::watchers::{Watcher, Watchers};
use crate::{Caller, ServiceError};

/// Feeds that one key may have open: some browser tabs of one person. All together are bounded by
/// [`WATCHERS_MAX`](crate::WATCHERS_MAX).
pub const FEEDS_PER_KEY_MAX: usize = 32;
/// What is read at a time, and waits in memory for a slow reader.
const PAGE: PageBounds = PageBounds { count_max: 100, bytes_max: 256 * 1024 };

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
        let Some(seat) = self.seats.take(caller.credential) else { return Ok(Opened::TooMany) };
        // Before it is asked whether he may: what changes from here on is heard.
        let changes = self.changes.listen();
        let project = match self.store.project(project, caller.user, Act::Pull).await? {
            Ok(project) => project,
            Err(refusal) => return Ok(Opened::Refused(refusal)),
        };
        let watcher = self.watchers.watch(project.space()).await?;
        let head = watcher.seen();
        let (store, env) = (self.store.clone(), self.env.clone());
        // A log that is shorter than the reader remembers was brought back from a backup.
        let is_beyond = after.is_some_and(|after| after > head);
        let sent = after.unwrap_or(head).min(head);
        let is_in_doubt = true;
        let feed =
            Feed { store, env, caller, project, watcher, changes, is_in_doubt, head, sent, is_beyond, _seat: seat };
        Ok(Opened::Feed(Box::new(feed)))
    }
}

/// One project's log, for one who stays connected. It reads when it is asked, so that a reader who stalls costs a place
/// and nothing else.
pub struct Feed {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    caller: Caller,
    project: Project,
    watcher: Watcher,
    changes: AccessListener,
    /// Whether something was changed since it was last asked whether the caller may read on.
    is_in_doubt: bool,
    /// How far the log goes at least.
    head: Seq,
    /// What the reader was given last.
    sent: Seq,
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
        loop {
            if self.caller.expires_at.is_some_and(|at| at <= self.env.now()) {
                return Ok(None);
            }
            // Before every page: a reader with much before him may not read on either.
            self.is_in_doubt |= self.changes.has_changed();
            if self.is_in_doubt {
                if !self.may_go_on().await? {
                    return Ok(None);
                }
                self.is_in_doubt = false;
            }
            if self.sent < self.head {
                let page = self.store.entries(self.project.space(), self.sent, PAGE).await?;
                if let Some(last) = page.entries.last() {
                    self.sent = last.seq;
                    return Ok(Some(page.entries));
                }
                self.head = page.head;
            }
            tokio::select! {
                biased;
                () = self.changes.changed() => self.is_in_doubt = true,
                head = self.watcher.changed() => match head {
                    Some(head) => self.head = head,
                    None => return Ok(None),
                },
            }
        }
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
        self.caller.expires_at
    }

    /// What the reader was given last, or where it began.
    #[must_use]
    pub const fn sent(&self) -> Seq {
        self.sent
    }

    async fn may_go_on(&self) -> Result<bool, ServiceError> {
        let Caller { user, credential, .. } = self.caller;
        let allowed: Ruled<Project> = self.store.project(self.project.id, user, Act::Pull).await?;
        Ok(allowed.is_ok() && !self.store.live_credentials(&[credential]).await?.is_empty())
    }
}
