//! `/auth/device/approve`: where the mailed link leads. Opening it shows who asks for what; only the button approves,
//! so that what reads mails and follows their links lets nobody in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tombolo_service::{LinkOpened, LinkToken, Request, ServiceError, to_minute};

use super::page::{Page, field};
use super::wire;
use crate::App;
use crate::failure::Failure;
use crate::metrics::SignInStep;

const TITLE: &str = "Approve a sign-in";

/// `GET /auth/device/approve?token=…`: changes nothing.
pub(super) async fn show(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let token = field(uri.query().unwrap_or_default().as_bytes(), "token");
    let Some(token) = token.as_deref().and_then(LinkToken::parse) else { return malformed() };
    match app.admissions.look_at_link(&token).await {
        Ok(LinkOpened::Good(request)) => ask(&request, &token).answer(StatusCode::OK),
        Ok(LinkOpened::Used) => used(),
        Ok(LinkOpened::Expired) => expired(),
        Ok(LinkOpened::Unknown) => unknown(),
        Ok(LinkOpened::NoAccount) => no_account(),
        Err(error) => failed(&error),
    }
}

/// `POST /auth/device/approve`
pub(super) async fn approve(State(app): State<Arc<App>>, body: Body) -> Response {
    let Ok(form) = wire::read_bytes(body).await else { return malformed() };
    let Some(token) = field(&form, "token").as_deref().and_then(LinkToken::parse) else { return malformed() };
    let approved = app.admissions.approve_by_link(&token).await;
    if let Ok(approved) = &approved {
        let is_good = matches!(approved, LinkOpened::Good(()));
        app.metrics.sign_in(if is_good { SignInStep::Approved } else { SignInStep::Refused });
    }
    match approved {
        Ok(LinkOpened::Good(())) => Page::new("Device approved")
            .success("Device approved \u{2014} return to your terminal.")
            .soft("You can close this page.")
            .answer(StatusCode::OK),
        Ok(LinkOpened::Used) => used(),
        Ok(LinkOpened::Expired) => expired(),
        Ok(LinkOpened::Unknown) => unknown(),
        Ok(LinkOpened::NoAccount) => no_account(),
        Err(error) => failed(&error),
    }
}

fn ask(request: &Request, token: &LinkToken) -> Page {
    let device = if request.device.is_empty() { "td, which gave no name" } else { &request.device };
    let (asked, until) = (to_minute(request.created_at), to_minute(request.expires_at));
    let facts = [("Address", request.email.as_str()), ("Device", device), ("Asked", &asked), ("Ends", &until)];
    Page::new(TITLE)
        .paragraph("Somebody asks to sign in:")
        .facts(&facts)
        .paragraph("Approve only if you started this yourself, just now, on that device: it will read and write everything that you can.")
        .button("approve", "token", token.reveal(), "Approve this device")
        .soft("If it was not you, close this page. Nobody gets in without the button.")
}

fn malformed() -> Response {
    let page = Page::new(TITLE).error("Invalid link.").paragraph("Open the link as it stands in the mail, to its end.");
    page.answer(StatusCode::BAD_REQUEST)
}

fn unknown() -> Response {
    refused("Invalid or expired link.", "If there is a newer mail, open its link. Otherwise start again on the device.")
}

fn used() -> Response {
    refused("This link has already been used.", "If your device is not signed in, start again on it.")
}

fn expired() -> Response {
    refused("This link has expired.", "Start again on the device.")
}

fn no_account() -> Response {
    refused("This address may not sign in here.", "Ask the server's owner.")
}

fn refused(why: &str, what_to_do: &str) -> Response {
    Page::new(TITLE).error(why).paragraph(what_to_do).answer(StatusCode::OK)
}

fn failed(error: &ServiceError) -> Response {
    let failure = Failure::of(error);
    let page = Page::new(TITLE).error("Something went wrong.").paragraph("Open the link again in a moment.");
    page.answer(failure.status)
}
