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

/// Whether the payload of an entry changes the rules of its log.
pub type IsRuling = fn(&[u8]) -> bool;

/// How what one protocol stores is read.
#[derive(Clone)]
pub struct Reading {
    /// The protocol.
    pub purpose: Purpose,
    /// How its records are; `None` where it has none.
    pub policy: Option<Arc<dyn Policy>>,
    /// Which entries change the rules, where its logs are guarded by rules of their own; such a log has all its entries
    /// in the order of writing.
    pub is_ruling: Option<IsRuling>,
    /// Whether its logs let go of old changes, so that numbers may be missing: never the last.
    pub is_thinned: bool,
}

impl Reading {
    /// Of a protocol whose records are read by `policy`.
    #[must_use]
    pub fn of_records(purpose: Purpose, policy: Arc<dyn Policy>) -> Self {
        Self { purpose, policy: Some(policy), is_ruling: None, is_thinned: false }
    }

    /// Of a protocol whose logs are guarded by their own rules.
    #[must_use]
    pub const fn of_rules(purpose: Purpose, is_ruling: IsRuling) -> Self {
        Self { purpose, policy: None, is_ruling: Some(is_ruling), is_thinned: false }
    }

    /// Of a protocol whose logs are the versions of one document each.
    #[must_use]
    pub const fn of_versions(purpose: Purpose) -> Self {
        Self { purpose, policy: None, is_ruling: None, is_thinned: true }
    }
}

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

    /// Reads everything: the file's structure, each log's order, each head, each payload; of the protocols that there
    /// are `readings` of, also what stands in the payloads. At most a thousand faults are named.
    fn check(&self, readings: Vec<Reading>, progress: Progress) -> Reply<'_, CheckReport>;

    /// Ends the store cleanly: what waits is committed, and the log file is folded into the database.
    fn close(&self) -> Reply<'_, ()>;
}

/// A store: everything that the service needs kept.
pub trait Store:
    crate::Logs
    + crate::Entries
    + crate::Accounts
    + crate::Identities
    + crate::Projects
    + crate::SignIns
    + crate::Rooms
    + crate::Replicas
    + crate::Erasure
    + Upkeep
{
}

impl<T> Store for T where
    T: crate::Logs
        + crate::Entries
        + crate::Accounts
        + crate::Identities
        + crate::Projects
        + crate::SignIns
        + crate::Rooms
        + crate::Replicas
        + crate::Erasure
        + Upkeep
{
}
