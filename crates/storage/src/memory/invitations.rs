//! Invitations in memory. Whether somebody may was decided before.

use tombolo_core::{InvitationId, ProjectId, ServerTime, UserId, limits};

use super::accounts::Register;
use crate::{Answered, Invitation, InvitationStatus, Invited, Member, NewInvitation, StoreError, User};

fn waits(invitation: &Invitation, now: ServerTime) -> bool {
    invitation.status == InvitationStatus::Pending && invitation.expires_at > now
}

impl Register {
    pub(super) fn invite(&mut self, new: NewInvitation) -> Result<Invited, StoreError> {
        let NewInvitation { project, email, role, by, now, expires_at } = new;
        let user = self.user_of(&email).map(|user| user.id);
        let is_member = user.is_some_and(|user| self.shared.member(project, user).is_some());
        let own = || self.shared.invitations.iter().filter(|one| one.project == project);
        let is_his = |one: &Invitation| one.email.to_ascii_lowercase() == email.key();
        if is_member || own().any(|one| waits(one, now) && is_his(one)) {
            return Ok(Invited::Already);
        }
        if own().filter(|one| waits(one, now)).count() >= limits::INVITATIONS_MAX {
            return Ok(Invited::Full);
        }
        let mut surplus = (own().count() + 1).saturating_sub(limits::INVITATIONS_MAX);
        self.shared.invitations.retain(|one| {
            let goes = surplus > 0 && one.project == project && !waits(one, now);
            surplus -= usize::from(goes);
            !goes
        });
        if user.is_none() {
            self.make_account(&email, now, None)?;
        }
        self.shared.invitations_made += 1;
        let invitation = Invitation {
            id: InvitationId::new(self.shared.invitations_made),
            project,
            project_name: String::new(),
            email: email.as_str().to_owned(),
            role,
            invited_by: by,
            status: InvitationStatus::Pending,
            created_at: now,
            expires_at,
            accepted_at: None,
        };
        self.shared.invitations.push(invitation.clone());
        Ok(Invited::Made(self.with_name(&invitation)))
    }

    pub(super) fn with_name(&self, invitation: &Invitation) -> Invitation {
        let project = self.shared.projects.iter().find(|project| project.id == invitation.project);
        let project_name = project.map(|project| project.name.clone()).unwrap_or_default();
        Invitation { project_name, ..invitation.clone() }
    }

    /// Whether an invitation to a user's address was not answered, be it that it ended or that its project is deleted.
    pub(super) fn is_invited(&self, user: &User) -> bool {
        let is_his = |one: &Invitation| user.email.as_ref().is_some_and(|email| one.email.eq_ignore_ascii_case(email));
        self.shared.invitations.iter().any(|one| one.status == InvitationStatus::Pending && is_his(one))
    }

    pub(super) fn invitations_for(&self, user: UserId, now: ServerTime) -> Vec<Invitation> {
        let email = self.user(user).and_then(|user| user.email.clone()).unwrap_or_default();
        let is_there = |id| self.shared.projects.iter().any(|one| one.id == id && one.deleted_at.is_none());
        let is_his =
            |one: &&Invitation| one.email.eq_ignore_ascii_case(&email) && waits(one, now) && is_there(one.project);
        let newest = self.shared.invitations.iter().rev().filter(is_his).take(limits::INVITATIONS_MAX);
        let mut all: Vec<Invitation> = newest.map(|invitation| self.with_name(invitation)).collect();
        all.reverse();
        all
    }

    pub(super) fn withdraw(&mut self, project: ProjectId, id: InvitationId) -> bool {
        let invitations = &mut self.shared.invitations;
        let Some(at) = invitations.iter().position(|one| one.project == project && one.id == id) else { return false };
        let email = invitations.remove(at).email;
        let is_his = |user: &&User| user.email.as_ref().is_some_and(|his| his.eq_ignore_ascii_case(&email));
        if let Some(user) = self.users.iter().find(is_his).map(|user| user.id) {
            self.drop_pending(user);
        }
        true
    }

    pub(super) fn answer(&mut self, id: InvitationId, user: UserId, accept: bool, now: ServerTime) -> Answered {
        let email = self.user(user).filter(|user| user.disabled_at.is_none()).and_then(|user| user.email.clone());
        let Some(at) = self.shared.invitations.iter().position(|one| one.id == id) else { return Answered::Unknown };
        let invitation = self.shared.invitations[at].clone();
        let project = invitation.project;
        let is_his = email.is_some_and(|email| email.eq_ignore_ascii_case(&invitation.email));
        let is_there = self.shared.project(project).is_some_and(|project| project.deleted_at.is_none());
        if !is_his || !is_there {
            return Answered::Unknown;
        }
        if invitation.status != InvitationStatus::Pending {
            return Answered::Conflict;
        }
        if invitation.expires_at <= now {
            return Answered::Expired;
        }
        if !accept {
            self.shared.invitations[at].status = InvitationStatus::Declined;
            self.drop_pending(user);
            return Answered::Declined;
        }
        let has_room = self.shared.has_room(project) && self.shared.has_room_for(user, now);
        if self.shared.member(project, user).is_some() || !has_room {
            return Answered::Conflict;
        }
        let Invitation { role, invited_by, .. } = invitation;
        let member = Member { user, email: None, role, invited_by: Some(invited_by), created_at: now };
        let added = self.with_email(&member);
        self.shared.members.push((project, member));
        self.shared.invitations[at].status = InvitationStatus::Accepted;
        self.shared.invitations[at].accepted_at = Some(now);
        Answered::Accepted { project, member: added }
    }
}
