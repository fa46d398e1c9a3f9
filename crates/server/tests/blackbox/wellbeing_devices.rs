//! Random lives of devices: they edit, are offline, lose replies, crash in the midst of a sync, with clocks that are
//! wrong, and the server is killed under them. In the end all have the same, and no edit of a field is lost but to one
//! that was made by whoever had seen it, or at the same time.
//!
//! A life is made of a number, which a failure prints: `TOMBOLO_SEED=7 cargo test -p tombolo --test blackbox
//! wellbeing_devices` plays that one again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Folder, Served};
use tombolo_testkit::transcript::uuid;

use crate::serve;
use crate::wellbeing_app::{App, attach};

/// The lives that are played in every run: a change fails by its own fault.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const STEPS: usize = 80;
const DEVICES: usize = 3;
/// Fewer than the edits, so that devices meet at them.
const RECORDS: u64 = 6;
/// More than a sync of this size has.
const CRASH_STEPS_MAX: u64 = 40;
/// About as many as fit into a sync's time.
const EDITS_MEANWHILE: usize = 10;
const COLUMNS: [&str; 3] = ["name", "color", "icon"];

const DATABASE: &str = "TOMBOLO_DEVICE_DATABASE";
const CRASH_AT: &str = "TOMBOLO_DEVICE_CRASH_AT";

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
        Self { dice, served, proxy, devices, known: BTreeMap::new(), deleted: BTreeSet::new(), values: 0 }
    }

    fn play(&mut self) {
        let n = self.dice.index(DEVICES);
        let record = self.dice.below(RECORDS);
        match self.dice.below(22) {
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
                let steps = 1 + self.dice.below(CRASH_STEPS_MAX);
                let ended = self.begin_sync(n, steps).wait().unwrap();
                assert!(ended.success() || ended.code().is_none(), "a sync that neither ended nor crashed: {ended}");
            }
            14 => {
                // In the midst of whatever it is doing for that device.
                let mut syncing = self.begin_sync(n, 0);
                self.served.kill();
                self.served.start_again();
                self.proxy.lead_to(self.served.address());
                syncing.wait().unwrap();
            }
            15..=16 => {
                let mut syncing = self.begin_sync(n, 0);
                // Some of these are made between what it sends and what it takes.
                for _ in 0..EDITS_MEANWHILE {
                    let record = self.dice.below(RECORDS);
                    self.edit(n, record);
                }
                syncing.wait().unwrap();
            }
            _ => self.devices[n].app.sync().map(|_| ()).unwrap(),
        }
        assert!(self.devices[n].app.is_whole());
        self.look(n);
    }

    /// The device's user writes something that nobody wrote before: a new record, or one column of one that is there.
    fn edit(&mut self, n: usize, record: u64) {
        self.values += 1;
        let (value, column) = (self.values, self.dice.index(COLUMNS.len()));
        let of = |column: usize| match column {
            0 => format!("name {value}"),
            1 => format!("#{value:06x}"),
            _ => format!("icon {value}"),
        };
        let app = &self.devices[n].app;
        let is_new = self.devices[n].seen.keys().all(|(seen, _)| *seen != record);
        let written = if app.edit(&name(record), COLUMNS[column], &of(column)) {
            column..column + 1
        } else if is_new && !self.deleted.contains(&record) && self.known.keys().all(|((known, _), _)| *known != record)
        {
            app.add(&name(record), (&of(0), &of(1), &of(2)));
            0..COLUMNS.len()
        } else {
            return;
        };
        for column in written {
            let seen = self.devices[n].seen.entry((record, column)).or_default();
            seen.insert(of(column));
            self.known.insert(((record, column), of(column)), seen.clone());
        }
    }

    /// A process of its own syncs the device, and crashes at the given step, if it is not 0.
    fn begin_sync(&self, n: usize, crash_at: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "wellbeing_devices::a_device_that_is_a_process_of_its_own", "--ignored"]);
        command.env(DATABASE, &self.devices[n].app.path).env(CRASH_AT, crash_at.to_string());
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
    let folder = Folder::new();
    for seed in asked.map_or_else(|| SEEDS.to_vec(), |seed| vec![seed]) {
        let life = Life(seed);
        let mut world = World::new(seed, &folder);
        for _ in 0..STEPS {
            world.play();
        }
        world.come_to_rest();
        world.check();
        world.served.install.ok(&["check"]);
        drop(life);
    }
}

/// What the test above starts: alone it has nothing to do.
#[test]
#[ignore = "a part of the test above, which starts it as a process that may crash"]
fn a_device_that_is_a_process_of_its_own() {
    let (Ok(database), Ok(crash_at)) = (std::env::var(DATABASE), std::env::var(CRASH_AT)) else { return };
    let client = attach(Path::new(&database));
    tombolo_client::fault::arm(crash_at.parse().unwrap());
    // That the server is gone is as good as any other end.
    let _ = client.sync_once();
}
