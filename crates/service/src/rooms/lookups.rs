//! Making rooms, and looking for them by their codes.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env, MadeRoomCode, NodeId, PeerName, RoomCode, RoomCodeError, RoomId, SpaceNumber, limits};
use tombolo_storage::{NewRoom, Room, RoomAdded};

use super::Rooms;
use super::codec::PeerInfo;
use super::connection::Entrant;
use super::hub::room_key;
use crate::ServiceError;
use crate::steady_clock::SteadyClock;
use crate::windows::{Windows, network};

/// Codes that are tried before it is a fault that all are taken: of a billion, a user has some thousands.
const CODE_TRIES: usize = 8;

/// What room is wished for.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomWish<'a> {
    /// Its code; without one the server makes one.
    pub code: Option<&'a str>,
    /// Who makes it; without one the server makes a name.
    pub host: Option<&'a str>,
}

/// What became of a wish for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomMade {
    /// It was made.
    New(Room),
    /// It is there, and whoever asks names its host.
    Restored(Room),
    /// It is there, and whoever asks does not name its host.
    Taken,
    /// Its code is none.
    BadCode(RoomCodeError),
    /// The host's name is too long.
    BadHost,
    /// Its owner has as many as he may.
    Full,
    /// Too many were made, or asked for by a wrong code, from this address; how long to wait.
    TooMany(Duration),
}

/// What became of looking for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomFound {
    /// It is there.
    Room {
        /// The room.
        room: Room,
        /// Who is in it, on any node, in the order in which they joined.
        peers: Vec<PeerInfo>,
    },
    /// It is not.
    NotFound,
    /// Its code is none.
    BadCode(RoomCodeError),
    /// Too many wrong codes were asked for from this address; how long to wait.
    TooMany(Duration),
}

/// Counts by address: what is wrong, or made, in a minute.
pub(super) struct AddressCounts(Windows<IpAddr>);

impl AddressCounts {
    /// At least one a minute is let through.
    pub(super) fn new(per_minute: u32, env: Arc<dyn Env>) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self(Windows::new(per_minute, limits::COUNTED_ADDRESSES_MAX, SteadyClock::new(env)))
    }

    /// Whether one more is let through; nothing is counted.
    ///
    /// # Errors
    /// How long to wait when it is not.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let standing = self.0.standing(network(address));
        if standing.is_over { Err(standing.reset) } else { Ok(()) }
    }

    pub(super) fn count(&self, address: IpAddr) {
        let _ = self.0.count(network(address));
    }
}

/// What an unknown code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Somebody tries codes.
    IsWrong,
    /// Nobody made the room yet.
    IsMade,
}

/// What became of looking for a room in the store.
pub(super) enum Found {
    /// It is there; these nodes have it open.
    Room(Box<Room>, Vec<NodeId>),
    /// It is not.
    Unknown,
    /// Too many wrong codes came from this address; how long to wait.
    TooMany(Duration),
    /// It was to be made.
    NotMade(NotMade),
}

/// Why a room was not made.
pub(super) enum NotMade {
    /// Its owner has as many as he may.
    Full,
    /// Too many were made from this address; how long to wait.
    TooMany(Duration),
}

impl Rooms {
    pub(super) async fn make_room(&self, entrant: Entrant, wish: RoomWish<'_>) -> Result<RoomMade, ServiceError> {
        let code = match wish.code.map(RoomCode::parse).transpose() {
            Ok(code) => code,
            Err(error) => return Ok(RoomMade::BadCode(error)),
        };
        let host = match wish.host.filter(|host| !host.is_empty()) {
            Some(host) => match PeerName::parse(host, self.options.peer_name_bytes_max) {
                Some(host) => Some(host),
                None => return Ok(RoomMade::BadHost),
            },
            None => None,
        };
        match code {
            Some(code) => self.make_called(&entrant, code, host).await,
            None => self.make_any(&entrant, host).await,
        }
    }

    /// Makes a room of a code that its maker wishes: who asks for one that is there learns as much as who looks for it.
    async fn make_called(
        &self,
        entrant: &Entrant,
        code: RoomCode,
        host: Option<PeerName>,
    ) -> Result<RoomMade, ServiceError> {
        let _turn = self.looking.take(network(entrant.address)).await;
        if let Err(wait) = self.wrong_codes.check(entrant.address) {
            return Ok(RoomMade::TooMany(wait));
        }
        if let Some((room, _)) = self.store.room(entrant.owner, &code).await? {
            return Ok(self.made_before(entrant, room, host.as_ref()));
        }
        Ok(match self.add_room(entrant, code, host.clone()).await? {
            Ok(Added::Exists(room)) => self.made_before(entrant, room, host.as_ref()),
            Ok(Added::New(room)) => RoomMade::New(room),
            Err(NotMade::Full) => RoomMade::Full,
            Err(NotMade::TooMany(wait)) => RoomMade::TooMany(wait),
        })
    }

    fn made_before(&self, entrant: &Entrant, room: Room, host: Option<&PeerName>) -> RoomMade {
        if host == Some(&room.host) {
            return RoomMade::Restored(room);
        }
        self.wrong_codes.count(entrant.address);
        RoomMade::Taken
    }

    async fn make_any(&self, entrant: &Entrant, host: Option<PeerName>) -> Result<RoomMade, ServiceError> {
        for _ in 0..CODE_TRIES {
            match self.add_room(entrant, self.random_code(), host.clone()).await? {
                Ok(Added::New(room)) => return Ok(RoomMade::New(room)),
                Ok(Added::Exists(_)) => {}
                Err(NotMade::Full) => return Ok(RoomMade::Full),
                Err(NotMade::TooMany(wait)) => return Ok(RoomMade::TooMany(wait)),
            }
        }
        Err(ServiceError::Internal("no code for a room is free".to_owned()))
    }

    /// Makes a room, if as many may be made from this address.
    async fn add_room(
        &self,
        entrant: &Entrant,
        code: RoomCode,
        host: Option<PeerName>,
    ) -> Result<Result<Added, NotMade>, ServiceError> {
        if let Err(wait) = self.made.check(entrant.address) {
            return Ok(Err(NotMade::TooMany(wait)));
        }
        let (number, id) = (SpaceNumber::new(random_number(&*self.env)), RoomId::make(self.random()));
        let host = host.unwrap_or_else(|| self.random_host());
        let room = Room { owner: entrant.owner, number, code, id, host, created_at: self.env.now() };
        let new = NewRoom { room: room.clone(), of_owner_max: self.options.rooms_max };
        Ok(match self.store.add_room(new).await? {
            RoomAdded::New => {
                self.made.count(entrant.address);
                Ok(Added::New(room))
            }
            RoomAdded::Exists(room) => Ok(Added::Exists(room)),
            RoomAdded::Full => Err(NotMade::Full),
        })
    }

    pub(super) async fn find_room(&self, entrant: Entrant, code: &str) -> Result<RoomFound, ServiceError> {
        let code = match RoomCode::parse(code) {
            Ok(code) => code,
            Err(error) => return Ok(RoomFound::BadCode(error)),
        };
        if let Err(wait) = self.wrong_codes.check(entrant.address) {
            return Ok(RoomFound::TooMany(wait));
        }
        if let Some(open) = self.hub.find(&room_key(entrant.owner, &code)) {
            return Ok(RoomFound::Room { room: open.live.room().clone(), peers: open.live.peers() });
        }
        Ok(match self.look_up(&entrant, &code, Unknown::IsWrong).await? {
            Found::Room(room, nodes) => {
                let peers = self.crossing.who_is_there(self.store.bus(), room.space(), nodes).await;
                RoomFound::Room { room: *room, peers }
            }
            Found::TooMany(wait) => RoomFound::TooMany(wait),
            Found::Unknown | Found::NotMade(_) => RoomFound::NotFound,
        })
    }

    /// Looks for a room in the store. What an address looks for is looked for one after the other, so that no more are
    /// wrong than may be, however many ask at once; what others look for, meanwhile.
    pub(super) async fn look_up(
        &self,
        entrant: &Entrant,
        code: &RoomCode,
        unknown: Unknown,
    ) -> Result<Found, ServiceError> {
        let _turn = self.looking.take(network(entrant.address)).await;
        if let Err(wait) = self.wrong_codes.check(entrant.address) {
            return Ok(Found::TooMany(wait));
        }
        if let Some((room, nodes)) = self.store.room(entrant.owner, code).await? {
            return Ok(Found::Room(Box::new(room), nodes));
        }
        match unknown {
            Unknown::IsWrong => {
                self.wrong_codes.count(entrant.address);
                Ok(Found::Unknown)
            }
            Unknown::IsMade => Ok(match self.add_room(entrant, code.clone(), None).await? {
                Ok(Added::New(room) | Added::Exists(room)) => Found::Room(Box::new(room), Vec::new()),
                Err(not_made) => Found::NotMade(not_made),
            }),
        }
    }

    fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.env.fill_random(&mut bytes);
        bytes
    }

    fn random_host(&self) -> PeerName {
        let digits = u32::from_be_bytes(self.random());
        PeerName::parse(&format!("host_{digits:08x}"), usize::MAX).expect("it is not empty")
    }

    fn random_code(&self) -> RoomCode {
        loop {
            // Some bytes are not of use; that too few of 16 are happens once in a million million times.
            if let Some(made) = MadeRoomCode::make(&self.random::<16>()) {
                return RoomCode::parse(made.as_str()).expect("six letters and digits are a code");
            }
        }
    }
}

/// A room of which it is known that it is there.
enum Added {
    New(Room),
    Exists(Room),
}

/// A positive number: the low 63 bits of 64 random ones.
pub(super) fn random_number(env: &dyn Env) -> i64 {
    let mut bytes = [0; 8];
    env.fill_random(&mut bytes);
    i64::from_be_bytes(bytes) & i64::MAX
}
