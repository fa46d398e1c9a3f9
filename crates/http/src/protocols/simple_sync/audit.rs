//! Events that the server writes itself, of what was done with rules, users and keys. Everybody reads them.

use tombolo_core::{Env, Name};
use tombolo_service::{NewEntry, Submission, Weight};
use uuid::Uuid;

use super::event_id::{self, EventId};
use super::normal::Event;
use super::push::USER_ITEM;
use super::timestamp::Timestamp;

/// What an event says that tells nothing more than its action.
pub(super) const NOTHING: &str = "{}";

/// What was done.
pub(super) struct Deed<'a> {
    /// By whom.
    pub(super) by: &'a Name,
    pub(super) item: &'a str,
    pub(super) action: &'a str,
    pub(super) payload: &'a str,
}

impl Deed<'_> {
    /// The event that says so, with a uuid of its own.
    pub(super) fn entry(&self, env: &dyn Env) -> (Uuid, NewEntry) {
        let uuid = event_id::fresh(env);
        let text = uuid.to_string();
        let id = EventId::read(&text);
        let timestamp = Timestamp(id.millis().unwrap_or(0) / 1_000);
        let Self { by, item, action, payload } = *self;
        let event = Event { id, timestamp, user: by.as_str(), item, action, payload };
        let now = env.now();
        // A clock that stands before 1970 still has to be written down.
        let written_at = timestamp.moment(now).unwrap_or_else(|| now.to_instant());
        (uuid, NewEntry { key: id.key(), written_at, payload: event.stored() })
    }

    /// The event, and what it weighs.
    pub(super) fn submission(&self, env: &dyn Env, weight: Weight) -> (Uuid, Submission) {
        let (uuid, entry) = self.entry(env);
        (uuid, Submission { entries: vec![entry], weights: vec![weight] })
    }
}

/// The item that stands for a user.
pub(super) fn item_of(user: &Name) -> String {
    format!("{USER_ITEM}{user}")
}

#[cfg(test)]
mod tests {
    use tombolo_core::ServerTime;

    use super::*;

    struct Fixed;

    impl Env for Fixed {
        fn now(&self) -> ServerTime {
            ServerTime::from_micros(1_700_000_000_123_456)
        }

        fn fill_random(&self, bytes: &mut [u8]) {
            bytes.fill(0xa5);
        }

        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) {
            unreachable!("an event needs no thread");
        }
    }

    #[test]
    fn it_bears_a_uuid_of_now_in_whole_seconds() {
        let by = Name::parse("ann").unwrap();
        let deed = Deed { by: &by, item: ".user.bob", action: ".user.resetKey", payload: NOTHING };
        let (uuid, entry) = deed.entry(&Fixed);
        assert_eq!((uuid.get_version_num(), entry.key), (7, EventId::read(&uuid.to_string()).key()));
        assert_eq!(entry.written_at.to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(
            String::from_utf8(entry.payload).unwrap(),
            r#"{"uuid":"018bcfe5-687b-75a5-a5a5-a5a5a5a5a5a5","timestamp":1700000000,"user":"ann","item":".user.bob","action":".user.resetKey","payload":"{}"}"#
        );
    }
}
