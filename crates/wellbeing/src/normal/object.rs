//! An object of JSON that is being written.

use std::ops::Range;

use crate::Invalid;

/// An object that is being written.
pub(super) struct Object {
    /// What was written so far.
    pub(super) text: String,
}

impl Object {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text }
    }

    /// Writes a member; the place of its value.
    pub(super) fn member(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut String) -> Result<(), Invalid>,
    ) -> Result<Range<usize>, Invalid> {
        self.name(name);
        let start = self.text.len();
        write(&mut self.text)?;
        Ok(start..self.text.len())
    }

    /// Writes a member whose value is JSON already; the place of it.
    pub(super) fn raw(&mut self, name: &str, value: &str) -> Range<usize> {
        self.name(name);
        let start = self.text.len();
        self.text.push_str(value);
        start..self.text.len()
    }

    /// Writes several members that are JSON already.
    pub(super) fn raw_members(&mut self, members: &str) {
        self.comma();
        self.text.push_str(members);
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn comma(&mut self) {
        if !self.is_empty() {
            self.text.push(',');
        }
    }

    /// What was written, whole.
    pub(super) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.text.len() == 1
    }
}
