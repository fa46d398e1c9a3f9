//! Invitations: a project's owner makes them, whoever has the address answers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::limits::INVITATIONS_MAX;
use tombolo_core::{Act, EmailAddress, Role, ServerTime};
use tombolo_service::{Answered, Caller, Invitation, InvitationStatus, InviteOutcome, Letter};

use super::error::TdError;
use super::gate::{self, Class};
use super::members::{self, MemberReply};
use super::params::{InvitationParam, ProjectParam};
use super::shapes::only;
use super::timestamp::seconds;
use super::wire::{self, PersonWire};
use crate::App;
use crate::failure::retry_after;
use crate::metrics::LimitClass;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/v1/projects/{id}/invitations", only(get(list).post(invite), "GET, HEAD, POST, OPTIONS"))
        .route("/v1/projects/{id}/invitations/{invitation}", only(delete(withdraw), "DELETE, OPTIONS"))
        .route("/v1/invitations", only(get(list_own), "GET, HEAD, OPTIONS"))
        .route("/v1/invitations/{invitation}/accept", only(post(accept), "POST, OPTIONS"))
        .route("/v1/invitations/{invitation}/decline", only(post(decline), "POST, OPTIONS"));
    gate::guarded(routes, app, Class::Other)
}

/// An invitation, as clients read it.
#[derive(Debug, Serialize)]
struct InvitationReply {
    id: String,
    project_id: String,
    email: String,
    role: &'static str,
    invited_by: String,
    status: &'static str,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<String>,
}

impl InvitationReply {
    fn new(invitation: Invitation, now: ServerTime) -> Self {
        let status = match invitation.status {
            InvitationStatus::Pending if invitation.expires_at <= now => "expired",
            InvitationStatus::Pending => "pending",
            InvitationStatus::Accepted => "accepted",
            InvitationStatus::Declined => "declined",
        };
        Self {
            id: invitation.id.public(),
            project_id: invitation.project.public(),
            email: invitation.email,
            role: invitation.role.as_str(),
            invited_by: invitation.invited_by.public(),
            status,
            created_at: seconds(invitation.created_at),
            expires_at: seconds(invitation.expires_at),
            accepted_at: invitation.accepted_at.map(seconds),
        }
    }
}

fn all(invitations: Vec<Invitation>, now: ServerTime) -> Response {
    let invitations: Vec<InvitationReply> =
        invitations.into_iter().map(|invitation| InvitationReply::new(invitation, now)).collect();
    wire::answer(StatusCode::OK, &invitations)
}

async fn invite(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    body: Body,
) -> Result<Response, TdError> {
    let body = project.or_refused(&app, caller, Act::Invite, wire::body(body).await).await?;
    let (email, role) = project.or_refused(&app, caller, Act::Invite, read(&body)).await?;
    let invited = app.projects.invite(caller, project.id, email, role).await;
    match invited.map_err(|error| TdError::failed(&error))? {
        InviteOutcome::Made(invitation) => {
            Ok(wire::answer(StatusCode::CREATED, &InvitationReply::new(invitation, app.env.now())))
        }
        InviteOutcome::Already => {
            Err(TdError::conflict("whoever has this address belongs to this project, or is invited already"))
        }
        InviteOutcome::Full => Err(TdError::conflict(format!(
            "the project has {INVITATIONS_MAX} invitations without an answer, which is the most: take some back"
        ))),
        InviteOutcome::Refused(refusal) => project.ruled(Ok(Err(refusal))),
        InviteOutcome::TooMany(wait) => {
            app.metrics.limited(LimitClass::Invitation);
            let message = format!("too many invitations were mailed just now: try again in {} s", retry_after(wait));
            Err(TdError::too_many(message, wait))
        }
    }
}

fn read(body: &[u8]) -> Result<(EmailAddress, Role), TdError> {
    let person: PersonWire<'_> = wire::json(body)?;
    Ok((wire::email(&person.email.0)?, members::role(&person)?))
}

/// The mail of an invitation: how td's command line accepts it, which has no word for that.
pub fn invitation_letter(letter: &Letter<'_>) -> String {
    let Letter { base_url, project, invitation } = letter;
    format!(
        "You are invited to the project \"{project}\" at {base_url},
as {role}.

Sign in there with this address, then accept the invitation. With td:

  export TD_FEATURE_SYNC_CLI=1 TD_SYNC_URL={base_url}
  td auth login
  curl -X POST -H \"Authorization: Bearer YOUR-KEY\" \\
       {base_url}/v1/invitations/{id}/accept

YOUR-KEY is the api_key in ~/.config/td/auth.json. The invitation ends on
{until}. If you expected none, delete this mail.
",
        role = invitation.role,
        id = invitation.id.public(),
        until = &seconds(invitation.expires_at)[..10],
    )
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    Ok(all(project.ruled(app.projects.invitations(caller, project.id).await)?, app.env.now()))
}

async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    InvitationParam(invitation): InvitationParam,
) -> Result<Response, TdError> {
    if project.ruled(app.projects.withdraw(caller, project.id, invitation).await)? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(unknown())
}

async fn list_own(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, TdError> {
    let invitations = app.projects.invitations_for(caller).await.map_err(|error| TdError::failed(&error))?;
    Ok(all(invitations, app.env.now()))
}

async fn accept(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InvitationParam(invitation): InvitationParam,
) -> Result<Response, TdError> {
    match app.projects.accept(caller, invitation).await.map_err(|error| TdError::failed(&error))? {
        Answered::Accepted { project, member } => Ok(wire::answer(StatusCode::OK, &MemberReply::new(project, member))),
        other => Err(unanswered(&other)),
    }
}

async fn decline(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InvitationParam(invitation): InvitationParam,
) -> Result<Response, TdError> {
    match app.projects.decline(caller, invitation).await.map_err(|error| TdError::failed(&error))? {
        Answered::Declined => Ok(wire::answer(StatusCode::OK, &serde_json::json!({ "status": "declined" }))),
        other => Err(unanswered(&other)),
    }
}

fn unanswered(answered: &Answered) -> TdError {
    match answered {
        Answered::Expired => {
            TdError::new(StatusCode::GONE, "expired", "this invitation ended: ask whoever invited you for a new one")
        }
        Answered::Conflict => TdError::conflict(
            "this invitation was answered already, or you belong to the project, or there is no room for another",
        ),
        Answered::Unknown | Answered::Accepted { .. } | Answered::Declined => unknown(),
    }
}

fn unknown() -> TdError {
    TdError::not_found("there is no such invitation")
}

#[cfg(test)]
mod tests {
    use tombolo_core::{InvitationId, ProjectId, UserId};

    use super::*;

    #[test]
    fn an_invitation_that_ended_says_so() {
        let now = ServerTime::from_micros(1_800_000_000_000_000);
        let second = std::time::Duration::from_secs(1);
        let check = |status, expires_at, expected: &str| {
            let invitation = Invitation {
                id: InvitationId::new(0x2a),
                project: ProjectId::new(1),
                project_name: "Website".to_owned(),
                email: "ann@example.org".to_owned(),
                role: Role::Writer,
                invited_by: UserId::new(1),
                status,
                created_at: now,
                expires_at,
                accepted_at: None,
            };
            let reply = serde_json::to_value(InvitationReply::new(invitation, now)).unwrap();
            let expected = serde_json::json!({
                "id": "inv_000000000000002a", "project_id": "p_0000000000000001", "email": "ann@example.org",
                "role": "writer", "invited_by": "u_0000000000000001", "status": expected,
                "created_at": "2027-01-15T08:00:00Z", "expires_at": seconds(expires_at)
            });
            assert_eq!(reply, expected);
        };
        check(InvitationStatus::Pending, now.plus(second), "pending");
        check(InvitationStatus::Pending, now, "expired");
        check(InvitationStatus::Accepted, now, "accepted");
        check(InvitationStatus::Declined, now.minus(second), "declined");
    }
}
