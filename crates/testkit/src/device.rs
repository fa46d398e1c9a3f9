//! A model of the devices that real clients make: whole records and a clock of their own, which may be wrong.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::{Env, Instant, Op, RecordKey};
use tombolo_storage::{Action, Delivery, Exchanged, NamedBase, Write};

use crate::notes::{FOLDER, INBOX, LABEL, NOTE, Note, key};
use crate::space::Place;

const NANOS_PER_MILLI: i128 = 1_000_000;

/// Which of the two clients a device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Puts its own present on what it applies, and stores the server's cursor as it is.
    Desktop,
    /// Keeps the instant under which a record came, and stores the earlier of its own clock, read before it gathered,
    /// and the server's cursor. It does not forget that it deleted what comes back.
    Phone,
}

/// A record as a device keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    payload: Vec<u8>,
    updated_at: Instant,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Request {
    /// The cursor.
    pub presented: Option<Instant>,
    /// All that the device holds to be newer than that.
    pub writes: Vec<Write>,
    /// The device's clock before it gathered them.
    gathered_at: Instant,
}

/// A backup of a device: everything but its clock.
#[derive(Clone, Debug)]
pub struct Snapshot {
    rows: BTreeMap<RecordKey, Row>,
    tombstones: BTreeMap<RecordKey, Instant>,
    last_sync: Option<Instant>,
}

/// A device. A clone of it is a copied device: it brings its name along.
#[derive(Clone, Debug)]
pub struct Device {
    name: String,
    kind: Kind,
    /// How far its clock is ahead of the server's, in milliseconds.
    ahead_ms: i64,
    home: String,
    rows: BTreeMap<RecordKey, Row>,
    tombstones: BTreeMap<RecordKey, Instant>,
    last_sync: Option<Instant>,
    /// Instants that one millisecond of its life had already: no user edits a record twice in one.
    used: BTreeSet<Instant>,
}

impl Device {
    /// A device that was just set up, with an inbox of its own.
    #[must_use]
    pub fn new(name: &str, kind: Kind, place: &Place) -> Self {
        let home = format!("{INBOX}-of-{name}");
        let mut device = Self {
            name: name.to_owned(),
            kind,
            ahead_ms: 0,
            home: home.clone(),
            rows: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            last_sync: None,
            used: BTreeSet::new(),
        };
        let updated_at = device.now(place);
        device.rows.insert(key(FOLDER, &home), Row { payload: b"name=Inbox".to_vec(), updated_at });
        device
    }

    /// The same with a clock that is wrong by `ahead_ms`.
    #[must_use]
    pub fn ahead_by(mut self, ahead_ms: i64) -> Self {
        self.ahead_ms = ahead_ms;
        self
    }

    /// Sets the clock; it is wrong by `ahead_ms` from now on.
    pub fn set_clock(&mut self, ahead_ms: i64) {
        self.ahead_ms = ahead_ms;
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the device will present.
    #[must_use]
    pub fn last_sync(&self) -> Option<Instant> {
        self.last_sync
    }

    /// The present by the device's clock, in whole milliseconds.
    ///
    /// # Panics
    /// When the clock leaves the calendar.
    #[must_use]
    pub fn now(&self, place: &Place) -> Instant {
        let server = i128::from(place.env.now().micros()) * 1_000;
        let nanos = server - server.rem_euclid(NANOS_PER_MILLI) + i128::from(self.ahead_ms) * NANOS_PER_MILLI;
        Instant::from_nanos(nanos).expect("a device's clock stays within the calendar")
    }

    /// Whether an edit made now would ever be uploaded: with a clock behind its own cursor a client never will, which
    /// no server can cure.
    #[must_use]
    pub fn can_edit(&self, place: &Place) -> bool {
        self.last_sync.is_none_or(|last| self.now(place) > last)
    }

    /// The present, but never an instant that it used before.
    fn moment(&mut self, place: &Place) -> Instant {
        let mut moment = self.now(place);
        while !self.used.insert(moment) {
            moment = Instant::from_nanos(moment.nanos() + NANOS_PER_MILLI).expect("there is always a next millisecond");
        }
        moment
    }

    /// A note as the device shows it, its own inbox called by the server's name.
    ///
    /// # Panics
    /// When what it was sent does not read.
    #[must_use]
    pub fn note(&self, id: &str) -> Option<Note> {
        let row = self.rows.get(&key(NOTE, id))?;
        let mut note = Note::parse(&row.payload).expect("a note on a device reads");
        if note.folder == self.home {
            INBOX.clone_into(&mut note.folder);
        }
        Some(note)
    }

    /// All that the device shows, its own inbox called by the server's name.
    #[must_use]
    pub fn state(&self) -> BTreeMap<RecordKey, Vec<u8>> {
        let shown = |(key, row): (&RecordKey, &Row)| match key.collection {
            NOTE => self.note(key.name.as_str()).map(|note| (key.clone(), note.to_payload())),
            FOLDER if key.name.as_str() == self.home => Some((crate::key(FOLDER, INBOX), row.payload.clone())),
            _ => Some((key.clone(), row.payload.clone())),
        };
        self.rows.iter().filter_map(shown).collect()
    }

    /// Makes or changes a note: what `edit` leaves is stored, under the device's present.
    ///
    /// A note that is not there begins empty, in the device's inbox.
    pub fn edit(&mut self, place: &Place, id: &str, edit: impl FnOnce(&mut Note)) {
        let mut note = self.note(id).unwrap_or_else(|| Note::new("", ""));
        edit(&mut note);
        if note.folder == INBOX {
            self.home.clone_into(&mut note.folder);
        }
        self.save(place, key(NOTE, id), note.to_payload());
    }

    /// Makes or changes a folder.
    pub fn edit_folder(&mut self, place: &Place, id: &str, name: &str) {
        self.save(place, key(FOLDER, id), format!("name={name}").into_bytes());
    }

    /// Makes or changes a label.
    pub fn edit_label(&mut self, place: &Place, id: &str, name: &str, born: i64) {
        self.save(place, key(LABEL, id), format!("name={name}\nborn={born}").into_bytes());
    }

    fn save(&mut self, place: &Place, key: RecordKey, payload: Vec<u8>) {
        let updated_at = self.moment(place);
        self.tombstones.remove(&key);
        self.rows.insert(key, Row { payload, updated_at });
    }

    /// Deletes what is there.
    pub fn delete(&mut self, place: &Place, key: &RecordKey) {
        if self.rows.remove(key).is_some() {
            let deleted_at = self.moment(place);
            self.tombstones.insert(key.clone(), deleted_at);
        }
    }

    /// Gathers what a sync would send now.
    #[must_use]
    pub fn request(&self, place: &Place) -> Request {
        self.gather(place, self.last_sync)
    }

    /// Gathers what a forced sync would send now: everything that is there, and nothing that is not.
    #[must_use]
    pub fn forced_request(&self, place: &Place) -> Request {
        self.gather(place, None)
    }

    fn gather(&self, place: &Place, presented: Option<Instant>) -> Request {
        let is_newer = |at: Instant| presented.is_none_or(|last| at > last);
        let put = |(key, row): (&RecordKey, &Row)| Write {
            key: key.clone(),
            action: Action::Put(row.payload.clone()),
            written_at: row.updated_at,
            is_home: key.collection == FOLDER && key.name.as_str() == self.home,
            base: NamedBase::Unsaid,
        };
        // Clients send what refers before what is referred to.
        let mut writes: Vec<Write> =
            self.rows.iter().rev().filter(|(_, row)| is_newer(row.updated_at)).map(put).collect();
        // The protocol sorts them: what is referred to is judged first.
        writes.sort_by_key(|write| write.key.collection == NOTE);
        let deletes = self.tombstones.iter().filter(|(_, at)| presented.is_some() && is_newer(**at));
        writes.extend(deletes.map(|(key, at)| Write {
            key: key.clone(),
            action: Action::Delete,
            written_at: *at,
            is_home: false,
            base: NamedBase::Unsaid,
        }));
        Request { presented, writes, gathered_at: self.now(place) }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn send(&self, place: &Place, request: &Request) -> Exchanged {
        place.exchange(&self.name, request.presented, request.writes.clone())
    }

    /// Takes a reply in, in its order.
    pub fn take(&mut self, place: &Place, request: &Request, reply: &Exchanged) {
        let home = reply.home.as_ref().map(|home| home.as_str().to_owned());
        for delivery in &reply.deliveries {
            self.take_one(place, delivery, home.as_deref().filter(|_| reply.home_is_own));
        }
        self.last_sync = Some(match self.kind {
            Kind::Desktop => reply.cursor,
            Kind::Phone => reply.cursor.min(request.gathered_at),
        });
    }

    fn take_one(&mut self, place: &Place, delivery: &Delivery, home: Option<&str>) {
        let home = home.unwrap_or(&self.home).to_owned();
        let key = match delivery.key.name.as_str() {
            INBOX if delivery.key.collection == FOLDER => key(FOLDER, &home),
            _ => delivery.key.clone(),
        };
        let instant = delivery.instant;
        let is_newer = |known: Option<Instant>| known.is_none_or(|known| instant > known);
        if !is_newer(self.rows.get(&key).map(|row| row.updated_at)) || !is_newer(self.tombstones.get(&key).copied()) {
            return;
        }
        self.used.insert(instant);
        let updated_at = match self.kind {
            Kind::Desktop => self.now(place),
            Kind::Phone => instant,
        };
        if delivery.op == Op::Delete {
            self.rows.remove(&key);
            if self.kind == Kind::Desktop {
                self.tombstones.insert(key, updated_at);
            }
            return;
        }
        let mut payload = delivery.payload.clone();
        if key.collection == NOTE {
            let mut note = Note::parse(&payload).expect("a delivered note reads");
            if note.folder == INBOX {
                note.folder = home;
            }
            payload = note.to_payload();
        }
        if key.collection == LABEL {
            self.make_way(&key, &payload);
        }
        if self.kind == Kind::Desktop {
            self.used.insert(updated_at);
            self.tombstones.remove(&key);
        }
        self.rows.insert(key, Row { payload, updated_at });
    }

    /// Clients keep one label of a name: another of the same goes without a trace.
    fn make_way(&mut self, label: &RecordKey, payload: &[u8]) {
        let name = |payload: &[u8]| payload.split(|byte| *byte == b'\n').next().map(<[u8]>::to_ascii_lowercase);
        self.rows.retain(|key, row| key.collection != LABEL || key == label || name(&row.payload) != name(payload));
    }

    /// One sync, as a client does it: one request, and its reply.
    pub fn sync(&mut self, place: &Place) -> Exchanged {
        let request = self.request(place);
        let reply = self.send(place, &request);
        self.take(place, &request, &reply);
        reply
    }

    /// One sync whose reply is lost.
    #[must_use]
    pub fn sync_in_vain(&self, place: &Place) -> Exchanged {
        self.send(place, &self.request(place))
    }

    /// One forced sync.
    pub fn force(&mut self, place: &Place) -> Exchanged {
        let request = self.forced_request(place);
        let reply = self.send(place, &request);
        self.take(place, &request, &reply);
        reply
    }

    /// A backup of the device.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { rows: self.rows.clone(), tombstones: self.tombstones.clone(), last_sync: self.last_sync }
    }

    /// Sets the device back to a backup.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let Snapshot { rows, tombstones, last_sync } = snapshot.clone();
        (self.rows, self.tombstones, self.last_sync) = (rows, tombstones, last_sync);
    }
}
