//! Errors that a protocol's handlers did not make, in the shape that its clients read: what is around all routes answers
//! by itself where a body cannot be decompressed, a request takes too long, or a handler panics.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

/// What is true of a reply whatever its body is.
const KEPT: [&str; 6] =
    ["allow", "accept-encoding", "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];

/// Puts what `own` makes of its status in place of an error that is not of `media_type`.
pub(crate) fn shaped(response: Response, media_type: &str, own: impl FnOnce(StatusCode) -> Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_of(response.headers(), media_type) {
        return response;
    }
    let (mut parts, body) = own(status).into_parts();
    for name in KEPT.map(HeaderName::from_static) {
        if let Some(value) = response.headers().get(&name) {
            parts.headers.insert(name, value.clone());
        }
    }
    Response::from_parts(parts, body)
}

fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let is_of = |kind: &HeaderValue| kind.to_str().is_ok_and(|kind| kind.split(';').next() == Some(media_type));
    headers.get(header::CONTENT_TYPE).is_some_and(is_of)
}
