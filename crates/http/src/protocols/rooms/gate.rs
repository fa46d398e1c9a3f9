//! What every request passes that reaches rooms: whose?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tombolo_core::Purpose;
use tombolo_service::{Access, Denial, Entrant, KeyClass};

use super::error::RoomError;
use super::limits::WISH_BYTES_MAX;
use crate::body::drain;
use crate::client_address::ClientAddress;
use crate::credentials::bearer;
use crate::metrics::LimitClass;
use crate::{App, NO_ADDRESS, observe};

/// Below it, a key's name is a folder with everything that it opens.
pub(super) const KEYS_PATH: &str = "/k/";

/// Lets only those through to `methods` who may reach rooms; handlers find whose as an [`Extension`] of [`Entrant`].
/// Other methods are answered as before.
pub(super) fn guarded(methods: MethodRouter<Arc<App>>, app: &Arc<App>) -> MethodRouter<Arc<App>> {
    methods.route_layer(from_fn_with_state(Arc::clone(app), guard))
}

/// Likewise, no more often than a key may be used in a minute. What all who share a key ask for every minute, and right
/// after the server started, is only guarded.
pub(super) fn counted(methods: MethodRouter<Arc<App>>, app: &Arc<App>) -> MethodRouter<Arc<App>> {
    guarded(methods.route_layer(from_fn_with_state(Arc::clone(app), count)), app)
}

/// The key that a path in its one form stands below, as it is spelt there: a key holds nothing that is escaped.
pub(super) fn key_in(path: &str) -> Option<&str> {
    path.strip_prefix(KEYS_PATH)?.split('/').next()
}

async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ClientAddress>().map_or(NO_ADDRESS, |ClientAddress(address)| *address);
    match admit(&app, request.uri().path(), request.headers(), address).await {
        Ok(entrant) => {
            observe::note_user(entrant.owner);
            request.extensions_mut().insert(entrant);
            next.run(request).await
        }
        Err(error) => refuse(error, request).await,
    }
}

async fn count(
    State(app): State<Arc<App>>,
    Extension(entrant): Extension<Entrant>,
    request: Request,
    next: Next,
) -> Response {
    let counted = entrant.credential.and_then(|key| app.rate_limits.count_key(KeyClass::Other, key));
    match counted.filter(|counted| counted.is_over) {
        Some(counted) => {
            app.metrics.limited(LimitClass::Other);
            let what = format!("This address may be asked {} times a minute", counted.limit);
            refuse(RoomError::too_many(&what, counted.reset), request).await
        }
        None => next.run(request).await,
    }
}

/// As much is read as a request may have, so that its client gets to read the answer instead of a broken connection.
async fn refuse(error: RoomError, request: Request) -> Response {
    drain(request.into_body(), WISH_BYTES_MAX).await;
    error.into_response()
}

/// Says whose rooms a request to `path` reaches.
async fn admit(app: &App, path: &str, headers: &HeaderMap, address: IpAddr) -> Result<Entrant, RoomError> {
    let key = match (key_in(path), app.options.rooms_open_to) {
        (Some(key), _) => key,
        (None, Some(owner)) => return Ok(Entrant { owner, credential: None, expires_at: None, address }),
        (None, None) => in_headers(headers).ok_or_else(|| {
            RoomError::unauthorized("Rooms are reached with a key: set the server's URL to https://…/k/<key>")
        })?,
    };
    match app.keyring.authenticate(key, Purpose::Rooms, address).await? {
        Access::Granted(caller) => Ok(Entrant {
            owner: caller.user,
            credential: Some(caller.credential),
            expires_at: caller.expires_at,
            address,
        }),
        Access::Refused(denial) => {
            if matches!(denial, Denial::Limited { .. }) {
                app.metrics.limited(LimitClass::WrongKey);
            }
            Err(denied(denial))
        }
    }
}

/// The key of a request that bears none in its path.
fn in_headers(headers: &HeaderMap) -> Option<&str> {
    match headers.get("x-api-key").filter(|key| !key.is_empty()) {
        // What is no text is no key of ours.
        Some(key) => Some(key.to_str().unwrap_or_default()),
        None => bearer(headers),
    }
}

fn denied(denial: Denial) -> RoomError {
    match denial {
        Denial::Unknown => RoomError::unauthorized(
            "The key in the server's URL opens nothing here: it is misspelt, or was revoked; ask for a new one",
        ),
        Denial::Limited { retry_after } => RoomError::too_many("Too many wrong keys from this address", retry_after),
        Denial::OtherPurpose { made_for } => RoomError::unauthorized(format!(
            "This key is for {made_for}; 'tombolo token --for rooms --name NAME' makes one for rooms"
        )),
        Denial::Expired { at } => {
            RoomError::unauthorized(format!("The key in the server's URL ended at {at}: ask for a new one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn where_a_key_stands() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(key_in(path), expected, "{path}");
        check("/k/rk_a", Some("rk_a"));
        check("/k/rk_a/api/rooms/ABCD", Some("rk_a"));
        check("/k/rk%5Fa/ws", Some("rk%5Fa"));
        check("/api/rooms/k/rk_a", None);
        check("/k", None);
        check("/kk/rk_a", None);
        let check = |lines: &[(&'static str, &[u8])], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.insert(*name, HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(in_headers(&headers), expected, "{headers:?}");
        };
        check(&[], None);
        check(&[("x-api-key", b"rk_a"), ("authorization", b"Bearer rk_b")], Some("rk_a"));
        check(&[("x-api-key", b""), ("authorization", b"bearer rk_b")], Some("rk_b"));
        check(&[("authorization", b"Basic rk_b")], None);
        check(&[("x-api-key", b"\xff")], Some(""));
    }
}
