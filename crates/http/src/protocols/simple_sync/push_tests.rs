//! The order in which a push is checked, case by case.

use serde_json::{Value, json};
use tombolo_core::UserId;
use tombolo_service::Admission;

use super::*;
use crate::protocols::simple_sync::caller::Via;
use crate::protocols::simple_sync::{rules, wire};

const NOW: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);
/// A version 7 of 2023-11-14T22:13:20.123Z.
const UUID: &str = "018bcfe5-687b-7abc-8def-0123456789ab";
const SECONDS: u64 = 1_700_000_000;

fn caller(name: &str, via: Via) -> Caller {
    let admission = Admission { user: UserId::new(1), credential: None, ends_at: None };
    Caller { subject: Name::parse(name).unwrap(), via, admission }
}

fn event(change: &[(&str, Value)]) -> Value {
    let mut event =
        json!({"uuid": UUID, "timestamp": SECONDS, "user": "ann", "item": "task.1", "action": "edit", "payload": "{}"});
    for (field, value) in change {
        event[*field] = value.clone();
    }
    event
}

/// What a push of `ann` is answered, before or after the rules that let her do everything are asked.
fn pushed(via: Via, is_strict: bool, events: &[Value]) -> Result<Vec<NewEntry>, EventError> {
    let body = Value::from(events).to_string();
    let (wire, caller) = (wire::events(body.as_bytes())?, caller("ann", via));
    let mut push = Push::check(&wire, &caller, NOW, is_strict)?;
    let mut rulebook = Rulebook::default();
    let all = br#"[{"user":"*","item":"*","action":"*","type":"allow"},{"user":"*","item":"secret","action":"*","type":"deny"}]"#;
    rules::posted(all).unwrap().into_iter().for_each(|rule| rulebook.rules.add(rule));
    for n in 0..push.count() {
        push.judge(&rulebook, n).map_err(|denied| push.refused(n, denied))?;
    }
    Ok(push.submission().entries)
}

fn bad(message: &'static str) -> EventError {
    EventError::bad_request(message)
}

fn forbidden(message: &'static str) -> EventError {
    EventError::new(StatusCode::FORBIDDEN, message)
}

const ACL_ENDPOINT: &str = "ACL events must be submitted via dedicated /api/v1/acl endpoint";
const INTERNAL: &str = "Cannot add internal events through this endpoint";

#[test]
fn todays_events_are_checked_in_the_originals_words() {
    let check = |change: &[(&str, Value)], expected: EventError| {
        let event = event(change);
        let uuid = event["uuid"].as_str().unwrap_or_default().to_owned();
        assert_eq!(pushed(Via::ApiKey, false, std::slice::from_ref(&event)), Err(expected.of(&uuid)), "{event}");
    };
    assert_eq!(pushed(Via::ApiKey, false, &[event(&[])]).map(|entries| entries.len()), Ok(1));
    check(&[("uuid", json!(""))], bad("UUID is required"));
    check(&[("uuid", Value::Null)], bad("UUID is required"));
    check(&[("uuid", json!("x"))], bad("UUID must be valid format"));
    check(&[("uuid", json!("x".repeat(300)))], bad("UUID must be valid format"));
    for timestamp in [0, SECONDS + 1, SECONDS * 1_000, SECONDS * 1_000 + 122, 1 << 60, u64::MAX] {
        check(&[("timestamp", json!(timestamp))], bad("invalid timestamp"));
    }
    check(&[("timestamp", Value::Null)], bad("invalid timestamp"));
    check(
        &[("uuid", json!("00000000-03e7-7000-8000-000000000000")), ("timestamp", json!(0))],
        bad("invalid timestamp"),
    );
    check(&[("user", json!(""))], bad("user is required"));
    check(&[("item", Value::Null)], bad("item is required"));
    check(&[("action", json!(""))], bad("action is required"));
    check(&[("item", json!("x".repeat(1_025)))], bad("item is longer than 1024 bytes"));
    check(&[("action", json!("x".repeat(1_025)))], bad("action is longer than 1024 bytes"));
    check(&[("payload", json!("x".repeat((1 << 20) + 1)))], bad("payload is longer than 1048576 bytes"));
    check(&[("user", json!("bob"))], forbidden("Cannot submit events for other users"));
    check(&[("user", json!(".root"))], forbidden("Cannot submit events for other users"));
    check(&[("item", json!("secret"))], EventError::forbidden());
}

#[test]
fn names_that_begin_with_a_dot_are_not_for_everybody() {
    let check = |item: &str, action: &str, expected: Option<EventError>| {
        for via in [Via::ApiKey, Via::Session] {
            let event = event(&[("item", json!(item)), ("action", json!(action))]);
            let came = pushed(via, false, &[event]).err();
            assert_eq!(came, expected.clone().map(|error| error.of(UUID)), "{item} {action} {via:?}");
        }
    };
    check(".acl", ".acl.addRule", Some(bad(ACL_ENDPOINT)));
    check(".acl", ".acl.", Some(bad(ACL_ENDPOINT)));
    check(".acl", "edit", Some(forbidden(INTERNAL)));
    check(".acl", ".aclx", Some(forbidden(INTERNAL)));
    check(".acl", CREATE_USER, Some(forbidden(INTERNAL)));
    check(".secret", "edit", Some(forbidden(INTERNAL)));
    check(".user.bob", "edit", Some(forbidden(INTERNAL)));
    check(".user.bob", ".user.generateToken", Some(forbidden(INTERNAL)));
    check("task", ".user.resetKey", Some(forbidden(INTERNAL)));
    check("task", ".acl.addRule", Some(forbidden(INTERNAL)));
    check(".user.bob", CREATE_USER, None);
    check("task.", "edit.", None);
    check("task", CREATE_USER, Some(no_user()));
    check(".user.", CREATE_USER, Some(no_user()));
    check(".user..root", CREATE_USER, Some(forbidden(INTERNAL)));
    check(".user..", CREATE_USER, Some(forbidden(INTERNAL)));
    check(".user.a\nb", CREATE_USER, Some(no_user()));
    check(&format!(".user.{}", "x".repeat(101)), CREATE_USER, Some(no_user()));
}

#[test]
fn the_first_event_at_fault_decides_and_what_comes_first_of_all_events_does_so_before() {
    let no_action = event(&[("action", json!("")), ("uuid", json!("018bcfe5-687b-7abc-8def-000000000001"))]);
    let denied = event(&[("item", json!("secret"))]);
    let foreign = event(&[("user", json!("bob"))]);
    let rule = event(&[("item", json!(".acl")), ("action", json!(".acl.addRule")), ("uuid", json!("no uuid"))]);
    let check = |events: &[&Value], expected: EventError| {
        let events: Vec<Value> = events.iter().map(|event| (*event).clone()).collect();
        assert_eq!(pushed(Via::ApiKey, false, &events), Err(expected), "{events:?}");
    };
    let no_action_error = || bad("action is required").of("018bcfe5-687b-7abc-8def-000000000001");
    check(&[&no_action, &rule], bad(ACL_ENDPOINT).of("no uuid"));
    check(&[&denied, &foreign, &no_action], forbidden("Cannot submit events for other users").of(UUID));
    check(&[&denied, &no_action], no_action_error());
    check(&[&no_action, &foreign], no_action_error());
}

#[test]
fn the_first_generation_has_its_own_words() {
    let check = |change: &[(&str, Value)], expected: EventError| {
        assert_eq!(pushed(Via::Session, true, &[event(change)]), Err(expected), "{change:?}");
    };
    for field in ["uuid", "item", "action"] {
        check(&[(field, json!(""))], bad("Missing required fields"));
        check(&[(field, json!("")), ("timestamp", json!(0))], bad("Missing required fields"));
    }
    for timestamp in [0, 1_800_000_000 + 86_401, u64::MAX] {
        check(&[("timestamp", json!(timestamp))], bad("Invalid timestamp"));
    }
    let long = "x".repeat(201);
    check(&[("uuid", json!(long))], bad("uuid is longer than 200 bytes").of(&long));
    for change in [("uuid", json!("any text")), ("timestamp", json!(1)), ("timestamp", json!(1_700_000_000_999_u64))] {
        assert!(pushed(Via::Session, true, &[event(std::slice::from_ref(&change))]).is_ok(), "{change:?}");
    }
    // Whatever it says, it is the caller's.
    let entries = pushed(Via::Session, false, &[event(&[("user", json!("bob")), ("userUuid", json!("cai"))])]).unwrap();
    assert!(String::from_utf8(entries[0].payload.clone()).unwrap().contains(r#""user":"ann""#));
}

#[test]
fn strictness_is_what_the_documents_say() {
    let check = |change: (&str, Value), message: &'static str| {
        let event = event(std::slice::from_ref(&change));
        let uuid = event["uuid"].as_str().unwrap().to_owned();
        assert_eq!(pushed(Via::BearerKey, true, std::slice::from_ref(&event)), Err(bad(message).of(&uuid)), "{event}");
    };
    assert!(pushed(Via::ApiKey, true, &[event(&[("item", json!("a.Z_9:-"))])]).is_ok());
    check(("uuid", json!("c232ab00-9414-11ec-b3c8-9f6bdeced846")), "UUID must be version 7");
    for item in ["a b", "a/b", "é", "a*"] {
        check(("item", json!(item)), "item may hold only letters, digits and . _ : -");
    }
    check(("action", json!("ed it")), "action may hold only letters, digits and . _ : -");
    for payload in ["", "[]", "7", "{", "{}}", "null"] {
        check(("payload", json!(payload)), "payload must be a JSON object");
    }
}

#[test]
fn versions_other_than_7_are_read_as_the_original_reads_them() {
    for uuid in ["c232ab00-9414-11ec-b3c8-9f6bdeced846", "1EC9414C-232A-6B00-B3C8-9F6BDECED846"] {
        for (timestamp, is_one) in [(1_645_557_742, true), (1_645_557_742_000_u64, true), (1_645_557_741, false)] {
            let event = event(&[("uuid", json!(uuid)), ("timestamp", json!(timestamp))]);
            assert_eq!(pushed(Via::ApiKey, false, &[event]).is_ok(), is_one, "{uuid} {timestamp}");
        }
    }
}

#[test]
fn what_is_sent_to_the_log() {
    let body =
        Value::from([event(&[]), event(&[("item", json!(".user.bob")), ("action", json!(CREATE_USER))])].to_vec());
    let (body, caller) = (body.to_string(), caller("ann", Via::ApiKey));
    let wire = wire::events(body.as_bytes()).unwrap();
    let mut push = Push::check(&wire, &caller, NOW, false).unwrap();
    let Submission { entries, weights } = push.submission();
    assert_eq!(entries[0].written_at.to_string(), "2023-11-14T22:13:20.000Z");
    assert_eq!(entries[0].key, EventId::read(&UUID.to_uppercase()).key());
    let is_same = [super::super::normal::is_same(&entries[0].payload, &entries[1].payload)];
    assert_eq!(is_same, [false]);
    assert_eq!(weights[0], Weight::default());
    let Some(Effect::AddIdentity(new)) = &weights[1].effect else { panic!("it makes somebody known") };
    assert_eq!((new.subject.as_str(), &new.username, &new.password), ("bob", &Username::Subject, &None));
    assert!(!weights[1].is_ruling);
}

#[test]
fn a_push_is_bounded() {
    let check = |event: Value, count: usize, expected: Option<&'static str>| {
        let came = pushed(Via::ApiKey, false, &vec![event; count]);
        assert_eq!(came.err(), expected.map(EventError::too_large), "{count}");
    };
    check(event(&[]), 10_000, None);
    check(event(&[]), 10_001, Some("10001 events at once: send at most 10000"));
    let user = || event(&[("item", json!(".user.bob")), ("action", json!(CREATE_USER))]);
    check(user(), 100, None);
    check(user(), 101, Some("101 users at once: make at most 100 in one push"));
}
