//! JSON's strings: as they are written in the normal form, and as what they say.

use std::borrow::Cow;

/// The place behind the string that begins at `at`; `None` when it does not end.
pub(crate) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        end += memchr::memchr2(b'"', b'\\', text.get(end..)?)?;
        if text[end] == b'"' {
            return Some(end + 1);
        }
        // Whatever is escaped ends nothing.
        end += 2;
    }
}

/// What the inside of a JSON string says, quotes not included; `None` when that is no text: half of a surrogate pair
/// stands for no character.
pub(crate) fn unescaped(inner: &str) -> Option<Cow<'_, str>> {
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut plain = String::with_capacity(inner.len());
    let mut is_text = true;
    let whole = pieces(inner, |piece| match piece {
        Piece::Plain(run) => plain.push_str(run),
        Piece::Letter(letter) => plain.push(letter),
        Piece::Half(_) => is_text = false,
    });
    (whole.is_some() && is_text).then_some(Cow::Owned(plain))
}

/// Appends the inside of a JSON string, with whatever need not be escaped unescaped, and the rest escaped in one way.
/// Half of a surrogate pair stays escaped: nothing else can say it. `None` when an escape is none.
pub(crate) fn respell(inner: &str, out: &mut String) -> Option<()> {
    if !inner.contains('\\') {
        out.push_str(inner);
        return Some(());
    }
    pieces(inner, |piece| match piece {
        Piece::Plain(run) => out.push_str(run),
        Piece::Letter(letter) => escape(letter, out),
        Piece::Half(unit) => push_unit(unit, out),
    })
}

/// Appends `text` as a JSON string, with its quotes.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    // Most texts hold nothing to escape, and all of what is escaped is a byte of its own.
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&rest[..at]);
        escape(char::from(rest.as_bytes()[at]), out);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn escape(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        ..' ' => push_unit(letter as u32, out),
        _ => out.push(letter),
    }
}

fn push_unit(unit: u32, out: &mut String) {
    out.push_str("\\u");
    for place in [12, 8, 4, 0] {
        out.push(char::from(b"0123456789abcdef"[(unit >> place & 15) as usize]));
    }
}

/// What a string is made of.
enum Piece<'a> {
    /// Letters that no escape stands for.
    Plain(&'a str),
    /// What an escape, or a pair of them, stands for.
    Letter(char),
    /// Half of a surrogate pair without the other.
    Half(u32),
}

fn pieces<'a>(inner: &'a str, mut take: impl FnMut(Piece<'a>)) -> Option<()> {
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        if at > 0 {
            take(Piece::Plain(&rest[..at]));
        }
        let escape = *rest.as_bytes().get(at + 1)?;
        // A letter of more than one byte is no escape.
        rest = rest.get(at + 2..)?;
        take(Piece::Letter(match escape {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = unit_of(rest.get(..4)?)?;
                rest = &rest[4..];
                let low = rest.strip_prefix("\\u").and_then(|next| unit_of(next.get(..4)?));
                let code = match (unit, low) {
                    (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                        rest = &rest[6..];
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                match char::from_u32(code) {
                    Some(letter) => letter,
                    None => {
                        take(Piece::Half(code));
                        continue;
                    }
                }
            }
            _ => return None,
        }));
    }
    if !rest.is_empty() {
        take(Piece::Plain(rest));
    }
    Some(())
}

fn unit_of(digits: &str) -> Option<u32> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn respelt(inner: &str) -> Option<String> {
        let mut out = String::new();
        respell(inner, &mut out).map(|()| out)
    }

    #[test]
    fn one_text_is_written_in_one_way() {
        let check = |inner: &str, expected: &str| assert_eq!(respelt(inner).as_deref(), Some(expected), "{inner}");
        check("plain ä😀", "plain ä😀");
        check(r"\u0061\u00e4\u00E4", "aää");
        check(r"\/ / \u002f", "/ / /");
        check(r"\ud83d\uDE00", "😀");
        check(r#"\u0022 \" \u005c \\"#, r#"\" \" \\ \\"#);
        check(r"\u000a\n \u000D\r \u0009\t \u0008\b \u000c\f", r"\n\n \r\r \t\t \b\b \f\f");
        check(r"\u0000\u001F\u007f", "\\u0000\\u001f\u{7f}");
        check(r"\ud83d", r"\ud83d");
        check(r"a\uD83D\ud83d\ude00\uDE00b", r"a\ud83d😀\ude00b");
        check(r"\ud83d\u0061", r"\ud83da");
        check(r"\ud83d\\ude00", r"\ud83d\\ude00");
        for inner in [r"\", r"\x", r"\ä", r"\u", r"\u12", r"\u12g4", r"\u+123", r"\u12ä"] {
            assert_eq!(respelt(inner), None, "{inner}");
            assert_eq!(unescaped(inner), None, "{inner}");
        }
    }

    #[test]
    fn half_a_pair_is_no_text() {
        for inner in [r"\ud83d", r"\ude00", r"a\ud83db", r"\ude00\ud83d"] {
            assert_eq!(unescaped(inner), None, "{inner}");
        }
        assert_eq!(unescaped(r"\ud83d\ude00").as_deref(), Some("😀"));
    }

    proptest! {
        #[test]
        fn what_is_quoted_says_the_same(text in any::<String>()) {
            let mut quoted = String::new();
            quote(&text, &mut quoted);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            prop_assert_eq!(string_end(quoted.as_bytes(), 0), Some(quoted.len()));
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(unescaped(inner).unwrap(), text.as_str());
            // Every letter escaped as a number is spelt in the same way again.
            let numbers: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            prop_assert_eq!(respelt(&numbers).unwrap(), inner);
        }

        #[test]
        fn no_text_breaks_it(text in "[\\\\u0-9a-f\"ä]{0,20}") {
            let _ = (respelt(&text), unescaped(&text), string_end(text.as_bytes(), 0));
        }
    }
}
