//! Rules in this protocol's JSON: how they are posted, put, kept in the log, and shown.

use serde::{Deserialize, Serialize};
use tombolo_core::acl::{Effect, Pattern, PatternError, Rule, RuleList};
use tombolo_core::limits::ACL_TEXT_BYTES_MAX;
use tombolo_service::Ruling;

use super::error::EventError;
use super::limits::{LIST_RULES_MAX, RULES_PER_REQUEST_MAX};
use super::wire::{self, ListRuleWire, RuleListWire, RuleWire};
use crate::json::Object;

/// The item of all events that change the rules.
pub(super) const ITEM: &str = ".acl";
/// How their actions begin.
pub(super) const ACTIONS: &str = ".acl.";
/// Adds one rule.
pub(super) const ADD_RULE: &str = ".acl.addRule";
/// Puts the first generation's list.
pub(super) const SET_RULES: &str = ".acl.setRules";
/// What stands for anybody, and for any action, in the first generation's list.
const ANY: &str = "*";

/// A rule, as it is posted, kept and shown. The keys are in the order of the original's.
#[derive(Debug, Serialize)]
pub struct RuleShown<'r> {
    user: &'r str,
    item: &'r str,
    action: &'r str,
    /// What it says, in a word: `allow` or `deny`.
    #[serde(rename = "type")]
    pub effect: &'static str,
}

impl<'r> From<&'r Rule> for RuleShown<'r> {
    fn from(rule: &'r Rule) -> Self {
        let (user, item, action) = (rule.user.as_str(), rule.item.as_str(), rule.action.as_str());
        let effect = match rule.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        };
        Self { user, item, action, effect }
    }
}

/// A rule of the first generation's list, likewise.
#[derive(Debug, Serialize)]
pub struct ListRuleShown<'r> {
    user: &'r str,
    item: &'r str,
    action: &'r str,
    allow: bool,
}

impl<'r> From<&'r Rule> for ListRuleShown<'r> {
    fn from(rule: &'r Rule) -> Self {
        let (user, item, action) = (rule.user.as_str(), rule.item.as_str(), rule.action.as_str());
        Self { user, item, action, allow: rule.effect == Effect::Allow }
    }
}

/// The first generation's list, likewise.
#[derive(Debug, Serialize)]
pub(super) struct RuleListShown<'r> {
    rules: Vec<ListRuleShown<'r>>,
}

impl<'r> RuleListShown<'r> {
    pub(super) fn of(rules: &'r [Rule]) -> Self {
        Self { rules: rules.iter().map(ListRuleShown::from).collect() }
    }
}

/// Reads rules that are posted.
pub(super) fn posted(body: &[u8]) -> Result<Vec<Rule>, EventError> {
    let rules = wire::rules(body)?;
    if rules.count == 0 {
        return Err(EventError::bad_request("At least one ACL rule required"));
    }
    at_most(rules.count, RULES_PER_REQUEST_MAX)?;
    rules.first.iter().map(rule).collect()
}

/// Reads the first generation's list.
pub(super) fn put(body: &[u8]) -> Result<Vec<Rule>, EventError> {
    let RuleListWire { rules } = wire::object(body)?;
    at_most(rules.len(), LIST_RULES_MAX)?;
    rules.iter().map(|Object(rule)| list_rule(rule).ok_or_else(EventError::bad_format)).collect()
}

fn at_most(count: usize, max: usize) -> Result<(), EventError> {
    let too_many = || EventError::too_large(format!("{count} rules at once: send at most {max}"));
    if count > max { Err(too_many()) } else { Ok(()) }
}

fn rule(wire: &RuleWire<'_>) -> Result<Rule, EventError> {
    let (user, item, action) =
        (pattern("user", &wire.user.0)?, pattern("item", &wire.item.0)?, pattern("action", &wire.action.0)?);
    let effect = match &*wire.effect.0 {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        _ => return Err(EventError::bad_request("type must be either 'allow' or 'deny'")),
    };
    Ok(Rule { user, item, action, effect })
}

fn pattern(field: &str, text: &str) -> Result<Pattern, EventError> {
    Pattern::parse(text).map_err(|error| {
        let what = match error {
            PatternError::Empty => "cannot be empty".to_owned(),
            PatternError::Control => "contains invalid control characters".to_owned(),
            PatternError::Wildcard => "can have at most one wildcard at the end".to_owned(),
            PatternError::TooLong => format!("is longer than {ACL_TEXT_BYTES_MAX} bytes"),
        };
        EventError::bad_request(format!("{field} pattern {what}"))
    })
}

fn list_rule(wire: &ListRuleWire<'_>) -> Option<Rule> {
    let whole = |text: &str| Pattern::parse(text).ok().filter(|_| text == ANY || !text.contains('*'));
    let effect = if wire.allow { Effect::Allow } else { Effect::Deny };
    Some(Rule {
        user: whole(&wire.user.0)?,
        item: Pattern::parse(&wire.item.0).ok()?,
        action: whole(&wire.action.0)?,
        effect,
    })
}

/// The payload of the event that adds a rule.
pub(super) fn add_payload(rule: &Rule) -> String {
    serde_json::to_string(&RuleShown::from(rule)).expect("texts can be written as JSON")
}

/// The payload of the event that puts the first generation's list.
pub(super) fn set_payload(rules: &[Rule]) -> String {
    serde_json::to_string(&RuleListShown::of(rules)).expect("texts can be written as JSON")
}

/// What a stored event says of the rules.
pub(super) fn ruling(stored: &[u8]) -> Option<Ruling> {
    #[derive(Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        item: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        action: std::borrow::Cow<'a, str>,
        payload: String,
    }
    let stored: Stored<'_> = serde_json::from_slice(stored).ok()?;
    if stored.item != ITEM {
        return None;
    }
    let payload = stored.payload.as_bytes();
    match &*stored.action {
        ADD_RULE => Some(Ruling::Add(vec![rule(&wire::object(payload).ok()?).ok()?])),
        SET_RULES => Some(Ruling::List(RuleList::new(put(payload).ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::simple_sync::event_id::EventId;
    use crate::protocols::simple_sync::normal::Event;
    use crate::protocols::simple_sync::timestamp::Timestamp;

    fn one(user: &str, item: &str, action: &str, effect: &str) -> String {
        serde_json::json!([{"user": user, "item": item, "action": action, "type": effect}]).to_string()
    }

    #[test]
    fn rules_are_refused_in_the_originals_words_and_order() {
        let check = |body: &str, expected: &'static str| {
            assert_eq!(posted(body.as_bytes()).unwrap_err(), EventError::bad_request(expected), "{body}");
        };
        check("", "Invalid request format");
        check("{}", "Invalid request format");
        check("[7]", "Invalid request format");
        check(r#"[{"user":{}}]"#, "Invalid request format");
        check("[]", "At least one ACL rule required");
        check("null", "At least one ACL rule required");
        check(&one("", "", "", ""), "user pattern cannot be empty");
        check(&one("u", "", "", ""), "item pattern cannot be empty");
        check(&one("u", "i", "", ""), "action pattern cannot be empty");
        check("[null]", "user pattern cannot be empty");
        check(&one("user*test*", "i", "a", "allow"), "user pattern can have at most one wildcard at the end");
        check(&one("u", "item*test", "a", "allow"), "item pattern can have at most one wildcard at the end");
        check(&one("u", "i", "read*write*", "allow"), "action pattern can have at most one wildcard at the end");
        check(&one("u", "i", "**", "allow"), "action pattern can have at most one wildcard at the end");
        check(&one("u\n", "i", "a", "allow"), "user pattern contains invalid control characters");
        check(&one("u", "i\u{7f}", "a", "allow"), "item pattern contains invalid control characters");
        check(&one("u", "i", &"x".repeat(1_025), "allow"), "action pattern is longer than 1024 bytes");
        for effect in ["invalid", "", "ALLOW", "Deny"] {
            check(&one("u", "i", "a", effect), "type must be either 'allow' or 'deny'");
        }
        for (user, item, action) in [("user*", "item*", "read*"), ("*", "*", "*"), (".root", ".acl", ".acl.*")] {
            assert_eq!(posted(one(user, item, action, "deny").as_bytes()).unwrap().len(), 1);
        }
        let many = format!("[{}{{}}]", "{},".repeat(10_000));
        assert_eq!(
            posted(many.as_bytes()).unwrap_err(),
            EventError::too_large("10001 rules at once: send at most 10000")
        );
    }

    #[test]
    fn a_list_takes_a_beginning_of_an_item_and_of_nothing_else() {
        let check = |user: &str, item: &str, action: &str, is_one: bool| {
            let rule = serde_json::json!({"user": user, "item": item, "action": action, "allow": true});
            let body = serde_json::json!({ "rules": [rule] }).to_string();
            assert_eq!(put(body.as_bytes()).is_ok(), is_one, "{body}");
        };
        check("*", "task-*", "view", true);
        check("ann", "*", "*", true);
        check("an*", "task-1", "view", false);
        check("ann", "task-1", "vi*", false);
        check("ann", "ta*sk", "view", false);
        let one = r#"{"user":"*","item":"*","action":"*","allow":true}"#;
        let many = format!(r#"{{"rules":[{}{one}]}}"#, format!("{one},").repeat(1_000));
        assert_eq!(put(many.as_bytes()).unwrap_err(), EventError::too_large("1001 rules at once: send at most 1000"));
        check("", "i", "view", false);
        check("u", "", "view", false);
        check("u", "i", "", false);
    }

    fn stored(item: &str, action: &str, payload: &str) -> Vec<u8> {
        let id = EventId::read("018bcfe5-687b-7abc-8def-0123456789ab");
        Event { id, timestamp: Timestamp(7), user: ".root", item, action, payload }.stored()
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let rules = posted(one("ann", "task.\"*", "edit", "deny").as_bytes()).unwrap();
        let payload = add_payload(&rules[0]);
        assert_eq!(payload, r#"{"user":"ann","item":"task.\"*","action":"edit","type":"deny"}"#);
        let Some(Ruling::Add(read)) = ruling(&stored(ITEM, ADD_RULE, &payload)) else { panic!("it adds one") };
        assert_eq!(read, rules);
        let list = put(br#"{"rules":[{"user":"*","item":"task-*","action":"view","allow":true}]}"#).unwrap();
        let payload = set_payload(&list);
        assert_eq!(payload, r#"{"rules":[{"user":"*","item":"task-*","action":"view","allow":true}]}"#);
        let Some(Ruling::List(read)) = ruling(&stored(ITEM, SET_RULES, &payload)) else { panic!("it is a list") };
        assert_eq!(read.rules(), list);
    }

    #[test]
    fn what_says_nothing_of_the_rules() {
        let payload = r#"{"user":"*","item":"*","action":"*","type":"allow"}"#;
        assert!(ruling(&stored(ITEM, ADD_RULE, payload)).is_some());
        for entry in [
            stored("task", ADD_RULE, payload),
            stored(ITEM, "edit", payload),
            stored(ITEM, ADD_RULE, "junk"),
            stored(ITEM, ADD_RULE, r#"{"user":"*","item":"*","action":"*","type":"ALLOW"}"#),
            stored(ITEM, SET_RULES, payload),
            b"junk".to_vec(),
        ] {
            assert!(ruling(&entry).is_none(), "{}", String::from_utf8_lossy(&entry));
        }
    }
}
