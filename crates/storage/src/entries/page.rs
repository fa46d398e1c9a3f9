//! A page of entries as it fills.

use tombolo_core::{Instant, Seq, ServerTime, SpaceId};

use super::listing::Listing;
use super::{EntryPage, PageBounds};
use crate::StoreError;

/// A page that is being read, row by row, in the order of the log and without a gap.
pub(crate) struct Filling {
    listing: Listing,
    count_max: usize,
    after: Seq,
}

impl Filling {
    pub(crate) const fn new(space: SpaceId, after: Seq, bounds: PageBounds) -> Self {
        Self { listing: Listing::new(space, bounds), count_max: bounds.count_max, after }
    }

    /// Takes the next entry of the log; `false` when the page has no room for it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not the next one, or not what was written.
    pub(crate) fn take(
        &mut self,
        seq: Seq,
        committed_at: ServerTime,
        written_at: Instant,
        checksum: u32,
        payload: &[u8],
    ) -> Result<bool, StoreError> {
        let expected = self.last().next();
        if seq != expected {
            return Err(self.listing.missing(expected));
        }
        self.listing.take(seq, committed_at, written_at, checksum, payload)
    }

    /// The page, of a log that ends at `head`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it holds nothing although something is there: whoever reads on would never end.
    pub(crate) fn finish(self, head: Seq) -> Result<EntryPage, StoreError> {
        if self.listing.last().is_none() && self.after < head && self.count_max > 0 {
            return Err(self.listing.missing(self.after.next()));
        }
        Ok(EntryPage { entries: self.listing.finish(), head })
    }

    fn last(&self) -> Seq {
        self.listing.last().map_or(self.after, |entry| entry.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::checksum_of;

    /// How many of entries of these sizes a page takes.
    fn check(sizes: &[usize], count_max: usize, bytes_max: usize, taken: usize) {
        let mut filling = Filling::new(SpaceId::new(1), Seq::new(4), PageBounds { count_max, bytes_max });
        let mut is_full = false;
        for (n, size) in (5..).zip(sizes) {
            let payload = vec![b'x'; *size];
            let at = ServerTime::from_micros(0);
            let has_room =
                filling.take(Seq::new(n), at, at.to_instant(), checksum_of(Some(&payload)), &payload).unwrap();
            assert!(!(is_full && has_room), "{sizes:?}");
            is_full = !has_room;
            if is_full {
                break;
            }
        }
        let page = filling.finish(Seq::new(4 + sizes.len() as u64)).unwrap();
        assert_eq!(page.entries.len(), taken, "{sizes:?} {count_max} {bytes_max}");
    }

    #[test]
    fn what_a_page_has_room_for() {
        check(&[], 10, 10, 0);
        check(&[5, 5], 10, 10, 2);
        check(&[5, 6], 10, 10, 1);
        check(&[5, 5, 0, 0, 1], 10, 10, 4);
        // The first is given whatever its size.
        check(&[11, 0], 10, 10, 1);
        check(&[0, 11], 10, 10, 1);
        check(&[1, 1, 1], 2, 10, 2);
        check(&[1, 1], 0, 10, 0);
        check(&[1, 1], 10, 0, 1);
    }

    #[test]
    fn damage_is_no_page() {
        let filling = || Filling::new(SpaceId::new(1), Seq::ZERO, PageBounds { count_max: 9, bytes_max: 9 });
        let take = |seq: u64, checksum: u32| {
            let at = ServerTime::from_micros(0);
            filling().take(Seq::new(seq), at, at.to_instant(), checksum, b"x").map_err(|error| error.to_string())
        };
        assert_eq!(take(1, checksum_of(Some(b"x"))), Ok(true));
        assert!(take(2, checksum_of(Some(b"x"))).unwrap_err().contains("change 1 of space 1: it is missing"));
        assert!(take(1, checksum_of(Some(b"y"))).unwrap_err().contains("change 1 of space 1: its content"));
        assert!(filling().finish(Seq::ZERO).is_ok());
        assert!(matches!(filling().finish(Seq::new(1)), Err(StoreError::Corrupt(_))));
    }
}
