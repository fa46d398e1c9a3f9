//! A log as it grows, for one who stays connected, whoever lets him.

use std::sync::Arc;

use tombolo_core::{Act, CredentialId, Env, ProjectId, Purpose, Seq, ServerTime, UserId};
use tombolo_storage::{Entry, IdentityKey, PageBounds, SpaceAddress, Store};

use crate::ServiceError;
use crate::access_changes::AccessListener;
use crate::watchers::Watcher;

/// What is read at a time, and waits in memory for a slow reader.
const PAGE: PageBounds = PageBounds { count_max: 100, bytes_max: 256 * 1024 };

/// What lets somebody follow a log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    /// He is a member of the project whose log it is, and came with a key.
    Member { project: ProjectId, user: UserId, credential: CredentialId },
    /// He came with a key.
    Key(CredentialId),
    /// He is known in the protocol, and signed in.
    Known(Purpose, UserId),
}

impl Leave {
    async fn holds(self, store: &dyn Store) -> Result<bool, ServiceError> {
        Ok(match self {
            Self::Member { project, user, credential } => {
                let allowed = store.project(project, user, Act::Pull).await?;
                allowed.is_ok() && is_live(store, credential).await?
            }
            Self::Key(credential) => is_live(store, credential).await?,
            Self::Known(purpose, user) => {
                let found = store.identity(purpose, IdentityKey::User(user)).await?;
                found.is_some_and(|identity| !identity.is_disabled)
            }
        })
    }
}

/// Whether a key is still there, and its user not disabled.
async fn is_live(store: &dyn Store, credential: CredentialId) -> Result<bool, ServiceError> {
    Ok(!store.live_credentials(&[credential]).await?.is_empty())
}

/// One who follows a log. It reads when it is asked, so that a reader who stalls costs a place and nothing else.
pub(crate) struct Follower {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    leave: Leave,
    /// When what let the reader in ends.
    ends_at: Option<ServerTime>,
    space: SpaceAddress,
    watcher: Watcher,
    changes: AccessListener,
    /// Whether something was changed since it was last asked whether the reader may go on.
    is_in_doubt: bool,
    /// How far the log goes at least.
    head: Seq,
    /// What the reader was given last.
    sent: Seq,
}

impl Follower {
    /// Follows the log of `space` after `after`, or from where it ended when `watcher` began. `changes` has been
    /// listening since before anybody asked whether the reader may.
    pub(crate) fn new(
        (store, env): (Arc<dyn Store>, Arc<dyn Env>),
        (leave, ends_at): (Leave, Option<ServerTime>),
        (space, watcher, changes): (SpaceAddress, Watcher, AccessListener),
        after: Option<Seq>,
    ) -> Self {
        let head = watcher.seen();
        let sent = after.unwrap_or(head).min(head);
        Self { store, env, leave, ends_at, space, watcher, changes, is_in_doubt: true, head, sent }
    }

    /// The next entries, never none; `None` when it has ended: the reader may not go on, or the database is another
    /// one. That what let him in ends is seen when this begins. May be dropped midway: nothing is lost by it.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>, ServiceError> {
        loop {
            if self.ends_at.is_some_and(|at| at <= self.env.now()) {
                return Ok(None);
            }
            // Before every page: a reader with much before him may not read on either.
            self.is_in_doubt |= self.changes.has_changed();
            if self.is_in_doubt {
                if !self.leave.holds(&*self.store).await? {
                    return Ok(None);
                }
                self.is_in_doubt = false;
            }
            if self.sent < self.head {
                let page = self.store.entries(self.space, self.sent, PAGE).await?;
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

    /// When what let the reader in ends.
    pub(crate) const fn ends_at(&self) -> Option<ServerTime> {
        self.ends_at
    }

    /// What the reader was given last, or where it began.
    pub(crate) const fn sent(&self) -> Seq {
        self.sent
    }
}
