//! The errors of this protocol: `{"success": false, "error": "…"}`, which the app shows to its user. Some that the
//! original gives have status 200.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tombolo_core::RoomCodeError;
use tombolo_service::ServiceError;

use super::replies::{self, Refused};
use crate::failure::{Failure, retry_after};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomError {
    status: StatusCode,
    message: Cow<'static, str>,
    /// Seconds, where waiting helps.
    retry_after: Option<u64>,
}

impl RoomError {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// What the original answers with status 200.
    pub(super) fn softly(message: &'static str) -> Self {
        Self::new(StatusCode::OK, message)
    }

    /// The app compares the text.
    pub(super) fn not_found() -> Self {
        Self::softly("Room not found")
    }

    pub(super) fn bad_code(error: RoomCodeError) -> Self {
        // In the words of whoever reads it, as a sentence.
        let text = error.to_string();
        let mut letters = text.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        Self::bad_request(first.into_iter().chain(letters).collect::<String>())
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// `what` there was too much of, as a sentence without its end.
    pub(super) fn too_many(what: &str, wait: Duration) -> Self {
        Self::after(StatusCode::TOO_MANY_REQUESTS, what, wait)
    }

    /// `what` stands in the way for a while, as a sentence without its end.
    pub(super) fn later(what: &str, wait: Duration) -> Self {
        Self::after(StatusCode::SERVICE_UNAVAILABLE, what, wait)
    }

    fn after(status: StatusCode, what: &str, wait: Duration) -> Self {
        let seconds = retry_after(wait);
        let message = format!("{what}: try again in {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(status, message) }
    }
}

impl From<ServiceError> for RoomError {
    fn from(error: ServiceError) -> Self {
        let Failure { status, sentence, retry_after } = Failure::of(&error);
        Self { retry_after, ..Self::new(status, sentence) }
    }
}

impl IntoResponse for RoomError {
    fn into_response(self) -> Response {
        let mut response = replies::answer(self.status, &Refused { success: false, error: &self.message });
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn shown(error: RoomError) -> (u16, Option<String>, String) {
        let response = error.into_response();
        let status = response.status().as_u16();
        let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, wait, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_an_error_looks_like() {
        let expected = "{\"success\":false,\"error\":\"Room not found\"}";
        assert_eq!(shown(RoomError::not_found()).await, (200, None, expected.to_owned()));
        let error = RoomError::too_many("Too many rooms were made", Duration::from_millis(1_001));
        let expected = "{\"success\":false,\"error\":\"Too many rooms were made: try again in 2 s\"}";
        assert_eq!(shown(error).await, (429, Some("2".to_owned()), expected.to_owned()));
        let (status, _, body) = shown(RoomError::bad_code(RoomCodeError)).await;
        assert_eq!(status, 400);
        assert!(body.starts_with("{\"success\":false,\"error\":\"A room's code has 4 to 64 letters"), "{body}");
        let (status, wait, _) = shown(ServiceError::Busy.into()).await;
        assert_eq!((status, wait.as_deref()), (503, Some("2")));
    }
}
