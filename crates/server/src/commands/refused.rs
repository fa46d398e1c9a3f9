//! `tombolo refused`

use serde::Serialize;
use tombolo_storage::Refusal;

use super::{Answers, Desk, explain, printable};
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, user: Option<String>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        user: String,
        device: String,
        record: String,
        #[serde(rename = "type")]
        kind: String,
        reason: String,
        at: String,
    }
    let user = match user {
        Some(user) => Some(desk.user(&user).await?.id),
        None => None,
    };
    let refusals = desk.store.refusals(user).await.map_err(explain)?;
    if how.json {
        let item = |refusal: Refusal| {
            let Refusal { user, device, record, kind, reason, at } = refusal;
            Item { user: user.to_string(), device, record, kind, reason, at: at.to_string() }
        };
        return output::say_json(&refusals.into_iter().map(item).collect::<Vec<_>>());
    }
    let row = |refusal: Refusal| {
        let Refusal { user, device, record, kind, reason, at } = refusal;
        [at.to_string(), user.to_string(), printable(&device), printable(&kind), printable(&record), printable(&reason)]
    };
    let rows: Vec<_> = refusals.into_iter().map(row).collect();
    output::say_table(["AT", "USER", "DEVICE", "TYPE", "RECORD", "REASON"], &rows, "No write was refused.");
    Ok(())
}
