//! A real PostgreSQL of the test's own: its cluster, and a fresh database for each test.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::eventually::{eventually, spawn};

/// A start takes a second, with recovery a few.
const START_MAX: Duration = Duration::from_secs(30);
/// A fast stop writes a checkpoint of all that is dirty.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How often a free port is looked for, which somebody else may take first.
const PORT_TRIES: usize = 5;
/// What the path of a unix socket can hold.
const SOCKET_PATH_MAX: usize = 107;
/// The superuser, who needs no password.
const USER: &str = "tombolo";
/// Where Debian's packages have a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Holds PostgreSQL. It lives until its orders end, which they do with the test process, however that ends.
///
/// - It makes the folders itself, so that none is left by a test process that is killed between two steps.
/// - It must clean up though the terminal signals it, or the process that it replies to is gone.
/// - PostgreSQL refuses to be root; `--pdeathsig` ends it even when this shell is killed.
/// - A shell starts a background process deaf to QUIT, so one signal may come before PostgreSQL listens to it.
/// - That a server has ended is only seen once it was reaped, which waiting for another process does.
const KEEPER: &str = r#"
trap '' HUP INT PIPE TERM
folder=$(mktemp -d "$sockets/tombolo-pg-XXXXXX" 2>&1) || { echo "$folder"; exit; }
data=$(mktemp -d "${parent:-$folder}/tombolo-pg-XXXXXX" 2>&1) || { echo "$data"; rmdir "$folder"; exit; }
echo "$folder"
echo "$data"
exec 2>>"$folder/log"
[ "$(id -u)" != 0 ] || set -- setpriv --reuid=postgres --regid=postgres --init-groups --pdeathsig=QUIT
server=
while read -r order argument; do
    case $order in
    make)
        chmod 0711 "$folder" && { [ $# = 0 ] || chown postgres "$folder" "$data"; } &&
            "$@" "$initdb" -D "$data" -U "$user" -A trust -E UTF8 --locale=C $argument </dev/null >&2 &&
            echo made || echo failed ;;
    start)
        "$@" "$postgres" -D "$data" </dev/null >&2 &
        server=$!
        echo started ;;
    look)
        if "$pg_isready" -q -h "$folder" -p "$argument" </dev/null >&2; then echo ready
        elif [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then echo busy
        else server=; echo ended; fi ;;
    INT | QUIT)
        [ -z "$server" ] || kill -s "$order" "$server"
        echo told ;;
    esac
done
while [ -n "$server" ] && kill -s QUIT "$server" 2>/dev/null; do sleep 0.02; done
rm -rf "$data" "$folder"
"#;

/// What a cluster does for a machine that loses its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Syncs as a cluster in use does.
    Real,
    /// Leaves it to the system when to write: faster, for tests that do not kill the machine.
    Unsynced,
}

/// How a cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Disconnects its clients, and shuts down in order.
    Fast,
    /// Ends at once, and has to recover when it starts again.
    Immediate,
}

/// One PostgreSQL of its own. It ends with the test process, even with one that is killed, and leaves nothing behind.
#[derive(Debug)]
pub struct Cluster {
    keeper: Keeper,
    address: Address,
    tcp: Option<SocketAddr>,
    data: PathBuf,
    databases: AtomicU32,
}

impl Cluster {
    /// Starts one that listens on a unix socket only; a setting is like `max_connections=20`.
    ///
    /// # Errors
    /// What is missing, or what PostgreSQL complained of.
    ///
    /// # Panics
    /// When it does not answer within half a minute.
    pub fn start(durability: Durability, settings: &[&str]) -> Result<Self, String> {
        Self::make(None, durability, settings)?.listening()
    }

    /// Starts one whose data folder lies in `parent`, where user `postgres` has to reach it.
    ///
    /// # Errors
    /// What is missing, or what PostgreSQL complained of.
    ///
    /// # Panics
    /// When it does not answer within half a minute.
    pub fn start_in(parent: &Path, durability: Durability, settings: &[&str]) -> Result<Self, String> {
        Self::make(Some(parent), durability, settings)?.listening()
    }

    /// Starts one that listens on a free port of the loopback as well.
    ///
    /// # Errors
    /// What is missing, or what PostgreSQL complained of.
    ///
    /// # Panics
    /// When it does not answer within half a minute.
    pub fn start_tcp(durability: Durability, settings: &[&str]) -> Result<Self, String> {
        let mut cluster = Self::make(None, durability, settings)?;
        cluster.configure(&["listen_addresses=127.0.0.1"])?;
        for _ in 0..PORT_TRIES {
            cluster.take_port()?;
            match cluster.launch() {
                Err(reason) if reason.contains("Address already in use") => {}
                launched => return launched.map(|()| cluster),
            }
        }
        Err("PostgreSQL does not start: whichever port is free is taken before it listens".to_owned())
    }

    /// The cluster that the tests of this process share, or none where PostgreSQL is missing and not required.
    ///
    /// # Panics
    /// When it cannot be started, and `TOMBOLO_REQUIRE_POSTGRES` is `1`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let is_required = std::env::var_os("TOMBOLO_REQUIRE_POSTGRES").is_some_and(|value| value == "1");
        let shared = SHARED.get_or_init(|| {
            let started = Self::start(Durability::Unsynced, &["max_connections=300", "shared_buffers=32MB"]);
            if let (Err(reason), false) = (&started, is_required) {
                // Not by eprintln, which the test harness hides when a test passes.
                let _ = writeln!(std::io::stderr(), "*** NOT TESTED ON POSTGRESQL: {reason} ***");
            }
            started
        });
        match shared {
            Ok(cluster) => Some(cluster),
            Err(reason) if is_required => panic!("PostgreSQL is required: {reason}"),
            Err(_) => None,
        }
    }

    /// A binary of the newest PostgreSQL that is installed, such as `pgbench`.
    #[must_use]
    pub fn binary(name: &str) -> Option<PathBuf> {
        let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
        let numbers = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let folders = numbers.map(|number| (number, Path::new(VERSIONS).join(number.to_string()).join("bin")));
        // A version of which only the client is installed does not count.
        let newest = folders.filter(|(_, folder)| folder.join("initdb").is_file()).max().map(|(_, folder)| folder);
        let path = std::env::var_os("PATH").unwrap_or_default();
        newest.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(|at| at.is_file())
    }

    /// Makes a fresh, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // Unlike template1, nobody is ever connected to it, which would refuse the copy.
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Database { url: self.url(&name), name, address: self.address.clone() }
    }

    /// Runs statements in a database, and returns what they answered: a line for each row, `|` between columns.
    ///
    /// # Panics
    /// When one fails, or takes longer than two minutes.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.address.sql(database, text)
    }

    /// Ends all connections of a database but this call's own, and returns how many there were.
    ///
    /// # Panics
    /// When one does not end within ten seconds.
    pub fn kill_backends(&self, database: &str) -> usize {
        let ended = self.sql(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                 WHERE datname = '{}' AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
                database.replace('\'', "''"),
            ),
        );
        assert!(ended.lines().all(|ended| ended == "t"), "a connection of {database} does not end");
        ended.lines().count()
    }

    /// The URL of a database, through the unix socket.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_through(database, &percent_encoded(&self.address.sockets), self.address.port)
    }

    /// The URL of a database through something else that passes bytes on, such as a proxy.
    #[must_use]
    pub fn url_through(&self, database: &str, host: &str, port: u16) -> String {
        // With port and mode, or variables of the environment such as PGPORT would decide them.
        format!("postgres://{USER}@{host}:{port}/{database}?sslmode=disable")
    }

    /// Where it listens on the loopback.
    ///
    /// # Panics
    /// When it was not started by [`Self::start_tcp`].
    #[must_use]
    pub fn tcp_address(&self) -> SocketAddr {
        self.tcp.expect("a cluster of start_tcp")
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.data
    }

    /// The folder of the unix socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.address.sockets
    }

    /// The log since the cluster was made.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.address.sockets.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Stops it, and waits until it is down.
    ///
    /// # Panics
    /// When it is not down within a minute.
    pub fn stop(&mut self, how: Stop) {
        self.keeper.order(match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        });
        eventually("the end of PostgreSQL", STOP_MAX, || (self.look() == "ended").then_some(()));
    }

    /// Starts it again on the same folder, after a stop, and waits until it answers.
    ///
    /// # Panics
    /// When it runs, or does not answer within half a minute.
    pub fn start_again(&mut self) {
        assert_eq!(self.look(), "ended", "PostgreSQL still runs");
        self.launch().unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Stops it, and starts it again.
    ///
    /// # Panics
    /// When it is not down within a minute, or does not answer within half a minute after that.
    pub fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    fn make(parent: Option<&Path>, durability: Durability, settings: &[&str]) -> Result<Self, String> {
        let psql = installed("psql")?;
        let (keeper, sockets, data) = Keeper::start(parent)?;
        let address = Address { psql, sockets, port: 5432 };
        let mut cluster = Self { keeper, address, tcp: None, data, databases: AtomicU32::new(0) };
        let (make, faster): (_, &[&str]) = match durability {
            Durability::Real => ("make", &[]),
            Durability::Unsynced => ("make --no-sync", &["fsync=off", "full_page_writes=off"]),
        };
        if cluster.keeper.order(make) != "made" {
            return Err(format!("a PostgreSQL cluster cannot be made: {}", cluster.log()));
        }
        let folder = format!("unix_socket_directories={}", cluster.address.sockets.display());
        cluster.configure(&[&folder, "listen_addresses=", "port=5432"])?;
        cluster.configure(faster)?;
        cluster.configure(settings)?;
        Ok(cluster)
    }

    /// Of two settings of one name the later counts.
    fn configure(&self, settings: &[&str]) -> Result<(), String> {
        let mut lines = String::new();
        for setting in settings {
            let (name, value) = setting.split_once('=').ok_or_else(|| format!("not name=value: {setting}"))?;
            lines += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        let file = OpenOptions::new().append(true).open(self.data.join("postgresql.conf"));
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.map_err(|error| format!("PostgreSQL cannot be configured: {error}"))
    }

    fn take_port(&mut self) -> Result<(), String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let free = free.map_err(|error| format!("there is no free port: {error}"))?;
        self.configure(&[&format!("port={}", free.port())])?;
        self.address.port = free.port();
        self.tcp = Some(free);
        Ok(())
    }

    fn listening(mut self) -> Result<Self, String> {
        self.launch().map(|()| self)
    }

    fn launch(&mut self) -> Result<(), String> {
        let before = self.log().len();
        self.keeper.order("start");
        let is_up = eventually("a PostgreSQL that answers", START_MAX, || match self.look().as_str() {
            "ready" => Some(true),
            "ended" => Some(false),
            _ => None,
        });
        let why = || self.log().get(before..).unwrap_or_default().to_owned();
        if is_up { Ok(()) } else { Err(format!("PostgreSQL does not start: {}", why())) }
    }

    fn look(&mut self) -> String {
        self.keeper.order(&format!("look {}", self.address.port))
    }
}

/// A database of one test, gone when it ends.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    address: Address,
}

impl Database {
    /// Its URL, through the unix socket.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements in it, and returns what they answered: a line for each row, `|` between columns.
    ///
    /// # Panics
    /// When one fails, or takes longer than two minutes.
    #[track_caller]
    pub fn sql(&self, text: &str) -> String {
        self.address.sql(&self.name, text)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.address.psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// How `psql` reaches a cluster.
#[derive(Clone, Debug)]
struct Address {
    psql: PathBuf,
    sockets: PathBuf,
    port: u16,
}

impl Address {
    #[track_caller]
    fn sql(&self, database: &str, text: &str) -> String {
        match self.psql(database, text) {
            Ok(answer) => answer,
            // Not in a closure, which would hide the caller.
            Err(reason) => panic!("{reason}in {database}: {text}"),
        }
    }

    fn psql(&self, database: &str, text: &str) -> Result<String, String> {
        let mut command = clean_command(&self.psql);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-U", USER, "-d", database]);
        command.arg("-h").arg(&self.sockets).arg("-p").arg(self.port.to_string());
        // Nothing here waits for ever, be it for a lock or for a cluster that a test has paused.
        command.env("PGCONNECT_TIMEOUT", "30").env("PGOPTIONS", "-c statement_timeout=120s");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run psql: {error}"))?;
        let (mut stdin, text) = (child.stdin.take().expect("it was piped"), text.to_owned());
        // It answers the first statements before it has read the last ones.
        let writing = spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().map_err(|error| format!("psql is lost: {error}"))?;
        let _ = writing.join();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The shell that holds PostgreSQL.
#[derive(Debug)]
struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Keeper {
    /// With the folder that it made for the socket, and the one for the data.
    fn start(parent: Option<&Path>) -> Result<(Self, PathBuf, PathBuf), String> {
        let mut command = clean_command(Path::new("sh"));
        command.args(["-c", KEEPER, "keeper"]).env("sockets", socket_parent()).env("user", USER).env("LC_ALL", "C");
        for name in ["initdb", "postgres", "pg_isready"] {
            command.env(name, installed(name)?);
        }
        match parent.map(std::path::absolute).transpose() {
            Ok(parent) => command.env("parent", parent.unwrap_or_default()),
            Err(error) => return Err(format!("there is no such folder: {error}")),
        };
        // User `postgres` may not be in the present folder; and the terminal's signals go to the present group.
        command.current_dir("/").process_group(0);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.map_err(|error| format!("cannot run sh: {error}"))?;
        let orders = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut keeper = Self { child, orders, replies };
        match (keeper.reply(), keeper.reply()) {
            (reason, data) if data.is_empty() => Err(format!("PostgreSQL has no folder: {reason}")),
            (sockets, data) => Ok((keeper, sockets.into(), data.into())),
        }
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("it takes orders until it is dropped");
        writeln!(orders, "{order}").expect("the shell that holds PostgreSQL lives until its orders end");
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        self.replies.read_line(&mut reply).expect("a shell replies with text");
        reply.trim_end().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

fn installed(name: &str) -> Result<PathBuf, String> {
    let missing = || format!("PostgreSQL is not installed (no {name}): apt-get install postgresql");
    Cluster::binary(name).ok_or_else(missing)
}

/// Without the variables by which the environment would choose another cluster.
fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

fn socket_parent() -> PathBuf {
    let parent = std::env::temp_dir();
    let longest = parent.join("tombolo-pg-XXXXXX/.s.PGSQL.65535");
    if longest.as_os_str().len() <= SOCKET_PATH_MAX { parent } else { PathBuf::from("/tmp") }
}

fn percent_encoded(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let encoded = bytes.map(|&byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
