//! Rooms: one document that several people have before them, and what they tell each other meanwhile.
//!
//! What a peer sends goes out to the others at once, from memory: [`outlet`] is what one connection is still to be
//! sent, [`live`] a room that somebody is in. Storing comes after it, in [`keeping`], within a second. Rooms that are open
//! on several nodes tell each other through the store's bus, in [`crossing`].

mod allowance;
mod bases;
mod board;
mod codec;
mod connection;
mod counts;
mod crossing;
mod entrants;
mod hub;
mod keeping;
#[cfg(test)]
mod lines;
mod live;
mod lock;
mod lookups;
mod opening;
mod options;
mod outlet;
mod printer;
mod roster;
mod turns;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::timeout;
use tombolo_core::{Env, NodeId, ServerTime, UserId};
use tombolo_storage::Store;

use self::crossing::Crossing;
use self::entrants::Entrants;
use self::hub::{Hub, RoomKey};
use self::keeping::{Due, Returned};
use self::live::Common;
use self::lookups::{AddressCounts, random_number};
use self::turns::Turns;
use crate::{AccessChanges, ServiceError};

pub use codec::{Notice, PeerInfo, RoomCodec};
pub use connection::{Connection, Entrant, JoinWish, Joined};
pub use counts::{RoomCloses, RoomCounts};
pub use entrants::NotConnected;
pub use keeping::{RENEW_EVERY, SWEEP_EVERY};
pub use lookups::{RoomFound, RoomMade, RoomWish};
pub use options::RoomOptions;
pub use outlet::{CloseReason, Outlet, Parcel, ParcelKind, Taken};

/// The rooms of a store, as one node serves them.
///
/// Somebody has to run [`Self::hear`], [`Self::store_what_is_due`] and [`Self::watch_access`], to call [`Self::look`],
/// [`Self::renew`] and [`Self::sweep`] every so often, and at the end [`Self::close_all`] and [`Self::store_all`].
pub struct Rooms {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    changes: Arc<AccessChanges>,
    options: RoomOptions,
    common: Arc<Common>,
    hub: Hub,
    /// Turns at opening a room.
    opening: Turns<RoomKey>,
    /// Turns of an address at looking for rooms in the store.
    looking: Turns<IpAddr>,
    wrong_codes: AddressCounts,
    made: AddressCounts,
    entrants: Entrants,
    due: Due,
    /// Leases that could not be given back yet.
    returned: Mutex<Vec<Returned>>,
    /// When the store was last asked for all rooms that were left.
    ended_at: Mutex<Option<ServerTime>>,
    /// Held while leases are renewed or given back: one that was given back meanwhile would be there again.
    leases: tokio::sync::Mutex<()>,
    crossing: Arc<Crossing>,
    /// Whether documents are taken in no more. Held for reading while one is.
    is_stopping: RwLock<bool>,
}

/// What peers are told when the database is another one.
const REPLACED: &str = "The server's data was replaced: reload the page";
/// How long it may take at the end to tell other nodes that rooms are open here no more: they find out by themselves.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

impl Rooms {
    /// The rooms of `store`, written as `codec` says.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        env: Arc<dyn Env>,
        changes: Arc<AccessChanges>,
        codec: Arc<dyn RoomCodec>,
        options: RoomOptions,
    ) -> Self {
        let node = NodeId::new(random_number(&*env));
        Self {
            common: Common::new(codec, env.clone(), &options),
            hub: Hub::default(),
            opening: Turns::default(),
            looking: Turns::default(),
            wrong_codes: AddressCounts::new(options.wrong_codes_per_minute, env.clone()),
            made: AddressCounts::new(options.made_per_minute, env.clone()),
            entrants: Entrants::new(options.sockets_per_address_max),
            due: Due::default(),
            returned: Mutex::default(),
            ended_at: Mutex::default(),
            leases: tokio::sync::Mutex::default(),
            crossing: Crossing::new(node),
            is_stopping: RwLock::new(false),
            store,
            env,
            changes,
            options,
        }
    }

    /// How they are served.
    #[must_use]
    pub const fn options(&self) -> &RoomOptions {
        &self.options
    }

    /// Makes a room, or finds the one that is there for whoever made it.
    ///
    /// May be dropped midway: it is made or not.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn make(&self, entrant: Entrant, wish: RoomWish<'_>) -> Result<RoomMade, ServiceError> {
        self.make_room(entrant, wish).await
    }

    /// Finds a room, and who is in it. Other nodes that have it open are waited for shortly. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn find(&self, entrant: Entrant, code: &str) -> Result<RoomFound, ServiceError> {
        self.find_room(entrant, code).await
    }

    /// How many rooms a user has, or all together.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn count(&self, owner: Option<UserId>) -> Result<u64, ServiceError> {
        Ok(self.store.room_count(owner).await?)
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// [`NotConnected`] when its address has as many as it may, or the server stops.
    pub fn connect(self: &Arc<Self>, entrant: Entrant) -> Result<Connection, NotConnected> {
        let outlet = Arc::new(Outlet::new(Arc::clone(&self.common.printer)));
        let id = self.entrants.enter(entrant, &outlet)?;
        Ok(Connection::new(Arc::clone(self), id, entrant, outlet))
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self) -> RoomCounts {
        let live = self.hub.all().iter().filter(|room| room.live.empty_since().is_none()).count();
        self.common.printer.tally().read(live as u64)
    }

    /// Hears what other nodes tell, and tells them what they are to know, until the store is gone. May be dropped
    /// midway, and begun again.
    pub async fn hear(&self) {
        self.hear_and_tell().await;
    }

    /// Stores what rooms hold as it falls due, for ever. May be dropped midway: what was under way may be stored or not,
    /// and is stored again by [`Self::store_all`].
    pub async fn store_what_is_due(&self) {
        self.keep_storing().await;
    }

    /// Closes connections whose key is no more, for ever. May be dropped midway.
    pub async fn watch_access(&self) {
        self.close_who_may_not().await;
    }

    /// Looks at what others stored: to be called every few seconds, so that a message which was lost only delays, and
    /// when another process wrote to the database. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it is looked at again by the next call.
    pub async fn look(&self) -> Result<(), ServiceError> {
        self.look_at(&self.hub.all()).await
    }

    /// Holds on to the rooms that are open: to be called every [`RENEW_EVERY`]. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it is tried again by the next call.
    pub async fn renew(&self) -> Result<(), ServiceError> {
        self.renew_leases(self.env.now()).await
    }

    /// Lets go of rooms that nobody is in, and ends those that were left for long enough: to be called every
    /// [`SWEEP_EVERY`]. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it is tried again by the next call.
    pub async fn sweep(&self) -> Result<(), ServiceError> {
        self.let_go().await?;
        self.end_idle().await
    }

    /// Forgets what is known of the database, which is another one: all connections are closed. What was not stored is
    /// not stored there: it was made of what is not there. Peers that come back bring what they hold.
    pub fn forget(&self) {
        self.close_outlets(&self.entrants.outlets(), CloseReason::Busy, REPLACED);
        for room in self.hub.clear() {
            room.live.evict_all(REPLACED);
        }
        lock::lock(&self.returned).clear();
    }

    /// Closes all connections, and takes no more. No document is taken in any more when this returns.
    pub fn close_all(&self, reason: CloseReason, text: &str) {
        self.entrants.shut();
        *self.is_stopping.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.close_outlets(&self.entrants.outlets(), reason, text);
    }

    /// Stores what is not stored yet, and gives the rooms back: to be called when all connections are closed.
    ///
    /// # Errors
    /// [`ServiceError::Store`] when something could not be stored.
    pub async fn store_all(&self) -> Result<(), ServiceError> {
        self.store_everything().await?;
        let rooms = self.hub.clear();
        rooms.iter().for_each(|room| self.crossing.tell_closed(room));
        // Other nodes find out by themselves, too; nobody waits long for it.
        let told = timeout(LAST_WORDS_MAX, self.crossing.pump.send_all(self.store.bus())).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!("other nodes could not be told that rooms are open here no more");
        }
        let now = self.env.now();
        let used_at = |room: &hub::OpenRoom| room.live.empty_since().unwrap_or(now);
        self.give_back(rooms.iter().map(|room| (room.space, room.lease, used_at(room))).collect()).await
    }
}
