//! Tickets: what stands in for a key where none can be sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tombolo_core::{Secret, ServerTime, limits};
use tombolo_storage::Ticket;

use super::Participants;
use crate::ServiceError;
use crate::events::{Admission, Form};
use crate::sign_in::secrets::hash;

/// A ticket that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenTicket {
    /// As it stands in a query.
    pub text: Secret,
    /// When it ends.
    pub expires_at: ServerTime,
}

impl GivenTicket {
    /// 256 bits: nobody guesses them.
    const RANDOM_BYTES: usize = 32;
    const CHARS: usize = (Self::RANDOM_BYTES * 8).div_ceil(6);
}

impl Participants {
    /// Gives out a ticket that stands for what let somebody in.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn give_ticket(&self, admission: Admission, form: Form) -> Result<GivenTicket, ServiceError> {
        let Admission { user, credential, ends_at } = admission;
        let mut randomness = [0; GivenTicket::RANDOM_BYTES];
        self.env.fill_random(&mut randomness);
        let (text, now) = (URL_SAFE_NO_PAD.encode(randomness), self.env.now());
        let expires_at = now.plus(limits::TICKET_SPAN);
        let ticket = Ticket { user, credential, ends_at, form: number(form) };
        self.store.keep_ticket(hash(&text), ticket, now, expires_at).await?;
        Ok(GivenTicket { text: Secret::new(text), expires_at })
    }

    /// Uses a ticket up.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn use_ticket(&self, text: &str) -> Result<Option<(Admission, Form)>, ServiceError> {
        if text.len() != GivenTicket::CHARS {
            return Ok(None);
        }
        let Some(ticket) = self.store.use_ticket(hash(text), self.env.now()).await? else { return Ok(None) };
        let Ticket { user, credential, ends_at, form } = ticket;
        Ok(form_of(form).map(|form| (Admission { user, credential, ends_at }, form)))
    }
}

const fn number(form: Form) -> i64 {
    match form {
        Form::Today => 0,
        Form::First => 1,
    }
}

fn form_of(number_kept: i64) -> Option<Form> {
    [Form::Today, Form::First].into_iter().find(|form| number(*form) == number_kept)
}
