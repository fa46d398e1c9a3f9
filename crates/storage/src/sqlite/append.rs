//! Appending in SQLite: one job of the writer for each request.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use tombolo_core::{Digest, Refusal, Seq, ServerTime, SpaceId};

use super::accounts::{execute, is_enabled};
use super::connection::failed;
use super::identities::carry_out;
use super::projects::ruled;
use super::rows::seq;
use super::tail::Tail;
use super::{find_space, open_space};
use crate::columns::{checksum_of, count, int};
use crate::entries::plan::{Known, Placed, Plan, is_outdated, plan};
use crate::ledger::{End, NewChange};
use crate::told::Told;
use crate::{Append, Appended, Guard, NotAppended, SAME_SLACK_BYTES, SpaceAddress, StoreError};

type Done<T> = Result<T, StoreError>;

/// What a request came to.
pub(super) struct Outcome {
    pub(super) answers: Vec<Appended>,
    /// How far the log goes now, if it is longer.
    pub(super) grown: Option<(SpaceAddress, Seq)>,
    /// Whether it changed who gets in.
    is_told: bool,
}

impl Told for Outcome {
    fn is_told(&self) -> bool {
        self.is_told
    }
}

/// Appends what is new. Nothing is left behind of a request that cannot be stored.
pub(super) fn append(connection: &Connection, append: &Append, generation: i64) -> Done<Result<Outcome, NotAppended>> {
    let address = match admitted(connection, append.guard)? {
        Ok(address) => address,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let space = find_space(connection, address)?;
    if let Guard::Rules { ruling, .. } = append.guard
        && is_outdated(ruling, last_ruling(connection, space)?)
    {
        return Ok(Err(NotAppended::Outdated));
    }
    let known = space.map_or_else(|| Ok(HashMap::new()), |space| known(connection, space, append))?;
    let Plan { answers, new, end, clash } = plan(append, &known, end_of(connection, space)?);
    let is_told = match carry_out_all(connection, append, address, &new, clash)? {
        Ok(is_told) => is_told,
        Err(refused) => return Ok(Err(refused)),
    };
    if new.is_empty() {
        return Ok(Ok(Outcome { answers, grown: None, is_told }));
    }
    let space = space.map_or_else(|| open_space(connection, address, append.now), Ok)?;
    write(connection, append, space, &new, generation)?;
    Ok(Ok(Outcome { answers, grown: Some((address, end.seq)), is_told }))
}

/// Where is appended to, if whoever does may.
fn admitted(connection: &Connection, guard: Guard) -> Done<Result<SpaceAddress, Refusal>> {
    match guard {
        Guard::Member { project, user } => {
            Ok(ruled(connection, project, user, Guard::ACT)?.map(|project| project.space()))
        }
        Guard::Rules { space, user, .. } => {
            Ok(is_enabled(connection, user)?.then_some(space).ok_or(Refusal::NotMember))
        }
    }
}

/// The ruling that is in force; zero where there is none.
fn last_ruling(connection: &Connection, space: Option<SpaceId>) -> Done<Seq> {
    let Some(space) = space else { return Ok(Seq::ZERO) };
    let sql = "SELECT seq FROM rulings WHERE space = ?1 ORDER BY seq DESC LIMIT 1";
    let mut select = connection.prepare_cached(sql).map_err(failed)?;
    let last = select.query_row([space.get()], |row| seq(row, 0)).optional().map_err(failed)?;
    Ok(last.unwrap_or(Seq::ZERO))
}

fn end_of(connection: &Connection, space: Option<SpaceId>) -> Done<End> {
    let empty = End { seq: Seq::ZERO, committed_at: ServerTime::from_micros(0) };
    space.map_or(Ok(empty), |space| Tail::new(connection, space, 0).end())
}

/// Which keys of the entries the log holds, each with its place, and with its content where that is compared.
fn known(connection: &Connection, space: SpaceId, append: &Append) -> Done<HashMap<Digest, Known>> {
    let place = "SELECT seq FROM idempotency_keys WHERE space = ?1 AND key = ?2";
    let mut place = connection.prepare_cached(place).map_err(failed)?;
    let mut known = HashMap::new();
    for entry in &append.entries {
        if known.contains_key(&entry.key) {
            continue;
        }
        let found = place.query_row(params![space.get(), entry.key.to_bytes()], |row| seq(row, 0));
        let Some(seq) = found.optional().map_err(failed)? else { continue };
        let bytes_max = entry.payload.len() + SAME_SLACK_BYTES;
        let payload = append.is_same.map_or(Ok(None), |_| payload(connection, space, seq, bytes_max))?;
        known.insert(entry.key, Known { seq, payload });
    }
    Ok(known)
}

/// The content of an entry, unless it is longer.
fn payload(connection: &Connection, space: SpaceId, seq: Seq, bytes_max: usize) -> Done<Option<Vec<u8>>> {
    let sql = "SELECT checksum, CASE WHEN length(payload) <= ?3 THEN payload END FROM changes
               WHERE space = ?1 AND seq = ?2";
    let mut select = connection.prepare_cached(sql).map_err(failed)?;
    let found = select
        .query_row(params![space.get(), int(seq), count(bytes_max)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(failed)?;
    let damaged = |what| StoreError::Corrupt(format!("change {seq} of space {space}: {what}"));
    let (checksum, payload): (u32, Option<Vec<u8>>) = found.ok_or_else(|| damaged("it is missing"))?;
    if payload.as_ref().is_some_and(|payload| checksum != checksum_of(Some(payload))) {
        return Err(damaged("its content is not what was written"));
    }
    Ok(payload)
}

/// Does what the entries do that are new, and says whether it changed who gets in. What was done is undone when one of
/// them cannot be.
fn carry_out_all(
    connection: &Connection,
    append: &Append,
    address: SpaceAddress,
    new: &[Placed<'_>],
    clash: Option<usize>,
) -> Done<Result<bool, NotAppended>> {
    let mut effects = append.effects(new).peekable();
    let clash = clash.map_or(Ok(()), |index| Err(NotAppended::Clash(index)));
    if effects.peek().is_none() {
        return Ok(clash.map(|()| false));
    }
    execute(connection, "SAVEPOINT effects", [])?;
    let mut is_told = false;
    let mut done = clash.map(|()| false);
    for (index, effect) in effects {
        is_told |= effect.is_told();
        if let Err(unfit) = carry_out(connection, address.purpose, effect, append.now)? {
            done = Err(NotAppended::Unfit(index, unfit));
            break;
        }
    }
    if done.is_err() {
        execute(connection, "ROLLBACK TO effects", [])?;
    }
    execute(connection, "RELEASE effects", [])?;
    Ok(done.map(|_| is_told))
}

/// Writes the entries with what finds them again.
fn write(connection: &Connection, append: &Append, space: SpaceId, new: &[Placed<'_>], generation: i64) -> Done<()> {
    let (Guard::Member { user, .. } | Guard::Rules { user, .. }) = append.guard;
    let mut tail = Tail::new(connection, space, generation);
    for placed in new {
        let seq = int(placed.at.seq);
        tail.append(&NewChange::of_entry(placed.entry, placed.at.committed_at), user, placed.at)?;
        let sql = "INSERT INTO idempotency_keys (space, key, seq) VALUES (?1, ?2, ?3)";
        execute(connection, sql, params![space.get(), placed.entry.key.to_bytes(), seq])?;
        if append.is_ruled() {
            let sql = "INSERT INTO timeline (space, millis, seq) VALUES (?1, ?2, ?3)";
            execute(connection, sql, params![space.get(), placed.place().millis, seq])?;
        }
        if append.is_ruled() && append.is_ruling(placed.index) {
            execute(connection, "INSERT INTO rulings (space, seq) VALUES (?1, ?2)", params![space.get(), seq])?;
        }
    }
    tail.finish()
}
