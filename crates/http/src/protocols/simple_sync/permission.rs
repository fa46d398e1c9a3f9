//! Who may do what, by the rules in force, and why.

use tombolo_core::acl::{Decision, Request};
use tombolo_service::{ROOT, Rulebook};

use super::push::is_internal;
use super::rules::RuleShown;

/// A decision of the rules in force, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Whether it may be done.
    pub allowed: bool,
    /// The rule that decided, as JSON; none where none applies, or none was asked.
    pub rule: Option<String>,
    /// Why, as a sentence.
    pub reason: String,
}

/// What is added to a reason where events are refused whatever the rules say.
const INTERNAL: &str = "; a client's event is refused all the same, since its item or action begins with a dot";

/// Says whether `user` may do `action` to `item`, and why. `generation_one` asks as one who signed in with a password:
/// he is bound by the ordered list, once one was put.
#[must_use]
pub fn explain(rulebook: &Rulebook, user: &str, item: &str, action: &str, generation_one: bool) -> Explained {
    let internal = if is_internal(item, action) { INTERNAL } else { "" };
    if user == ROOT {
        let reason = format!("{ROOT} may do everything: no rule is asked{internal}");
        return Explained { allowed: true, rule: None, reason };
    }
    let is_list = generation_one && rulebook.list.is_some();
    let Decision { is_allowed, rule } = decide(rulebook, Request { user, item, action }, generation_one);
    let reason = match (rule.is_some(), is_list) {
        (true, false) => "of the rules that apply, this one is the most specific",
        (true, true) => "of the ordered list, this rule is the first that applies",
        (false, false) => "no rule applies, and what no rule allows is denied",
        (false, true) => "no rule of the ordered list applies, and what no rule allows is denied",
    };
    let rule = rule.map(|rule| serde_json::to_string(&RuleShown::from(rule)).expect("texts can be written as JSON"));
    Explained { allowed: is_allowed, rule, reason: format!("{reason}{internal}") }
}

/// Whether it may be done.
pub(super) fn is_allowed(rulebook: &Rulebook, request: Request<'_>, generation_one: bool) -> bool {
    request.user == ROOT || decide(rulebook, request, generation_one).is_allowed
}

fn decide<'r>(rulebook: &'r Rulebook, request: Request<'_>, generation_one: bool) -> Decision<'r> {
    match rulebook.list.as_ref().filter(|_| generation_one) {
        Some(list) => list.decide(request),
        None => rulebook.rules.decide(request),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::acl::RuleList;

    use super::*;
    use crate::protocols::simple_sync::rules::{posted, put};

    fn rulebook() -> Rulebook {
        let mut rulebook = Rulebook::default();
        let rules = r#"[{"user":"ann","item":"task.*","action":"*","type":"allow"},
            {"user":"*","item":"task.1","action":"edit","type":"deny"}]"#;
        posted(rules.as_bytes()).unwrap().into_iter().for_each(|rule| rulebook.rules.add(rule));
        rulebook
    }

    #[test]
    fn every_decision_has_its_reason() {
        let check = |user: &str, item: &str, allowed: bool, rule: Option<&str>, reason: &str| {
            let explained = explain(&rulebook(), user, item, "edit", true);
            assert_eq!((explained.allowed, explained.rule.as_deref()), (allowed, rule), "{user} {item}");
            assert!(explained.reason.contains(reason), "{}", explained.reason);
            let request = Request { user, item, action: "edit" };
            assert_eq!(is_allowed(&rulebook(), request, true), allowed, "{user} {item}");
        };
        let allow = r#"{"user":"ann","item":"task.*","action":"*","type":"allow"}"#;
        let deny = r#"{"user":"*","item":"task.1","action":"edit","type":"deny"}"#;
        check("ann", "task.2", true, Some(allow), "most specific");
        check("ann", "task.1", false, Some(deny), "most specific");
        check("bob", "task.2", false, None, "no rule applies");
        check(".root", "task.1", true, None, "may do everything");
    }

    #[test]
    fn a_reason_tells_of_names_that_no_rule_opens() {
        let check = |item: &str, action: &str, is_internal: bool| {
            for user in ["ann", "bob", ".root"] {
                let reason = explain(&rulebook(), user, item, action, false).reason;
                assert_eq!(reason.contains("begins with a dot"), is_internal, "{user} {item} {action}: {reason}");
            }
        };
        check(".secret", "edit", true);
        check("task.1", ".edit", true);
        check(".acl", ".acl.addRule", true);
        check("bob", ".user.resetKey", true);
        check("task.1", "edit.", false);
        check(".user.bob", ".user.create", false);
    }

    #[test]
    fn the_list_binds_those_of_the_first_generation_once_it_was_put() {
        let mut rulebook = rulebook();
        let list = put(br#"{"rules":[{"user":"bob","item":"task.*","action":"*","allow":true}]}"#).unwrap();
        rulebook.list = Some(RuleList::new(list));
        let check = |user: &str, generation_one: bool, allowed: bool| {
            let explained = explain(&rulebook, user, "task.2", "edit", generation_one);
            assert_eq!(explained.allowed, allowed, "{user} {generation_one}: {explained:?}");
            assert_eq!(explained.reason.contains("list"), generation_one && user != ".root", "{explained:?}");
        };
        check("ann", false, true);
        check("ann", true, false);
        check("bob", false, false);
        check("bob", true, true);
        check(".root", true, true);
    }
}
