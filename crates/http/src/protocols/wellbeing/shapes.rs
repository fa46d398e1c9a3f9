//! What replies have in common, and errors that these handlers did not make, in the shape of their own.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::Serialize;

use super::error::SyncError;
use crate::{App, methods, shape};

/// The media type of errors.
pub(super) const PROBLEM: &str = "application/problem+json";

/// Answers with JSON that is written already. None of it belongs in a cache.
pub(super) fn written(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Answers with JSON.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("texts, numbers and times are JSON");
    (status, written(text)).into_response()
}

/// `methods`, and for every other one the answer that only those of `allow` are taken.
pub(super) fn only(methods: MethodRouter<Arc<App>>, allow: &'static str) -> MethodRouter<Arc<App>> {
    methods::only(methods, allow, |allow| {
        let detail = format!("This path takes {allow}, and no other method");
        SyncError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    })
}

/// Brings an error of a route into the shape of this protocol's own: what is around all routes answers by itself where a
/// body cannot be decompressed.
pub(crate) async fn in_own_shape(request: Request, next: Next) -> Response {
    shape::shaped(next.run(request).await, PROBLEM, |status| error(status).into_response())
}

fn error(status: StatusCode) -> SyncError {
    let (code, detail) = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported_encoding", "The body's Content-Encoding is none that is read here: send it as gzip, or plain")
        }
        status if status.is_server_error() => {
            ("internal", "The server met a bug; its log says more under this request's id")
        }
        _ => ("invalid_request", "This request cannot be read"),
    };
    SyncError::new(status, code, detail)
}
