//! The normal form taken apart and put together, for merging.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::Object;
use super::{CREATED_AT, ENCRYPTED, METADATA, is_encrypted, normalise};
use crate::EntityType;
use crate::rule::{Rule, merged_set};
use crate::shape::Shape;
use crate::walk::Members;

/// A field's name, and its value.
pub type Field<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What is merged apart.
///
/// | kind | goes as one | as |
/// | --- | --- | --- |
/// | assessment | type, score, severity, status, responses | `answers` |
/// | mood | value, scale | `value` |
/// | goal | activity, group | `goal_of` |
/// | goal | type, target | `goal_type` |
/// | schedule | frequency, its days | `frequency` |
/// | each | all that is encrypted | [`ENCRYPTED`] |
/// | each that is known | the time of creation | [`CREATED_AT`] |
/// | each that is known | the rest of the metadata | [`METADATA`] |
///
/// Other fields that are known stand for themselves, under their names. Members that are not known go under their names
/// as JSON writes them, with the quotes: so none is taken for another.
///
/// `None` when `normal` is not in the normal form of its kind.
#[must_use]
pub fn fields<'a>(kind: &EntityType, normal: &'a str) -> Option<Vec<Field<'a>>> {
    if is_encrypted(normal) {
        return Some(vec![(Cow::Borrowed(ENCRYPTED), Cow::Borrowed(normal))]);
    }
    let shape = Shape::of(kind);
    let mut fields: Vec<Field<'a>> = Vec::new();
    let mut walk = Members::of(normal);
    // Where the group that is being read begins.
    let mut group: Option<(&'static str, usize)> = None;
    loop {
        // Behind the brace or the comma.
        let start = walk.at() + 1;
        let Some(member) = walk.next() else {
            return Some(fields);
        };
        let (name, value) = member?;
        let place = shape.and_then(|shape| shape.fields.iter().position(|field| field.name == name));
        match shape.zip(place).map(|(shape, place)| shape.part(place)) {
            Some((group_name, true)) => match group {
                Some((open, since)) if open == group_name => {
                    fields.last_mut()?.1 = Cow::Borrowed(normal.get(since..walk.at())?);
                }
                _ => {
                    group = Some((group_name, start));
                    fields.push((Cow::Borrowed(group_name), Cow::Borrowed(normal.get(start..walk.at())?)));
                }
            },
            Some((field_name, false)) => fields.push((Cow::Borrowed(field_name), Cow::Borrowed(value))),
            None if shape.is_some() && name == METADATA => metadata_fields(value, &mut fields)?,
            None => fields.push((Cow::Owned(format!("\"{name}\"")), Cow::Borrowed(value))),
        }
    }
}

fn metadata_fields<'a>(metadata: &'a str, fields: &mut Vec<Field<'a>>) -> Option<()> {
    let mut others = Object::with_capacity(metadata.len());
    for member in Members::of(metadata) {
        let (name, value) = member?;
        if name == CREATED_AT {
            fields.push((Cow::Borrowed(CREATED_AT), Cow::Borrowed(value)));
        } else {
            others.raw(name, value);
        }
    }
    if !others.is_empty() {
        fields.push((Cow::Borrowed(METADATA), Cow::Owned(others.end())));
    }
    Some(())
}

/// Puts fields together again, in whatever order they come; an empty value is that of a field that is not there.
///
/// `None` when the result is not valid, or when encrypted data and plain fields are mixed.
#[must_use]
pub fn join(kind: &EntityType, fields: &[(&str, &str)]) -> Option<String> {
    let there = || fields.iter().copied().filter(|(_, value)| !value.is_empty());
    if let Some((_, data)) = there().find(|(name, _)| *name == ENCRYPTED) {
        let is_alone = there().count() == 1 && is_encrypted(data);
        return if is_alone { checked(kind, data) } else { None };
    }
    let shape = Shape::of(kind);
    let mut data = Object::with_capacity(there().map(|(name, value)| name.len() + value.len() + 8).sum());
    let mut metadata = Object::with_capacity(64);
    for (name, value) in there() {
        if let Some(unknown) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            data.raw(unknown, value);
            continue;
        }
        match shape?.merged(name) {
            Some(true) => data.raw_members(value),
            Some(false) => {
                data.raw(name, value);
            }
            None if name == CREATED_AT => {
                metadata.raw(name, value);
            }
            None if name == METADATA => metadata.raw_members(value.strip_prefix('{')?.strip_suffix('}')?),
            None => return None,
        }
    }
    if !metadata.is_empty() {
        data.raw(METADATA, &metadata.end());
    }
    let joined = data.end();
    if is_encrypted(&joined) { None } else { checked(kind, &joined) }
}

/// The normal form of `text`, if it is JSON at all.
fn checked(kind: &EntityType, text: &str) -> Option<String> {
    let data: &RawValue = serde_json::from_str(text).ok()?;
    normalise(kind, data).ok()
}

/// Merges a field that is a set, element by element, against `base`; `None` when the field is no set.
#[must_use]
pub fn merge_set(kind: &EntityType, field: &str, base: &str, left: &str, right: &str) -> Option<String> {
    let shape = Shape::of(kind)?;
    let is_set = shape.fields.iter().any(|known| known.name == field && matches!(known.rule, Rule::Ids));
    is_set.then(|| merged_set(base, left, right))
}
