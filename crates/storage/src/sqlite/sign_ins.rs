//! Sign-ins in SQLite.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use tombolo_core::{CredentialId, EmailAddress, Name, ServerTime, SignInId, UserId, limits};

use super::Sqlite;
use super::accounts::{
    add_credential, execute, is_enabled, is_wanted, make_account, maybe_time, name, select, time, user_of,
};
use super::connection::failed;
use super::projects::number;
use crate::columns::{count, email_of, flow_code, flow_of, secret_of};
use crate::naming::free_name;
use crate::sign_ins::{ENDED_KEPT, SWEPT_MAX};
use crate::{
    Added, Approved, NewCredential, NewKey, NewSignIn, Redeemed, Reply, SecretHash, SignIn, SignInKey, SignIns, SignUp,
    StoreError,
};

type Done<T> = Result<T, StoreError>;

macro_rules! select_sign_ins {
    ($rest:literal) => {
        concat!(
            "SELECT id, request, flow, email, device, challenge, created_at, expires_at, approved_at, user_id,
                 consumed_at, links FROM sign_ins ",
            $rest
        )
    };
}

impl SignIns for Sqlite {
    fn begin_sign_in(&self, new: NewSignIn) -> Reply<'_, SignInId> {
        Box::pin(self.writer.write(move |connection| {
            make_room(connection, &new.email, new.now)?;
            begin(connection, &new)
        }))
    }

    fn find_sign_in(&self, key: SignInKey) -> Reply<'_, Option<SignIn>> {
        Box::pin(self.readers.read(move |connection| {
            let bytes = |hash: SecretHash| Value::Blob(hash.0.to_vec());
            let (sql, value) = match key {
                SignInKey::Request(request) => (select_sign_ins!("WHERE request = ?1"), Value::Text(request)),
                SignInKey::DeviceCode(code) => (select_sign_ins!("WHERE device_code = ?1"), bytes(code)),
                SignInKey::Link(link) => (select_sign_ins!("WHERE link = ?1"), bytes(link)),
                SignInKey::UserCode(code) => (
                    select_sign_ins!("WHERE user_code = ?1 ORDER BY approved_at IS NOT NULL, id DESC LIMIT 1"),
                    bytes(code),
                ),
            };
            Ok(select(connection, sql, [value], read)?.pop())
        }))
    }

    fn sign_ins(&self, now: ServerTime) -> Reply<'_, Vec<SignIn>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = select_sign_ins!("WHERE approved_at IS NULL AND expires_at > ?1 ORDER BY id");
            select(connection, sql, [now.micros()], read)
        }))
    }

    fn offer_link(
        &self,
        sign_in: SignInId,
        link: SecretHash,
        links_max: u64,
        since: ServerTime,
        now: ServerTime,
    ) -> Reply<'_, bool> {
        Box::pin(self.writer.write(move |connection| {
            let sql = "SELECT coalesce(sum(links), 0) FROM sign_ins WHERE linked_at >= ?2
                           AND email_key = (SELECT email_key FROM sign_ins WHERE id = ?1)";
            let mailed = number(connection, sql, params![sign_in.get(), since.micros()])?;
            if u64::try_from(mailed).is_ok_and(|mailed| mailed >= links_max) {
                return Ok(false);
            }
            let sql = "UPDATE sign_ins SET link = ?2, links = links + 1, linked_at = ?3
                       WHERE id = ?1 AND approved_at IS NULL AND expires_at > ?3";
            Ok(execute(connection, sql, params![sign_in.get(), link.0, now.micros()])? > 0)
        }))
    }

    fn has_account<'a>(&'a self, email: &'a EmailAddress, now: ServerTime) -> Reply<'a, bool> {
        let email = email.clone();
        Box::pin(self.readers.read(move |connection| match user_of(connection, &email)? {
            Some(user) => Ok(is_enabled(connection, user)? && is_wanted(connection, user, now)?),
            None => Ok(false),
        }))
    }

    fn approve_sign_in(&self, sign_in: SignInId, sign_up: SignUp, now: ServerTime) -> Reply<'_, Approved> {
        Box::pin(self.writer.write(move |connection| approve(connection, sign_in, sign_up, now)))
    }

    fn redeem_sign_in(&self, sign_in: SignInId, key: NewKey, now: ServerTime) -> Reply<'_, Redeemed> {
        self.admit(move |connection| redeem(connection, sign_in, key, now))
    }
}

/// Sweeps away what ended long ago, and what has to give way to one more.
fn make_room(connection: &Connection, email: &EmailAddress, now: ServerTime) -> Done<()> {
    let sweep =
        "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins WHERE coalesce(consumed_at, expires_at) <= ?1
                     ORDER BY coalesce(consumed_at, expires_at) LIMIT ?2)";
    execute(connection, sweep, params![now.minus(ENDED_KEPT).micros(), count(SWEPT_MAX)])?;
    let sql = "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins WHERE email_key = ?1
                   ORDER BY approved_at IS NOT NULL AND consumed_at IS NULL AND expires_at > ?2 DESC, links > 0 DESC,
                       coalesce(consumed_at, expires_at) > ?2 DESC, id DESC LIMIT -1 OFFSET ?3)";
    execute(connection, sql, params![email.key(), now.micros(), count(limits::SIGN_INS_PER_ADDRESS_MAX - 1)])?;
    let mut surplus = number(connection, "SELECT count(*) FROM sign_ins", [])? - count(limits::SIGN_INS_MAX - 1);
    if surplus > 0 {
        surplus -= count(execute(connection, sweep, params![now.micros(), surplus])?);
    }
    // What ended is gone by now, so that one that was approved waits for its device.
    for sql in [
        "DELETE FROM sign_ins WHERE id IN
             (SELECT id FROM sign_ins WHERE links = 0 AND approved_at IS NULL ORDER BY id LIMIT ?1)",
        "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins ORDER BY approved_at IS NOT NULL, id LIMIT ?1)",
    ] {
        if surplus > 0 {
            surplus -= count(execute(connection, sql, [surplus])?);
        }
    }
    Ok(())
}

fn begin(connection: &Connection, new: &NewSignIn) -> Done<SignInId> {
    let NewSignIn { request, flow, email, device, device_code, user_code, challenge, link, now, expires_at } = new;
    let bytes = |hash: &Option<SecretHash>| hash.map(|hash| hash.0);
    let sql = "INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, user_code, challenge, link,
                   links, linked_at, created_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = params![
        request,
        flow_code(*flow),
        email.as_str(),
        email.key(),
        device,
        device_code.0,
        bytes(user_code),
        bytes(challenge),
        bytes(link),
        link.is_some(),
        link.map(|_| now.micros()),
        now.micros(),
        expires_at.micros()
    ];
    execute(connection, sql, values)?;
    Ok(SignInId::new(connection.last_insert_rowid()))
}

fn by_id(connection: &Connection, id: SignInId) -> Done<Option<SignIn>> {
    Ok(select(connection, select_sign_ins!("WHERE id = ?1"), [id.get()], read)?.pop())
}

fn approve(connection: &Connection, id: SignInId, sign_up: SignUp, now: ServerTime) -> Done<Approved> {
    let Some(sign_in) = by_id(connection, id)? else { return Ok(Approved::Expired) };
    if sign_in.approved.is_some() {
        return Ok(Approved::Already);
    }
    if sign_in.expires_at <= now {
        return Ok(Approved::Expired);
    }
    let (user, is_new) = match (user_of(connection, &sign_in.email)?, sign_up) {
        (Some(user), _)
            if is_enabled(connection, user)? && (sign_up == SignUp::Open || is_wanted(connection, user, now)?) =>
        {
            let sql = "UPDATE users SET confirmed_at = ifnull(confirmed_at, ?2) WHERE id = ?1";
            execute(connection, sql, params![user.get(), now.micros()])?;
            (user, false)
        }
        (None, SignUp::Open) => (make_account(connection, &sign_in.email, now, Some(now))?, true),
        (Some(_), _) | (None, SignUp::Closed) => return Ok(Approved::NoAccount),
    };
    let sql = "UPDATE sign_ins SET approved_at = ?2, user_id = ?3 WHERE id = ?1";
    execute(connection, sql, params![id.get(), now.micros(), user.get()])?;
    Ok(Approved::Done { user, is_new })
}

fn redeem(connection: &Connection, id: SignInId, key: NewKey, now: ServerTime) -> Done<Redeemed> {
    let Some(sign_in) = by_id(connection, id)? else { return Ok(Redeemed::Expired) };
    let user = match sign_in.approved {
        _ if sign_in.consumed_at.is_some() => return Ok(Redeemed::Consumed),
        _ if sign_in.expires_at <= now => return Ok(Redeemed::Expired),
        None => return Ok(Redeemed::Waiting),
        Some((_, user)) if !is_enabled(connection, user)? => return Ok(Redeemed::Expired),
        Some((_, user)) => user,
    };
    let credential = make_key(connection, user, key, now)?;
    let sql = "UPDATE sign_ins SET consumed_at = ?2 WHERE id = ?1";
    execute(connection, sql, params![id.get(), now.micros()])?;
    Ok(Redeemed::Key { credential, user })
}

/// Makes a key, and room for it.
pub(super) fn make_key(connection: &Connection, user: UserId, key: NewKey, now: ServerTime) -> Done<CredentialId> {
    let NewKey { name: wished, purpose, prefix, hash, expires_at } = key;
    let sql = "DELETE FROM credentials WHERE user_id = ?1 AND purpose = ?2 AND expires_at <= ?3";
    execute(connection, sql, params![user.get(), purpose.as_str(), now.micros()])?;
    let sql = "DELETE FROM credentials WHERE id IN (SELECT id FROM credentials WHERE user_id = ?1 AND purpose = ?2
                   ORDER BY coalesce(last_used_at, created_at) DESC, id DESC LIMIT -1 OFFSET ?3)";
    execute(connection, sql, params![user.get(), purpose.as_str(), count(limits::KEYS_MAX - 1)])?;
    let sql = "SELECT name FROM credentials WHERE user_id = ?1";
    let taken = select(connection, sql, [user.get()], |row| name(row, 0))?;
    let name = free_name(&wished, &taken.into_iter().collect::<HashSet<Name>>());
    let new = NewCredential { user, name, purpose, prefix, hash, created_at: now, expires_at };
    match add_credential(connection, &new)? {
        Added::New(credential) => Ok(credential),
        Added::NameTaken | Added::EmailTaken => Err(StoreError::Internal("a free name was taken".to_owned())),
    }
}

fn read(row: &Row<'_>) -> Done<SignIn> {
    let text = |index| row.get::<_, String>(index).map_err(failed);
    let challenge: Option<Vec<u8>> = row.get(5).map_err(failed)?;
    let user: Option<i64> = row.get(9).map_err(failed)?;
    let links: i64 = row.get(11).map_err(failed)?;
    Ok(SignIn {
        id: SignInId::new(row.get(0).map_err(failed)?),
        request: text(1)?,
        flow: flow_of(&text(2)?)?,
        email: email_of(&text(3)?)?,
        device: text(4)?,
        challenge: challenge.as_deref().map(secret_of).transpose()?,
        created_at: time(row, 6)?,
        expires_at: time(row, 7)?,
        approved: maybe_time(row, 8)?.zip(user.map(UserId::new)),
        consumed_at: maybe_time(row, 10)?,
        links: u64::try_from(links).unwrap_or(0),
    })
}
