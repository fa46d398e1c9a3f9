//! Being told that a log grew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tombolo_core::Seq;
use tombolo_storage::{Message, SpaceAddress, Store, StoreError};

use crate::ServiceError;

/// Watchers of one node. Each stands for a client that is connected, of which a process serves some ten thousand before
/// it runs out of what the system gives it; and the logs of all are looked at in one question.
pub const WATCHERS_MAX: usize = 20_000;

/// The heads of the logs that somebody watches, by space. An entry is there for as long as it has a watcher.
type Watched = HashMap<SpaceAddress, watch::Sender<Seq>>;

/// What watchers and their keeper share.
struct Shared {
    watched: Mutex<Watched>,
    /// Watchers there are.
    count: watch::Sender<usize>,
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who watch a space that its log grew, on whichever node or by whichever process.
///
/// A watcher is told how far the log goes, never what is in it: it reads the log. Whoever is slow is told the newest
/// head only, and costs nobody anything. Somebody has to run [`Self::hear`] and to call [`Self::look`] every few
/// seconds; both ask the database nothing while nobody watches.
pub struct Watchers {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

impl Watchers {
    /// Watchers of the logs in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let shared = Shared { watched: Mutex::default(), count: watch::Sender::new(0) };
        Self { store, shared: Arc::new(shared) }
    }

    /// Watches the log of `space` from its present head on, which is [`Watcher::seen`]; what lies up to there is to be
    /// read by the caller, after this returned. An unknown space is an empty log.
    ///
    /// May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when [`WATCHERS_MAX`] watch already; [`ServiceError::Store`] when the head cannot be
    /// read.
    pub async fn watch(&self, space: SpaceAddress) -> Result<Watcher, ServiceError> {
        let mut watcher = self.register(space)?;
        // Only now: what is committed from here on is told, what was committed before is read.
        let heads = self.store.heads(&[space]).await?;
        self.tell(space, heads.first().copied().unwrap_or_default());
        watcher.seen = *watcher.head.borrow_and_update();
        Ok(watcher)
    }

    fn register(&self, space: SpaceAddress) -> Result<Watcher, ServiceError> {
        let mut watched = self.shared.watched();
        let is_room = self.shared.count.send_if_modified(|count| {
            let is_room = *count < WATCHERS_MAX;
            *count += usize::from(is_room);
            is_room
        });
        if !is_room {
            return Err(ServiceError::Busy);
        }
        let head = watched.entry(space).or_insert_with(|| watch::Sender::new(Seq::ZERO)).subscribe();
        Ok(Watcher { head, seen: Seq::ZERO, _place: Place { space, shared: Arc::clone(&self.shared) } })
    }

    /// Tells the watchers of a space how far its log goes at least.
    fn tell(&self, space: SpaceAddress, head: Seq) {
        if let Some(known) = self.shared.watched().get(&space) {
            known.send_if_modified(|known| {
                let has_grown = head > *known;
                *known = head.max(*known);
                has_grown
            });
        }
    }

    /// Passes on what the store's bus tells, until the store is gone. May be dropped midway.
    ///
    /// It listens while there are watchers: what others say is asked for on the database only where somebody hears it.
    pub async fn hear(&self) {
        let mut count = self.shared.count.subscribe();
        while count.wait_for(|count| *count > 0).await.is_ok() {
            let mut listener = self.store.bus().listen();
            // What was told before it listened.
            self.look_or_leave_it().await;
            while *count.borrow() > 0 {
                match listener.next().await {
                    Some(Message::Grew(space, head)) => self.tell(space, head),
                    Some(Message::Gap) => self.look_or_leave_it().await,
                    Some(Message::Accounts | Message::Frame(_)) => {}
                    None => return,
                }
            }
        }
    }

    async fn look_or_leave_it(&self) {
        if let Err(error) = self.look().await {
            tracing::debug!(%error, "how far watched logs go could not be read: they are looked at again soon");
        }
    }

    /// Looks at the heads of all watched logs, in one question: to be called every few seconds, so that a message that
    /// was lost only delays, and when another process may have written to the database.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; nobody was told anything then.
    pub async fn look(&self) -> Result<(), ServiceError> {
        let spaces: Vec<SpaceAddress> = self.shared.watched().keys().copied().collect();
        if spaces.is_empty() {
            return Ok(());
        }
        let heads = self.store.heads(&spaces).await?;
        if heads.len() != spaces.len() {
            return Err(StoreError::Internal("not every head was read".to_owned()).into());
        }
        spaces.into_iter().zip(heads).for_each(|(space, head)| self.tell(space, head));
        Ok(())
    }

    /// Ends every watch: to be called when the store may be another one than it was, whose logs may be shorter.
    pub fn forget(&self) {
        self.shared.watched().clear();
    }
}

/// One who watches a space; dropped, it watches no longer.
pub struct Watcher {
    /// Dropped before `_place`, which looks for who is left.
    head: watch::Receiver<Seq>,
    seen: Seq,
    _place: Place,
}

impl Watcher {
    /// The head that it was told last, or found when it began.
    #[must_use]
    pub const fn seen(&self) -> Seq {
        self.seen
    }

    /// Waits until the log has grown beyond [`Self::seen`], and returns the newest head; `None` when the watch has
    /// ended because the database is another one: whoever watched resumes from a cursor.
    ///
    /// May be dropped midway: nothing is lost by it.
    pub async fn changed(&mut self) -> Option<Seq> {
        let seen = self.seen;
        self.seen = *self.head.wait_for(|head| *head > seen).await.ok()?;
        Some(self.seen)
    }
}

/// A watcher's place among all.
struct Place {
    space: SpaceAddress,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut watched = self.shared.watched();
        if watched.get(&self.space).is_some_and(watch::Sender::is_closed) {
            watched.remove(&self.space);
        }
        self.shared.count.send_modify(|count| *count -= 1);
    }
}
