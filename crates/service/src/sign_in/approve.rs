//! Approving a sign-in: by the mailed link, or on the owner's command line.

use tombolo_core::{EmailAddress, RequestCode, ServerTime, UserCode};
use tombolo_storage::{Approved, Flow, SignIn, SignInKey, SignUp};

use super::Admissions;
use super::letters::{self, Asked};
use super::secrets::{LinkToken, hash};
use crate::ServiceError;

/// What became of a code that somebody typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeEntered {
    /// A link is on its way, if the address may sign in here.
    Mailed,
    /// No mail is sent: the server's owner approves under this code.
    LeftToOwner(UserCode),
    /// No sign-in waits under it.
    Unknown,
}

/// A sign-in that waits, as who approves it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its public name.
    pub code: String,
    /// How.
    pub flow: Flow,
    /// Who says he is signing in.
    pub email: EmailAddress,
    /// What the device calls itself; may be empty.
    pub device: String,
    /// When it began.
    pub created_at: ServerTime,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// What a mailed link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOpened<T> {
    /// That.
    Good(T),
    /// No sign-in has this link, or has it any more.
    Unknown,
    /// It was approved before.
    Used,
    /// It ended.
    Expired,
    /// The address has no account here and gets none, or its user is disabled.
    NoAccount,
}

/// What became of the owner's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerApproval {
    /// The device gets its key when it asks next.
    Done {
        /// Which sign-in.
        request: Request,
        /// Whether the account was made by it.
        is_new: bool,
    },
    /// There is no such sign-in.
    Unknown,
    /// It was approved before; nothing was changed.
    Already,
    /// It ended.
    Expired,
    /// The user of its address is disabled.
    Disabled,
}

impl Admissions {
    /// Takes a code that somebody typed: the link that approves its sign-in is mailed to its address. Typing it
    /// approves nothing, since whoever started the sign-in knows it.
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed.
    pub async fn enter_code(&self, typed: &UserCode) -> Result<CodeEntered, ServiceError> {
        let found = self.store.find_sign_in(SignInKey::UserCode(hash(typed.as_str()))).await?;
        let Some(sign_in) = found.filter(|sign_in| self.waits(sign_in) && sign_in.flow == Flow::Code) else {
            return Ok(CodeEntered::Unknown);
        };
        if !self.sends_mail() {
            return Ok(CodeEntered::LeftToOwner(typed.clone()));
        }
        let asked = Asked::of(&sign_in, typed);
        let letter = |token: &LinkToken| letters::approve_device(self.base_url(), &self.approval_link(token), &asked);
        let mail = self.mail_link(sign_in.id, &sign_in.email, letter).await?;
        tracing::info!(request = sign_in.request, mail, "a sign-in's code was typed");
        Ok(CodeEntered::Mailed)
    }

    /// Says what a mailed link would approve. Changes nothing.
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed.
    pub async fn look_at_link(&self, token: &LinkToken) -> Result<LinkOpened<Request>, ServiceError> {
        Ok(match self.open_link(token).await? {
            LinkOpened::Good(sign_in) => LinkOpened::Good(Request::of(sign_in)),
            LinkOpened::Unknown => LinkOpened::Unknown,
            LinkOpened::Used => LinkOpened::Used,
            LinkOpened::Expired => LinkOpened::Expired,
            LinkOpened::NoAccount => LinkOpened::NoAccount,
        })
    }

    /// Approves the sign-in that a mailed link leads to.
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed; the same link may be tried again.
    pub async fn approve_by_link(&self, token: &LinkToken) -> Result<LinkOpened<()>, ServiceError> {
        let sign_in = match self.open_link(token).await? {
            LinkOpened::Good(sign_in) => sign_in,
            LinkOpened::Unknown => return Ok(LinkOpened::Unknown),
            LinkOpened::Used => return Ok(LinkOpened::Used),
            LinkOpened::Expired => return Ok(LinkOpened::Expired),
            LinkOpened::NoAccount => return Ok(LinkOpened::NoAccount),
        };
        Ok(match self.approve(&sign_in, self.sign_up()).await? {
            Approved::Done { .. } => LinkOpened::Good(()),
            Approved::Already => LinkOpened::Used,
            Approved::Expired => LinkOpened::Expired,
            Approved::NoAccount => LinkOpened::NoAccount,
        })
    }

    /// The sign-ins of devices that wait for their approval, the oldest first.
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed.
    pub async fn waiting(&self) -> Result<Vec<Request>, ServiceError> {
        let waiting = self.store.sign_ins(self.env.now()).await?;
        Ok(waiting.into_iter().filter(|sign_in| sign_in.flow != Flow::Web).map(Request::of).collect())
    }

    /// Approves for the server's owner the sign-in that he named as `typed`: by its public name, or by the code that
    /// the device shows. The owner vouches for the address: it gets an account if it has none.
    ///
    /// # Errors
    /// [`ServiceError`] when the store failed.
    pub async fn approve_for_owner(&self, typed: &str) -> Result<OwnerApproval, ServiceError> {
        let request = RequestCode::parse(typed).map(|code| SignInKey::Request(code.as_str().to_owned()));
        let typed = || UserCode::parse(typed).map(|code| SignInKey::UserCode(hash(code.as_str())));
        let Some(key) = request.or_else(typed) else { return Ok(OwnerApproval::Unknown) };
        let found = self.store.find_sign_in(key).await?;
        let Some(sign_in) = found.filter(|sign_in| sign_in.flow != Flow::Web) else {
            return Ok(OwnerApproval::Unknown);
        };
        Ok(match self.approve(&sign_in, SignUp::Open).await? {
            Approved::Done { is_new, .. } => OwnerApproval::Done { request: Request::of(sign_in), is_new },
            Approved::Already => OwnerApproval::Already,
            Approved::Expired => OwnerApproval::Expired,
            Approved::NoAccount => OwnerApproval::Disabled,
        })
    }

    pub(super) async fn approve(&self, sign_in: &SignIn, sign_up: SignUp) -> Result<Approved, ServiceError> {
        let approved = self.store.approve_sign_in(sign_in.id, sign_up, self.env.now()).await?;
        match approved {
            Approved::Done { user, is_new } => {
                tracing::info!(request = sign_in.request, user = user.get(), is_new, "a sign-in was approved");
            }
            _ => tracing::info!(request = sign_in.request, ?approved, "a sign-in was not approved"),
        }
        Ok(approved)
    }

    /// Whose accounts are made when a link approves.
    pub(super) const fn sign_up(&self) -> SignUp {
        if self.options.allow_signup { SignUp::Open } else { SignUp::Closed }
    }

    async fn open_link(&self, token: &LinkToken) -> Result<LinkOpened<SignIn>, ServiceError> {
        let found = self.store.find_sign_in(SignInKey::Link(token.hash())).await?;
        // A page's link is not for this door: it proves itself with the page's state, too.
        let Some(sign_in) = found.filter(|sign_in| sign_in.flow != Flow::Web) else { return Ok(LinkOpened::Unknown) };
        Ok(if sign_in.approved.is_some() || sign_in.consumed_at.is_some() {
            LinkOpened::Used
        } else if sign_in.expires_at <= self.env.now() {
            LinkOpened::Expired
        } else {
            LinkOpened::Good(sign_in)
        })
    }

    fn waits(&self, sign_in: &SignIn) -> bool {
        sign_in.approved.is_none() && sign_in.consumed_at.is_none() && sign_in.expires_at > self.env.now()
    }
}

impl Request {
    fn of(sign_in: SignIn) -> Self {
        let SignIn { request, flow, email, device, created_at, expires_at, .. } = sign_in;
        Self { code: request, flow, email, device, created_at, expires_at }
    }
}
