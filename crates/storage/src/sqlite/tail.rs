//! The end of one space's log inside one transaction of SQLite: what is appended there.

use rusqlite::{Connection, OptionalExtension as _, params};
use tombolo_core::{ServerTime, SpaceId, UserId};

use super::connection::failed;
use super::rows::seq;
use crate::StoreError;
use crate::columns::{checksum_of, int, op_code, origin_code, verdict_code, whole_millis};
use crate::ledger::{End, NewChange};

pub(super) struct Tail<'a> {
    connection: &'a Connection,
    space: SpaceId,
    /// The ordinal of this run of history; zero where nothing is written.
    generation: i64,
    /// The log's end, once read; written back by [`Self::finish`].
    end: Option<End>,
    is_longer: bool,
}

impl<'a> Tail<'a> {
    pub(super) const fn new(connection: &'a Connection, space: SpaceId, generation: i64) -> Self {
        Self { connection, space, generation, end: None, is_longer: false }
    }

    pub(super) fn end(&mut self) -> Result<End, StoreError> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let sql = "SELECT head_seq, head_time FROM spaces WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let end = statement
            .query_row([self.space.get()], |row| {
                Ok(End { seq: seq(row, 0)?, committed_at: ServerTime::from_micros(row.get(1)?) })
            })
            .optional()
            .map_err(failed)?;
        let end = end.ok_or_else(|| StoreError::Internal("a space vanished".to_owned()))?;
        self.end = Some(end);
        Ok(end)
    }

    /// Appends a change, written by `actor`, at the next place, which is `at`.
    pub(super) fn append(&mut self, change: &NewChange<'_>, actor: UserId, at: End) -> Result<(), StoreError> {
        self.append_checked(change, checksum_of(change.payload), actor, at)
    }

    /// The same of a change whose checksum is known.
    pub(super) fn append_checked(
        &mut self,
        change: &NewChange<'_>,
        checksum: u32,
        actor: UserId,
        at: End,
    ) -> Result<(), StoreError> {
        let mut end = self.end()?;
        if !self.is_longer {
            self.fork(end)?;
        }
        end.move_to(at);
        self.run(
            "INSERT INTO changes (space, seq, record, prev, base, committed_at, written_at, stamp_at, public_at, actor,
                 replica, op, origin, verdict, digest, checksum, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                self.space.get(),
                int(at.seq),
                change.record.0,
                change.prev.map(int),
                change.base.map(int),
                at.committed_at.micros(),
                change.written_at.to_bytes(),
                i64::try_from(change.stamp_at.nanos())
                    .map_err(|_| StoreError::Internal("a stamp is beyond 2262".to_owned()))?,
                whole_millis(change.public_at),
                actor.get(),
                change.replica.map(|replica| replica.0),
                op_code(change.op),
                origin_code(change.origin),
                verdict_code(change.verdict),
                change.digest.to_bytes(),
                checksum,
                change.payload
            ],
        )?;
        self.end = Some(end);
        self.is_longer = true;
        Ok(())
    }

    /// Writes the log's new end.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        let Some(end) = self.end.filter(|_| self.is_longer) else { return Ok(()) };
        self.run(
            "UPDATE spaces SET head_seq = ?2, head_time = ?3, generation = ?4 WHERE id = ?1",
            params![self.space.get(), int(end.seq), end.committed_at.micros(), self.generation],
        )
    }

    /// Notes where this generation takes over, at its first change in a space.
    fn fork(&self, end: End) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO forks (space, generation, seq)
             SELECT ?1, ?2, ?3 WHERE (SELECT generation FROM spaces WHERE id = ?1) <> ?2
             ON CONFLICT DO NOTHING",
            params![self.space.get(), self.generation, int(end.seq)],
        )
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)?;
        Ok(())
    }
}
