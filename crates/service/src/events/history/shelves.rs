//! What is kept of histories, within a bound: each form as its text and, beside it, compressed.

use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Cursor, ServerTime};
use tombolo_storage::SpaceAddress;

use super::super::Form;
use super::Encoding;
use super::gzip::Packed;
use super::segments::{Segment, Segments};

/// How long something is not asked for until it makes room for what is. Two that do not fit together would push each
/// other out with every request otherwise, and each request read the whole log; so that happens once in this time, and
/// whoever polls, even once in a few minutes, keeps what he polls.
pub(super) const IDLE: Duration = Duration::from_secs(5 * 60);

/// A log's history as of one of its ends.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) space: SpaceAddress,
    /// It holds all up to there, and nothing after it.
    pub(super) cursor: Cursor,
    pub(super) segments: Arc<Segments>,
}

/// How much of a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The beginning: it is being read, or was, by somebody who went away.
    Part,
    /// All.
    Whole,
    /// Nothing, since there is no room.
    Nothing(Lack),
}

/// For how long there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Until what the other form holds is not asked for any more.
    ForNow,
    /// It is larger than the bound by itself, and the log only grows.
    ForEver,
}

/// A history, and how much there is of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) snapshot: Snapshot,
    pub(super) extent: Extent,
}

#[derive(Debug)]
struct Shelf {
    kept: Option<Kept>,
    /// What is compressed of it.
    packed_bytes: usize,
    /// That there is no room for what is compressed of it.
    unpacked: Option<Lack>,
    /// When each encoding was asked for last.
    used: [ServerTime; 2],
}

/// What is kept, of all forms. Where there is no room, what was not asked for longest goes first, but no text that is
/// in use; a text goes together with what was compressed of it.
#[derive(Debug)]
pub(super) struct Shelves {
    bytes_max: usize,
    shelves: [Shelf; 2],
    now: ServerTime,
}

impl Shelves {
    pub(super) fn new(bytes_max: usize) -> Self {
        let now = ServerTime::from_micros(0);
        Self { bytes_max, shelves: [Shelf::empty([now; 2]), Shelf::empty([now; 2])], now }
    }

    /// Says what time it is, until it is said again.
    pub(super) const fn look_at_clock(&mut self, now: ServerTime) {
        self.now = now;
    }

    /// What there is in this form, which is asked for now.
    pub(super) fn get(&mut self, form: Form, encoding: Encoding) -> Option<Kept> {
        let (now, is_room) = (self.now, !self.is_in_use(other(form)));
        let shelf = self.of(form);
        shelf.used[index_of(Encoding::Identity)] = now;
        shelf.used[index_of(encoding)] = now;
        // Perhaps there is room by now: it is tried again.
        shelf.kept.take_if(|kept| is_room && kept.extent == Extent::Nothing(Lack::ForNow));
        shelf.kept.clone()
    }

    /// Keeps this much of a history instead of what there was. It comes back as it is kept then, which may be not at
    /// all, for lack of room.
    pub(super) fn put(&mut self, form: Form, mut kept: Kept) -> Kept {
        let shelf = self.of(form);
        shelf.packed_bytes = kept.snapshot.segments.packed_bytes();
        shelf.kept = Some(kept.clone());
        if !self.make_room(form, Encoding::Identity) {
            kept.extent = Extent::Nothing(self.lack(kept.snapshot.segments.bytes()));
            kept.snapshot.segments = Arc::default();
            self.clear(form);
            self.of(form).kept = Some(kept.clone());
        }
        kept
    }

    /// Keeps what a segment of this form is when it is compressed; `false` when there is no room for any of it.
    pub(super) fn keep_packed(&mut self, form: Form, segment: &Segment, packed: Packed) -> bool {
        let shelf = self.of(form);
        if shelf.unpacked.is_some() {
            return false;
        }
        let bytes = packed.bytes();
        // One that was replaced meanwhile belongs to those who still read it.
        let is_present = shelf.kept.as_ref().is_some_and(|kept| kept.snapshot.segments.holds(segment));
        if segment.keep(packed) && is_present {
            shelf.packed_bytes += bytes;
        }
        let is_room = self.make_room(form, Encoding::Gzip);
        if !is_room {
            let lack = self.lack(self.shelf(form).bytes());
            self.of(form).unpacked = Some(lack);
            self.free(form, Encoding::Gzip);
        }
        is_room
    }

    /// Whether there may be room for what is compressed of this form.
    pub(super) fn has_room_packed(&mut self, form: Form) -> bool {
        let is_room = !self.is_in_use(other(form));
        let shelf = self.of(form);
        shelf.unpacked.take_if(|lack| is_room && *lack == Lack::ForNow);
        shelf.unpacked.is_none()
    }

    /// Forgets what is kept in this form.
    pub(super) fn clear(&mut self, form: Form) {
        let shelf = self.of(form);
        *shelf = Shelf::empty(shelf.used);
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.shelves.iter().map(Shelf::bytes).sum()
    }

    /// For how long there is no room for something of this form.
    const fn lack(&self, bytes: usize) -> Lack {
        if bytes > self.bytes_max { Lack::ForEver } else { Lack::ForNow }
    }

    /// Whether this form holds anything that was asked for lately.
    fn is_in_use(&self, form: Form) -> bool {
        self.shelf(form).text_bytes() > 0 && !self.is_idle(form, Encoding::Identity)
    }

    fn is_idle(&self, form: Form, encoding: Encoding) -> bool {
        let used = self.shelf(form).used[index_of(encoding)];
        // A clock that was set back says nothing.
        self.now.since(used).max(used.since(self.now)) >= IDLE
    }

    /// Frees what was not asked for longest until the rest fits. A text makes all go that is compressed: that costs its
    /// readers some bytes, and is not tried again as long as this text is in use. All else makes room once it is idle.
    fn make_room(&mut self, form: Form, encoding: Encoding) -> bool {
        while self.bytes() > self.bytes_max {
            let other = other(form);
            let all = [(form, Encoding::Gzip), (other, Encoding::Gzip), (other, Encoding::Identity)];
            let is_in_the_way = |it: &(Form, Encoding)| {
                let yields = encoding == Encoding::Identity && it.1 == Encoding::Gzip;
                yields || it.0 == other && self.is_idle(it.0, it.1)
            };
            let freed = all
                .into_iter()
                .filter(|it| self.shelf(it.0).bytes_of(it.1) > 0 && is_in_the_way(it))
                .min_by_key(|it| self.shelf(it.0).used[index_of(it.1)]);
            let Some((form, encoding)) = freed else { return false };
            self.free(form, encoding);
        }
        true
    }

    fn free(&mut self, form: Form, encoding: Encoding) {
        let shelf = self.of(form);
        shelf.packed_bytes = 0;
        match (encoding, &mut shelf.kept) {
            (Encoding::Gzip, Some(kept)) => kept.snapshot.segments = Arc::new(kept.snapshot.segments.unpacked()),
            (_, kept) => *kept = None,
        }
    }

    fn shelf(&self, form: Form) -> &Shelf {
        &self.shelves[form as usize]
    }

    fn of(&mut self, form: Form) -> &mut Shelf {
        &mut self.shelves[form as usize]
    }
}

impl Shelf {
    const fn empty(used: [ServerTime; 2]) -> Self {
        Self { kept: None, packed_bytes: 0, unpacked: None, used }
    }

    fn bytes(&self) -> usize {
        self.text_bytes() + self.packed_bytes
    }

    fn text_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.snapshot.segments.bytes())
    }

    fn bytes_of(&self, encoding: Encoding) -> usize {
        match encoding {
            Encoding::Identity => self.text_bytes(),
            Encoding::Gzip => self.packed_bytes,
        }
    }
}

const fn other(form: Form) -> Form {
    match form {
        Form::Today => Form::First,
        Form::First => Form::Today,
    }
}

const fn index_of(encoding: Encoding) -> usize {
    encoding as usize
}
