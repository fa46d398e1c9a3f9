//! Errors: `application/problem+json` (RFC 9457), with a stable `code`, and where the client has to start again, with the
//! reason. One sentence says what to do; none holds anything of the request.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tombolo_core::{Purpose, ResetReason};
use tombolo_service::{Denial, ServiceError, Stale};

use crate::failure::{Failure, retry_after};

/// Why a request is refused as a whole.
#[derive(Debug)]
pub(super) struct SyncError {
    status: StatusCode,
    /// For programs; never changes.
    code: &'static str,
    /// For people: what to do.
    detail: Cow<'static, str>,
    /// For programs, too: why a device has to start again from the beginning.
    reason: Option<&'static str>,
    /// Seconds, where waiting helps.
    retry_after: Option<u64>,
}

impl SyncError {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), reason: None, retry_after: None }
    }

    /// JSON, and not what is wanted.
    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(super) fn no_key() -> Self {
        Self::unauthorized(
            "There is no API key: send 'Authorization: Bearer wb_…', made with 'tombolo token --for wellbeing'",
        )
    }

    fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(super) fn denied(denial: Denial) -> Self {
        match denial {
            Denial::Unknown => Self::unauthorized(
                "This API key is not known here: it was mistyped or revoked; make one with 'tombolo token --for wellbeing'",
            ),
            Denial::OtherPurpose { made_for } => Self::unauthorized(format!(
                "This API key is for {made_for}; make one with 'tombolo token --for {}'",
                Purpose::Wellbeing
            )),
            Denial::Expired { at } => Self::unauthorized(format!(
                "This API key ended at {at}; make another with 'tombolo token --for wellbeing'"
            )),
            Denial::Limited { retry_after: wait } => {
                let detail = "There were too many wrong API keys from this address: wait a minute";
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
                Self { retry_after: Some(retry_after(wait)), ..error }
            }
        }
    }

    pub(super) fn others_device() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "device_of_another_user",
            "This device_id belongs to another user: give the device an id of its own",
        )
    }

    /// A cursor that is none of ours.
    pub(super) fn unreadable_cursor() -> Self {
        Self::reset("unreadable", "The cursor is none that this server gave out: start again from the beginning")
    }

    pub(super) fn stale(stale: Stale) -> Self {
        match stale {
            Stale::Erased => Self::new(
                StatusCode::GONE,
                "erased",
                "What was stored here was erased at the wish of its owner: send nothing until sync is set up again",
            ),
            Stale::Reset(ResetReason::Restored) => Self::reset(
                "restored",
                "The server's history is not the one of this cursor: start again from the beginning, and offer again what \
                 the server lacks",
            ),
            Stale::Reset(ResetReason::Ahead) => {
                Self::reset("ahead", "The cursor lies beyond what is stored: start again from the beginning")
            }
            Stale::Reset(ResetReason::OtherAccount) => {
                Self::reset("other_account", "The cursor is of another account: start again from the beginning")
            }
        }
    }

    fn reset(reason: &'static str, detail: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::conflict("cursor_reset", detail) }
    }

    pub(super) fn failed(error: &ServiceError) -> Self {
        let Failure { status, sentence, retry_after } = Failure::of(error);
        let code = if status == StatusCode::SERVICE_UNAVAILABLE { "busy" } else { "internal" };
        Self { retry_after, ..Self::new(status, code, sentence) }
    }
}

impl From<ServiceError> for SyncError {
    fn from(error: ServiceError) -> Self {
        Self::failed(&error)
    }
}

impl IntoResponse for SyncError {
    fn into_response(self) -> Response {
        let Self { status, code, detail, reason, retry_after } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let mut body = json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail
        });
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        let headers = [(header::CONTENT_TYPE, super::shapes::PROBLEM), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, body.to_string()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
