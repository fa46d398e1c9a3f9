//! The real binary: its commands, and its server as a process.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::eventually::{FOREVER, eventually, spawn};
use crate::http::{Request, Response};
use crate::postgres::Database;

/// A debug build on a busy machine starts within a second; a hanging one is noticed soon enough.
const START_MAX: Duration = Duration::from_secs(30);
/// The server drains for 8 s at most, then closes its store.
const STOP_MAX: Duration = Duration::from_secs(30);
/// The longest command is a check of what a test has written.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// A folder of one test, gone when it ends.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, in `parent`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new_in(parent: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tombolo-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    /// A new one, where temporary files go.
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A binary with a data folder: what its commands are run with.
#[derive(Debug)]
pub struct Install {
    binary: PathBuf,
    data: PathBuf,
    /// Removed with it, unless the data lies elsewhere.
    _folder: Option<Folder>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    wrapper: Vec<OsString>,
    postgres: Option<Arc<Database>>,
}

impl Install {
    /// The binary with a data folder that does not exist yet.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let folder = Folder::new();
        let data = folder.path().join("data");
        Self { _folder: Some(folder), ..Self::at(binary, data) }
    }

    /// The binary with a data folder that outlives the test.
    #[must_use]
    pub fn at(binary: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        let (binary, data) = (binary.into(), data.into());
        Self {
            binary,
            data,
            _folder: None,
            args: Vec::new(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            postgres: None,
        }
    }

    /// Gives every command one key of the configuration.
    #[must_use]
    pub fn set(mut self, key_value: &str) -> Self {
        self.args.extend(["--set".to_owned(), key_value.to_owned()]);
        self
    }

    /// Keeps the data in a PostgreSQL database, which others may share.
    #[must_use]
    pub fn on(self, database: &Arc<Database>) -> Self {
        let with_url = self.variable("TOMBOLO_DATABASE", database.url());
        Self { postgres: Some(Arc::clone(database)), ..with_url }
    }

    /// The PostgreSQL database, when it is one.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn postgres(&self) -> &Arc<Database> {
        self.postgres.as_ref().expect("a test on PostgreSQL asks for it")
    }

    /// Gives every command a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs every command through another program, which gets the binary and its arguments after its own.
    #[must_use]
    pub fn through<S: Into<OsString>>(mut self, program_and_args: impl IntoIterator<Item = S>) -> Self {
        self.wrapper = program_and_args.into_iter().map(Into::into).collect();
        self
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data.join("tombolo.db")
    }

    /// A command, not started, in an environment that says nothing about Tombolo but what this was given.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut words: Vec<OsString> = self.wrapper.clone();
        words.push(self.binary.clone().into());
        words.extend(args.iter().map(Into::into));
        words.extend(self.args.iter().map(Into::into));
        if !args.contains(&"--data") {
            words.extend(["--data".into(), self.data.clone().into()]);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOMBOLO_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it does not start, or does not end within two minutes.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        output_within(self.command(args), COMMAND_MAX)
    }

    /// What a command answered that did something.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command to its end that is given `input` on its standard input.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {args:?}: {error}"));
        // Whoever refuses before it reads closes it: then its complaint says why.
        let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
        child.wait_with_output().expect("a child can be waited for")
    }

    /// What a command answered that was given `input` on its standard input, and did something.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok_with_input(&self, args: &[&str], input: &str) -> String {
        let output = self.run_with_input(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a command complained of that did nothing.
    ///
    /// # Panics
    /// When it did something.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} did: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The answer of a command under `--json`.
    ///
    /// # Panics
    /// When it failed, or answered something else.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} answered no JSON ({error}): {text}"))
    }

    /// A new token of the owner.
    pub fn token(&self, name: &str) -> String {
        token_of(&self.json(&["token", "--name", name]))
    }

    /// A new token of `user`, who is added when there is no such user.
    pub fn token_for(&self, user: &str, name: &str) -> String {
        let _ = self.run(&["user", "add", user]);
        token_of(&self.json(&["token", "--name", name, "--user", user]))
    }

    /// A new key for td of `user`, who is added when there is no such user; the owner is made by itself.
    pub fn key_for(&self, user: &str, name: &str) -> String {
        if user != "owner" {
            let _ = self.run(&["user", "add", user]);
        }
        token_of(&self.json(&["token", "--for", "td", "--name", name, "--user", user]))
    }

    /// A new key for simple-sync of `user`, who is added when there is no such user; `.root` is made by itself.
    pub fn sk_for(&self, user: &str) -> String {
        if user != ".root" {
            let _ = self.run(&["user", "add", user]);
        }
        token_of(&self.json(&["token", "--for", "simple-sync", "--user", user]))
    }

    /// A new key for rooms of `user`, who is added when there is no such user; the owner is made by itself.
    pub fn rk_for(&self, user: &str) -> String {
        if user != "owner" {
            let _ = self.run(&["user", "add", user]);
        }
        token_of(&self.json(&["token", "--for", "rooms", "--user", user]))
    }

    /// A new API key for wellbeing of `user`, who is added when there is no such user; the owner is made by itself.
    pub fn wb_for(&self, user: &str) -> String {
        if user != "owner" {
            let _ = self.run(&["user", "add", user]);
        }
        token_of(&self.json(&["token", "--for", "wellbeing", "--user", user]))
    }

    /// Starts the server, and waits until it listens.
    #[must_use]
    pub fn serve(self) -> Served {
        Served::start(self)
    }
}

fn token_of(made: &serde_json::Value) -> String {
    made["token"].as_str().expect("a new token is shown").to_owned()
}

/// Runs a command to its end.
///
/// # Panics
/// When it does not start, or does not end within the bound.
#[must_use]
pub fn output_within(mut command: Command, within: Duration) -> Output {
    let shown = format!("{command:?}");
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.expect("it was piped").read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let mut child = Reaped(child);
    let status = child.wait(&shown, within);
    Output { status, stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() }
}

/// A process that does not outlive the test, even one that fails.
#[derive(Debug)]
struct Reaped(Child);

impl Reaped {
    fn wait(&mut self, what: &str, within: Duration) -> ExitStatus {
        eventually(&format!("the end of {what}"), within, || self.0.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server.
#[derive(Debug)]
pub struct Served {
    /// What it was started from.
    pub install: Install,
    child: Reaped,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Served {
    /// Starts the server of `install` on a free port, and waits until it listens.
    ///
    /// # Panics
    /// When it does not listen within half a minute.
    #[must_use]
    pub fn start(install: Install) -> Self {
        let (child, address, log) = launch(&install);
        Self { install, child, address, log }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.0.id()
    }

    /// The log of the present process so far.
    #[must_use]
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Waits until the log has a line with all of `words`, and returns that line.
    ///
    /// # Panics
    /// When it does not come within ten seconds.
    pub fn logged(&self, words: &[&str]) -> String {
        eventually(&format!("a line of the log with {words:?}"), FOREVER, || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no reply.
    pub fn send(&self, request: &Request) -> Response {
        let sent = request.send(self.address());
        sent.unwrap_or_else(|error| panic!("no reply ({error}) to {request:.200?}\n{}", self.log()))
    }

    /// Asks the server to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait("the server", STOP_MAX)
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let id = self.process_id().to_string();
        let told = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill can be run");
        assert!(told.success(), "kill -{name} {id}");
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait("the server", STOP_MAX)
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.0.kill();
        let _ = self.child.0.wait();
    }

    /// Starts it again on the same folder, on another port, after it ended.
    ///
    /// # Panics
    /// When it runs, or does not listen within half a minute.
    pub fn start_again(&mut self) {
        let ended = self.child.0.try_wait().expect("a child can be waited for");
        assert!(ended.is_some(), "the server still runs");
        (self.child, self.address, self.log) = launch(&self.install);
    }
}

fn lock(log: &Mutex<String>) -> MutexGuard<'_, String> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn launch(install: &Install) -> (Reaped, SocketAddr, Arc<Mutex<String>>) {
    let mut command = install.command(&["serve", "--listen", "127.0.0.1:0"]);
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (stdout, stderr) = (child.stdout.take().expect("it was piped"), child.stderr.take().expect("it was piped"));
    let mut child = Reaped(child);
    let log = Arc::new(Mutex::new(String::new()));
    let writing = Arc::clone(&log);
    spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = lock(&writing);
            log.push_str(&line);
            log.push('\n');
        }
    });
    let said = Arc::new(Mutex::new(Vec::new()));
    let saying = Arc::clone(&said);
    spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            saying.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    let line = eventually("a server that listens", START_MAX, || {
        let line = said.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
        let ended = child.0.try_wait().expect("a child can be waited for");
        assert!(line.is_some() || ended.is_none(), "the server ended ({ended:?}):\n{}", lock(&log));
        line
    });
    let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
    let address = address.unwrap_or_else(|| panic!("a server says where it listens, not: {line}"));
    (child, address, log)
}
