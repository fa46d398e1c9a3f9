//! Rooms: what the Khun Phaen task tracker speaks.
//!
//! A client makes a room, or finds one by its code, and joins it over a socket. It knows the server by an address to
//! which it adds `/api/rooms`, `/health` and `/ws`: so a key stands in a path, `/k/<key>`, before everything that it
//! opens, and is kept out of logs, counts and errors like any other. `docs/protocols/rooms.md` says what is promised.

mod address;
mod codec;
mod csv;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod gate;
mod hollow;
mod limits;
mod lookups;
mod message;
mod openapi;
mod replies;
mod shapes;
mod socket;
mod status;
mod upgrade;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Extension, Router};
use tombolo_service::{Entrant, RoomCodec};

#[cfg(any(test, fuzzing))]
pub use fuzzing::fuzz_room_socket;
pub(crate) use openapi::part;
pub(crate) use shapes::in_own_shape;
pub use socket::Arriving;

use self::gate::{KEYS_PATH, guarded};
use self::shapes::{only, unknown};
use crate::{App, Options};

/// How peers are told what happens, and how their documents are read.
#[must_use]
pub fn room_codec() -> Arc<dyn RoomCodec> {
    Arc::new(codec::Codec)
}

/// The routes of this protocol.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let keyed = below(&format!("{KEYS_PATH}{{key}}"), app)
        .merge(status::below_key(app))
        .route(&format!("{KEYS_PATH}{{key}}/{{*rest}}"), any(unknown))
        // What is left of an address whose key is missing.
        .route(KEYS_PATH.trim_end_matches('/'), any(unknown));
    let open = if is_open(&app.options) { status::at_root() } else { Router::new() };
    below("", app).merge(keyed).merge(open)
}

/// Whether any page may read what is answered at `path`, in its one form, whatever origins are listed: people open the
/// app from wherever they like, and what opens a room is in the path, which no browser adds by itself.
pub(crate) fn is_for_any_page(options: &Options, path: &str) -> bool {
    let is_below = |place: &str| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_ours = is_below(KEYS_PATH.trim_end_matches('/')) || is_below("/api/rooms") || path == "/ws";
    // The app asks for the health of what it takes for a server of its own.
    options.rooms && (is_ours || path == "/health" || (path == "/" && is_open(options)))
}

/// Whether rooms are reached without a key.
const fn is_open(options: &Options) -> bool {
    options.rooms_open_to.is_some()
}

/// What the app adds to the address that it has.
fn below(place: &str, app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(lookups::routes(place, app))
        .route(&format!("{place}/ws"), only(guarded(get(socket), app), "GET, OPTIONS"))
}

/// `GET /ws`: a socket, over which everything else goes.
async fn socket(State(app): State<Arc<App>>, Extension(entrant): Extension<Entrant>, request: Request) -> Response {
    upgrade::upgrade(&app, entrant, request)
}

#[cfg(test)]
mod tests {
    use tombolo_core::UserId;

    use super::*;

    #[test]
    fn which_answers_any_page_may_read() {
        let keyed = Options::default();
        let open = Options { rooms_open_to: Some(UserId::new(1)), ..Options::default() };
        let off = Options { rooms: false, ..open.clone() };
        for path in ["/k", "/k/rk_x", "/k/rk_x/api/v1/sync", "/api/rooms", "/api/rooms/ABCD", "/ws", "/health"] {
            assert!(is_for_any_page(&keyed, path) && is_for_any_page(&open, path), "{path}");
            assert!(!is_for_any_page(&off, path), "{path}");
        }
        for path in ["/kx", "/api/roomsx", "/api/v1/sync", "/ws/x", "/metrics", ""] {
            assert!(!is_for_any_page(&keyed, path) && !is_for_any_page(&open, path), "{path}");
        }
        assert!(is_for_any_page(&open, "/") && !is_for_any_page(&keyed, "/"));
    }
}
