//! `/auth/verify`: where the code is typed that an older command line shows. It has the link mailed, and approves
//! nothing: whoever started the sign-in knows the code.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tombolo_core::UserCode;
use tombolo_service::CodeEntered;

use super::page::{Page, field};
use super::wire;
use crate::App;
use crate::failure::Failure;
use crate::metrics::SignInStep;

const TITLE: &str = "Sign in a device";

/// `GET /auth/verify`
pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    with_form(&app, Page::new(TITLE)).answer(StatusCode::OK)
}

/// `POST /auth/verify`: the same answer whether or not the address may sign in.
pub(super) async fn enter(State(app): State<Arc<App>>, body: Body) -> Response {
    let Ok(form) = wire::read_bytes(body).await else { return refuse(&app, "Invalid or expired code.") };
    let typed = field(&form, "user_code").unwrap_or_default();
    if typed.trim().is_empty() {
        return refuse(&app, "Please enter a code.");
    }
    let Some(code) = UserCode::parse(&typed) else { return refuse(&app, "Invalid or expired code.") };
    match app.admissions.enter_code(&code).await {
        Ok(CodeEntered::Mailed) => Page::new(TITLE)
            .success("If that address may sign in here, a mail with a link is on its way to it.")
            .paragraph("Open the link to approve the device. The mail may take a minute, or lie among the spam.")
            .soft("You can close this page.")
            .answer(StatusCode::OK),
        Ok(CodeEntered::LeftToOwner(code)) => Page::new(TITLE)
            .success("The code is right. On this server, its owner approves sign-ins.")
            .paragraph("Ask the owner to run this command on the server:")
            .command(&format!("tombolo login approve {}", code.as_str()))
            .soft("The device goes on by itself then. You can close this page.")
            .answer(StatusCode::OK),
        Ok(CodeEntered::Unknown) => {
            app.metrics.sign_in(SignInStep::Refused);
            refuse(&app, "Invalid or expired code.")
        }
        Err(error) => {
            let failure = Failure::of(&error);
            with_form(&app, Page::new(TITLE).error("Something went wrong. Try again in a moment."))
                .answer(failure.status)
        }
    }
}

fn refuse(app: &App, why: &str) -> Response {
    with_form(app, Page::new(TITLE).error(why)).answer(StatusCode::OK)
}

fn with_form(app: &App, page: Page) -> Page {
    let what_follows = if app.admissions.sends_mail() {
        "Type the code that your device shows. The link to approve it is then mailed to you."
    } else {
        "Type the code that your device shows."
    };
    page.paragraph(what_follows).html(
        "<form method=\"post\" action=\"verify\">\n<label for=\"user_code\">Code</label>\n\
         <input id=\"user_code\" name=\"user_code\" type=\"text\" required maxlength=\"20\" autocomplete=\"off\" \
         autocapitalize=\"characters\" spellcheck=\"false\" autofocus>\n<button type=\"submit\">Continue</button>\n\
         </form>\n",
    )
}
