//! When an event says that it was written: whole seconds or milliseconds since 1970, told apart by their size.

use tombolo_core::{Instant, ServerTime};

use super::limits::AHEAD_MAX;

/// Below it a number is in seconds: as seconds it is in the year 5138, as milliseconds in 1973.
const SECONDS_BELOW: u64 = 100_000_000_000;

/// A timestamp as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) u64);

impl Timestamp {
    /// Milliseconds since 1970, by which a history is sorted.
    pub(super) const fn millis(self) -> u64 {
        if self.0 < SECONDS_BELOW { self.0 * 1_000 } else { self.0 }
    }

    /// The moment, if an event may lie there: after the beginning of 1970, and not too far ahead.
    pub(super) fn moment(self, now: ServerTime) -> Option<Instant> {
        let latest = now.plus(AHEAD_MAX).to_instant();
        let moment = Instant::from_nanos(i128::from(self.millis()) * 1_000_000)?;
        (self.0 > 0 && moment <= latest).then_some(moment)
    }

    /// Whether it says the same as a uuid in which stands that it was made then: to the second, or to the millisecond.
    pub(super) const fn is_of(self, uuid_millis: u64) -> bool {
        if self.0 < SECONDS_BELOW { self.0 == uuid_millis / 1_000 } else { self.0 == uuid_millis }
    }

    /// Reads a number as it stands in a query.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ServerTime = ServerTime::from_micros(1_800_000_000_500_000);

    #[test]
    fn seconds_and_milliseconds_are_one_unit() {
        let check = |sent: u64, millis: u64| assert_eq!(Timestamp(sent).millis(), millis);
        check(0, 0);
        check(1_700_000_000, 1_700_000_000_000);
        check(99_999_999_999, 99_999_999_999_000);
        check(100_000_000_000, 100_000_000_000);
        check(1_700_000_000_123, 1_700_000_000_123);
        check(u64::MAX, u64::MAX);
    }

    #[test]
    fn when_an_event_may_be() {
        let check = |sent: u64, is_one: bool| assert_eq!(Timestamp(sent).moment(NOW).is_some(), is_one, "{sent}");
        check(0, false);
        check(1, true);
        check(1_800_000_000 + 86_400, true);
        check(1_800_000_000 + 86_401, false);
        check(1_800_000_000_500 + 86_400_000, true);
        check(1_800_000_000_501 + 86_400_000, false);
        check(u64::MAX, false);
    }

    #[test]
    fn what_says_the_same_as_a_uuid() {
        let check = |sent: u64, of: u64, is_one: bool| assert_eq!(Timestamp(sent).is_of(of), is_one, "{sent} {of}");
        check(1_700_000_000, 1_700_000_000_999, true);
        check(1_700_000_000_999, 1_700_000_000_999, true);
        check(1_700_000_000_000, 1_700_000_000_999, false);
        check(1_700_000_001, 1_700_000_000_999, false);
        check(0, 999, true);
    }

    #[test]
    fn a_number_in_a_query_is_digits() {
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(Timestamp::parse(text).map(|t| t.0), expected, "{text}");
        check("17", Some(17));
        check("18446744073709551615", Some(u64::MAX));
        for text in ["", "+1", "-1", "1.0", "1e9", " 1", "18446744073709551616", "٣"] {
            check(text, None);
        }
    }
}
