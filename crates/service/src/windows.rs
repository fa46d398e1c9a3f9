//! Counting by key, so many a minute.
//!
//! A key's minute begins with its first request and ends sixty seconds later, whatever comes in between. A bucket that
//! fills again drop by drop would let twice the limit through in its first minute, and nobody could say beforehand
//! which request is the one too many; here the operator's number is the number.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::steady_clock::SteadyClock;

/// What limits are "per", where nothing else is said.
const WINDOW: Duration = Duration::from_secs(60);
/// Looking for keys that can be forgotten walks all of them, so it is done this seldom.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How a request stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Requests of a window, which is a minute where nothing else is said.
    pub limit: u32,
    /// How many more are let through before [`Self::reset`].
    pub remaining: u32,
    /// When the count begins anew, from now.
    pub reset: Duration,
    /// Whether this one was one too many.
    pub is_over: bool,
}

/// Counts of one limit. Beyond a number of keys, further ones share one count, so that memory is bounded whatever comes.
pub(crate) struct Windows<K> {
    limit: NonZeroU32,
    span: Duration,
    keys_max: usize,
    clock: SteadyClock,
    state: Mutex<State<K>>,
}

struct State<K> {
    by_key: HashMap<K, Window>,
    shared: Window,
    swept_at: Duration,
}

#[derive(Clone, Copy, Default)]
struct Window {
    ends_at: Duration,
    count: u32,
}

impl<K: Copy + Eq + Hash> Windows<K> {
    pub(crate) fn new(limit: NonZeroU32, keys_max: usize, clock: SteadyClock) -> Self {
        Self::of_span(limit, WINDOW, keys_max, clock)
    }

    /// Counts in windows of `span`.
    pub(crate) fn of_span(limit: NonZeroU32, span: Duration, keys_max: usize, clock: SteadyClock) -> Self {
        let state = State { by_key: HashMap::new(), shared: Window::default(), swept_at: clock.now() };
        Self { limit, span, keys_max, clock, state: Mutex::new(state) }
    }

    /// How the next request of `key` would stand to the limit; nothing is counted.
    pub(crate) fn standing(&self, key: K) -> Counted {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_key.get(&key).copied();
        let is_shared = own.is_none() && !state.has_room(self.keys_max, now);
        let mut window = own.unwrap_or(if is_shared { state.shared } else { Window::default() });
        window.count(self.limit.get(), self.span, now)
    }

    /// Takes back what was counted of `key` last: nothing came of it.
    pub(crate) fn take_back(&self, key: K) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { by_key, shared, .. } = &mut *state;
        let window = by_key.get_mut(&key).unwrap_or(shared);
        window.count = window.count.saturating_sub(1);
    }

    /// Counts a request of `key`. One that is over the limit is not counted: who keeps asking is not kept out longer.
    pub(crate) fn count(&self, key: K) -> Counted {
        let now = self.clock.now();
        // Each change is whole after every statement, so a panic elsewhere under the lock leaves it usable.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let has_own = state.by_key.contains_key(&key) || state.has_room(self.keys_max, now);
        let window = if has_own { state.by_key.entry(key).or_default() } else { &mut state.shared };
        window.count(self.limit.get(), self.span, now)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.state.lock().unwrap().by_key.len()
    }
}

impl<K: Eq + Hash> State<K> {
    fn has_room(&mut self, keys_max: usize, now: Duration) -> bool {
        if self.by_key.len() >= keys_max && now.saturating_sub(self.swept_at) >= SWEEP_EVERY {
            self.swept_at = now;
            self.by_key.retain(|_, window| window.ends_at > now);
        }
        self.by_key.len() < keys_max
    }
}

impl Window {
    fn count(&mut self, limit: u32, span: Duration, now: Duration) -> Counted {
        if self.ends_at <= now {
            *self = Self { ends_at: now + span, count: 0 };
        }
        let is_over = self.count >= limit;
        if !is_over {
            self.count += 1;
        }
        Counted { limit, remaining: limit - self.count, reset: self.ends_at - now, is_over }
    }
}

/// What counts as one address: a provider gives each customer an IPv6 network of at least 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}
