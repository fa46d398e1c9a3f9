//! How much of a server one client may have in a minute.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use tombolo_core::{CredentialId, Env, limits};

use crate::steady_clock::SteadyClock;
pub use crate::windows::Counted;
use crate::windows::{Windows, network};

/// Requests of a minute; 0 for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitOptions {
    /// Of one address to sign in.
    pub auth: u32,
    /// Pushes of one key.
    pub push: u32,
    /// Pulls of one key.
    pub pull: u32,
    /// Everything else of one key; also how often one address may ask how its sign-in is getting on.
    pub other: u32,
}

impl Default for RateLimitOptions {
    fn default() -> Self {
        Self { auth: 10, push: 60, pull: 120, other: 300 }
    }
}

/// Which count a request with a key belongs to. No two share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyClass {
    /// Pushes of one key.
    Push,
    /// Pulls of one key.
    Pull,
    /// Everything else of one key.
    Other,
}

/// Which count a request without a key belongs to. No two share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// What begins or ends a sign-in.
    SignIn,
    /// Asking how a sign-in is getting on: a device does so every few seconds, and one refusal ends it.
    Poll,
}

/// The counts of a process. Each node of several counts for itself.
pub struct RateLimits {
    sign_in: Option<Windows<IpAddr>>,
    poll: Option<Windows<IpAddr>>,
    push: Option<Windows<CredentialId>>,
    pull: Option<Windows<CredentialId>>,
    other: Option<Windows<CredentialId>>,
}

impl RateLimits {
    /// Counts from nothing.
    #[must_use]
    pub fn new(options: RateLimitOptions, env: Arc<dyn Env>) -> Self {
        let clock = SteadyClock::new(env);
        let RateLimitOptions { auth, push, pull, other } = options;
        let by_address =
            |limit| Some(Windows::new(NonZeroU32::new(limit)?, limits::COUNTED_ADDRESSES_MAX, clock.clone()));
        let by_key = |limit| Some(Windows::new(NonZeroU32::new(limit)?, limits::COUNTED_KEYS_MAX, clock.clone()));
        Self {
            sign_in: by_address(auth),
            poll: by_address(other),
            push: by_key(push),
            pull: by_key(pull),
            other: by_key(other),
        }
    }

    /// Counts a request with a key; `None` where there is no limit.
    #[must_use]
    pub fn count_key(&self, class: KeyClass, key: CredentialId) -> Option<Counted> {
        let windows = match class {
            KeyClass::Push => &self.push,
            KeyClass::Pull => &self.pull,
            KeyClass::Other => &self.other,
        };
        Some(windows.as_ref()?.count(key))
    }

    /// Counts a request without a key; `None` where there is no limit.
    ///
    /// An IPv6 network of 64 bits counts as one address.
    #[must_use]
    pub fn count_address(&self, class: AddressClass, address: IpAddr) -> Option<Counted> {
        let windows = match class {
            AddressClass::SignIn => &self.sign_in,
            AddressClass::Poll => &self.poll,
        };
        Some(windows.as_ref()?.count(network(address)))
    }
}
