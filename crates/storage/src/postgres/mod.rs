//! The same logs in PostgreSQL, for several nodes at once.
//!
//! A request is decided on what was read of its space in one statement, and what it writes goes in one other, which
//! writes only if the space is still at the version that was decided on; otherwise it is read and decided again. So no
//! lock is held while a node thinks, and none is left behind by a node that is gone. Nodes keep nothing that another
//! needs: `docs/adr/0008` has the reasons.

mod absorb;
mod accounts;
mod append;
mod bus;
mod check;
pub(crate) mod connection;
mod draft;
mod entries;
mod erasure;
mod exchange;
mod found;
mod generation;
mod identities;
mod invitations;
mod job;
mod kept;
mod line;
mod load;
mod loaded;
mod members;
mod pending;
mod people;
mod projects;
mod reader;
mod replicas;
mod rooms;
pub(crate) mod schema;
mod sign_ins;
pub(crate) mod statement;
mod tickets;
mod tries;
mod wants;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{PgConnection, PgPool, Row as _};
use tombolo_core::{Cursor, Env, Fork, Generation, Policy, Purpose, Resume, Seq, ServerTime, SpaceId, UserId};

use crate::columns::seq_of;
use crate::commits::CommitCounter;
use crate::{
    Append, Appended, Bus, CheckReport, CommitCounts, Elsewhere, Exchange, Exchanged, LoggedChange, Logs, NotAppended,
    Progress, Reading, Reply, SpaceAddress, StoreError, Upkeep,
};
use append::Target;
pub use connection::{Url, UrlError};
use connection::{acquire, failed};
use generation::Present;
use job::{Job, Outcome};
use line::Lines;
use statement::Statement;
pub(crate) use wants::unique_key;

/// Spaces whose number is remembered, about 60 bytes each.
const SPACES_MAX: usize = 100_000;

/// Tries to meet the database twice in the same run: another one takes seconds to come up.
const LINE_TRIES_MAX: usize = 3;

/// How a node uses the database.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub url: Url,
    /// Where notifications are listened for, when `url` leads through something that passes none on.
    pub listen_url: Option<Url>,
    /// Connections that this node opens at most, besides the one for notifications.
    pub connections_max: u32,
}

impl Options {
    /// Connections of a node, unless it is said otherwise. More than a database server has processors only wait there
    /// for each other; a server allows 100 in all by default.
    pub const CONNECTIONS: u32 = 16;

    /// The usual ones.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self { url, listen_url: None, connections_max: Self::CONNECTIONS }
    }
}

/// A store in a PostgreSQL database, which other nodes may use at the same time.
pub struct Postgres {
    pool: PgPool,
    env: Arc<dyn Env>,
    /// The generation of the run of the database that was last met.
    present: Mutex<Option<Present>>,
    spaces: Mutex<HashMap<SpaceAddress, SpaceId>>,
    lines: Lines<SpaceId, Job, Outcome>,
    /// Who appends to a log next.
    appending: Lines<Target, Append, Result<Vec<Appended>, NotAppended>>,
    kept: kept::Keeper,
    commits: CommitCounter,
    bus: bus::PostgresBus,
    /// Calls so far: a node that serves nobody need not ask whether credentials changed.
    calls: AtomicU64,
    looked: Mutex<bus::Looked>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Postgres {
    /// Connects to the database and brings its schema up to this version.
    ///
    /// To be called within a tokio runtime, which has to outlive the store.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version wrote it; [`StoreError::Unreachable`] when it cannot be reached;
    /// [`StoreError::Unfinished`] when a migration into it did not end.
    pub async fn open(options: Options, env: Arc<dyn Env>) -> Result<Self, StoreError> {
        let pool = connection::pool(&options.url, options.connections_max);
        let mut connection = acquire(&pool).await?;
        schema::migrate(&mut connection).await?;
        refuse_unfinished(&mut connection).await?;
        drop(connection);
        let mut node = [0; 8];
        env.fill_random(&mut node);
        let bus =
            bus::PostgresBus::new(pool.clone(), options.listen_url.unwrap_or(options.url), u64::from_be_bytes(node));
        Ok(Self {
            pool,
            env,
            present: Mutex::default(),
            spaces: Mutex::default(),
            lines: Lines::default(),
            appending: Lines::default(),
            kept: kept::Keeper::default(),
            commits: CommitCounter::default(),
            bus,
            calls: AtomicU64::new(0),
            looked: Mutex::default(),
        })
    }

    /// The generation of this run of the database.
    async fn present(&self, connection: &mut PgConnection) -> Result<Present, StoreError> {
        if let Some(present) = *lock(&self.present) {
            return Ok(present);
        }
        let present = generation::present(connection, &*self.env).await?;
        *lock(&self.present) = Some(present);
        Ok(present)
    }

    /// Forgets what was known of the database: it is another run of it, or another one.
    fn forget(&self) {
        tracing::warn!("the database was restarted or replaced: what was remembered of it is read again");
        *lock(&self.present) = None;
        lock(&self.spaces).clear();
        self.kept.forget_all();
        lock(&self.looked).is_replaced = true;
    }

    fn note_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn known_space(&self, address: SpaceAddress) -> Option<SpaceId> {
        lock(&self.spaces).get(&address).copied()
    }

    /// Forgets what was known of a space that is gone.
    fn forget_space(&self, gone: SpaceId) {
        lock(&self.spaces).retain(|_, space| *space != gone);
        self.kept.forget(gone);
    }

    /// The number of a space, which is made when it is missing and `is_to_be` says when; not for a user who is deleted:
    /// that is [`StoreError::NoSuchUser`].
    async fn space(
        &self,
        connection: &mut PgConnection,
        address: SpaceAddress,
        is_to_be: Option<ServerTime>,
    ) -> Result<Option<SpaceId>, StoreError> {
        if let Some(space) = self.known_space(address) {
            return Ok(Some(space));
        }
        let mut found = find_space(connection, address).await?;
        if let (None, Some(now)) = (found, is_to_be) {
            // Nothing begins of one who was deleted: whoever has still a key of his in hand is let in no more. Whoever
            // deletes him is waited for.
            let sql = "INSERT INTO spaces (owner, purpose, number, created_at)
                       SELECT id, $2, $3, $4 FROM users WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE
                       ON CONFLICT DO NOTHING";
            let insert = sqlx::query(sql).bind(address.owner.get()).bind(address.purpose.as_str());
            let insert = insert.bind(address.number.get()).bind(now.micros());
            insert.execute(&mut *connection).await.map_err(failed)?;
            found = find_space(connection, address).await?;
            if found.is_none() && is_deleted(connection, address.owner).await? {
                return Err(StoreError::NoSuchUser);
            }
        }
        // That of a room goes with it.
        if let Some(space) = found.filter(|_| address.purpose != Purpose::Rooms) {
            let mut spaces = lock(&self.spaces);
            if spaces.len() >= SPACES_MAX {
                spaces.clear();
            }
            spaces.insert(address, space);
        }
        Ok(found)
    }

    /// The present generation, those that led to a space's log, and where that ends.
    async fn line(&self, address: SpaceAddress) -> Result<(Generation, Vec<Fork>, Seq), StoreError> {
        let mut connection = acquire(&self.pool).await?;
        for _ in 0..LINE_TRIES_MAX {
            let present = self.present(&mut connection).await?;
            // Another node may have erased the one that is remembered, and made another.
            let space = find_space(&mut connection, address).await?;
            let (line, head, run) = generation::line(&mut connection, space).await?;
            if run == Some(present.run) {
                return Ok((present.id, line, head));
            }
            self.forget();
        }
        Err(StoreError::Busy)
    }

    async fn logged(
        &self,
        address: SpaceAddress,
        policy: Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Result<Vec<LoggedChange>, StoreError> {
        load::changes(&mut *acquire(&self.pool).await?, address, &*policy, after, count_max).await
    }
}

/// Whether the user was deleted.
async fn is_deleted(connection: &mut PgConnection, user: UserId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM users WHERE id = $1 AND deleted_at IS NOT NULL)";
    let row = sqlx::query(sql).bind(user.get()).fetch_one(connection).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}

/// Refuses a database of which a part is still in the file that it comes from.
async fn refuse_unfinished(connection: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM facts WHERE name = 'migration' AND value LIKE 'copying %')";
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(failed)?;
    if row.try_get(0).map_err(failed)? { Err(StoreError::Unfinished) } else { Ok(()) }
}

/// What is said of a space `s` to find it by its address, in the statement that reads it: no number of a space is
/// believed that was read before, since the database may be another one by now.
fn at(statement: &mut Statement, address: SpaceAddress) -> Result<String, StoreError> {
    let (owner, purpose) = (statement.bind(address.owner.get())?, statement.bind(address.purpose.as_str())?);
    let number = statement.bind(address.number.get())?;
    Ok(format!("s.owner = {owner} AND s.purpose = {purpose} AND s.number = {number}"))
}

async fn find_space(connection: &mut PgConnection, address: SpaceAddress) -> Result<Option<SpaceId>, StoreError> {
    let mut statement = Statement::default();
    let space = at(&mut statement, address)?;
    statement.push(&format!("SELECT id FROM spaces s WHERE {space}"));
    let found = statement.rows(connection, |row| row.try_get(0).map(SpaceId::new).map_err(failed)).await?;
    Ok(found.first().copied())
}

impl Logs for Postgres {
    fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged> {
        self.note_call();
        Box::pin(self.run(request))
    }

    fn changes<'a>(
        &'a self,
        address: SpaceAddress,
        policy: &'a Arc<dyn Policy>,
        after: Seq,
        count_max: usize,
    ) -> Reply<'a, Vec<LoggedChange>> {
        Box::pin(self.logged(address, Arc::clone(policy), after, count_max))
    }

    fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>> {
        Box::pin(async move {
            let sql = "SELECT coalesce(s.head_seq, 0) FROM unnest($1::int8[], $2::text[], $3::int8[]) WITH ORDINALITY
                           w(owner, purpose, number, place)
                       LEFT JOIN spaces s ON s.owner = w.owner AND s.purpose = w.purpose AND s.number = w.number
                       ORDER BY w.place";
            let owners: Vec<i64> = spaces.iter().map(|space| space.owner.get()).collect();
            let purposes: Vec<&str> = spaces.iter().map(|space| space.purpose.as_str()).collect();
            let numbers: Vec<i64> = spaces.iter().map(|space| space.number.get()).collect();
            let select = sqlx::query(sql).bind(owners).bind(purposes).bind(numbers);
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            let read = |row: &sqlx::postgres::PgRow| {
                let head: i64 = row.try_get(0).map_err(failed)?;
                seq_of(head).ok_or_else(|| StoreError::Corrupt("a space's head is negative".to_owned()))
            };
            rows.iter().map(read).collect()
        })
    }

    fn head(&self, address: SpaceAddress) -> Reply<'_, Cursor> {
        Box::pin(async move {
            let (generation, _, seq) = self.line(address).await?;
            Ok(Cursor { generation, seq })
        })
    }

    fn resume(&self, address: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume> {
        Box::pin(async move {
            let (_, line, head) = self.line(address).await?;
            Ok(tombolo_core::resume(cursor, &line, head))
        })
    }
}

impl Upkeep for Postgres {
    fn ready(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            let mut connection = acquire(&self.pool).await?;
            let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";
            let row = sqlx::query(sql).fetch_one(&mut *connection).await.map_err(failed)?;
            match row.try_get(0).map_err(failed)? {
                false => Ok(()),
                true => Err(StoreError::Unreachable("the database takes no writes: it is a standby".into())),
            }
        })
    }

    fn commits(&self) -> CommitCounts {
        self.commits.read(self.lines.waiting() + self.appending.waiting())
    }

    fn changed_elsewhere(&self) -> Reply<'_, Elsewhere> {
        Box::pin(self.look())
    }

    fn bus(&self) -> &dyn Bus {
        self.bus()
    }

    fn tend(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            self.bus.tend().await;
            Ok(())
        })
    }

    fn check(&self, readings: Vec<Reading>, progress: Progress) -> Reply<'_, CheckReport> {
        Box::pin(async move { check::check(&mut *acquire(&self.pool).await?, &readings, progress).await })
    }

    fn close(&self) -> Reply<'_, ()> {
        Box::pin(async move {
            self.pool.close().await;
            Ok(())
        })
    }
}
