//! What a credential opens, and how its secret is written.

use std::fmt;

/// What a credential opens: one protocol, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The Tickit task manager.
    Tickit,
}

/// A purpose that this server does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol of this server; known: tickit")]
pub struct UnknownPurpose(String);

impl Purpose {
    /// All purposes, for lists and help.
    pub const ALL: [Self; 1] = [Self::Tickit];

    /// The purpose spelt `text`.
    ///
    /// # Errors
    /// [`UnknownPurpose`] names those that are known.
    pub fn parse(text: &str) -> Result<Self, UnknownPurpose> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text).ok_or_else(|| UnknownPurpose(text.to_owned()))
    }

    /// Its name, as typed and stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tickit => "tickit",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that must reach no log: its `Debug` prints stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from the logs.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A token in its written form: `tks_` and 32 letters and digits, of which the first eight find it and the rest
/// (143 bits) prove it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(Secret);

impl TokenText {
    const MARK: &'static str = "tks_";
    const RANDOM_CHARS: usize = 32;
    const PREFIX_CHARS: usize = 8;
    const ALPHABET: &'static [u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Makes a token from `randomness`; `None` when it held too few usable bytes, then call again with fresh ones.
    ///
    /// Bytes of 248 and above are skipped, so that each letter is equally likely.
    #[must_use]
    pub fn make(randomness: &[u8]) -> Option<Self> {
        let letters: String = randomness
            .iter()
            .filter(|byte| **byte < 248)
            .take(Self::RANDOM_CHARS)
            .map(|byte| char::from(Self::ALPHABET[usize::from(*byte) % 62]))
            .collect();
        (letters.len() == Self::RANDOM_CHARS).then(|| Self(Secret::new(format!("{}{letters}", Self::MARK))))
    }

    /// Reads a token that a client presented; `None` when it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters = text.strip_prefix(Self::MARK)?;
        let whole = letters.len() == Self::RANDOM_CHARS && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
        whole.then(|| Self(Secret::new(text.to_owned())))
    }

    /// The part that finds the credential. It is stored as it is and proves nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.reveal()[Self::MARK.len()..Self::MARK.len() + Self::PREFIX_CHARS]
    }

    /// The whole token.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_read_and_never_shown() {
        let token = TokenText::make(&[7; 32]).unwrap();
        let text = token.secret().reveal().to_owned();
        assert_eq!(text.len(), 36);
        assert!(text.starts_with("tks_"));
        assert_eq!(TokenText::parse(&text).unwrap().prefix(), &text[4..12]);
        assert_eq!(format!("{token:?}"), "***");
    }

    #[test]
    fn bytes_that_would_favour_letters_are_skipped() {
        let mut bytes = vec![255; 40];
        assert!(TokenText::make(&bytes).is_none());
        bytes.extend([0; 32]);
        assert!(TokenText::make(&bytes).is_some());
    }

    #[test]
    fn what_is_no_token() {
        for text in [
            "",
            "tks_",
            "tks_short",
            "tkt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "tks_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\u{e9}",
        ] {
            assert!(TokenText::parse(text).is_none(), "{text}");
        }
    }
}
