//! What can fail in the service.

use tombolo_storage::StoreError;

/// A failure of the service. What was asked may be asked again, unless the store says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Too much waits already.
    #[error("the server is busy")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug, or a stored value that no version of Tombolo writes. Only the call that met it fails.
    #[error("internal error: {0}")]
    Internal(String),
}
