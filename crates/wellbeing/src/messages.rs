//! The messages of the sync.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::{DeviceId, EntityType, Timestamp};

/// What a device says that it had in hand when it made its first edit that was not sent yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// It says nothing.
    #[default]
    Unsaid,
    /// Nothing: the record is new to it.
    Nothing,
    /// This version of it, as the server gave it.
    Version(String),
}

impl Base {
    const fn is_unsaid(&self) -> bool {
        matches!(self, Self::Unsaid)
    }
}

impl Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Version(version) => serializer.serialize_str(version),
            Self::Unsaid | Self::Nothing => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map_or(Self::Nothing, Self::Version))
    }
}

/// A record as one side has it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SyncChange {
    /// The record's kind.
    pub entity_type: EntityType,
    /// Its id.
    pub id: Uuid,
    /// When it was written.
    pub updated_at: Timestamp,
    /// Whether it is gone.
    #[serde(default)]
    pub deleted: bool,
    /// What it says; nothing where it is gone.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// In an upload: what the device had in hand.
    #[serde(default, skip_serializing_if = "Base::is_unsaid")]
    pub base: Base,
    /// In a download: what the next edit of it names as its base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl std::fmt::Debug for SyncChange {
    /// All but what it says, which is nobody's business but the person's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncChange")
            .field("entity_type", &self.entity_type)
            .field("id", &self.id)
            .field("updated_at", &self.updated_at)
            .field("deleted", &self.deleted)
            .field("data_bytes", &self.data.as_ref().map(|data| data.get().len()))
            .field("base", &self.base)
            .field("version", &self.version)
            .finish()
    }
}

/// `POST /v1/sync/upload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncUploadRequest {
    /// The device.
    pub device_id: DeviceId,
    /// Where it resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cursor: Option<String>,
    /// What it changed.
    pub changes: Vec<SyncChange>,
}

/// Its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncUploadResponse {
    /// Where the device resumes: never beyond what it has not seen.
    pub server_cursor: String,
    /// The records of which everything that was sent is stored.
    pub applied_ids: Vec<Uuid>,
    /// The same.
    #[serde(default)]
    pub applied: Vec<Uuid>,
    /// What the device has in hand of each record that was stored, as the base of its next edit.
    #[serde(default)]
    pub versions: BTreeMap<Uuid, String>,
    /// What lost against another's change, or was refused.
    pub conflicts: Vec<ConflictInfo>,
}

/// A change that was not simply stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConflictInfo {
    /// The record's kind, as it was sent.
    pub entity_type: String,
    /// Its id, as it was sent.
    pub id: String,
    /// `server_newer`, or `invalid:` and why.
    pub reason: String,
    /// The record as it is now, for information: the device takes it from its next download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SyncChange>,
}

/// `POST /v1/sync/download`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncDownloadRequest {
    /// The device.
    pub device_id: DeviceId,
    /// Where it resumes; nothing, an empty text or `"0"` for the beginning.
    #[serde(default)]
    pub since: Option<String>,
    /// Records of one page, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncDownloadResponse {
    /// Where the device resumes.
    pub server_cursor: String,
    /// What changed.
    pub changes: Vec<SyncChange>,
    /// Whether there is more.
    #[serde(default)]
    pub has_more: bool,
}

/// `GET /v1/auth/api-keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKeys {
    /// The keys of the user, by name.
    pub api_keys: Vec<ApiKey>,
}

/// A key, as its user reads it: nothing in it opens anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// What it is revoked by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// `POST /v1/auth/api-keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewApiKey {
    /// Its name.
    pub name: String,
}

/// Its answer; the only time that the token is shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeApiKey {
    /// What it is revoked by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The key itself.
    pub token: String,
}

impl std::fmt::Debug for MadeApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeApiKey").field("id", &self.id).field("name", &self.name).field("token", &"***").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_is_not_said_is_told_apart_from_none() {
        let read = |base: &str| {
            let text = format!(
                r#"{{"entity_type":"Activity","id":"0B5B5CF2-5E2A-4C1D-8B7B-1F3E6A1C2D3E","updated_at":"2026-11-20T20:00:00Z"{base}}}"#
            );
            serde_json::from_str::<SyncChange>(&text).unwrap()
        };
        assert_eq!(read("").base, Base::Unsaid);
        assert_eq!(read(r#","base":null"#).base, Base::Nothing);
        assert_eq!(read(r#","base":"7-0""#).base, Base::Version("7-0".to_owned()));
        let written = serde_json::to_string(&read(r#","base":null"#)).unwrap();
        assert!(written.contains(r#""base":null"#) && written.contains("0b5b5cf2-5e2a"), "{written}");
        assert!(!serde_json::to_string(&read("")).unwrap().contains("base"));
    }

    #[test]
    fn nothing_of_the_content_is_printed() {
        let text = r#"{"entity_type":"Activity","id":"0B5B5CF2-5E2A-4C1D-8B7B-1F3E6A1C2D3E","updated_at":"2026-11-20T20:00:00Z","data":{"label":"geheim"}}"#;
        let printed = format!("{:?}", serde_json::from_str::<SyncChange>(text).unwrap());
        assert!(printed.contains("data_bytes: Some(18)") && !printed.contains("geheim"), "{printed}");
    }
}
