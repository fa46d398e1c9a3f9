//! The log as it grows, as server-sent events, and the tickets that let a page read it that can send no headers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::{Cursor, ServerTime};
use tombolo_service::{Entry, EventStream, EventsOpened, Form, ServiceError, StreamFrom};

use super::caller::Caller;
use super::error::EventError;
use super::gate::{guarded, identify};
use super::query::{self, After, unknown};
use super::shapes::only;
use super::{normal, wire};
use crate::client_address::ClientAddress;
use crate::live::{PING_EVERY, Source};
use crate::metrics::LimitClass;
use crate::{App, live, observe};

/// How long a reader waits before it connects again: long enough for a server that starts anew.
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/events/stream", only(get(stream), "GET, OPTIONS"))
        .route("/api/v1/events/ticket", only(guarded(post(ticket), app), "POST, OPTIONS"))
}

/// `POST /api/v1/events/ticket`: what stands in for a credential in the query of a stream, once and soon.
async fn ticket(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, EventError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Given<'a> {
        ticket: &'a str,
        expires_at: String,
    }
    let given = app.participants.give_ticket(caller.admission, caller.form()).await?;
    Ok(wire::answer(StatusCode::OK, &Given { ticket: given.text.reveal(), expires_at: given.expires_at.to_string() }))
}

/// `GET /api/v1/events/stream`: one event of the stream for each of the log, with the cursor behind it as its id.
async fn stream(
    State(app): State<Arc<App>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, EventError> {
    let query = uri.query().unwrap_or_default();
    let from = from(&headers, query);
    let (admission, form) = match query::value(query, "ticket") {
        Some(ticket) => {
            // It is used once: not for what opens no stream.
            from.as_ref().map_err(Clone::clone)?;
            let spent = || EventError::unauthorized("Invalid or expired ticket");
            app.participants.use_ticket(&ticket).await?.ok_or_else(spent)?
        }
        None => {
            let caller = identify(&app, &headers, uri.path(), address).await?;
            (caller.admission, caller.form())
        }
    };
    observe::note_user(admission.user);
    let stream = match app.events.stream(admission, from?).await? {
        EventsOpened::Stream(stream) => stream,
        EventsOpened::UnknownCursor => return Err(unknown()),
        EventsOpened::TooMany => {
            app.metrics.limited(LimitClass::Stream);
            return Err(EventError::too_many("Too many event streams are open: close one", PING_EVERY));
        }
    };
    // Something at once, so that its reader knows that it is open.
    let first = vec![Event::default().comment("open").retry(RETRY)];
    Ok(live::answer(&app, first, Log { stream, form }))
}

/// What the reader has: the id of the last event that it was given, which its browser sends by itself when it connects
/// again, or else what the query says.
fn from(headers: &HeaderMap, query: &str) -> Result<StreamFrom, EventError> {
    let after = match headers.get("last-event-id").filter(|value| !value.is_empty()) {
        Some(value) => Some(After::parse(value.to_str().unwrap_or("."))?),
        None => After::of(query)?,
    };
    Ok(match after {
        None => StreamFrom::Now,
        Some(After::Beginning) => StreamFrom::Beginning,
        Some(After::Cursor(cursor)) => StreamFrom::Cursor(cursor),
    })
}

struct Log {
    stream: Box<EventStream>,
    form: Form,
}

impl Source for Log {
    async fn next(&mut self) -> Result<Option<Vec<Event>>, ServiceError> {
        let entries = self.stream.next().await?;
        Ok(entries.map(|entries| entries.iter().map(|(cursor, entry)| event(*cursor, entry, self.form)).collect()))
    }

    fn ends_at(&self) -> Option<ServerTime> {
        self.stream.ends_at()
    }
}

/// It has no name, so that a page's `onmessage` is told of it.
fn event(cursor: Cursor, entry: &Entry, form: Form) -> Event {
    let mut data = Vec::with_capacity(entry.payload.len() + 8);
    normal::write(&entry.payload, form, &mut data);
    // What is stored is JSON, which holds no line break, so neither can fail.
    Event::default().id(cursor.to_string()).data(String::from_utf8_lossy(&data))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_reader_has() {
        let cursor = |n: u64| Cursor::parse(&format!("{}.{n}", "a7".repeat(16))).unwrap();
        let read = |header: &str, query: &str| {
            from(
                &HeaderMap::from_iter([("last-event-id".parse().unwrap(), HeaderValue::try_from(header).unwrap())]),
                query,
            )
        };
        assert_eq!(from(&HeaderMap::new(), ""), Ok(StreamFrom::Now));
        assert_eq!(read("", "after="), Ok(StreamFrom::Beginning));
        assert_eq!(read("", &format!("after={}", cursor(1))), Ok(StreamFrom::Cursor(cursor(1))));
        assert_eq!(read(&cursor(2).to_string(), &format!("after={}", cursor(1))), Ok(StreamFrom::Cursor(cursor(2))));
        assert_eq!(read("7", ""), Err(unknown()));
        assert_eq!(read("é", ""), Err(unknown()));
    }
}
