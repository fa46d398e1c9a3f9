//! The day on which a task is due, in the spellings of the two clients.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// Reads a due date: RFC 3339, or `YYYY-MM-DD`, which is the last second of that day. `None` for any other text, and
/// for years that some client could not read again.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let due = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(moment) => moment.checked_to_offset(UtcOffset::UTC)?,
        Err(_) => last_second(text)?,
    };
    (1..=9999).contains(&due.year()).then_some(due)
}

fn last_second(text: &str) -> Option<OffsetDateTime> {
    let well_formed = text.len() == 10
        && text.bytes().enumerate().all(|(n, b)| if n == 4 || n == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !well_formed {
        return None;
    }
    let month = Month::try_from(text[5..7].parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(text[..4].parse().ok()?, month, text[8..].parse().ok()?).ok()?;
    Some(date.with_time(Time::from_hms(23, 59, 59).ok()?).assume_utc())
}

/// Whether two stored due dates, each a JSON string or `null`, mean the same moment.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left == right || matches!((moment(left), moment(right)), (Some(left), Some(right)) if left == right)
}

/// The moment of a stored due date, if there is one.
pub(super) fn moment(value: &[u8]) -> Option<OffsetDateTime> {
    parse(super::normal::id(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_one_day_are_the_same() {
        let check = |left: &str, right: &str, expected| {
            assert_eq!(same(left.as_bytes(), right.as_bytes()), expected, "{left} {right}")
        };
        check(r#""2026-12-24""#, r#""2026-12-24T23:59:59+00:00""#, true);
        check(r#""2026-12-24""#, r#""2026-12-25T00:59:59+01:00""#, true);
        check(r#""2026-12-24""#, r#""2026-12-25""#, false);
        check("null", r#""2026-12-25""#, false);
        check("null", "null", true);
    }

    #[test]
    fn what_no_client_could_read_again() {
        for text in
            ["", "tomorrow", "2026-13-01", "2026-02-30", "2026-1-1", "+2026-01-01", "0000-01-01", "2026-12-24T23:59:59"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse("9999-12-31").is_some());
    }
}
