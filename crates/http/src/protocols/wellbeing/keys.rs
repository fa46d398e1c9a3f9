//! A user's own API keys: list, make, revoke.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use tombolo_core::{CredentialId, Name, Purpose, ServerTime, limits};
use tombolo_service::{Caller, Credential, KeyMade};
use tombolo_wellbeing::{ApiKey, ApiKeys, MadeApiKey, Timestamp};

use super::error::SyncError;
use super::shapes::{answer, only};
use super::{gate, wire};
use crate::App;
use crate::json::Object;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let (all, one) = (gate::guarded(get(list).post(make), app), gate::guarded(delete(revoke), app));
    Router::new()
        .route("/v1/auth/api-keys", only(all, "GET, HEAD, POST, OPTIONS"))
        .route("/v1/auth/api-keys/{id}", only(one, "DELETE, OPTIONS"))
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, SyncError> {
    let keys = app.keys.list(caller, Purpose::Wellbeing).await?;
    let api_keys = keys.into_iter().map(shown).collect();
    Ok(answer(StatusCode::OK, &ApiKeys { api_keys }))
}

async fn make(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, SyncError> {
    #[derive(Deserialize)]
    struct NewApiKey<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
    }
    let body = wire::read_small(body).await?;
    let Object(NewApiKey { name }) = wire::parse(&body, "an object with the key's name is wanted")?;
    let name = name.and_then(wire::text).ok_or_else(|| SyncError::invalid("name is missing, or no text"))?;
    let name = Name::parse(name.trim()).map_err(|error| SyncError::invalid(format!("name: {error}")))?;
    match app.keys.make(caller, name.clone(), Purpose::Wellbeing).await? {
        KeyMade::Key { id, token } => {
            let token = token.secret().reveal().to_owned();
            let made = MadeApiKey { id: id.public(), name: name.to_string(), token };
            Ok(answer(StatusCode::CREATED, &made))
        }
        KeyMade::NameTaken => Err(SyncError::conflict(
            "name_taken",
            "You have a key or a token of this name already: choose another name",
        )),
        KeyMade::TooMany => {
            let detail = format!("You have {} keys: revoke one that is not used any more", limits::KEYS_MAX);
            Err(SyncError::conflict("too_many_keys", detail))
        }
    }
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    params: Result<RawPathParams, RawPathParamsRejection>,
) -> Result<Response, SyncError> {
    let id = params.ok().and_then(|params| params.iter().find_map(|(_, text)| CredentialId::parse_public(text)));
    // Whoever asks for another user's is told no more than who asks for one that there never was.
    let is_gone = match id {
        Some(id) => app.keys.revoke(caller, id, Purpose::Wellbeing).await?,
        None => false,
    };
    if is_gone {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(SyncError::new(StatusCode::NOT_FOUND, "not_found", "You have no such key: GET /v1/auth/api-keys lists them"))
}

/// A key, as its user reads it. Nothing in it opens anything.
fn shown(key: Credential) -> ApiKey {
    ApiKey {
        id: key.id.public(),
        name: key.name.to_string(),
        created_at: timestamp(key.created_at),
        last_used_at: key.last_used_at.map(timestamp),
        expires_at: key.expires_at.map(timestamp),
    }
}

fn timestamp(at: ServerTime) -> Timestamp {
    Timestamp::from_nanos(at.to_instant().nanos()).expect("an instant has a year from 1 to 9998")
}
