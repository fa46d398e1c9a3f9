//! Identities, setup tokens, tickets and secrets in memory.

use std::collections::BTreeMap;

use tombolo_core::{Name, Purpose, ServerTime, UserId, limits};

use super::Memory;
use super::accounts::Register;
use crate::{
    Effect, Identities, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, NewKey,
    Reply, SecretHash, StoreError, Ticket, Unfit, Username,
};

/// How users are known, and what stands in for their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    identities: Vec<Row>,
    setup_tokens: Vec<SetupToken>,
    /// With when each ends.
    tickets: Vec<(SecretHash, Ticket, ServerTime)>,
    secrets: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Row {
    purpose: Purpose,
    user: UserId,
    subject: Name,
    username: Option<Name>,
    password: Option<String>,
}

#[derive(Clone, Debug)]
struct SetupToken {
    purpose: Purpose,
    user: UserId,
    hash: SecretHash,
    expires_at: ServerTime,
}

impl Known {
    pub(super) fn is_known(&self, user: UserId) -> bool {
        self.identities.iter().any(|row| row.user == user)
    }

    /// Forgets what lets a user in. His subject stays taken.
    pub(super) fn erase(&mut self, user: UserId) {
        for row in self.identities.iter_mut().filter(|row| row.user == user) {
            (row.username, row.password) = (None, None);
        }
        self.setup_tokens.retain(|token| token.user != user);
        self.tickets.retain(|(_, ticket, _)| ticket.user != user);
    }

    fn find(&mut self, purpose: Purpose, key: &IdentityKey) -> Option<&mut Row> {
        self.identities.iter_mut().find(|row| {
            row.purpose == purpose
                && match key {
                    IdentityKey::Subject(subject) => row.subject == *subject,
                    IdentityKey::Username(username) => row.username.as_ref() == Some(username),
                    IdentityKey::User(user) => row.user == *user,
                }
        })
    }

    fn is_username_taken(&self, purpose: Purpose, username: &Name, but_by: Option<UserId>) -> bool {
        let is_it = |row: &Row| row.purpose == purpose && row.username.as_ref() == Some(username);
        self.identities.iter().any(|row| is_it(row) && Some(row.user) != but_by)
    }

    fn change(&mut self, purpose: Purpose, user: UserId, change: IdentityChange) -> IdentityChanged {
        let is_taken = change.username.as_ref().is_some_and(|name| self.is_username_taken(purpose, name, Some(user)));
        let Some(row) = self.find(purpose, &IdentityKey::User(user)) else { return IdentityChanged::Unknown };
        if is_taken {
            return IdentityChanged::UsernameTaken;
        }
        row.username = change.username.or(row.username.take());
        row.password = change.password.or(row.password.take());
        IdentityChanged::Done
    }

    fn keep_ticket(&mut self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) {
        self.tickets.retain(|(.., expires_at)| *expires_at > now);
        while self.tickets.iter().filter(|(_, known, _)| known.user == ticket.user).count() >= limits::TICKETS_MAX {
            let own = self.tickets.iter().enumerate().filter(|(_, (_, known, _))| known.user == ticket.user);
            let Some((oldest, _)) = own.min_by_key(|(_, (.., expires_at))| *expires_at) else { break };
            self.tickets.remove(oldest);
        }
        self.tickets.push((hash, ticket, expires_at));
    }
}

impl Register {
    fn identity(&mut self, purpose: Purpose, key: &IdentityKey) -> Option<Identity> {
        let Row { user, subject, username, password, .. } = self.known.find(purpose, key)?.clone();
        Some(Identity { user, subject, username, password, is_disabled: !self.is_enabled(user) })
    }

    fn add_identity(&mut self, new: NewIdentity, now: ServerTime) -> IdentityAdded {
        let NewIdentity { purpose, subject, username, password } = new;
        if let Some(row) = self.known.find(purpose, &IdentityKey::Subject(subject.clone())) {
            return IdentityAdded::Known(row.user);
        }
        let username = match username {
            Username::Named(name) if self.known.is_username_taken(purpose, &name, None) => {
                return IdentityAdded::UsernameTaken;
            }
            Username::Named(name) => Some(name),
            Username::Subject => {
                Some(subject.clone()).filter(|name| !self.known.is_username_taken(purpose, name, None))
            }
        };
        let user = match self.users.iter().find(|user| user.name == subject).map(|user| user.id) {
            Some(user) if self.known.find(purpose, &IdentityKey::User(user)).is_some() => {
                return IdentityAdded::Known(user);
            }
            Some(user) => user,
            None => self.make_user(subject.clone(), None, now, None),
        };
        self.known.identities.push(Row { purpose, user, subject, username, password });
        IdentityAdded::New(user)
    }

    /// Whose setup token this is, if it is good.
    fn setup_token(&mut self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Option<Identity> {
        let is_it = |one: &&SetupToken| one.purpose == purpose && one.hash == token && one.expires_at > now;
        let user = self.known.setup_tokens.iter().find(is_it)?.user;
        self.identity(purpose, &IdentityKey::User(user)).filter(|identity| !identity.is_disabled)
    }

    fn give_setup_token(&mut self, token: SetupToken) {
        self.known.setup_tokens.retain(|one| one.purpose != token.purpose || one.user != token.user);
        self.known.setup_tokens.push(token);
    }

    fn use_setup_token(
        &mut self,
        purpose: Purpose,
        token: SecretHash,
        key: NewKey,
        now: ServerTime,
    ) -> Result<Result<(), Unfit>, StoreError> {
        let Some(identity) = self.setup_token(purpose, token, now) else { return Ok(Err(Unfit::Spent)) };
        self.known.setup_tokens.retain(|one| one.hash != token);
        self.make_key(identity.user, key, now).map(|_| Ok(()))
    }

    /// Does what an entry of a log of this purpose does.
    pub(super) fn carry_out(
        &mut self,
        purpose: Purpose,
        effect: &Effect,
        now: ServerTime,
    ) -> Result<Result<(), Unfit>, StoreError> {
        let subject = |subject: &Name| IdentityKey::Subject(subject.clone());
        match effect {
            Effect::AddIdentity(new) => Ok(self.add_identity(new.clone(), now).fits()),
            Effect::GiveSetupToken { subject: to, token, expires_at } => {
                let known = self.identity(purpose, &subject(to)).filter(|identity| !identity.is_disabled);
                let Some(Identity { user, .. }) = known else { return Ok(Err(Unfit::Unknown)) };
                self.give_setup_token(SetupToken { purpose, user, hash: *token, expires_at: *expires_at });
                Ok(Ok(()))
            }
            Effect::UseSetupToken { token, key } => self.use_setup_token(purpose, *token, key.clone(), now),
            Effect::RevokeKeys { subject: of } => {
                if let Some(Identity { user, .. }) = self.identity(purpose, &subject(of)) {
                    self.revoke(|row| row.new.user == user && row.new.purpose == purpose);
                }
                Ok(Ok(()))
            }
        }
    }

    fn use_ticket(&mut self, hash: SecretHash, now: ServerTime) -> Option<Ticket> {
        let at = self.known.tickets.iter().position(|(known, ..)| *known == hash)?;
        let (_, ticket, expires_at) = self.known.tickets.remove(at);
        let is_there = |id| self.credentials.iter().any(|row| row.id == id && row.new.user == ticket.user);
        let is_good = expires_at > now
            && ticket.ends_at.is_none_or(|at| at > now)
            && self.is_enabled(ticket.user)
            && ticket.credential.is_none_or(is_there);
        is_good.then_some(ticket)
    }
}

impl Identities for Memory {
    fn identity(&self, purpose: Purpose, key: IdentityKey) -> Reply<'_, Option<Identity>> {
        Box::pin(async move { Ok(self.register().identity(purpose, &key)) })
    }

    fn add_identity(&self, new: NewIdentity, now: ServerTime) -> Reply<'_, IdentityAdded> {
        Box::pin(async move { Ok(self.admit(|register| register.add_identity(new, now))) })
    }

    fn change_identity(&self, purpose: Purpose, user: UserId, change: IdentityChange) -> Reply<'_, IdentityChanged> {
        Box::pin(async move { Ok(self.register().known.change(purpose, user, change)) })
    }

    fn setup_token(&self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Reply<'_, Option<Identity>> {
        Box::pin(async move { Ok(self.register().setup_token(purpose, token, now)) })
    }

    fn keep_ticket(&self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) -> Reply<'_, ()> {
        Box::pin(async move {
            self.register().known.keep_ticket(hash, ticket, now, expires_at);
            Ok(())
        })
    }

    fn use_ticket(&self, hash: SecretHash, now: ServerTime) -> Reply<'_, Option<Ticket>> {
        Box::pin(async move { Ok(self.register().use_ticket(hash, now)) })
    }

    fn secret<'a>(&'a self, name: &'a str, fresh: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(async move {
            let mut register = self.register();
            Ok(register.known.secrets.entry(name.to_owned()).or_insert_with(|| fresh.to_vec()).clone())
        })
    }
}
