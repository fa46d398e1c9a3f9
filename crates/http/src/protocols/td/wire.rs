//! td's JSON, as its clients send it.
//!
//! Read as its own server reads it: whatever follows the first value is ignored, so are fields that nobody knows, and
//! null is as good as missing.

use std::fmt;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tombolo_core::EmailAddress;

use super::error::TdError;
use super::limits;
use super::limits::PUSH_EVENTS_MAX;
use crate::body::{BodyError, read_body};
use crate::json::Object;
pub(super) use crate::json::Text;

/// A request's body, within its bound.
pub(super) async fn body(body: Body) -> Result<Vec<u8>, TdError> {
    let too_large =
        || format!("the request is larger than {} MiB: send fewer events at once", limits::BODY_BYTES_MAX >> 20);
    body_within(body, limits::BODY_BYTES_MAX, too_large).await
}

/// A request's body, within a bound; `too_large` says what the bound is.
pub(super) async fn body_within(
    body: Body,
    bytes_max: usize,
    too_large: impl FnOnce() -> String,
) -> Result<Vec<u8>, TdError> {
    read_body(body, bytes_max).await.map_err(|error| match error {
        BodyError::TooLarge => TdError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", too_large()),
        BodyError::Broken => TdError::bad_request("the request's body did not arrive whole: send it again"),
    })
}

/// Reads the first JSON value of `body`, an object.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, TdError> {
    let read = Object::deserialize(&mut serde_json::Deserializer::from_slice(body));
    read.map(|Object(read)| read).map_err(|error| {
        // The reader repeats what it did not expect, however long that is.
        TdError::bad_request(format!("invalid json body: {}", echo(&error.to_string())))
    })
}

/// An address in a body.
pub(super) fn email(text: &str) -> Result<EmailAddress, TdError> {
    EmailAddress::parse(text).map_err(|_| TdError::bad_request("valid email is required"))
}

/// Answers with JSON.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("texts, numbers and lists of them can be written as JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A client's own words, in an answer to it.
pub(super) fn echo(text: &str) -> String {
    text.chars().take(limits::ECHO_CHARS_MAX).collect()
}

/// The body of a push.
#[derive(Debug, Deserialize)]
pub(super) struct PushWire<'a> {
    #[serde(borrow, default)]
    pub(super) device_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) session_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) events: Events<'a>,
}

/// The events of a push. Of more than a request may bring, only how many they are is known.
#[derive(Debug, Default)]
pub(super) struct Events<'a> {
    pub(super) first: Vec<EventWire<'a>>,
    pub(super) count: usize,
}

/// One event of a push.
#[derive(Debug, Deserialize)]
pub(super) struct EventWire<'a> {
    #[serde(default)]
    pub(super) client_action_id: Option<i64>,
    #[serde(borrow, default)]
    pub(super) action_type: Text<'a>,
    #[serde(borrow, default)]
    pub(super) entity_type: Text<'a>,
    #[serde(borrow, default)]
    pub(super) entity_id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) client_timestamp: Text<'a>,
}

/// Whatever is there, null too: that is another mistake than nothing at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Events<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Events::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < PUSH_EVENTS_MAX {
                    let Some(Object(event)) = list.next_element::<Object<EventWire<'de>>>()? else { break };
                    first.push(event);
                }
                let mut count = first.len();
                while first.len() == PUSH_EVENTS_MAX && list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Events { first, count })
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// The body of a new project, or of a change of one.
#[derive(Debug, Deserialize)]
pub(super) struct ProjectWire<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) description: Option<Text<'a>>,
}

/// The body of a new member or invitation, or of a change of a member.
#[derive(Debug, Deserialize)]
pub(super) struct PersonWire<'a> {
    #[serde(borrow, default)]
    pub(super) email: Text<'a>,
    #[serde(borrow, default)]
    pub(super) user_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) role: Text<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: TdError) -> String {
        format!("{error:?}")
    }

    #[test]
    fn a_push_is_read_as_tds_own_server_reads_it() {
        let read = |text: &'static str| json::<PushWire<'_>>(text.as_bytes());
        let push = read(r#"{"device_id":"d","session_id":"a\"b","more":[{}],"events":[{}]} and so on"#).unwrap();
        assert_eq!((push.device_id.0.as_ref(), push.session_id.0.as_ref(), push.events.count), ("d", "a\"b", 1));
        assert_eq!((push.events.first[0].client_action_id, push.events.first[0].payload.is_none()), (None, true));
        let push = read(r#"{"device_id":null,"events":null}"#).unwrap();
        assert_eq!((push.device_id, push.session_id, push.events.count), (Text::default(), Text::default(), 0));
        let event = read(r#"{"events":[{"client_action_id":-3,"payload":null}]}"#).unwrap().events.first.remove(0);
        assert_eq!((event.client_action_id, event.payload.map(RawValue::get)), (Some(-3), Some("null")));
    }

    #[test]
    fn what_is_no_push() {
        for text in [
            "",
            "{",
            "null",
            "[]",
            r#"["d","s",[]]"#,
            r#"{"device_id":7}"#,
            r#"{"events":{}}"#,
            r#"{"events":[7]}"#,
            r#"{"events":[null]}"#,
            r#"{"events":[[1,"create","issue","td-1",{},"2026-01-01T00:00:00Z"]]}"#,
            r#"{"events":[{"client_action_id":1.5}]}"#,
            r#"{"events":[{"client_action_id":"1"}]}"#,
            r#"{"events":[{"client_action_id":9223372036854775808}]}"#,
            r#"{"events":[{"payload":{]}]}"#,
            r#"{"events":[{"payload":{"a":01}}]}"#,
            r#"{"events":[{"entity_id":"\ud800"}]}"#,
        ] {
            let error = message(json::<PushWire<'_>>(text.as_bytes()).unwrap_err());
            assert!(error.contains("bad_request") && error.contains("\"invalid json body"), "{text}: {error}");
        }
        assert!(json::<PushWire<'_>>(b"{\"device_id\":\"\xff\"}").is_err());
        assert!(json::<PushWire<'_>>(b"{\"events\":[{\"payload\":{\"a\":\"\xff\"}}]}").is_err());
    }

    #[test]
    fn an_answer_repeats_little_of_what_it_did_not_like() {
        let long = format!(r#"{{"events":"{}"}}"#, "x".repeat(1_000_000));
        assert!(message(json::<PushWire<'_>>(long.as_bytes()).unwrap_err()).len() < 400);
    }

    #[test]
    fn any_number_of_events_is_counted_and_any_nesting_passed_over() {
        let many = format!(r#"{{"events":[{}{{}}]}}"#, "{},".repeat(12_344));
        let push: PushWire<'_> = json(many.as_bytes()).unwrap();
        assert_eq!((push.events.first.len(), push.events.count), (PUSH_EVENTS_MAX, 12_345));
        let deep = format!(r#"{{"x":{}{},"device_id":"d"}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(json::<PushWire<'_>>(deep.as_bytes()).unwrap().device_id.0, "d");
        let deep = format!(r#"{{"events":[{{"payload":{}{}}}]}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(json::<PushWire<'_>>(deep.as_bytes()).unwrap().events.count, 1);
    }
}
