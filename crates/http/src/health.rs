//! Is it alive, can it work, and how much did it do. Counts only, and open to everyone: a proxy can close them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::time::timeout;

use crate::App;
use crate::failure::Failure;
use crate::openapi::{Content, Operation, Part, Schema, always, answers, maybe, says};
use crate::problem::Problem;

/// How long what the store says of itself is good for: to count it walks all spaces, and anybody may ask.
const TOTALS_AGE: Duration = Duration::from_secs(5);
/// How long the store may take to count rooms: whoever asks whether the process is alive does not wait for the store.
const ROOMS_MAX: Duration = Duration::from_secs(1);
/// How long the store may take to count itself. Prometheus gives up after ten seconds, and the other numbers matter most
/// when the store does not answer.
const TOTALS_MAX: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(health).fallback(only_get))
        .route("/ready", get(ready).fallback(only_get))
        .route("/healthz", get(healthz).fallback(only_get))
        .route("/metricz", get(metricz).fallback(only_get))
        .route("/metrics", get(metrics).fallback(only_get))
}

pub(crate) const OPENAPI: Part = Part {
    tag: "server",
    meaning: "Is it alive, can it work, and how much did it do.",
    keys: &[],
    path_parameters: &[],
    operations: &[
        Operation { answers: &[&[says(200, "The process answers", Schema::Named("Health"))]], ..READ },
        Operation {
            path: "/ready",
            id: "ready",
            summary: "Does the store take writes",
            answers: &[&[
                says(200, "It does", Schema::Closed(&[always("status", Schema::OneOf(&["ready"]))])),
                answers(503, "It does not", Content::Problem),
            ]],
            ..READ
        },
        Operation {
            path: "/healthz",
            id: "healthz",
            summary: "Does the store answer, in the words of td's original server",
            answers: &[&[
                says(200, "It does", Schema::Named("Healthz")),
                says(503, "It does not", Schema::Named("Healthz")),
            ]],
            ..READ
        },
        Operation {
            path: "/metricz",
            id: "metricz",
            summary: "Six numbers, as td's original server gives them",
            answers: &[&[says(200, "The numbers", Schema::Named("Metricz"))]],
            ..READ
        },
        Operation {
            path: "/metrics",
            id: "metrics",
            summary: "All numbers, for Prometheus",
            answers: &[&[answers(200, "The numbers", Content::Plain)]],
            ..READ
        },
    ],
    schemas: &[
        (
            "Problem",
            Schema::Closed(&[
                always("type", Schema::Text),
                always("title", Schema::Text),
                always("status", Schema::Whole(400, 599)),
                always("code", Schema::Text),
                always("detail", Schema::Text),
            ]),
        ),
        (
            "Health",
            Schema::Closed(&[
                always("service", Schema::OneOf(&["tickit-sync"])),
                always("status", Schema::OneOf(&["ok"])),
                always("version", Schema::Text),
                always("server", Schema::OneOf(&["tombolo"])),
                maybe("rooms", Schema::COUNT),
                maybe("timestamp", Schema::Time),
            ]),
        ),
        (
            "Healthz",
            Schema::Closed(&[always("status", Schema::OneOf(&["ok", "error"])), maybe("detail", Schema::Text)]),
        ),
        (
            "Metricz",
            Schema::Closed(&[
                always("uptime_seconds", Schema::Number),
                always("requests", Schema::COUNT),
                always("server_errors", Schema::COUNT),
                always("client_errors", Schema::COUNT),
                always("push_events_accepted", Schema::COUNT),
                always("pull_requests", Schema::COUNT),
            ]),
        ),
    ],
};

/// What all of these have in common.
const READ: Operation = Operation {
    method: "get",
    path: "/health",
    id: "health",
    summary: "Is the process alive",
    keys: &[],
    parameters: &[],
    body: None,
    answers: &[],
};

/// The process answers. The fields are those that Tickit's own server gives, with our version; where rooms are served,
/// also those of their server, as far as they are known.
async fn health(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Answer {
        service: &'static str,
        status: &'static str,
        version: &'static str,
        server: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        rooms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp: Option<String>,
    }
    let (service, status, version, server) = ("tickit-sync", "ok", env!("CARGO_PKG_VERSION"), "tombolo");
    let timestamp = app.options.rooms.then(|| app.env.now().to_string());
    let rooms = room_count(&app).await;
    json(StatusCode::OK, &Answer { service, status, version, server, rooms, timestamp })
}

/// How many rooms there are, as the store last said: it is asked at most once a second. `None` before its first answer,
/// and where no rooms are served.
async fn room_count(app: &App) -> Option<u64> {
    if !app.options.rooms {
        return None;
    }
    let metrics = app.metrics.rooms();
    if metrics.is_to_be_counted(app.env.now())
        && let Ok(Ok(count)) = timeout(ROOMS_MAX, app.rooms.count(None)).await
    {
        metrics.note_count(count);
    }
    metrics.count()
}

/// The store takes writes.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.replication.ready().await {
        Ok(()) => {
            let body = serde_json::json!({ "status": "ready" });
            ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
        Err(error) => {
            let failure = Failure::of(&error);
            let status =
                if failure.status.is_server_error() { StatusCode::SERVICE_UNAVAILABLE } else { failure.status };
            Problem::failed("not_ready", &Failure { status, ..failure }).into_response()
        }
    }
}

/// The store answers, in the words of td's original server.
async fn healthz(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Answer {
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'static str>,
    }
    match app.replication.ready().await {
        Ok(()) => json(StatusCode::OK, &Answer { status: "ok", detail: None }),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            json(StatusCode::SERVICE_UNAVAILABLE, &Answer { status: "error", detail: Some("db unreachable") })
        }
    }
}

/// Six numbers, as td's original server gives them.
async fn metricz(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, &app.metrics.summary(app.env.now()))
}

/// All numbers, for Prometheus. Those of a store that does not answer stay as they were.
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let now = app.env.now();
    if app.metrics.known_totals(now, TOTALS_AGE).is_none()
        && let Ok(Ok(totals)) = timeout(TOTALS_MAX, app.replication.totals()).await
    {
        app.metrics.note_totals(now, totals);
    }
    room_count(&app).await;
    let text = app.metrics.text(now, app.replication.commits(), &app.rooms.counts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("names and numbers are JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub(crate) async fn only_get() -> Response {
    let problem = Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        detail: "Read it with GET",
        retry_after: None,
    };
    ([(header::ALLOW, "GET, HEAD, OPTIONS")], problem).into_response()
}
