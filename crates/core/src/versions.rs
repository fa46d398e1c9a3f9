//! Which versions of a document are kept.

use crate::{Seq, ServerTime};

const MINUTE_MICROS: i64 = 60 * 1_000_000;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// How many versions of a document are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionsKept {
    /// The newest, whatever their age. One is always kept, and counts as one of them.
    pub newest: usize,
    /// The last one of each of so many minutes that had any, before those.
    pub minutes: usize,
    /// The last one of each of so many hours that had any, before those.
    pub hours: usize,
    /// The last one of each of so many days that had any, before those.
    pub days: usize,
    /// Bytes of all together; above it the oldest go, never the newest one.
    pub bytes_max: u64,
}

/// A version that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionThere {
    /// Its number.
    pub seq: Seq,
    /// When it was stored.
    pub at: ServerTime,
    /// What it takes.
    pub bytes: u64,
}

/// Which of `there`, in the order of their numbers, are let go: those that nothing of `kept` speaks for.
///
/// Whoever comes back after a night must find what was there before somebody emptied the board in the evening, however
/// often it was written since: so the newest, which may be those of one minute of typing, do not push out everything
/// older, which thins out with its age. What stays would stay again if it were asked for at once.
#[must_use]
pub fn let_go(there: &[VersionThere], kept: VersionsKept) -> Vec<Seq> {
    let mut stays = spoken_for(there, kept);
    stays.reverse();
    let mut stays = stays.into_iter().peekable();
    there.iter().map(|version| version.seq).filter(|seq| stays.next_if_eq(seq).is_none()).collect()
}

/// Those that stay, newest first.
fn spoken_for(there: &[VersionThere], kept: VersionsKept) -> Vec<Seq> {
    let newest = kept.newest.max(1);
    let (mut minutes, mut hours, mut days, mut bytes) = (0, 0, 0, 0_u64);
    let mut stays = Vec::new();
    let mut younger: Option<ServerTime> = None;
    for (age, version) in there.iter().rev().enumerate() {
        // Commit times rise with the numbers, so who has a younger neighbour of the same minute is not its last.
        let is_last_of = |span| younger.is_none_or(|younger| span_of(version.at, span) < span_of(younger, span));
        let [ends_minute, ends_hour, ends_day] = [MINUTE_MICROS, HOUR_MICROS, DAY_MICROS].map(is_last_of);
        younger = Some(version.at);
        if age >= newest {
            if minutes < kept.minutes && ends_minute {
                minutes += 1;
            } else if hours < kept.hours && ends_hour {
                hours += 1;
            } else if days < kept.days && ends_day {
                days += 1;
            } else {
                continue;
            }
        }
        bytes = bytes.saturating_add(version.bytes);
        if age > 0 && bytes > kept.bytes_max {
            break;
        }
        stays.push(version.seq);
    }
    stays
}

/// Which span of so many microseconds since 1970 a time lies in: of UTC, a minute, an hour or a day.
const fn span_of(at: ServerTime, micros: i64) -> i64 {
    at.micros().div_euclid(micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    /// Versions 1, 2, … of ten bytes each, stored so many seconds after midnight.
    fn versions(secs: &[i64]) -> Vec<VersionThere> {
        let version = |(seq, secs): (u64, &i64)| VersionThere {
            seq: Seq::new(seq),
            at: ServerTime::from_micros(secs * 1_000_000),
            bytes: 10,
        };
        (1..).zip(secs).map(version).collect()
    }

    const fn kept(newest: usize, hours: usize, days: usize) -> VersionsKept {
        VersionsKept { newest, minutes: 0, hours, days, bytes_max: u64::MAX }
    }

    /// Which stay.
    fn check(there: &[VersionThere], kept: VersionsKept, expected: &[u64]) {
        let gone = let_go(there, kept);
        let stays = there.iter().map(|version| version.seq).filter(|seq| !gone.contains(seq));
        assert_eq!(stays.map(Seq::get).collect::<Vec<_>>(), expected, "{kept:?}");
        assert_eq!(gone.len() + expected.len(), there.len());
    }

    #[test]
    fn the_newest_stay() {
        check(&[], kept(3, 3, 3), &[]);
        let there = versions(&[0, 1, 2, 3]);
        check(&there, kept(9, 0, 0), &[1, 2, 3, 4]);
        check(&there, kept(4, 0, 0), &[1, 2, 3, 4]);
        check(&there, kept(2, 0, 0), &[3, 4]);
        check(&there, kept(1, 0, 0), &[4]);
        check(&there, kept(0, 0, 0), &[4]);
        check(&there, kept(0, 1, 0), &[4]);
        // The last of their hour, and of their day, is among the newest: nothing more is kept for it.
        check(&there, kept(2, 5, 5), &[3, 4]);
    }

    #[test]
    fn older_ones_thin_out_with_their_age() {
        let there = versions(&[
            DAY - 5,
            // Another day: two hours of it.
            DAY + 1,
            DAY + 2,
            DAY + HOUR,
            DAY + HOUR + 1,
            // Much later.
            9 * DAY,
            9 * DAY + HOUR,
            9 * DAY + HOUR + 1,
        ]);
        check(&there, kept(1, 0, 0), &[8]);
        check(&there, kept(1, 1, 0), &[6, 8]);
        check(&there, kept(1, 2, 0), &[5, 6, 8]);
        check(&there, kept(1, 3, 0), &[3, 5, 6, 8]);
        check(&there, kept(1, 9, 0), &[1, 3, 5, 6, 8]);
        check(&there, kept(3, 1, 0), &[5, 6, 7, 8]);
        check(&there, kept(1, 0, 1), &[5, 8]);
        check(&there, kept(1, 0, 9), &[1, 5, 8]);
        // Once the hours are used up, the days go on.
        check(&there, kept(1, 1, 1), &[5, 6, 8]);
        check(&there, kept(1, 1, 2), &[1, 5, 6, 8]);
        check(&there, kept(1, 2, 1), &[1, 5, 6, 8]);
    }

    /// Between the newest, which are those of a minute or so, and the last of each hour.
    #[test]
    fn those_of_the_last_minutes_stay() {
        let kept = |minutes, hours, days| VersionsKept { minutes, ..kept(1, hours, days) };
        let there = versions(&[
            10,
            // Another hour: three minutes of it.
            HOUR + 59,
            HOUR + 60,
            HOUR + 119,
            HOUR + 120,
            // Minutes without any do not count.
            HOUR + 900,
            HOUR + 901,
        ]);
        check(&there, kept(0, 0, 0), &[7]);
        check(&there, kept(1, 0, 0), &[5, 7]);
        check(&there, kept(2, 0, 0), &[4, 5, 7]);
        check(&there, kept(3, 0, 0), &[2, 4, 5, 7]);
        check(&there, kept(9, 0, 0), &[1, 2, 4, 5, 7]);
        // Once the minutes are used up, the hours go on, and then the days.
        check(&there, kept(2, 1, 0), &[1, 4, 5, 7]);
        check(&there, kept(2, 0, 1), &[4, 5, 7]);
        let there = versions(&[DAY - 1, DAY, DAY + HOUR, DAY + HOUR + 60, DAY + HOUR + 61]);
        check(&there, kept(0, 1, 1), &[1, 2, 5]);
        check(&there, kept(1, 1, 1), &[1, 2, 3, 5]);
        check(&there, kept(1, 0, 1), &[1, 3, 5]);
        check(&versions(&[-1, 0, 59, 60]), kept(9, 0, 0), &[1, 3, 4]);
    }

    #[test]
    fn spans_end_on_the_hour_and_at_midnight() {
        check(&versions(&[HOUR - 1, HOUR, HOUR + 1]), kept(1, 9, 0), &[1, 3]);
        check(&versions(&[HOUR, 2 * HOUR - 1, 2 * HOUR]), kept(1, 9, 0), &[2, 3]);
        check(&versions(&[DAY - 1, DAY, DAY + 1]), kept(1, 0, 9), &[1, 3]);
        check(&versions(&[-1, 0, 1]), kept(1, 0, 9), &[1, 3]);
        check(&versions(&[-1, 0, 1]), kept(1, 9, 0), &[1, 3]);
    }

    #[test]
    fn all_together_are_bounded_but_for_the_newest() {
        let there = versions(&[0, 1, 2, 3]);
        let bytes = |bytes_max| VersionsKept { bytes_max, ..kept(9, 0, 0) };
        check(&there, bytes(40), &[1, 2, 3, 4]);
        check(&there, bytes(39), &[2, 3, 4]);
        check(&there, bytes(20), &[3, 4]);
        check(&there, bytes(19), &[4]);
        check(&there, bytes(0), &[4]);
        // What is let go by its age does not count.
        check(&there, VersionsKept { bytes_max: 20, ..kept(2, 0, 0) }, &[3, 4]);
        let huge: Vec<_> = there.iter().map(|version| VersionThere { bytes: u64::MAX, ..*version }).collect();
        check(&huge, bytes(u64::MAX - 1), &[4]);
    }

    proptest! {
        #[test]
        fn what_stays_is_bounded_and_stays(
            spans in prop::collection::vec((prop_oneof![0_i64..40, 0..3 * HOUR], 0_u64..50), 0..60),
            newest in 0_usize..6, minutes in 0_usize..6, hours in 0_usize..6, days in 0_usize..6,
            bytes_max in 0_u64..2_000
        ) {
            let mut at = -DAY;
            let mut there = Vec::new();
            for (seq, (span, bytes)) in (1..).zip(spans) {
                at += span + 1;
                there.push(VersionThere { seq: Seq::new(seq), at: ServerTime::from_micros(at * 1_000_000), bytes });
            }
            let kept = VersionsKept { newest, minutes, hours, days, bytes_max };
            let gone = let_go(&there, kept);
            prop_assert!(gone.is_sorted_by(|left, right| left < right));
            let stays: Vec<_> = there.iter().copied().filter(|version| !gone.contains(&version.seq)).collect();
            prop_assert_eq!(stays.len() + gone.len(), there.len());
            prop_assert_eq!(stays.last(), there.last());
            prop_assert!(stays.len() <= newest.max(1) + minutes + hours + days);
            prop_assert!(stays.len() <= 1 || stays.iter().map(|version| version.bytes).sum::<u64>() <= bytes_max);
            prop_assert_eq!(let_go(&stays, kept), Vec::new());
        }

        /// Written to again and again, as a room is: what a version was kept for is not lost by what comes after it.
        #[test]
        fn the_last_before_a_long_time_stays(count in 1_i64..200, minutes in 0_usize..6) {
            let kept = VersionsKept { minutes, ..kept(5, 4, 3) };
            let mut there = versions(&[0]);
            for n in 0..count {
                // A day later somebody empties it, and everybody goes on writing for hours.
                there.push(VersionThere {
                    seq: Seq::new(2 + u64::try_from(n).unwrap()),
                    at: ServerTime::from_micros((DAY + 60 * n) * 1_000_000),
                    bytes: 10,
                });
                let gone = let_go(&there, kept);
                there.retain(|version| !gone.contains(&version.seq));
                prop_assert_eq!(there[0].seq, Seq::new(1));
            }
        }
    }
}
