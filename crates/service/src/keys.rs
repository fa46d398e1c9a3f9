//! A user's own keys: which there are, to make one, and to revoke one.

use std::sync::Arc;

use tombolo_core::{CredentialId, Name, Purpose, TokenText, limits};
use tombolo_storage::{Credential, Store};

use crate::{AccessChanges, Caller, Keyring, NewToken, ServiceError};

/// What became of a key that a user wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMade {
    /// It was made. Nobody can show it again.
    Key {
        /// What it is revoked by.
        id: CredentialId,
        /// The key itself.
        token: TokenText,
    },
    /// He has a key of that name, for whatever protocol; nothing was changed.
    NameTaken,
    /// He has [`limits::KEYS_MAX`] of the protocol; nothing was changed.
    TooMany,
}

/// What a user can do with the keys that open one protocol for him.
pub struct Keys {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    changes: Arc<AccessChanges>,
}

impl Keys {
    /// The keys of `store`, which `keyring` recognises.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, changes: Arc<AccessChanges>) -> Self {
        Self { store, keyring, changes }
    }

    /// The caller's keys of a protocol, by name.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn list(&self, caller: Caller, purpose: Purpose) -> Result<Vec<Credential>, ServiceError> {
        let mut keys = self.store.credentials(Some(caller.user)).await?;
        keys.retain(|key| key.purpose == purpose);
        Ok(keys)
    }

    /// Makes another key of the caller's for a protocol. It ends when the key does that the caller came with, so that
    /// nobody has a key for longer than he was given one.
    ///
    /// Requests that come at once may make a few more than [`limits::KEYS_MAX`]. Dropped midway, the key is made or not,
    /// and nobody knows it.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be stored.
    pub async fn make(&self, caller: Caller, name: Name, purpose: Purpose) -> Result<KeyMade, ServiceError> {
        if self.list(caller, purpose).await?.len() >= limits::KEYS_MAX {
            return Ok(KeyMade::TooMany);
        }
        let new = NewToken { user: caller.user, name, purpose, expires_at: caller.expires_at };
        let made = self.keyring.make_known(new).await?;
        Ok(made.map_or(KeyMade::NameTaken, |(id, token)| KeyMade::Key { id, token }))
    }

    /// Revokes one of the caller's keys; `false` when he has none of that number for this protocol.
    ///
    /// When it returns, the key opens nothing on this node; others hear of it at once. Dropped midway it is revoked or
    /// not.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it may be asked again.
    pub async fn revoke(&self, caller: Caller, key: CredentialId, purpose: Purpose) -> Result<bool, ServiceError> {
        // Whatever becomes of the answer: what was done may not be remembered otherwise.
        let _forgetting = Forgetting { keyring: &self.keyring, changes: &self.changes, key };
        Ok(self.store.revoke_credential_by_id(caller.user, key, purpose).await?)
    }
}

/// Lets the keyring forget a key, and what stays connected ask again, when this is dropped.
struct Forgetting<'a> {
    keyring: &'a Keyring,
    changes: &'a AccessChanges,
    key: CredentialId,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.keyring.forget_one(self.key);
        self.changes.tell();
    }
}
