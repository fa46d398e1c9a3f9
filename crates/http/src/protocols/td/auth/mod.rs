//! Signing in, for both generations of the command line, and for a page.
//!
//! Up to 0.48 a device shows a code (`legacy.rs`) that its user types into a page (`verify.rs`); since 0.49 it keeps a
//! verifier (`device.rs`). Both are approved by a mailed link (`approve.rs`), or by the server's owner. `web.rs` is for
//! a page of its own that is called back.

mod approve;
mod device;
mod legacy;
mod page;
mod verify;
mod web;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tombolo_core::{Name, Purpose, limits};
use tombolo_service::{KeyWish, Polled};

use self::page::Page;
use super::gate::{self, AddressClass};
use super::shapes::only;
use crate::App;
use crate::metrics::SignInStep;

/// Where a mailed link leads, below the server's address.
pub const APPROVE_PATH: &str = "/auth/device/approve";
/// What a path of JSON takes here, and a page.
const POST: &str = "POST, OPTIONS";
const PAGE: &str = "GET, HEAD, POST, OPTIONS";

/// How often a device should ask, in seconds: what both generations expect.
const POLL_INTERVAL_S: u64 = 5;
/// How long a sign-in waits, in seconds.
const EXPIRES_IN_S: u64 = limits::SIGN_IN_SPAN.as_secs();
/// How long a page's key does: it lies in a browser.
const PAGE_KEY_SPAN: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let polls = gate::limited_by_address(polls(), app, AddressClass::Poll);
    polls.merge(gate::limited_by_address(rest(), app, AddressClass::SignIn))
}

/// What a device asks again and again.
fn polls() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/auth/login/poll", only(post(legacy::poll), POST))
        .route("/v1/auth/device/poll", only(post(device::poll), POST))
}

/// What people do, once or twice.
fn rest() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/auth/login/start", only(post(legacy::start), POST))
        .route("/v1/auth/device/start", only(post(device::start), POST))
        .route("/v1/auth/web/start", only(post(web::start), POST))
        .route("/v1/auth/web/exchange", only(post(web::exchange), POST))
        .route("/auth/verify", only(get(verify::show).post(verify::enter), PAGE))
        .route(APPROVE_PATH, only(get(approve::show).post(approve::approve), PAGE))
}

/// What a page says in place of what was asked of it.
pub(super) fn error_page(status: StatusCode) -> Response {
    let what = match status {
        StatusCode::TOO_MANY_REQUESTS => "That was too often in a short time. Wait a minute, then try again.",
        StatusCode::METHOD_NOT_ALLOWED => "This page is opened with a link, or by its own button.",
        status if status.is_server_error() => "Something went wrong. Try again in a moment.",
        _ => "This cannot be read. Open the page again.",
    };
    Page::new("Sign in a device").error(what).answer(status)
}

/// Counts what became of a device's question, unless it has to wait.
fn note_poll(app: &App, polled: &Polled) {
    match polled {
        Polled::Waiting => {}
        Polled::Key(_) => app.metrics.sign_in(SignInStep::Completed),
        Polled::Expired | Polled::Used | Polled::Unknown | Polled::WrongVerifier => {
            app.metrics.sign_in(SignInStep::Refused);
        }
    }
}

/// The key that the command line gets.
fn device_key() -> KeyWish {
    key("td", limits::KEY_SPAN)
}

fn key(name: &'static str, span: Duration) -> KeyWish {
    let name = Name::parse(name).expect("a short word is a name");
    KeyWish { purpose: Purpose::Td, name, span }
}
