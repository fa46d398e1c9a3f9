//! Which methods a path takes.

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;

use crate::App;

/// `methods`, and for every other one the answer that only those of `allow` are taken, which `error` makes of them.
pub(crate) fn only<E: IntoResponse + 'static>(
    methods: MethodRouter<Arc<App>>,
    allow: &'static str,
    error: fn(&'static str) -> E,
) -> MethodRouter<Arc<App>> {
    let other = move || async move { ([(header::ALLOW, allow)], error(allow)).into_response() };
    // What answers GET would answer HEAD, too.
    let methods = if allow.contains("HEAD") { methods } else { methods.head(other) };
    methods.fallback(other)
}
