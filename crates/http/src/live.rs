//! Streams of server-sent events, for whoever stays connected: how they are kept open, and when they end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::sleep;
use tombolo_core::{Env, ServerTime};
use tombolo_service::ServiceError;

use crate::App;

/// How often something is said where nothing happens, so that proxies keep the connection, and a reader that is gone is
/// noticed.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(15);
/// How long it is waited at a time for the end of what let a reader in: the machine's clock may be set meanwhile.
const END_LOOK: Duration = Duration::from_secs(60);

/// Where a stream's events come from.
pub(crate) trait Source: Send + 'static {
    /// The next events, never none; `None` when the stream has ended. That what let the reader in ends is seen when this
    /// begins. May be dropped midway: nothing is lost by it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<Event>>, ServiceError>> + Send;

    /// When what let the reader in ends.
    fn ends_at(&self) -> Option<ServerTime>;
}

/// Answers with the events `first`, and then those of `source`.
pub(crate) fn answer(app: &App, first: Vec<Event>, source: impl Source) -> Response {
    let live = Live { source, waiting: first.into(), stopping: app.stopping.clone(), env: Arc::clone(&app.env) };
    let events = stream::unfold(live, |mut live| async move { Some((Ok::<_, Infallible>(live.next().await?), live)) });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(PING_EVERY).text("ping")).into_response();
    // Proxies that buffer would hold the events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Live<S> {
    source: S,
    waiting: VecDeque<Event>,
    stopping: watch::Receiver<bool>,
    env: Arc<dyn Env>,
}

impl<S: Source> Live<S> {
    /// The next event; `None` when the stream ends: the reader connects again, or is told then why it may not.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let left = self.source.ends_at().map_or(END_LOOK, |at| at.since(self.env.now()).min(END_LOOK));
            let events = tokio::select! {
                events = self.source.next() => events,
                // It sees by itself, and at once, that its reader is let in no more.
                () = sleep(left) => continue,
                _ = self.stopping.wait_for(|stop| *stop) => return None,
            };
            match events {
                Ok(events) => self.waiting.extend(events?),
                Err(error) => {
                    // The reader comes back with the id of what it has.
                    tracing::warn!(%error, "an event stream ends, since the log could not be read");
                    return None;
                }
            }
        }
    }
}
