//! Waiting for a stated condition, within a stated bound.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks: short beside everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A bound of failure: what is waited for takes milliseconds, and seconds where a disk or a processor is shared with
/// others.
pub const FOREVER: Duration = Duration::from_secs(90);

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// When it found nothing `within` the bound; `what` says in the message what was waited for.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let stopwatch = Stopwatch::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(stopwatch.elapsed() < within, "{what}: it did not happen within {within:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Sets a flag that others wait for when it is dropped: also when a test fails, which would otherwise wait for those who
/// wait for it, and never be told.
#[derive(Debug)]
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How long something took: for bounds that a requirement states.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the process under test runs on the machine's clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has gone by since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Runs `work` on a thread of its own.
///
/// # Panics
/// When no thread can be made.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().name("testkit".to_owned()).spawn(work).expect("a thread can be made")
}
