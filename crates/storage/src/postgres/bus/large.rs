//! What is too large for a notification: it lies in a table for as long as nodes may still ask for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row as _};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::super::connection::{acquire, failed};
use super::CHANNEL;
use crate::StoreError;

/// How long a payload is kept for nodes that are slow to ask for it.
const KEPT: Duration = Duration::from_secs(60);
/// Bytes that are kept, of all nodes: twice what may wait for the listeners of one. A node that is further behind has
/// no room for them anyway. Above it the oldest go, and who asks for one of those is told of a gap.
const BYTES_MAX: i64 = 128 << 20;
/// Bytes that a node stores before it looks whether there are too many: by so much for each node there may be more.
const CLEAN_EVERY_BYTES: usize = 16 << 20;

/// The large payloads of one node.
#[derive(Default)]
pub(super) struct LargePayloads {
    /// That there is something to clean up, after a while.
    stored: Notify,
    /// Bytes stored since this node last looked whether there are too many.
    stored_bytes: AtomicUsize,
}

/// A payload that a notification named; `None` when it was kept for too long.
pub(super) async fn read(connection: &mut PgConnection, row: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let select = sqlx::query("SELECT payload FROM bus_payloads WHERE id = $1").bind(row);
    let found = select.fetch_optional(connection).await.map_err(failed)?;
    found.map(|row| row.try_get(0).map_err(failed)).transpose()
}

impl LargePayloads {
    /// Stores a payload, and sends the notification `text` with the number of its row.
    pub(super) async fn send(
        &self,
        connection: &mut PgConnection,
        payload: &[u8],
        text: &str,
    ) -> Result<(), StoreError> {
        // One statement: the row is there when the notification is heard.
        let sql = "WITH made AS (INSERT INTO bus_payloads (payload) VALUES ($1) RETURNING id)
             SELECT pg_notify($2, $3 || id::text) FROM made";
        let insert = sqlx::query(sql).bind(payload).bind(CHANNEL).bind(text);
        insert.execute(&mut *connection).await.map_err(failed)?;
        self.stored.notify_one();
        let stored_bytes = self.stored_bytes.fetch_add(payload.len(), Ordering::Relaxed) + payload.len();
        if stored_bytes >= CLEAN_EVERY_BYTES {
            // It is on its way already, whatever becomes of this.
            note(self.clean(connection).await);
        }
        Ok(())
    }

    /// Removes what a node left behind that is gone; and after this one stored something, what got old. Without end.
    pub(super) async fn clean_now_and_then(&self, pool: &PgPool) {
        loop {
            note(async { self.clean(&mut *acquire(pool).await?).await }.await);
            self.stored.notified().await;
            sleep(KEPT).await;
        }
    }

    /// Removes what is old, and the oldest of what is too much. What another node is removing is left to it.
    async fn clean(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let sql = "WITH kept AS MATERIALIZED (
                 SELECT id, sum(octet_length(payload)) OVER (ORDER BY id DESC) AS bytes FROM bus_payloads
             ), old AS MATERIALIZED (
                 SELECT id FROM bus_payloads WHERE at < now() - make_interval(secs => $1)
                     OR id <= (SELECT max(id) FROM kept WHERE bytes > $2)
                 ORDER BY id FOR UPDATE SKIP LOCKED
             )
             DELETE FROM bus_payloads b USING old WHERE b.id = old.id";
        let delete = sqlx::query(sql).bind(KEPT.as_secs_f64()).bind(BYTES_MAX);
        delete.execute(connection).await.map_err(failed)?;
        self.stored_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }
}

fn note(cleaned: Result<(), StoreError>) {
    if let Err(error) = cleaned {
        tracing::debug!(%error, "large frames could not be cleaned up; it is tried again with later ones");
    }
}
