//! The bounds of this protocol's HTTP, each with its reason. What rooms may have is their options' to say.

/// What a room is wished for with: a code and a name. The rest is for fields that nobody knows.
pub(super) const WISH_BYTES_MAX: usize = 64 << 10;
