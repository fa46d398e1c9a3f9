//! How an event is kept: as the text that today's clients are sent.
//!
//! The first generation's is made of it by replacing two keys. They are found by what cannot stand inside a JSON string:
//! a quote that directly follows a comma.

use tombolo_service::Form;

use super::event_id::EventId;
use super::timestamp::Timestamp;

const TIMESTAMP: &[u8] = br#","timestamp":"#;
const USER: &[u8] = br#","user":""#;
const USER_UUID: &[u8] = br#","userUuid":""#;
const ITEM: &[u8] = br#","item":""#;
const ITEM_UUID: &[u8] = br#","itemUuid":""#;

/// An event that may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) id: EventId<'a>,
    pub(super) timestamp: Timestamp,
    pub(super) user: &'a str,
    pub(super) item: &'a str,
    pub(super) action: &'a str,
    pub(super) payload: &'a str,
}

impl Event<'_> {
    /// What is stored.
    pub(super) fn stored(&self) -> Vec<u8> {
        let texts = [self.id.text, self.user, self.item, self.action, self.payload];
        let mut stored = Vec::with_capacity(texts.iter().map(|text| text.len()).sum::<usize>() + 110);
        stored.extend_from_slice(br#"{"uuid":"#);
        quoted(&mut stored, self.id.text);
        stored.extend_from_slice(TIMESTAMP);
        stored.extend_from_slice(self.timestamp.0.to_string().as_bytes());
        for (key, text) in
            [("user", self.user), ("item", self.item), ("action", self.action), ("payload", self.payload)]
        {
            stored.extend_from_slice(b",\"");
            stored.extend_from_slice(key.as_bytes());
            stored.extend_from_slice(b"\":");
            quoted(&mut stored, text);
        }
        stored.push(b'}');
        stored
    }
}

/// Writes a stored event in a form behind what is there already.
pub(super) fn write(stored: &[u8], form: Form, out: &mut Vec<u8>) {
    let mut rest = stored;
    if form == Form::First {
        for (key, of_first) in [(USER, USER_UUID), (ITEM, ITEM_UUID)] {
            if let Some((before, after)) = split_at(rest, key) {
                out.extend_from_slice(before);
                out.extend_from_slice(of_first);
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
}

/// Whether two stored events of the same uuid are the same, however uuid and timestamp are spelt.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let parts = |stored| {
        let (_, rest) = split_at(stored, TIMESTAMP)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let timestamp = Timestamp::parse(std::str::from_utf8(&rest[..digits]).ok()?)?;
        Some((timestamp.millis(), &rest[digits..]))
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// What stands before and behind the first `key`.
fn split_at<'s>(text: &'s [u8], key: &[u8]) -> Option<(&'s [u8], &'s [u8])> {
    let place = text.windows(key.len()).position(|window| window == key)?;
    Some((&text[..place], &text[place + key.len()..]))
}

/// Writes `text` as a JSON string.
fn quoted(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text can be written as JSON into memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event<'a>(uuid: &'a str, timestamp: u64, texts: [&'a str; 4]) -> Event<'a> {
        let [user, item, action, payload] = texts;
        Event { id: EventId::read(uuid), timestamp: Timestamp(timestamp), user, item, action, payload }
    }

    fn shown(stored: &[u8], form: Form) -> String {
        let mut out = b"[".to_vec();
        write(stored, form, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_in_both_forms() {
        let stored = event("u\"1", 1_700_000_000, ["ann", "task.1", "edit", r#"{"a":"b"}"#]).stored();
        assert_eq!(
            shown(&stored, Form::Today),
            r#"[{"uuid":"u\"1","timestamp":1700000000,"user":"ann","item":"task.1","action":"edit","payload":"{\"a\":\"b\"}"}"#
        );
        assert_eq!(
            shown(&stored, Form::First),
            r#"[{"uuid":"u\"1","timestamp":1700000000,"userUuid":"ann","itemUuid":"task.1","action":"edit","payload":"{\"a\":\"b\"}"}"#
        );
    }

    proptest! {
        #[test]
        fn whatever_an_event_holds_comes_back_in_both_forms(
            texts in prop::collection::vec("[a,:\"\\\\{}]{0,4}(,\"(user|item|timestamp)\":\")?.{0,6}", 5), timestamp: u64
        ) {
            let [uuid, user, item, action, payload] = [0, 1, 2, 3, 4].map(|n| texts[n].as_str());
            let stored = event(uuid, timestamp, [user, item, action, payload]).stored();
            let read = |form| serde_json::from_str::<Value>(&shown(&stored, form)[1..]).unwrap();
            let today = json!({"uuid": uuid, "timestamp": timestamp, "user": user, "item": item, "action": action, "payload": payload});
            let first = json!({"uuid": uuid, "timestamp": timestamp, "userUuid": user, "itemUuid": item, "action": action, "payload": payload});
            prop_assert_eq!(read(Form::Today), today);
            prop_assert_eq!(read(Form::First), first);
        }
    }

    #[test]
    fn what_is_the_same_event() {
        let texts = ["ann", "task.1", "edit", "{}"];
        let one = event("018bcfe5-687b-7abc-8def-0123456789ab", 1_700_000_000, texts).stored();
        let check = |other: Event<'_>, expected: bool| {
            assert_eq!(is_same(&one, &other.stored()), expected, "{other:?}");
            assert_eq!(is_same(&other.stored(), &one), expected, "{other:?}");
        };
        check(event("018BCFE5-687B-7ABC-8DEF-0123456789AB", 1_700_000_000, texts), true);
        check(event("{018bcfe5-687b-7abc-8def-0123456789ab}", 1_700_000_000_000, texts), true);
        check(event("018bcfe5-687b-7abc-8def-0123456789ab", 1_700_000_000_001, texts), false);
        check(event("018bcfe5-687b-7abc-8def-0123456789ab", 1_700_000_001, texts), false);
        for n in 0..4 {
            let mut others = texts;
            others[n] = "other";
            check(event("018bcfe5-687b-7abc-8def-0123456789ab", 1_700_000_000, others), false);
        }
        assert!(is_same(b"strange", b"strange") && !is_same(b"strange", &one));
    }
}
