//! What can fail in a store, in words that say what to do about it.

use std::error::Error;

/// A failure of a store. None of them loses what was acknowledged; after all but [`StoreError::Corrupt`],
/// [`StoreError::Newer`], [`StoreError::InUse`] and [`StoreError::NoSuchUser`] the same call may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits already, or another process holds the database.
    #[error("the store is busy")]
    Busy,
    /// The database server cannot be reached at present, or it broke the connection off.
    #[error("the database cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// What was stored here was moved to another database, which goes on.
    #[error("this database was moved to another one by 'tombolo migrate': run the server with --database on that one")]
    Moved,
    /// A migration into this database is under way, or was interrupted.
    #[error("a migration into this database is not finished: run 'tombolo migrate' again")]
    Unfinished,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk or the file cannot be read or written at present.
    #[error("the disk cannot be used: {0}")]
    Io(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored is damaged. The text names what and where, and holds no content.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The database was written by a newer version of Tombolo.
    #[error("the database is of schema {found}, this version knows schema {known}: run the newer tombolo")]
    Newer {
        /// The schema that was found.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// Another server already runs on the database.
    #[error("another tombolo serves this database already")]
    InUse,
    /// The user whose log it would be was deleted; whoever comes with a key of his is let in no more.
    #[error("the user was deleted")]
    NoSuchUser,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
    /// A bug: a decision panicked or a statement is wrong. Only the call that met it fails.
    #[error("internal error: {0}")]
    Internal(String),
}

impl StoreError {
    /// The same failure for another who waited for the same commit.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Unreachable(source) => Self::Unreachable(source.to_string().into()),
            Self::Moved => Self::Moved,
            Self::Unfinished => Self::Unfinished,
            Self::Full => Self::Full,
            Self::Io(source) => Self::Io(source.to_string().into()),
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            Self::Newer { found, known } => Self::Newer { found: *found, known: *known },
            Self::InUse => Self::InUse,
            Self::NoSuchUser => Self::NoSuchUser,
            Self::Closed => Self::Closed,
            Self::Internal(what) => Self::Internal(what.clone()),
        }
    }
}
