//! A push: what is checked of its events, in which order, and what is sent to the log.

use axum::http::StatusCode;
use tombolo_core::limits::ACL_TEXT_BYTES_MAX;
use tombolo_core::{Name, Purpose, ServerTime, limits::ENTRIES_MAX};
use tombolo_service::{Effect, NewEntry, NewIdentity, Rulebook, Submission, Username, Weight};

use super::caller::Caller;
use super::error::EventError;
use super::event_id::EventId;
use super::limits::{PAYLOAD_BYTES_MAX, USERS_PER_PUSH_MAX, UUID_BYTES_MAX};
use super::normal::Event;
use super::rules;
use super::timestamp::Timestamp;
use super::wire::{EventWire, Listed};

/// How names begin that are not for everybody.
const RESERVED: char = '.';
/// Makes somebody known: the one reserved action that a client may send.
pub(super) const CREATE_USER: &str = ".user.create";
/// How items begin that are users.
pub(super) const USER_ITEM: &str = ".user.";

/// The events of a push, each of which could be stored.
#[derive(Debug)]
pub(super) struct Push<'a> {
    caller: &'a Caller,
    events: Vec<Event<'a>>,
    entries: Vec<NewEntry>,
}

impl<'a> Push<'a> {
    /// Checks the events of a push, as far as that can be done without the rules. The first one at fault decides.
    pub(super) fn check(
        wire: &'a Listed<EventWire<'a>>,
        caller: &'a Caller,
        now: ServerTime,
        is_strict: bool,
    ) -> Result<Self, EventError> {
        if wire.count > ENTRIES_MAX {
            let message = format!("{} events at once: send at most {ENTRIES_MAX}", wire.count);
            return Err(EventError::too_large(message));
        }
        let users = wire.first.iter().filter(|event| event.action.0 == CREATE_USER).count();
        if users > USERS_PER_PUSH_MAX {
            let message = format!("{users} users at once: make at most {USERS_PER_PUSH_MAX} in one push");
            return Err(EventError::too_large(message));
        }
        // Of all events, before anything else of any.
        if let Some(event) = wire.first.iter().find(|event| is_rule(event)) {
            let message = "ACL events must be submitted via dedicated /api/v1/acl endpoint";
            return Err(EventError::bad_request(message).of(&event.uuid.0));
        }
        let (mut events, mut entries) = (Vec::with_capacity(wire.count), Vec::with_capacity(wire.count));
        for sent in &wire.first {
            let checked = if caller.is_first_generation() {
                check_first(sent, caller, now)?
            } else {
                check_today(sent, caller, now, is_strict).map_err(|error| error.of(&sent.uuid.0))?
            };
            entries.push(checked.1);
            events.push(checked.0);
        }
        Ok(Self { caller, events, entries })
    }

    pub(super) const fn count(&self) -> usize {
        self.events.len()
    }

    /// What is sent to the log.
    pub(super) fn submission(&mut self) -> Submission {
        let weight = |event| Weight { is_ruling: false, effect: new_user(event).map(Effect::AddIdentity) };
        let weights = self.events.iter().map(weight).collect();
        Submission { entries: std::mem::take(&mut self.entries), weights }
    }

    /// Whether the event at place `n` may be stored by the rules of `rulebook`.
    pub(super) fn judge(&self, rulebook: &Rulebook, n: usize) -> Result<(), EventError> {
        let event = &self.events[n];
        if !self.caller.may(rulebook, event.item, event.action) {
            return Err(EventError::forbidden());
        }
        if makes_user(event.item, event.action) {
            let is_reserved = event.item.strip_prefix(USER_ITEM).is_some_and(is_reserved);
            let error = if is_reserved { reserved } else { no_user };
            return new_user(event).map(drop).ok_or_else(error);
        }
        if is_internal(event.item, event.action) { Err(reserved()) } else { Ok(()) }
    }

    /// What is wrong with the event at place `n`.
    pub(super) fn refused(&self, n: usize, error: EventError) -> EventError {
        error.of(self.events[n].id.text)
    }
}

fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

fn makes_user(item: &str, action: &str) -> bool {
    action == CREATE_USER && (item.starts_with(USER_ITEM) || !is_reserved(item))
}

/// Whether an event that says this is written by the server alone, whatever the rules say.
pub(super) fn is_internal(item: &str, action: &str) -> bool {
    !makes_user(item, action) && (is_reserved(item) || is_reserved(action))
}

/// It bears a name that is not for everybody.
fn reserved() -> EventError {
    EventError::new(StatusCode::FORBIDDEN, "Cannot add internal events through this endpoint")
}

/// It makes a user of what can be none.
fn no_user() -> EventError {
    EventError::bad_request("item must be .user.<id>: an id has 1 to 100 bytes and no control characters")
}

fn is_rule(event: &EventWire<'_>) -> bool {
    event.item() == rules::ITEM && event.action.0.starts_with(rules::ACTIONS)
}

/// The user that an event makes.
fn new_user(event: &Event<'_>) -> Option<NewIdentity> {
    let id = event.item.strip_prefix(USER_ITEM).filter(|_| event.action == CREATE_USER)?;
    let subject = Name::parse(id).ok().filter(|_| !id.starts_with(RESERVED))?;
    Some(NewIdentity { purpose: Purpose::SimpleSync, subject, username: Username::Subject, password: None })
}

type Checked<'a> = (Event<'a>, NewEntry);

/// As the first generation did: any uuid, any time that is not too far ahead, and whoever sends it wrote it.
fn check_first<'a>(sent: &'a EventWire<'a>, caller: &'a Caller, now: ServerTime) -> Result<Checked<'a>, EventError> {
    let (uuid, item, action): (&str, &str, &str) = (&sent.uuid.0, sent.item(), &sent.action.0);
    if uuid.is_empty() || item.is_empty() || action.is_empty() {
        return Err(EventError::bad_request("Missing required fields"));
    }
    let timestamp = Timestamp(sent.timestamp.unwrap_or(0));
    let written_at = timestamp.moment(now).ok_or_else(|| EventError::bad_request("Invalid timestamp"))?;
    let user = caller.subject.as_str();
    let event = Event { id: EventId::read(uuid), timestamp, user, item, action, payload: &sent.payload.0 };
    bounded(&event).map_err(|error| error.of(uuid))?;
    Ok((event, NewEntry { key: event.id.key(), written_at, payload: event.stored() }))
}

/// As today: the time is the one that stands in the uuid.
fn check_today<'a>(
    sent: &'a EventWire<'a>,
    caller: &'a Caller,
    now: ServerTime,
    is_strict: bool,
) -> Result<Checked<'a>, EventError> {
    let id = EventId::read(&sent.uuid.0);
    if id.text.is_empty() {
        return Err(EventError::bad_request("UUID is required"));
    }
    if !id.is_uuid() {
        return Err(EventError::bad_request("UUID must be valid format"));
    }
    if is_strict && !id.is_v7() {
        return Err(EventError::bad_request("UUID must be version 7"));
    }
    let timestamp = Timestamp(sent.timestamp.unwrap_or(0));
    let written_at = timestamp.moment(now).filter(|_| id.millis().is_some_and(|millis| timestamp.is_of(millis)));
    let written_at = written_at.ok_or_else(|| EventError::bad_request("invalid timestamp"))?;
    let (user, item, action): (&str, &str, &str) = (sent.user(), sent.item(), &sent.action.0);
    for (field, text) in [("user", user), ("item", item), ("action", action)] {
        if text.is_empty() {
            return Err(EventError::bad_request(format!("{field} is required")));
        }
    }
    let event = Event { id, timestamp, user, item, action, payload: &sent.payload.0 };
    bounded(&event)?;
    if is_strict {
        strict(&event)?;
    }
    if user != caller.subject.as_str() {
        let message = "Cannot submit events for other users";
        return Err(EventError::new(StatusCode::FORBIDDEN, message));
    }
    Ok((event, NewEntry { key: id.key(), written_at, payload: event.stored() }))
}

fn bounded(event: &Event<'_>) -> Result<(), EventError> {
    let texts = [
        ("uuid", event.id.text, UUID_BYTES_MAX),
        ("item", event.item, ACL_TEXT_BYTES_MAX),
        ("action", event.action, ACL_TEXT_BYTES_MAX),
        ("payload", event.payload, PAYLOAD_BYTES_MAX),
    ];
    match texts.into_iter().find(|(_, text, bytes_max)| text.len() > *bytes_max) {
        Some((field, _, bytes_max)) => {
            Err(EventError::bad_request(format!("{field} is longer than {bytes_max} bytes")))
        }
        None => Ok(()),
    }
}

/// What the original's documents ask for, and its code does not.
fn strict(event: &Event<'_>) -> Result<(), EventError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    for (field, text) in [("user", event.user), ("item", event.item), ("action", event.action)] {
        if !text.bytes().all(is_plain) {
            return Err(EventError::bad_request(format!("{field} may hold only letters, digits and . _ : -")));
        }
    }
    let is_object = serde_json::from_str::<crate::json::Object<serde::de::IgnoredAny>>(event.payload).is_ok();
    if is_object { Ok(()) } else { Err(EventError::bad_request("payload must be a JSON object")) }
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
