//! What a sign-in is found and proved by. The store gets hashes only.

use sha2::{Digest as _, Sha256};
use tombolo_core::{Env, FriendlyCode, Secret};
use tombolo_storage::SecretHash;

use crate::ServiceError;

/// What is mailed to approve a sign-in: `selector.secret`, 32 and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkToken(Secret);

impl LinkToken {
    const SELECTOR_DIGITS: usize = 32;
    const SECRET_DIGITS: usize = 64;

    pub(super) fn make(env: &dyn Env) -> Self {
        let (selector, secret) = (hex_secret(env, Self::SELECTOR_DIGITS), hex_secret(env, Self::SECRET_DIGITS));
        Self(Secret::new(format!("{}.{}", selector.reveal(), secret.reveal())))
    }

    /// Reads what a link brought; `None` when it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (selector, secret) = text.split_once('.')?;
        let good = is_hex(selector, Self::SELECTOR_DIGITS) && is_hex(secret, Self::SECRET_DIGITS);
        good.then(|| Self(Secret::new(text.to_owned())))
    }

    /// The token itself, for the page that carries it on.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    pub(super) fn hash(&self) -> SecretHash {
        hash(self.reveal())
    }
}

/// `digits` hexadecimal digits of randomness.
pub(crate) fn hex_secret(env: &dyn Env, digits: usize) -> Secret {
    let mut randomness = vec![0; digits / 2];
    env.fill_random(&mut randomness);
    Secret::new(randomness.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A code that people type.
pub(super) fn friendly_code<const CHARS: usize>(env: &dyn Env) -> Result<FriendlyCode<CHARS>, ServiceError> {
    // Of 64 bytes fewer than eight are usable once in 10^80 times.
    let mut randomness = [0; 64];
    env.fill_random(&mut randomness);
    FriendlyCode::make(&randomness)
        .ok_or_else(|| ServiceError::Internal("the system's randomness is not random".to_owned()))
}

pub(crate) fn hash(secret: &str) -> SecretHash {
    SecretHash(Sha256::digest(secret.as_bytes()).into())
}

/// Whether `text` is `digits` hexadecimal digits as we write them. What is not was never given out.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_link_token() {
        let (selector, secret) = ("a".repeat(32), "0".repeat(64));
        assert!(LinkToken::parse(&format!("{selector}.{secret}")).is_some());
        for text in [
            String::new(),
            ".".to_owned(),
            selector.clone(),
            format!("{selector}{secret}"),
            format!("{selector}.{secret}0"),
            format!("{selector}.{}", "g".repeat(64)),
            format!("{}.{secret}", "A".repeat(32)),
            format!("{selector}.{secret}.{secret}"),
        ] {
            assert!(LinkToken::parse(&text).is_none(), "{text}");
        }
    }
}
