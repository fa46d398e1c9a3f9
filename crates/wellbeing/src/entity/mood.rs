//! Moods that are noted.

use super::data::{Reader, Writer};
use super::record::record;
use super::{Extra, Metadata};
use crate::{ActivityId, Invalid, MoodEntryId, Timestamp};

/// A mood that was noted.
///
/// | field | rule |
/// | --- | --- |
/// | `value` (`score`) | 1 to its scale, where more is better |
/// | `scale` | 7, which is meant where it is missing, or 5 |
/// | `activities` | up to 1,000 UUIDs, as a set |
/// | `note` (`notes`) | up to 5,000 characters, none of control but `\n`, `\r`, `\t` |
/// | `recorded_at` | a time |
///
/// Value and scale go as one when two devices edit; activities are merged one by one.
#[derive(Clone, PartialEq)]
pub struct MoodEntry {
    /// Its id.
    pub id: MoodEntryId,
    /// How good it is.
    pub value: u8,
    /// How good it could be.
    pub scale: u8,
    /// What the person did.
    pub activities: Vec<ActivityId>,
    /// What the person added.
    pub note: Option<String>,
    /// When it was noted.
    pub recorded_at: Timestamp,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(MoodEntry, MoodEntryId);

impl MoodEntry {
    /// `value` of 7, noted at `recorded_at`.
    #[must_use]
    pub fn new(id: MoodEntryId, value: u8, recorded_at: Timestamp) -> Self {
        Self {
            id,
            value,
            scale: 7,
            activities: Vec::new(),
            note: None,
            recorded_at,
            metadata: Metadata::new(recorded_at),
            extra: Extra::default(),
        }
    }

    fn read(id: MoodEntryId, from: &Reader<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id,
            value: from.required("value")?,
            scale: from.required("scale")?,
            activities: from.required("activities")?,
            note: from.optional("note"),
            recorded_at: from.required("recorded_at")?,
            metadata: from.metadata(),
            extra: from.extra(),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.field("value", self.value);
        out.field("scale", self.scale);
        out.field("activities", &self.activities);
        out.optional("note", self.note.as_ref());
        out.field("recorded_at", self.recorded_at);
    }
}
