//! What is counted of rooms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::outlet::CloseReason;

/// Connections that the server closed, by reason.
pub type RoomCloses = Vec<(CloseReason, u64)>;

/// What is counted of the rooms of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomCounts {
    /// Rooms that somebody is in here.
    pub live: u64,
    /// Connections that have joined one.
    pub peers: u64,
    /// Messages that came in from joined peers.
    pub received: u64,
    /// Messages that were put into queues for connections.
    pub sent: u64,
    /// Bytes that wait in those queues, a shared message counted for each connection.
    pub queue_bytes: u64,
    /// Connections that the server closed.
    pub closes: RoomCloses,
}

/// The numbers behind [`RoomCounts`], as they are counted. Each is right by itself; together they are of no one moment.
#[derive(Debug, Default)]
pub(super) struct Tally {
    peers: AtomicUsize,
    received: AtomicU64,
    sent: AtomicU64,
    queue_bytes: AtomicUsize,
    waiting_bytes: AtomicUsize,
    held_bytes: AtomicUsize,
    closes: [AtomicU64; CloseReason::ALL.len()],
}

impl Tally {
    /// Counts a message that came in from a joined peer.
    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of everything that waits for any connection, each message counted once.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// What was counted; `live` rooms are counted by who keeps them.
    pub(super) fn read(&self, live: u64) -> RoomCounts {
        let number = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        let closed = |reason: CloseReason| self.closes[reason as usize].load(Ordering::Relaxed);
        RoomCounts {
            live,
            peers: number(&self.peers),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            queue_bytes: number(&self.queue_bytes),
            closes: CloseReason::ALL.into_iter().map(|reason| (reason, closed(reason))).collect(),
        }
    }

    /// Bytes of the documents of all open rooms.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn joined(&self) {
        self.peers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self, count: usize) {
        self.peers.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn queued(&self, bytes: usize) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn unqueued(&self, bytes: usize) {
        self.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        self.closes[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what waits; says how much does then.
    pub(super) fn waits(&self, bytes: usize) -> usize {
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn waits_no_more(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What the document of a room takes, counted among what those of all open rooms take, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: usize,
    tally: Arc<Tally>,
}

impl Held {
    /// Nothing yet.
    pub(super) const fn nothing(tally: Arc<Tally>) -> Self {
        Self { bytes: 0, tally }
    }

    /// It takes so much now, however much that is together.
    pub(super) fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.tally.held_bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.tally.held_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// It takes so much now, unless that is more than before and all together would take more than `bytes_max`; `false`
    /// then.
    #[must_use]
    pub(super) fn may_resize(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let growth = bytes.saturating_sub(self.bytes);
        if growth == 0 {
            self.resize(bytes);
            return true;
        }
        let grown = |held: usize| held.checked_add(growth).filter(|held| *held <= bytes_max);
        let is_grown = self.tally.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        self.bytes += if is_grown { growth } else { 0 };
        is_grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.resize(0);
    }
}
