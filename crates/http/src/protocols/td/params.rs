//! The ids in a request's path.
//!
//! One that does not read becomes the number zero, which nothing has: so it is answered as any unknown one is, after it
//! was decided whether the caller may ask.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tombolo_core::{Act, CredentialId, InvitationId, ProjectId, UserId};
use tombolo_service::{Caller, Ruled, ServiceError};

use super::error::TdError;
use super::wire;
use crate::App;

/// The project that a path names, as `{id}`.
#[derive(Clone, Debug)]
pub(super) struct ProjectParam {
    pub(super) id: ProjectId,
    /// As the client wrote it.
    text: String,
}

impl ProjectParam {
    /// What was answered of the project, or why it was refused.
    pub(super) fn ruled<T>(&self, answer: Result<Ruled<T>, ServiceError>) -> Result<T, TdError> {
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refusal)) => Err(TdError::refused(refusal, &self.text)),
            Err(error) => Err(TdError::failed(&error)),
        }
    }

    /// What was read of a request that does `act`; of one that makes no sense, what is wrong with it, but only to who
    /// may do it: anybody else is told that he may not, whatever he sent.
    pub(super) async fn or_refused<T>(
        &self,
        app: &App,
        caller: Caller,
        act: Act,
        read: Result<T, TdError>,
    ) -> Result<T, TdError> {
        let error = match read {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        self.ruled(app.projects.get(caller, self.id, act).await)?;
        Err(error)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProjectParam {
    type Rejection = TdError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, TdError> {
        let text = param(parts, state, "id").await;
        let id = ProjectId::parse_public(&text).unwrap_or(ProjectId::new(0));
        Ok(Self { id, text: wire::echo(&text) })
    }
}

macro_rules! param {
    ($(#[$doc:meta])* $name:ident, $id:ty, $read:path, $param:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $id);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = TdError;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, TdError> {
                let text = param(parts, state, $param).await;
                Ok(Self($read(&text).unwrap_or(<$id>::new(0))))
            }
        }
    };
}

param!(
    /// The member that a path names, as `{user}`.
    UserParam,
    UserId,
    UserId::parse_public,
    "user"
);
param!(
    /// The invitation that a path names, as `{invitation}`.
    InvitationParam,
    InvitationId,
    InvitationId::parse_public,
    "invitation"
);
param!(
    /// The key that a path names, as `{key}`.
    KeyParam,
    CredentialId,
    CredentialId::parse_public,
    "key"
);

/// The text of a parameter; empty where it is no text.
async fn param<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else { return String::new() };
    params.iter().find(|(key, _)| *key == name).map(|(_, text)| text.to_owned()).unwrap_or_default()
}
