//! Making what connections are sent.

use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::codec::{CarefulCodec, Notice, RoomCodec};
use super::counts::{Held, Tally};
use super::options::RoomOptions;
use super::outlet::{Heavy, Parcel, ParcelKind};

/// Makes what the connections of a node are sent, and knows how much of it may wait.
pub(super) struct Printer {
    codec: CarefulCodec,
    tally: Arc<Tally>,
    heavy: Heavy,
    /// Parcels that may wait for one connection.
    pub(super) queue_count_max: usize,
    /// Bytes of them.
    pub(super) queue_bytes_max: usize,
    /// Bytes of everything that waits, above which connections with much before them are given up.
    waiting_bytes_max: usize,
    /// Bytes of the documents of all open rooms.
    pub(super) held_bytes_max: usize,
    /// Whether clients are asked which documents they have read: where documents are merged.
    pub(super) asks: bool,
}

impl Printer {
    /// One that writes as `codec` says.
    #[must_use]
    pub(super) fn new(codec: Arc<dyn RoomCodec>, options: &RoomOptions) -> Arc<Self> {
        let RoomOptions { queue_count_max, queue_bytes_max, waiting_bytes_max, held_bytes_max, merge, .. } = *options;
        let codec = CarefulCodec(codec);
        Arc::new(Self {
            codec,
            tally: Arc::default(),
            heavy: Heavy::default(),
            queue_count_max,
            queue_bytes_max,
            waiting_bytes_max,
            held_bytes_max,
            asks: merge,
        })
    }

    /// The parcel that tells `notice`: written once, to be cloned for each that is told. Not to be made while an outlet is
    /// locked: others may be given up for it.
    pub(super) fn parcel(&self, notice: Notice<'_>) -> Parcel {
        let kind = if matches!(notice, Notice::Document(_)) { ParcelKind::Document } else { ParcelKind::Other };
        self.pack(self.codec.encode(notice), kind)
    }

    /// The parcel that tells a peer what went wrong.
    pub(super) fn error(&self, text: &str) -> Parcel {
        self.parcel(Notice::Error(text))
    }

    /// The parcel that tells a peer why it is given up. Nobody else is given up for it: it may be made while an outlet is
    /// locked.
    pub(super) fn last_words(&self, text: &str) -> Parcel {
        let bytes = self.codec.encode(Notice::Error(text));
        self.tally.waits(bytes.len());
        let waiting = self.waiting(bytes.len());
        Parcel::new(bytes, ParcelKind::Other, waiting)
    }

    /// How the protocol writes.
    pub(super) fn codec(&self) -> &dyn RoomCodec {
        &self.codec
    }

    /// What is counted.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What counts the document of a room that is opened.
    pub(super) fn held(&self) -> Held {
        Held::nothing(Arc::clone(&self.tally))
    }

    /// The outlets that hold much.
    pub(super) const fn heavy(&self) -> &Heavy {
        &self.heavy
    }

    /// A document that is to be sent now, and to those who join later.
    pub(super) fn sheet(&self, text: &str) -> Sheet {
        Sheet { bytes: self.codec.encode(Notice::Document(text)), waiting: Weak::new() }
    }

    fn pack(&self, bytes: Bytes, kind: ParcelKind) -> Parcel {
        let waiting = self.count(bytes.len());
        Parcel::new(bytes, kind, waiting)
    }

    /// Counts a message that is to be put into queues. Where that is more than may wait, those that hold most of it are
    /// given up, not those that this one is for: it is in no queue yet.
    fn count(&self, bytes: usize) -> Arc<Waiting> {
        if self.tally.waits(bytes) > self.waiting_bytes_max {
            self.heavy.relieve(|| self.tally.waiting_bytes() <= self.waiting_bytes_max);
        }
        self.waiting(bytes)
    }

    fn waiting(&self, bytes: usize) -> Arc<Waiting> {
        Arc::new(Waiting { bytes, tally: Arc::clone(&self.tally) })
    }
}

/// A document as it goes over the wire, kept for those who join later.
///
/// What is kept does not wait for anybody: only parcels of it are counted, all together once.
pub(super) struct Sheet {
    bytes: Bytes,
    waiting: Weak<Waiting>,
}

impl Sheet {
    /// A parcel of it.
    pub(super) fn parcel(&mut self, printer: &Printer) -> Parcel {
        let waiting = self.waiting.upgrade().unwrap_or_else(|| printer.count(self.bytes.len()));
        self.waiting = Arc::downgrade(&waiting);
        Parcel::new(self.bytes.clone(), ParcelKind::Document, waiting)
    }

    /// What it takes as long as it is kept.
    pub(super) const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether both say the same: a protocol writes one text in one way.
    pub(super) fn says(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// That a message waits for somebody. Shared by all its parcels, it is counted once, until the last is gone.
pub(super) struct Waiting {
    bytes: usize,
    tally: Arc<Tally>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.tally.waits_no_more(self.bytes);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
