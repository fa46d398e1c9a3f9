//! Who has a room open, in SQLite.

use rusqlite::{Connection, params, params_from_iter};
use tombolo_core::{LeaseId, NodeId, ServerTime, SpaceId};

use super::super::accounts::{execute, select};
use super::super::connection::failed;
use super::Done;
use crate::Lease;

/// Takes out a lease, or puts off its end, and says which other nodes have one. Those that have run out are gone.
pub(super) fn take(connection: &Connection, space: SpaceId, lease: Lease, now: ServerTime) -> Done<Vec<NodeId>> {
    drop_run_out(connection, "AND space = ?2", &[now.micros(), space.get()])?;
    let sql = "INSERT INTO room_leases (space, lease, node, until) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET node = excluded.node, until = excluded.until";
    let Lease { id, node, until } = lease;
    execute(connection, sql, params![space.get(), id.get(), node.get(), until.micros()])?;
    nodes(connection, space, Some(node))
}

/// Which nodes have a room open, but for one.
pub(super) fn nodes(connection: &Connection, space: SpaceId, but_for: Option<NodeId>) -> Done<Vec<NodeId>> {
    let sql = "SELECT DISTINCT node FROM room_leases WHERE space = ?1 AND node IS NOT ?2 ORDER BY node";
    let values = params![space.get(), but_for.map(NodeId::get)];
    select(connection, sql, values, |row| row.get(0).map(NodeId::new).map_err(failed))
}

/// Gives a lease back; somebody was in the room until `used_at`.
pub(super) fn give_back(connection: &Connection, space: SpaceId, lease: LeaseId, used_at: ServerTime) -> Done<()> {
    let sql = "DELETE FROM room_leases WHERE space = ?1 AND lease = ?2";
    execute(connection, sql, params![space.get(), lease.get()])?;
    use_room(connection, space, used_at)
}

/// Notes that somebody was in the room until then.
pub(super) fn use_room(connection: &Connection, space: SpaceId, used_at: ServerTime) -> Done<()> {
    let sql = "UPDATE rooms SET used_at = ?2 WHERE space = ?1 AND used_at < ?2";
    execute(connection, sql, params![space.get(), used_at.micros()]).map(drop)
}

/// Forgets all leases that have run out: their servers were killed.
pub(super) fn sweep(connection: &Connection, now: ServerTime) -> Done<()> {
    drop_run_out(connection, "", &[now.micros()])
}

/// Forgets all leases, since the one server that a file has begins anew: whoever has them was killed. Their rooms were in
/// use until now, for all that is known.
pub(in crate::sqlite) fn begin(connection: &Connection, now: ServerTime) -> Done<()> {
    let used = "UPDATE rooms SET used_at = ?1 WHERE used_at < ?1 AND space IN (SELECT space FROM room_leases)";
    execute(connection, used, [now.micros()])?;
    execute(connection, "DELETE FROM room_leases", []).map(drop)
}

/// Forgets leases that had run out by the first of `values`. Their rooms were in use until then: nobody else may say so,
/// and a room must not end because its server was killed.
fn drop_run_out(connection: &Connection, and_what: &str, values: &[i64]) -> Done<()> {
    let used = format!(
        "UPDATE rooms SET used_at = l.until
         FROM (SELECT space, max(until) AS until FROM room_leases WHERE until < ?1 {and_what} GROUP BY space) l
         WHERE rooms.space = l.space AND used_at < l.until"
    );
    execute(connection, &used, params_from_iter(values))?;
    let gone = format!("DELETE FROM room_leases WHERE until < ?1 {and_what}");
    execute(connection, &gone, params_from_iter(values)).map(drop)
}
