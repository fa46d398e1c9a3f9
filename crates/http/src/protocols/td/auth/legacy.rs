//! `/v1/auth/login/*`: a device shows a code, which its user types into a page. td up to 0.48.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tombolo_service::Polled;

use super::{EXPIRES_IN_S, POLL_INTERVAL_S, device_key, note_poll, wire};
use crate::App;
use crate::metrics::SignInStep;
use crate::protocols::td::error::TdError;

/// The longest name of a host that DNS knows, and a port.
const HOST_BYTES_MAX: usize = 260;

#[derive(Deserialize)]
struct Start {
    email: Option<String>,
}

#[derive(Deserialize)]
struct Poll {
    device_code: Option<String>,
}

/// `POST /v1/auth/login/start`: the same answer for every address.
pub(super) async fn start(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, TdError> {
    let Start { email } = wire::read_json(body).await?;
    let email = wire::email(email.as_deref())?;
    let started = app.admissions.start_code(email).await.map_err(|error| TdError::failed(&error))?;
    app.metrics.sign_in(SignInStep::Begun);
    Ok(wire::answer(&json!({
        "device_code": started.device_code.reveal(),
        "user_code": started.user_code.as_str(),
        "verification_uri": format!("{}/auth/verify", base_url(&app, &headers)),
        "expires_in": EXPIRES_IN_S,
        "interval": POLL_INTERVAL_S,
    })))
}

/// Where the device that asks reaches the server: where its owner says, or else where it just did. What it says of that
/// comes back to itself only, and goes into no mail.
fn base_url(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_host = |host: &&str| {
        (1..=HOST_BYTES_MAX).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    match (&app.options.public_url, host.filter(is_host)) {
        (None, Some(host)) => format!("http://{host}"),
        _ => app.admissions.base_url().to_owned(),
    }
}

/// `POST /v1/auth/login/poll`
pub(super) async fn poll(State(app): State<Arc<App>>, body: Body) -> Result<Response, TdError> {
    let Poll { device_code } = wire::read_json(body).await?;
    let device_code = wire::required("device_code", device_code.as_deref())?;
    let polled = app.admissions.poll_code(device_code, &device_key()).await.map_err(|error| TdError::failed(&error))?;
    note_poll(&app, &polled);
    let gone = |code, message: &str| Err(TdError::new(StatusCode::GONE, code, message));
    match polled {
        Polled::Waiting => Ok(wire::pending()),
        Polled::Key(key) => Ok(wire::complete(&key)),
        Polled::Expired => gone("expired", "this sign-in ended: run 'td auth login' again"),
        Polled::Used => gone("already_used", "this sign-in was used already: run 'td auth login' again"),
        Polled::Unknown | Polled::WrongVerifier => {
            Err(TdError::not_found("no sign-in has this device_code: run 'td auth login' again"))
        }
    }
}
