//! How the sync stands, for the app to show.

use std::io;

use serde::{Deserialize, Serialize};
use tombolo_wellbeing::{DeviceId, Timestamp};

use crate::files::{self, Files};
use crate::{Error, ErrorKind};

/// How the sync stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether it is on.
    pub enabled: bool,
    /// The server's address, once one was configured.
    pub endpoint: Option<String>,
    /// How the server knows this device, once it was configured.
    pub device_id: Option<DeviceId>,
    /// Whether this process is syncing at this moment.
    pub state: State,
    /// When a sync last began, by this device's clock; in any process.
    pub last_attempt_at: Option<Timestamp>,
    /// When a sync last was through.
    pub last_success_at: Option<Timestamp>,
    /// Why the last sync failed; nothing where it did not.
    pub last_error: Option<LastError>,
    /// Rows with an edit that is still to be sent.
    pub pending: u64,
    /// Rows that were refused, by the server or by the app's own database.
    pub set_aside: u64,
}

/// A row that is not synced until it is edited, here or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// What kind of record it is.
    pub entity_type: String,
    /// The row's id; nothing for a row without one.
    pub id: Option<String>,
    /// Why it was refused, by the server or by the app's own database: a sentence for people.
    pub reason: String,
}

/// Whether a sync is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// None is.
    Idle,
    /// One is.
    InProgress,
}

/// Why the last sync failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// For a program.
    pub kind: ErrorKind,
    /// A sentence for people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How the last syncs went: what a status of a later process still knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    pub(crate) last_attempt_at: Option<Timestamp>,
    pub(crate) last_success_at: Option<Timestamp>,
    pub(crate) last_error: Option<LastError>,
}

impl History {
    /// What was noted. A file that is not readable is nothing lost: the next sync writes it anew.
    pub(crate) fn load(files: &Files) -> Result<Self, Error> {
        let bytes = files::read(&files.history).map_err(Error::Settings)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    pub(crate) fn save(&self, files: &Files) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Settings(io::Error::from(error)))?;
        files::write(&files.history, &bytes).map_err(Error::Settings)
    }

    /// Notes how a sync that was noted as begun has ended.
    pub(crate) fn ended<T>(&mut self, at: Timestamp, result: &Result<T, Error>) {
        match result {
            Ok(_) => (self.last_success_at, self.last_error) = (Some(at), None),
            // Somebody wanted it so.
            Err(Error::Interrupted) => {}
            Err(error) => {
                self.last_error = Some(LastError { kind: error.kind(), message: error.to_string(), at });
            }
        }
    }
}
