//! The one endpoint: parse, one call, answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tombolo_core::{Instant, Purpose, RecordName, ReplicaName, Verdict};
use tombolo_service::{Access, Answer, Caller, Denial, ExchangeRequest, Refused, ReplyBounds};

use super::error::SyncError;
use super::policy::TickitPolicy;
use super::wire::{self, SyncRequest};
use super::{limits, reply};
use crate::App;
use crate::body::{BodyError, read_body};
use crate::client_address::ClientAddress;
use crate::credentials::bearer;
use crate::metrics::{LimitClass, Taken, Volume};
use crate::observe;

/// `POST /api/v1/sync`: takes a device's changes and answers with what is new to it.
pub(super) async fn sync(
    State(app): State<Arc<App>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, SyncError> {
    let caller = authenticate(&app, &headers, address).await?;
    if !is_json(&headers) {
        return Err(SyncError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send JSON: 'Content-Type: application/json'"));
    }
    let body = read_body(body, limits::BODY_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => SyncError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request is larger than {} MiB: sync more often, or split it", limits::BODY_BYTES_MAX >> 20),
        ),
        BodyError::Broken => {
            SyncError::new(StatusCode::BAD_REQUEST, "The request's body did not arrive whole: send it again")
        }
    })?;
    let (request, sent, mut refused) = parse(&body)?;
    let sent_count = sent.len() + refused.len();
    let exchanged = app.replication.exchange(caller, request).await.map_err(|error| SyncError::failed(&error))?;
    let mut conflicts: Vec<&RecordName> = Vec::new();
    for (write, answer) in sent.iter().zip(&exchanged.answers) {
        match answer {
            Answer::Judged(Verdict::Superseded) => conflicts.push(&write.0),
            Answer::Judged(_) => {}
            Answer::Refused(reason) => refused.push(Refused {
                record: write.0.to_string(),
                kind: write.1.to_owned(),
                reason: (*reason).to_owned(),
            }),
        }
    }
    conflicts.sort_unstable();
    conflicts.dedup();
    let refused: Vec<&Refused> = refused.iter().collect();
    let reply = reply::write(&exchanged, &conflicts, &refused);
    if sent_count > 0 {
        let taken = Taken { accepted: sent_count - refused.len(), refused: refused.len() };
        app.metrics.pushed(Purpose::Tickit, Volume { events: sent_count, bytes: body.len() }, taken);
    }
    app.metrics.pulled(Purpose::Tickit, Volume { events: exchanged.deliveries.len(), bytes: reply.len() });
    Ok(([(header::CONTENT_TYPE, "application/json")], reply).into_response())
}

/// Any other method on the endpoint.
pub(super) async fn other_method() -> SyncError {
    SyncError::method()
}

async fn authenticate(app: &App, headers: &HeaderMap, address: IpAddr) -> Result<Caller, SyncError> {
    let token = bearer(headers).ok_or_else(SyncError::no_token)?;
    match app.keyring.authenticate(token, Purpose::Tickit, address).await {
        Ok(Access::Granted(caller)) => {
            observe::note_user(caller.user);
            Ok(caller)
        }
        Ok(Access::Refused(denial)) => {
            if matches!(denial, Denial::Limited { .. }) {
                app.metrics.limited(LimitClass::WrongKey);
            }
            Err(SyncError::denied(denial))
        }
        Err(error) => Err(SyncError::failed(&error)),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// The id and the type of a record that was sent.
type Sent = (RecordName, &'static str);

fn parse(body: &[u8]) -> Result<(ExchangeRequest, Vec<Sent>, Vec<Refused>), SyncError> {
    let request: SyncRequest<'_> = serde_json::from_slice(body).map_err(|error| {
        let (status, what) = if error.is_data() {
            (StatusCode::UNPROCESSABLE_ENTITY, "The request is no sync")
        } else {
            (StatusCode::BAD_REQUEST, "The request is no JSON")
        };
        SyncError::new(status, format!("{what}: {error}"))
    })?;
    let bad = |name: &str, why: String| SyncError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{name}: {why}"));
    let replica = ReplicaName::parse(&request.device_id).map_err(|error| bad("device_id", error.to_string()))?;
    let presented = request.last_sync.as_deref().map(Instant::parse).transpose();
    let presented = presented.map_err(|error| bad("last_sync", error.to_string()))?;
    let (mut writes, mut refused) = (Vec::with_capacity(request.changes.0.len()), Vec::new());
    for record in request.changes.0 {
        match wire::read(record) {
            Ok(write) => writes.push(write),
            Err(one) => refused.push(one),
        }
    }
    // What is referred to goes first; clients send their tasks before the lists that they are in.
    writes.sort_by_key(super::order_of);
    let sent = writes.iter().map(|write| (write.key.name.clone(), write.kind())).collect();
    let reply =
        ReplyBounds { page_bytes_max: limits::PAGE_BYTES_MAX, delivery_overhead_bytes: limits::RECORD_OVERHEAD_BYTES };
    let newest = refused.len().saturating_sub(limits::REFUSED_MAX);
    let kept = refused[newest..].to_vec();
    let policy = Arc::new(TickitPolicy);
    let request =
        ExchangeRequest { purpose: Purpose::Tickit, replica, presented, writes, refused: kept, policy, reply };
    Ok((request, sent, refused))
}
