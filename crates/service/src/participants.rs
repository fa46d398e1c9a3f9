//! Who takes part in a protocol under an identity of its own: by key, by password, by ticket.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env, Name, Purpose, Secret, ServerTime, UserId};
use tombolo_storage::{Identity, NewKey, SecretHash, Store};

use crate::events::{Admission, Form};
use crate::{Keyring, ServiceError};

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

/// A ticket that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenTicket {
    /// As it stands in a query.
    pub text: Secret,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// Who takes part in one protocol.
pub struct Participants {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    keyring: Arc<Keyring>,
    purpose: Purpose,
}

impl Participants {
    /// Those of `purpose`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, keyring: Arc<Keyring>, purpose: Purpose) -> Self {
        Self { store, env, keyring, purpose }
    }

    /// What the user of a key is known as. Somebody who has a key and is not known yet becomes known under his name.
    /// It is remembered: a subject never changes.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn subject(&self, user: UserId) -> Result<Name, ServiceError> {
        let _ = user;
        unbuilt()
    }

    /// Whoever is known as `subject`, and not disabled.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn known(&self, subject: &Name) -> Result<Option<Identity>, ServiceError> {
        let _ = subject;
        unbuilt()
    }

    /// Says whom a username and a password let in. An unknown name costs as much as a wrong password.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be found out.
    pub async fn sign_in(&self, username: &str, password: Secret, address: IpAddr) -> Result<SignedIn, ServiceError> {
        let _ = (username, password, address);
        unbuilt()
    }

    /// The hash of a password, as the store keeps it.
    ///
    /// # Errors
    /// [`ServiceError::Busy`].
    pub async fn hash(&self, password: Secret) -> Result<String, ServiceError> {
        let _ = password;
        unbuilt()
    }

    /// The secret that signs sessions: made once, and kept in the database.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn session_secret(&self) -> Result<Secret, ServiceError> {
        unbuilt()
    }

    /// A new setup token, to be given out by [`tombolo_storage::Effect::GiveSetupToken`].
    ///
    /// # Errors
    /// [`ServiceError::Internal`] when there is no randomness.
    pub fn fresh_setup_token(&self) -> Result<SetupToken, ServiceError> {
        unbuilt()
    }

    /// For whom a setup token was given out. Wrong ones are counted by address, and all together.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn setup_token(&self, typed: &str, address: IpAddr) -> Result<SetupTokenFound, ServiceError> {
        let _ = (typed, address);
        unbuilt()
    }

    /// A new key, to be made by [`tombolo_storage::Effect::UseSetupToken`]: its text, and what the store keeps of it.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] when there is no randomness.
    pub fn fresh_key(&self, name: Name) -> Result<(Secret, NewKey), ServiceError> {
        let _ = name;
        unbuilt()
    }

    /// Gives out a ticket that stands for what let somebody in.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn give_ticket(&self, admission: Admission, form: Form) -> Result<GivenTicket, ServiceError> {
        let _ = (admission, form);
        unbuilt()
    }

    /// Uses a ticket up.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn use_ticket(&self, text: &str) -> Result<Option<(Admission, Form)>, ServiceError> {
        let _ = text;
        unbuilt()
    }

    /// Makes somebody known, with a password perhaps.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn add(&self, new: tombolo_storage::NewIdentity) -> Result<tombolo_storage::IdentityAdded, ServiceError> {
        Ok(self.store.add_identity(new, self.env.now()).await?)
    }

    /// Changes what somebody signs in with.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn change(
        &self,
        user: UserId,
        change: tombolo_storage::IdentityChange,
    ) -> Result<tombolo_storage::IdentityChanged, ServiceError> {
        Ok(self.store.change_identity(self.purpose, user, change).await?)
    }
}

fn unbuilt<T>() -> Result<T, ServiceError> {
    Err(ServiceError::Internal("not built yet".to_owned()))
}
