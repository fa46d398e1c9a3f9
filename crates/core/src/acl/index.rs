//! Finding the rules that apply without looking at the others.

use std::collections::{BTreeMap, HashMap};

use super::{Pattern, Request, Rule};

/// A value for each triple of patterns.
#[derive(Clone, Debug)]
pub(super) struct Index<T>(Level<Level<Level<T>>>);

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(Level::default())
    }
}

impl<T> Index<T> {
    /// Keeps `value` under the rule's patterns, and returns what was there.
    pub(super) fn insert(&mut self, rule: &Rule, value: T) -> Option<T> {
        let users = self.0.entry(&rule.item);
        let actions = users.entry(&rule.user);
        actions.insert(&rule.action, value)
    }

    /// What is kept under the patterns that match, the most specific item first, of those the most specific user, then
    /// action.
    pub(super) fn matching<'i>(&'i self, request: Request<'i>) -> impl Iterator<Item = &'i T> {
        let users = self.0.matching(request.item);
        let actions = users.flat_map(move |users| users.matching(request.user));
        actions.flat_map(move |actions| actions.matching(request.action))
    }
}

/// A value for each pattern.
#[derive(Clone, Debug)]
struct Level<T> {
    literals: HashMap<Box<str>, T>,
    /// By the length of what stands before the `*`, and by that: a text is looked up once for each length.
    stems: BTreeMap<usize, HashMap<Box<[u8]>, T>>,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), stems: BTreeMap::new() }
    }
}

impl<T> Level<T> {
    fn insert(&mut self, pattern: &Pattern, value: T) -> Option<T> {
        match pattern.stem() {
            Some(stem) => self.stems.entry(stem.len()).or_default().insert(stem.as_bytes().into(), value),
            None => self.literals.insert(pattern.as_str().into(), value),
        }
    }

    fn entry(&mut self, pattern: &Pattern) -> &mut T
    where
        T: Default,
    {
        match pattern.stem() {
            Some(stem) => self.stems.entry(stem.len()).or_default().entry(stem.as_bytes().into()).or_default(),
            None => self.literals.entry(pattern.as_str().into()).or_default(),
        }
    }

    /// The values of the patterns that match `text`, by falling score: one with a `*` behind the whole text, then the
    /// text itself, then shorter and shorter beginnings.
    fn matching<'i>(&'i self, text: &'i str) -> impl Iterator<Item = &'i T> {
        let text_bytes = text.as_bytes();
        let whole = self.stems.get(&text.len()).and_then(|stems| stems.get(text_bytes));
        let literal = self.literals.get(text);
        let shorter = self.stems.range(..text.len()).rev();
        let shorter = shorter.filter_map(move |(len, stems)| stems.get(&text_bytes[..*len]));
        whole.into_iter().chain(literal).chain(shorter)
    }
}
