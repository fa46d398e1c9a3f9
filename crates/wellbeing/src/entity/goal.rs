//! What one wants to reach.

use super::data::{Reader, Writer};
use super::record::record;
use super::{Extra, GoalType, Metadata};
use crate::{ActivityGoalId, ActivityGroupId, ActivityId, Invalid, Timestamp};

/// What a goal is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoalOf {
    /// One activity.
    Activity(ActivityId),
    /// All activities of a group.
    Group(ActivityGroupId),
}

/// What one wants to reach with an activity, or with a group.
///
/// | field | rule |
/// | --- | --- |
/// | `activity_id`, `group_id` | UUIDs; exactly one of them |
/// | `goal_type` | `days_per_period` or `percent_improvement` |
/// | `target_value` | a whole number from 1 on |
/// | `period_days` | a whole number from 1 on |
///
/// What it is of goes as one when two devices edit, and so do its type and target.
#[derive(Clone, PartialEq)]
pub struct ActivityGoal {
    /// Its id.
    pub id: ActivityGoalId,
    /// What it is of.
    pub of: GoalOf,
    /// How it is measured.
    pub goal_type: GoalType,
    /// What is to be reached: days, or percent.
    pub target_value: u32,
    /// In how many days.
    pub period_days: u32,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(ActivityGoal, ActivityGoalId);

impl ActivityGoal {
    /// `days` in each period of `period_days`, made `now`.
    #[must_use]
    pub fn days_per_period(id: ActivityGoalId, of: GoalOf, days: u32, period_days: u32, now: Timestamp) -> Self {
        Self {
            id,
            of,
            goal_type: GoalType::DaysPerPeriod,
            target_value: days,
            period_days,
            metadata: Metadata::new(now),
            extra: Extra::default(),
        }
    }

    fn read(id: ActivityGoalId, from: &Reader<'_>) -> Result<Self, Invalid> {
        let of = match from.optional("activity_id") {
            Some(activity) => GoalOf::Activity(activity),
            None => GoalOf::Group(from.required("group_id")?),
        };
        Ok(Self {
            id,
            of,
            goal_type: from.parsed("goal_type")?,
            target_value: from.required("target_value")?,
            period_days: from.required("period_days")?,
            metadata: from.metadata(),
            extra: from.extra(),
        })
    }

    fn write(&self, out: &mut Writer) {
        match self.of {
            GoalOf::Activity(activity) => out.field("activity_id", activity),
            GoalOf::Group(group) => out.field("group_id", group),
        }
        out.field("goal_type", self.goal_type.as_str());
        out.field("target_value", self.target_value);
        out.field("period_days", self.period_days);
    }
}
