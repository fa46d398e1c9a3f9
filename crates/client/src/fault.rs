//! Does something in the middle of a sync, for tests: what is left of a crash must be as good as new.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// 0 while nothing is armed.
static STEPS_LEFT: AtomicU64 = AtomicU64::new(0);
static ACT: Mutex<fn()> = Mutex::new(crash);

/// Lets the process abort at the `steps`-th step from now on; never, where it is 0.
pub fn arm(steps: u64) {
    arm_with(steps, crash);
}

/// Lets the process do something at the `steps`-th step from now on, and go on; never, where it is 0.
pub fn arm_with(steps: u64, act: fn()) {
    *ACT.lock().unwrap_or_else(PoisonError::into_inner) = act;
    STEPS_LEFT.store(steps, Ordering::SeqCst);
}

/// A place where a crash must do no harm. Does nothing unless [`arm`] said so.
///
/// The name is for whoever reads the code: which step it was is the test's number.
pub(crate) fn step(_name: &str) {
    let before = STEPS_LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if before == Ok(1) {
        let act = *ACT.lock().unwrap_or_else(PoisonError::into_inner);
        act();
    }
}

fn crash() {
    std::process::abort();
}
