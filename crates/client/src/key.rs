//! The key, and where it is kept.

use std::fmt;

use crate::Error;

/// Longer than any key that a server hands out.
const BYTES_MAX: usize = 512;

/// A key to the server. It is shown nowhere: its `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key as the user pasted it.
    ///
    /// # Errors
    /// [`Error::KeyMalformed`] when it cannot be one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && (1..=BYTES_MAX).contains(&text.len())).then(|| Self(text.to_owned())).ok_or(Error::KeyMalformed)
    }

    /// The key itself, for a [`KeyStore`] to keep.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where an app keeps the key, if not in the file beside the database: the platform's keyring, for instance.
///
/// A key is kept until it is forgotten, also when the app ends. Calls come one at a time.
pub trait KeyStore: Send + Sync {
    /// Keeps `key` instead of any earlier one.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn keep(&self, key: &ApiKey) -> Result<(), KeyStoreError>;

    /// The key that is kept, if there is one.
    ///
    /// # Errors
    /// When it cannot be said, as while the keyring is locked.
    fn load(&self) -> Result<Option<ApiKey>, KeyStoreError>;

    /// Forgets the key. It is no error when there is none.
    ///
    /// # Errors
    /// When it may still be there.
    fn forget(&self) -> Result<(), KeyStoreError>;
}

/// What the app's store of keys says. Its text ends up in [`Status`](crate::Status), and so must not hold the key.
#[derive(Debug, thiserror::Error)]
#[error("the store of keys: {0}")]
pub struct KeyStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_plain_and_never_shown() {
        let key = ApiKey::parse(" wb_secret\n").unwrap();
        assert_eq!(key.reveal(), "wb_secret");
        assert!(!format!("{key:?} {:?}", Some(&key)).contains("secret"));
        for text in ["", "  ", "wb secret", "wb_\u{e4}", "wb_\r\nX-Other: 1", &"x".repeat(513)] {
            assert!(matches!(ApiKey::parse(text), Err(Error::KeyMalformed)), "{text}");
        }
    }
}
