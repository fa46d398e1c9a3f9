//! Documents and their versions, in SQLite: a log of one record each.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tombolo_core::versions::{VersionThere, let_go};
use tombolo_core::{Digest, Seq, ServerTime, SpaceId};

use super::super::accounts::{execute, select};
use super::super::connection::failed;
use super::super::is_being_moved;
use super::super::rows::seq;
use super::super::tail::Tail;
use super::{Done, find_room, read_version};
use crate::columns::{document_of, int};
use crate::ledger::{NewChange, RecordRow};
use crate::rooms::{DOCUMENT, DOCUMENT_RANK, Fate, Text};
use crate::{Document, DocumentPut, DocumentStored, StoreError, Version};

/// The record of a room's document, with its newest version.
struct Head {
    record: RecordRow,
    seq: Seq,
    digest: Digest,
}

/// Stores a document as the newest version, and lets go of those that are not kept.
pub(super) fn put(connection: &Connection, text: &Text, generation: i64) -> Done<DocumentStored> {
    let put = &text.put;
    let Some(space) = find_room(connection, put.space)? else { return Ok(DocumentStored::NoRoom) };
    let head = head(connection, space)?;
    match put.fate(text.digest, head.as_ref().map(|head| (head.seq, head.digest))) {
        Fate::Unchanged(version) => return Ok(DocumentStored::Unchanged(version)),
        Fate::Moved(version) => {
            let there = read(connection, space, version)?;
            return Ok(DocumentStored::Moved(there.ok_or_else(|| missing(space, version))?));
        }
        Fate::New => {}
    }
    let version = append(connection, space, head, text, generation)?;
    // What a migration copied of a log must stay there until it is done.
    if !is_being_moved(connection)? {
        thin(connection, space, put)?;
    }
    Ok(DocumentStored::Stored(version))
}

/// Appends the document to the log, as the new head of its record.
fn append(connection: &Connection, space: SpaceId, head: Option<Head>, text: &Text, generation: i64) -> Done<Seq> {
    let put = &text.put;
    let mut tail = Tail::new(connection, space, generation);
    let at = tail.end()?.next(put.now);
    let prev = head.as_ref().map(|head| head.seq);
    let record = if let Some(Head { record, .. }) = head {
        execute(connection, "UPDATE records SET seq = ?2 WHERE id = ?1", params![record.0, int(at.seq)])?;
        record
    } else {
        let sql = "INSERT INTO records (space, collection, name, rank, seq) VALUES (?1, ?2, ?2, ?3, ?4)";
        execute(connection, sql, params![space.get(), DOCUMENT, DOCUMENT_RANK, int(at.seq)])?;
        RecordRow(connection.last_insert_rowid())
    };
    let change = NewChange::of_document(record, prev, (&put.text, text.digest), at.committed_at);
    tail.append_checked(&change, text.checksum, put.space.owner, at)?;
    tail.finish()?;
    Ok(at.seq)
}

/// Lets go of the versions that are not kept.
fn thin(connection: &Connection, space: SpaceId, put: &DocumentPut) -> Done<()> {
    let there = versions(connection, space)?.into_iter();
    let there: Vec<_> = there.map(|Version { version: seq, at, bytes }| VersionThere { seq, at, bytes }).collect();
    for gone in let_go(&there, put.kept) {
        execute(connection, "DELETE FROM changes WHERE space = ?1 AND seq = ?2", params![space.get(), int(gone)])?;
    }
    Ok(())
}

/// The newest version; damage where it is not in the log, since nobody may take that for a room without a document.
fn head(connection: &Connection, space: SpaceId) -> Done<Option<Head>> {
    let sql = "SELECT r.id, r.seq, c.digest FROM records r LEFT JOIN changes c ON c.space = r.space AND c.seq = r.seq
               WHERE r.space = ?1 AND r.collection = ?2 AND r.name = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let read = |row: &Row<'_>| Ok((RecordRow(row.get(0)?), seq(row, 1)?, row.get::<_, Option<_>>(2)?));
    let found = statement.query_row(params![space.get(), DOCUMENT], read).optional().map_err(failed)?;
    let Some((record, seq, digest)) = found else { return Ok(None) };
    let digest = Digest::from_bytes(digest.ok_or_else(|| missing(space, seq))?);
    Ok(Some(Head { record, seq, digest }))
}

fn missing(space: SpaceId, version: Seq) -> StoreError {
    StoreError::Corrupt(format!("change {version} of space {space}: it is missing"))
}

/// The newest version.
pub(super) fn newest(connection: &Connection, space: SpaceId) -> Done<Option<Document>> {
    let head = head(connection, space)?;
    head.map_or(Ok(None), |head| read(connection, space, head.seq))
}

/// One version.
pub(super) fn read(connection: &Connection, space: SpaceId, version: Seq) -> Done<Option<Document>> {
    let sql = "SELECT committed_at, checksum, payload FROM changes WHERE space = ?1 AND seq = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found = statement.query_row(params![space.get(), int(version)], read).optional().map_err(failed)?;
    let Some((at, checksum, payload)) = found else { return Ok(None) };
    let text = document_of(payload, checksum, || format!("change {version} of space {space}"))?;
    Ok(Some(Document { version, at: ServerTime::from_micros(at), text }))
}

/// The versions, oldest first. Of what they say only the length is read.
pub(super) fn versions(connection: &Connection, space: SpaceId) -> Done<Vec<Version>> {
    let sql = "SELECT seq, committed_at, length(payload) FROM changes WHERE space = ?1 ORDER BY seq";
    select(connection, sql, [space.get()], |row| read_version(row, 0).map_err(failed))
}

#[cfg(test)]
mod tests {
    use tombolo_core::versions::VersionsKept;
    use tombolo_core::{PeerName, Purpose, RoomCode, RoomId, SpaceNumber, UserId};

    use super::super::super::connection::migrate;
    use super::*;
    use crate::{NewRoom, Room, RoomAdded};

    /// Others wait for who writes: all that takes long with a large text was done before.
    #[test]
    fn nothing_is_computed_of_a_text_while_it_is_written() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection).unwrap();
        connection.execute("INSERT INTO users (id, name, created_at) VALUES (1, 'ann', 0)", []).unwrap();
        let room = Room {
            owner: UserId::new(1),
            number: SpaceNumber::new(1),
            code: RoomCode::parse("board").unwrap(),
            id: RoomId::make([1; 16]),
            host: PeerName::parse("host", 64).unwrap(),
            created_at: ServerTime::from_micros(0),
        };
        let added = super::super::add(&connection, &NewRoom { room: room.clone(), of_owner_max: 1 }).unwrap();
        assert_eq!((added, room.space().purpose), (RoomAdded::New, Purpose::Rooms));
        let kept = VersionsKept { newest: 9, minutes: 0, hours: 0, days: 0, bytes_max: u64::MAX };
        let text = "text".to_owned();
        let put = DocumentPut { space: room.space(), text, after: None, kept, now: ServerTime::from_micros(1) };
        let marked = Text { put, digest: Digest::from_bytes([7; 16]), checksum: 77 };
        let stored = super::put(&connection, &marked, 1).unwrap();
        assert_eq!(stored, DocumentStored::Stored(Seq::new(1)));
        assert_eq!(super::put(&connection, &marked, 1).unwrap(), DocumentStored::Unchanged(Seq::new(1)));
        let sql = "SELECT digest, checksum FROM changes";
        let written: ([u8; 16], u32) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(written, ([7; 16], 77));
    }
}
