//! What a transaction writes to a space, and its one statement.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tombolo_core::{
    CollectionName, Digest, Instant, RecordKey, RecordName, ReplicaName, Seq, ServerTime, SpaceId, UserId, limits,
};

use super::connection::{WAIT_FOR_DISK, failed};
use super::draft::is_time_to_prune;
use super::statement::{Rows, Statement};
use crate::columns::{checksum_of, count, encode_pages, int, op_code, origin_code, small, verdict_code, whole_millis};
use crate::ledger::{Change, End, IssuedCursor, RecordRow, Replica, ReplicaRow, Traffic};
use crate::{Refused, StoreError};

/// A change with all that is stored of it.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) change: Change,
    pub(super) record: RecordRow,
    pub(super) replica: Option<ReplicaRow>,
    pub(super) committed_at: ServerTime,
    pub(super) payload: Option<Vec<u8>>,
}

/// A record's new head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) key: RecordKey,
    pub(super) rank: usize,
    pub(super) seq: Seq,
}

/// A value that only one record may have.
type Unique = (CollectionName, Vec<u8>);

/// What is to be written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) end: End,
    pub(super) generation: i64,
    pub(super) last_record: i64,
    pub(super) last_replica: i64,
    /// Where this generation takes over, at its first change here.
    pub(super) fork: Option<Seq>,
    pub(super) changes: Vec<Logged>,
    /// Records with their new heads, those that were not there before among them.
    pub(super) heads: BTreeMap<RecordRow, Head>,
    /// With the time at which one was added, when it was now.
    pub(super) replicas: BTreeMap<ReplicaRow, (ReplicaName, Replica, Option<ServerTime>)>,
    /// Those whose mark of what they were given is written: of the others, it may have been noted meanwhile.
    pub(super) given: BTreeSet<ReplicaRow>,
    /// Names that become those of replicas of this space, and whether each was this user's already.
    pub(super) names: BTreeMap<ReplicaName, bool>,
    /// Changes that were there before and lose their content.
    pub(super) blanked: BTreeSet<Seq>,
    pub(super) evicted: BTreeSet<ReplicaRow>,
    pub(super) cursors: BTreeMap<(ReplicaRow, Instant), IssuedCursor>,
    pub(super) traffic: BTreeMap<(ReplicaRow, RecordRow), Traffic>,
    /// From what to what, and whether it is there now.
    pub(super) references: BTreeMap<(RecordRow, RecordRow), bool>,
    pub(super) aliases: BTreeMap<RecordKey, Option<(RecordName, i64)>>,
    pub(super) uniques: BTreeMap<RecordRow, Option<Unique>>,
    pub(super) refusals: Vec<(ReplicaName, Refused, ServerTime)>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            end: End { seq: Seq::ZERO, committed_at: ServerTime::from_micros(0) },
            generation: 0,
            last_record: 0,
            last_replica: 0,
            fork: None,
            changes: Vec::new(),
            heads: BTreeMap::new(),
            replicas: BTreeMap::new(),
            given: BTreeSet::new(),
            names: BTreeMap::new(),
            blanked: BTreeSet::new(),
            evicted: BTreeSet::new(),
            cursors: BTreeMap::new(),
            traffic: BTreeMap::new(),
            references: BTreeMap::new(),
            aliases: BTreeMap::new(),
            uniques: BTreeMap::new(),
            refusals: Vec::new(),
        }
    }
}

/// A statement whose parts write only if its first part found the space at the version that was decided on.
struct Write {
    statement: Statement,
    parts: usize,
}

/// Values of one column, row by row.
type Column<T> = Vec<T>;

impl Write {
    fn part(&mut self, sql: &str) {
        let n = self.parts;
        self.parts += 1;
        self.statement.push(&format!(", w{n} AS ({sql})"));
    }
}

fn bytes(instant: Instant) -> Vec<u8> {
    instant.to_bytes().to_vec()
}

fn floor(replica: &Replica) -> Option<i64> {
    replica.floor.map(whole_millis)
}

/// Whether a name was given to another user's replica since it was looked up.
fn is_name_taken(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().filter(|error| error.is_unique_violation());
    constraint.is_some_and(|error| error.constraint() == Some("replica_spaces_pkey"))
}

/// PostgreSQL's text holds no zero byte; what a device sent may.
pub(super) fn without_zero(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl Pending {
    /// Whether nothing is to be written: then the space stays at its version.
    pub(super) fn is_empty(&self) -> bool {
        let Self { changes, replicas, names, blanked, evicted, cursors, traffic, .. } = self;
        let Self { references, aliases, uniques, refusals, .. } = self;
        let log = changes.is_empty() && blanked.is_empty() && refusals.is_empty();
        let exchanged = replicas.is_empty() && names.is_empty() && evicted.is_empty() && cursors.is_empty();
        log && exchanged && traffic.is_empty() && references.is_empty() && aliases.is_empty() && uniques.is_empty()
    }

    /// Writes it in one statement, which is a transaction by itself: the space's row is locked for as long as that runs,
    /// and by nobody who is still deciding. `false`, and nothing is written, when the space is no longer at `version`.
    ///
    /// What waits for the disk at the commit is the database's setting, but for one: a database that acknowledges before
    /// its disk does is made to wait here.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        space: SpaceId,
        actor: UserId,
        version: i64,
    ) -> Result<bool, StoreError> {
        let mut write = Write { statement: Statement::default(), parts: 0 };
        let s = &mut write.statement;
        let (id, version) = (s.bind(space.get())?, s.bind(version)?);
        let (head, time) = (s.bind(int(self.end.seq))?, s.bind(self.end.committed_at.micros())?);
        let (generation, record) = (s.bind(self.generation)?, s.bind(self.last_record)?);
        let replica = s.bind(self.last_replica)?;
        s.push(&format!(
            "WITH g AS (UPDATE spaces SET head_seq = {head}, head_time = {time}, generation = {generation},
                 last_record = {record}, last_replica = {replica}, version = version + 1
             WHERE id = {id} AND version = {version} RETURNING {WAIT_FOR_DISK})"
        ));
        self.log(&mut write, actor)?;
        self.records(&mut write)?;
        self.replicas(&mut write)?;
        self.exchanged(&mut write)?;
        self.relations(&mut write)?;
        self.refusals(&mut write, actor)?;
        write.statement.push(" SELECT 1 FROM g");
        let query = sqlx::query_with(AssertSqlSafe(write.statement.sql), write.statement.arguments);
        match query.fetch_all(connection).await {
            Ok(found) => Ok(!found.is_empty()),
            // Another user's replica got the name meanwhile: this is decided again.
            Err(error) if is_name_taken(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn log(&self, write: &mut Write, actor: UserId) -> Result<(), StoreError> {
        if let Some(fork) = self.fork {
            let s = &mut write.statement;
            let (generation, seq) = (s.bind(self.generation)?, s.bind(int(fork))?);
            write.part(&format!(
                "INSERT INTO forks (space, generation, seq) SELECT $1, {generation}, {seq} FROM g ON CONFLICT DO NOTHING"
            ));
        }
        if !self.blanked.is_empty() {
            let s = &mut write.statement;
            let seqs = s.bind(self.blanked.iter().copied().map(int).collect::<Column<_>>())?;
            let digest = s.bind(Digest::DELETED.to_bytes().to_vec())?;
            let checksum = s.bind(i64::from(checksum_of(None)))?;
            write.part(&format!(
                "UPDATE changes c SET payload = NULL, digest = {digest}, checksum = {checksum} FROM g
                 WHERE c.space = $1 AND c.seq = ANY ({seqs})"
            ));
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        let all = &self.changes;
        let stamps: Result<Column<i64>, _> =
            all.iter().map(|one| i64::try_from(one.change.state.stamp.at.nanos())).collect();
        let stamps = stamps.map_err(|_| StoreError::Internal("a stamp is beyond 2262".to_owned()))?;
        let ints = |value: fn(&Logged) -> i64| -> Column<i64> { all.iter().map(value).collect() };
        let maybe = |value: fn(&Logged) -> Option<i64>| -> Column<Option<i64>> { all.iter().map(value).collect() };
        let s = &mut write.statement;
        let rows = Rows::new()
            .column(s, ints(|one| int(one.change.state.seq)))?
            .column(s, ints(|one| one.record.0))?
            .column(s, maybe(|one| one.change.prev.map(int)))?
            .column(s, maybe(|one| one.change.base.map(int)))?
            .column(s, ints(|one| one.committed_at.micros()))?
            .column(s, all.iter().map(|one| bytes(one.change.state.written_at)).collect::<Column<_>>())?
            .column(s, stamps)?
            .column(s, ints(|one| whole_millis(one.change.state.public_at)))?
            .column(s, maybe(|one| one.replica.map(|replica| replica.0)))?
            .column(s, ints(|one| op_code(one.change.state.op)))?
            .column(s, ints(|one| origin_code(one.change.origin)))?
            .column(s, ints(|one| verdict_code(one.change.verdict)))?
            .column(s, all.iter().map(|one| one.change.state.digest.to_bytes().to_vec()).collect::<Column<_>>())?
            .column(s, ints(|one| checksum_of(one.payload.as_deref()).into()))?
            .column(s, all.iter().map(|one| one.payload.as_deref()).collect::<Column<_>>())?
            .from("n");
        let actor = s.bind(actor.get())?;
        write.part(&format!(
            "INSERT INTO changes (space, actor, seq, record, prev, base, committed_at, written_at, stamp_at, public_at,
                 replica, op, origin, verdict, digest, checksum, payload)
             SELECT $1, {actor}, n.* FROM g, {rows}"
        ));
        Ok(())
    }

    fn records(&self, write: &mut Write) -> Result<(), StoreError> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let s = &mut write.statement;
        let rows = Rows::new()
            .column(s, self.heads.keys().map(|row| row.0).collect::<Column<_>>())?
            .column(s, self.heads.values().map(|head| head.key.collection.as_str()).collect::<Column<_>>())?
            .column(s, self.heads.values().map(|head| head.key.name.as_str()).collect::<Column<_>>())?
            .column(s, self.heads.values().map(|head| small(head.rank)).collect::<Column<_>>())?
            .column(s, self.heads.values().map(|head| int(head.seq)).collect::<Column<_>>())?
            .from("n");
        write.part(&format!(
            "INSERT INTO records (space, id, collection, name, rank, seq) SELECT $1, n.* FROM g, {rows}
             ON CONFLICT (space, id) DO UPDATE SET seq = excluded.seq"
        ));
        Ok(())
    }

    fn replicas(&self, write: &mut Write) -> Result<(), StoreError> {
        let (new, known): (Vec<_>, Vec<_>) = self.replicas.iter().partition(|(_, (.., added_at))| added_at.is_some());
        let home = |replica: &Replica| replica.home.as_ref().map(|home| home.as_str().to_owned());
        if !new.is_empty() {
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, new.iter().map(|(row, _)| row.0).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (name, ..))| name.as_str()).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| home(replica)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| floor(replica)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (.., at))| at.map_or(0, ServerTime::micros)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| int(replica.acknowledged)).collect::<Column<_>>())?
                .column(s, new.iter().map(|(_, (_, replica, _))| int(replica.given)).collect::<Column<_>>())?
                .from("n");
            write.part(&format!(
                "INSERT INTO replicas (space, id, name, home, floor, added_at, acknowledged, given)
                 SELECT $1, n.* FROM g, {rows}"
            ));
        }
        if !known.is_empty() {
            let given = |row: &ReplicaRow, replica: &Replica| self.given.contains(row).then(|| int(replica.given));
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, known.iter().map(|(row, _)| row.0).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| home(replica)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| floor(replica)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(_, (_, replica, _))| int(replica.acknowledged)).collect::<Column<_>>())?
                .column(s, known.iter().map(|(row, (_, replica, _))| given(row, replica)).collect::<Column<_>>())?
                .from("n(id, home, floor, acknowledged, given)");
            // What a download notes of a replica does not wait for its turn on the space.
            write.part(&format!(
                "UPDATE replicas r SET home = n.home, floor = n.floor,
                     acknowledged = greatest(r.acknowledged, n.acknowledged), given = coalesce(n.given, r.given)
                 FROM g, {rows} WHERE r.space = $1 AND r.id = n.id"
            ));
        }
        self.names(write)?;
        if !self.evicted.is_empty() {
            let rows = write.statement.bind(self.evicted.iter().map(|row| row.0).collect::<Column<_>>())?;
            write.part(&format!(
                "DELETE FROM replica_spaces b USING g, replicas r, spaces s WHERE s.id = $1 AND r.space = $1
                     AND r.id = ANY ({rows}) AND b.purpose = s.purpose AND b.name = r.name AND b.space = $1"
            ));
            for (table, column) in [("traffic", "replica"), ("cursors", "replica"), ("replicas", "id")] {
                write.part(&format!("DELETE FROM {table} t USING g WHERE t.space = $1 AND t.{column} = ANY ({rows})"));
            }
        }
        Ok(())
    }

    /// Whose names are. One that was nobody's and is another user's meanwhile fails the statement.
    fn names(&self, write: &mut Write) -> Result<(), StoreError> {
        for was_own in [false, true] {
            let names = self.names.iter().filter(|(_, own)| **own == was_own).map(|(name, _)| name.as_str());
            let names: Column<&str> = names.collect();
            if names.is_empty() {
                continue;
            }
            let names = write.statement.bind(names)?;
            write.part(&if was_own {
                format!(
                    "UPDATE replica_spaces b SET space = $1 FROM g, spaces s
                     WHERE s.id = $1 AND b.purpose = s.purpose AND b.name = ANY ({names})"
                )
            } else {
                format!(
                    "INSERT INTO replica_spaces (purpose, name, space)
                     SELECT s.purpose, n.name, $1 FROM g, spaces s, unnest({names}) n(name) WHERE s.id = $1"
                )
            });
        }
        Ok(())
    }

    /// Cursors that were given out or acknowledged, and instants that went out or came in.
    fn exchanged(&self, write: &mut Write) -> Result<(), StoreError> {
        if !self.cursors.is_empty() {
            let all: Vec<(&ReplicaRow, &IssuedCursor)> =
                self.cursors.iter().map(|((replica, _), cursor)| (replica, cursor)).collect();
            let pages = |cursor: &IssuedCursor| Some(encode_pages(cursor.coverage.pages())).filter(|p| !p.is_empty());
            let s = &mut write.statement;
            let rows = Rows::new()
                .column(s, all.iter().map(|(replica, _)| replica.0).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| whole_millis(cursor.token)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| cursor.parent.map(whole_millis)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| cursor.alias.map(bytes)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| i64::from(cursor.polled)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| int(cursor.coverage.complete_to())).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| int(cursor.coverage.snapshot())).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, cursor)| pages(cursor)).collect::<Column<_>>())?
                .from("n");
            write.part(&format!(
                "INSERT INTO cursors (space, replica, token, parent, alias, polled, complete, snapshot, pages)
                 SELECT $1, n.* FROM g, {rows}
                 ON CONFLICT (space, replica, token) DO UPDATE SET alias = excluded.alias, polled = excluded.polled"
            ));
            self.prune_cursors(write)?;
        }
        if self.traffic.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self.traffic.iter().collect();
        let s = &mut write.statement;
        let rows = Rows::new()
            .column(s, all.iter().map(|((replica, _), _)| replica.0).collect::<Column<_>>())?
            .column(s, all.iter().map(|((_, record), _)| record.0).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| bytes(traffic.greatest)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| bytes(traffic.last)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.held.map(bytes)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.held_under.map(whole_millis)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.tombstone.map(bytes)).collect::<Column<_>>())?
            .column(s, all.iter().map(|(_, traffic)| traffic.upload.map(|up| int(up.seq))).collect::<Column<_>>())?
            .column(
                s,
                all.iter()
                    .map(|(_, traffic)| traffic.upload.and_then(|up| up.under).map(whole_millis))
                    .collect::<Column<_>>(),
            )?
            .from("n");
        // A page may be read before another request of the same device is judged, and noted after it.
        let is_later = "coalesce(t.upload, 0) > coalesce(excluded.upload, 0)";
        write.part(&format!(
            "INSERT INTO traffic AS t
                 (space, replica, record, greatest, last, held, held_under, tombstone, upload, upload_under)
             SELECT $1, n.* FROM g, {rows}
             ON CONFLICT (space, replica, record) DO UPDATE SET greatest = greatest(t.greatest, excluded.greatest),
                 last = excluded.last, held = excluded.held, held_under = excluded.held_under,
                 tombstone = coalesce(excluded.tombstone, t.tombstone),
                 upload_under = CASE WHEN {is_later} THEN t.upload_under ELSE excluded.upload_under END,
                 upload = CASE WHEN {is_later} THEN t.upload ELSE excluded.upload END"
        ));
        Ok(())
    }

    fn prune_cursors(&self, write: &mut Write) -> Result<(), StoreError> {
        let due: BTreeSet<i64> =
            self.cursors.keys().filter(|(_, token)| is_time_to_prune(*token)).map(|(replica, _)| replica.0).collect();
        if due.is_empty() {
            return Ok(());
        }
        let s = &mut write.statement;
        let (replicas, kept) = (s.bind(due.into_iter().collect::<Column<_>>())?, s.bind(count(limits::CURSORS_MAX))?);
        // One statement must not write a row and delete it.
        let tokens = s.bind(self.cursors.keys().map(|(_, token)| whole_millis(*token)).collect::<Column<_>>())?;
        write.part(&format!(
            "DELETE FROM cursors c USING g, unnest({replicas}) n(replica), LATERAL (SELECT k.ctid FROM cursors k
                 WHERE k.space = $1 AND k.replica = n.replica AND k.token <> ALL ({tokens}) AND k.token <=
                     (SELECT token FROM cursors o WHERE o.space = $1 AND o.replica = n.replica
                      ORDER BY token DESC LIMIT 1 OFFSET {kept}) OFFSET 0) k
             WHERE c.ctid = k.ctid"
        ));
        Ok(())
    }

    /// References, other names, and values that only one may have.
    fn relations(&self, write: &mut Write) -> Result<(), StoreError> {
        for is_there in [false, true] {
            let (sources, targets): (Column<i64>, Column<i64>) =
                self.references.iter().filter(|(_, there)| **there == is_there).map(|((s, t), _)| (s.0, t.0)).unzip();
            if sources.is_empty() {
                continue;
            }
            let s = &mut write.statement;
            let from = format!("unnest({}, {}) n(source, target)", s.bind(sources)?, s.bind(targets)?);
            write.part(&if is_there {
                format!("INSERT INTO refs (space, source, target) SELECT $1, n.* FROM g, {from} ON CONFLICT DO NOTHING")
            } else {
                format!(
                    "DELETE FROM refs f USING g, {from}, LATERAL (SELECT k.ctid FROM refs k WHERE k.space = $1
                         AND k.source = n.source AND k.target = n.target OFFSET 0) k WHERE f.ctid = k.ctid"
                )
            });
        }
        self.aliases(write)?;
        self.uniques(write)
    }

    fn aliases(&self, write: &mut Write) -> Result<(), StoreError> {
        let (kept, gone): (Vec<_>, Vec<_>) = self.aliases.iter().partition(|(_, alias)| alias.is_some());
        for (all, is_there) in [(gone, false), (kept, true)] {
            if all.is_empty() {
                continue;
            }
            let of = |alias: &Option<(RecordName, i64)>| alias.clone().map(|(of, _)| of.as_str().to_owned());
            let place = |alias: &Option<(RecordName, i64)>| alias.as_ref().map(|(_, ordinal)| *ordinal);
            let s = &mut write.statement;
            let from = Rows::new()
                .column(s, all.iter().map(|(key, _)| key.collection.as_str()).collect::<Column<_>>())?
                .column(s, all.iter().map(|(key, _)| key.name.as_str()).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, alias)| of(alias)).collect::<Column<_>>())?
                .column(s, all.iter().map(|(_, alias)| place(alias)).collect::<Column<_>>())?
                .from("n(collection, name, canonical, ordinal)");
            write.part(&if is_there {
                format!(
                    "INSERT INTO aliases (space, collection, name, canonical, ordinal) SELECT $1, n.* FROM g, {from}
                     ON CONFLICT (space, collection, name) DO UPDATE SET canonical = excluded.canonical"
                )
            } else {
                format!(
                    "DELETE FROM aliases a USING g, {from}, LATERAL (SELECT k.ctid FROM aliases k WHERE k.space = $1
                         AND k.collection = n.collection AND k.name = n.name OFFSET 0) k WHERE a.ctid = k.ctid"
                )
            });
        }
        Ok(())
    }

    fn uniques(&self, write: &mut Write) -> Result<(), StoreError> {
        if self.uniques.is_empty() {
            return Ok(());
        }
        let held: BTreeMap<(&str, Vec<u8>), i64> = self
            .uniques
            .iter()
            .filter_map(|(record, held)| {
                let (collection, value) = held.as_ref()?;
                Some(((collection.as_str(), value.clone()), record.0))
            })
            .collect();
        let s = &mut write.statement;
        let records = s.bind(self.uniques.keys().map(|record| record.0).collect::<Column<_>>())?;
        let from = Rows::new()
            .column(s, held.keys().map(|(collection, _)| *collection).collect::<Column<_>>())?
            .column(s, held.keys().map(|(_, value)| value.as_slice()).collect::<Column<_>>())?
            .column(s, held.values().copied().collect::<Column<_>>())?
            .from("n(collection, value, record)");
        // What is written below must not be deleted by the same statement.
        write.part(&format!(
            "DELETE FROM uniques u USING g WHERE u.space = $1 AND u.record = ANY ({records}) AND NOT EXISTS
                 (SELECT 1 FROM {from} WHERE n.collection = u.collection AND n.value = u.value)"
        ));
        if !held.is_empty() {
            write.part(&format!(
                "INSERT INTO uniques (space, collection, value, record) SELECT $1, n.* FROM g, {from}
                 ON CONFLICT (space, collection, value) DO UPDATE SET record = excluded.record"
            ));
        }
        Ok(())
    }

    fn refusals(&self, write: &mut Write, actor: UserId) -> Result<(), StoreError> {
        if self.refusals.is_empty() {
            return Ok(());
        }
        let mut all: BTreeMap<[String; 4], (usize, i64)> = BTreeMap::new();
        for (place, (device, refused, at)) in self.refusals.iter().enumerate() {
            let Refused { record, kind, reason } = refused;
            all.insert([device.as_str(), record, kind, reason].map(without_zero), (place, at.micros()));
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable_by_key(|(_, (place, _))| *place);
        let s = &mut write.statement;
        let mut columns = Vec::new();
        for place in 0..4 {
            columns.push(s.bind(all.iter().map(|(texts, _)| texts[place].clone()).collect::<Column<_>>())?);
        }
        columns.push(s.bind(all.iter().map(|(_, (_, at))| *at).collect::<Column<_>>())?);
        let (actor, columns) = (s.bind(actor.get())?, columns.join(", "));
        write.part(&format!(
            "INSERT INTO refusals AS r (user_id, device, record, kind, reason, at)
             SELECT {actor}, n.device, n.record, n.kind, n.reason, n.at
             FROM g, unnest({columns}) WITH ORDINALITY n(device, record, kind, reason, at, place) ORDER BY n.place
             ON CONFLICT (user_id, device, record, kind, reason) DO UPDATE SET at = excluded.at,
                 id = nextval(pg_get_serial_sequence('refusals', 'id'))"
        ));
        Ok(())
    }

    /// Forgets the oldest refusals beyond the limit. A statement of its own: one that also writes them could meet a row
    /// twice.
    pub(super) async fn prune_refusals(&self, connection: &mut PgConnection, actor: UserId) -> Result<(), StoreError> {
        if self.refusals.is_empty() {
            return Ok(());
        }
        let mut statement = Statement::default();
        let (actor, kept) = (statement.bind(actor.get())?, statement.bind(count(limits::REFUSALS_MAX))?);
        statement.push(&format!(
            "DELETE FROM refusals WHERE user_id = {actor} AND id <=
                 (SELECT id FROM refusals WHERE user_id = {actor} ORDER BY id DESC LIMIT 1 OFFSET {kept})"
        ));
        statement.execute(connection).await.map(drop)
    }

    /// Leaves out what was to be written of replicas that are forgotten.
    pub(super) fn leave_out_evicted(&mut self) {
        let evicted = &self.evicted;
        self.cursors.retain(|(replica, _), _| !evicted.contains(replica));
        self.traffic.retain(|(replica, _), _| !evicted.contains(replica));
        self.replicas.retain(|replica, _| !evicted.contains(replica));
    }
}
