//! What every request passes that needs a key: whose is it?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tombolo_core::Purpose;
use tombolo_service::{Access, Caller, Denial};

use super::error::SyncError;
use super::limits::UPLOAD_BYTES_MAX;
use crate::body::drain;
use crate::client_address::ClientAddress;
use crate::credentials::bearer;
use crate::metrics::LimitClass;
use crate::{App, NO_ADDRESS, observe};

/// Lets only those through to `methods` who bring a good key; handlers find who it is as an
/// [`Extension`](axum::Extension) of [`Caller`]. Other methods are answered as before.
pub(super) fn guarded(methods: MethodRouter<Arc<App>>, app: &Arc<App>) -> MethodRouter<Arc<App>> {
    methods.route_layer(from_fn_with_state(Arc::clone(app), guard))
}

async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match authenticate(&app, request.headers(), address_of(&request)).await {
        Ok(caller) => {
            observe::note_user(caller.user);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            // As much as an upload may have, so that its client gets to read the answer instead of a broken connection.
            drain(request.into_body(), UPLOAD_BYTES_MAX).await;
            error.into_response()
        }
    }
}

async fn authenticate(app: &App, headers: &HeaderMap, address: IpAddr) -> Result<Caller, SyncError> {
    let key = presented(headers).ok_or_else(SyncError::no_key)?;
    match app.keyring.authenticate(key, Purpose::Wellbeing, address).await? {
        Access::Granted(caller) => Ok(caller),
        Access::Refused(denial) => {
            if matches!(denial, Denial::Limited { .. }) {
                app.metrics.limited(LimitClass::WrongKey);
            }
            Err(SyncError::denied(denial))
        }
    }
}

/// The key that a request brings along: `X-API-Key` counts before `Authorization`, as in the other protocols that know
/// both.
fn presented(headers: &HeaderMap) -> Option<&str> {
    match headers.get("x-api-key").filter(|key| !key.is_empty()) {
        // What is no text is no key of ours.
        Some(key) => Some(key.to_str().unwrap_or_default()),
        None => bearer(headers),
    }
}

fn address_of(request: &Request) -> IpAddr {
    request.extensions().get::<ClientAddress>().map_or(NO_ADDRESS, |ClientAddress(address)| *address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_key_stands() {
        let check = |sent: &[(&'static str, &[u8])], expected: Option<&str>| {
            let header = |(name, value): &(&'static str, &[u8])| {
                (axum::http::HeaderName::from_static(name), axum::http::HeaderValue::from_bytes(value).unwrap())
            };
            assert_eq!(presented(&sent.iter().map(header).collect()), expected, "{sent:?}");
        };
        check(&[], None);
        check(&[("authorization", b"Bearer wb_a")], Some("wb_a"));
        check(&[("authorization", b"Basic wb_a")], None);
        check(&[("x-api-key", b"wb_a"), ("authorization", b"Bearer wb_b")], Some("wb_a"));
        check(&[("x-api-key", b""), ("authorization", b"bearer wb_b")], Some("wb_b"));
        check(&[("x-api-key", b"\xff")], Some(""));
    }
}
