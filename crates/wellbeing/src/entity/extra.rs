//! Members that this version does not know.

use serde_json::value::RawValue;

use crate::text::{quote, unescaped};

/// Members that this version does not know, which are kept and sent back as they were written: numbers to the last
/// digit, and halves of surrogate pairs.
#[derive(Clone, Default)]
pub struct Extra {
    /// Each name as JSON writes it, without its quotes.
    members: Vec<(String, Box<RawValue>)>,
}

impl Extra {
    /// The value of the member `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        let spelt = spelt(name);
        self.members.iter().find(|(known, _)| *known == spelt).map(|(_, value)| &**value)
    }

    /// Sets the member `name`, whatever it was before.
    ///
    /// A name that the record's kind knows is refused where the record is validated.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        self.remove(name);
        self.members.push((spelt(name), value));
    }

    /// Takes the member `name` away; its value, if there was one.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let spelt = spelt(name);
        let place = self.members.iter().position(|(known, _)| *known == spelt)?;
        Some(self.members.remove(place).1)
    }

    /// The members; a name that is no text is left out.
    pub fn iter(&self) -> impl Iterator<Item = (String, &RawValue)> {
        self.members.iter().filter_map(|(name, value)| Some((unescaped(name)?.into_owned(), &**value)))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes a member as it stands in the normal form.
    pub(super) fn push_raw(&mut self, name: &str, value: &str) {
        if let Ok(value) = RawValue::from_string(value.to_owned()) {
            self.members.push((name.to_owned(), value));
        }
    }

    /// The members as JSON writes them: names without their quotes, and values.
    pub(super) fn raw(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value.get()))
    }
}

impl PartialEq for Extra {
    /// By what is written, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        self.members.len() == other.members.len()
            && self.raw().all(|(name, value)| other.raw().any(|(known, same)| known == name && same == value))
    }
}

impl std::fmt::Debug for Extra {
    /// Nothing of the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Extra({} members)", self.members.len())
    }
}

fn spelt(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quote(name, &mut quoted);
    quoted[1..quoted.len() - 1].to_owned()
}
