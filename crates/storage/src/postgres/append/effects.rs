//! What entries do beside being stored, in the transaction that stores them.
//!
//! Who is touched is locked before anything is decided, in the order that all do: the space, then users, then what
//! belongs to them, and last what tells the nodes. Requests that do something are groups of their own, so that one
//! whose entry cannot be undoes nobody else's by the rollback.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tombolo_core::{Purpose, ServerTime, UserId};

use super::super::connection::failed;
use super::super::identities::{self, user_known_as};
use super::super::people::{Tell, lock_enabled, lock_users};
use super::super::sign_ins::make_key;
use super::locked::Target;
use crate::entries::plan::Plan;
use crate::told::Told;
use crate::{Append, Effect, NewKey, NotAppended, SecretHash, StoreError, Unfit};

type Done<T> = Result<T, StoreError>;
/// That it is done, or why it cannot be.
type Effected = Result<(), Unfit>;

/// Whether a request does anything beside being stored. A member's does not, whatever it says.
pub(super) fn has_effects(append: &Append) -> bool {
    append.is_ruled() && append.weights.iter().any(|weight| weight.effect.is_some())
}

/// Locks who sends a request and whom it touches, as far as they are somebody by now: nobody disables or removes them,
/// and nothing else is decided of their keys. Whoever is made meanwhile is met later, and locked then.
pub(super) async fn lock(connection: &mut PgConnection, purpose: Purpose, append: &Append) -> Done<()> {
    let (_, by) = Target::of(append);
    let (mut subjects, mut hashes) = (Vec::new(), Vec::new());
    for effect in append.weights.iter().filter_map(|weight| weight.effect.as_ref()) {
        match effect {
            Effect::AddIdentity(new) => subjects.push(new.subject.as_str()),
            Effect::GiveSetupToken { subject, .. } | Effect::RevokeKeys { subject } => subjects.push(subject.as_str()),
            Effect::UseSetupToken { token, .. } => hashes.push(token.0.as_slice()),
        }
    }
    let sql = "SELECT i.user_id FROM unnest($2::text[]) n(name)
               JOIN identities i ON i.purpose = $1 AND i.subject = n.name
               UNION SELECT u.id FROM unnest($2::text[]) n(name) JOIN users u ON u.name = n.name
               UNION SELECT t.user_id FROM unnest($3::bytea[]) n(hash) JOIN setup_tokens t ON t.hash = n.hash";
    let select = sqlx::query(sql).bind(purpose.as_str()).bind(subjects).bind(hashes);
    let rows = select.fetch_all(&mut *connection).await.map_err(failed)?;
    let touched = rows.iter().map(|row| row.try_get(0).map(UserId::new).map_err(failed));
    let users = touched.chain([Ok(by)]).collect::<Done<Vec<UserId>>>()?;
    lock_users(connection, &users).await
}

/// Does what the entries of a request do that are new; what cannot be is answered by the first that it is true of, and
/// the transaction is to be rolled back then.
pub(super) async fn apply(
    connection: &mut PgConnection,
    purpose: Purpose,
    append: &Append,
    planned: &Plan<'_>,
) -> Done<Result<Tell, NotAppended>> {
    let mut tell = Tell::Nobody;
    for (index, effect) in append.effects(&planned.new) {
        if let Err(unfit) = carry_out(connection, purpose, effect, append.now).await? {
            return Ok(Err(NotAppended::Unfit(index, unfit)));
        }
        if effect.is_told() {
            tell = Tell::Nodes;
        }
    }
    Ok(Ok(tell))
}

async fn carry_out(
    connection: &mut PgConnection,
    purpose: Purpose,
    effect: &Effect,
    now: ServerTime,
) -> Done<Effected> {
    match effect {
        Effect::AddIdentity(new) => Ok(identities::add(connection, new, now).await?.fits()),
        Effect::GiveSetupToken { subject, token, expires_at } => {
            let Some(user) = user_known_as(connection, purpose, subject).await? else { return Ok(Err(Unfit::Unknown)) };
            if !lock_enabled(connection, user).await? {
                return Ok(Err(Unfit::Unknown));
            }
            give_setup_token(connection, purpose, user, *token, *expires_at).await.map(Ok)
        }
        Effect::UseSetupToken { token, key } => use_setup_token(connection, purpose, *token, key, now).await,
        Effect::RevokeKeys { subject } => match user_known_as(connection, purpose, subject).await? {
            Some(user) => revoke_keys(connection, purpose, user).await.map(Ok),
            None => Ok(Ok(())),
        },
    }
}

async fn give_setup_token(
    connection: &mut PgConnection,
    purpose: Purpose,
    user: UserId,
    token: SecretHash,
    expires_at: ServerTime,
) -> Done<()> {
    let sql = "INSERT INTO setup_tokens (user_id, purpose, hash, expires_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (user_id, purpose) DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at";
    let insert = sqlx::query(sql).bind(user.get()).bind(purpose.as_str());
    let insert = insert.bind(token.0.as_slice()).bind(expires_at.micros());
    insert.execute(connection).await.map(drop).map_err(failed)
}

/// Uses a setup token up: of those who do so at once, one finds it.
async fn use_setup_token(
    connection: &mut PgConnection,
    purpose: Purpose,
    token: SecretHash,
    key: &NewKey,
    now: ServerTime,
) -> Done<Effected> {
    let sql = "DELETE FROM setup_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING user_id";
    let delete = sqlx::query(sql).bind(token.0.as_slice()).bind(purpose.as_str()).bind(now.micros());
    let Some(row) = delete.fetch_optional(&mut *connection).await.map_err(failed)? else {
        return Ok(Err(Unfit::Spent));
    };
    let user = UserId::new(row.try_get(0).map_err(failed)?);
    if !lock_enabled(connection, user).await? {
        return Ok(Err(Unfit::Spent));
    }
    make_key(connection, user, key, now).await?;
    Ok(Ok(()))
}

/// Revokes a user's keys for one protocol; locked in the order in which their use is noted.
async fn revoke_keys(connection: &mut PgConnection, purpose: Purpose, user: UserId) -> Done<()> {
    let sql = "DELETE FROM credentials WHERE id IN (SELECT id FROM credentials WHERE user_id = $1 AND purpose = $2
                   ORDER BY id FOR UPDATE)";
    let delete = sqlx::query(sql).bind(user.get()).bind(purpose.as_str());
    delete.execute(connection).await.map(drop).map_err(failed)
}
