//! A few threads that read, each with a connection of its own; each read is one snapshot.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use tombolo_core::Env;

use super::Role;
use super::connection::{failed, open_reader, refuse_moved};
use crate::StoreError;

/// Reading is short, or bounded by the reply; two keep a long one from holding up the short ones on small machines.
const THREADS: usize = 2;
/// Reads that may wait.
const QUEUE_MAX: usize = 1_024;

type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

#[derive(Debug)]
pub(super) struct Readers {
    role: Role,
    queue: SyncSender<Work>,
    places: Semaphore,
}

impl Readers {
    pub(super) fn start(path: &Path, role: Role, env: &Arc<dyn Env>) -> Self {
        let (queue, work) = sync_channel::<Work>(QUEUE_MAX);
        let work = Arc::new(Mutex::new(work));
        for n in 0..THREADS {
            let (path, work) = (path.to_owned(), Arc::clone(&work));
            env.spawn(&format!("tombolo-read-{n}"), Box::new(move || run(&path, &work)));
        }
        Self { role, queue, places: Semaphore::new(QUEUE_MAX) }
    }

    /// Runs `work` on one snapshot.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        // The place is held until the answer is here, so the queue never overflows.
        let _place = self.places.acquire().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let role = self.role;
        let job: Work =
            Box::new(move |connection| drop(answer.send(connection.and_then(|c| in_snapshot(c, role, work)))));
        self.queue.try_send(job).map_err(|_| StoreError::Busy)?;
        answered.await.map_err(|_| StoreError::Internal("a read panicked: see the log".to_owned()))?
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    role: Role,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    // A tool may read what was moved away: the file is a backup now.
    let is_served = if role == Role::Server { refuse_moved(&snapshot) } else { Ok(()) };
    let read = is_served.and_then(|()| work(&snapshot));
    snapshot.finish().map_err(failed)?;
    read
}

fn run(path: &Path, queue: &Mutex<Receiver<Work>>) {
    let mut connection: Option<Connection> = None;
    loop {
        let next = queue.lock().map_or(None, |queue| queue.recv().ok());
        let Some(work) = next else { return };
        if connection.is_none() {
            match open_reader(path) {
                Ok(open) => connection = Some(open),
                Err(error) => {
                    work(Err(error));
                    continue;
                }
            }
        }
        let Some(open) = &connection else { continue };
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(Ok(open))));
        if ran.is_err() {
            tracing::error!("a read panicked; its connection is opened anew");
            connection = None;
        }
    }
}
