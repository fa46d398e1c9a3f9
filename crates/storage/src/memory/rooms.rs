//! Rooms in memory.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use tombolo_core::versions::{VersionThere, let_go};
use tombolo_core::{Digest, LeaseId, NodeId, RoomCode, Seq, ServerTime, UserId};

use super::Memory;
use crate::ledger::End;
use crate::rooms::Fate;
use crate::{
    Document, DocumentPut, DocumentStored, IdleRooms, Lease, Message, NewRoom, OpenedRoom, Reply, Room, RoomAdded,
    RoomOverview, Rooms, SpaceAddress, StoreError, Version,
};

/// A room with its log, which is kept here whole: the spaces of the model are dense.
#[derive(Clone, Debug)]
pub(super) struct Row {
    room: Room,
    used_at: ServerTime,
    leases: Vec<Lease>,
    /// Oldest first.
    documents: Vec<Document>,
    end: End,
}

impl Row {
    fn new(room: Room) -> Self {
        let end = End { seq: Seq::ZERO, committed_at: ServerTime::from_micros(0) };
        Self { used_at: room.created_at, room, leases: Vec::new(), documents: Vec::new(), end }
    }

    pub(super) const fn owner(&self) -> UserId {
        self.room.owner
    }

    pub(super) const fn space(&self) -> SpaceAddress {
        self.room.space()
    }

    pub(super) const fn head(&self) -> Seq {
        self.end.seq
    }

    /// Which nodes have it open.
    fn nodes(&self) -> BTreeSet<NodeId> {
        self.leases.iter().map(|lease| lease.node).collect()
    }

    /// Takes out a lease, or puts off its end, and says which other nodes have one.
    fn take_lease(&mut self, lease: Lease, now: ServerTime) -> Vec<NodeId> {
        self.sweep(now);
        self.leases.retain(|known| known.id != lease.id);
        let others = self.nodes().into_iter().filter(|node| *node != lease.node).collect();
        self.leases.push(lease);
        others
    }

    /// Forgets the leases that have run out: the room was in use until then.
    fn sweep(&mut self, now: ServerTime) {
        let run_out = self.leases.extract_if(.., |lease| lease.until < now);
        self.used_at = run_out.map(|lease| lease.until).fold(self.used_at, ServerTime::max);
    }

    fn put(&mut self, put: DocumentPut) -> DocumentStored {
        let newest = self.documents.last();
        let known = newest.map(|newest| (newest.version, Digest::of(newest.text.as_bytes())));
        match (put.fate(Digest::of(put.text.as_bytes()), known), newest) {
            (Fate::Unchanged(version), _) => return DocumentStored::Unchanged(version),
            (Fate::Moved(_), Some(newest)) => return DocumentStored::Moved(newest.clone()),
            _ => {}
        }
        self.end.move_to(self.end.next(put.now));
        let End { seq: version, committed_at: at } = self.end;
        self.documents.push(Document { version, at, text: put.text });
        let there = self.documents.iter().map(|document| {
            let Version { version: seq, at, bytes } = version_of(document);
            VersionThere { seq, at, bytes }
        });
        let gone = let_go(&there.collect::<Vec<_>>(), put.kept);
        self.documents.retain(|document| !gone.contains(&document.version));
        DocumentStored::Stored(version)
    }

    fn overview(&self) -> RoomOverview {
        let newest = self.documents.last().map(version_of);
        RoomOverview { room: self.room.clone(), used_at: self.used_at, is_open: !self.leases.is_empty(), newest }
    }

    /// Whether it was left for long enough.
    fn is_left(&self, idle: IdleRooms) -> bool {
        let since = if self.documents.is_empty() { idle.empty_since } else { idle.since };
        self.leases.is_empty() && since.is_some_and(|since| self.used_at <= since)
    }
}

fn version_of(document: &Document) -> Version {
    Version { version: document.version, at: document.at, bytes: document.text.len() as u64 }
}

impl Memory {
    pub(super) fn room_rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the log of a room ends; `None` where there is no such room.
    pub(super) fn room_head(&self, space: SpaceAddress) -> Option<Seq> {
        of_space(&mut self.room_rows(), space).map(|row| row.head())
    }
}

fn of_space(rows: &mut [Row], space: SpaceAddress) -> Option<&mut Row> {
    rows.iter_mut().find(|row| row.room.space() == space)
}

fn of_code<'r>(rows: &'r mut [Row], owner: UserId, code: &RoomCode) -> Option<&'r mut Row> {
    rows.iter_mut().find(|row| row.room.owner == owner && row.room.code == *code)
}

impl Rooms for Memory {
    fn add_room(&self, NewRoom { room, of_owner_max }: NewRoom) -> Reply<'_, RoomAdded> {
        Box::pin(async move {
            self.refuse_deleted(room.space())?;
            let mut rows = self.room_rows();
            if let Some(row) = of_code(&mut rows, room.owner, &room.code) {
                return Ok(RoomAdded::Exists(row.room.clone()));
            }
            if rows.iter().filter(|row| row.room.owner == room.owner).count() >= of_owner_max {
                return Ok(RoomAdded::Full);
            }
            if of_space(&mut rows, room.space()).is_some() {
                return Err(StoreError::Internal("a room's number is taken".to_owned()));
            }
            rows.push(Row::new(room));
            Ok(RoomAdded::New)
        })
    }

    fn room<'a>(&'a self, owner: UserId, code: &'a RoomCode) -> Reply<'a, Option<(Room, Vec<NodeId>)>> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            Ok(of_code(&mut rows, owner, code).map(|row| (row.room.clone(), row.nodes().into_iter().collect())))
        })
    }

    fn rooms(&self, owner: Option<UserId>) -> Reply<'_, Vec<RoomOverview>> {
        Box::pin(async move {
            let rows = self.room_rows();
            let of_owner = rows.iter().filter(|row| owner.is_none_or(|owner| row.room.owner == owner));
            let mut all: Vec<_> = of_owner.map(Row::overview).collect();
            all.sort_by_key(|overview| (overview.room.owner, overview.room.code.key()));
            Ok(all)
        })
    }

    fn room_count(&self, owner: Option<UserId>) -> Reply<'_, u64> {
        Box::pin(async move {
            let rows = self.room_rows();
            Ok(rows.iter().filter(|row| owner.is_none_or(|owner| row.room.owner == owner)).count() as u64)
        })
    }

    fn open_room<'a>(
        &'a self,
        owner: UserId,
        code: &'a RoomCode,
        lease: Lease,
        now: ServerTime,
    ) -> Reply<'a, Option<OpenedRoom>> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            Ok(of_code(&mut rows, owner, code).map(|row| OpenedRoom {
                others: row.take_lease(lease, now),
                room: row.room.clone(),
                document: row.documents.last().cloned(),
            }))
        })
    }

    fn renew_leases<'a>(
        &'a self,
        leases: &'a [(SpaceAddress, Lease)],
        now: ServerTime,
    ) -> Reply<'a, Vec<Option<Vec<NodeId>>>> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            let mut renew = |(space, lease): &(_, Lease)| {
                let row = of_space(&mut rows, *space)?;
                row.used_at = row.used_at.max(now);
                Some(row.take_lease(*lease, now))
            };
            Ok(leases.iter().map(&mut renew).collect())
        })
    }

    fn close_rooms<'a>(&'a self, closed: &'a [(SpaceAddress, LeaseId, ServerTime)]) -> Reply<'a, ()> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            for (space, lease, used_at) in closed {
                if let Some(row) = of_space(&mut rows, *space) {
                    row.leases.retain(|known| known.id != *lease);
                    row.used_at = row.used_at.max(*used_at);
                }
            }
            Ok(())
        })
    }

    fn put_document(&self, put: DocumentPut) -> Reply<'_, DocumentStored> {
        Box::pin(async move {
            let space = put.space;
            let stored = of_space(&mut self.room_rows(), space).map_or(DocumentStored::NoRoom, |row| row.put(put));
            if let DocumentStored::Stored(version) = stored {
                self.bus.tell(Message::Grew(space, version));
            }
            Ok(stored)
        })
    }

    fn document(&self, space: SpaceAddress, version: Option<Seq>) -> Reply<'_, Option<Document>> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            let Some(row) = of_space(&mut rows, space) else { return Ok(None) };
            let wanted = version.unwrap_or(row.head());
            Ok(row.documents.iter().find(|document| document.version == wanted).cloned())
        })
    }

    fn versions(&self, space: SpaceAddress) -> Reply<'_, Vec<Version>> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            let row = of_space(&mut rows, space);
            Ok(row.map_or_else(Vec::new, |row| row.documents.iter().rev().map(version_of).collect()))
        })
    }

    fn end_rooms(&self, idle: IdleRooms) -> Reply<'_, u64> {
        Box::pin(async move {
            let mut rows = self.room_rows();
            rows.iter_mut().for_each(|row| row.sweep(idle.now));
            let mut left: Vec<_> = rows.iter().filter(|row| row.is_left(idle)).collect();
            left.sort_by_key(|row| row.used_at);
            let ended: Vec<_> = left.into_iter().take(idle.count_max).map(|row| row.room.space()).collect();
            rows.retain(|row| !ended.contains(&row.room.space()));
            Ok(ended.len() as u64)
        })
    }
}
