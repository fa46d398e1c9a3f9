//! What the server is, and whether it is there, in the words of the original.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use tombolo_service::Entrant;

use super::error::RoomError;
use super::gate::{KEYS_PATH, guarded};
use super::replies::{Health, Info, Time, answer};
use super::shapes::only;
use crate::App;

const READ: &str = "GET, HEAD, OPTIONS";

/// What is there for who has a key.
pub(super) fn below_key(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{KEYS_PATH}{{key}}"), only(guarded(get(info), app), READ))
        .route(&format!("{KEYS_PATH}{{key}}/health"), only(guarded(get(health), app), READ))
}

/// What is there where everybody may come in. The health is the server's own.
pub(super) fn at_root() -> Router<Arc<App>> {
    Router::new().route("/", only(get(info), READ))
}

async fn info() -> Response {
    answer(StatusCode::OK, &Info::HERE)
}

/// `GET /k/{key}/health`: how many rooms the key's user has.
async fn health(State(app): State<Arc<App>>, Extension(entrant): Extension<Entrant>) -> Result<Response, RoomError> {
    let rooms = app.rooms.count(Some(entrant.owner)).await?;
    Ok(answer(StatusCode::OK, &Health { status: "healthy", rooms, timestamp: Time(app.env.now()) }))
}
