//! Entries: changes that are only ever appended. They write to no record, and nothing is merged.

pub(crate) mod listing;
pub(crate) mod page;
pub(crate) mod plan;

use tombolo_core::{Act, Digest, Instant, Name, ProjectId, Refusal, Role, Seq, ServerTime, UserId, allows, limits};

use crate::columns::whole_millis;
use crate::entries::plan::Placed;
use crate::{NewIdentity, NewKey, Reply, Ruled, SecretHash, SpaceAddress, StoreError};

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

impl NewEntry {
    /// Where it comes in the order of writing if it gets the place `seq` in the log.
    #[must_use]
    pub fn place(&self, seq: Seq) -> Place {
        Place::of(self.written_at, seq)
    }
}

/// What an entry is to a log that is [`Guard::Rules`]'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Whether it changes the rules: whoever was judged by those before it is judged anew.
    pub is_ruling: bool,
    /// What is done in the same transaction, if the entry is new.
    pub effect: Option<Effect>,
}

/// What an entry does beside being stored, for the protocol of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Makes somebody known.
    AddIdentity(NewIdentity),
    /// Gives out a setup token; those of the same identity that were given out before end.
    GiveSetupToken {
        /// For whom.
        subject: Name,
        /// The token's hash.
        token: SecretHash,
        /// When it ends.
        expires_at: ServerTime,
    },
    /// Uses a setup token up, and makes a key of whoever it was given out for. Keys that ended are swept away, and above
    /// [`limits::KEYS_MAX`] the one longest unused goes.
    UseSetupToken {
        /// The token's hash.
        token: SecretHash,
        /// The key.
        key: NewKey,
    },
    /// Revokes all keys of somebody for the protocol; nothing, where he is not known.
    RevokeKeys {
        /// Whose.
        subject: Name,
    },
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
    /// Whoever the rules let that the log itself holds. They were asked before; here it is only seen to it that they
    /// are still those. Such a log can also be read in the order of writing.
    Rules {
        /// The log.
        space: SpaceAddress,
        /// Who. He must not be disabled.
        user: UserId,
        /// The last ruling that was considered; zero for none.
        ruling: Seq,
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

/// By how much an entry may be longer than one that is the same in another spelling: a few letters of an id, and of a
/// number. It bounds what is read to compare a request with: little more than the request itself.
pub const SAME_SLACK_BYTES: usize = 64;

/// Whether an entry that is stored (first), and one with the same key (second), are the same.
pub type IsSame = fn(&[u8], &[u8]) -> bool;

/// Entries of one request.
#[derive(Clone, Debug)]
pub struct Append {
    /// Who appends, and to where.
    pub guard: Guard,
    /// In this order.
    pub entries: Vec<NewEntry>,
    /// What they are, in their order; those without one weigh nothing.
    pub weights: Vec<Weight>,
    /// What tells whether two of one key are the same; without it, they are. What is stored and longer than the other
    /// by more than [`SAME_SLACK_BYTES`] is another without its being asked.
    pub is_same: Option<IsSame>,
    /// The server's time.
    pub now: ServerTime,
}

impl Append {
    /// That it is no larger than a request may be.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_within = self.entries.len() <= limits::ENTRIES_MAX;
        is_within.then_some(()).ok_or_else(|| StoreError::Internal("too many entries at once".to_owned()))
    }

    /// Whether it is guarded by the rules of its log, which then has an order of writing.
    pub(crate) const fn is_ruled(&self) -> bool {
        matches!(self.guard, Guard::Rules { .. })
    }

    /// Whether the entry at this place changes the rules.
    pub(crate) fn is_ruling(&self, index: usize) -> bool {
        self.weights.get(index).is_some_and(|weight| weight.is_ruling)
    }

    /// What is done with those that are new, in their order, each with its place in the request.
    pub(crate) fn effects(&self, new: &[Placed<'_>]) -> impl Iterator<Item = (usize, &Effect)> {
        let weight = |index: usize| self.weights.get(index).filter(|_| self.is_ruled());
        let effect = move |index| Some((index, weight(index)?.effect.as_ref()?));
        new.iter().map(|placed| placed.index).filter_map(effect)
    }
}

/// That no more is looked for than a request may bring.
pub(crate) fn check_keys(keys: &[Digest]) -> Result<(), StoreError> {
    let is_within = keys.len() <= limits::ENTRIES_MAX;
    is_within.then_some(()).ok_or_else(|| StoreError::Internal("too many keys at once".to_owned()))
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was stored.
    New(Seq),
    /// It was there already, also when it came earlier in the same request.
    Repeat(Seq),
}

/// Why nothing of a request was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAppended {
    /// Its [`Guard`] does not let it.
    Refused(Refusal),
    /// The rules were changed since they were asked: ask them again.
    Outdated,
    /// The log, or the request before it, holds something else under the key of the entry at this place.
    Clash(usize),
    /// What the entry at this place does cannot be done.
    Unfit(usize, Unfit),
}

/// Why an [`Effect`] cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The identity is there already.
    Known,
    /// Its username is somebody else's.
    UsernameTaken,
    /// There is no such identity, or its user is disabled.
    Unknown,
    /// The setup token was used up, has ended, or never was one.
    Spent,
}

impl From<Refusal> for NotAppended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A place in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was written, to the millisecond, in milliseconds since 1970.
    pub millis: i64,
    /// Its place in the log, which tells apart what was written at once.
    pub seq: Seq,
}

impl Place {
    fn of(written_at: Instant, seq: Seq) -> Self {
        Self { millis: whole_millis(written_at), seq }
    }
}

/// An entry as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// When it was committed.
    pub committed_at: ServerTime,
    /// When its client said that it wrote.
    pub written_at: Instant,
    /// The content.
    pub payload: Vec<u8>,
}

impl Entry {
    /// Its place in the order of writing.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::of(self.written_at, self.seq)
    }
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
    /// Changes of all logs, also those that a log let go of.
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
    fn append(&self, append: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>>;

    /// Those entries that the log holds under these keys, in the order of the keys; at most [`limits::ENTRIES_MAX`],
    /// and as large as they are: whoever cannot bound that by his keys asks for a few at a time.
    fn find_entries<'a>(&'a self, space: SpaceAddress, keys: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>>;

    /// The rulings after `after`, in the order of the log, as many as `bounds` let.
    fn rulings(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>>;

    /// Entries in the order of writing: those after `after`, without those of the log after `upto`, as many as `bounds`
    /// let. For logs of [`Guard::Rules`] only.
    fn timeline(&self, space: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>>;

    /// The entries after `after`, as many as `bounds` let. An unknown space is an empty log.
    fn entries(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage>;

    /// Where a log ends.
    fn log_end(&self, space: SpaceAddress) -> Reply<'_, LogEnd>;

    /// How much is stored in all.
    fn totals(&self) -> Reply<'_, Totals>;
}
