//! The thread that syncs by itself.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::{Error, ErrorKind, platform};

/// More often is no sync in the background, but a connection that should be kept open.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A condition variable waits for a bounded time on every platform.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon to look again when another process syncs.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A sync that runs by itself, as long as this lives.
///
/// Dropping it asks the thread to end, and does not wait for it: a request that is on its way ends with the process, or
/// by itself, and either leaves everything whole.
pub struct Background {
    inner: Arc<Inner>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(inner: Arc<Inner>, interval: Duration) -> io::Result<Self> {
        let interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let stops = Arc::new(AtomicBool::new(false));
        let (its_inner, its_stops) = (Arc::clone(&inner), Arc::clone(&stops));
        let thread = platform::spawn("tombolo-sync", move || run(&its_inner, &its_stops, interval))?;
        Ok(Self { inner, stops, thread: Some(thread) })
    }

    /// Syncs as soon as may be, also when it was to wait.
    pub fn sync_now(&self) {
        self.inner.bell.ring();
    }

    /// Ends the thread, and waits until it has: no longer than one request takes.
    pub fn stop(mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            // It ends by a panic where somebody's key store did; there is nothing left to stop then.
            let _ = thread.join();
        }
    }

    fn ask_to_stop(&self) {
        self.stops.store(true, Ordering::SeqCst);
        self.inner.bell.wake();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}

fn run(inner: &Inner, stops: &AtomicBool, interval: Duration) {
    let has_stopped = || stops.load(Ordering::SeqCst);
    let mut backoff = Backoff::default();
    while !has_stopped() {
        // Read before the sync: who rings while it runs wants another one.
        let rings = inner.bell.rings();
        let result = inner.sync_while(&|| !has_stopped());
        inner.bell.wait(rings, wait_after(&result, interval, &mut backoff), &has_stopped);
    }
}

/// How long to wait after a sync; `None` until somebody rings.
fn wait_after<T>(result: &Result<T, Error>, interval: Duration, backoff: &mut Backoff) -> Option<Duration> {
    match result {
        Ok(_) => {
            backoff.reset();
            // Devices that were switched on together are not to come together for ever.
            Some(interval + (interval / 10).mul_f64(platform::fraction()))
        }
        Err(error) if error.needs_configuration() => None,
        Err(error) if matches!(error.kind(), ErrorKind::Busy) => Some(BUSY_WAIT),
        Err(error) => Some(backoff.after_failure(platform::fraction(), error.retry_after())),
    }
}

/// What wakes those that wait.
#[derive(Default)]
pub(crate) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    /// Says that there is something to sync.
    pub(crate) fn ring(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.rung.notify_all();
    }

    /// Lets everybody look again whether they are to stop.
    fn wake(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        self.rung.notify_all();
    }

    /// How often it has rung.
    fn rings(&self) -> u64 {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has rung more often than `rings`, or `has_stopped`, or `timeout` is over.
    fn wait(&self, rings: u64, timeout: Option<Duration>, has_stopped: &dyn Fn() -> bool) {
        let now = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let still = |now: &mut u64| *now == rings && !has_stopped();
        match timeout {
            Some(timeout) => drop(self.rung.wait_timeout_while(now, timeout, still)),
            None => drop(self.rung.wait_while(now, still)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_from_what_went_wrong() {
        let interval = Duration::from_secs(100);
        let wait = |result: Result<(), Error>| wait_after(&result, interval, &mut Backoff::default());
        let ok = wait(Ok(())).unwrap();
        assert!(ok >= interval && ok <= interval * 11 / 10);
        for error in [Error::KeyRefused, Error::DeviceRefused, Error::Erased, Error::NotConfigured] {
            assert_eq!(wait(Err(error)), None);
        }
        assert_eq!(wait(Err(Error::Busy)), Some(BUSY_WAIT));
        assert!(wait(Err(Error::TimedOut)).unwrap() <= Duration::from_secs(2));
        let asked = Error::NotNow { status: 503, retry_after: Some(Duration::from_secs(60)) };
        assert!(wait(Err(asked)).unwrap() >= Duration::from_secs(60));
    }
}
