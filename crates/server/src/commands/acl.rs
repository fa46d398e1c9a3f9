//! `tombolo acl`

use anyhow::Context as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tombolo_core::acl::Rule;
use tombolo_http::{Explained, ListRuleShown, RuleShown, explain};
use tombolo_service::{ROOT, Rulebook};

use super::{Answers, Desk, printable};
use crate::cli::AclCommand;
use crate::output;

pub(super) async fn run(desk: &Desk<'_>, command: AclCommand, how: Answers) -> anyhow::Result<()> {
    let rulebook = desk.events().rulebook().await.context("the rules could not be read")?;
    match command {
        AclCommand::List => list(&rulebook, how),
        AclCommand::Explain { user, item, action, first_generation } => {
            say(explain(&rulebook, &user, &item, &action, first_generation), how)
        }
    }
}

fn list(rulebook: &Rulebook, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        rules: Vec<RuleShown<'a>>,
        /// None as long as nobody put one.
        list: Option<Vec<ListRuleShown<'a>>>,
    }
    if how.json {
        let rules = rulebook.rules.iter().map(RuleShown::from).collect();
        let list = rulebook.list.as_ref().map(|list| list.rules().iter().map(ListRuleShown::from).collect());
        return output::say_json(&Answer { rules, list });
    }
    let titles = ["USER", "ITEM", "ACTION", "SAYS"];
    let rows: Vec<_> = rulebook.rules.iter().map(row).collect();
    output::say_table(titles, &rows, &format!("There are no rules yet: nobody but {ROOT} may do anything."));
    if let Some(list) = &rulebook.list {
        output::say(
            "\nThose who sign in with a password are bound by this list alone, of which the first that applies decides:",
        );
        let rows: Vec<_> = list.rules().iter().map(row).collect();
        output::say_table(titles, &rows, "It is empty: they may do nothing.");
    }
    Ok(())
}

fn say(explained: Explained, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        allowed: bool,
        rule: Option<Box<RawValue>>,
        reason: String,
    }
    let Explained { allowed, rule, reason } = explained;
    if how.json {
        let rule = rule.map(RawValue::from_string).transpose()?;
        return output::say_json(&Answer { allowed, rule, reason });
    }
    output::say(format_args!("{}: {reason}", if allowed { "Allowed" } else { "Denied" }));
    if let Some(rule) = rule {
        output::say(format_args!("  {}", printable(&rule)));
    }
    Ok(())
}

fn row(rule: &Rule) -> [String; 4] {
    let Rule { user, item, action, .. } = rule;
    let says = RuleShown::from(rule).effect.to_owned();
    [printable(user.as_str()), printable(item.as_str()), printable(action.as_str()), says]
}
