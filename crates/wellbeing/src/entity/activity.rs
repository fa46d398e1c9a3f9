//! What one does: activities, their groups, and that one was done.

use super::data::{Reader, Writer};
use super::record::record;
use super::{Extra, Metadata};
use crate::{ActivityGroupId, ActivityId, ActivityLogId, Invalid, Timestamp};

/// Something that one does.
///
/// | field | rule |
/// | --- | --- |
/// | `label` (`name`) | 1-50 characters without the space around |
/// | `color_hex` (`color`) | `#RGB`, `#RRGGBB` or `#RRGGBBAA` |
/// | `icon` | 1-20 characters |
/// | `group_id` | a UUID; apps need one |
///
/// An app allows one live activity of each name: its client settles what two devices made.
#[derive(Clone, PartialEq)]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    /// Its name.
    pub label: String,
    /// Its colour.
    pub color_hex: Option<String>,
    /// Its picture.
    pub icon: Option<String>,
    /// The group that it is in.
    pub group_id: Option<ActivityGroupId>,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(Activity, ActivityId);

impl Activity {
    /// One that is called `label`, made `now`.
    #[must_use]
    pub fn new(id: ActivityId, label: &str, now: Timestamp) -> Self {
        Self {
            id,
            label: label.to_owned(),
            color_hex: None,
            icon: None,
            group_id: None,
            metadata: Metadata::new(now),
            extra: Extra::default(),
        }
    }

    fn read(id: ActivityId, from: &Reader<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id,
            label: from.required("label")?,
            color_hex: from.optional("color_hex"),
            icon: from.optional("icon"),
            group_id: from.optional("group_id"),
            metadata: from.metadata(),
            extra: from.extra(),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.field("label", &self.label);
        out.optional("color_hex", self.color_hex.as_ref());
        out.optional("icon", self.icon.as_ref());
        out.optional("group_id", self.group_id);
    }
}

/// What activities are grouped by.
///
/// | field | rule |
/// | --- | --- |
/// | `name` (`label`) | 1-100 characters without the space around |
/// | `description` | up to 500 characters, none of control but `\n`, `\r`, `\t` |
#[derive(Clone, PartialEq)]
pub struct ActivityGroup {
    /// Its id.
    pub id: ActivityGroupId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(ActivityGroup, ActivityGroupId);

impl ActivityGroup {
    /// One that is called `name`, made `now`.
    #[must_use]
    pub fn new(id: ActivityGroupId, name: &str, now: Timestamp) -> Self {
        let (metadata, extra) = (Metadata::new(now), Extra::default());
        Self { id, name: name.to_owned(), description: None, metadata, extra }
    }

    fn read(id: ActivityGroupId, from: &Reader<'_>) -> Result<Self, Invalid> {
        let (name, description) = (from.required("name")?, from.optional("description"));
        Ok(Self { id, name, description, metadata: from.metadata(), extra: from.extra() })
    }

    fn write(&self, out: &mut Writer) {
        out.field("name", &self.name);
        out.optional("description", self.description.as_ref());
    }
}

/// That an activity was done.
///
/// | field | rule |
/// | --- | --- |
/// | `activity_id` | a UUID |
/// | `logged_at` | a time |
/// | `notes` (`note`) | up to 500 characters, none of control but `\n`, `\r`, `\t` |
#[derive(Clone, PartialEq)]
pub struct ActivityLog {
    /// Its id.
    pub id: ActivityLogId,
    /// What was done.
    pub activity_id: ActivityId,
    /// When.
    pub logged_at: Timestamp,
    /// What the person added.
    pub notes: Option<String>,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(ActivityLog, ActivityLogId);

impl ActivityLog {
    /// That `activity_id` was done at `logged_at`.
    #[must_use]
    pub fn new(id: ActivityLogId, activity_id: ActivityId, logged_at: Timestamp) -> Self {
        let (metadata, extra) = (Metadata::new(logged_at), Extra::default());
        Self { id, activity_id, logged_at, notes: None, metadata, extra }
    }

    fn read(id: ActivityLogId, from: &Reader<'_>) -> Result<Self, Invalid> {
        let (activity_id, logged_at) = (from.required("activity_id")?, from.required("logged_at")?);
        let (notes, metadata, extra) = (from.optional("notes"), from.metadata(), from.extra());
        Ok(Self { id, activity_id, logged_at, notes, metadata, extra })
    }

    fn write(&self, out: &mut Writer) {
        out.field("activity_id", self.activity_id);
        out.field("logged_at", self.logged_at);
        out.optional("notes", self.notes.as_ref());
    }
}
