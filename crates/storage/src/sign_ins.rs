//! Sign-ins: requests of devices that wait until whoever has the address, or the server's owner, approves.

use std::time::Duration;

use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, SignInId, UserId};

use crate::Reply;

/// How long a sign-in is kept after its end, so that whoever asks is told how it ended.
pub(crate) const ENDED_KEPT: Duration = Duration::from_secs(3_600);
/// Ended sign-ins that one beginning sweeps away: more than come with it, and done in a moment.
pub(crate) const SWEPT_MAX: usize = 200;

/// The SHA-256 of a secret of a sign-in. The secret itself is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

/// How somebody signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// A device shows a short code, which its user types into a page.
    Code,
    /// A device proves with a verifier that it is the one that asked (PKCE).
    Verifier,
    /// A page is called back with what was mailed.
    Web,
}

/// A sign-in that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSignIn {
    /// Its public name for the server's owner: eight letters and digits, unique.
    pub request: String,
    /// How.
    pub flow: Flow,
    /// Who says he is signing in.
    pub email: EmailAddress,
    /// What the device calls itself; may be empty.
    pub device: String,
    /// What the device asks with.
    pub device_code: SecretHash,
    /// What its user types.
    pub user_code: Option<SecretHash>,
    /// SHA-256 of the verifier, or of the state that a page keeps.
    pub challenge: Option<SecretHash>,
    /// What is mailed with it at once; else [`SignIns::offer_link`] does that later.
    pub link: Option<SecretHash>,
    /// The server's time.
    pub now: ServerTime,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// A sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The store's number for it.
    pub id: SignInId,
    /// Its public name.
    pub request: String,
    /// How.
    pub flow: Flow,
    /// Who says he is signing in, as typed; never logged.
    pub email: EmailAddress,
    /// What the device calls itself.
    pub device: String,
    /// As in [`NewSignIn`].
    pub challenge: Option<SecretHash>,
    /// When it began.
    pub created_at: ServerTime,
    /// When it ends.
    pub expires_at: ServerTime,
    /// Since when it is approved, and for which user.
    pub approved: Option<(ServerTime, UserId)>,
    /// Since when its key was given out: it is used up.
    pub consumed_at: Option<ServerTime>,
    /// Links that were mailed for it so far.
    pub links: u64,
}

/// What finds a sign-in. One that ended is found until it is swept away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInKey {
    /// Its public name, in upper case.
    Request(String),
    /// What the device asks with.
    DeviceCode(SecretHash),
    /// What its user typed. Of several, the newest that still waits.
    UserCode(SecretHash),
    /// What was mailed.
    Link(SecretHash),
}

/// Whether an address without an account gets one when its sign-in is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// It does: sign-up is open, or the server's owner approved.
    Open,
    /// Only a pending account becomes real, while it belongs to a project that is not deleted, or has an invitation to
    /// one that waits.
    Closed,
}

/// What became of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approved {
    /// The device gets its key when it asks next.
    Done {
        /// Whose.
        user: UserId,
        /// Whether the account was made by it.
        is_new: bool,
    },
    /// It was approved before; nothing was changed.
    Already,
    /// It ended, or there is none.
    Expired,
    /// The address has no account and gets none, or its user is disabled.
    NoAccount,
}

/// A key to be given out for a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its wished name; ` (2)`, ` (3)`, … is added when the user has one of that name already.
    pub name: Name,
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// As in [`crate::NewCredential`].
    pub prefix: String,
    /// As in [`crate::NewCredential`].
    pub hash: String,
    /// When it ends.
    pub expires_at: Option<ServerTime>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It was made, once and for all.
    Key {
        /// The store's number for it.
        credential: CredentialId,
        /// Whose it is.
        user: UserId,
    },
    /// Nobody approved yet.
    Waiting,
    /// It ended, there is none, or its user was disabled meanwhile.
    Expired,
    /// It was given out before.
    Consumed,
}

/// Sign-ins.
///
/// # Contract
/// Each method is one transaction, durable when it returns `Ok`, and visible to every node: whichever is asked. What is
/// kept is bounded: at most [`tombolo_core::limits::SIGN_INS_MAX`] of all and
/// [`tombolo_core::limits::SIGN_INS_PER_ADDRESS_MAX`] of one address; beyond it the oldest goes, and of those that
/// ended any goes first. Those that were approved and whose device has yet to come go last, and before them those for
/// which a link was mailed: nobody else can push them out of their address, nor make room for more mail. One that ended
/// is kept for an hour, if nothing else pushes it out.
pub trait SignIns: Send + Sync {
    /// Begins a sign-in, whether or not its address has an account, at the same cost.
    fn begin_sign_in(&self, new: NewSignIn) -> Reply<'_, SignInId>;

    /// Finds a sign-in.
    fn find_sign_in(&self, key: SignInKey) -> Reply<'_, Option<SignIn>>;

    /// Those that wait for their approval at `now`, the oldest first.
    fn sign_ins(&self, now: ServerTime) -> Reply<'_, Vec<SignIn>>;

    /// Notes a link that is going to be mailed for a sign-in, in place of any before; `false`, and nothing is noted,
    /// when it does not wait any more, or `links_max` were mailed since `since` to its address, for whatever sign-in:
    /// all those of a sign-in count with its last one, and what is longer ago than an hour is forgotten.
    fn offer_link(
        &self,
        sign_in: SignInId,
        link: SecretHash,
        links_max: u64,
        since: ServerTime,
        now: ServerTime,
    ) -> Reply<'_, bool>;

    /// Whether mail that lets `email` in may be sent: it has an account that is not disabled, real or, as for
    /// [`SignUp::Closed`], pending.
    fn has_account<'a>(&'a self, email: &'a EmailAddress, now: ServerTime) -> Reply<'a, bool>;

    /// Approves a sign-in; its account is made, or becomes real, where `sign_up` lets it.
    fn approve_sign_in(&self, sign_in: SignInId, sign_up: SignUp, now: ServerTime) -> Reply<'_, Approved>;

    /// Makes the key of an approved sign-in and uses the sign-in up, in one step. Keys of this user and purpose that
    /// ended are swept away; above [`tombolo_core::limits::KEYS_MAX`] the one longest unused goes.
    fn redeem_sign_in(&self, sign_in: SignInId, key: NewKey, now: ServerTime) -> Reply<'_, Redeemed>;
}
