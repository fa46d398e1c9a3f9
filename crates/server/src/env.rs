//! The real clock, the system's randomness and real threads.

use std::time::{SystemTime, UNIX_EPOCH};

use tombolo_core::{Env, ServerTime};

/// The outside world of a running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemEnv;

impl Env for SystemEnv {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> ServerTime {
        // A clock before 1970 is no clock; the epoch is as good an answer as any.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ServerTime::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("a system without randomness cannot make secrets, so nothing may go on");
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(work).expect("a system that starts no thread at start-up cannot run a server");
    }
}
