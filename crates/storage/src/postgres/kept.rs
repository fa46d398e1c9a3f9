//! What a node keeps of a space between two of its own transactions.
//!
//! It is never believed: the statement that reads the rest says at which version the space is, and only if that is still
//! the one that was kept, is what was kept taken for read. Where other nodes write to the same space in turn it would
//! only cost a second reading, so it is used once a space was met again as it had been left.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use tombolo_core::{Instant, ReplicaName, SpaceId};

use super::loaded::{Cursors, Loaded, SpaceRow};
use super::lock;
use super::wants::Wants;
use crate::ledger::{Alias, IssuedCursor, Replica, ReplicaRow};

/// Spaces of which something is kept, some kilobytes each; when there are more, it begins anew.
const SPACES_MAX: usize = 1_000;
/// Replicas of a space that are kept, and other names of its records: a person's devices.
const REPLICAS_MAX: usize = 64;
const ALIASES_MAX: usize = 256;

/// What is kept of one space.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The row as this node left it.
    pub(super) space: SpaceRow,
    pub(super) replicas: HashMap<ReplicaName, Replica>,
    pub(super) has_traffic: HashSet<ReplicaRow>,
    /// The newest cursor of each replica.
    pub(super) newest: HashMap<ReplicaRow, IssuedCursor>,
    pub(super) aliases: Option<Vec<(Alias, i64)>>,
    /// Whether the space was found as it had been left.
    is_trusted: bool,
}

/// What a node keeps of all spaces.
#[derive(Default)]
pub(super) struct Keeper(Mutex<HashMap<SpaceId, Kept>>);

impl Keeper {
    /// What is kept of a space, if it is worth asking whether that still holds.
    pub(super) fn trusted(&self, space: SpaceId) -> Option<Kept> {
        lock(&self.0).get(&space).filter(|kept| kept.is_trusted).cloned()
    }

    /// Keeps what this node left behind. `found` is the row as it was met before.
    pub(super) fn keep(&self, space: SpaceId, found: &SpaceRow, left: Kept) {
        let mut all = lock(&self.0);
        if all.len() >= SPACES_MAX && !all.contains_key(&space) {
            all.clear();
        }
        let is_trusted = all.get(&space).is_some_and(|before| before.space == *found);
        let is_small = left.replicas.len() <= REPLICAS_MAX;
        let aliases = left.aliases.filter(|aliases| aliases.len() <= ALIASES_MAX);
        if is_small {
            all.insert(space, Kept { is_trusted, aliases, ..left });
        } else {
            all.remove(&space);
        }
    }

    /// A poll acknowledged a cursor.
    pub(super) fn acknowledge(&self, space: SpaceId, replica: ReplicaRow, cursor: &IssuedCursor) {
        if let Some(kept) = lock(&self.0).get_mut(&space)
            && let Some(newest) = kept.newest.get_mut(&replica).filter(|newest| newest.token == cursor.token)
        {
            newest.clone_from(cursor);
        }
    }

    pub(super) fn forget(&self, space: SpaceId) {
        lock(&self.0).remove(&space);
    }

    pub(super) fn forget_all(&self) {
        lock(&self.0).clear();
    }
}

impl Kept {
    /// What is left behind, to be kept.
    pub(super) fn new(
        space: SpaceRow,
        replicas: HashMap<ReplicaName, Replica>,
        has_traffic: HashSet<ReplicaRow>,
        newest: HashMap<ReplicaRow, IssuedCursor>,
        aliases: Option<Vec<(Alias, i64)>>,
    ) -> Self {
        Self { space, replicas, has_traffic, newest, aliases, is_trusted: false }
    }

    /// What has still to be read beside it.
    pub(super) fn without(&self, wants: &Wants) -> Wants {
        let mut rest = wants.clone();
        rest.replicas.retain(|name| !self.replicas.contains_key(name));
        rest.presented.retain(|(name, token)| {
            let newest = self.replicas.get(name).and_then(|replica| self.newest.get(&replica.row));
            newest.is_none_or(|newest| crate::columns::whole_millis(newest.token) != *token)
        });
        rest.aliases &= self.aliases.is_none();
        rest
    }

    /// Adds it to what was read, which was at the same version.
    pub(super) fn seed(self, loaded: &mut Loaded) {
        for (name, replica) in self.replicas {
            loaded.replica_names.insert(replica.row, name.clone());
            let known: std::collections::BTreeMap<Instant, IssuedCursor> =
                self.newest.get(&replica.row).map(|newest| (newest.token, newest.clone())).into_iter().collect();
            loaded.cursors.insert(replica.row, Cursors { known, ..Cursors::default() });
            loaded.replicas.insert(name, Some(replica));
        }
        loaded.has_traffic.extend(self.has_traffic);
        if let Some(aliases) = self.aliases {
            loaded.aliases = Some(aliases);
        }
    }
}
