//! `tombolo token`

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, Name, Purpose, ServerTime, limits};
use tombolo_service::{Made, NewToken, ROOT};
use tombolo_storage::{Credential, User};

use super::user::{of_deleted, refuse_reserved, whose};
use super::{Answers, Desk, OWNER, THIS_MACHINE, explain, parse_name, quoted, server_url, show};
use crate::cli::TokenArgs;
use crate::env::SystemEnv;
use crate::output;

/// How often a desktop asks for news: what Tickit's own documentation proposes.
const INTERVAL_SECS: u32 = 300;
const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn run(desk: &Desk<'_>, args: TokenArgs, how: Answers) -> anyhow::Result<()> {
    if args.name.is_some() || args.purpose.is_some() {
        let purpose = args.purpose.as_deref().map_or(Ok(Purpose::Tickit), Purpose::parse).context("--for")?;
        // A key of td lasts as long as one that a sign-in gives.
        let span = args.expires.map(|days| DAY * days).or((purpose == Purpose::Td).then_some(limits::KEY_SPAN));
        let name = args.name.map(|name| parse_name("token", &name)).transpose()?;
        let wanted = Wanted { name, user: args.user, purpose, span, quiet: args.quiet };
        return make(desk, wanted, how).await;
    }
    if let Some(name) = &args.revoke {
        return revoke(desk, &parse_name("token", name)?, args.user.as_deref(), how).await;
    }
    list(desk, args.user.as_deref(), how).await
}

/// A token to be made.
struct Wanted {
    /// `None` for one that is free.
    name: Option<Name>,
    user: Option<String>,
    purpose: Purpose,
    /// How long until it ends; `None` for never.
    span: Option<Duration>,
    /// Whether nothing is wanted but the token.
    quiet: bool,
}

async fn make(desk: &Desk<'_>, wanted: Wanted, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        user: &'a str,
        token: &'a str,
        /// What people are given, where the token is part of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<&'a str>,
        /// Left out where there is no end: scripts know the answer of before there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    }
    let now = SystemEnv.now();
    let Wanted { name, user, purpose, span, quiet } = wanted;
    let user = holder(desk, user.as_deref(), purpose, now).await?;
    let name = match name {
        Some(name) => name,
        None => free_name(desk, &user).await?,
    };
    let expires_at = span.map(|span| now.plus(span));
    let new = NewToken { user: user.id, name: name.clone(), purpose, expires_at };
    let Made::Token(token) = desk.keyring().make_token(new).await.context("the token could not be made")? else {
        bail!(
            "{} has a token {name} already; revoke it first with: tombolo token --revoke {}{}",
            user.name,
            quoted(&name),
            user_flag(&user)
        );
    };
    let protocols = desk.config.protocols;
    if purpose == Purpose::Rooms && !protocols.rooms {
        output::remark("rooms are switched off (protocols.rooms): this opens nothing until they are on");
    }
    if purpose == Purpose::Wellbeing && !protocols.wellbeing {
        output::remark("wellbeing is switched off (protocols.wellbeing): this opens nothing until it is on");
    }
    let token = token.secret().reveal();
    let url = server_url(desk.config, desk.config.listen.first());
    // A link that is pasted as it is must lead somewhere: where nothing better is known, from this machine.
    let link = (purpose == Purpose::Rooms).then(|| format!("{}/k/{token}", url.replace(THIS_MACHINE, "localhost")));
    if how.json {
        let (name, user, expires_at) = (name.as_str(), user.name.as_str(), expires_at.map(|at| at.to_string()));
        return output::say_json(&Answer { name, user, token, url: link.as_deref(), expires_at });
    }
    if quiet {
        output::say(link.as_deref().unwrap_or(token));
        return Ok(());
    }
    if let Some(link) = &link {
        let is_local = url.contains(THIS_MACHINE);
        output::say(rooms_settings(link, is_local, &name, &user, expires_at));
        return Ok(());
    }
    output::say(format_args!(
        "Token {name} of {}:\n\n  {token}\n\nIt is shown this once only: keep it where you keep passwords.{}\n",
        user.name,
        expires_at.map(|at| format!(" It ends on {}.", day(at))).unwrap_or_default()
    ));
    match purpose {
        Purpose::Td => output::say(td_settings(token, &url, &device_id())),
        Purpose::Tickit => output::say(tickit_settings(token, &url)),
        Purpose::SimpleSync => output::say(simple_sync_settings(token, &url)),
        // They have a link instead.
        Purpose::Rooms => {}
        Purpose::Wellbeing => output::say(wellbeing_settings(token, &url)),
    }
    Ok(())
}

/// Whose token it is to be: somebody whom it opens something.
async fn holder(desk: &Desk<'_>, name: Option<&str>, purpose: Purpose, now: ServerTime) -> anyhow::Result<User> {
    let user = match (purpose, name) {
        (Purpose::SimpleSync, Some(ROOT)) => desk.root().await?,
        (_, Some(ROOT)) => bail!("{ROOT} may do everything in simple-sync, and nothing in {purpose}"),
        (Purpose::SimpleSync, Some(name)) => participant(desk, name, now).await?,
        (_, name) => desk.user_or_owner(name, now).await?,
    };
    if user.disabled_at.is_some() {
        bail!("the user {} is disabled: a token would open nothing", user.name);
    }
    let is_participant = user.confirmed_at.is_none() && user.email.is_none();
    if is_participant && purpose != Purpose::SimpleSync {
        let name = &user.name;
        bail!("{name} is a user of simple-sync only; let them use the rest with: tombolo user add {}", quoted(name));
    }
    if purpose == Purpose::SimpleSync {
        // Whoever has a key is known.
        desk.participants().subject(user.id).await.context("the user could not be made known")?;
    }
    Ok(user)
}

/// Whoever is known to simple-sync as `name`, or signs in so; or a user of this name, who becomes known.
async fn participant(desk: &Desk<'_>, name: &str, now: ServerTime) -> anyhow::Result<User> {
    let parsed = parse_name("user", name)?;
    refuse_reserved(&parsed)?;
    match whose(desk, &parsed).await? {
        Some(identity) => {
            let user = desk.store.user_by_id(identity.user).await.map_err(explain)?;
            user.with_context(|| of_deleted(&parsed))
        }
        None => desk.user_or_owner(Some(name), now).await,
    }
}

/// A name that no token of the user has: as sign-ins give, with a number where need be.
async fn free_name(desk: &Desk<'_>, user: &User) -> anyhow::Result<Name> {
    let taken = desk.store.credentials(Some(user.id)).await.map_err(explain)?;
    // One more than there are is free.
    let wished = |n: usize| if n == 1 { "key".to_owned() } else { format!("key ({n})") };
    let free = (1..=taken.len() + 1).map(wished).find(|name| !taken.iter().any(|one| one.name.as_str() == name));
    parse_name("token", &free.context("no name is free")?)
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
    let now = SystemEnv.now();
    let row = |credential: &Credential| {
        let Credential { name, user, purpose, created_at, last_used_at, expires_at, .. } = credential;
        let (name, user, purpose) = (name.to_string(), user.to_string(), purpose.to_string());
        [name, user, purpose, created_at.to_string(), show(*last_used_at), show_end(*expires_at, now)]
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

fn tickit_settings(token: &str, url: &str) -> String {
    format!(
        "On the phone, in Tickit's settings:
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

fn td_settings(token: &str, url: &str, device: &str) -> String {
    format!(
        "Where a script runs td, in its environment (each run counts as a device of its own):
  TD_FEATURE_SYNC_CLI=1
  TD_SYNC_URL={url}
  TD_AUTH_KEY={token}

Where somebody works, in ~/.config/td/auth.json (chmod 600), TD_SYNC_URL as above:
  {{\"api_key\": \"{token}\", \"server_url\": \"{url}\", \"device_id\": \"{device}\"}}
"
    )
}

fn wellbeing_settings(token: &str, url: &str) -> String {
    // What is tried names no device: whose device it is, is decided by its first request.
    format!(
        "In the app's settings, under sync:
  Server URL: {url}
  API key:    {token}

To try it:
  curl {url}/v1/meta
  curl -H 'Authorization: Bearer {token}' {url}/v1/auth/api-keys
"
    )
}

fn simple_sync_settings(token: &str, url: &str) -> String {
    format!(
        "In an app, or on the command line:
  curl -H 'X-API-Key: {token}' {url}/api/v1/events
"
    )
}

fn rooms_settings(link: &str, is_local: bool, name: &Name, user: &User, expires_at: Option<ServerTime>) -> String {
    let local = if is_local {
        "It leads here from this machine only: set public_url, or put this machine's address in the place of localhost.\n"
    } else {
        ""
    };
    let end = expires_at.map(|at| format!(" It ends on {}.", day(at))).unwrap_or_default();
    format!(
        "{link}

In the app: Sync → server URL. Whoever has this URL reaches the rooms of {}, and nothing else: share it with
those who work on a board together. It is shown this once only.{end}
{local}Close it again, for all of them, with: tombolo token --revoke {}{}
",
        user.name,
        quoted(name),
        user_flag(user)
    )
}

/// What td's clients call themselves: some bytes of randomness, in hexadecimal digits.
fn device_id() -> String {
    let mut bytes = [0; 16];
    SystemEnv.fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The day of a time: nobody needs its microseconds.
fn day(at: ServerTime) -> String {
    at.to_string().chars().take_while(|c| *c != 'T').collect()
}

/// When a token ends, and that it does so soon, or did.
fn show_end(expires_at: Option<ServerTime>, now: ServerTime) -> String {
    let Some(at) = expires_at else { return show(None) };
    let left = at.since(now);
    if at <= now {
        return format!("{at} (ended)");
    }
    // As the server's replies do.
    if left > limits::KEY_NOTICE {
        return at.to_string();
    }
    match left.as_secs().div_ceil(DAY.as_secs()) {
        1 => format!("{at} (ends in 1 day)"),
        days => format!("{at} (ends in {days} days)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_ends_soon() {
        let now = ServerTime::from_micros(1_800_000_000_000_000);
        let check = |secs: u64, expected: &str| {
            let shown = show_end(Some(now.plus(Duration::from_secs(secs))), now);
            assert_eq!(shown.split_once(' ').map_or("", |(_, rest)| rest), expected, "{secs} s");
        };
        check(0, "(ended)");
        check(1, "(ends in 1 day)");
        check(86_400, "(ends in 1 day)");
        check(86_401, "(ends in 2 days)");
        check(30 * 86_400, "(ends in 30 days)");
        check(30 * 86_400 + 1, "");
        assert_eq!(show_end(None, now), show(None));
    }

    #[test]
    fn what_a_wellbeing_app_is_told_is_what_it_asks_for() {
        let text = wellbeing_settings("wb_x", "https://sync.example.org");
        let line =
            |begin: &str| text.lines().find_map(|line| line.trim().strip_prefix(begin)).unwrap().trim().to_owned();
        assert_eq!((line("Server URL:"), line("API key:")), ("https://sync.example.org".to_owned(), "wb_x".to_owned()));
        assert!(line("curl -H").ends_with("'Authorization: Bearer wb_x' https://sync.example.org/v1/auth/api-keys"));
    }

    #[test]
    fn what_td_is_told_is_what_it_reads() {
        let text = td_settings("td_live_x", "https://sync.example.org", "abc");
        let json = text.lines().find(|line| line.trim_start().starts_with('{')).unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!((&json["api_key"], &json["device_id"]), (&"td_live_x".into(), &"abc".into()));
        assert!(text.contains("TD_SYNC_URL=https://sync.example.org\n") && text.contains("TD_AUTH_KEY=td_live_x\n"));
    }
}
