//! One log line a request: ids, route, status and duration; never a payload, a token or a path that a client chose.

use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Request, Response};
use tracing::Span;

use crate::request_id::RequestId;

pub(crate) fn span(request: &Request<Body>) -> Span {
    let id = request.extensions().get::<RequestId>().map(RequestId::as_str).unwrap_or_default();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    tracing::info_span!("request", id, method = %request.method(), route)
}

pub(crate) fn answered<B>(response: &Response<B>, took: Duration, _: &Span) {
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(status = response.status().as_u16(), duration_us, "answered");
}
