//! `POST /v1/sync/upload`: takes what a device changed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use tombolo_core::{Purpose, RecordKey};
use tombolo_service::{Caller, Fate, Refused, UploadRequest, Uploaded};

use super::error::SyncError;
use super::policy::WellbeingPolicy;
use super::shapes::{only, written};
use super::wire::{self, UploadWire};
use super::{change, gate, limits, reply};
use crate::App;
use crate::json::Object;
use crate::metrics::{Taken, Volume};

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new().route("/v1/sync/upload", only(gate::guarded(post(upload), app), "POST, OPTIONS"))
}

/// A change of the request: the record that it writes to, or why it is refused.
pub(super) enum Sent {
    /// The next of the writes.
    Write(RecordKey),
    Refused(Refused),
}

async fn upload(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, SyncError> {
    let body = wire::read(body, limits::UPLOAD_BYTES_MAX).await?;
    let (request, sent) = parse(&body)?;
    let (fates, cursor) = match app.replication.upload(caller, request).await? {
        Uploaded::Done { fates, cursor } => (fates, cursor),
        Uploaded::Stale(stale) => return Err(SyncError::stale(stale)),
        Uploaded::OthersReplica => return Err(SyncError::others_device()),
    };
    let reply = reply::uploaded(&sent, &fates, cursor)?;
    if !sent.is_empty() {
        let accepted = fates.iter().filter(|fate| matches!(fate, Fate::Judged { .. })).count();
        let taken = Taken { accepted, refused: sent.len() - accepted };
        app.metrics.pushed(Purpose::Wellbeing, Volume { events: sent.len(), bytes: body.len() }, taken);
    }
    Ok(written(reply))
}

fn parse(body: &[u8]) -> Result<(UploadRequest, Vec<Sent>), SyncError> {
    let wanted = "an object with device_id, client_cursor and a list of changes is wanted";
    let Object(UploadWire { device_id, client_cursor, changes }) = wire::parse(body, wanted)?;
    let replica = wire::device(device_id)?;
    let presented = wire::cursor("client_cursor", client_cursor)?;
    let changes = changes.ok_or_else(|| SyncError::invalid("changes is missing"))?;
    if changes.is_too_many {
        let detail = format!("There are more than {} changes: send fewer at a time", limits::CHANGES_MAX);
        return Err(SyncError::too_large(detail));
    }
    let (mut writes, mut sent) = (Vec::with_capacity(changes.list.len()), Vec::with_capacity(changes.list.len()));
    for change in changes.list {
        sent.push(match change::read(change) {
            Ok(write) => {
                let key = write.key.clone();
                writes.push(write);
                Sent::Write(key)
            }
            Err(refused) => Sent::Refused(refused),
        });
    }
    let refused = kept_for_the_operator(&sent);
    let (purpose, policy) = (Purpose::Wellbeing, Arc::new(WellbeingPolicy));
    Ok((UploadRequest { purpose, replica, presented, writes, refused, policy }, sent))
}

/// The last of the refused changes.
fn kept_for_the_operator(sent: &[Sent]) -> Vec<Refused> {
    let refused = sent.iter().rev().filter_map(|sent| match sent {
        Sent::Refused(refused) => Some(refused.clone()),
        Sent::Write(_) => None,
    });
    let mut kept: Vec<Refused> = refused.take(limits::REFUSED_MAX).collect();
    kept.reverse();
    kept
}
