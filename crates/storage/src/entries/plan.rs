//! Which entries of a request are new, and where they go: decided here for every store.

use std::collections::HashMap;

use tombolo_core::{Digest, Seq};

use super::{Append, Appended, NewEntry, Place, SAME_SLACK_BYTES};
use crate::ledger::End;

/// What the log holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) seq: Seq,
    /// Its content; only read where [`Append::is_same`] asks for it, and where it is not too long to be the same as the
    /// first entry of the request under this key: see [`SAME_SLACK_BYTES`].
    pub(crate) payload: Option<Vec<u8>>,
}

/// An entry with its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed<'e> {
    pub(crate) entry: &'e NewEntry,
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) at: End,
}

impl Placed<'_> {
    /// Its place in the order of writing.
    pub(crate) fn place(&self) -> Place {
        self.entry.place(self.at.seq)
    }
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<'e> {
    /// One answer for each entry, in their order.
    pub(crate) answers: Vec<Appended>,
    /// Those to be stored, in the order of their places.
    pub(crate) new: Vec<Placed<'e>>,
    /// Where the log ends with them.
    pub(crate) end: End,
    /// The first entry under whose key there is something else. Nothing of the request can be stored then, and the plan
    /// ends before it: if one of those that are new up to there cannot be either, that one is answered.
    pub(crate) clash: Option<usize>,
}

/// Places the entries that are new behind `end`; `known` has those keys of theirs that the log holds.
pub(crate) fn plan<'e>(append: &'e Append, known: &HashMap<Digest, Known>, end: End) -> Plan<'e> {
    let entries = &append.entries;
    let mut placed: HashMap<Digest, Placed<'e>> = HashMap::with_capacity(entries.len());
    let mut plan = Plan { answers: Vec::with_capacity(entries.len()), new: Vec::new(), end, clash: None };
    for (index, entry) in entries.iter().enumerate() {
        let here = placed.get(&entry.key).map(|one| (one.at.seq, Some(one.entry.payload.as_slice())));
        let there = || known.get(&entry.key).map(|known| (known.seq, known.payload.as_deref()));
        match here.or_else(there) {
            Some((_, before)) if !is_same(append, before, &entry.payload) => {
                plan.clash = Some(index);
                return plan;
            }
            Some((seq, _)) => plan.answers.push(Appended::Repeat(seq)),
            None => {
                plan.end = plan.end.next(append.now);
                let one = Placed { entry, index, at: plan.end };
                placed.insert(entry.key, one);
                plan.new.push(one);
                plan.answers.push(Appended::New(plan.end.seq));
            }
        }
    }
    plan
}

/// Whether an entry is the one that was stored under its key. What is too long to be was perhaps not read.
fn is_same(append: &Append, stored: Option<&[u8]>, sent: &[u8]) -> bool {
    let stored = stored.filter(|stored| stored.len() <= sent.len().saturating_add(SAME_SLACK_BYTES));
    append.is_same.is_none_or(|is_same| stored.is_some_and(|stored| is_same(stored, sent)))
}

/// Whether the rules by which a request was judged are no longer those that are in force, which is also so when the log
/// does not have them any more.
pub(crate) fn is_outdated(judged_by: Seq, in_force: Seq) -> bool {
    judged_by != in_force
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, IsSame, Weight};
    use proptest::prelude::*;
    use tombolo_core::{Instant, ProjectId, ServerTime, UserId};

    fn key(key: u8) -> Digest {
        Digest::from_bytes([key; 16])
    }

    fn append(entries: impl IntoIterator<Item = (u8, u8)>, is_same: Option<IsSame>, now: i64) -> Append {
        let written_at = Instant::from_nanos(0).unwrap();
        let entry = |(of, content): (u8, u8)| NewEntry { key: key(of), written_at, payload: vec![content] };
        Append {
            guard: Guard::Member { project: ProjectId::new(1), user: UserId::new(1) },
            entries: entries.into_iter().map(entry).collect(),
            weights: vec![Weight::default()],
            is_same,
            now: ServerTime::from_micros(now),
        }
    }

    fn end(seq: u64, micros: i64) -> End {
        End { seq: Seq::new(seq), committed_at: ServerTime::from_micros(micros) }
    }

    /// The answers as a text: `+n` for a new entry, `=n` for a repeat.
    fn shown(answers: &[Appended]) -> String {
        let show = |answer: &Appended| match answer {
            Appended::New(seq) => format!("+{seq}"),
            Appended::Repeat(seq) => format!("={seq}"),
        };
        answers.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// The answers, and the times of what is new, where entries of one key are always the same.
    fn check(keys: &[u8], known: &[(u8, u64)], from: End, now: i64, answers: &str, times: &[i64]) {
        let append = append(keys.iter().map(|key| (*key, 0)), None, now);
        let known = known.iter().map(|(of, seq)| (key(*of), Known { seq: Seq::new(*seq), payload: None })).collect();
        let plan = plan(&append, &known, from);
        assert_eq!(shown(&plan.answers), answers, "{keys:?}");
        let found: Vec<i64> = plan.new.iter().map(|placed| placed.at.committed_at.micros()).collect();
        assert_eq!(found, times, "{keys:?}");
        assert_eq!(plan.end, plan.new.last().map_or(from, |placed| placed.at));
        assert_eq!(plan.clash, None, "{keys:?}");
        for placed in &plan.new {
            assert_eq!(append.entries[placed.index], *placed.entry);
            assert_eq!(plan.answers[placed.index], Appended::New(placed.at.seq));
        }
    }

    #[test]
    fn what_is_new_and_where_it_goes() {
        check(&[], &[], end(0, 0), 100, "", &[]);
        check(&[], &[], end(7, 50), 100, "", &[]);
        check(&[1, 2, 3], &[], end(0, 0), 100, "+1 +2 +3", &[100, 101, 102]);
        check(&[1, 2, 3], &[], end(7, 50), 100, "+8 +9 +10", &[100, 101, 102]);
        // Sent again: the places that they were given.
        check(&[1, 2], &[(1, 1), (2, 2)], end(2, 50), 100, "=1 =2", &[]);
        check(&[2, 1], &[(1, 1), (2, 2)], end(9, 50), 100, "=2 =1", &[]);
        check(&[1, 3, 2, 4], &[(1, 1), (2, 2)], end(2, 50), 100, "=1 +3 =2 +4", &[100, 101]);
        // Twice in one request.
        check(&[1, 1, 2, 1], &[], end(0, 0), 100, "+1 =1 +2 =1", &[100, 101]);
        check(&[1, 1], &[(1, 5)], end(9, 0), 100, "=5 =5", &[]);
        // A clock that stands still or was set back.
        check(&[1, 2], &[], end(3, 100), 100, "+4 +5", &[101, 102]);
        check(&[1, 2], &[], end(3, 500), 100, "+4 +5", &[501, 502]);
    }

    /// The answers up to the clash, and where it is, where contents are the same if they are so but for the last bit.
    fn check_clash(sent: &[(u8, u8)], known: &[(u8, Option<u8>)], answers: &str, clash: Option<usize>) {
        let is_same: IsSame = |stored, sent| stored[0] / 2 == sent[0] / 2;
        let append = append(sent.iter().copied(), Some(is_same), 100);
        let stored = |(seq, (of, content)): (u64, &(u8, Option<u8>))| {
            (key(*of), Known { seq: Seq::new(seq), payload: content.map(|content| vec![content]) })
        };
        let plan = plan(&append, &(1..).zip(known).map(stored).collect(), end(known.len() as u64, 0));
        assert_eq!((shown(&plan.answers).as_str(), plan.clash), (answers, clash), "{sent:?} after {known:?}");
    }

    #[test]
    fn one_key_with_other_content_clashes() {
        check_clash(&[(1, 10), (2, 20)], &[], "+1 +2", None);
        // The log has it.
        check_clash(&[(1, 10)], &[(1, Some(10))], "=1", None);
        check_clash(&[(1, 11)], &[(1, Some(10))], "=1", None);
        check_clash(&[(1, 12)], &[(1, Some(10))], "", Some(0));
        check_clash(&[(2, 1), (1, 12), (3, 1)], &[(1, Some(10))], "+2", Some(1));
        // It came earlier in the same request.
        check_clash(&[(1, 10), (1, 11)], &[], "+1 =1", None);
        check_clash(&[(1, 10), (1, 12)], &[], "+1", Some(1));
        check_clash(&[(1, 10), (1, 10), (2, 1), (1, 12)], &[], "+1 =1 +2", Some(3));
        // The first one decides.
        check_clash(&[(2, 9), (1, 12)], &[(1, Some(10)), (2, Some(20))], "", Some(0));
        // What was not read is not taken for the same.
        check_clash(&[(1, 10)], &[(1, None)], "", Some(0));
    }

    #[test]
    fn rules_are_those_that_are_in_force_or_outdated() {
        let check = |judged_by: u64, in_force: u64, expected: bool| {
            assert_eq!(is_outdated(Seq::new(judged_by), Seq::new(in_force)), expected, "{judged_by} {in_force}");
        };
        check(0, 0, false);
        check(7, 7, false);
        check(0, 1, true);
        check(3, 7, true);
        check(7, 3, true);
    }

    proptest! {
        /// Requests one after the other, with whatever repeats, against a log that is a list.
        #[test]
        fn every_key_has_one_place_and_places_are_dense(
            requests in prop::collection::vec((prop::collection::vec(0_u8..20, 0..12), 0_i64..50), 0..12)
        ) {
            let mut log: Vec<u8> = Vec::new();
            let mut known = HashMap::new();
            let mut at = end(0, 0);
            for (keys, now) in requests {
                let append = append(keys.iter().map(|key| (*key, 0)), None, now);
                let plan = plan(&append, &known, at);
                for (key, answer) in keys.iter().zip(&plan.answers) {
                    let before = log.iter().position(|known| known == key);
                    let place = |index: usize| Seq::new(index as u64 + 1);
                    let expected = match before {
                        Some(index) => Appended::Repeat(place(index)),
                        None => {
                            log.push(*key);
                            Appended::New(place(log.len() - 1))
                        }
                    };
                    prop_assert_eq!(*answer, expected);
                }
                for placed in &plan.new {
                    prop_assert_eq!(placed.at.seq, at.seq.next());
                    prop_assert!(placed.at.committed_at > at.committed_at);
                    prop_assert!(placed.at.committed_at.micros() >= now);
                    at = placed.at;
                    known.insert(placed.entry.key, Known { seq: at.seq, payload: None });
                }
                prop_assert_eq!(plan.end, at);
                prop_assert_eq!(at.seq.get(), log.len() as u64);
            }
        }
    }
}
