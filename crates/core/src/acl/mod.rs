//! Rules that say who may do what to which item.
//!
//! [`Rules`] is a set in which the most specific rule decides, and [`RuleList`] a list in which the first one does. Both
//! are indexed: a decision does not look through them. Source: docs/protocols/simple-sync.md, "Rules".

mod index;

use std::collections::BTreeMap;
use std::sync::Arc;

use index::Index;

use crate::limits;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who.
    pub user: &'a str,
    /// To what.
    pub item: &'a str,
    /// What.
    pub action: &'a str,
}

/// What a rule says to those whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

/// Which texts are meant: one, or all that begin in one way, or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`limits::ACL_TEXT_BYTES_MAX`].
    #[error("it is longer than {max} bytes", max = limits::ACL_TEXT_BYTES_MAX)]
    TooLong,
    /// It holds a control character of ASCII.
    #[error("it holds a control character")]
    Control,
    /// It has a `*` elsewhere than at its end, or more than one.
    #[error("it may have one * at its end, and no other")]
    Wildcard,
}

impl Pattern {
    /// The pattern spelt `text`: a `*` at its end stands for anything, also for nothing.
    ///
    /// # Errors
    /// [`PatternError`], the first that applies in the order of its variants, length after wildcard.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(PatternError::Control);
        }
        if text.as_bytes()[..text.len() - 1].contains(&b'*') {
            return Err(PatternError::Wildcard);
        }
        if text.len() > limits::ACL_TEXT_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a text must begin with, where a `*` follows it.
    fn stem(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it concerns.
    pub user: Pattern,
    /// Which items.
    pub item: Pattern,
    /// Which actions.
    pub action: Pattern,
    /// What it says.
    pub effect: Effect,
}

/// A decision, with the rule that made it; none means that no rule applies, which denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// Whether it may be done.
    pub is_allowed: bool,
    /// What says so.
    pub rule: Option<&'r Rule>,
}

impl<'r> Decision<'r> {
    fn of(rule: Option<&'r Rule>) -> Self {
        Self { is_allowed: rule.is_some_and(|rule| rule.effect == Effect::Allow), rule }
    }
}

/// Rules of which the most specific one decides, and of equally specific ones the latest.
///
/// Of the rules that apply, the one wins whose item scores highest, then whose user, then whose action; a pattern scores
/// its length in bytes, half a byte less if it ends in `*`. So of two patterns that match one text, neither scores as
/// the other does: only a rule of the same three patterns is equally specific, and a later one takes its place.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By age, the oldest first.
    by_age: BTreeMap<u64, Rule>,
    ages: Index<u64>,
    next: u64,
}

impl Rules {
    /// Adds a rule, in place of one of the same patterns.
    pub fn add(&mut self, rule: Rule) {
        let age = self.next;
        self.next += 1;
        if let Some(replaced) = self.ages.insert(&rule, age) {
            self.by_age.remove(&replaced);
        }
        self.by_age.insert(age, rule);
    }

    /// Says whether something may be done.
    #[must_use]
    pub fn decide(&self, request: Request<'_>) -> Decision<'_> {
        Decision::of(self.ages.matching(request).next().and_then(|age| self.by_age.get(age)))
    }

    /// The rules in force, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.by_age.values()
    }

    /// How many are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether there are none: then nobody may do anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}

/// Rules of which the first that applies decides.
#[derive(Clone, Debug, Default)]
pub struct RuleList {
    rules: Vec<Rule>,
    places: Index<usize>,
}

impl RuleList {
    /// The list of `rules`, in their order.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut places = Index::default();
        // The first of the same patterns stays: from the end, each takes the place of those behind it.
        for (place, rule) in rules.iter().enumerate().rev() {
            places.insert(rule, place);
        }
        Self { rules, places }
    }

    /// Says whether something may be done.
    #[must_use]
    pub fn decide(&self, request: Request<'_>) -> Decision<'_> {
        Decision::of(self.places.matching(request).min().and_then(|place| self.rules.get(*place)))
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

#[cfg(test)]
mod tests;
