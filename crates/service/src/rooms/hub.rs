//! The rooms that are open on this node.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tombolo_core::{LeaseId, NodeId, RoomCode, UserId};
use tombolo_storage::SpaceAddress;

use super::crossing::Attention;
use super::live::LiveRoom;

/// What a room is looked for by: its owner, and what all spellings of its code have in common.
pub(super) type RoomKey = (UserId, String);

/// What the room of this code is looked for by.
pub(super) fn room_key(owner: UserId, code: &RoomCode) -> RoomKey {
    (owner, code.key())
}

/// A room that is open on this node, and how it stands with the store and with other nodes.
pub(super) struct OpenRoom {
    /// Who is in it, and what it holds.
    pub(super) live: LiveRoom,
    /// Where it is stored.
    pub(super) space: SpaceAddress,
    /// What keeps it from being ended.
    pub(super) lease: LeaseId,
    /// Whether all nodes that have it open have said who is there, or were waited for long enough.
    pub(super) is_ready: AtomicBool,
    /// Held while somebody comes or goes and others are told, so that they are told in that order. Taken before the
    /// lock inside `live`.
    pub(super) telling: Mutex<()>,
    /// Told when another node said who is there.
    pub(super) answered: Notify,
    /// Other nodes that were heard of since leases were last asked for.
    pub(super) met: Mutex<HashSet<NodeId>>,
    /// Whether its peers pass data on, of which none may be lost unnoticed: a document comes again, data do not.
    pub(super) has_data: AtomicBool,
    /// Whether somebody is about to store its document.
    pub(super) is_due: AtomicBool,
    /// Held while its document is stored: two at once could end up in the wrong order. And while what others stored is
    /// read, so that what this node stores itself is known for it.
    pub(super) storing: tokio::sync::Mutex<()>,
    /// When its document was last begun to be stored.
    pub(super) stored_at: Mutex<Option<Instant>>,
    /// Whether somebody is about to read what others stored.
    pub(super) is_reading: AtomicBool,
    /// While it is open, it is listened to what others tell of it.
    pub(super) _attention: Attention,
}

impl OpenRoom {
    /// A room that was just opened under `lease`.
    pub(super) fn new(live: LiveRoom, lease: LeaseId, attention: Attention) -> Self {
        Self {
            space: live.room().space(),
            live,
            lease,
            is_ready: AtomicBool::new(false),
            telling: Mutex::default(),
            answered: Notify::new(),
            met: Mutex::default(),
            has_data: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
            storing: tokio::sync::Mutex::default(),
            stored_at: Mutex::default(),
            is_reading: AtomicBool::new(false),
            _attention: attention,
        }
    }

    fn key(&self) -> RoomKey {
        room_key(self.space.owner, &self.live.room().code)
    }
}

/// The rooms that are open on this node. Its lock is the last to be taken, and held for a look only.
#[derive(Default)]
pub(super) struct Hub {
    map: Mutex<Map>,
}

#[derive(Default)]
struct Map {
    by_space: HashMap<SpaceAddress, Arc<OpenRoom>>,
    by_key: HashMap<RoomKey, Arc<OpenRoom>>,
    /// How often the database was found to be another one.
    epoch: u64,
}

impl Hub {
    /// The open room of this code, perhaps one that is not ready.
    pub(super) fn find(&self, key: &RoomKey) -> Option<Arc<OpenRoom>> {
        self.map().by_key.get(key).cloned()
    }

    /// The open room that is stored there.
    pub(super) fn at(&self, space: SpaceAddress) -> Option<Arc<OpenRoom>> {
        self.map().by_space.get(&space).cloned()
    }

    /// All open rooms.
    pub(super) fn all(&self) -> Vec<Arc<OpenRoom>> {
        self.map().by_space.values().cloned().collect()
    }

    /// Which database it is that rooms are opened of.
    pub(super) fn epoch(&self) -> u64 {
        self.map().epoch
    }

    /// Puts in a room that was opened of the database of `epoch`; `false` when that is another one by now.
    #[must_use]
    pub(super) fn insert(&self, room: &Arc<OpenRoom>, epoch: u64) -> bool {
        let mut map = self.map();
        if map.epoch != epoch {
            return false;
        }
        map.by_space.insert(room.space, Arc::clone(room));
        map.by_key.insert(room.key(), Arc::clone(room));
        true
    }

    /// Takes a room out, if it is the one that is there.
    pub(super) fn remove(&self, room: &Arc<OpenRoom>) {
        let (key, mut map) = (room.key(), self.map());
        let is_it = |there: Option<&Arc<OpenRoom>>| there.is_some_and(|there| Arc::ptr_eq(there, room));
        if is_it(map.by_space.get(&room.space)) {
            map.by_space.remove(&room.space);
        }
        if is_it(map.by_key.get(&key)) {
            map.by_key.remove(&key);
        }
    }

    /// Takes all rooms out, since the database is another one.
    pub(super) fn clear(&self) -> Vec<Arc<OpenRoom>> {
        let mut map = self.map();
        map.epoch += 1;
        map.by_key.clear();
        map.by_space.drain().map(|(_, room)| room).collect()
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
