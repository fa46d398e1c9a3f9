//! Projects: spaces that several people share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Act, EmailAddress, Env, InvitationId, ProjectId, Purpose, Role, UserId, limits};
use tombolo_storage::{
    Answered, Invitation, Invited, Member, MemberAdded, MemberChanged, NewInvitation, NewProject, Project,
    ProjectChange, Ruled, Store, Who,
};

use crate::access_changes::AccessChanges;
use crate::outbox::{Mail, Outbox};
use crate::steady_clock::SteadyClock;
use crate::windows::Windows;
use crate::{Caller, ServiceError};

/// How long an invitation may be answered.
const INVITATION_AGE: Duration = Duration::from_secs(7 * 86_400);

/// Invitations that one user may have mailed in a minute: a team at its beginning, and no flood of strange mailboxes.
const INVITATIONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("the limit is not zero");

/// A project to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectDraft {
    /// The protocol that it is of.
    pub purpose: Purpose,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
}

/// What one can do with projects.
///
/// Who may do what is decided in the store, in the transaction that does it; a refusal is a value ([`Ruled`]).
///
/// # Errors
/// Of each method: [`ServiceError::Store`]. What was asked may be asked again; what was done meanwhile answers as such.
pub struct Projects {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    changes: Arc<AccessChanges>,
    post: Post,
    invited: Windows<UserId>,
}

/// What invitations are mailed with.
pub struct Post {
    /// Where mails are left.
    pub outbox: Outbox,
    /// Where this server is reached.
    pub base_url: String,
}

impl Projects {
    /// Projects of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, changes: Arc<AccessChanges>, post: Post) -> Self {
        let clock = SteadyClock::new(env.clone());
        let invited = Windows::new(INVITATIONS_PER_MINUTE, limits::COUNTED_ADDRESSES_MAX, clock);
        Self { store, env, changes, post, invited }
    }

    /// Makes a project that is the caller's; `None` when he belongs to as many as one may.
    ///
    /// `slug_of` makes its short name, from its number where nothing else is left to make one from.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn create(
        &self,
        caller: Caller,
        draft: ProjectDraft,
        slug_of: impl FnOnce(&ProjectDraft, ProjectId) -> String,
    ) -> Result<Option<Project>, ServiceError> {
        let id = self.fresh_id();
        let slug = slug_of(&draft, id);
        let ProjectDraft { purpose, name, description } = draft;
        let new = NewProject { id, purpose, name, description, slug, created_by: caller.user, now: self.env.now() };
        Ok(self.store.add_project(new).await?)
    }

    /// The caller's projects of a protocol, by the time they were made.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn list(&self, caller: Caller, purpose: Purpose) -> Result<Vec<Project>, ServiceError> {
        let projects = self.store.projects_of(caller.user).await?;
        Ok(projects.into_iter().map(|(project, _)| project).filter(|project| project.purpose == purpose).collect())
    }

    /// The project, if the caller may do `act` with it.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn get(&self, caller: Caller, project: ProjectId, act: Act) -> Result<Ruled<Project>, ServiceError> {
        Ok(self.store.project(project, caller.user, act).await?)
    }

    /// Changes a project's name or description.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn change(
        &self,
        caller: Caller,
        project: ProjectId,
        change: ProjectChange,
    ) -> Result<Ruled<Project>, ServiceError> {
        Ok(self.store.change_project(project, caller.user, change, self.env.now()).await?)
    }

    /// Deletes a project for its members. The server's owner can bring it back for a while.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn delete(&self, caller: Caller, project: ProjectId) -> Result<Ruled<()>, ServiceError> {
        let _telling = Telling(&self.changes);
        Ok(self.store.delete_project(project, caller.user, self.env.now()).await?)
    }

    /// Who belongs to a project, by the time they came.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn members(&self, caller: Caller, project: ProjectId) -> Result<Ruled<Vec<Member>>, ServiceError> {
        Ok(self.store.members(project, caller.user).await?)
    }

    /// Adds a member. An address that nobody has makes an account that waits for him.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn add_member(
        &self,
        caller: Caller,
        project: ProjectId,
        who: Who,
        role: Role,
    ) -> Result<Ruled<MemberAdded>, ServiceError> {
        Ok(self.store.add_member(project, caller.user, who, role, self.env.now()).await?)
    }

    /// Changes a member's role.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn change_role(
        &self,
        caller: Caller,
        project: ProjectId,
        member: UserId,
        role: Role,
    ) -> Result<Ruled<MemberChanged>, ServiceError> {
        Ok(self.store.change_role(project, caller.user, member, role).await?)
    }

    /// Removes a member, who may be the caller himself.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn remove_member(
        &self,
        caller: Caller,
        project: ProjectId,
        member: UserId,
    ) -> Result<Ruled<MemberChanged>, ServiceError> {
        let _telling = Telling(&self.changes);
        Ok(self.store.remove_member(project, caller.user, member).await?)
    }

    /// Invites somebody for seven days, and mails it to him where the server sends mail. `Err` says how long to wait
    /// when this user had too many mailed.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn invite(
        &self,
        caller: Caller,
        project: ProjectId,
        email: EmailAddress,
        role: Role,
    ) -> Result<Result<Ruled<Invited>, Duration>, ServiceError> {
        if self.post.outbox.is_open() {
            let counted = self.invited.count(caller.user);
            if counted.is_over {
                return Ok(Err(counted.reset));
            }
        }
        let now = self.env.now();
        let new = NewInvitation { project, email, role, by: caller.user, now, expires_at: now.plus(INVITATION_AGE) };
        let to = new.email.clone();
        let invited = self.store.invite(new).await?;
        if let Ok(Invited::Made(invitation)) = &invited {
            self.post.outbox.put(invitation_mail(&self.post.base_url, to, invitation));
        }
        Ok(Ok(invited))
    }

    /// A project's invitations, whatever became of them.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn invitations(
        &self,
        caller: Caller,
        project: ProjectId,
    ) -> Result<Ruled<Vec<Invitation>>, ServiceError> {
        Ok(self.store.invitations(project, caller.user).await?)
    }

    /// Takes an invitation back; `false` when the project has no such.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn withdraw(
        &self,
        caller: Caller,
        project: ProjectId,
        invitation: InvitationId,
    ) -> Result<Ruled<bool>, ServiceError> {
        Ok(self.store.withdraw_invitation(project, caller.user, invitation).await?)
    }

    /// The invitations that the caller can answer.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn invitations_for(&self, caller: Caller) -> Result<Vec<Invitation>, ServiceError> {
        Ok(self.store.invitations_for(caller.user, self.env.now()).await?)
    }

    /// Accepts an invitation to the caller's address.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn accept(&self, caller: Caller, invitation: InvitationId) -> Result<Answered, ServiceError> {
        Ok(self.store.answer_invitation(invitation, caller.user, true, self.env.now()).await?)
    }

    /// Declines an invitation to the caller's address.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn decline(&self, caller: Caller, invitation: InvitationId) -> Result<Answered, ServiceError> {
        Ok(self.store.answer_invitation(invitation, caller.user, false, self.env.now()).await?)
    }

    /// A random number above zero: of 63 bits, two are never equal.
    fn fresh_id(&self) -> ProjectId {
        let mut bytes = [0; 8];
        self.env.fill_random(&mut bytes);
        ProjectId::new((i64::from_be_bytes(bytes) & i64::MAX).max(1))
    }
}

/// Tells that what lets people in may have changed when this is dropped, also where nobody waits for the answer any
/// more.
struct Telling<'a>(&'a AccessChanges);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// It names the project and not who invites: a name that somebody chose for himself is no proof of who he is.
fn invitation_mail(base_url: &str, to: EmailAddress, invitation: &Invitation) -> Mail {
    let text = format!(
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
        project = invitation.project_name,
        role = invitation.role,
        id = format_args!("inv_{:016x}", invitation.id.get()),
        until = &invitation.expires_at.to_string()[..10],
    );
    Mail { to, subject: "An invitation to a project".to_owned(), text, until: invitation.expires_at }
}
