//! How commits go: counted where they happen, read where somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From a tenth of a millisecond, a commit on a fast disk, to where clients give up.
const MICROS_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];
/// Up to what one commit takes along.
const JOBS_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Values in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The greatest value of each bucket, rising, and how many lie in it and not in an earlier one.
    pub buckets: Vec<(u64, u64)>,
    /// How many lie above the last bucket.
    pub above: u64,
    /// All values together.
    pub sum: u64,
}

/// How commits went since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// How long each took, from its transaction's beginning until it was on the disk. In microseconds.
    pub micros: Spread,
    /// How many requests each brought to the disk.
    pub jobs: Spread,
    /// Requests that wait for a commit now.
    pub jobs_waiting: usize,
}

/// Counts commits. To count one costs a few atomic additions.
#[derive(Debug)]
pub(crate) struct CommitCounter {
    micros: Tally,
    jobs: Tally,
}

impl Default for CommitCounter {
    fn default() -> Self {
        Self { micros: Tally::new(MICROS_BOUNDS), jobs: Tally::new(JOBS_BOUNDS) }
    }
}

impl CommitCounter {
    /// Counts a commit that served `jobs` requests.
    pub(crate) fn count(&self, jobs: usize, took: Duration) {
        self.micros.count(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.jobs.count(u64::try_from(jobs).unwrap_or(u64::MAX));
    }

    pub(crate) fn read(&self, jobs_waiting: usize) -> CommitCounts {
        CommitCounts { micros: self.micros.read(), jobs: self.jobs.read(), jobs_waiting }
    }
}

#[derive(Debug)]
struct Tally {
    bounds: &'static [u64],
    /// One more than bounds.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Tally {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    fn count(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Spread {
        let count = |place: usize| self.counts[place].load(Ordering::Relaxed);
        Spread {
            buckets: self.bounds.iter().enumerate().map(|(place, bound)| (*bound, count(place))).collect(),
            above: count(self.bounds.len()),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_first_bucket_that_holds_it() {
        let tally = Tally::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            tally.count(value);
        }
        let expected = Spread { buckets: vec![(1, 2), (10, 2), (100, 2)], above: 2, sum: 5_225 };
        assert_eq!(tally.read(), expected);
    }

    #[test]
    fn bounds_rise() {
        for bounds in [MICROS_BOUNDS, JOBS_BOUNDS] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
    }
}
