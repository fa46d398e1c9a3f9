//! A local-first app that keeps a history of events, and syncs it as simple-sync's documents say: take the server's
//! history, push what is only here, put the answer in the place of what was here.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::http::Response;
use crate::simple_sync::Participant;

/// Today's names of an event's fields, and those of the first generation, which who signs in with a password speaks.
const NAMES: [(&str, &str); 2] = [("user", "userUuid"), ("item", "itemUuid")];

/// An app of one person on one device.
#[derive(Clone, Debug)]
pub struct EventApp {
    /// Whose events it records.
    pub who: Participant,
    /// Where it finds the server.
    pub server: SocketAddr,
    /// The server's history as it was last seen.
    history: Vec<Value>,
    /// What was recorded here and is not in it.
    pending: Vec<Value>,
    /// What the server will not have, and why.
    refused: Vec<(Value, String)>,
}

impl EventApp {
    /// An app that has synced nothing yet.
    #[must_use]
    pub fn new(who: Participant, server: SocketAddr) -> Self {
        Self { who, server, history: Vec::new(), pending: Vec::new(), refused: Vec::new() }
    }

    /// Records an event, whether or not there is a server, and returns its uuid.
    ///
    /// # Panics
    /// Never: an event has a uuid.
    pub fn record(&mut self, item: &str, action: &str, payload: &Value) -> String {
        let mut event = self.who.event(item, action);
        event["payload"] = payload.to_string().into();
        let uuid = uuid_of(&event).to_owned();
        self.pending.push(event);
        uuid
    }

    /// Syncs once, as far as it gets.
    ///
    /// # Errors
    /// When a reply was lost: it is known only at the next try what became of it.
    ///
    /// # Panics
    /// When the server answers what no app could make sense of.
    #[expect(clippy::panic_in_result_fn, reason = "a lost reply is an outcome, and a wrong one a test that fails")]
    pub fn sync(&mut self) -> io::Result<()> {
        let answer = self.who.request("GET", self.path(), &Value::Null).send(self.server)?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.replace(&answer);
        while !self.pending.is_empty() {
            let answer = self.who.request("POST", self.path(), &self.batch()).send(self.server)?;
            match answer.status {
                200 => self.replace(&answer),
                400..500 => self.give_up_on(&answer),
                status => return Err(io::Error::other(format!("status {status}: {}", answer.text()))),
            }
        }
        Ok(())
    }

    /// What the next push would bring, as this app's generation writes it.
    #[must_use]
    pub fn batch(&self) -> Value {
        let spelt = |event: &Value| if self.who.has_session() { renamed(event, NAMES) } else { event.clone() };
        self.pending.iter().map(spelt).collect()
    }

    /// What the app shows, in today's spelling: the history with what is only here behind it.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.history.iter().chain(&self.pending).cloned().collect()
    }

    /// The uuids of what the server would not have, each with its reason.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, String)> {
        self.refused.iter().map(|(event, why)| (uuid_of(event).to_owned(), why.clone())).collect()
    }

    /// The path of its generation.
    const fn path(&self) -> &'static str {
        if self.who.has_session() { "/events" } else { "/api/v1/events" }
    }

    fn replace(&mut self, answer: &Response) {
        let history = answer.json();
        let history = history.as_array().expect("a history is a list");
        let first = NAMES.map(|(today, first)| (first, today));
        let read = |event: &Value| if self.who.has_session() { renamed(event, first) } else { event.clone() };
        self.history = history.iter().map(read).collect();
        let known: HashSet<&str> = self.history.iter().map(uuid_of).collect();
        self.pending.retain(|event| !known.contains(uuid_of(event)));
    }

    /// An event that is refused for good must not hold up the others: it is named.
    fn give_up_on(&mut self, answer: &Response) {
        let said = answer.json();
        let named = self.pending.iter().position(|event| event["uuid"] == said["eventUuid"]);
        let named = named.unwrap_or_else(|| panic!("{} names none of what was sent: {said}", answer.status));
        let event = self.pending.remove(named);
        self.refused.push((event, said["error"].as_str().unwrap_or_default().to_owned()));
    }
}

/// What tells an event apart from others.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn uuid_of(event: &Value) -> &str {
    event["uuid"].as_str().expect("an event has a uuid")
}

fn renamed(event: &Value, names: [(&str, &str); 2]) -> Value {
    let mut event = event.as_object().expect("an event is an object").clone();
    for (from, to) in names {
        let value = event.remove(from).unwrap_or_else(|| panic!("an event without {from}"));
        event.insert(to.to_owned(), value);
    }
    Value::Object(event)
}
