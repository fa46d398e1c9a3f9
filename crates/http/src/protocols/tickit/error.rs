//! Tickit's errors: `{"error": "one sentence"}`. The phone shows it as it is, the desktop only its status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tombolo_service::{Denial, ServiceError};

use crate::failure::{Failure, retry_after};

/// Why a sync is refused as a whole.
#[derive(Debug)]
pub(super) struct SyncError {
    status: StatusCode,
    message: String,
    /// Seconds, where waiting helps.
    retry_after: Option<u64>,
    allow: Option<&'static str>,
}

impl SyncError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, allow: None }
    }

    pub(super) fn no_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "No API token: send 'Authorization: Bearer tks_…', made with 'tombolo token --name NAME'",
        )
    }

    pub(super) fn method() -> Self {
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "Sync with POST");
        Self { allow: Some("POST, OPTIONS"), ..error }
    }

    pub(super) fn denied(denial: Denial) -> Self {
        match denial {
            Denial::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "This API token is not known here: it was mistyped or revoked; make one with 'tombolo token --name NAME'",
            ),
            Denial::OtherPurpose { made_for } => Self::new(
                StatusCode::UNAUTHORIZED,
                format!(
                    "This API token is for {made_for}; make one for Tickit with 'tombolo token --name NAME --for tickit'"
                ),
            ),
            Denial::Expired { at } => Self::new(
                StatusCode::UNAUTHORIZED,
                format!("This API token ended at {at}; make a new one with 'tombolo token --name NAME'"),
            ),
            Denial::Limited { retry_after: wait } => {
                let error = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "Too many wrong API tokens from this address: wait a minute",
                );
                Self { retry_after: Some(retry_after(wait)), ..error }
            }
        }
    }

    pub(super) fn failed(error: &ServiceError) -> Self {
        let Failure { status, sentence, retry_after } = Failure::of(error);
        Self { retry_after, ..Self::new(status, sentence) }
    }
}

impl IntoResponse for SyncError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.message }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}
