//! A walk through the text of valid JSON, and the digest of an object by its value.
//!
//! serde_json checked the text before it comes here, and cannot do the rest. What it reads as a value has lost the text
//! of a number that no machine word holds, unless a feature is on that changes its numbers for the whole tree; and
//! half of a surrogate pair, which clients do send, it refuses where it makes a string of it. Reading level by level
//! instead, each as raw text, reads what lies deep once for each level above it. This reads all once, and builds no
//! tree.

use std::borrow::Cow;
use std::ops::Range;

use tombolo_core::Digest;

/// The digest of the object `text` by its value.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let mut walk = Walk::new(text);
    walk.object()
}

/// A walk through valid JSON. Each step is `None` where that is broken off.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    /// From the beginning of `text`.
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Writes the next value so that no two values are written alike.
    ///
    /// Each begins with a byte that says what it is; texts have their length before them, lists an end; an object is
    /// its digest, so that its members are copied once however deep it lies. It calls itself no deeper than the text
    /// is nested: whoever begins a walk bounds that before.
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
    pub(super) fn begin_object(&mut self) -> Option<bool> {
        self.expect(b'{')?;
        let is_empty = self.peek()? == b'}';
        self.at += usize::from(is_empty);
        Some(!is_empty)
    }

    /// Whether another item follows, before the `end` of its array or object.
    pub(super) fn is_more(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            return Some(true);
        }
        (byte == end).then_some(false)
    }

    /// Where the next key lies, quotes included, and past its colon.
    pub(super) fn key(&mut self) -> Option<Range<usize>> {
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
    pub(super) fn skip(&mut self) -> Option<Range<usize>> {
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
    pub(super) fn unescaped(&self, range: Range<usize>) -> Option<Cow<'a, [u8]>> {
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
pub(super) fn string_end(text: &[u8], at: usize) -> Option<usize> {
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

    use super::super::spellings::{object, respelt};
    use super::*;

    fn of(text: &str) -> Digest {
        digest(text).unwrap()
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
    }
}
