//! The server under measurement, as a process of its own: the real binary, or this program as a floor.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tombolo_testkit::postgres::Database;

const BINARY: &str = env!("CARGO_BIN_EXE_tombolo");

pub(crate) struct Served {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// One for each client.
    pub(crate) tokens: Vec<String>,
    pub(crate) started_in: Duration,
}

impl Served {
    pub(crate) fn floor() -> Self {
        let folder = fresh_folder();
        // The floor's tables are the real ones, so the binary makes them.
        tombolo(&folder, &["init"]);
        let (child, address, started_in) =
            start(Command::new(std::env::current_exe().unwrap()).arg("--floor").arg(&folder));
        Self { child, folder, address, tokens: Vec::new(), started_in }
    }

    /// The real binary, with a user and a token for each client: what they push is not news to each other.
    pub(crate) fn tombolo(clients: usize) -> Self {
        let folder = fresh_folder();
        let tokens = tokens(&folder, "tickit", clients);
        let (child, address, started_in) = start(&mut serve(&folder));
        Self { child, folder, address, tokens, started_in }
    }

    /// The real binary, with a user and a key of td for each client.
    pub(crate) fn tombolo_td(clients: usize) -> Self {
        let folder = fresh_folder();
        let tokens = tokens(&folder, "td", clients);
        // As many requests as it can take.
        let mut command = serve(&folder);
        command.args(["--set", "rate_limit.push=0", "--set", "rate_limit.pull=0", "--set", "rate_limit.other=0"]);
        let (child, address, started_in) = start(&mut command);
        Self { child, folder, address, tokens, started_in }
    }

    /// The real binary, with a user and a key for wellbeing for each client.
    pub(crate) fn tombolo_wellbeing(clients: usize) -> Self {
        let folder = fresh_folder();
        let tokens = tokens(&folder, "wellbeing", clients);
        let (child, address, started_in) = start(&mut serve(&folder));
        Self { child, folder, address, tokens, started_in }
    }

    /// The real binary, with the key of simple-sync that may do everything.
    pub(crate) fn tombolo_simple_sync() -> Self {
        let folder = fresh_folder();
        let made = tombolo(&folder, &["token", "--for", "simple-sync", "--user", ".root", "--name", "bench", "--json"]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let tokens = vec![made["token"].as_str().unwrap().to_owned()];
        let (child, address, started_in) = start(&mut serve(&folder));
        Self { child, folder, address, tokens, started_in }
    }

    /// The real binary, with a key for rooms, and limits beyond what is measured.
    pub(crate) fn tombolo_rooms() -> Self {
        let folder = fresh_folder();
        let made = tombolo(&folder, &["token", "--for", "rooms", "--name", "bench", "--json"]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let tokens = vec![made["token"].as_str().unwrap().to_owned()];
        let mut command = serve(&folder);
        for limit in ["sockets_per_address=20000", "messages_per_second=1000000", "messages_burst=1000000"] {
            command.args(["--set", &format!("rooms.{limit}")]);
        }
        let (child, address, started_in) = start(&mut command);
        Self { child, folder, address, tokens, started_in }
    }

    /// Nodes on one PostgreSQL database, with a token for each client: of one user, or of a user each.
    pub(crate) fn nodes(database: &Database, count: usize, clients: usize, is_shared: bool) -> Vec<Self> {
        let folder = fresh_folder();
        let mut tokens = Vec::new();
        for n in 0..clients {
            let user = if is_shared { "owner".to_owned() } else { format!("user{n}") };
            if !is_shared {
                on(&folder, database, &["user", "add", &user]);
            }
            let name = format!("bench{n}");
            let made = on(&folder, database, &["token", "--name", &name, "--user", &user, "--json"]);
            let made: serde_json::Value = serde_json::from_str(&made).unwrap();
            tokens.push(made["token"].as_str().unwrap().to_owned());
        }
        let node = |_| {
            let folder = fresh_folder();
            let (child, address, started_in) = start(serve(&folder).env("TOMBOLO_DATABASE", database.url()));
            Self { child, folder, address, tokens: tokens.clone(), started_in }
        };
        let nodes = (0..count).map(node).collect();
        let _ = std::fs::remove_dir_all(&folder);
        nodes
    }

    pub(crate) fn stop(&mut self) {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(stopped.success() && self.child.wait().unwrap().success(), "a clean stop");
    }

    pub(crate) fn start_again(&mut self) {
        let (child, address, started_in) = start(&mut serve(&self.folder));
        (self.child, self.address, self.started_in) = (child, address, started_in);
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time that the process used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // User and system time, in hundredths of a second, are the 12th and 13th fields after the name.
        let ticks: u64 = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|n| n.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its folder, which goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    #[expect(clippy::unused_self, reason = "the size of the binary that it runs")]
    pub(crate) fn binary_bytes(&self) -> u64 {
        std::fs::metadata(BINARY).unwrap().len()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn fresh_folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Beside the build: a folder for temporary files may be in memory, where a sync costs nothing.
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = parent.join(format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn serve(folder: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--set", "log.level=warn", "--data"]).arg(folder);
    command
}

/// A user for each client, and a token that opens `purpose` to him.
fn tokens(folder: &Path, purpose: &str, clients: usize) -> Vec<String> {
    let token = |n| {
        let user = format!("user{n}");
        tombolo(folder, &["user", "add", &user]);
        let made = tombolo(folder, &["token", "--for", purpose, "--name", "bench", "--user", &user, "--json"]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    (0..clients).map(token).collect()
}

fn tombolo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).arg("--data").arg(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn on(folder: &Path, database: &Database, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(folder).env("TOMBOLO_DATABASE", database.url());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn start(command: &mut Command) -> (Child, SocketAddr, Duration) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let started_in = begun.elapsed();
    let address = line.trim().rsplit('/').next().unwrap().parse().expect("the address that it listens on");
    // Whatever else it says is of no interest; but a closed pipe would be an error to it.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (child, address, started_in)
}
