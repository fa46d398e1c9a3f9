//! How users are known in one protocol, and what stands in for their passwords and keys for a while.

use tombolo_core::{CredentialId, Name, Purpose, ServerTime, UserId};

use crate::{Reply, SecretHash, Unfit};

/// How a user is known in a protocol.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose it is. He may be pending: known in this protocol, and nowhere else.
    pub user: UserId,
    /// What what he writes is signed with; it never changes.
    pub subject: Name,
    /// What he signs in with, if he can.
    pub username: Option<Name>,
    /// The hash of his password, in PHC form, if he has one.
    pub password: Option<String>,
    /// Whether he is disabled, and nothing lets him in.
    pub is_disabled: bool,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("user", &self.user).field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What finds an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityKey {
    /// Its subject.
    Subject(Name),
    /// Its username.
    Username(Name),
    /// Its user.
    User(UserId),
}

/// An identity to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewIdentity {
    /// Its protocol.
    pub purpose: Purpose,
    /// Unique in the protocol. The user of this name becomes it; where there is none, one is made that is pending.
    pub subject: Name,
    /// What he signs in with, unique in the protocol.
    pub username: Username,
    /// The hash of his password, in PHC form.
    pub password: Option<String>,
}

impl std::fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewIdentity").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What somebody is to sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Username {
    /// His subject, unless another has it already; then nothing.
    Subject,
    /// This.
    Named(Name),
}

/// What became of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityAdded {
    /// It was made.
    New(UserId),
    /// There is one of this subject, or the user of this name is known under another; nothing was changed.
    Known(UserId),
    /// Another has this username; nothing was changed.
    UsernameTaken,
}

impl IdentityAdded {
    /// Whether it can be what an entry does.
    pub(crate) const fn fits(self) -> Result<(), Unfit> {
        match self {
            Self::New(_) => Ok(()),
            Self::Known(_) => Err(Unfit::Known),
            Self::UsernameTaken => Err(Unfit::UsernameTaken),
        }
    }
}

/// What is to be changed of an identity; what is none stays.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IdentityChange {
    /// What he signs in with.
    pub username: Option<Name>,
    /// The hash of his password, in PHC form.
    pub password: Option<String>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityChanged {
    /// It was made.
    Done,
    /// There is no such identity.
    Unknown,
    /// Another has this username; nothing was changed.
    UsernameTaken,
}

/// What stands in for a key where none can be sent: good once, and for a short time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose it is.
    pub user: UserId,
    /// The key that it stands for, if it is one.
    pub credential: Option<CredentialId>,
    /// When what it stands for ends; `None` for never.
    pub ends_at: Option<ServerTime>,
    /// What the protocol wants to know again.
    pub form: i64,
}

/// Identities, setup tokens, tickets and the server's own secrets.
///
/// # Contract
/// Each method is one transaction, durable when it returns `Ok`, and visible to every process on the same database.
/// Dropping a future midway leaves the call done or not done.
pub trait Identities: Send + Sync {
    /// Finds somebody, disabled or not.
    fn identity(&self, purpose: Purpose, key: IdentityKey) -> Reply<'_, Option<Identity>>;

    /// Makes somebody known in a protocol.
    fn add_identity(&self, new: NewIdentity, now: ServerTime) -> Reply<'_, IdentityAdded>;

    /// Changes what somebody signs in with.
    fn change_identity(&self, purpose: Purpose, user: UserId, change: IdentityChange) -> Reply<'_, IdentityChanged>;

    /// For whom a setup token was given out, as long as it is good and he is not disabled.
    fn setup_token(&self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Reply<'_, Option<Identity>>;

    /// Keeps a ticket until `expires_at`. Those that ended are swept away; beyond
    /// [`tombolo_core::limits::TICKETS_MAX`] of one user the oldest goes.
    fn keep_ticket(&self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) -> Reply<'_, ()>;

    /// Uses a ticket up: it is returned once, if it is good, its user is not disabled and its key still there.
    fn use_ticket(&self, hash: SecretHash, now: ServerTime) -> Reply<'_, Option<Ticket>>;

    /// The server's secret of this name; `fresh` becomes it where there is none. All processes get the same one.
    fn secret<'a>(&'a self, name: &'a str, fresh: &'a [u8]) -> Reply<'a, Vec<u8>>;
}
