//! Which nodes have a room open.
//!
//! Rows of several rooms are locked in the order of their spaces.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tombolo_core::{LeaseId, NodeId, RoomCode, ServerTime, SpaceId, UserId};

use super::super::connection::failed;
use super::super::statement::{Rows, Statement};
use super::{Done, documents, find, int};
use crate::columns::count;
use crate::{Lease, OpenedRoom, SpaceAddress};

/// Keeps a room from being ended until the transaction is, and nobody from anything else.
const STAYS: &str = "FOR KEY SHARE OF r";
/// The same for who writes to the room's row.
const WRITES: &str = "FOR NO KEY UPDATE OF r";

/// The nodes that have a room open, each once. What has run out is among them until it is swept away.
pub(super) async fn nodes(connection: &mut PgConnection, space: SpaceId) -> Done<Vec<NodeId>> {
    let select = sqlx::query("SELECT DISTINCT node FROM room_leases WHERE space = $1 ORDER BY node").bind(space.get());
    let rows = select.fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(|row| Ok(NodeId::new(int(row, 0)?))).collect()
}

pub(super) async fn open(
    connection: &mut PgConnection,
    owner: UserId,
    code: &RoomCode,
    lease: Lease,
    now: ServerTime,
) -> Done<Option<OpenedRoom>> {
    let Some((space, room)) = find(connection, owner, code, STAYS).await? else { return Ok(None) };
    put(connection, &[(space.get(), lease)]).await?;
    sweep(connection, Some(&[space.get()]), now).await?;
    let mut others = in_force(connection, &[space.get()], now).await?;
    let others = others.remove(&space.get()).unwrap_or_default();
    let others = others.into_iter().filter(|node| *node != lease.node).collect();
    let document = documents::read(connection, room.space(), None).await?;
    Ok(Some(OpenedRoom { room, document, others }))
}

pub(super) async fn renew(
    connection: &mut PgConnection,
    leases: &[(SpaceAddress, Lease)],
    now: ServerTime,
) -> Done<Vec<Option<Vec<NodeId>>>> {
    let addresses: Vec<SpaceAddress> = leases.iter().map(|(address, _)| *address).collect();
    let spaces = lock(connection, &addresses, WRITES).await?;
    let mut renewed: Vec<(i64, Lease)> =
        spaces.iter().zip(leases).filter_map(|(space, (_, lease))| Some(((*space)?, *lease))).collect();
    // One statement must not meet a row twice.
    renewed.sort_by_key(|(space, lease)| (*space, lease.id.get()));
    renewed.dedup_by_key(|(space, lease)| (*space, lease.id.get()));
    put(connection, &renewed).await?;
    let there: Vec<i64> = renewed.iter().map(|(space, _)| *space).collect::<BTreeSet<_>>().into_iter().collect();
    let sql = "UPDATE rooms SET used_at = $2 WHERE space = ANY ($1) AND used_at < $2";
    let update = sqlx::query(sql).bind(there.clone()).bind(now.micros());
    update.execute(&mut *connection).await.map_err(failed)?;
    sweep(connection, Some(&there), now).await?;
    let nodes = in_force(connection, &there, now).await?;
    let others = |space: i64, own: NodeId| {
        nodes.get(&space).into_iter().flatten().copied().filter(|node| *node != own).collect()
    };
    Ok(spaces.iter().zip(leases).map(|(space, (_, lease))| space.map(|space| others(space, lease.node))).collect())
}

pub(super) async fn close(connection: &mut PgConnection, closed: &[(SpaceAddress, LeaseId, ServerTime)]) -> Done<()> {
    let addresses: Vec<SpaceAddress> = closed.iter().map(|(address, ..)| *address).collect();
    let spaces = lock(connection, &addresses, WRITES).await?;
    let mut given_back: Vec<(i64, i64)> = Vec::new();
    let mut used_at: BTreeMap<i64, i64> = BTreeMap::new();
    for (space, (_, lease, at)) in spaces.into_iter().zip(closed) {
        let Some(space) = space else { continue };
        given_back.push((space, lease.get()));
        let latest = used_at.entry(space).or_insert(at.micros());
        *latest = at.micros().max(*latest);
    }
    if given_back.is_empty() {
        return Ok(());
    }
    let mut statement = Statement::default();
    let used = Rows::new()
        .column(&mut statement, used_at.keys().copied().collect::<Vec<_>>())?
        .column(&mut statement, used_at.values().copied().collect::<Vec<_>>())?
        .from("n(space, at)");
    let leases = Rows::new()
        .column(&mut statement, given_back.iter().map(|(space, _)| *space).collect::<Vec<_>>())?
        .column(&mut statement, given_back.iter().map(|(_, lease)| *lease).collect::<Vec<_>>())?
        .from("n(space, lease)");
    statement.push(&format!(
        "WITH u AS (UPDATE rooms r SET used_at = n.at FROM {used} WHERE r.space = n.space AND r.used_at < n.at)
         DELETE FROM room_leases l USING {leases} WHERE l.space = n.space AND l.lease = n.lease"
    ));
    statement.execute(connection).await.map(drop)
}

/// Locks rooms as `strength` says; answers with their spaces, in the order of `addresses`, where there is a room.
async fn lock(connection: &mut PgConnection, addresses: &[SpaceAddress], strength: &str) -> Done<Vec<Option<i64>>> {
    let mut spaces = vec![None; addresses.len()];
    if addresses.is_empty() {
        return Ok(spaces);
    }
    let mut statement = Statement::default();
    let wanted = Rows::new()
        .column(&mut statement, (0..addresses.len()).map(count).collect::<Vec<_>>())?
        .column(&mut statement, addresses.iter().map(|address| address.owner.get()).collect::<Vec<_>>())?
        .column(&mut statement, addresses.iter().map(|address| address.purpose.as_str()).collect::<Vec<_>>())?
        .column(&mut statement, addresses.iter().map(|address| address.number.get()).collect::<Vec<_>>())?
        .from("n(place, owner, purpose, number)");
    statement.push(&format!(
        "SELECT n.place, r.space FROM {wanted}
         CROSS JOIN LATERAL (SELECT k.id FROM spaces k
             WHERE k.owner = n.owner AND k.purpose = n.purpose AND k.number = n.number OFFSET 0) s
         JOIN rooms r ON r.space = s.id ORDER BY r.space {strength}"
    ));
    for (place, space) in statement.rows(connection, |row| Ok((int(&row, 0)?, int(&row, 1)?))).await? {
        let place = usize::try_from(place).ok().and_then(|place| spaces.get_mut(place));
        *place.expect("places are those that were asked for") = Some(space);
    }
    Ok(spaces)
}

/// Writes leases of rooms that are locked, in the order of their keys.
async fn put(connection: &mut PgConnection, leases: &[(i64, Lease)]) -> Done<()> {
    if leases.is_empty() {
        return Ok(());
    }
    let mut statement = Statement::default();
    let rows = Rows::new()
        .column(&mut statement, leases.iter().map(|(space, _)| *space).collect::<Vec<_>>())?
        .column(&mut statement, leases.iter().map(|(_, lease)| lease.id.get()).collect::<Vec<_>>())?
        .column(&mut statement, leases.iter().map(|(_, lease)| lease.node.get()).collect::<Vec<_>>())?
        .column(&mut statement, leases.iter().map(|(_, lease)| lease.until.micros()).collect::<Vec<_>>())?
        .from("n");
    statement.push(&format!(
        "INSERT INTO room_leases (space, lease, node, until) SELECT n.* FROM {rows}
         ON CONFLICT (space, lease) DO UPDATE SET node = excluded.node, until = excluded.until"
    ));
    statement.execute(connection).await.map(drop)
}

/// Removes what has run out, of these rooms or of all: they were in use until then. What somebody puts off just now
/// stays. Whoever removes or puts off leases holds the room first, and here nobody waits.
pub(super) async fn sweep(connection: &mut PgConnection, spaces: Option<&[i64]>, now: ServerTime) -> Done<()> {
    let mut statement = Statement::default();
    let now = statement.bind(now.micros())?;
    let of_spaces = match spaces {
        Some(spaces) => format!("AND l.space = ANY ({})", statement.bind(spaces.to_vec())?),
        None => String::new(),
    };
    statement.push(&format!(
        "WITH r AS MATERIALIZED (SELECT r.space FROM rooms r
             WHERE r.space IN (SELECT l.space FROM room_leases l WHERE l.until < {now} {of_spaces})
             FOR NO KEY UPDATE SKIP LOCKED),
         old AS MATERIALIZED (SELECT l.space, l.lease, l.until FROM room_leases l JOIN r ON r.space = l.space
             WHERE l.until < {now} FOR UPDATE OF l SKIP LOCKED),
         u AS (UPDATE rooms r SET used_at = o.until
             FROM (SELECT space, max(until) AS until FROM old GROUP BY space) o
             WHERE r.space = o.space AND r.used_at < o.until)
         DELETE FROM room_leases l USING old WHERE l.space = old.space AND l.lease = old.lease"
    ));
    statement.execute(connection).await.map(drop)
}

/// The nodes that have rooms open, of each room once, without those whose lease has run out.
async fn in_force(connection: &mut PgConnection, spaces: &[i64], now: ServerTime) -> Done<BTreeMap<i64, Vec<NodeId>>> {
    let sql =
        "SELECT DISTINCT space, node FROM room_leases WHERE space = ANY ($1) AND until >= $2 ORDER BY space, node";
    let select = sqlx::query(sql).bind(spaces.to_vec()).bind(now.micros());
    let mut nodes: BTreeMap<i64, Vec<NodeId>> = BTreeMap::new();
    for row in select.fetch_all(connection).await.map_err(failed)? {
        nodes.entry(int(&row, 0)?).or_default().push(NodeId::new(row.try_get(1).map_err(failed)?));
    }
    Ok(nodes)
}
