//! The log of a project over HTTP: push, pull, status, snapshot.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::{Act, Purpose, Seq};
use tombolo_service::{Caller, PULLS_PER_KEY_MAX, PageBounds, Pull, PullAnswer, Pulled};

use super::error::TdError;
use super::gate::{self, Class};
use super::params::ProjectParam;
use super::push::Push;
use super::shapes::only;
use super::timestamp::seconds;
use super::{limits, normal, wire};
use crate::held_body::HeldBody;
use crate::metrics::LimitClass;
use crate::{App, Volume};

/// What a client is told to wait that has too many pulls under way: a reply takes less, where it is read.
const UNDER_WAY_WAIT: Duration = Duration::from_secs(1);

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pushes = Router::new().route("/v1/projects/{id}/sync/push", only(post(push), "POST, OPTIONS"));
    let pulls = Router::new().route("/v1/projects/{id}/sync/pull", only(get(pull), "GET, HEAD, OPTIONS"));
    let others = Router::new()
        .route("/v1/projects/{id}/sync/status", only(get(status), "GET, HEAD, OPTIONS"))
        .route("/v1/projects/{id}/sync/snapshot", only(get(snapshot), "GET, HEAD, OPTIONS"));
    gate::guarded(pushes, app, Class::Push).merge(gate::guarded(pulls, app, Class::Pull)).merge(gate::guarded(
        others,
        app,
        Class::Other,
    ))
}

async fn push(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    body: Body,
) -> Result<Response, TdError> {
    let body = project.or_refused(&app, caller, Act::Push, wire::body(body).await).await?;
    let mut push = project.or_refused(&app, caller, Act::Push, Push::parse(&body)).await?;
    let volume = Volume { events: push.events_count(), bytes: body.len() };
    drop(body);
    let entries = std::mem::take(&mut push.entries);
    let appended = project.ruled(app.journal.push(caller, project.id, entries).await)?;
    app.metrics.pushed(Purpose::Td, volume, push.taken(&appended));
    Ok(json(push.reply(&appended)))
}

async fn pull(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    RawQuery(query): RawQuery,
) -> Result<Response, TdError> {
    let query = Query::parse(query.as_deref().unwrap_or_default());
    let Query { after, limit, exclude } = project.or_refused(&app, caller, Act::Pull, query).await?;
    let pull = Pull {
        // Before the first event there is nothing, however far.
        after: Seq::new(u64::try_from(after).unwrap_or(0)),
        bounds: PageBounds { count_max: limit, bytes_max: limits::PULL_BYTES_MAX },
        without: exclude.filter(|_| app.options.td_exclude_client).map(|device| normal::begins(&device)),
    };
    let (pulled, seat) = match project.ruled(app.journal.pull(caller, project.id, pull).await)? {
        PullAnswer::Page(pulled, seat) => (pulled, seat),
        PullAnswer::TooMany => {
            app.metrics.limited(LimitClass::Pull);
            let message = format!("this key has {PULLS_PER_KEY_MAX} pulls under way: read their replies first");
            return Err(TdError::too_many(message, UNDER_WAY_WAIT));
        }
    };
    let page = write_page(&pulled, after);
    app.metrics.pulled(Purpose::Td, Volume { events: pulled.entries.len(), bytes: page.len() });
    Ok(json(HeldBody::body(page, seat)))
}

async fn status(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    #[derive(Serialize)]
    struct Status {
        event_count: u64,
        last_server_seq: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_event_time: Option<String>,
    }
    let end = project.ruled(app.journal.end(caller, project.id).await)?;
    let status = Status {
        // Numbers are dense: the last one is how many there are.
        event_count: end.head.get(),
        last_server_seq: end.head.get(),
        last_event_time: end.committed_at.map(seconds),
    };
    Ok(wire::answer(StatusCode::OK, &status))
}

async fn snapshot(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    project.ruled(app.projects.get(caller, project.id, Act::Pull).await)?;
    Err(TdError::new(StatusCode::NOT_FOUND, "snapshot_unavailable", "there is no snapshot here: pull from the start"))
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// Writes the answer to a pull that asked for what comes after `after`: what is stored of each event lacks only its
/// beginning.
fn write_page(pulled: &Pulled, after: i64) -> Vec<u8> {
    let bytes: usize = pulled.entries.iter().map(|entry| entry.payload.len() + 40).sum();
    let mut page = Vec::with_capacity(bytes + 80);
    page.extend_from_slice(br#"{"events":["#);
    let mut number = String::new();
    for (n, entry) in pulled.entries.iter().enumerate() {
        page.extend_from_slice(if n > 0 { br#",{"server_seq":"# } else { br#"{"server_seq":"# });
        number.clear();
        // Writing to a text cannot fail.
        let _ = write!(number, "{},", entry.seq);
        page.extend_from_slice(number.as_bytes());
        page.extend_from_slice(&entry.payload);
    }
    // A place beyond the log's end, or before its beginning, is repeated as it was presented.
    let last =
        if pulled.last.get() > u64::try_from(after).unwrap_or(0) { pulled.last.to_string() } else { after.to_string() };
    page.extend_from_slice(format!(r#"],"last_server_seq":{last},"has_more":{}}}"#, pulled.has_more).as_bytes());
    page
}

/// What a pull asks for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    after: i64,
    limit: usize,
    exclude: Option<String>,
}

impl Query {
    /// Reads the query of a pull; of a name that occurs twice, the first counts.
    fn parse(query: &str) -> Result<Self, TdError> {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
        };
        let number = |name: &str| {
            let read = value(name).map(|text| text.parse::<i64>()).transpose();
            read.map_err(|_| TdError::bad_request(format!("invalid {name}")))
        };
        let after = number("after_server_seq")?.unwrap_or(0);
        let limit = match number("limit")? {
            None => limits::PULL_EVENTS_DEFAULT,
            Some(asked) => match usize::try_from(asked) {
                Err(_) | Ok(0) => return Err(TdError::bad_request("invalid limit")),
                Ok(asked) => asked.min(limits::PULL_EVENTS_MAX),
            },
        };
        Ok(Self { after, limit, exclude: value("exclude_client") })
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::ServerTime;
    use tombolo_service::Entry;

    use super::*;

    #[test]
    fn what_a_pull_asks_for() {
        let check = |query: &str, after: i64, limit: usize, exclude: Option<&str>| {
            let expected = Query { after, limit, exclude: exclude.map(str::to_owned) };
            assert_eq!(Query::parse(query).unwrap(), expected, "{query}");
        };
        check("", 0, 1_000, None);
        check("after_server_seq=&limit=&exclude_client=", 0, 1_000, None);
        check("after_server_seq=17&limit=1000&exclude_client=d%20+1&x=y", 17, 1_000, Some("d  1"));
        check("limit=1&limit=x", 0, 1, None);
        check("limit=10000", 0, 10_000, None);
        check("limit=10001", 0, 10_000, None);
        check("limit=9223372036854775807&after_server_seq=9223372036854775807", i64::MAX, 10_000, None);
        check("after_server_seq=-5", -5, 1_000, None);
    }

    #[test]
    fn what_no_pull_may_ask_for() {
        let check = |query: &str, expected: &str| {
            let error = format!("{:?}", Query::parse(query).unwrap_err());
            assert!(error.contains("400") && error.contains(expected), "{query}: {error}");
        };
        for limit in ["0", "-1", "x", "1.5", "9223372036854775808", " 1"] {
            check(&format!("limit={limit}"), "message: \"invalid limit\"");
        }
        for after in ["x", "1.5", "9223372036854775808", "-9223372036854775809"] {
            check(&format!("after_server_seq={after}"), "message: \"invalid after_server_seq\"");
        }
    }

    #[test]
    fn a_page_is_spliced_from_what_is_stored() {
        let page = |seqs: &[u64], last, after, has_more| {
            let entry = |seq: &u64| Entry {
                seq: Seq::new(*seq),
                committed_at: ServerTime::from_micros(0),
                written_at: ServerTime::from_micros(0).to_instant(),
                payload: br#""device_id":"d","payload":{}}"#.to_vec(),
            };
            let pulled = Pulled { entries: seqs.iter().map(entry).collect(), last: Seq::new(last), has_more };
            String::from_utf8(write_page(&pulled, after)).unwrap()
        };
        assert_eq!(
            page(&[5, 6], 6, 4, true),
            r#"{"events":[{"server_seq":5,"device_id":"d","payload":{}},{"server_seq":6,"device_id":"d","payload":{}}],"last_server_seq":6,"has_more":true}"#
        );
        assert_eq!(page(&[], 0, -5, false), r#"{"events":[],"last_server_seq":-5,"has_more":false}"#);
        assert_eq!(page(&[], 900, 900, false), r#"{"events":[],"last_server_seq":900,"has_more":false}"#);
        assert_eq!(page(&[], 9, 4, false), r#"{"events":[],"last_server_seq":9,"has_more":false}"#);
    }
}
