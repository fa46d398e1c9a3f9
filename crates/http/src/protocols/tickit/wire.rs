//! Tickit's JSON, as its clients send it, and what of it becomes a write.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tombolo_core::{CollectionName, Instant, RecordKey, RecordName};
use tombolo_service::{Action, NamedBase, Refused, Write};
use uuid::Uuid;

use super::policy::{LIST, TAG, TASK};
use super::{due, limits, normal};

/// The body of a sync.
#[derive(Debug, Deserialize)]
pub(super) struct SyncRequest<'a> {
    #[serde(borrow)]
    pub(super) device_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) last_sync: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) changes: Changes<'a>,
}

/// The records of a sync, unread, so that a bad one is refused alone.
#[derive(Debug)]
pub(super) struct Changes<'a>(pub(super) Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Changes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Changes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut changes = Vec::new();
                while let Some(change) = list.next_element::<&'de RawValue>()? {
                    if changes.len() == limits::CHANGES_MAX {
                        return Err(A::Error::custom(format_args!("more than {} changes", limits::CHANGES_MAX)));
                    }
                    changes.push(change);
                }
                Ok(Changes(changes))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Any record: all fields of all types, unread.
#[derive(Deserialize)]
struct RecordWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    title: Option<&'a RawValue>,
    description: Option<&'a RawValue>,
    url: Option<&'a RawValue>,
    priority: Option<&'a RawValue>,
    completed: Option<&'a RawValue>,
    list_id: Option<&'a RawValue>,
    tag_ids: Option<&'a RawValue>,
    created_at: Option<&'a RawValue>,
    updated_at: Option<&'a RawValue>,
    completed_at: Option<&'a RawValue>,
    due_date: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    icon: Option<&'a RawValue>,
    color: Option<&'a RawValue>,
    is_inbox: Option<&'a RawValue>,
    sort_order: Option<&'a RawValue>,
    record_type: Option<&'a RawValue>,
    deleted_at: Option<&'a RawValue>,
    task_id: Option<&'a RawValue>,
    tag_id: Option<&'a RawValue>,
}

/// Why a record is refused: one sentence.
pub(super) type Reason = String;

/// Reads one record.
///
/// # Errors
/// What is wrong with it, for the reply and for the operator; never any of its content but its id and type.
pub(super) fn read(record: &RawValue) -> Result<Write, Refused> {
    let wire: RecordWire<'_> = match serde_json::from_str(record.get()) {
        Ok(wire) => wire,
        Err(error) => {
            let reason = if error.is_data() { "it is no JSON object of a record" } else { "it is no valid JSON" };
            return Err(Refused { record: String::new(), kind: String::new(), reason: reason.to_owned() });
        }
    };
    let write = match kind(&wire) {
        Ok(kind) => write(&wire, &kind),
        Err(reason) => Err(reason),
    };
    write.map_err(|reason| {
        let shown = |value: Option<&RawValue>| value.and_then(text_of).map_or(String::new(), |text| cut(&text));
        Refused { record: shown(wire.id.or(wire.task_id)), kind: shown(wire.kind), reason }
    })
}

/// Where a put may not be larger than what every reply can carry.
fn put(payload: Vec<u8>) -> Result<Action, Reason> {
    if payload.len() > limits::RECORD_BYTES_MAX {
        return Err(format!("it is larger than a reply can carry ({} bytes)", limits::RECORD_BYTES_MAX));
    }
    Ok(Action::Put(payload))
}

fn kind<'a>(wire: &RecordWire<'a>) -> Result<Cow<'a, str>, Reason> {
    wire.kind.and_then(text_of).ok_or_else(|| "type is missing".to_owned())
}

fn write(wire: &RecordWire<'_>, kind: &str) -> Result<Write, Reason> {
    match kind {
        "task" => task(wire),
        "list" => list(wire),
        "tag" => tag(wire),
        "task_tag" => task_tag(wire),
        "deleted" => deleted(wire),
        _ => Err("type is none of task, list, tag, task_tag and deleted".to_owned()),
    }
}

fn task(wire: &RecordWire<'_>) -> Result<Write, Reason> {
    let key = key(TASK, "id", wire.id)?;
    let priority = required("priority", wire.priority)?;
    if !matches!(priority.get(), r#""low""# | r#""medium""# | r#""high""# | r#""urgent""#) {
        return Err("priority is none of low, medium, high and urgent".to_owned());
    }
    let list_id = match required("list_id", wire.list_id)?.get() {
        // The phone says so when it has no list.
        r#""""# => b"null".to_vec(),
        _ => normal::quoted(&uuid("list_id", wire.list_id)?),
    };
    let payload = normal::write(
        normal::TASK,
        [
            &list_id,
            &uuids("tag_ids", wire.tag_ids)?,
            &string("title", wire.title)?,
            &optional_string("description", wire.description)?,
            &optional_string("url", wire.url)?,
            priority.get().as_bytes(),
            &boolean("completed", required("completed", wire.completed)?)?,
            &optional_instant("completed_at", wire.completed_at)?,
            &due_date(wire.due_date)?,
            &instant_json(instant("created_at", wire.created_at)?),
        ],
    );
    Ok(Write {
        key,
        action: put(payload)?,
        written_at: instant("updated_at", wire.updated_at)?,
        is_home: false,
        base: NamedBase::Unsaid,
    })
}

fn list(wire: &RecordWire<'_>) -> Result<Write, Reason> {
    let is_inbox = wire.is_inbox.map_or(Ok(b"false".to_vec()), |value| boolean("is_inbox", value))?;
    let sort_order: i32 = match wire.sort_order {
        Some(value) => {
            serde_json::from_str(value.get()).map_err(|_| "sort_order is no whole number of 32 bits".to_owned())?
        }
        None => 0,
    };
    let icon = wire.icon.map_or_else(|| Ok("\"📁\"".as_bytes().to_vec()), |_| string("icon", wire.icon))?;
    let payload = normal::write(
        normal::LIST,
        [
            &string("name", wire.name)?,
            &optional_string("description", wire.description)?,
            &icon,
            &optional_string("color", wire.color)?,
            &is_inbox,
            sort_order.to_string().as_bytes(),
            &instant_json(instant("created_at", wire.created_at)?),
        ],
    );
    let key = key(LIST, "id", wire.id)?;
    Ok(Write {
        key,
        action: put(payload)?,
        written_at: instant("updated_at", wire.updated_at)?,
        is_home: is_inbox == b"true",
        base: NamedBase::Unsaid,
    })
}

fn tag(wire: &RecordWire<'_>) -> Result<Write, Reason> {
    let created_at = instant("created_at", wire.created_at)?;
    let updated_at = wire.updated_at.map_or(Ok(created_at), |_| instant("updated_at", wire.updated_at))?;
    let values = [&*string("name", wire.name)?, &*string("color", wire.color)?, &*instant_json(created_at)];
    let action = put(normal::write(normal::TAG, values))?;
    Ok(Write { key: key(TAG, "id", wire.id)?, action, written_at: updated_at, is_home: false, base: NamedBase::Unsaid })
}

fn task_tag(wire: &RecordWire<'_>) -> Result<Write, Reason> {
    let action = Action::Attach { target: key(TAG, "tag_id", wire.tag_id)?, kind: "task_tag" };
    let written_at = instant("created_at", wire.created_at)?;
    Ok(Write { key: key(TASK, "task_id", wire.task_id)?, action, written_at, is_home: false, base: NamedBase::Unsaid })
}

fn deleted(wire: &RecordWire<'_>) -> Result<Write, Reason> {
    let of = required("record_type", wire.record_type)?;
    let collection = match of.get() {
        r#""task""# => TASK,
        r#""list""# => LIST,
        r#""tag""# => TAG,
        r#""task_tag""# => {
            return Err("a task_tag cannot be deleted by one id: send the task without the tag".to_owned());
        }
        _ => return Err("record_type is none of task, list and tag".to_owned()),
    };
    let written_at = instant("deleted_at", wire.deleted_at)?;
    Ok(Write {
        key: key(collection, "id", wire.id)?,
        action: Action::Delete,
        written_at,
        is_home: false,
        base: NamedBase::Unsaid,
    })
}

fn required<'a>(name: &str, value: Option<&'a RawValue>) -> Result<&'a RawValue, Reason> {
    value.ok_or_else(|| format!("{name} is missing"))
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    // Borrowed where nothing is escaped.
    let borrowed = serde_json::from_str::<&str>(value.get()).ok().map(Cow::Borrowed);
    borrowed.or_else(|| serde_json::from_str::<String>(value.get()).ok().map(Cow::Owned))
}

fn text<'a>(name: &str, value: Option<&'a RawValue>) -> Result<Cow<'a, str>, Reason> {
    text_of(required(name, value)?).ok_or_else(|| format!("{name} is no text"))
}

/// A JSON string, escaped in the one way of the normal form.
fn string(name: &str, value: Option<&RawValue>) -> Result<Vec<u8>, Reason> {
    match text(name, value)? {
        Cow::Borrowed(text) => Ok([b"\"", text.as_bytes(), b"\""].concat()),
        Cow::Owned(text) => serde_json::to_vec(&text).map_err(|_| format!("{name} is no text")),
    }
}

fn optional_string(name: &str, value: Option<&RawValue>) -> Result<Vec<u8>, Reason> {
    value.map_or_else(|| Ok(b"null".to_vec()), |_| string(name, value))
}

fn boolean(name: &str, value: &RawValue) -> Result<Vec<u8>, Reason> {
    match value.get() {
        word @ ("true" | "false") => Ok(word.as_bytes().to_vec()),
        _ => Err(format!("{name} is neither true nor false")),
    }
}

fn instant(name: &str, value: Option<&RawValue>) -> Result<Instant, Reason> {
    Instant::parse(&text(name, value)?).map_err(|error| format!("{name}: {error}"))
}

fn instant_json(instant: Instant) -> Vec<u8> {
    normal::quoted(&instant.to_string())
}

fn optional_instant(name: &str, value: Option<&RawValue>) -> Result<Vec<u8>, Reason> {
    value.map_or_else(|| Ok(b"null".to_vec()), |_| instant(name, value).map(instant_json))
}

/// A due date in the spelling in which it came: the phone shows its own.
fn due_date(value: Option<&RawValue>) -> Result<Vec<u8>, Reason> {
    let Some(value) = value else { return Ok(b"null".to_vec()) };
    let text = text_of(value).ok_or_else(|| "due_date is no text".to_owned())?;
    if text.is_empty() {
        return Ok(b"null".to_vec());
    }
    due::parse(&text).ok_or_else(|| "due_date is neither RFC 3339 nor YYYY-MM-DD".to_owned())?;
    Ok(normal::quoted(&text))
}

fn uuid(name: &str, value: Option<&RawValue>) -> Result<String, Reason> {
    parse_uuid(&text(name, value)?).ok_or_else(|| format!("{name} is no UUID"))
}

fn parse_uuid(text: &str) -> Option<String> {
    Uuid::try_parse(text).ok().map(|uuid| uuid.hyphenated().to_string())
}

fn uuids(name: &str, value: Option<&RawValue>) -> Result<Vec<u8>, Reason> {
    let Some(value) = value else { return Ok(b"[]".to_vec()) };
    let texts: Vec<Cow<'_, str>> =
        serde_json::from_str(value.get()).map_err(|_| format!("{name} is no list of texts"))?;
    let ids: Option<Vec<String>> = texts.iter().map(|text| parse_uuid(text)).collect();
    let ids = ids.ok_or_else(|| format!("{name} holds something that is no UUID"))?;
    Ok(normal::set(ids.iter().map(String::as_str)))
}

fn key(collection: CollectionName, name: &str, value: Option<&RawValue>) -> Result<RecordKey, Reason> {
    let id = RecordName::parse(&uuid(name, value)?).map_err(|error| format!("{name}: {error}"))?;
    Ok(RecordKey::new(collection, id))
}

/// A text of the client's, as the reply and the operator see it.
fn cut(text: &str) -> String {
    let printable = text.chars().filter(|letter| !letter.is_control());
    printable.take(tombolo_core::limits::RECORD_NAME_BYTES_MAX / 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8610d1b4-44a6-4c2a-9a39-4f4a4ac0d001";

    fn read_json(json: &str) -> Result<Write, Refused> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        read(&raw)
    }

    fn task(change: impl Fn(&mut serde_json::Value)) -> Result<Write, Refused> {
        let mut task = serde_json::json!({
            "type": "task", "id": ID, "title": "Milk", "description": null, "url": null, "priority": "high",
            "completed": false, "list_id": ID, "tag_ids": [], "created_at": "2026-11-20T23:53:42.655Z",
            "updated_at": "2026-11-20T23:53:43.166Z", "completed_at": null, "due_date": null
        });
        change(&mut task);
        read_json(&task.to_string())
    }

    #[test]
    fn a_task_in_its_normal_form() {
        let write =
            task(|task| task["tag_ids"] = serde_json::json!(["B610D1B4-44A6-4C2A-9A39-4F4A4AC0D001", ID])).unwrap();
        let Action::Put(payload) = write.action else { panic!("a task is put") };
        let expected = format!(
            r#"{{"list_id":"{ID}","tag_ids":["{ID}","b610d1b4-44a6-4c2a-9a39-4f4a4ac0d001"],"title":"Milk","description":null,"url":null,"priority":"high","completed":false,"completed_at":null,"due_date":null,"created_at":"2026-11-20T23:53:42.655Z"}}"#
        );
        assert_eq!(String::from_utf8(payload).unwrap(), expected);
    }

    #[test]
    fn a_bad_field_is_named() {
        let check = |field: &str, value: serde_json::Value, expected: &str| {
            let refused = task(|task| task[field] = value.clone()).unwrap_err();
            assert_eq!((refused.reason.as_str(), refused.record == ID || field == "id"), (expected, true));
        };
        check("id", "s1".into(), "id is no UUID");
        check("id", 7.into(), "id is no text");
        check("title", serde_json::Value::Null, "title is missing");
        check("title", 7.into(), "title is no text");
        check("priority", "Low".into(), "priority is none of low, medium, high and urgent");
        check("completed", "true".into(), "completed is neither true nor false");
        check("list_id", "x".into(), "list_id is no UUID");
        check("tag_ids", serde_json::json!(["x"]), "tag_ids holds something that is no UUID");
        check("tag_ids", serde_json::json!([7]), "tag_ids is no list of texts");
        check("updated_at", "zzz".into(), "updated_at: it is no RFC 3339 time, such as 2026-11-20T20:00:00.123Z");
        check("created_at", "9999-01-01T00:00:00Z".into(), "created_at: its year lies outside 1 to 9998");
        check("completed_at", "".into(), "completed_at: it is no RFC 3339 time, such as 2026-11-20T20:00:00.123Z");
        check("due_date", "tomorrow".into(), "due_date is neither RFC 3339 nor YYYY-MM-DD");
        check("type", "note".into(), "type is none of task, list, tag, task_tag and deleted");
        check("type", serde_json::Value::Null, "type is missing");
    }

    #[test]
    fn what_the_phone_leaves_out_is_filled_in() {
        assert!(task(|task| task["list_id"] = "".into()).is_ok());
        assert!(task(|task| task["due_date"] = "".into()).is_ok());
        assert!(task(|task| drop(task.as_object_mut().unwrap().remove("tag_ids"))).is_ok());
        let tag = read_json(&format!(
            r##"{{"type":"tag","id":"{ID}","name":"a","color":"#fff","created_at":"2026-01-01T00:00:00Z"}}"##
        ))
        .unwrap();
        assert_eq!(tag.written_at, Instant::parse("2026-01-01T00:00:00Z").unwrap());
        let list = read_json(&format!(
            r#"{{"type":"list","id":"{ID}","name":"a","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#
        ));
        let Action::Put(payload) = list.unwrap().action else { panic!("a list is put") };
        assert!(
            String::from_utf8(payload).unwrap().contains(r#""icon":"📁","color":null,"is_inbox":false,"sort_order":0"#)
        );
    }

    #[test]
    fn what_is_no_record_is_refused_alone() {
        for json in ["7", "[]", "null", "{}", r#"{"type":"task","type":"task"}"#, r#""text""#] {
            assert!(read_json(json).is_err(), "{json}");
        }
        let lone_surrogate = task(|_| ()).map(|_| ()).and_then(|()| {
            read_json(&format!(
                r##"{{"type":"tag","id":"{ID}","name":"\ud800","color":"#fff","created_at":"2026-01-01T00:00:00Z"}}"##
            ))
            .map(|_| ())
        });
        assert_eq!(lone_surrogate.unwrap_err().reason, "name is no text");
    }

    #[test]
    fn one_text_has_one_spelling() {
        let name = |name: &str| {
            let json = format!(
                r##"{{"type":"tag","id":"{ID}","name":"{name}","color":"#fff","created_at":"2026-01-01T00:00:00Z"}}"##
            );
            let Action::Put(payload) = read_json(&json).unwrap().action else { panic!("a tag is put") };
            payload
        };
        assert_eq!(name("é"), name(r"\u00e9"));
        assert_eq!(name("/"), name(r"\/"));
    }
}
