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
    /// Apps that keep histories of events (simple-sync).
    SimpleSync,
    /// Rooms in which people work on one document together (Khun Phaen).
    Rooms,
    /// Apps in which people keep track of how they are (wellbeing).
    Wellbeing,
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
#[error("{0:?} is no protocol of this server; known: tickit, td, simple-sync, rooms, wellbeing")]
pub struct UnknownPurpose(String);

impl Purpose {
    /// All purposes, for lists and help.
    pub const ALL: [Self; 5] = [Self::Tickit, Self::Td, Self::SimpleSync, Self::Rooms, Self::Wellbeing];

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
            Self::SimpleSync => "simple-sync",
            Self::Rooms => "rooms",
            Self::Wellbeing => "wellbeing",
        }
    }

    /// How a token that opens it begins.
    #[must_use]
    pub const fn token_mark(self) -> &'static str {
        match self {
            Self::Tickit => "tks_",
            Self::Td => "td_live_",
            Self::SimpleSync => "sk_",
            // It stands in a path, so it holds nothing that a path would have to escape.
            Self::Rooms => "rk_",
            Self::Wellbeing => "wb_",
        }
    }

    /// How a token that opens it is known again.
    #[must_use]
    pub const fn proof(self) -> Proof {
        match self {
            Self::Tickit => Proof::Argon2id,
            Self::Td | Self::SimpleSync | Self::Rooms | Self::Wellbeing => Proof::Sha256,
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

/// A token in its written form: the mark of its purpose, and random letters: 32 letters and digits (190 bits), or, where
/// clients expect a key to be base64, 43 letters of that (256 bits).
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    purpose: Purpose,
    text: Secret,
}

/// The letters of a purpose's tokens.
struct Letters {
    alphabet: &'static [u8],
    count: usize,
}

impl Letters {
    const ALPHANUMERIC: Self =
        Self { alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count: 32 };
    /// 32 bytes in base64, which 43 letters hold and two bits more.
    const BASE64: Self =
        Self { alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", count: 43 };

    const fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Tickit | Purpose::Td | Purpose::Rooms | Purpose::Wellbeing => Self::ALPHANUMERIC,
            Purpose::SimpleSync => Self::BASE64,
        }
    }

    /// Bytes that would favour some letters are skipped.
    fn make(&self, randomness: &[u8]) -> Option<String> {
        let len = self.alphabet.len();
        let usable = randomness.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 256 - 256 % len);
        let mut places: Vec<usize> = usable.take(self.count).map(|byte| byte % len).collect();
        if places.len() < self.count {
            return None;
        }
        if let (64, Some(last)) = (len, places.last_mut()) {
            // The two bits that are too many are zero, as whoever decodes it expects.
            *last &= 0b11_1100;
        }
        Some(places.into_iter().map(|place| char::from(self.alphabet[place])).collect())
    }

    fn are(&self, text: &str) -> bool {
        text.len() == self.count && text.bytes().all(|byte| self.alphabet.contains(&byte))
    }
}

impl TokenText {
    const PREFIX_CHARS: usize = 8;

    /// Makes a token from `randomness`; `None` when it held too few usable bytes, then call again with fresh ones.
    ///
    /// Each letter is equally likely.
    #[must_use]
    pub fn make(purpose: Purpose, randomness: &[u8]) -> Option<Self> {
        let letters = Letters::of(purpose).make(randomness)?;
        Some(Self { purpose, text: Secret::new(format!("{}{letters}", purpose.token_mark())) })
    }

    /// Reads a token that a client presented; `None` when it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let begins = |purpose: &Purpose| {
            text.strip_prefix(purpose.token_mark()).is_some_and(|letters| Letters::of(*purpose).are(letters))
        };
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
        let token = TokenText::make(Purpose::SimpleSync, &[255; 43]).unwrap();
        assert_eq!(token.secret().reveal(), format!("sk_{}8", "/".repeat(42)));
        assert_eq!(TokenText::parse(token.secret().reveal()), Some(token));
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
            "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert!(TokenText::parse(text).is_none(), "{text}");
        }
    }
}
