//! Sign-ins in PostgreSQL.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{CredentialId, EmailAddress, Name, ServerTime, SignInId, UserId, limits};

use super::Postgres;
use super::accounts::{add_credential, name};
use super::connection::{acquire, failed};
use super::pending::without_zero;
use super::people::{Tell, is_wanted, lock_enabled, lock_users, make_account, maybe_time, standing, time, user_of};
use crate::columns::{count, email_of, flow_code, flow_of, secret_of};
use crate::naming::free_name;
use crate::sign_ins::{ENDED_KEPT, SWEPT_MAX};
use crate::{
    Added, Approved, NewCredential, NewKey, NewSignIn, Redeemed, Reply, SecretHash, SignIn, SignInKey, SignIns, SignUp,
    StoreError,
};

type Done<T> = Result<T, StoreError>;

/// The advisory lock under which sign-ins begin and links are counted, since their bounds are those of all rows
/// together: the letters "sign-ins".
const LOCK: i64 = 0x7369_676e_2d69_6e73;

macro_rules! select_sign_ins {
    ($rest:literal) => {
        concat!(
            "SELECT id, request, flow, email, device, challenge, created_at, expires_at, approved_at, user_id,
                 consumed_at, links FROM sign_ins ",
            $rest
        )
    };
}

impl SignIns for Postgres {
    fn begin_sign_in(&self, new: NewSignIn) -> Reply<'_, SignInId> {
        Box::pin(self.settle(async move |connection| {
            lock_all(connection).await?;
            make_room(connection, &new.email, new.now).await?;
            Ok((begin(connection, &new).await?, Tell::Nobody))
        }))
    }

    fn find_sign_in(&self, key: SignInKey) -> Reply<'_, Option<SignIn>> {
        self.note_call();
        Box::pin(async move {
            let select = match &key {
                SignInKey::Request(request) => {
                    sqlx::query(select_sign_ins!("WHERE request = $1")).bind(without_zero(request))
                }
                SignInKey::DeviceCode(code) => {
                    sqlx::query(select_sign_ins!("WHERE device_code = $1")).bind(code.0.as_slice())
                }
                SignInKey::Link(link) => sqlx::query(select_sign_ins!("WHERE link = $1")).bind(link.0.as_slice()),
                SignInKey::UserCode(code) => sqlx::query(select_sign_ins!(
                    "WHERE user_code = $1 ORDER BY approved_at IS NOT NULL, id DESC LIMIT 1"
                ))
                .bind(code.0.as_slice()),
            };
            let found = select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            found.as_ref().map(read).transpose()
        })
    }

    fn sign_ins(&self, now: ServerTime) -> Reply<'_, Vec<SignIn>> {
        Box::pin(async move {
            let sql = select_sign_ins!("WHERE approved_at IS NULL AND expires_at > $1 ORDER BY id");
            let select = sqlx::query(sql).bind(now.micros());
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read).collect()
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
        Box::pin(self.settle(async move |connection| {
            lock_all(connection).await?;
            let sql = "SELECT coalesce(sum(links), 0)::int8 FROM sign_ins WHERE linked_at >= $2
                           AND email_key = (SELECT email_key FROM sign_ins WHERE id = $1)";
            let select = sqlx::query(sql).bind(sign_in.get()).bind(since.micros());
            let mailed: i64 = select.fetch_one(&mut *connection).await.map_err(failed)?.try_get(0).map_err(failed)?;
            if u64::try_from(mailed).is_ok_and(|mailed| mailed >= links_max) {
                return Ok((false, Tell::Nobody));
            }
            let sql = "UPDATE sign_ins SET link = $2, links = links + 1, linked_at = $3
                       WHERE id = $1 AND approved_at IS NULL AND expires_at > $3";
            let update = sqlx::query(sql).bind(sign_in.get()).bind(link.0.as_slice()).bind(now.micros());
            let is_offered = update.execute(connection).await.map_err(failed)?.rows_affected() > 0;
            Ok((is_offered, Tell::Nobody))
        }))
    }

    fn has_account<'a>(&'a self, email: &'a EmailAddress, now: ServerTime) -> Reply<'a, bool> {
        Box::pin(async move { is_wanted(&mut *acquire(&self.pool).await?, email, now).await })
    }

    fn approve_sign_in(&self, sign_in: SignInId, sign_up: SignUp, now: ServerTime) -> Reply<'_, Approved> {
        Box::pin(self.settle(async move |connection| {
            let approved = approve(connection, sign_in, sign_up, now).await?;
            let tell = if matches!(approved, Approved::Done { .. }) { Tell::Nodes } else { Tell::Nobody };
            Ok((approved, tell))
        }))
    }

    fn redeem_sign_in(&self, sign_in: SignInId, key: NewKey, now: ServerTime) -> Reply<'_, Redeemed> {
        Box::pin(self.settle(async move |connection| {
            let redeemed = redeem(connection, sign_in, &key, now).await?;
            let tell = if matches!(redeemed, Redeemed::Key { .. }) { Tell::Nodes } else { Tell::Nobody };
            Ok((redeemed, tell))
        }))
    }
}

async fn lock_all(connection: &mut PgConnection) -> Done<()> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
    lock.execute(connection).await.map(drop).map_err(failed)
}

/// Sweeps away what ended long ago, and what has to give way to one more.
async fn make_room(connection: &mut PgConnection, email: &EmailAddress, now: ServerTime) -> Done<()> {
    sweep(connection, now.minus(ENDED_KEPT), count(SWEPT_MAX)).await?;
    let sql = "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins WHERE email_key = $1
                   ORDER BY approved_at IS NOT NULL AND consumed_at IS NULL AND expires_at > $2 DESC, links > 0 DESC,
                       coalesce(consumed_at, expires_at) > $2 DESC, id DESC OFFSET $3)";
    let delete = sqlx::query(sql).bind(email.key()).bind(now.micros());
    let delete = delete.bind(count(limits::SIGN_INS_PER_ADDRESS_MAX - 1));
    delete.execute(&mut *connection).await.map_err(failed)?;
    let row = sqlx::query("SELECT count(*) FROM sign_ins").fetch_one(&mut *connection).await.map_err(failed)?;
    let mut surplus = row.try_get::<i64, _>(0).map_err(failed)? - count(limits::SIGN_INS_MAX - 1);
    if surplus > 0 {
        surplus -= sweep(connection, now, surplus).await?;
    }
    // What ended is gone by now, so that one that was approved waits for its device.
    for sql in [
        "DELETE FROM sign_ins WHERE id IN
             (SELECT id FROM sign_ins WHERE links = 0 AND approved_at IS NULL ORDER BY id LIMIT $1)",
        "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins ORDER BY approved_at IS NOT NULL, id LIMIT $1)",
    ] {
        if surplus > 0 {
            let deleted = sqlx::query(sql).bind(surplus).execute(&mut *connection).await.map_err(failed)?;
            surplus -= i64::try_from(deleted.rows_affected()).unwrap_or(surplus);
        }
    }
    Ok(())
}

/// Removes what ended until `end`, the first to end first, and says how many were removed.
async fn sweep(connection: &mut PgConnection, end: ServerTime, count_max: i64) -> Done<i64> {
    let sql = "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins WHERE coalesce(consumed_at, expires_at) <= $1
                   ORDER BY coalesce(consumed_at, expires_at) LIMIT $2)";
    let delete = sqlx::query(sql).bind(end.micros()).bind(count_max);
    let deleted = delete.execute(connection).await.map_err(failed)?.rows_affected();
    Ok(i64::try_from(deleted).unwrap_or(count_max))
}

async fn begin(connection: &mut PgConnection, new: &NewSignIn) -> Done<SignInId> {
    let NewSignIn { request, flow, email, device, device_code, user_code, challenge, link, now, expires_at } = new;
    let bytes = |hash: &Option<SecretHash>| hash.map(|hash| hash.0.to_vec());
    let sql = "INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, user_code, challenge, link,
                   links, linked_at, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
    let insert = sqlx::query(sql).bind(request).bind(flow_code(*flow)).bind(email.as_str()).bind(email.key());
    let insert = insert.bind(without_zero(device)).bind(device_code.0.as_slice()).bind(bytes(user_code));
    let insert = insert.bind(bytes(challenge)).bind(bytes(link)).bind(i64::from(link.is_some()));
    let insert = insert.bind(link.map(|_| now.micros())).bind(now.micros()).bind(expires_at.micros());
    let row = insert.fetch_one(connection).await.map_err(failed)?;
    row.try_get(0).map(SignInId::new).map_err(failed)
}

/// The sign-in: until the transaction ends, nothing else is decided of it.
async fn lock(connection: &mut PgConnection, id: SignInId) -> Done<Option<SignIn>> {
    let select = sqlx::query(select_sign_ins!("WHERE id = $1 FOR UPDATE")).bind(id.get());
    let found = select.fetch_optional(connection).await.map_err(failed)?;
    found.as_ref().map(read).transpose()
}

async fn approve(connection: &mut PgConnection, id: SignInId, sign_up: SignUp, now: ServerTime) -> Done<Approved> {
    let Some(sign_in) = lock(connection, id).await? else { return Ok(Approved::Expired) };
    if sign_in.approved.is_some() {
        return Ok(Approved::Already);
    }
    if sign_in.expires_at <= now {
        return Ok(Approved::Expired);
    }
    let (user, is_new) = match (user_of(connection, &sign_in.email).await?, sign_up) {
        (Some(user), _) => {
            lock_users(connection, &[user]).await?;
            let is_let_in = match (standing(connection, user).await?, sign_up) {
                // Its account went meanwhile.
                (None, _) => return Err(StoreError::Busy),
                (Some(false), _) => false,
                (Some(true), SignUp::Open) => true,
                (Some(true), SignUp::Closed) => is_wanted(connection, &sign_in.email, now).await?,
            };
            if !is_let_in {
                return Ok(Approved::NoAccount);
            }
            let update = sqlx::query("UPDATE users SET confirmed_at = $2 WHERE id = $1 AND confirmed_at IS NULL");
            update.bind(user.get()).bind(now.micros()).execute(&mut *connection).await.map_err(failed)?;
            (user, false)
        }
        (None, SignUp::Open) => (make_account(connection, &sign_in.email, now, Some(now)).await?, true),
        (None, SignUp::Closed) => return Ok(Approved::NoAccount),
    };
    let update = sqlx::query("UPDATE sign_ins SET approved_at = $2, user_id = $3 WHERE id = $1");
    let update = update.bind(id.get()).bind(now.micros()).bind(user.get());
    update.execute(connection).await.map_err(failed)?;
    Ok(Approved::Done { user, is_new })
}

async fn redeem(connection: &mut PgConnection, id: SignInId, key: &NewKey, now: ServerTime) -> Done<Redeemed> {
    let Some(sign_in) = lock(connection, id).await? else { return Ok(Redeemed::Expired) };
    let user = match sign_in.approved {
        _ if sign_in.consumed_at.is_some() => return Ok(Redeemed::Consumed),
        _ if sign_in.expires_at <= now => return Ok(Redeemed::Expired),
        None => return Ok(Redeemed::Waiting),
        Some((_, user)) => user,
    };
    if !lock_enabled(connection, user).await? {
        return Ok(Redeemed::Expired);
    }
    let credential = make_key(connection, user, key, now).await?;
    let update = sqlx::query("UPDATE sign_ins SET consumed_at = $2 WHERE id = $1").bind(id.get()).bind(now.micros());
    update.execute(connection).await.map_err(failed)?;
    Ok(Redeemed::Key { credential, user })
}

/// Makes a key, and room for it. Its user is locked.
pub(super) async fn make_key(
    connection: &mut PgConnection,
    user: UserId,
    key: &NewKey,
    now: ServerTime,
) -> Done<CredentialId> {
    let NewKey { name: wished, purpose, prefix, hash, expires_at } = key.clone();
    let delete = sqlx::query("DELETE FROM credentials WHERE user_id = $1 AND purpose = $2 AND expires_at <= $3");
    let delete = delete.bind(user.get()).bind(purpose.as_str()).bind(now.micros());
    delete.execute(&mut *connection).await.map_err(failed)?;
    let sql = "DELETE FROM credentials WHERE id IN (SELECT id FROM credentials WHERE user_id = $1 AND purpose = $2
                   ORDER BY coalesce(last_used_at, created_at) DESC, id DESC OFFSET $3)";
    let delete = sqlx::query(sql).bind(user.get()).bind(purpose.as_str()).bind(count(limits::KEYS_MAX - 1));
    delete.execute(&mut *connection).await.map_err(failed)?;
    let select = sqlx::query("SELECT name FROM credentials WHERE user_id = $1").bind(user.get());
    let rows = select.fetch_all(&mut *connection).await.map_err(failed)?;
    let taken = rows.iter().map(|row| name(row, 0)).collect::<Done<HashSet<Name>>>()?;
    let name = free_name(&wished, &taken);
    let new = NewCredential { user, name, purpose, prefix, hash, created_at: now, expires_at };
    match add_credential(connection, &new).await? {
        Added::New(credential) => Ok(credential),
        // The command line was faster.
        Added::NameTaken | Added::EmailTaken => Err(StoreError::Busy),
    }
}

fn read(row: &PgRow) -> Done<SignIn> {
    let challenge: Option<&[u8]> = row.try_get(5).map_err(failed)?;
    let user: Option<i64> = row.try_get(9).map_err(failed)?;
    let links: i64 = row.try_get(11).map_err(failed)?;
    Ok(SignIn {
        id: SignInId::new(row.try_get(0).map_err(failed)?),
        request: row.try_get(1).map_err(failed)?,
        flow: flow_of(row.try_get(2).map_err(failed)?)?,
        email: email_of(row.try_get(3).map_err(failed)?)?,
        device: row.try_get(4).map_err(failed)?,
        challenge: challenge.map(secret_of).transpose()?,
        created_at: time(row, 6)?,
        expires_at: time(row, 7)?,
        approved: maybe_time(row, 8)?.zip(user.map(UserId::new)),
        consumed_at: maybe_time(row, 10)?,
        links: u64::try_from(links).unwrap_or(0),
    })
}
