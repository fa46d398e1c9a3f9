//! What is erased at the wish of whom it is about.

use std::sync::{MutexGuard, PoisonError};

use tombolo_core::{Name, ProjectId, Role, ServerTime, UserId};

use super::accounts::Register;
use super::ledger::Space;
use super::{Memory, SpaceKey, space_key};
use crate::erasure::{ERASED_KEPT, ONE_PERSONS};
use crate::{Erasure, Message, Project, Reply, SpaceAddress, StoreError, UserDeleted};

impl Erasure for Memory {
    fn erase_space(&self, address: SpaceAddress, _now: ServerTime) -> Reply<'_, bool> {
        Box::pin(async move {
            let had_room = {
                let mut rooms = self.room_rows();
                let before = rooms.len();
                rooms.retain(|row| row.space() != address);
                rooms.len() < before
            };
            let Some(space) = self.all_spaces().remove(&space_key(address)) else { return Ok(had_room) };
            if let Some(id) = space.id {
                let mut erased = self.erased.lock().unwrap_or_else(PoisonError::into_inner);
                erased.push((id, address.owner));
                let of_owner = || erased.iter().filter(|(_, owner)| *owner == address.owner);
                if of_owner().count() > ERASED_KEPT
                    && let Some(first) = of_owner().map(|(space, _)| *space).min()
                {
                    erased.retain(|(space, _)| *space != first);
                }
            }
            Ok(had_room || space.is_used())
        })
    }

    fn delete_user<'a>(&'a self, name: &'a Name, _now: ServerTime) -> Reply<'a, UserDeleted> {
        Box::pin(async move {
            // Held until it is done: whoever is let in before writes before.
            let mut register = self.register();
            let Some(user) = register.users.iter().find(|user| user.name == *name).map(|user| user.id) else {
                return Ok(UserDeleted::Unknown);
            };
            let owned = register.owned_alone(user);
            if !owned.is_empty() {
                return Ok(UserDeleted::LastOwner(owned));
            }
            let mut spaces = self.all_spaces();
            for project in register.deleted_projects(user) {
                spaces.remove(&space_key(project.space()));
                register.erase_project(project.id);
            }
            spaces.retain(|(owner, purpose, _), _| {
                *owner != user.get() || !ONE_PERSONS.iter().any(|own| own.as_str() == *purpose)
            });
            self.room_rows().retain(|row| row.owner() != user);
            register.erase_user(user);
            self.erased.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, owner)| *owner != user);
            drop((spaces, register));
            self.bus.tell(Message::Accounts);
            Ok(UserDeleted::Gone)
        })
    }
}

impl Memory {
    /// Refuses to begin a log of one who was deleted: whoever has still a key of his in hand is let in no more.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUser`].
    pub(super) fn refuse_deleted(&self, address: SpaceAddress) -> Result<(), StoreError> {
        let is_gone = ONE_PERSONS.contains(&address.purpose) && self.register().gone.contains(&address.owner);
        if is_gone { Err(StoreError::NoSuchUser) } else { Ok(()) }
    }

    fn all_spaces(&self) -> MutexGuard<'_, std::collections::BTreeMap<SpaceKey, Space>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    /// The projects that a user owns, and nobody else of whom `counts` is true.
    fn owned_by(&self, user: UserId, counts: impl Fn(UserId) -> bool) -> Vec<Project> {
        let is_owned = |project: &&Project| {
            let of_it = || self.shared.members.iter().filter(|(of, one)| *of == project.id && one.role == Role::Owner);
            of_it().any(|(_, one)| one.user == user) && !of_it().any(|(_, one)| one.user != user && counts(one.user))
        };
        self.shared.projects.iter().filter(is_owned).cloned().collect()
    }

    fn owned_alone(&self, user: UserId) -> Vec<String> {
        let mut owned = self.owned_by(user, |other| self.is_enabled(other));
        owned.retain(|project| project.deleted_at.is_none());
        owned.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        owned.into_iter().map(|project| project.name).collect()
    }

    fn deleted_projects(&self, user: UserId) -> Vec<Project> {
        let mut owned = self.owned_by(user, |_| true);
        owned.retain(|project| project.deleted_at.is_some());
        owned
    }

    fn erase_project(&mut self, id: ProjectId) {
        let is_guest = |email: &str| {
            let has = |mail: &String| mail.eq_ignore_ascii_case(email);
            self.users.iter().find(|user| user.email.as_ref().is_some_and(has)).map(|user| user.id)
        };
        let invited = self.shared.invitations.iter().filter(|one| one.project == id);
        let mut guests: Vec<UserId> = invited.filter_map(|one| is_guest(&one.email)).collect();
        guests.extend(self.shared.members.iter().filter(|(of, _)| *of == id).map(|(_, one)| one.user));
        self.shared.members.retain(|(of, _)| *of != id);
        self.shared.invitations.retain(|one| one.project != id);
        self.shared.projects.retain(|one| one.id != id);
        guests.into_iter().for_each(|guest| self.drop_pending(guest));
    }

    fn erase_user(&mut self, id: UserId) {
        let email = self.user(id).and_then(|user| user.email.clone());
        let is_his = |address: &str| email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(address));
        self.sign_ins.retain(|one| !one.is_of(id, is_his));
        self.shared.invitations.retain(|one| !is_his(&one.email));
        self.shared.members.retain(|(_, member)| member.user != id);
        self.credentials.retain(|row| row.new.user != id);
        self.known.erase(id);
        self.users.retain(|user| user.id != id);
        self.gone.push(id);
    }
}
