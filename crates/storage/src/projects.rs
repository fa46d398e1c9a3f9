//! Projects: spaces that several people share, who belongs to them, and who is invited.

use tombolo_core::{
    Act, EmailAddress, InvitationId, ProjectId, Purpose, Refusal, Role, ServerTime, SpaceNumber, UserId,
};

use crate::{Reply, SpaceAddress};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The store's number for it, and that of its space.
    pub id: ProjectId,
    /// The protocol that it is of.
    pub purpose: Purpose,
    /// For people; need not be unique.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// A short name for URLs, unique among its creator's projects; it never changes.
    pub slug: String,
    /// Who made it. Its space is stored among his.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: ServerTime,
    /// When its name or description was last changed, or itself deleted or restored.
    pub updated_at: ServerTime,
    /// Since when it is gone for its members.
    pub deleted_at: Option<ServerTime>,
}

impl Project {
    /// Where its log is.
    #[must_use]
    pub const fn space(&self) -> SpaceAddress {
        SpaceAddress { owner: self.created_by, purpose: self.purpose, number: SpaceNumber::new(self.id.get()) }
    }
}

/// A project to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProject {
    /// A random number above zero. One that is taken is a fault.
    pub id: ProjectId,
    /// The protocol that it is of.
    pub purpose: Purpose,
    /// As in [`Project`].
    pub name: String,
    /// As in [`Project`].
    pub description: String,
    /// The wished slug; `-2`, `-3`, … is added when the creator has it already.
    pub slug: String,
    /// Who becomes its first owner.
    pub created_by: UserId,
    /// The server's time.
    pub now: ServerTime,
}

/// What is to be changed in a project; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
}

/// One who belongs to a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// His address as he gave it; never logged.
    pub email: Option<String>,
    /// What he may do.
    pub role: Role,
    /// Who added him; `None` for the creator.
    pub invited_by: Option<UserId>,
    /// Since when.
    pub created_at: ServerTime,
}

/// Who is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user by number, of those who share a project that is not deleted with whoever adds him: whoever counts through
    /// the numbers learns of nobody else, nor his address.
    User(UserId),
    /// Whoever has this address. An unknown one makes a pending account ([`crate::User::confirmed_at`]).
    Address(EmailAddress),
}

/// What became of a new member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberAdded {
    /// He belongs to it now.
    Added(Member),
    /// He does already; nothing was changed.
    AlreadyMember,
    /// There is no user under this number, he is disabled, or he is none of those that [`Who::User`] may name. An
    /// address is never answered so: a disabled user's is added as any other, and opens nothing.
    NoSuchUser,
    /// The project has [`tombolo_core::limits::MEMBERS_MAX`], or he belongs to
    /// [`tombolo_core::limits::PROJECTS_MAX`].
    Full,
}

/// What became of a change of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChanged {
    /// It was done.
    Done,
    /// He does not belong to it.
    NotMember,
    /// No other owner would be left who is not disabled: he stays, and nothing was changed.
    LastOwner,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvitationStatus {
    /// Nothing yet.
    Pending,
    /// He belongs to the project.
    Accepted,
    /// He does not want to.
    Declined,
}

/// An invitation to a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The store's number for it.
    pub id: InvitationId,
    /// To what.
    pub project: ProjectId,
    /// Its name.
    pub project_name: String,
    /// Who is invited; never logged.
    pub email: String,
    /// What he is to be.
    pub role: Role,
    /// By whom.
    pub invited_by: UserId,
    /// What became of it.
    pub status: InvitationStatus,
    /// When it was made.
    pub created_at: ServerTime,
    /// When it ends.
    pub expires_at: ServerTime,
    /// When it was accepted.
    pub accepted_at: Option<ServerTime>,
}

/// An invitation to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvitation {
    /// To what.
    pub project: ProjectId,
    /// Who is invited.
    pub email: EmailAddress,
    /// What he is to be.
    pub role: Role,
    /// By whom.
    pub by: UserId,
    /// The server's time.
    pub now: ServerTime,
    /// When it ends.
    pub expires_at: ServerTime,
}

/// What became of a new invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    /// It was made.
    Made(Invitation),
    /// Whoever has this address belongs to the project already, or has a pending invitation to it.
    Already,
    /// The project has [`tombolo_core::limits::INVITATIONS_MAX`] that are pending.
    Full,
}

/// What became of an answer to an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// He belongs to the project now.
    Accepted {
        /// To what.
        project: ProjectId,
        /// As what.
        member: Member,
    },
    /// It was declined.
    Declined,
    /// There is none under this number for this user, or its project is deleted.
    Unknown,
    /// It was answered before; or he accepts it and belongs to the project already, or may not for want of room.
    /// Nothing was changed.
    Conflict,
    /// It ended.
    Expired,
}

/// A project as the server's owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectOverview {
    /// The project.
    pub project: Project,
    /// How many belong to it.
    pub members: u64,
    /// Changes in its log.
    pub changes: u64,
}

/// What became of a restoration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is there again.
    Done,
    /// There is no such project.
    Unknown,
    /// It is not deleted.
    NotDeleted,
    /// It was deleted before the time that was given.
    TooLate,
}

/// What may be refused because of who asks.
pub type Ruled<T> = Result<T, Refusal>;

/// Projects, members and invitations.
///
/// # Contract
/// Each method is one transaction, durable when it returns `Ok`. Where `by` is given, it is decided in that transaction
/// with [`tombolo_core::allows`] whether he may, so that whoever was removed changes nothing afterwards. A project that
/// does not exist refuses with [`Refusal::NotMember`]. What lets people in or keeps them out is told to other nodes as
/// changes of credentials are.
pub trait Projects: Send + Sync {
    /// Makes a project, and its creator its owner; `None` when he belongs to [`tombolo_core::limits::PROJECTS_MAX`]
    /// already, or is disabled.
    fn add_project(&self, new: NewProject) -> Reply<'_, Option<Project>>;

    /// The projects that `user` belongs to and that are not deleted, by the time they were made.
    fn projects_of(&self, user: UserId) -> Reply<'_, Vec<(Project, Role)>>;

    /// The project, for whom `by` may do `act`.
    fn project(&self, project: ProjectId, by: UserId, act: Act) -> Reply<'_, Ruled<Project>>;

    /// Changes name or description ([`Act::Rename`]).
    fn change_project(
        &self,
        project: ProjectId,
        by: UserId,
        change: ProjectChange,
        now: ServerTime,
    ) -> Reply<'_, Ruled<Project>>;

    /// Deletes a project for its members ([`Act::Delete`]).
    fn delete_project(&self, project: ProjectId, by: UserId, now: ServerTime) -> Reply<'_, Ruled<()>>;

    /// All projects, deleted ones too, by the time they were made: for the server's owner.
    fn all_projects(&self) -> Reply<'_, Vec<ProjectOverview>>;

    /// Deletes a project, by the server's owner; `false` when there is none that is not deleted.
    fn remove_project(&self, project: ProjectId, now: ServerTime) -> Reply<'_, bool>;

    /// Brings a project back that was deleted at `since` or later.
    fn restore_project(&self, project: ProjectId, since: ServerTime, now: ServerTime) -> Reply<'_, Restored>;

    /// Who belongs to a project ([`Act::ListMembers`]), by the time they came.
    fn members(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Member>>>;

    /// Adds a member ([`Act::AddMember`]).
    fn add_member(
        &self,
        project: ProjectId,
        by: UserId,
        who: Who,
        role: Role,
        now: ServerTime,
    ) -> Reply<'_, Ruled<MemberAdded>>;

    /// Changes a member's role ([`Act::ChangeRole`]).
    fn change_role(
        &self,
        project: ProjectId,
        by: UserId,
        member: UserId,
        role: Role,
    ) -> Reply<'_, Ruled<MemberChanged>>;

    /// Removes a member ([`Act::RemoveMember`], or [`Act::Leave`] when he is `by` himself).
    fn remove_member(&self, project: ProjectId, by: UserId, member: UserId) -> Reply<'_, Ruled<MemberChanged>>;

    /// Invites somebody ([`Act::Invite`]). An unknown address gets a pending account, as in [`Self::add_member`].
    fn invite(&self, new: NewInvitation) -> Reply<'_, Ruled<Invited>>;

    /// A project's invitations, whatever became of them ([`Act::Invite`]), by the time they were made. Of those that
    /// are not pending any more the oldest are forgotten, so that there are never more than
    /// [`tombolo_core::limits::INVITATIONS_MAX`].
    fn invitations(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Invitation>>>;

    /// Takes an invitation back ([`Act::Invite`]); `false` when the project has none under this number.
    fn withdraw_invitation(&self, project: ProjectId, by: UserId, invitation: InvitationId) -> Reply<'_, Ruled<bool>>;

    /// The pending invitations to the address of `user` that have not ended, of projects that are not deleted: the
    /// newest [`tombolo_core::limits::INVITATIONS_MAX`], the oldest of them first.
    fn invitations_for(&self, user: UserId, now: ServerTime) -> Reply<'_, Vec<Invitation>>;

    /// Accepts or declines an invitation to the address of `user`.
    fn answer_invitation(
        &self,
        invitation: InvitationId,
        user: UserId,
        accept: bool,
        now: ServerTime,
    ) -> Reply<'_, Answered>;
}
