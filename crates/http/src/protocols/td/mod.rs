//! td: a command line for the tasks of a team, whose projects are logs of events.
//!
//! A device signs in, pushes the events of a project and pulls those of all. `docs/protocols/td.md` says what is
//! promised and shows it.

mod auth;
mod error;
mod gate;
mod invitations;
mod json_walk;
mod keys;
mod limits;
mod live;
mod members;
mod normal;
mod openapi;
mod openapi_schemas;
mod params;
mod payload;
mod projects;
mod push;
mod shapes;
#[cfg(test)]
mod spellings;
mod sync;
mod timestamp;
mod wire;

use std::sync::Arc;

use axum::Router;

pub use auth::APPROVE_PATH;
pub use invitations::invitation_letter;
pub(crate) use openapi::OPENAPI;
pub(crate) use shapes::in_own_shape;

use crate::App;

/// The routes of this protocol.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(auth::routes(app))
        .merge(keys::routes(app))
        .merge(projects::routes(app))
        .merge(members::routes(app))
        .merge(invitations::routes(app))
        .merge(sync::routes(app))
        .merge(live::routes(app))
}
