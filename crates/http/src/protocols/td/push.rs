//! A push: which of its events are sent to the log, and what is answered of each.

use std::fmt::Write as _;

use tombolo_service::{Appended, NewEntry};

use super::error::TdError;
use super::limits;
use super::normal::{self, Event};
use super::payload::Payload;
use super::timestamp::Timestamp;
use super::wire::{self, EventWire, PushWire};
use crate::Taken;

/// The events of a push, checked.
#[derive(Debug)]
pub(super) struct Push {
    /// What goes to the log.
    pub(super) entries: Vec<NewEntry>,
    fates: Vec<(i64, Fate)>,
}

/// What became of an event before the log was asked.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is the next of the entries.
    Sent,
    /// It is refused alone. The text is one sentence for the client's user.
    Refused(String),
}

impl Push {
    /// Reads the body of a push.
    ///
    /// # Errors
    /// Only what td's own server refuses as a whole, in its order and words: a client sends a refused batch again and
    /// again, so one bad event must not hold up the others.
    pub(super) fn parse(body: &[u8]) -> Result<Self, TdError> {
        let PushWire { device_id, session_id, events } = wire::json(body)?;
        for (name, id) in [("device_id", &device_id.0), ("session_id", &session_id.0)] {
            if id.is_empty() {
                return Err(TdError::bad_request(format!("{name} is required")));
            }
            if id.len() > limits::ID_BYTES_MAX {
                return Err(TdError::bad_request(format!("{name} is longer than {} bytes", limits::ID_BYTES_MAX)));
            }
        }
        if events.count == 0 {
            return Err(TdError::bad_request("events array is empty"));
        }
        if events.count > limits::PUSH_EVENTS_MAX {
            let (size, max) = (events.count, limits::PUSH_EVENTS_MAX);
            return Err(TdError::bad_request(format!("batch size {size} exceeds max {max}")));
        }
        let (mut entries, mut fates) = (Vec::with_capacity(events.count), Vec::with_capacity(events.count));
        for event in &events.first {
            let action_id = event.client_action_id.unwrap_or_default();
            match read(event, action_id, &device_id.0, &session_id.0)? {
                Ok(entry) => {
                    entries.push(entry);
                    fates.push((action_id, Fate::Sent));
                }
                Err(reason) => fates.push((action_id, Fate::Refused(reason))),
            }
        }
        Ok(Self { entries, fates })
    }

    /// How many events it brought.
    pub(super) const fn events_count(&self) -> usize {
        self.fates.len()
    }

    /// What became of them, when the log has said `appended` of the entries. A repeat is neither taken nor refused.
    pub(super) fn taken(&self, appended: &[Appended]) -> Taken {
        let accepted = appended.iter().filter(|one| matches!(one, Appended::New(_))).count();
        Taken { accepted, refused: self.fates.len() - appended.len() }
    }

    /// The answer, when the log has said `appended` of the entries.
    pub(super) fn reply(&self, appended: &[Appended]) -> String {
        let mut appended = appended.iter();
        let (mut accepted, mut acks, mut rejected) = (0, String::new(), String::new());
        // Writing to a text cannot fail.
        for (id, fate) in &self.fates {
            let outcome = match fate {
                Fate::Sent => appended.next(),
                Fate::Refused(reason) => {
                    let reason = serde_json::Value::from(reason.as_str());
                    let _ = write!(rejected, r#",{{"client_action_id":{id},"reason":{reason}}}"#);
                    continue;
                }
            };
            match outcome.expect("the log says what became of each entry") {
                Appended::New(seq) => {
                    accepted += 1;
                    let _ = write!(acks, r#",{{"client_action_id":{id},"server_seq":{seq}}}"#);
                }
                Appended::Repeat(seq) => {
                    let _ = write!(rejected, r#",{{"client_action_id":{id},"reason":"duplicate","server_seq":{seq}}}"#);
                }
            }
        }
        // What td's own server answers: null for no acknowledgement, nothing for no rejection.
        let acks = acks.get(1..).map_or_else(|| "null".to_owned(), |acks| format!("[{acks}]"));
        let rejected = rejected.get(1..).map_or_else(String::new, |rejected| format!(r#","rejected":[{rejected}]"#));
        format!(r#"{{"accepted":{accepted},"acks":{acks}{rejected}}}"#)
    }
}

/// Why an event is refused alone.
type Reason = String;

/// Reads one event. The outer error refuses the push, the inner one this event.
fn read(
    event: &EventWire<'_>,
    client_action_id: i64,
    device_id: &str,
    session_id: &str,
) -> Result<Result<NewEntry, Reason>, TdError> {
    let entity_type = normal::entity_type(&event.entity_type.0)
        .ok_or_else(|| TdError::bad_request(format!("invalid entity_type: {}", wire::echo(&event.entity_type.0))))?;
    let timestamp = Timestamp::parse(&event.client_timestamp.0)
        .ok_or_else(|| TdError::bad_request(format!("invalid timestamp for action {client_action_id}")))?;
    let entity_id = &*event.entity_id.0;
    if entity_id.is_empty() {
        return Ok(Err("empty entity_id".to_owned()));
    }
    if entity_id.len() > limits::ID_BYTES_MAX {
        return Ok(Err(format!("entity_id is longer than {} bytes", limits::ID_BYTES_MAX)));
    }
    let text = event.payload.map(serde_json::value::RawValue::get);
    let payload = match Payload::parse(text, entity_type == normal::WORK_SESSIONS) {
        Ok(payload) => payload,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let action = normal::action(&event.action_type.0);
    let written_at = timestamp.moment;
    let event = Event { device_id, session_id, client_action_id, action, entity_type, entity_id, payload, timestamp };
    Ok(Ok(NewEntry { key: event.key(), written_at, payload: event.stored() }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tombolo_core::Seq;

    use super::*;

    fn body(change: impl Fn(&mut Value)) -> Vec<u8> {
        let mut body = json!({"device_id": "d1", "session_id": "s1", "events": [{
            "client_action_id": 1, "action_type": "create", "entity_type": "issue", "entity_id": "td-1",
            "payload": {"schema_version": 1, "new_data": {"title": "Milk"}, "previous_data": {}},
            "client_timestamp": "2026-11-20T23:52:43Z"
        }]});
        change(&mut body);
        body.to_string().into_bytes()
    }

    #[test]
    fn what_refuses_the_whole_push() {
        let check = |change: &dyn Fn(&mut Value), expected: &str| {
            let error = format!("{:?}", Push::parse(&body(change)).unwrap_err());
            assert!(error.contains("400") && error.contains("\"bad_request\""), "{error}");
            assert!(error.contains(&format!("message: \"{expected}")), "{error}");
        };
        let event =
            |field: &'static str, value: Value| move |body: &mut Value| body["events"][0][field] = value.clone();
        check(&|body| body["events"] = json!(7), "invalid json body");
        check(&event("client_action_id", json!(1.5)), "invalid json body");
        check(&|body| body["device_id"] = Value::Null, "device_id is required");
        check(&|body| body["device_id"] = json!("x".repeat(201)), "device_id is longer than 200 bytes");
        check(&|body| body["session_id"] = json!(""), "session_id is required");
        check(&|body| body["session_id"] = json!("x".repeat(201)), "session_id is longer than 200 bytes");
        check(&|body| body["events"] = json!([]), "events array is empty");
        check(&|body| body["events"] = Value::Null, "events array is empty");
        check(&|body| drop(body.as_object_mut().unwrap().remove("events")), "events array is empty");
        check(
            &|body| body["events"] = vec![body["events"][0].clone(); 1_001].into(),
            "batch size 1001 exceeds max 1000",
        );
        check(&event("entity_type", json!("task")), "invalid entity_type: task");
        check(&event("entity_type", Value::Null), "invalid entity_type: ");
        check(&event("client_timestamp", json!("yesterday")), "invalid timestamp for action 1");
        check(&event("client_timestamp", Value::Null), "invalid timestamp for action 1");
        // In this order, whatever else is wrong.
        let all_wrong = |body: &mut Value| {
            *body = json!({"events": [{"entity_type": "task", "client_timestamp": 7, "client_action_id": 1.5}]});
        };
        check(&all_wrong, "invalid json body");
        check(&|body| *body = json!({"session_id": "", "events": []}), "device_id is required");
        check(&|body| *body = json!({"device_id": "d", "events": []}), "session_id is required");
        check(&|body| body["events"] = vec![json!({"entity_type": "x"}); 1_001].into(), "batch size 1001");
    }

    #[test]
    fn what_refuses_one_event_and_not_the_others() {
        let check = |field: &str, value: Option<Value>, expected: &str| {
            let push = Push::parse(&body(|body| {
                let mut other = body["events"][0].clone();
                other["client_action_id"] = json!(2);
                match &value {
                    Some(value) => body["events"][0][field] = value.clone(),
                    None => drop(body["events"][0].as_object_mut().unwrap().remove(field)),
                }
                body["events"].as_array_mut().unwrap().push(other);
            }))
            .unwrap();
            assert_eq!(push.entries.len(), 1, "{expected}");
            let reply: Value = serde_json::from_str(&push.reply(&[Appended::New(Seq::new(5))])).unwrap();
            let expected = json!({"accepted": 1, "acks": [{"client_action_id": 2, "server_seq": 5}],
                "rejected": [{"client_action_id": 1, "reason": expected}]});
            assert_eq!(reply, expected);
        };
        check("entity_id", Some(json!("")), "empty entity_id");
        check("entity_id", None, "empty entity_id");
        check("entity_id", Some(json!("x".repeat(201))), "entity_id is longer than 200 bytes");
        check("payload", None, "payload is missing: it must be a JSON object");
        check("payload", Some(Value::Null), "payload is null: it must be a JSON object");
        check("payload", Some(json!("{}")), "payload is a string: it must be a JSON object");
        check("payload", Some(json!([])), "payload is an array: it must be a JSON object");
        check("payload", Some(json!(7)), "payload is a number: it must be a JSON object");
        check("payload", Some(json!(false)), "payload is a boolean: it must be a JSON object");
        let mut deep = json!({});
        (0..100).for_each(|_| deep = json!({"a": deep.take()}));
        check("payload", Some(deep), "payload is nested deeper than 100 levels");
    }

    #[test]
    fn an_event_goes_to_the_log_in_its_normal_form() {
        let push = Push::parse(&body(|body| {
            body["events"][0]["action_type"] = json!("board_add_issue");
            body["events"][0]["entity_type"] = json!("WORK_SESSION");
            body["events"][0]["payload"] = json!({"new_data": {"id": "ws-1", "repo_root": "/home/ann"}});
            body["events"][0]["client_timestamp"] = json!("2026-11-20T23:52:43.500+01:00");
        }));
        let entry = push.unwrap().entries.remove(0);
        assert_eq!(
            String::from_utf8(entry.payload).unwrap(),
            r#""device_id":"d1","session_id":"s1","client_action_id":1,"action_type":"create","entity_type":"work_sessions","entity_id":"td-1","payload":{"new_data":{"id":"ws-1"}},"client_timestamp":"2026-11-20T23:52:43.5+01:00"}"#
        );
        assert_eq!(entry.written_at.to_string(), "2026-11-20T22:52:43.500Z");
    }

    #[test]
    fn acknowledgements_come_in_the_order_of_the_events() {
        let push = Push::parse(&body(|body| {
            let one = body["events"][0].clone();
            body["events"] = (1..=4)
                .map(|id| {
                    let mut event = one.clone();
                    event["client_action_id"] = json!(id);
                    event
                })
                .collect();
            body["events"][2]["entity_id"] = json!("");
        }))
        .unwrap();
        let (new, repeat) = (|seq| Appended::New(Seq::new(seq)), |seq| Appended::Repeat(Seq::new(seq)));
        let taken = push.taken(&[new(8), repeat(3), new(9)]);
        assert_eq!((push.events_count(), taken), (4, Taken { accepted: 2, refused: 1 }));
        assert_eq!(
            push.reply(&[new(8), repeat(3), new(9)]),
            r#"{"accepted":2,"acks":[{"client_action_id":1,"server_seq":8},{"client_action_id":4,"server_seq":9}],"rejected":[{"client_action_id":2,"reason":"duplicate","server_seq":3},{"client_action_id":3,"reason":"empty entity_id"}]}"#
        );
        let push = Push::parse(&body(|_| {})).unwrap();
        assert_eq!(push.reply(&[new(1)]), r#"{"accepted":1,"acks":[{"client_action_id":1,"server_seq":1}]}"#);
        assert_eq!(
            push.reply(&[repeat(1)]),
            r#"{"accepted":0,"acks":null,"rejected":[{"client_action_id":1,"reason":"duplicate","server_seq":1}]}"#
        );
    }

    #[test]
    fn a_number_in_a_payload_is_not_rounded() {
        let text = r#"{"device_id":"d","session_id":"s","events":[{"client_action_id":1,"entity_type":"issues",
            "entity_id":"a","payload":{"n":9007199254740993,"x":1.10},"client_timestamp":"2026-01-01T00:00:00Z"}]}"#;
        let entry = Push::parse(text.as_bytes()).unwrap().entries.remove(0);
        assert!(String::from_utf8(entry.payload).unwrap().contains(r#""payload":{"n":9007199254740993,"x":1.10}"#));
    }
}
