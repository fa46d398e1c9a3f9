//! What the file still holds of what was erased, and how it goes.
//!
//! With `secure_delete`, SQLite overwrites what it deletes. But whenever it splits or joins pages it copies rows, and the
//! unused middle of the page that they came from keeps them as they were, until something else happens to be written
//! there. And the write-ahead log has whole pages as they were at each commit. So, after an erasure, the file is written
//! anew (`VACUUM`), which copies what is there and nothing else, and the log is emptied.
//!
//! That this is still to be done is noted in the transaction that erases: whatever ends the process, the next one that
//! asks finds it.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use tombolo_core::{Env, ServerTime};

use super::accounts::execute;
use super::connection::{BUSY_TIMEOUT, failed};
use crate::StoreError;

type Done<T> = Result<T, StoreError>;

/// The largest file that is written anew while others wait to write: ten seconds on a slow disk. For as long, there are
/// two more of it, one in the folder for temporary files and one as its log.
const VACUUM_BYTES_MAX: u64 = 1 << 30;

/// How long nobody waits for what single records left: the largest file then takes a thousandth of the time.
const SWEEP_AFTER: Duration = Duration::from_secs(3 * 60 * 60);

/// How long after the file was written anew an erasure does not have it written anew again, but is answered, and leaves
/// that to the writing thread: whoever has a key may erase as often as he likes, and everybody else waits each time. The
/// largest file then takes a sixtieth of the time.
const REWRITE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The largest file that is written anew whenever something was erased: a fraction of a second.
const QUICK_BYTES_MAX: u64 = 16 << 20;

/// Tries to empty the log for one who erases, and how long each waits for reads, which take less, and for what else folds
/// it in. Others write between the tries.
pub(super) const TRUNCATE_TRIES_MAX: usize = 50;
const TRUNCATE_WAIT: Duration = Duration::from_millis(50);

/// How soon it is tried again to empty the log when reads held it up and nobody waits.
const TRUNCATE_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Notes that something was erased: to be called in the transaction that erases.
pub(super) fn note(connection: &Connection) -> Done<()> {
    let sql = "INSERT INTO sweeping (id, erased, swept) VALUES (1, 1, 0) ON CONFLICT DO UPDATE SET erased = erased + 1";
    execute(connection, sql, []).map(drop)
}

/// How often something was erased by now, if the file was not swept since; `None` when it is clean.
fn due(connection: &Connection) -> Done<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT erased FROM sweeping WHERE erased > swept").map_err(failed)?;
    statement.query_row([], |row| row.get(0)).optional().map_err(failed)
}

/// Tries once to fold the log into the file and to empty it. `false` when reads, or another who folds it in, held it up.
fn truncate(connection: &Connection) -> Done<bool> {
    connection.busy_timeout(TRUNCATE_WAIT).map_err(failed)?;
    let emptied = try_truncate(connection);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    emptied
}

/// Empties the log unless somebody holds that up.
fn truncate_at_once(connection: &Connection) -> bool {
    let wait = |time| connection.busy_timeout(time).map_err(failed);
    let emptied = wait(Duration::ZERO).and_then(|()| try_truncate(connection));
    let restored = wait(BUSY_TIMEOUT);
    emptied.and_then(|is_emptied| restored.map(|()| is_emptied)).unwrap_or(false)
}

/// `false` when somebody reads what the log has, or folds it in.
fn try_truncate(connection: &Connection) -> Done<bool> {
    let is_done = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0).map(|blocked| blocked == 0);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_done).map_err(failed)
}

/// The length of the file, once its log is folded in.
fn bytes(connection: &Connection) -> Done<u64> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let bytes = number("page_count")?.saturating_mul(number("page_size")?);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// What the writing thread does about it: for one who erases, at once; by itself, when nobody waits, the log at once, and
/// what the file has after a while.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// The erasures that the log has nothing of any more.
    emptied_after: Option<i64>,
    /// The erasures that the file, as it was last written anew, has nothing of any more.
    rewritten_after: Option<i64>,
    /// When the file was last written anew, or this was last tried without being asked.
    rewritten_at: Option<ServerTime>,
    /// Somebody who erased was answered before the file was written anew.
    is_promised: bool,
    /// Since when the file is to be written anew, or is to be tried again.
    waits_since: Option<ServerTime>,
}

impl Sweeper {
    /// Removes from the file and its log what was erased, if that is still to be done. To be called outside of a
    /// transaction, by the thread that writes. What serves one who erased serves all who did before. A file that is too
    /// large is left as it is, and its log emptied; so is one, for now, that was just written anew and is not small.
    ///
    /// `false` when reads, or another process, held it up: it is to be tried again.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room to write the file anew.
    pub(super) fn sweep(&mut self, connection: &Connection, env: &dyn Env) -> Done<bool> {
        let Some(erased) = due(connection)? else { return Ok(true) };
        if self.rewritten_after == Some(erased) || !self.is_in_pause(env) || bytes(connection)? <= QUICK_BYTES_MAX {
            return self.rewrite(connection, erased, env);
        }
        self.is_promised = true;
        let is_emptied = self.emptied_after == Some(erased) || truncate(connection)?;
        self.emptied_after = Some(erased).filter(|_| is_emptied);
        Ok(is_emptied)
    }

    /// As [`Self::sweep`], for one whom nobody waits for, as often as it is to be tried.
    ///
    /// # Errors
    /// As there; [`StoreError::Busy`] when it was held up each time.
    pub(super) fn sweep_alone(&mut self, connection: &Connection, env: &dyn Env) -> Done<()> {
        for _ in 0..TRUNCATE_TRIES_MAX {
            if self.sweep(connection, env)? {
                return Ok(());
            }
            std::thread::sleep(TRUNCATE_WAIT);
        }
        Err(StoreError::Busy)
    }

    fn is_in_pause(&self, env: &dyn Env) -> bool {
        self.rewritten_at.is_some_and(|at| env.now().since(at) < REWRITE_PAUSE)
    }

    /// Writes the file anew, unless it is too large or was since, and empties the log. `false` when that was held up.
    fn rewrite(&mut self, connection: &Connection, erased: i64, env: &dyn Env) -> Done<bool> {
        let bytes = bytes(connection)?;
        let is_small = bytes <= VACUUM_BYTES_MAX;
        let mut written = Ok(());
        if is_small && self.rewritten_after != Some(erased) {
            written = connection.execute_batch("VACUUM").map_err(failed);
            self.emptied_after = None;
            if written.is_ok() {
                (self.rewritten_after, self.rewritten_at) = (Some(erased), Some(env.now()));
            }
        }
        // Also when it could not be written anew: what the log has of it does not wait for that.
        let emptied = truncate(connection);
        written?;
        if !emptied? {
            return Ok(false);
        }
        self.emptied_after = Some(erased);
        self.is_promised = false;
        if is_small {
            execute(connection, "UPDATE sweeping SET swept = ?1 WHERE swept < ?1", [erased])?;
        } else {
            tracing::warn!(bytes, "the file is too large to be written anew: unused parts of it keep what was erased");
        }
        Ok(true)
    }

    /// To be called whenever there is nothing else to do, and again when nothing was for as long as it says; `None` when
    /// nothing is left of what was erased. What fails is tried again: the log soon, the file after a while.
    pub(super) fn tidy(&mut self, connection: &Connection, env: &dyn Env) -> Option<Duration> {
        let erased = match due(connection) {
            Ok(Some(erased)) => erased,
            Ok(None) => {
                self.waits_since = None;
                return None;
            }
            Err(error) => {
                tracing::debug!(%error, "whether something was erased could not be read");
                return Some(REWRITE_PAUSE);
            }
        };
        let mut left = self.left(env);
        if self.emptied_after != Some(erased) && truncate_at_once(connection) {
            self.emptied_after = Some(erased);
        }
        if left.is_zero() {
            self.rewrite_alone(connection, erased, env);
            left = self.left(env);
        }
        Some(if self.emptied_after == Some(erased) { left } else { TRUNCATE_AGAIN_AFTER })
    }

    /// How long the file is still left as it is.
    fn left(&mut self, env: &dyn Env) -> Duration {
        let now = env.now();
        let until = |since: ServerTime, time: Duration| time.saturating_sub(now.since(since));
        let left = until(*self.waits_since.get_or_insert(now), SWEEP_AFTER);
        let promised = self.rewritten_at.filter(|_| self.is_promised).map(|at| until(at, REWRITE_PAUSE));
        promised.map_or(left, |promised| promised.min(left))
    }

    /// Writes the file anew without being asked.
    fn rewrite_alone(&mut self, connection: &Connection, erased: i64, env: &dyn Env) {
        let now = env.now();
        (self.waits_since, self.rewritten_at) = (Some(now), Some(now));
        match self.rewrite(connection, erased, env) {
            Ok(true) => {}
            Ok(false) => tracing::debug!("reads hold up what is to be removed from the file; it is tried again"),
            Err(error) => {
                tracing::warn!(%error, "what was erased could not be removed from the file yet; it is tried again");
            }
        }
    }
}
