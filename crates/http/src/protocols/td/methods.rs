//! Which methods a path takes.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::error::TdError;
use crate::App;

/// `methods`, and for every other one the answer that only those of `allow` are taken.
pub(super) fn only(methods: MethodRouter<Arc<App>>, allow: &'static str) -> MethodRouter<Arc<App>> {
    methods.fallback(move || async move { other(allow) })
}

fn other(allow: &'static str) -> Response {
    let error = TdError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("this path takes {allow}, and no other method"),
    );
    ([(header::ALLOW, allow)], error).into_response()
}
