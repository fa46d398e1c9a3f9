//! What the log holds already of what a group of requests appends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{Digest, Seq, SpaceId};

use super::super::connection::failed;
use super::super::statement::{Rows, Statement};
use super::int_at;
use crate::columns::{checksum_of, count, seq_of};
use crate::entries::plan::Known;
use crate::{Append, SAME_SLACK_BYTES, StoreError};

/// Whether any of the group compares contents: only then they are read, and kept.
pub(super) fn compares(jobs: &[Arc<Append>]) -> bool {
    jobs.iter().any(|job| job.is_same.is_some())
}

/// Which keys of the entries the log holds, each with its place, and its content where contents are compared.
pub(super) async fn known(
    connection: &mut PgConnection,
    space: SpaceId,
    jobs: &[Arc<Append>],
) -> Result<HashMap<Digest, Known>, StoreError> {
    // Of several entries under one key any may be the one that is the same.
    let mut wanted: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    for entry in jobs.iter().flat_map(|job| &job.entries) {
        let bytes_max = wanted.entry(entry.key.to_bytes()).or_default();
        *bytes_max = entry.payload.len().max(*bytes_max);
    }
    let is_read = compares(jobs);
    let mut statement = Statement::default();
    let space = statement.bind(space.get())?;
    let bytes_max = wanted.values().map(|bytes| count(bytes + SAME_SLACK_BYTES)).collect::<Vec<_>>();
    let keys = Rows::new().column(&mut statement, wanted.into_keys().map(|key| key.to_vec()).collect::<Vec<_>>())?;
    let keys =
        if is_read { keys.column(&mut statement, bytes_max)?.from("n(key, bytes_max)") } else { keys.from("n(key)") };
    let (columns, contents) = match is_read {
        true => (
            "k.key, k.seq, c.checksum, CASE WHEN octet_length(c.payload) <= n.bytes_max THEN c.payload END",
            format!(
                "LEFT JOIN LATERAL (SELECT * FROM changes c WHERE c.space = {space} AND c.seq = k.seq OFFSET 0) c
                 ON true"
            ),
        ),
        false => ("k.key, k.seq", String::new()),
    };
    // Looked up one by one, whatever the plan was made for: one that was made while the table was small might look
    // through all keys of the space.
    statement.push(&format!(
        "SELECT {columns} FROM {keys}
         CROSS JOIN LATERAL (SELECT * FROM idempotency_keys k WHERE k.space = {space} AND k.key = n.key OFFSET 0) k
         {contents}"
    ));
    let damaged = || StoreError::Corrupt("an entry's key is damaged".to_owned());
    let rows = statement.rows(connection, |row| {
        let key: &[u8] = row.try_get(0).map_err(failed)?;
        let key = Digest::from_bytes(key.try_into().map_err(|_| damaged())?);
        let seq = seq_of(int_at(&row, 1)?).ok_or_else(damaged)?;
        let payload = if is_read { content(&row, seq)? } else { None };
        Ok((key, Known { seq, payload }))
    });
    Ok(rows.await?.into_iter().collect())
}

/// The content of the entry at `seq`, unless it is longer than what it is compared with, from its checksum's column on.
fn content(row: &PgRow, seq: Seq) -> Result<Option<Vec<u8>>, StoreError> {
    let checksum: Option<i64> = row.try_get(2).map_err(failed)?;
    let payload: Option<&[u8]> = row.try_get(3).map_err(failed)?;
    let is_whole = |payload: &[u8]| checksum == Some(checksum_of(Some(payload)).into());
    let damaged = |what| StoreError::Corrupt(format!("change {seq}: {what}"));
    match payload {
        _ if checksum.is_none() => Err(damaged("it is missing")),
        Some(payload) if !is_whole(payload) => Err(damaged("its content is not what was written")),
        payload => Ok(payload.map(<[u8]>::to_vec)),
    }
}
