//! Rooms that end, in SQLite.

use rusqlite::{Connection, params};
use tombolo_core::ServerTime;

use super::super::accounts::{execute, select};
use super::super::connection::failed;
use super::super::is_being_moved;
use super::{Done, leases};
use crate::IdleRooms;
use crate::columns::count;

/// What belongs to a room. The space goes last, and its number is never given out again.
const OF_A_ROOM: [&str; 6] = [
    "DELETE FROM rooms WHERE space = ?1",
    "DELETE FROM room_leases WHERE space = ?1",
    "DELETE FROM records WHERE space = ?1",
    "DELETE FROM changes WHERE space = ?1",
    "DELETE FROM forks WHERE space = ?1",
    "DELETE FROM spaces WHERE id = ?1",
];

/// Ends rooms that have been left for long enough, as many as may be in one job, and says how many.
pub(super) fn end(connection: &Connection, idle: IdleRooms) -> Done<usize> {
    leases::sweep(connection, idle.now)?;
    // What a migration copied of a log must stay there until it is done.
    if is_being_moved(connection)? {
        return Ok(0);
    }
    let left = left(connection, idle)?;
    for space in &left {
        for sql in OF_A_ROOM {
            execute(connection, sql, [space])?;
        }
    }
    Ok(left.len())
}

/// The spaces of the rooms that are to end.
fn left(connection: &Connection, idle: IdleRooms) -> Done<Vec<i64>> {
    let micros = |since: Option<ServerTime>| since.map(ServerTime::micros);
    // The first condition is for the index: the rooms that are in use are the many.
    let sql = "SELECT r.space FROM rooms r JOIN spaces s ON s.id = r.space
               WHERE r.used_at <= ?3 AND r.used_at <= iif(s.head_seq = 0, ?1, ?2)
                   AND NOT EXISTS (SELECT 1 FROM room_leases l WHERE l.space = r.space)
               ORDER BY r.used_at, r.space LIMIT ?4";
    let latest = idle.empty_since.max(idle.since);
    let values = params![micros(idle.empty_since), micros(idle.since), micros(latest), count(idle.count_max)];
    select(connection, sql, values, |row| row.get(0).map_err(failed))
}
