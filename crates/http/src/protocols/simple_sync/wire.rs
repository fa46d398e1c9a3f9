//! This protocol's JSON, as its clients send it.
//!
//! Fields that nobody knows are ignored, and null is as good as missing, or as an empty text. What follows the first
//! value of a body is ignored, too, and `Content-Type` is not looked at: so did its own server.

use std::fmt;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tombolo_core::limits::ENTRIES_MAX;

use super::error::EventError;
use super::limits;
use crate::body::{BodyError, read_body};
use crate::json::{Object, Text};

/// What every answer is.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// The body of a push, within its bound.
pub(super) async fn push_body(body: Body) -> Result<Vec<u8>, EventError> {
    body_within(body, limits::PUSH_BYTES_MAX, "The request is larger than 10 MiB: send fewer events at once").await
}

/// A body of rules, within its bound.
pub(super) async fn rules_body(body: Body) -> Result<Vec<u8>, EventError> {
    body_within(body, limits::RULES_BYTES_MAX, "The request is larger than 10 MiB: send fewer rules at once").await
}

/// Any other body, within its bound.
pub(super) async fn small_body(body: Body) -> Result<Vec<u8>, EventError> {
    body_within(body, limits::SMALL_BYTES_MAX, "The request is larger than 16 KiB").await
}

async fn body_within(body: Body, bytes_max: usize, too_large: &'static str) -> Result<Vec<u8>, EventError> {
    read_body(body, bytes_max).await.map_err(|error| match error {
        BodyError::TooLarge => EventError::too_large(too_large),
        BodyError::Broken => EventError::bad_request("The request's body did not arrive whole: send it again"),
    })
}

/// Reads the first JSON value of `body`; `None` for what is none, or another than is wanted.
fn first<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(body)).ok()
}

/// Reads the first JSON value of a body, an object.
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, EventError> {
    first(body).map(|Object(read)| read).ok_or_else(EventError::bad_format)
}

/// A text that must be there.
pub(super) fn required<'t>(text: &'t Text<'_>) -> Result<&'t str, EventError> {
    let text: &str = &text.0;
    if text.is_empty() { Err(EventError::bad_format()) } else { Ok(text) }
}

/// Answers with JSON that nobody on the way keeps: it is for whoever asked, and some of it is secret.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("texts, numbers and lists of them can be written as JSON");
    (status, [(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Some of a list: of more than a request may bring, only how many they are is known.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) first: Vec<T>,
    pub(super) count: usize,
}

/// One event of a push, in the spelling of any generation.
#[derive(Debug, Default, Deserialize)]
pub(super) struct EventWire<'a> {
    #[serde(borrow, default)]
    pub(super) uuid: Text<'a>,
    #[serde(default)]
    pub(super) timestamp: Option<u64>,
    #[serde(borrow, default)]
    user: Text<'a>,
    #[serde(borrow, default, rename = "userUuid")]
    user_uuid: Text<'a>,
    #[serde(borrow, default)]
    item: Text<'a>,
    #[serde(borrow, default, rename = "itemUuid")]
    item_uuid: Text<'a>,
    #[serde(borrow, default)]
    pub(super) action: Text<'a>,
    #[serde(borrow, default)]
    pub(super) payload: Text<'a>,
}

impl EventWire<'_> {
    /// Whose it says it is; where both spellings are there, today's counts.
    pub(super) fn user(&self) -> &str {
        if self.user.0.is_empty() { &self.user_uuid.0 } else { &self.user.0 }
    }

    /// What it is about, likewise.
    pub(super) fn item(&self) -> &str {
        if self.item.0.is_empty() { &self.item_uuid.0 } else { &self.item.0 }
    }
}

/// Reads the body of a push: a list of events, or null for none.
pub(super) fn events(body: &[u8]) -> Result<Listed<EventWire<'_>>, EventError> {
    let bad = || EventError::bad_request("Invalid JSON format");
    first::<Listed<EventWire<'_>>>(body).ok_or_else(bad)
}

/// A rule, as it is posted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RuleWire<'a> {
    #[serde(borrow, default)]
    pub(super) user: Text<'a>,
    #[serde(borrow, default)]
    pub(super) item: Text<'a>,
    #[serde(borrow, default)]
    pub(super) action: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) effect: Text<'a>,
}

/// Reads rules that are posted: a list of them, or null for none.
pub(super) fn rules(body: &[u8]) -> Result<Listed<RuleWire<'_>>, EventError> {
    first(body).ok_or_else(EventError::bad_format)
}

/// A rule of the first generation's list.
#[derive(Debug, Deserialize)]
pub(super) struct ListRuleWire<'a> {
    #[serde(borrow)]
    pub(super) user: Text<'a>,
    #[serde(borrow)]
    pub(super) item: Text<'a>,
    #[serde(borrow)]
    pub(super) action: Text<'a>,
    pub(super) allow: bool,
}

/// The first generation's list, as it is put.
#[derive(Debug, Deserialize)]
pub(super) struct RuleListWire<'a> {
    #[serde(borrow)]
    pub(super) rules: Vec<Object<ListRuleWire<'a>>>,
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for List<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Listed { first: Vec::new(), count: 0 })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < ENTRIES_MAX {
                    let Some(one) = list.next_element::<Option<Object<T>>>()? else { break };
                    // Null is one that says nothing.
                    first.push(one.map_or_else(T::default, |Object(one)| one));
                }
                let mut count = first.len();
                while first.len() == ENTRIES_MAX && list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Listed { first, count })
            }
        }
        deserializer.deserialize_any(List(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_in_either_spelling() {
        let read = |text: &'static str| events(text.as_bytes()).unwrap().first.remove(0);
        let event =
            read(r#"[{"uuid":"u","timestamp":7,"user":"ann","item":"i","action":"a","payload":"p","more":{}}]"#);
        assert_eq!((&*event.uuid.0, event.timestamp, event.user(), event.item()), ("u", Some(7), "ann", "i"));
        assert_eq!((&*event.action.0, &*event.payload.0), ("a", "p"));
        let event = read(r#"[{"userUuid":"ann","itemUuid":"i\"","payload":null,"action":null}] and so on"#);
        assert_eq!((event.user(), event.item(), &*event.payload.0, &*event.action.0), ("ann", "i\"", "", ""));
        let event = read(r#"[{"userUuid":"bob","user":"ann","itemUuid":"j","item":"i"}]"#);
        assert_eq!((event.user(), event.item()), ("ann", "i"));
        // A letter in another case is another field.
        let event = read(r#"[{"UUID":"u","TIMESTAMP":7,"useruuid":"x"}]"#);
        assert_eq!((&*event.uuid.0, event.timestamp, event.user()), ("", None, ""));
        assert_eq!(read("[null]").timestamp, None);
        assert_eq!(read(r#"[{"timestamp":18446744073709551615}]"#).timestamp, Some(u64::MAX));
    }

    #[test]
    fn nothing_is_a_push_too() {
        for text in ["[]", "null", " [ ] ", "null]"] {
            assert_eq!(events(text.as_bytes()).unwrap().count, 0, "{text}");
        }
    }

    #[test]
    fn what_is_no_push() {
        for text in [
            "",
            "{}",
            "[",
            "7",
            "\"[]\"",
            "[7]",
            "[[]]",
            r#"[["u",7,"ann"]]"#,
            r#"[{"uuid":7}]"#,
            r#"[{"payload":{}}]"#,
            r#"[{"timestamp":-1}]"#,
            r#"[{"timestamp":1.5}]"#,
            r#"[{"timestamp":1e9}]"#,
            r#"[{"timestamp":"1"}]"#,
            r#"[{"timestamp":18446744073709551616}]"#,
            r#"[{"item":"\ud800"}]"#,
            r#"[{"item":"a","item":"b"}]"#,
        ] {
            let error = events(text.as_bytes()).unwrap_err();
            assert_eq!(error, EventError::bad_request("Invalid JSON format"), "{text}");
        }
        assert!(events(b"[{\"uuid\":\"\xff\"}]").is_err());
    }

    #[test]
    fn any_number_of_events_is_counted() {
        let many = format!("[{}{{}}]", "{},".repeat(12_344));
        let read = events(many.as_bytes()).unwrap();
        assert_eq!((read.first.len(), read.count), (ENTRIES_MAX, 12_345));
        let deep = format!(r#"[{{"x":{}{}}}]"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(events(deep.as_bytes()).unwrap().count, 1);
    }

    #[test]
    fn a_list_of_rules_is_put_whole_or_not() {
        let check = |text: &str, is_one: bool| {
            assert_eq!(object::<RuleListWire<'_>>(text.as_bytes()).is_ok(), is_one, "{text}");
        };
        check(r#"{"rules":[]}"#, true);
        check(r#"{"rules":[{"user":"*","item":"*","action":"*","allow":true}]}"#, true);
        check(r#"{"rules":[{"user":"*","item":"*","action":"*"}]}"#, false);
        check(r#"{"rules":[{"user":"*","item":"*","action":"*","allow":"true"}]}"#, false);
        check(r#"{"rules":[["*","*","*",true]]}"#, false);
        for text in [r#"{"rules":null}"#, "{}", "[]", "null", "", r#"[[]]"#] {
            check(text, false);
        }
    }
}
