//! `/v1/auth/web/*`: a page of its own is called back with what was mailed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tombolo_service::{Exchange, LinkToken, WebRefused, WebState};

use super::{EXPIRES_IN_S, PAGE_KEY_SPAN, key, wire};
use crate::App;
use crate::metrics::SignInStep;
use crate::protocols::td::error::TdError;

/// After how many seconds the page may offer to send another mail.
const RETRY_AFTER_S: u64 = 60;

#[derive(Deserialize)]
struct Start {
    email: Option<String>,
    redirect_uri: Option<String>,
    state: Option<String>,
}

#[derive(Deserialize)]
struct Bring {
    token: Option<String>,
    state: Option<String>,
}

/// `POST /v1/auth/web/start`: the same answer for every address, and before any mail is sent.
pub(super) async fn start(State(app): State<Arc<App>>, body: Body) -> Result<Response, TdError> {
    let Start { email, redirect_uri, state } = wire::read_json(body).await?;
    let email = wire::email(email.as_deref())?;
    let state = read_state(state.as_deref())?;
    let redirect_uri = redirect_uri.unwrap_or_default();
    let started = app.admissions.start_web(email, &redirect_uri, &state).await;
    match started.map_err(|error| TdError::failed(&error))? {
        Ok(()) => {}
        Err(WebRefused::Off) => {
            let message = "signing in with a browser is off here: the server's td.web_callback_url is not set";
            return Err(TdError::bad_request(message));
        }
        Err(WebRefused::OtherPage) => {
            return Err(TdError::bad_request("redirect_uri is not the page that this server calls back"));
        }
    }
    app.metrics.sign_in(SignInStep::Begun);
    Ok(wire::answer(&json!({
        "status": "email_sent_if_allowed", "expires_in": EXPIRES_IN_S, "retry_after": RETRY_AFTER_S
    })))
}

/// `POST /v1/auth/web/exchange`
pub(super) async fn exchange(State(app): State<Arc<App>>, body: Body) -> Result<Response, TdError> {
    let Bring { token, state } = wire::read_json(body).await?;
    let token = LinkToken::parse(wire::required("token", token.as_deref())?)
        .ok_or_else(|| TdError::bad_request("token is not one of this server's: open the link in the mail again"))?;
    let state = read_state(state.as_deref())?;
    let brought = app.admissions.exchange(&token, &state, &key("td-watch-web", PAGE_KEY_SPAN)).await;
    let refused = |code, message: &str| Err(TdError::new(StatusCode::UNAUTHORIZED, code, message));
    let brought = brought.map_err(|error| TdError::failed(&error))?;
    let is_good = matches!(brought, Exchange::Key(_));
    app.metrics.sign_in(if is_good { SignInStep::Completed } else { SignInStep::Refused });
    match brought {
        Exchange::Key(key) => Ok(wire::complete(&key)),
        Exchange::UnknownToken => refused("invalid_token", "no sign-in has this token: start again"),
        Exchange::NoAccount => refused("invalid_token", "this address may not sign in here: ask the server's owner"),
        Exchange::WrongState => refused("invalid_state", "this sign-in was started by another page: start again"),
        Exchange::Used => refused("token_replayed", "this link was used already: start again"),
        Exchange::Expired => refused("token_expired", "this link ended: start again"),
    }
}

fn read_state(text: Option<&str>) -> Result<WebState, TdError> {
    WebState::parse(text.unwrap_or_default()).map_err(|error| TdError::bad_request(error.to_string()))
}
