//! A moment, read in every spelling that is about and written in one.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time, UtcOffset};

/// The longest text of a moment, in bytes: what `time` writes with nine digits of a fraction and the seconds of an
/// offset has 39. A longer one is not looked at.
const BYTES_MAX: usize = 48;

/// A moment in UTC, to the nanosecond, in the years 1 to 9998.
///
/// Read from RFC 3339 with any offset; from what SQLite writes (`2026-11-20 20:00:00`, in UTC unless it says otherwise);
/// and from both that `time` makes of an `OffsetDateTime`: `2026-11-20 20:00:00.0 +00:00:00`, and the array of year, day
/// of the year, hour, minute, second, nanosecond, and the offset's hours, minutes and seconds.
///
/// Written as RFC 3339 in UTC with `Z`, to the millisecond, or, when that would cut it, to the micro- or nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no time such as 2026-11-20T20:00:00.123Z")]
pub struct TimestampError;

impl Timestamp {
    /// The moment `nanos` nanoseconds after the Unix epoch; `None` when its year lies outside 1 to 9998.
    #[must_use]
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        (1..=9998).contains(&moment.year()).then_some(Self(moment))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0.unix_timestamp_nanos()
    }

    /// The moment of `[year, day of the year, hour, minute, second, nanosecond, and the offset's three]`.
    fn from_parts(parts: [i64; 9]) -> Option<Self> {
        let [year, ordinal, hour, minute, second, nanosecond, hours, minutes, seconds] = parts;
        let date = Date::from_ordinal_date(year.try_into().ok()?, ordinal.try_into().ok()?).ok()?;
        let (hour, minute, second) = (hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?);
        let clock = Time::from_hms_nano(hour, minute, second, nanosecond.try_into().ok()?).ok()?;
        let (hours, minutes, seconds) = (hours.try_into().ok()?, minutes.try_into().ok()?, seconds.try_into().ok()?);
        // It would turn the signs of the smaller parts round, where they are not that of the greatest.
        let signs = [hours, minutes, seconds].map(i8::signum);
        if signs.contains(&1) && signs.contains(&-1) {
            return None;
        }
        let offset = UtcOffset::from_hms(hours, minutes, seconds).ok()?;
        Self::from_nanos(OffsetDateTime::new_in_offset(date, clock, offset).unix_timestamp_nanos())
    }
}

impl TryFrom<OffsetDateTime> for Timestamp {
    type Error = TimestampError;

    fn try_from(moment: OffsetDateTime) -> Result<Self, TimestampError> {
        Self::from_nanos(moment.unix_timestamp_nanos()).ok_or(TimestampError)
    }
}

impl From<Timestamp> for OffsetDateTime {
    fn from(moment: Timestamp) -> Self {
        moment.0
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let text = text.trim();
        let is_spaced = text.as_bytes().get(10) == Some(&b' ');
        let parsed = match is_spaced {
            _ if text.len() > BYTES_MAX => return Err(TimestampError),
            true => OffsetDateTime::parse(&joined(text).ok_or(TimestampError)?, &Rfc3339),
            false => OffsetDateTime::parse(text, &Rfc3339),
        };
        parsed.map_err(|_| TimestampError)?.try_into()
    }
}

/// RFC 3339 of a text with a space between date and time: SQLite's, or that of `time`.
fn joined(text: &str) -> Option<String> {
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let zone = match zone.strip_prefix(' ').unwrap_or(zone) {
        "" | "UTC" => "Z",
        // RFC 3339 knows no seconds of an offset, and no place has had any for as long as apps have been about.
        zone if zone.len() == 9 => zone.strip_suffix(":00")?,
        zone => zone,
    };
    Some(format!("{date}T{clock}{zone}"))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(UtcOffset::UTC);
        let (date, clock) = (utc.date(), utc.time());
        // Answers hold it several times a record: digits are written here, since the formatting machinery takes longer.
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[..4], date.year().unsigned_abs());
        digits(&mut text[5..7], u8::from(date.month()).into());
        digits(&mut text[8..10], date.day().into());
        digits(&mut text[11..13], clock.hour().into());
        digits(&mut text[14..16], clock.minute().into());
        digits(&mut text[17..19], clock.second().into());
        digits(&mut text[20..29], clock.nanosecond());
        let end = match clock.nanosecond() {
            nanos if nanos.is_multiple_of(1_000_000) => 23,
            nanos if nanos.is_multiple_of(1_000) => 26,
            _ => 29,
        };
        text[end] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=end]).map_err(|_| fmt::Error)?)
    }
}

/// Writes `number` in decimal digits, with zeros in front.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spellings;
        impl<'de> Visitor<'de> for Spellings {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-11-20T20:00:00.123Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Timestamp, A::Error> {
                let malformed = || de::Error::custom(TimestampError);
                let mut parts = [0_i64; 9];
                for part in &mut parts {
                    *part = items.next_element()?.ok_or_else(malformed)?;
                }
                if items.next_element::<de::IgnoredAny>()?.is_some() {
                    return Err(malformed());
                }
                Timestamp::from_parts(parts).ok_or_else(malformed)
            }
        }
        deserializer.deserialize_any(Spellings)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<String, String> {
        serde_json::from_str::<Timestamp>(json).map(|read| read.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_is_read_and_one_is_written() {
        let check = |json: &str, expected: &str| assert_eq!(read(json).as_deref(), Ok(expected), "{json}");
        check(r#""2026-11-20T20:00:00Z""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20t20:00:00z""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20T20:00:00.12+02:00""#, "2026-11-20T18:00:00.120Z");
        check(r#""2026-11-20T20:00:00.123456-03:30""#, "2026-11-20T23:30:00.123456Z");
        check(r#""2026-11-20T20:00:00.123456789Z""#, "2026-11-20T20:00:00.123456789Z");
        check(r#"" 2026-11-20T20:00:00Z ""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20 20:00:00""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20 20:00:00.5""#, "2026-11-20T20:00:00.500Z");
        check(r#""2026-11-20 20:00:00Z""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20 20:00:00 UTC""#, "2026-11-20T20:00:00.000Z");
        check(r#""2026-11-20 20:00:00+01:00""#, "2026-11-20T19:00:00.000Z");
        check(r#""2026-11-20 20:00:00 +01:00""#, "2026-11-20T19:00:00.000Z");
        check(r#""2025-11-10 12:00:00.0 +00:00:00""#, "2025-11-10T12:00:00.000Z");
        check(r#""2025-11-10 12:00:00.000000001 -01:00:00""#, "2025-11-10T13:00:00.000000001Z");
        check("[2025,314,12,0,0,0,0,0,0]", "2025-11-10T12:00:00.000Z");
        check("[2025,314,12,0,0,1,0,0,0]", "2025-11-10T12:00:00.000000001Z");
        check("[2024,366,0,30,0,0,-3,-30,0]", "2024-12-31T04:00:00.000Z");
        check("[2025,1,0,30,0,0,1,0,0]", "2024-12-31T23:30:00.000Z");
        check(r#""0001-01-01T00:00:00Z""#, "0001-01-01T00:00:00.000Z");
        check(r#""9998-12-31T23:59:59.999999999Z""#, "9998-12-31T23:59:59.999999999Z");
        check(r#""1969-12-31 23:59:59.999""#, "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_time() {
        for json in [
            r#""""#,
            r#"" ""#,
            r#""now""#,
            r#""2026-11-20""#,
            r#""2026-11-20 ""#,
            r#""2026-11-20 20""#,
            r#""2026-11-20T20:00:00""#,
            r#""2026-11-20 20:00:00 CET""#,
            r#""2026-11-20 20:00:00  Z""#,
            r#""2026-11-20 20:00:00 +01:00:30""#,
            r#""2026-13-20 20:00:00""#,
            r#""2026-02-30T20:00:00Z""#,
            r#""2026-11-20T24:00:00Z""#,
            r#""0000-12-31T23:59:59Z""#,
            r#""9999-01-01T00:00:00Z""#,
            r#""äöüäöüäöü 20:00:00""#,
            r#""2026-11-20T20:00:00.00000000000000000000000000000000000Z""#,
            "1700000000",
            "null",
            "true",
            "{}",
            "[]",
            "[2025,314,12,0,0,0,0,0]",
            "[2025,314,12,0,0,0,0,0,0,0]",
            "[2025,366,12,0,0,0,0,0,0]",
            "[2025,314,24,0,0,0,0,0,0]",
            "[2025,314,12,0,0,1000000000,0,0,0]",
            "[2025,314,12,0,0,0,26,0,0]",
            "[2025,314,12,0,0,0,1,-30,0]",
            "[10000,1,12,0,0,0,0,0,0]",
            "[9223372036854775807,1,12,0,0,0,0,0,0]",
            "[2025,\"314\",12,0,0,0,0,0,0]",
        ] {
            assert!(read(json).is_err(), "{json} {:?}", read(json));
        }
    }

    #[test]
    fn a_refusal_says_nothing_of_what_was_refused() {
        let error = read(r#""my own secret""#).unwrap_err();
        assert!(error.starts_with("it is no time such as") && !error.contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos in -62_135_596_800_000_000_000_i128..253_370_764_800_000_000_000) {
            let moment = Timestamp::from_nanos(nanos).unwrap();
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            let in_sqlite = moment.to_string().replace('T', " ").replace('Z', "");
            prop_assert_eq!(in_sqlite.parse(), Ok(moment));
            prop_assert_eq!(Timestamp::try_from(OffsetDateTime::from(moment)), Ok(moment));
        }

        #[test]
        fn no_text_breaks_it(text in any::<String>(), clock in "[0-9:. +ZTUC-]{0,40}") {
            let _ = text.parse::<Timestamp>();
            let _ = format!("2026-11-20 {clock}").parse::<Timestamp>();
        }
    }
}
