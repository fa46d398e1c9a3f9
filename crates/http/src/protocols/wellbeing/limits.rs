//! The bounds of this protocol, each with its reason.

/// An upload's body, after decompression: 100,000 moods with their notes.
pub(super) const UPLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Changes of one upload. It bounds what a body of the smallest possible changes makes us keep, at some 300 bytes each,
/// and how long the transaction that stores them holds others up.
pub(super) const CHANGES_MAX: usize = 100_000;
/// The body of any other request: a device, a cursor, a name.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// What one record says: the app's longest text is 10,000 letters, and an envelope is no more than twice what is in it.
pub(super) const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Records of one page where nothing is said: what a phone applies in one transaction without being noticed.
pub(super) const PAGE_RECORDS: usize = 1_000;
/// Records of one page at most, whatever is wished for.
pub(super) const PAGE_RECORDS_MAX: usize = 10_000;
/// What the records of one page may take: a reply that a client reads into memory.
pub(super) const PAGE_BYTES_MAX: usize = 8_500_000;
/// What a record takes in a reply besides its payload and its name, at most: the keys around it, its kind, its version,
/// and its time twice.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 360;
/// Refused changes kept for the operator, of one upload.
pub(super) const REFUSED_MAX: usize = 1_000;
/// A text of a client's that is named in a conflict, in letters: an id and a kind are shorter.
pub(super) const SHOWN_CHARS_MAX: usize = 64;
