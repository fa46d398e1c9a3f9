//! A document that is stored as the newest version of its room.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::timeout;
use tombolo_core::versions::{VersionThere, let_go};
use tombolo_core::{Digest, Seq, ServerTime, SpaceId};

use super::super::connection::{WAIT_FOR_DISK, failed};
use super::super::generation::{Present, Run};
use super::super::statement::Statement;
use super::super::tries::{ATTEMPT_MAX, Lane, REQUEST_MAX, Retries, Try};
use super::super::{Postgres, at};
use super::{Done, documents, int, seq};
use crate::columns::{int as column, op_code, origin_code, seq_of, verdict_code, whole_millis};
use crate::ledger::{End, NewChange, RecordRow};
use crate::rooms::{DOCUMENT, DOCUMENT_RANK, Fate, Text};
use crate::{DocumentPut, DocumentStored, SpaceAddress, StoreError};

/// A room's log, as it was read.
struct Log {
    space: SpaceId,
    /// Counts the transactions that wrote to it.
    version: i64,
    end: End,
    /// The generation that last wrote here.
    generation: i64,
    last_record: i64,
    /// The number of the document's record, once there is one.
    record: Option<i64>,
    /// The digest of the newest version.
    newest: Option<Digest>,
    there: Vec<VersionThere>,
    run: Run,
}

impl Postgres {
    pub(super) async fn store_document(&self, put: DocumentPut) -> Result<DocumentStored, StoreError> {
        let text = Text::new(put);
        timeout(REQUEST_MAX, self.store_text(&text)).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn store_text(&self, text: &Text) -> Result<DocumentStored, StoreError> {
        let mut retries = Retries::default();
        let mut has_failed = false;
        loop {
            let began_at = self.env.now();
            let tried = match Lane::of(&self.pool).await {
                Ok(mut lane) => {
                    let tried = timeout(ATTEMPT_MAX, self.store_on(&mut lane.connection, text)).await;
                    lane.settle(tried)
                }
                Err(error) => Err(error),
            };
            has_failed |= tried.is_err();
            let Some(stored) = retries.weigh(tried).await? else { continue };
            match stored {
                DocumentStored::Stored(version) => {
                    self.commits.count(1, self.env.now().since(began_at));
                    self.bus.grew(text.put.space, version);
                }
                // A try that failed may have been committed, and told nobody.
                DocumentStored::Unchanged(version) if has_failed => self.bus.grew(text.put.space, version),
                _ => {}
            }
            return Ok(stored);
        }
    }

    async fn store_on(&self, connection: &mut PgConnection, text: &Text) -> Result<Try<DocumentStored>, StoreError> {
        let Text { put, digest, .. } = text;
        let present = self.present(connection).await?;
        let Some(log) = load(connection, put.space).await? else { return Ok(Try::Done(DocumentStored::NoRoom)) };
        if log.run != present.run {
            self.forget();
            return Ok(Try::Again);
        }
        match put.fate(*digest, log.newest.map(|newest| (log.end.seq, newest))) {
            Fate::Unchanged(version) => Ok(Try::Done(DocumentStored::Unchanged(version))),
            Fate::Moved(_) => {
                // It may be gone by now, with its room.
                let found = documents::read(connection, put.space, None).await?;
                Ok(found.map_or(Try::Again, |document| Try::Done(DocumentStored::Moved(document))))
            }
            Fate::New => {
                let next = log.end.next(put.now);
                let is_written = log.append(connection, present, text, next).await?;
                Ok(if is_written { Try::Done(DocumentStored::Stored(next.seq)) } else { Try::Again })
            }
        }
    }
}

/// Reads a room's log in one statement; `None` when there is no room. The lengths of its versions are known without
/// reading these.
async fn load(connection: &mut PgConnection, address: SpaceAddress) -> Done<Option<Log>> {
    let [started, database] = Run::COLUMNS;
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    let document = statement.bind(DOCUMENT)?;
    statement.push(&format!(
        "SELECT s.id, s.version, s.head_seq, s.head_time, s.generation, s.last_record, {started}, {database},
             (SELECT k.id FROM records k WHERE k.space = s.id AND k.collection = {document} AND k.name = {document}),
             (SELECT k.digest FROM changes k WHERE k.space = s.id AND k.seq = s.head_seq), c.seqs, c.times, c.lengths
         FROM spaces s JOIN rooms r ON r.space = s.id CROSS JOIN LATERAL (
             SELECT coalesce(array_agg(k.seq ORDER BY k.seq), '{{}}') AS seqs,
                 coalesce(array_agg(k.committed_at ORDER BY k.seq), '{{}}') AS times,
                 coalesce(array_agg(coalesce(octet_length(k.payload), 0)::int8 ORDER BY k.seq), '{{}}') AS lengths
             FROM changes k WHERE k.space = s.id
         ) c WHERE {space}"
    ));
    Ok(statement.rows(connection, |row| read_log(&row)).await?.pop())
}

fn read_log(row: &PgRow) -> Done<Log> {
    let damaged = |what: &str| StoreError::Corrupt(format!("a room's log: {what}"));
    let end = End { seq: seq(row, 2)?, committed_at: ServerTime::from_micros(int(row, 3)?) };
    let newest: Option<&[u8]> = row.try_get(9).map_err(failed)?;
    let newest = newest.map(|bytes| bytes.try_into().map(Digest::from_bytes)).transpose();
    let newest = newest.map_err(|_| damaged("a digest has not 16 bytes"))?;
    if newest.is_none() && end.seq > Seq::ZERO {
        return Err(damaged("its newest version is missing"));
    }
    let ints = |at: usize| row.try_get::<Vec<i64>, _>(at).map_err(failed);
    let there = ints(10)?.into_iter().zip(ints(11)?).zip(ints(12)?).map(|((seq, at), bytes)| {
        let seq = seq_of(seq).ok_or_else(|| damaged("a version's number is negative"))?;
        let bytes = u64::try_from(bytes).expect("a length is not negative");
        Ok(VersionThere { seq, at: ServerTime::from_micros(at), bytes })
    });
    Ok(Log {
        space: SpaceId::new(int(row, 0)?),
        version: int(row, 1)?,
        end,
        generation: int(row, 4)?,
        last_record: int(row, 5)?,
        record: row.try_get(8).map_err(failed)?,
        newest,
        there: there.collect::<Done<_>>()?,
        run: Run::new(int(row, 6)?, int(row, 7)?),
    })
}

impl Log {
    /// Writes a version and lets go of others, if the log is still as it was read; otherwise `false`, and nothing is
    /// written. The commit then waits for the disk, whatever the database was told.
    async fn append(
        &self,
        connection: &mut PgConnection,
        present: Present,
        text: &Text,
        next: End,
    ) -> Result<bool, StoreError> {
        let record = self.record.unwrap_or(self.last_record + 1);
        let mut statement = Statement::default();
        let s = &mut statement;
        let (space, version) = (s.bind(self.space.get())?, s.bind(self.version)?);
        let (seq, time) = (s.bind(column(next.seq))?, s.bind(next.committed_at.micros())?);
        let (generation, id) = (s.bind(present.ordinal)?, s.bind(record)?);
        let (document, gone) = (s.bind(DOCUMENT)?, s.bind(self.let_go(text, next))?);
        s.push(&format!(
            "WITH g AS (UPDATE spaces SET head_seq = {seq}, head_time = {time}, generation = {generation},
                 last_record = greatest(last_record, {id}), version = version + 1
                 WHERE id = {space} AND version = {version} RETURNING {WAIT_FOR_DISK}),
             r AS (INSERT INTO records (space, id, collection, name, rank, seq)
                 SELECT {space}, {id}, {document}, {document}, {DOCUMENT_RANK}, {seq} FROM g
                 ON CONFLICT (space, id) DO UPDATE SET seq = excluded.seq),
             d AS (DELETE FROM changes k USING g WHERE k.space = {space} AND k.seq = ANY ({gone}))"
        ));
        if self.generation != present.ordinal {
            let before = s.bind(column(self.end.seq))?;
            s.push(&format!(
                ", f AS (INSERT INTO forks (space, generation, seq) SELECT {space}, {generation}, {before} FROM g
                     ON CONFLICT DO NOTHING)"
            ));
        }
        let change = self.change(RecordRow(record), text, next);
        let values = values(s, &change, text)?;
        s.push(&format!(
            ", c AS (INSERT INTO changes (space, seq, record, committed_at, prev, written_at, stamp_at, public_at,
                     actor, op, origin, verdict, digest, checksum, payload)
                 SELECT {space}, {seq}, {id}, {time}, {values} FROM g)
             SELECT 1 FROM g"
        ));
        Ok(!statement.rows(connection, |_| Ok(())).await?.is_empty())
    }

    fn change<'t>(&self, record: RecordRow, text: &'t Text, next: End) -> NewChange<'t> {
        let prev = Some(self.end.seq).filter(|seq| *seq > Seq::ZERO);
        NewChange::of_document(record, prev, (&text.put.text, text.digest), next.committed_at)
    }

    /// The versions that are let go once the text is the newest one.
    fn let_go(&self, text: &Text, next: End) -> Vec<i64> {
        let bytes = u64::try_from(text.put.text.len()).unwrap_or(u64::MAX);
        let mut there = self.there.clone();
        there.push(VersionThere { seq: next.seq, at: next.committed_at, bytes });
        let_go(&there, text.put.kept).into_iter().map(column).collect()
    }
}

/// What a change says beside its place.
fn values(s: &mut Statement, change: &NewChange<'_>, text: &Text) -> Result<String, StoreError> {
    let stamp = i64::try_from(change.stamp_at.nanos());
    let stamp = stamp.map_err(|_| StoreError::Internal("a stamp is beyond 2262".to_owned()))?;
    let values = [
        s.bind(change.prev.map(column))?,
        s.bind(change.written_at.to_bytes().to_vec())?,
        s.bind(stamp)?,
        s.bind(whole_millis(change.public_at))?,
        s.bind(text.put.space.owner.get())?,
        s.bind(op_code(change.op))?,
        s.bind(origin_code(change.origin))?,
        s.bind(verdict_code(change.verdict))?,
        s.bind(change.digest.to_bytes().to_vec())?,
        s.bind(i64::from(text.checksum))?,
        s.bind(change.payload)?,
    ];
    Ok(values.join(", "))
}
