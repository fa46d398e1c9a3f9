//! Signing in: a device asks, somebody with the right to approves, the device gets its key.
//!
//! Whoever starts a sign-in never approves it by himself. What approves it is a link that only its address was mailed,
//! or the server's owner on his command line.

mod approve;
mod letters;
mod redeem;
pub(crate) mod secrets;
mod start;

use std::sync::Arc;

use tombolo_core::Env;
use tombolo_storage::SignIns;

use crate::Outbox;

pub use approve::{CodeEntered, LinkOpened, OwnerApproval, Request};
pub use letters::to_minute;
pub use redeem::{Exchange, GrantedKey, KeyWish, Polled};
pub use secrets::LinkToken;
pub use start::{CodeStarted, StateError, WebRefused, WebState};

/// How people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionOptions {
    /// The address under which people reach the server, without a slash at its end.
    pub base_url: String,
    /// The path below it to which an approval link leads.
    pub approve_path: &'static str,
    /// Whether an address without an account gets one when its owner approves.
    pub allow_signup: bool,
    /// The page that is called back with what was mailed; without one, no page signs in.
    pub web_callback_url: Option<String>,
}

/// Lets devices in: begins sign-ins, approves them, gives out their keys.
///
/// Nothing here says whether an address has an account, but to who reads its mail: each way of starting does the same
/// work and gives the same answer for any address, and mails are sent by somebody else, later.
pub struct Admissions {
    store: Arc<dyn SignIns>,
    env: Arc<dyn Env>,
    outbox: Outbox,
    options: AdmissionOptions,
}

impl Admissions {
    /// Sign-ins that are kept in `store`, whose links leave through `outbox`.
    #[must_use]
    pub fn new(store: Arc<dyn SignIns>, env: Arc<dyn Env>, outbox: Outbox, options: AdmissionOptions) -> Self {
        Self { store, env, outbox, options }
    }

    /// The address under which people reach the server, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.options.base_url
    }

    /// Whether links are mailed; if not, the server's owner approves.
    #[must_use]
    pub const fn sends_mail(&self) -> bool {
        self.outbox.is_open()
    }
}
