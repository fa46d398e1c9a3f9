//! What peers have before them, or had when they went.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tombolo_core::{PeerName, RoomId, ServerTime};

use super::codec::RoomCodec;

/// Documents that are remembered of a peer. It made what it sends of one of the last: the client waits for 350 ms after
/// an edit, and replaces what it has by what it is sent.
const RECENT_COUNT_MAX: usize = 4;
/// How long after a peer was sent a document it may still send what it made of an earlier one. After that it has
/// it: who then sends what it had before has taken back what came since, and means it.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// How long it is remembered after it went: a network that is cut, or a computer that slept.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Peers that are remembered after they went, all rooms of a node together.
const GONE_COUNT_MAX: usize = 1_000;
/// Bytes of what is remembered of them. What several had is counted for each.
const GONE_BYTES_MAX: usize = 64 << 20;

/// The documents that a peer may have before it: what it sent last, and what it was sent since. Oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    text: Arc<str>,
    /// When it was sent it.
    at: ServerTime,
}

impl Recent {
    /// The peer was sent this.
    pub(super) fn was_sent(&mut self, text: &Arc<str>, at: ServerTime) {
        if self.0.last().is_some_and(|last| last.text == *text) {
            return;
        }
        self.0.retain(|known| known.text != *text);
        if self.0.len() == RECENT_COUNT_MAX {
            self.0.remove(0);
        }
        self.0.push(Known { text: Arc::clone(text), at });
    }

    /// Those of a peer that has just sent `text`: what it had before it, it has no more. Otherwise whoever adds something
    /// and takes it away again would be taken for one who does not know of it yet.
    pub(super) fn has_sent(text: Arc<str>, at: ServerTime) -> Self {
        Self(vec![Known { text, at }])
    }

    /// The peer is on a new connection since `at`. What it has received on the one before is not known.
    pub(super) fn come_again(mut self, at: ServerTime) -> Self {
        self.0.iter_mut().for_each(|known| known.at = at);
        self
    }

    /// What `text` was made of, presumably: the document that differs least from it, and of several the oldest. `None`
    /// when none can be compared.
    pub(super) fn base_of(&self, text: &str, now: ServerTime, codec: &dyn RoomCodec) -> Option<&Arc<str>> {
        let has_arrived = |known: &Known| now.since(known.at) >= ARRIVES_WITHIN;
        let first = self.0.iter().rposition(has_arrived).unwrap_or(0);
        let apart = |known: &Known| codec.distance(&known.text, text);
        let mut candidates = self.0[first..].iter().filter_map(|known| Some((&known.text, apart(known)?)));
        let oldest = candidates.next()?;
        Some(candidates.fold(oldest, |least, next| if next.1 < least.1 { next } else { least }).0)
    }

    /// Whether nothing is known.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|known| known.text.len()).sum()
    }
}

/// Remembers what peers had before them when they went, so that what they made of it meanwhile can be merged.
#[derive(Default)]
pub(super) struct Bases {
    gone: Mutex<Gone>,
}

#[derive(Default)]
struct Gone {
    /// Those who went last come last.
    peers: VecDeque<GonePeer>,
    bytes: usize,
}

struct GonePeer {
    room: RoomId,
    peer: PeerName,
    recent: Recent,
    at: ServerTime,
}

impl Bases {
    /// Remembers what a peer had that goes.
    pub(super) fn keep(&self, room: RoomId, peer: PeerName, recent: Recent, now: ServerTime) {
        let mut gone = self.gone();
        gone.bytes += recent.bytes();
        gone.peers.push_back(GonePeer { room, peer, recent, at: now });
        gone.shrink(now);
    }

    /// What a peer had that comes back; it is remembered where it is from now on.
    pub(super) fn recall(&self, room: RoomId, peer: &PeerName, now: ServerTime) -> Recent {
        let mut gone = self.gone();
        gone.shrink(now);
        let is_it = |gone: &GonePeer| gone.room == room && gone.peer == *peer;
        let found = gone.peers.iter().rposition(is_it).and_then(|at| gone.peers.remove(at));
        let recent = found.map(|found| found.recent).unwrap_or_default();
        gone.bytes -= recent.bytes();
        recent
    }

    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gone {
    fn shrink(&mut self, now: ServerTime) {
        let is_over = |gone: &Self, oldest: &GonePeer| {
            gone.peers.len() > GONE_COUNT_MAX || gone.bytes > GONE_BYTES_MAX || now.since(oldest.at) >= REMEMBERED
        };
        while self.peers.front().is_some_and(|oldest| is_over(self, oldest)) {
            let oldest = self.peers.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.recent.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::lines::Lines;

    const ROOM: RoomId = RoomId::from_bytes([1; 16]);

    fn at(seconds: i64) -> ServerTime {
        ServerTime::from_micros(seconds * 1_000_000)
    }

    fn name(text: &str) -> PeerName {
        PeerName::parse(text, 100).unwrap()
    }

    fn recent(sent: &[(&str, i64)]) -> Recent {
        let mut recent = Recent::default();
        sent.iter().for_each(|(text, seconds)| recent.was_sent(&Arc::from(*text), at(*seconds)));
        recent
    }

    #[test]
    fn what_a_document_was_made_of() {
        let check = |sent: &[(&str, i64)], text: &str, now: i64, base: Option<&str>| {
            let recent = recent(sent);
            assert_eq!(recent.base_of(text, at(now), &Lines).map(|base| &**base), base, "{sent:?} {text} {now}");
        };
        check(&[], "a", 0, None);
        check(&[("a", 0)], "z", 1_000, Some("a"));
        check(&[("!", 0)], "a", 0, None);
        check(&[("!", 0), ("a", 0)], "b", 0, Some("a"));
        check(&[("a", 0), ("a,b", 0)], "a,c", 0, Some("a"));
        check(&[("a", 0), ("a,b", 0)], "a,b,c", 0, Some("a,b"));
        check(&[("a,b", 0), ("a", 0)], "a,c,b", 0, Some("a,b"));
        // As far from both.
        check(&[("a", 0), ("b", 0)], "c", 0, Some("a"));
        // The second has arrived, and then the third.
        check(&[("a", 0), ("a,b", 1), ("a,b,c", 5)], "a", 10, Some("a"));
        check(&[("a", 0), ("a,b", 1), ("a,b,c", 5)], "a", 11, Some("a,b"));
        check(&[("a", 0), ("a,b", 1), ("a,b,c", 5)], "a", 15, Some("a,b,c"));
        // Four are remembered, each once.
        check(&[("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 0)], "a", 0, Some("b"));
        check(&[("a", 0), ("b", 0), ("c", 0), ("d", 0), ("b", 0)], "a", 0, Some("a"));
    }

    #[test]
    fn who_comes_again_may_have_any_of_them() {
        let again = recent(&[("a", 0), ("a,b", 1)]).come_again(at(100));
        assert_eq!(again.base_of("a", at(109), &Lines).map(|base| &**base), Some("a"));
    }

    #[test]
    fn who_has_gone_is_remembered_within_bounds() {
        let bases = Bases::default();
        let is_known = |peer: &str, now: i64| !bases.recall(ROOM, &name(peer), at(now)).is_empty();
        bases.keep(ROOM, name("a"), recent(&[("x", 0)]), at(0));
        assert!(bases.recall(RoomId::from_bytes([2; 16]), &name("a"), at(0)).is_empty(), "it was in another room");
        assert!(is_known("a", 599));
        assert!(!is_known("a", 599), "it is remembered where it is");
        bases.keep(ROOM, name("a"), recent(&[("x", 0)]), at(0));
        assert!(!is_known("a", 600));
        (0..=GONE_COUNT_MAX).for_each(|at_| bases.keep(ROOM, name(&format!("p{at_}")), recent(&[("x", 0)]), at(600)));
        assert!(!is_known("p0", 600) && is_known("p1", 600));
        let large = "x".repeat(GONE_BYTES_MAX / 4);
        (0..5).for_each(|at_| bases.keep(ROOM, name(&format!("l{at_}")), recent(&[(&large, 0)]), at(700)));
        assert!(!is_known("l0", 700) && !is_known("l1", 1_300));
        let gone = bases.gone();
        assert_eq!((gone.bytes, gone.peers.len()), (0, 0), "all were too old");
    }
}
