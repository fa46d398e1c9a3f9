//! Projects and who belongs to them in SQLite.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Row, params};
use tombolo_core::{Act, InvitationId, ProjectId, Role, ServerTime, UserId, allows};

use super::accounts::{drop_pending, execute, is_enabled, maybe_time, select, time};
use super::connection::failed;
use super::members::{add_member, has_other_owner, has_room_for, put_member, read_member, role_in};
use super::{Sqlite, invitations};
use crate::columns::{purpose_of, role_of, seq_of};
use crate::naming::free_slug;
use crate::told::Told;
use crate::{
    Answered, Invitation, Invited, Member, MemberAdded, MemberChanged, Message, NewInvitation, NewProject, Project,
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

impl Projects for Sqlite {
    fn add_project(&self, new: NewProject) -> Reply<'_, Option<Project>> {
        Box::pin(self.writer.write(move |connection| add_project(connection, new)))
    }

    fn projects_of(&self, user: UserId) -> Reply<'_, Vec<(Project, Role)>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = concat!(
                "SELECT ",
                project_columns!(),
                ", m.role FROM memberships m JOIN projects p ON p.id = m.project
                 WHERE m.user_id = ?1 AND p.deleted_at IS NULL ORDER BY p.created_at, p.id"
            );
            select(connection, sql, [user.get()], |row| Ok((read_project(row)?, role(row, PROJECT_COLUMNS)?)))
        }))
    }

    fn project(&self, project: ProjectId, by: UserId, act: Act) -> Reply<'_, Ruled<Project>> {
        Box::pin(self.readers.read(move |connection| ruled(connection, project, by, act)))
    }

    fn change_project(
        &self,
        project: ProjectId,
        by: UserId,
        change: ProjectChange,
        now: ServerTime,
    ) -> Reply<'_, Ruled<Project>> {
        Box::pin(self.writer.write(move |connection| change_project(connection, project, by, change, now)))
    }

    fn delete_project(&self, project: ProjectId, by: UserId, now: ServerTime) -> Reply<'_, Ruled<()>> {
        self.admit(move |connection| match ruled(connection, project, by, Act::Delete)? {
            Ok(_) => remove_project(connection, project, now).map(drop).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })
    }

    fn all_projects(&self) -> Reply<'_, Vec<ProjectOverview>> {
        Box::pin(self.readers.read(move |connection| {
            let sql = concat!(
                "SELECT ",
                project_columns!(),
                ", (SELECT count(*) FROM memberships m WHERE m.project = p.id), ifnull(s.head_seq, 0)
                 FROM projects p
                 LEFT JOIN spaces s ON s.owner = p.created_by AND s.purpose = p.purpose AND s.number = p.id
                 ORDER BY p.created_at, p.id"
            );
            select(connection, sql, [], |row| {
                let number = |index| row.get::<_, i64>(index).map_err(failed);
                let members = u64::try_from(number(PROJECT_COLUMNS)?).unwrap_or(0);
                let changes = seq_of(number(PROJECT_COLUMNS + 1)?).map_or(0, tombolo_core::Seq::get);
                Ok(ProjectOverview { project: read_project(row)?, members, changes })
            })
        }))
    }

    fn remove_project(&self, project: ProjectId, now: ServerTime) -> Reply<'_, bool> {
        self.admit(move |connection| remove_project(connection, project, now))
    }

    fn restore_project(&self, project: ProjectId, since: ServerTime, now: ServerTime) -> Reply<'_, Restored> {
        self.admit(move |connection| {
            let sql = "SELECT deleted_at FROM projects WHERE id = ?1";
            let deleted_at = select(connection, sql, [project.get()], |row| maybe_time(row, 0))?.pop();
            match deleted_at {
                None => return Ok(Restored::Unknown),
                Some(None) => return Ok(Restored::NotDeleted),
                Some(Some(at)) if at < since => return Ok(Restored::TooLate),
                Some(Some(_)) => {}
            }
            let sql = "UPDATE projects SET deleted_at = NULL, updated_at = ?2 WHERE id = ?1";
            execute(connection, sql, params![project.get(), now.micros()])?;
            Ok(Restored::Done)
        })
    }

    fn members(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Member>>> {
        Box::pin(self.readers.read(move |connection| {
            if let Err(refusal) = ruled(connection, project, by, Act::ListMembers)? {
                return Ok(Err(refusal));
            }
            let sql = "SELECT m.user_id, u.email, m.role, m.invited_by, m.created_at
                       FROM memberships m JOIN users u ON u.id = m.user_id
                       WHERE m.project = ?1 ORDER BY m.created_at, m.user_id";
            select(connection, sql, [project.get()], read_member).map(Ok)
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
        self.admit(move |connection| match ruled(connection, project, by, Act::AddMember)? {
            Ok(_) => add_member(connection, project, by, &who, role, now).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })
    }

    fn change_role(
        &self,
        project: ProjectId,
        by: UserId,
        member: UserId,
        role: Role,
    ) -> Reply<'_, Ruled<MemberChanged>> {
        self.admit(move |connection| {
            if let Err(refusal) = ruled(connection, project, by, Act::ChangeRole)? {
                return Ok(Err(refusal));
            }
            let Some(before) = role_in(connection, project, member)? else { return Ok(Ok(MemberChanged::NotMember)) };
            let is_less = before == Role::Owner && role != Role::Owner;
            if is_less && !has_other_owner(connection, project, member)? {
                return Ok(Ok(MemberChanged::LastOwner));
            }
            let sql = "UPDATE memberships SET role = ?3 WHERE project = ?1 AND user_id = ?2";
            execute(connection, sql, params![project.get(), member.get(), role.as_str()])?;
            Ok(Ok(MemberChanged::Done))
        })
    }

    fn remove_member(&self, project: ProjectId, by: UserId, member: UserId) -> Reply<'_, Ruled<MemberChanged>> {
        self.admit(move |connection| {
            let act = if by == member { Act::Leave } else { Act::RemoveMember };
            if let Err(refusal) = ruled(connection, project, by, act)? {
                return Ok(Err(refusal));
            }
            let Some(before) = role_in(connection, project, member)? else { return Ok(Ok(MemberChanged::NotMember)) };
            if before == Role::Owner && !has_other_owner(connection, project, member)? {
                return Ok(Ok(MemberChanged::LastOwner));
            }
            let sql = "DELETE FROM memberships WHERE project = ?1 AND user_id = ?2";
            execute(connection, sql, params![project.get(), member.get()])?;
            drop_pending(connection, member)?;
            Ok(Ok(MemberChanged::Done))
        })
    }

    fn invite(&self, new: NewInvitation) -> Reply<'_, Ruled<Invited>> {
        Box::pin(self.writer.write(move |connection| match ruled(connection, new.project, new.by, Act::Invite)? {
            Ok(project) => invitations::invite(connection, &new, project.name).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }))
    }

    fn invitations(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Invitation>>> {
        Box::pin(self.readers.read(move |connection| match ruled(connection, project, by, Act::Invite)? {
            Ok(_) => invitations::of_project(connection, project).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }))
    }

    fn withdraw_invitation(&self, project: ProjectId, by: UserId, invitation: InvitationId) -> Reply<'_, Ruled<bool>> {
        Box::pin(self.writer.write(move |connection| match ruled(connection, project, by, Act::Invite)? {
            Ok(_) => invitations::withdraw(connection, project, invitation).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }))
    }

    fn invitations_for(&self, user: UserId, now: ServerTime) -> Reply<'_, Vec<Invitation>> {
        Box::pin(self.readers.read(move |connection| invitations::for_user(connection, user, now)))
    }

    fn answer_invitation(
        &self,
        invitation: InvitationId,
        user: UserId,
        accept: bool,
        now: ServerTime,
    ) -> Reply<'_, Answered> {
        self.admit(move |connection| invitations::answer(connection, invitation, user, accept, now))
    }
}

impl Sqlite {
    /// Changes who gets in, and tells if that changed something.
    ///
    /// Whoever asked may be gone before the commit, which happens all the same: [`crate::Upkeep::changed_elsewhere`] says
    /// it then, since nobody else is left to tell.
    pub(super) fn admit<T: Told + Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(async move {
            let is_untold = Arc::clone(&self.is_untold);
            let noted = move |connection: &Connection| {
                let changed = change(connection)?;
                is_untold.fetch_or(changed.is_told(), Ordering::Relaxed);
                Ok(changed)
            };
            let changed = self.writer.write(noted).await?;
            if changed.is_told() {
                self.bus.tell(Message::Accounts);
            }
            Ok(changed)
        })
    }
}

/// The project, if `by` may do `act`.
pub(super) fn ruled(connection: &Connection, project: ProjectId, by: UserId, act: Act) -> Done<Ruled<Project>> {
    let sql = concat!(
        "SELECT ",
        project_columns!(),
        ", (SELECT m.role FROM memberships m JOIN users u ON u.id = m.user_id
            WHERE m.project = p.id AND m.user_id = ?2 AND u.disabled_at IS NULL) FROM projects p WHERE p.id = ?1"
    );
    let read = |row: &Row<'_>| {
        let role: Option<String> = row.get(PROJECT_COLUMNS).map_err(failed)?;
        Ok((read_project(row)?, role.as_deref().map(role_of).transpose()?))
    };
    let found = select(connection, sql, params![project.get(), by.get()], read)?.pop();
    let (project, role) = found.map_or((None, None), |(project, role)| (Some(project), role));
    let is_deleted = project.as_ref().is_some_and(|project| project.deleted_at.is_some());
    let allowed = allows(role, is_deleted, act);
    Ok(allowed.map(|_| project.expect("nobody has a role in a project that is not there")))
}

fn add_project(connection: &Connection, new: NewProject) -> Done<Option<Project>> {
    let NewProject { id, purpose, name, description, slug, created_by, now } = new;
    if !is_enabled(connection, created_by)? || !has_room_for(connection, created_by, now)? {
        return Ok(None);
    }
    let sql = "SELECT slug FROM projects WHERE created_by = ?1";
    let taken = select(connection, sql, [created_by.get()], |row| row.get(0).map_err(failed))?;
    let slug = free_slug(&slug, &taken.into_iter().collect::<HashSet<String>>());
    let sql = "INSERT INTO projects (id, purpose, name, description, slug, created_by, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    let values = params![id.get(), purpose.as_str(), name, description, slug, created_by.get(), now.micros()];
    execute(connection, sql, values)?;
    put_member(connection, id, created_by, Role::Owner, None, now)?;
    let (created_at, updated_at) = (now, now);
    Ok(Some(Project { id, purpose, name, description, slug, created_by, created_at, updated_at, deleted_at: None }))
}

fn change_project(
    connection: &Connection,
    project: ProjectId,
    by: UserId,
    change: ProjectChange,
    now: ServerTime,
) -> Done<Ruled<Project>> {
    let before = match ruled(connection, project, by, Act::Rename)? {
        Ok(before) if change != ProjectChange::default() => before,
        unchanged => return Ok(unchanged),
    };
    let name = change.name.unwrap_or(before.name);
    let description = change.description.unwrap_or(before.description);
    let sql = "UPDATE projects SET name = ?2, description = ?3, updated_at = ?4 WHERE id = ?1";
    execute(connection, sql, params![project.get(), name, description, now.micros()])?;
    Ok(Ok(Project { name, description, updated_at: now, ..before }))
}

fn remove_project(connection: &Connection, project: ProjectId, now: ServerTime) -> Done<bool> {
    let sql = "UPDATE projects SET deleted_at = ?2, updated_at = ?2 WHERE id = ?1 AND deleted_at IS NULL";
    Ok(execute(connection, sql, params![project.get(), now.micros()])? > 0)
}
/// The one number that a query gives.
pub(super) fn number(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Done<i64> {
    let numbers = select(connection, sql, values, |row| row.get(0).map_err(failed))?;
    numbers.first().copied().ok_or_else(|| StoreError::Internal("a number was asked for, and none came".to_owned()))
}

fn read_project(row: &Row<'_>) -> Done<Project> {
    let purpose: String = row.get(1).map_err(failed)?;
    Ok(Project {
        id: ProjectId::new(row.get(0).map_err(failed)?),
        purpose: purpose_of(&purpose)?,
        name: row.get(2).map_err(failed)?,
        description: row.get(3).map_err(failed)?,
        slug: row.get(4).map_err(failed)?,
        created_by: UserId::new(row.get(5).map_err(failed)?),
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
        deleted_at: maybe_time(row, 8)?,
    })
}

pub(super) fn role(row: &Row<'_>, index: usize) -> Done<Role> {
    role_of(&row.get::<_, String>(index).map_err(failed)?)
}
