//! A user's own keys: list, revoke.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::Purpose;
use tombolo_service::{Caller, Credential};

use super::error::TdError;
use super::gate::{self, Class};
use super::params::KeyParam;
use super::shapes::only;
use super::timestamp::seconds;
use super::wire;
use crate::App;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/v1/keys", only(get(list), "GET, HEAD, OPTIONS"))
        .route("/v1/keys/{key}", only(delete(revoke), "DELETE, OPTIONS"));
    gate::guarded(routes, app, Class::Other)
}

/// A key, as its user reads it. Nothing in it opens anything.
#[derive(Debug, Serialize)]
struct KeyReply {
    id: String,
    name: String,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: Option<String>,
}

impl From<Credential> for KeyReply {
    fn from(key: Credential) -> Self {
        Self {
            id: key.id.public(),
            name: key.name.to_string(),
            created_at: seconds(key.created_at),
            last_used_at: key.last_used_at.map(seconds),
            expires_at: key.expires_at.map(seconds),
        }
    }
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, TdError> {
    let keys = app.keys.list(caller, Purpose::Td).await.map_err(|error| TdError::failed(&error))?;
    let keys: Vec<KeyReply> = keys.into_iter().map(Into::into).collect();
    Ok(wire::answer(StatusCode::OK, &keys))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    KeyParam(key): KeyParam,
) -> Result<Response, TdError> {
    if app.keys.revoke(caller, key, Purpose::Td).await.map_err(|error| TdError::failed(&error))? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(TdError::not_found("you have no such key"))
}
