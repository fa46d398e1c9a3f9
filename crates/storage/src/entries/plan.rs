//! Which entries of a request are new, and where they go: decided here for every store.

use std::collections::HashMap;

use tombolo_core::{Digest, Seq, ServerTime};

use super::{Appended, NewEntry};
use crate::ledger::End;

/// An entry with its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed<'e> {
    pub(crate) entry: &'e NewEntry,
    pub(crate) at: End,
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
}

/// Places the entries that are new behind `end`; `known` has those keys of theirs that the log holds, each with its
/// place.
pub(crate) fn plan<'e>(
    entries: &'e [NewEntry],
    known: &HashMap<Digest, Seq>,
    mut end: End,
    now: ServerTime,
) -> Plan<'e> {
    let mut placed: HashMap<Digest, Seq> = HashMap::with_capacity(entries.len());
    let mut new = Vec::with_capacity(entries.len());
    let mut answer = |entry: &'e NewEntry| {
        if let Some(seq) = known.get(&entry.key).or_else(|| placed.get(&entry.key)) {
            return Appended::Repeat(*seq);
        }
        end = end.next(now);
        placed.insert(entry.key, end.seq);
        new.push(Placed { entry, at: end });
        Appended::New(end.seq)
    };
    let answers = entries.iter().map(&mut answer).collect();
    Plan { answers, new, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tombolo_core::Instant;

    fn entry(key: u8) -> NewEntry {
        let written_at = Instant::from_nanos(0).unwrap();
        NewEntry { key: Digest::from_bytes([key; 16]), written_at, payload: vec![key] }
    }

    fn entries(keys: &[u8]) -> Vec<NewEntry> {
        keys.iter().map(|key| entry(*key)).collect()
    }

    fn end(seq: u64, micros: i64) -> End {
        End { seq: Seq::new(seq), committed_at: ServerTime::from_micros(micros) }
    }

    /// The answers as a text: `+n` for a new entry, `=n` for a repeat; and the times of the new ones.
    fn check(keys: &[u8], known: &[(u8, u64)], from: End, now: i64, answers: &str, times: &[i64]) {
        let entries = entries(keys);
        let known = known.iter().map(|(key, seq)| (Digest::from_bytes([*key; 16]), Seq::new(*seq))).collect();
        let plan = plan(&entries, &known, from, ServerTime::from_micros(now));
        let shown: Vec<String> = plan
            .answers
            .iter()
            .map(|answer| match answer {
                Appended::New(seq) => format!("+{seq}"),
                Appended::Repeat(seq) => format!("={seq}"),
            })
            .collect();
        assert_eq!(shown.join(" "), answers, "{keys:?}");
        let found: Vec<i64> = plan.new.iter().map(|placed| placed.at.committed_at.micros()).collect();
        assert_eq!(found, times, "{keys:?}");
        assert_eq!(plan.end, plan.new.last().map_or(from, |placed| placed.at));
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
                let entries = entries(&keys);
                let plan = plan(&entries, &known, at, ServerTime::from_micros(now));
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
                    known.insert(placed.entry.key, at.seq);
                }
                prop_assert_eq!(plan.end, at);
                prop_assert_eq!(at.seq.get(), log.len() as u64);
            }
        }
    }
}
