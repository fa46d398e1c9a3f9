//! The normal form of a record's data: one text for one content.
//!
//! An object without space between its parts. The fields that are known come first, in the order of each kind's
//! table; an optional one that is not there is left out, and a `null` stays one; one that has a meaning
//! when it is not there is written with it (`"scale":7`). Members that are not known follow, sorted by name, with their
//! numbers as they were written and their strings escaped in one way. `metadata` comes last, with the time of creation
//! and whatever is not known in it, and not at all where it holds nothing: what else belongs there is the envelope's.
//! `id` is the envelope's too.
//!
//! Of a kind that is not known, all members are such. Data with a member `enc` are encrypted: they are kept as they came.

mod fields;
mod object;
mod present;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::checks::check;
use crate::rule::{Rule, write_unknown};
use crate::shape::{FIELDS_MAX, Presence, Shape};
use crate::text::respell;
use crate::walk::{DEPTH_MAX, Members, depth};
use crate::{EntityType, Invalid};

use object::Object;

pub use fields::{Field, fields, join, merge_set};
pub use present::{Envelope, present, present_to, without_created_at};

/// The field that every state of a record shares: two values of it never differ.
pub const CREATED_AT: &str = "created_at";
/// The one field of data that are encrypted.
pub const ENCRYPTED: &str = "enc";
/// The field of what is not known in the metadata; an object.
pub const METADATA: &str = "metadata";

/// Validates `data` and writes them in the normal form.
///
/// What is written is read again as the same text.
///
/// # Errors
/// [`Invalid`] names the field and the rule that it breaks.
pub fn normalise(kind: &EntityType, data: &RawValue) -> Result<String, Invalid> {
    normal_of(kind, data.get())
}

/// Whether `data`, of any kind, are encrypted: an object with a member `enc`.
#[must_use]
pub fn is_encrypted(data: &str) -> bool {
    Members::of(data).flatten().any(|(name, _)| spelt(name).as_deref() == Some(ENCRYPTED))
}

fn normal_of(kind: &EntityType, text: &str) -> Result<String, Invalid> {
    if depth(text) > DEPTH_MAX {
        return Err(Invalid::new("data", format!("must not be nested deeper than {DEPTH_MAX}")));
    }
    let members = sorted_out(text).ok_or_else(|| Invalid::new("data", "must be an object"))?;
    if members.iter().any(|(name, _)| name == ENCRYPTED) {
        return Ok(text.to_owned());
    }
    let mut out = Object::with_capacity(text.len() + 32);
    match Shape::of(kind) {
        Some(shape) => known(kind, shape, members, &mut out)?,
        None => unknown(members, &mut out)?,
    }
    Ok(out.end())
}

type Named<'a> = Vec<(Cow<'a, str>, &'a str)>;

/// The members of an object, their names spelt in one way.
fn sorted_out(text: &str) -> Option<Named<'_>> {
    Members::of(text).map(|member| member.and_then(|(name, value)| Some((spelt(name)?, value)))).collect()
}

fn spelt(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains('\\') {
        return Some(Cow::Borrowed(name));
    }
    let mut out = String::with_capacity(name.len());
    respell(name, &mut out)?;
    Some(Cow::Owned(out))
}

/// Writes the data of a kind that has fields.
fn known(kind: &EntityType, shape: &Shape, members: Named<'_>, out: &mut Object) -> Result<(), Invalid> {
    let mut given = [None; FIELDS_MAX];
    let mut metadata = None;
    let mut others = Vec::new();
    for (name, value) in members {
        let (slot, field) = match shape.place(&name) {
            Some(place) => (&mut given[place], shape.fields[place].name),
            None if name == METADATA => (&mut metadata, METADATA),
            // The envelope's counts.
            None if name == "id" => continue,
            None => {
                others.push((name, value));
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(Invalid::new(field, "is there twice, perhaps under two names"));
        }
    }
    let places = fields_of(shape, &given, out)?;
    check(kind, |name| {
        let place = shape.fields.iter().position(|field| field.name == name)?;
        places[place].clone().map(|place| &out.text[place])
    })?;
    unknown(others, out)?;
    metadata_of(metadata.filter(|value| *value != "null"), out)
}

/// Writes the known fields; where the values are that say something.
fn fields_of(
    shape: &Shape,
    given: &[Option<&str>; FIELDS_MAX],
    out: &mut Object,
) -> Result<[Option<Range<usize>>; FIELDS_MAX], Invalid> {
    let mut places = [const { None }; FIELDS_MAX];
    for (place, field) in shape.fields.iter().enumerate() {
        let value = given[place];
        let said = value.filter(|value| *value != "null");
        places[place] = match (said, field.presence) {
            (Some(said), _) => Some(out.member(field.name, |out| field.rule.write(field.name, said, out))?),
            (None, Presence::Default(text)) => Some(out.raw(field.name, text)),
            (None, Presence::Required) => return Err(Invalid::new(field.name, "is missing")),
            (None, Presence::Optional) => {
                if value.is_some() {
                    out.raw(field.name, "null");
                }
                None
            }
        };
    }
    Ok(places)
}

/// Writes members that are not known, sorted.
fn unknown(mut members: Named<'_>, out: &mut Object) -> Result<(), Invalid> {
    members.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    for (n, (name, value)) in members.iter().enumerate() {
        if n > 0 && members[n - 1].0 == *name {
            return Err(Invalid::new("data", "must not have a member twice"));
        }
        out.member(name, |out| write_unknown(value, out))?;
    }
    Ok(())
}

/// Writes what is kept of the metadata.
fn metadata_of(metadata: Option<&str>, out: &mut Object) -> Result<(), Invalid> {
    let Some(metadata) = metadata else {
        return Ok(());
    };
    let members = sorted_out(metadata).ok_or_else(|| Invalid::new(METADATA, "must be an object"))?;
    let mut kept = Object::with_capacity(metadata.len() + 8);
    let mut created_at = None;
    let mut others = Vec::new();
    for (name, value) in members {
        match &*name {
            CREATED_AT if created_at.replace(value).is_some() => {
                return Err(Invalid::new(CREATED_AT, "is there twice"));
            }
            // The envelope's count.
            CREATED_AT | "updated_at" | "deleted_at" => {}
            _ => others.push((name, value)),
        }
    }
    if let Some(value) = created_at.filter(|value| *value != "null") {
        kept.member(CREATED_AT, |out| Rule::Time.write(CREATED_AT, value, out))?;
    }
    unknown(others, &mut kept)?;
    if !kept.is_empty() {
        out.raw(METADATA, &kept.end());
    }
    Ok(())
}

/// The members of a text in the normal form: each name as JSON writes it, without its quotes, and its value.
///
/// `None` when `normal` is no such text.
#[must_use]
pub fn members(normal: &str) -> Option<Vec<(&str, &str)>> {
    Members::of(normal).collect()
}
