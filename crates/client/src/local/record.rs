//! A record's members, and how a row's columns become them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::shape::Shape;
use super::value;

/// The members of a record, each as it was written.
///
/// A field that is declared as `outer.inner` is a member of the object `outer`; what else that object holds is kept.
pub(super) struct Members<'a> {
    top: BTreeMap<Cow<'a, str>, &'a str>,
    nested: BTreeMap<Cow<'a, str>, BTreeMap<Cow<'a, str>, &'a str>>,
}

impl<'a> Members<'a> {
    /// Takes `data` apart as `shape` declares it; `None` when it is no object.
    pub(super) fn read(shape: &Shape, data: &'a str) -> Option<Self> {
        let mut top = object(data)?;
        let mut nested = BTreeMap::new();
        for outer in &shape.outers {
            let Some(inner) = top.get(outer.as_str()).and_then(|member| object(member)) else { continue };
            top.remove(outer.as_str());
            nested.insert(Cow::Owned(outer.clone()), inner);
        }
        Some(Self { top, nested })
    }

    pub(super) fn get(&self, field: &str) -> Option<&'a str> {
        match field.split_once('.') {
            Some((outer, inner)) => self.nested.get(outer)?.get(inner).copied(),
            None => self.top.get(field).copied(),
        }
    }

    /// Whether the record is encrypted: what is in it is nobody's to take apart.
    pub(super) fn is_sealed(&self) -> bool {
        self.top.contains_key("enc")
    }

    /// Whether there is anything that no column of `shape` holds; that alone, as an object.
    pub(super) fn beyond(mut self, shape: &Shape) -> Option<String> {
        for column in &shape.columns {
            match column.field.split_once('.') {
                Some((outer, inner)) => self.nested.get_mut(outer).and_then(|nested| nested.remove(inner)),
                None => self.top.remove(column.field.as_str()),
            };
        }
        self.nested.retain(|_, nested| !nested.is_empty());
        let is_empty = self.top.is_empty() && self.nested.is_empty();
        let own = |(name, member): (Cow<'a, str>, &'a str)| (name, Cow::Borrowed(member));
        let top = self.top.into_iter().map(own).collect();
        let nested = self.nested.into_iter().map(|(outer, inner)| (outer, inner.into_iter().map(own).collect()));
        (!is_empty).then(|| write(top, nested.collect()))
    }
}

fn object(text: &str) -> Option<BTreeMap<Cow<'_, str>, &str>> {
    let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
    Some(members.into_iter().map(|(name, member)| (Cow::Owned(name), member.get())).collect())
}

/// What a row says, given its cells in the order of the shape's columns.
///
/// `held` is what the record said when this device and the server last agreed: a member that no column holds, or whose
/// column still holds what it says, goes back as it came, and one that was absent stays so while its column is as a new
/// row's would be. So nothing looks edited that nobody edited.
///
/// # Errors
/// Why the row cannot be sent.
pub(super) fn compose(shape: &Shape, cells: &[Value], held: Option<&str>) -> Result<String, String> {
    let held = held.and_then(|held| Members::read(shape, held));
    let mut top: BTreeMap<Cow<'_, str>, Cow<'_, str>> = BTreeMap::new();
    let mut nested: BTreeMap<Cow<'_, str>, BTreeMap<Cow<'_, str>, Cow<'_, str>>> = BTreeMap::new();
    if let Some(held) = &held {
        top.extend(held.top.iter().map(|(name, member)| (name.clone(), Cow::Borrowed(*member))));
        for (outer, members) in &held.nested {
            let members = members.iter().map(|(name, member)| (name.clone(), Cow::Borrowed(*member)));
            nested.entry(outer.clone()).or_default().extend(members);
        }
    }
    for (column, cell) in shape.columns.iter().zip(cells) {
        let was = held.as_ref().map(|held| held.get(&column.field));
        let stays = match was {
            Some(Some(member)) => value::holds(column.kind, cell, member),
            Some(None) => *cell == Value::Null || value::same(cell, &column.default),
            None => false,
        };
        if stays {
            continue;
        }
        let said = value::said(column.kind, cell).map_err(|unfit| format!("the column {} {unfit}", column.name))?;
        match column.field.split_once('.') {
            Some((outer, inner)) => {
                top.remove(outer);
                nested.entry(Cow::Borrowed(outer)).or_default().insert(Cow::Borrowed(inner), Cow::Owned(said));
            }
            None => {
                top.insert(Cow::Borrowed(&column.field), Cow::Owned(said));
            }
        }
    }
    Ok(write(top, nested))
}

type Written<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

fn write<'a>(mut top: Written<'a>, nested: BTreeMap<Cow<'a, str>, Written<'a>>) -> String {
    top.extend(nested.into_iter().map(|(outer, members)| (outer, Cow::Owned(join(&members)))));
    join(&top)
}

fn join(members: &Written<'_>) -> String {
    let mut text = String::from("{");
    for (name, member) in members {
        if text.len() > 1 {
            text.push(',');
        }
        // The escaping of a name, which a JSON value does as well as a serialiser.
        text.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        text.push(':');
        text.push_str(member);
    }
    text.push('}');
    text
}
