//! Why data are not taken.

use std::borrow::Cow;

/// Which field breaks which rule. It holds nothing of the content: no value, and no name that the content brought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Invalid {
    /// The field, as this protocol names it; `data` for the whole.
    pub field: &'static str,
    /// The rule, as the rest of a sentence that begins with the field: `must be a whole number from 1 to 7`.
    pub rule: Cow<'static, str>,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { field, rule: rule.into() }
    }
}
