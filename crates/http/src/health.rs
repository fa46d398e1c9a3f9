//! Is it alive, and can it work.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::App;
use crate::failure::Failure;
use crate::problem::Problem;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/health", get(health).fallback(only_get)).route("/ready", get(ready).fallback(only_get))
}

/// The process answers. The fields are those that Tickit's own server gives, with our version.
async fn health() -> Response {
    let body = serde_json::json!({
        "service": "tickit-sync", "status": "ok", "version": env!("CARGO_PKG_VERSION"), "server": "tombolo"
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The store takes writes.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.replication.ready().await {
        Ok(()) => {
            let body = serde_json::json!({ "status": "ready" });
            ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
        Err(error) => {
            let failure = Failure::of(&error);
            let status =
                if failure.status.is_server_error() { StatusCode::SERVICE_UNAVAILABLE } else { failure.status };
            Problem::failed("not_ready", &Failure { status, ..failure }).into_response()
        }
    }
}

async fn only_get() -> Response {
    let problem = Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        detail: "Read it with GET",
        retry_after: None,
    };
    ([(header::ALLOW, "GET, HEAD, OPTIONS")], problem).into_response()
}
