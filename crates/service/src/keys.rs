//! A user's own keys: which there are, and to revoke one.

use std::sync::Arc;

use tombolo_core::{CredentialId, Purpose};
use tombolo_storage::{Credential, Store};

use crate::{AccessChanges, Caller, Keyring, ServiceError};

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
