//! Wellbeing: records of an app in which people keep track of how they are, synced between their devices.
//!
//! A device uploads what it changed and downloads what changed elsewhere; it resumes by an opaque cursor. What records
//! say is checked by the rules of `tombolo-wellbeing`, which their clients share; what is encrypted passes unread. All of
//! it can be erased. `docs/protocols/wellbeing.md` says what is promised and shows it.

mod change;
mod data;
mod download;
mod error;
mod gate;
mod keys;
mod kinds;
mod limits;
mod meta;
mod openapi;
mod policy;
mod reply;
mod shapes;
mod upload;
mod wire;

use std::sync::Arc;

use axum::Router;

pub(crate) use openapi::OPENAPI;
pub use policy::WellbeingPolicy;
pub(crate) use shapes::in_own_shape;

use crate::App;

/// The protocol and its version, as clients are told.
const PROTOCOL: &str = "wellbeing/1";

/// The routes of this protocol.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(upload::routes(app))
        .merge(download::routes(app))
        .merge(data::routes(app))
        .merge(keys::routes(app))
        .merge(meta::routes())
}
