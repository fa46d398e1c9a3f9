//! What decisions may not have: a clock, randomness and threads come through here.

use crate::ServerTime;

/// The outside world below the server: one clock, one source of randomness, one way to start a thread.
///
/// # Contract
/// `now` may jump, also backwards: nothing may rely on it for order. `fill_random` is fit for secrets. `spawn` starts
/// the work on a thread of that name and returns at once; the work ends by itself when what it serves is dropped.
pub trait Env: Send + Sync + 'static {
    /// The present time by the server's clock.
    fn now(&self) -> ServerTime;

    /// Fills `bytes` with randomness fit for secrets.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Starts `work` on a thread called `name`.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>);
}
