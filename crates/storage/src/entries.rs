//! Entries: changes that are only ever appended. They write to no record, and nothing is merged.

pub(crate) mod page;
pub(crate) mod plan;

use tombolo_core::{Act, Digest, Instant, ProjectId, Refusal, Role, Seq, ServerTime, UserId, allows, limits};

use crate::{Reply, Ruled, SpaceAddress, StoreError};

/// An entry to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// What makes it this entry and no other: one with the same key in the same space is a repeat, and stored once.
    pub key: Digest,
    /// When the client says it wrote.
    pub written_at: Instant,
    /// The content, in the protocol's normal form.
    pub payload: Vec<u8>,
}

/// Who may append, decided in the transaction that appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A member of a project, whose role suffices for [`Act::Push`].
    Member {
        /// The project, to whose space is appended.
        project: ProjectId,
        /// Who.
        user: UserId,
    },
}

impl Guard {
    /// What it takes.
    pub const ACT: Act = Act::Push;
}

/// How somebody stands to a project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Where the project's log is.
    pub(crate) space: SpaceAddress,
    pub(crate) is_deleted: bool,
    /// His role; none for whoever is disabled.
    pub(crate) role: Option<Role>,
}

impl Standing {
    /// The space that he may append to. There is none to a project that there is not.
    pub(crate) fn admit(found: Option<Self>) -> Ruled<SpaceAddress> {
        let standing = found.ok_or(Refusal::NotMember)?;
        allows(standing.role, standing.is_deleted, Guard::ACT).map(|_| standing.space)
    }
}

/// Entries of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Who appends, and to where.
    pub guard: Guard,
    /// In this order.
    pub entries: Vec<NewEntry>,
    /// The server's time.
    pub now: ServerTime,
}

impl Append {
    /// That it is no larger than a request may be.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_within = self.entries.len() <= limits::ENTRIES_MAX;
        is_within.then_some(()).ok_or_else(|| StoreError::Internal("too many entries at once".to_owned()))
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was stored.
    New(Seq),
    /// It was there already, also when it came earlier in the same request.
    Repeat(Seq),
}

/// An entry as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// When it was committed.
    pub committed_at: ServerTime,
    /// The content.
    pub payload: Vec<u8>,
}

/// What a page may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBounds {
    /// Entries.
    pub count_max: usize,
    /// Bytes of their payloads together; the first entry is given whatever its size.
    pub bytes_max: usize,
}

/// Some of a log's entries, with what was the log's end when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPage {
    /// In order, without a gap.
    pub entries: Vec<Entry>,
    /// Where the log ends.
    pub head: Seq,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Its last place, which is also how many changes it has.
    pub head: Seq,
    /// When that was committed; `None` for an empty log.
    pub committed_at: Option<ServerTime>,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Spaces.
    pub spaces: u64,
    /// Changes of all logs.
    pub changes: u64,
}

/// Logs that are only appended to.
///
/// # Contract
/// As of [`crate::Logs`]: commit order is sequence order, dense; each method is atomic; dropping a future midway leaves
/// it done or not done.
pub trait Entries: Send + Sync {
    /// Appends entries, each once, and says what became of each, in their order.
    ///
    /// All or nothing, and durable when this returns `Ok`.
    ///
    /// # Errors
    /// After any failure the same request may be sent again: what was stored before is recognised.
    fn append(&self, append: Append) -> Reply<'_, Ruled<Vec<Appended>>>;

    /// The entries after `after`, as many as `bounds` let. An unknown space is an empty log.
    fn entries(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage>;

    /// Where a log ends.
    fn log_end(&self, space: SpaceAddress) -> Reply<'_, LogEnd>;

    /// How much is stored in all.
    fn totals(&self) -> Reply<'_, Totals>;
}
