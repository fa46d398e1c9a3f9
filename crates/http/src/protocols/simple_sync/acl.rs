//! The rules over HTTP: show them, add to them, explain them; and the first generation's list.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Serialize;
use serde_json::value::RawValue;
use tombolo_core::acl::Rule;
use tombolo_core::limits::RULES_MAX;
use tombolo_service::{Rulebook, Submission, Weight};

use super::audit::Deed;
use super::caller::Caller;
use super::error::EventError;
use super::gate::guarded;
use super::limits::{RULES_PER_PIECE, RULES_SHOWN_FREELY_BYTES};
use super::permission::explain;
use super::rules::{self, RuleListShown, RuleShown};
use super::shapes::only;
use super::submit::submit;
use super::{history, query, wire};
use crate::App;
use crate::held_body::HeldBody;

const METHODS: &str = "GET, HEAD, POST, PUT, OPTIONS";

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let of_first = only(guarded(get(list).post(add).put(put), app), METHODS);
    let of_today = only(guarded(get(show).post(add).put(put), app), METHODS);
    Router::new()
        .route("/acl", of_first)
        .route("/api/v1/acl", of_today)
        .route("/api/v1/acl/explain", only(guarded(get(explained), app), "GET, HEAD, OPTIONS"))
}

/// `POST /acl`: adds rules, which are in force with the answer.
async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, EventError> {
    let body = wire::rules_body(body).await;
    // Whoever may not is told so, whatever he sent.
    may_add(&caller, &*app.events.rulebook().await?)?;
    let rules = rules::posted(&body?)?;
    let weight = Weight { is_ruling: true, effect: None };
    let entry = |rule| {
        let payload = rules::add_payload(rule);
        let deed = Deed { by: &caller.subject, item: rules::ITEM, action: rules::ADD_RULE, payload: &payload };
        deed.entry(&*app.env).1
    };
    let submission = Submission { entries: rules.iter().map(entry).collect(), weights: vec![weight; rules.len()] };
    let judge = |rulebook: &Rulebook, n| {
        may_add(&caller, rulebook)?;
        // All of them are stored, or none: they are counted once.
        if n == 0 { has_room(rulebook, &rules) } else { Ok(()) }
    };
    submit(&app, &caller, submission, judge).await?;
    #[derive(Serialize)]
    struct Added {
        message: &'static str,
    }
    Ok(wire::answer(StatusCode::OK, &Added { message: "ACL events submitted" }))
}

fn may_add(caller: &Caller, rulebook: &Rulebook) -> Result<(), EventError> {
    if caller.may(rulebook, rules::ITEM, rules::ADD_RULE) { Ok(()) } else { Err(EventError::forbidden()) }
}

/// Whether so many more may be in force. A rule of the same patterns as another takes its place.
fn has_room(rulebook: &Rulebook, added: &[Rule]) -> Result<(), EventError> {
    if rulebook.rules.len() + added.len() <= RULES_MAX {
        return Ok(());
    }
    let patterns = |rule: &Rule| (rule.user.clone(), rule.item.clone(), rule.action.clone());
    let mut new: std::collections::HashSet<_> = added.iter().map(patterns).collect();
    for rule in rulebook.rules.iter() {
        new.remove(&patterns(rule));
    }
    let full = || EventError::conflict(format!("{RULES_MAX} rules are in force, which is as many as there may be"));
    if rulebook.rules.len() + new.len() <= RULES_MAX { Ok(()) } else { Err(full()) }
}

/// `PUT /acl`: puts the first generation's list.
async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, EventError> {
    let body = wire::rules_body(body).await;
    if !caller.is_root() {
        return Err(EventError::forbidden());
    }
    let payload = rules::set_payload(&rules::put(&body?)?);
    let deed = Deed { by: &caller.subject, item: rules::ITEM, action: rules::SET_RULES, payload: &payload };
    let (_, submission) = deed.submission(&*app.env, Weight { is_ruling: true, effect: None });
    submit(&app, &caller, submission, |_, _| Ok(())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /acl`: the first generation's list; empty until one was put.
async fn list(State(app): State<Arc<App>>) -> Result<Response, EventError> {
    let rulebook = app.events.rulebook().await?;
    let rules = rulebook.list.as_ref().map(|list| list.rules()).unwrap_or_default();
    Ok(wire::answer(StatusCode::OK, &RuleListShown::of(rules)))
}

/// `GET /api/v1/acl`: the rules in force, the oldest first, as they are posted.
async fn show(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response, EventError> {
    // As a whole before it is sent: as long as somebody keeps the rules, each change of them makes a copy of all.
    let text = listed(&*app.events.rulebook().await?).await;
    let is_long = text.len() > RULES_SHOWN_FREELY_BYTES;
    let seat = if is_long { Some(history::seat(&app, &caller)?) } else { None };
    let headers = [(header::CONTENT_TYPE, wire::JSON), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, HeldBody::body(text, seat)).into_response())
}

/// The rules in force as an array.
async fn listed(rulebook: &Rulebook) -> Vec<u8> {
    let mut text = vec![b'['];
    for (n, rule) in rulebook.rules.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &RuleShown::from(rule)).expect("texts can be written as JSON into memory");
        if (n + 1) % RULES_PER_PIECE == 0 {
            // Others come in between.
            tokio::task::yield_now().await;
        }
    }
    text.push(b']');
    text
}

/// `GET /api/v1/acl/explain`: whether somebody may do something, and which rule says so.
async fn explained(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, EventError> {
    let query = query.unwrap_or_default();
    let [user, item, action] = ["user", "item", "action"].map(|name| query::value(&query, name).unwrap_or_default());
    if user.is_empty() || item.is_empty() || action.is_empty() {
        return Err(EventError::bad_request("user, item and action are required"));
    }
    let rulebook = app.events.rulebook().await?;
    let explained = explain(&rulebook, &user, &item, &action, caller.is_first_generation());
    #[derive(Serialize)]
    struct Shown {
        allowed: bool,
        rule: Option<Box<RawValue>>,
        reason: String,
    }
    let rule = explained.rule.map(|rule| RawValue::from_string(rule).expect("a rule was written as JSON"));
    Ok(wire::answer(StatusCode::OK, &Shown { allowed: explained.allowed, rule, reason: explained.reason }))
}

#[cfg(test)]
mod tests {
    use tombolo_core::acl::{Effect, Pattern};
    use tombolo_testkit::wait;

    use super::*;

    fn rule(n: usize) -> Rule {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        Rule { user: pattern("*"), item: pattern(&format!("i{n}")), action: pattern("*"), effect: Effect::Allow }
    }

    fn rulebook(count: usize) -> Rulebook {
        let mut rulebook = Rulebook::default();
        (0..count).for_each(|n| rulebook.rules.add(rule(n)));
        rulebook
    }

    #[test]
    fn the_rules_are_shown_as_an_array() {
        for count in [0, 1, 999, 1_000, 1_001, 2_000] {
            let text = wait(listed(&rulebook(count)));
            let read: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(read.len(), count);
            assert!(read.iter().enumerate().all(|(n, rule)| rule["item"] == format!("i{n}")), "{count}");
        }
    }

    #[test]
    fn rules_are_bounded_and_can_still_be_overridden() {
        let rulebook = rulebook(RULES_MAX - 1);
        assert!(has_room(&rulebook, &[rule(RULES_MAX)]).is_ok());
        assert!(has_room(&rulebook, &[rule(RULES_MAX), rule(RULES_MAX)]).is_ok());
        assert!(has_room(&rulebook, &[rule(RULES_MAX), rule(RULES_MAX + 1)]).is_err());
        assert!(has_room(&rulebook, &[rule(RULES_MAX), rule(0), rule(1)]).is_ok());
    }
}
