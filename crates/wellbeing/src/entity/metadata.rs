//! When a record was made and last written.

use super::Extra;
use crate::Timestamp;

/// When a record was made and last written.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// When it was made. Every state of a record shares it.
    pub created_at: Timestamp,
    /// When it was last written, by the clock of the device that wrote.
    pub updated_at: Timestamp,
    /// What else came in the metadata.
    pub extra: Extra,
}

impl Metadata {
    /// Of a record that is made `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { created_at: now, updated_at: now, extra: Extra::default() }
    }
}
