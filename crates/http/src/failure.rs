//! What a failure of the service is to a client: a status, a sentence, and whether to try again.

use std::time::Duration;

use axum::http::StatusCode;
use tombolo_service::{ServiceError, StoreError};

/// Seconds after which a busy store is worth another try.
const BUSY_RETRY_SECONDS: u64 = 2;
/// Seconds after which a full or unusable disk is: somebody has to look at it.
const DISK_RETRY_SECONDS: u64 = 30;

pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) sentence: &'static str,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Failure {
    /// Says it to the client, and the rest to the log.
    pub(crate) fn of(error: &ServiceError) -> Self {
        let failure = Self::classify(error);
        if failure.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%error, "a request failed");
        } else {
            tracing::warn!(%error, status = failure.status.as_u16(), "a request could not be served");
        }
        failure
    }

    fn classify(error: &ServiceError) -> Self {
        let later = |status, sentence, seconds| Self { status, sentence, retry_after: Some(seconds) };
        let internal = |sentence| Self { status: StatusCode::INTERNAL_SERVER_ERROR, sentence, retry_after: None };
        let store = match error {
            ServiceError::Store(store) => store,
            ServiceError::Busy => &StoreError::Busy,
            ServiceError::Internal(_) => {
                return internal("The server met a bug; its log says more under this request's id");
            }
        };
        match store {
            StoreError::Unreachable(_) => later(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot reach its database; nothing was lost: sync again in a moment",
                BUSY_RETRY_SECONDS,
            ),
            StoreError::Moved | StoreError::Unfinished => later(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is moving to another database; nothing was lost: sync again in a moment",
                BUSY_RETRY_SECONDS,
            ),
            StoreError::Busy | StoreError::Closed | StoreError::InUse => {
                later(StatusCode::SERVICE_UNAVAILABLE, "The server is busy: sync again in a moment", BUSY_RETRY_SECONDS)
            }
            // Asked again, the key that was taken for good is known to be gone.
            StoreError::NoSuchUser => later(
                StatusCode::SERVICE_UNAVAILABLE,
                "The user was deleted meanwhile: nothing was stored",
                BUSY_RETRY_SECONDS,
            ),
            StoreError::Full => later(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server's disk is full; nothing was lost: sync again when its owner has made room",
                DISK_RETRY_SECONDS,
            ),
            StoreError::Io(_) => later(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot use its disk; nothing was lost: sync again later",
                DISK_RETRY_SECONDS,
            ),
            StoreError::Corrupt(_) | StoreError::Newer { .. } => {
                internal("The server's database is damaged: its owner should run 'tombolo check'")
            }
            StoreError::Internal(_) => internal("The server met a bug; its log says more under this request's id"),
        }
    }
}

/// Whole seconds to wait, at least one.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
