//! `tombolo token`

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, Name, Purpose};
use tombolo_service::{Made, NewToken};
use tombolo_storage::{Credential, User};

use super::{Answers, Desk, OWNER, explain, parse_name, quoted, show};
use crate::cli::TokenArgs;
use crate::config::Config;
use crate::env::SystemEnv;
use crate::output;

/// How often a desktop asks for news: what Tickit's own documentation proposes.
const INTERVAL_SECS: u32 = 300;

pub(super) async fn run(desk: &Desk<'_>, args: TokenArgs, how: Answers) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        let purpose = args.purpose.as_deref().map_or(Ok(Purpose::Tickit), Purpose::parse).context("--for")?;
        return make(desk, &parse_name("token", name)?, args.user.as_deref(), purpose, how).await;
    }
    if let Some(name) = &args.revoke {
        return revoke(desk, &parse_name("token", name)?, args.user.as_deref(), how).await;
    }
    list(desk, args.user.as_deref(), how).await
}

async fn make(desk: &Desk<'_>, name: &Name, user: Option<&str>, purpose: Purpose, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        user: &'a str,
        token: &'a str,
    }
    let user = desk.user_or_owner(user, SystemEnv.now()).await?;
    if user.disabled_at.is_some() {
        bail!("the user {} is disabled: a token would open nothing", user.name);
    }
    let new = NewToken { user: user.id, name: name.clone(), purpose, expires_at: None };
    let Made::Token(token) = desk.keyring().make_token(new).await.context("the token could not be made")? else {
        bail!(
            "{} has a token {name} already; revoke it first with: tombolo token --revoke {}{}",
            user.name,
            quoted(name),
            user_flag(&user)
        );
    };
    let token = token.secret().reveal();
    if how.json {
        return output::say_json(&Answer { name: name.as_str(), user: user.name.as_str(), token });
    }
    output::say(settings(name, &user.name, token, &server_url(desk.config)));
    Ok(())
}

async fn list(desk: &Desk<'_>, user: Option<&str>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        name: String,
        user: String,
        #[serde(rename = "for")]
        purpose: &'static str,
        created_at: String,
        last_used_at: Option<String>,
        expires_at: Option<String>,
    }
    let user = match user {
        Some(user) => Some(desk.user(user).await?.id),
        None => None,
    };
    let credentials = desk.store.credentials(user).await.map_err(explain)?;
    if how.json {
        let item = |credential: Credential| Item {
            name: credential.name.to_string(),
            user: credential.user.to_string(),
            purpose: credential.purpose.as_str(),
            created_at: credential.created_at.to_string(),
            last_used_at: credential.last_used_at.map(|at| at.to_string()),
            expires_at: credential.expires_at.map(|at| at.to_string()),
        };
        return output::say_json(&credentials.into_iter().map(item).collect::<Vec<_>>());
    }
    let row = |credential: &Credential| {
        let Credential { name, user, purpose, created_at, last_used_at, expires_at, .. } = credential;
        let (name, user, purpose) = (name.to_string(), user.to_string(), purpose.to_string());
        [name, user, purpose, created_at.to_string(), show(*last_used_at), show(*expires_at)]
    };
    let rows: Vec<_> = credentials.iter().map(row).collect();
    let titles = ["NAME", "USER", "FOR", "CREATED", "LAST USED", "EXPIRES"];
    output::say_table(titles, &rows, "There are no tokens yet. Make one with: tombolo token --name laptop");
    Ok(())
}

async fn revoke(desk: &Desk<'_>, name: &Name, user: Option<&str>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        user: &'a str,
        revoked: bool,
    }
    let user = desk.user(user.unwrap_or(OWNER)).await?;
    if !desk.store.revoke_credential(user.id, name).await.map_err(explain)? {
        bail!("{} has no token {name}; tombolo token --list shows all (--user says whose is meant)", user.name);
    }
    if how.json {
        return output::say_json(&Answer { name: name.as_str(), user: user.name.as_str(), revoked: true });
    }
    output::say(format_args!("Revoked the token {name} of {}: it opens nothing any more.", user.name));
    Ok(())
}

fn user_flag(user: &User) -> String {
    if user.name.as_str() == OWNER { String::new() } else { format!(" --user {}", quoted(&user.name)) }
}

/// What devices should be told: the public URL, else the first address listened on, as far as it says anything.
fn server_url(config: &Config) -> String {
    let first = config.listen.first();
    config.public_url.clone().unwrap_or_else(|| match first {
        Some(address) if !address.ip().is_unspecified() => format!("http://{address}"),
        Some(address) => format!("http://ADDRESS-OF-THIS-MACHINE:{}", address.port()),
        None => "http://ADDRESS-OF-THIS-MACHINE:3030".to_owned(),
    })
}

fn settings(name: &Name, user: &Name, token: &str, url: &str) -> String {
    format!(
        "Token {name} of {user}:

  {token}

It is shown this once only: keep it where you keep passwords.

On the phone, in Tickit's settings:
  Server URL: {url}
  Token:      {token}

On the desktop, in ~/.config/tickit/config.toml:
  [sync]
  enabled = true
  server = \"{url}\"
  token = \"{token}\"
  interval_secs = {INTERVAL_SECS}
"
    )
}
