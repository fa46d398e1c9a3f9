//! Reading everything, to find damage before somebody needs what it hit.

use rusqlite::{Connection, params};
use tombolo_core::Purpose;

use super::connection::failed;
use super::rows::checksum_of;
use crate::{CheckReport, Policies, Progress, StoreError};

/// Faults that are named; a database with more is not read line by line.
const FAULTS_MAX: usize = 1_000;
/// Changes between two calls of the progress.
const PROGRESS_EVERY: u64 = 1_000;

pub(super) fn check(
    connection: &Connection,
    policies: &Policies,
    mut progress: Progress,
) -> Result<CheckReport, StoreError> {
    let mut check = Check { connection, report: CheckReport::default() };
    let structure = check.structure();
    check.note("the file", structure)?;
    let total = check.number("SELECT coalesce(sum(head_seq), 0) FROM spaces");
    let total = check.note("the spaces", total)?.unwrap_or(0);
    let spaces = check.spaces();
    for (space, purpose, head) in check.note("the spaces", spaces)?.unwrap_or_default() {
        check.report.spaces += 1;
        let log = check.log(space, head, &mut |done| progress(done, total));
        check.note(&format!("space {space}, its log"), log)?;
        let heads = check.heads(space);
        check.note(&format!("space {space}, its records"), heads)?;
        if let Some((_, policy)) = policies.iter().find(|(known, _)| Purpose::as_str(*known) == purpose) {
            let contents = check.contents(space, &**policy);
            check.note(&format!("space {space}, its contents"), contents)?;
        }
    }
    progress(total, total);
    Ok(check.report)
}

struct Check<'a> {
    connection: &'a Connection,
    report: CheckReport,
}

impl Check<'_> {
    fn fault(&mut self, what: String) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(what);
        }
    }

    /// Damage that ends the reading of one `place` is a fault like any other: what lies elsewhere is read on. A disk
    /// that fails is none, and ends the check.
    fn note<T>(&mut self, place: &str, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Corrupt(what)) => {
                self.fault(format!("{place}: {what}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn number(&self, sql: &str) -> Result<u64, StoreError> {
        let number: i64 = self.connection.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// The file itself: pages, indexes, types.
    fn structure(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(1000)").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let found: String = row.get(0).map_err(failed)?;
                    if found != "ok" {
                        self.fault(format!("the file: {found}"));
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.fault(format!("the file: {error}"));
                    return Ok(());
                }
            }
        }
    }

    fn spaces(&self) -> Result<Vec<(i64, String, i64)>, StoreError> {
        let sql = "SELECT id, purpose, head_seq FROM spaces ORDER BY id";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)
    }

    /// The log: dense, in order of time, each content as it was written, each chain leading back.
    fn log(&mut self, space: i64, head: i64, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        let sql = "SELECT seq, committed_at, prev, checksum, payload FROM changes WHERE space = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([space]).map_err(failed)?;
        let (mut last, mut last_time) = (0_i64, i64::MIN);
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    self.fault(format!("space {space} after change {last}: {error}"));
                    break;
                }
            };
            let seq: i64 = row.get(0).map_err(failed)?;
            let time: i64 = row.get(1).map_err(failed)?;
            let prev: Option<i64> = row.get(2).map_err(failed)?;
            let payload = row.get_ref(4).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            if seq != last + 1 {
                self.fault(format!("space {space}: changes {} to {} are missing", last + 1, seq - 1));
            }
            if time <= last_time {
                self.fault(format!("space {space}, change {seq}: it was committed before the one below it"));
            }
            if prev.is_some_and(|prev| prev >= seq || prev < 1) {
                self.fault(format!("space {space}, change {seq}: its record's history does not lead back"));
            }
            if row.get::<_, u32>(3).map_err(failed)? != checksum_of(payload) {
                self.fault(format!("space {space}, change {seq}: its content is not what was written"));
            }
            (last, last_time) = (seq, time);
            self.report.changes += 1;
            if self.report.changes.is_multiple_of(PROGRESS_EVERY) {
                progress(self.report.changes);
            }
        }
        if last != head {
            self.fault(format!("space {space}: its log ends at {last}, its head says {head}"));
        }
        Ok(())
    }

    /// Each record's head is a change of that record.
    fn heads(&mut self, space: i64) -> Result<(), StoreError> {
        let sql =
            "SELECT r.id, r.seq, c.record FROM records r LEFT JOIN changes c ON c.space = r.space AND c.seq = r.seq
                   WHERE r.space = ?1";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?));
        let heads = statement.query_map([space], read).map_err(failed)?;
        for head in heads {
            let (record, seq, of) = head.map_err(failed)?;
            self.report.records += 1;
            if of != Some(record) {
                self.fault(format!("space {space}, record {record}: its head, change {seq}, is none of its changes"));
            }
        }
        Ok(())
    }

    /// Each content reads, and has the digest that it is stored under.
    fn contents(&mut self, space: i64, policy: &dyn tombolo_core::Policy) -> Result<(), StoreError> {
        let sql = "SELECT c.seq, r.collection, c.digest, c.payload FROM changes c JOIN records r ON r.id = c.record
                   WHERE c.space = ?1 AND c.op = 0 ORDER BY c.seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params![space]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let seq: i64 = row.get(0).map_err(failed)?;
            let name: String = row.get(1).map_err(failed)?;
            let digest: [u8; 16] = row.get(2).map_err(failed)?;
            let payload: Option<Vec<u8>> = row.get(3).map_err(failed)?;
            let known = policy.collections().iter().find(|collection| collection.as_str() == name);
            let Some(collection) = known else {
                self.fault(format!("space {space}, change {seq}: its record is of an unknown kind"));
                continue;
            };
            match policy.digest(*collection, payload.as_deref().unwrap_or_default()) {
                Ok(found) if found.to_bytes() == digest => {}
                Ok(_) => self.fault(format!("space {space}, change {seq}: its digest is not that of its content")),
                Err(error) => self.fault(format!("space {space}, change {seq}: {error}")),
            }
        }
        Ok(())
    }
}
