//! Reading everything, to find damage before somebody needs what it hit.

use rusqlite::{Connection, params};

use super::connection::failed;
use crate::check::{
    ContentRow, ENTRIES_AND_RULINGS, ENTRIES_WITHOUT_KEY, ENTRIES_WITHOUT_TIME, Findings, How, KEYS_WITHOUT_ENTRY,
    LogCheck, LogRow, OF_ROOMS, RULINGS_WITHOUT_ENTRY, TIMELINE, VERSIONS,
};
use crate::{CheckReport, IsRuling, Progress, Reading, StoreError};

pub(super) fn check(
    connection: &Connection,
    readings: &[Reading],
    mut progress: Progress,
) -> Result<CheckReport, StoreError> {
    let mut check = Check { connection, findings: Findings::default() };
    let structure = check.structure();
    check.findings.note("the file", structure)?;
    let total = check.number("SELECT coalesce(sum(head_seq), 0) FROM spaces");
    let total = check.findings.note("the spaces", total)?.unwrap_or(0);
    let spaces = check.spaces();
    for (space, purpose, head) in check.findings.note("the spaces", spaces)?.unwrap_or_default() {
        check.findings.report.spaces += 1;
        let how = How::of(readings, &purpose);
        let log = check.log(space, how, head, &mut |done| progress(done, total));
        check.findings.note(&format!("space {space}, its log"), log)?;
        let heads = check.heads(space);
        check.findings.note(&format!("space {space}, its records"), heads)?;
        if let Some(policy) = how.policy {
            let contents = check.contents(space, policy);
            check.findings.note(&format!("space {space}, its contents"), contents)?;
        }
        if let Some(is_ruling) = how.is_ruling {
            let ruled = check.ruled(space, is_ruling);
            check.findings.note(&format!("space {space}, its rules"), ruled)?;
        }
        if how.is_thinned {
            let versions = check.versions(space);
            check.findings.note(&format!("space {space}, its versions"), versions)?;
        }
    }
    let keys = check.keys();
    check.findings.note("the keys of entries", keys)?;
    let rulings = check.rulings();
    check.findings.note("the rules", rulings)?;
    let timeline = check.timeline();
    check.findings.note("the order of writing", timeline)?;
    let rooms = check.rooms();
    check.findings.note("the rooms", rooms)?;
    progress(total, total);
    Ok(check.findings.report)
}

struct Check<'a> {
    connection: &'a Connection,
    findings: Findings,
}

impl Check<'_> {
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
                        self.findings.fault(format!("the file: {found}"));
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.findings.fault(format!("the file: {error}"));
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

    fn log(&mut self, space: i64, how: How<'_>, head: i64, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        let sql =
            "SELECT seq, committed_at, prev, checksum, payload, record FROM changes WHERE space = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([space]).map_err(failed)?;
        let mut log = LogCheck::new(space, how);
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    self.findings.fault(format!("space {space} after change {}: {error}", log.last));
                    break;
                }
            };
            let payload = row.get_ref(4).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            let change = LogRow {
                seq: row.get(0).map_err(failed)?,
                committed_at: row.get(1).map_err(failed)?,
                prev: row.get(2).map_err(failed)?,
                checksum: row.get(3).map_err(failed)?,
                payload,
                record: row.get(5).map_err(failed)?,
            };
            log.change(&change, &mut self.findings, progress);
        }
        log.end(head, &mut self.findings);
        if log.has_entries() { self.entries(space) } else { Ok(()) }
    }

    fn entries(&mut self, space: i64) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(ENTRIES_WITHOUT_KEY).map_err(failed)?;
        for seq in statement.query_map([space], |row| row.get(0)).map_err(failed)? {
            self.findings.entry_without_key(space, seq.map_err(failed)?);
        }
        Ok(())
    }

    /// What a space under rules keeps beside its entries: the rules, and the order of writing.
    fn ruled(&mut self, space: i64, is_ruling: IsRuling) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(ENTRIES_AND_RULINGS).map_err(failed)?;
        let mut rows = statement.query([space]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let payload = row.get_ref(1).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            let is = is_ruling(payload.unwrap_or_default());
            self.findings.ruling((space, row.get(0).map_err(failed)?), is, row.get(2).map_err(failed)?);
        }
        let mut statement = self.connection.prepare(ENTRIES_WITHOUT_TIME).map_err(failed)?;
        for seq in statement.query_map([space], |row| row.get(0)).map_err(failed)? {
            self.findings.entry_without_time(space, seq.map_err(failed)?);
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(KEYS_WITHOUT_ENTRY).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        for row in rows {
            let (space, seq) = row.map_err(failed)?;
            self.findings.key_without_entry(space, seq);
        }
        Ok(())
    }

    fn rulings(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(RULINGS_WITHOUT_ENTRY).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        for row in rows {
            let (space, seq) = row.map_err(failed)?;
            self.findings.ruling_without_entry(space, seq);
        }
        Ok(())
    }

    fn timeline(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(TIMELINE).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let get = |column: usize| row.get::<_, i64>(column).map_err(failed);
            let written_at = row.get_ref(3).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            self.findings.time((get(0)?, get(1)?, get(2)?), written_at);
        }
        Ok(())
    }

    /// That each room has a space and each space a room, whose document is the newest version.
    fn rooms(&mut self) -> Result<(), StoreError> {
        for (sql, fault) in OF_ROOMS {
            let mut statement = self.connection.prepare(sql).map_err(failed)?;
            for space in statement.query_map([], |row| row.get(0)).map_err(failed)? {
                fault(&mut self.findings, space.map_err(failed)?);
            }
        }
        Ok(())
    }

    /// What the versions of a document say.
    fn versions(&mut self, space: i64) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(VERSIONS).map_err(failed)?;
        let mut rows = statement.query([space]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let digest: [u8; 16] = row.get(1).map_err(failed)?;
            let payload = row.get_ref(2).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            self.findings.version((space, row.get(0).map_err(failed)?), &digest, payload);
        }
        Ok(())
    }

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
            self.findings.head(space, record, seq, of);
        }
        Ok(())
    }

    fn contents(&mut self, space: i64, policy: &dyn tombolo_core::Policy) -> Result<(), StoreError> {
        let sql = "SELECT c.seq, r.collection, c.digest, c.payload, r.seq = c.seq FROM changes c
                   JOIN records r ON r.id = c.record WHERE c.space = ?1 AND c.op = 0 ORDER BY c.seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params![space]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let collection: String = row.get(1).map_err(failed)?;
            let digest: [u8; 16] = row.get(2).map_err(failed)?;
            let payload = row.get_ref(3).map_err(failed)?.as_blob_or_null().map_err(|error| failed(error.into()))?;
            let (seq, is_head) = (row.get(0).map_err(failed)?, row.get(4).map_err(failed)?);
            let content = ContentRow { space, seq, collection: &collection, digest: &digest, payload, is_head };
            self.findings.content(&content, policy);
        }
        Ok(())
    }
}
