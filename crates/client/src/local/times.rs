//! Times as SQLite writes them, and as others read them.

use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};
use tombolo_wellbeing::Timestamp;

/// Reads a time in any spelling that SQLite reads as one of a date: `2026-11-20`, `2026-11-20 20:00`, with seconds and a
/// fraction, with `T` for the blank, with an offset. Without one, it is UTC. `None` for any other text.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let date = read_date(date)?;
    let (clock, offset) = split_offset(rest)?;
    let clock = match clock.strip_prefix([' ', 'T', 't']) {
        Some(clock) => read_clock(clock.trim())?,
        None if clock.is_empty() => Time::MIDNIGHT,
        None => return None,
    };
    let moment = PrimitiveDateTime::new(date, clock).assume_offset(offset);
    Timestamp::from_nanos(moment.unix_timestamp_nanos())
}

/// Writes a time as SQLite's own functions do: `2026-11-20 20:00:00`, with as much of a fraction as there is.
pub(super) fn write(moment: Timestamp) -> Option<String> {
    let utc = time::OffsetDateTime::from_unix_timestamp_nanos(moment.nanos()).ok()?;
    let (date, clock) = (utc.date(), utc.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second, nanos) = clock.as_hms_nano();
    let fraction = match nanos {
        0 => String::new(),
        nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => format!(".{:06}", nanos / 1_000),
        nanos => format!(".{nanos:09}"),
    };
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}"))
}

fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = parts(text, '-')?;
    let has_shape = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let month = Month::try_from(u8::try_from(number(month)?).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(number(year)?).ok()?, month, u8::try_from(number(day)?).ok()?);
    date.ok().filter(|_| has_shape)
}

fn read_clock(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').map_or((text, ""), |(clock, fraction)| (clock, fraction));
    let [hour, minute, second] = match clock.len() {
        5 => parts(&format!("{clock}:00"), ':')?.map(number),
        8 => parts(clock, ':')?.map(number),
        _ => return None,
    };
    // A fraction without seconds is no time, nor is a point with nothing after it.
    if text.contains('.') && (fraction.is_empty() || clock.len() != 8) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    number(fraction).or_else(|| fraction.is_empty().then_some(0))?;
    let small = |number: Option<u32>| u8::try_from(number?).ok();
    Time::from_hms_nano(small(hour)?, small(minute)?, small(second)?, digits.parse().ok()?).ok()
}

/// Takes `Z`, `+01:00` or `-01:00` off the end.
fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), UtcOffset::UTC));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, UtcOffset::UTC)) };
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = parts(&offset[1..], ':')?.map(|part: &str| i8::try_from(number(part)?).ok());
    let offset = UtcOffset::from_hms(sign * hours?, sign * minutes?, 0).ok()?;
    Some((clock.trim_end(), offset))
}

fn parts<const N: usize>(text: &str, by: char) -> Option<[&str; N]> {
    text.split(by).collect::<Vec<_>>().try_into().ok()
}

/// A number of plain digits.
fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_that_moment() {
        let expected = read("2026-11-20T20:00:00Z").unwrap();
        for text in [
            "2026-11-20 20:00:00",
            "2026-11-20 20:00",
            "2026-11-20T20:00",
            "2026-11-20 20:00:00.000",
            "2026-11-20 21:00:00+01:00",
            "2026-11-20 14:30:00 -05:30",
            "2026-11-20T20:00:00.000000000Z",
            " 2026-11-20 20:00:00 ",
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        assert_eq!(read("2026-11-20"), read("2026-11-20 00:00:00"));
        assert!(read("2026-11-20 20:00:00.5").unwrap() > expected);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "20:00",
            "2461365.5",
            "2026-13-01",
            "2026-02-30",
            "2026-11-20 24:61",
            "2026-11-20x",
            "2026-11-20 20:00:00.",
            "2026-11-20 20:00.5",
            "2026-11-20 20:00:00+1",
            "äääääääääää",
            "2026-11-2ä 20:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_sqlite_does_with_no_digit_lost() {
        let check = |text: &str, expected: &str| assert_eq!(write(read(text).unwrap()).unwrap(), expected);
        check("2026-11-20T20:00:00.000Z", "2026-11-20 20:00:00");
        check("2026-11-20T20:00:00.120Z", "2026-11-20 20:00:00.120");
        check("2026-11-20T20:00:00.000120Z", "2026-11-20 20:00:00.000120");
        check("2026-11-20T20:00:00.000000001Z", "2026-11-20 20:00:00.000000001");
        check("0999-01-02T03:04:05+00:00", "0999-01-02 03:04:05");
    }
}
