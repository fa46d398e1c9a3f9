//! How many wrong tokens an address may present.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tombolo_core::{Env, ServerTime, limits};

/// Counts wrong tokens by address.
///
/// Only wrong tokens are counted and only wrong tokens are refused by it, so it can be coarse where memory asks for
/// it: when too many addresses are counted, the further ones share one count.
pub(crate) struct WrongTokens {
    clock: SteadyClock,
    by_address: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, SteadyClock, NoOpMiddleware<Duration>>,
    shared: RateLimiter<NotKeyed, InMemoryState, SteadyClock, NoOpMiddleware<Duration>>,
    swept_at: Mutex<Duration>,
}

impl WrongTokens {
    /// Looking for addresses that can be forgotten walks all of them, so it is done this seldom.
    const SWEEP_EVERY: Duration = Duration::from_secs(10);

    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        let clock = SteadyClock::new(env);
        let per_minute = NonZeroU32::new(limits::WRONG_TOKENS_PER_MINUTE).expect("the limit is not zero");
        let quota = Quota::per_minute(per_minute);
        Self {
            by_address: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            shared: RateLimiter::direct_with_clock(quota, clock.clone()),
            swept_at: Mutex::new(clock.now()),
            clock,
        }
    }

    /// Counts a wrong token from `address`.
    ///
    /// # Errors
    /// How long to wait when it was one too many.
    pub(crate) fn count(&self, address: IpAddr) -> Result<(), Duration> {
        if self.has_room() {
            return self.by_address.check_key(&network(address)).map_err(|no| no.wait_time_from(self.clock.now()));
        }
        self.shared.check().map_err(|no| no.wait_time_from(self.clock.now()))
    }

    fn has_room(&self) -> bool {
        if self.by_address.len() < limits::COUNTED_ADDRESSES_MAX {
            return true;
        }
        let now = self.clock.now();
        let mut swept_at = self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*swept_at) < Self::SWEEP_EVERY {
            return false;
        }
        *swept_at = now;
        self.by_address.retain_recent();
        self.by_address.len() < limits::COUNTED_ADDRESSES_MAX
    }
}

/// What counts as one address: a provider gives each customer an IPv6 network of at least 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// A clock that never goes back, made from one that may: when the server's clock is set back, time goes on from where
/// it was, so that nobody is kept out for as long as the clock was wrong.
#[derive(Clone)]
struct SteadyClock {
    env: Arc<dyn Env>,
    read: Arc<Mutex<Reading>>,
}

struct Reading {
    at: ServerTime,
    elapsed: Duration,
}

impl SteadyClock {
    fn new(env: Arc<dyn Env>) -> Self {
        let read = Reading { at: env.now(), elapsed: Duration::ZERO };
        Self { env, read: Arc::new(Mutex::new(read)) }
    }
}

impl Clock for SteadyClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.env.now();
        let passed = now.since(read.at);
        read.elapsed += passed;
        read.at = now;
        read.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hands(Mutex<ServerTime>);

    impl Hands {
        fn set(&self, time: ServerTime) {
            *self.0.lock().unwrap() = time;
        }
    }

    impl Env for Hands {
        fn now(&self) -> ServerTime {
            *self.0.lock().unwrap()
        }

        fn fill_random(&self, _: &mut [u8]) {
            unreachable!("counting needs no randomness");
        }

        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) {
            unreachable!("counting needs no thread");
        }
    }

    const START: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

    fn start() -> (Arc<Hands>, WrongTokens) {
        let hands = Arc::new(Hands(Mutex::new(START)));
        (hands.clone(), WrongTokens::new(hands))
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn use_up(wrong: &WrongTokens, address: IpAddr) -> Duration {
        for _ in 0..limits::WRONG_TOKENS_PER_MINUTE {
            wrong.count(address).unwrap();
        }
        wrong.count(address).unwrap_err()
    }

    #[test]
    fn thirty_a_minute_then_one_every_two_seconds() {
        let (hands, wrong) = start();
        assert_eq!(use_up(&wrong, addr("192.0.2.1")), Duration::from_secs(2));
        hands.set(START.plus(Duration::from_secs(2)));
        assert!(wrong.count(addr("192.0.2.1")).is_ok());
        assert!(wrong.count(addr("192.0.2.1")).is_err());
        hands.set(START.plus(Duration::from_secs(62)));
        use_up(&wrong, addr("192.0.2.1"));
    }

    #[test]
    fn what_counts_as_one_address() {
        let (_, wrong) = start();
        use_up(&wrong, addr("192.0.2.1"));
        assert!(wrong.count(addr("192.0.2.2")).is_ok());
        assert!(wrong.count(addr("::ffff:192.0.2.1")).is_err());
        use_up(&wrong, addr("2001:db8::1"));
        assert!(wrong.count(addr("2001:db8::ffff:2")).is_err());
        assert!(wrong.count(addr("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_clock_set_back_keeps_nobody_out() {
        let (hands, wrong) = start();
        use_up(&wrong, addr("192.0.2.1"));
        hands.set(START.minus(Duration::from_secs(86_400)));
        assert!(wrong.count(addr("192.0.2.1")).is_err());
        hands.set(START.minus(Duration::from_secs(86_340)));
        assert!(wrong.count(addr("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_shares_one_count_until_it_is_over() {
        let (hands, wrong) = start();
        for n in 0..limits::COUNTED_ADDRESSES_MAX {
            wrong.count(IpAddr::V4(u32::try_from(n).unwrap().into())).unwrap();
        }
        use_up(&wrong, addr("192.0.2.1"));
        assert!(wrong.count(addr("192.0.2.2")).is_err());
        assert_eq!(wrong.by_address.len(), limits::COUNTED_ADDRESSES_MAX);
        hands.set(START.plus(Duration::from_secs(120)));
        assert!(wrong.count(addr("192.0.2.2")).is_ok());
        assert_eq!(wrong.by_address.len(), 1);
    }
}
