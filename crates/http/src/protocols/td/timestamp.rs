//! Times as td writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tombolo_core::{Instant, ServerTime};

/// When a client says that it wrote: the moment, and the text under which others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    pub(super) moment: Instant,
    /// RFC 3339 with the client's own offset, `Z` for none, and no zeros at the end of the fraction.
    pub(super) text: String,
}

impl Timestamp {
    /// Reads RFC 3339 with a year from 1 to 9998.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let moment = Instant::parse(text).ok()?;
        let local = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self { moment, text: written(local) })
    }
}

fn written(local: OffsetDateTime) -> String {
    let (date, clock) = (local.date(), local.time());
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    if local.nanosecond() > 0 {
        text.push_str(format!(".{:09}", local.nanosecond()).trim_end_matches('0'));
    }
    let (hours, minutes, _) = local.offset().as_hms();
    if local.offset().is_utc() {
        text.push('Z');
    } else {
        let sign = if local.offset().is_negative() { '-' } else { '+' };
        text.push_str(&format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs()));
    }
    text
}

/// A time of the server's to the second: `2026-11-20T23:52:43Z`.
pub(super) fn seconds(time: ServerTime) -> String {
    // What an instant is written as begins with a date and a time of fixed width.
    let text = time.to_instant().to_string();
    format!("{}Z", &text[..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_offset_and_loses_its_zeros() {
        let check = |text: &str, expected: &str| {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!(read.text, expected, "{text}");
            assert_eq!(Timestamp::parse(expected), Some(read), "{text}");
        };
        check("2026-11-20T23:52:43Z", "2026-11-20T23:52:43Z");
        check("2026-01-01T10:00:00.123456789+09:00", "2026-01-01T10:00:00.123456789+09:00");
        check("2026-01-01T10:00:00.120000000-03:30", "2026-01-01T10:00:00.12-03:30");
        check("2026-01-01T10:00:00.000000000Z", "2026-01-01T10:00:00Z");
        check("2026-01-01T10:00:00.000000001Z", "2026-01-01T10:00:00.000000001Z");
        check("2026-01-01T10:00:00+00:00", "2026-01-01T10:00:00Z");
        check("2026-01-01T10:00:00-00:00", "2026-01-01T10:00:00Z");
        check("2026-01-01T10:00:00-00:30", "2026-01-01T10:00:00-00:30");
        check("0001-01-01T00:30:00-23:59", "0001-01-01T00:30:00-23:59");
        check("9999-01-01T00:30:00+01:00", "9999-01-01T00:30:00+01:00");
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01T10:00:00",
            "2026-13-01T10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:00:00+24:00",
            "9999-01-01T10:00:00Z",
            "0000-01-01T10:00:00Z",
            "1700000000",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_servers_times_are_whole_seconds() {
        assert_eq!(seconds(ServerTime::from_micros(1_800_000_000_999_999)), "2027-01-15T08:00:00Z");
        assert_eq!(seconds(ServerTime::from_micros(0)), "1970-01-01T00:00:00Z");
    }
}
