//! What a group of requests writes to its log, in one statement.

use sqlx::postgres::PgConnection;
use tombolo_core::{Instant, Op, Origin, UserId, Verdict};

use super::super::connection::WAIT_FOR_DISK;
use super::super::statement::{Rows, Statement};
use super::locked::Locked;
use crate::StoreError;
use crate::columns::{checksum_of, int, op_code, origin_code, verdict_code, whole_millis};
use crate::entries::plan::Placed;
use crate::ledger::{End, NO_RECORD, NewChange};

/// An entry with its place, and who appends it.
pub(super) struct New<'e> {
    pub(super) placed: Placed<'e>,
    pub(super) actor: UserId,
    /// Whether the log is read in the order of writing.
    pub(super) is_timed: bool,
    /// Whether it changes the log's rules.
    pub(super) is_ruling: bool,
}

/// Writes the entries and their keys, their places in the order of writing and the rulings among them, and the log's
/// new end. The commit then waits for the disk, whatever the database was told.
pub(super) async fn write(
    connection: &mut PgConnection,
    locked: &Locked,
    generation: i64,
    new: &[New<'_>],
    end: End,
) -> Result<(), StoreError> {
    let mut statement = Statement::default();
    let s = &mut statement;
    let (space, before) = (s.bind(locked.space.get())?, s.bind(int(locked.end.seq))?);
    let (head, time, present) = (s.bind(int(end.seq))?, s.bind(end.committed_at.micros())?, s.bind(generation)?);
    // What nodes keep of a space they refuse to believe at another version.
    s.push(&format!(
        "WITH g AS (UPDATE spaces SET head_seq = {head}, head_time = {time}, generation = {present},
             version = version + 1 WHERE id = {space} AND head_seq = {before} RETURNING {WAIT_FOR_DISK})"
    ));
    if locked.generation != generation {
        s.push(&format!(
            ", f AS (INSERT INTO forks (space, generation, seq) SELECT {space}, {present}, {before} FROM g
                 ON CONFLICT DO NOTHING)"
        ));
    }
    let changes = changes(s, new)?;
    let keys = Rows::new()
        .column(s, new.iter().map(|one| int(one.placed.at.seq)).collect::<Vec<_>>())?
        .column(s, new.iter().map(|one| one.placed.entry.key.to_bytes().to_vec()).collect::<Vec<_>>())?
        .from("n");
    let (record, op) = (NO_RECORD.0, op_code(Op::Put));
    let (origin, verdict) = (origin_code(Origin::Replica), verdict_code(Verdict::Applied));
    timeline(s, &space, new)?;
    rulings(s, &space, new)?;
    s.push(&format!(
        ", c AS (INSERT INTO changes (space, record, op, origin, verdict, seq, committed_at, written_at, stamp_at,
                 public_at, actor, digest, checksum, payload)
             SELECT {space}, {record}, {op}, {origin}, {verdict}, n.* FROM g, {changes}),
         k AS (INSERT INTO idempotency_keys (space, seq, key) SELECT {space}, n.* FROM g, {keys})
         SELECT 1 FROM g"
    ));
    let written = statement.rows(connection, |_| Ok(())).await?;
    if written.is_empty() {
        return Err(StoreError::Internal("a locked space was changed".to_owned()));
    }
    Ok(())
}

/// What differs between the entries, a column each.
fn changes(s: &mut Statement, new: &[New<'_>]) -> Result<String, StoreError> {
    let rows: Vec<(NewChange<'_>, &New<'_>)> =
        new.iter().map(|one| (NewChange::of_entry(one.placed.entry, one.placed.at.committed_at), one)).collect();
    let bytes = |instant: Instant| instant.to_bytes().to_vec();
    let stamps: Result<Vec<i64>, _> = rows.iter().map(|(change, _)| i64::try_from(change.stamp_at.nanos())).collect();
    let stamps = stamps.map_err(|_| StoreError::Internal("a stamp is beyond 2262".to_owned()))?;
    Ok(Rows::new()
        .column(s, rows.iter().map(|(_, one)| int(one.placed.at.seq)).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(_, one)| one.placed.at.committed_at.micros()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| bytes(change.written_at)).collect::<Vec<_>>())?
        .column(s, stamps)?
        .column(s, rows.iter().map(|(change, _)| whole_millis(change.public_at)).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(_, one)| one.actor.get()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| change.digest.to_bytes().to_vec()).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| i64::from(checksum_of(change.payload))).collect::<Vec<_>>())?
        .column(s, rows.iter().map(|(change, _)| change.payload).collect::<Vec<_>>())?
        .from("n"))
}

/// Adds the places in the order of writing.
fn timeline(s: &mut Statement, space: &str, new: &[New<'_>]) -> Result<(), StoreError> {
    let timed: Vec<&New<'_>> = new.iter().filter(|one| one.is_timed).collect();
    if timed.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .column(s, timed.iter().map(|one| one.placed.place().millis).collect::<Vec<_>>())?
        .column(s, timed.iter().map(|one| int(one.placed.at.seq)).collect::<Vec<_>>())?
        .from("n");
    s.push(&format!(", t AS (INSERT INTO timeline (space, millis, seq) SELECT {space}, n.* FROM g, {rows})"));
    Ok(())
}

/// Adds the entries that change the rules.
fn rulings(s: &mut Statement, space: &str, new: &[New<'_>]) -> Result<(), StoreError> {
    let rulings: Vec<i64> = new.iter().filter(|one| one.is_ruling).map(|one| int(one.placed.at.seq)).collect();
    if rulings.is_empty() {
        return Ok(());
    }
    let rows = Rows::new().column(s, rulings)?.from("n");
    s.push(&format!(", r AS (INSERT INTO rulings (space, seq) SELECT {space}, n.* FROM g, {rows})"));
    Ok(())
}
