//! Starting a sign-in: the same work and the same answer, whoever has the address, if anybody.

use form_urlencoded::Serializer;
use tombolo_core::{EmailAddress, RequestCode, Secret, SignInId, UserCode, limits};
use tombolo_storage::{Flow, NewSignIn, SecretHash};

use super::Admissions;
use super::letters::{self, Asked};
use super::secrets::{LinkToken, friendly_code, hash, hex_secret};
use crate::label::label;
use crate::{Mail, ServiceError};

/// A sign-in whose device shows a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeStarted {
    /// What the device asks with: 40 hexadecimal digits.
    pub device_code: Secret,
    /// What its user types.
    pub user_code: UserCode,
}

/// Why a page may not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebRefused {
    /// No page may: none is configured.
    Off,
    /// This one may not.
    OtherPage,
}

/// A state that a page cannot keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state must be of 1 to {max} bytes", max = limits::STATE_BYTES_MAX)]
pub struct StateError;

impl Admissions {
    /// Digits of what a device with a code asks with.
    pub(super) const CODE_DIGITS: usize = 40;
    /// Digits of what a device with a verifier asks with.
    pub(super) const VERIFIER_DIGITS: usize = 64;

    /// Starts a sign-in of `email` on a device that shows a code. Nothing is mailed until that code is typed.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be kept.
    pub async fn start_code(&self, email: EmailAddress) -> Result<CodeStarted, ServiceError> {
        let device_code = hex_secret(&*self.env, Self::CODE_DIGITS);
        let user_code: UserCode = friendly_code(&*self.env)?;
        let new = NewSignIn {
            user_code: Some(hash(user_code.as_str())),
            ..self.beginning(Flow::Code, email, String::new(), &device_code)?
        };
        self.store.begin_sign_in(new.clone()).await?;
        // Its mail is left when the code is typed.
        self.note_begun(&new, "when its code is typed");
        Ok(CodeStarted { device_code, user_code })
    }

    /// Starts a sign-in of `email` on a device that calls itself `device`, and keeps the verifier whose SHA-256 is
    /// `challenge`. Answers what the device asks with: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`ServiceError`] when it could not be kept.
    pub async fn start_verifier(
        &self,
        email: EmailAddress,
        challenge: SecretHash,
        device: &str,
    ) -> Result<Secret, ServiceError> {
        let device_code = hex_secret(&*self.env, Self::VERIFIER_DIGITS);
        let beginning = self.beginning(Flow::Verifier, email, label(device), &device_code)?;
        let new = NewSignIn { challenge: Some(challenge), ..beginning };
        let id = self.store.begin_sign_in(new.clone()).await?;
        let NewSignIn { email, device, now: at, expires_at, .. } = &new;
        let asked = Asked { email, device, code: None, at: *at, expires_at: *expires_at };
        let letter = |token: &LinkToken| letters::approve_device(self.base_url(), &self.approval_link(token), &asked);
        let mail = self.mail_link(id, email, letter).await?;
        self.note_begun(&new, mail);
        Ok(device_code)
    }

    /// Starts a sign-in of `email` with the page at `redirect_uri`, which is called back with the mailed token and
    /// `state`.
    ///
    /// # Outcomes
    /// [`WebRefused`] when that page may not.
    /// # Errors
    /// [`ServiceError`] when it could not be kept.
    pub async fn start_web(
        &self,
        email: EmailAddress,
        redirect_uri: &str,
        state: &WebState,
    ) -> Result<Result<(), WebRefused>, ServiceError> {
        let Some(callback_url) = self.options.web_callback_url.as_deref() else { return Ok(Err(WebRefused::Off)) };
        if redirect_uri != callback_url {
            return Ok(Err(WebRefused::OtherPage));
        }
        // Nobody asks with it: the page brings what was mailed.
        let device_code = hex_secret(&*self.env, Self::VERIFIER_DIGITS);
        let beginning = self.beginning(Flow::Web, email, String::new(), &device_code)?;
        let new = NewSignIn { challenge: Some(hash(&state.0)), ..beginning };
        let id = self.store.begin_sign_in(new.clone()).await?;
        let asked = Asked { email: &new.email, device: "", code: None, at: new.now, expires_at: new.expires_at };
        let link = |token: &LinkToken| callback_link(callback_url, token, state);
        let letter = |token: &LinkToken| letters::open_page(self.base_url(), &link(token), &asked);
        let mail = self.mail_link(id, &new.email, letter).await?;
        self.note_begun(&new, mail);
        Ok(Ok(()))
    }

    /// The link that approves a device.
    pub(super) fn approval_link(&self, token: &LinkToken) -> String {
        format!("{}{}?token={}", self.base_url(), self.options.approve_path, token.reveal())
    }

    /// Offers a new link for a sign-in, and mails it as `letter` says if its address may sign in here.
    ///
    /// The store is asked the same for every address: only whether something is put into the outbox differs. What
    /// became of the mail is answered for the owner's log, and for nobody else.
    pub(super) async fn mail_link(
        &self,
        sign_in: SignInId,
        email: &EmailAddress,
        letter: impl FnOnce(&LinkToken) -> Mail,
    ) -> Result<&'static str, ServiceError> {
        if !self.sends_mail() {
            return Ok("off");
        }
        let (token, now) = (LinkToken::make(&*self.env), self.env.now());
        let may_sign_in = self.store.has_account(email, now).await? || self.options.allow_signup;
        let since = now.minus(limits::SIGN_IN_SPAN);
        let is_offered = self.store.offer_link(sign_in, token.hash(), limits::LINKS_MAX, since, now).await?;
        let mail = letter(&token);
        Ok(match (may_sign_in, is_offered) {
            (false, _) => "no account",
            (true, false) => "too many",
            (true, true) if self.outbox.put(mail) => "queued",
            (true, true) => "dropped",
        })
    }

    /// `mail` is what became of its mail.
    fn note_begun(&self, new: &NewSignIn, mail: &str) {
        // The request's public name opens nothing, and is what the owner types to approve it.
        let (request, flow) = (new.request.as_str(), new.flow);
        if self.sends_mail() {
            tracing::info!(request, ?flow, mail, "a sign-in began");
        } else {
            tracing::info!(request, ?flow, "a sign-in began: approve it with: tombolo login approve {request}");
        }
    }

    fn beginning(
        &self,
        flow: Flow,
        email: EmailAddress,
        device: String,
        device_code: &Secret,
    ) -> Result<NewSignIn, ServiceError> {
        let (request, now): (RequestCode, _) = (friendly_code(&*self.env)?, self.env.now());
        Ok(NewSignIn {
            request: request.as_str().to_owned(),
            flow,
            email,
            device,
            device_code: hash(device_code.reveal()),
            user_code: None,
            challenge: None,
            link: None,
            now,
            expires_at: now.plus(limits::SIGN_IN_SPAN),
        })
    }
}

/// What a page keeps while its user looks for the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebState(String);

impl WebState {
    /// The state `text`.
    ///
    /// # Errors
    /// [`StateError`] when it is empty or too long.
    pub fn parse(text: &str) -> Result<Self, StateError> {
        let good = (1..=limits::STATE_BYTES_MAX).contains(&text.len());
        good.then(|| Self(text.to_owned())).ok_or(StateError)
    }

    pub(super) fn hash(&self) -> SecretHash {
        hash(&self.0)
    }
}

fn callback_link(callback_url: &str, token: &LinkToken, state: &WebState) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("token", token.reveal()).append_pair("state", &state.0);
    let joint = if callback_url.contains('?') { '&' } else { '?' };
    format!("{callback_url}{joint}{}", query.finish())
}
