//! Projects, members and invitations in memory.

use std::collections::HashSet;

use tombolo_core::{Act, InvitationId, ProjectId, Role, ServerTime, UserId, allows, limits};

use super::accounts::Register;
use super::{Memory, space_key};
use crate::naming::free_slug;
use crate::told::Told;
use crate::{
    Answered, Invitation, Invited, Member, MemberAdded, MemberChanged, Message, NewInvitation, NewProject, Project,
    ProjectChange, ProjectOverview, Projects, Reply, Restored, Ruled, StoreError, Who,
};

/// What several people share. Members have no address here: it is their user's.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) projects: Vec<Project>,
    pub(super) members: Vec<(ProjectId, Member)>,
    pub(super) invitations: Vec<Invitation>,
    pub(super) invitations_made: i64,
}

impl Shared {
    pub(super) fn project(&mut self, id: ProjectId) -> Option<&mut Project> {
        self.projects.iter_mut().find(|project| project.id == id)
    }

    pub(super) fn member(&mut self, project: ProjectId, user: UserId) -> Option<&mut Member> {
        let mut members = self.members.iter_mut();
        members.find(|(of, member)| *of == project && member.user == user).map(|(_, member)| member)
    }

    fn count(&self, is_one: impl Fn(ProjectId, &Member) -> bool) -> usize {
        self.members.iter().filter(|(project, member)| is_one(*project, member)).count()
    }

    pub(super) fn has_room(&self, project: ProjectId) -> bool {
        self.count(|of, _| of == project) < limits::MEMBERS_MAX
    }

    /// Whether a user may belong to one project more.
    pub(super) fn has_room_for(&self, user: UserId, now: ServerTime) -> bool {
        let since = now.minus(limits::PROJECT_KEPT);
        let counts = |id| {
            let project = self.projects.iter().find(|project| project.id == id);
            project.is_some_and(|project| project.deleted_at.is_none_or(|at| at >= since))
        };
        self.count(|project, member| member.user == user && counts(project)) < limits::PROJECTS_MAX
    }
}

impl Register {
    /// The project, if `by` may do `act`.
    pub(super) fn ruled(&mut self, project: ProjectId, by: UserId, act: Act) -> Ruled<&mut Project> {
        let is_enabled = self.is_enabled(by);
        let role = self.shared.member(project, by).filter(|_| is_enabled).map(|member| member.role);
        let found = self.shared.project(project);
        let is_deleted = found.as_ref().is_some_and(|project| project.deleted_at.is_some());
        allows(role.filter(|_| found.is_some()), is_deleted, act)?;
        Ok(found.expect("nobody may do anything with a project that is not there"))
    }

    fn add_project(&mut self, new: NewProject) -> Result<Option<Project>, StoreError> {
        let NewProject { id, purpose, name, description, slug, created_by, now } = new;
        if !self.is_enabled(created_by) || !self.shared.has_room_for(created_by, now) {
            return Ok(None);
        }
        if self.shared.project(id).is_some() {
            return Err(StoreError::Internal("a project's number is taken".to_owned()));
        }
        let own = self.shared.projects.iter().filter(|project| project.created_by == created_by);
        let taken: HashSet<String> = own.map(|project| project.slug.clone()).collect();
        let slug = free_slug(&slug, &taken);
        let project = Project {
            id,
            purpose,
            name,
            description,
            slug,
            created_by,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        self.shared.projects.push(project.clone());
        let owner = Member { user: created_by, email: None, role: Role::Owner, invited_by: None, created_at: now };
        self.shared.members.push((id, owner));
        Ok(Some(project))
    }

    pub(super) fn with_email(&self, member: &Member) -> Member {
        let email = self.user(member.user).and_then(|user| user.email.clone());
        Member { email, ..member.clone() }
    }

    fn members(&self, project: ProjectId) -> Vec<Member> {
        let own = self.shared.members.iter().filter(|(of, _)| *of == project);
        let mut members: Vec<Member> = own.map(|(_, member)| self.with_email(member)).collect();
        members.sort_by_key(|member| (member.created_at, member.user));
        members
    }

    /// Whether an owner has no other beside him who is not disabled.
    fn is_last_owner(&self, project: ProjectId, member: &Member) -> bool {
        let is_owner = |one: &Member| one.role == Role::Owner;
        let is_other = |one: &Member| is_owner(one) && one.user != member.user && self.is_enabled(one.user);
        is_owner(member) && self.shared.count(|of, one| of == project && is_other(one)) == 0
    }

    /// Whether two belong to one project that is not deleted.
    fn share_a_project(&self, one: UserId, other: UserId) -> bool {
        let is_in = |project, user| self.shared.count(|of, member| of == project && member.user == user) > 0;
        let mut there = self.shared.projects.iter().filter(|project| project.deleted_at.is_none());
        there.any(|project| is_in(project.id, one) && is_in(project.id, other))
    }

    fn add_member(
        &mut self,
        project: ProjectId,
        by: UserId,
        who: &Who,
        role: Role,
        now: ServerTime,
    ) -> Result<MemberAdded, StoreError> {
        let known = match who {
            Who::User(id) if !self.is_enabled(*id) || !self.share_a_project(by, *id) => {
                return Ok(MemberAdded::NoSuchUser);
            }
            Who::User(id) => Some(*id),
            Who::Address(email) => self.user_of(email).map(|user| user.id),
        };
        if known.is_some_and(|user| self.shared.member(project, user).is_some()) {
            return Ok(MemberAdded::AlreadyMember);
        }
        if !self.shared.has_room(project) || known.is_some_and(|user| !self.shared.has_room_for(user, now)) {
            return Ok(MemberAdded::Full);
        }
        let user = match (known, who) {
            (None, Who::Address(email)) => self.make_account(email, now, None)?,
            (Some(user), _) => user,
            (None, Who::User(_)) => return Ok(MemberAdded::NoSuchUser),
        };
        let member = Member { user, email: None, role, invited_by: Some(by), created_at: now };
        let added = self.with_email(&member);
        self.shared.members.push((project, member));
        Ok(MemberAdded::Added(added))
    }
}

impl Memory {
    /// Changes who gets in, and tells if that changed something.
    pub(super) fn admit<T: Told>(&self, change: impl FnOnce(&mut Register) -> T) -> T {
        let changed = change(&mut self.register());
        if changed.is_told() {
            self.bus.tell(Message::Accounts);
        }
        changed
    }
}

impl Projects for Memory {
    fn add_project(&self, new: NewProject) -> Reply<'_, Option<Project>> {
        Box::pin(async move { self.register().add_project(new) })
    }

    fn projects_of(&self, user: UserId) -> Reply<'_, Vec<(Project, Role)>> {
        Box::pin(async move {
            let mut register = self.register();
            let mut all = Vec::new();
            for project in register.shared.projects.clone() {
                let role = register.shared.member(project.id, user).map(|member| member.role);
                all.extend(role.filter(|_| project.deleted_at.is_none()).map(|role| (project, role)));
            }
            all.sort_by_key(|(project, _)| (project.created_at, project.id));
            Ok(all)
        })
    }

    fn project(&self, project: ProjectId, by: UserId, act: Act) -> Reply<'_, Ruled<Project>> {
        Box::pin(async move { Ok(self.register().ruled(project, by, act).map(|project| project.clone())) })
    }

    fn change_project(
        &self,
        project: ProjectId,
        by: UserId,
        change: ProjectChange,
        now: ServerTime,
    ) -> Reply<'_, Ruled<Project>> {
        Box::pin(async move {
            let mut register = self.register();
            Ok(register.ruled(project, by, Act::Rename).map(|project| {
                if change != ProjectChange::default() {
                    project.updated_at = now;
                }
                project.name = change.name.unwrap_or_else(|| project.name.clone());
                project.description = change.description.unwrap_or_else(|| project.description.clone());
                project.clone()
            }))
        })
    }

    fn delete_project(&self, project: ProjectId, by: UserId, now: ServerTime) -> Reply<'_, Ruled<()>> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                let project = register.ruled(project, by, Act::Delete)?;
                (project.deleted_at, project.updated_at) = (Some(now), now);
                Ok(())
            }))
        })
    }

    fn all_projects(&self) -> Reply<'_, Vec<ProjectOverview>> {
        Box::pin(async move {
            let register = self.register();
            let spaces = self.spaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let overview = |project: &Project| ProjectOverview {
                members: register.shared.count(|of, _| of == project.id) as u64,
                changes: spaces.get(&space_key(project.space())).map_or(0, |space| space.head().get()),
                project: project.clone(),
            };
            let mut all: Vec<ProjectOverview> = register.shared.projects.iter().map(overview).collect();
            all.sort_by_key(|one| (one.project.created_at, one.project.id));
            Ok(all)
        })
    }

    fn remove_project(&self, project: ProjectId, now: ServerTime) -> Reply<'_, bool> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                let project = register.shared.project(project).filter(|project| project.deleted_at.is_none());
                project.map(|project| (project.deleted_at, project.updated_at) = (Some(now), now)).is_some()
            }))
        })
    }

    fn restore_project(&self, project: ProjectId, since: ServerTime, now: ServerTime) -> Reply<'_, Restored> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                let Some(project) = register.shared.project(project) else { return Restored::Unknown };
                match project.deleted_at {
                    None => Restored::NotDeleted,
                    Some(at) if at < since => Restored::TooLate,
                    Some(_) => {
                        (project.deleted_at, project.updated_at) = (None, now);
                        Restored::Done
                    }
                }
            }))
        })
    }

    fn members(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Member>>> {
        Box::pin(async move {
            let mut register = self.register();
            let ruled = register.ruled(project, by, Act::ListMembers).map(|project| project.id);
            Ok(ruled.map(|project| register.members(project)))
        })
    }

    fn add_member(
        &self,
        project: ProjectId,
        by: UserId,
        who: Who,
        role: Role,
        now: ServerTime,
    ) -> Reply<'_, Ruled<MemberAdded>> {
        Box::pin(async move {
            self.admit(|register| match register.ruled(project, by, Act::AddMember).map(drop) {
                Err(refusal) => Ok(Err(refusal)),
                Ok(()) => register.add_member(project, by, &who, role, now).map(Ok),
            })
        })
    }

    fn change_role(
        &self,
        project: ProjectId,
        by: UserId,
        member: UserId,
        role: Role,
    ) -> Reply<'_, Ruled<MemberChanged>> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                register.ruled(project, by, Act::ChangeRole)?;
                let found = register.shared.member(project, member).cloned();
                let Some(found) = found else { return Ok(MemberChanged::NotMember) };
                if role != Role::Owner && register.is_last_owner(project, &found) {
                    return Ok(MemberChanged::LastOwner);
                }
                if let Some(found) = register.shared.member(project, member) {
                    found.role = role;
                }
                Ok(MemberChanged::Done)
            }))
        })
    }

    fn remove_member(&self, project: ProjectId, by: UserId, member: UserId) -> Reply<'_, Ruled<MemberChanged>> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                let act = if by == member { Act::Leave } else { Act::RemoveMember };
                register.ruled(project, by, act)?;
                let found = register.shared.member(project, member).cloned();
                let Some(found) = found else { return Ok(MemberChanged::NotMember) };
                if register.is_last_owner(project, &found) {
                    return Ok(MemberChanged::LastOwner);
                }
                register.shared.members.retain(|(of, one)| *of != project || one.user != member);
                register.drop_pending(member);
                Ok(MemberChanged::Done)
            }))
        })
    }

    fn invite(&self, new: NewInvitation) -> Reply<'_, Ruled<Invited>> {
        Box::pin(async move {
            let mut register = self.register();
            let ruled = register.ruled(new.project, new.by, Act::Invite).map(drop);
            match ruled {
                Ok(()) => Ok(Ok(register.invite(new)?)),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
    }

    fn invitations(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Invitation>>> {
        Box::pin(async move {
            let mut register = self.register();
            let ruled = register.ruled(project, by, Act::Invite).map(drop);
            let own = || register.shared.invitations.iter().filter(|one| one.project == project);
            Ok(ruled.map(|()| own().map(|invitation| register.with_name(invitation)).collect()))
        })
    }

    fn withdraw_invitation(&self, project: ProjectId, by: UserId, invitation: InvitationId) -> Reply<'_, Ruled<bool>> {
        Box::pin(async move {
            let mut register = self.register();
            let ruled = register.ruled(project, by, Act::Invite).map(drop);
            Ok(ruled.map(|()| register.withdraw(project, invitation)))
        })
    }

    fn invitations_for(&self, user: UserId, now: ServerTime) -> Reply<'_, Vec<Invitation>> {
        Box::pin(async move { Ok(self.register().invitations_for(user, now)) })
    }

    fn answer_invitation(
        &self,
        invitation: InvitationId,
        user: UserId,
        accept: bool,
        now: ServerTime,
    ) -> Reply<'_, Answered> {
        Box::pin(async move { Ok(self.admit(|register| register.answer(invitation, user, accept, now))) })
    }
}
