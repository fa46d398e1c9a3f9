//! Folding the write-ahead log into the database, beside the commits: inside them it would be half of the slowest.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tombolo_core::Env;

use super::Role;
use super::connection::{failed, open_writer};
use crate::StoreError;

/// Pages in the log at which it is folded in by a thread of its own: 16 MiB. A page that was written again meanwhile is
/// folded in once, so that more is less work.
const PASSIVE_PAGES: i32 = 4_000;
/// Pages at which the writer itself stops for it, since without a pause the log never starts anew: 64 MiB. Most of
/// them are folded in by then.
const RESTART_PAGES: i32 = 16_000;

#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    /// Pages in the log after the last commit.
    pages: Arc<AtomicI32>,
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf, connection: &mut Connection, env: &Arc<dyn Env>) -> Self {
        let (wake, woken) = sync_channel::<()>(1);
        env.spawn(
            "tombolo-fold",
            Box::new(move || {
                let mut connection = None;
                while woken.recv().is_ok() {
                    if connection.is_none() {
                        connection = open_writer(&path).ok();
                    }
                    let Some(open) = &connection else { continue };
                    if let Err(error) = run(open, "PASSIVE") {
                        tracing::warn!(%error, "the log could not be folded into the database; it is tried again");
                        connection = None;
                    }
                }
            }),
        );
        let checkpointer = Self { wake, pages: Arc::default() };
        checkpointer.watch(connection);
        checkpointer
    }

    /// Counts the log's pages on a connection that was opened anew.
    pub(super) fn watch(&self, connection: &mut Connection) {
        let noted = Arc::clone(&self.pages);
        let note = move |_: &mut Wal, pages| {
            noted.store(pages, Ordering::Relaxed);
            Ok(())
        };
        if let Err(error) = connection.wal_hook(Some(note)) {
            tracing::warn!(%error, "the log's size is not watched: it is folded in at the next start");
        }
    }

    pub(super) fn after_commit(&self, connection: Option<&Connection>) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages >= PASSIVE_PAGES {
            // A full channel means that it is awake already.
            let _ = self.wake.try_send(());
        }
        if pages >= RESTART_PAGES
            && let Some(connection) = connection
            && let Err(error) = run(connection, "RESTART")
        {
            tracing::warn!(%error, "the log could not be started anew; it is tried again");
        }
    }

    /// Folds everything in and empties the log, so that the next start finds nothing to recover. Beside a running server
    /// that is the server's to do.
    pub(super) fn finish(&self, connection: Option<Connection>, role: Role) -> Result<(), StoreError> {
        let Some(connection) = connection else { return Ok(()) };
        if role == Role::Server {
            run(&connection, "TRUNCATE")?;
        }
        connection.close().map_err(|(_, error)| failed(error))
    }
}

fn run(connection: &Connection, mode: &str) -> Result<(), StoreError> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).map_err(failed)
}
