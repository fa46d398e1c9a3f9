//! The versions of a room's document, as they are read.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{Seq, ServerTime};

use super::super::at;
use super::super::connection::failed;
use super::super::statement::Statement;
use super::{Done, int, seq};
use crate::columns::{document_of, int as column};
use crate::{Document, SpaceAddress, StoreError, Version};

/// The newest version, or another one.
pub(super) async fn read(
    connection: &mut PgConnection,
    address: SpaceAddress,
    version: Option<Seq>,
) -> Done<Option<Document>> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    let wanted = match version {
        Some(version) => statement.bind(column(version))?,
        None => "s.head_seq".to_owned(),
    };
    statement.push(&format!(
        "SELECT s.head_seq, c.seq, c.committed_at, c.checksum, c.payload FROM spaces s JOIN rooms r ON r.space = s.id
         LEFT JOIN LATERAL (SELECT * FROM changes k WHERE k.space = s.id AND k.seq = {wanted} OFFSET 0) c ON true
         WHERE {space}"
    ));
    let Some(row) = statement.rows(connection, Ok).await?.pop() else { return Ok(None) };
    if row.try_get::<Option<i64>, _>(1).map_err(failed)?.is_none() {
        let head = seq(&row, 0)?;
        return match version {
            None if head > Seq::ZERO => Err(StoreError::Corrupt(format!("change {head}: it is missing"))),
            _ => Ok(None),
        };
    }
    let version = seq(&row, 1)?;
    let place = || format!("change {version}");
    let payload: Option<Vec<u8>> = row.try_get(4).map_err(failed)?;
    let payload = payload.ok_or_else(|| StoreError::Corrupt(format!("{}: it has no content", place())))?;
    let text = document_of(payload, int(&row, 3)?, place)?;
    Ok(Some(Document { version, at: ServerTime::from_micros(int(&row, 2)?), text }))
}

/// All versions, newest first.
pub(super) async fn versions(connection: &mut PgConnection, address: SpaceAddress) -> Done<Vec<Version>> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    statement.push(&format!(
        "SELECT c.seq, c.committed_at, octet_length(c.payload) FROM spaces s JOIN rooms r ON r.space = s.id
         JOIN changes c ON c.space = s.id WHERE {space} ORDER BY c.seq DESC"
    ));
    statement.rows(connection, |row| read_version(&row, 0)).await
}

/// A version, from the column of its number on: then come its time and its length.
pub(super) fn read_version(row: &PgRow, from: usize) -> Done<Version> {
    let bytes: Option<i32> = row.try_get(from + 2).map_err(failed)?;
    let bytes = u64::try_from(bytes.unwrap_or(0)).expect("a length is not negative");
    Ok(Version { version: seq(row, from)?, at: ServerTime::from_micros(int(row, from + 1)?), bytes })
}
