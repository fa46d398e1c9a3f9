//! simple-sync: histories of events that all users of an app share, guarded by rules.
//!
//! A client pushes events and is answered with the history; it keeps what its app shows in its own memory. All
//! generations of clients are served at once, told apart by how they say who they are.
//! `docs/protocols/simple-sync.md` says what is promised and shows it.

mod acl;
mod admin;
mod audit;
mod caller;
mod error;
mod event_id;
mod events;
mod gate;
mod health;
mod history;
mod jwt;
mod limits;
mod live;
mod normal;
mod openapi;
mod openapi_schemas;
mod parts_body;
mod permission;
mod push;
mod query;
mod rules;
mod shapes;
mod sign_in;
mod submit;
mod timestamp;
mod users;
mod wire;

use std::sync::Arc;

use axum::Router;
use tombolo_core::Purpose;
use tombolo_service::EventCodec;

pub(crate) use openapi::OPENAPI;
pub use permission::{Explained, explain};
pub use rules::{ListRuleShown, RuleShown};
pub(crate) use shapes::in_own_shape;

use crate::App;

/// The routes of this protocol.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(health::routes())
        .merge(events::routes(app))
        .merge(live::routes(app))
        .merge(acl::routes(app))
        .merge(users::routes(app))
        .merge(sign_in::routes())
        .merge(admin::routes(app))
}

/// How simple-sync reads and shows what its log holds.
#[must_use]
pub fn simple_sync_codec() -> EventCodec {
    EventCodec { purpose: Purpose::SimpleSync, ruling: rules::ruling, write: normal::write, is_same: normal::is_same }
}

/// Whether what the log of simple-sync holds changes its rules.
#[must_use]
pub fn is_simple_sync_ruling(stored: &[u8]) -> bool {
    rules::ruling(stored).is_some()
}
