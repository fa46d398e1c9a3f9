//! The errors of this protocol: `{"error": "…"}`, and of an event also its `eventUuid`.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tombolo_service::ServiceError;

use super::limits::UUID_BYTES_MAX;
use super::wire::JSON;
use crate::failure::{Failure, retry_after};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventError {
    status: StatusCode,
    message: Cow<'static, str>,
    /// The event that is at fault, as it was sent.
    event_uuid: Option<String>,
    /// Seconds, where waiting helps.
    retry_after: Option<u64>,
}

impl EventError {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), event_uuid: None, retry_after: None }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Insufficient permissions")
    }

    pub(super) fn bad_format() -> Self {
        Self::bad_request("Invalid request format")
    }

    pub(super) fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub(super) fn too_many(message: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        Self { retry_after: Some(retry_after(wait)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    pub(super) fn failed(error: &ServiceError) -> Self {
        let Failure { status, sentence, retry_after } = Failure::of(error);
        Self { retry_after, ..Self::new(status, sentence) }
    }

    /// Whether it is the client's own doing.
    pub(super) fn is_clients(&self) -> bool {
        self.status.is_client_error()
    }

    /// The same, of an event. What is too long for a uuid is not repeated as one.
    pub(super) fn of(self, uuid: &str) -> Self {
        Self { event_uuid: (uuid.len() <= UUID_BYTES_MAX).then(|| uuid.to_owned()), ..self }
    }
}

impl From<ServiceError> for EventError {
    fn from(error: ServiceError) -> Self {
        Self::failed(&error)
    }
}

impl IntoResponse for EventError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: Cow<'static, str>,
            #[serde(rename = "eventUuid", skip_serializing_if = "Option::is_none")]
            event_uuid: Option<String>,
        }
        let body = Body { error: self.message, event_uuid: self.event_uuid };
        let body = serde_json::to_string(&body).expect("texts can be written as JSON");
        let mut response = (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
