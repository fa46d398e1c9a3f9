//! The records as an app has them.

mod activity;
mod assessment;
mod data;
mod extra;
mod goal;
mod metadata;
mod mood;
mod record;
mod schedule;
#[cfg(test)]
mod tests;
mod words;

use serde_json::value::RawValue;
use uuid::Uuid;

pub use activity::{Activity, ActivityGroup, ActivityLog};
pub use assessment::AssessmentEntry;
pub use extra::Extra;
pub use goal::{ActivityGoal, GoalOf};
pub use metadata::Metadata;
pub use mood::MoodEntry;
pub use schedule::Schedule;
pub use words::{AssessmentStatus, AssessmentType, Frequency, GoalType, Severity};

use crate::normal::{is_encrypted, normalise};
use crate::{
    ActivityGoalId, ActivityGroupId, ActivityId, ActivityLogId, AssessmentEntryId, Base, EntityType, Invalid,
    MoodEntryId, ScheduleId, SyncChange, Timestamp,
};

/// A record that is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Entity {
    /// An assessment that was filled in.
    AssessmentEntry(AssessmentEntry),
    /// A mood that was noted.
    MoodEntry(MoodEntry),
    /// Something that one does.
    Activity(Activity),
    /// What activities are grouped by.
    ActivityGroup(ActivityGroup),
    /// That an activity was done.
    ActivityLog(ActivityLog),
    /// What one wants to reach.
    ActivityGoal(ActivityGoal),
    /// When an assessment is due.
    Schedule(Schedule),
    /// One that does not read: encrypted, or of a kind that this version does not know.
    Opaque(Opaque),
}

/// A record whose data are passed on unread: encrypted, or of a kind that this version does not know.
///
/// Encrypted data are an object with a member `enc`, which says how: `{"enc":"v1", ...}`. They are stored and sent as
/// they are, and never merged: of two edits the later one wins whole.
#[derive(Clone)]
pub struct Opaque {
    /// Its kind.
    pub entity_type: EntityType,
    /// Its id.
    pub id: Uuid,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// What it says; an object.
    pub data: Box<RawValue>,
}

impl Opaque {
    /// Whether the data are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        is_encrypted(self.data.get())
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        let key = |of: &Self| (of.entity_type.clone(), of.id, of.updated_at);
        key(self) == key(other) && self.data.get() == other.data.get()
    }
}

impl std::fmt::Debug for Opaque {
    /// Nothing of the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opaque").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Entity {
    /// Reads a record out of a change. The envelope's id and time count.
    ///
    /// # Errors
    /// [`Invalid`] names the field and the rule that it breaks; of a deletion, that there are no data.
    pub fn from_change(change: &SyncChange) -> Result<Self, Invalid> {
        let data = change.data.as_deref().filter(|_| !change.deleted);
        let data = data.ok_or_else(|| Invalid::new("data", "is missing"))?;
        let (id, at) = (change.id, change.updated_at);
        if is_encrypted(data.get()) {
            return Self::opaque(change, data);
        }
        Ok(match change.entity_type {
            EntityType::AssessmentEntry => {
                Self::AssessmentEntry(AssessmentEntry::from_data(AssessmentEntryId(id), at, data)?)
            }
            EntityType::MoodEntry => Self::MoodEntry(MoodEntry::from_data(MoodEntryId(id), at, data)?),
            EntityType::Activity => Self::Activity(Activity::from_data(ActivityId(id), at, data)?),
            EntityType::ActivityGroup => Self::ActivityGroup(ActivityGroup::from_data(ActivityGroupId(id), at, data)?),
            EntityType::ActivityLog => Self::ActivityLog(ActivityLog::from_data(ActivityLogId(id), at, data)?),
            EntityType::ActivityGoal => Self::ActivityGoal(ActivityGoal::from_data(ActivityGoalId(id), at, data)?),
            EntityType::Schedule => Self::Schedule(Schedule::from_data(ScheduleId(id), at, data)?),
            EntityType::Other(_) => Self::opaque(change, data)?,
        })
    }

    fn opaque(change: &SyncChange, data: &RawValue) -> Result<Self, Invalid> {
        normalise(&change.entity_type, data)?;
        let (entity_type, updated_at) = (change.entity_type.clone(), change.updated_at);
        Ok(Self::Opaque(Opaque { entity_type, id: change.id, updated_at, data: data.to_owned() }))
    }

    /// Its kind.
    #[must_use]
    pub fn entity_type(&self) -> EntityType {
        match self {
            Self::AssessmentEntry(_) => EntityType::AssessmentEntry,
            Self::MoodEntry(_) => EntityType::MoodEntry,
            Self::Activity(_) => EntityType::Activity,
            Self::ActivityGroup(_) => EntityType::ActivityGroup,
            Self::ActivityLog(_) => EntityType::ActivityLog,
            Self::ActivityGoal(_) => EntityType::ActivityGoal,
            Self::Schedule(_) => EntityType::Schedule,
            Self::Opaque(opaque) => opaque.entity_type.clone(),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        match self {
            Self::AssessmentEntry(record) => record.id.0,
            Self::MoodEntry(record) => record.id.0,
            Self::Activity(record) => record.id.0,
            Self::ActivityGroup(record) => record.id.0,
            Self::ActivityLog(record) => record.id.0,
            Self::ActivityGoal(record) => record.id.0,
            Self::Schedule(record) => record.id.0,
            Self::Opaque(record) => record.id,
        }
    }

    /// When it was last written.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        match self {
            Self::AssessmentEntry(record) => record.metadata.updated_at,
            Self::MoodEntry(record) => record.metadata.updated_at,
            Self::Activity(record) => record.metadata.updated_at,
            Self::ActivityGroup(record) => record.metadata.updated_at,
            Self::ActivityLog(record) => record.metadata.updated_at,
            Self::ActivityGoal(record) => record.metadata.updated_at,
            Self::Schedule(record) => record.metadata.updated_at,
            Self::Opaque(record) => record.updated_at,
        }
    }

    /// Writes it as a change's data.
    ///
    /// # Errors
    /// [`Invalid`] names the field and the rule that it breaks.
    pub fn to_data(&self) -> Result<Box<RawValue>, Invalid> {
        match self {
            Self::AssessmentEntry(record) => record.to_data(),
            Self::MoodEntry(record) => record.to_data(),
            Self::Activity(record) => record.to_data(),
            Self::ActivityGroup(record) => record.to_data(),
            Self::ActivityLog(record) => record.to_data(),
            Self::ActivityGoal(record) => record.to_data(),
            Self::Schedule(record) => record.to_data(),
            Self::Opaque(record) => normalise(&record.entity_type, &record.data).map(|_| record.data.clone()),
        }
    }

    /// Looks whether it keeps all rules.
    ///
    /// # Errors
    /// [`Invalid`] names the field and the rule that it breaks.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.to_data().map(drop)
    }

    /// The change that tells others of it, made on top of `base`.
    ///
    /// # Errors
    /// [`Invalid`] names the field and the rule that it breaks.
    pub fn to_change(&self, base: Base) -> Result<SyncChange, Invalid> {
        Ok(SyncChange {
            entity_type: self.entity_type(),
            id: self.id(),
            updated_at: self.updated_at(),
            deleted: false,
            data: Some(self.to_data()?),
            base,
            version: None,
        })
    }
}
