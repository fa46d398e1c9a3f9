//! Ends the process in the middle of a sync, for tests: what is left must be as good as new.

use std::sync::atomic::{AtomicU64, Ordering};

/// 0 while nothing is armed.
static STEPS_LEFT: AtomicU64 = AtomicU64::new(0);

/// Lets the process abort at the `steps`-th step from now on; never, where it is 0.
pub fn arm(steps: u64) {
    STEPS_LEFT.store(steps, Ordering::SeqCst);
}

/// A place where a crash must do no harm. Does nothing unless [`arm`] said so.
///
/// The name is for whoever reads the code: which step it was is the test's number.
pub(crate) fn step(_name: &str) {
    let before = STEPS_LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if before == Ok(1) {
        std::process::abort();
    }
}
