//! What a protocol says about its records, handed down with each push as a value.

use std::borrow::Cow;

use crate::{CollectionName, Digest, RecordKey};

/// A payload taken apart: each field's name with its raw bytes. A protocol that takes fields which it does not know
/// names them as their clients do.
pub type Fields<'a> = Vec<(Cow<'a, str>, Cow<'a, [u8]>)>;

/// A payload that its own policy cannot read: damage, or a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {collection} does not read: {reason}")]
pub struct PolicyError {
    /// The record's kind.
    pub collection: &'static str,
    /// What is wrong, without any of the content.
    pub reason: String,
}

/// What only one live record of a collection may have, and who keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The value that may be held once, normalised.
    pub key: Vec<u8>,
    /// The holder's age: of two records with one key the smaller stays.
    pub age: [u8; 12],
}

/// How the records of one protocol are taken apart, compared and put together.
///
/// The store calls it inside its transaction and knows no format itself.
///
/// # Contract
/// Pure: the same arguments give the same answer. `join(split(p))` has the digest of `p`. A panic fails the push that
/// caused it, and nothing else.
pub trait Policy: Send + Sync {
    /// The collections, in no order. Names that are stored lead back to these.
    fn collections(&self) -> &'static [CollectionName];

    /// The rank in which a collection is sent, below [`RANKS`](crate::RANKS).
    fn rank(&self, collection: CollectionName) -> usize;

    /// Takes a payload apart. A payload that must not be merged by field (an encrypted one) is one field.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError>;

    /// Puts fields together again; `None` when the result fails the collection's validation.
    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>>;

    /// Whether two values of one field mean the same. What can be derived from other fields never differs.
    fn same(&self, collection: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool;

    /// Merges a field that is a set, element by element, against `base`; `None` when the field is no set.
    fn merge_set(
        &self,
        collection: CollectionName,
        field: &str,
        base: &[u8],
        left: &[u8],
        right: &[u8],
    ) -> Option<Vec<u8>>;

    /// The digest of a payload's normalised content.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError>;

    /// The records that a payload refers to.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn references(&self, collection: CollectionName, payload: &[u8]) -> Result<Vec<RecordKey>, PolicyError>;

    /// The payload with its references to `from` made references to `to`, or taken out when that is `None`.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn redirect(
        &self,
        collection: CollectionName,
        payload: &[u8],
        from: &RecordKey,
        to: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError>;

    /// The payload with a reference to `target` added; `None` when this collection keeps no such references.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn attach(
        &self,
        collection: CollectionName,
        payload: &[u8],
        target: &RecordKey,
    ) -> Result<Option<Vec<u8>>, PolicyError>;

    /// What only one live record may have; `None` when this collection knows no such thing.
    ///
    /// # Errors
    /// [`PolicyError`] when the payload does not read.
    fn unique(&self, collection: CollectionName, payload: &[u8]) -> Result<Option<Unique>, PolicyError>;

    /// Whether clients put a new instant on what they merely apply. Then an upload that bears the instant last
    /// exchanged for its record is an echo, whatever its content.
    fn clients_restamp(&self) -> bool;

    /// Whether a deletion takes with it what the record ever said: then nothing lies under a tombstone, and what was
    /// written before it can no longer be a base.
    fn erases(&self) -> bool {
        false
    }

    /// The record that every replica makes for itself under an id of its own (an inbox): all are one to the server.
    fn home(&self) -> Option<RecordKey>;
}
