//! To erase everything that is stored for a user.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::delete;
use axum::{Extension, Router};
use tombolo_core::Purpose;
use tombolo_service::Caller;

use super::error::SyncError;
use super::gate;
use super::shapes::only;
use crate::App;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new().route("/v1/sync/data", only(gate::guarded(delete(erase), app), "DELETE, OPTIONS"))
}

/// Where nothing is stored, everything is erased: so that whoever got no answer may ask again.
async fn erase(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, SyncError> {
    app.replication.erase(caller, Purpose::Wellbeing).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
