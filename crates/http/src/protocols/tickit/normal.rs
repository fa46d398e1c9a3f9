//! The normal form in which Tickit's records are kept.
//!
//! A JSON object with fixed keys in a fixed order, strings escaped in one way, ids in lower case, sets sorted; without
//! what differs from receiver to receiver, the instant and the id of the inbox (`"list_id":null` says "in the inbox").
//! So content is compared by bytes, a field is found without parsing, and a record is sent by splicing.

use std::ops::Range;

/// The keys of a task, in order.
pub(super) const TASK: [&str; 10] = [
    "list_id",
    "tag_ids",
    "title",
    "description",
    "url",
    "priority",
    "completed",
    "completed_at",
    "due_date",
    "created_at",
];
/// The keys of a list, in order.
pub(super) const LIST: [&str; 7] = ["name", "description", "icon", "color", "is_inbox", "sort_order", "created_at"];
/// The keys of a tag, in order.
pub(super) const TAG: [&str; 3] = ["name", "color", "created_at"];

/// How a task in the inbox begins.
pub(super) const IN_INBOX: &[u8] = br#"{"list_id":null"#;

/// Writes an object of `keys` with `values`, each of which is JSON already.
pub(super) fn write<const N: usize>(keys: [&str; N], values: [&[u8]; N]) -> Vec<u8> {
    let bytes: usize = values.iter().map(|value| value.len() + 16).sum();
    let mut object = Vec::with_capacity(bytes);
    for (n, (key, value)) in keys.iter().zip(values).enumerate() {
        object.extend_from_slice(if n == 0 { b"{\"" } else { b",\"" });
        object.extend_from_slice(key.as_bytes());
        object.extend_from_slice(b"\":");
        object.extend_from_slice(value);
    }
    object.push(b'}');
    object
}

/// The values of an object that [`write`] wrote; `None` for any other text.
pub(super) fn read<'a, const N: usize>(keys: [&str; N], object: &'a [u8]) -> Option<[&'a [u8]; N]> {
    let (values, at) = begin(keys, object)?;
    let end = expect(object, at, b"}")?;
    (end == object.len()).then_some(values)
}

/// The values of an object's first keys, and where the last of them ends. What follows is not looked at.
pub(super) fn begin<'a, const N: usize>(keys: [&str; N], object: &'a [u8]) -> Option<([&'a [u8]; N], usize)> {
    let mut values = [&object[..0]; N];
    let mut at = 0;
    for (n, key) in keys.iter().enumerate() {
        at = expect(object, at, if n == 0 { b"{\"" } else { b",\"" })?;
        at = expect(object, at, key.as_bytes())?;
        at = expect(object, at, b"\":")?;
        let value = value_at(object, at)?;
        values[n] = &object[value.clone()];
        at = value.end;
    }
    Some((values, at))
}

fn expect(text: &[u8], at: usize, expected: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(expected).then_some(at + expected.len())
}

/// Where the value that begins at `at` lies: a string, a flat array of strings, or a bare word.
fn value_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut end = at;
    let mut in_array = false;
    loop {
        match text.get(end)? {
            b'"' => end = string_end(text, end)?,
            b'[' if !in_array => {
                in_array = true;
                end += 1;
            }
            b']' if in_array => return Some(at..end + 1),
            b',' | b'}' if !in_array => return (end > at).then_some(at..end),
            _ => end += 1,
        }
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

/// The ids of a set, without their quotes.
pub(super) fn ids(set: &[u8]) -> impl Iterator<Item = &str> {
    let inner = set.strip_prefix(b"[").and_then(|set| set.strip_suffix(b"]")).unwrap_or_default();
    inner.split(|byte| *byte == b',').filter_map(id)
}

/// The id in a JSON string of one; `None` for `null`.
pub(super) fn id(value: &[u8]) -> Option<&str> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(inner).ok().filter(|id| !id.is_empty())
}

/// A JSON string of an id.
pub(super) fn quoted(id: &str) -> Vec<u8> {
    format!("\"{id}\"").into_bytes()
}

/// A set of ids, sorted, each once.
pub(super) fn set<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let sorted: std::collections::BTreeSet<&str> = ids.collect();
    let mut set = Vec::with_capacity(2 + 39 * sorted.len());
    set.push(b'[');
    for (n, id) in sorted.iter().enumerate() {
        if n > 0 {
            set.push(b',');
        }
        set.extend_from_slice(&quoted(id));
    }
    set.push(b']');
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let name = br#""a \"quoted\", {braced} \\""#;
        let values: [&[u8]; 3] = [name, b"null", br#""2026-01-01T00:00:00.000Z""#];
        let written = write(TAG, values);
        assert_eq!(
            written,
            br#"{"name":"a \"quoted\", {braced} \\","color":null,"created_at":"2026-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(read(TAG, &written), Some(values));
    }

    #[test]
    fn anything_else_is_not_read() {
        for text in [
            "",
            "{}",
            r#"{"name":"a","color":"b"}"#,
            r#"{"name":"a","color":"b","created_at":"c"} "#,
            r#"{"name":"a,"color":"b","created_at":"c"}"#,
            r#"{"name":,"color":"b","created_at":"c"}"#,
            r#"{"name":"a\"#,
        ] {
            assert_eq!(read(TAG, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn sets_are_sorted_and_hold_each_once() {
        assert_eq!(set(["b", "a", "b"].into_iter()), br#"["a","b"]"#);
        assert_eq!(set([].into_iter()), b"[]");
        assert_eq!(ids(br#"["a","b"]"#).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(ids(b"[]").count(), 0);
    }
}
