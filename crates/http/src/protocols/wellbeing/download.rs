//! `POST /v1/sync/download`: gives a device what changed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use tombolo_core::Purpose;
use tombolo_service::{Caller, DownloadRequest, Downloaded, ReplyBounds};

use super::error::SyncError;
use super::policy::WellbeingPolicy;
use super::shapes::{only, written};
use super::wire::{self, DownloadWire};
use super::{gate, limits, reply};
use crate::App;
use crate::json::Object;
use crate::metrics::Volume;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new().route("/v1/sync/download", only(gate::guarded(post(download), app), "POST, OPTIONS"))
}

async fn download(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, SyncError> {
    let body = wire::read_small(body).await?;
    let (records, cursor, more) = match app.replication.download(caller, parse(&body)?).await? {
        Downloaded::Page { records, cursor, more } => (records, cursor, more),
        Downloaded::Stale(stale) => return Err(SyncError::stale(stale)),
        Downloaded::OthersReplica => return Err(SyncError::others_device()),
    };
    let reply = reply::downloaded(&records, cursor, more)?;
    app.metrics.pulled(Purpose::Wellbeing, Volume { events: records.len(), bytes: reply.len() });
    Ok(written(reply))
}

fn parse(body: &[u8]) -> Result<DownloadRequest, SyncError> {
    let wanted = "an object with device_id, since and limit is wanted";
    let Object(DownloadWire { device_id, since, limit }) = wire::parse(body, wanted)?;
    let reply =
        ReplyBounds { page_bytes_max: limits::PAGE_BYTES_MAX, delivery_overhead_bytes: limits::RECORD_OVERHEAD_BYTES };
    Ok(DownloadRequest {
        purpose: Purpose::Wellbeing,
        replica: wire::device(device_id)?,
        since: wire::cursor("since", since)?,
        count_max: wire::page_records(limit)?,
        policy: Arc::new(WellbeingPolicy),
        reply,
    })
}
