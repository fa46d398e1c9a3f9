//! Holding on to rooms that are open, and letting go of those that nobody is in.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{LeaseId, NodeId, ServerTime};
use tombolo_storage::{IdleRooms, Lease, SpaceAddress, StoreError};

use super::{ENDS_PER_IDLE, LEASE_SPAN};
use crate::ServiceError;
use crate::rooms::Rooms;
use crate::rooms::hub::OpenRoom;
use crate::rooms::lock::lock;

/// How long a room that nobody is in stays open: whoever reloads a page finds it as he left it.
const LEFT_KEPT: Duration = Duration::from_secs(5);
/// Leases that are renewed, or given back, in one question.
const LEASES_MAX: usize = 1_000;
/// Leases that wait to be given back while the store fails; beyond it they run out by themselves.
const RETURNED_MAX: usize = 10_000;
/// Rooms that are ended in one sweep; the next one ends more.
const ENDED_MAX: usize = 1_000;

/// A lease to be given back, and when somebody was last in the room.
pub(in crate::rooms) type Returned = (SpaceAddress, LeaseId, ServerTime);

impl Rooms {
    /// Renews the leases of all open rooms as of `now`, and learns which other nodes have them open.
    pub(in crate::rooms) async fn renew_leases(&self, now: ServerTime) -> Result<(), ServiceError> {
        let node = self.crossing.pump.node();
        let lease = |room: &Arc<OpenRoom>| Lease { id: room.lease, node, until: now.plus(LEASE_SPAN) };
        let _leases = self.leases.lock().await;
        for some in self.hub.all().chunks(LEASES_MAX) {
            // Whoever is heard of from here on may have come after the store was asked.
            some.iter().for_each(|room| lock(&room.met).clear());
            let leases: Vec<_> = some.iter().map(|room| (room.space, lease(room))).collect();
            let others = self.store.renew_leases(&leases, now).await?;
            if others.len() != leases.len() {
                return Err(StoreError::Internal("not every lease was renewed".to_owned()).into());
            }
            for (room, others) in some.iter().zip(others) {
                match others {
                    Some(others) => self.compare_others(room, &others),
                    None => self.end(room),
                }
            }
        }
        Ok(())
    }

    /// Forgets the nodes that do not have a room open any more, and asks those of whom nothing was heard.
    fn compare_others(&self, room: &OpenRoom, others: &[NodeId]) {
        for node in others {
            room.live.meet(*node);
        }
        let met: HashSet<NodeId> = lock(&room.met).iter().chain(others).copied().collect();
        for node in room.live.others().into_iter().filter(|node| !met.contains(node)) {
            room.live.forget(node);
            room.answered.notify_one();
        }
        if !room.live.unanswered().is_empty() {
            self.crossing.ask_again(room);
        }
    }

    /// Lets go of rooms that nobody is in.
    pub(in crate::rooms) async fn let_go(&self) -> Result<(), ServiceError> {
        let since = self.env.now().minus(LEFT_KEPT);
        let shut = self.hub.all().iter().filter_map(|room| self.shut(room, since)).collect();
        self.give_back(shut).await
    }

    /// Lets go of a room, if nobody is in it since `since`. Whoever finds it shut opens it anew only when the other nodes
    /// have been told that it is closed: otherwise they would take it for the new one that is.
    fn shut(&self, room: &Arc<OpenRoom>, since: ServerTime) -> Option<Returned> {
        let _telling = lock(&room.telling);
        let left_at = room.live.shut(since)?;
        self.crossing.tell_closed(room);
        self.hub.remove(room);
        Some((room.space, room.lease, left_at))
    }

    /// Gives leases back, also those for which it failed before.
    pub(in crate::rooms) async fn give_back(&self, more: Vec<Returned>) -> Result<(), ServiceError> {
        {
            let mut returned = lock(&self.returned);
            returned.extend(more);
            returned.truncate(RETURNED_MAX);
        }
        let _leases = self.leases.lock().await;
        let some = lock(&self.returned).clone();
        for some in some.chunks(LEASES_MAX) {
            self.store.close_rooms(some).await?;
            let done: HashSet<LeaseId> = some.iter().map(|(_, lease, _)| *lease).collect();
            lock(&self.returned).retain(|(_, lease, _)| !done.contains(lease));
        }
        Ok(())
    }

    /// Ends rooms that were left for long enough. Those that are open here are not among them, even if their leases ran
    /// out because the machine slept, its clock was set or the database was away: they are renewed first, as of the same
    /// moment, and if they cannot be, nothing ends.
    pub(in crate::rooms) async fn end_idle(&self) -> Result<(), ServiceError> {
        let now = self.env.now();
        let before = |idle: Duration| (!idle.is_zero()).then(|| now.minus(idle));
        let (empty_since, since) = (before(self.options.idle_empty), before(self.options.idle));
        let idle = [self.options.idle_empty, self.options.idle];
        let Some(shortest) = idle.into_iter().filter(|idle| !idle.is_zero()).min() else { return Ok(()) };
        let last = *lock(&self.ended_at);
        // A clock that was set back says nothing of how long ago that was.
        if last.is_some_and(|last| last <= now && now.since(last) < shortest / ENDS_PER_IDLE) {
            return Ok(());
        }
        self.renew_leases(now).await?;
        let ended = self.store.end_rooms(IdleRooms { empty_since, since, now, count_max: ENDED_MAX }).await?;
        // Where there may be more, they are next.
        *lock(&self.ended_at) = (usize::try_from(ended).is_ok_and(|ended| ended < ENDED_MAX)).then_some(now);
        if ended > 0 {
            tracing::info!(rooms = ended, "rooms that were left for long enough have ended");
        }
        Ok(())
    }
}
