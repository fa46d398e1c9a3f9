//! Making tokens and recognising them.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{CredentialId, Env, Name, Proof, Purpose, Secret, ServerTime, TokenText, UserId};
use tombolo_storage::{Accounts, Added, FoundCredential, NewCredential};

use crate::ServiceError;
use crate::password::{PasswordWorker, Verification, Verified};
use crate::remembered::{Fingerprint, Recollection, Remembered, Right};
use crate::wrong_tokens::WrongTokens;

/// Who presented a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The credential that let them in.
    pub credential: CredentialId,
    /// Whose it is.
    pub user: UserId,
    /// When the credential ends; `None` for never.
    pub expires_at: Option<ServerTime>,
}

/// What became of a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is right.
    Granted(Caller),
    /// It opens nothing here.
    Refused(Denial),
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credential has this secret: mistyped, revoked, its user disabled, or never one of ours.
    Unknown,
    /// As [`Self::Unknown`], from an address that presented too many of them.
    Limited {
        /// When the next one is looked at as usual.
        retry_after: Duration,
    },
    /// The secret is right and opens another protocol.
    OtherPurpose {
        /// The one it was made for.
        made_for: Purpose,
    },
    /// The secret was right until then.
    Expired {
        /// When it ended.
        at: ServerTime,
    },
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Whose it is to be.
    pub user: UserId,
    /// Unique among the user's.
    pub name: Name,
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// When it ends; `None` for never.
    pub expires_at: Option<ServerTime>,
}

/// What became of a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made. Nobody can show it again.
    Token(TokenText),
    /// The user has a token of that name; nothing was changed.
    NameTaken,
}

/// Makes tokens, and recognises those that are presented.
///
/// A token is verified once per process, Tickit's with Argon2id, then remembered under its SHA-256 until it is revoked
/// or a flood of others displaces it. A wrong token never keeps a right one from the same address out.
pub struct Keyring {
    store: Arc<dyn Accounts>,
    env: Arc<dyn Env>,
    remembered: Arc<Remembered>,
    worker: PasswordWorker,
    wrong: WrongTokens,
}

impl Keyring {
    /// Randomness for one token: of 64 bytes fewer than 32 are usable once in 10^30 times.
    const RANDOM_BYTES: usize = 64;
    /// How often a verified token is looked up again while other processes keep writing, before it is let in without
    /// being remembered.
    const REMEMBER_TRIES_MAX: usize = 3;

    /// A keyring on `store`, which starts a thread of its own through `env`; it ends when the keyring is dropped.
    #[must_use]
    pub fn new(store: Arc<dyn Accounts>, env: Arc<dyn Env>) -> Self {
        let remembered = Arc::new(Remembered::default());
        let worker = PasswordWorker::start(env.as_ref(), remembered.clone());
        let wrong = WrongTokens::new(env.clone());
        Self { store, env, remembered, worker, wrong }
    }

    /// Makes a token. The store gets its hash only.
    ///
    /// May be dropped midway: the token is then made or not, and nobody knows it.
    ///
    /// # Errors
    /// [`ServiceError`] when the token could not be stored.
    pub async fn make_token(&self, new: NewToken) -> Result<Made, ServiceError> {
        Ok(self.make_known(new).await?.map_or(Made::NameTaken, |(_, token)| Made::Token(token)))
    }

    /// Makes a token as [`Self::make_token`] does, and says under which number it is kept; `None` when the name is
    /// taken.
    pub(crate) async fn make_known(&self, new: NewToken) -> Result<Option<(CredentialId, TokenText)>, ServiceError> {
        let token = random_token(&*self.env, new.purpose)?;
        let hash = match token.proof() {
            Proof::Argon2id => self.worker.hash(token.secret().clone(), self.env.as_ref()).await?,
            Proof::Sha256 => String::new(),
        };
        let credential = NewCredential {
            user: new.user,
            name: new.name,
            purpose: new.purpose,
            prefix: token.locator(),
            hash,
            created_at: self.env.now(),
            expires_at: new.expires_at,
        };
        Ok(match self.store.add_credential(credential).await? {
            Added::New(id) => Some((id, token)),
            Added::NameTaken | Added::EmailTaken => None,
        })
    }

    /// Says whom the token `presented` from `address` lets in to what `purpose` names.
    ///
    /// A token that is remembered costs one digest, an unknown one a look at an index. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be found out; the same token may be presented again.
    pub async fn authenticate(
        &self,
        presented: &str,
        purpose: Purpose,
        address: IpAddr,
    ) -> Result<Access, ServiceError> {
        let fingerprint = Fingerprint::of(presented);
        let Some(right) = self.recognise(presented, fingerprint).await? else {
            // Only now, after the secret proved wrong, does the address matter.
            return Ok(Access::Refused(match self.wrong.count(address) {
                Ok(()) => Denial::Unknown,
                Err(retry_after) => Denial::Limited { retry_after },
            }));
        };
        let now = self.env.now();
        if let Some(at) = right.caller.expires_at.filter(|at| *at <= now) {
            return Ok(Access::Refused(Denial::Expired { at }));
        }
        if right.purpose != purpose {
            return Ok(Access::Refused(Denial::OtherPurpose { made_for: right.purpose }));
        }
        self.remembered.note_use(fingerprint, right.caller.credential, now);
        Ok(Access::Granted(right.caller))
    }

    /// Whether a password has a hash, found out in turn with tokens.
    ///
    /// # Errors
    /// [`ServiceError::Busy`]; [`ServiceError::Internal`] when the hash is none.
    pub(crate) async fn compare(&self, password: Secret, hash: String) -> Result<bool, ServiceError> {
        self.worker.compare(password, hash).await
    }

    /// The hash of a password, as [`Self::compare`] takes it.
    ///
    /// # Errors
    /// As [`Self::compare`].
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, ServiceError> {
        self.worker.hash(password, self.env.as_ref()).await
    }

    /// Looks again whether what is remembered still holds: to be called after another process wrote to the store.
    ///
    /// When it returns, no token that was revoked before the call is let in any more. Must not be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; everything was forgotten then, so that each token is looked up again.
    pub async fn refresh(&self) -> Result<(), ServiceError> {
        let credentials = self.remembered.begin_epoch();
        if credentials.is_empty() {
            return Ok(());
        }
        let mut dead: HashSet<CredentialId> = credentials.iter().copied().collect();
        let live = self.store.live_credentials(&credentials).await;
        for credential in live.as_deref().unwrap_or_default() {
            dead.remove(credential);
        }
        self.remembered.forget(&dead);
        live.map(|_| ()).map_err(ServiceError::Store)
    }

    /// Forgets every token that is remembered: to be called when the store may be another one than it was, whose
    /// numbers mean other people. Each token is then looked up again.
    pub fn forget(&self) {
        let dead = self.remembered.begin_epoch().into_iter().collect();
        self.remembered.forget(&dead);
    }

    /// Forgets the tokens that open one protocol: to be called when some of them were revoked here.
    ///
    /// When it returns, none is let in any more that was revoked before the call.
    pub fn forget_all_of(&self, purpose: Purpose) {
        // The new epoch is for those who are just looking them up.
        self.remembered.begin_epoch();
        self.remembered.forget_all_of(purpose);
    }

    /// Forgets the token of one credential: to be called when it was revoked here.
    ///
    /// When it returns, the token is not let in any more, if it was revoked before the call.
    pub fn forget_one(&self, credential: CredentialId) {
        // The new epoch is for those who are just looking it up.
        self.remembered.begin_epoch();
        self.remembered.forget(&HashSet::from([credential]));
    }

    /// Writes down when tokens were last used: to be called every now and then, and at the end.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; the times are then kept for the next call.
    pub async fn flush_last_used(&self) -> Result<(), ServiceError> {
        let used = self.remembered.take_used();
        if used.is_empty() {
            return Ok(());
        }
        let written = self.store.touch_credentials(&used).await;
        if written.is_err() {
            self.remembered.put_back_used(used);
        }
        Ok(written?)
    }

    /// What the token `presented` opens; `None` when it is none of ours.
    async fn recognise(&self, presented: &str, fingerprint: Fingerprint) -> Result<Option<Right>, ServiceError> {
        match self.remembered.recall(fingerprint) {
            Some(Recollection::Right(right)) => return Ok(Some(right)),
            Some(Recollection::Wrong) => return Ok(None),
            None => {}
        }
        let Some(token) = TokenText::parse(presented) else { return Ok(None) };
        let epoch = self.remembered.epoch();
        let Some(found) = self.store.find_credential(&token.locator()).await? else { return Ok(None) };
        let FoundCredential { id, user, purpose, hash, expires_at } = found;
        let right = Right { caller: Caller { credential: id, user, expires_at }, purpose };
        if token.proof() == Proof::Sha256 {
            // What found it proved it.
            let is_kept = self.remembered.keep_right(fingerprint, right, epoch);
            return if is_kept { Ok(Some(right)) } else { self.confirm(fingerprint, right).await };
        }
        let secret = token.secret().clone();
        match self.worker.verify(Verification { secret, fingerprint, hash, right, epoch }).await? {
            Verified::Right => Ok(Some(right)),
            Verified::RightThen => self.confirm(fingerprint, right).await,
            Verified::Wrong => Ok(None),
        }
    }

    /// Looks up again a token that was verified while another process wrote to the store.
    async fn confirm(&self, fingerprint: Fingerprint, right: Right) -> Result<Option<Right>, ServiceError> {
        for _ in 0..Self::REMEMBER_TRIES_MAX {
            let epoch = self.remembered.epoch();
            if self.store.live_credentials(&[right.caller.credential]).await?.is_empty() {
                return Ok(None);
            }
            if self.remembered.keep_right(fingerprint, right, epoch) {
                break;
            }
        }
        Ok(Some(right))
    }
}

/// A new token, which nobody knows yet.
pub(crate) fn random_token(env: &dyn Env, purpose: Purpose) -> Result<TokenText, ServiceError> {
    let mut randomness = [0; Keyring::RANDOM_BYTES];
    env.fill_random(&mut randomness);
    TokenText::make(purpose, &randomness)
        .ok_or_else(|| ServiceError::Internal("the system's randomness is not random".to_owned()))
}
