//! The bounds of this protocol, each with its reason.

/// A request's body, after decompression: a first sync of some hundred thousand tasks.
pub(super) const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Records of one request: what a body of the smallest real records holds. It bounds what a hostile one makes us keep.
pub(super) const CHANGES_MAX: usize = 250_000;

// The desktop reads no reply above 10 MB. All parts together stay below it: 8.5 + 0.8 + 0.6 MB.

/// What the records of one reply may take.
pub(super) const PAGE_BYTES_MAX: usize = 8_500_000;
/// What a record takes in a reply besides its payload and its id: type, instant and the keys around them, and the
/// inbox's id.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 160;
/// One record: with its overhead it fits a reply, whatever else the reply says.
pub(super) const RECORD_BYTES_MAX: usize = 8_000_000;
/// Conflicts named in one reply, at 39 bytes each.
pub(super) const CONFLICTS_MAX: usize = 20_000;
/// Refused records named in one reply, at some 300 bytes each, 600 at most.
pub(super) const REFUSED_MAX: usize = 1_000;
