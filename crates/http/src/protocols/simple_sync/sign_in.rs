//! Signing in with a password, as the first generation does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tombolo_core::Secret;
use tombolo_service::{Identity, ROOT, SignedIn};

use super::error::EventError;
use super::gate::{address_of, session_secret};
use super::jwt::{self, Claims};
use super::limits::SESSION_SPAN;
use super::shapes::only;
use super::wire;
use crate::App;
use crate::json::Text;
use crate::metrics::LimitClass;

pub(super) fn routes() -> Router<Arc<App>> {
    let token = || only(post(token), "POST, OPTIONS");
    Router::new().route("/auth/token", token()).route("/api/v1/auth/token", token())
}

/// `POST /auth/token`: a session for a username and a password.
async fn token(State(app): State<Arc<App>>, request: Request) -> Result<Response, EventError> {
    #[derive(Deserialize)]
    struct Credentials<'a> {
        #[serde(borrow, default)]
        username: Text<'a>,
        #[serde(borrow, default)]
        password: Text<'a>,
    }
    #[derive(Serialize)]
    struct Session {
        token: String,
    }
    let address = address_of(&request);
    let body = wire::small_body(request.into_body()).await?;
    let Credentials { username, password } = wire::object(&body)?;
    let (username, password) = (wire::required(&username)?, wire::required(&password)?);
    let identity = match app.participants.sign_in(username, Secret::new(password.to_owned()), address).await? {
        SignedIn::As(identity) => identity,
        SignedIn::Wrong => return Err(EventError::unauthorized("Invalid username or password")),
        SignedIn::Limited { retry_after } => {
            app.metrics.limited(LimitClass::Auth);
            return Err(EventError::too_many("Too many wrong passwords: wait a minute", retry_after));
        }
    };
    let token = jwt::sign(&claims(&app, identity, username), &session_secret(&app).await?);
    Ok(wire::answer(StatusCode::OK, &Session { token }))
}

fn claims(app: &App, identity: Identity, username: &str) -> Claims {
    let iat = app.env.now().micros() / 1_000_000;
    let (username, subject) = (username.to_owned(), identity.subject);
    Claims {
        user_uuid: subject.to_string(),
        username,
        iat,
        exp: iat + jwt::seconds(SESSION_SPAN),
        is_admin: subject.as_str() == ROOT,
    }
}
