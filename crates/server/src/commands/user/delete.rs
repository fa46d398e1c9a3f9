//! `tombolo user delete`

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, Name, Purpose, Role, ServerTime, UserId, limits};
use tombolo_storage::{IdentityKey, Member, Project, SpaceAddress, StoreError, User, UserDeleted};

use super::{Answers, Desk, explain, identity, parse_name, quoted, refuse_reserved};
use crate::commands::{OWNER, printable};
use crate::config::RoomAccess;
use crate::env::SystemEnv;
use crate::output;

/// How often what is left in the file is tried to be removed: each waits some seconds for what the server reads.
const TRIES_MAX: usize = 3;

/// What is read of what is typed: more than the longest name.
const LINE_BYTES_MAX: u64 = 1_024;

/// A file from which on it takes seconds to write it anew.
const SLOW_BYTES: u64 = 256 << 20;

/// What somebody has, and what stays of it.
struct Holdings {
    keys: usize,
    /// The logs that are his alone: what they are, and how much they hold.
    logs: Vec<(&'static str, u64)>,
    rooms: u64,
    /// Projects, by name, that others own too.
    shared: Vec<String>,
    /// Deleted projects of his that could be brought back.
    deleted: Vec<Project>,
    /// What simple-sync knows him as.
    subject: Option<Name>,
    /// Whether the name stays taken in simple-sync: by him, or by somebody who was deleted before.
    is_name_taken: bool,
}

pub(super) async fn run(desk: &Desk<'_>, name: &str, is_sure: bool, how: Answers) -> anyhow::Result<()> {
    let name = parse_name("user", name)?;
    refuse_reserved(&name)?;
    let Some(user) = desk.store.user(&name).await.map_err(explain)? else { bail!("there is no user {name}") };
    refuse_last_owner(desk, &user).await?;
    let held = Holdings::of(desk, &user).await?;
    if !is_sure {
        if how.json || !std::io::stdin().is_terminal() {
            bail!(
                "nobody can be asked whether to delete {name} for good; say so with: tombolo user delete {} --yes",
                quoted(&name)
            );
        }
        held.show(desk, &user);
        confirm(&name)?;
    } else if !how.json {
        held.show(desk, &user);
    }
    let is_swept = delete(desk, &user, how).await?;
    let left = desk.store.all_projects().await.map_err(explain)?;
    let is_erased = |project: &&Project| !left.iter().any(|one| one.project.id == project.id);
    let erased = shown(held.deleted.iter().filter(is_erased).map(|project| &project.name));
    answer(desk, &user, &held, (is_swept, &erased), how)
}

impl Holdings {
    async fn of(desk: &Desk<'_>, user: &User) -> anyhow::Result<Self> {
        let store = &desk.store;
        let logs = [("tasks of Tickit", Purpose::Tickit), ("wellbeing diary", Purpose::Wellbeing)];
        let heads =
            store.heads(&logs.map(|(_, purpose)| SpaceAddress::only(user.id, purpose))).await.map_err(explain)?;
        let logs = logs.into_iter().zip(heads).map(|((what, _), head)| (what, head.get()));
        let projects = store.projects_of(user.id).await.map_err(explain)?;
        let mut shared: Vec<String> = projects.into_iter().map(|(project, _)| project.name).collect();
        let mut deleted = Vec::new();
        for one in store.all_projects().await.map_err(explain)? {
            let is_his = one.project.created_by == user.id;
            match one.project.deleted_at {
                Some(at) if is_his && at >= restorable_since() => deleted.push(one.project),
                None if is_his && !shared.contains(&one.project.name) => shared.push(one.project.name),
                _ => {}
            }
        }
        Ok(Self {
            keys: store.credentials(Some(user.id)).await.map_err(explain)?.len(),
            logs: logs.filter(|(_, changes)| *changes > 0).collect(),
            rooms: store.room_count(Some(user.id)).await.map_err(explain)?,
            shared,
            deleted,
            is_name_taken: identity(desk, IdentityKey::Subject(user.name.clone())).await?.is_some(),
            subject: identity(desk, IdentityKey::User(user.id)).await?.map(|identity| identity.subject),
        })
    }

    fn changes(&self) -> u64 {
        self.logs.iter().map(|(_, changes)| changes).sum()
    }

    /// Says what goes and what stays, where scripts do not look.
    fn show(&self, desk: &Desk<'_>, user: &User) {
        output::remark(format_args!("Deleting the user {} erases for good:", user.name));
        let keys = counted(self.keys, "token");
        output::remark(format_args!("  the account, with {keys}, its sign-ins and its memberships"));
        for (what, changes) in &self.logs {
            output::remark(format_args!("  the {what}, with the history: {}", counted(*changes, "change")));
        }
        if self.rooms > 0 {
            let (rooms, documents) =
                (counted(self.rooms, "room"), if self.rooms == 1 { "its document" } else { "their documents" });
            output::remark(format_args!("  {rooms}, with {documents}"));
        }
        if !self.deleted.is_empty() {
            output::remark(format_args!(
                "  deleted projects that could have been brought back, unless somebody else owns them too: {}",
                shown(self.deleted.iter().map(|project| &project.name))
            ));
        }
        if !self.shared.is_empty() {
            output::remark(format_args!("What was written to projects that others own stays: {}", shown(&self.shared)));
        }
        if self.subject.is_some() {
            output::remark("What was written to simple-sync stays, under the name that it was written under.");
        }
        let is_open = desk.config.protocols.rooms && desk.config.rooms.access == RoomAccess::Open;
        if is_open && user.name.as_str() == OWNER {
            output::remark(format_args!(
                "Rooms that are open to everybody are this user's: start the server anew afterwards."
            ));
        }
    }
}

/// Refuses to go on before anything is shown or asked: the user must not be the last owner of a project. It is decided
/// when the user is deleted; but whoever is asked should not be told of what does not come.
async fn refuse_last_owner(desk: &Desk<'_>, user: &User) -> anyhow::Result<()> {
    let store = &desk.store;
    let enabled: Vec<UserId> = store
        .users()
        .await
        .map_err(explain)?
        .iter()
        .filter(|one| one.disabled_at.is_none())
        .map(|one| one.id)
        .collect();
    let mut owned = Vec::new();
    for (project, role) in store.projects_of(user.id).await.map_err(explain)? {
        // Whoever left meanwhile owns nothing.
        let Ok(members) = store.members(project.id, user.id).await.map_err(explain)? else { continue };
        let is_other = |one: &Member| one.role == Role::Owner && one.user != user.id && enabled.contains(&one.user);
        if role == Role::Owner && !members.iter().any(is_other) {
            owned.push(project.name);
        }
    }
    if owned.is_empty() { Ok(()) } else { bail!("{}", last_owner(&user.name, &owned)) }
}

/// Since when a project must have been deleted to be brought back.
fn restorable_since() -> ServerTime {
    SystemEnv.now().minus(limits::PROJECT_KEPT)
}

/// So many things of a kind.
fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn shown<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
}

/// Asks whoever sits at the terminal.
fn confirm(name: &Name) -> anyhow::Result<()> {
    output::remark("This cannot be undone. Type the name again to go on:");
    let mut line = String::new();
    let input = std::io::stdin().lock();
    let is_read = input.take(LINE_BYTES_MAX).read_line(&mut line);
    is_read.context("what was typed could not be read")?;
    if line.trim() == name.as_str() { Ok(()) } else { bail!("that is not the name; nothing was deleted") }
}

/// Deletes the user, and says whether the database's file holds nothing of him any more.
async fn delete(desk: &Desk<'_>, user: &User, how: Answers) -> anyhow::Result<bool> {
    if !how.json
        && let Some(bytes) = file_bytes(desk).filter(|bytes| *bytes >= SLOW_BYTES)
    {
        output::remark(format_args!(
            "The database's file, of {} MiB, is written anew, which takes a while.",
            bytes >> 20
        ));
    }
    let mut is_gone = false;
    for _ in 0..TRIES_MAX {
        match desk.store.delete_user(&user.name, SystemEnv.now()).await {
            Ok(UserDeleted::Gone) => return Ok(true),
            Ok(UserDeleted::LastOwner(projects)) => bail!("{}", last_owner(&user.name, &projects)),
            Ok(UserDeleted::Unknown) if is_gone => return Ok(true),
            Ok(UserDeleted::Unknown) => bail!("the user {} has just gone", user.name),
            Err(error) => {
                is_gone = desk.store.user_by_id(user.id).await.map_err(explain)?.is_none();
                match error {
                    StoreError::Busy if is_gone => {}
                    StoreError::Full if is_gone => return Ok(false),
                    error => return Err(explain(error)),
                }
            }
        }
    }
    Ok(false)
}

/// How long the database's file is, if it is one.
fn file_bytes(desk: &Desk<'_>) -> Option<u64> {
    let database = desk.config.database();
    database.file().and_then(|file| std::fs::metadata(file).ok()).map(|file| file.len())
}

fn last_owner(name: &Name, projects: &[String]) -> String {
    format!(
        "{name} is the only owner of: {}; let somebody else own each, or delete it with: tombolo project delete ID",
        shown(projects)
    )
}

fn answer(
    desk: &Desk<'_>,
    user: &User,
    held: &Holdings,
    (is_swept, erased): (bool, &str),
    how: Answers,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        deleted: bool,
        tokens: usize,
        changes: u64,
        rooms: u64,
        /// Whether the file holds no copies any more.
        swept: bool,
    }
    let (tokens, rooms) = (held.keys, held.rooms);
    if how.json {
        let (name, changes) = (user.name.as_str(), held.changes());
        return output::say_json(&Answer { name, deleted: true, tokens, changes, rooms, swept: is_swept });
    }
    let free = if held.is_name_taken {
        "The name is free, except in simple-sync, where what they wrote stays under it."
    } else {
        "The name is free."
    };
    output::say(format_args!("Deleted the user {}, with all that was theirs alone. {free}", user.name));
    if !erased.is_empty() {
        output::say(format_args!("Deleted projects that could have been brought back went too: {erased}"));
    }
    if desk.config.database().file().is_none() {
        output::say("PostgreSQL keeps what was in deleted rows until it vacuums the tables, and in its archived log.");
    } else if !is_swept {
        output::say(
            "Unused parts of the database's file hold copies still: the server removes them when it starts next.",
        );
    }
    output::say("Backups hold what they held: delete those that were made before, or let them run out.");
    Ok(())
}
