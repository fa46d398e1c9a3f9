//! What strangers call their things, as it may stand in a mail.

use tombolo_core::limits;

/// The name of a device or a project, as it may stand in a mail, a list, and the name of a key: at most
/// [`limits::DEVICE_BYTES_MAX`] bytes of one line; empty when nothing is left.
///
/// It reaches a mailbox whose owner may not have asked for it, so it can be neither lines nor a link, and what changes
/// the direction of text, or is not seen, is left out.
pub(crate) fn label(text: &str) -> String {
    let is_shown = |c: &char| {
        let is_formatting = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        !c.is_control() && !is_formatting
    };
    let mut label = String::new();
    for shown in text.trim().chars().filter(is_shown) {
        let shown = if matches!(shown, '/' | '\\' | ':' | '<' | '>') { '-' } else { shown };
        if label.len() + shown.len_utf8() > limits::DEVICE_BYTES_MAX {
            break;
        }
        label.push(shown);
    }
    label.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thing_may_be_called() {
        let check = |text: &str, expected: &str| assert_eq!(label(text), expected, "{text:?}");
        check("td-cli@laptop", "td-cli@laptop");
        check("  Großmutters Telefon ", "Großmutters Telefon");
        check("a\r\nBcc: all@example.org", "aBcc- all@example.org");
        check("see https://evil.example/now", "see https---evil.example-now");
        check("\u{202e}abc\u{200b}\0", "abc");
        check("", "");
        check("\r\n", "");
        check(&"x".repeat(1_000), &"x".repeat(100));
        check(&"é".repeat(1_000), &"é".repeat(50));
        check(&format!("{} y", "x".repeat(99)), &"x".repeat(99));
    }
}
