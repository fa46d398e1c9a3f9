//! Users and what lets their devices in.

use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, UserId};

use crate::Reply;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The store's number for it.
    pub id: UserId,
    /// Unique in the store.
    pub name: Name,
    /// What it signs in with, unique without regard to case; never logged.
    pub email: Option<String>,
    /// When it was added.
    pub created_at: ServerTime,
    /// Since when it is somebody's; `None` while it is pending: its address was added or invited to a project, and
    /// nobody signed in with it yet; then it goes with the last of what made it. Or it is known in one protocol only
    /// ([`crate::Identities::add_identity`]): then it stays.
    pub confirmed_at: Option<ServerTime>,
    /// Since when its credentials open nothing.
    pub disabled_at: Option<ServerTime>,
}

/// A credential as the operator sees it: nothing in it opens anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The store's number for it.
    pub id: CredentialId,
    /// Unique among its user's.
    pub name: Name,
    /// Whose it is.
    pub user: Name,
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// When it was made.
    pub created_at: ServerTime,
    /// When it last let someone in, to the minute.
    pub last_used_at: Option<ServerTime>,
    /// When it ends.
    pub expires_at: Option<ServerTime>,
}

/// A credential to be made. Its secret is known to the store by its hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// Whose it is to be.
    pub user: UserId,
    /// Unique among the user's.
    pub name: Name,
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// What finds it ([`tombolo_core::TokenText::locator`]); unique in the store.
    pub prefix: String,
    /// The hash of the whole secret, in PHC form; empty where what finds it proves it.
    pub hash: String,
    /// When it is made.
    pub created_at: ServerTime,
    /// When it ends; `None` for never.
    pub expires_at: Option<ServerTime>,
}

/// A credential as it is found by its prefix: enough to verify a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCredential {
    /// The store's number for it.
    pub id: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// The hash of the whole secret, in PHC form; empty where what finds it proves it.
    pub hash: String,
    /// When it ends.
    pub expires_at: Option<ServerTime>,
}

/// What became of a new user or credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added<T> {
    /// It was made.
    New(T),
    /// The name was taken; nothing was changed.
    NameTaken,
    /// The e-mail address was another user's; nothing was changed.
    EmailTaken,
}

/// A write that was refused, for the operator. Holds no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose device sent it.
    pub user: Name,
    /// The device.
    pub device: String,
    /// The record's id as it was sent, cut to [`tombolo_core::limits::RECORD_NAME_BYTES_MAX`].
    pub record: String,
    /// The record's kind as it was sent, cut likewise.
    pub kind: String,
    /// One sentence.
    pub reason: String,
    /// When it was last refused.
    pub at: ServerTime,
}

/// Users, credentials and refusals.
///
/// # Contract
/// Each method is one transaction. What it changed is durable when it returns `Ok`, and visible to every process on
/// the same database. Dropping a future midway leaves the call done or not done, never half done.
pub trait Accounts: Send + Sync {
    /// Adds a user. Whoever is pending under `email` becomes this user: he gets the name, is confirmed, and keeps what
    /// he belongs to. Else whoever is pending by this name without an address does: he is confirmed, and gets `email`;
    /// where that is another's by then, be he pending or not, it is the address that is taken.
    fn add_user<'a>(
        &'a self,
        name: &'a Name,
        email: Option<&'a EmailAddress>,
        now: ServerTime,
    ) -> Reply<'a, Added<UserId>>;

    /// The user under this number, disabled or not.
    fn user_by_id(&self, id: UserId) -> Reply<'_, Option<User>>;

    /// The user called `name`, disabled or not.
    fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>>;

    /// All users, by name.
    fn users(&self) -> Reply<'_, Vec<User>>;

    /// Disables the user called `name`; `false` when there is none. Disabling twice keeps the first time.
    fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool>;

    /// Adds a credential.
    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>>;

    /// The credentials of `user`, or of all users, by user and name.
    fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>>;

    /// Revokes (deletes) the credential of `user` called `name`; `false` when there is none.
    fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool>;

    /// Revokes (deletes) the credential of `user` under this number, if it opens `purpose`; `false` when there is none.
    fn revoke_credential_by_id(&self, user: UserId, id: CredentialId, purpose: Purpose) -> Reply<'_, bool>;

    /// Finds the credential of an enabled user by its prefix.
    fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>>;

    /// Those of `ids` that still exist and whose user is enabled.
    fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>>;

    /// Notes when credentials last let someone in. Unknown ids are passed over; a time never goes back.
    fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()>;

    /// The newest refusals, newest first, of `user` or of all users: at most
    /// [`tombolo_core::limits::REFUSALS_MAX`] for each.
    fn refusals(&self, user: Option<UserId>) -> Reply<'_, Vec<Refusal>>;
}
