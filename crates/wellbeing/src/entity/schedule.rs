//! When assessments are due.

use super::data::{Reader, Writer};
use super::record::record;
use super::{AssessmentType, Extra, Frequency, Metadata};
use crate::{Invalid, ScheduleId, Timestamp};

/// When an assessment is due.
///
/// | field | rule |
/// | --- | --- |
/// | `frequency` (`cadence`) | `daily`, `weekly`, `biweekly` or `monthly` |
/// | `day_of_week` | 0-6, 0 is Sunday |
/// | `day_of_month` | 1-31 |
/// | `assessment_type` | as that of an assessment |
/// | `time_of_day` | `HH:MM` |
/// | `enabled` | true, which is meant where it is missing, or false; also read from 1 and 0 |
/// | `next_due_at` (`next_due`) | a time |
/// | `last_triggered_at` | a time; it is each device's own, and better left out |
///
/// A schedule may lack its days and its time of day: not every app has them. The frequency and its days go as one when
/// two devices edit.
#[derive(Clone, PartialEq)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Of which assessment.
    pub assessment_type: AssessmentType,
    /// How often.
    pub frequency: Frequency,
    /// On which day of the week, from 0 for Sunday.
    pub day_of_week: Option<u8>,
    /// On which day of the month.
    pub day_of_month: Option<u8>,
    /// At what time, such as `09:30`.
    pub time_of_day: Option<String>,
    /// Whether it is in force.
    pub enabled: bool,
    /// When it is due next.
    pub next_due_at: Option<Timestamp>,
    /// When a device last said so; its own business.
    pub last_triggered_at: Option<Timestamp>,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(Schedule, ScheduleId);

impl Schedule {
    /// One of `assessment_type`, in force, made `now`.
    #[must_use]
    pub fn new(id: ScheduleId, assessment_type: AssessmentType, frequency: Frequency, now: Timestamp) -> Self {
        Self {
            id,
            assessment_type,
            frequency,
            day_of_week: None,
            day_of_month: None,
            time_of_day: None,
            enabled: true,
            next_due_at: None,
            last_triggered_at: None,
            metadata: Metadata::new(now),
            extra: Extra::default(),
        }
    }

    fn read(id: ScheduleId, from: &Reader<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id,
            assessment_type: from.parsed("assessment_type")?,
            frequency: from.parsed("frequency")?,
            day_of_week: from.optional("day_of_week"),
            day_of_month: from.optional("day_of_month"),
            time_of_day: from.optional("time_of_day"),
            enabled: from.required("enabled")?,
            next_due_at: from.optional("next_due_at"),
            last_triggered_at: from.optional("last_triggered_at"),
            metadata: from.metadata(),
            extra: from.extra(),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.field("frequency", self.frequency.as_str());
        out.optional("day_of_week", self.day_of_week);
        out.optional("day_of_month", self.day_of_month);
        out.field("assessment_type", self.assessment_type.as_str());
        out.optional("time_of_day", self.time_of_day.as_ref());
        out.field("enabled", self.enabled);
        out.optional("next_due_at", self.next_due_at);
        out.optional("last_triggered_at", self.last_triggered_at);
    }
}
