//! Reading everything, to find damage before somebody needs what it hit. PostgreSQL looks after its own files: its
//! `pg_amcheck` and checksums are for those.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use tombolo_core::Policy;

use super::connection::failed;
use crate::check::{
    ContentRow, ENTRIES_AND_RULINGS, ENTRIES_WITHOUT_KEY, ENTRIES_WITHOUT_TIME, Findings, How, KEYS_WITHOUT_ENTRY,
    LogCheck, LogRow, OF_ROOMS, RULINGS_WITHOUT_ENTRY, TIMELINE, VERSIONS,
};
use crate::{CheckReport, IsRuling, Progress, Reading, StoreError};

/// Reads one snapshot of everything, row by row.
pub(super) async fn check(
    connection: &mut PgConnection,
    readings: &[Reading],
    mut progress: Progress,
) -> Result<CheckReport, StoreError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut snapshot = connection.begin_with(begin).await.map_err(failed)?;
    let mut check = Check { connection: &mut snapshot, findings: Findings::default() };
    let spaces = check.spaces().await?;
    let total = spaces.iter().map(|(.., head)| u64::try_from(*head).unwrap_or(0)).sum();
    for (space, purpose, head) in spaces {
        check.findings.report.spaces += 1;
        let how = How::of(readings, &purpose);
        let log = check.log(space, how, head, &mut |done| progress(done, total)).await;
        check.findings.note(&format!("space {space}, its log"), log)?;
        let heads = check.heads(space).await;
        check.findings.note(&format!("space {space}, its records"), heads)?;
        if let Some(policy) = how.policy {
            let contents = check.contents(space, policy).await;
            check.findings.note(&format!("space {space}, its contents"), contents)?;
        }
        if let Some(is_ruling) = how.is_ruling {
            let ruled = check.ruled(space, is_ruling).await;
            check.findings.note(&format!("space {space}, its rules"), ruled)?;
        }
        if how.is_thinned {
            let versions = check.versions(space).await;
            check.findings.note(&format!("space {space}, its versions"), versions)?;
        }
    }
    let keys = check.keys().await;
    check.findings.note("the keys of entries", keys)?;
    let rulings = check.rulings().await;
    check.findings.note("the rules", rulings)?;
    let timeline = check.timeline().await;
    check.findings.note("the order of writing", timeline)?;
    let rooms = check.rooms().await;
    check.findings.note("the rooms", rooms)?;
    progress(total, total);
    let report = check.findings.report;
    snapshot.commit().await.map_err(failed)?;
    Ok(report)
}

struct Check<'a> {
    connection: &'a mut PgConnection,
    findings: Findings,
}

fn column<'r, T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>>(
    row: &'r PgRow,
    place: usize,
) -> Result<T, StoreError> {
    row.try_get(place).map_err(failed)
}

impl Check<'_> {
    async fn spaces(&mut self) -> Result<Vec<(i64, String, i64)>, StoreError> {
        let select = sqlx::query("SELECT id, purpose, head_seq FROM spaces ORDER BY id");
        let rows = select.fetch_all(&mut *self.connection).await.map_err(failed)?;
        rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
    }

    async fn log(
        &mut self,
        space: i64,
        how: How<'_>,
        head: i64,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), StoreError> {
        let sql =
            "SELECT seq, committed_at, prev, checksum, payload, record FROM changes WHERE space = $1 ORDER BY seq";
        let mut rows = sqlx::query(sql).bind(space).fetch(&mut *self.connection);
        let mut log = LogCheck::new(space, how);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let change = LogRow {
                seq: column(&row, 0)?,
                committed_at: column(&row, 1)?,
                prev: column(&row, 2)?,
                checksum: column(&row, 3)?,
                payload: column(&row, 4)?,
                record: column(&row, 5)?,
            };
            log.change(&change, &mut self.findings, progress);
        }
        drop(rows);
        log.end(head, &mut self.findings);
        if log.has_entries() { self.entries(space).await } else { Ok(()) }
    }

    async fn entries(&mut self, space: i64) -> Result<(), StoreError> {
        let mut rows = sqlx::query(ENTRIES_WITHOUT_KEY).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.entry_without_key(space, column(&row, 0)?);
        }
        Ok(())
    }

    /// What a space under rules keeps beside its entries: the rules, and the order of writing.
    async fn ruled(&mut self, space: i64, is_ruling: IsRuling) -> Result<(), StoreError> {
        let mut rows = sqlx::query(ENTRIES_AND_RULINGS).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let is = is_ruling(column::<Option<&[u8]>>(&row, 1)?.unwrap_or_default());
            self.findings.ruling((space, column(&row, 0)?), is, column(&row, 2)?);
        }
        drop(rows);
        let mut rows = sqlx::query(ENTRIES_WITHOUT_TIME).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.entry_without_time(space, column(&row, 0)?);
        }
        Ok(())
    }

    async fn keys(&mut self) -> Result<(), StoreError> {
        let mut rows = sqlx::query(KEYS_WITHOUT_ENTRY).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.key_without_entry(column(&row, 0)?, column(&row, 1)?);
        }
        Ok(())
    }

    async fn rulings(&mut self) -> Result<(), StoreError> {
        let mut rows = sqlx::query(RULINGS_WITHOUT_ENTRY).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.ruling_without_entry(column(&row, 0)?, column(&row, 1)?);
        }
        Ok(())
    }

    async fn timeline(&mut self) -> Result<(), StoreError> {
        let mut rows = sqlx::query(TIMELINE).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let place = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
            self.findings.time(place, column(&row, 3)?);
        }
        Ok(())
    }

    /// That each room has a space and each space a room, whose document is the newest version.
    async fn rooms(&mut self) -> Result<(), StoreError> {
        for (sql, fault) in OF_ROOMS {
            let mut rows = sqlx::query(sql).fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                fault(&mut self.findings, column(&row, 0)?);
            }
        }
        Ok(())
    }

    /// What the versions of a document say.
    async fn versions(&mut self, space: i64) -> Result<(), StoreError> {
        let mut rows = sqlx::query(VERSIONS).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.version((space, column(&row, 0)?), column(&row, 1)?, column(&row, 2)?);
        }
        Ok(())
    }

    async fn heads(&mut self, space: i64) -> Result<(), StoreError> {
        let sql = "SELECT r.id, r.seq, c.record FROM records r
                   LEFT JOIN changes c ON c.space = r.space AND c.seq = r.seq WHERE r.space = $1";
        let mut rows = sqlx::query(sql).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            self.findings.head(space, column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        }
        Ok(())
    }

    async fn contents(&mut self, space: i64, policy: &dyn Policy) -> Result<(), StoreError> {
        let sql = "SELECT c.seq, r.collection, c.digest, c.payload, r.seq = c.seq FROM changes c
                   JOIN records r ON r.space = c.space AND r.id = c.record
                   WHERE c.space = $1 AND c.op = 0 ORDER BY c.seq";
        let mut rows = sqlx::query(sql).bind(space).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let (seq, collection, is_head) = (column(&row, 0)?, column(&row, 1)?, column(&row, 4)?);
            let (digest, payload) = (column(&row, 2)?, column(&row, 3)?);
            self.findings.content(&ContentRow { space, seq, collection, digest, payload, is_head }, policy);
        }
        Ok(())
    }
}
