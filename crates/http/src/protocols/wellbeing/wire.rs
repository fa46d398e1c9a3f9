//! Reading requests: what they have in common. The rest of an upload, which is most of it, stands in `change.rs`.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::http::StatusCode;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tombolo_core::{ReplicaName, SpaceCursor};
use uuid::Uuid;

use super::error::SyncError;
use super::limits;
use crate::body::{BodyError, read_body};
use crate::json::Object;

/// `POST /v1/sync/upload`.
#[derive(Debug, Deserialize)]
pub(super) struct UploadWire<'a> {
    #[serde(borrow)]
    pub(super) device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) client_cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) changes: Option<Changes<'a>>,
}

/// `POST /v1/sync/download`.
#[derive(Debug, Deserialize)]
pub(super) struct DownloadWire<'a> {
    #[serde(borrow)]
    pub(super) device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) since: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) limit: Option<&'a RawValue>,
}

/// The changes of an upload, unread, so that a bad one is refused alone.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    pub(super) list: Vec<&'a RawValue>,
    /// Whether there are more than are taken.
    pub(super) is_too_many: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Changes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Changes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of changes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sent: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < limits::CHANGES_MAX {
                    let Some(change) = sent.next_element::<&'de RawValue>()? else {
                        return Ok(Changes { list, is_too_many: false });
                    };
                    list.push(change);
                }
                let mut is_too_many = false;
                while sent.next_element::<IgnoredAny>()?.is_some() {
                    is_too_many = true;
                }
                Ok(Changes { list, is_too_many })
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Reads a body up to `bytes_max`.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, SyncError> {
    read_body(body, bytes_max).await.map_err(|error| match error {
        BodyError::TooLarge => SyncError::too_large(format!(
            "The request is larger than {} KiB: send fewer changes at a time",
            bytes_max >> 10
        )),
        BodyError::Broken => SyncError::new(
            StatusCode::BAD_REQUEST,
            "incomplete_body",
            "The request's body did not arrive whole, or its compression is broken: send it again",
        ),
    })
}

/// Reads a body that says little.
pub(super) async fn read_small(body: Body) -> Result<Vec<u8>, SyncError> {
    read(body, limits::BODY_BYTES_MAX).await
}

/// Parses a body. What `wanted` says is told to whoever sends something else.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], wanted: &str) -> Result<Object<T>, SyncError> {
    // What serde says of an error may hold a piece of what was sent; its place does not.
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            return SyncError::invalid(format!("The request cannot be read: {wanted}"));
        }
        let place = format!("line {}, column {}", error.line(), error.column());
        SyncError::new(StatusCode::BAD_REQUEST, "invalid_json", format!("The request is no JSON from {place} on"))
    })
}

/// The text that a value is, if it is one.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    // Borrowed where nothing is escaped.
    let borrowed = serde_json::from_str::<&str>(value.get()).ok().map(Cow::Borrowed);
    borrowed.or_else(|| serde_json::from_str::<String>(value.get()).ok().map(Cow::Owned))
}

/// The device that a request is from.
pub(super) fn device(device_id: Option<&RawValue>) -> Result<ReplicaName, SyncError> {
    let id = device_id.ok_or_else(|| SyncError::invalid("device_id is missing"))?;
    let id = text(id).and_then(|id| Uuid::try_parse(&id).ok());
    let id = id.ok_or_else(|| SyncError::invalid("device_id is no UUID"))?;
    ReplicaName::parse(&id.hyphenated().to_string()).map_err(|_| SyncError::invalid("device_id is no UUID"))
}

/// Where a device resumes; `None` for the beginning, which has several spellings.
pub(super) fn cursor(name: &'static str, value: Option<&RawValue>) -> Result<Option<SpaceCursor>, SyncError> {
    let Some(value) = value else { return Ok(None) };
    let text = text(value).ok_or_else(|| SyncError::invalid(format!("{name} is no text")))?;
    match text.as_ref() {
        "" | "0" => Ok(None),
        text => SpaceCursor::parse(text).map(Some).map_err(|_| SyncError::unreadable_cursor()),
    }
}

/// Records of a page: what is wished for, as far as it is given.
pub(super) fn page_records(limit: Option<&RawValue>) -> Result<usize, SyncError> {
    let Some(limit) = limit else { return Ok(limits::PAGE_RECORDS) };
    // As a float, since a number may be larger than any that we count with; then its digits, since it is no longer.
    let wished: f64 = serde_json::from_str(limit.get()).map_err(|_| SyncError::invalid("limit is no number"))?;
    let longest = u32::try_from(limits::PAGE_RECORDS_MAX).map_or(1.0, f64::from);
    Ok(wished.clamp(1.0, longest).trunc().to_string().parse().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_beginning_has_several_spellings() {
        assert_eq!(cursor("since", None).unwrap(), None);
        for text in [r#""""#, r#""0""#, r#""\u0030""#] {
            assert_eq!(cursor("since", Some(&raw(text))).unwrap(), None, "{text}");
        }
        let given = format!("7.{}.42-50", "a7".repeat(16));
        let read = cursor("since", Some(&raw(&format!("\"{given}\"")))).unwrap().unwrap();
        assert_eq!(read.to_string(), given);
        for text in [r#""7""#, r#"" ""#, r#""00""#, r#""2026-11-20T20:00:00Z""#] {
            assert!(format!("{:?}", cursor("since", Some(&raw(text))).unwrap_err()).contains("unreadable"), "{text}");
        }
        for text in ["0", "[]", "true", r#""\ud800""#] {
            assert!(
                format!("{:?}", cursor("since", Some(&raw(text))).unwrap_err()).contains("invalid_request"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_page_is_as_long_as_is_wished_for_within_bounds() {
        let check = |limit: &str, expected: usize| assert_eq!(page_records(Some(&raw(limit))).unwrap(), expected);
        assert_eq!(page_records(None).unwrap(), 1_000);
        check("1", 1);
        check("10000", 10_000);
        check("10001", 10_000);
        check("0", 1);
        check("-5", 1);
        check("2.5", 2);
        check("1e3", 1_000);
        check("1e300", 10_000);
        check("-1e300", 1);
        check("99999999999999999999999999", 10_000);
        for limit in [r#""10""#, "[]", "{}", "true"] {
            assert!(page_records(Some(&raw(limit))).is_err(), "{limit}");
        }
    }

    #[test]
    fn a_device_has_one_spelling() {
        let id = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e";
        for text in [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")] {
            assert_eq!(device(Some(&raw(&format!("\"{text}\"")))).unwrap().as_str(), id);
        }
        for text in ["\"\"", "\"laptop\"", "7", "null", "{}"] {
            assert!(device(Some(&raw(text))).is_err(), "{text}");
        }
        assert!(device(None).is_err());
    }

    #[test]
    fn an_error_shows_nothing_of_what_was_sent() {
        for body in [
            r#"{"device_id":"s3cret"#,
            r#"{"device_id":"s3cret","device_id":"s3cret"}"#,
            r#"{"changes":"s3cret"}"#,
            r#"["s3cret"]"#,
            r#""s3cret""#,
            r#"{"changes":[s3cret]}"#,
        ] {
            let error = parse::<UploadWire<'_>>(body.as_bytes(), "an object is wanted").unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn no_more_changes_are_kept_than_are_taken() {
        let body = format!(r#"{{"changes":[{}1]}}"#, "1,".repeat(limits::CHANGES_MAX - 1));
        let Object(upload) = parse::<UploadWire<'_>>(body.as_bytes(), "").unwrap();
        assert!(!upload.changes.unwrap().is_too_many);
        let body = format!(r#"{{"changes":[{}1]}}"#, "1,".repeat(limits::CHANGES_MAX));
        let Object(upload) = parse::<UploadWire<'_>>(body.as_bytes(), "").unwrap();
        let changes = upload.changes.unwrap();
        assert!(changes.is_too_many && changes.list.len() == limits::CHANGES_MAX);
    }
}
