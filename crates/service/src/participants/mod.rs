//! Who takes part in a protocol under an identity of its own: by key, by password, by ticket.

mod password;
mod setup_token;
mod ticket;

use std::collections::HashMap;
use std::sync::Arc;

use tombolo_core::{Env, Name, Purpose, Secret, UserId, limits};
use tombolo_storage::{
    Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, NewKey, Store, Username,
};

use crate::guesses::{GuessLimits, Guesses};
use crate::keyring::random_token;
use crate::known::Known;
use crate::remembered::Fingerprint;
use crate::sign_in::secrets::hex_secret;
use crate::{Keyring, ServiceError};
pub use password::{PasswordUnfit, SignedIn};
pub use setup_token::{SetupToken, SetupTokenFound};
pub use ticket::GivenTicket;

/// Hexadecimal digits of the secret that signs sessions: 256 bits, as many as HMAC-SHA-256 can use.
const SESSION_SECRET_DIGITS: usize = 64;

/// Who takes part in one protocol.
pub struct Participants {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    keyring: Arc<Keyring>,
    purpose: Purpose,
    subjects: Known<HashMap<UserId, Name>>,
    session_secret: Known<Option<String>>,
    /// By username, known or not.
    wrong_passwords: Guesses<Fingerprint>,
    /// Whoever guesses a setup token guesses at all of them.
    wrong_setup_tokens: Guesses<()>,
}

impl Participants {
    /// Those of `purpose`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, keyring: Arc<Keyring>, purpose: Purpose) -> Self {
        let of_passwords = GuessLimits {
            of_address: limits::WRONG_PASSWORDS_PER_MINUTE,
            at_target: limits::WRONG_PASSWORDS_PER_MINUTE,
        };
        let of_setup_tokens = GuessLimits {
            of_address: limits::WRONG_SETUP_TOKENS_PER_MINUTE,
            at_target: limits::WRONG_SETUP_TOKENS_OF_ALL_PER_MINUTE,
        };
        Self {
            keyring,
            purpose,
            subjects: Known::default(),
            session_secret: Known::default(),
            wrong_passwords: Guesses::new(of_passwords, env.clone()),
            wrong_setup_tokens: Guesses::new(of_setup_tokens, env.clone()),
            store,
            env,
        }
    }

    /// Forgets what is remembered of the database: to be called when it may be another one than it was.
    pub fn forget(&self) {
        self.subjects.forget();
        self.session_secret.forget();
    }

    /// What the user of a key is known as. Somebody who has a key and is not known yet becomes known under his name.
    /// It is remembered: a subject never changes.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn subject(&self, user: UserId) -> Result<Name, ServiceError> {
        let (age, known) = self.subjects.look(|subjects| subjects.get(&user).cloned());
        if let Some(subject) = known {
            return Ok(subject);
        }
        let found = self.store.identity(self.purpose, IdentityKey::User(user)).await?;
        let subject = match found {
            Some(identity) => identity.subject,
            None => self.become_known(user).await?,
        };
        self.subjects.change(age, |subjects| {
            if subjects.len() >= limits::SUBJECTS_MAX {
                // Each costs a look at an index again.
                subjects.clear();
            }
            subjects.insert(user, subject.clone());
        });
        Ok(subject)
    }

    /// Makes a user of the server known under his name.
    async fn become_known(&self, user: UserId) -> Result<Name, ServiceError> {
        let Some(known) = self.store.user_by_id(user).await? else {
            return Err(ServiceError::Internal(format!("user {user} has a key, and is none")));
        };
        let new = NewIdentity {
            purpose: self.purpose,
            subject: known.name.clone(),
            username: Username::Subject,
            password: None,
        };
        match self.add(new).await? {
            IdentityAdded::New(owner) | IdentityAdded::Known(owner) if owner == user => Ok(known.name),
            _ => Err(ServiceError::Internal(format!("the name of user {user} is another's subject"))),
        }
    }

    /// Whoever is known as `subject`, and not disabled.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn known(&self, subject: &Name) -> Result<Option<Identity>, ServiceError> {
        let found = self.store.identity(self.purpose, IdentityKey::Subject(subject.clone())).await?;
        Ok(found.filter(|identity| !identity.is_disabled))
    }

    /// The secret that signs sessions: made once, and kept in the database.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn session_secret(&self) -> Result<Secret, ServiceError> {
        let (age, known) = self.session_secret.look(Clone::clone);
        if let Some(secret) = known {
            return Ok(Secret::new(secret));
        }
        let name = format!("{}.jwt_secret", self.purpose.as_str().replace('-', "_"));
        let fresh = hex_secret(&*self.env, SESSION_SECRET_DIGITS);
        let secret = self.store.secret(&name, fresh.reveal().as_bytes()).await?;
        let secret = String::from_utf8(secret).map_err(|_| ServiceError::Internal(format!("{name} is no text")))?;
        self.session_secret.change(age, |known| *known = Some(secret.clone()));
        Ok(Secret::new(secret))
    }

    /// A new key, to be made by [`tombolo_storage::Effect::UseSetupToken`]: its text, and what the store keeps of it.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] when there is no randomness.
    pub fn fresh_key(&self, name: Name) -> Result<(Secret, NewKey), ServiceError> {
        let token = random_token(&*self.env, self.purpose)?;
        // What finds it proves it.
        let (prefix, hash) = (token.locator(), String::new());
        let key = NewKey { name, purpose: self.purpose, prefix, hash, expires_at: None };
        Ok((token.secret().clone(), key))
    }

    /// Makes somebody known, with a password perhaps.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn add(&self, new: NewIdentity) -> Result<IdentityAdded, ServiceError> {
        Ok(self.store.add_identity(new, self.env.now()).await?)
    }

    /// Changes what somebody signs in with.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn change(&self, user: UserId, change: IdentityChange) -> Result<IdentityChanged, ServiceError> {
        Ok(self.store.change_identity(self.purpose, user, change).await?)
    }
}
