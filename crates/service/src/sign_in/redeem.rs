//! Giving out the key of a sign-in: once, to the device that began it.

use std::time::Duration;

use tombolo_core::{EmailAddress, Name, Purpose, ServerTime, SignInId, TokenText, UserId};
use tombolo_storage::{Approved, Flow, NewKey, Redeemed, SignIn, SignInKey};

use super::Admissions;
use super::secrets::{LinkToken, hash, is_hex};
use super::start::WebState;
use crate::ServiceError;
use crate::keyring::random_token;

/// The key that a protocol gives its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWish {
    /// The one protocol that it opens.
    pub purpose: Purpose,
    /// Its name, where the device has none.
    pub name: Name,
    /// How long it lets in.
    pub span: Duration,
}

/// A key, the only time that it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedKey {
    /// What the device presents from now on.
    pub token: TokenText,
    /// Whose it is.
    pub user: UserId,
    /// The address as it was typed when the sign-in began; never logged.
    pub email: EmailAddress,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// What a device is told that asks whether it may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nobody approved yet.
    Waiting,
    /// It may.
    Key(GrantedKey),
    /// No sign-in of this kind has that code.
    Unknown,
    /// It is not the device that began the sign-in.
    WrongVerifier,
    /// It ended.
    Expired,
    /// Its key was given out before.
    Used,
}

/// What a page is told that brings what was mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// It may come in.
    Key(GrantedKey),
    /// No sign-in of a page has that token.
    UnknownToken,
    /// It is not the page that began the sign-in.
    WrongState,
    /// Its key was given out before.
    Used,
    /// It ended.
    Expired,
    /// The address has no account here and gets none, or its user is disabled.
    NoAccount,
}

impl Admissions {
    /// Answers a device that began with [`Self::start_code`].
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed; it may be asked again, unless the key was made and its answer lost.
    pub async fn poll_code(&self, device_code: &str, wish: &KeyWish) -> Result<Polled, ServiceError> {
        match self.asks(Flow::Code, device_code, Self::CODE_DIGITS).await? {
            Some(sign_in) => self.redeem(&sign_in, wish).await,
            None => Ok(Polled::Unknown),
        }
    }

    /// Answers a device that began with [`Self::start_verifier`]. Without the right verifier nothing is said about a
    /// sign-in, but that there is one.
    ///
    /// # Errors
    /// As [`Self::poll_code`].
    pub async fn poll_verifier(
        &self,
        device_code: &str,
        verifier: &str,
        wish: &KeyWish,
    ) -> Result<Polled, ServiceError> {
        match self.asks(Flow::Verifier, device_code, Self::VERIFIER_DIGITS).await? {
            Some(sign_in) if sign_in.challenge != Some(hash(verifier)) => Ok(Polled::WrongVerifier),
            Some(sign_in) => self.redeem(&sign_in, wish).await,
            None => Ok(Polled::Unknown),
        }
    }

    /// Gives a page that brings the mailed token and its own state its key: who reads the address's mail approves by
    /// bringing it.
    ///
    /// # Errors
    /// As [`Self::poll_code`].
    pub async fn exchange(
        &self,
        token: &LinkToken,
        state: &WebState,
        wish: &KeyWish,
    ) -> Result<Exchange, ServiceError> {
        let found = self.store.find_sign_in(SignInKey::Link(token.hash())).await?;
        let Some(sign_in) = found.filter(|sign_in| sign_in.flow == Flow::Web) else {
            return Ok(Exchange::UnknownToken);
        };
        if sign_in.challenge != Some(state.hash()) {
            return Ok(Exchange::WrongState);
        }
        if sign_in.consumed_at.is_some() {
            return Ok(Exchange::Used);
        }
        match self.approve(&sign_in, self.sign_up()).await? {
            // One that was approved and not redeemed lost its answer midway, or races with this one: one gets the key.
            Approved::Done { .. } | Approved::Already => {}
            Approved::Expired => return Ok(Exchange::Expired),
            Approved::NoAccount => return Ok(Exchange::NoAccount),
        }
        Ok(match self.redeem(&sign_in, wish).await? {
            Polled::Key(key) => Exchange::Key(key),
            Polled::Used => Exchange::Used,
            Polled::Waiting | Polled::Unknown | Polled::WrongVerifier | Polled::Expired => Exchange::Expired,
        })
    }

    async fn asks(&self, flow: Flow, device_code: &str, digits: usize) -> Result<Option<SignIn>, ServiceError> {
        if !is_hex(device_code, digits) {
            return Ok(None);
        }
        let found = self.store.find_sign_in(SignInKey::DeviceCode(hash(device_code))).await?;
        Ok(found.filter(|sign_in| sign_in.flow == flow))
    }

    /// The usual poll finds nothing approved, and writes nothing.
    async fn redeem(&self, sign_in: &SignIn, wish: &KeyWish) -> Result<Polled, ServiceError> {
        let now = self.env.now();
        if sign_in.consumed_at.is_none() && sign_in.expires_at <= now {
            return Ok(Polled::Expired);
        }
        if sign_in.consumed_at.is_some() {
            return Ok(Polled::Used);
        }
        if sign_in.approved.is_none() && sign_in.flow != Flow::Web {
            return Ok(Polled::Waiting);
        }
        self.give_key(sign_in.id, &sign_in.email, &sign_in.device, wish, now).await
    }

    async fn give_key(
        &self,
        id: SignInId,
        email: &EmailAddress,
        device: &str,
        wish: &KeyWish,
        now: ServerTime,
    ) -> Result<Polled, ServiceError> {
        let (token, expires_at) = (random_token(&*self.env, wish.purpose)?, now.plus(wish.span));
        let key = NewKey {
            name: Name::parse(device).unwrap_or_else(|_| wish.name.clone()),
            purpose: wish.purpose,
            prefix: token.locator(),
            // What finds it proves it.
            hash: String::new(),
            expires_at: Some(expires_at),
        };
        Ok(match self.store.redeem_sign_in(id, key, now).await? {
            Redeemed::Key { credential, user } => {
                tracing::info!(user = user.get(), credential = credential.get(), "a device signed in");
                Polled::Key(GrantedKey { token, user, email: email.clone(), expires_at })
            }
            Redeemed::Waiting => Polled::Waiting,
            Redeemed::Expired => Polled::Expired,
            Redeemed::Consumed => Polled::Used,
        })
    }
}
