//! What every store's rooms must do. Each function is one case on an empty store; those of two nodes get the same store
//! twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod damage;
mod documents;
mod ends;
mod leases;
mod making;
mod races;

use tombolo_core::versions::VersionsKept;
use tombolo_core::{LeaseId, NodeId, PeerName, RoomCode, RoomId, Seq, SpaceNumber, UserId};
use tombolo_storage::{
    Document, DocumentPut, DocumentStored, IdleRooms, Lease, NewRoom, OpenedRoom, Room, RoomAdded, Store,
};

use crate::projects_suite::{add_user, later};

pub use self::damage::*;
pub use self::documents::*;
pub use self::ends::*;
pub use self::leases::*;
pub use self::making::*;
pub use self::races::*;

/// More rooms than any case makes.
const MANY: usize = 1_000;

/// All versions that a case stores.
const ALL: VersionsKept = VersionsKept { newest: 100, minutes: 0, hours: 0, days: 0, bytes_max: u64::MAX };

fn code(text: &str) -> RoomCode {
    RoomCode::parse(text).unwrap()
}

/// A room of its own: everything that tells it apart follows from `number`.
pub(crate) fn a_room(owner: UserId, number: u8, text: &str) -> Room {
    Room {
        owner,
        number: SpaceNumber::new(i64::MAX - i64::from(number)),
        code: code(text),
        id: RoomId::make([number; 16]),
        host: PeerName::parse(&format!("host_{number}"), 64).unwrap(),
        created_at: later(number.into()),
    }
}

async fn add(store: &dyn Store, room: &Room) -> RoomAdded {
    store.add_room(NewRoom { room: room.clone(), of_owner_max: MANY }).await.unwrap()
}

/// Makes a room of a new user.
///
/// # Panics
/// When there is one already, or the user is.
pub async fn make_room(store: &dyn Store, user: &str, text: &str) -> Room {
    let owner = add_user(store, user).await;
    made(store, a_room(owner, 1, text)).await
}

/// Makes a room.
pub(crate) async fn made(store: &dyn Store, room: Room) -> Room {
    assert_eq!(add(store, &room).await, RoomAdded::New, "{}", room.code);
    room
}

/// What `node` holds under the number `id` until so many seconds after the beginning.
pub(crate) fn lease(id: i64, node: i64, secs: u64) -> Lease {
    Lease { id: LeaseId::new(id), node: NodeId::new(node), until: later(secs) }
}

fn nodes<const N: usize>(nodes: [i64; N]) -> Vec<NodeId> {
    nodes.map(NodeId::new).to_vec()
}

/// A document to be stored so many seconds after the beginning.
fn document(room: &Room, text: &str, secs: u64) -> DocumentPut {
    DocumentPut { space: room.space(), text: text.to_owned(), after: None, kept: ALL, now: later(secs) }
}

pub(crate) async fn put(store: &dyn Store, room: &Room, text: &str, secs: u64) -> DocumentStored {
    store.put_document(document(room, text, secs)).await.unwrap()
}

pub(crate) async fn newest(store: &dyn Store, room: &Room) -> Option<Document> {
    store.document(room.space(), None).await.unwrap()
}

/// The newest text, or an empty one.
async fn text(store: &dyn Store, room: &Room) -> String {
    newest(store, room).await.map(|document| document.text).unwrap_or_default()
}

/// The numbers of the versions, newest first.
async fn numbers(store: &dyn Store, room: &Room) -> Vec<u64> {
    store.versions(room.space()).await.unwrap().iter().map(|version| version.version.get()).collect()
}

pub(crate) async fn open(store: &dyn Store, room: &Room, lease: Lease, secs: u64) -> Option<OpenedRoom> {
    store.open_room(room.owner, &room.code, lease, later(secs)).await.unwrap()
}

/// The room, and who has it open.
pub(crate) async fn find(store: &dyn Store, room: &Room) -> Option<(Room, Vec<NodeId>)> {
    store.room(room.owner, &room.code).await.unwrap()
}

/// Rooms that were left so many seconds after the beginning, with a document or without, asked for at the second `now`.
fn left_by(empty: Option<u64>, full: Option<u64>, now: u64) -> IdleRooms {
    IdleRooms { empty_since: empty.map(later), since: full.map(later), now: later(now), count_max: MANY }
}

const fn stored(version: u64) -> DocumentStored {
    DocumentStored::Stored(Seq::new(version))
}
