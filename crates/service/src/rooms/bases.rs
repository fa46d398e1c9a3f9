//! What peers have before them, or had when they went.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tombolo_core::{PeerName, RoomId, ServerTime};

use super::codec::RoomCodec;

/// Documents that are remembered of a peer: the oldest that it may have, and the newest. As a rule it made what it sends
/// of one of the newest: the client waits for 350 ms after an edit, and replaces what it has by what it is sent. While its
/// connection stalls it is the oldest, and nothing can take its place: of what a newer one has besides it, whoever does
/// not know of it would seem to have deleted it. What is made of too old a one only comes back.
const RECENT_COUNT_MAX: usize = 4;
/// How long after a client is known to have read a document its page may still send what it made of an earlier one: it
/// is behind its network by that much at most. After that it has it: who then sends what it had before has taken back what
/// came since, and means it.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(1);
/// How long it is remembered after it went: a network that is cut, or a computer that slept.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Peers that are remembered after they went, all rooms of a node together.
const GONE_COUNT_MAX: usize = 1_000;
/// Bytes of what is remembered of them. What several had is counted for each.
const GONE_BYTES_MAX: usize = 64 << 20;

/// The documents that a peer may have before it: what it sent last, and what it was sent since. Oldest first: in the
/// order in which it has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    text: Arc<str>,
    /// Whether it wrote it, and has all of it; it may have less of what it was sent.
    is_own: bool,
    /// Which of the documents of its connection it is; `None`: it was not sent on this one.
    ordinal: Option<u64>,
    /// Since when it is known to have been read.
    read_at: Option<ServerTime>,
    /// Whether others lay between it and the one before it, which are not remembered.
    is_after_gap: bool,
}

/// What a document was made of.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// What the peer had.
    pub(super) text: Arc<str>,
    /// The whole of it.
    document: Arc<str>,
}

impl Recent {
    /// The peer was sent this, as the document `ordinal` of its connection.
    pub(super) fn was_sent(&mut self, text: &Arc<str>, ordinal: u64, now: ServerTime) {
        self.0.drain(..self.first(now));
        if let Some(last) = self.0.last_mut().filter(|last| last.text == *text) {
            last.is_own = false;
            last.ordinal.get_or_insert(ordinal);
            return;
        }
        if let Some(same) = self.0.iter().position(|known| known.text == *text) {
            self.forget(same);
        }
        let ordinal = Some(ordinal);
        self.0.push(Known { text: Arc::clone(text), is_own: false, ordinal, read_at: None, is_after_gap: false });
        self.shrink();
    }

    /// The peer has read all documents of its connection up to this one.
    pub(super) fn has_read(&mut self, ordinal: u64, now: ServerTime) {
        for known in self.0.iter_mut().filter(|known| known.ordinal.is_some_and(|sent| sent <= ordinal)) {
            known.read_at.get_or_insert(now);
        }
    }

    fn shrink(&mut self) {
        while self.0.len() > RECENT_COUNT_MAX {
            self.forget(1);
            self.0[1].is_after_gap = true;
        }
    }

    fn forget(&mut self, at: usize) {
        let forgotten = self.0.remove(at);
        if let Some(next) = self.0.get_mut(at) {
            next.is_after_gap |= forgotten.is_after_gap;
        }
    }

    /// The peer has sent `text`, which was made of `base`: that, and what it had before it, it has no more. Otherwise
    /// whoever adds something and takes it away again would be taken for one who does not know of it yet. What it was sent
    /// since may be on its way.
    pub(super) fn has_sent(&mut self, text: Arc<str>, base: Option<&Base>) {
        let place = |base: &Base| self.0.iter().position(|known| known.text == base.document).map_or(0, |at| at + 1);
        let gone = base.map_or(self.0.len(), place);
        self.0.drain(..gone);
        self.0.insert(0, Known { text, is_own: true, ordinal: None, read_at: None, is_after_gap: false });
        self.shrink();
    }

    /// The peer is on a new connection. What it has read on the one before is not known.
    pub(super) fn come_again(mut self) -> Self {
        for known in &mut self.0 {
            (known.ordinal, known.read_at) = (None, None);
        }
        self
    }

    /// The oldest that it may have before it.
    fn first(&self, now: ServerTime) -> usize {
        let is_taken_in = |known: &Known| known.read_at.is_some_and(|read_at| now.since(read_at) >= TAKEN_IN_WITHIN);
        self.0.iter().rposition(is_taken_in).unwrap_or(0)
    }

    /// What `text` was made of, presumably: of the documents, as far as the peer took them in, the one that differs least
    /// from it, and of several the oldest. Where others are missing before that one, it may have been one of those, and
    /// the one before them is taken. `None` when none can be compared.
    pub(super) fn base_of(&self, text: &str, now: ServerTime, codec: &dyn RoomCodec) -> Option<Base> {
        let mut least: Option<(usize, Base)> = None;
        let mut before: Option<Base> = None;
        for known in &self.0[self.first(now)..] {
            let base = known.base(codec);
            let Some(apart) = codec.distance(&base.text, text) else { continue };
            let before = before.replace(base.clone()).filter(|_| known.is_after_gap);
            if least.as_ref().is_none_or(|(least, _)| apart < *least) {
                least = Some((apart, before.unwrap_or(base)));
            }
        }
        least.map(|(_, base)| base)
    }

    /// Whether nothing is known.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|known| known.text.len()).sum()
    }
}

impl Known {
    fn base(&self, codec: &dyn RoomCodec) -> Base {
        let taken_in = if self.is_own { None } else { codec.taken_in(&self.text) };
        let text = taken_in.map_or_else(|| Arc::clone(&self.text), Arc::from);
        Base { text, document: Arc::clone(&self.text) }
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

    /// What a peer may have that was sent these, and read them at that time, if it did.
    fn recent(sent: &[(&str, i64)]) -> Recent {
        let mut recent = Recent::default();
        for (ordinal, (text, read_at)) in (1..).zip(sent) {
            recent.was_sent(&Arc::from(*text), ordinal, at(0));
            if *read_at > 0 {
                recent.has_read(ordinal, at(*read_at));
            }
        }
        recent
    }

    fn base(recent: &Recent, text: &str, now: i64) -> Option<String> {
        recent.base_of(text, at(now), &Lines).map(|base| base.text.to_string())
    }

    #[test]
    fn what_a_document_was_made_of() {
        let check = |sent: &[(&str, i64)], text: &str, now: i64, expected: Option<&str>| {
            assert_eq!(base(&recent(sent), text, now).as_deref(), expected, "{sent:?} {text} {now}");
        };
        check(&[], "a", 0, None);
        check(&[("a", 0)], "z", 1_000, Some("a"));
        check(&[("!", 0)], "a", 0, None);
        check(&[("!", 0), ("a", 0)], "b", 0, Some("a"));
        check(&[("a", 0), ("a,b", 0)], "a,c", 0, Some("a"));
        check(&[("a", 0), ("a,b", 0)], "a,b,c", 0, Some("a,b"));
        check(&[("a,b", 0), ("a", 0)], "a,c,b", 0, Some("a,b"));
        // What it did not take in, it did not have.
        check(&[("a,b?", 0)], "a", 0, Some("a"));
        // As far from both.
        check(&[("a", 0), ("b", 0)], "c", 0, Some("a"));
        // Nobody knows whether any was read.
        check(&[("a", 0), ("a,b", 0), ("a,b,c", 0)], "a", 1_000, Some("a"));
        // The second was taken in, and then the third.
        check(&[("a", 0), ("a,b", 5), ("a,b,c", 7)], "a", 5, Some("a"));
        check(&[("a", 0), ("a,b", 5), ("a,b,c", 7)], "a", 6, Some("a,b"));
        check(&[("a", 0), ("a,b", 5), ("a,b,c", 7)], "a", 8, Some("a,b,c"));
        // The third was read, so was the second.
        check(&[("a", 0), ("a,b", 0), ("a,b,c", 7), ("a,b,c,d", 0)], "a", 8, Some("a,b,c"));
        // Four are remembered, each once.
        check(&[("a", 0), ("b", 0), ("c", 0), ("d", 0), ("b", 0)], "a", 0, Some("a"));
        check(&[("a", 0), ("b", 0), ("c", 0), ("d", 0), ("a", 0)], "z", 0, Some("b"));
    }

    #[test]
    fn the_oldest_that_a_peer_may_have_is_remembered_however_many_it_is_sent() {
        let mut recent = recent(&[("a", 0), ("a,b", 0), ("a,b,c", 0), ("a,b,c,d", 0), ("a,b,c,d,e", 0)]);
        let check = |recent: &Recent, text: &str, expected: &str| {
            assert_eq!(base(recent, text, 5).as_deref(), Some(expected), "{text}");
        };
        check(&recent, "z", "a");
        check(&recent, "a,z", "a");
        // It may have been made of the second, which is not remembered: the third has what that had not.
        check(&recent, "a,b,z", "a");
        check(&recent, "a,b,c,z", "a");
        check(&recent, "a,b,c,d,z", "a,b,c,d");
        check(&recent, "a,b,c,d,e,z", "a,b,c,d,e");
        // The third was read, and whatever lay before it.
        recent.has_read(3, at(4));
        check(&recent, "a,b,z", "a,b,c");
    }

    #[test]
    fn what_a_peer_wrote_it_has_all_of_until_it_is_sent_it() {
        let mut recent = Recent::default();
        recent.has_sent("a,b?".into(), None);
        assert_eq!(base(&recent, "a", 0).as_deref(), Some("a,b?"));
        recent.was_sent(&"a,b?".into(), 1, at(0));
        assert_eq!(base(&recent, "a", 0).as_deref(), Some("a"));
    }

    #[test]
    fn what_was_on_its_way_when_a_peer_sent_something_comes_after_it() {
        let mut recent = recent(&[("a", 0), ("a,b", 0), ("a,b,c", 0)]);
        let made_of = recent.base_of("a,z", at(0), &Lines);
        recent.has_sent("a,z".into(), made_of.as_ref());
        recent.was_sent(&"a,b,c,z".into(), 4, at(0));
        let check = |recent: &Recent, text: &str, expected: &str| {
            assert_eq!(base(recent, text, 9).as_deref(), Some(expected), "{text}");
        };
        check(&recent, "a", "a,z");
        check(&recent, "a,b", "a,b");
        recent.has_read(3, at(8));
        check(&recent, "a", "a,b,c");
        recent.has_read(4, at(8));
        check(&recent, "a", "a,b,c,z");
        // Made of the newest: nothing else is left.
        recent.has_sent("a,b,z".into(), recent.base_of("a,b,z", at(9), &Lines).as_ref());
        check(&recent, "a,b,c,z", "a,b,z");
    }

    #[test]
    fn who_comes_again_may_have_any_of_them() {
        let mut again = recent(&[("a", 0), ("a,b", 5)]).come_again();
        assert_eq!(base(&again, "a", 100).as_deref(), Some("a"));
        again.has_read(2, at(100));
        assert_eq!(base(&again, "a", 200).as_deref(), Some("a"), "ordinals are those of another connection");
        again.was_sent(&"a,b".into(), 1, at(100));
        again.has_read(1, at(100));
        assert_eq!(base(&again, "a", 101).as_deref(), Some("a,b"));
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
