//! The real td command line, each with a HOME and a project folder of its own.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tombolo_testkit::eventually::{eventually, spawn};
use tombolo_testkit::served::{Folder, Install, output_within};

/// The client gives a request up after 30 s, and a sign-in asks every 5 s.
const COMMAND_MAX: Duration = Duration::from_secs(90);

/// A generation of the client, by how it signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// With a code that is typed into a page.
    Code,
    /// With a link in a mail.
    Link,
}

impl Generation {
    const fn version(self) -> &'static str {
        match self {
            Self::Code => "v0.43.0",
            Self::Link => "v0.58.0",
        }
    }

    /// Where the client of this generation is: where `scripts/install-td` puts it.
    pub(crate) fn client(self) -> Option<PathBuf> {
        let place = format!("../../.cache/td/{}/td", self.version());
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        if client.is_file() {
            return Some(client);
        }
        let how = format!("td {} is not installed: run scripts/install-td, which needs a Go toolchain", self.version());
        let is_required = std::env::var_os("TOMBOLO_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
        let has_go = Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
        assert!(!(is_required && has_go), "{how}");
        // Past the test harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {how} ***\n");
        None
    }
}

/// A terminal of one person on one machine.
pub(crate) struct Terminal {
    client: PathBuf,
    home: Folder,
    server: String,
    session: String,
    variables: Vec<(&'static str, &'static str)>,
}

impl Terminal {
    /// A fresh machine, pointed at `server`, with a project folder in which nothing is.
    pub(crate) fn new(client: &Path, server: SocketAddr) -> Self {
        let terminal = Self {
            client: client.to_owned(),
            home: Folder::new(),
            server: format!("http://{server}"),
            session: "first".to_owned(),
            variables: vec![("TD_FEATURE_SYNC_AUTOSYNC", "0")],
        };
        std::fs::create_dir_all(terminal.project()).unwrap();
        terminal.ok(&["init"]);
        terminal
    }

    /// Points it at another server.
    pub(crate) fn connect(&mut self, server: SocketAddr) {
        self.server = format!("http://{server}");
    }

    /// The server's address as somebody types it who adds a slash.
    pub(crate) fn add_slash(&mut self) {
        self.server.push('/');
    }

    /// Lets the client sync by itself with every command.
    pub(crate) fn sync_by_itself(&mut self) {
        self.variables = vec![("TD_FEATURE_SYNC_AUTOSYNC", "1"), ("TD_SYNC_AUTO_DEBOUNCE", "0s")];
    }

    /// Goes on in another session of the same machine, as in another window.
    pub(crate) fn session(&mut self, name: &str) {
        self.session = name.to_owned();
        // The older client wants to be asked for one in each new window, before it syncs.
        self.ok(&["whoami"]);
    }

    fn project(&self) -> PathBuf {
        self.home.path().join("project")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TD_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.project()).stdin(Stdio::null());
        command.env("HOME", self.home.path()).env("TD_FEATURE_SYNC_CLI", "1").env("NO_COLOR", "1");
        command.env("TD_SYNC_URL", &self.server).env("TD_SESSION_ID", &self.session);
        command.envs(self.variables.iter().copied());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        output_within(self.command(args), COMMAND_MAX)
    }

    /// What a command said that did something.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = said(&output);
        assert!(output.status.success(), "td {args:?}: {said}");
        said
    }

    /// What a command said that did nothing.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = said(&output);
        assert!(!output.status.success(), "td {args:?} did: {said}");
        said
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("td {args:?} answered no JSON ({error}): {text}"))
    }

    /// Signs in as `email`; the server's owner approves on the command line.
    pub(crate) fn sign_in(&self, email: &str, server: &Install) {
        let answer = self.home.path().join("answer");
        std::fs::write(&answer, format!("{email}\n")).unwrap();
        let mut command = self.command(&["auth", "login"]);
        command.stdin(File::open(&answer).unwrap());
        let signing_in = spawn(move || output_within(command, COMMAND_MAX));
        let waiting = || {
            let requests = server.json(&["login", "list"]);
            let requests = requests.as_array().expect("a list").clone();
            let request = requests.into_iter().find(|request| request["email"] == email)?;
            request["code"].as_str().map(str::to_owned)
        };
        let code = eventually("a sign-in that waits", COMMAND_MAX, waiting);
        server.ok(&["login", "approve", &code]);
        let output = signing_in.join().expect("the sign-in ends");
        let said = said(&output);
        assert!(output.status.success() && said.contains("Logged in as"), "td auth login: {said}");
    }

    /// Makes a project on the server, and returns its id.
    pub(crate) fn create_project(&self, name: &str) -> String {
        let said = self.ok(&["sync-project", "create", name]);
        let at = said.find("p_").unwrap_or_else(|| panic!("no project's id in: {said}"));
        said[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    }

    pub(crate) fn link(&self, project: &str) {
        self.ok(&["sync-project", "link", project, "--force"]);
    }

    /// Makes an issue, and returns its id.
    pub(crate) fn create(&self, title: &str) -> String {
        let said = self.ok(&["create", title]);
        let (_, id) = said.split_once("CREATED ").unwrap_or_else(|| panic!("no issue was made: {said}"));
        id.split_whitespace().next().expect("an id").to_owned()
    }

    /// All issues: each one's id, title, status and priority, in the order of the ids.
    pub(crate) fn issues(&self) -> Vec<[String; 4]> {
        let listed = self.json(&["list", "--all", "--limit", "5000"]);
        let text = |issue: &Value, key: &str| issue[key].as_str().unwrap_or_default().to_owned();
        let row = |issue: &Value| ["id", "title", "status", "priority"].map(|key| text(issue, key));
        let mut issues: Vec<_> = listed.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(row).collect();
        issues.sort();
        issues
    }

    /// The title of an issue.
    pub(crate) fn title(&self, id: &str) -> String {
        let found = self.issues().into_iter().find(|issue| issue[0] == id);
        found.unwrap_or_else(|| panic!("no issue {id}"))[1].clone()
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}
