//! Submitting to the log, and what is answered where it does not take what was submitted.

use axum::http::StatusCode;
use tombolo_service::{Appended, Rulebook, Submission, Submitted, Unfit};

use super::caller::Caller;
use super::error::EventError;
use crate::App;

/// Why nothing was stored.
pub(super) struct Refused {
    /// The place of the entry at fault, if it is one.
    pub(super) place: Option<usize>,
    pub(super) error: EventError,
}

/// Where it does not matter which entry it was, since nobody sent it.
impl From<Refused> for EventError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

impl From<EventError> for Refused {
    fn from(error: EventError) -> Self {
        Self { place: None, error }
    }
}

/// Submits entries of `caller`, which `judge` lets or refuses by the rules that are in force.
pub(super) async fn submit(
    app: &App,
    caller: &Caller,
    submission: Submission,
    judge: impl Fn(&Rulebook, usize) -> Result<(), EventError> + Send + Sync,
) -> Result<Vec<Appended>, Refused> {
    let submitted =
        app.events.submit(caller.user(), submission, judge).await.map_err(|error| EventError::failed(&error))?;
    let at = |place, error| Err(Refused { place: Some(place), error });
    match submitted {
        Submitted::Done(appended) => Ok(appended),
        Submitted::Denied(place, error) => at(place, error),
        Submitted::Clash(place) => at(place, EventError::conflict("Another event has this UUID already")),
        Submitted::Unfit(place, unfit) => at(place, unfit_error(unfit)),
        Submitted::Disabled => Err(caller.let_in_no_more().into()),
    }
}

fn unfit_error(unfit: Unfit) -> EventError {
    match unfit {
        Unfit::Known => EventError::conflict("User already exists"),
        Unfit::UsernameTaken => EventError::conflict("Username already exists"),
        Unfit::Unknown => EventError::new(StatusCode::NOT_FOUND, "User not found"),
        Unfit::Spent => bad_setup_token(),
    }
}

/// The original's text for every setup token that cannot be exchanged.
pub(super) fn bad_setup_token() -> EventError {
    EventError::bad_request("Failed to exchange setup token")
}
