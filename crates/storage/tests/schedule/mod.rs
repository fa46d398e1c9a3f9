//! Random lives of a few devices, with a ghost that remembers who had seen what when they wrote.

#![allow(dead_code, unreachable_pub, reason = "each suite uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tombolo_core::{Op, RecordKey};
use tombolo_storage::Exchanged;
use tombolo_testkit::{Device, FOLDER, Kind, NOTE, Note, Place, Snapshot, key};

/// Notes that all devices know from the beginning.
const NOTES: usize = 3;
/// Labels that all devices know from the beginning, and that nobody deletes.
const LABELS: usize = 2;
/// Folders that all devices know from the beginning.
const FOLDERS: usize = 2;
/// Rounds within which everyone must have come to rest: what is new reaches all in one, the outcomes of its merges in
/// a second, what those were answered with in a third; one more shows that nothing is left, and one is for pages.
const ROUNDS_MAX: usize = 5;

/// A field of a note, as the ghost sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    X,
    Y,
    Repeat,
}

const FIELDS: [Field; 3] = [Field::X, Field::Y, Field::Repeat];

impl Field {
    fn of(self, note: &Note) -> String {
        match self {
            Self::X => note.x.clone(),
            Self::Y => note.y.clone(),
            Self::Repeat => format!("{};{}", note.every, note.days),
        }
    }

    fn set(self, note: &mut Note, event: usize) {
        match self {
            Self::X => note.x = self.value(event),
            Self::Y => note.y = self.value(event),
            Self::Repeat => (note.every, note.days) = (format!("v{event}"), format!("d{event}")),
        }
    }

    fn value(self, event: usize) -> String {
        match self {
            Self::X | Self::Y => format!("v{event}"),
            Self::Repeat => format!("v{event};d{event}"),
        }
    }
}

/// One thing that happens; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    /// A device edits a field of a note; one that is not there it makes again.
    Edit(usize, usize, Field),
    /// It makes a note of its own.
    Create(usize),
    Label(usize, usize, usize),
    Delete(usize, usize),
    Move(usize, usize, usize),
    DeleteFolder(usize, usize),
    /// It makes a label, of one of two names, and puts it on a note.
    NewLabel(usize, usize, bool),
    Sync(usize),
    Force(usize),
    LostReply(usize),
    Clock(usize, i64),
    Pass(u64),
    Backup(usize),
    Restore(usize),
    Clone(usize),
}

/// A phone whose clock is further behind than cursors are makes times of its own out of them.
const SLOW_MS: i64 = -100_000;
const YEAR_MS: i64 = 365 * 86_400_000;

fn clocks() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(0),
        1 => Just(-100_000),
        1 => Just(-3_600_000),
        1 => Just(-YEAR_MS),
        1 => Just(YEAR_MS),
        1 => Just(973 * YEAR_MS),
    ]
}

/// The steps of ordinary devices.
pub fn ordinary() -> impl Strategy<Value = Step> {
    let device = || 0..4_usize;
    let note = || 0..NOTES;
    prop_oneof![
        8 => (device(), note(), prop::sample::select(&FIELDS[..])).prop_map(|(d, n, f)| Step::Edit(d, n, f)),
        1 => device().prop_map(Step::Create),
        3 => (device(), note(), 0..LABELS).prop_map(|(d, n, l)| Step::Label(d, n, l)),
        3 => (device(), note()).prop_map(|(d, n)| Step::Delete(d, n)),
        1 => (device(), note(), 0..FOLDERS).prop_map(|(d, n, f)| Step::Move(d, n, f)),
        1 => (device(), 0..FOLDERS).prop_map(|(d, f)| Step::DeleteFolder(d, f)),
        1 => (device(), note(), any::<bool>()).prop_map(|(d, n, b)| Step::NewLabel(d, n, b)),
        8 => device().prop_map(Step::Sync),
        2 => device().prop_map(Step::Force),
        3 => device().prop_map(Step::LostReply),
        2 => (device(), clocks()).prop_map(|(d, c)| Step::Clock(d, c)),
        2 => prop::sample::select(vec![1_u64, 2_000, 600_000]).prop_map(Step::Pass),
    ]
}

/// The same with devices that are set back.
pub fn with_restores() -> impl Strategy<Value = Step> {
    prop_oneof![8 => ordinary(), 1 => (0..4_usize).prop_map(Step::Backup), 1 => (0..4_usize).prop_map(Step::Restore)]
}

/// The same with devices that are copied, too.
pub fn with_clones() -> impl Strategy<Value = Step> {
    prop_oneof![12 => with_restores(), 1 => (0..4_usize).prop_map(Step::Clone)]
}

/// Which devices there are, what their clocks are ahead by, and what happens.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub devices: Vec<(bool, i64)>,
    pub steps: Vec<Step>,
    /// Bytes of a reply: a few records, or all there is.
    pub page_bytes_max: usize,
}

pub fn schedules(steps: impl Strategy<Value = Step>, steps_max: usize) -> impl Strategy<Value = Schedule> {
    let devices = prop::collection::vec((any::<bool>(), clocks()), 2..=4);
    let steps = prop::collection::vec(steps, 1..=steps_max);
    let pages = prop_oneof![3 => Just(10_000_000_usize), 1 => Just(200_usize)];
    (devices, steps, pages).prop_map(|(devices, steps, page_bytes_max)| Schedule { devices, steps, page_bytes_max })
}

/// Something a user did to a note.
#[derive(Clone, Debug)]
struct Event {
    note: String,
    device: usize,
    deletes: bool,
    fields: BTreeSet<Field>,
    /// The label that it added or removed.
    labels: BTreeMap<usize, bool>,
    /// What the device had been told when its user did it.
    seen: BTreeSet<usize>,
}

#[derive(Clone)]
struct Known {
    device: Device,
    seen: BTreeSet<usize>,
    /// Its last reply was lost, or is not the last of its download.
    in_doubt: bool,
    ahead_ms: i64,
    was_slow: bool,
    /// Another bears its name. With a clock that makes times of its own out of cursors, the two could not be told apart.
    has_copy: bool,
    /// It was set back, and did not sync since.
    set_back: bool,
    /// Its clock was set to an earlier time, and it showed no cursor since.
    clock_set_back: bool,
    /// It is sent everything again, and was not sent all of it yet.
    in_forced_download: bool,
    backup: Option<(Snapshot, BTreeSet<usize>)>,
}

/// A schedule that is being played.
pub struct World<'a> {
    place: &'a Place,
    known: Vec<Known>,
    events: Vec<Event>,
    /// The events that reached the server.
    arrived: BTreeSet<usize>,
    /// Edits that never will: who made them deleted the note before he synced.
    void: BTreeSet<usize>,
    /// Every reply, in order.
    pub replies: Vec<Exchanged>,
    born: i64,
}

impl<'a> World<'a> {
    pub fn new(place: &'a Place, schedule: &Schedule) -> Self {
        let make = |(place_of, (is_phone, ahead_ms)): (usize, &(bool, i64))| {
            let kind = if *is_phone { Kind::Phone } else { Kind::Desktop };
            let device = Device::new(&format!("d{place_of}"), kind, place).ahead_by(*ahead_ms);
            Known {
                device,
                seen: BTreeSet::new(),
                in_doubt: false,
                ahead_ms: *ahead_ms,
                was_slow: *ahead_ms < SLOW_MS,
                has_copy: false,
                set_back: false,
                clock_set_back: false,
                in_forced_download: false,
                backup: None,
            }
        };
        let known = schedule.devices.iter().enumerate().map(make).collect();
        let mut world = Self {
            place,
            known,
            events: Vec::new(),
            arrived: BTreeSet::new(),
            void: BTreeSet::new(),
            replies: Vec::new(),
            born: 0,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        for label in 0..LABELS {
            self.known[0].device.edit_label(self.place, &format!("l{label}"), &format!("l{label}"), 0);
        }
        for folder in 0..FOLDERS {
            self.known[0].device.edit_folder(self.place, &format!("f{folder}"), "a folder");
        }
        for note in 0..NOTES {
            self.write_all(0, &format!("n{note}"));
        }
        for _ in 0..3 {
            for device in 0..self.known.len() {
                self.sync(device);
            }
        }
    }

    fn event(&mut self, note: &str, device: usize) -> (usize, &mut Event) {
        let number = self.events.len();
        let seen = self.known[device].seen.clone();
        self.known[device].seen.insert(number);
        let (fields, labels) = (BTreeSet::new(), BTreeMap::new());
        self.events.push(Event { note: note.to_owned(), device, deletes: false, fields, labels, seen });
        (number, &mut self.events[number])
    }

    /// Makes a note, or makes it again: that writes every field.
    fn write_all(&mut self, device: usize, note: &str) {
        let (number, event) = self.event(note, device);
        event.fields = FIELDS.into();
        event.labels = (0..LABELS).map(|label| (label, false)).collect();
        self.known[device].device.edit(self.place, note, |content| {
            FIELDS.iter().for_each(|field| field.set(content, number));
        });
    }

    pub fn play(&mut self, step: &Step) {
        let count = self.known.len();
        match *step {
            Step::Edit(device, note, field) => {
                let (device, note) = (device % count, format!("n{note}"));
                if !self.can_edit(device) {
                    return;
                }
                if self.known[device].device.note(&note).is_none() {
                    return self.write_all(device, &note);
                }
                let (number, event) = self.event(&note, device);
                event.fields.insert(field);
                self.known[device].device.edit(self.place, &note, |content| field.set(content, number));
            }
            Step::Create(device) => {
                let device = device % count;
                if self.can_edit(device) {
                    self.write_all(device, &format!("new-{}", self.events.len()));
                }
            }
            Step::Label(device, note, label) => {
                let (device, note) = (device % count, format!("n{note}"));
                let Some(content) = self.editable(device, &note) else { return };
                // Who takes back what the reply before a forced download brought, before he has all of the download, shows
                // what he did before that reply; the download's cursors do not say whether it had arrived.
                if self.known[device].in_forced_download {
                    return;
                }
                let name = format!("l{label}");
                let adds = !content.labels.contains(&name);
                self.event(&note, device).1.labels.insert(label, adds);
                self.known[device].device.edit(self.place, &note, |content| {
                    if adds {
                        content.labels.insert(name)
                    } else {
                        content.labels.remove(&name)
                    };
                });
            }
            Step::Delete(device, note) => {
                let (device, note) = (device % count, format!("n{note}"));
                if self.editable(device, &note).is_some() {
                    self.event(&note, device).1.deletes = true;
                    self.known[device].device.delete(self.place, &key(NOTE, &note));
                }
            }
            Step::Move(device, note, folder) => {
                let (device, note, folder) = (device % count, format!("n{note}"), format!("f{folder}"));
                if self.editable(device, &note).is_some() && self.shows(device, &key(FOLDER, &folder)) {
                    let _says_that_it_lives = self.event(&note, device);
                    self.known[device].device.edit(self.place, &note, |content| content.folder = folder);
                }
            }
            Step::DeleteFolder(device, folder) => {
                let (device, folder) = (device % count, key(FOLDER, &format!("f{folder}")));
                if self.known[device].device.can_edit(self.place) && self.shows(device, &folder) {
                    self.known[device].device.delete(self.place, &folder);
                }
            }
            Step::NewLabel(device, note, other) => self.new_label(device % count, &format!("n{note}"), other),
            Step::Sync(device) => self.sync(device % count),
            Step::Force(device) => self.force(device % count),
            Step::LostReply(device) => {
                let device = device % count;
                self.pass(50);
                self.arrive(device);
                let reply = self.known[device].device.sync_in_vain(self.place);
                self.replies.push(reply);
                self.known[device].in_doubt = true;
            }
            // A clock that is set back between two edits of one upload makes the new one look like the old.
            Step::Clock(device, ahead_ms) if self.has_said_all(device % count) => {
                let known = &mut self.known[device % count];
                if !known.has_copy || ahead_ms >= SLOW_MS {
                    known.device.set_clock(ahead_ms);
                    known.clock_set_back |= ahead_ms < known.ahead_ms;
                    known.ahead_ms = ahead_ms;
                    known.was_slow |= ahead_ms < SLOW_MS;
                }
            }
            Step::Clock(..) => {}
            Step::Pass(span_ms) => self.pass(span_ms),
            Step::Backup(device) => {
                // What a backup holds and nobody was sent yet is a second branch once the first was sent; and the time
                // that a slow clock made of its cursor is only known once it was presented.
                self.sync(device % count);
                let known = &mut self.known[device % count];
                known.backup = Some((known.device.snapshot(), known.seen.clone()));
                self.sync(device % count);
            }
            Step::Restore(device) => {
                let device = device % count;
                if let Some((snapshot, seen)) = self.known[device].backup.clone() {
                    // A device that is set back before it was told what its last upload came to cannot be told from
                    // one whose user took the edit back.
                    self.sync(device);
                    self.sync(device);
                    let known = &mut self.known[device];
                    known.device.restore(&snapshot);
                    known.seen = seen;
                    known.set_back = true;
                }
            }
            Step::Clone(device) => {
                let known = &mut self.known[device % count];
                if count < 5 && known.ahead_ms >= SLOW_MS && !known.was_slow {
                    known.has_copy = true;
                    let mut copy = known.clone();
                    // No two machines' clocks are alike; an instant that both gave would be taken for an echo.
                    copy.ahead_ms += 25;
                    copy.device.set_clock(copy.ahead_ms);
                    self.known.push(copy);
                }
            }
        }
    }

    fn new_label(&mut self, device: usize, note: &str, other: bool) {
        let name = if other { "Blue" } else { "blue" };
        let is_there = |payload: &Vec<u8>| payload.to_ascii_lowercase().starts_with(b"name=blue");
        if self.editable(device, note).is_none() || self.known[device].device.state().values().any(is_there) {
            return;
        }
        self.born += 1;
        // Some are born in an order other than that of their making, and some at one moment.
        let (id, born) = (format!("blue-{}", self.born), (self.born * 7) % 5);
        self.known[device].device.edit_label(self.place, &id, name, born);
        let _says_that_it_lives = self.event(note, device);
        self.known[device].device.edit(self.place, note, |content| {
            content.labels.insert(id);
        });
    }

    fn has_said_all(&self, device: usize) -> bool {
        let known = &self.known[device];
        !known.in_doubt && known.seen.iter().all(|number| self.arrived.contains(number) || self.void.contains(number))
    }

    fn editable(&self, device: usize, note: &str) -> Option<Note> {
        self.known[device].device.note(note).filter(|_| self.can_edit(device))
    }

    /// Whether an edit made now is uploaded, and is known to follow what the device shows. In the midst of a forced
    /// download that is not known: a clock that is behind makes the edit look older than what the reply before brought.
    fn can_edit(&self, device: usize) -> bool {
        let known = &self.known[device];
        let is_unsure = known.in_forced_download && known.ahead_ms < 0;
        known.device.can_edit(self.place) && !is_unsure
    }

    fn shows(&self, device: usize, key: &RecordKey) -> bool {
        self.known[device].device.state().contains_key(key)
    }

    fn pass(&self, span_ms: u64) {
        self.place.env.advance(Duration::from_millis(span_ms));
    }

    /// What the device has to say reaches the server.
    fn arrive(&mut self, device: usize) {
        let known = &self.known[device];
        for number in known.seen.difference(&self.arrived) {
            let event = &self.events[*number];
            if !event.deletes && known.device.note(&event.note).is_none() {
                self.void.insert(*number);
            }
        }
        self.arrived.extend(known.seen.difference(&self.void));
    }

    fn sync(&mut self, device: usize) {
        // Longer than all edits since the last exchange take: nobody's edit meets the very millisecond under which
        // something was sent to him.
        self.pass(50);
        self.arrive(device);
        let reply = self.known[device].device.sync(self.place);
        self.known[device].clock_set_back = false;
        self.told(device, reply);
    }

    fn force(&mut self, device: usize) {
        // A forced sync brings no deletions, and what a client deleted and never sent is forgotten by it.
        let unsent = |number: &usize| self.events[*number].deletes && self.events[*number].device == device;
        // What it was told and has not acknowledged is not known to be in its hands: a clock that is behind then makes
        // its edit look older than what it saw, and one that was set back, older than what it sent.
        let known = &self.known[device];
        if (known.ahead_ms < 0 || known.clock_set_back) && !self.has_said_all(device) {
            return;
        }
        // Who takes a label off again that an unacknowledged reply had put on, shows what he did before that reply.
        let takes_back = |number: &usize| !self.events[*number].labels.is_empty() && !self.void.contains(number);
        if self.known[device].seen.difference(&self.arrived).any(takes_back) {
            return;
        }
        // One that was set back and asks for everything at once shows no cursor that would tell so.
        let set_back = self.known[device].set_back;
        if set_back || self.known[device].seen.difference(&self.arrived).any(unsent) || self.has_unsent_deletes(device)
        {
            return;
        }
        self.pass(50);
        self.arrive(device);
        let reply = self.known[device].device.force(self.place);
        self.known[device].in_forced_download = true;
        self.told(device, reply);
    }

    fn has_unsent_deletes(&self, device: usize) -> bool {
        let request = self.known[device].device.request(self.place);
        request.writes.iter().any(|write| matches!(write.action, tombolo_storage::Action::Delete))
    }

    fn told(&mut self, device: usize, reply: Exchanged) {
        self.known[device].in_doubt = reply.more;
        self.known[device].set_back = false;
        self.known[device].in_forced_download &= reply.more;
        if !reply.more {
            self.known[device].seen.extend(self.arrived.iter().copied());
        }
        self.replies.push(reply);
    }

    /// Everyone syncs until nothing is left to be said.
    ///
    /// Of two copies of a device, one with a slow clock presents times that nobody gave out, and is sent everything each
    /// time: then it is enough that nothing is written any more.
    pub fn come_to_rest(&mut self, has_copies: bool) -> Result<(), TestCaseError> {
        for _ in 0..ROUNDS_MAX {
            let (head, mut delivered) = (self.place.head(), 0);
            for device in 0..self.known.len() {
                self.pass(1_000);
                for _ in 0..100 {
                    self.sync(device);
                    let reply = self.replies.last().expect("the sync was answered");
                    delivered += reply.deliveries.len();
                    if !reply.more {
                        break;
                    }
                }
            }
            if (delivered == 0 || has_copies) && self.place.head() == head {
                return Ok(());
            }
        }
        let told = self.replies.last().expect("someone synced").deliveries.iter();
        let told: Vec<String> = told.map(|delivery| format!("{} at {}", delivery.key, delivery.instant)).collect();
        Err(TestCaseError::fail(format!("no rest within {ROUNDS_MAX} rounds; the last was told {told:?}")))
    }

    /// All replicas are equal, and what the server has.
    pub fn check_equal(&self) -> Result<(), TestCaseError> {
        let server: BTreeMap<_, _> = self.place.live().into_iter().map(|one| (one.key, one.payload)).collect();
        let readable = |state: BTreeMap<RecordKey, Vec<u8>>| -> BTreeMap<String, String> {
            let line = |(key, payload): (RecordKey, Vec<u8>)| {
                (key.to_string(), String::from_utf8_lossy(&payload).replace('\n', " "))
            };
            state.into_iter().map(line).collect()
        };
        let server = readable(server);
        for known in &self.known {
            prop_assert_eq!(&readable(known.device.state()), &server, "device {}", known.device.name());
        }
        Ok(())
    }

    /// Nothing that a user did was undone, unless another did otherwise who had not seen it.
    pub fn check_kept(&self) -> Result<(), TestCaseError> {
        let names: BTreeSet<&str> = self.events.iter().map(|event| event.note.as_str()).collect();
        for name in names {
            let events: Vec<(usize, &Event)> =
                self.events.iter().enumerate().filter(|(n, e)| e.note == name && self.arrived.contains(n)).collect();
            // An event stands when nobody who had seen it did the opposite.
            let stands = |number: usize, undoes: &dyn Fn(&Event) -> bool| {
                !events.iter().any(|(_, later)| undoes(later) && later.seen.contains(&number))
            };
            let Some(note) = self.known[0].device.note(name) else {
                let deleted = events.iter().any(|(number, event)| event.deletes && stands(*number, &|e| !e.deletes));
                prop_assert!(
                    events.is_empty() || deleted,
                    "{} is gone, though who saw it deleted brought it back",
                    name
                );
                continue;
            };
            let alive = events.iter().any(|(number, event)| !event.deletes && stands(*number, &|e| e.deletes));
            prop_assert!(alive, "{} lives, though it was deleted by who had seen all else", name);
            for field in FIELDS {
                let value = field.of(&note);
                let winner = events
                    .iter()
                    .find(|(number, event)| event.fields.contains(&field) && field.value(*number) == value);
                let Some((number, _)) = winner else {
                    return Err(TestCaseError::fail(format!("{field:?} of {name} is {value}, which nobody wrote")));
                };
                prop_assert!(
                    stands(*number, &|e| e.fields.contains(&field)),
                    "{:?} of {} is {}, which a later edit had replaced",
                    field,
                    name,
                    value
                );
            }
            for label in 0..LABELS {
                let has = note.labels.contains(&format!("l{label}"));
                let says = |event: &Event, adds: bool| event.labels.get(&label) == Some(&adds);
                let stood =
                    events.iter().any(|(number, event)| says(event, has) && stands(*number, &|e| says(e, !has)));
                prop_assert!(stood, "label {} of {}: {}, though that was undone", label, name, has);
            }
        }
        self.check_logged(&self.arrived)
    }

    /// What lost is in the log.
    fn check_logged(&self, arrived: &BTreeSet<usize>) -> Result<(), TestCaseError> {
        let log = self.place.log();
        for number in arrived {
            let event = &self.events[*number];
            // Who wrote again before he synced never sent it.
            let replaced =
                |later: &usize| self.events[*later].note == event.note && self.events[*later].seen.contains(number);
            if arrived.iter().any(replaced) {
                continue;
            }
            let mut of_note = log.iter().filter(|change| change.key == key(NOTE, &event.note));
            if event.deletes {
                prop_assert!(
                    of_note.any(|change| change.op == Op::Delete),
                    "the deletion of {} is not logged",
                    event.note
                );
                continue;
            }
            let notes: Vec<Note> = of_note.filter_map(|change| Note::parse(&change.payload).ok()).collect();
            for field in &event.fields {
                let is_there = notes.iter().any(|note| field.of(note) == field.value(*number));
                prop_assert!(is_there, "{:?} of event {} is not in the log", field, number);
            }
        }
        Ok(())
    }
}
