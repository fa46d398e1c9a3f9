//! Who belongs to a project, in PostgreSQL. Whether somebody may change that was decided before, and the project is
//! locked.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{ProjectId, Role, ServerTime, UserId, limits};

use super::connection::failed;
use super::people::{make_account, standing, time, user_of};
use super::projects::{number, role};
use crate::columns::count;
use crate::{Member, MemberAdded, MemberChanged, StoreError, Who};

type Done<T> = Result<T, StoreError>;

/// Who is meant, as far as that is somebody.
pub(super) async fn known(connection: &mut PgConnection, who: &Who) -> Done<Option<UserId>> {
    match who {
        Who::User(user) => Ok(Some(*user)),
        Who::Address(email) => user_of(connection, email).await,
    }
}

/// Adds a member. Who is [`known`] was locked, with `by`.
pub(super) async fn add_member(
    connection: &mut PgConnection,
    project: ProjectId,
    by: UserId,
    (who, known): (&Who, Option<UserId>),
    role: Role,
    now: ServerTime,
) -> Done<MemberAdded> {
    if let Some(user) = known {
        let standing = standing(connection, user).await?;
        match who {
            Who::User(_) if standing != Some(true) || !share_a_project(connection, by, user).await? => {
                return Ok(MemberAdded::NoSuchUser);
            }
            // Its account went meanwhile.
            Who::Address(_) if standing.is_none() => return Err(StoreError::Busy),
            _ => {}
        }
        if role_in(connection, project, user).await?.is_some() {
            return Ok(MemberAdded::AlreadyMember);
        }
        if !has_room_for(connection, user, now).await? {
            return Ok(MemberAdded::Full);
        }
    }
    if !has_room(connection, project).await? {
        return Ok(MemberAdded::Full);
    }
    let user = match (known, who) {
        (Some(user), _) => user,
        (None, Who::User(_)) => return Ok(MemberAdded::NoSuchUser),
        (None, Who::Address(email)) => make_account(connection, email, now, None).await?,
    };
    Ok(MemberAdded::Added(put_member(connection, project, user, role, Some(by), now).await?))
}

/// Writes a member who is none yet.
pub(super) async fn put_member(
    connection: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    role: Role,
    invited_by: Option<UserId>,
    now: ServerTime,
) -> Done<Member> {
    let sql = "INSERT INTO memberships (project, user_id, role, invited_by, created_at) VALUES ($1, $2, $3, $4, $5)
               RETURNING (SELECT email FROM users WHERE id = $2)";
    let insert = sqlx::query(sql).bind(project.get()).bind(user.get()).bind(role.as_str());
    let insert = insert.bind(invited_by.map(UserId::get)).bind(now.micros());
    let row = insert.fetch_one(connection).await.map_err(failed)?;
    Ok(Member { user, email: row.try_get(0).map_err(failed)?, role, invited_by, created_at: now })
}

/// The role that a member has, whether or not he is disabled.
pub(super) async fn role_in(connection: &mut PgConnection, project: ProjectId, user: UserId) -> Done<Option<Role>> {
    let select = sqlx::query("SELECT role FROM memberships WHERE project = $1 AND user_id = $2");
    let found = select.bind(project.get()).bind(user.get()).fetch_optional(connection).await.map_err(failed)?;
    found.as_ref().map(|row| role(row, 0)).transpose()
}

/// Whether a member may become `role`, or go if that is the least.
pub(super) async fn may_go(
    connection: &mut PgConnection,
    project: ProjectId,
    member: UserId,
    role: Role,
) -> Done<MemberChanged> {
    let Some(before) = role_in(connection, project, member).await? else { return Ok(MemberChanged::NotMember) };
    if before != Role::Owner || role == Role::Owner {
        return Ok(MemberChanged::Done);
    }
    let sql = "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id
               WHERE m.project = $1 AND m.user_id <> $2 AND m.role = 'owner' AND u.disabled_at IS NULL LIMIT 1";
    let select = sqlx::query(sql).bind(project.get()).bind(member.get());
    let stays = select.fetch_optional(connection).await.map_err(failed)?.is_none();
    Ok(if stays { MemberChanged::LastOwner } else { MemberChanged::Done })
}

/// Whether two belong to one project that is not deleted.
async fn share_a_project(connection: &mut PgConnection, one: UserId, other: UserId) -> Done<bool> {
    let sql = "SELECT 1 FROM memberships m JOIN memberships o ON o.project = m.project AND o.user_id = $2
               JOIN projects p ON p.id = m.project WHERE m.user_id = $1 AND p.deleted_at IS NULL LIMIT 1";
    let select = sqlx::query(sql).bind(one.get()).bind(other.get());
    Ok(select.fetch_optional(connection).await.map_err(failed)?.is_some())
}

pub(super) async fn has_room(connection: &mut PgConnection, project: ProjectId) -> Done<bool> {
    let sql = "SELECT count(*) FROM memberships WHERE project = $1";
    Ok(number(connection, sql, project.get(), None).await? < count(limits::MEMBERS_MAX))
}

/// Whether a user may belong to one project more.
pub(super) async fn has_room_for(connection: &mut PgConnection, user: UserId, now: ServerTime) -> Done<bool> {
    let sql = "SELECT count(*) FROM memberships m JOIN projects p ON p.id = m.project
               WHERE m.user_id = $1 AND (p.deleted_at IS NULL OR p.deleted_at >= $2)";
    let since = now.minus(limits::PROJECT_KEPT);
    Ok(number(connection, sql, user.get(), Some(since)).await? < count(limits::PROJECTS_MAX))
}

pub(super) fn read_member(row: &PgRow) -> Done<Member> {
    Ok(Member {
        user: UserId::new(row.try_get(0).map_err(failed)?),
        email: row.try_get(1).map_err(failed)?,
        role: role(row, 2)?,
        invited_by: row.try_get::<Option<i64>, _>(3).map_err(failed)?.map(UserId::new),
        created_at: time(row, 4)?,
    })
}
