//! Who sends a request, and as a client of which generation.

use tombolo_core::acl::Request;
use tombolo_core::{Name, UserId};
use tombolo_service::{Admission, Form, ROOT, Rulebook};

use super::error::EventError;
use super::permission;

/// By what somebody was let in. It tells his client's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// `X-API-Key: sk_…`, as today.
    ApiKey,
    /// `Authorization: Bearer sk_…`, as the generation before.
    BearerKey,
    /// `Authorization: Bearer` and a session, as the first one.
    Session,
}

/// Whoever sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What he is known as: what his events bear, and rules name.
    pub(super) subject: Name,
    pub(super) via: Via,
    pub(super) admission: Admission,
}

impl Caller {
    pub(super) const fn user(&self) -> UserId {
        self.admission.user
    }

    /// The spelling that he reads.
    pub(super) fn form(&self) -> Form {
        if self.is_first_generation() { Form::First } else { Form::Today }
    }

    pub(super) fn is_first_generation(&self) -> bool {
        self.via == Via::Session
    }

    pub(super) fn is_root(&self) -> bool {
        self.subject.as_str() == ROOT
    }

    /// Whether the rules let him.
    pub(super) fn may(&self, rulebook: &Rulebook, item: &str, action: &str) -> bool {
        let request = Request { user: self.subject.as_str(), item, action };
        permission::is_allowed(rulebook, request, self.is_first_generation())
    }

    /// What he is told whose user was disabled meanwhile.
    pub(super) fn let_in_no_more(&self) -> EventError {
        EventError::unauthorized(if self.is_first_generation() { BAD_SESSION } else { BAD_KEY })
    }
}

pub(super) const BAD_KEY: &str = "Invalid API key";
pub(super) const BAD_SESSION: &str = "Invalid or expired token";
