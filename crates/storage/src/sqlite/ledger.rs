//! One space inside one transaction of SQLite.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tombolo_core::{
    CollectionName, Instant, Origin, Policy, RecordKey, RecordName, ReplicaName, Seq, ServerTime, SpaceCursor, SpaceId,
    UserId, Verdict, limits,
};

use super::connection::failed;
use super::rows::{bad, change_columns, cursor_columns, instant, millis_opt, read_change, read_cursor, seq, seq_opt};
use super::tail::Tail;
use crate::columns::{checksum_of, count, encode_pages, from_millis, int, small, to_millis, whole_millis};
use crate::ledger::{
    Alias, Change, End, HeadVisitor, IssuedCursor, Ledger, NewChange, Record, RecordRow, Replica, ReplicaRow, Traffic,
    Upload,
};
use crate::{Stale, StoreError};

pub(super) type Done<T> = Result<T, StoreError>;

pub(super) struct SqliteLedger<'a> {
    pub(super) connection: &'a Connection,
    pub(super) space: SpaceId,
    actor: UserId,
    policy: &'a dyn Policy,
    tail: Tail<'a>,
}

impl<'a> SqliteLedger<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        space: SpaceId,
        actor: UserId,
        policy: &'a dyn Policy,
        generation: i64,
    ) -> Self {
        Self { connection, space, actor, policy, tail: Tail::new(connection, space, generation) }
    }

    /// Writes the log's new end.
    pub(super) fn finish(self) -> Done<()> {
        self.tail.finish()
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Done<()> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)?;
        Ok(())
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Done<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_row(params, read).optional().map_err(failed)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Done<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<T>>>().map_err(failed)
    }

    fn collection(&self, name: &str) -> Done<CollectionName> {
        let known = self.policy.collections().iter().find(|collection| collection.as_str() == name);
        known
            .copied()
            .ok_or_else(|| StoreError::Corrupt("a record is of a kind that its protocol does not know".to_owned()))
    }

    pub(super) fn key(&self, collection: &str, name: &str) -> Done<RecordKey> {
        let name = RecordName::parse(name).map_err(|_| StoreError::Corrupt("a record's name is no name".to_owned()))?;
        Ok(RecordKey::new(self.collection(collection)?, name))
    }

    pub(super) fn damaged(&self, seq: Seq, what: &str) -> StoreError {
        StoreError::Corrupt(format!("change {seq} of space {}: {what}", self.space))
    }
}

impl Ledger for SqliteLedger<'_> {
    fn end(&mut self) -> Done<End> {
        self.tail.end()
    }

    fn replica(&mut self, name: &ReplicaName) -> Done<Option<Replica>> {
        let read = |row: &Row<'_>| {
            let progress = (seq(row, 3)?, seq(row, 4)?);
            Ok((ReplicaRow(row.get(0)?), row.get::<_, Option<String>>(1)?, row.get::<_, Option<i64>>(2)?, progress))
        };
        let found = self.one(
            "SELECT id, home, floor, acknowledged, given FROM replicas WHERE space = ?1 AND name = ?2",
            params![self.space.get(), name.as_str()],
            read,
        )?;
        let home = |home: &str| {
            RecordName::parse(home).map_err(|_| StoreError::Corrupt("a replica's home is no name".to_owned()))
        };
        let Some((row, own, floor, (acknowledged, given))) = found else { return Ok(None) };
        let (home, floor) = (own.as_deref().map(home).transpose()?, floor.and_then(from_millis));
        Ok(Some(Replica { row, home, floor, acknowledged, given }))
    }

    fn add_replica(&mut self, name: &ReplicaName, now: ServerTime) -> Done<Replica> {
        let space = self.space.get();
        let too_many = self.all(
            "SELECT r.id FROM replicas r WHERE r.space = ?1
             ORDER BY (SELECT max(token) FROM cursors c WHERE c.replica = r.id) DESC, max(r.acknowledged, r.given) DESC, r.id DESC LIMIT 1000 OFFSET ?2",
            params![space, count(limits::REPLICAS_MAX - 1)],
            |row| row.get::<_, i64>(0),
        )?;
        for replica in too_many {
            for sql in [
                "DELETE FROM traffic WHERE replica = ?1",
                "DELETE FROM cursors WHERE replica = ?1",
                "DELETE FROM replica_spaces WHERE (purpose, name, space) IN
                     (SELECT s.purpose, r.name, r.space FROM replicas r JOIN spaces s ON s.id = r.space WHERE r.id = ?1)",
                "DELETE FROM replicas WHERE id = ?1",
            ] {
                self.run(sql, [replica])?;
            }
        }
        self.run(
            "INSERT INTO replicas (space, name, added_at) VALUES (?1, ?2, ?3)",
            params![space, name.as_str(), now.micros()],
        )?;
        let (row, acknowledged, given) = (ReplicaRow(self.connection.last_insert_rowid()), Seq::ZERO, Seq::ZERO);
        Ok(Replica { row, home: None, floor: None, acknowledged, given })
    }

    fn set_home(&mut self, replica: ReplicaRow, home: &RecordName) -> Done<()> {
        self.run("UPDATE replicas SET home = ?2 WHERE id = ?1", params![replica.0, home.as_str()])
    }

    fn set_floor(&mut self, replica: ReplicaRow, floor: Instant) -> Done<()> {
        self.run("UPDATE replicas SET floor = ?2 WHERE id = ?1", params![replica.0, whole_millis(floor)])
    }

    fn set_progress(&mut self, replica: ReplicaRow, acknowledged: Seq, given: Seq) -> Done<()> {
        let sql = "UPDATE replicas SET acknowledged = ?2, given = ?3 WHERE id = ?1";
        self.run(sql, params![replica.0, int(acknowledged), int(given)])
    }

    fn is_others(&mut self, name: &ReplicaName) -> Done<bool> {
        let sql = "SELECT 1 FROM replica_spaces b JOIN spaces s ON s.id = b.space JOIN spaces own ON own.id = ?1
                   WHERE b.purpose = own.purpose AND b.name = ?2 AND s.owner <> own.owner";
        Ok(self.one(sql, params![self.space.get(), name.as_str()], |_| Ok(()))?.is_some())
    }

    fn bind(&mut self, name: &ReplicaName) -> Done<()> {
        self.run(
            "INSERT INTO replica_spaces (purpose, name, space) SELECT purpose, ?2, id FROM spaces WHERE id = ?1
             ON CONFLICT DO UPDATE SET space = excluded.space",
            params![self.space.get(), name.as_str()],
        )
    }

    fn stale(&mut self, cursor: SpaceCursor) -> Done<Option<Stale>> {
        let head = self.end()?.seq;
        super::replicas::stale(self.connection, self.actor, Some((self.space, head)), cursor)
    }

    fn cursor(&mut self, replica: ReplicaRow, time: Instant) -> Done<Option<IssuedCursor>> {
        if let Some(token) = to_millis(time) {
            let sql = concat!("SELECT ", cursor_columns!(), " FROM cursors WHERE replica = ?1 AND token = ?2");
            if let Some(cursor) = self.one(sql, params![replica.0, token], read_cursor)? {
                return Ok(Some(cursor));
            }
        }
        let sql = concat!(
            "SELECT ",
            cursor_columns!(),
            " FROM cursors WHERE replica = ?1 AND alias = ?2 ORDER BY token DESC LIMIT 1"
        );
        self.one(sql, params![replica.0, time.to_bytes()], read_cursor)
    }

    fn newest_cursor(&mut self, replica: ReplicaRow) -> Done<Option<IssuedCursor>> {
        let sql = concat!("SELECT ", cursor_columns!(), " FROM cursors WHERE replica = ?1 ORDER BY token DESC LIMIT 1");
        self.one(sql, [replica.0], read_cursor)
    }

    fn cursors_since(&mut self, replica: ReplicaRow, snapshot: Seq) -> Done<Vec<IssuedCursor>> {
        // Snapshots never fall while tokens grow, so the newest are read until one is older.
        let sql = concat!("SELECT ", cursor_columns!(), " FROM cursors WHERE replica = ?1 ORDER BY token DESC");
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([replica.0]).map_err(failed)?;
        let mut since = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let cursor = read_cursor(row).map_err(failed)?;
            if cursor.coverage.snapshot() < snapshot {
                break;
            }
            since.push(cursor);
        }
        since.reverse();
        Ok(since)
    }

    fn cursors(&mut self, replica: ReplicaRow) -> Done<Vec<IssuedCursor>> {
        let sql = concat!("SELECT ", cursor_columns!(), " FROM cursors WHERE replica = ?1 ORDER BY token");
        self.all(sql, [replica.0], read_cursor)
    }

    fn put_cursor(&mut self, replica: ReplicaRow, cursor: &IssuedCursor) -> Done<()> {
        let token = whole_millis(cursor.token);
        let pages = Some(encode_pages(cursor.coverage.pages())).filter(|pages| !pages.is_empty());
        self.run(
            "INSERT INTO cursors (replica, token, parent, alias, polled, complete, snapshot, pages)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET alias = excluded.alias, polled = excluded.polled",
            params![
                replica.0,
                token,
                cursor.parent.map(whole_millis),
                cursor.alias.map(Instant::to_bytes),
                cursor.polled,
                int(cursor.coverage.complete_to()),
                int(cursor.coverage.snapshot()),
                pages
            ],
        )?;
        // Once in a while is enough: the bound is on what is kept, and one more delete per push would cost as much as
        // the insert.
        if token % 64 == 0 {
            self.run(
                "DELETE FROM cursors WHERE replica = ?1 AND token <=
                 (SELECT token FROM cursors WHERE replica = ?1 ORDER BY token DESC LIMIT 1 OFFSET ?2)",
                params![replica.0, count(limits::CURSORS_MAX)],
            )?;
        }
        Ok(())
    }

    fn record(&mut self, key: &RecordKey) -> Done<Option<Record>> {
        let sql = concat!(
            "SELECT ",
            change_columns!(),
            " FROM records r JOIN changes c ON c.space = r.space AND c.seq = r.seq
             LEFT JOIN replicas p ON p.id = c.replica
             WHERE r.space = ?1 AND r.collection = ?2 AND r.name = ?3"
        );
        let params = params![self.space.get(), key.collection.as_str(), key.name.as_str()];
        self.one(sql, params, |row| {
            let change = read_change(row)?;
            Ok(Record { row: change.record, head: change.state })
        })
    }

    fn record_row(&mut self, key: &RecordKey, rank: usize) -> Done<RecordRow> {
        let sql = "INSERT INTO records (space, collection, name, rank, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
        // It gets its place at once, so that the index on heads is written only once.
        let seq = self.end()?.seq.next();
        let params = params![self.space.get(), key.collection.as_str(), key.name.as_str(), small(rank), int(seq)];
        self.run(sql, params)?;
        Ok(RecordRow(self.connection.last_insert_rowid()))
    }

    fn change(&mut self, seq: Seq) -> Done<Change> {
        let sql = concat!(
            "SELECT ",
            change_columns!(),
            " FROM changes c LEFT JOIN replicas p ON p.id = c.replica WHERE c.space = ?1 AND c.seq = ?2"
        );
        let found = self.one(sql, params![self.space.get(), int(seq)], read_change)?;
        found.ok_or_else(|| self.damaged(seq, "it is missing"))
    }

    fn payload(&mut self, seq: Seq) -> Done<Option<Vec<u8>>> {
        let sql = "SELECT payload, checksum FROM changes WHERE space = ?1 AND seq = ?2";
        let read = |row: &Row<'_>| Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get::<_, u32>(1)?));
        let found = self.one(sql, params![self.space.get(), int(seq)], read)?;
        let (payload, checksum) = found.ok_or_else(|| self.damaged(seq, "it is missing"))?;
        if checksum != checksum_of(payload.as_deref()) {
            return Err(self.damaged(seq, "its content is not what was written"));
        }
        Ok(payload)
    }

    fn append(&mut self, change: &NewChange<'_>, now: ServerTime) -> Done<Seq> {
        let at = self.end()?.next(now);
        self.tail.append(change, self.actor, at)?;
        let is_effective = change.origin != Origin::Replica || change.verdict == Verdict::Applied;
        if is_effective && change.prev.is_some() {
            self.run("UPDATE records SET seq = ?2 WHERE id = ?1", params![change.record.0, int(at.seq)])?;
        }
        Ok(at.seq)
    }

    fn blank(&mut self, from: Seq) -> Done<()> {
        // Below a deletion there is nothing left to take. It is walked to its end: what was promised to be gone is gone.
        self.run(
            "WITH RECURSIVE past (seq) AS (
                 SELECT ?2 UNION ALL
                 SELECT c.prev FROM past JOIN changes c ON c.space = ?1 AND c.seq = past.seq
                 WHERE c.prev IS NOT NULL AND (c.op = 0 OR (c.origin = 0 AND c.verdict <> 0)))
             UPDATE changes SET payload = NULL, digest = zeroblob(16), checksum = 0
             WHERE space = ?1 AND seq IN (SELECT seq FROM past)",
            params![self.space.get(), int(from)],
        )?;
        super::sweep::note(self.connection)
    }

    fn has_traffic(&mut self, replica: ReplicaRow) -> Done<bool> {
        let sql = "SELECT 1 FROM traffic WHERE replica = ?1 LIMIT 1";
        Ok(self.one(sql, [replica.0], |_| Ok(()))?.is_some())
    }

    fn traffic(&mut self, replica: ReplicaRow, record: RecordRow) -> Done<Option<Traffic>> {
        let sql = "SELECT greatest, last, tombstone, upload, upload_under, held, held_under FROM traffic WHERE replica = ?1 AND record = ?2";
        self.one(sql, params![replica.0, record.0], |row| {
            let instant_opt = |column| {
                let bytes: Option<[u8; 12]> = row.get(column)?;
                bytes.map(|bytes| Instant::from_bytes(bytes).ok_or_else(|| bad(column))).transpose()
            };
            let under = millis_opt(row, 4)?;
            Ok(Traffic {
                greatest: instant(row, 0)?,
                last: instant(row, 1)?,
                held: instant_opt(5)?,
                held_under: millis_opt(row, 6)?,
                tombstone: instant_opt(2)?,
                upload: seq_opt(row, 3)?.map(|seq| Upload { seq, under }),
            })
        })
    }

    fn put_traffic(&mut self, replica: ReplicaRow, record: RecordRow, traffic: &Traffic) -> Done<()> {
        // A page may be read before another request of the same device is judged, and noted after it.
        self.run(
            "INSERT INTO traffic (replica, record, greatest, last, tombstone, upload, upload_under, held, held_under)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET greatest = max(greatest, excluded.greatest), last = excluded.last,
                 held = excluded.held, held_under = excluded.held_under,
                 tombstone = coalesce(excluded.tombstone, tombstone),
                 upload_under = CASE WHEN coalesce(upload, 0) > coalesce(excluded.upload, 0) THEN upload_under ELSE excluded.upload_under END,
                 upload = CASE WHEN coalesce(upload, 0) > coalesce(excluded.upload, 0) THEN upload ELSE excluded.upload END",
            params![
                replica.0,
                record.0,
                traffic.greatest.to_bytes(),
                traffic.last.to_bytes(),
                traffic.tombstone.map(Instant::to_bytes),
                traffic.upload.map(|upload| int(upload.seq)),
                traffic.upload.and_then(|upload| upload.under).map(whole_millis),
                traffic.held.map(Instant::to_bytes),
                traffic.held_under.map(whole_millis)
            ],
        )
    }

    fn set_references(&mut self, record: RecordRow, targets: &[RecordRow]) -> Done<()> {
        let had = self.all("SELECT target FROM refs WHERE source = ?1 ORDER BY target", [record.0], |row| {
            row.get(0).map(RecordRow)
        })?;
        for target in had.iter().filter(|target| !targets.contains(target)) {
            self.run("DELETE FROM refs WHERE source = ?1 AND target = ?2", params![record.0, target.0])?;
        }
        for target in targets.iter().filter(|target| !had.contains(target)) {
            self.run("INSERT INTO refs (source, target) VALUES (?1, ?2)", params![record.0, target.0])?;
        }
        Ok(())
    }

    fn referrers(&mut self, target: RecordRow) -> Done<Vec<RecordKey>> {
        let sql = "SELECT r.collection, r.name FROM refs f JOIN records r ON r.id = f.source WHERE f.target = ?1 ORDER BY r.id";
        let found = self.all(sql, [target.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        found.iter().map(|(collection, name)| self.key(collection, name)).collect()
    }

    fn aliases(&mut self) -> Done<Vec<Alias>> {
        let sql = "SELECT collection, name, canonical FROM aliases WHERE space = ?1 ORDER BY ordinal";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?));
        let found = self.all(sql, [self.space.get()], read)?;
        let alias = |(collection, name, canonical): &(String, String, String)| {
            Ok(Alias { key: self.key(collection, name)?, of: self.key(collection, canonical)?.name })
        };
        found.iter().map(alias).collect()
    }

    fn put_alias(&mut self, alias: &Alias) -> Done<()> {
        self.run(
            "INSERT INTO aliases (space, collection, name, canonical, ordinal)
             VALUES (?1, ?2, ?3, ?4, (SELECT coalesce(max(ordinal), 0) + 1 FROM aliases WHERE space = ?1))
             ON CONFLICT DO UPDATE SET canonical = excluded.canonical",
            params![self.space.get(), alias.key.collection.as_str(), alias.key.name.as_str(), alias.of.as_str()],
        )
    }

    fn remove_alias(&mut self, key: &RecordKey) -> Done<()> {
        self.run(
            "DELETE FROM aliases WHERE space = ?1 AND collection = ?2 AND name = ?3",
            params![self.space.get(), key.collection.as_str(), key.name.as_str()],
        )
    }

    fn unique_holder(&mut self, collection: CollectionName, value: &[u8]) -> Done<Option<RecordKey>> {
        let sql = "SELECT r.name FROM uniques u JOIN records r ON r.id = u.record
                   WHERE u.space = ?1 AND u.collection = ?2 AND u.value = ?3";
        let found =
            self.one(sql, params![self.space.get(), collection.as_str(), value], |row| row.get::<_, String>(0))?;
        found.map(|name| self.key(collection.as_str(), &name)).transpose()
    }

    fn set_unique(&mut self, record: RecordRow, collection: CollectionName, value: Option<&[u8]>) -> Done<()> {
        let sql = "DELETE FROM uniques WHERE record = ?1 AND (?2 IS NULL OR value <> ?2)";
        self.run(sql, params![record.0, value])?;
        let Some(value) = value else { return Ok(()) };
        self.run(
            "INSERT INTO uniques (space, collection, value, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET record = excluded.record",
            params![self.space.get(), collection.as_str(), value, record.0],
        )
    }

    fn heads_after(&mut self, rank: usize, after: Seq, visitor: &mut dyn HeadVisitor) -> Done<()> {
        self.walk_heads(rank, after, visitor)
    }

    fn add_refusals(&mut self, replica: &ReplicaName, refused: &[crate::Refused], now: ServerTime) -> Done<()> {
        for one in refused {
            self.run(
                "INSERT OR REPLACE INTO refusals (user_id, device, record, kind, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![self.actor.get(), replica.as_str(), one.record, one.kind, one.reason, now.micros()],
            )?;
        }
        self.run(
            "DELETE FROM refusals WHERE user_id = ?1 AND id <=
             (SELECT id FROM refusals WHERE user_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![self.actor.get(), count(limits::REFUSALS_MAX)],
        )
    }
}

impl SqliteLedger<'_> {
    /// The log's changes after `after`, with all that they hold.
    pub(super) fn logged(&self, after: Seq, count_max: usize) -> Done<Vec<crate::LoggedChange>> {
        let sql = concat!(
            "SELECT ",
            change_columns!(),
            ", c.committed_at, c.payload, r.collection, r.name
             FROM changes c JOIN records r ON r.id = c.record LEFT JOIN replicas p ON p.id = c.replica
             WHERE c.space = ?1 AND c.seq > ?2 ORDER BY c.seq LIMIT ?3"
        );
        let found = self.all(sql, params![self.space.get(), int(after), count(count_max)], |row| {
            let payload: Option<Vec<u8>> = row.get(13)?;
            Ok((
                read_change(row)?,
                row.get::<_, i64>(12)?,
                payload,
                row.get::<_, String>(14)?,
                row.get::<_, String>(15)?,
            ))
        })?;
        let logged =
            |(change, committed_at, payload, collection, name): (Change, i64, Option<Vec<u8>>, String, String)| {
                Ok(crate::LoggedChange {
                    seq: change.state.seq,
                    key: self.key(&collection, &name)?,
                    prev: change.prev,
                    base: change.base,
                    op: change.state.op,
                    origin: change.origin,
                    verdict: change.verdict,
                    replica: change.state.stamp.replica,
                    written_at: change.state.written_at,
                    committed_at: ServerTime::from_micros(committed_at),
                    payload: payload.unwrap_or_default(),
                })
            };
        found.into_iter().map(logged).collect()
    }
}
