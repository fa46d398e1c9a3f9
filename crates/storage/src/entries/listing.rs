//! Entries as they are read, as many as there is room for.

use tombolo_core::{Instant, Seq, ServerTime, SpaceId};

use super::{Entry, PageBounds};
use crate::StoreError;
use crate::columns::checksum_of;

/// A list of entries that is being read, row by row, in whatever order.
pub(crate) struct Listing {
    space: SpaceId,
    bounds: PageBounds,
    bytes: usize,
    entries: Vec<Entry>,
}

impl Listing {
    pub(crate) const fn new(space: SpaceId, bounds: PageBounds) -> Self {
        Self { space, bounds, bytes: 0, entries: Vec::new() }
    }

    /// Takes one more; `false` when there is no room for it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what was written.
    pub(crate) fn take(
        &mut self,
        seq: Seq,
        committed_at: ServerTime,
        written_at: Instant,
        checksum: u32,
        payload: &[u8],
    ) -> Result<bool, StoreError> {
        let is_first = self.entries.is_empty();
        let bytes = self.bytes.saturating_add(payload.len());
        if self.entries.len() >= self.bounds.count_max || !is_first && bytes > self.bounds.bytes_max {
            return Ok(false);
        }
        if checksum != checksum_of(Some(payload)) {
            return Err(self.damaged(seq, "its content is not what was written"));
        }
        self.bytes = bytes;
        self.entries.push(Entry { seq, committed_at, written_at, payload: payload.to_vec() });
        Ok(true)
    }

    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.last()
    }

    pub(crate) fn finish(self) -> Vec<Entry> {
        self.entries
    }

    /// An entry that is referred to, or would come next, is not there.
    pub(crate) fn missing(&self, seq: Seq) -> StoreError {
        self.damaged(seq, "it is missing")
    }

    fn damaged(&self, seq: Seq, what: &str) -> StoreError {
        StoreError::Corrupt(format!("change {seq} of space {}: {what}", self.space))
    }
}
