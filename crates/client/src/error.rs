//! Why a sync did not happen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::local::LocalError;

/// Why something could not be done. Whatever it was, no edit is lost, and what arrived whole is kept: sync again.
///
/// No text of it holds the key, or anything of the app's rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// [`Client::configure_sync`](crate::Client::configure_sync) comes first.
    #[error("sync is off: configure it first")]
    NotConfigured,
    /// The server's address is none that may be used.
    #[error("the server's address: {0}")]
    Endpoint(&'static str),
    /// The key cannot be one.
    #[error("a key is 1 to 512 letters, digits and signs, without spaces")]
    KeyMalformed,
    /// The server does not take the key.
    #[error("the server refused the key: configure sync again, with one that is valid")]
    KeyRefused,
    /// The server knows the chosen device id as another user's.
    #[error("the device id belongs to another user of the server: choose another one")]
    DeviceRefused,
    /// The account's data were erased on the server.
    #[error("the account's data were erased on the server: nothing is sent until sync is configured again")]
    Erased,
    /// Another sync of this database is under way, in this process or in another.
    #[error("a sync is under way already")]
    Busy,
    /// Somebody asked for the sync to end.
    #[error("the sync was stopped before it was through")]
    Interrupted,
    /// There was no connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the server took too long to answer")]
    TimedOut,
    /// The server cannot serve now.
    #[error("the server cannot serve now (status {status})")]
    NotNow {
        /// The status that it answered.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server sends on to another address, which the key must not reach.
    #[error("the server sends on to another address: configure the one that it has")]
    Redirected,
    /// The server refused the request.
    #[error("the server refused (status {status}{})", code.as_ref().map(|code| format!(", {code}")).unwrap_or_default())]
    Refused {
        /// The status that it answered.
        status: u16,
        /// The problem's code, where it named one.
        code: Option<String>,
    },
    /// What came is not an answer of such a server.
    #[error("the server's answer is not understood: {0}")]
    BadAnswer(&'static str),
    /// The server made the device start again and again.
    #[error("the server asked for a new start twice in one sync")]
    StartedAgain,
    /// There was more to do than one sync does.
    #[error("there is more to sync than goes into one: sync again")]
    Unfinished,
    /// The app's database.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The files beside the database.
    #[error("the sync's settings: {0}")]
    Settings(#[source] std::io::Error),
    /// The app's store of keys.
    #[error(transparent)]
    KeyStore(#[from] crate::KeyStoreError),
}

/// What kind of failure it was, for a program to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Sync is off.
    NotConfigured,
    /// The address, the key, the device id or the files beside the database are not usable.
    Settings,
    /// The key was refused: nothing is tried again before sync is configured again.
    KeyRefused,
    /// The account's data were erased: nothing is tried again before sync is configured again.
    Erased,
    /// Another sync is under way.
    Busy,
    /// It was stopped, or there is more to do.
    Unfinished,
    /// No connection, or none that lasted.
    Network,
    /// The server answered that it cannot, or will not.
    Server,
    /// The server's answer made no sense.
    Protocol,
    /// The app's database.
    Database,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotConfigured => ErrorKind::NotConfigured,
            Self::Endpoint(_) | Self::KeyMalformed | Self::Settings(_) | Self::KeyStore(_) => ErrorKind::Settings,
            Self::KeyRefused | Self::DeviceRefused => ErrorKind::KeyRefused,
            Self::Erased => ErrorKind::Erased,
            Self::Busy => ErrorKind::Busy,
            Self::Interrupted | Self::Unfinished => ErrorKind::Unfinished,
            Self::Unreachable(_) | Self::TimedOut => ErrorKind::Network,
            Self::NotNow { .. } | Self::Redirected | Self::Refused { .. } => ErrorKind::Server,
            Self::BadAnswer(_) | Self::StartedAgain => ErrorKind::Protocol,
            Self::Local(_) => ErrorKind::Database,
        }
    }

    /// How long the server asks to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotNow { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether trying again is of no use before sync is configured again.
    #[must_use]
    pub const fn needs_configuration(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotConfigured | ErrorKind::KeyRefused | ErrorKind::Erased)
    }
}
