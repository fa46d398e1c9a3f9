//! Tickets in PostgreSQL.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tombolo_core::{CredentialId, ServerTime, UserId, limits};

use super::connection::failed;
use super::people::{lock_users, maybe_time};
use crate::columns::count;
use crate::sign_ins::SWEPT_MAX;
use crate::{SecretHash, StoreError, Ticket};

type Done<T> = Result<T, StoreError>;

/// Keeps a ticket, and makes room for it.
pub(super) async fn keep(
    connection: &mut PgConnection,
    hash: SecretHash,
    ticket: &Ticket,
    now: ServerTime,
    expires_at: ServerTime,
) -> Done<()> {
    // What is bounded for each user is decided one after the other.
    lock_users(connection, &[ticket.user]).await?;
    // What another sweeps or uses is as good as gone, and is not waited for.
    let sql = "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE expires_at <= $1
                   ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
    let delete = sqlx::query(sql).bind(now.micros()).bind(count(SWEPT_MAX));
    delete.execute(&mut *connection).await.map_err(failed)?;
    let sql = "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE user_id = $1
                   ORDER BY expires_at DESC, hash OFFSET $2 FOR UPDATE SKIP LOCKED)";
    let delete = sqlx::query(sql).bind(ticket.user.get()).bind(count(limits::TICKETS_MAX - 1));
    delete.execute(&mut *connection).await.map_err(failed)?;
    let sql = "INSERT INTO tickets (hash, user_id, credential, ends_at, form, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let insert = sqlx::query(sql).bind(hash.0.as_slice()).bind(ticket.user.get());
    let insert = insert.bind(ticket.credential.map(CredentialId::get)).bind(ticket.ends_at.map(ServerTime::micros));
    let insert = insert.bind(ticket.form).bind(expires_at.micros());
    insert.execute(connection).await.map(drop).map_err(failed)
}

/// Uses a ticket up: of those who do so at once, one finds it.
pub(super) async fn take(connection: &mut PgConnection, hash: SecretHash, now: ServerTime) -> Done<Option<Ticket>> {
    let sql = "WITH t AS (DELETE FROM tickets WHERE hash = $1 RETURNING *)
               SELECT t.user_id, t.credential, t.ends_at, t.form FROM t JOIN users u ON u.id = t.user_id
               WHERE t.expires_at > $2 AND coalesce(t.ends_at > $2, true) AND u.disabled_at IS NULL
                   AND (t.credential IS NULL
                       OR EXISTS (SELECT FROM credentials c WHERE c.id = t.credential AND c.user_id = t.user_id))";
    let take = sqlx::query(sql).bind(hash.0.as_slice()).bind(now.micros());
    let Some(row) = take.fetch_optional(connection).await.map_err(failed)? else { return Ok(None) };
    let credential: Option<i64> = row.try_get(1).map_err(failed)?;
    Ok(Some(Ticket {
        user: UserId::new(row.try_get(0).map_err(failed)?),
        credential: credential.map(CredentialId::new),
        ends_at: maybe_time(&row, 2)?,
        form: row.try_get(3).map_err(failed)?,
    }))
}
