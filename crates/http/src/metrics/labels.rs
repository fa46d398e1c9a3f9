//! What counts are told apart by: names that are ours, and never anything that a client chose.

use std::fmt;

use axum::extract::MatchedPath;
use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use tombolo_service::CloseReason;

/// A step of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInStep {
    /// A device asked for one.
    Begun,
    /// Its user, or the server's owner, said yes on this server.
    Approved,
    /// It was given a key.
    Completed,
    /// A code, a link or a verifier was wrong or too late.
    Refused,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailFate {
    /// The mail server took it.
    Sent,
    /// It was given up after several tries.
    Failed,
    /// Too many waited.
    Dropped,
}

/// Why a request was answered with 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitClass {
    /// Too many sign-ins of an address.
    Auth,
    /// Too many polls of an address.
    Poll,
    /// Too many pushes of a key.
    Push,
    /// Too many pulls of a key.
    Pull,
    /// Too much else of a key.
    Other,
    /// Too many streams of events open of a key.
    Stream,
    /// Too many invitations mailed of a user, or to an address.
    Invitation,
    /// Too many rooms made, or looked for by wrong codes, of an address.
    Room,
    /// Too many wrong keys of an address.
    WrongKey,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) method: &'static str,
    pub(super) route: Route,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) method: &'static str,
    pub(super) route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolLabels {
    pub(super) protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StepLabels {
    pub(super) step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FateLabels {
    pub(super) fate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ClassLabels {
    pub(super) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DirectionLabels {
    pub(super) direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    reason: &'static str,
}

/// A route as the router knows it, or none: never the path that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Route(Option<MatchedPath>);

impl Route {
    pub(crate) const fn new(matched: Option<MatchedPath>) -> Self {
        Self(matched)
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl std::hash::Hash for Route {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// A method's name: one that HTTP has, else `other`.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl SignInStep {
    pub(super) const fn labels(self) -> StepLabels {
        let step = match self {
            Self::Begun => "begun",
            Self::Approved => "approved",
            Self::Completed => "completed",
            Self::Refused => "refused",
        };
        StepLabels { step }
    }
}

impl MailFate {
    pub(super) const fn labels(self) -> FateLabels {
        let fate = match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        };
        FateLabels { fate }
    }
}

impl LimitClass {
    pub(super) const fn labels(self) -> ClassLabels {
        let class = match self {
            Self::Auth => "auth",
            Self::Poll => "poll",
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Other => "other",
            Self::Stream => "stream",
            Self::Invitation => "invitation",
            Self::Room => "room",
            Self::WrongKey => "wrong_key",
        };
        ClassLabels { class }
    }
}

impl ReasonLabels {
    pub(super) const fn of(reason: CloseReason) -> Self {
        let reason = match reason {
            CloseReason::Left => "left",
            CloseReason::Revoked => "revoked",
            CloseReason::Limited => "limited",
            CloseReason::Protocol => "protocol",
            CloseReason::NotText => "not_text",
            CloseReason::TooBig => "too_big",
            CloseReason::TooSlow => "too_slow",
            CloseReason::Gone => "gone",
            CloseReason::Busy => "busy",
            CloseReason::Stopping => "stopping",
        };
        Self { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_clients_invent_are_one() {
        let check = |method: &str, expected| {
            assert_eq!(method_name(&Method::from_bytes(method.as_bytes()).unwrap()), expected);
        };
        check("GET", "GET");
        check("DELETE", "DELETE");
        check("get", "other");
        check("BREW", "other");
        check("TRACE", "other");
    }
}
