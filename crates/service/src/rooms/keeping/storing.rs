//! Storing documents as they fall due, and reading those that others stored.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use tombolo_core::Seq;
use tombolo_storage::{DocumentPut, DocumentStored, SpaceAddress, StoreError};

use crate::ServiceError;
use crate::rooms::Rooms;
use crate::rooms::hub::OpenRoom;
use crate::rooms::live::ToStore;
use crate::rooms::lock::lock;

/// Between two storings of one room: twice a second is oftener than a version a second, and half of what may be lost.
const STORE_EVERY: Duration = Duration::from_millis(500);
/// Documents that are stored, or read, at once: more do not make a disk faster, and each is in memory meanwhile.
pub(in crate::rooms) const AT_ONCE_MAX: usize = 8;
/// Before what could not be stored is stored again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often a document is brought together with another that was stored meanwhile, before it wins as it is.
const MERGES_MAX: usize = 16;
/// How often a document is read anew that others go on storing: after that, the next look does.
const READS_MAX: usize = 3;
/// How often it is tried to store everything at the end.
const LAST_TRIES: usize = 5;
/// Between those tries.
const LAST_WAIT: Duration = Duration::from_millis(200);
/// Rooms whose heads are asked for in one question.
const HEADS_MAX: usize = 1_000;

/// What is told when storing fails.
const CANNOT_STORE: &str = "The server cannot store the document right now: keep this page open";
/// What peers of a room are told that is there no more; clients compare it.
pub(in crate::rooms) const NOT_FOUND: &str = "Room not found";

/// Rooms that hold what is not stored.
pub(in crate::rooms) struct Due {
    pub(super) rooms: Mutex<VecDeque<Arc<OpenRoom>>>,
    came: Notify,
    places: Semaphore,
}

impl Default for Due {
    fn default() -> Self {
        Self { rooms: Mutex::default(), came: Notify::new(), places: Semaphore::new(AT_ONCE_MAX) }
    }
}

impl Due {
    /// Has a room's document stored, soon.
    pub(in crate::rooms) fn add(&self, room: &Arc<OpenRoom>) {
        // Whoever is about to store it says so before he looks whether there is anything to store.
        if !room.is_due.swap(true, SeqCst) {
            lock(&self.rooms).push_back(Arc::clone(room));
            self.came.notify_one();
        }
    }

    /// Has those stored that nobody goes on with, after those that wait.
    fn add_left(&self, mut left: Vec<Arc<OpenRoom>>) {
        left.iter().for_each(|room| room.is_due.store(true, SeqCst));
        let mut rooms = lock(&self.rooms);
        let waiting: HashSet<SpaceAddress> = rooms.iter().map(|room| room.space).collect();
        left.retain(|room| !waiting.contains(&room.space));
        rooms.extend(left);
    }

    async fn next(&self) -> Arc<OpenRoom> {
        loop {
            if let Some(room) = lock(&self.rooms).pop_front() {
                return room;
            }
            self.came.notified().await;
        }
    }
}

impl Rooms {
    /// Stores what rooms hold as it falls due, for ever. Rooms do not wait for each other.
    pub(in crate::rooms) async fn keep_storing(&self) {
        // What whoever did this before had begun, or was about to.
        let is_left = |room: &Arc<OpenRoom>| room.live.is_dirty() || room.is_due.load(SeqCst);
        self.due.add_left(self.hub.all().into_iter().filter(is_left).collect());
        let mut storing = FuturesUnordered::<Pin<Box<dyn Future<Output = ()> + Send + '_>>>::new();
        loop {
            tokio::select! {
                room = self.due.next() => storing.push(Box::pin(self.keep(room))),
                Some(()) = storing.next() => {}
            }
        }
    }

    /// Stores a room's document until there is nothing to store.
    async fn keep(&self, room: Arc<OpenRoom>) {
        let mut has_failed = false;
        loop {
            let last = *lock(&room.stored_at);
            if let Some(last) = last {
                sleep_until(last + STORE_EVERY).await;
            }
            let place = self.due.places.acquire().await.expect("it is never closed");
            room.is_due.store(false, SeqCst);
            *lock(&room.stored_at) = Some(Instant::now());
            let stored = self.store_once(&room).await;
            drop(place);
            match stored {
                Ok(()) => has_failed = false,
                Err(error) => {
                    if !has_failed {
                        tracing::warn!(%error, "a room's document could not be stored; it is tried again");
                    }
                    has_failed = true;
                    room.live.store_failed(CANNOT_STORE);
                    sleep(AGAIN_AFTER).await;
                }
            }
            // If somebody says so, it is in the queue again.
            if !room.live.is_dirty() || room.is_due.swap(true, SeqCst) {
                return;
            }
        }
    }

    /// Stores what a room holds now, and reads what others stored if they did.
    async fn store_once(&self, room: &Arc<OpenRoom>) -> Result<(), ServiceError> {
        let storing = room.storing.lock().await;
        let mut merges = 0;
        while let Some(ToStore { text, after, turn }) = room.live.to_store() {
            let put = DocumentPut {
                space: room.space,
                text: text.as_ref().to_owned(),
                after: after.filter(|_| merges < MERGES_MAX),
                kept: self.options.versions,
                now: self.env.now(),
            };
            drop(text);
            match self.store.put_document(put).await? {
                DocumentStored::Stored(version) | DocumentStored::Unchanged(version) => {
                    self.show_missed(room, room.live.stored(turn, version)).await?;
                    break;
                }
                DocumentStored::Moved(document) => {
                    merges += 1;
                    room.live.moved(document);
                }
                DocumentStored::NoRoom => {
                    self.end(room);
                    return Ok(());
                }
            }
        }
        let read = self.read_newer(room).await;
        drop(storing);
        read
    }

    /// Shows what others stored just before a room's document was, if it was not shown here before.
    async fn show_missed(&self, room: &OpenRoom, missed: Option<Seq>) -> Result<(), ServiceError> {
        let Some(version) = missed else { return Ok(()) };
        let read = self.store.document(room.space, Some(version)).await;
        let (document, result) = match read {
            Ok(document) => (document, Ok(())),
            Err(error) => (None, Err(error.into())),
        };
        room.live.missed(document);
        result
    }

    /// A room is no more: its peers are told, and are out of it.
    pub(in crate::rooms) fn end(&self, room: &Arc<OpenRoom>) {
        self.hub.remove(room);
        room.live.evict_all(NOT_FOUND);
    }

    /// Reads what others stored, if they did. Waits while the room's own is stored, which would be taken for another's.
    /// May be dropped midway.
    pub(in crate::rooms) async fn catch_up(&self, room: &Arc<OpenRoom>) -> Result<(), ServiceError> {
        let _storing = room.storing.lock().await;
        self.read_newer(room).await
    }

    async fn read_newer(&self, room: &Arc<OpenRoom>) -> Result<(), ServiceError> {
        for _ in 0..READS_MAX {
            if !room.live.is_behind() {
                break;
            }
            let Some(document) = self.store.document(room.space, None).await? else { break };
            if room.live.stored_elsewhere(document) {
                self.due.add(room);
            }
        }
        Ok(())
    }

    /// Looks at what others stored in these rooms.
    pub(in crate::rooms) async fn look_at(&self, rooms: &[Arc<OpenRoom>]) -> Result<(), ServiceError> {
        for some in rooms.chunks(HEADS_MAX) {
            let spaces: Vec<_> = some.iter().map(|room| room.space).collect();
            let heads = self.store.heads(&spaces).await?;
            if heads.len() != spaces.len() {
                return Err(StoreError::Internal("not every head was read".to_owned()).into());
            }
            some.iter().zip(heads).for_each(|(room, head)| room.live.hear_of(head));
        }
        let behind: Vec<Arc<OpenRoom>> = rooms.iter().filter(|room| room.live.is_behind()).cloned().collect();
        let read = stream::iter(behind).map(|room| async move { self.catch_up(&room).await });
        read.buffer_unordered(AT_ONCE_MAX).try_collect().await
    }

    /// Stores everything that is not stored, trying for a second.
    pub(in crate::rooms) async fn store_everything(&self) -> Result<(), ServiceError> {
        let mut tries = 1;
        loop {
            let dirty: Vec<_> = self.hub.all().into_iter().filter(|room| room.live.is_dirty()).collect();
            let is_clean = dirty.is_empty();
            let storing = stream::iter(dirty).map(|room| async move { self.store_once(&room).await });
            let results: Vec<Result<(), ServiceError>> = storing.buffer_unordered(AT_ONCE_MAX).collect().await;
            match results.into_iter().find_map(Result::err) {
                Some(error) if tries >= LAST_TRIES => return Err(error),
                Some(_) => sleep(LAST_WAIT).await,
                None if is_clean => return Ok(()),
                // Merged with what others stored meanwhile, it may be to be stored again.
                None if tries >= LAST_TRIES * MERGES_MAX => return Err(ServiceError::Busy),
                None => {}
            }
            tries += 1;
        }
    }
}
