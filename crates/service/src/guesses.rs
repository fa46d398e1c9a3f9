//! How often one may be wrong about a secret that people can guess.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env, limits};

use crate::steady_clock::SteadyClock;
use crate::windows::{Windows, network};

/// How many wrong guesses a minute has.
#[derive(Clone, Copy)]
pub(crate) struct GuessLimits {
    /// Of one address.
    pub(crate) of_address: u32,
    /// At one target.
    pub(crate) at_target: u32,
}

/// Counts wrong guesses by the address that they come from, and by what they are at.
///
/// A guess counts until it proves right, so that many that are made at once are not more than are let through.
pub(crate) struct Guesses<K> {
    of_address: Windows<IpAddr>,
    at_target: Windows<K>,
}

/// A guess that was let through.
#[derive(Clone, Copy)]
pub(crate) struct Guess<K> {
    address: IpAddr,
    target: K,
}

impl<K: Copy + Eq + Hash> Guesses<K> {
    pub(crate) fn new(GuessLimits { of_address, at_target }: GuessLimits, env: Arc<dyn Env>) -> Self {
        let clock = SteadyClock::new(env);
        let limit = |limit| NonZeroU32::new(limit).expect("the limits are not zero");
        Self {
            of_address: Windows::new(limit(of_address), limits::COUNTED_ADDRESSES_MAX, clock.clone()),
            at_target: Windows::new(limit(at_target), limits::COUNTED_ADDRESSES_MAX, clock),
        }
    }

    /// Begins a guess, which counts as wrong.
    ///
    /// # Errors
    /// How long to wait when it is one too many; it is not to be looked at then, and counts for nothing.
    pub(crate) fn begin(&self, address: IpAddr, target: K) -> Result<Guess<K>, Duration> {
        let address = network(address);
        let counted = self.of_address.count(address);
        if counted.is_over {
            return Err(counted.reset);
        }
        let counted = self.at_target.count(target);
        if counted.is_over {
            self.of_address.take_back(address);
            return Err(counted.reset);
        }
        Ok(Guess { address, target })
    }

    /// Ends a guess that was not wrong.
    pub(crate) fn take_back(&self, guess: Guess<K>) {
        self.of_address.take_back(guess.address);
        self.at_target.take_back(guess.target);
    }
}
