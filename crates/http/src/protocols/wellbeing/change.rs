//! One change of an upload, as its device sends it, and the write that it becomes.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tombolo_core::{Instant, RecordKey, RecordVersion};
use tombolo_service::{Action, NamedBase, Refused, Write};
use tombolo_wellbeing::{EntityType, Timestamp, normal};
use uuid::Uuid;

use super::wire::text;
use super::{kinds, limits};
use crate::json::Object;

/// A change, unread.
#[derive(Deserialize)]
struct ChangeWire<'a> {
    #[serde(borrow)]
    entity_type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow)]
    deleted: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// `null` says something else than nothing.
    #[serde(borrow, default, deserialize_with = "said")]
    base: Option<&'a RawValue>,
}

fn said<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Why a change is refused: one sentence, which holds nothing of what it says.
type Reason = String;

/// Reads one change.
///
/// # Errors
/// What is wrong with it, for the answer and for the operator; never any of its content but its id and its kind.
pub(super) fn read(change: &RawValue) -> Result<Write, Refused> {
    let wire: ChangeWire<'_> = match serde_json::from_str(change.get()) {
        Ok(Object(wire)) => wire,
        Err(_) => {
            let reason = "it is no JSON object of a change, or a member is there twice".to_owned();
            return Err(Refused { record: String::new(), kind: String::new(), reason });
        }
    };
    write(&wire).map_err(|reason| {
        let shown = |value: Option<&RawValue>| value.and_then(text).map_or(String::new(), |text| cut(&text));
        Refused { record: shown(wire.id), kind: shown(wire.entity_type), reason }
    })
}

fn write(wire: &ChangeWire<'_>) -> Result<Write, Reason> {
    let kind = kind(wire.entity_type)?;
    let key = key(&kind, wire.id)?;
    let written_at = written_at(wire.updated_at)?;
    let action = action(&kind, wire)?;
    Ok(Write { key, action, written_at, is_home: false, base: base(wire.base)? })
}

fn kind(value: Option<&RawValue>) -> Result<EntityType, Reason> {
    let name = value.ok_or("entity_type is missing")?;
    let name = text(name).ok_or("entity_type is no text")?;
    // In the spelling in which we write it, it is found without making another of it.
    let known = EntityType::KNOWN.into_iter().find(|known| known.as_str() == name);
    known.map_or_else(|| name.parse().map_err(|error| format!("entity_type: {error}")), Ok)
}

fn key(kind: &EntityType, value: Option<&RawValue>) -> Result<RecordKey, Reason> {
    let id = value.ok_or("id is missing")?;
    let id = text(id).and_then(|id| Uuid::try_parse(&id).ok()).ok_or("id is no UUID")?;
    Ok(kinds::key(kind, id))
}

fn written_at(value: Option<&RawValue>) -> Result<Instant, Reason> {
    let at = value.ok_or("updated_at is missing")?;
    let at: Option<Timestamp> = serde_json::from_str(at.get()).ok();
    let at = at.and_then(|at| Instant::from_nanos(at.nanos()));
    Ok(at.ok_or("updated_at is no time such as 2026-11-20T20:00:00.123Z, with a year from 1 to 9998")?)
}

fn action(kind: &EntityType, wire: &ChangeWire<'_>) -> Result<Action, Reason> {
    let is_deleted = match wire.deleted.map(RawValue::get) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err("deleted is neither true nor false".to_owned()),
    };
    if is_deleted {
        return Ok(Action::Delete);
    }
    let data = wire.data.ok_or("data is missing: a change that deletes says so by deleted")?;
    let fits = |bytes: usize| match bytes {
        bytes if bytes > limits::RECORD_BYTES_MAX => {
            Err(format!("data is larger than {} bytes", limits::RECORD_BYTES_MAX))
        }
        _ => Ok(()),
    };
    fits(data.get().len())?;
    let payload = normal::normalise(kind, data).map_err(|invalid| invalid.to_string())?;
    // Spelt out, it may be longer than it came.
    fits(payload.len())?;
    Ok(Action::Put(payload.into_bytes()))
}

/// What a device says that it had in hand. A version that is none of ours, or of another server's, is that of nothing.
fn base(value: Option<&RawValue>) -> Result<NamedBase, Reason> {
    let Some(value) = value else { return Ok(NamedBase::Unsaid) };
    if value.get() == "null" {
        return Ok(NamedBase::Nothing);
    }
    let version = text(value).ok_or("base is neither a text nor null")?;
    Ok(RecordVersion::parse(&version).map_or(NamedBase::Nothing, NamedBase::Version))
}

/// A text of the client's, as the answer and the operator see it.
fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(limits::SHOWN_CHARS_MAX).collect()
}
