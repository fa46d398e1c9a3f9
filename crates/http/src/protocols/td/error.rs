//! td's errors, in both shapes that its clients look for: the command line reads `code` and `message` at the top, its
//! original server's readers below `error`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tombolo_core::Refusal;
use tombolo_service::{Denial, ServiceError};

use crate::failure::{Failure, retry_after};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct TdError {
    status: StatusCode,
    /// For programs; never changes.
    code: &'static str,
    /// For people: what to do.
    message: String,
    /// Seconds, where waiting helps.
    retry_after: Option<u64>,
}

impl TdError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn too_many(message: impl Into<String>, wait: std::time::Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
        Self { retry_after: Some(retry_after(wait)), ..error }
    }

    /// `project` is the project's id as the client wrote it.
    pub(super) fn refused(refusal: Refusal, project: &str) -> Self {
        match refusal {
            Refusal::NotMember => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", format!("not a member of project {project}"))
            }
            Refusal::Deleted => Self::not_found(format!("project {project} was deleted")),
            Refusal::Lacks { have, need } => {
                let message = format!("insufficient permissions: have {have}, need {need}");
                Self::new(StatusCode::FORBIDDEN, "forbidden", message)
            }
        }
    }

    pub(super) fn denied(denial: Denial) -> Self {
        match denial {
            Denial::Unknown => Self::unauthorized(
                "this key is not known here: it was revoked, or is another server's; run 'td auth login'",
            ),
            Denial::OtherPurpose { made_for } => Self::unauthorized(format!(
                "this key is for {made_for}; run 'td auth login', or make one with 'tombolo token --for td --name NAME'"
            )),
            Denial::Expired { at } => Self::unauthorized(format!("this key ended at {at}; run 'td auth login'")),
            Denial::Limited { retry_after: wait } => {
                Self::too_many("too many wrong keys from this address: wait a minute", wait)
            }
        }
    }

    pub(super) fn failed(error: &ServiceError) -> Self {
        let Failure { status, sentence, retry_after } = Failure::of(error);
        Self { retry_after, ..Self::new(status, "internal_error", sentence) }
    }
}

impl IntoResponse for TdError {
    fn into_response(self) -> Response {
        let Self { status, code, message, retry_after } = self;
        let body = serde_json::json!({
            "error": { "code": code, "message": message }, "code": code, "message": message
        });
        let headers = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (status, headers, body.to_string()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
