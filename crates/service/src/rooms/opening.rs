//! Finding the room that somebody wishes to join, and opening it where nobody here is in it yet.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use tombolo_core::{LeaseId, RoomCode, UserId};
use tombolo_storage::Lease;

use super::Rooms;
use super::connection::Entrant;
use super::hub::{OpenRoom, RoomKey, room_key};
use super::keeping::LEASE_SPAN;
use super::live::LiveRoom;
use super::lookups::{Found, NotMade, Unknown, random_number};
use crate::ServiceError;

/// What became of looking for the room that somebody wishes to join.
pub(super) enum Entered {
    /// It is open.
    Room(Arc<OpenRoom>),
    /// There is none.
    Unknown,
    /// Too many wrong codes came from this address; how long to wait.
    TooManyWrong(Duration),
    /// It would have to be made, and too many were from this address; how long to wait.
    TooManyMade(Duration),
    /// It would have to be made, and its owner has as many as he may.
    Full,
    /// With its document, all open rooms would hold more than they may.
    TooMuchHeld,
}

impl Rooms {
    /// The room of this code, opened if it is not. Where rooms are made by joining them, it is made.
    ///
    /// May be dropped midway: a lease that was taken out for nobody runs out by itself.
    pub(super) async fn enter(&self, entrant: &Entrant, code: &RoomCode) -> Result<Entered, ServiceError> {
        if let Err(wait) = self.wrong_codes.check(entrant.address) {
            return Ok(Entered::TooManyWrong(wait));
        }
        let key = room_key(entrant.owner, code);
        match self.hub.find(&key) {
            Some(room) if room.is_ready.load(Acquire) => return Ok(Entered::Room(room)),
            // Somebody is opening it: it is there.
            Some(_) => {}
            None => {
                let unknown = if self.options.auto_create { Unknown::IsMade } else { Unknown::IsWrong };
                match self.look_up(entrant, code, unknown).await? {
                    Found::Room(..) => {}
                    Found::Unknown => return Ok(Entered::Unknown),
                    Found::TooMany(wait) => return Ok(Entered::TooManyWrong(wait)),
                    Found::NotMade(NotMade::TooMany(wait)) => return Ok(Entered::TooManyMade(wait)),
                    Found::NotMade(NotMade::Full) => return Ok(Entered::Full),
                }
            }
        }
        self.open(key, entrant.owner, code).await
    }

    /// Opens a room, unless it is open: one who joins opens it, those who come meanwhile wait for him.
    async fn open(&self, key: RoomKey, owner: UserId, code: &RoomCode) -> Result<Entered, ServiceError> {
        let _turn = self.opening.take(key.clone()).await;
        let there = self.hub.find(&key);
        // One that is there and not ready was left by somebody who went while he opened it.
        let room = match there {
            Some(room) if room.is_ready.load(Acquire) => return Ok(Entered::Room(room)),
            Some(room) => room,
            None => match self.open_cold(owner, code).await? {
                Entered::Room(room) => room,
                other => return Ok(other),
            },
        };
        if !room.live.others().is_empty() {
            self.crossing.meet_others(&room).await;
            // What others stored since it was read here, and before this node was listening for it.
            self.look_at(std::slice::from_ref(&room)).await?;
        }
        room.is_ready.store(true, Release);
        Ok(Entered::Room(room))
    }

    async fn open_cold(&self, owner: UserId, code: &RoomCode) -> Result<Entered, ServiceError> {
        let epoch = self.hub.epoch();
        // What others tell is heard from before the room is read.
        let attention = self.crossing.attend(self.store.bus());
        let now = self.env.now();
        let id = LeaseId::new(random_number(&*self.env));
        let lease = Lease { id, node: self.crossing.pump.node(), until: now.plus(LEASE_SPAN) };
        let Some(opened) = self.store.open_room(owner, code, lease, now).await? else { return Ok(Entered::Unknown) };
        let space = opened.room.space();
        let Some(live) = LiveRoom::open(opened, Arc::clone(&self.common), self.env.now()) else {
            // Nobody is in it by this: it is not kept open.
            self.give_back(vec![(space, id, now)]).await?;
            return Ok(Entered::TooMuchHeld);
        };
        let room = Arc::new(OpenRoom::new(live, id, attention));
        if !self.hub.insert(&room, epoch) {
            // It is of another database than the one that is there now.
            return Err(ServiceError::Busy);
        }
        Ok(Entered::Room(room))
    }
}
