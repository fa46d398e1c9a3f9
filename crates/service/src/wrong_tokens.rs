//! How many wrong tokens an address may present.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env, limits};

use crate::steady_clock::SteadyClock;
use crate::windows::{Windows, network};

/// Counts wrong tokens by address. Only wrong tokens are counted, and only wrong tokens are refused by it.
pub(crate) struct WrongTokens(Windows<IpAddr>);

impl WrongTokens {
    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        let per_minute = NonZeroU32::new(limits::WRONG_TOKENS_PER_MINUTE).expect("the limit is not zero");
        Self(Windows::new(per_minute, limits::COUNTED_ADDRESSES_MAX, SteadyClock::new(env)))
    }

    /// Counts a wrong token from `address`.
    ///
    /// # Errors
    /// How long to wait when it was one too many.
    pub(crate) fn count(&self, address: IpAddr) -> Result<(), Duration> {
        let counted = self.0.count(network(address));
        if counted.is_over { Err(counted.reset) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tombolo_core::ServerTime;

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
    fn thirty_a_minute_that_begins_with_the_first() {
        let (hands, wrong) = start();
        wrong.count(addr("192.0.2.1")).unwrap();
        hands.set(START.plus(Duration::from_secs(40)));
        for _ in 1..limits::WRONG_TOKENS_PER_MINUTE {
            wrong.count(addr("192.0.2.1")).unwrap();
        }
        assert_eq!(wrong.count(addr("192.0.2.1")), Err(Duration::from_secs(20)));
        hands.set(START.plus(Duration::from_secs(59)));
        assert_eq!(wrong.count(addr("192.0.2.1")), Err(Duration::from_secs(1)));
        hands.set(START.plus(Duration::from_secs(60)));
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
        assert_eq!(wrong.0.keys(), limits::COUNTED_ADDRESSES_MAX);
        assert!(wrong.count(addr("0.0.0.7")).is_ok(), "whoever was there before keeps a count of its own");
        hands.set(START.plus(Duration::from_secs(60)));
        assert!(wrong.count(addr("192.0.2.2")).is_ok());
        assert_eq!(wrong.0.keys(), 1);
    }
}
