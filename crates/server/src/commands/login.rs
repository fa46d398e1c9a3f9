//! `tombolo login`

use std::cmp::Reverse;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_service::{AdmissionOptions, Admissions, Flow, Outbox, OwnerApproval, Request};
use tombolo_storage::SignIns;

use super::{Answers, Desk, server_url};
use crate::cli::LoginCommand;
use crate::env::SystemEnv;
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, command: LoginCommand, place: &str, how: Answers) -> anyhow::Result<()> {
    let store: Arc<dyn SignIns> = desk.store.clone();
    // What the owner approves is mailed to nobody.
    let options = AdmissionOptions {
        base_url: server_url(desk.config, desk.config.listen.first()),
        approve_path: tombolo_http::APPROVE_PATH,
        allow_signup: desk.config.allow_signup,
        web_callback_url: None,
    };
    let admissions = Admissions::new(store, Arc::new(SystemEnv), Outbox::closed(), options);
    match command {
        LoginCommand::List => list(&admissions, place, how).await,
        LoginCommand::Approve { code } => approve(&admissions, &code, how).await,
    }
}

async fn list(admissions: &Admissions, place: &str, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        code: String,
        email: String,
        device: String,
        flow: &'static str,
        created_at: String,
        expires_at: String,
    }
    let item = |request: Request| Item {
        code: request.code,
        email: request.email.as_str().to_owned(),
        device: request.device,
        flow: match request.flow {
            Flow::Code => "code",
            Flow::Verifier => "device",
            Flow::Web => "web",
        },
        created_at: request.created_at.to_string(),
        expires_at: request.expires_at.to_string(),
    };
    let mut waiting = admissions.waiting().await.context("the sign-ins could not be read")?;
    // The newest is the one that somebody waits for.
    waiting.sort_by_key(|request| Reverse(request.created_at));
    let items: Vec<Item> = waiting.into_iter().map(item).collect();
    if how.json {
        return output::say_json(&items);
    }
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    // A date and a time of fixed width; below the second there is nothing for people.
    let seconds = |time: &str| format!("{}Z", time.get(..19).unwrap_or(time));
    let row = |item: Item| {
        let (asked, ends) = (seconds(&item.created_at), seconds(&item.expires_at));
        [item.code, item.email, or_dash(item.device), asked, ends]
    };
    let rows: Vec<_> = items.into_iter().map(row).collect();
    output::say_table(["CODE", "E-MAIL", "DEVICE", "ASKED", "ENDS"], &rows, "Nobody waits to sign in.");
    if !rows.is_empty() {
        output::remark(format_args!(
            "Approve one that you know of with: tombolo login approve{place} CODE\n\
             The code that an older device shows is taken there, too."
        ));
    }
    Ok(())
}

async fn approve(admissions: &Admissions, code: &str, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        code: &'a str,
        email: &'a str,
        device: &'a str,
        approved: bool,
        is_new: bool,
    }
    let approval = admissions.approve_for_owner(code).await.context("the sign-in could not be approved")?;
    let (request, is_new) = match approval {
        OwnerApproval::Done { request, is_new } => (request, is_new),
        OwnerApproval::Unknown => {
            bail!("no sign-in has the code \"{}\"; tombolo login list shows those that wait", code.escape_debug())
        }
        OwnerApproval::Already => bail!("that sign-in was approved already"),
        OwnerApproval::Expired => bail!("that sign-in has ended: it has to be started again on the device"),
        OwnerApproval::Disabled => {
            bail!("the user of that address is disabled, so that no device of theirs may come in")
        }
    };
    let Request { code, email, device, .. } = &request;
    if how.json {
        return output::say_json(&Answer { code, email: email.as_str(), device, approved: true, is_new });
    }
    let on = if device.is_empty() { String::new() } else { format!(" on {device}") };
    output::say(format_args!("Approved: {} is signed in{on} in a moment.", email.as_str()));
    if is_new {
        output::say("That address had no account: it has one now.");
    }
    Ok(())
}
