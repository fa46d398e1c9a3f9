//! `/v1/auth/device/*`: a device keeps a verifier (PKCE), and its user is mailed a link. td since 0.49.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tombolo_service::Polled;

use super::{EXPIRES_IN_S, POLL_INTERVAL_S, device_key, note_poll, wire};
use crate::App;
use crate::metrics::SignInStep;
use crate::protocols::td::error::TdError;

#[derive(Deserialize)]
struct Start {
    email: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    device_name: Option<String>,
}

#[derive(Deserialize)]
struct Poll {
    device_code: Option<String>,
    code_verifier: Option<String>,
}

/// `POST /v1/auth/device/start`: the same answer for every address, and before any mail is sent.
pub(super) async fn start(State(app): State<Arc<App>>, body: Body) -> Result<Response, TdError> {
    let Start { email, code_challenge, code_challenge_method, device_name } = wire::read_json(body).await?;
    let email = wire::email(email.as_deref())?;
    let challenge = wire::challenge(code_challenge.as_deref(), code_challenge_method.as_deref())?;
    let device_name = device_name.unwrap_or_default();
    let started = app.admissions.start_verifier(email, challenge, &device_name).await;
    let device_code = started.map_err(|error| TdError::failed(&error))?;
    app.metrics.sign_in(SignInStep::Begun);
    Ok(wire::answer(&json!({
        "device_code": device_code.reveal(),
        "expires_in": EXPIRES_IN_S,
        "interval": POLL_INTERVAL_S,
        "email_sent": true,
    })))
}

/// `POST /v1/auth/device/poll`: a code that nobody has waits as one that nobody approved does.
pub(super) async fn poll(State(app): State<Arc<App>>, body: Body) -> Result<Response, TdError> {
    let Poll { device_code, code_verifier } = wire::read_json(body).await?;
    let device_code = wire::required("device_code", device_code.as_deref())?;
    let verifier = wire::verifier(code_verifier.as_deref())?;
    let polled = app.admissions.poll_verifier(device_code, verifier, &device_key()).await;
    let polled = polled.map_err(|error| TdError::failed(&error))?;
    note_poll(&app, &polled);
    match polled {
        Polled::Waiting | Polled::Unknown => Ok(wire::pending()),
        Polled::Key(key) => Ok(wire::complete(&key)),
        Polled::WrongVerifier => {
            let message = "code_verifier is not the one that this sign-in began with";
            Err(TdError::new(StatusCode::UNAUTHORIZED, "invalid_verifier", message))
        }
        Polled::Expired | Polled::Used => {
            let message = "this sign-in ended, or was used already: run 'td auth login' again";
            Err(TdError::new(StatusCode::GONE, "expired", message))
        }
    }
}
