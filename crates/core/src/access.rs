//! What a credential opens, and how its secret is written.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// What a credential opens: one protocol, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The Tickit task manager.
    Tickit,
    /// The td command line.
    Td,
}

/// How a token of a purpose is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its prefix finds it, and Argon2id proves the whole: what Tickit promises of its tokens.
    Argon2id,
    /// Its SHA-256 finds it and proves it: it holds far more randomness than anybody can guess.
    Sha256,
}

/// A purpose that this server does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol of this server; known: tickit, td")]
pub struct UnknownPurpose(String);

impl Purpose {
    /// All purposes, for lists and help.
    pub const ALL: [Self; 2] = [Self::Tickit, Self::Td];

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
            Self::Td => "td",
        }
    }

    /// How a token that opens it begins.
    #[must_use]
    pub const fn token_mark(self) -> &'static str {
        match self {
            Self::Tickit => "tks_",
            Self::Td => "td_live_",
        }
    }

    /// How a token that opens it is known again.
    #[must_use]
    pub const fn proof(self) -> Proof {
        match self {
            Self::Tickit => Proof::Argon2id,
            Self::Td => Proof::Sha256,
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

/// A token in its written form: the mark of its purpose, and 32 letters and digits (190 bits).
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    purpose: Purpose,
    text: Secret,
}

impl TokenText {
    const RANDOM_CHARS: usize = 32;
    const PREFIX_CHARS: usize = 8;
    const ALPHABET: &'static [u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Makes a token from `randomness`; `None` when it held too few usable bytes, then call again with fresh ones.
    ///
    /// Bytes of 248 and above are skipped, so that each letter is equally likely.
    #[must_use]
    pub fn make(purpose: Purpose, randomness: &[u8]) -> Option<Self> {
        let letters: String = randomness
            .iter()
            .filter(|byte| **byte < 248)
            .take(Self::RANDOM_CHARS)
            .map(|byte| char::from(Self::ALPHABET[usize::from(*byte) % 62]))
            .collect();
        let text = || Secret::new(format!("{}{letters}", purpose.token_mark()));
        (letters.len() == Self::RANDOM_CHARS).then(|| Self { purpose, text: text() })
    }

    /// Reads a token that a client presented; `None` when it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_random =
            |letters: &str| letters.len() == Self::RANDOM_CHARS && letters.bytes().all(|b| b.is_ascii_alphanumeric());
        let begins = |purpose: &Purpose| text.strip_prefix(purpose.token_mark()).is_some_and(is_random);
        let purpose = Purpose::ALL.into_iter().find(begins)?;
        Some(Self { purpose, text: Secret::new(text.to_owned()) })
    }

    /// How it is known again.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.purpose.proof()
    }

    /// What finds the credential: the first eight of its letters, which are stored as they are and prove nothing; or
    /// the hexadecimal SHA-256 of the whole.
    #[must_use]
    pub fn locator(&self) -> String {
        let text = self.text.reveal();
        match self.proof() {
            Proof::Argon2id => {
                let start = self.purpose.token_mark().len();
                text[start..start + Self::PREFIX_CHARS].to_owned()
            }
            Proof::Sha256 => Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// The whole token.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.text
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_read_and_never_shown() {
        let token = TokenText::make(Purpose::Tickit, &[7; 32]).unwrap();
        let text = token.secret().reveal().to_owned();
        assert_eq!(text.len(), 36);
        assert!(text.starts_with("tks_"));
        assert_eq!(TokenText::parse(&text).unwrap().locator(), &text[4..12]);
        assert_eq!(format!("{token:?}"), "***");
        let token = TokenText::make(Purpose::Td, &[7; 32]).unwrap();
        assert_eq!(token.secret().reveal(), "td_live_HHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHH");
        assert_eq!(TokenText::parse(token.secret().reveal()), Some(token.clone()));
        assert_eq!(token.locator().len(), 64);
    }

    #[test]
    fn bytes_that_would_favour_letters_are_skipped() {
        let mut bytes = vec![255; 40];
        assert!(TokenText::make(Purpose::Tickit, &bytes).is_none());
        bytes.extend([0; 32]);
        assert!(TokenText::make(Purpose::Tickit, &bytes).is_some());
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
