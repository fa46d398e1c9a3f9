//! What is counted of rooms. The service counts; here it is shown.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tombolo_core::ServerTime;
use tombolo_service::{CloseReason, RoomCounts};

use super::labels::{DirectionLabels, ReasonLabels};
use super::{Registered, lock, signed};

/// How long the number of rooms is good for: anybody may ask for it.
const AGE: Duration = Duration::from_secs(1);

/// The counts of rooms.
#[derive(Debug, Default)]
pub(crate) struct RoomMetrics {
    rooms: Gauge,
    peers: Gauge,
    frames: Family<DirectionLabels, Counter>,
    queue_bytes: Gauge,
    closes: Family<ReasonLabels, Counter>,
    known: Mutex<Known>,
}

/// What the store last said of how many rooms there are.
#[derive(Debug, Default)]
struct Known {
    asked_at: Option<ServerTime>,
    count: Option<u64>,
}

impl RoomMetrics {
    pub(super) fn register(&self, mut add: impl FnMut(&str, &str, &dyn Registered)) {
        add("rooms", "Rooms in the database", &self.rooms);
        add("room_peers", "Connections that are in a room", &self.peers);
        add("room_frames", "Messages of rooms", &self.frames);
        add(
            "room_queue_bytes",
            "Bytes that wait for connections, a shared message counted for each",
            &self.queue_bytes,
        );
        add("room_closes", "Connections that the server closed, by reason", &self.closes);
    }

    /// Shows what was counted so far, which is nothing at the beginning.
    pub(super) fn show(&self, counts: &RoomCounts) {
        self.peers.set(signed(counts.peers));
        self.queue_bytes.set(signed(counts.queue_bytes));
        for (direction, count) in [("received", counts.received), ("sent", counts.sent)] {
            set(&self.frames.get_or_create(&DirectionLabels { direction }), count);
        }
        for reason in CloseReason::ALL {
            let counted = counts.closes.iter().filter(|(of, _)| *of == reason).map(|(_, count)| count).sum();
            set(&self.closes.get_or_create(&ReasonLabels::of(reason)), counted);
        }
    }

    /// Whether the store is to be asked how many rooms there are: it was not for a while. Whoever is told so asks it.
    pub(crate) fn is_to_be_counted(&self, now: ServerTime) -> bool {
        let mut known = lock(&self.known);
        // A clock that was set back does not put it off.
        let is_due = known.asked_at.is_none_or(|at| at > now || now.since(at) >= AGE);
        if is_due {
            known.asked_at = Some(now);
        }
        is_due
    }

    /// Notes what the store said.
    pub(crate) fn note_count(&self, count: u64) {
        lock(&self.known).count = Some(count);
        self.rooms.set(signed(count));
    }

    /// What it last said, if it ever did.
    pub(crate) fn count(&self) -> Option<u64> {
        lock(&self.known).count
    }

    /// Has it asked again before the next answer: the number is another one now.
    pub(crate) fn forget_when_counted(&self) {
        lock(&self.known).asked_at = None;
    }
}

/// The service's counts only rise, as a counter does.
fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_asked_once_a_second() {
        let (metrics, now) = (RoomMetrics::default(), ServerTime::from_micros(1_800_000_000_000_000));
        assert!(metrics.is_to_be_counted(now));
        assert!(!metrics.is_to_be_counted(now), "it is being asked");
        assert_eq!(metrics.count(), None);
        metrics.note_count(3);
        assert!(!metrics.is_to_be_counted(now.plus(Duration::from_millis(999))));
        assert!(metrics.is_to_be_counted(now.plus(AGE)));
        assert_eq!(metrics.count(), Some(3), "until it answers, what it said before");
        assert!(metrics.is_to_be_counted(now), "the clock was set back");
        assert!(!metrics.is_to_be_counted(now));
        metrics.forget_when_counted();
        assert!(metrics.is_to_be_counted(now));
    }
}
