//! Whether the server is there, in the words of the original.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::shapes::only;
use super::wire;
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/health", only(get(health), "GET, HEAD, OPTIONS"))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    timestamp: String,
    version: &'static str,
    uptime: u64,
}

/// `GET /api/v1/health`: time and uptime in whole seconds.
async fn health(State(app): State<Arc<App>>) -> Response {
    let now = app.env.now();
    // What an instant is written as begins with a date and a time of fixed width.
    let timestamp = format!("{}Z", &now.to_string()[..19]);
    let uptime = app.metrics.uptime(now).as_secs();
    wire::answer(StatusCode::OK, &Health { status: "healthy", timestamp, version: env!("CARGO_PKG_VERSION"), uptime })
}
