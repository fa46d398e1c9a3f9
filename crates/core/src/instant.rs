//! Two kinds of time that are never mixed: when a client says it wrote, and when the server committed.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS_PER_MILLI: i128 = 1_000_000;
/// 0001-01-01T00:00:00Z, in nanoseconds since the epoch: the first instant that every reader of RFC 3339 takes.
const EARLIEST: i128 = -62_135_596_800 * 1_000_000_000;
/// 9998-12-31T23:59:59.999999999Z: an instant a little above what a client sent still has a year of four digits.
const LATEST: i128 = 253_370_764_800 * 1_000_000_000 - 1;

/// When a client says that it wrote, as it said so: nanoseconds since the Unix epoch, in UTC.
///
/// A client's clock may be wrong by years in either direction. An instant recognises what was sent before; it decides
/// a conflict only through a [`Stamp`](crate::Stamp), and never who still has to hear of a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i128);

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Not RFC 3339.
    #[error("it is no RFC 3339 time, such as 2026-11-20T20:00:00.123Z")]
    Malformed,
    /// A year before 1 or after 9998.
    #[error("its year lies outside 1 to 9998")]
    OutOfRange,
}

impl Instant {
    /// Parses RFC 3339, with any offset and up to nanoseconds.
    ///
    /// # Errors
    /// [`InstantError`] when it is no such text, or its year lies outside 1 to 9998.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InstantError::Malformed)?;
        Self::from_nanos(parsed.unix_timestamp_nanos()).ok_or(InstantError::OutOfRange)
    }

    /// The instant `nanos` nanoseconds after the Unix epoch; `None` when its year lies outside 1 to 9998.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Option<Self> {
        if nanos < EARLIEST || nanos > LATEST { None } else { Some(Self(nanos)) }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// The earliest instant in whole milliseconds that is not before this one.
    #[must_use]
    pub const fn ceil_to_millis(self) -> Self {
        Self(self.0 + (NANOS_PER_MILLI - self.0.rem_euclid(NANOS_PER_MILLI)) % NANOS_PER_MILLI)
    }

    /// The earliest instant in whole milliseconds that is after this one, and at least a millisecond after it.
    ///
    /// In the last millisecond that can be written it stays where it is.
    #[must_use]
    pub fn millisecond_later(self) -> Self {
        Self(self.ceil_to_millis().0 + NANOS_PER_MILLI)
    }

    /// Twelve bytes that sort as the instants do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let shifted = u128::try_from(self.0 - EARLIEST).expect("an instant is not before the earliest");
        let wide = shifted.to_be_bytes();
        let mut narrow = [0; 12];
        narrow.copy_from_slice(&wide[4..]);
        narrow
    }

    /// The instant that was stored as `bytes`; `None` when no instant is stored so.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 12]) -> Option<Self> {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&bytes);
        let shifted = i128::try_from(u128::from_be_bytes(wide)).ok()?;
        let nanos = shifted + EARLIEST;
        // What goes out may lie a little above what may come in.
        (nanos <= LATEST + 366 * 86_400 * 1_000_000_000).then_some(Self(nanos))
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, with `Z`: to the millisecond, or, when that would cut it, to the micro- or nanosecond. Whatever
    /// the server gives out is in whole milliseconds: every client reads that, and such texts sort as the instants do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.div_euclid(1_000_000_000)).map_err(|_| fmt::Error)?;
        let nanos = u32::try_from(self.0.rem_euclid(1_000_000_000)).map_err(|_| fmt::Error)?;
        let moment = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| fmt::Error)?;
        let (date, clock) = (moment.date(), moment.time());
        // Replies hold it once a record: digits are written here, since the formatting machinery takes longer.
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[..4], date.year().unsigned_abs());
        digits(&mut text[5..7], u8::from(date.month()).into());
        digits(&mut text[8..10], date.day().into());
        digits(&mut text[11..13], clock.hour().into());
        digits(&mut text[14..16], clock.minute().into());
        digits(&mut text[17..19], clock.second().into());
        digits(&mut text[20..29], nanos);
        let end = match nanos {
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

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time by the server's clock: microseconds since the Unix epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(i64);

impl ServerTime {
    /// The time `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The same moment as an instant.
    #[must_use]
    pub fn to_instant(self) -> Instant {
        Instant((i128::from(self.0) * 1_000).clamp(EARLIEST, LATEST))
    }

    /// The time `span` before this one.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time `span` after this one.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for ServerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_instant().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn an_instant_is_compared_as_a_moment_and_not_as_text() {
        assert!(at("2026-11-20T10:00:00.5Z") > at("2026-11-20T10:00:00Z"));
        assert!(at("2026-11-20T13:30:00+02:00") < at("2026-11-20T12:00:00Z"));
        assert_eq!(at("2026-11-20T12:00:00+02:00"), at("2026-11-20T10:00:00.000000000Z"));
        assert!(at("2026-11-20T10:00:00.000000002Z") > at("2026-11-20T10:00:00.000000001Z"));
    }

    #[test]
    fn what_no_client_could_read_again_is_refused() {
        let check = |text: &str, expected: InstantError| assert_eq!(Instant::parse(text), Err(expected), "{text}");
        check("zzz", InstantError::Malformed);
        check("2026-11-20", InstantError::Malformed);
        check("2026-11-20T10:00:00", InstantError::Malformed);
        check("9999-01-01T00:00:00Z", InstantError::OutOfRange);
        check("0000-12-31T23:59:59Z", InstantError::OutOfRange);
        assert!(Instant::parse("9998-12-31T23:59:59.999999999Z").is_ok());
        assert!(Instant::parse("0001-01-01T00:00:00Z").is_ok());
    }

    #[test]
    fn display_is_utc_and_cuts_nothing() {
        assert_eq!(at("2026-11-20T23:53:11.651384916Z").to_string(), "2026-11-20T23:53:11.651384916Z");
        assert_eq!(at("2026-11-20T23:53:11.651384000Z").to_string(), "2026-11-20T23:53:11.651384Z");
        assert_eq!(at("2026-12-24T23:59:59+01:00").to_string(), "2026-12-24T22:59:59.000Z");
    }

    #[test]
    fn milliseconds_round_up_and_move_on() {
        assert_eq!(at("2026-01-01T00:00:00.0000001Z").ceil_to_millis(), at("2026-01-01T00:00:00.001Z"));
        assert_eq!(at("2026-01-01T00:00:00.001Z").ceil_to_millis(), at("2026-01-01T00:00:00.001Z"));
        assert_eq!(at("1969-12-31T23:59:59.9991Z").ceil_to_millis(), at("1970-01-01T00:00:00Z"));
        assert_eq!(at("2026-01-01T00:00:00.001Z").millisecond_later(), at("2026-01-01T00:00:00.002Z"));
        assert!(at("2026-01-01T00:00:00.0015Z").millisecond_later() > at("2026-01-01T00:00:00.0015Z"));
    }

    #[test]
    fn stored_bytes_sort_as_instants_and_come_back() {
        let mut last: Option<Instant> = None;
        for text in [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00.000000001Z",
            "2999-01-01T00:00:00Z",
            "9998-12-31T23:59:59Z",
        ] {
            let now = at(text);
            assert_eq!(Instant::from_bytes(now.to_bytes()), Some(now));
            if let Some(last) = last {
                assert!(last.to_bytes() < now.to_bytes());
            }
            last = Some(now);
        }
        assert_eq!(Instant::from_bytes([255; 12]), None);
    }
}
