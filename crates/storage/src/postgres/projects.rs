//! Projects and who belongs to them in PostgreSQL.
//!
//! Whoever changes a project or its members locks its row first, then those of users: what is decided of it is decided
//! one after the other, on whichever node.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tombolo_core::{Act, InvitationId, ProjectId, Role, ServerTime, UserId, allows};

use super::connection::{acquire, failed};
use super::members::{add_member, has_room_for, known, may_go, put_member, read_member};
use super::pending::without_zero;
use super::people::{Tell, drop_pending, lock_enabled, lock_users, maybe_time, time};
use super::{Postgres, invitations};
use crate::columns::{purpose_of, role_of};
use crate::naming::free_slug;
use crate::{
    Answered, Invitation, Invited, Member, MemberAdded, MemberChanged, NewInvitation, NewProject, Project,
    ProjectChange, ProjectOverview, Projects, Reply, Restored, Ruled, StoreError, Who,
};

type Done<T> = Result<T, StoreError>;

/// The columns of [`read_project`], of a project `p`.
macro_rules! project_columns {
    () => {
        "p.id, p.purpose, p.name, p.description, p.slug, p.created_by, p.created_at, p.updated_at, p.deleted_at"
    };
}
/// How many they are.
const PROJECT_COLUMNS: usize = 9;

impl Projects for Postgres {
    fn add_project(&self, new: NewProject) -> Reply<'_, Option<Project>> {
        Box::pin(self.settle(async move |connection| Ok((add_project(connection, &new).await?, Tell::Nobody))))
    }

    fn projects_of(&self, user: UserId) -> Reply<'_, Vec<(Project, Role)>> {
        Box::pin(async move {
            let sql = concat!(
                "SELECT ",
                project_columns!(),
                ", m.role FROM memberships m JOIN projects p ON p.id = m.project
                 WHERE m.user_id = $1 AND p.deleted_at IS NULL ORDER BY p.created_at, p.id"
            );
            let select = sqlx::query(sql).bind(user.get());
            let rows = select.fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(|row| Ok((read_project(row)?, role(row, PROJECT_COLUMNS)?))).collect()
        })
    }

    fn project(&self, project: ProjectId, by: UserId, act: Act) -> Reply<'_, Ruled<Project>> {
        self.note_call();
        Box::pin(async move { ruled(&mut *acquire(&self.pool).await?, project, by, act).await })
    }

    fn change_project(
        &self,
        project: ProjectId,
        by: UserId,
        change: ProjectChange,
        now: ServerTime,
    ) -> Reply<'_, Ruled<Project>> {
        Box::pin(self.settle(async move |connection| {
            Ok((change_project(connection, project, by, &change, now).await?, Tell::Nobody))
        }))
    }

    fn delete_project(&self, project: ProjectId, by: UserId, now: ServerTime) -> Reply<'_, Ruled<()>> {
        Box::pin(self.settle(async move |connection| match lock(connection, project, by, Act::Delete).await? {
            Err(refusal) => Ok((Err(refusal), Tell::Nobody)),
            Ok(_) => {
                remove_project(connection, project, now).await?;
                Ok((Ok(()), Tell::Nodes))
            }
        }))
    }

    fn all_projects(&self) -> Reply<'_, Vec<ProjectOverview>> {
        Box::pin(async move {
            let sql = concat!(
                "SELECT ",
                project_columns!(),
                ", (SELECT count(*) FROM memberships m WHERE m.project = p.id), coalesce(s.head_seq, 0)
                 FROM projects p
                 LEFT JOIN spaces s ON s.owner = p.created_by AND s.purpose = p.purpose AND s.number = p.id
                 ORDER BY p.created_at, p.id"
            );
            let rows = sqlx::query(sql).fetch_all(&mut *acquire(&self.pool).await?).await.map_err(failed)?;
            rows.iter().map(read_overview).collect()
        })
    }

    fn remove_project(&self, project: ProjectId, now: ServerTime) -> Reply<'_, bool> {
        Box::pin(self.settle(async move |connection| {
            let is_removed = remove_project(connection, project, now).await?;
            Ok((is_removed, if is_removed { Tell::Nodes } else { Tell::Nobody }))
        }))
    }

    fn restore_project(&self, project: ProjectId, since: ServerTime, now: ServerTime) -> Reply<'_, Restored> {
        Box::pin(self.settle(async move |connection| {
            let sql = "SELECT deleted_at FROM projects WHERE id = $1 FOR NO KEY UPDATE";
            let found = sqlx::query(sql).bind(project.get()).fetch_optional(&mut *connection).await.map_err(failed)?;
            let deleted_at = found.as_ref().map(|row| maybe_time(row, 0)).transpose()?;
            match deleted_at {
                None => return Ok((Restored::Unknown, Tell::Nobody)),
                Some(None) => return Ok((Restored::NotDeleted, Tell::Nobody)),
                Some(Some(at)) if at < since => return Ok((Restored::TooLate, Tell::Nobody)),
                Some(Some(_)) => {}
            }
            let update = sqlx::query("UPDATE projects SET deleted_at = NULL, updated_at = $2 WHERE id = $1");
            update.bind(project.get()).bind(now.micros()).execute(connection).await.map_err(failed)?;
            Ok((Restored::Done, Tell::Nodes))
        }))
    }

    fn members(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Member>>> {
        Box::pin(self.look_at(async move |connection| {
            if let Err(refusal) = ruled(connection, project, by, Act::ListMembers).await? {
                return Ok(Err(refusal));
            }
            let sql = "SELECT m.user_id, u.email, m.role, m.invited_by, m.created_at
                       FROM memberships m JOIN users u ON u.id = m.user_id
                       WHERE m.project = $1 ORDER BY m.created_at, m.user_id";
            let rows = sqlx::query(sql).bind(project.get()).fetch_all(connection).await.map_err(failed)?;
            rows.iter().map(read_member).collect::<Done<_>>().map(Ok)
        }))
    }

    fn add_member(
        &self,
        project: ProjectId,
        by: UserId,
        who: Who,
        role: Role,
        now: ServerTime,
    ) -> Reply<'_, Ruled<MemberAdded>> {
        Box::pin(self.settle(async move |connection| {
            lock_project(connection, project).await?;
            let known = known(connection, &who).await?;
            lock_users(connection, &[Some(by), known].into_iter().flatten().collect::<Vec<_>>()).await?;
            if let Err(refusal) = ruled(connection, project, by, Act::AddMember).await? {
                return Ok((Err(refusal), Tell::Nobody));
            }
            let added = add_member(connection, project, by, (&who, known), role, now).await?;
            let tell = if matches!(added, MemberAdded::Added(_)) { Tell::Nodes } else { Tell::Nobody };
            Ok((Ok(added), tell))
        }))
    }

    fn change_role(
        &self,
        project: ProjectId,
        by: UserId,
        member: UserId,
        role: Role,
    ) -> Reply<'_, Ruled<MemberChanged>> {
        Box::pin(self.settle(async move |connection| {
            if let Err(refusal) = lock(connection, project, by, Act::ChangeRole).await? {
                return Ok((Err(refusal), Tell::Nobody));
            }
            let stays = may_go(connection, project, member, role).await?;
            if stays != MemberChanged::Done {
                return Ok((Ok(stays), Tell::Nobody));
            }
            let update = sqlx::query("UPDATE memberships SET role = $3 WHERE project = $1 AND user_id = $2");
            let update = update.bind(project.get()).bind(member.get()).bind(role.as_str());
            update.execute(connection).await.map_err(failed)?;
            Ok((Ok(MemberChanged::Done), Tell::Nodes))
        }))
    }

    fn remove_member(&self, project: ProjectId, by: UserId, member: UserId) -> Reply<'_, Ruled<MemberChanged>> {
        Box::pin(self.settle(async move |connection| {
            let act = if by == member { Act::Leave } else { Act::RemoveMember };
            lock_project(connection, project).await?;
            lock_users(connection, &[by, member]).await?;
            if let Err(refusal) = ruled(connection, project, by, act).await? {
                return Ok((Err(refusal), Tell::Nobody));
            }
            let stays = may_go(connection, project, member, Role::Reader).await?;
            if stays != MemberChanged::Done {
                return Ok((Ok(stays), Tell::Nobody));
            }
            let delete = sqlx::query("DELETE FROM memberships WHERE project = $1 AND user_id = $2");
            delete.bind(project.get()).bind(member.get()).execute(&mut *connection).await.map_err(failed)?;
            drop_pending(connection, member).await?;
            Ok((Ok(MemberChanged::Done), Tell::Nodes))
        }))
    }

    fn invite(&self, new: NewInvitation) -> Reply<'_, Ruled<Invited>> {
        Box::pin(self.settle(async move |connection| {
            let invited = match lock(connection, new.project, new.by, Act::Invite).await? {
                Ok(project) => Ok(invitations::invite(connection, &new, project.name).await?),
                Err(refusal) => Err(refusal),
            };
            Ok((invited, Tell::Nobody))
        }))
    }

    fn invitations(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Invitation>>> {
        Box::pin(self.look_at(async move |connection| match ruled(connection, project, by, Act::Invite).await? {
            Ok(_) => invitations::of_project(connection, project).await.map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }))
    }

    fn withdraw_invitation(&self, project: ProjectId, by: UserId, invitation: InvitationId) -> Reply<'_, Ruled<bool>> {
        Box::pin(self.settle(async move |connection| {
            let withdrawn = match lock(connection, project, by, Act::Invite).await? {
                Ok(_) => Ok(invitations::withdraw(connection, project, invitation).await?),
                Err(refusal) => Err(refusal),
            };
            Ok((withdrawn, Tell::Nobody))
        }))
    }

    fn invitations_for(&self, user: UserId, now: ServerTime) -> Reply<'_, Vec<Invitation>> {
        Box::pin(async move { invitations::for_user(&mut *acquire(&self.pool).await?, user, now).await })
    }

    fn answer_invitation(
        &self,
        invitation: InvitationId,
        user: UserId,
        accept: bool,
        now: ServerTime,
    ) -> Reply<'_, Answered> {
        Box::pin(self.settle(async move |connection| {
            let answered = invitations::answer(connection, invitation, user, accept, now).await?;
            let tell = if matches!(answered, Answered::Accepted { .. }) { Tell::Nodes } else { Tell::Nobody };
            Ok((answered, tell))
        }))
    }
}

/// The project, if `by` may do `act`.
async fn ruled(connection: &mut PgConnection, project: ProjectId, by: UserId, act: Act) -> Done<Ruled<Project>> {
    let sql = concat!(
        "SELECT ",
        project_columns!(),
        ", (SELECT m.role FROM memberships m JOIN users u ON u.id = m.user_id
            WHERE m.project = p.id AND m.user_id = $2 AND u.disabled_at IS NULL) FROM projects p WHERE p.id = $1"
    );
    let select = sqlx::query(sql).bind(project.get()).bind(by.get());
    let (mut project, mut role) = (None, None);
    if let Some(row) = select.fetch_optional(connection).await.map_err(failed)? {
        let text: Option<&str> = row.try_get(PROJECT_COLUMNS).map_err(failed)?;
        role = text.map(role_of).transpose()?;
        project = Some(read_project(&row)?);
    }
    let is_deleted = project.as_ref().is_some_and(|project| project.deleted_at.is_some());
    let allowed = allows(role, is_deleted, act);
    Ok(allowed.map(|_| project.expect("nobody has a role in a project that is not there")))
}

/// The project, if `by` may do `act`: until the transaction ends, nothing else is decided of it, and he is not disabled.
async fn lock(connection: &mut PgConnection, project: ProjectId, by: UserId, act: Act) -> Done<Ruled<Project>> {
    lock_project(connection, project).await?;
    let lock = sqlx::query("SELECT FROM users WHERE id = $1 FOR SHARE").bind(by.get());
    lock.execute(&mut *connection).await.map_err(failed)?;
    ruled(connection, project, by, act).await
}

pub(super) async fn lock_project(connection: &mut PgConnection, project: ProjectId) -> Done<()> {
    let lock = sqlx::query("SELECT FROM projects WHERE id = $1 FOR NO KEY UPDATE").bind(project.get());
    lock.execute(connection).await.map(drop).map_err(failed)
}

async fn add_project(connection: &mut PgConnection, new: &NewProject) -> Done<Option<Project>> {
    let NewProject { id, purpose, name, description, slug, created_by, now } = new;
    if !lock_enabled(connection, *created_by).await? || !has_room_for(connection, *created_by, *now).await? {
        return Ok(None);
    }
    let select = sqlx::query("SELECT slug FROM projects WHERE created_by = $1").bind(created_by.get());
    let rows = select.fetch_all(&mut *connection).await.map_err(failed)?;
    let taken = rows.iter().map(|row| row.try_get(0).map_err(failed)).collect::<Done<HashSet<String>>>()?;
    let (name, description) = (without_zero(name), without_zero(description));
    let slug = free_slug(&without_zero(slug), &taken);
    let sql = "INSERT INTO projects (id, purpose, name, description, slug, created_by, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
    let insert = sqlx::query(sql).bind(id.get()).bind(purpose.as_str()).bind(&name).bind(&description).bind(&slug);
    let insert = insert.bind(created_by.get()).bind(now.micros());
    insert.execute(&mut *connection).await.map_err(failed)?;
    put_member(connection, *id, *created_by, Role::Owner, None, *now).await?;
    Ok(Some(Project {
        id: *id,
        purpose: *purpose,
        name,
        description,
        slug,
        created_by: *created_by,
        created_at: *now,
        updated_at: *now,
        deleted_at: None,
    }))
}

async fn change_project(
    connection: &mut PgConnection,
    project: ProjectId,
    by: UserId,
    change: &ProjectChange,
    now: ServerTime,
) -> Done<Ruled<Project>> {
    let before = match lock(connection, project, by, Act::Rename).await? {
        Ok(before) if *change != ProjectChange::default() => before,
        unchanged => return Ok(unchanged),
    };
    let name = change.name.as_deref().map_or(before.name, without_zero);
    let description = change.description.as_deref().map_or(before.description, without_zero);
    let sql = "UPDATE projects SET name = $2, description = $3, updated_at = $4 WHERE id = $1";
    let update = sqlx::query(sql).bind(project.get()).bind(&name).bind(&description).bind(now.micros());
    update.execute(connection).await.map_err(failed)?;
    Ok(Ok(Project { name, description, updated_at: now, ..before }))
}

async fn remove_project(connection: &mut PgConnection, project: ProjectId, now: ServerTime) -> Done<bool> {
    let sql = "UPDATE projects SET deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    let update = sqlx::query(sql).bind(project.get()).bind(now.micros());
    Ok(update.execute(connection).await.map_err(failed)?.rows_affected() > 0)
}

/// How many there are of a row, since a time where the text asks for one.
pub(super) async fn number(
    connection: &mut PgConnection,
    sql: &'static str,
    of: i64,
    since: Option<ServerTime>,
) -> Done<i64> {
    let mut select = sqlx::query(sql).bind(of);
    if let Some(since) = since {
        select = select.bind(since.micros());
    }
    select.fetch_one(connection).await.map_err(failed)?.try_get(0).map_err(failed)
}

fn read_project(row: &PgRow) -> Done<Project> {
    Ok(Project {
        id: ProjectId::new(row.try_get(0).map_err(failed)?),
        purpose: purpose_of(row.try_get(1).map_err(failed)?)?,
        name: row.try_get(2).map_err(failed)?,
        description: row.try_get(3).map_err(failed)?,
        slug: row.try_get(4).map_err(failed)?,
        created_by: UserId::new(row.try_get(5).map_err(failed)?),
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
        deleted_at: maybe_time(row, 8)?,
    })
}

fn read_overview(row: &PgRow) -> Done<ProjectOverview> {
    let number = |index| row.try_get::<i64, _>(index).map(|number| u64::try_from(number).unwrap_or(0)).map_err(failed);
    let (members, changes) = (number(PROJECT_COLUMNS)?, number(PROJECT_COLUMNS + 1)?);
    Ok(ProjectOverview { project: read_project(row)?, members, changes })
}

pub(super) fn role(row: &PgRow, index: usize) -> Done<Role> {
    role_of(row.try_get(index).map_err(failed)?)
}
