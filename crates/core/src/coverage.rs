//! What a replica holds, as one of its cursors says.

use crate::{Seq, limits};

/// Collections are sent in ranks, so that what a record refers to comes before it, also when a download takes several
/// replies. Rank 0 is sent first.
pub const RANKS: usize = 2;

/// One reply of a download that took several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The log's head when the page was read.
    pub snapshot: Seq,
    /// For each rank, the heads that were sent: after the first number, up to the second.
    pub spans: [(Seq, Seq); RANKS],
}

/// What a replica holds: every record as it was at one place of the log, and, while a download in pages is unfinished,
/// the pages that it was given since.
///
/// A page sends the records whose heads lie in its span, as they were at its snapshot. A record whose head lay beyond
/// the page was not sent, not even in the state in which it was within the span: so "the newest change below the
/// cursor" is not what the replica holds, and a merge against it would lose a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    complete: Seq,
    pages: Vec<Page>,
}

impl Coverage {
    /// Everything as it was when the log's head was `seq`.
    #[must_use]
    pub const fn complete(seq: Seq) -> Self {
        Self { complete: seq, pages: Vec::new() }
    }

    /// Everything as of `complete`, then `pages`, oldest first.
    #[must_use]
    pub fn with_pages(complete: Seq, pages: Vec<Page>) -> Self {
        Self { complete, pages }
    }

    /// The place up to which everything is held, without the pages since.
    #[must_use]
    pub const fn complete_to(&self) -> Seq {
        self.complete
    }

    /// The pages of the unfinished download, oldest first.
    #[must_use]
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The newest head of the log that the replica was given anything from.
    #[must_use]
    pub fn snapshot(&self) -> Seq {
        self.pages.last().map_or(self.complete, |page| page.snapshot)
    }

    /// For each rank, the place after which the next reply goes on.
    #[must_use]
    pub fn resume(&self) -> [Seq; RANKS] {
        self.pages.last().map_or([self.complete; RANKS], |page| page.spans.map(|(_, to)| to))
    }

    /// The same after one more reply, read when the head was `snapshot`, that went from `starts` to `ends` in each rank.
    #[must_use]
    pub fn after(&self, starts: [Seq; RANKS], snapshot: Seq, ends: [Seq; RANKS]) -> Self {
        if ends.iter().all(|end| *end == snapshot) {
            return Self::complete(snapshot);
        }
        let mut pages = self.pages.clone();
        // Forgetting the oldest page only makes some bases older than they are.
        if pages.len() >= limits::PAGES_MAX {
            pages.remove(0);
        }
        pages.push(Page { snapshot, spans: std::array::from_fn(|rank| (starts[rank], ends[rank])) });
        Self { complete: self.complete, pages }
    }

    /// Whether the replica holds the state `seq` of a record of `rank`, whose next newer state is `newer`.
    ///
    /// Asked from the newest state back, the first one held is what the replica has in hand.
    #[must_use]
    pub fn holds(&self, rank: usize, seq: Seq, newer: Option<Seq>) -> bool {
        let was_head = |snapshot: Seq| seq <= snapshot && newer.is_none_or(|newer| newer > snapshot);
        let in_page = |page: &Page| was_head(page.snapshot) && page.spans[rank].0 < seq && seq <= page.spans[rank].1;
        seq <= self.complete || self.pages.iter().any(in_page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u64) -> Seq {
        Seq::new(n)
    }

    /// The newest held of a record's states, given oldest first.
    fn held(coverage: &Coverage, states: &[u64]) -> Option<u64> {
        let newer = |i: usize| states.get(i + 1).map(|n| seq(*n));
        (0..states.len()).rev().find(|i| coverage.holds(1, seq(states[*i]), newer(*i))).map(|i| states[i])
    }

    #[test]
    fn a_page_holds_heads_and_not_what_was_once_within_it() {
        // Everything up to 3, then one page up to 5 of a log that ends at 6.
        let coverage = Coverage::complete(seq(3)).after([seq(3); RANKS], seq(6), [seq(6), seq(5)]);
        let check = |states: &[u64], expected| assert_eq!(held(&coverage, states), expected, "{states:?}");
        check(&[1, 4, 6], Some(1));
        check(&[1, 4], Some(4));
        check(&[4, 6], None);
        check(&[2, 3, 7], Some(3));
        check(&[4, 7], Some(4));
        check(&[6], None);
        assert_eq!(coverage.resume(), [seq(6), seq(5)]);
    }

    #[test]
    fn the_last_page_completes() {
        let first = Coverage::complete(seq(0)).after([Seq::ZERO; RANKS], seq(6), [seq(6), seq(5)]);
        let coverage = first.after(first.resume(), seq(8), [seq(8), seq(8)]);
        assert_eq!(coverage, Coverage::complete(seq(8)));
    }

    #[test]
    fn pages_are_bounded() {
        let mut coverage = Coverage::complete(Seq::ZERO);
        for n in 1..=limits::PAGES_MAX as u64 + 5 {
            coverage = coverage.after(coverage.resume(), seq(1_000_000), [seq(1_000_000), seq(n)]);
        }
        assert_eq!(coverage.pages().len(), limits::PAGES_MAX);
        assert!(held(&coverage, &[2]).is_none());
        assert_eq!(held(&coverage, &[100]), Some(100));
    }
}
