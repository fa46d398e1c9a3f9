//! What every request passes that needs a credential: whose is it?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tombolo_core::{Name, Purpose, Secret};
use tombolo_service::{Access, Admission, Denial, ServiceError};

use super::caller::{BAD_KEY, BAD_SESSION, Caller, Via};
use super::error::EventError;
use super::jwt;
use super::limits::PUSH_BYTES_MAX;
use crate::body::drain;
use crate::client_address::ClientAddress;
use crate::metrics::LimitClass;
use crate::{App, NO_ADDRESS, observe};

/// How a key begins, which tells it from a session.
const KEY_MARK: &str = Purpose::SimpleSync.token_mark();

/// Lets only those through to `methods` who bring a good credential; handlers find who it is as an
/// [`Extension`](axum::Extension) of [`Caller`]. Other methods are answered as before.
pub(super) fn guarded(methods: MethodRouter<Arc<App>>, app: &Arc<App>) -> MethodRouter<Arc<App>> {
    methods.route_layer(from_fn_with_state(Arc::clone(app), guard))
}

async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers(), request.uri().path(), address_of(&request)).await {
        Ok(caller) => {
            observe::note_user(caller.user());
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            // As much as a push may have, so that its client gets to read the answer instead of a broken connection.
            drain(request.into_body(), PUSH_BYTES_MAX).await;
            error.into_response()
        }
    }
}

/// Says who sends a request to `path`.
pub(super) async fn identify(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    address: IpAddr,
) -> Result<Caller, EventError> {
    match presented(headers) {
        Some(Presented::Key(key, via)) => by_key(app, key, via, address).await,
        Some(Presented::Session(text)) => by_session(app, text).await,
        None if path.starts_with("/api/") => Err(EventError::unauthorized("X-API-Key header required")),
        None => Err(EventError::unauthorized("Authorization header required")),
    }
}

pub(super) fn address_of(request: &Request) -> IpAddr {
    request.extensions().get::<ClientAddress>().map_or(NO_ADDRESS, |ClientAddress(address)| *address)
}

/// The secret that signs sessions: the configured one, or the server's own.
pub(super) async fn session_secret(app: &App) -> Result<Secret, ServiceError> {
    match &app.options.jwt_secret {
        Some(secret) => Ok(secret.clone()),
        None => app.participants.session_secret().await,
    }
}

/// What a request brings along.
#[derive(Debug, PartialEq, Eq)]
enum Presented<'h> {
    Key(&'h str, Via),
    Session(&'h str),
}

/// A key counts before `Authorization`, which is read as the original did: `Bearer` in this case, one space, and one
/// word; whatever else stands there is nothing.
fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    if let Some(key) = headers.get("x-api-key").filter(|key| !key.is_empty()) {
        // What is no text is no key of ours.
        return Some(Presented::Key(key.to_str().unwrap_or_default(), Via::ApiKey));
    }
    let (scheme, word) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme != "Bearer" || word.contains(' ') {
        return None;
    }
    Some(if word.starts_with(KEY_MARK) { Presented::Key(word, Via::BearerKey) } else { Presented::Session(word) })
}

async fn by_key(app: &App, key: &str, via: Via, address: IpAddr) -> Result<Caller, EventError> {
    let caller = match app.keyring.authenticate(key, Purpose::SimpleSync, address).await? {
        Access::Granted(caller) => caller,
        Access::Refused(Denial::Limited { retry_after }) => {
            app.metrics.limited(LimitClass::WrongKey);
            return Err(EventError::too_many(
                "Too many invalid API keys from this address: wait a minute",
                retry_after,
            ));
        }
        Access::Refused(_) => return Err(EventError::unauthorized(BAD_KEY)),
    };
    let admission = Admission { user: caller.user, credential: Some(caller.credential), ends_at: caller.expires_at };
    Ok(Caller { subject: app.participants.subject(caller.user).await?, via, admission })
}

/// A session holds no longer than whoever it is for is let in: he is looked up each time.
async fn by_session(app: &App, text: &str) -> Result<Caller, EventError> {
    let bad = || EventError::unauthorized(BAD_SESSION);
    let claims = jwt::verify(text, &session_secret(app).await?, app.env.now()).ok_or_else(bad)?;
    let subject = Name::parse(&claims.user_uuid).map_err(|_| bad())?;
    let identity = app.participants.known(&subject).await?.ok_or_else(bad)?;
    let admission = Admission { user: identity.user, credential: None, ends_at: Some(claims.ends_at()) };
    Ok(Caller { subject, via: Via::Session, admission })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn where_a_credential_stands() {
        let check = |lines: &[(&'static str, &[u8])], expected: Option<Presented<'_>>| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.insert(*name, HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(presented(&headers), expected, "{headers:?}");
        };
        let (key, session) = (Presented::Key("sk_a", Via::ApiKey), b"Bearer a.b.c".as_slice());
        check(&[], None);
        check(&[("x-api-key", b"sk_a")], Some(Presented::Key("sk_a", Via::ApiKey)));
        check(&[("x-api-key", b"sk_a"), ("authorization", session)], Some(key));
        check(&[("x-api-key", b""), ("authorization", session)], Some(Presented::Session("a.b.c")));
        check(&[("x-api-key", b"\xff")], Some(Presented::Key("", Via::ApiKey)));
        check(&[("authorization", b"Bearer sk_a")], Some(Presented::Key("sk_a", Via::BearerKey)));
        check(&[("authorization", b"Bearer ")], Some(Presented::Session("")));
        for value in ["bearer a.b.c", "BEARER sk_a", "Bearer", "Bearer  a.b.c", "Bearer a b", "Basic abc", "a.b.c", ""]
        {
            check(&[("authorization", value.as_bytes())], None);
        }
    }
}
