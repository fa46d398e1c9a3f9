//! What decides between two concurrent writes of one field.

use std::cmp::Ordering;

use crate::{Digest, Instant, ReplicaName, ServerTime};

/// What decides between two concurrent writes of one field: the deciding instant, then the replica, then the digest.
///
/// The deciding instant is fixed once, at commit: the earlier of the client's instant and the commit time, and later
/// than that of the write it was based on. So a clock that is ahead gains nothing but the present, a clock that is
/// behind never loses to what its user had seen, and two equal stamps mean one and the same write. Instants before
/// 1970 count as its first moment: only a clock that was never set is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The deciding instant.
    pub at: Instant,
    /// The replica that wrote; `None` for what the server derived.
    pub replica: Option<ReplicaName>,
    /// The digest of the content.
    pub digest: Digest,
}

impl Stamp {
    /// Fixes the stamp of a write that is being committed.
    ///
    /// `written_at` is the client's instant, `committed_at` the server's, `base` the stamp of what the replica had in
    /// hand when it wrote.
    #[must_use]
    pub fn decide(
        written_at: Instant,
        committed_at: ServerTime,
        base: Option<Instant>,
        replica: ReplicaName,
        digest: Digest,
    ) -> Self {
        let claimed = written_at.min(committed_at.to_instant()).max(ServerTime::from_micros(0).to_instant());
        let at =
            base.and_then(|base| Instant::from_nanos(base.nanos() + 1)).map_or(claimed, |least| claimed.max(least));
        Self { at, replica: Some(replica), digest }
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, &self.replica, self.digest).cmp(&(other.at, &other.replica, other.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(written: &str, base: Option<&str>) -> Instant {
        let at = |text| Instant::parse(text).unwrap();
        let committed = ServerTime::from_micros(i64::try_from(at("2026-06-01T12:00:00Z").nanos() / 1_000).unwrap());
        let replica = ReplicaName::parse("a").unwrap();
        Stamp::decide(at(written), committed, base.map(at), replica, Digest::DELETED).at
    }

    #[test]
    fn the_deciding_instant() {
        let check = |written, base, expected| {
            assert_eq!(decide(written, base), Instant::parse(expected).unwrap(), "{written} on {base:?}");
        };
        check("2026-06-01T11:00:00Z", None, "2026-06-01T11:00:00Z");
        check("2999-01-01T00:00:00Z", None, "2026-06-01T12:00:00Z");
        check("2025-01-01T00:00:00Z", Some("2026-05-01T00:00:00Z"), "2026-05-01T00:00:00.000000001Z");
        check("2026-06-01T11:00:00Z", Some("2026-05-01T00:00:00Z"), "2026-06-01T11:00:00Z");
        check("0001-01-01T00:00:00Z", None, "1970-01-01T00:00:00Z");
    }
}
