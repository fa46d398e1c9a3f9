//! One sync: what is to be sent goes up, what is new comes down.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tombolo_wellbeing::{
    ConflictInfo, DeviceId, SyncChange, SyncDownloadRequest, SyncUploadRequest, SyncUploadResponse,
};

use crate::Error;
use crate::fault::step;
use crate::local::{BatchBounds, Local, Reset, Standing};
use crate::transport::{CursorReset, Failed, Transport};

/// A request that a slow line carries in seconds, and whose loss costs little.
const BATCH_CHANGES_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Batches of one sync, at most: ten million rows. What is more goes with the next one.
const BATCHES_MAX: usize = 10_000;

/// Records of one page. The server bounds its bytes.
const PAGE_LIMIT: u32 = 2_000;

/// Pages of one sync, at most: twenty million rows.
const PAGES_MAX: usize = 10_000;

/// What came down may give something to send: a renamed row, what a server that was set back lacks. What the app itself
/// edits meanwhile is not waited for any longer than that.
const ROUNDS_MAX: usize = 3;

/// A server that knows no cursor of ours would keep us here for ever.
const NEW_STARTS_MAX: usize = 1;

/// What a sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Changes that were sent, and are stored as they were sent or merged with others'.
    pub uploaded: u64,
    /// Changes that were sent, and lost against a later one of another device.
    pub superseded: u64,
    /// Changes that the server refused: they are set aside until they are edited again.
    pub refused: u64,
    /// Rows that were changed here by what came down: what this device sent itself is none of them.
    pub downloaded: u64,
    /// Rows with an edit that is still to be sent: those edited while the sync ran.
    pub pending: u64,
    /// Rows that are set aside, all in all.
    pub set_aside: u64,
}

/// Why a run of the engine ended early, where the client has to do something about it.
pub(crate) enum Stopped {
    /// The account behind the key is another one than the cursor's, or the device's: everything begins afresh, in the
    /// second case under another id.
    OtherAccount {
        /// Whether the device needs another id.
        needs_device: bool,
    },
    /// Nothing can be done about it now.
    Error(Error),
}

impl<T: Into<Error>> From<T> for Stopped {
    fn from(error: T) -> Self {
        Self::Error(error.into())
    }
}

/// One sync. Nothing of it is held in memory only: ended anywhere, the next one goes on.
pub(crate) struct Engine<'a> {
    pub(crate) local: &'a Mutex<Local>,
    pub(crate) transport: &'a Transport,
    pub(crate) device_id: DeviceId,
    /// Asked before each request.
    pub(crate) goes_on: &'a dyn Fn() -> bool,
    /// Whether the server refused a cursor in this sync. That log was not erased then, and its last cursor is not shown
    /// again before the next sync.
    pub(crate) was_refused: Cell<bool>,
}

impl Engine<'_> {
    /// Syncs until nothing is to be sent and nothing is new.
    pub(crate) fn run(&self) -> Result<Report, Stopped> {
        let mut report = Report::default();
        let mut new_starts = 0;
        loop {
            let why = match self.rounds(&mut report) {
                Ok(()) => return Ok(report),
                Err(Failed::CursorReset(why)) => why,
                Err(Failed::OthersDevice) => return Err(Stopped::OtherAccount { needs_device: true }),
                Err(Failed::Erased) => {
                    self.lock().note_erased()?;
                    return Err(Error::Erased.into());
                }
                Err(Failed::TooLarge | Failed::AnswerTooLarge) => {
                    return Err(Error::BadAnswer("it is larger than any page may be").into());
                }
                Err(Failed::Error(error)) => return Err(error.into()),
            };
            step("a cursor was refused");
            if new_starts == NEW_STARTS_MAX {
                return Err(Error::StartedAgain.into());
            }
            new_starts += 1;
            self.was_refused.set(true);
            match why {
                CursorReset::OtherAccount => return Err(Stopped::OtherAccount { needs_device: false }),
                CursorReset::Restored => self.lock().reset(Reset::Restored)?,
                CursorReset::Other => self.lock().reset(Reset::Other)?,
            }
        }
    }

    fn rounds(&self, report: &mut Report) -> Result<(), Failed> {
        for _ in 0..ROUNDS_MAX {
            self.upload(report)?;
            self.download(report)?;
            let local = self.lock();
            report.pending = local.pending_count().map_err(Error::from)?;
            report.set_aside = local.set_aside_count().map_err(Error::from)?;
            if report.pending == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Sends batch after batch until nothing is left. The cursor that an answer names is not taken: it may lie beyond what
    /// another device sent meanwhile.
    fn upload(&self, report: &mut Report) -> Result<(), Failed> {
        let mut bounds = BatchBounds { changes_max: BATCH_CHANGES_MAX, bytes_max: BATCH_BYTES_MAX };
        let mut has_asked = false;
        for _ in 0..BATCHES_MAX {
            let (standing, batch) = {
                let mut local = self.lock();
                // In this order: the first may find that everything has to be downloaded anew.
                let batch = local.next_batch(bounds)?;
                (local.standing()?, batch)
            };
            step("a batch is noted as being on its way");
            let proof = standing.last_cursor.clone().filter(|_| !self.was_refused.get());
            let cursor = standing.live()?;
            // Whoever begins at the beginning asks with nothing to send, too: a new log takes the place of an erased one.
            let has_work = !batch.is_empty() || (cursor.is_none() && proof.is_some() && !has_asked);
            if !has_work {
                return Ok(());
            }
            let client_cursor = cursor.or(proof);
            let answer = self.send(client_cursor.as_deref(), &batch, &mut bounds)?;
            step("a batch was answered");
            if batch.is_empty() {
                return Ok(());
            }
            has_asked = true;
            count(report, &answer);
            self.lock().settle_batch(&answer)?;
            step("a batch is settled");
        }
        Err(Error::Unfinished.into())
    }

    /// Sends `batch` in one request, or in halves where it, or its answer, is too large for one side. Halves
    /// are answered as one, so that what is noted as being on its way stays whole.
    fn send(
        &self,
        client_cursor: Option<&str>,
        batch: &[SyncChange],
        bounds: &mut BatchBounds,
    ) -> Result<SyncUploadResponse, Failed> {
        let request = SyncUploadRequest {
            device_id: self.device_id,
            client_cursor: client_cursor.map(str::to_owned),
            changes: batch.to_vec(),
        };
        self.check_on()?;
        match self.transport.upload(&request) {
            Ok(answer) => check_answer(batch, answer).map_err(Failed::from),
            Err(Failed::TooLarge) if batch.len() == 1 => Ok(refused_as_too_large(&batch[0])),
            Err(Failed::TooLarge | Failed::AnswerTooLarge) if batch.len() > 1 => {
                bounds.changes_max = (bounds.changes_max / 2).max(1);
                bounds.bytes_max = (bounds.bytes_max / 2).max(1);
                let (first, second) = batch.split_at(batch.len() / 2);
                let mut answer = self.send(client_cursor, first, bounds)?;
                step("half a batch was answered");
                let second = self.send(client_cursor, second, bounds)?;
                answer.applied_ids.extend(second.applied_ids);
                answer.versions.extend(second.versions);
                answer.conflicts.extend(second.conflicts);
                Ok(answer)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Takes page after page until there is no more, each with its cursor.
    fn download(&self, report: &mut Report) -> Result<(), Failed> {
        for _ in 0..PAGES_MAX {
            let since = self.lock().standing()?.live()?;
            self.check_on()?;
            let request = SyncDownloadRequest { device_id: self.device_id, since, limit: Some(PAGE_LIMIT) };
            let page = self.transport.download(&request)?;
            step("a page has come");
            if page.server_cursor.is_empty() || (page.has_more && request.since.as_deref() == Some(&page.server_cursor))
            {
                return Err(Error::BadAnswer("it says that there is more, and not where").into());
            }
            report.downloaded += self.lock().apply_page(&page)?;
            step("a page is applied");
            if !page.has_more {
                return Ok(());
            }
        }
        Err(Error::Unfinished.into())
    }

    fn check_on(&self) -> Result<(), Error> {
        if (self.goes_on)() { Ok(()) } else { Err(Error::Interrupted) }
    }

    /// The database, between two requests: never while one is on its way.
    fn lock(&self) -> MutexGuard<'_, Local> {
        // Whoever panicked with it left a transaction, which was rolled back.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<crate::LocalError> for Failed {
    fn from(error: crate::LocalError) -> Self {
        Self::Error(error.into())
    }
}

impl Standing {
    /// The cursor, unless the data were erased: then nothing is sent, and nothing asked.
    fn live(self) -> Result<Option<String>, Error> {
        if self.erased { Err(Error::Erased) } else { Ok(self.cursor) }
    }
}

/// An answer has to say something of each change: what it left out would be sent for ever.
fn check_answer(batch: &[SyncChange], answer: SyncUploadResponse) -> Result<SyncUploadResponse, Error> {
    let refused = answer.conflicts.iter().filter_map(|conflict| conflict.id.parse().ok());
    let named: HashSet<_> = answer.applied_ids.iter().copied().chain(refused).collect();
    let is_whole = batch.iter().all(|change| named.contains(&change.id));
    is_whole.then_some(answer).ok_or(Error::BadAnswer("it does not say what became of every change"))
}

/// What the server would say if it could read the request.
fn refused_as_too_large(change: &SyncChange) -> SyncUploadResponse {
    let conflict = ConflictInfo {
        entity_type: change.entity_type.to_string(),
        id: change.id.to_string(),
        reason: "invalid: it is larger than the server takes".to_owned(),
        server: None,
    };
    SyncUploadResponse {
        server_cursor: String::new(),
        applied_ids: Vec::new(),
        applied: Vec::new(),
        versions: std::collections::BTreeMap::new(),
        conflicts: vec![conflict],
    }
}

fn count(report: &mut Report, answer: &SyncUploadResponse) {
    let refused = answer.conflicts.iter().filter(|conflict| conflict.reason.starts_with("invalid")).count() as u64;
    report.uploaded += answer.applied_ids.len() as u64;
    report.refused += refused;
    report.superseded += answer.conflicts.len() as u64 - refused;
}
