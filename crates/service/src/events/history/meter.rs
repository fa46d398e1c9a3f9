//! How much of histories is in memory, what only slow readers still hold included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes, from when they are weighed until their weight is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<AtomicUsize>);

impl Meter {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn weigh(&self, bytes: usize) -> Weight {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Weight { meter: self.clone(), bytes }
    }
}

/// Bytes that are counted.
#[derive(Debug)]
pub(super) struct Weight {
    meter: Meter,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
