//! Where a room's socket is, as the client that asks can reach it.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use super::gate::{KEYS_PATH, key_in};
use crate::Options;
use crate::client_address::OverTls;

/// The address of the socket beside the route that `request` asks for: where the server's owner says that it is
/// reached, else where the client says that it reached it; below the key that it came with.
pub(super) fn websocket_url(options: &Options, request: &Request) -> String {
    let is_secure = request.extensions().get::<OverTls>().is_some();
    let base = match options.public_url.as_deref().and_then(|url| url.strip_prefix("http")) {
        // With the "s", if there is one.
        Some(rest) => format!("ws{}", rest.trim_end_matches('/')),
        None => {
            let scheme = if is_secure { "wss" } else { "ws" };
            format!("{scheme}://{}", host(request.uri(), request.headers()))
        }
    };
    let key = key_in(request.uri().path()).map(|key| format!("{KEYS_PATH}{key}")).unwrap_or_default();
    format!("{base}{key}/ws")
}

/// Whom the client takes the server for; without a word of it, the machine that it runs on.
fn host(uri: &Uri, headers: &HeaderMap) -> Authority {
    let named = || headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let named = uri.authority().cloned().or_else(named);
    // What stands before an @ is no part of a host.
    named.filter(|host| !host.as_str().contains('@')).unwrap_or_else(|| Authority::from_static("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_where_the_client_can_reach_it() {
        let check = |public: Option<&str>, path: &str, host: Option<&str>, is_secure: bool, expected: &str| {
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().extend(host.map(|host| (header::HOST, host.parse().unwrap())));
            if is_secure {
                request.extensions_mut().insert(OverTls);
            }
            let options = Options { public_url: public.map(str::to_owned), ..Options::default() };
            assert_eq!(websocket_url(&options, &request), expected, "{path} {host:?}");
        };
        let (open, keyed) = ("/api/rooms", "/k/rk_abc/api/rooms");
        check(None, open, Some("localhost:3001"), false, "ws://localhost:3001/ws");
        check(None, keyed, Some("localhost:3001"), false, "ws://localhost:3001/k/rk_abc/ws");
        check(None, keyed, Some("rooms.example"), true, "wss://rooms.example/k/rk_abc/ws");
        check(Some("https://a.example"), open, Some("b.example"), false, "wss://a.example/ws");
        check(Some("https://a.example/sync"), keyed, Some("b.example"), false, "wss://a.example/sync/k/rk_abc/ws");
        check(Some("http://a.example:8080/"), open, Some("b.example"), true, "ws://a.example:8080/ws");
        check(None, "http://c.example/api/rooms", Some("b.example"), false, "ws://c.example/ws");
        for none in [None, Some(""), Some("a b"), Some("\"x\""), Some("me@b.example"), Some("b.example/path")] {
            check(None, open, none, false, "ws://localhost/ws");
        }
    }
}
