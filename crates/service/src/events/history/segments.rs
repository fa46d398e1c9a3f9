//! A history cut into segments of bounded size, in the order of writing.
//!
//! What comes new changes the segments that it falls into, by copying what they hold; all others are shared between the
//! history as it was and as it is. So a push costs a segment, however long the history is, and whoever still reads the
//! history as it was goes on doing so.

use std::mem::size_of;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tombolo_storage::{Entry, Place};

use super::gzip::{Level, Packed};
use super::meter::{Meter, Weight};

/// Text of one segment, beyond which it is cut in two; a single entry may be larger. It is what a push copies, and, if
/// somebody wants it so, compresses; smaller ones would compress worse, since each is compressed by itself, and be more
/// to walk through.
pub(super) const SEGMENT_BYTES_MAX: usize = 64 * 1024;

/// An entry as it is sent, with the comma before it.
type Item<'a> = (Place, &'a [u8]);

/// Encoded entries in the order of writing, each with a comma before it.
#[derive(Debug)]
pub(super) struct Run {
    places: Vec<Place>,
    /// Where each ends in the text.
    ends: Vec<u32>,
    text: Bytes,
}

impl Run {
    /// What `write` makes of entries, whatever their order.
    pub(super) fn of(mut entries: Vec<Entry>, mut write: impl FnMut(&[u8], &mut Vec<u8>)) -> Self {
        entries.sort_unstable_by_key(place);
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(entries.len());
        for entry in &entries {
            text.push(b',');
            write(&entry.payload, &mut text);
            ends.push(end(text.len()));
        }
        Self { places: entries.iter().map(place).collect(), ends, text: text.into() }
    }

    /// What fits the items exactly: it stays in memory for long.
    fn copy(items: &[Item<'_>]) -> Self {
        let mut text = Vec::with_capacity(text_bytes(items));
        let mut ends = Vec::with_capacity(items.len());
        for (_, item) in items {
            text.extend_from_slice(item);
            ends.push(end(text.len()));
        }
        Self { places: items.iter().map(|(place, _)| *place).collect(), ends, text: text.into() }
    }

    fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let texts = starts.zip(&self.ends).map(|(start, end)| &self.text[start as usize..*end as usize]);
        self.places.iter().copied().zip(texts)
    }

    /// Where the text of the entry at `index` begins, behind the comma.
    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before] as usize) + 1
    }
}

/// The place of an entry in the order of writing.
pub(super) fn place(entry: &Entry) -> Place {
    entry.place()
}

fn end(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a page, and an entry, are far below 4 GiB")
}

fn text_bytes(items: &[Item<'_>]) -> usize {
    items.iter().map(|(_, text)| text.len()).sum()
}

/// A part of a history that is never changed.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    run: Arc<Run>,
    level: Level,
    packed: Arc<OnceLock<Packed>>,
    _weight: Arc<Weight>,
}

impl Segment {
    fn of(items: &[Item<'_>], level: Level, meter: &Meter) -> Self {
        let weight = meter.weigh(text_bytes(items));
        Self { run: Arc::new(Run::copy(items)), level, packed: Arc::default(), _weight: Arc::new(weight) }
    }

    /// What it holds; it begins with a comma.
    pub(super) fn text(&self) -> &Bytes {
        &self.run.text
    }

    /// What it holds, compressed, if it was compressed.
    pub(super) fn packed(&self) -> Option<&Packed> {
        self.packed.get()
    }

    /// Compresses it: up to some milliseconds.
    pub(super) fn pack(&self) -> Packed {
        Packed::of(&self.run.text, self.level)
    }

    /// Keeps what was compressed, unless that was done already; whether it is kept.
    pub(super) fn keep(&self, packed: Packed) -> bool {
        self.packed.set(packed).is_ok()
    }

    /// What it takes of memory, but for what is compressed.
    fn bytes(&self) -> usize {
        let Run { places, ends, text } = &*self.run;
        text.len()
            + size_of::<Place>() * places.len()
            + size_of::<u32>() * ends.len()
            + size_of::<(Self, Run, Packed)>()
    }

    fn last(&self) -> Place {
        *self.run.places.last().expect("a segment has entries")
    }
}

/// A history as it is at one time: a list of segments, none of them empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    list: Vec<Segment>,
    bytes: usize,
    count: u64,
    /// What new segments are counted by.
    meter: Meter,
}

/// From where on a history is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The segment.
    pub(super) segment: usize,
    /// The first byte of its text that counts: behind a comma.
    pub(super) byte: usize,
}

impl Segments {
    /// Nothing yet; what comes is counted by `meter`.
    pub(super) fn empty(meter: Meter) -> Self {
        Self { meter, ..Self::default() }
    }

    /// The history with what is new. Others come in between segments that change: a page of entries may touch a
    /// thousand of them.
    pub(super) async fn with(&self, new: &Run) -> Self {
        let mut new = new.items().peekable();
        let mut list = Vec::with_capacity(self.list.len() + 2);
        let mut has_changed = false;
        for (index, segment) in self.list.iter().enumerate() {
            let (is_last, last) = (index + 1 == self.list.len(), segment.last());
            let mut here = std::iter::from_fn(|| new.next_if(|(place, _)| is_last || *place < last)).peekable();
            if here.peek().is_none() {
                list.push(segment.clone());
                continue;
            }
            if has_changed {
                tokio::task::yield_now().await;
            }
            has_changed = true;
            let mut items: Vec<Item<'_>> = segment.run.items().chain(here).collect();
            // Not the unstable one: this one takes two sorted lists as they are.
            items.sort_by_key(|(place, _)| *place);
            cut(&items, is_last, &self.meter, &mut list);
        }
        // Left over only where there was no segment.
        cut(&new.collect::<Vec<_>>(), true, &self.meter, &mut list);
        Self::of(list, self.meter.clone())
    }

    fn of(list: Vec<Segment>, meter: Meter) -> Self {
        let bytes = list.iter().map(Segment::bytes).sum();
        let count = list.iter().map(|segment| segment.run.places.len() as u64).sum();
        Self { list, bytes, count, meter }
    }

    /// The same, with nothing compressed.
    pub(super) fn unpacked(&self) -> Self {
        let unpacked = |segment: &Segment| Segment { packed: Arc::default(), ..segment.clone() };
        Self { list: self.list.iter().map(unpacked).collect(), meter: self.meter.clone(), ..*self }
    }

    pub(super) fn list(&self) -> &[Segment] {
        &self.list
    }

    /// How many entries it has.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// What it takes of memory, but for what is compressed.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is compressed of it.
    pub(super) fn packed_bytes(&self) -> usize {
        self.list.iter().filter_map(Segment::packed).map(Packed::bytes).sum()
    }

    /// Where its last entry is.
    pub(super) fn last(&self) -> Option<Place> {
        self.list.last().map(Segment::last)
    }

    /// Whether `segment` is one of these, and not only alike.
    pub(super) fn holds(&self, segment: &Segment) -> bool {
        let index = self.list.partition_point(|known| known.last() < segment.last());
        self.list.get(index).is_some_and(|known| Arc::ptr_eq(&known.packed, &segment.packed))
    }

    /// Where what was written then or later begins; `None` when there is nothing.
    pub(super) fn seek(&self, from_millis: Option<i64>) -> Option<Start> {
        let Some(millis) = from_millis else { return (!self.list.is_empty()).then_some(Start { segment: 0, byte: 1 }) };
        let segment = self.list.partition_point(|segment| segment.last().millis < millis);
        let run = &self.list.get(segment)?.run;
        let index = run.places.partition_point(|place| place.millis < millis);
        Some(Start { segment, byte: run.start(index) })
    }
}

/// Cuts items into segments. At the history's end they are filled, since what follows comes behind them; elsewhere they
/// are halved, so that there is room.
fn cut(items: &[Item<'_>], is_last: bool, meter: &Meter, list: &mut Vec<Segment>) {
    if is_last { fill(items, meter, list) } else { halve(items, meter, list) }
}

fn fill(mut items: &[Item<'_>], meter: &Meter, list: &mut Vec<Segment>) {
    while !items.is_empty() {
        let mut bytes = 0;
        let fits = |(_, text): &&Item<'_>| {
            bytes += text.len();
            bytes <= SEGMENT_BYTES_MAX
        };
        let count = items.iter().take_while(fits).count().max(1);
        let (full, rest) = items.split_at(count);
        // The last one is soon another.
        list.push(Segment::of(full, if rest.is_empty() { Level::Quick } else { Level::Thorough }, meter));
        items = rest;
    }
}

fn halve(items: &[Item<'_>], meter: &Meter, list: &mut Vec<Segment>) {
    let bytes = text_bytes(items);
    if bytes <= SEGMENT_BYTES_MAX || items.len() == 1 {
        list.push(Segment::of(items, Level::Thorough, meter));
        return;
    }
    let mut before = 0;
    let is_in_half = |(_, text): &&Item<'_>| {
        before += text.len();
        before <= bytes / 2
    };
    let count = items.iter().take_while(is_in_half).count().clamp(1, items.len() - 1);
    let (one, other) = items.split_at(count);
    halve(one, meter, list);
    halve(other, meter, list);
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
