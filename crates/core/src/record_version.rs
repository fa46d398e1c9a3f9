//! Which state of a record a client had in hand.

use std::fmt;

use crate::{Digest, Seq};

/// A state of a record: the change that made it, and a part of its content's digest, so that a change of the same number
/// in another history is told apart. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordVersion {
    /// The change that made it.
    pub seq: Seq,
    mark: [u8; 8],
}

/// A text that is no version of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no version that this server gave out")]
pub struct RecordVersionError;

impl RecordVersion {
    /// The version that the change `seq` made, whose content has `digest`.
    #[must_use]
    pub fn new(seq: Seq, digest: Digest) -> Self {
        let mut mark = [0; 8];
        mark.copy_from_slice(&digest.to_bytes()[..8]);
        Self { seq, mark }
    }

    /// Whether it is the state of a change at its place whose content has `digest`.
    #[must_use]
    pub fn is_of(self, digest: Digest) -> bool {
        self == Self::new(self.seq, digest)
    }

    /// Reads what `Display` wrote.
    ///
    /// # Errors
    /// [`RecordVersionError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, RecordVersionError> {
        let (seq, mark) = text.split_once('-').ok_or(RecordVersionError)?;
        let seq = seq.parse::<i64>().ok().and_then(|seq| u64::try_from(seq).ok()).ok_or(RecordVersionError)?;
        let mark = u64::from_str_radix(mark, 16).map_err(|_| RecordVersionError)?.to_be_bytes();
        let version = Self { seq: Seq::new(seq), mark };
        (version.to_string() == text).then_some(version).ok_or(RecordVersionError)
    }
}

impl fmt::Display for RecordVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.seq, u64::from_be_bytes(self.mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_and_read() {
        let digest = Digest::of(b"content");
        let version = RecordVersion::new(Seq::new(42), digest);
        assert!(version.is_of(digest) && !version.is_of(Digest::DELETED));
        assert_eq!(RecordVersion::parse(&version.to_string()), Ok(version));
        for text in ["", "42", "42-", "-1-0000000000000000", "42-0", "042-0000000000000000", "42-000000000000000G"] {
            assert_eq!(RecordVersion::parse(text), Err(RecordVersionError), "{text}");
        }
    }
}
