//! The document of a room that somebody is in.

use std::sync::Arc;

use tombolo_core::{Seq, ServerTime};

use super::bases::{Base, Recent};
use super::codec::RoomCodec;
use super::counts::Held;
use super::live::ToStore;
use super::outlet::Parcel;
use super::printer::{Printer, Sheet};

/// Bytes of a document above which it is not merged, but replaced: merging takes it apart, and a board of ten thousand
/// tasks is smaller.
const MERGED_BYTES_MAX: usize = 4 << 20;

/// The document that everybody has before them, what of it is stored, and what it may be merged with.
pub(super) struct Board {
    /// Whether documents are merged: only then are texts kept that are stored.
    merge: bool,
    present: Option<Present>,
    /// Counts what `present` takes.
    held: Held,
    /// Counts the documents that there were.
    turn: u64,
    /// Whether the present one is to be stored.
    is_dirty: bool,
    /// The newest version that is known to be stored.
    version: Seq,
    /// The newest that was heard of.
    heard: Seq,
    /// The newest that others stored and that was shown while the present one was to be stored, which wins over it.
    shown: Seq,
    /// Whether another document than the present one was shown after it: that is to be shown again.
    is_covered: bool,
    /// What `version` says, where documents are merged.
    stored: Option<Arc<str>>,
    /// What is being stored, and which one it is, where documents are merged.
    storing: Option<(u64, Arc<str>)>,
}

struct Present {
    sheet: Sheet,
    /// What it says; let go of when it is stored, unless it may be merged.
    text: Option<Arc<str>>,
}

/// What a document is to be brought together with, as it is at one moment.
pub(super) struct Merging {
    /// What it may have been made of.
    recent: Recent,
    present: Arc<str>,
}

impl Merging {
    /// What `text` was made of, and what is to be the document after it came; without the latter, the text itself. `None`
    /// when it is not known what it was made of.
    pub(super) fn merge(&self, text: &str, now: ServerTime, codec: &dyn RoomCodec) -> Option<(Base, Option<Arc<str>>)> {
        let base = self.recent.base_of(text, now, codec)?;
        let merged = if base.text == self.present { None } else { codec.merge(&base.text, &self.present, text) };
        Some((base, merged.map(Arc::from)))
    }
}

impl Board {
    /// The board of a room whose stored document is `sheet`, which says `text`, in `version`.
    pub(super) fn new(merge: bool, held: Held, stored: Option<(Sheet, Arc<str>, Seq)>) -> Self {
        let mut board = Self {
            merge,
            present: None,
            held,
            turn: 0,
            is_dirty: false,
            version: Seq::ZERO,
            heard: Seq::ZERO,
            shown: Seq::ZERO,
            is_covered: false,
            stored: None,
            storing: None,
        };
        if let Some((sheet, text, version)) = stored {
            board.take_over(sheet, &text, version);
        }
        board
    }

    /// A parcel of the document, if there is one.
    pub(super) fn parcel(&mut self, printer: &Printer) -> Option<Parcel> {
        self.present.as_mut().map(|present| present.sheet.parcel(printer))
    }

    /// Whether there is room for `sheet` in place of the present document, where all open rooms may hold so much
    /// together; it is counted then, and is to be put.
    #[must_use]
    pub(super) fn has_room(&mut self, sheet: &Sheet, held_bytes_max: usize) -> bool {
        self.held.may_resize(sheet.size(), held_bytes_max)
    }

    /// Makes `text` the document; `false` when it is already.
    pub(super) fn put(&mut self, sheet: Sheet, text: Arc<str>) -> bool {
        self.is_covered = false;
        if self.says(&sheet) {
            return false;
        }
        self.present(sheet, Some(text));
        self.turn += 1;
        self.is_dirty = true;
        true
    }

    /// What others stored as `version` is the document now. Says whether it is another one than was shown.
    pub(super) fn take_over(&mut self, sheet: Sheet, text: &Arc<str>, version: Seq) -> bool {
        let is_other = !self.says(&sheet);
        if is_other {
            self.present(sheet, self.mergeable(text));
            self.turn += 1;
        }
        self.is_dirty = false;
        self.know(version, Some(text));
        is_other | std::mem::take(&mut self.is_covered)
    }

    /// Others stored `sheet` as `version`, and the present document is stored after it, or to be. Says whether it is to
    /// be shown all the same: it came, like any other. Where documents are merged, storing brings them together.
    pub(super) fn cover(&mut self, sheet: &Sheet, version: Seq) -> bool {
        if self.merge || version <= self.shown {
            return false;
        }
        self.shown = version;
        let is_other = !self.says(sheet);
        self.is_covered |= is_other;
        is_other
    }

    /// Whether the present document is to be shown again, which it is then: it is what is stored, and others were shown
    /// after it. Not while something newer is to be read.
    pub(super) fn uncover(&mut self) -> bool {
        let is_last = !self.is_dirty && !self.is_behind();
        is_last && std::mem::take(&mut self.is_covered)
    }

    /// Another document is stored as `version` than what the present one was made of; the present one is still to be
    /// stored.
    pub(super) fn know(&mut self, version: Seq, text: Option<&Arc<str>>) {
        self.version = version;
        self.hear_of(version);
        self.stored = text.and_then(|text| self.mergeable(text));
    }

    /// What is there at one moment: what was worked out of it holds while this is the same.
    pub(super) const fn moment(&self) -> (u64, Seq) {
        (self.turn, self.version)
    }

    // Storing.

    pub(super) const fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    pub(super) const fn version(&self) -> Seq {
        self.version
    }

    pub(super) fn hear_of(&mut self, version: Seq) {
        self.heard = self.heard.max(version);
    }

    pub(super) fn is_behind(&self) -> bool {
        match (self.is_dirty, self.merge) {
            (false, _) => self.heard > self.version,
            (true, false) => self.heard > self.version.max(self.shown),
            (true, true) => false,
        }
    }

    pub(super) fn begin_storing(&mut self) -> Option<ToStore> {
        let present = self.present.as_ref().filter(|_| self.is_dirty)?;
        let text = present.text.clone().expect("a text is let go of when it is stored");
        self.storing = self.merge.then(|| (self.turn, Arc::clone(&text)));
        Some(ToStore { text, after: self.merge.then_some(self.version), turn: self.turn })
    }

    /// Says which version others stored just before `version`, if it was not shown.
    pub(super) fn stored(&mut self, turn: u64, version: Seq) -> Option<Seq> {
        let before = Seq::new(version.get().saturating_sub(1));
        let missed = (!self.merge && before > self.version.max(self.shown)).then_some(before);
        let text = self.storing.take().filter(|storing| storing.0 == turn).map(|storing| storing.1);
        self.know(version, text.as_ref());
        if turn == self.turn {
            self.settle();
        }
        missed
    }

    /// Nothing is to be stored any more.
    pub(super) fn settle(&mut self) {
        self.is_dirty = false;
        let kept = self.text().cloned();
        if let Some(present) = &mut self.present {
            present.text = kept;
        }
    }

    // Merging.

    /// What `text` is brought together with, of a peer that has one of `recent` before it; `None`: it wins as it is.
    pub(super) fn merging(&self, recent: &Recent, text: &str) -> Option<Merging> {
        let present = self.text().filter(|_| self.may_be_merged(text))?;
        Some(Merging { recent: recent.clone(), present: Arc::clone(present) })
    }

    /// What the present document and `theirs` were both made of, and the present one; `None`: the present one wins.
    pub(super) fn merging_stored(&self, theirs: &str) -> Option<(Arc<str>, Arc<str>)> {
        let present = self.text().filter(|_| self.may_be_merged(theirs))?;
        Some((Arc::clone(self.stored.as_ref()?), Arc::clone(present)))
    }

    /// What the document says, where that may be merged.
    pub(super) fn text(&self) -> Option<&Arc<str>> {
        let text = self.present.as_ref()?.text.as_ref()?;
        self.may_be_merged(text).then_some(text)
    }

    /// `text`, if it may be merged.
    pub(super) fn mergeable(&self, text: &Arc<str>) -> Option<Arc<str>> {
        self.may_be_merged(text).then(|| Arc::clone(text))
    }

    fn present(&mut self, sheet: Sheet, text: Option<Arc<str>>) {
        self.held.resize(sheet.size());
        self.present = Some(Present { sheet, text });
    }

    const fn may_be_merged(&self, text: &str) -> bool {
        self.merge && text.len() <= MERGED_BYTES_MAX
    }

    fn says(&self, sheet: &Sheet) -> bool {
        self.present.as_ref().is_some_and(|present| present.sheet.says(sheet))
    }
}
