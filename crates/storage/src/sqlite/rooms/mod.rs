//! Rooms in SQLite: one job of the writer for each change, one snapshot for each look.

mod documents;
mod ends;
mod leases;

use rusqlite::{Connection, OptionalExtension as _, Row as SqliteRow, params};
use tombolo_core::{LeaseId, NodeId, RoomCode, Seq, ServerTime, SpaceId, SpaceNumber, UserId};

use super::accounts::{execute, select, time};
use super::connection::failed;
use super::projects::number;
use super::rows::{bad, seq};
use super::{Sqlite, find_space, open_space};
use crate::columns::{count, peer_of, room_code_of, room_id_of};
use crate::rooms::{ENDED_AT_ONCE, Text};
use crate::{
    Document, DocumentPut, DocumentStored, IdleRooms, Lease, Message, NewRoom, OpenedRoom, Reply, Room, RoomAdded,
    RoomOverview, Rooms, SpaceAddress, StoreError, Version,
};

pub(super) use leases::begin;

type Done<T> = Result<T, StoreError>;

/// Bytes of a text of which the digest and the checksum take under a millisecond. Of a longer one a reader computes them,
/// which may take its time: neither who writes nor who serves connections.
const TEXT_INLINE_MAX: usize = 128 << 10;

/// The columns of [`read_room`], of a room `r` with its space `s`.
macro_rules! room_columns {
    () => {
        "r.space, r.owner, s.number, r.code, r.id, r.host, r.created_at"
    };
}

impl Rooms for Sqlite {
    fn add_room(&self, new: NewRoom) -> Reply<'_, RoomAdded> {
        Box::pin(self.writer.write(move |connection| add(connection, &new)))
    }

    fn room<'a>(&'a self, owner: UserId, code: &'a RoomCode) -> Reply<'a, Option<(Room, Vec<NodeId>)>> {
        let code = code.clone();
        Box::pin(self.readers.read(move |connection| {
            let Some((space, room)) = find(connection, owner, &code)? else { return Ok(None) };
            Ok(Some((room, leases::nodes(connection, space, None)?)))
        }))
    }

    fn rooms(&self, owner: Option<UserId>) -> Reply<'_, Vec<RoomOverview>> {
        Box::pin(self.readers.read(move |connection| list(connection, owner)))
    }

    fn room_count(&self, owner: Option<UserId>) -> Reply<'_, u64> {
        Box::pin(self.readers.read(move |connection| {
            let sql = "SELECT count(*) FROM rooms WHERE ?1 IS NULL OR owner = ?1";
            let rooms = number(connection, sql, [owner.map(UserId::get)])?;
            Ok(u64::try_from(rooms).unwrap_or(0))
        }))
    }

    fn open_room<'a>(
        &'a self,
        owner: UserId,
        code: &'a RoomCode,
        lease: Lease,
        now: ServerTime,
    ) -> Reply<'a, Option<OpenedRoom>> {
        let code = code.clone();
        Box::pin(self.writer.write(move |connection| {
            let Some((space, room)) = find(connection, owner, &code)? else { return Ok(None) };
            let others = leases::take(connection, space, lease, now)?;
            Ok(Some(OpenedRoom { room, document: documents::newest(connection, space)?, others }))
        }))
    }

    fn renew_leases<'a>(
        &'a self,
        leases: &'a [(SpaceAddress, Lease)],
        now: ServerTime,
    ) -> Reply<'a, Vec<Option<Vec<NodeId>>>> {
        let leases = leases.to_vec();
        Box::pin(self.writer.write(move |connection| {
            let renew = |(address, lease): &(_, Lease)| {
                let Some(space) = find_room(connection, *address)? else { return Ok(None) };
                leases::use_room(connection, space, now)?;
                leases::take(connection, space, *lease, now).map(Some)
            };
            leases.iter().map(renew).collect()
        }))
    }

    fn close_rooms<'a>(&'a self, closed: &'a [(SpaceAddress, LeaseId, ServerTime)]) -> Reply<'a, ()> {
        let closed = closed.to_vec();
        Box::pin(self.writer.write(move |connection| {
            for (address, lease, used_at) in closed {
                if let Some(space) = find_room(connection, address)? {
                    leases::give_back(connection, space, lease, used_at)?;
                }
            }
            Ok(())
        }))
    }

    fn put_document(&self, put: DocumentPut) -> Reply<'_, DocumentStored> {
        Box::pin(async move {
            let (space, generation) = (put.space, self.generation.0);
            let text = if put.text.len() > TEXT_INLINE_MAX {
                self.readers.read(move |_| Ok(Text::new(put))).await?
            } else {
                Text::new(put)
            };
            let stored = self.writer.write(move |connection| documents::put(connection, &text, generation)).await?;
            if let DocumentStored::Stored(version) = stored {
                self.bus.tell(Message::Grew(space, version));
            }
            Ok(stored)
        })
    }

    fn document(&self, address: SpaceAddress, version: Option<Seq>) -> Reply<'_, Option<Document>> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_room(connection, address)? else { return Ok(None) };
            match version {
                Some(version) => documents::read(connection, space, version),
                None => documents::newest(connection, space),
            }
        }))
    }

    fn versions(&self, address: SpaceAddress) -> Reply<'_, Vec<Version>> {
        Box::pin(self.readers.read(move |connection| {
            let Some(space) = find_room(connection, address)? else { return Ok(Vec::new()) };
            let mut versions = documents::versions(connection, space)?;
            versions.reverse();
            Ok(versions)
        }))
    }

    fn end_rooms(&self, idle: IdleRooms) -> Reply<'_, u64> {
        Box::pin(async move {
            let mut ended = 0;
            loop {
                let most = ENDED_AT_ONCE.min(idle.count_max - ended);
                let idle = IdleRooms { count_max: most, ..idle };
                let more = self.writer.write(move |connection| ends::end(connection, idle)).await?;
                ended += more;
                if more < ENDED_AT_ONCE {
                    return Ok(ended as u64);
                }
            }
        })
    }
}

fn add(connection: &Connection, NewRoom { room, of_owner_max }: &NewRoom) -> Done<RoomAdded> {
    if let Some((_, there)) = find(connection, room.owner, &room.code)? {
        return Ok(RoomAdded::Exists(there));
    }
    let of_owner = "SELECT count(*) FROM rooms WHERE owner = ?1";
    if number(connection, of_owner, [room.owner.get()])? >= count(*of_owner_max) {
        return Ok(RoomAdded::Full);
    }
    if find_space(connection, room.space())?.is_some() {
        return Err(StoreError::Internal("a room's number is taken".to_owned()));
    }
    let space = open_space(connection, room.space(), room.created_at)?;
    let sql = "INSERT INTO rooms (space, owner, code_key, code, id, host, created_at, used_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    let Room { owner, code, id, host, created_at, .. } = room;
    let values =
        params![space.get(), owner.get(), code.key(), code.as_str(), id.to_bytes(), host.as_str(), created_at.micros()];
    execute(connection, sql, values)?;
    Ok(RoomAdded::New)
}

/// The room of a code, with its space.
fn find(connection: &Connection, owner: UserId, code: &RoomCode) -> Done<Option<(SpaceId, Room)>> {
    let sql = concat!(
        "SELECT ",
        room_columns!(),
        " FROM rooms r JOIN spaces s ON s.id = r.space WHERE r.owner = ?1 AND r.code_key = ?2"
    );
    let read = |row: &SqliteRow<'_>| Ok((SpaceId::new(row.get(0).map_err(failed)?), read_room(row)?));
    Ok(select(connection, sql, params![owner.get(), code.key()], read)?.pop())
}

/// The space of a room, if the room is there.
fn find_room(connection: &Connection, address: SpaceAddress) -> Done<Option<SpaceId>> {
    let sql = "SELECT s.id FROM spaces s JOIN rooms r ON r.space = s.id
               WHERE s.owner = ?1 AND s.purpose = ?2 AND s.number = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let values = params![address.owner.get(), address.purpose.as_str(), address.number.get()];
    statement.query_row(values, |row| row.get(0).map(SpaceId::new)).optional().map_err(failed)
}

fn list(connection: &Connection, owner: Option<UserId>) -> Done<Vec<RoomOverview>> {
    let sql = concat!(
        "SELECT ",
        room_columns!(),
        ", r.used_at, EXISTS (SELECT 1 FROM room_leases l WHERE l.space = r.space),
             c.seq, c.committed_at, length(c.payload)
         FROM rooms r JOIN spaces s ON s.id = r.space
         LEFT JOIN changes c ON c.space = r.space AND c.seq = s.head_seq
         WHERE ?1 IS NULL OR r.owner = ?1 ORDER BY r.owner, r.code_key"
    );
    select(connection, sql, [owner.map(UserId::get)], |row| {
        let has_version = row.get::<_, Option<i64>>(9).map_err(failed)?.is_some();
        Ok(RoomOverview {
            room: read_room(row)?,
            used_at: time(row, 7)?,
            is_open: row.get(8).map_err(failed)?,
            newest: has_version.then(|| read_version(row, 9)).transpose().map_err(failed)?,
        })
    })
}

fn read_room(row: &SqliteRow<'_>) -> Done<Room> {
    let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?)).map_err(failed);
    let id = row.get_ref(4).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
    Ok(Room {
        owner: UserId::new(row.get(1).map_err(failed)?),
        number: SpaceNumber::new(row.get(2).map_err(failed)?),
        code: room_code_of(text(3)?)?,
        id: room_id_of(id)?,
        host: peer_of(text(5)?)?,
        created_at: time(row, 6)?,
    })
}

/// A version of which number, time and length stand from `first` on.
fn read_version(row: &SqliteRow<'_>, first: usize) -> rusqlite::Result<Version> {
    let bytes = row.get::<_, i64>(first + 2)?;
    Ok(Version {
        version: seq(row, first)?,
        at: ServerTime::from_micros(row.get(first + 1)?),
        bytes: u64::try_from(bytes).map_err(|_| bad(first + 2))?,
    })
}
