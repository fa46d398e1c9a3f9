//! The notes of an app that keeps what it is given as it is given, and promises that what is deleted is gone.

use tombolo_core::{CollectionName, Digest, Fields, Policy, PolicyError, RecordKey, Unique};

use crate::notes::Notes;

/// How a diary's notes are read: as [`Notes`] are, but that clients do not restamp what they apply, that nothing refers
/// to anything, and that a deletion takes with it what the record said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Diary;

impl Policy for Diary {
    fn collections(&self) -> &'static [CollectionName] {
        Notes.collections()
    }

    fn rank(&self, _: CollectionName) -> usize {
        0
    }

    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        Notes.split(collection, payload)
    }

    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        Notes.join(collection, fields)
    }

    fn same(&self, collection: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool {
        Notes.same(collection, field, left, right)
    }

    fn merge_set(
        &self,
        collection: CollectionName,
        field: &str,
        base: &[u8],
        left: &[u8],
        right: &[u8],
    ) -> Option<Vec<u8>> {
        Notes.merge_set(collection, field, base, left, right)
    }

    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        Notes.digest(collection, payload)
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
