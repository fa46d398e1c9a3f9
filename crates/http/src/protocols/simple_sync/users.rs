//! Users' keys over HTTP: a setup token is given out, exchanged for a key, and keys are revoked.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use tombolo_core::Name;
use tombolo_service::{Admission, Effect, Rulebook, SetupTokenFound, Weight};

use super::audit::{Deed, NOTHING, item_of};
use super::caller::{Caller, Via};
use super::error::EventError;
use super::gate::{address_of, guarded};
use super::limits::DESCRIPTION_BYTES_MAX;
use super::shapes::only;
use super::submit::{bad_setup_token, submit};
use super::{query, wire};
use crate::App;
use crate::json::Text;
use crate::metrics::LimitClass;

const GENERATE_TOKEN: &str = ".user.generateToken";
const EXCHANGE_TOKEN: &str = ".user.exchangeToken";
const RESET_KEY: &str = ".user.resetKey";
const POST: &str = "POST, OPTIONS";
/// What a key is called whose user said nothing of it that is a name.
const KEY_NAME: &str = "key";

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/user/generateToken", only(guarded(post(generate_token), app), POST))
        .route("/api/v1/user/resetKey", only(guarded(post(reset_key), app), POST))
        .route("/api/v1/user/exchangeToken", only(post(exchange_token), POST))
        .route("/api/v1/setup/exchangeToken", only(post(exchange_token_as_before), POST))
}

/// `POST /api/v1/user/generateToken`: a token by which a user gets a key. Those that were given out before end.
async fn generate_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, EventError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Given<'a> {
        token: &'a str,
        expires_at: String,
    }
    let user = named(&wire::small_body(body).await?, query.as_deref(), caller.via)?;
    let token = app.participants.fresh_setup_token()?;
    let effect = Effect::GiveSetupToken { subject: user.clone(), token: token.hash, expires_at: token.expires_at };
    manage(&app, &caller, &user, GENERATE_TOKEN, effect).await?;
    Ok(wire::answer(StatusCode::OK, &Given { token: token.text.reveal(), expires_at: token.expires_at.to_string() }))
}

/// `POST /api/v1/user/resetKey`: revokes all keys of a user. Whether there is such a user is not shown.
async fn reset_key(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, EventError> {
    #[derive(Serialize)]
    struct Reset {
        message: &'static str,
    }
    let user = named(&wire::small_body(body).await?, query.as_deref(), caller.via)?;
    manage(&app, &caller, &user, RESET_KEY, Effect::RevokeKeys { subject: user.clone() }).await?;
    Ok(wire::answer(StatusCode::OK, &Reset { message: "API keys invalidated successfully" }))
}

/// The user that a request is about: in its body, or, as the generation before sent it, in its query.
fn named(body: &[u8], query: Option<&str>, via: Via) -> Result<Name, EventError> {
    #[derive(Deserialize)]
    struct User<'a> {
        #[serde(borrow, default)]
        user: Text<'a>,
    }
    let in_query = || query::value(query.unwrap_or_default(), "user");
    // That generation has it nowhere else where it sends no body.
    let in_query = body.is_empty().then(|| in_query().or_else(|| (via == Via::BearerKey).then(String::new))).flatten();
    if let Some(user) = in_query {
        if user.is_empty() {
            return Err(EventError::bad_request("user parameter required"));
        }
        return Name::parse(&user).map_err(|_| EventError::bad_format());
    }
    let user: User<'_> = wire::object(body)?;
    Name::parse(wire::required(&user.user)?).map_err(|_| EventError::bad_format())
}

/// Does something to a user, if the rules let the caller, and writes it down.
async fn manage(app: &App, caller: &Caller, user: &Name, action: &str, effect: Effect) -> Result<(), EventError> {
    let item = item_of(user);
    let deed = Deed { by: &caller.subject, item: &item, action, payload: NOTHING };
    let (_, submission) = deed.submission(&*app.env, Weight { is_ruling: false, effect: Some(effect) });
    submit(app, caller, submission, |rulebook, _| may_manage(caller, rulebook, user, action)).await?;
    Ok(())
}

/// Rules name the user himself, not his item. Whoever stands above the rules is not for those below them.
fn may_manage(caller: &Caller, rulebook: &Rulebook, user: &Name, action: &str) -> Result<(), EventError> {
    let is_above = user.as_str().starts_with('.') && !caller.is_root();
    if is_above || !caller.may(rulebook, user.as_str(), action) { Err(EventError::forbidden()) } else { Ok(()) }
}

async fn exchange_token(State(app): State<Arc<App>>, request: Request) -> Result<Response, EventError> {
    exchange(&app, request, bad_setup_token).await
}

/// The generation before answered otherwise where a token was wrong.
async fn exchange_token_as_before(State(app): State<Arc<App>>, request: Request) -> Result<Response, EventError> {
    exchange(&app, request, || EventError::unauthorized("Unauthorized")).await
}

/// `POST /api/v1/user/exchangeToken`: a key for a setup token, which is used up by it.
async fn exchange(app: &App, request: Request, wrong: fn() -> EventError) -> Result<Response, EventError> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, default)]
        token: Text<'a>,
        #[serde(borrow, default)]
        description: Text<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Made<'a> {
        key_uuid: String,
        api_key: &'a str,
        user: &'a str,
        description: &'a str,
    }
    let address = address_of(&request);
    let body = wire::small_body(request.into_body()).await?;
    let Wanted { token, description } = wire::object(&body)?;
    let (token, description): (&str, &str) = (wire::required(&token)?, &description.0);
    if description.len() > DESCRIPTION_BYTES_MAX {
        return Err(EventError::bad_format());
    }
    let (identity, hash) = find(app, token, address, wrong).await?;
    let name = Name::parse(description).or_else(|_| Name::parse(KEY_NAME)).expect("a short word is a name");
    let (key_text, key) = app.participants.fresh_key(name)?;
    let admission = Admission { user: identity.user, credential: None, ends_at: None };
    let user = Caller { subject: identity.subject, via: Via::ApiKey, admission };
    let item = item_of(&user.subject);
    let deed = Deed { by: &user.subject, item: &item, action: EXCHANGE_TOKEN, payload: NOTHING };
    let weight = Weight { is_ruling: false, effect: Some(Effect::UseSetupToken { token: hash, key }) };
    // The key bears the uuid of the event that tells of it.
    let (key_uuid, submission) = deed.submission(&*app.env, weight);
    let submitted = submit(app, &user, submission, |_, _| Ok(())).await;
    submitted.map_err(|refused| if refused.error.is_clients() { wrong() } else { refused.error })?;
    let (api_key, user) = (key_text.reveal(), user.subject.as_str());
    Ok(wire::answer(StatusCode::OK, &Made { key_uuid: key_uuid.to_string(), api_key, user, description }))
}

/// Whose a setup token is.
async fn find(
    app: &App,
    token: &str,
    address: IpAddr,
    wrong: fn() -> EventError,
) -> Result<(tombolo_service::Identity, tombolo_service::SecretHash), EventError> {
    match app.participants.setup_token(token, address).await? {
        SetupTokenFound::For(identity, hash) => Ok((identity, hash)),
        SetupTokenFound::None => Err(wrong()),
        SetupTokenFound::Limited { retry_after } => {
            app.metrics.limited(LimitClass::Auth);
            Err(EventError::too_many("Too many wrong setup tokens: wait a minute", retry_after))
        }
    }
}
