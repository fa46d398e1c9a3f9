//! Sign-ins in memory.

use std::collections::HashSet;

use tombolo_core::{CredentialId, EmailAddress, Name, ServerTime, SignInId, UserId, limits};

use super::Memory;
use super::accounts::{Register, Row};
use crate::naming::free_name;
use crate::sign_ins::ENDED_KEPT;
use crate::{
    Added, Approved, NewCredential, NewKey, NewSignIn, Redeemed, Reply, SecretHash, SignIn, SignInKey, SignIns, SignUp,
    StoreError,
};

/// A sign-in with what finds it.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    sign_in: SignIn,
    device_code: SecretHash,
    user_code: Option<SecretHash>,
    link: Option<SecretHash>,
    linked_at: Option<ServerTime>,
}

impl Pending {
    fn new(id: SignInId, new: NewSignIn) -> Self {
        let NewSignIn { request, flow, email, device, device_code, user_code, challenge, link, now, expires_at } = new;
        let sign_in = SignIn {
            id,
            request,
            flow,
            email,
            device,
            challenge,
            created_at: now,
            expires_at,
            approved: None,
            consumed_at: None,
            links: u64::from(link.is_some()),
        };
        Self { sign_in, device_code, user_code, link, linked_at: link.map(|_| now) }
    }

    /// Whether it is a user's, or one of an address that is his.
    pub(super) fn is_of(&self, user: UserId, is_his: impl Fn(&str) -> bool) -> bool {
        self.sign_in.approved.is_some_and(|(_, approved)| approved == user) || is_his(self.sign_in.email.as_str())
    }

    fn ended_at(&self) -> ServerTime {
        self.sign_in.consumed_at.unwrap_or(self.sign_in.expires_at)
    }

    /// Whether it is approved, and its device has yet to come for its key.
    fn is_awaited(&self, now: ServerTime) -> bool {
        self.sign_in.approved.is_some() && self.sign_in.consumed_at.is_none() && self.sign_in.expires_at > now
    }

    fn waits(&self, now: ServerTime) -> bool {
        self.sign_in.approved.is_none() && self.sign_in.expires_at > now
    }
}

impl Register {
    fn begin(&mut self, new: NewSignIn) -> Result<SignInId, StoreError> {
        let (now, key) = (new.now, new.email.key());
        let kept_since = now.minus(ENDED_KEPT);
        self.sign_ins.retain(|one| one.ended_at() > kept_since);
        let has_ended = |one: &Pending| one.ended_at() <= now;
        while self.sign_ins.iter().filter(|one| one.sign_in.email.key() == key).count()
            >= limits::SIGN_INS_PER_ADDRESS_MAX
        {
            let own = self.sign_ins.iter().enumerate().filter(|(_, one)| one.sign_in.email.key() == key);
            let first = own
                .min_by_key(|(_, one)| (one.is_awaited(now), one.sign_in.links > 0, !has_ended(one), one.sign_in.id));
            let Some((at, _)) = first else { break };
            self.sign_ins.remove(at);
        }
        while self.sign_ins.len() >= limits::SIGN_INS_MAX {
            let all = self.sign_ins.iter().enumerate();
            let first = all.min_by_key(|(_, one)| {
                // Of those that ended, the one that did first.
                let ended_at = Some(one.ended_at()).filter(|_| has_ended(one));
                (ended_at.is_none(), ended_at, one.is_awaited(now), one.sign_in.links > 0, one.sign_in.id)
            });
            let Some((at, _)) = first else { break };
            self.sign_ins.remove(at);
        }
        let is_same = |one: &Pending| {
            let is_link = new.link.is_some() && one.link == new.link;
            one.sign_in.request == new.request || one.device_code == new.device_code || is_link
        };
        if self.sign_ins.iter().any(is_same) {
            return Err(StoreError::Internal("a sign-in's code is taken".to_owned()));
        }
        self.sign_ins_made += 1;
        let id = SignInId::new(self.sign_ins_made);
        self.sign_ins.push(Pending::new(id, new));
        Ok(id)
    }

    fn sign_in(&mut self, id: SignInId) -> Option<&mut Pending> {
        self.sign_ins.iter_mut().find(|one| one.sign_in.id == id)
    }

    fn find(&self, key: &SignInKey) -> Option<SignIn> {
        let mut all = self.sign_ins.iter();
        let found = match key {
            SignInKey::Request(request) => all.find(|one| one.sign_in.request == *request),
            SignInKey::DeviceCode(code) => all.find(|one| one.device_code == *code),
            SignInKey::Link(link) => all.find(|one| one.link == Some(*link)),
            SignInKey::UserCode(code) => all
                .filter(|one| one.user_code == Some(*code))
                .max_by_key(|one| (one.sign_in.approved.is_none(), one.sign_in.id)),
        };
        found.map(|one| one.sign_in.clone())
    }

    fn offer(
        &mut self,
        id: SignInId,
        link: SecretHash,
        links_max: u64,
        (since, now): (ServerTime, ServerTime),
    ) -> bool {
        let Some(email) = self.sign_in(id).filter(|one| one.waits(now)).map(|one| one.sign_in.email.key()) else {
            return false;
        };
        let counts = |one: &&Pending| one.sign_in.email.key() == email && one.linked_at.is_some_and(|at| at >= since);
        let mailed: u64 = self.sign_ins.iter().filter(counts).map(|one| one.sign_in.links).sum();
        let Some(one) = self.sign_in(id).filter(|_| mailed < links_max) else { return false };
        (one.link, one.linked_at) = (Some(link), Some(now));
        one.sign_in.links += 1;
        true
    }

    fn approve(&mut self, id: SignInId, sign_up: SignUp, now: ServerTime) -> Result<Approved, StoreError> {
        let Some(one) = self.sign_in(id) else { return Ok(Approved::Expired) };
        if one.sign_in.approved.is_some() {
            return Ok(Approved::Already);
        }
        if !one.waits(now) {
            return Ok(Approved::Expired);
        }
        let email = one.sign_in.email.clone();
        let known = self.user_of(&email).cloned().map(|user| {
            let may = user.disabled_at.is_none() && (sign_up == SignUp::Open || self.is_wanted(&user, now));
            (user.id, may)
        });
        if let Some((_, true)) = known
            && let Some(user) = self.user_of(&email)
        {
            user.confirmed_at.get_or_insert(now);
        }
        let (user, is_new) = match (known, sign_up) {
            (Some((user, true)), _) => (user, false),
            (None, SignUp::Open) => (self.make_account(&email, now, Some(now))?, true),
            (Some((_, false)), _) | (None, SignUp::Closed) => return Ok(Approved::NoAccount),
        };
        if let Some(one) = self.sign_in(id) {
            one.sign_in.approved = Some((now, user));
        }
        Ok(Approved::Done { user, is_new })
    }

    fn redeem(&mut self, id: SignInId, key: NewKey, now: ServerTime) -> Result<Redeemed, StoreError> {
        let Some(one) = self.sign_in(id).map(|one| one.sign_in.clone()) else { return Ok(Redeemed::Expired) };
        let user = match one.approved {
            _ if one.consumed_at.is_some() => return Ok(Redeemed::Consumed),
            _ if one.expires_at <= now => return Ok(Redeemed::Expired),
            None => return Ok(Redeemed::Waiting),
            Some((_, user)) if !self.is_enabled(user) => return Ok(Redeemed::Expired),
            Some((_, user)) => user,
        };
        let credential = self.make_key(user, key, now)?;
        if let Some(one) = self.sign_in(id) {
            one.sign_in.consumed_at = Some(now);
        }
        Ok(Redeemed::Key { credential, user })
    }

    /// Makes a key, and room for it.
    pub(super) fn make_key(&mut self, user: UserId, key: NewKey, now: ServerTime) -> Result<CredentialId, StoreError> {
        let NewKey { name, purpose, prefix, hash, expires_at } = key;
        self.make_room(|row| row.new.user == user && row.new.purpose == purpose, now);
        let name = free_name(&name, &self.key_names(user));
        let new = NewCredential { user, name, purpose, prefix, hash, created_at: now, expires_at };
        match self.add_credential(new)? {
            Added::New(credential) => Ok(credential),
            Added::NameTaken | Added::EmailTaken => Err(StoreError::Internal("a free name was taken".to_owned())),
        }
    }

    /// Removes what ended, and of the rest the ones longest unused.
    fn make_room(&mut self, is_own: impl Fn(&Row) -> bool, now: ServerTime) {
        self.credentials.retain(|row| !is_own(row) || row.new.expires_at.is_none_or(|at| at > now));
        while self.credentials.iter().filter(|row| is_own(row)).count() >= limits::KEYS_MAX {
            let own = self.credentials.iter().enumerate().filter(|(_, row)| is_own(row));
            let first = own.min_by_key(|(_, row)| (row.last_used_at.unwrap_or(row.new.created_at), row.id));
            let Some((at, _)) = first else { return };
            self.credentials.remove(at);
        }
    }

    fn key_names(&self, user: UserId) -> HashSet<Name> {
        self.credentials.iter().filter(|row| row.new.user == user).map(|row| row.new.name.clone()).collect()
    }
}

impl SignIns for Memory {
    fn begin_sign_in(&self, new: NewSignIn) -> Reply<'_, SignInId> {
        Box::pin(async move { self.register().begin(new) })
    }

    fn find_sign_in(&self, key: SignInKey) -> Reply<'_, Option<SignIn>> {
        Box::pin(async move { Ok(self.register().find(&key)) })
    }

    fn sign_ins(&self, now: ServerTime) -> Reply<'_, Vec<SignIn>> {
        Box::pin(async move {
            let register = self.register();
            let waiting = register.sign_ins.iter().filter(|one| one.waits(now));
            Ok(waiting.map(|one| one.sign_in.clone()).collect())
        })
    }

    fn offer_link(
        &self,
        sign_in: SignInId,
        link: SecretHash,
        links_max: u64,
        since: ServerTime,
        now: ServerTime,
    ) -> Reply<'_, bool> {
        Box::pin(async move { Ok(self.register().offer(sign_in, link, links_max, (since, now))) })
    }

    fn has_account<'a>(&'a self, email: &'a EmailAddress, now: ServerTime) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut register = self.register();
            let user = register.user_of(email).filter(|user| user.disabled_at.is_none()).cloned();
            Ok(user.is_some_and(|user| register.is_wanted(&user, now)))
        })
    }

    fn approve_sign_in(&self, sign_in: SignInId, sign_up: SignUp, now: ServerTime) -> Reply<'_, Approved> {
        Box::pin(async move { self.register().approve(sign_in, sign_up, now) })
    }

    fn redeem_sign_in(&self, sign_in: SignInId, key: NewKey, now: ServerTime) -> Reply<'_, Redeemed> {
        Box::pin(async move { self.admit(|register| register.redeem(sign_in, key, now)) })
    }
}
