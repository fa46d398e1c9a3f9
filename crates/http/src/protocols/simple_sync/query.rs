//! What a request for events asks for.

use tombolo_core::{Cursor, ServerTime};

use super::caller::{Caller, Via};
use super::error::EventError;
use super::timestamp::Timestamp;

/// Where a reader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// He has nothing yet.
    Beginning,
    /// He has everything up to there.
    Cursor(Cursor),
}

impl After {
    /// Reads a cursor as it was given out; an empty one is the beginning.
    pub(super) fn parse(text: &str) -> Result<Self, EventError> {
        if text.is_empty() { Ok(Self::Beginning) } else { Cursor::parse(text).map(Self::Cursor).map_err(|_| unknown()) }
    }

    /// Reads `?after=…`; `None` for whoever asks for the whole history.
    pub(super) fn of(query: &str) -> Result<Option<Self>, EventError> {
        value(query, "after").map(|text| Self::parse(&text)).transpose()
    }

    pub(super) const fn cursor(self) -> Option<Cursor> {
        match self {
            Self::Beginning => None,
            Self::Cursor(cursor) => Some(cursor),
        }
    }
}

/// What is said of a cursor that is none of this history.
pub(super) fn unknown() -> EventError {
    EventError::bad_request("Unknown cursor")
}

/// Reads `?fromTimestamp=…`, which today's generation does not know.
pub(super) fn from_timestamp(query: &str, caller: &Caller, now: ServerTime) -> Result<Option<Timestamp>, EventError> {
    if caller.via == Via::ApiKey {
        return Ok(None);
    }
    let Some(text) = value(query, "fromTimestamp").filter(|text| !text.is_empty()) else { return Ok(None) };
    let read = Timestamp::parse(&text).filter(|timestamp| timestamp.moment(now).is_some());
    read.map(Some).ok_or_else(|| EventError::bad_request("Invalid timestamp parameter"))
}

/// The first value of this name.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use tombolo_core::{Name, UserId};
    use tombolo_service::Admission;

    use super::*;

    #[test]
    fn where_a_reader_goes_on() {
        let cursor = Cursor::parse(&format!("{}.7", "a7".repeat(16))).unwrap();
        assert_eq!(After::of(""), Ok(None));
        assert_eq!(After::of("before=7"), Ok(None));
        assert_eq!(After::of("after="), Ok(Some(After::Beginning)));
        assert_eq!(After::of(&format!("x=1&after={cursor}&after=")), Ok(Some(After::Cursor(cursor))));
        for text in ["0", "7", "x.7", "%00"] {
            assert_eq!(After::of(&format!("after={text}")), Err(unknown()), "{text}");
        }
    }

    #[test]
    fn since_when_the_first_generation_asks() {
        let now = ServerTime::from_micros(1_800_000_000_000_000);
        let read = |query: &str, via| {
            let admission = Admission { user: UserId::new(1), credential: None, ends_at: None };
            let caller = Caller { subject: Name::parse("ann").unwrap(), via, admission };
            from_timestamp(query, &caller, now)
        };
        for via in [Via::Session, Via::BearerKey] {
            assert_eq!(read("", via), Ok(None));
            assert_eq!(read("fromTimestamp=", via), Ok(None));
            assert_eq!(read("fromTimestamp=1700000000", via), Ok(Some(Timestamp(1_700_000_000))));
            assert_eq!(read("fromTimestamp=1700000000999", via), Ok(Some(Timestamp(1_700_000_000_999))));
            for text in ["0", "-1", "x", "1.5", "1800086401", "18446744073709551616"] {
                let bad = EventError::bad_request("Invalid timestamp parameter");
                assert_eq!(read(&format!("fromTimestamp={text}"), via), Err(bad), "{text}");
            }
        }
        assert_eq!(read("fromTimestamp=x", Via::ApiKey), Ok(None));
    }
}
