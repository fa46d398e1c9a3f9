//! What this server is, and how much it takes at a time: for clients, before they have a key.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::shapes::{answer, only};
use super::{PROTOCOL, limits};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/meta", only(get(meta), "GET, HEAD, OPTIONS"))
}

#[derive(Serialize)]
struct Meta {
    server: &'static str,
    version: &'static str,
    protocol: &'static str,
    limits: Limits,
}

#[derive(Serialize)]
struct Limits {
    upload_bytes: usize,
    upload_changes: usize,
    record_bytes: usize,
    download_changes_default: usize,
    download_changes_max: usize,
}

async fn meta() -> Response {
    let limits = Limits {
        upload_bytes: limits::UPLOAD_BYTES_MAX,
        upload_changes: limits::CHANGES_MAX,
        record_bytes: limits::RECORD_BYTES_MAX,
        download_changes_default: limits::PAGE_RECORDS,
        download_changes_max: limits::PAGE_RECORDS_MAX,
    };
    let meta = Meta { server: "tombolo", version: env!("CARGO_PKG_VERSION"), protocol: PROTOCOL, limits };
    answer(StatusCode::OK, &meta)
}
