//! Tickit: task records of a personal task manager, synced by its desktop and its phone client.
//!
//! One endpoint, `POST /api/v1/sync`. A device sends its changes and the time of its last sync, and is answered with
//! what is new to it; the time is a cursor in disguise. `docs/protocols/tickit.md` says what is promised and shows it.

mod due;
mod error;
mod handlers;
mod limits;
mod normal;
mod openapi;
mod policy;
mod reply;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use tombolo_service::{Action, Write};

use crate::App;
pub(crate) use openapi::OPENAPI;
pub use policy::TickitPolicy;
use policy::{LIST, TAG};

/// The routes of this protocol.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/sync", post(handlers::sync).fallback(handlers::other_method))
}

/// The order in which the records of one request are judged: lists, tags, tasks, tags of tasks, deletions.
fn order_of(write: &Write) -> u8 {
    match (&write.action, write.key.collection) {
        (Action::Delete, _) => 4,
        (Action::Attach { .. }, _) => 3,
        (Action::Put(_), LIST) => 0,
        (Action::Put(_), TAG) => 1,
        (Action::Put(_), _) => 2,
    }
}
