//! Which fields each kind of record has, in the order in which they are written, and their rules.

use crate::EntityType;
use crate::rule::Rule;

/// A field of a kind of record.
#[derive(Debug)]
pub(crate) struct Field {
    /// What it is called where it is written.
    pub(crate) name: &'static str,
    /// What else it is called where it is read.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) rule: Rule,
    pub(crate) presence: Presence,
    /// Whether it is merged with the field before it, as one.
    pub(crate) goes_with_previous: bool,
}

/// What becomes of a field that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is missed.
    Required,
    /// Nothing; and `null` stays.
    Optional,
    /// This is meant.
    Default(&'static str),
}

/// The fields of a kind of record.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) fields: &'static [Field],
    /// Under which name the first field is merged with those that go with it, where it is not its own.
    pub(crate) first_group: Option<&'static str>,
}

/// More than any kind has.
pub(crate) const FIELDS_MAX: usize = 8;

const fn field(name: &'static str, rule: Rule, presence: Presence) -> Field {
    Field { name, aliases: &[], rule, presence, goes_with_previous: false }
}

impl Field {
    const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn with_previous(mut self) -> Self {
        self.goes_with_previous = true;
        self
    }
}

use Presence::{Default, Optional, Required};

static ASSESSMENT_ENTRY: Shape = Shape {
    fields: &[
        field("assessment_type", Rule::AssessmentType, Required),
        // Both are missed below where the assessment is no draft.
        field("score", Rule::Integer { min: -2_147_483_648, max: 2_147_483_647 }, Optional).with_previous(),
        field("severity", Rule::Severity, Optional).with_previous(),
        field("status", Rule::Word(&["draft", "completed"]), Default("\"completed\"")).with_previous(),
        field("responses", Rule::Responses, Optional).or(&["answers"]).with_previous(),
        field("taken_at", Rule::Time, Required),
        field("notes", Rule::Text { chars_max: 10_000 }, Optional).or(&["note"]),
    ],
    first_group: Some("answers"),
};

static MOOD_ENTRY: Shape = Shape {
    fields: &[
        field("value", Rule::Integer { min: 1, max: 7 }, Required).or(&["score"]),
        field("scale", Rule::Scale, Default("7")).with_previous(),
        field("activities", Rule::Ids, Default("[]")),
        field("note", Rule::Text { chars_max: 5_000 }, Optional).or(&["notes"]),
        field("recorded_at", Rule::Time, Required),
    ],
    first_group: None,
};

static ACTIVITY: Shape = Shape {
    fields: &[
        field("label", Rule::Name { chars_max: 50 }, Required).or(&["name"]),
        field("color_hex", Rule::Colour, Optional).or(&["color"]),
        field("icon", Rule::Icon, Optional),
        field("group_id", Rule::Id, Optional),
    ],
    first_group: None,
};

static ACTIVITY_GROUP: Shape = Shape {
    fields: &[
        field("name", Rule::Name { chars_max: 100 }, Required).or(&["label"]),
        field("description", Rule::Text { chars_max: 500 }, Optional),
    ],
    first_group: None,
};

static ACTIVITY_LOG: Shape = Shape {
    fields: &[
        field("activity_id", Rule::Id, Required),
        field("logged_at", Rule::Time, Required),
        field("notes", Rule::Text { chars_max: 500 }, Optional).or(&["note"]),
    ],
    first_group: None,
};

static ACTIVITY_GOAL: Shape = Shape {
    fields: &[
        field("activity_id", Rule::Id, Optional),
        field("group_id", Rule::Id, Optional).with_previous(),
        field("goal_type", Rule::Word(&["days_per_period", "percent_improvement"]), Required),
        field("target_value", Rule::Integer { min: 1, max: 2_147_483_647 }, Required).with_previous(),
        field("period_days", Rule::Integer { min: 1, max: 2_147_483_647 }, Required),
    ],
    first_group: Some("goal_of"),
};

static SCHEDULE: Shape = Shape {
    fields: &[
        field("frequency", Rule::Word(&["daily", "weekly", "biweekly", "monthly"]), Required).or(&["cadence"]),
        field("day_of_week", Rule::Integer { min: 0, max: 6 }, Optional).with_previous(),
        field("day_of_month", Rule::Integer { min: 1, max: 31 }, Optional).with_previous(),
        field("assessment_type", Rule::AssessmentType, Required),
        field("time_of_day", Rule::TimeOfDay, Optional),
        field("enabled", Rule::Flag, Default("true")),
        field("next_due_at", Rule::Time, Optional).or(&["next_due"]),
        field("last_triggered_at", Rule::Time, Optional),
    ],
    first_group: None,
};

impl Shape {
    /// The fields of `kind`; `None` of one that is not known.
    pub(crate) const fn of(kind: &EntityType) -> Option<&'static Self> {
        Some(match kind {
            EntityType::AssessmentEntry => &ASSESSMENT_ENTRY,
            EntityType::MoodEntry => &MOOD_ENTRY,
            EntityType::Activity => &ACTIVITY,
            EntityType::ActivityGroup => &ACTIVITY_GROUP,
            EntityType::ActivityLog => &ACTIVITY_LOG,
            EntityType::ActivityGoal => &ACTIVITY_GOAL,
            EntityType::Schedule => &SCHEDULE,
            EntityType::Other(_) => return None,
        })
    }

    /// The place of the field that is called `name` where it is read.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name || field.aliases.contains(&name))
    }

    /// Under which name the field at `place` is merged, and whether others go with it.
    pub(crate) fn part(&self, place: usize) -> (&'static str, bool) {
        let lead = (0..=place).rev().find(|at| !self.fields[*at].goes_with_previous).unwrap_or(0);
        let is_group = self.fields.get(lead + 1).is_some_and(|next| next.goes_with_previous);
        let own = self.fields[lead].name;
        (if lead == 0 { self.first_group.unwrap_or(own) } else { own }, is_group)
    }

    /// Whether several fields are merged under `name`; `None` when none is.
    pub(crate) fn merged(&self, name: &str) -> Option<bool> {
        (0..self.fields.len())
            .map(|place| self.part(place))
            .find(|(part, _)| *part == name)
            .map(|(_, is_group)| is_group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_to_two_fields() {
        for kind in EntityType::KNOWN {
            let shape = Shape::of(&kind).unwrap();
            assert!(shape.fields.len() <= FIELDS_MAX, "{kind}");
            let names = shape.fields.iter().flat_map(|field| field.aliases.iter().copied().chain([field.name]));
            let mut names: Vec<_> = names.chain(["id", "metadata", "enc"]).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{kind}");
        }
    }
}
