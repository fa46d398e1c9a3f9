//! Keeping a store: is it well, did another process write, is it whole.

use std::sync::Arc;

use tombolo_core::{Policy, Purpose};

use crate::{Bus, CommitCounts, Reply};

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Spaces read.
    pub spaces: u64,
    /// Records read.
    pub records: u64,
    /// Changes read.
    pub changes: u64,
    /// Each fault, in words that name what and where and hold no content.
    pub faults: Vec<String>,
}

/// How the records of each protocol are read.
pub type Policies = Vec<(Purpose, Arc<dyn Policy>)>;

/// Called with what was done and what there is to do, in changes.
pub type Progress = Box<dyn FnMut(u64, u64) + Send>;

/// What became of the database by others' doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nothing that matters.
    Nothing,
    /// Another process committed: what was remembered of credentials may be stale.
    Committed,
    /// It is another database than it was, a restored one perhaps: what was remembered of it means nothing any more,
    /// numbers of users and credentials included.
    Replaced,
}

/// Keeping a store.
///
/// # Contract
/// `check` reads everything and changes nothing. After `close`, every call answers
/// [`StoreError::Closed`](crate::StoreError::Closed).
pub trait Upkeep: Send + Sync {
    /// Whether the store can be written to now.
    fn ready(&self) -> Reply<'_, ()>;

    /// How commits went since the store was opened; nothing where there is no disk. Costs no I/O.
    fn commits(&self) -> CommitCounts;

    /// What others did to the database since the last call. What this store itself changed of who gets in may be among
    /// it, as the request that changed it may have been dropped before it could be told.
    fn changed_elsewhere(&self) -> Reply<'_, Elsewhere>;

    /// What the nodes on this database tell each other.
    fn bus(&self) -> &dyn Bus;

    /// Listens to the other nodes, and tells them what happens here; ends when the store is closed. Whoever starts a
    /// store that serves runs this beside it. Without it the bus reaches this process only.
    fn tend(&self) -> Reply<'_, ()>;

    /// Reads everything: the file's structure, each log's order, each head, each payload. At most a thousand faults
    /// are named.
    fn check(&self, policies: Policies, progress: Progress) -> Reply<'_, CheckReport>;

    /// Ends the store cleanly: what waits is committed, and the log file is folded into the database.
    fn close(&self) -> Reply<'_, ()>;
}

/// A store: everything that the service needs kept.
pub trait Store:
    crate::Logs + crate::Entries + crate::Accounts + crate::Identities + crate::Projects + crate::SignIns + Upkeep
{
}

impl<T> Store for T where
    T: crate::Logs + crate::Entries + crate::Accounts + crate::Identities + crate::Projects + crate::SignIns + Upkeep
{
}
