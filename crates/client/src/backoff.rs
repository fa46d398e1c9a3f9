//! How long to wait after a sync that failed.

use std::time::Duration;

/// After a first failure: most are over as soon as the laptop has its network back.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// However often it failed: a server that is back is noticed within a quarter of an hour.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Doublings after which [`WAIT_MAX`] is reached.
const DOUBLINGS_MAX: u32 = 10;

/// What a server may ask for, at most: a mistaken `Retry-After` must not end the sync for days.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Begins anew, after a success.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one failure more: anywhere between [`WAIT_MIN`] and a bound that doubles, so that devices which
    /// failed together do not come back together. Never less than the server asked for, and little more. `fraction`
    /// is random, between 0 and 1.
    pub(crate) fn after_failure(&mut self, fraction: f64, retry_after: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        let bound = (WAIT_MIN * 2_u32.pow(self.failures)).min(WAIT_MAX);
        match retry_after {
            Some(asked) => {
                let asked = asked.min(RETRY_AFTER_MAX);
                asked + (WAIT_MIN + asked / 10).mul_f64(fraction)
            }
            None => WAIT_MIN + (bound - WAIT_MIN).mul_f64(fraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let secs = |fraction: f64| {
            let mut backoff = Backoff::default();
            (0..12).map(|_| backoff.after_failure(fraction, None).as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(secs(0.0), [1; 12]);
        assert_eq!(secs(1.0), [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        let mut backoff = Backoff::default();
        backoff.after_failure(1.0, None);
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0, None), Duration::from_secs(2));
    }

    #[test]
    fn the_server_decides_up_to_an_hour() {
        let wait =
            |fraction, secs| Backoff::default().after_failure(fraction, Some(Duration::from_secs(secs))).as_secs();
        assert_eq!((wait(0.0, 60), wait(1.0, 60)), (60, 67));
        assert_eq!((wait(0.0, 0), wait(1.0, 0)), (0, 1));
        assert_eq!((wait(0.0, 86_400), wait(1.0, 86_400)), (3_600, 3_600 + 361));
    }
}
