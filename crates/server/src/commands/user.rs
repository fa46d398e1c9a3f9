//! `tombolo user`

use anyhow::bail;
use serde::Serialize;
use tombolo_core::Env as _;
use tombolo_storage::Added;

use super::{Answers, Desk, explain, parse_name, quoted};
use crate::cli::UserCommand;
use crate::env::SystemEnv;
use crate::output;

/// The longest address that mail can be sent to, by RFC 5321.
const EMAIL_BYTES_MAX: usize = 254;

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
    if let Some(email) = email.filter(|email| !is_email(email)) {
        bail!("\"{email}\" is no e-mail address");
    }
    if desk.store.add_user(&name, email, SystemEnv.now()).await.map_err(explain)? == Added::NameTaken {
        bail!("there is a user {name} already");
    }
    if how.json {
        return output::say_json(&Answer { name: name.as_str(), email });
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
        disabled_at: Option<String>,
    }
    let users = desk.store.users().await.map_err(explain)?;
    let items: Vec<Item> = users
        .into_iter()
        .map(|user| Item {
            name: user.name.to_string(),
            email: user.email,
            created_at: user.created_at.to_string(),
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
            [item.name, item.email.unwrap_or_default(), item.created_at, disabled]
        })
        .collect();
    output::say_table(["NAME", "E-MAIL", "CREATED", "DISABLED"], &rows, "There are no users yet.");
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

/// Whether something stands on both sides of one `@`. More is known only by sending a mail.
fn is_email(text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control()) && text.len() <= EMAIL_BYTES_MAX;
    plain && text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_email_address() {
        let check = |text: &str, expected: bool| assert_eq!(is_email(text), expected, "{text}");
        check("ann@example.org", true);
        check("ann@localhost", true);
        check("ann", false);
        check("@example.org", false);
        check("ann@", false);
        check("a@b@c", false);
        check("ann b@example.org", false);
        check(&format!("{}@example.org", "a".repeat(300)), false);
    }
}
