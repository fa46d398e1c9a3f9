//! Members of a project: list, add, change, remove.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::limits::{MEMBERS_MAX, PROJECTS_MAX};
use tombolo_core::{Act, ProjectId, Role, UserId};
use tombolo_service::{Caller, Member, MemberAdded, MemberChanged, Who};

use super::error::TdError;
use super::gate::{self, Class};
use super::params::{ProjectParam, UserParam};
use super::shapes::only;
use super::timestamp::seconds;
use super::wire::{self, PersonWire};
use crate::App;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/v1/projects/{id}/members", only(get(list).post(add), "GET, HEAD, POST, OPTIONS"))
        .route("/v1/projects/{id}/members/{user}", only(patch(change).delete(remove), "PATCH, DELETE, OPTIONS"));
    gate::guarded(routes, app, Class::Other)
}

/// A member, as clients read him.
#[derive(Debug, Serialize)]
pub(super) struct MemberReply {
    project_id: String,
    user_id: String,
    email: String,
    role: &'static str,
    /// Empty for the creator.
    invited_by: String,
    created_at: String,
}

impl MemberReply {
    pub(super) fn new(project: ProjectId, member: Member) -> Self {
        Self {
            project_id: project.public(),
            user_id: member.user.public(),
            email: member.email.unwrap_or_default(),
            role: member.role.as_str(),
            invited_by: member.invited_by.map(UserId::public).unwrap_or_default(),
            created_at: seconds(member.created_at),
        }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    let members = project.ruled(app.projects.members(caller, project.id).await)?;
    let members: Vec<MemberReply> = members.into_iter().map(|member| MemberReply::new(project.id, member)).collect();
    Ok(wire::answer(StatusCode::OK, &members))
}

async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    body: Body,
) -> Result<Response, TdError> {
    let body = project.or_refused(&app, caller, Act::AddMember, wire::body(body).await).await?;
    let (who, role) = project.or_refused(&app, caller, Act::AddMember, read_member(&body)).await?;
    match project.ruled(app.projects.add_member(caller, project.id, who, role).await)? {
        MemberAdded::Added(member) => Ok(wire::answer(StatusCode::CREATED, &MemberReply::new(project.id, member))),
        MemberAdded::AlreadyMember => Err(TdError::conflict("already a member of this project: change the role")),
        MemberAdded::NoSuchUser => Err(TdError::not_found("there is no such user")),
        MemberAdded::Full => Err(TdError::conflict(format!(
            "the project has {MEMBERS_MAX} members, or this user {PROJECTS_MAX} projects, which is the most"
        ))),
    }
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    UserParam(member): UserParam,
    body: Body,
) -> Result<Response, TdError> {
    let body = project.or_refused(&app, caller, Act::ChangeRole, wire::body(body).await).await?;
    let role = wire::json(&body).and_then(|person| role(&person));
    let role = project.or_refused(&app, caller, Act::ChangeRole, role).await?;
    done(project.ruled(app.projects.change_role(caller, project.id, member, role).await)?)?;
    Ok(wire::answer(StatusCode::OK, &serde_json::json!({ "status": "updated" })))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    UserParam(member): UserParam,
) -> Result<Response, TdError> {
    done(project.ruled(app.projects.remove_member(caller, project.id, member).await)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn done(changed: MemberChanged) -> Result<(), TdError> {
    match changed {
        MemberChanged::Done => Ok(()),
        MemberChanged::NotMember => Err(TdError::not_found("that user is no member of this project")),
        MemberChanged::LastOwner => Err(TdError::new(
            StatusCode::CONFLICT,
            "last_owner",
            "a project keeps its last owner: make somebody else an owner first",
        )),
    }
}

fn read_member(body: &[u8]) -> Result<(Who, Role), TdError> {
    let person = wire::json(body)?;
    Ok((who(&person)?, role(&person)?))
}

/// Whom a body means: by address, or else by number.
fn who(person: &PersonWire<'_>) -> Result<Who, TdError> {
    match (&*person.email.0, &*person.user_id.0) {
        ("", "") => Err(TdError::bad_request("email or user_id is required")),
        // A number that nobody has, for one that is none.
        ("", id) => Ok(Who::User(UserId::parse_public(id).unwrap_or(UserId::new(0)))),
        (email, _) => wire::email(email).map(Who::Address),
    }
}

/// The role in a body.
pub(super) fn role(person: &PersonWire<'_>) -> Result<Role, TdError> {
    let text = &*person.role.0;
    Role::parse(text).map_err(|error| {
        let what =
            if text.is_empty() { "role is required".to_owned() } else { format!("invalid role: {}", wire::echo(text)) };
        TdError::bad_request(format!("{what}; {error}"))
    })
}

#[cfg(test)]
mod tests {
    use tombolo_core::EmailAddress;

    use super::*;

    #[test]
    fn who_is_meant() {
        let check = |body: &str, expected: Result<Who, &str>| {
            let person = wire::json(body.as_bytes()).unwrap();
            match (who(&person), expected) {
                (Ok(who), Ok(expected)) => assert_eq!(who, expected, "{body}"),
                (Err(error), Err(expected)) => assert!(format!("{error:?}").contains(expected), "{body}: {error:?}"),
                (found, _) => panic!("{body}: {found:?}"),
            }
        };
        let ann = EmailAddress::parse("Ann@example.org").unwrap();
        check(r#"{"email":" Ann@example.org "}"#, Ok(Who::Address(ann.clone())));
        check(r#"{"email":"Ann@example.org","user_id":"u_0000000000000007"}"#, Ok(Who::Address(ann)));
        check(r#"{"user_id":"u_0000000000000007"}"#, Ok(Who::User(UserId::new(7))));
        check(r#"{"email":null,"user_id":"ann"}"#, Ok(Who::User(UserId::new(0))));
        check(r#"{"email":"not an email","user_id":"u_0000000000000007"}"#, Err("valid email is required"));
        check(r#"{"email":"ann@example.org\n"}"#, Ok(Who::Address(EmailAddress::parse("ann@example.org").unwrap())));
        check(r#"{"email":"","user_id":null}"#, Err("email or user_id is required"));
        check("{}", Err("email or user_id is required"));
    }

    #[test]
    fn what_is_no_role_is_said_with_those_that_are() {
        let check = |body: &str, expected: &str| {
            let error = format!("{:?}", role(&wire::json(body.as_bytes()).unwrap()).unwrap_err());
            assert!(error.contains("400") && error.contains(expected), "{body}: {error}");
        };
        check("{}", "role is required; a role is owner, writer or reader");
        check(r#"{"role":null}"#, "role is required");
        check(r#"{"role":"Owner"}"#, "invalid role: Owner; a role is owner, writer or reader");
        assert_eq!(role(&wire::json(br#"{"role":"writer"}"#).unwrap()).unwrap(), Role::Writer);
    }
}
