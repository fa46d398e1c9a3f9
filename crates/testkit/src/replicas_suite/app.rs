//! A model of the devices that our own client makes: rows, what of them is unsent, and a clock that may be wrong.

use std::collections::BTreeMap;

use tombolo_core::{Op, RecordVersion, SpaceCursor};
use tombolo_storage::{Fate, NamedBase, Uploaded, Write};

use super::{Book, note};
use crate::at;
use crate::notes::{Note, delete, put};

/// A note as a device keeps it: `None` when it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    note: Option<Note>,
    version: Option<RecordVersion>,
}

/// What of a row is unsent.
#[derive(Clone, Debug)]
struct Pending {
    /// What the first of the unsent edits was made on.
    base: NamedBase,
    /// When the last was made, by the device's clock.
    secs: i64,
    /// The write as it was sent, until it is known to have arrived.
    sent: Option<Write>,
    /// Whether there was an edit since.
    is_dirty: bool,
}

/// A device. A clone of it is a copied device: it brings its name along; an older copy is the device set back.
#[derive(Clone, Debug)]
pub struct App {
    name: String,
    cursor: Option<SpaceCursor>,
    rows: BTreeMap<String, Row>,
    pending: BTreeMap<String, Pending>,
    /// How far its clock is ahead of the server's.
    ahead_secs: i64,
}

impl App {
    /// A device that was never here.
    #[must_use]
    pub fn new(name: &str, ahead_secs: i64) -> Self {
        let (rows, pending) = (BTreeMap::new(), BTreeMap::new());
        Self { name: name.to_owned(), cursor: None, rows, pending, ahead_secs }
    }

    /// Its notes that are there.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<&str, &Note> {
        self.rows.iter().filter_map(|(id, row)| Some((id.as_str(), row.note.as_ref()?))).collect()
    }

    /// Sets its clock.
    pub const fn set_clock(&mut self, ahead_secs: i64) {
        self.ahead_secs = ahead_secs;
    }

    /// Whether it has nothing to say.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Edits a note, or makes it.
    pub fn edit(&mut self, book: &Book<'_>, id: &str, edit: impl FnOnce(&mut Note)) {
        let mut note = self.rows.get(id).and_then(|row| row.note.clone()).unwrap_or_else(|| Note::new("", ""));
        edit(&mut note);
        self.change(book, id, Some(note));
    }

    /// Deletes a note, if it has it.
    pub fn delete(&mut self, book: &Book<'_>, id: &str) {
        if self.rows.get(id).is_some_and(|row| row.note.is_some()) {
            self.change(book, id, None);
        }
    }

    fn change(&mut self, book: &Book<'_>, id: &str, note: Option<Note>) {
        let row = self.rows.entry(id.to_owned()).or_insert(Row { note: None, version: None });
        row.note = note;
        let base = row.version.map_or(NamedBase::Nothing, NamedBase::Version);
        let secs = book.secs() + self.ahead_secs;
        let pending = self.pending.entry(id.to_owned());
        let pending = pending.or_insert(Pending { base, secs, sent: None, is_dirty: true });
        (pending.secs, pending.is_dirty) = (secs, true);
    }

    /// What it has to say. What is on its way is sent as it was.
    fn writes(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (id, pending) in &mut self.pending {
            let write = pending.sent.get_or_insert_with(|| {
                pending.is_dirty = false;
                let written = match &self.rows[id].note {
                    Some(note) => put(id, note, at(pending.secs)),
                    None => delete(note(id), at(pending.secs)),
                };
                Write { base: pending.base, ..written }
            });
            writes.push(write.clone());
        }
        writes
    }

    /// Brings what it has to say; the answer is lost.
    pub async fn upload_in_vain(&mut self, book: &Book<'_>) {
        let writes = self.writes();
        book.upload(&self.name, self.cursor, writes).await;
    }

    /// Brings what it has to say.
    ///
    /// # Panics
    /// When it may not.
    pub async fn upload(&mut self, book: &Book<'_>) {
        let writes = self.writes();
        if writes.is_empty() {
            return;
        }
        let Uploaded::Done { fates, cursor } = book.try_upload(&self.name, self.cursor, writes.clone()).await else {
            panic!("{} may upload", self.name)
        };
        for (write, fate) in writes.iter().zip(fates) {
            let Fate::Judged { version, .. } = fate else { panic!("it was judged: {fate:?}") };
            let id = write.key.name.as_str();
            self.rows.get_mut(id).expect("it is a row").version = Some(version);
            if self.pending[id].is_dirty {
                let pending = self.pending.get_mut(id).expect("it is there");
                (pending.base, pending.sent) = (NamedBase::Version(version), None);
            } else {
                self.pending.remove(id);
            }
        }
        // Not every client dares to take the cursor of an upload.
        if self.name.ends_with('u') {
            self.cursor = Some(cursor);
        }
    }

    /// Takes pages of so many records, all or only the first. Rows with unsent edits stay as they are.
    pub async fn download(&mut self, book: &Book<'_>, count_max: usize, is_cut: bool) {
        loop {
            let pulled = book.page(&self.name, self.cursor, count_max).await;
            for record in &pulled.records {
                let id = record.key.name.as_str();
                if self.pending.contains_key(id) {
                    continue;
                }
                let note = (record.op == Op::Put).then(|| Note::parse(&record.payload).expect("a note reads"));
                self.rows.insert(id.to_owned(), Row { note, version: Some(record.version) });
            }
            self.cursor = Some(pulled.cursor);
            if !pulled.more || is_cut {
                return;
            }
        }
    }

    /// Brings what it has, and takes all that is new.
    pub async fn sync(&mut self, book: &Book<'_>) {
        self.upload(book).await;
        self.download(book, 100, false).await;
    }

    /// Whether it has what the server has.
    pub async fn agrees(&self, book: &Book<'_>) -> bool {
        for (id, row) in &self.rows {
            if book.note(id).await != row.note {
                return false;
            }
        }
        true
    }
}

/// Has all devices sync until nobody has anything to say any more, and says whether all have the same, and the server.
pub async fn settle(book: &Book<'_>, apps: &mut [App]) -> bool {
    for _ in 0..3 {
        for app in &mut *apps {
            app.sync(book).await;
        }
    }
    let mut is_one = apps.iter().all(App::is_idle);
    for app in &*apps {
        is_one &= app.agrees(book).await && app.notes() == apps[0].notes();
    }
    is_one
}
