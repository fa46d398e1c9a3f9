//! What kind of record a change is of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kind of a record. Those that this version does not know are kept and passed on as they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityType {
    /// An assessment that was filled in.
    AssessmentEntry,
    /// A mood that was noted.
    MoodEntry,
    /// Something that one does.
    Activity,
    /// What activities are grouped by.
    ActivityGroup,
    /// That an activity was done.
    ActivityLog,
    /// What one wants to reach with an activity, or with a group.
    ActivityGoal,
    /// When an assessment is due.
    Schedule,
    /// One of a later version, or of another app.
    Other(String),
}

/// A text that names no kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entity type is a letter and at most 63 letters, digits and underscores more")]
pub struct EntityTypeError;

impl EntityType {
    /// A name's length, at most, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// Those that are known.
    pub const KNOWN: [Self; 7] = [
        Self::AssessmentEntry,
        Self::MoodEntry,
        Self::Activity,
        Self::ActivityGroup,
        Self::ActivityLog,
        Self::ActivityGoal,
        Self::Schedule,
    ];

    /// Its name, in `PascalCase` where it is known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AssessmentEntry => "AssessmentEntry",
            Self::MoodEntry => "MoodEntry",
            Self::Activity => "Activity",
            Self::ActivityGroup => "ActivityGroup",
            Self::ActivityLog => "ActivityLog",
            Self::ActivityGoal => "ActivityGoal",
            Self::Schedule => "Schedule",
            Self::Other(name) => name,
        }
    }
}

impl FromStr for EntityType {
    type Err = EntityTypeError;

    /// Takes `MoodEntry` and `mood_entry` alike.
    fn from_str(text: &str) -> Result<Self, EntityTypeError> {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let known = Self::KNOWN.into_iter().find(|known| plain(known.as_str()) == plain(text));
        if let Some(known) = known {
            return Ok(known);
        }
        let is_name = text.len() <= Self::BYTES_MAX
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name { Ok(Self::Other(text.to_owned())) } else { Err(EntityTypeError) }
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EntityType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EntityType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_spellings_and_written_in_one() {
        for known in EntityType::KNOWN {
            assert_eq!(known.as_str().parse(), Ok(known.clone()));
        }
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<EntityType>().unwrap().as_str(), expected);
        check("mood_entry", "MoodEntry");
        check("assessment_entry", "AssessmentEntry");
        check("activity_goal", "ActivityGoal");
        check("SleepLog", "SleepLog");
        check("sleep_log", "sleep_log");
        for text in ["", "_x", "1x", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(text.parse::<EntityType>(), Err(EntityTypeError), "{text}");
        }
    }
}
