//! Rooms that end.

use sqlx::postgres::PgConnection;
use tombolo_core::ServerTime;

use super::super::Postgres;
use super::super::statement::Statement;
use super::{Done, int, leases};
use crate::columns::count;
use crate::rooms::ENDED_AT_ONCE;
use crate::{IdleRooms, StoreError};

/// The tables that have rows of a room, by its space. The space itself is the last.
const TABLES: [&str; 5] = ["room_leases", "rooms", "records", "changes", "forks"];

impl Postgres {
    pub(super) async fn end_idle_rooms(&self, idle: IdleRooms) -> Result<u64, StoreError> {
        let left = self.change_rooms(async move |connection| {
            leases::sweep(connection, None, idle.now).await?;
            left(connection, idle).await
        });
        let mut ended = 0;
        for portion in left.await?.chunks(ENDED_AT_ONCE) {
            let portion = portion.to_vec();
            ended += self.change_rooms(async move |connection| end(connection, &portion, idle).await).await?;
        }
        Ok(ended)
    }
}

/// Whether a room `r` with its space `s` has been left for long enough, and nobody has it open.
fn is_left(statement: &mut Statement, idle: IdleRooms) -> Done<String> {
    let empty = statement.bind(idle.empty_since.map(ServerTime::micros))?;
    let since = statement.bind(idle.since.map(ServerTime::micros))?;
    // One that has run out, and was not swept away yet, has not been added to the room's use.
    Ok(format!(
        "r.used_at <= greatest({empty}, {since})
         AND r.used_at <= CASE WHEN s.head_seq = 0 THEN {empty} ELSE {since} END
         AND NOT EXISTS (SELECT FROM room_leases l WHERE l.space = r.space)"
    ))
}

/// The spaces of rooms that have been left, those for longest first. It may be otherwise when they are looked at again.
async fn left(connection: &mut PgConnection, idle: IdleRooms) -> Done<Vec<i64>> {
    let mut statement = Statement::default();
    let is_left = is_left(&mut statement, idle)?;
    let most = statement.bind(count(idle.count_max))?;
    statement.push(&format!(
        "SELECT r.space FROM rooms r JOIN spaces s ON s.id = r.space WHERE {is_left}
         ORDER BY r.used_at, r.space LIMIT {most}"
    ));
    statement.rows(connection, |row| int(&row, 0)).await
}

/// Ends those of a few rooms that nobody holds and that still are left. Says how many.
async fn end(connection: &mut PgConnection, spaces: &[i64], idle: IdleRooms) -> Done<u64> {
    // Whoever holds one writes to it or opens it. What he wrote is seen by the next statement only.
    let mut statement = Statement::default();
    let wanted = statement.bind(spaces.to_vec())?;
    statement.push(&format!(
        "SELECT s.id FROM spaces s JOIN rooms r ON r.space = s.id WHERE s.id = ANY ({wanted})
         ORDER BY s.id FOR UPDATE OF s, r SKIP LOCKED"
    ));
    let locked = statement.rows(connection, |row| int(&row, 0)).await?;
    let mut statement = Statement::default();
    let (locked, is_left) = (statement.bind(locked)?, is_left(&mut statement, idle)?);
    statement.push(&format!(
        "SELECT r.space FROM rooms r JOIN spaces s ON s.id = r.space WHERE r.space = ANY ({locked}) AND {is_left}"
    ));
    let ending = statement.rows(connection, |row| int(&row, 0)).await?;
    if ending.is_empty() {
        return Ok(0);
    }
    let mut statement = Statement::default();
    let spaces = statement.bind(ending)?;
    for (n, table) in TABLES.into_iter().enumerate() {
        let with = if n == 0 { "WITH" } else { "," };
        statement.push(&format!("{with} w{n} AS (DELETE FROM {table} WHERE space = ANY ({spaces}))"));
    }
    statement.push(&format!(" DELETE FROM spaces WHERE id = ANY ({spaces})"));
    statement.execute(connection).await
}
