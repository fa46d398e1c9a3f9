//! Projects: make, list, read, rename, delete.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Serialize;
use tombolo_core::limits::PROJECTS_MAX;
use tombolo_core::{Act, ProjectId, Purpose};
use tombolo_service::{Caller, Project, ProjectChange, ProjectDraft};

use super::error::TdError;
use super::gate::{self, Class};
use super::limits;
use super::params::ProjectParam;
use super::shapes::only;
use super::timestamp::seconds;
use super::wire::{self, ProjectWire};
use crate::App;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/v1/projects", only(get(list).post(create), "GET, HEAD, POST, OPTIONS"))
        .route("/v1/projects/{id}", only(get(read).patch(change).delete(delete), "GET, HEAD, PATCH, DELETE, OPTIONS"));
    gate::guarded(routes, app, Class::Other)
}

/// A project, as clients read it.
#[derive(Debug, Serialize)]
struct ProjectReply {
    id: String,
    name: String,
    description: String,
    slug: String,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
}

impl From<Project> for ProjectReply {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.public(),
            name: project.name,
            description: project.description,
            slug: project.slug,
            created_at: seconds(project.created_at),
            updated_at: seconds(project.updated_at),
            deleted_at: project.deleted_at.map(seconds),
        }
    }
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, TdError> {
    let projects = app.projects.list(caller, Purpose::Td).await.map_err(|error| TdError::failed(&error))?;
    let projects: Vec<ProjectReply> = projects.into_iter().map(Into::into).collect();
    Ok(wire::answer(StatusCode::OK, &projects))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, TdError> {
    let body = wire::body(body).await?;
    let ProjectWire { name, description } = wire::json(&body)?;
    let draft = ProjectDraft {
        purpose: Purpose::Td,
        name: check_name(name.unwrap_or_default().0)?,
        description: check_description(description.unwrap_or_default().0)?,
    };
    let made = app.projects.create(caller, draft, |draft, id| slug(&draft.name, id)).await;
    let project = made.map_err(|error| TdError::failed(&error))?.ok_or_else(|| {
        TdError::conflict(format!("you belong to {PROJECTS_MAX} projects, which is the most: leave or delete one"))
    })?;
    Ok(wire::answer(StatusCode::CREATED, &ProjectReply::from(project)))
}

async fn read(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    let found = project.ruled(app.projects.get(caller, project.id, Act::View).await)?;
    Ok(wire::answer(StatusCode::OK, &ProjectReply::from(found)))
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
    body: Body,
) -> Result<Response, TdError> {
    let body = project.or_refused(&app, caller, Act::Rename, wire::body(body).await).await?;
    let change = project.or_refused(&app, caller, Act::Rename, read_change(&body)).await?;
    let changed = project.ruled(app.projects.change(caller, project.id, change).await)?;
    Ok(wire::answer(StatusCode::OK, &ProjectReply::from(changed)))
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    project: ProjectParam,
) -> Result<Response, TdError> {
    project.ruled(app.projects.delete(caller, project.id).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn read_change(body: &[u8]) -> Result<ProjectChange, TdError> {
    let ProjectWire { name, description } = wire::json(body)?;
    Ok(ProjectChange {
        name: name.map(|name| check_name(name.0)).transpose()?,
        description: description.map(|description| check_description(description.0)).transpose()?,
    })
}

fn check_name(name: Cow<'_, str>) -> Result<String, TdError> {
    if name.trim().is_empty() {
        return Err(TdError::bad_request("name is required"));
    }
    if name.chars().count() > limits::PROJECT_NAME_CHARS_MAX {
        let most = limits::PROJECT_NAME_CHARS_MAX;
        return Err(TdError::bad_request(format!("name is longer than {most} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(TdError::bad_request("name may hold no control characters"));
    }
    Ok(name.into_owned())
}

fn check_description(description: Cow<'_, str>) -> Result<String, TdError> {
    if description.len() > limits::DESCRIPTION_BYTES_MAX {
        let most = limits::DESCRIPTION_BYTES_MAX;
        return Err(TdError::bad_request(format!("description is longer than {most} bytes")));
    }
    if description.contains('\0') {
        return Err(TdError::bad_request("description may hold no NUL character"));
    }
    Ok(description.into_owned())
}

/// A project's short name: the letters and digits of its name, hyphens for all else; without any, its id.
fn slug(name: &str, id: ProjectId) -> String {
    let name = name.to_lowercase();
    let words = name.split(|letter: char| !matches!(letter, 'a'..='z' | '0'..='9')).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() { id.public() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_what_an_address_takes() {
        let check = |name: &str, expected: &str| assert_eq!(slug(name, ProjectId::new(0xab)), expected, "{name}");
        check("Website", "website");
        check("  My  Project! (2026) ", "my-project-2026");
        check("a_b--c", "a-b-c");
        check("Größe", "gr-e");
        check("日本", "p_00000000000000ab");
        check("---", "p_00000000000000ab");
    }

    #[test]
    fn names_and_descriptions_are_bounded() {
        let name = |text: &str| check_name(text.into()).map_err(|error| format!("{error:?}"));
        assert_eq!(name(" a "), Ok(" a ".to_owned()));
        assert!(name(&"é".repeat(200)).is_ok());
        for (text, expected) in [
            ("", "name is required"),
            (" \t", "name is required"),
            ("a\nb", "control characters"),
            ("a\0", "control characters"),
            (&"é".repeat(201), "longer than 200 characters"),
        ] {
            assert!(name(text).unwrap_err().contains(expected), "{text:?}");
        }
        assert!(check_description("a\n\tb".into()).is_ok());
        assert!(check_description("x".repeat(10_000).into()).is_ok());
        assert!(check_description("x".repeat(10_001).into()).is_err());
        assert!(check_description("a\0".into()).is_err());
    }
}
