//! From a request to a socket: the handshake (RFC 6455, section 4.2).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tombolo_service::{Entrant, NotConnected};

use super::error::RoomError;
use super::socket::{Bounds, run};
use crate::{App, Takeover};

/// The version of the protocol: there is no other.
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// After how long another socket of an address is worth a try: one that is closed is gone by then.
const TOO_MANY_WAIT: Duration = Duration::from_secs(10);
/// After how long a server that stops may be there again.
const STOPPING_WAIT: Duration = Duration::from_secs(5);

/// Makes a socket of the connection that `request` came on, for whoever was let in as `entrant`.
///
/// Where the request comes from a page is not asked: the key is in the path, and no browser adds that by itself.
pub(super) fn upgrade(app: &Arc<App>, entrant: Entrant, mut request: Request) -> Response {
    let accepted = accept(request.method(), request.headers());
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    // HTTP/1.0 has no upgrades, whatever its headers say.
    let (Some(accepted), Some(on_upgrade)) = (accepted, on_upgrade) else { return not_a_handshake() };
    let Some(takeover) = request.extensions_mut().remove::<Takeover>() else {
        let text = "The server's listener does not pass sockets on: this is a bug of the server";
        return RoomError::new(StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    let connection = match app.rooms.connect(entrant) {
        Ok(connection) => connection,
        Err(NotConnected::TooMany) => {
            return RoomError::too_many("Too many sockets from this address", TOO_MANY_WAIT).into_response();
        }
        Err(NotConnected::Stopping) => return RoomError::later("The server stops", STOPPING_WAIT).into_response(),
    };
    let options = app.rooms.options();
    let bounds =
        Bounds { message_bytes_max: options.message_bytes_max, arriving_bytes_max: options.arriving_bytes_max };
    let arriving = app.arriving.clone();
    takeover.leave(Box::pin(async move {
        match on_upgrade.await {
            Ok(upgraded) => run(TokioIo::new(upgraded), connection, bounds, arriving).await,
            Err(error) => tracing::debug!(%error, "a connection broke before it became a socket"),
        }
    }));
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, WEBSOCKET),
        (header::SEC_WEBSOCKET_ACCEPT, accepted),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// What proves that a handshake was understood; `None` when the request is none.
fn accept(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_one = method == Method::GET
        && names(headers, &header::CONNECTION, "upgrade")
        && names(headers, &header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION) == Some(&VERSION);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_one && !key.is_empty())?;
    Some(HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 may stand in a header"))
}

/// Whether one of the words that `header` lists is `word`, in any case.
fn names(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(header).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

fn not_a_handshake() -> Response {
    let error = RoomError::new(StatusCode::UPGRADE_REQUIRED, "This address is for WebSockets, version 13");
    let mut response = error.into_response();
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_handshake() {
        let check = |method: Method, changed: &str, to: &str, expected: bool| {
            let key = "dGhlIHNhbXBsZSBub25jZQ==";
            let lines =
                [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-version", "13")];
            let mut headers = HeaderMap::new();
            for (name, value) in lines.into_iter().chain([("sec-websocket-key", key)]) {
                let value = if name == changed { to } else { value };
                headers.append(name, value.parse().unwrap());
            }
            // RFC 6455, section 1.3, has the answer to this key.
            let proof = expected.then(|| HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
            assert_eq!(accept(&method, &headers), proof, "{method} {changed}: {to}");
        };
        check(Method::GET, "", "", true);
        check(Method::GET, "connection", "UPGRADE", true);
        check(Method::HEAD, "", "", false);
        check(Method::GET, "connection", "keep-alive", false);
        check(Method::GET, "upgrade", "h2c", false);
        check(Method::GET, "sec-websocket-version", "8", false);
        check(Method::GET, "sec-websocket-key", "", false);
    }

    #[test]
    fn what_is_none_is_told_what_is() {
        let response = not_a_handshake();
        assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    }
}
