//! How wellbeing records are taken apart, compared and put together.

use std::borrow::Cow;

use tombolo_core::{CollectionName, Digest, Fields, Policy, PolicyError, RecordKey, Unique};
use tombolo_wellbeing::normal;

use super::kinds;

/// The policy of wellbeing records, whose normal form and fields `tombolo-wellbeing` knows.
///
/// No record takes another along: a mood may come before its activities, and names that two devices gave at once are
/// settled by the devices. What is deleted is erased.
#[derive(Clone, Copy, Debug, Default)]
pub struct WellbeingPolicy;

fn unreadable(collection: CollectionName) -> PolicyError {
    PolicyError { collection: collection.as_str(), reason: "it is not in the normal form".to_owned() }
}

fn text(payload: &[u8]) -> Option<&str> {
    std::str::from_utf8(payload).ok()
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

impl Policy for WellbeingPolicy {
    fn collections(&self) -> &'static [CollectionName] {
        &kinds::COLLECTIONS
    }

    fn rank(&self, _: CollectionName) -> usize {
        // No record needs another to be there first: devices take them in any order.
        0
    }

    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        let fields = text(payload).and_then(|payload| normal::fields(&kinds::of(collection), payload));
        let fields = fields.ok_or_else(|| unreadable(collection))?;
        Ok(fields.into_iter().map(|(name, value)| (name, bytes(value))).collect())
    }

    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        let fields: Option<Vec<(&str, &str)>> =
            fields.iter().map(|(name, value)| Some((name.as_ref(), text(value)?))).collect();
        normal::join(&kinds::of(collection), &fields?).map(String::into_bytes)
    }

    fn same(&self, _: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool {
        // A field that is missing on one side differs: there was nothing yet.
        let is_derived = field == normal::CREATED_AT && !left.is_empty() && !right.is_empty();
        left == right || is_derived
    }

    fn merge_set(
        &self,
        collection: CollectionName,
        field: &str,
        base: &[u8],
        left: &[u8],
        right: &[u8],
    ) -> Option<Vec<u8>> {
        let merged = normal::merge_set(&kinds::of(collection), field, text(base)?, text(left)?, text(right)?);
        merged.map(String::into_bytes)
    }

    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        let parts = text(payload).map(|payload| normal::without_created_at(&kinds::of(collection), payload));
        let (before, after) = parts.ok_or_else(|| unreadable(collection))?;
        // A separator that no JSON text holds.
        Ok(Digest::of_parts(&[before.as_bytes(), b"\0", after.as_bytes()]))
    }

    fn references(&self, _: CollectionName, _: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        Ok(Vec::new())
    }

    fn redirect(
        &self,
        _: CollectionName,
        payload: &[u8],
        _: &RecordKey,
        _: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        Ok(payload.to_vec())
    }

    fn attach(&self, _: CollectionName, _: &[u8], _: &RecordKey) -> Result<Option<Vec<u8>>, PolicyError> {
        Ok(None)
    }

    fn unique(&self, _: CollectionName, _: &[u8]) -> Result<Option<Unique>, PolicyError> {
        Ok(None)
    }

    fn clients_restamp(&self) -> bool {
        false
    }

    fn erases(&self) -> bool {
        true
    }

    fn home(&self) -> Option<RecordKey> {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use tombolo_wellbeing::EntityType;

    use super::*;

    const MOOD: CollectionName = CollectionName::new("MoodEntry");
    const SCHEDULE: CollectionName = CollectionName::new("Schedule");
    const OTHER: CollectionName = CollectionName::new("other");

    fn stored(collection: CollectionName, data: &str) -> Vec<u8> {
        let data: Box<RawValue> = serde_json::from_str(data).unwrap();
        normal::normalise(&kinds::of(collection), &data).unwrap().into_bytes()
    }

    fn mood(rest: &str) -> Vec<u8> {
        stored(MOOD, &format!(r#"{{"value":3,"recorded_at":"2027-01-14T20:00:00Z"{rest}}}"#))
    }

    #[test]
    fn what_is_taken_apart_is_put_together_again() {
        for (collection, payload) in [
            (MOOD, mood("")),
            (
                MOOD,
                mood(
                    r#","note":null,"weather":{"b":1.0,"a":[]},"metadata":{"created_at":"2027-01-14T20:00:00Z","by":1}"#,
                ),
            ),
            (MOOD, stored(MOOD, r#"{ "enc": "v1", "value": 99 }"#)),
            (
                SCHEDULE,
                stored(
                    SCHEDULE,
                    r#"{"assessment_type":"PHQ-9","frequency":"weekly","day_of_week":0,"time_of_day":"08:00","enabled":true}"#,
                ),
            ),
            (OTHER, stored(OTHER, r#"{"z":1.0,"a":{"b":[]}}"#)),
            (OTHER, stored(OTHER, "{}")),
        ] {
            let mut fields = WellbeingPolicy.split(collection, &payload).unwrap();
            assert_eq!(WellbeingPolicy.join(collection, &fields).as_deref(), Some(&*payload));
            fields.reverse();
            assert_eq!(WellbeingPolicy.join(collection, &fields).as_deref(), Some(&*payload));
        }
        assert!(WellbeingPolicy.split(MOOD, b"\xff").is_err());
    }

    #[test]
    fn when_it_was_made_is_no_difference() {
        let created = |at: &str| mood(&format!(r#","metadata":{{"created_at":"{at}"}}"#));
        let (one, other) = (created("2027-01-14T20:00:00Z"), created("2027-01-14T21:00:00Z"));
        let digest = |payload: &[u8]| WellbeingPolicy.digest(MOOD, payload).unwrap();
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&mood(r#","note":"x""#)));
        let same = |field: &str, left: &[u8], right: &[u8]| WellbeingPolicy.same(MOOD, field, left, right);
        assert!(same(normal::CREATED_AT, b"1", b"2") && !same("note", b"1", b"2") && same("note", b"1", b"1"));
        assert!(!same(normal::CREATED_AT, b"", b"2"), "there was nothing yet");
    }

    #[test]
    fn activities_are_merged_each_by_itself_and_nothing_else_is() {
        let set = |ids: &[u8]| {
            let ids: Vec<String> = ids.iter().map(|n| format!("\"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c000{n}\"")).collect();
            format!("[{}]", ids.join(",")).into_bytes()
        };
        let merge = |field: &str, base: &[u8], left: &[u8], right: &[u8]| {
            WellbeingPolicy.merge_set(MOOD, field, &set(base), &set(left), &set(right))
        };
        assert_eq!(merge("activities", &[1, 2], &[1, 2, 3], &[2, 4]), Some(set(&[2, 3, 4])));
        assert_eq!(merge("note", &[1], &[2], &[3]), None);
    }

    #[test]
    fn every_collection_leads_to_its_kind() {
        for known in EntityType::KNOWN {
            let of = WellbeingPolicy.collections().iter().filter(|collection| kinds::of(**collection) == known);
            assert_eq!(of.count(), 1, "{known}");
        }
        assert!(WellbeingPolicy.collections().iter().all(|collection| WellbeingPolicy.rank(*collection) == 0));
        assert!(WellbeingPolicy.erases() && !WellbeingPolicy.clients_restamp());
    }
}
