//! Reading what is wanted of a space, in one statement: one round trip, one snapshot.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tombolo_core::{Policy, ReplicaName, Seq, ServerTime, SpaceId, limits};

use super::at;
use super::connection::failed;
use super::found::{BYTES, Found, INTS, KINDS, Kind, Read, TEXTS, bad};
use super::generation::Run;
use super::loaded::SpaceRow;
use super::statement::{Rows, Statement};
use super::wants::Wants;
use crate::columns::{count, small};
use crate::erasure::ERASED_KEPT;
use crate::{LoggedChange, SpaceAddress, StoreError};

/// How much one statement reads of what has no end by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Preceding changes that come with one that is wanted.
    pub(super) chain: i64,
    /// Preceding contents likewise.
    pub(super) contents: i64,
    /// Heads, and bytes of their contents; one more than these always comes.
    pub(super) head_rows: i64,
    pub(super) head_bytes: i64,
}

const CURSOR: [&[&str]; 3] =
    [&["c.replica", "c.token", "c.parent", "c.polled", "c.complete", "c.snapshot"], &[], &["c.alias", "c.pages"]];
const TRAFFIC: [&[&str]; 3] = [
    &["t.replica", "t.record", "t.held_under", "t.upload", "t.upload_under"],
    &[],
    &["t.greatest", "t.last", "t.held", "t.tombstone"],
];
/// A change `c` with its replica `p` and its record `r`.
const RECORD: [&[&str]; 3] = [
    &["c.seq", "c.op", "c.stamp_at", "c.public_at", "c.prev", "c.base", "c.origin", "c.verdict", "r.id"],
    &["p.name", "r.collection", "r.name"],
    &["c.written_at", "c.digest"],
];
const CHANGE: [&[&str]; 3] = [
    &["c.seq", "c.op", "c.stamp_at", "c.public_at", "c.prev", "c.base", "c.origin", "c.verdict", "c.record"],
    &["p.name"],
    &["c.written_at", "c.digest"],
];
/// What follows a record `r`: its head, and who wrote that.
const HEAD_OF_RECORD: &str =
    "CROSS JOIN LATERAL (SELECT * FROM changes k WHERE k.space = $1 AND k.seq = r.seq OFFSET 0) c
    LEFT JOIN LATERAL (SELECT * FROM replicas k WHERE k.space = $1 AND k.id = c.replica OFFSET 0) p ON true";
/// What follows a change `c`: who wrote it.
const WRITER_OF_CHANGE: &str =
    "LEFT JOIN LATERAL (SELECT * FROM replicas k WHERE k.space = $1 AND k.id = c.replica OFFSET 0) p ON true";

/// The rows `alias` of `table` that meet `condition`, where they are called `k`: looked up for each row that stands
/// before. Without the offset the plan might go the other way round, through a whole space, when it was made while that
/// was small.
fn each(table: &str, alias: &str, condition: &str) -> String {
    format!("CROSS JOIN LATERAL (SELECT * FROM {table} k WHERE k.space = $1 AND {condition} OFFSET 0) {alias}")
}

/// A statement in the making: a union of parts.
struct Union(Statement);

impl Union {
    fn part(&mut self, kind: Kind, [ints, texts, bytes]: [&[&str]; 3], from: &str) {
        let is_first = kind == Kind::Space;
        self.0.push(if is_first { "" } else { " UNION ALL " });
        self.0.push(&format!("(SELECT {}::int4", kind as i32));
        let mut columns = |given: &[&str], width: usize, none: &str| {
            for place in 0..width {
                let text = given.get(place).copied();
                self.0.push(", ").push(text.unwrap_or(none));
            }
        };
        columns(ints, INTS, "NULL::int8");
        columns(texts, TEXTS, "NULL::text");
        columns(bytes, BYTES, "NULL::bytea");
        self.0.push(" ").push(from).push(")");
    }
}

/// Reads `wants` of `space`: its row, if there is such a space, the present run of PostgreSQL, and what was found.
pub(super) async fn load(
    connection: &mut PgConnection,
    space: SpaceId,
    policy: &dyn Policy,
    wants: &Wants,
    bounds: Bounds,
) -> Result<(Option<SpaceRow>, Run, Vec<Found>), StoreError> {
    let statement = statement(space, wants, bounds)?;
    let mut first = None;
    let rows = statement
        .rows(connection, |row| {
            let kind = usize::try_from(row.get::<i32, _>(0)).ok().and_then(|kind| KINDS.get(kind).copied());
            let row = Read(row);
            let found = row.found(kind.ok_or_else(|| bad("a row's kind"))?, policy)?;
            if let Found::Space(row, run) = &found {
                first = Some((*row, *run));
            }
            Ok(found)
        })
        .await?;
    let (space, run) = first.ok_or_else(|| bad("the run of the database"))?;
    Ok((space, run, rows))
}

fn statement(space: SpaceId, wants: &Wants, bounds: Bounds) -> Result<Statement, StoreError> {
    let mut union = Union(Statement::default());
    union.0.bind(space.get())?;
    let run = Run::COLUMNS;
    union.part(
        Kind::Space,
        [&["head_seq", "head_time", "generation", "version", "last_record", "last_replica", run[0], run[1]], &[], &[]],
        "FROM (SELECT 1) one LEFT JOIN spaces ON id = $1",
    );
    names(&mut union, wants)?;
    records(&mut union, wants)?;
    cursors(&mut union, wants)?;
    log(&mut union, wants, bounds)?;
    heads(&mut union, wants, bounds)?;
    if wants.ages {
        let most = union.0.bind(count(limits::REPLICAS_MAX))?;
        let newest = "(SELECT max(token) FROM cursors c WHERE c.space = $1 AND c.replica = p.id)";
        let from = format!(
            "FROM replicas p WHERE p.space = $1 AND (SELECT count(*) FROM replicas WHERE space = $1) >= {most}"
        );
        union.part(Kind::Age, [&["p.id", newest, "greatest(p.acknowledged, p.given)"], &[], &[]], &from);
    }
    stand(&mut union, wants)?;
    Ok(union.0)
}

/// Whose names are, and what says whether a cursor is good.
fn stand(union: &mut Union, wants: &Wants) -> Result<(), StoreError> {
    if !wants.owners.is_empty() {
        let names: Vec<&str> = wants.owners.iter().map(ReplicaName::as_str).collect();
        let names = union.0.bind(names)?;
        // A space that is gone is nobody's.
        let other = "(o.owner IS NOT NULL AND o.owner <> s.owner)::int::int8";
        let from = format!(
            "FROM spaces s
             CROSS JOIN LATERAL (SELECT * FROM replica_spaces k WHERE k.purpose = s.purpose
                 AND k.name = ANY ({names}) OFFSET 0) b
             LEFT JOIN LATERAL (SELECT k.owner FROM spaces k WHERE k.id = b.space OFFSET 0) o ON true WHERE s.id = $1"
        );
        union.part(Kind::Owner, [&[other], &["b.name"], &[]], &from);
    }
    if wants.line {
        // A generation that wrote nothing here took over where the next one that did found the head.
        let fork = "(SELECT min(f.seq) FROM forks f WHERE f.space = $1 AND f.generation >= g.ordinal)";
        union.part(Kind::Generation, [&["g.ordinal", fork], &[], &["g.id"]], "FROM generations g");
    }
    if !wants.erased.is_empty() {
        let spaces = union.0.bind(wants.erased.iter().map(|space| space.get()).collect::<Vec<_>>())?;
        let from = format!(
            "FROM spaces s CROSS JOIN LATERAL
                 (SELECT k.space, 1::int8 AS is_by_itself FROM erased_spaces k
                      WHERE k.space = ANY ({spaces}) AND k.owner = s.owner
                  UNION ALL SELECT n.space, 0::int8 FROM unnest({spaces}) n (space)
                      WHERE CASE WHEN EXISTS (SELECT FROM spaces o WHERE o.id = n.space) THEN false ELSE EXISTS
                          (SELECT FROM erased_spaces k WHERE k.owner = s.owner GROUP BY k.purpose
                           HAVING count(*) >= {ERASED_KEPT} AND min(k.space) > n.space) END
                  OFFSET 0) e WHERE s.id = $1"
        );
        union.part(Kind::Erased, [&["e.space", "e.is_by_itself"], &[], &[]], &from);
    }
    Ok(())
}

/// What is wanted by the replicas' names.
fn names(union: &mut Union, wants: &Wants) -> Result<(), StoreError> {
    if !wants.replicas.is_empty() {
        let names: Vec<&str> = wants.replicas.iter().map(ReplicaName::as_str).collect();
        let names = union.0.bind(names)?;
        let has_traffic = "EXISTS (SELECT 1 FROM traffic t WHERE t.space = $1 AND t.replica = p.id)::int::int8";
        let from = format!("FROM replicas p WHERE p.space = $1 AND p.name = ANY ({names})");
        union.part(
            Kind::Replica,
            [&["p.id", "p.floor", has_traffic, "p.acknowledged", "p.given"], &["p.name", "p.home"], &[]],
            &from,
        );
        let newest = each("cursors", "c", "k.replica = p.id ORDER BY k.token DESC LIMIT 1");
        let from = format!("FROM replicas p {newest} WHERE p.space = $1 AND p.name = ANY ({names})");
        union.part(Kind::Cursor, CURSOR, &from);
    }
    if !wants.presented.is_empty() {
        let (names, tokens): (Vec<&str>, Vec<i64>) =
            wants.presented.iter().map(|(name, token)| (name.as_str(), *token)).unzip();
        let s = &mut union.0;
        let wanted = Rows::new().column(s, names)?.column(s, tokens)?.from("w(name, token)");
        let replicas = each("replicas", "p", "k.name = w.name");
        let cursors = each("cursors", "c", "k.replica = p.id AND k.token = w.token");
        let from = format!("FROM {wanted} {replicas} {cursors}");
        union.part(Kind::Cursor, CURSOR, &from);
    }
    if !wants.exchanged.is_empty() {
        let mut columns: [Vec<&str>; 3] = Default::default();
        for (replica, key) in &wants.exchanged {
            columns[0].push(replica.as_str());
            columns[1].push(key.collection.as_str());
            columns[2].push(key.name.as_str());
        }
        let [replicas, collections, names] = columns;
        let s = &mut union.0;
        let wanted = Rows::new().column(s, replicas)?.column(s, collections)?.column(s, names)?;
        let from = format!(
            "FROM {} {} {} {}",
            wanted.from("w(replica, collection, name)"),
            each("replicas", "p", "k.name = w.replica"),
            each("records", "r", "k.collection = w.collection AND k.name = w.name"),
            each("traffic", "t", "k.replica = p.id AND k.record = r.id")
        );
        union.part(Kind::Traffic, TRAFFIC, &from);
    }
    Ok(())
}

/// Records, what they refer to and what refers to them, other names, and values that only one may have.
fn records(union: &mut Union, wants: &Wants) -> Result<(), StoreError> {
    if !wants.keys.is_empty() {
        let (collections, names): (Vec<&str>, Vec<&str>) =
            wants.keys.iter().map(|key| (key.collection.as_str(), key.name.as_str())).unzip();
        let s = &mut union.0;
        let wanted = Rows::new().column(s, collections)?.column(s, names)?.from("w(collection, name)");
        let records = each("records", "r", "k.collection = w.collection AND k.name = w.name");
        let of = format!("FROM {wanted} {records}");
        union.part(Kind::Record, RECORD, &format!("{of} {HEAD_OF_RECORD}"));
        let from = format!("{of} {}", each("refs", "f", "k.source = r.id"));
        union.part(Kind::Reference, [&["f.source", "f.target"], &[], &[]], &from);
    }
    if wants.aliases {
        let columns: [&[&str]; 3] = [&["ordinal"], &["collection", "name", "canonical"], &[]];
        union.part(Kind::Alias, columns, "FROM aliases WHERE space = $1");
    }
    if !wants.uniques.is_empty() {
        let (collections, values): (Vec<&str>, Vec<&[u8]>) =
            wants.uniques.iter().map(|(collection, value)| (collection.as_str(), value.as_slice())).unzip();
        let (collections, values) = (union.0.bind(collections)?, union.0.bind(values)?);
        let from = format!(
            "FROM unnest({collections}, {values}) w(collection, value) {} {}",
            each("uniques", "u", "k.collection = w.collection AND k.value = w.value"),
            each("records", "r", "k.id = u.record")
        );
        union.part(Kind::Unique, [&["u.record"], &["u.collection", "r.name"], &["u.value"]], &from);
    }
    if !wants.referrers.is_empty() {
        let targets: Vec<i64> = wants.referrers.iter().map(|record| record.0).collect();
        let targets = union.0.bind(targets)?;
        let of = format!("FROM refs o WHERE o.space = $1 AND o.target = ANY ({targets})");
        union.part(Kind::Referrer, [&["o.target", "o.source"], &[], &[]], &of);
        let sources = format!("FROM (SELECT DISTINCT o.source {of}) o {}", each("records", "r", "k.id = o.source"));
        union.part(Kind::Record, RECORD, &format!("{sources} {HEAD_OF_RECORD}"));
        let from = format!("{sources} {}", each("refs", "f", "k.source = r.id"));
        union.part(Kind::Reference, [&["f.source", "f.target"], &[], &[]], &from);
        let from = format!("{sources} {}", each("changes", "c", "k.seq = r.seq"));
        union.part(Kind::Payload, [&["c.seq", "c.checksum"], &[], &["c.payload"]], &from);
    }
    Ok(())
}

fn cursors(union: &mut Union, wants: &Wants) -> Result<(), StoreError> {
    if !wants.tokens.is_empty() {
        let (replicas, tokens): (Vec<i64>, Vec<i64>) = wants.tokens.iter().map(|(row, token)| (row.0, *token)).unzip();
        let (replicas, tokens) = (union.0.bind(replicas)?, union.0.bind(tokens)?);
        let cursors = each("cursors", "c", "k.replica = w.replica AND k.token = w.token");
        let from = format!("FROM unnest({replicas}, {tokens}) w(replica, token) {cursors}");
        union.part(Kind::Cursor, CURSOR, &from);
    }
    if !wants.cursor_aliases.is_empty() {
        let (replicas, times): (Vec<i64>, Vec<Vec<u8>>) =
            wants.cursor_aliases.iter().map(|(row, time)| (row.0, time.to_bytes().to_vec())).unzip();
        let (replicas, times) = (union.0.bind(replicas)?, union.0.bind(times)?);
        let newest = "k.replica = w.replica AND k.alias = w.alias ORDER BY k.token DESC LIMIT 1";
        let cursors = each("cursors", "c", newest);
        let from = format!("FROM unnest({replicas}, {times}) w(replica, alias) {cursors}");
        union.part(Kind::Cursor, CURSOR, &from);
    }
    if !wants.all_cursors.is_empty() {
        let replicas: Vec<i64> = wants.all_cursors.iter().map(|row| row.0).collect();
        let replicas = union.0.bind(replicas)?;
        let from = format!("FROM cursors c WHERE c.space = $1 AND c.replica = ANY ({replicas})");
        union.part(Kind::Cursor, CURSOR, &from);
    }
    if !wants.traffic.is_empty() {
        let (replicas, records): (Vec<i64>, Vec<i64>) =
            wants.traffic.iter().map(|(replica, record)| (replica.0, record.0)).unzip();
        let (replicas, records) = (union.0.bind(replicas)?, union.0.bind(records)?);
        let traffic = each("traffic", "t", "k.replica = w.replica AND k.record = w.record");
        let from = format!("FROM unnest({replicas}, {records}) w(replica, record) {traffic}");
        union.part(Kind::Traffic, TRAFFIC, &from);
    }
    Ok(())
}

/// Changes and contents, each with what its record was before.
fn log(union: &mut Union, wants: &Wants, bounds: Bounds) -> Result<(), StoreError> {
    let back = |seqs: &str, depth: &str| {
        format!(
            "WITH RECURSIVE back AS (
                 SELECT seq, prev, 1 AS depth FROM changes WHERE space = $1 AND seq = ANY ({seqs})
                 UNION ALL
                 SELECT c.seq, c.prev, back.depth + 1 FROM back {} WHERE back.depth < {depth}
             ) SELECT DISTINCT seq FROM back",
            each("changes", "c", "k.seq = back.prev")
        )
    };
    if !wants.chains.is_empty() {
        let seqs: Vec<i64> = wants.chains.iter().copied().map(crate::columns::int).collect();
        let (seqs, depth) = (union.0.bind(seqs)?, union.0.bind(bounds.chain)?);
        let changes = each("changes", "c", "k.seq = b.seq");
        let from = format!("FROM ({}) b {changes} {WRITER_OF_CHANGE}", back(&seqs, &depth));
        union.part(Kind::Change, CHANGE, &from);
    }
    if !wants.payloads.is_empty() {
        let seqs: Vec<i64> = wants.payloads.iter().copied().map(crate::columns::int).collect();
        let (seqs, depth) = (union.0.bind(seqs)?, union.0.bind(bounds.contents)?);
        let from = format!("FROM ({}) b {}", back(&seqs, &depth), each("changes", "c", "k.seq = b.seq"));
        union.part(Kind::Payload, [&["c.seq", "c.checksum"], &[], &["c.payload"]], &from);
    }
    Ok(())
}

/// Heads with their contents, up to a number and up to a size, and what was exchanged of them with whom they go to.
fn heads(union: &mut Union, wants: &Wants, bounds: Bounds) -> Result<(), StoreError> {
    let readers: Vec<i64> = wants.readers.iter().map(|replica| replica.0).collect();
    for (rank, after) in &wants.heads {
        let (rank, after) = (union.0.bind(small(*rank))?, union.0.bind(crate::columns::int(*after))?);
        let (rows, bytes) = (union.0.bind(bounds.head_rows)?, union.0.bind(bounds.head_bytes)?);
        let some = format!(
            "SELECT r.id, r.collection, r.name, r.seq FROM records r
             WHERE r.space = $1 AND r.rank = {rank} AND r.seq > {after} ORDER BY r.seq LIMIT {rows}"
        );
        let rank = format!("{rank}::int8");
        // The running sum reads the contents' lengths only; they themselves are read where they fit.
        let from = format!(
            "FROM (SELECT h.*, sum(octet_length(s.payload)) OVER (ORDER BY h.seq ROWS UNBOUNDED PRECEDING)
                       - coalesce(octet_length(s.payload), 0) AS before
                   FROM ({some}) h {}) r {} WHERE coalesce(r.before, 0) <= {bytes}",
            each("changes", "s", "k.seq = h.seq"),
            each("changes", "c", "k.seq = r.seq")
        );
        let columns: [&[&str]; 3] = [
            &["c.seq", "c.op", "c.public_at", "c.checksum", "c.prev", "r.id", &rank],
            &["r.collection", "r.name"],
            &["c.digest", "c.payload", "c.written_at"],
        ];
        union.part(Kind::Head, columns, &from);
        let counted = format!("(SELECT count(*) FROM ({some}) h)");
        union.part(Kind::HeadCount, [&[&counted, &rank], &[], &[]], "");
        if !readers.is_empty() {
            let readers = union.0.bind(readers.as_slice())?;
            let traffic = each("traffic", "t", "k.replica = w.replica AND k.record = h.id");
            let from = format!("FROM ({some}) h CROSS JOIN unnest({readers}) w(replica) {traffic}");
            union.part(Kind::Traffic, TRAFFIC, &from);
        }
    }
    Ok(())
}

/// The log's changes after `after`, with all that they hold.
pub(super) async fn changes(
    connection: &mut PgConnection,
    address: SpaceAddress,
    policy: &dyn Policy,
    after: Seq,
    count_max: usize,
) -> Result<Vec<LoggedChange>, StoreError> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    let (after, most) = (statement.bind(crate::columns::int(after))?, statement.bind(count(count_max))?);
    let (ints, texts) = (RECORD[0].join(", "), RECORD[1].join(", "));
    let bytes = format!("{}, c.payload, NULL::bytea", RECORD[2].join(", "));
    statement.push(&format!(
        "SELECT 0, {ints}, {texts}, {bytes}, c.committed_at FROM changes c
         JOIN records r ON r.space = c.space AND r.id = c.record
         LEFT JOIN replicas p ON p.space = c.space AND p.id = c.replica
         WHERE c.space = (SELECT s.id FROM spaces s WHERE {space}) AND c.seq > {after} ORDER BY c.seq LIMIT {most}"
    ));
    statement
        .rows(connection, |row| {
            let row = Read(row);
            let (key, change) = (row.key(1, 2, policy)?, row.change()?);
            let committed_at: i64 = row.0.try_get("committed_at").map_err(failed)?;
            Ok(LoggedChange {
                seq: change.state.seq,
                key,
                prev: change.prev,
                base: change.base,
                op: change.state.op,
                origin: change.origin,
                verdict: change.verdict,
                replica: change.state.stamp.replica,
                written_at: change.state.written_at,
                committed_at: ServerTime::from_micros(committed_at),
                payload: row.bytes(2)?.unwrap_or_default().to_vec(),
            })
        })
        .await
}
