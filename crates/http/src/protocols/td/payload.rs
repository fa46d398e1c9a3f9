//! An event's payload: a JSON object whose text is kept as it came, and compared by value.
//!
//! The text was read as JSON before it comes here, so what is done with it only finds its way in it (`json_walk.rs`). No
//! tree is built: a number that no machine word holds stays the text that it is.

use std::borrow::Cow;

use tombolo_core::Digest;

use super::json_walk::{Walk, digest, string_end};
use super::limits;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("payload is missing: it must be a JSON object")]
    Missing,
    #[error("payload is null: it must be a JSON object")]
    Null,
    #[error("payload is a string: it must be a JSON object")]
    Text,
    #[error("payload is an array: it must be a JSON object")]
    List,
    #[error("payload is a number: it must be a JSON object")]
    Number,
    #[error("payload is a boolean: it must be a JSON object")]
    Boolean,
    #[error("payload is nested deeper than {} levels", limits::PAYLOAD_DEPTH_MAX)]
    TooDeep,
    #[error("payload is no valid JSON")]
    Malformed,
}

/// What a payload of a work session says of its writer's disk: nobody else's business.
const LOCAL_KEYS: [&[u8]; 3] = [b"worktree_id", b"worktree_root", b"repo_root"];
/// Where a payload holds the state of a row after and before the change.
const STATE_KEYS: [&[u8]; 2] = [b"new_data", b"previous_data"];

/// A payload that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    text: Cow<'a, str>,
    digest: Digest,
}

impl<'a> Payload<'a> {
    /// Takes the payload `text`, valid JSON without space around it.
    ///
    /// With `is_local`, what it says of its writer's disk is left out: such is done with work sessions.
    pub(super) fn parse(text: Option<&'a str>, is_local: bool) -> Result<Self, PayloadError> {
        let text = text.ok_or(PayloadError::Missing)?;
        match text.as_bytes().first() {
            Some(b'{') => {}
            Some(b'n') => return Err(PayloadError::Null),
            Some(b'"') => return Err(PayloadError::Text),
            Some(b'[') => return Err(PayloadError::List),
            Some(b't' | b'f') => return Err(PayloadError::Boolean),
            _ => return Err(PayloadError::Number),
        }
        if depth(text.as_bytes()) > limits::PAYLOAD_DEPTH_MAX {
            return Err(PayloadError::TooDeep);
        }
        let kept = |text| if is_local { scrub(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) };
        let text = kept(text).ok_or(PayloadError::Malformed)?;
        let digest = digest(&text).ok_or(PayloadError::Malformed)?;
        Ok(Self { text, digest })
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What tells it from every other value, however its keys are ordered and its strings are escaped.
    pub(super) const fn digest(&self) -> Digest {
        self.digest
    }
}

/// How many arrays and objects stand inside each other.
fn depth(text: &[u8]) -> usize {
    let (mut open, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at).unwrap_or(text.len()),
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
                at += 1;
            }
            b'}' | b']' => {
                open = open.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    deepest
}

/// The object `text` without what it says of its writer's disk.
fn scrub(text: &str) -> Option<String> {
    without_local(text, |key, value| {
        let is_state = STATE_KEYS.contains(&key) && value.starts_with('{');
        if is_state { without_local(value, |_, value| Some(value.to_owned())) } else { Some(value.to_owned()) }
    })
}

fn without_local(object: &str, keep: impl Fn(&[u8], &str) -> Option<String>) -> Option<String> {
    let mut walk = Walk::new(object);
    let mut kept = String::with_capacity(object.len());
    let mut members = walk.begin_object()?;
    while members {
        let key = walk.key()?;
        let (name, value) = (walk.unescaped(key.clone())?, walk.skip()?);
        if !LOCAL_KEYS.contains(&&*name) {
            kept.push(if kept.is_empty() { '{' } else { ',' });
            kept.push_str(&object[key]);
            kept.push(':');
            kept.push_str(&keep(&name, &object[value])?);
        }
        members = walk.is_more(b'}')?;
    }
    if kept.is_empty() {
        kept.push('{');
    }
    kept.push('}');
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::spellings::{object, respelt};
    use super::*;

    fn of(text: &str) -> Digest {
        Payload::parse(Some(text), false).unwrap().digest()
    }

    #[test]
    fn what_is_no_object_is_named() {
        let check = |text: Option<&str>, expected| assert_eq!(Payload::parse(text, false), Err(expected), "{text:?}");
        check(None, PayloadError::Missing);
        check(Some("null"), PayloadError::Null);
        check(Some(r#""{}""#), PayloadError::Text);
        check(Some("[{}]"), PayloadError::List);
        check(Some("-1"), PayloadError::Number);
        check(Some("true"), PayloadError::Boolean);
        check(Some("false"), PayloadError::Boolean);
        let reason = PayloadError::Null.to_string();
        assert_eq!(reason, "payload is null: it must be a JSON object");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}{}", r#"{"a":"#.repeat(levels), "1", "}".repeat(levels));
        let lists = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        for deep in [&nested as &dyn Fn(usize) -> String, &lists] {
            assert!(Payload::parse(Some(&deep(100)), false).is_ok());
            assert_eq!(Payload::parse(Some(&deep(101)), false), Err(PayloadError::TooDeep));
            assert_eq!(Payload::parse(Some(&deep(1_000_000)), false), Err(PayloadError::TooDeep));
        }
        // Brackets in a text are no nesting.
        assert!(Payload::parse(Some(&format!(r#"{{"a":"{}\"{}"}}"#, "{".repeat(200), "[".repeat(200))), false).is_ok());
    }

    #[test]
    fn what_a_work_session_says_of_its_disk_is_left_out() {
        let check = |text: &str, expected: &str| {
            let scrubbed = Payload::parse(Some(text), true).unwrap();
            assert_eq!(scrubbed.text(), expected, "{text}");
            assert_eq!(scrubbed.digest(), of(expected));
            assert_eq!(Payload::parse(Some(text), false).unwrap().text(), text);
        };
        check(r#"{"worktree_id":1,"worktree_root":"/a","repo_root":{}}"#, "{}");
        check(r#"{"a":1, "repo_root":"/home/ann", "b": [1, 2]}"#, r#"{"a":1,"b":[1, 2]}"#);
        check(
            r#"{"new_data":{"id":12345678901234567890,"repo_root":"x"},"previous_data":{"worktree_id":null}}"#,
            r#"{"new_data":{"id":12345678901234567890},"previous_data":{}}"#,
        );
        check(r#"{"worktree\u005fid":1,"new_data":{"repo\u005froot":1}}"#, r#"{"new_data":{}}"#);
        // Elsewhere they are somebody's own words.
        check(r#"{"x":{"repo_root":1}}"#, r#"{"x":{"repo_root":1}}"#);
        check(r#"{"new_data":{"x":{"repo_root":1}}}"#, r#"{"new_data":{"x":{"repo_root":1}}}"#);
        check(r#"{"new_data":null,"previous_data":"repo_root"}"#, r#"{"new_data":null,"previous_data":"repo_root"}"#);
        check(r#"{"new_data":{"repo_root":1},"new_data":{"repo_root":2}}"#, r#"{"new_data":{},"new_data":{}}"#);
    }

    proptest! {
        #[test]
        fn scrubbing_takes_the_local_keys_and_nothing_else(value in object(), seed in 0_usize..1_000) {
            let mut wide = value.clone();
            for key in ["worktree_id", "worktree_root", "repo_root"] {
                wide[key] = Value::from(seed);
            }
            let mut spelt = String::new();
            respelt(&wide, seed, &mut spelt);
            let scrubbed = Payload::parse(Some(spelt.trim()), true).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(scrubbed.text()).unwrap(), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), is_local: bool) {
            let _ = Payload::parse(Some(&text), is_local);
            let _ = Payload::parse(Some(&format!("{{{text}")), is_local);
            let _ = Payload::parse(Some(&format!("{{\"{text}")), is_local);
        }
    }
}
