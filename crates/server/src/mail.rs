//! Sending mail: by SMTP, beside everything else, so that no request waits for a mail server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tombolo_core::{Env as _, limits};
use tombolo_http::{MailFate, Metrics};
use tombolo_service::{Mail, OutgoingMail};

use crate::config::Config;
use crate::env::SystemEnv;

/// The longest that one try may take: a mail server that is slower than this is not going to be fast enough for
/// somebody who waits at a terminal.
const TRY_MAX: Duration = Duration::from_secs(30);
/// What is waited for after a try that failed: a server that restarts, then one that makes strangers come twice. After
/// the last one the mail is given up; everything together stays far below the 15 minutes of a sign-in.
const WAITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(120)];
/// Mails that are spoken of with a mail server at once: one that is slow must not hold up all others. Those that were
/// put off, and wait for their next try, hold up nobody; there may be [`limits::MAILS_WAITING_MAX`] of them.
const UNDER_WAY_MAX: usize = 8;

/// Brings mails to a mail server.
pub(crate) struct Postman {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    metrics: Arc<Metrics>,
    turns: Semaphore,
}

/// When to hurry, and when to end.
#[derive(Clone)]
pub(crate) struct Closing {
    /// Waits between tries are cut short from then on.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Nothing more comes in from then on.
    pub(crate) drained: watch::Receiver<bool>,
}

/// Why a try failed, without what the mail server said: that may name the recipient.
enum Failure {
    /// Another try may succeed.
    Passing(String),
    /// No other try will.
    Final(String),
}

impl Postman {
    /// The postman that the configuration asks for, if it does.
    ///
    /// # Errors
    /// When the configuration lacks what mails need, or a mail server cannot be spoken to in that way.
    pub(crate) fn of(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Self>> {
        let Some(url) = &config.mail.smtp_url else { return Ok(None) };
        let Some(from) = &config.mail.from else {
            bail!("mail.smtp_url is set, and mail.from is not: whom should mails come from?");
        };
        if config.public_url.is_none() {
            bail!("mail.smtp_url is set, and public_url is not: where should the links in mails lead?");
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal());
        let builder = builder.context("mail.smtp_url cannot be used")?.timeout(Some(TRY_MAX));
        let turns = Semaphore::new(UNDER_WAY_MAX);
        Ok(Some(Self { transport: builder.build(), from: from.0.clone(), metrics: metrics.clone(), turns }))
    }

    /// Brings what comes until nothing more does. May be dropped midway: what was not sent is lost then.
    pub(crate) async fn deliver(self, mut mails: OutgoingMail, mut closing: Closing) {
        let postman = Arc::new(self);
        let mut under_way = JoinSet::new();
        let mut is_open = true;
        loop {
            tokio::select! {
                mail = mails.next(), if under_way.len() < limits::MAILS_WAITING_MAX => match mail {
                    Some(mail) => {
                        let (postman, stopping) = (postman.clone(), closing.stopping.clone());
                        under_way.spawn(async move {
                            let fate = postman.bring(mail, stopping).await;
                            postman.metrics.mail(fate);
                        });
                    }
                    None => break,
                },
                _ = under_way.join_next(), if !under_way.is_empty() => {}
                _ = closing.drained.wait_for(|drained| *drained), if is_open => {
                    is_open = false;
                    mails.close();
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn bring(&self, mail: Mail, mut stopping: watch::Receiver<bool>) -> MailFate {
        let given_up = |tries: usize, why: &str| {
            tracing::warn!(tries, why, "a mail was given up");
            MailFate::Failed
        };
        let (mut tries, mut waits) = (0, WAITS.iter());
        loop {
            // Given back before it waits for another try.
            let turn = self.turns.acquire().await.expect("nobody closes it");
            tries += 1;
            if mail.until <= SystemEnv.now() {
                return given_up(tries, "what it offers has ended");
            }
            let why = match self.try_once(&mail).await {
                Ok(()) => {
                    tracing::info!(tries, "a mail was sent");
                    return MailFate::Sent;
                }
                Err(Failure::Final(why)) => return given_up(tries, &why),
                Err(Failure::Passing(why)) => why,
            };
            drop(turn);
            let Some(wait) = waits.next() else { return given_up(tries, &why) };
            tracing::warn!(tries, why, again_s = wait.as_secs(), "a mail could not be sent yet");
            tokio::select! {
                () = sleep(*wait) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {
                    if tries > 1 {
                        return given_up(tries, "the server stops");
                    }
                }
            }
        }
    }

    async fn try_once(&self, mail: &Mail) -> Result<(), Failure> {
        let message = self.write(mail)?;
        // The transport's own bound is for each of its steps.
        match timeout(TRY_MAX, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Passing("the mail server did not answer in time".to_owned())),
        }
    }

    fn write(&self, mail: &Mail) -> Result<Message, Failure> {
        let bad = |what: &str| Failure::Final(what.to_owned());
        let address: Address = mail.to.as_str().parse().map_err(|_| bad("its address is none that mail can go to"))?;
        let mut id = [0; 16];
        SystemEnv.fill_random(&mut id);
        let id = format!("<{:032x}@{}>", u128::from_be_bytes(id), self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(mail.subject.clone())
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .header(AutoSubmitted)
            .body(mail.text.clone())
            .map_err(|_| bad("it cannot be written as a mail"))
    }
}

impl Failure {
    fn of(error: &smtp::Error) -> Self {
        if let Some(code) = error.status() {
            let why = format!("the mail server answered {code}");
            return if error.is_permanent() { Self::Final(why) } else { Self::Passing(why) };
        }
        Self::Passing(if error.is_timeout() {
            "the mail server did not answer in time".to_owned()
        } else if error.is_response() {
            "what the mail server answered is no SMTP".to_owned()
        } else {
            format!("the mail server cannot be spoken to: {error}")
        })
    }
}

/// Says that nobody typed this mail, so that no absence note answers it (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
