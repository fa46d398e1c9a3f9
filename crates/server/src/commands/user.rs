//! `tombolo user`

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{EmailAddress, Env as _};
use tombolo_storage::Added;

use super::{Answers, Desk, explain, parse_name, quoted};
use crate::cli::UserCommand;
use crate::env::SystemEnv;
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, command: UserCommand, how: Answers) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, email } => add(desk, &name, email.as_deref(), how).await,
        UserCommand::List => list(desk, how).await,
        UserCommand::Disable { name } => disable(desk, &name, how).await,
    }
}

async fn add(desk: &Desk<'_>, name: &str, email: Option<&str>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        email: Option<&'a str>,
    }
    let name = parse_name("user", name)?;
    let parse = |text: &str| EmailAddress::parse(text).with_context(|| format!("\"{text}\" cannot be taken"));
    let email = email.map(parse).transpose()?;
    match desk.store.add_user(&name, email.as_ref(), SystemEnv.now()).await.map_err(explain)? {
        Added::New(_) => {}
        Added::NameTaken => bail!("there is a user {name} already"),
        Added::EmailTaken => bail!("another user has this e-mail address; tombolo user list shows whose it is"),
    }
    if how.json {
        return output::say_json(&Answer { name: name.as_str(), email: email.as_ref().map(EmailAddress::as_str) });
    }
    output::say(format_args!("Added the user {name}. Make a token for a device of theirs with:"));
    output::say(format_args!("  tombolo token --user {} --name laptop", quoted(&name)));
    Ok(())
}

async fn list(desk: &Desk<'_>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        name: String,
        email: Option<String>,
        created_at: String,
        /// None while nobody signed in with the address, which was added to a project.
        confirmed_at: Option<String>,
        disabled_at: Option<String>,
    }
    let users = desk.store.users().await.map_err(explain)?;
    let items: Vec<Item> = users
        .into_iter()
        .map(|user| Item {
            name: user.name.to_string(),
            email: user.email,
            created_at: user.created_at.to_string(),
            confirmed_at: user.confirmed_at.map(|at| at.to_string()),
            disabled_at: user.disabled_at.map(|at| at.to_string()),
        })
        .collect();
    if how.json {
        return output::say_json(&items);
    }
    let rows: Vec<_> = items
        .into_iter()
        .map(|item| {
            let disabled = item.disabled_at.unwrap_or_else(|| "no".to_owned());
            let pending = if item.confirmed_at.is_some() { "no" } else { "yes" };
            [item.name, item.email.unwrap_or_default(), item.created_at, pending.to_owned(), disabled]
        })
        .collect();
    output::say_table(["NAME", "E-MAIL", "CREATED", "PENDING", "DISABLED"], &rows, "There are no users yet.");
    Ok(())
}

async fn disable(desk: &Desk<'_>, name: &str, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        disabled: bool,
    }
    let user = desk.user(name).await?;
    if user.disabled_at.is_some() {
        bail!("the user {} is disabled already", user.name);
    }
    desk.store.disable_user(&user.name, SystemEnv.now()).await.map_err(explain)?;
    if how.json {
        return output::say_json(&Answer { name: user.name.as_str(), disabled: true });
    }
    output::say(format_args!("Disabled the user {}: its tokens open nothing any more.", user.name));
    Ok(())
}
