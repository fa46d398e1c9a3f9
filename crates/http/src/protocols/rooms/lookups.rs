//! Making a room, and looking for one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tombolo_core::RoomCodeError;
use tombolo_service::{Entrant, Room, RoomFound, RoomMade, RoomWish};

use super::address::websocket_url;
use super::error::RoomError;
use super::gate::counted;
use super::limits::WISH_BYTES_MAX;
use super::replies::{FoundRoom, MadeRoom, answer};
use super::shapes::only;
use crate::App;
use crate::body::{BodyError, read_body};
use crate::metrics::LimitClass;

pub(super) fn routes(place: &str, app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{place}/api/rooms"), only(counted(post(make), app), "POST, OPTIONS"))
        .route(&format!("{place}/api/rooms/{{code}}"), only(counted(get(find), app), "GET, HEAD, OPTIONS"))
}

/// What a room is wished for with.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Wish {
    desired_room_code: Option<String>,
    desired_host_id: Option<String>,
}

impl Wish {
    /// As the original reads it: what is no such wish is none.
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// `POST /api/rooms`: a new room, or the one that is there for whoever names its host.
async fn make(
    State(app): State<Arc<App>>,
    Extension(entrant): Extension<Entrant>,
    request: Request,
) -> Result<Response, RoomError> {
    let url = websocket_url(&app.options, &request);
    let body = read_body(request.into_body(), WISH_BYTES_MAX).await.map_err(unread)?;
    let wish = Wish::read(&body);
    // An empty name is none; an empty code is a code, and a bad one.
    let host = wish.desired_host_id.as_deref().filter(|host| !host.is_empty());
    let wish = RoomWish { code: wish.desired_room_code.as_deref(), host };
    let (room, restored) = made(&app, app.rooms.make(entrant, wish).await?)?;
    if !restored {
        // Whoever asks next is told of it.
        app.metrics.rooms().forget_when_counted();
    }
    Ok(answer(StatusCode::OK, &MadeRoom::new(&room, restored, &url)))
}

/// `GET /api/rooms/{code}`.
async fn find(
    State(app): State<Arc<App>>,
    Extension(entrant): Extension<Entrant>,
    params: Result<RawPathParams, RawPathParamsRejection>,
) -> Result<Response, RoomError> {
    let params = params.map_err(|_| RoomError::bad_code(RoomCodeError))?;
    let code = params.iter().find_map(|(name, value)| (name == "code").then_some(value)).unwrap_or_default();
    match app.rooms.find(entrant, code).await? {
        RoomFound::Room { room, peers } => Ok(answer(StatusCode::OK, &FoundRoom::new(&room, &peers))),
        RoomFound::NotFound => Err(RoomError::not_found()),
        RoomFound::BadCode(error) => Err(RoomError::bad_code(error)),
        RoomFound::TooMany(wait) => Err(too_many(&app, "Too many wrong room codes from this address", wait)),
    }
}

fn unread(error: BodyError) -> RoomError {
    match error {
        BodyError::TooLarge => RoomError::new(StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than 64 KiB"),
        BodyError::Broken => RoomError::bad_request("The request's body did not arrive whole: send it again"),
    }
}

/// The room that was made, or was there before: then with `true`.
fn made(app: &App, made: RoomMade) -> Result<(Room, bool), RoomError> {
    Err(match made {
        RoomMade::New(room) => return Ok((room, false)),
        RoomMade::Restored(room) => return Ok((room, true)),
        RoomMade::Taken => RoomError::softly("Room code is already in use"),
        RoomMade::BadCode(error) => RoomError::bad_code(error),
        RoomMade::BadHost => {
            let bytes_max = app.rooms.options().peer_name_bytes_max;
            RoomError::bad_request(format!("desired_host_id is longer than {bytes_max} bytes"))
        }
        RoomMade::Full => {
            let rooms_max = app.rooms.options().rooms_max;
            let message = format!("There are {rooms_max} rooms, and no more may be made: those that are left end");
            RoomError::new(StatusCode::FORBIDDEN, message)
        }
        RoomMade::TooMany(wait) => too_many(app, "Too many rooms were asked for from this address", wait),
    })
}

fn too_many(app: &App, what: &str, wait: Duration) -> RoomError {
    app.metrics.limited(LimitClass::Room);
    RoomError::too_many(what, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_wish_is_none() {
        let check = |body: &str, code: Option<&str>, host: Option<&str>| {
            let expected =
                Wish { desired_room_code: code.map(str::to_owned), desired_host_id: host.map(str::to_owned) };
            assert_eq!(Wish::read(body.as_bytes()), expected, "{body}");
        };
        check("{\"desired_room_code\":\"ABCD\",\"desired_host_id\":\"h\"}", Some("ABCD"), Some("h"));
        check("{\"desired_room_code\":\"\",\"desired_host_id\":\"\",\"x\":1}", Some(""), Some(""));
        check("{\"desired_room_code\":null}", None, None);
        for none in ["", "{}", "null", "{bad", "\"ABCD\"", "{\"desired_room_code\":5}", "{\"desired_host_id\":[]}"] {
            check(none, None, None);
        }
        // One of a wrong type spoils the other.
        check("{\"desired_room_code\":\"ABCD\",\"desired_host_id\":5}", None, None);
        assert_eq!(Wish::read(b"{\"desired_room_code\":\"AB\xff\xff\"}"), Wish::default());
    }
}
