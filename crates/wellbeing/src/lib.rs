//! What wellbeing apps keep and send: the records, their rules, and the messages of their sync.
//!
//! Used by the server and by its clients, so that both mean the same. There is no IO in it, no clock, and no other crate
//! of the workspace. It is lenient in what it reads (several spellings of a time, of a type's name, of a field), and
//! exact in what it writes: RFC 3339 in UTC, types in `PascalCase`, words and ids in lower case. What it does not know,
//! it keeps as it was written. No error and no `Debug` of a record shows any of its content.
//!
//! # The records
//!
//! What each field may say stands in a table at each record. A name in brackets is read as well; a field is written under
//! the first.
//!
//! | kind | fields; those in *italics* may be missing |
//! | --- | --- |
//! | [`AssessmentEntry`] | assessment_type, score, severity, *status*, *responses*, taken_at, *notes* |
//! | [`MoodEntry`] | value, *scale*, *activities*, *note*, recorded_at |
//! | [`Activity`] | label, *color_hex*, *icon*, *group_id* |
//! | [`ActivityGroup`] | name, *description* |
//! | [`ActivityLog`] | activity_id, logged_at, *notes* |
//! | [`ActivityGoal`] | activity_id or group_id, goal_type, target_value, period_days |
//! | [`Schedule`] | assessment_type, frequency, *day_of_week*, *day_of_month*, *time_of_day*, *enabled*, *next_due_at*, *last_triggered_at* |
//! | each | *id* and *metadata*: created_at, updated_at. The id and the time of a change's envelope count |
//! | [`Opaque`] | any object that is encrypted, or of another kind: nested 64 deep at most |
//!
//! # Example
//!
//! ```
//! use tombolo_wellbeing::{Base, Entity, MoodEntry, MoodEntryId};
//!
//! let id: MoodEntryId = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e".parse()?;
//! let mut mood = MoodEntry::new(id, 5, "2026-11-20 20:00:00".parse()?);
//! mood.note = Some("a long walk".to_owned());
//! let change = Entity::MoodEntry(mood.clone()).to_change(Base::Nothing)?;
//! assert_eq!(Entity::from_change(&change)?, Entity::MoodEntry(mood.clone()));
//!
//! mood.value = 8;
//! assert_eq!(mood.validate().unwrap_err().to_string(), "value must be a whole number from 1 to 7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checks;
mod entity;
mod entity_type;
mod ids;
mod instrument;
mod invalid;
mod messages;
pub mod normal;
mod rule;
mod shape;
mod text;
mod timestamp;
mod walk;

pub use entity::{
    Activity, ActivityGoal, ActivityGroup, ActivityLog, AssessmentEntry, AssessmentStatus, AssessmentType, Entity,
    Extra, Frequency, GoalOf, GoalType, Metadata, MoodEntry, Opaque, Schedule, Severity,
};
pub use entity_type::{EntityType, EntityTypeError};
pub use ids::{
    ActivityGoalId, ActivityGroupId, ActivityId, ActivityLogId, AssessmentEntryId, DeviceId, MoodEntryId, ScheduleId,
};
pub use instrument::Instrument;
pub use invalid::Invalid;
pub use messages::{
    ApiKey, ApiKeys, Base, ConflictInfo, MadeApiKey, NewApiKey, SyncChange, SyncDownloadRequest, SyncDownloadResponse,
    SyncUploadRequest, SyncUploadResponse,
};
pub use timestamp::{Timestamp, TimestampError};
