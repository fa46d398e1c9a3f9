//! Random lives of devices: they edit, are offline, lose replies, crash in the midst of a sync, with clocks that are
//! wrong, and the server is killed under them. In the end all have the same, and no edit of a field is lost but to one
//! that was made by whoever had seen it, or at the same time.
//!
//! A life is made of a number, which a failure prints: `TOMBOLO_SEED=7 cargo test -p tombolo --test blackbox
//! wellbeing_devices` plays that one again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Folder, Served};
use tombolo_testkit::transcript::uuid;

use crate::serve;
use crate::wellbeing_app::{App, attach, edit_beside};

/// The lives that are played in every run: a change fails by its own fault.
const SEEDS: [u64; 6] = [1, 2, 3, 4, 5, 6];
const ACTIONS: usize = 80;
const DEVICES: usize = 3;
/// Fewer than the edits, so that devices meet at them.
const RECORDS: u64 = 6;
/// More than a sync of this size has.
const STEPS_MAX: u64 = 40;
/// About as many as one has that both sends and takes something.
const STEPS: u64 = 16;
const COLUMNS: [&str; 3] = ["name", "color", "icon"];

const DATABASE: &str = "TOMBOLO_DEVICE_DATABASE";
/// At which step of its sync something happens.
const STEP: &str = "TOMBOLO_DEVICE_STEP";
/// What is edited then: a record, one of its columns, the new value and the device's clock. Nothing means a crash.
const EDIT: &str = "TOMBOLO_DEVICE_EDIT";
const NOTHING_EDITED: i32 = 3;

/// Numbers that follow from the first one (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// A column of a record.
type Field = (u64, usize);

/// A device, and what its user has seen.
struct Device {
    app: App,
    /// The values of each field of which its user's next edit knows.
    seen: BTreeMap<Field, BTreeSet<String>>,
}

struct World {
    dice: Dice,
    served: Served,
    proxy: Proxy,
    devices: Vec<Device>,
    /// What whoever wrote a value had seen of its field, that value included. No value is written twice.
    known: BTreeMap<(Field, String), BTreeSet<String>>,
    deleted: BTreeSet<u64>,
    values: u64,
    /// The edits that were made in the midst of a sync.
    meanwhile: usize,
}

impl World {
    fn new(seed: u64, folder: &Folder) -> Self {
        let served = serve();
        let proxy = Proxy::before(served.address());
        let (url, key) = (format!("http://{}", proxy.address()), served.install.wb_for("owner"));
        let device = |n: usize| {
            let mut app = App::syncing(folder.path(), &format!("{seed}-{n}"), &url, &key);
            app.clock = [0, -86_400 * 30, 3_600 * 5][n];
            Device { app, seen: BTreeMap::new() }
        };
        let devices = (0..DEVICES).map(device).collect();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { dice, served, proxy, devices, known: BTreeMap::new(), deleted: BTreeSet::new(), values: 0, meanwhile: 0 }
    }

    fn play(&mut self) {
        let n = self.dice.index(DEVICES);
        let record = self.dice.below(RECORDS);
        match self.dice.below(24) {
            0..=8 => self.edit(n, record),
            9 => {
                if self.devices[n].app.delete(&name(record)) {
                    self.deleted.insert(record);
                }
            }
            10 => {
                self.proxy.lose_replies(1 + self.dice.index(3));
                let _ = self.devices[n].app.sync();
                self.proxy.lose_replies(0);
            }
            11 => {
                self.proxy.cut();
                assert!(self.devices[n].app.sync().is_err());
                self.proxy.mend();
            }
            12..=13 => {
                let steps = 1 + self.dice.below(STEPS_MAX);
                let ended = self.begin_sync(n, steps, None).wait().unwrap();
                assert!(ended.success() || ended.code().is_none(), "a sync that neither ended nor crashed: {ended}");
            }
            14 => {
                // In the midst of whatever it is doing for that device.
                let mut syncing = self.begin_sync(n, 0, None);
                self.served.kill();
                self.served.start_again();
                self.proxy.lead_to(self.served.address());
                syncing.wait().unwrap();
            }
            15..=18 => self.edit_meanwhile(n, record),
            _ => self.devices[n].app.sync().map(|_| ()).unwrap(),
        }
        assert!(self.devices[n].app.is_whole());
        self.look(n);
    }

    /// The device's user writes something that nobody wrote before: a new record, or one column of one that is there.
    fn edit(&mut self, n: usize, record: u64) {
        let (value, column) = self.next_value();
        let app = &self.devices[n].app;
        let is_new = self.devices[n].seen.keys().all(|(seen, _)| *seen != record);
        if app.edit(&name(record), COLUMNS[column], &text(column, value)) {
            self.note((record, column), n, value);
        } else if is_new && !self.deleted.contains(&record) && self.known.keys().all(|((known, _), _)| *known != record)
        {
            app.add(&name(record), (&text(0, value), &text(1, value), &text(2, value)));
            for column in 0..COLUMNS.len() {
                self.note((record, column), n, value);
            }
        }
    }

    /// The device's user writes one column of a record that is there, at some step of a sync, which brings what another
    /// device wrote of it.
    fn edit_meanwhile(&mut self, n: usize, record: u64) {
        let other = (n + 1) % DEVICES;
        self.edit(other, record);
        self.devices[other].app.sync().unwrap();
        self.look(other);
        let ((value, column), step) = (self.next_value(), 1 + self.dice.below(STEPS));
        let edit = (name(record), COLUMNS[column], text(column, value), self.devices[n].app.clock);
        let ended = self.begin_sync(n, step, Some(serde_json::to_string(&edit).unwrap())).wait().unwrap();
        match ended.code() {
            Some(0) => {
                self.meanwhile += 1;
                self.note((record, column), n, value);
            }
            // There is no such record, or the sync had fewer steps, or was writing itself.
            Some(NOTHING_EDITED) => {}
            _ => panic!("a sync that did not end: {ended}"),
        }
    }

    fn next_value(&mut self) -> (u64, usize) {
        self.values += 1;
        (self.values, self.dice.index(COLUMNS.len()))
    }

    /// The user of a device wrote a value of a field, and has seen it.
    fn note(&mut self, field: Field, n: usize, value: u64) {
        let seen = self.devices[n].seen.entry(field).or_default();
        let value = text(field.1, value);
        seen.insert(value.clone());
        self.known.insert((field, value), seen.clone());
    }

    /// A process of its own syncs the device. At the given step, if it is not 0, the `edit` is made, or it crashes.
    fn begin_sync(&self, n: usize, step: u64, edit: Option<String>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "wellbeing_devices::a_device_that_is_a_process_of_its_own", "--ignored"]);
        command.env(DATABASE, &self.devices[n].app.path).env(STEP, step.to_string());
        command.envs(edit.map(|edit| (EDIT, edit)));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The device's user sees what is there now, and with it all that its writers had seen.
    fn look(&mut self, n: usize) {
        let rows = self.devices[n].app.rows();
        for record in 0..RECORDS {
            let Some(row) = rows.get(&uuid(&name(record))) else { continue };
            for (column, value) in [&row.0, &row.1, &row.2].into_iter().enumerate() {
                let field = (record, column);
                let known = self.known.get(&(field, value.clone())).unwrap_or_else(|| panic!("nobody wrote {value}"));
                self.devices[n].seen.entry(field).or_default().extend(known.iter().cloned());
            }
        }
    }

    fn come_to_rest(&mut self) {
        for _ in 0..3 {
            for device in &self.devices {
                device.app.sync().unwrap();
            }
        }
        for device in &self.devices {
            assert_eq!(device.app.pending(), 0);
            assert_eq!(device.app.sync().unwrap().uploaded, 0, "nobody has anything left to say");
        }
    }

    fn check(&self) {
        let rows = self.devices[0].app.rows();
        for device in &self.devices {
            assert_eq!(device.app.rows(), rows, "all have the same");
        }
        let written: BTreeSet<u64> = self.known.keys().map(|((record, _), _)| *record).collect();
        for record in written.difference(&self.deleted) {
            let row = rows.get(&uuid(&name(*record))).unwrap_or_else(|| panic!("record {record} is gone"));
            for (column, value) in [&row.0, &row.1, &row.2].into_iter().enumerate() {
                let field = (*record, column);
                let over = self
                    .known
                    .iter()
                    .find(|((other, newer), seen)| *other == field && newer != value && seen.contains(value));
                assert!(over.is_none(), "{field:?} is {value:?}, and somebody who had seen that wrote {over:?}");
            }
        }
    }
}

fn name(record: u64) -> String {
    format!("record {record}")
}

fn text(column: usize, value: u64) -> String {
    match column {
        0 => format!("name {value}"),
        1 => format!("#{value:06x}"),
        _ => format!("icon {value}"),
    }
}

/// Says which life it was, where one fails.
struct Life(u64);

impl Drop for Life {
    #[expect(clippy::print_stderr, reason = "what a failed test has to say")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("play this life again with TOMBOLO_SEED={}", self.0);
        }
    }
}

#[test]
fn devices_converge_and_lose_no_edit_whatever_crashes() {
    let asked = std::env::var("TOMBOLO_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let (folder, mut meanwhile) = (Folder::new(), 0);
    for seed in asked.map_or_else(|| SEEDS.to_vec(), |seed| vec![seed]) {
        let life = Life(seed);
        let mut world = World::new(seed, &folder);
        for _ in 0..ACTIONS {
            world.play();
        }
        world.come_to_rest();
        world.check();
        meanwhile += world.meanwhile;
        world.served.install.ok(&["check"]);
        drop(life);
    }
    assert!(asked.is_some() || meanwhile > 0, "no sync was met in its midst");
}

/// What the test above starts: alone it has nothing to do.
#[test]
#[ignore = "a part of the test above, which starts it as a process that may crash"]
#[expect(clippy::exit, reason = "how it tells whether it edited")]
fn a_device_that_is_a_process_of_its_own() {
    let (Ok(database), Ok(step)) = (std::env::var(DATABASE), std::env::var(STEP)) else { return };
    let (client, step) = (attach(Path::new(&database)), step.parse().unwrap());
    if std::env::var(EDIT).is_err() {
        tombolo_client::fault::arm(step);
        // That the server is gone is as good as any other end.
        let _ = client.sync_once();
        return;
    }
    tombolo_client::fault::arm_with(step, edit_as_told);
    client.sync_once().unwrap();
    if !IS_EDITED.load(Ordering::SeqCst) {
        std::process::exit(NOTHING_EDITED);
    }
}

static IS_EDITED: AtomicBool = AtomicBool::new(false);

/// The app beside the client edits what [`EDIT`] says, unless the client is writing.
fn edit_as_told() {
    let (database, edit) = (std::env::var(DATABASE).unwrap(), std::env::var(EDIT).unwrap());
    let (name, column, value, clock): (String, String, String, i64) = serde_json::from_str(&edit).unwrap();
    IS_EDITED.store(edit_beside(Path::new(&database), clock, &name, &column, &value), Ordering::SeqCst);
}
