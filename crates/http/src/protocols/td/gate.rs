//! What every request passes: who is it, and is it one too many.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tombolo_core::{ProjectId, Purpose, limits};
use tombolo_service::{Access, Caller, Counted, Denial};
pub(super) use tombolo_service::{AddressClass, KeyClass as Class};

use super::error::TdError;
use super::limits::BODY_BYTES_MAX;
use super::timestamp::seconds;
use crate::body::drain;
use crate::client_address::ClientAddress;
use crate::credentials::bearer;
use crate::failure::retry_after;
use crate::metrics::LimitClass;
use crate::{App, NO_ADDRESS, observe};

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const X_KEY_EXPIRES_AT: HeaderName = HeaderName::from_static("x-key-expires-at");

/// Lets only those through to `routes` who bring a good key, and not too often; handlers find who it is as an
/// [`Extension`](axum::Extension) of [`tombolo_service::Caller`].
pub(super) fn guarded(routes: Router<Arc<App>>, app: &Arc<App>, class: Class) -> Router<Arc<App>> {
    routes.layer(from_fn_with_state((Arc::clone(app), class), guard))
}

/// Lets an address through to `routes` that need no key, as often as its class is let.
pub(super) fn limited_by_address(routes: Router<Arc<App>>, app: &Arc<App>, class: AddressClass) -> Router<Arc<App>> {
    routes.layer(from_fn_with_state((Arc::clone(app), class), count_address))
}

async fn guard(
    State((app, class)): State<(Arc<App>, Class)>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match authenticate(&app, request.headers(), address_of(&request)).await {
        Ok(caller) => caller,
        Err(error) => return refuse(error, request).await,
    };
    observe::note_user(caller.user);
    if let Some(project) = params.ok().and_then(|params| project_of(&params)) {
        observe::note_project(&project);
    }
    let counted = app.rate_limits.count_key(class, caller.credential);
    let mut response = match too_many(counted, "of this key") {
        Some(error) => {
            app.metrics.limited(limit_of(class));
            refuse(error, request).await
        }
        None => {
            if class == Class::Pull {
                app.metrics.asked_for_news();
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    say_standing(response.headers_mut(), counted);
    if let Some(at) = caller.expires_at.filter(|at| at.since(app.env.now()) <= limits::KEY_NOTICE) {
        response.headers_mut().extend(HeaderValue::try_from(seconds(at)).map(|at| (X_KEY_EXPIRES_AT, at)));
    }
    response
}

async fn count_address(State((app, class)): State<(Arc<App>, AddressClass)>, request: Request, next: Next) -> Response {
    let counted = app.rate_limits.count_address(class, address_of(&request));
    let mut response = match too_many(counted, "from this address") {
        Some(error) => {
            app.metrics.limited(match class {
                AddressClass::SignIn => LimitClass::Auth,
                AddressClass::Poll => LimitClass::Poll,
            });
            refuse(error, request).await
        }
        None => next.run(request).await,
    };
    say_standing(response.headers_mut(), counted);
    response
}

async fn authenticate(app: &App, headers: &HeaderMap, address: IpAddr) -> Result<Caller, TdError> {
    let Some(key) = bearer(headers) else {
        return Err(TdError::unauthorized(
            "missing or invalid authorization header: send 'Authorization: Bearer td_live_…'; 'td auth login' gets a key",
        ));
    };
    match app.keyring.authenticate(key, Purpose::Td, address).await {
        Ok(Access::Granted(caller)) => Ok(caller),
        Ok(Access::Refused(denial)) => {
            if matches!(denial, Denial::Limited { .. }) {
                app.metrics.limited(LimitClass::WrongKey);
            }
            Err(TdError::denied(denial))
        }
        Err(error) => Err(TdError::failed(&error)),
    }
}

fn address_of(request: &Request) -> IpAddr {
    request.extensions().get::<ClientAddress>().map_or(NO_ADDRESS, |ClientAddress(address)| *address)
}

/// The project that a path names, written anew.
fn project_of(params: &RawPathParams) -> Option<String> {
    params.iter().find_map(|(_, text)| ProjectId::parse_public(text)).map(ProjectId::public)
}

async fn refuse(error: TdError, request: Request) -> Response {
    // As much as a push may have, so that its client gets to read the answer instead of a broken connection.
    drain(request.into_body(), BODY_BYTES_MAX).await;
    error.into_response()
}

fn too_many(counted: Option<Counted>, whose: &str) -> Option<TdError> {
    let Counted { limit, reset, .. } = counted.filter(|counted| counted.is_over)?;
    let wait = retry_after(reset);
    let message = format!("rate limit exceeded: {limit} a minute {whose}; try again in {wait} s");
    Some(TdError::too_many(message, reset))
}

const fn limit_of(class: Class) -> LimitClass {
    match class {
        Class::Push => LimitClass::Push,
        Class::Pull => LimitClass::Pull,
        Class::Other => LimitClass::Other,
    }
}

fn say_standing(headers: &mut HeaderMap, counted: Option<Counted>) {
    let Some(Counted { limit, remaining, reset, .. }) = counted else { return };
    headers.insert(RATE_LIMIT_LIMIT, HeaderValue::from(limit));
    headers.insert(RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
    headers.insert(RATE_LIMIT_RESET, HeaderValue::from(retry_after(reset)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_standing_is_whole_seconds_and_one_over_is_told_to_wait_as_long() {
        let counted = Counted { limit: 60, remaining: 0, reset: Duration::from_millis(1_001), is_over: true };
        let mut response = too_many(Some(counted), "of this key").unwrap().into_response();
        say_standing(response.headers_mut(), Some(counted));
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(response.status().as_u16(), 429);
        assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), ("60".to_owned(), "0".to_owned()));
        assert_eq!((header("ratelimit-reset"), header("retry-after")), ("2".to_owned(), "2".to_owned()));
        assert!(too_many(Some(Counted { is_over: false, ..counted }), "").is_none());
        assert!(too_many(None, "").is_none());
    }
}
