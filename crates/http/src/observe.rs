//! One log line and one count a request: ids, route, status and duration; never a payload, a token or a text that a
//! client chose.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tombolo_core::UserId;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use crate::App;
use crate::metrics::{Route, method_name};
use crate::request_id::RequestId;

/// Runs a request inside a span that names it, and says and counts how it was answered.
pub(crate) async fn observed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began_at = app.env.now();
    let id = request.extensions().get::<RequestId>().map(RequestId::as_str).unwrap_or_default();
    let route = Route::new(request.extensions().get::<MatchedPath>().cloned());
    let method = method_name(request.method());
    let span =
        tracing::info_span!("request", id, method = %method, route = route.as_str(), user = Empty, project = Empty);
    let response = next.run(request).instrument(span.clone()).await;
    let took = app.env.now().since(began_at);
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(status = response.status().as_u16(), duration_us, "answered"));
    app.metrics.answered(method, route, response.status(), took);
    response
}

/// Notes in the request's line whose it is, in the form in which td's clients see users.
pub(crate) fn note_user(user: UserId) {
    Span::current().record("user", display(user.public()));
}

/// Notes in the request's line which project it is about: an id that was read as one, never the text that came.
pub(crate) fn note_project(id: &str) {
    Span::current().record("project", display(id));
}
