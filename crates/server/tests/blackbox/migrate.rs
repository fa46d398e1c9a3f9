//! Moving to PostgreSQL under the hands of clients that never stop.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tombolo_testkit::eventually::{FOREVER, Stopwatch, eventually, spawn};
use tombolo_testkit::http::Request;
use tombolo_testkit::postgres::{Cluster, Database};
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Install, Served};
use tombolo_testkit::tickit::{Device, ago, inbox, read_strictly, task};
use tombolo_testkit::transcript::uuid;

use crate::{install, serve};

/// How long clients may be told to come again.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Between two tries of a client: sooner than it is told to, so that the pause is measured closely.
const TRY_EVERY: Duration = Duration::from_millis(10);
const CLIENTS: usize = 6;
/// Tasks of one request.
const TASKS: usize = 10;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// Tasks that the server acknowledged.
    acknowledged: Mutex<HashSet<String>>,
    /// When each 503 came.
    refusals: Mutex<Vec<Duration>>,
    is_over: AtomicBool,
}

impl Seen {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more tasks were acknowledged.
    fn more(&self, count: usize) {
        let enough = self.count() + count;
        eventually("pushes", FOREVER, || (self.count() >= enough).then_some(()));
    }
}

/// Starts clients that push one request after the other, each until it is acknowledged.
fn start_clients(seen: &Arc<Seen>, proxy: &Proxy, tokens: &[String]) -> Vec<JoinHandle<()>> {
    let (stopwatch, address) = (Stopwatch::start(), proxy.address());
    let client = |(client, token): (usize, &String)| {
        let (seen, mut device) = (Arc::clone(seen), Device::new(&format!("d{client}"), token));
        spawn(move || {
            let inbox = inbox(&device.inbox, &ago(60));
            for n in 0.. {
                let ids: Vec<String> = (0..TASKS).map(|k| uuid(&format!("{client}.{n}.{k}"))).collect();
                let mut tasks: Vec<_> = ids.iter().map(|id| task(id, "Milk", &device.inbox, &ago(60))).collect();
                tasks.extend((n == 0).then(|| inbox.clone()));
                let response = loop {
                    let response = device.request(&tasks).send(address).unwrap();
                    if response.status == 200 {
                        break response;
                    }
                    assert_eq!(response.status, 503, "{}", response.text());
                    let seconds = response.header("retry-after").unwrap_or_else(|| panic!("{}", response.text()));
                    assert!(seconds.parse::<u64>().unwrap() > 0);
                    seen.refusals.lock().unwrap().push(stopwatch.elapsed());
                    std::thread::sleep(TRY_EVERY);
                };
                device.last_sync = Some(read_strictly(&response.body).unwrap().server_time);
                seen.acknowledged.lock().unwrap().extend(ids);
                if seen.is_over.load(Ordering::SeqCst) {
                    return;
                }
            }
        })
    };
    tokens.iter().enumerate().map(client).collect()
}

fn all_tasks(served: &Served, token: &str) -> HashSet<String> {
    let mut reader = Device::new("reader", token);
    let mut there = HashSet::new();
    loop {
        let reply = reader.sync(served, &[]);
        there.extend(reply.of_type("task").map(|task| task["id"].as_str().unwrap().to_owned()));
        if !reply.more {
            return there;
        }
    }
}

fn on(database: &Database) -> Install {
    install().variable("TOMBOLO_DATABASE", database.url())
}

fn file_of(served: &Served) -> String {
    format!("sqlite://{}", served.install.database().display())
}

#[test]
fn clients_that_never_stop_lose_nothing_and_wait_for_two_seconds_at_most() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let mut old = serve();
    let tokens: Vec<String> = (0..CLIENTS).map(|n| old.install.token(&format!("device {n}"))).collect();
    let (seen, proxy) = (Arc::new(Seen::default()), Proxy::before(old.address()));
    let clients = start_clients(&seen, &proxy, &tokens);
    seen.more(3_000);

    let before = seen.count();
    let report = old.install.json(&["migrate", "--from", &file_of(&old), "--to", database.url()]);
    let after = seen.count();
    let new = on(&database).serve();
    proxy.lead_to(new.address());
    seen.more(500);
    seen.is_over.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());

    let refusals = seen.refusals.lock().unwrap().clone();
    let (first, last) = (refusals.iter().min().unwrap(), refusals.iter().max().unwrap());
    let pause = *last - *first;
    // Not by eprintln, which the test harness hides when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "migration: {before} tasks before, {after} when it ended; {} times 503 within {pause:?}, of which the \
         migration itself took {} ms",
        refusals.len(),
        report["pause_ms"]
    );
    assert!(pause <= PAUSE_MAX, "clients were told to come again for {pause:?}");
    assert_eq!(report["was_done_already"], false);

    let there = all_tasks(&new, &tokens[0]);
    let acknowledged = seen.acknowledged.lock().unwrap();
    let missing: Vec<_> = acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{} acknowledged tasks are missing: {missing:?}", missing.len());
    assert_eq!(there.len(), acknowledged.len());
    let twice = "SELECT count(*) FROM (SELECT FROM changes c JOIN records r ON r.space = c.space AND r.id = c.record
        WHERE r.collection = 'task' GROUP BY r.id HAVING count(*) > 1) twice";
    assert_eq!(database.sql(twice), "0", "tasks were stored twice");
    assert_eq!(on(&database).json(&["check"])["ok"], true);

    // The old server: not ready, and ends in order; the file stays a backup that can be read.
    let ready = old.send(&Request::get("/ready"));
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true));
    assert_eq!(old.send(&Request::get("/health")).status, 200);
    assert!(old.terminate().success(), "{}", old.log());
    assert_eq!(old.install.json(&["check"])["ok"], true);
    let complaint = old.install.refused(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(complaint.contains("--database"), "{complaint}");
}

#[test]
fn a_migration_that_is_killed_is_run_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let old = serve();
    let tokens: Vec<String> = (0..CLIENTS).map(|n| old.install.token(&format!("device {n}"))).collect();
    let (seen, proxy) = (Arc::new(Seen::default()), Proxy::before(old.address()));
    let clients = start_clients(&seen, &proxy, &tokens);
    seen.more(1_000);
    // Killed ever later, so that it meets different steps.
    for millis in [20, 60, 120, 200] {
        let mut command = old.install.command(&["migrate", "--to", database.url()]);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let text = old.install.ok(&["migrate", "--to", database.url()]);
    assert!(text.contains("--database postgres://"), "{text}");
    let again = old.install.json(&["migrate", "--to", database.url()]);
    assert_eq!(again["was_done_already"], true);
    let new = on(&database).serve();
    proxy.lead_to(new.address());
    seen.more(100);
    seen.is_over.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(all_tasks(&new, &tokens[0]), *seen.acknowledged.lock().unwrap());
}

#[test]
fn who_changes_his_mind_goes_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let old = serve();
    let token = old.install.token("phone");
    let mut device = Device::new("anne", &token);
    let _reply = device.join(&old, &[]);
    old.install.ok(&["migrate", "--to", database.url()]);
    assert_eq!(device.send(&old, &[]).status, 503);
    assert_eq!(old.install.json(&["migrate", "--undo"])["undone"], true);
    let _reply = device.sync(&old, &[task(&uuid("t"), "Milk", &device.inbox.clone(), &ago(60))]);
    assert_eq!(old.install.json(&["migrate", "--undo"])["undone"], false);
    assert_eq!(old.send(&Request::get("/ready")).status, 200);
}

#[test]
fn what_cannot_be_moved_is_refused_and_no_password_is_shown() {
    let install = install();
    for (args, words) in [
        (&["migrate", "--to", "postgres://u:secret@/x"][..], "no file"),
        (&["migrate"], "--to"),
        (&["migrate", "--undo", "--to", "postgres://u:secret@h/x"], "--undo"),
        (&["migrate", "--from", "postgres://u:secret@h/x", "--to", "postgres://u:secret@h/x"], "only a SQLite file"),
    ] {
        let complaint = install.refused(args);
        assert!(complaint.contains(words) && !complaint.contains("secret"), "{args:?}: {complaint}");
    }
    install.ok(&["token", "--name", "x"]);
    for to in ["mysql://u:secret@h/x", "postgres://u:secret@h/x?colour=red", "postgres://u:secret@127.0.0.1:1/x"] {
        let complaint = install.refused(&["migrate", "--to", to]);
        assert!(!complaint.contains("secret"), "{complaint}");
    }
}
