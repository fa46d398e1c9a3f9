//! Codes that people read from one screen and type on another.

use std::fmt;

/// Letters and digits that are not mistaken for each other: no 0, 1, I, L, O.
const ALPHABET: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";

/// A code of `CHARS` letters and digits that are not mistaken for each other.
#[derive(Clone, PartialEq, Eq)]
pub struct FriendlyCode<const CHARS: usize>(String);

/// What somebody types to name his sign-in: six letters are 30 bits, which let nobody in by themselves.
pub type UserCode = FriendlyCode<6>;
/// What the server's owner calls a request by: eight letters are 40 bits, and open nothing.
pub type RequestCode = FriendlyCode<8>;

impl<const CHARS: usize> FriendlyCode<CHARS> {
    /// Makes a code from `randomness`; `None` when it held too few usable bytes, then call again with fresh ones.
    ///
    /// Bytes of 248 and above are skipped, so that each letter is equally likely.
    #[must_use]
    pub fn make(randomness: &[u8]) -> Option<Self> {
        let usable = randomness.iter().filter(|byte| **byte < 248).take(CHARS);
        let letters: String = usable.map(|byte| char::from(ALPHABET[usize::from(*byte) % 31])).collect();
        (letters.len() == CHARS).then_some(Self(letters))
    }

    /// Reads a code as people type it: in any case, with hyphens and spaces anywhere; `None` when it is none.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let mut letters = String::with_capacity(CHARS);
        for letter in typed.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
            let letter = letter.to_ascii_uppercase();
            if letters.len() == CHARS || !u8::try_from(letter).is_ok_and(|byte| ALPHABET.contains(&byte)) {
                return None;
            }
            letters.push(letter);
        }
        (letters.len() == CHARS).then_some(Self(letters))
    }

    /// The code as it is shown and compared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const CHARS: usize> fmt::Debug for FriendlyCode<CHARS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let check = |typed: &str, expected: Option<&str>| {
            assert_eq!(UserCode::parse(typed).as_ref().map(UserCode::as_str), expected, "{typed:?}");
        };
        check("ABC234", Some("ABC234"));
        check("abc234", Some("ABC234"));
        check("  abc-234\r\n", Some("ABC234"));
        check("a b c-2-3-4", Some("ABC234"));
        check("", None);
        check("ABC23", None);
        check("ABC2345", None);
        check("ABC0DE", None);
        check("ABC1DE", None);
        check("ABCIDE", None);
        check("ABCLDE", None);
        check("ABCODE", None);
        check("ABC23\u{e9}", None);
        check("ABC23_", None);
    }

    #[test]
    fn a_code_is_made_of_its_alphabet_without_favour() {
        assert_eq!(UserCode::make(&[0, 30, 31, 61, 247, 1]).unwrap().as_str(), "A9A99B");
        assert_eq!(UserCode::make(&[255, 248, 0, 0, 0, 0, 0]), None);
        let all: Vec<u8> = (0..=255).collect();
        for (index, chunk) in all[..248].chunks_exact(8).enumerate() {
            let code = RequestCode::make(chunk).unwrap();
            assert_eq!(RequestCode::parse(code.as_str()), Some(code), "chunk {index}");
        }
        assert_eq!(format!("{:?}", UserCode::make(&[0; 6])), "Some(***)");
    }
}
