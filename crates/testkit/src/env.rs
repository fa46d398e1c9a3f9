//! A world that a test decides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tombolo_core::{Env, Instant, ServerTime};

/// The instant `seconds` after [`TestEnv::START`].
///
/// # Panics
/// Outside the years that an instant can have.
#[must_use]
pub fn at(seconds: i64) -> Instant {
    let nanos = TestEnv::START.to_instant().nanos() + i128::from(seconds) * 1_000_000_000;
    Instant::from_nanos(nanos).expect("tests stay within the calendar")
}

/// A clock set by hand, randomness from a seed, real threads.
#[derive(Debug)]
pub struct TestEnv {
    now: Mutex<ServerTime>,
    seed: Mutex<u64>,
}

impl TestEnv {
    /// 2027-01-15T08:00:00Z: where every test's clock starts.
    pub const START: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

    /// A world whose randomness follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { now: Mutex::new(Self::START), seed: Mutex::new(seed) }
    }

    /// Sets the clock, also back.
    pub fn set(&self, now: ServerTime) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the clock on.
    pub fn advance(&self, span: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.plus(span);
    }
}

impl Env for TestEnv {
    fn now(&self) -> ServerTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SplitMix64: good enough for ids that differ, and no secret is at stake.
    fn fill_random(&self, bytes: &mut [u8]) {
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            *byte = (mixed ^ (mixed >> 27)).to_be_bytes()[0];
        }
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        std::thread::Builder::new().name(name.to_owned()).spawn(work).expect("a test can start a thread");
    }
}
