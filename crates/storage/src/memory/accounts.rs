//! Users, credentials and refusals in memory.

use std::sync::{MutexGuard, PoisonError};

use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, UserId};

use super::Memory;
use super::identities::Known;
use super::projects::Shared;
use super::sign_ins::Pending;
use crate::naming::{account_names, no_account_name};
use crate::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, Reply, StoreError, User};

/// Rows in the order of their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    pub(super) users: Vec<User>,
    users_made: i64,
    pub(super) credentials: Vec<Row>,
    credentials_made: i64,
    pub(super) shared: Shared,
    pub(super) sign_ins: Vec<Pending>,
    pub(super) sign_ins_made: i64,
    pub(super) known: Known,
    /// Those who were deleted.
    pub(super) gone: Vec<UserId>,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: CredentialId,
    pub(super) new: NewCredential,
    pub(super) last_used_at: Option<ServerTime>,
}

impl Register {
    pub(super) fn user(&self, id: UserId) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn is_enabled(&self, id: UserId) -> bool {
        self.user(id).is_some_and(|user| user.disabled_at.is_none())
    }

    /// Whoever has an address.
    pub(super) fn user_of(&mut self, email: &EmailAddress) -> Option<&mut User> {
        let key = email.key();
        self.users.iter_mut().find(|user| user.email.as_ref().is_some_and(|known| known.to_ascii_lowercase() == key))
    }

    fn add_user(&mut self, name: &Name, email: Option<&EmailAddress>, now: ServerTime) -> Added<UserId> {
        let of_email = email.and_then(|email| self.user_of(email)).cloned();
        let is_pending = |user: &&User| user.confirmed_at.is_none() && user.disabled_at.is_none();
        // Known in one protocol by this name, and nowhere else.
        let known = self.users.iter().find(|user| user.name == *name && user.email.is_none()).filter(is_pending);
        if known.is_some() && of_email.is_some() {
            return Added::EmailTaken;
        }
        let pending = of_email.as_ref().filter(is_pending).or(known).map(|user| user.id);
        if self.users.iter().any(|user| user.name == *name && Some(user.id) != pending) {
            return Added::NameTaken;
        }
        if let Some(user) = self.users.iter_mut().find(|user| Some(user.id) == pending) {
            (user.name, user.confirmed_at) = (name.clone(), Some(now));
            user.email = email.map(|email| email.as_str().to_owned());
            return Added::New(user.id);
        }
        if of_email.is_some() {
            return Added::EmailTaken;
        }
        Added::New(self.make_user(name.clone(), email, now, Some(now)))
    }

    pub(super) fn make_user(
        &mut self,
        name: Name,
        email: Option<&EmailAddress>,
        created_at: ServerTime,
        confirmed_at: Option<ServerTime>,
    ) -> UserId {
        let id = self.next_user();
        self.users_made += 1;
        let email = email.map(|email| email.as_str().to_owned());
        self.users.push(User { id, name, email, created_at, confirmed_at, disabled_at: None });
        id
    }

    fn next_user(&self) -> UserId {
        UserId::new(self.users_made + 1)
    }

    /// Whether a user is somebody, or somebody is still wanted under his address.
    pub(super) fn is_wanted(&self, user: &User, now: ServerTime) -> bool {
        let is_there = |id| self.shared.projects.iter().any(|one| one.id == id && one.deleted_at.is_none());
        let is_member = || self.shared.members.iter().any(|(of, one)| one.user == user.id && is_there(*of));
        user.confirmed_at.is_some() || is_member() || !self.invitations_for(user.id, now).is_empty()
    }

    /// Removes an account that is pending, once nothing refers to it any more. One that is disabled stays so.
    pub(super) fn drop_pending(&mut self, id: UserId) {
        let Some(user) = self.user(id).filter(|user| user.confirmed_at.is_none() && user.disabled_at.is_none()) else {
            return;
        };
        let is_used = self.shared.members.iter().any(|(_, member)| member.user == id)
            || self.is_invited(user)
            || self.credentials.iter().any(|row| row.new.user == id)
            || self.known.is_known(id);
        if !is_used {
            self.users.retain(|user| user.id != id);
        }
    }

    /// Makes the account of an address that has none.
    pub(super) fn make_account(
        &mut self,
        email: &EmailAddress,
        now: ServerTime,
        confirmed_at: Option<ServerTime>,
    ) -> Result<UserId, StoreError> {
        let is_free = |name: &Name| !self.users.iter().any(|user| user.name == *name);
        let name = account_names(email, self.next_user()).find(is_free).ok_or_else(no_account_name)?;
        Ok(self.make_user(name, Some(email), now, confirmed_at))
    }

    pub(super) fn add_credential(&mut self, new: NewCredential) -> Result<Added<CredentialId>, StoreError> {
        if self.credentials.iter().any(|row| row.new.user == new.user && row.new.name == new.name) {
            return Ok(Added::NameTaken);
        }
        // Of one who was deleted, too.
        if self.user(new.user).is_none() || self.credentials.iter().any(|row| row.new.prefix == new.prefix) {
            return Err(StoreError::Internal("a credential of nobody, or of a taken prefix".to_owned()));
        }
        self.credentials_made += 1;
        let id = CredentialId::new(self.credentials_made);
        self.credentials.push(Row { id, new, last_used_at: None });
        Ok(Added::New(id))
    }

    pub(super) fn revoke(&mut self, is_it: impl Fn(&Row) -> bool) -> bool {
        let before = self.credentials.len();
        self.credentials.retain(|row| !is_it(row));
        self.credentials.len() < before
    }

    fn credentials(&self, user: Option<UserId>) -> Vec<Credential> {
        let rows = self.credentials.iter().filter(|row| user.is_none_or(|user| row.new.user == user));
        let mut all: Vec<Credential> = rows
            .filter_map(|row| {
                Some(Credential {
                    id: row.id,
                    name: row.new.name.clone(),
                    user: self.user(row.new.user)?.name.clone(),
                    purpose: row.new.purpose,
                    created_at: row.new.created_at,
                    last_used_at: row.last_used_at,
                    expires_at: row.new.expires_at,
                })
            })
            .collect();
        all.sort_by(|a, b| (&a.user, &a.name).cmp(&(&b.user, &b.name)));
        all
    }

    fn find_credential(&self, prefix: &str) -> Option<FoundCredential> {
        let row = self.credentials.iter().find(|row| row.new.prefix == prefix && self.is_enabled(row.new.user))?;
        Some(FoundCredential {
            id: row.id,
            user: row.new.user,
            purpose: row.new.purpose,
            hash: row.new.hash.clone(),
            expires_at: row.new.expires_at,
        })
    }

    fn touch(&mut self, id: CredentialId, at: ServerTime) {
        if let Some(row) = self.credentials.iter_mut().find(|row| row.id == id) {
            row.last_used_at = row.last_used_at.max(Some(at));
        }
    }
}

impl Memory {
    pub(super) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts for Memory {
    fn add_user<'a>(
        &'a self,
        name: &'a Name,
        email: Option<&'a EmailAddress>,
        now: ServerTime,
    ) -> Reply<'a, Added<UserId>> {
        Box::pin(async move { Ok(self.register().add_user(name, email, now)) })
    }

    fn user_by_id(&self, id: UserId) -> Reply<'_, Option<User>> {
        Box::pin(async move { Ok(self.register().user(id).cloned()) })
    }

    fn revoke_credential_by_id(&self, user: UserId, id: CredentialId, purpose: Purpose) -> Reply<'_, bool> {
        Box::pin(async move {
            let is_it = |row: &Row| row.id == id && row.new.user == user && row.new.purpose == purpose;
            Ok(self.admit(|register| register.revoke(is_it)))
        })
    }

    fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>> {
        Box::pin(async move { Ok(self.register().users.iter().find(|user| user.name == *name).cloned()) })
    }

    fn users(&self) -> Reply<'_, Vec<User>> {
        Box::pin(async move {
            let mut users = self.register().users.clone();
            users.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(users)
        })
    }

    fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool> {
        Box::pin(async move {
            Ok(self.admit(|register| {
                let found = register.users.iter_mut().find(|user| user.name == *name);
                found.map(|user| user.disabled_at.get_or_insert(now)).is_some()
            }))
        })
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>> {
        Box::pin(async move { self.admit(|register| register.add_credential(new)) })
    }

    fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>> {
        Box::pin(async move { Ok(self.register().credentials(user)) })
    }

    fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool> {
        Box::pin(async move {
            Ok(self.admit(|register| register.revoke(|row| row.new.user == user && row.new.name == *name)))
        })
    }

    fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>> {
        Box::pin(async move { Ok(self.register().find_credential(prefix)) })
    }

    fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>> {
        Box::pin(async move {
            let register = self.register();
            let is_live = |id: &CredentialId| {
                register.credentials.iter().any(|row| row.id == *id && register.is_enabled(row.new.user))
            };
            Ok(ids.iter().copied().filter(is_live).collect())
        })
    }

    fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()> {
        Box::pin(async move {
            let mut register = self.register();
            for (id, at) in used {
                register.touch(*id, *at);
            }
            Ok(())
        })
    }

    fn refusals(&self, user: Option<UserId>) -> Reply<'_, Vec<Refusal>> {
        Box::pin(async move {
            let register = self.register();
            let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            let mut all = Vec::new();
            for ((owner, ..), space) in &*spaces {
                let owner = UserId::new(*owner);
                let Some(owner) = register.user(owner).filter(|owner| user.is_none_or(|user| owner.id == user)) else {
                    continue;
                };
                all.extend(space.refusals().map(|(device, refused, at)| Refusal {
                    user: owner.name.clone(),
                    device: device.to_string(),
                    record: refused.record.clone(),
                    kind: refused.kind.clone(),
                    reason: refused.reason.clone(),
                    at: *at,
                }));
            }
            // Stable, and each space's own are newest first: those of one instant keep their order.
            all.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
            Ok(all)
        })
    }
}
