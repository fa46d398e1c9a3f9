//! What a transaction writes to a space, and its one statement.

mod replicas;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tombolo_core::{
    CollectionName, Digest, Instant, RecordKey, RecordName, ReplicaName, Seq, ServerTime, SpaceId, UserId, limits,
};

use super::connection::{WAIT_FOR_DISK, failed};
use super::statement::{Rows, Statement};
use crate::columns::{checksum_of, count, int, op_code, origin_code, small, verdict_code, whole_millis};
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
