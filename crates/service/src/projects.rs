//! Projects: spaces that several people share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Act, Digest, EmailAddress, Env, InvitationId, ProjectId, Purpose, Refusal, Role, UserId, limits};
use tombolo_storage::{
    Answered, Invitation, Invited, Member, MemberAdded, MemberChanged, NewInvitation, NewProject, Project,
    ProjectChange, Ruled, Store, Who,
};

use crate::access_changes::AccessChanges;
use crate::label::label;
use crate::outbox::{Mail, Outbox};
use crate::steady_clock::SteadyClock;
use crate::windows::Windows;
use crate::{Caller, ServiceError};

/// How long an invitation may be answered.
const INVITATION_AGE: Duration = Duration::from_secs(7 * 86_400);

/// Invitations that one user may have mailed in a minute: a team at its beginning, and no flood of strange mailboxes.
const INVITATIONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("the limit is not zero");
/// Invitations that one address may be mailed in [`ADDRESS_SPAN`], by whomever: whoever is really wanted answers the
/// first, and nobody's mailbox is filled by many who each stay below their own bound.
const INVITATIONS_PER_ADDRESS: NonZeroU32 = NonZeroU32::new(5).expect("the limit is not zero");
/// What that bound is "per".
const ADDRESS_SPAN: Duration = Duration::from_secs(15 * 60);

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
    /// Mails by whose they are, and by whom they go to: of an address only a digest is kept.
    mailed_by: Windows<UserId>,
    mailed_to: Windows<Digest>,
}

/// What invitations are mailed with.
pub struct Post {
    /// Where mails are left.
    pub outbox: Outbox,
    /// Where this server is reached.
    pub base_url: String,
    /// Writes the mail: how an invitation is answered is the protocol's.
    pub letter: fn(&Letter<'_>) -> String,
}

/// What the mail of an invitation is written from.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Where this server is reached, without a slash at its end.
    pub base_url: &'a str,
    /// The project's name, as it may stand in a mail to somebody who never heard of it; never empty.
    pub project: &'a str,
    /// The invitation.
    pub invitation: &'a Invitation,
}

/// What became of inviting somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InviteOutcome {
    /// It was made, and is mailed where the server sends mail.
    Made(Invitation),
    /// Whoever has the address belongs to the project, or is invited.
    Already,
    /// The project has [`limits::INVITATIONS_MAX`] without an answer.
    Full,
    /// The caller may not invite.
    Refused(Refusal),
    /// This user had too many mailed, or this address was mailed too many: nothing was made. Says how long to wait.
    TooMany(Duration),
}

impl Projects {
    /// Projects of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>, changes: Arc<AccessChanges>, post: Post) -> Self {
        let clock = SteadyClock::new(env.clone());
        let keys_max = limits::COUNTED_ADDRESSES_MAX;
        let mailed_by = Windows::new(INVITATIONS_PER_MINUTE, keys_max, clock.clone());
        let mailed_to = Windows::of_span(INVITATIONS_PER_ADDRESS, ADDRESS_SPAN, keys_max, clock);
        Self { store, env, changes, post, mailed_by, mailed_to }
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

    /// Invites somebody for seven days, and mails it to him where the server sends mail.
    ///
    /// # Errors
    /// As of all methods.
    pub async fn invite(
        &self,
        caller: Caller,
        project: ProjectId,
        email: EmailAddress,
        role: Role,
    ) -> Result<InviteOutcome, ServiceError> {
        let place = match self.take_place(caller.user, &email) {
            Ok(place) => place,
            // Who may not invite is told that, however much is mailed.
            Err(wait) => {
                let ruled = self.store.project(project, caller.user, Act::Invite).await?;
                return Ok(ruled.map_or_else(InviteOutcome::Refused, |_| InviteOutcome::TooMany(wait)));
            }
        };
        let now = self.env.now();
        let to = email.clone();
        let new = NewInvitation { project, email, role, by: caller.user, now, expires_at: now.plus(INVITATION_AGE) };
        Ok(match self.store.invite(new).await? {
            Ok(Invited::Made(invitation)) => {
                if self.mail(to, &invitation) {
                    place.keep();
                }
                InviteOutcome::Made(invitation)
            }
            Ok(Invited::Already) => InviteOutcome::Already,
            Ok(Invited::Full) => InviteOutcome::Full,
            Err(refusal) => InviteOutcome::Refused(refusal),
        })
    }

    /// A place among the mails of a user and to an address, which is given back unless it is kept; `Err` says how long
    /// to wait for one.
    fn take_place(&self, by: UserId, to: &EmailAddress) -> Result<MailPlace<'_>, Duration> {
        let mut place = MailPlace { projects: self, by: None, to: None };
        if !self.post.outbox.is_open() {
            return Ok(place);
        }
        let counted = self.mailed_by.count(by);
        if counted.is_over {
            return Err(counted.reset);
        }
        place.by = Some(by);
        let to = Digest::of(to.key().as_bytes());
        let counted = self.mailed_to.count(to);
        if counted.is_over {
            return Err(counted.reset);
        }
        place.to = Some(to);
        Ok(place)
    }

    /// Leaves the mail of an invitation. It names the project and not who invites: a name that somebody chose for
    /// himself is no proof of who he is.
    fn mail(&self, to: EmailAddress, invitation: &Invitation) -> bool {
        let Post { outbox, base_url, letter } = &self.post;
        let name = Some(label(&invitation.project_name)).filter(|name| !name.is_empty());
        let project = name.as_deref().unwrap_or("without a name");
        let text = letter(&Letter { base_url, project, invitation });
        outbox.put(Mail { to, subject: "An invitation to a project".to_owned(), text, until: invitation.expires_at })
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

/// What one mail counts for. It is given back where none was left, also where nobody waits for the answer any more.
struct MailPlace<'a> {
    projects: &'a Projects,
    by: Option<UserId>,
    to: Option<Digest>,
}

impl MailPlace<'_> {
    fn keep(mut self) {
        (self.by, self.to) = (None, None);
    }
}

impl Drop for MailPlace<'_> {
    fn drop(&mut self) {
        if let Some(by) = self.by {
            self.projects.mailed_by.take_back(by);
        }
        if let Some(to) = self.to {
            self.projects.mailed_to.take_back(to);
        }
    }
}
