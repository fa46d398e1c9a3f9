//! `tombolo project`

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, ProjectId, limits};
use tombolo_storage::{ProjectOverview, Restored};

use super::{Answers, Desk, explain, printable};
use crate::cli::ProjectCommand;
use crate::env::SystemEnv;
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, command: ProjectCommand, how: Answers) -> anyhow::Result<()> {
    match command {
        ProjectCommand::List => list(desk, how).await,
        ProjectCommand::Delete { id } => delete(desk, parse(&id)?, how).await,
        ProjectCommand::Restore { id } => restore(desk, parse(&id)?, how).await,
    }
}

async fn list(desk: &Desk<'_>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        id: String,
        name: String,
        members: u64,
        changes: u64,
        created_at: String,
        deleted_at: Option<String>,
    }
    let item = |ProjectOverview { project, members, changes }| Item {
        id: project.id.public(),
        name: project.name,
        members,
        changes,
        created_at: project.created_at.to_string(),
        deleted_at: project.deleted_at.map(|at| at.to_string()),
    };
    let items: Vec<Item> = desk.store.all_projects().await.map_err(explain)?.into_iter().map(item).collect();
    if how.json {
        return output::say_json(&items);
    }
    let row = |item: Item| {
        let deleted = item.deleted_at.unwrap_or_else(|| "no".to_owned());
        let (members, changes) = (item.members.to_string(), item.changes.to_string());
        [item.id, printable(&item.name), members, changes, item.created_at, deleted]
    };
    let rows: Vec<_> = items.into_iter().map(row).collect();
    let titles = ["ID", "NAME", "MEMBERS", "CHANGES", "CREATED", "DELETED"];
    output::say_table(titles, &rows, "There are no projects yet. Their users make them, from td.");
    Ok(())
}

async fn delete(desk: &Desk<'_>, id: ProjectId, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        id: String,
        deleted: bool,
    }
    let shown = id.public();
    if !desk.store.remove_project(id, SystemEnv.now()).await.map_err(explain)? {
        bail!("there is no project {shown} that is not deleted already; tombolo project list shows all");
    }
    if how.json {
        return output::say_json(&Answer { id: shown, deleted: true });
    }
    output::say(format_args!("Deleted the project {shown}: its members do not reach it any more."));
    output::say(format_args!("For {} days it can be brought back with:", days_kept()));
    output::say(format_args!("  tombolo project restore {shown}"));
    Ok(())
}

async fn restore(desk: &Desk<'_>, id: ProjectId, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        id: String,
        restored: bool,
    }
    let (shown, now) = (id.public(), SystemEnv.now());
    let since = now.minus(limits::PROJECT_KEPT);
    match desk.store.restore_project(id, since, now).await.map_err(explain)? {
        Restored::Done => {}
        Restored::Unknown => bail!("there is no project {shown}; tombolo project list shows all"),
        Restored::NotDeleted => bail!("the project {shown} is not deleted"),
        Restored::TooLate => {
            bail!("the project {shown} was deleted more than {} days ago, and stays so", days_kept())
        }
    }
    if how.json {
        return output::say_json(&Answer { id: shown, restored: true });
    }
    output::say(format_args!("Restored the project {shown}, with its members and all that they wrote."));
    Ok(())
}

const fn days_kept() -> u64 {
    limits::PROJECT_KEPT.as_secs() / (24 * 3_600)
}

fn parse(text: &str) -> anyhow::Result<ProjectId> {
    let wrong = || format!("\"{text}\" is no project's id, such as p_0123456789abcdef; tombolo project list shows all");
    ProjectId::parse_public(text).with_context(wrong)
}
