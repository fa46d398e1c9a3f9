//! All routes, and what every request passes through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::client_address::{ClientAddress, OverTls, client_address, is_over_tls};
use crate::compression::compression;
use crate::cors::cors;
use crate::problem::Problem;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::{App, NO_ADDRESS, health, observe, openapi, path, protocols};

/// The longest that a request may take, its body included. The desktop gives up after 30 seconds, the phone never.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Puts all routes together. The requests need axum's `ConnectInfo<SocketAddr>`.
pub fn router(app: Arc<App>) -> Router {
    let routes = routes(&app).with_state(Arc::clone(&app));
    // Paths are brought into one form before they are matched, so this goes around the router, not into it.
    let outer = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::clone(&app), prepare))
        .layer(from_fn_with_state(app, cors))
        .service(routes);
    Router::new().fallback_service(outer)
}

/// The routes that are served, without what brings paths into their form and answers preflights.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let mut routes = health::routes().merge(openapi::routes());
    if app.options.tickit {
        routes = routes.merge(protocols::tickit::routes());
    }
    let inner = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::clone(app), observe::observed))
        .layer(CatchPanicLayer::custom(|_panic| panicked()))
        .layer(compression())
        .layer(HandleErrorLayer::new(took_too_long))
        .layer(TimeoutLayer::new(REQUEST_TIMEOUT))
        .layer(RequestDecompressionLayer::new())
        .map_request(|request: Request<_>| request.map(Body::new));
    let mut routes = routes.fallback(not_found).layer(inner.clone());
    if app.options.td {
        // Around everything else, which knows no protocol.
        let td = protocols::td::routes(app).layer(inner.clone()).layer(from_fn(protocols::td::in_own_shape));
        routes = routes.merge(td);
    }
    if app.options.simple_sync {
        let own_shape = from_fn(protocols::simple_sync::in_own_shape);
        routes = routes.merge(protocols::simple_sync::routes(app).layer(inner.clone()).layer(own_shape));
    }
    if app.options.rooms {
        let own_shape = from_fn(protocols::rooms::in_own_shape);
        routes = routes.merge(protocols::rooms::routes(app).layer(inner.clone()).layer(own_shape));
    }
    if app.options.wellbeing {
        let own_shape = from_fn(protocols::wellbeing::in_own_shape);
        routes = routes.merge(protocols::wellbeing::routes(app).layer(inner).layer(own_shape));
    }
    routes
}

/// Gives the request its id, its client's address and its path, and the response the id.
async fn prepare(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::fresh(&*app.env);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(NO_ADDRESS, |ConnectInfo(peer)| peer.ip());
    let address = client_address(peer, request.headers(), &app.options.trusted_proxies);
    request.extensions_mut().insert(ClientAddress(address));
    if is_over_tls(peer, request.headers(), &app.options.trusted_proxies) {
        request.extensions_mut().insert(OverTls);
    }
    request.extensions_mut().insert(id.clone());
    if let Some(uri) = path::normalise(request.uri(), app.options.path_prefix.as_deref()) {
        *request.uri_mut() = uri;
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    response
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}

async fn took_too_long(_: BoxError) -> Response {
    let detail = "The server did not get to it in time: try again in a moment";
    let retry_after = Some(2);
    Problem { status: StatusCode::SERVICE_UNAVAILABLE, code: "timeout", detail, retry_after }.into_response()
}

fn panicked() -> Response {
    let detail = "The server met a bug; its log says more under this request's id";
    tracing::error!("a handler panicked");
    Problem { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", detail, retry_after: None }.into_response()
}
