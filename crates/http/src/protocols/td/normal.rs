//! The normal form in which td's events are kept: what a pull sends of them, without their numbers.
//!
//! `"device_id":…,…,"client_timestamp":…}` lacks only its beginning, `{"server_seq":1,`, so that a pull splices what is
//! stored and reads none of it again.

use std::io::Write as _;

use tombolo_core::Digest;

use super::payload::Payload;
use super::timestamp::Timestamp;

/// The kinds of rows that td's clients know, and every name under which a client sends one.
const ENTITY_TYPES: [(&str, &[&str]); 15] = [
    ("issues", &["issue"]),
    ("handoffs", &["handoff"]),
    ("boards", &["board"]),
    ("logs", &["log"]),
    ("comments", &["comment"]),
    (WORK_SESSIONS, &["work_session"]),
    ("board_issue_positions", &["board_position"]),
    ("issue_dependencies", &["dependency"]),
    ("issue_files", &["file_link"]),
    ("work_session_issues", &["work_session_issue"]),
    ("notes", &["note"]),
    ("sessions", &["session"]),
    ("git_snapshots", &["git_snapshot"]),
    ("issue_session_history", &["issue_session_histories"]),
    ("issue_reviews", &["issue_review"]),
];
/// The names of these kinds of rows in their normal form.
pub(super) const ENTITY_TYPE_NAMES: [&str; ENTITY_TYPES.len()] = {
    let mut names = [""; ENTITY_TYPES.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = ENTITY_TYPES[n].0;
        n += 1;
    }
    names
};
/// The kind whose payloads say something of their writer's disk.
pub(super) const WORK_SESSIONS: &str = "work_sessions";

/// The kind of row that a client calls `text`, in any case; `None` for one that td's clients do not know.
pub(super) fn entity_type(text: &str) -> Option<&'static str> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    ENTITY_TYPES.iter().find(|(name, others)| is(name) || others.iter().any(|other| is(other))).map(|(name, _)| *name)
}

/// What is done to the row by what a client calls `text`. A name that nobody knows is an update, which makes no row and
/// takes none away.
pub(super) fn action(text: &str) -> &'static str {
    match text {
        "create" => return "create",
        "update" => return "update",
        "delete" => return "delete",
        "soft_delete" => return "soft_delete",
        "restore" => return "restore",
        _ => {}
    }
    match text.to_ascii_lowercase().as_str() {
        "handoff" | "add_dependency" | "link_file" | "board_create" | "board_update" | "board_add_issue"
        | "board_set_position" | "work_session_tag" => "create",
        "remove_dependency" | "unlink_file" | "board_delete" | "work_session_untag" | "review_delete" => "delete",
        // Only here: spelt in lower case it was taken as it is.
        "delete" | "board_unposition" | "board_remove_issue" => "soft_delete",
        _ => "update",
    }
}

/// An event, its names in their normal form.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    pub(super) device_id: &'a str,
    pub(super) session_id: &'a str,
    /// The row of the client's own journal; clones that share a device's id use the same numbers.
    pub(super) client_action_id: i64,
    pub(super) action: &'static str,
    pub(super) entity_type: &'static str,
    pub(super) entity_id: &'a str,
    pub(super) payload: Payload<'a>,
    pub(super) timestamp: Timestamp,
}

impl Event<'_> {
    /// What makes it this event and no other.
    ///
    /// The session does not count: it is that of whoever sends, and after a lost reply another may send the same again.
    pub(super) fn key(&self) -> Digest {
        let mut words = Vec::with_capacity(200);
        for text in [self.device_id, self.entity_type, self.entity_id, self.action] {
            // With its length before it, no text runs into the next one.
            words.extend_from_slice(&(text.len() as u64).to_be_bytes());
            words.extend_from_slice(text.as_bytes());
        }
        words.extend_from_slice(&self.client_action_id.to_be_bytes());
        words.extend_from_slice(&self.timestamp.moment.to_bytes());
        words.extend_from_slice(&self.payload.digest().to_bytes());
        Digest::of(&words)
    }

    /// What is stored of it.
    pub(super) fn stored(&self) -> Vec<u8> {
        let mut stored = begins(self.device_id);
        stored.reserve(self.payload.text().len() + 400);
        stored.extend_from_slice(br#""session_id":"#);
        quoted(&mut stored, self.session_id);
        // Writing to a vector cannot fail.
        let _ = write!(
            stored,
            r#","client_action_id":{},"action_type":"{}","entity_type":"{}","entity_id":"#,
            self.client_action_id, self.action, self.entity_type
        );
        quoted(&mut stored, self.entity_id);
        stored.extend_from_slice(br#","payload":"#);
        stored.extend_from_slice(self.payload.text().as_bytes());
        let _ = write!(stored, r#","client_timestamp":"{}"}}"#, self.timestamp.text);
        stored
    }
}

/// How every stored event of a device begins, and no other.
pub(super) fn begins(device_id: &str) -> Vec<u8> {
    let mut begin = br#""device_id":"#.to_vec();
    quoted(&mut begin, device_id);
    begin.push(b',');
    begin
}

/// Writes `text` as a JSON string.
fn quoted(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text can be written as JSON into memory");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_name_of_an_entity_type() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(entity_type(text), expected, "{text}");
        for (plural, singular) in [
            ("issues", "issue"),
            ("handoffs", "handoff"),
            ("boards", "board"),
            ("logs", "log"),
            ("comments", "comment"),
            ("work_sessions", "work_session"),
            ("work_session_issues", "work_session_issue"),
            ("notes", "note"),
            ("sessions", "session"),
            ("git_snapshots", "git_snapshot"),
            ("issue_session_history", "issue_session_histories"),
            ("issue_reviews", "issue_review"),
            ("board_issue_positions", "board_position"),
            ("issue_dependencies", "dependency"),
            ("issue_files", "file_link"),
        ] {
            for text in [plural, singular, &plural.to_ascii_uppercase(), &singular.to_ascii_uppercase()] {
                check(text, Some(plural));
            }
        }
        check("Issue", Some("issues"));
        for text in ["", "issue ", "task", "issuess", "schema_info", "sync_state", "dependencies", "board_positions"] {
            check(text, None);
        }
    }

    #[test]
    fn every_name_of_an_action() {
        let check = |text: &str, expected: &str| assert_eq!(action(text), expected, "{text}");
        for text in ["create", "update", "delete", "soft_delete", "restore"] {
            check(text, text);
        }
        for text in [
            "handoff",
            "add_dependency",
            "link_file",
            "board_create",
            "board_update",
            "board_add_issue",
            "board_set_position",
            "work_session_tag",
        ] {
            check(text, "create");
            check(&text.to_ascii_uppercase(), "create");
        }
        for text in ["remove_dependency", "unlink_file", "board_delete", "work_session_untag", "review_delete"] {
            check(text, "delete");
            check(&text.to_ascii_uppercase(), "delete");
        }
        for text in ["Delete", "DELETE", "board_unposition", "Board_Unposition", "board_remove_issue"] {
            check(text, "soft_delete");
        }
        for text in ["", "Create", "UPDATE", "Soft_Delete", "RESTORE", "start", "review", "close", "delete "] {
            check(text, "update");
        }
    }

    fn event<'a>(device_id: &'a str, session_id: &'a str, entity_id: &'a str, payload: &'a str) -> Event<'a> {
        Event {
            device_id,
            session_id,
            client_action_id: 7,
            action: "create",
            entity_type: "issues",
            entity_id,
            payload: Payload::parse(Some(payload), false).unwrap(),
            timestamp: Timestamp::parse("2026-01-01T10:00:00.50+09:00").unwrap(),
        }
    }

    #[test]
    fn what_is_stored_is_what_a_pull_sends_but_for_its_number() {
        let stored = event("d1", "s1", "td-1", r#"{"new_data":{"n":123456789012345678901}}"#).stored();
        assert_eq!(
            String::from_utf8(stored.clone()).unwrap(),
            r#""device_id":"d1","session_id":"s1","client_action_id":7,"action_type":"create","entity_type":"issues","entity_id":"td-1","payload":{"new_data":{"n":123456789012345678901}},"client_timestamp":"2026-01-01T10:00:00.5+09:00"}"#
        );
        assert!(stored.starts_with(&begins("d1")));
        assert!(!stored.starts_with(&begins("d")) && !stored.starts_with(&begins("")));
        // Whatever an id holds, it is one JSON string.
        let odd = "\"},{\\\n\u{0}\u{1f600}";
        let json = [br#"{"server_seq":1,"#, event(odd, odd, odd, "{}").stored().as_slice()].concat();
        let read: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!([&read["device_id"], &read["session_id"], &read["entity_id"]], [odd; 3]);
    }

    #[test]
    fn an_event_is_the_same_from_another_session_and_after_any_change_another() {
        let one = || event("d1", "s1", "td-1", r#"{"a":1,"b":2}"#);
        assert_eq!(one().key(), event("d1", "s2", "td-1", r#"{"b": 2, "a": 1}"#).key());
        // The same moment, written from another place.
        let timestamp = Timestamp::parse("2026-01-01T01:00:00.5Z").unwrap();
        assert_eq!(one().key(), Event { timestamp, ..one() }.key());
        let others = [
            event("d2", "s1", "td-1", r#"{"a":1,"b":2}"#),
            event("d1", "s1", "td-2", r#"{"a":1,"b":2}"#),
            event("d1", "s1", "td-1", r#"{"a":1,"b":3}"#),
            Event { client_action_id: -7, ..one() },
            Event { action: "update", ..one() },
            Event { entity_type: "logs", ..one() },
            Event { timestamp: Timestamp::parse("2026-01-01T10:00:00.5Z").unwrap(), ..one() },
        ];
        for other in &others {
            assert_ne!(one().key(), other.key(), "{other:?}");
        }
        assert_ne!(event("d", "s", "issuesx", "{}").key(), event("dissues", "s", "x", "{}").key());
    }
}
