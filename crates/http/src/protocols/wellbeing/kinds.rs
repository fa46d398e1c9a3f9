//! Where records of each kind are kept: which collection, under which name.

use tombolo_core::{CollectionName, RecordKey, RecordName};
use tombolo_wellbeing::EntityType;
use uuid::Uuid;

const ASSESSMENT_ENTRY: CollectionName = CollectionName::new("AssessmentEntry");
const MOOD_ENTRY: CollectionName = CollectionName::new("MoodEntry");
const ACTIVITY: CollectionName = CollectionName::new("Activity");
const ACTIVITY_GROUP: CollectionName = CollectionName::new("ActivityGroup");
const ACTIVITY_LOG: CollectionName = CollectionName::new("ActivityLog");
const ACTIVITY_GOAL: CollectionName = CollectionName::new("ActivityGoal");
const SCHEDULE: CollectionName = CollectionName::new("Schedule");
/// Those of kinds that this version does not know: their names begin with their kind.
const OTHER: CollectionName = CollectionName::new("other");

/// All of them.
pub(super) const COLLECTIONS: [CollectionName; 8] =
    [ASSESSMENT_ENTRY, MOOD_ENTRY, ACTIVITY, ACTIVITY_GROUP, ACTIVITY_LOG, ACTIVITY_GOAL, SCHEDULE, OTHER];

/// What the record of a kind and an id is kept under.
pub(super) fn key(kind: &EntityType, id: Uuid) -> RecordKey {
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    let id: &str = id.as_hyphenated().encode_lower(&mut buffer);
    let (collection, name) = match kind {
        EntityType::AssessmentEntry => (ASSESSMENT_ENTRY, RecordName::parse(id)),
        EntityType::MoodEntry => (MOOD_ENTRY, RecordName::parse(id)),
        EntityType::Activity => (ACTIVITY, RecordName::parse(id)),
        EntityType::ActivityGroup => (ACTIVITY_GROUP, RecordName::parse(id)),
        EntityType::ActivityLog => (ACTIVITY_LOG, RecordName::parse(id)),
        EntityType::ActivityGoal => (ACTIVITY_GOAL, RecordName::parse(id)),
        EntityType::Schedule => (SCHEDULE, RecordName::parse(id)),
        EntityType::Other(kind) => (OTHER, RecordName::parse(&format!("{kind}/{id}"))),
    };
    RecordKey::new(collection, name.expect("a kind and a UUID are letters, digits and a few signs, and short"))
}

/// A record's kind and its id, as they go out.
pub(super) fn shown(key: &RecordKey) -> (&str, &str) {
    let name = key.name.as_str();
    match name.split_once('/').filter(|_| key.collection == OTHER) {
        Some((kind, id)) => (kind, id),
        None => (key.collection.as_str(), name),
    }
}

/// The kind of a collection's records, as far as their contents are read.
pub(super) fn of(collection: CollectionName) -> EntityType {
    let known = EntityType::KNOWN.into_iter().find(|known| known.as_str() == collection.as_str());
    known.unwrap_or_else(|| EntityType::Other(OTHER.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place_and_comes_back_from_it() {
        let id: Uuid = "0B5B5CF2-5E2A-4C1D-8B7B-1F3E6A1C2D3E".parse().unwrap();
        let unknown = EntityType::Other("x".repeat(EntityType::BYTES_MAX));
        for kind in EntityType::KNOWN.into_iter().chain([unknown, EntityType::Other("sleep_log".to_owned())]) {
            let key = key(&kind, id);
            assert_eq!(shown(&key), (kind.as_str(), "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e"));
            assert!(COLLECTIONS.contains(&key.collection));
            let is_known = EntityType::KNOWN.contains(&kind);
            assert_eq!(of(key.collection), if is_known { kind } else { EntityType::Other("other".to_owned()) });
        }
    }
}
