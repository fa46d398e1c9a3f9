//! Devices that push without a pause, and go to another node when one fails them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tombolo_testkit::eventually::{FOREVER, eventually, spawn};
use tombolo_testkit::postgres::Database;
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{Device, ago, read_strictly, task};
use tombolo_testkit::transcript::uuid;

/// Tasks of one request: all of them are stored, or none.
const TASKS: usize = 2;

/// What the devices saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The ids of acknowledged tasks.
    pub(crate) acknowledged: HashSet<String>,
    /// Replies of 503.
    pub(crate) unavailable: usize,
    /// Requests that got no reply.
    pub(crate) broken: usize,
}

/// Devices at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
    devices: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a device for each of `tokens`, the first at the first of `nodes`, and so on.
    pub(crate) fn start(tokens: &[String], nodes: &[SocketAddr]) -> Self {
        let load = Self { stop: Arc::default(), done: Arc::default(), seen: Arc::default(), devices: Vec::new() };
        let devices = tokens.iter().enumerate().map(|(n, token)| {
            let (stop, done, seen) = (Arc::clone(&load.stop), Arc::clone(&load.done), Arc::clone(&load.seen));
            let (device, nodes) = (Device::new(&format!("device {n}"), token), nodes.to_vec());
            spawn(move || push(device, n, &nodes, &stop, &done, &seen))
        });
        Self { devices: devices.collect(), ..load }
    }

    /// Waits until `count` more requests were acknowledged.
    pub(crate) fn acknowledges(&self, count: usize) {
        let enough = self.done.load(Ordering::SeqCst) + count;
        eventually("acknowledged pushes", FOREVER, || (self.done.load(Ordering::SeqCst) >= enough).then_some(()));
    }

    /// Waits until `count` more requests were answered with 503 or not at all.
    pub(crate) fn is_refused(&self, count: usize) {
        let refused = || {
            let seen = self.seen.lock().unwrap();
            seen.unavailable + seen.broken
        };
        let enough = refused() + count;
        eventually("refused pushes", FOREVER, || (refused() >= enough).then_some(()));
    }

    /// Lets each device end its request, and tells what they saw.
    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        for device in self.devices {
            device.join().unwrap();
        }
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn push(
    mut device: Device,
    number: usize,
    nodes: &[SocketAddr],
    stop: &AtomicBool,
    done: &AtomicUsize,
    seen: &Mutex<Seen>,
) {
    let mut node = number % nodes.len();
    for n in 0.. {
        let ids: Vec<String> = (0..TASKS).map(|k| uuid(&format!("{number}.{n}.{k}"))).collect();
        let tasks: Vec<_> = ids.iter().map(|id| task(id, "Milk", &device.inbox, &ago(60))).collect();
        let request = device.request(&tasks);
        // The same request again, until it is acknowledged.
        loop {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let answered = request.send(nodes[node]);
            let mut seen = seen.lock().unwrap();
            match answered {
                Ok(response) if response.status == 200 => {
                    device.last_sync = Some(read_strictly(&response.body).unwrap().server_time);
                    seen.acknowledged.extend(ids);
                    break;
                }
                Ok(response) => {
                    assert_eq!(response.status, 503, "{}", response.text());
                    assert!(response.header("retry-after").is_some(), "{}", response.text());
                    seen.unavailable += 1;
                }
                Err(_) => seen.broken += 1,
            }
            drop(seen);
            node = (node + 1) % nodes.len();
            // A device would wait for seconds; one that does not wait at all would only try the machine.
            std::thread::sleep(Duration::from_millis(20));
        }
        done.fetch_add(1, Ordering::SeqCst);
        // So that they are not all at the same node for long.
        node = (node + 1) % nodes.len();
    }
}

/// Nothing acknowledged is missing, nothing is stored twice or by half, and all that is stored is sound.
pub(crate) fn verify(served: &Served, token: &str, database: &Database, seen: &Seen) {
    let mut reader = Device::new("reader", token);
    let mut there = HashSet::new();
    loop {
        let reply = reader.sync(served, &[]);
        there.extend(reply.of_type("task").map(|task| task["id"].as_str().unwrap().to_owned()));
        if !reply.more {
            break;
        }
    }
    let missing: Vec<_> = seen.acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{} acknowledged tasks are missing: {missing:?}", missing.len());
    assert!(!seen.acknowledged.is_empty());
    let twice = "SELECT count(*) - count(DISTINCT (space, record)) FROM changes WHERE origin = 0";
    assert_eq!(database.sql(twice), "0", "nothing is stored twice");
    assert_eq!(there.len() % TASKS, 0, "of each request all tasks are there, or none");
    assert_eq!(served.install.json(&["check"])["ok"], true);
}
