//! What happens in a project, as server-sent events: for browsers that stay connected.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use tombolo_core::{Act, Seq, ServerTime};
use tombolo_service::{Caller, Entry, FEEDS_PER_KEY_MAX, Feed, Opened, ServiceError};

use super::error::TdError;
use super::gate::{self, Class};
use super::params::ProjectParam;
use super::shapes::only;
use crate::App;
use crate::live::{self, PING_EVERY, Source};
use crate::metrics::LimitClass;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Router::new().route("/v1/projects/{id}/events", only(get(events), "GET, HEAD, OPTIONS"));
    gate::guarded(routes, app, Class::Other)
}

/// `GET /v1/projects/{id}/events`: one event for each change, with its sequence number as its id.
async fn events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    headers: HeaderMap,
) -> Result<Response, TdError> {
    let after = project.or_refused(&app, caller, Act::Pull, last_event_id(&headers)).await?;
    let feed = match app.feeds.open(caller, project.id, after).await.map_err(|error| TdError::failed(&error))? {
        Opened::Feed(feed) => feed,
        Opened::Refused(refusal) => return project.ruled(Ok(Err(refusal))),
        Opened::TooMany => {
            app.metrics.limited(LimitClass::Stream);
            let message = format!("this key has {FEEDS_PER_KEY_MAX} event streams open: close one");
            return Err(TdError::too_many(message, PING_EVERY));
        }
    };
    let mut first = Vec::new();
    if feed.is_beyond() {
        first.push(told(feed.sent(), app.env.now(), ("refresh", None)));
    }
    Ok(live::answer(&app, first, ProjectFeed(feed)))
}

/// What the reader has seen: the id of the last event that it was given.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, TdError> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).and_then(|n| u64::try_from(n).ok());
    let bad = || TdError::bad_request("invalid Last-Event-ID: it is the id of an event that this server sent");
    number.map(|number| Some(Seq::new(number))).ok_or_else(bad)
}

struct ProjectFeed(Box<Feed>);

impl Source for ProjectFeed {
    async fn next(&mut self) -> Result<Option<Vec<Event>>, ServiceError> {
        Ok(self.0.next().await?.map(|entries| entries.iter().map(event).collect()))
    }

    fn ends_at(&self) -> Option<ServerTime> {
        self.0.expires_at()
    }
}

/// What an event's reader is told of a stored one.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    action_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    entity_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    entity_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The issue that a record of another kind belongs to, where it says so.
#[derive(Default, Deserialize)]
struct Payload {
    #[serde(default)]
    new_data: Belongs,
    #[serde(default)]
    previous_data: Belongs,
}

#[derive(Default, Deserialize)]
struct Belongs {
    #[serde(default)]
    issue_id: Option<String>,
}

fn event(entry: &Entry) -> Event {
    told(entry.seq, entry.committed_at, describe(&entry.payload))
}

fn told(seq: Seq, at: ServerTime, (kind, issue): (&'static str, Option<String>)) -> Event {
    let mut data = serde_json::json!({
        "type": kind,
        "change_token": seq.to_string(),
        "timestamp": at.to_string(),
    });
    if let Some(issue) = issue {
        data["issue_id"] = issue.into();
    }
    // JSON holds no line break, so neither can fail.
    Event::default().id(seq.to_string()).event(kind).data(data.to_string())
}

/// What happened, in the words of td's own web client, and to which issue.
fn describe(payload: &[u8]) -> (&'static str, Option<String>) {
    // As it is stored, it lacks the brace and the number with which a pull begins it.
    let text = [b"{", payload].concat();
    let Ok(stored) = serde_json::from_slice::<Stored<'_>>(&text) else { return ("refresh", None) };
    if stored.entity_type == "issues" {
        let is_gone = matches!(&*stored.action_type, "delete" | "soft_delete");
        let kind = if is_gone { "issue.deleted" } else { "issue.upserted" };
        return (kind, Some(stored.entity_id.into_owned()));
    }
    let Payload { new_data, previous_data } = serde_json::from_str(stored.payload.get()).unwrap_or_default();
    match new_data.issue_id.or(previous_data.issue_id).filter(|issue| !issue.is_empty()) {
        Some(issue) => ("issue.upserted", Some(issue)),
        None => ("refresh", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_event() {
        let check = |kind: &str, id: &str, action: &str, payload: &str, expected: (&str, Option<&str>)| {
            let stored = format!(
                r#""device_id":"d","session_id":"s","client_action_id":1,"action_type":"{action}","entity_type":"{kind}","entity_id":"{id}","payload":{payload},"client_timestamp":"2026-01-01T00:00:00Z"}}"#
            );
            let (told, issue) = describe(stored.as_bytes());
            assert_eq!((told, issue.as_deref()), expected, "{stored}");
        };
        check("issues", "td-1", "create", "{}", ("issue.upserted", Some("td-1")));
        check("issues", "td-1", "soft_delete", "{}", ("issue.deleted", Some("td-1")));
        check("issues", "td-1", "restore", "{}", ("issue.upserted", Some("td-1")));
        let comment = r#"{"new_data":{"issue_id":"td-2"}}"#;
        check("comments", "c-1", "create", comment, ("issue.upserted", Some("td-2")));
        let gone = r#"{"new_data":{},"previous_data":{"issue_id":"td-3"}}"#;
        check("comments", "c-1", "delete", gone, ("issue.upserted", Some("td-3")));
        check("boards", "b-1", "create", r#"{"new_data":{"name":"x"}}"#, ("refresh", None));
        check("comments", "c-1", "create", r#"{"new_data":{"issue_id":7}}"#, ("refresh", None));
    }
}
