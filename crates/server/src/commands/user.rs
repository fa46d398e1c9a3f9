//! `tombolo user`

mod delete;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{EmailAddress, Env as _, Name, Purpose, UserId};
use tombolo_service::{Identity, IdentityAdded, IdentityChange, IdentityChanged, NewIdentity, ROOT, Username};
use tombolo_storage::{Added, IdentityKey};

use super::{Answers, Desk, explain, parse_name, password, quoted};
use crate::cli::UserCommand;
use crate::env::SystemEnv;
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, command: UserCommand, how: Answers) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, email, password_stdin } => {
            add(desk, &name, email.as_deref(), password_stdin, how).await
        }
        UserCommand::Password { name } => set_password(desk, &name, how).await,
        UserCommand::List => list(desk, how).await,
        UserCommand::Disable { name } => disable(desk, &name, how).await,
        UserCommand::Delete { name, yes } => delete::run(desk, &name, yes, how).await,
    }
}

async fn add(desk: &Desk<'_>, name: &str, email: Option<&str>, has_password: bool, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        email: Option<&'a str>,
    }
    let name = parse_name("user", name)?;
    if name.as_str() == ROOT && has_password {
        bail!("{ROOT} is there by itself; give it a password with: tombolo user password {ROOT}");
    }
    refuse_reserved(&name)?;
    let parse = |text: &str| EmailAddress::parse(text).with_context(|| format!("\"{text}\" cannot be taken"));
    let email = email.map(parse).transpose()?;
    // Everything that may be refused comes before anything is made.
    let hash = if has_password { Some(hash_of_next_line(desk).await?) } else { None };
    if hash.is_some() {
        refuse_other(desk, &name).await?;
    }
    let user = match desk.store.add_user(&name, email.as_ref(), SystemEnv.now()).await.map_err(explain)? {
        Added::New(user) => user,
        Added::NameTaken if hash.is_some() => {
            bail!("there is a user {name} already; set a password with: tombolo user password {}", quoted(&name))
        }
        Added::NameTaken => bail!("there is a user {name} already"),
        Added::EmailTaken => bail!("another user has this e-mail address; tombolo user list shows whose it is"),
    };
    let signs_in = hash.is_some();
    if let Some(hash) = hash {
        give_password(desk, user, &name, hash).await?;
    }
    if how.json {
        return output::say_json(&Answer { name: name.as_str(), email: email.as_ref().map(EmailAddress::as_str) });
    }
    if signs_in {
        output::say(format_args!(
            "Added the user {name}, who signs in to simple-sync with this name and the password."
        ));
        return Ok(());
    }
    output::say(format_args!("Added the user {name}. Make a token for a device of theirs with:"));
    output::say(format_args!("  tombolo token --user {} --name laptop", quoted(&name)));
    Ok(())
}

async fn set_password(desk: &Desk<'_>, name: &str, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        name: &'a str,
        username: &'a str,
        changed: bool,
    }
    let name = parse_name("user", name)?;
    if name.as_str() != ROOT {
        refuse_reserved(&name)?;
    }
    let known = whose(desk, &name).await?;
    let user = match &known {
        Some(identity) => identity.user,
        None if name.as_str() == ROOT => desk.root().await?.id,
        None => desk.user(name.as_str()).await?.id,
    };
    let user = desk.store.user_by_id(user).await.map_err(explain)?.with_context(|| of_deleted(&name))?;
    if user.disabled_at.is_some() {
        bail!("the user {} is disabled: a password would open nothing", user.name);
    }
    let hash = hash_of_next_line(desk).await?;
    let username = give_password(desk, user.id, &user.name, hash).await?;
    if how.json {
        let (name, username) = (user.name.as_str(), username.as_str());
        return output::say_json(&Answer { name, username, changed: true });
    }
    output::say(format_args!("Set the password of {}, who signs in to simple-sync as {username}.", user.name));
    Ok(())
}

async fn hash_of_next_line(desk: &Desk<'_>) -> anyhow::Result<String> {
    let password = password::read()?;
    desk.participants().hash(password).await.context("the password could not be hashed")
}

async fn identity(desk: &Desk<'_>, key: IdentityKey) -> anyhow::Result<Option<Identity>> {
    desk.store.identity(Purpose::SimpleSync, key).await.map_err(explain)
}

/// That a name is not one of simple-sync's own: those begin with a dot.
pub(super) fn refuse_reserved(name: &Name) -> anyhow::Result<()> {
    if name.as_str().starts_with('.') {
        bail!("{name} cannot be a user's name: what begins with a dot is simple-sync's own");
    }
    Ok(())
}

/// Whoever is known to simple-sync as `name`, or signs in so.
pub(super) async fn whose(desk: &Desk<'_>, name: &Name) -> anyhow::Result<Option<Identity>> {
    let by_username = identity(desk, IdentityKey::Username(name.clone())).await?;
    let by_subject = identity(desk, IdentityKey::Subject(name.clone())).await?;
    match (by_username, by_subject) {
        (Some(one), Some(other)) if one.user != other.user => bail!(
            "{name} is what {} signs in with, and another user's name; say what the one meant signs in with, or is \
             called, that is not the other's",
            one.subject
        ),
        (one, other) => Ok(one.or(other)),
    }
}

/// Why a name that somebody had who was deleted is of no use to simple-sync.
pub(super) fn of_deleted(name: &Name) -> String {
    format!(
        "what a user wrote to simple-sync as {name}, who was deleted, stays there, so that nobody else can be known by \
         this name: add the user under another one"
    )
}

/// That nobody else signs in with the name of somebody to be, or is known by it: also nobody who was deleted.
async fn refuse_other(desk: &Desk<'_>, name: &Name) -> anyhow::Result<()> {
    let by_username = identity(desk, IdentityKey::Username(name.clone())).await?;
    if let Some(other) = by_username.filter(|identity| identity.subject != *name) {
        bail!("{} signs in to simple-sync as {name} already", other.subject);
    }
    let Some(known) = identity(desk, IdentityKey::Subject(name.clone())).await? else { return Ok(()) };
    match desk.store.user_by_id(known.user).await.map_err(explain)? {
        None => bail!("{}", of_deleted(name)),
        Some(other) if other.name != *name => bail!("another user is known to simple-sync as {name}"),
        // Who is there is refused as one who is.
        Some(_) => Ok(()),
    }
}

/// Gives a user a password, and says what he signs in with.
async fn give_password(desk: &Desk<'_>, user: UserId, name: &Name, hash: String) -> anyhow::Result<Name> {
    let participants = desk.participants();
    if identity(desk, IdentityKey::User(user)).await?.is_none() {
        let new = NewIdentity {
            purpose: Purpose::SimpleSync,
            subject: name.clone(),
            username: Username::Subject,
            password: Some(hash),
        };
        let added = participants.add(new).await.context("the password could not be stored")?;
        if added != IdentityAdded::New(user) {
            bail!("another user is known to simple-sync as {name}");
        }
    } else {
        let change = IdentityChange { username: None, password: Some(hash) };
        let changed = participants.change(user, change).await.context("the password could not be stored")?;
        if changed != IdentityChanged::Done {
            bail!("the user {name} has just gone");
        }
    }
    let known = identity(desk, IdentityKey::User(user)).await?;
    known.and_then(|identity| identity.username).with_context(|| {
        format!("{name} has a password now, and nothing to sign in with: another user took the name for that")
    })
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
