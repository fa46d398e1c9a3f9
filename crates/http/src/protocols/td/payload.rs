//! An event's payload: a JSON object whose text is kept as it came, and compared by value.
//!
//! The text was read as JSON before it comes here, so these walks only find their way in it. They never build a tree:
//! a number that no machine word holds stays the text that it is.

use std::borrow::Cow;
use std::ops::Range;

use tombolo_core::Digest;

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
    let mut walk = Walk { text: object, at: 0 };
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

/// The digest of the object `text` by its value.
fn digest(text: &str) -> Option<Digest> {
    let mut walk = Walk { text, at: 0 };
    walk.object()
}

/// A walk through valid JSON. Each step is `None` where that is broken off.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Writes the next value so that no two values are written alike.
    ///
    /// Each begins with a byte that says what it is; texts have their length before them, lists an end; an object is
    /// its digest, so that its members are copied once however deep it lies. It calls itself no deeper than the payload
    /// is nested, which was bounded before.
    fn value(&mut self, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            b'{' => {
                out.push(b'{');
                out.extend_from_slice(&self.object()?.to_bytes());
            }
            b'[' => {
                out.push(b'[');
                self.at += 1;
                let mut items = self.peek()? != b']';
                self.at += usize::from(!items);
                while items {
                    self.value(out)?;
                    items = self.is_more(b']')?;
                }
                out.push(b']');
            }
            b'"' => {
                out.push(b'"');
                let range = self.string()?;
                write_text(out, &self.unescaped(range)?);
            }
            _ => {
                // A number, by its digits, or one of the three words.
                out.push(b'0');
                let range = self.skip()?;
                write_text(out, self.text[range].as_bytes());
            }
        }
        Some(())
    }

    /// The digest of the object that is next: its members by their keys, of two of one key the last.
    fn object(&mut self) -> Option<Digest> {
        let mut values = Vec::new();
        let mut members: Vec<(Cow<'a, [u8]>, Range<usize>)> = Vec::new();
        let mut is_more = self.begin_object()?;
        while is_more {
            let key = self.key()?;
            let (key, from) = (self.unescaped(key)?, values.len());
            self.value(&mut values)?;
            members.push((key, from..values.len()));
            is_more = self.is_more(b'}')?;
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let mut ordered = Vec::with_capacity(values.len() + members.len() * 24);
        for (n, (key, value)) in members.iter().enumerate() {
            // The sort keeps the order of equal ones.
            if members.get(n + 1).is_none_or(|next| next.0 != *key) {
                write_text(&mut ordered, key);
                ordered.extend_from_slice(&values[value.clone()]);
            }
        }
        Some(Digest::of(&ordered))
    }

    /// Goes into an object; whether it has members.
    fn begin_object(&mut self) -> Option<bool> {
        self.expect(b'{')?;
        let is_empty = self.peek()? == b'}';
        self.at += usize::from(is_empty);
        Some(!is_empty)
    }

    /// Whether another item follows, before the `end` of its array or object.
    fn is_more(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            return Some(true);
        }
        (byte == end).then_some(false)
    }

    /// Where the next key lies, quotes included, and past its colon.
    fn key(&mut self) -> Option<Range<usize>> {
        self.peek()?;
        let key = self.string()?;
        self.expect(b':')?;
        Some(key)
    }

    /// Where the string lies that begins here, quotes included.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.at = string_end(self.text.as_bytes(), start)?;
        Some(start..self.at)
    }

    /// Where the next value lies.
    fn skip(&mut self) -> Option<Range<usize>> {
        let start = match self.peek()? {
            b'"' => return self.string(),
            first => (self.at, matches!(first, b'{' | b'[')),
        };
        let (text, (start, is_nested), mut open) = (self.text.as_bytes(), start, 0_usize);
        while let Some(byte) = text.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' if is_nested => open -= 1,
                b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if !is_nested => break,
                _ => {}
            }
            self.at += 1;
            if is_nested && open == 0 {
                break;
            }
        }
        (open == 0 && self.at > start).then_some(start..self.at)
    }

    /// The text of the string that lies at `range`. What stands for no character stays apart from every character.
    fn unescaped(&self, range: Range<usize>) -> Option<Cow<'a, [u8]>> {
        let text: &'a [u8] = self.text.as_bytes();
        let inner = text.get(range.start + 1..range.end.checked_sub(1)?)?;
        if !inner.contains(&b'\\') {
            return Some(Cow::Borrowed(inner));
        }
        let (mut plain, mut at) = (Vec::with_capacity(inner.len()), 0);
        while let Some(byte) = inner.get(at) {
            if *byte != b'\\' {
                plain.push(*byte);
                at += 1;
                continue;
            }
            let escape = *inner.get(at + 1)?;
            at += 2;
            match escape {
                b'b' => plain.push(8),
                b'f' => plain.push(12),
                b'n' => plain.push(b'\n'),
                b'r' => plain.push(b'\r'),
                b't' => plain.push(b'\t'),
                b'u' => {
                    let (unit, next) = (unit_at(inner, at)?, pair_at(inner, at + 4));
                    at += 4;
                    match (unit, next) {
                        (0xd800..0xdc00, Some(low)) => {
                            at += 6;
                            push_scalar(&mut plain, 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                        }
                        _ => push_scalar(&mut plain, unit),
                    }
                }
                other => plain.push(other),
            }
        }
        Some(Cow::Owned(plain))
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let text = self.text.as_bytes();
        while matches!(text.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        Some(text[self.at])
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        found.then_some(())
    }
}

/// The place after the string that begins at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        match text.get(end)? {
            b'"' => return Some(end + 1),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text);
}

/// The four hexadecimal digits at `at`.
fn unit_at(text: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// The second half of a pair, where one is escaped at `at`.
fn pair_at(text: &[u8], at: usize) -> Option<u32> {
    let escaped = text.get(at..at + 2)? == br"\u";
    unit_at(text, at + 2).filter(|unit| escaped && (0xdc00..0xe000).contains(unit))
}

/// UTF-8, also for half of a pair, which UTF-8 proper does not write: so it is no other text.
fn push_scalar(out: &mut Vec<u8>, scalar: u32) {
    match char::from_u32(scalar) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let [_, _, high, low] = scalar.to_be_bytes();
            out.extend_from_slice(&[0xe0 | high >> 4, 0x80 | (high & 0x0f) << 2 | low >> 6, 0x80 | low & 0x3f]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

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
    fn one_value_has_one_digest() {
        let same = |a: &str, b: &str| assert_eq!(of(a), of(b), "{a} {b}");
        same(r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ] ,\n\t\"a\" : 1 }");
        same(r#"{"a":"é/\n"}"#, r#"{"\u0061":"\u00e9\/\u000a"}"#);
        same(r#"{"a":"😀"}"#, r#"{"a":"\ud83d\uDE00"}"#);
        same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        same(r#"{"a":"\ud83d"}"#, r#"{"a":"\uD83D"}"#);
        same(r#"{"a":"\b\f\n\r\t\"\\\/"}"#, r#"{"a":"\u0008\u000C\u000a\u000D\u0009\u0022\u005c/"}"#);
        same("{}", "{ }");
        same(r#"{"a":[],"b":{}}"#, r#"{"b":{ },"a":[ ]}"#);
    }

    #[test]
    fn two_values_have_two_digests() {
        let texts = [
            "{}",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":123456789012345678901234567890}"#,
            r#"{"a":123456789012345678901234567891}"#,
            r#"{"a":null}"#,
            r#"{"a":"null"}"#,
            r#"{"a":true}"#,
            r#"{"a":[]}"#,
            r#"{"a":[[]]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":["x","y"]}"#,
            r#"{"a":["x\"y"]}"#,
            r#"{"a":[[1],2]}"#,
            r#"{"a":[[1,2]]}"#,
            r#"{"a":[12]}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ude00"}"#,
            r#"{"a":"\ufffd"}"#,
            r#"{"a":"]"}"#,
            r#"{"a":" "}"#,
            r#"{"A":1}"#,
            r#"{"":1}"#,
        ];
        for (n, a) in texts.iter().enumerate() {
            for b in &texts[n + 1..] {
                assert_ne!(of(a), of(b), "{a} {b}");
            }
        }
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

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-e]{1,3}", json(), 0..8)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    /// Another spelling of a value: keys turned round, space everywhere, letters escaped.
    fn respelt(value: &Value, seed: usize, out: &mut String) {
        let space = [" ", "", "\n", "\t \r"][seed % 4];
        out.push_str(space);
        match value {
            Value::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    respelt(item, seed + n, out);
                }
                out.push_str(space);
                out.push(']');
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.reverse();
                let middle = seed % members.len().max(1);
                members.rotate_left(middle);
                out.push('{');
                for (n, (key, value)) in members.into_iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    escaped(key, seed + n, out);
                    out.push_str(space);
                    out.push(':');
                    respelt(value, seed + n + 1, out);
                }
                out.push('}');
            }
            Value::String(text) => escaped(text, seed, out),
            other => out.push_str(&other.to_string()),
        }
        out.push_str(space);
    }

    fn escaped(text: &str, seed: usize, out: &mut String) {
        out.push('"');
        for (n, unit) in text.encode_utf16().enumerate() {
            let plain =
                char::from_u32(unit.into()).filter(|c| c.is_ascii_alphanumeric() && !(n + seed).is_multiple_of(3));
            match plain {
                Some(letter) => out.push(letter),
                None => out.push_str(&format!("\\u{unit:04X}")),
            }
        }
        out.push('"');
    }

    /// Changes one leaf of a value.
    fn changed(value: &mut Value, seed: usize) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                let n = seed % items.len();
                changed(&mut items[n], seed / 2);
            }
            Value::Object(members) if !members.is_empty() => {
                let key = members.keys().nth(seed % members.len()).unwrap().clone();
                changed(&mut members[&key], seed / 2);
            }
            Value::Number(number) => *value = format!("{number}").into(),
            Value::String(text) => text.push('x'),
            Value::Null => *value = Value::from(false),
            Value::Bool(word) => *word = !*word,
            Value::Array(items) => items.push(Value::Null),
            Value::Object(members) => drop(members.insert("new".to_owned(), Value::Null)),
        }
    }

    proptest! {
        #[test]
        fn another_spelling_is_the_same_and_another_value_is_not(value in object(), seed in 0_usize..1_000) {
            let mut spelt = String::new();
            respelt(&value, seed, &mut spelt);
            let plain = value.to_string();
            prop_assert_eq!(of(&plain), of(spelt.trim()));
            let mut other = value.clone();
            changed(&mut other, seed);
            prop_assert_ne!(of(&plain), of(&other.to_string()));
        }

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
