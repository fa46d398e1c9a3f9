//! Signing in with a password.

use std::net::IpAddr;
use std::time::Duration;

use tombolo_core::{Name, Secret, limits};
use tombolo_storage::{Identity, IdentityKey};

use super::Participants;
use crate::ServiceError;
use crate::password::NOBODYS_HASH;
use crate::remembered::Fingerprint;

/// What became of a sign-in with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedIn {
    /// It is right.
    As(Identity),
    /// There is nobody of this username and password.
    Wrong,
    /// Too many wrong passwords came from this address, or for this username.
    Limited {
        /// When the next one is looked at.
        retry_after: Duration,
    },
}

/// Why a text cannot be somebody's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordUnfit {
    /// It is empty.
    #[error("a password has at least one letter")]
    TooShort,
    /// It is too long.
    #[error("a password has at most {max} bytes", max = limits::PASSWORD_BYTES_MAX)]
    TooLong,
}

impl PasswordUnfit {
    /// Says whether a text can be a password that somebody is given.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(password: &Secret) -> Result<(), Self> {
        let text = password.reveal();
        if text.len() > limits::PASSWORD_BYTES_MAX {
            return Err(Self::TooLong);
        }
        if text.is_empty() { Err(Self::TooShort) } else { Ok(()) }
    }
}

impl Participants {
    /// Says whom a username and a password let in. An unknown name costs as much as a wrong password. May be dropped
    /// midway: it then counts as wrong.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be found out.
    pub async fn sign_in(&self, username: &str, password: Secret, address: IpAddr) -> Result<SignedIn, ServiceError> {
        let guess = match self.wrong_passwords.begin(address, Fingerprint::of(username)) {
            Ok(guess) => guess,
            Err(retry_after) => return Ok(SignedIn::Limited { retry_after }),
        };
        let found = self.find_by_password(username, password).await;
        if !matches!(found, Ok(None)) {
            self.wrong_passwords.take_back(guess);
        }
        Ok(found?.map_or(SignedIn::Wrong, SignedIn::As))
    }

    async fn find_by_password(&self, username: &str, password: Secret) -> Result<Option<Identity>, ServiceError> {
        let found = match Name::parse(username) {
            Ok(username) => self.store.identity(self.purpose, IdentityKey::Username(username)).await?,
            Err(_) => None,
        };
        let found = found.filter(|identity| !identity.is_disabled);
        let hash = found.as_ref().and_then(|identity| identity.password.clone());
        let has_password = hash.is_some();
        let is_right = self.keyring.compare(password, hash.unwrap_or_else(|| NOBODYS_HASH.to_owned())).await?;
        Ok(found.filter(|_| is_right && has_password))
    }

    /// The hash of a password, as the store keeps it.
    ///
    /// # Errors
    /// [`ServiceError::Busy`].
    pub async fn hash(&self, password: Secret) -> Result<String, ServiceError> {
        self.keyring.hash(password).await
    }
}
