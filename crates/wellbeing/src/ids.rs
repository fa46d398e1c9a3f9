//! Ids, each of its own type, so that none stands where another is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$meaning:meta])* $name:ident)*) => { $(
        $(#[$meaning])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(|_| serde::de::Error::custom("it is no UUID"))
            }
        }
    )* };
}

ids! {
    /// A device.
    DeviceId
    /// An assessment that was filled in.
    AssessmentEntryId
    /// A mood that was noted.
    MoodEntryId
    /// Something that one does.
    ActivityId
    /// What activities are grouped by.
    ActivityGroupId
    /// That an activity was done.
    ActivityLogId
    /// What one wants to reach with an activity, or with a group.
    ActivityGoalId
    /// When an assessment is due.
    ScheduleId
}
