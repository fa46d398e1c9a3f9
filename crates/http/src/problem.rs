//! Errors of our own routes: `application/problem+json` (RFC 9457), with a stable `code`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::failure::Failure;

pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// For programs; never changes.
    pub(crate) code: &'static str,
    /// For people: what to do.
    pub(crate) detail: &'static str,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn failed(code: &'static str, failure: &Failure) -> Self {
        Self { status: failure.status, code, detail: failure.sentence, retry_after: failure.retry_after }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = serde_json::json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(), "code": self.code, "detail": self.detail
        });
        let headers = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, headers, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
