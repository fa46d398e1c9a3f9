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
        id: write(project.id),
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
    let shown = write(id);
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
    let (shown, now) = (write(id), SystemEnv.now());
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

/// A project as td's clients name it: `p_` and sixteen hexadecimal digits.
fn write(id: ProjectId) -> String {
    format!("p_{:016x}", id.get())
}

fn parse(text: &str) -> anyhow::Result<ProjectId> {
    let number = |digits: &str| {
        let is_plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_plain.then(|| i64::from_str_radix(digits, 16).ok()).flatten()
    };
    let id = text.strip_prefix("p_").and_then(number);
    let wrong = || format!("\"{text}\" is no project's id, such as p_0123456789abcdef; tombolo project list shows all");
    id.map(ProjectId::new).with_context(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read() {
        assert_eq!(write(ProjectId::new(0x7fff_0000_0000_00ab)), "p_7fff0000000000ab");
        assert_eq!(parse("p_7fff0000000000ab").unwrap(), ProjectId::new(0x7fff_0000_0000_00ab));
        for text in
            ["", "p_", "p_1", "p_7FFF0000000000AB", "p_ffff0000000000ab", "7fff0000000000ab", "p_+fff0000000000ab"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
