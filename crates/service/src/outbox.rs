//! Mails on their way out: a request leaves them here and goes on, whatever the mail server does.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tombolo_core::{EmailAddress, ServerTime, limits};

/// A mail in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom it goes to.
    pub to: EmailAddress,
    /// One line.
    pub subject: String,
    /// Lines.
    pub text: String,
    /// When it is worth nothing any more, and is not sent.
    pub until: ServerTime,
}

/// Where mails are left.
///
/// It holds at most [`limits::MAILS_WAITING_MAX`]; what comes when it is full is dropped, and the log says so.
#[derive(Clone)]
pub struct Outbox(Option<Slot>);

/// Where mails are put in.
#[derive(Clone)]
struct Slot {
    sender: mpsc::Sender<Mail>,
    on_drop: Arc<dyn Fn() + Send + Sync>,
}

/// Where mails are fetched: the other end of an [`Outbox`].
#[derive(Debug)]
pub struct OutgoingMail(mpsc::Receiver<Mail>);

impl Outbox {
    /// An outbox, and where its mails come out; `on_drop` is called for each mail that there is no room for.
    #[must_use]
    pub fn open(on_drop: Arc<dyn Fn() + Send + Sync>) -> (Self, OutgoingMail) {
        let (sender, receiver) = mpsc::channel(limits::MAILS_WAITING_MAX);
        (Self(Some(Slot { sender, on_drop })), OutgoingMail(receiver))
    }

    /// The outbox of a server that sends no mail.
    #[must_use]
    pub const fn closed() -> Self {
        Self(None)
    }

    /// Whether the server sends mail at all.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves `mail`; `false` when there is no room, or nobody who sends it. It never waits.
    pub fn put(&self, mail: Mail) -> bool {
        let Some(slot) = &self.0 else { return false };
        let is_in = slot.sender.try_send(mail).is_ok();
        if !is_in {
            (slot.on_drop)();
            tracing::warn!(waiting_max = limits::MAILS_WAITING_MAX, "a mail was dropped: too many wait to be sent");
        }
        is_in
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("is_open", &self.is_open()).finish()
    }
}

impl OutgoingMail {
    /// The next mail, when there is one; `None` when the outbox is gone, or closed and empty. May be dropped midway.
    pub async fn next(&mut self) -> Option<Mail> {
        self.0.recv().await
    }

    /// Takes no more mails in: what waits can still be fetched.
    pub fn close(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Mail {
    /// Without whom it goes to and what it says: it may hold what lets somebody in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("until", &self.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(subject: &str) -> Mail {
        let to = EmailAddress::parse("ann@example.org").unwrap();
        Mail { to, subject: subject.to_owned(), text: "hunter2".to_owned(), until: ServerTime::from_micros(0) }
    }

    #[tokio::test]
    async fn an_outbox_is_bounded_and_gives_out_what_it_took() {
        let (outbox, mut outgoing) = Outbox::open(Arc::new(|| {}));
        for n in 0..limits::MAILS_WAITING_MAX {
            assert!(outbox.put(mail(&n.to_string())));
        }
        assert!(!outbox.put(mail("one too many")));
        assert_eq!(outgoing.next().await, Some(mail("0")));
        assert!(outbox.put(mail("last")));
        outgoing.close();
        assert!(!outbox.put(mail("too late")));
        let mut last = None;
        while let Some(mail) = outgoing.next().await {
            last = Some(mail);
        }
        assert_eq!(last, Some(mail("last")));
        assert!(!Outbox::closed().put(mail("nowhere")));
    }

    #[test]
    fn a_mail_shows_neither_address_nor_text() {
        let shown = format!("{:?}", mail("for ann"));
        assert!(!shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
    }
}
