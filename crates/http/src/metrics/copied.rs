//! A histogram of which somebody else keeps the counts: those of the store's commits.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tombolo_service::Spread;

use super::lock;

/// A histogram that somebody else counts.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    spread: Arc<Mutex<Spread>>,
    /// How many of its units are one of those that are shown.
    per_unit: f64,
}

impl Copied {
    pub(super) fn new(per_unit: f64) -> Self {
        Self { spread: Arc::default(), per_unit }
    }

    pub(super) fn set(&self, spread: Spread) {
        *lock(&self.spread) = spread;
    }
}

impl EncodeMetric for Copied {
    #[expect(clippy::cast_precision_loss, reason = "bounds are small, and a sum is for people")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Spread { buckets, above, sum } = lock(&self.spread).clone();
        let count = buckets.iter().map(|(_, count)| count).sum::<u64>() + above;
        let bounded = buckets.iter().map(|(bound, count)| (*bound as f64 / self.per_unit, *count));
        let all: Vec<(f64, u64)> = bounded.chain([(f64::INFINITY, above)]).collect();
        encoder.encode_histogram::<NoLabelSet>(sum as f64 / self.per_unit, count, &all, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
