//! Tickit's wire, as its strictest client reads it, and a device that speaks it word by word.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Date, Duration, OffsetDateTime};

use crate::http::{Request, Response};
use crate::served::Served;
use crate::transcript::uuid;

/// The endpoint.
pub const SYNC: &str = "/api/v1/sync";
/// The most that the desktop reads of a reply.
pub const REPLY_BYTES_MAX: usize = 10_000_000;

/// A reply that the strictest client would take.
#[derive(Clone, Debug)]
pub struct Reply {
    /// As it was written.
    pub server_time: String,
    /// The records, as they came.
    pub changes: Vec<Value>,
    /// The ids of which an uploaded value did not survive.
    pub conflicts: Vec<String>,
    /// `(id, type, reason)` of each refused record.
    pub refused: Vec<(String, String, String)>,
    /// Whether there is more to fetch.
    pub more: bool,
    /// The size of the decoded body.
    pub bytes: usize,
}

impl Reply {
    /// The records of one type.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.changes.iter().filter(move |record| record["type"] == kind)
    }

    /// The record of this id, deletions included.
    #[must_use]
    pub fn record(&self, id: &str) -> Option<&Value> {
        self.changes.iter().find(|record| record["id"] == id)
    }

    /// The moment of its `server_time`.
    ///
    /// # Panics
    /// When it is none; [`read_strictly`] has seen that it is one.
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        parse_time(&self.server_time).expect("read strictly")
    }
}

/// Reads a reply as the desktop does: one record that it does not like, and it takes nothing of it.
///
/// # Errors
/// What the desktop would not like, and what all clients rely on: lists and tags before tasks, deletions last.
pub fn read_strictly(body: &[u8]) -> Result<Reply, String> {
    if body.len() > REPLY_BYTES_MAX {
        return Err(format!("{} bytes are more than the desktop reads", body.len()));
    }
    let reply: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let array = |key: &str| reply[key].as_array().cloned().ok_or_else(|| format!("{key} is no list"));
    let server_time = text(&reply, "server_time")?;
    if !(server_time.len() == 24 && server_time.ends_with('Z') && server_time.as_bytes()[19] == b'.') {
        return Err(format!("server_time {server_time} is not in milliseconds with Z"));
    }
    time(&reply, "server_time")?;
    let changes = array("changes")?;
    let mut last_rank = 0;
    for record in &changes {
        let rank = read_record(record).map_err(|error| format!("{error}: {record}"))?;
        if rank < last_rank {
            return Err(format!("out of order: {record}"));
        }
        last_rank = rank;
    }
    let mut conflicts = Vec::new();
    for id in array("conflicts")? {
        conflicts.push(is_uuid(&id).ok_or_else(|| format!("conflicts: {id} is no UUID"))?);
    }
    let mut refused = Vec::new();
    for one in array("refused")? {
        refused.push((text(&one, "id")?, text(&one, "type")?, text(&one, "reason")?));
    }
    let more = boolean(&reply, "more")?;
    Ok(Reply { server_time, changes, conflicts, refused, more, bytes: body.len() })
}

/// Reads one record, and returns its place in the order of types.
fn read_record(record: &Value) -> Result<u8, String> {
    uuid_of(record, "id")?;
    match text(record, "type")?.as_str() {
        "list" => {
            exactly(
                record,
                &["name", "description", "icon", "color", "is_inbox", "sort_order", "created_at", "updated_at"],
            )?;
            text(record, "name")?;
            text(record, "icon")?;
            optional_text(record, "description")?;
            optional_text(record, "color")?;
            boolean(record, "is_inbox")?;
            let order = record["sort_order"].as_i64().and_then(|order| i32::try_from(order).ok());
            order.ok_or("sort_order is no number of 32 bits")?;
            time(record, "created_at")?;
            time(record, "updated_at").map(|()| 0)
        }
        "tag" => {
            exactly(record, &["name", "color", "created_at", "updated_at"])?;
            text(record, "name")?;
            text(record, "color")?;
            time(record, "created_at")?;
            time(record, "updated_at").map(|()| 1)
        }
        "task" => read_task(record).map(|()| 2),
        "deleted" => {
            exactly(record, &["record_type", "deleted_at"])?;
            if !["task", "list", "tag"].contains(&text(record, "record_type")?.as_str()) {
                return Err("record_type is unknown".to_owned());
            }
            time(record, "deleted_at").map(|()| 3)
        }
        other => Err(format!("type {other} is unknown")),
    }
}

fn read_task(task: &Value) -> Result<(), String> {
    let keys = [
        "title",
        "description",
        "url",
        "priority",
        "completed",
        "list_id",
        "tag_ids",
        "created_at",
        "updated_at",
        "completed_at",
        "due_date",
    ];
    exactly(task, &keys)?;
    text(task, "title")?;
    optional_text(task, "description")?;
    optional_text(task, "url")?;
    if !["low", "medium", "high", "urgent"].contains(&text(task, "priority")?.as_str()) {
        return Err("priority is unknown".to_owned());
    }
    boolean(task, "completed")?;
    uuid_of(task, "list_id")?;
    for tag in task["tag_ids"].as_array().ok_or("tag_ids is no list")? {
        is_uuid(tag).ok_or("tag_ids holds something that is no UUID")?;
    }
    time(task, "created_at")?;
    time(task, "updated_at")?;
    if !task["completed_at"].is_null() {
        time(task, "completed_at")?;
    }
    match task["due_date"].as_str() {
        None if task["due_date"].is_null() => Ok(()),
        Some("") => Ok(()),
        Some(due) => {
            let day = time::macros::format_description!("[year]-[month]-[day]");
            let is_due = parse_time(due).is_some() || Date::parse(due, day).is_ok();
            is_due.then_some(()).ok_or_else(|| "due_date is no date".to_owned())
        }
        None => Err("due_date is no text".to_owned()),
    }
}

/// All of these keys besides `type` and `id`, and no others.
fn exactly(record: &Value, keys: &[&str]) -> Result<(), String> {
    let object = record.as_object().ok_or("it is no object")?;
    if let Some(missing) = keys.iter().find(|key| !object.contains_key(**key)) {
        return Err(format!("{missing} is missing"));
    }
    let extra = object.keys().find(|key| !keys.contains(&key.as_str()) && !["type", "id"].contains(&key.as_str()));
    extra.map_or(Ok(()), |extra| Err(format!("{extra} is unknown")))
}

fn text(object: &Value, key: &str) -> Result<String, String> {
    object[key].as_str().map(str::to_owned).ok_or_else(|| format!("{key} is no text"))
}

fn optional_text(object: &Value, key: &str) -> Result<(), String> {
    if object[key].is_null() || object[key].is_string() {
        Ok(())
    } else {
        Err(format!("{key} is neither text nor null"))
    }
}

fn boolean(object: &Value, key: &str) -> Result<bool, String> {
    object[key].as_bool().ok_or_else(|| format!("{key} is neither true nor false"))
}

fn time(object: &Value, key: &str) -> Result<(), String> {
    parse_time(&text(object, key)?).map(drop).ok_or_else(|| format!("{key} is no RFC 3339 time"))
}

fn uuid_of(object: &Value, key: &str) -> Result<(), String> {
    is_uuid(&object[key]).map(drop).ok_or_else(|| format!("{key} is no UUID"))
}

fn is_uuid(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let dashes = [8, 13, 18, 23];
    let fits = |(n, byte): (usize, u8)| if dashes.contains(&n) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_owned())
}

/// A moment as clients write it.
#[must_use]
pub fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// The machine's time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the process under test runs on the machine's clock")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A time so many seconds ago, as the phone writes it.
///
/// # Panics
/// When it lies before the first year.
#[must_use]
pub fn ago(seconds: i64) -> String {
    written(now() - Duration::seconds(seconds))
}

/// A moment as the phone writes it: UTC, milliseconds, `Z`.
///
/// # Panics
/// When its year has more than four digits.
#[must_use]
pub fn written(moment: OffsetDateTime) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment.format(format).expect("a year of four digits")
}

/// A task in `list`, all its other fields at their least.
#[must_use]
pub fn task(id: &str, title: &str, list: &str, updated_at: &str) -> Value {
    json!({
        "type": "task", "id": id, "title": title, "description": null, "url": null, "priority": "medium",
        "completed": false, "list_id": list, "tag_ids": [], "created_at": "2024-01-01T00:00:00.000Z",
        "updated_at": updated_at, "completed_at": null, "due_date": null
    })
}

/// A list.
#[must_use]
pub fn list(id: &str, name: &str, updated_at: &str) -> Value {
    json!({
        "type": "list", "id": id, "name": name, "description": null, "icon": "📋", "color": null, "is_inbox": false,
        "sort_order": 0, "created_at": "2024-01-01T00:00:00.000Z", "updated_at": updated_at
    })
}

/// A device's own inbox.
#[must_use]
pub fn inbox(id: &str, updated_at: &str) -> Value {
    let mut inbox = list(id, "Inbox", updated_at);
    inbox["is_inbox"] = true.into();
    inbox["icon"] = "📥".into();
    inbox["sort_order"] = (-1).into();
    inbox
}

/// A tag.
#[must_use]
pub fn tag(id: &str, name: &str, created_at: &str) -> Value {
    json!({
        "type": "tag", "id": id, "name": name, "color": "#f9e2af", "created_at": created_at, "updated_at": created_at
    })
}

/// A deletion.
#[must_use]
pub fn deleted(kind: &str, id: &str, at: &str) -> Value {
    json!({ "type": "deleted", "id": id, "record_type": kind, "deleted_at": at })
}

/// A record with one field changed, at a later time.
#[must_use]
pub fn edited(record: &Value, field: &str, value: impl Into<Value>, updated_at: &str) -> Value {
    let mut record = record.clone();
    record[field] = value.into();
    record["updated_at"] = updated_at.into();
    record
}

/// A device on the wire: it sends what it is told to, and remembers no more than its `last_sync`.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Its inbox.
    pub inbox: String,
    /// Its token.
    pub token: String,
    /// What it will present.
    pub last_sync: Option<String>,
}

impl Device {
    /// A device of this name that never synced.
    #[must_use]
    pub fn new(name: &str, token: &str) -> Self {
        let inbox = uuid(&format!("inbx of {name}"));
        Self { id: uuid(name), inbox, token: token.to_owned(), last_sync: None }
    }

    /// The request that brings `changes`.
    #[must_use]
    pub fn request(&self, changes: &[Value]) -> Request {
        let body = json!({ "device_id": self.id, "last_sync": self.last_sync, "changes": changes });
        Request::post(SYNC, body.to_string()).bearer(&self.token)
    }

    /// Sends `changes`, and forgets the reply, as if it were lost.
    pub fn send(&self, to: &Served, changes: &[Value]) -> Response {
        to.send(&self.request(changes))
    }

    /// Syncs: takes the reply as the strictest client does.
    ///
    /// # Panics
    /// When that one would not take it.
    pub fn sync(&mut self, with: &Served, changes: &[Value]) -> Reply {
        let response = self.send(with, changes);
        assert_eq!(response.status, 200, "{}", response.text());
        let reply = read_strictly(&response.body).unwrap_or_else(|error| panic!("{error}"));
        self.last_sync = Some(reply.server_time.clone());
        reply
    }

    /// The first sync, with its own inbox, as every client makes it.
    pub fn join(&mut self, with: &Served, changes: &[Value]) -> Reply {
        let own = inbox(&self.inbox, "2024-01-01T00:00:00.000Z");
        self.sync(with, &[changes, &[own]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(change: impl Fn(&mut Value)) -> Result<Reply, String> {
        let (id, at) = (uuid("x"), "2024-01-01T00:00:00.000Z");
        let mut reply = json!({
            "server_time": at, "conflicts": [id], "refused": [], "more": false,
            "changes": [list(&id, "Work", at), tag(&id, "soon", at), task(&id, "Milk", &id, at), deleted("task", &id, at)]
        });
        change(&mut reply);
        read_strictly(reply.to_string().as_bytes())
    }

    #[test]
    fn what_the_desktop_would_not_take_is_not_taken() {
        assert_eq!(reply(|_| ()).unwrap().changes.len(), 4);
        for (pointer, value) in [
            ("/server_time", json!("2024-01-01T00:00:00Z")),
            ("/server_time", json!("2024-01-01T00:00:00.000+00:00")),
            ("/conflicts", Value::Null),
            ("/conflicts/0", json!("s1")),
            ("/changes/0/icon", Value::Null),
            ("/changes/0/sort_order", json!(1_u64 << 31)),
            ("/changes/0/is_inbox", Value::Null),
            ("/changes/1/updated_at", Value::Null),
            ("/changes/2/id", json!("s1")),
            ("/changes/2/list_id", json!("")),
            ("/changes/2/priority", json!("Low")),
            ("/changes/2/tag_ids", Value::Null),
            ("/changes/2/completed", json!(1)),
            ("/changes/2/completed_at", json!("")),
            ("/changes/2/due_date", json!("tomorrow")),
            ("/changes/2/type", json!("note")),
            ("/changes/3/record_type", json!("task_tag")),
            ("/changes/3/deleted_at", json!("zzz")),
        ] {
            let refused = reply(|reply| *reply.pointer_mut(pointer).unwrap() = value.clone());
            assert!(refused.is_err(), "{pointer} = {value}");
        }
        for (record, key) in [(0, "color"), (1, "updated_at"), (2, "tag_ids"), (2, "due_date"), (3, "record_type")] {
            let missing = reply(|reply| drop(reply["changes"][record].as_object_mut().unwrap().remove(key)));
            assert!(missing.is_err(), "{record} without {key}");
        }
        assert!(reply(|reply| reply["changes"].as_array_mut().unwrap().swap(0, 2)).is_err(), "tasks before lists");
        assert!(reply(|reply| drop(reply.as_object_mut().unwrap().remove("conflicts"))).is_err());
    }
}
