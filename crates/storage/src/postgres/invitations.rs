//! Invitations in PostgreSQL. Whether somebody may was decided before, and the project is locked.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{InvitationId, ProjectId, ServerTime, UserId, limits};

use super::connection::failed;
use super::members::{has_room, has_room_for, put_member, role_in};
use super::people::{drop_pending, lock_enabled, lock_users, make_account, maybe_time, standing, time, user_of};
use super::projects::{lock_project, number, role};
use crate::columns::{count, status_code, status_of};
use crate::{Answered, Invitation, InvitationStatus, Invited, NewInvitation, StoreError};

type Done<T> = Result<T, StoreError>;

/// The columns of [`read`], of an invitation `i` and its project `p`.
macro_rules! columns {
    () => {
        "i.id, i.project, p.name, i.email, i.role, i.invited_by, i.status, i.created_at, i.expires_at, i.accepted_at"
    };
}

pub(super) async fn invite(connection: &mut PgConnection, new: &NewInvitation, project_name: String) -> Done<Invited> {
    let NewInvitation { project, email, role, by, now, expires_at } = new;
    let user = user_of(connection, email).await?;
    if let Some(user) = user {
        lock_users(connection, &[user]).await?;
        if standing(connection, user).await?.is_none() {
            // Its account went meanwhile.
            return Err(StoreError::Busy);
        }
    }
    let is_member = match user {
        Some(user) => role_in(connection, *project, user).await?.is_some(),
        None => false,
    };
    let sql = "SELECT 1 FROM invitations
               WHERE project = $1 AND email_key = $2 AND status = 'pending' AND expires_at > $3 LIMIT 1";
    let select = sqlx::query(sql).bind(project.get()).bind(email.key()).bind(now.micros());
    if is_member || select.fetch_optional(&mut *connection).await.map_err(failed)?.is_some() {
        return Ok(Invited::Already);
    }
    let sql = "SELECT count(*) FROM invitations WHERE project = $1 AND status = 'pending' AND expires_at > $2";
    let pending = number(connection, sql, project.get(), Some(*now)).await?;
    let max = count(limits::INVITATIONS_MAX);
    if pending >= max {
        return Ok(Invited::Full);
    }
    // What is not pending any more makes room, the oldest first.
    let sql = "DELETE FROM invitations WHERE id IN (SELECT id FROM invitations
                   WHERE project = $1 AND NOT (status = 'pending' AND expires_at > $2) ORDER BY id DESC OFFSET $3)";
    let delete = sqlx::query(sql).bind(project.get()).bind(now.micros()).bind(max - 1 - pending);
    delete.execute(&mut *connection).await.map_err(failed)?;
    if user.is_none() {
        make_account(connection, email, *now, None).await?;
    }
    let status = InvitationStatus::Pending;
    let sql = "INSERT INTO invitations (project, email, email_key, role, invited_by, status, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    let insert = sqlx::query(sql).bind(project.get()).bind(email.as_str()).bind(email.key()).bind(role.as_str());
    let insert = insert.bind(by.get()).bind(status_code(status)).bind(now.micros()).bind(expires_at.micros());
    let row = insert.fetch_one(connection).await.map_err(failed)?;
    Ok(Invited::Made(Invitation {
        id: InvitationId::new(row.try_get(0).map_err(failed)?),
        project: *project,
        project_name,
        email: email.as_str().to_owned(),
        role: *role,
        invited_by: *by,
        status,
        created_at: *now,
        expires_at: *expires_at,
        accepted_at: None,
    }))
}

pub(super) async fn of_project(connection: &mut PgConnection, project: ProjectId) -> Done<Vec<Invitation>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM invitations i JOIN projects p ON p.id = i.project WHERE i.project = $1 ORDER BY i.id"
    );
    let rows = sqlx::query(sql).bind(project.get()).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(read).collect()
}

pub(super) async fn withdraw(connection: &mut PgConnection, project: ProjectId, id: InvitationId) -> Done<bool> {
    let sql = "DELETE FROM invitations WHERE project = $1 AND id = $2
               RETURNING (SELECT id FROM users u WHERE u.email_key = invitations.email_key)";
    let delete = sqlx::query(sql).bind(project.get()).bind(id.get());
    let Some(row) = delete.fetch_optional(&mut *connection).await.map_err(failed)? else { return Ok(false) };
    if let Some(user) = row.try_get(0).map_err(failed)? {
        drop_pending(connection, UserId::new(user)).await?;
    }
    Ok(true)
}

pub(super) async fn for_user(connection: &mut PgConnection, user: UserId, now: ServerTime) -> Done<Vec<Invitation>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users u JOIN invitations i ON i.email_key = u.email_key JOIN projects p ON p.id = i.project
          WHERE u.id = $1 AND i.status = 'pending' AND i.expires_at > $2 AND p.deleted_at IS NULL
          ORDER BY i.id DESC LIMIT $3"
    );
    let select = sqlx::query(sql).bind(user.get()).bind(now.micros()).bind(count(limits::INVITATIONS_MAX));
    let rows = select.fetch_all(connection).await.map_err(failed)?;
    rows.iter().rev().map(read).collect()
}

pub(super) async fn answer(
    connection: &mut PgConnection,
    id: InvitationId,
    user: UserId,
    accept: bool,
    now: ServerTime,
) -> Done<Answered> {
    // An invitation never changes its project, which has to be locked before anything is decided.
    let select = sqlx::query("SELECT project FROM invitations WHERE id = $1").bind(id.get());
    let Some(row) = select.fetch_optional(&mut *connection).await.map_err(failed)? else {
        return Ok(Answered::Unknown);
    };
    lock_project(connection, ProjectId::new(row.try_get(0).map_err(failed)?)).await?;
    if !lock_enabled(connection, user).await? {
        return Ok(Answered::Unknown);
    }
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users u JOIN invitations i ON i.email_key = u.email_key JOIN projects p ON p.id = i.project
          WHERE u.id = $1 AND i.id = $2 AND p.deleted_at IS NULL"
    );
    let select = sqlx::query(sql).bind(user.get()).bind(id.get());
    let found = select.fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(Invitation { project, role, invited_by, status, expires_at, .. }) =
        found.as_ref().map(read).transpose()?
    else {
        return Ok(Answered::Unknown);
    };
    if status != InvitationStatus::Pending {
        return Ok(Answered::Conflict);
    }
    if expires_at <= now {
        return Ok(Answered::Expired);
    }
    if !accept {
        end(connection, id, InvitationStatus::Declined, None).await?;
        drop_pending(connection, user).await?;
        return Ok(Answered::Declined);
    }
    let has_room = has_room(connection, project).await? && has_room_for(connection, user, now).await?;
    if role_in(connection, project, user).await?.is_some() || !has_room {
        return Ok(Answered::Conflict);
    }
    end(connection, id, InvitationStatus::Accepted, Some(now)).await?;
    let member = put_member(connection, project, user, role, Some(invited_by), now).await?;
    Ok(Answered::Accepted { project, member })
}

async fn end(
    connection: &mut PgConnection,
    id: InvitationId,
    status: InvitationStatus,
    accepted_at: Option<ServerTime>,
) -> Done<()> {
    let update = sqlx::query("UPDATE invitations SET status = $2, accepted_at = $3 WHERE id = $1");
    let update = update.bind(id.get()).bind(status_code(status)).bind(accepted_at.map(ServerTime::micros));
    update.execute(connection).await.map(drop).map_err(failed)
}

fn read(row: &PgRow) -> Done<Invitation> {
    Ok(Invitation {
        id: InvitationId::new(row.try_get(0).map_err(failed)?),
        project: ProjectId::new(row.try_get(1).map_err(failed)?),
        project_name: row.try_get(2).map_err(failed)?,
        email: row.try_get(3).map_err(failed)?,
        role: role(row, 4)?,
        invited_by: UserId::new(row.try_get(5).map_err(failed)?),
        status: status_of(row.try_get(6).map_err(failed)?)?,
        created_at: time(row, 7)?,
        expires_at: time(row, 8)?,
        accepted_at: maybe_time(row, 9)?,
    })
}
