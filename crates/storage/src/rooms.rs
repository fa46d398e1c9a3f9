//! Rooms: spaces that hold one document each, of which versions are kept.

use tombolo_core::versions::VersionsKept;
use tombolo_core::{
    Digest, LeaseId, NodeId, PeerName, Purpose, RoomCode, RoomId, Seq, ServerTime, SpaceNumber, UserId,
};

use crate::columns::checksum_of;
use crate::{Reply, SpaceAddress};

/// The collection of a room's only record, and its name.
pub(crate) const DOCUMENT: &str = "document";
/// Its rank: there is nothing that it could refer to.
pub(crate) const DOCUMENT_RANK: i64 = 0;

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whose it is.
    pub owner: UserId,
    /// The number of its space, among its owner's of [`Purpose::Rooms`]: a random one.
    pub number: SpaceNumber,
    /// What people call it, unique among its owner's.
    pub code: RoomCode,
    /// What it is told apart by from another of the same code, before it or elsewhere.
    pub id: RoomId,
    /// Who made it.
    pub host: PeerName,
    /// When it was made.
    pub created_at: ServerTime,
}

impl Room {
    /// Where its log is.
    #[must_use]
    pub const fn space(&self) -> SpaceAddress {
        SpaceAddress { owner: self.owner, purpose: Purpose::Rooms, number: self.number }
    }
}

/// A room to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoom {
    /// The room. A number that is taken is a fault.
    pub room: Room,
    /// Rooms that its owner may have.
    pub of_owner_max: usize,
}

/// What became of a room that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomAdded {
    /// It was made.
    New,
    /// Its owner has one of this code, which stays as it is.
    Exists(Room),
    /// Its owner has as many as he may.
    Full,
}

/// That a node has a room open. A room is not ended before all that were taken out for it have been given back or have
/// run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Tells this opening of the room from another one by the same node.
    pub id: LeaseId,
    /// Who has it open.
    pub node: NodeId,
    /// When it runs out, unless it is renewed: the node may have been killed. It holds until then, and at that time.
    pub until: ServerTime,
}

/// A document as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its version: its change's place in the log.
    pub version: Seq,
    /// When it was stored.
    pub at: ServerTime,
    /// What it says.
    pub text: String,
}

/// A room that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRoom {
    /// The room.
    pub room: Room,
    /// Its document, if anybody ever stored one.
    pub document: Option<Document>,
    /// Which other nodes have it open, each once.
    pub others: Vec<NodeId>,
}

/// A document to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentPut {
    /// The log of the room.
    pub space: SpaceAddress,
    /// What it says.
    pub text: String,
    /// Stored only if this is the newest version, zero for none: what it says was made of it. `None`: whatever is there.
    pub after: Option<Seq>,
    /// Which versions stay.
    pub kept: VersionsKept,
    /// The server's time.
    pub now: ServerTime,
}

/// What became of a document that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentStored {
    /// It is the newest version now.
    Stored(Seq),
    /// It says what the newest version says: nothing was stored.
    Unchanged(Seq),
    /// Another one is there by now than the one that it was made of.
    Moved(Document),
    /// There is no such room (any more).
    NoRoom,
}

/// What is to be done with a document, which the newest version decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Unchanged(Seq),
    Moved(Seq),
    New,
}

impl DocumentPut {
    /// What is to be done with this one, which has the digest `own`. One that says what is there needs no merging, even
    /// if it was made of something older; and where nothing is there, there is nothing to merge it with.
    pub(crate) fn fate(&self, own: Digest, newest: Option<(Seq, Digest)>) -> Fate {
        match newest {
            Some((newest, digest)) if digest == own => Fate::Unchanged(newest),
            Some((newest, _)) if self.after.is_some_and(|after| after != newest) => Fate::Moved(newest),
            _ => Fate::New,
        }
    }
}

/// A document to be stored, with what is computed of all its text: once, and before anybody waits for who stores it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) put: DocumentPut,
    pub(crate) digest: Digest,
    pub(crate) checksum: u32,
}

impl Text {
    pub(crate) fn new(put: DocumentPut) -> Self {
        let text = put.text.as_bytes();
        let (digest, checksum) = (Digest::of(text), checksum_of(Some(text)));
        Self { put, digest, checksum }
    }
}

/// A version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number: they rise, and are missing where some were let go.
    pub version: Seq,
    /// When it was stored.
    pub at: ServerTime,
    /// What it says takes so much.
    pub bytes: u64,
}

/// A room as its owner sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOverview {
    /// The room.
    pub room: Room,
    /// When somebody was last known to be in it, or it was made.
    pub used_at: ServerTime,
    /// Whether a node has it open.
    pub is_open: bool,
    /// Its newest version.
    pub newest: Option<Version>,
}

/// Which rooms have been left for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleRooms {
    /// Those without a document that nobody was in since; `None` for none.
    pub empty_since: Option<ServerTime>,
    /// Those with one; `None` for none.
    pub since: Option<ServerTime>,
    /// The server's time: leases that end before it have run out.
    pub now: ServerTime,
    /// At most so many at a time.
    pub count_max: usize,
}

/// Rooms that end in one transaction: their versions may be some hundred megabytes each, of which every page is visited.
pub(crate) const ENDED_AT_ONCE: usize = 8;

/// Rooms and their documents.
///
/// # Contract
/// Each method is atomic, but for [`Rooms::end_rooms`]. What it changed is durable when it returns `Ok`, and visible to every process on the same
/// database. Dropping a future midway leaves the call done or not done, never half done. A document that was stored is
/// told on the bus as a log that grew.
pub trait Rooms: Send + Sync {
    /// Makes a room.
    fn add_room(&self, new: NewRoom) -> Reply<'_, RoomAdded>;

    /// A user's room of this code, in any spelling, and which nodes have it open, each once. A lease that has run out is
    /// among them until somebody opens the room or renews a lease of it, or rooms are ended.
    fn room<'a>(&'a self, owner: UserId, code: &'a RoomCode) -> Reply<'a, Option<(Room, Vec<NodeId>)>>;

    /// The rooms of `owner`, or of all users, by owner and code, in capitals. Which are open is known as by
    /// [`Rooms::room`].
    fn rooms(&self, owner: Option<UserId>) -> Reply<'_, Vec<RoomOverview>>;

    /// How many rooms `owner` has, or all users together.
    fn room_count(&self, owner: Option<UserId>) -> Reply<'_, u64>;

    /// Reads a room and takes out a lease for it, in one transaction: it is not ended in between. `None` when there is
    /// none of this code.
    fn open_room<'a>(
        &'a self,
        owner: UserId,
        code: &'a RoomCode,
        lease: Lease,
        now: ServerTime,
    ) -> Reply<'a, Option<OpenedRoom>>;

    /// Puts off the end of leases; one that had run out is there again, if the room is. Somebody was in each room until
    /// `now`. Says, in their order, which other nodes have the rooms open; `None` where the room is gone.
    fn renew_leases<'a>(
        &'a self,
        leases: &'a [(SpaceAddress, Lease)],
        now: ServerTime,
    ) -> Reply<'a, Vec<Option<Vec<NodeId>>>>;

    /// Gives leases back. Somebody was in each room until `used_at`, which never goes back.
    fn close_rooms<'a>(&'a self, closed: &'a [(SpaceAddress, LeaseId, ServerTime)]) -> Reply<'a, ()>;

    /// Stores a document as the newest version of its room, and lets go of the versions that are not kept.
    ///
    /// It is unchanged if it says what the newest version says, whatever it was made of. One that was made of a version
    /// is stored all the same where there is none at all.
    fn put_document(&self, put: DocumentPut) -> Reply<'_, DocumentStored>;

    /// The newest version of a room's document, or another one; `None` where there is none (any more).
    fn document(&self, space: SpaceAddress, version: Option<Seq>) -> Reply<'_, Option<Document>>;

    /// The versions of a room's document, newest first.
    fn versions(&self, space: SpaceAddress) -> Reply<'_, Vec<Version>>;

    /// Ends rooms that have been left for long enough and that nobody has open, those that were left first before
    /// others: they are gone, with their documents. Says how many. One that a node had open which gave nothing back was
    /// left when its lease ran out.
    ///
    /// They end a few at a time, and others write in between; each is there or gone with all that it has.
    ///
    /// None are ended while the database is being moved to another one: what was copied of a log must stay there. For
    /// the same reason no version is let go then; both is made up for afterwards.
    fn end_rooms(&self, idle: IdleRooms) -> Reply<'_, u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: u8, after: Option<u64>, newest: Option<(u64, u8)>, expected: Fate) {
        let put = DocumentPut {
            space: SpaceAddress { owner: UserId::new(1), purpose: Purpose::Rooms, number: SpaceNumber::new(1) },
            text: String::new(),
            after: after.map(Seq::new),
            kept: VersionsKept { newest: 1, minutes: 0, hours: 0, days: 0, bytes_max: 0 },
            now: ServerTime::from_micros(0),
        };
        let digest = |of| Digest::from_bytes([of; 16]);
        let newest = newest.map(|(seq, of)| (Seq::new(seq), digest(of)));
        assert_eq!(put.fate(digest(own), newest), expected, "{own} after {after:?}, beside {newest:?}");
    }

    #[test]
    fn what_becomes_of_a_document() {
        check(1, None, None, Fate::New);
        check(1, Some(0), None, Fate::New);
        check(1, Some(7), None, Fate::New);
        check(1, None, Some((4, 2)), Fate::New);
        check(1, Some(4), Some((4, 2)), Fate::New);
        check(1, Some(3), Some((4, 2)), Fate::Moved(Seq::new(4)));
        check(1, Some(0), Some((4, 2)), Fate::Moved(Seq::new(4)));
        check(2, None, Some((4, 2)), Fate::Unchanged(Seq::new(4)));
        check(2, Some(4), Some((4, 2)), Fate::Unchanged(Seq::new(4)));
        check(2, Some(3), Some((4, 2)), Fate::Unchanged(Seq::new(4)));
    }
}
