//! A walk through the text of an object, member by member, that builds no tree.
//!
//! serde_json's trees lose the text of a number that no machine word holds, and its strings refuse half of a surrogate
//! pair, which clients do send. Both survive here, since neither is read as a value.

use crate::text::{respell, string_end};

/// How deep data may be nested, the object of all of it included: readers of JSON call themselves that often.
pub(crate) const DEPTH_MAX: usize = 64;

/// The members of an object, in the order in which they stand.
///
/// An item is `None` where the text is broken off or is no object, and nothing follows it.
pub(crate) struct Members<'a> {
    text: &'a str,
    at: usize,
    is_at_end: bool,
    is_first: bool,
}

/// A name, without its quotes and as it is written, and its value.
pub(crate) type Member<'a> = (&'a str, &'a str);

impl<'a> Members<'a> {
    /// Of the object that `text` is.
    pub(crate) const fn of(text: &'a str) -> Self {
        Self { text, at: 0, is_at_end: false, is_first: true }
    }

    /// The place behind what was walked so far.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The next member; `Some(None)` behind the last.
    fn step(&mut self) -> Option<Option<Member<'a>>> {
        let text = self.text.as_bytes();
        if self.is_first {
            self.expect(b'{')?;
        }
        self.at = skip_space(text, self.at);
        if text.get(self.at) == Some(&b'}') {
            self.at = skip_space(text, self.at + 1);
            return (self.at == text.len()).then_some(None);
        }
        if !self.is_first {
            self.expect(b',')?;
        }
        self.is_first = false;
        self.expect(b'"')?;
        let name = self.at..string_end(text, self.at - 1)? - 1;
        self.at = name.end + 1;
        self.expect(b':')?;
        let start = skip_space(text, self.at);
        self.at = value_end(text, start)?;
        Some(Some((self.text.get(name)?, self.text.get(start..self.at)?)))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let text = self.text.as_bytes();
        self.at = skip_space(text, self.at);
        (text.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Option<Member<'a>>;

    fn next(&mut self) -> Option<Option<Member<'a>>> {
        if self.is_at_end {
            return None;
        }
        let step = self.step();
        self.is_at_end = !matches!(step, Some(Some(_)));
        match step {
            Some(None) => None,
            Some(member) => Some(member),
            None => Some(None),
        }
    }
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place behind the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    let mut depth = 0_usize;
    loop {
        match text.get(end)? {
            b'"' => end = string_end(text, end)?,
            b'{' | b'[' => {
                depth += 1;
                end += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                end += 1;
            }
            b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                return (end > at).then_some(end);
            }
            _ => {
                end += 1;
                continue;
            }
        }
        if depth == 0 {
            // A string or a list ends where it ends; a word at what follows it.
            return Some(end);
        }
    }
}

/// How deep `value` is nested: 0 for what holds nothing.
pub(crate) fn depth(value: &str) -> usize {
    let text = value.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => match string_end(text, at) {
                Some(end) => at = end - 1,
                None => break,
            },
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Appends `value` without space between its parts, its strings escaped in one way, its numbers as they are written.
/// `None` when it is broken off.
pub(crate) fn compact(value: &str, out: &mut String) -> Option<()> {
    let text = value.as_bytes();
    let mut at = 0;
    let mut run = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = string_end(text, at)?;
                out.push_str(value.get(run..=at)?);
                respell(value.get(at + 1..end - 1)?, out)?;
                // The quote that ends it begins the next run.
                run = end - 1;
                at = end;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(value.get(run..at)?);
                at = skip_space(text, at);
                run = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(value.get(run..)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Option<Vec<Member<'_>>> {
        Members::of(text).collect()
    }

    fn compacted(text: &str) -> Option<String> {
        let mut out = String::new();
        compact(text, &mut out).map(|()| out)
    }

    #[test]
    fn members_are_found_whatever_they_hold() {
        let check =
            |text: &str, expected: &[Member<'_>]| assert_eq!(members(text).as_deref(), Some(expected), "{text}");
        check("{}", &[]);
        check(" { } ", &[]);
        check(r#"{"a":1}"#, &[("a", "1")]);
        check(
            " {\t\"a\" :\n1.50e3 , \"b\":\"x,}\\\"\" ,\"c\":[{\"d\":\"]\"},2] , \"e\":{} ,\"f\":null}\r\n",
            &[("a", "1.50e3"), ("b", r#""x,}\"""#), ("c", r#"[{"d":"]"},2]"#), ("e", "{}"), ("f", "null")],
        );
        check(r#"{"a\"b":true,"":false}"#, &[(r#"a\"b"#, "true"), ("", "false")]);
    }

    #[test]
    fn what_is_broken_off_is_said_so_once() {
        for text in [
            "",
            "1",
            "null",
            "[]",
            "\"a\"",
            "{",
            r#"{"a"#,
            r#"{"a""#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1,"#,
            r#"{"a":1]"#,
            r#"{"a":,"b":1}"#,
            r#"{"a":[1}"#,
            r#"{"a":"x}"#,
            r#"{"a":"x"y"}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1}x"#,
        ] {
            assert_eq!(members(text), None, "{text}");
            assert!(Members::of(text).count() <= 2, "{text}");
        }
    }

    #[test]
    fn depth_counts_what_is_open_at_once() {
        let check = |text: &str, expected: usize| assert_eq!(depth(text), expected, "{text}");
        check("1", 0);
        check("\"[[[\"", 0);
        check("{}", 1);
        check(r#"{"a":[],"b":[],"c":"]"}"#, 2);
        check(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), 100_000);
    }

    #[test]
    fn space_goes_and_numbers_stay() {
        let check = |text: &str, expected: &str| assert_eq!(compacted(text).as_deref(), Some(expected), "{text}");
        check(" 1 ", "1");
        check("1.00", "1.00");
        check(" { \"a b\" : [ 1e400 , -0.0 , \" \\u0061 \" ] , \"c\" : { } } ", r#"{"a b":[1e400,-0.0," a "],"c":{}}"#);
        check(r#""\ud83d""#, r#""\ud83d""#);
        assert_eq!(compacted(r#"{"a":"x"#), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[\\[\\]{}\",:\\\\ u0-9a-dä]{0,40}") {
            let _ = (members(&text), depth(&text), compacted(&text));
        }
    }
}
