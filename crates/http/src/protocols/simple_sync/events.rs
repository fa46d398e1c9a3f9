//! The history over HTTP: read it, push to it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use tombolo_core::Purpose;
use tombolo_service::Appended;

use super::caller::Caller;
use super::error::EventError;
use super::gate::guarded;
use super::push::Push;
use super::query::{self, After};
use super::shapes::only;
use super::submit::submit;
use super::{history, wire};
use crate::App;
use crate::metrics::{Taken, Volume};

const METHODS: &str = "GET, HEAD, POST, OPTIONS";

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let events = || only(guarded(get(read).post(push), app), METHODS);
    Router::new().route("/events", events()).route("/api/v1/events", events())
}

/// `GET /events`: the whole history, or what came after a cursor.
async fn read(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, EventError> {
    let query = query.unwrap_or_default();
    if let Some(after) = After::of(&query)? {
        return history::news(&app, &caller, after).await;
    }
    let from = query::from_timestamp(&query, &caller, app.env.now())?;
    history::whole(&app, &caller, &headers, from).await
}

/// `POST /events`: all of it is stored, or nothing, and answered with the whole history, or what came after a cursor.
async fn push(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Response, EventError> {
    let body = wire::push_body(body).await?;
    let after = After::of(&query.unwrap_or_default())?;
    if let Some(After::Cursor(cursor)) = after {
        // Before anything is stored: a refused push is one that did not happen.
        if !app.events.knows(cursor).await? {
            return Err(query::unknown());
        }
    }
    history::has_seat(&app, &caller)?;
    store(&app, &caller, body).await?;
    match after {
        Some(after) => history::news(&app, &caller, after).await,
        None => {
            // The answer to a push is always there.
            headers.remove(axum::http::header::IF_NONE_MATCH);
            history::whole(&app, &caller, &headers, None).await
        }
    }
}

async fn store(app: &App, caller: &Caller, body: Vec<u8>) -> Result<(), EventError> {
    let wire = wire::events(&body)?;
    let mut push = Push::check(&wire, caller, app.env.now(), app.options.simple_sync_strict)?;
    let volume = Volume { events: push.count(), bytes: body.len() };
    if volume.events == 0 {
        return Ok(());
    }
    let submission = push.submission();
    let submitted = submit(app, caller, submission, |rulebook, n| push.judge(rulebook, n)).await;
    let appended = submitted.map_err(|refused| match refused.place {
        Some(place) => push.refused(place, refused.error),
        None => refused.error,
    })?;
    let accepted = appended.iter().filter(|one| matches!(one, Appended::New(_))).count();
    app.metrics.pushed(Purpose::SimpleSync, volume, Taken { accepted, refused: 0 });
    Ok(())
}
