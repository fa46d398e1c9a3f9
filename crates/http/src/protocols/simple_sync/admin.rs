//! Users of the first generation over HTTP: `.root` makes and changes them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use tombolo_core::{Name, Purpose, Secret};
use tombolo_service::{Effect, IdentityChange, IdentityChanged, NewIdentity, PasswordUnfit, Username, Weight};

use super::audit::{Deed, NOTHING, item_of};
use super::caller::Caller;
use super::error::EventError;
use super::gate::guarded;
use super::limits::USERNAME_CHARS;
use super::push::CREATE_USER;
use super::shapes::only;
use super::submit::submit;
use super::wire;
use crate::App;
use crate::json::Text;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let users = || only(guarded(post(create), app), "POST, OPTIONS");
    let user = || only(guarded(put(change), app), "PUT, OPTIONS");
    Router::new()
        .route("/admin/users", users())
        .route("/admin/users/{uuid}", user())
        .route("/api/v1/admin/users", users())
        .route("/api/v1/admin/users/{uuid}", user())
}

/// `POST /admin/users`: a user with a password, known from then on by the id that he is given.
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, EventError> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, default)]
        uuid: Text<'a>,
        #[serde(borrow, default)]
        username: Text<'a>,
        #[serde(borrow, default)]
        password: Text<'a>,
    }
    #[derive(Serialize)]
    struct Created<'a> {
        uuid: &'a str,
    }
    let body = wire::small_body(body).await;
    only_root(&caller)?;
    let body = body?;
    let Wanted { uuid, username, password } = wire::object(&body)?;
    let subject = Name::parse(&uuid.0).ok().filter(|name| !name.as_str().starts_with('.'));
    let subject = subject.ok_or_else(EventError::bad_format)?;
    let (username, password) = (self::username(&username.0)?, self::password(&password.0)?);
    let new = NewIdentity {
        purpose: Purpose::SimpleSync,
        subject: subject.clone(),
        username: Username::Named(username),
        password: Some(app.participants.hash(password).await?),
    };
    let item = item_of(&subject);
    let deed = Deed { by: &caller.subject, item: &item, action: CREATE_USER, payload: NOTHING };
    let weight = Weight { is_ruling: false, effect: Some(Effect::AddIdentity(new)) };
    let (_, submission) = deed.submission(&*app.env, weight);
    submit(&app, &caller, submission, |_, _| Ok(())).await?;
    Ok(wire::answer(StatusCode::CREATED, &Created { uuid: subject.as_str() }))
}

/// `PUT /admin/users/{uuid}`: another username, another password, or both. What he is known by stays.
async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    body: Body,
) -> Result<Response, EventError> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, default)]
        new_username: Text<'a>,
        #[serde(borrow, default)]
        new_password: Text<'a>,
    }
    let body = wire::small_body(body).await;
    only_root(&caller)?;
    let body = body?;
    let Wanted { new_username, new_password } = wire::object(&body)?;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (username, password) = (given(&new_username.0), given(&new_password.0));
    if username.is_none() && password.is_none() {
        return Err(EventError::bad_format());
    }
    let username = username.map(|text| self::username(&text)).transpose()?;
    let password = password.map(|text| self::password(&text)).transpose()?;
    let unknown = || EventError::new(StatusCode::NOT_FOUND, "User not found");
    let subject = params.ok().and_then(|params| subject_of(&params)).ok_or_else(unknown)?;
    let identity = app.participants.known(&subject).await?.ok_or_else(unknown)?;
    let password = match password {
        Some(password) => Some(app.participants.hash(password).await?),
        None => None,
    };
    match app.participants.change(identity.user, IdentityChange { username, password }).await? {
        IdentityChanged::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        IdentityChanged::Unknown => Err(unknown()),
        IdentityChanged::UsernameTaken => Err(EventError::conflict("Username already exists")),
    }
}

/// Whom a path names.
fn subject_of(params: &RawPathParams) -> Option<Name> {
    params.iter().find_map(|(_, text)| Name::parse(text).ok())
}

fn only_root(caller: &Caller) -> Result<(), EventError> {
    if caller.is_root() { Ok(()) } else { Err(EventError::forbidden()) }
}

fn username(text: &str) -> Result<Name, EventError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_one = is_plain && USERNAME_CHARS.contains(&text.len());
    is_one.then(|| Name::parse(text).ok()).flatten().ok_or_else(EventError::bad_format)
}

fn password(text: &str) -> Result<Secret, EventError> {
    let password = Secret::new(text.to_owned());
    PasswordUnfit::check(&password).map(|()| password).map_err(|_| EventError::bad_format())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_username_and_what_a_password() {
        let check = |text: &str, is_one: bool| assert_eq!(username(text).is_ok(), is_one, "{text}");
        check("ann", true);
        check("A_n-9", true);
        check(&"x".repeat(50), true);
        for text in ["", "an", "an.n", "ann ", ".root", "änn", &"x".repeat(51)] {
            check(text, false);
        }
        assert!(password("1").is_ok() && password(&"x".repeat(1_024)).is_ok());
        assert!(password("").is_err() && password(&"x".repeat(1_025)).is_err());
    }
}
