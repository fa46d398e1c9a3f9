//! What is asked of the servers.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::process::Served;

#[derive(Clone, Copy)]
pub(crate) struct Pushes {
    pub(crate) changes: usize,
    pub(crate) clients: usize,
    pub(crate) seconds: Duration,
}

pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Processor time of the server for one request.
    pub(crate) cpu: Duration,
}

pub(crate) struct ColdPull {
    pub(crate) records: usize,
    pub(crate) page_bytes: Vec<usize>,
    pub(crate) took: Duration,
}

const SYNC: &str = "/api/v1/sync";
const CREATED: &str = "2026-11-20T23:53:11.651384916Z";

/// A task as the desktop sends it, about 400 bytes.
fn task(client: usize, n: usize) -> String {
    let id = format!("{client:08x}-0000-4000-8000-{n:012x}");
    format!(
        r#"{{"type":"task","id":"{id}","title":"Buy milk and bread {n}","description":"From the shop at the corner","url":null,"priority":"medium","completed":false,"list_id":"{client:08x}-1111-4000-8000-000000000000","tag_ids":[],"created_at":"{CREATED}","updated_at":"{CREATED}","completed_at":null,"due_date":"2026-12-24T23:59:59+00:00"}}"#
    )
}

fn inbox(client: usize) -> String {
    format!(
        r#"{{"type":"list","id":"{client:08x}-1111-4000-8000-000000000000","name":"Inbox","description":null,"icon":"📥","color":null,"is_inbox":true,"sort_order":-1,"created_at":"{CREATED}","updated_at":"{CREATED}"}}"#
    )
}

fn request(device: &str, last_sync: Option<&str>, changes: &[String]) -> Vec<u8> {
    let last_sync = last_sync.map_or_else(|| "null".to_owned(), |time| format!("\"{time}\""));
    format!(r#"{{"device_id":"{device}","last_sync":{last_sync},"changes":[{}]}}"#, changes.join(",")).into_bytes()
}

/// The time to present next: it stands at the reply's beginning.
fn server_time(reply: &[u8]) -> String {
    let text = std::str::from_utf8(&reply[..60]).unwrap();
    text.split('"').nth(3).unwrap().to_owned()
}

pub(crate) fn push_tombolo(served: &Served, pushes: Pushes) -> Measured {
    push_nodes(std::slice::from_ref(served), pushes, false)
}

/// Each client at the next node. Those that share a space share its inbox.
pub(crate) fn push_nodes(nodes: &[Served], pushes: Pushes, is_shared: bool) -> Measured {
    measure(nodes, pushes, |client| {
        let served = &nodes[client % nodes.len()];
        let mut connection = Client::new(served.address, SYNC, &served.tokens[client]);
        let device = format!("device-{client}");
        let own = inbox(if is_shared { 0 } else { client });
        let mut last_sync = server_time(&connection.post(&request(&device, None, &[own])));
        let mut next = 0;
        move || {
            let tasks: Vec<String> = (next..next + pushes.changes).map(|n| task(client, n)).collect();
            next += pushes.changes;
            let reply = connection.post(&request(&device, Some(&last_sync), &tasks));
            last_sync = server_time(&reply);
        }
    })
}

pub(crate) fn push_floor(served: &Served, pushes: Pushes) -> Measured {
    measure(std::slice::from_ref(served), pushes, |client| {
        let mut connection = Client::new(served.address, &format!("/push/{client}"), "none");
        let mut next = 0;
        move || {
            let tasks: Vec<String> = (next..next + pushes.changes).map(|n| task(client, n)).collect();
            next += pushes.changes;
            connection.post(tasks.join("\n").as_bytes());
        }
    })
}

/// Lets each client run for the given time, after a tenth of it to warm up.
pub(crate) fn measure<F: FnMut()>(nodes: &[Served], pushes: Pushes, client: impl Fn(usize) -> F + Sync) -> Measured {
    let warm = pushes.seconds / 10;
    // The first request verifies the token, which takes longer than all that is measured.
    let ready = std::sync::Barrier::new(pushes.clients);
    let run = |n: usize| {
        let mut push = client(n);
        ready.wait();
        let begun = Instant::now();
        let mut latencies = Vec::new();
        let mut all = 0_u32;
        while begun.elapsed() < warm + pushes.seconds {
            let sent = Instant::now();
            push();
            all += 1;
            if begun.elapsed() > warm {
                latencies.push(sent.elapsed());
            }
        }
        (latencies, all)
    };
    let run = &run;
    let cpu_of = || nodes.iter().map(Served::cpu).sum::<Duration>();
    let cpu_before = cpu_of();
    let done: Vec<(Vec<Duration>, u32)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..pushes.clients).map(|n| scope.spawn(move || run(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let requests: u32 = done.iter().map(|(_, requests)| requests).sum();
    let cpu = (cpu_of() - cpu_before) / requests.max(1);
    let mut all: Vec<Duration> = done.into_iter().flat_map(|(latencies, _)| latencies).collect();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    Measured { per_second: all.len() as f64 / pushes.seconds.as_secs_f64(), p50: at(0.5), p99: at(0.99), cpu }
}

/// Adds records to the first user's space.
pub(crate) fn fill(served: &Served, records: usize) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static FILLED: AtomicUsize = AtomicUsize::new(0);
    let mut connection = Client::new(served.address, SYNC, &served.tokens[0]);
    let mut last_sync = None;
    let mut left = records;
    while left > 0 {
        let count = left.min(500);
        let from = FILLED.fetch_add(count, Ordering::Relaxed);
        let mut records: Vec<String> = (from..from + count).map(|n| task(0, n)).collect();
        // Without the list that they are in, the server would move them all.
        if from == 0 {
            records.push(inbox(0));
        }
        let reply = connection.post(&request("filler", last_sync.as_deref(), &records));
        last_sync = Some(server_time(&reply));
        left -= count;
    }
}

/// A device that is up to date asks for news.
pub(crate) fn empty_pulls(served: &Served, seconds: Duration) -> Measured {
    let mut connection = Client::new(served.address, SYNC, &served.tokens[0]);
    let mut last_sync: Option<String> = None;
    loop {
        let reply = connection.post(&request("watcher", last_sync.as_deref(), &[]));
        last_sync = Some(server_time(&reply));
        if reply.ends_with(br#""more":false}"#) {
            break;
        }
    }
    drop(connection);
    measure(std::slice::from_ref(served), Pushes { changes: 0, clients: 1, seconds }, |_| {
        let mut connection = Client::new(served.address, SYNC, &served.tokens[0]);
        let last_sync = last_sync.clone();
        move || {
            let reply = connection.post(&request("watcher", last_sync.as_deref(), &[]));
            assert!(reply.len() < 200, "nothing new");
        }
    })
}

/// A new device takes everything.
pub(crate) fn cold_pull(served: &Served) -> ColdPull {
    let mut best: Option<ColdPull> = None;
    for round in 0..3 {
        let mut connection = Client::new(served.address, SYNC, &served.tokens[0]);
        let device = format!("cold-{round}");
        let begun = Instant::now();
        let (mut page_bytes, mut records, mut last_sync) = (Vec::new(), 0, None::<String>);
        loop {
            let reply = connection.post(&request(&device, last_sync.as_deref(), &[]));
            page_bytes.push(reply.len());
            records += count_tasks(&reply);
            last_sync = Some(server_time(&reply));
            if reply.ends_with(br#""more":false}"#) {
                break;
            }
        }
        let pull = ColdPull { records, page_bytes, took: begun.elapsed() };
        if best.as_ref().is_none_or(|best| pull.took < best.took) {
            best = Some(pull);
        }
    }
    best.unwrap()
}

/// The same bytes from memory.
pub(crate) fn memory_pull(floor: &Served, page_bytes: &[usize]) -> Duration {
    let mut connection = Client::new(floor.address, "/bytes", "none");
    let mut pull = || {
        let begun = Instant::now();
        for bytes in page_bytes {
            let reply = connection.post(bytes.to_string().as_bytes());
            // The other side looks for its records too.
            std::hint::black_box(count_tasks(&reply));
        }
        begun.elapsed()
    };
    (0..3).map(|_| pull()).min().unwrap()
}

fn count_tasks(reply: &[u8]) -> usize {
    // By the byte that records begin with, which is not frequent: to compare at each place would take longer than to
    // send.
    let starts = reply.iter().enumerate().filter(|(_, byte)| **byte == b'{');
    starts.filter(|(at, _)| reply[*at..].starts_with(br#"{"type":"task"#)).count()
}
