//! The model: plain maps, one lock, every transaction on a copy. Nothing is durable. Tests compare the real stores
//! with it, and use it where a file would only cost time.

mod accounts;
mod entries;
mod erasure;
mod identities;
mod invitations;
mod ledger;
mod projects;
mod replicas;
mod rooms;
mod sign_ins;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_core::{Cursor, Fork, Generation, Policy, Purpose, Resume, Seq, SpaceId, UserId, resume};

use crate::exchange::{self, NothingNew};
use crate::{
    Bus, CheckReport, CommitCounts, Elsewhere, Exchange, Exchanged, LocalBus, LoggedChange, Logs, Message, Progress,
    Reading, Reply, SpaceAddress, StoreError, Upkeep,
};
use ledger::Space;

#[cfg(test)]
pub(crate) use ledger::{BYTES_READ, CHANGES_READ};

/// Owner, purpose and number.
type SpaceKey = (i64, &'static str, i64);

fn space_key(address: SpaceAddress) -> SpaceKey {
    (address.owner.get(), address.purpose.as_str(), address.number.get())
}

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    spaces: Mutex<BTreeMap<SpaceKey, Space>>,
    register: Mutex<accounts::Register>,
    rooms: Mutex<Vec<rooms::Row>>,
    /// Logs that were erased, with whose they were.
    erased: Mutex<Vec<(SpaceId, UserId)>>,
    generation: Generation,
    bus: LocalBus,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            spaces: Mutex::default(),
            register: Mutex::default(),
            rooms: Mutex::default(),
            erased: Mutex::default(),
            generation: Generation::from_bytes([1; 16]),
            bus: LocalBus::default(),
        }
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn head_of(&self, address: SpaceAddress) -> Result<Seq, StoreError> {
        match address.purpose {
            Purpose::Rooms => Ok(self.room_head(address).unwrap_or(Seq::ZERO)),
            _ => self.space(address, |space| Ok(space.head())),
        }
    }

    fn space<T>(
        &self,
        address: SpaceAddress,
        read: impl FnOnce(&mut Space) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let space = spaces.entry(space_key(address)).or_default();
        let mut copy = space.clone();
        let done = read(&mut copy)?;
        *space = copy;
        Ok(done)
    }
}

fn run(space: &mut Space, request: &Exchange) -> Result<Exchanged, StoreError> {
    if request.writes.is_empty()
        && request.refused.is_empty()
        && let Some(NothingNew { exchanged, acknowledged }) = exchange::poll(space, request)?
    {
        if let Some((replica, cursor)) = acknowledged {
            crate::ledger::Ledger::put_cursor(space, replica.row, &cursor)?;
        }
        return Ok(exchanged);
    }
    let judged = exchange::push(space, request)?;
    let page = exchange::read_page(space, request, &judged)?;
    exchange::issue(space, request, judged, page)
}

impl Logs for Memory {
    fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged> {
        Box::pin(async move {
            self.refuse_deleted(request.space)?;
            let (exchanged, before, head) = self.space(request.space, |space| {
                let before = space.head();
                Ok((run(space, &request)?, before, space.head()))
            })?;
            if head > before {
                self.bus.tell(Message::Grew(request.space, head));
            }
            Ok(exchanged)
        })
    }

    fn changes<'a>(
        &'a self,
        address: SpaceAddress,
        _: &'a Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Reply<'a, Vec<LoggedChange>> {
        Box::pin(async move { self.space(address, |space| Ok(space.logged(after, count_max))) })
    }

    fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>> {
        Box::pin(async move { spaces.iter().map(|space| self.head_of(*space)).collect() })
    }

    fn head(&self, address: SpaceAddress) -> Reply<'_, Cursor> {
        Box::pin(async move { Ok(Cursor { generation: self.generation, seq: self.head_of(address)? }) })
    }

    fn resume(&self, address: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume> {
        Box::pin(async move {
            let line = [Fork { generation: self.generation, seq: Seq::ZERO }];
            self.space(address, |space| Ok(resume(cursor, &line, space.head())))
        })
    }
}

impl Upkeep for Memory {
    fn ready(&self) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn commits(&self) -> CommitCounts {
        CommitCounts::default()
    }

    fn changed_elsewhere(&self) -> Reply<'_, Elsewhere> {
        Box::pin(async { Ok(Elsewhere::Nothing) })
    }

    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn tend(&self) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self, _: Vec<Reading>, _: Progress) -> Reply<'_, CheckReport> {
        Box::pin(async { Ok(CheckReport::default()) })
    }

    fn close(&self) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
