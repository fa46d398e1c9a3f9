//! Setup tokens: what people type once to get a key.

use std::net::IpAddr;
use std::time::Duration;

use tombolo_core::{Secret, ServerTime, limits};
use tombolo_storage::{Identity, SecretHash};

use super::Participants;
use crate::ServiceError;
use crate::sign_in::secrets::hash;

const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Letters of a token; a hyphen stands in their middle.
const CHARS: usize = 8;

/// A setup token that was made, and is not given out yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupToken {
    /// As it is typed: `ABCD-1234`.
    pub text: Secret,
    /// What the store keeps of it.
    pub hash: SecretHash,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// What became of a presented setup token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupTokenFound {
    /// It is good, and was given out for him. The hash is what [`tombolo_storage::Effect::UseSetupToken`] takes.
    For(Identity, SecretHash),
    /// It is none that is good.
    None,
    /// Too many came that were not.
    Limited {
        /// When the next one is looked at.
        retry_after: Duration,
    },
}

impl Participants {
    /// A new setup token, to be given out by [`tombolo_storage::Effect::GiveSetupToken`].
    ///
    /// # Errors
    /// [`ServiceError::Internal`] when there is no randomness.
    pub fn fresh_setup_token(&self) -> Result<SetupToken, ServiceError> {
        // Of 64 bytes fewer than eight are usable once in 10^90 times.
        let mut randomness = [0; 64];
        self.env.fill_random(&mut randomness);
        let text = write(&randomness)
            .ok_or_else(|| ServiceError::Internal("the system's randomness is not random".to_owned()))?;
        let expires_at = self.env.now().plus(limits::SETUP_TOKEN_SPAN);
        Ok(SetupToken { hash: hash(&text), text: Secret::new(text), expires_at })
    }

    /// For whom a setup token was given out. Wrong ones are counted by address, and all together. May be dropped
    /// midway: it then counts as wrong.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn setup_token(&self, typed: &str, address: IpAddr) -> Result<SetupTokenFound, ServiceError> {
        let guess = match self.wrong_setup_tokens.begin(address, ()) {
            Ok(guess) => guess,
            Err(retry_after) => return Ok(SetupTokenFound::Limited { retry_after }),
        };
        let Some(token) = read(typed).map(|text| hash(&text)) else { return Ok(SetupTokenFound::None) };
        let found = self.store.setup_token(self.purpose, token, self.env.now()).await;
        if !matches!(found, Ok(None)) {
            self.wrong_setup_tokens.take_back(guess);
        }
        Ok(found?.map_or(SetupTokenFound::None, |identity| SetupTokenFound::For(identity, token)))
    }
}

/// A token made of `randomness`; `None` when it held too few usable bytes. Those above the last multiple of the letters'
/// number are skipped, so that each letter is equally likely.
fn write(randomness: &[u8]) -> Option<String> {
    let usable = randomness.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 256 - 256 % LETTERS.len());
    let letters: String = usable.take(CHARS).map(|byte| char::from(LETTERS[byte % LETTERS.len()])).collect();
    (letters.len() == CHARS).then(|| hyphenated(&letters))
}

/// A token as people type it, in any case, with hyphens and spaces anywhere; `None` when it is none.
fn read(typed: &str) -> Option<String> {
    let mut letters = String::with_capacity(CHARS);
    for letter in typed.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
        if letters.len() == CHARS || !letter.is_ascii_alphanumeric() {
            return None;
        }
        letters.push(letter.to_ascii_uppercase());
    }
    (letters.len() == CHARS).then(|| hyphenated(&letters))
}

fn hyphenated(letters: &str) -> String {
    let (left, right) = letters.split_at(CHARS / 2);
    format!("{left}-{right}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_people_type_it() {
        let check = |typed: &str, expected: Option<&str>| assert_eq!(read(typed).as_deref(), expected, "{typed:?}");
        check("ABCD-1234", Some("ABCD-1234"));
        check("abcd1234", Some("ABCD-1234"));
        check(" abCD - 12 34\r\n", Some("ABCD-1234"));
        check("0O1l-I000", Some("0O1L-I000"));
        check("", None);
        check("ABCD-123", None);
        check("ABCD-12345", None);
        check("ABCD_1234", None);
        check("ABCD-123\u{e9}", None);
        check("ABCD-123\u{ff11}", None);
    }

    #[test]
    fn a_token_is_made_of_its_letters_without_favour() {
        assert_eq!(write(&[0, 25, 26, 35, 36, 251, 252, 255, 71, 1]).unwrap(), "AZ09-A99B");
        assert_eq!(write(&[255, 252, 0, 0, 0, 0, 0, 0, 0]), None);
        let mut counts = std::collections::BTreeMap::<char, usize>::new();
        let all: Vec<u8> = (0..=255).collect();
        for byte in &all {
            let token = write(&[*byte; CHARS]);
            assert_eq!(token.is_some(), *byte < 252, "{byte}");
            *counts.entry(token.map_or('-', |text| text.chars().next().unwrap())).or_default() += 1;
        }
        assert_eq!((counts.len(), counts.remove(&'-')), (37, Some(4)));
        assert!(counts.values().all(|count| *count == 7), "{counts:?}");
    }
}
