//! Invitations in SQLite. Whether somebody may was decided before.

use rusqlite::{Connection, Row, params};
use tombolo_core::{InvitationId, ProjectId, ServerTime, UserId, limits};

use super::accounts::{drop_pending, execute, make_account, maybe_time, select, time, user_of};
use super::connection::failed;
use super::members::{has_room, has_room_for, put_member, role_in};
use super::projects::{number, role};
use crate::columns::{count, status_code, status_of};
use crate::{Answered, Invitation, InvitationStatus, Invited, NewInvitation, StoreError};

type Done<T> = Result<T, StoreError>;

/// The columns of [`read`], of an invitation `i` and its project `p`.
macro_rules! columns {
    () => {
        "i.id, i.project, p.name, i.email, i.role, i.invited_by, i.status, i.created_at, i.expires_at, i.accepted_at"
    };
}

pub(super) fn invite(connection: &Connection, new: &NewInvitation, project_name: String) -> Done<Invited> {
    let NewInvitation { project, email, role, by, now, expires_at } = new;
    let user = user_of(connection, email)?;
    let is_member = match user {
        Some(user) => role_in(connection, *project, user)?.is_some(),
        None => false,
    };
    let sql = "SELECT count(*) FROM invitations
               WHERE project = ?1 AND email_key = ?2 AND status = 'pending' AND expires_at > ?3";
    if is_member || number(connection, sql, params![project.get(), email.key(), now.micros()])? > 0 {
        return Ok(Invited::Already);
    }
    let sql = "SELECT count(*) FROM invitations WHERE project = ?1 AND status = 'pending' AND expires_at > ?2";
    let pending = number(connection, sql, params![project.get(), now.micros()])?;
    let max = count(limits::INVITATIONS_MAX);
    if pending >= max {
        return Ok(Invited::Full);
    }
    // What is not pending any more makes room, the oldest first.
    let sql = "DELETE FROM invitations WHERE id IN (SELECT id FROM invitations
                   WHERE project = ?1 AND NOT (status = 'pending' AND expires_at > ?2)
                   ORDER BY id DESC LIMIT -1 OFFSET ?3)";
    execute(connection, sql, params![project.get(), now.micros(), max - 1 - pending])?;
    if user.is_none() {
        make_account(connection, email, *now, None)?;
    }
    let status = InvitationStatus::Pending;
    let sql = "INSERT INTO invitations (project, email, email_key, role, invited_by, status, created_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (text, key) = (email.as_str(), email.key());
    let values = params![
        project.get(),
        text,
        key,
        role.as_str(),
        by.get(),
        status_code(status),
        now.micros(),
        expires_at.micros()
    ];
    execute(connection, sql, values)?;
    Ok(Invited::Made(Invitation {
        id: InvitationId::new(connection.last_insert_rowid()),
        project: *project,
        project_name,
        email: text.to_owned(),
        role: *role,
        invited_by: *by,
        status,
        created_at: *now,
        expires_at: *expires_at,
        accepted_at: None,
    }))
}

pub(super) fn of_project(connection: &Connection, project: ProjectId) -> Done<Vec<Invitation>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM invitations i JOIN projects p ON p.id = i.project WHERE i.project = ?1 ORDER BY i.id"
    );
    select(connection, sql, [project.get()], read)
}

pub(super) fn withdraw(connection: &Connection, project: ProjectId, id: InvitationId) -> Done<bool> {
    let sql = "SELECT u.id FROM invitations i JOIN users u ON u.email_key = i.email_key
               WHERE i.project = ?1 AND i.id = ?2";
    let user = select(connection, sql, params![project.get(), id.get()], |row| row.get(0).map_err(failed))?.pop();
    let sql = "DELETE FROM invitations WHERE project = ?1 AND id = ?2";
    let is_withdrawn = execute(connection, sql, params![project.get(), id.get()])? > 0;
    if let Some(user) = user {
        drop_pending(connection, UserId::new(user))?;
    }
    Ok(is_withdrawn)
}

pub(super) fn for_user(connection: &Connection, user: UserId, now: ServerTime) -> Done<Vec<Invitation>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users u JOIN invitations i ON i.email_key = u.email_key JOIN projects p ON p.id = i.project
          WHERE u.id = ?1 AND i.status = 'pending' AND i.expires_at > ?2 AND p.deleted_at IS NULL
          ORDER BY i.id DESC LIMIT ?3"
    );
    let mut newest = select(connection, sql, params![user.get(), now.micros(), count(limits::INVITATIONS_MAX)], read)?;
    newest.reverse();
    Ok(newest)
}

pub(super) fn answer(
    connection: &Connection,
    id: InvitationId,
    user: UserId,
    accept: bool,
    now: ServerTime,
) -> Done<Answered> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users u JOIN invitations i ON i.email_key = u.email_key JOIN projects p ON p.id = i.project
          WHERE u.id = ?1 AND i.id = ?2 AND u.disabled_at IS NULL AND p.deleted_at IS NULL"
    );
    let found = select(connection, sql, params![user.get(), id.get()], read)?.pop();
    let Some(Invitation { project, role, invited_by, status, expires_at, .. }) = found else {
        return Ok(Answered::Unknown);
    };
    if status != InvitationStatus::Pending {
        return Ok(Answered::Conflict);
    }
    if expires_at <= now {
        return Ok(Answered::Expired);
    }
    let end = |status, accepted_at: Option<ServerTime>| {
        let sql = "UPDATE invitations SET status = ?2, accepted_at = ?3 WHERE id = ?1";
        execute(connection, sql, params![id.get(), status_code(status), accepted_at.map(ServerTime::micros)])
    };
    if !accept {
        end(InvitationStatus::Declined, None)?;
        drop_pending(connection, user)?;
        return Ok(Answered::Declined);
    }
    let has_room = has_room(connection, project)? && has_room_for(connection, user, now)?;
    if role_in(connection, project, user)?.is_some() || !has_room {
        return Ok(Answered::Conflict);
    }
    end(InvitationStatus::Accepted, Some(now))?;
    let member = put_member(connection, project, user, role, Some(invited_by), now)?;
    Ok(Answered::Accepted { project, member })
}

fn read(row: &Row<'_>) -> Done<Invitation> {
    let status: String = row.get(6).map_err(failed)?;
    Ok(Invitation {
        id: InvitationId::new(row.get(0).map_err(failed)?),
        project: ProjectId::new(row.get(1).map_err(failed)?),
        project_name: row.get(2).map_err(failed)?,
        email: row.get(3).map_err(failed)?,
        role: role(row, 4)?,
        invited_by: UserId::new(row.get(5).map_err(failed)?),
        status: status_of(&status)?,
        created_at: time(row, 7)?,
        expires_at: time(row, 8)?,
        accepted_at: maybe_time(row, 9)?,
    })
}
