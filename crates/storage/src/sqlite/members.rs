//! Who belongs to a project, in SQLite. Whether somebody may change that was decided before.

use rusqlite::{Connection, Row, params};
use tombolo_core::{ProjectId, Role, ServerTime, UserId, limits};

use super::accounts::{execute, is_enabled, make_account, select, time, user_of};
use super::connection::failed;
use super::projects::{number, role};
use crate::columns::count;
use crate::{Member, MemberAdded, StoreError, Who};

type Done<T> = Result<T, StoreError>;

pub(super) fn add_member(
    connection: &Connection,
    project: ProjectId,
    by: UserId,
    who: &Who,
    role: Role,
    now: ServerTime,
) -> Done<MemberAdded> {
    let known = match who {
        Who::User(user) if !is_enabled(connection, *user)? || !share_a_project(connection, by, *user)? => {
            return Ok(MemberAdded::NoSuchUser);
        }
        Who::User(user) => Some(*user),
        Who::Address(email) => user_of(connection, email)?,
    };
    if let Some(user) = known {
        if role_in(connection, project, user)?.is_some() {
            return Ok(MemberAdded::AlreadyMember);
        }
        if !has_room_for(connection, user, now)? {
            return Ok(MemberAdded::Full);
        }
    }
    if !has_room(connection, project)? {
        return Ok(MemberAdded::Full);
    }
    let user = match (known, who) {
        (Some(user), _) => user,
        (None, Who::User(_)) => return Ok(MemberAdded::NoSuchUser),
        (None, Who::Address(email)) => make_account(connection, email, now, None)?,
    };
    Ok(MemberAdded::Added(put_member(connection, project, user, role, Some(by), now)?))
}

/// Writes a member who is none yet.
pub(super) fn put_member(
    connection: &Connection,
    project: ProjectId,
    user: UserId,
    role: Role,
    invited_by: Option<UserId>,
    now: ServerTime,
) -> Done<Member> {
    let sql = "INSERT INTO memberships (project, user_id, role, invited_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let by = invited_by.map(UserId::get);
    execute(connection, sql, params![project.get(), user.get(), role.as_str(), by, now.micros()])?;
    let sql = "SELECT email FROM users WHERE id = ?1";
    let email = select(connection, sql, [user.get()], |row| row.get(0).map_err(failed))?.pop().flatten();
    Ok(Member { user, email, role, invited_by, created_at: now })
}

/// The role that a member has, whether or not he is disabled.
pub(super) fn role_in(connection: &Connection, project: ProjectId, user: UserId) -> Done<Option<Role>> {
    let sql = "SELECT role FROM memberships WHERE project = ?1 AND user_id = ?2";
    Ok(select(connection, sql, params![project.get(), user.get()], |row| role(row, 0))?.pop())
}

/// Whether two belong to one project that is not deleted.
fn share_a_project(connection: &Connection, one: UserId, other: UserId) -> Done<bool> {
    let sql = "SELECT count(*) FROM memberships m JOIN memberships o ON o.project = m.project AND o.user_id = ?2
               JOIN projects p ON p.id = m.project WHERE m.user_id = ?1 AND p.deleted_at IS NULL";
    Ok(number(connection, sql, params![one.get(), other.get()])? > 0)
}

/// Whether a project has an owner beside a member who is not disabled.
pub(super) fn has_other_owner(connection: &Connection, project: ProjectId, member: UserId) -> Done<bool> {
    let sql = "SELECT count(*) FROM memberships m JOIN users u ON u.id = m.user_id
               WHERE m.project = ?1 AND m.user_id <> ?2 AND m.role = ?3 AND u.disabled_at IS NULL";
    Ok(number(connection, sql, params![project.get(), member.get(), Role::Owner.as_str()])? > 0)
}

pub(super) fn has_room(connection: &Connection, project: ProjectId) -> Done<bool> {
    let members = number(connection, "SELECT count(*) FROM memberships WHERE project = ?1", [project.get()])?;
    Ok(members < count(limits::MEMBERS_MAX))
}

/// Whether a user may belong to one project more.
pub(super) fn has_room_for(connection: &Connection, user: UserId, now: ServerTime) -> Done<bool> {
    let sql = "SELECT count(*) FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = ?1 AND (p.deleted_at IS NULL OR p.deleted_at >= ?2)";
    let since = now.minus(limits::PROJECT_KEPT);
    Ok(number(connection, sql, params![user.get(), since.micros()])? < count(limits::PROJECTS_MAX))
}

pub(super) fn read_member(row: &Row<'_>) -> Done<Member> {
    let invited_by: Option<i64> = row.get(3).map_err(failed)?;
    Ok(Member {
        user: UserId::new(row.get(0).map_err(failed)?),
        email: row.get(1).map_err(failed)?,
        role: role(row, 2)?,
        invited_by: invited_by.map(UserId::new),
        created_at: time(row, 4)?,
    })
}
