//! The real binary: what the commands answer, what they leave alone, how a server starts and stops.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tombolo_core::versions::VersionsKept;
use tombolo_core::{Env as _, Name, PeerName, RoomCode, RoomId, SpaceNumber};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Accounts as _, DocumentPut, DocumentStored, NewRoom, Room, Rooms as _, Upkeep as _};
use tombolo_testkit::TestEnv;

/// A data folder of one test, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tombolo-commands-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOMBOLO_")) {
            command.env_remove(name);
        }
        command.args(args).arg("--data").arg(&self.0);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The answer of a command that did something.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The complaint of a command that did nothing.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} did something");
        assert!(output.stdout.is_empty(), "{args:?} answered as if it had done something");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Writes to the database what only clients could.
    fn sql(&self, text: &str) {
        rusqlite::Connection::open(self.0.join("tombolo.db")).unwrap().execute_batch(text).unwrap();
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let mut child = folder.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn address(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().strip_prefix("listening on http://").expect("a server says where it listens").to_owned()
    }

    fn stop(mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn init_makes_private_files_and_overwrites_nothing() {
    let folder = Folder::new();
    folder.ok(&["init"]);
    #[cfg(unix)]
    {
        assert_eq!(mode(&folder.0), 0o700);
        assert_eq!(mode(&folder.0.join("tombolo.db")), 0o600);
        assert_eq!(mode(&folder.0.join("tombolo.toml")), 0o600);
    }
    folder.ok(&["token", "--name", "laptop"]);
    std::fs::write(folder.0.join("tombolo.toml"), "public_url = 'https://sync.example.org/'\n").unwrap();
    assert!(folder.ok(&["init"]).contains("Kept the configuration file"));
    assert_eq!(folder.json(&["token", "--list"]).as_array().unwrap().len(), 1);
    assert!(folder.ok(&["token", "--name", "phone"]).contains("server = \"https://sync.example.org\""));
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let folder = Folder::new();
    let made = folder.json(&["token", "--name", "laptop", "--for", "tickit"]);
    assert_eq!((&made["name"], &made["user"]), (&"laptop".into(), &"owner".into()));
    let token = made["token"].as_str().unwrap();
    assert!(token.len() == 36 && token.starts_with("tks_"));
    let listed = folder.json(&["token", "--list"]);
    let keys: Vec<_> = listed[0].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["name", "user", "for", "created_at", "last_used_at", "expires_at"];
    assert!(keys.len() == expected.len() && expected.iter().all(|key| keys.contains(key)), "{keys:?}");
    assert_eq!(listed[0]["for"], "tickit");
    assert!(listed[0]["last_used_at"].is_null());
    assert!(folder.refused(&["token", "--name", "laptop"]).contains("--revoke laptop"));
    folder.ok(&["token", "--revoke", "laptop"]);
    assert_eq!(folder.json(&["token", "--list"]), serde_json::json!([]));
    assert!(folder.refused(&["token", "--revoke", "laptop"]).contains("no token laptop"));
    assert!(!String::from_utf8_lossy(&std::fs::read(folder.0.join("tombolo.db")).unwrap()).contains(token));
}

#[test]
fn names_are_unique_per_user() {
    let folder = Folder::new();
    assert!(folder.refused(&["token", "--name", "laptop", "--user", "ann"]).contains("tombolo user add ann"));
    folder.ok(&["user", "add", "ann", "--email", "ann@example.org"]);
    assert!(folder.refused(&["user", "add", "ann"]).contains("already"));
    assert!(folder.refused(&["user", "add", "bob", "--email", "bob"]).contains("e-mail"));
    assert!(folder.refused(&["user", "add", "bob", "--email", "Ann@Example.org"]).contains("another user has"));
    folder.ok(&["token", "--name", "laptop", "--user", "ann"]);
    folder.ok(&["token", "--name", "laptop"]);
    folder.ok(&["token", "--revoke", "laptop", "--user", "ann"]);
    assert_eq!(folder.json(&["token", "--list"])[0]["user"], "owner");
    folder.ok(&["user", "disable", "ann"]);
    assert!(folder.refused(&["token", "--name", "phone", "--user", "ann"]).contains("disabled"));
    let users = folder.json(&["user", "list"]);
    assert_eq!((&users[0]["name"], &users[0]["email"]), (&"ann".into(), &"ann@example.org".into()));
    assert!(users[0]["disabled_at"].is_string() && users[1]["disabled_at"].is_null());
}

#[test]
fn who_never_signed_in_is_pending() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "ann", "--email", "ann@example.org"]);
    folder.sql("INSERT INTO users (name, email, email_key, created_at) VALUES ('bob', 'b@c', 'b@c', 5)");
    let users = folder.json(&["user", "list"]);
    assert!(users[0]["confirmed_at"].is_string() && users[1]["confirmed_at"].is_null());
    let table = folder.ok(&["user", "list"]);
    let columns: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(columns[0], ["NAME", "E-MAIL", "CREATED", "PENDING", "DISABLED"]);
    assert_eq!([columns[1][3], columns[2][3]], ["no", "yes"]);
}

#[test]
fn a_user_is_deleted_with_all_that_is_theirs() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "ann", "--email", "ann@example.org"]);
    folder.ok(&["user", "add", "bob", "--email", "bob@example.org"]);
    for (name, user) in [("laptop", "ann"), ("phone", "ann"), ("laptop", "bob")] {
        folder.ok(&["token", "--name", name, "--user", user]);
    }
    folder.sql(
        "INSERT INTO projects VALUES (171, 'td', 'App', '', 'app', 1, 5, 5, NULL);
         INSERT INTO memberships VALUES (171, 1, 'owner', NULL, 5);
         INSERT INTO spaces (owner, purpose, head_seq, created_at) VALUES (1, 'tickit', 1, 5), (2, 'tickit', 1, 5);
         INSERT INTO changes SELECT id, 1, 1, NULL, NULL, 5, x'000000000000000000000000', 5, 5, 1, NULL, 0, 0, 0,
             zeroblob(16), 0, CAST('mark-of-' || owner AS BLOB) FROM spaces",
    );
    assert!(folder.refused(&["user", "delete", "cleo", "--yes"]).contains("no user cleo"));
    assert!(folder.refused(&["user", "delete", ".root", "--yes"]).contains("begins with a dot"));
    assert!(folder.refused(&["user", "delete", "ann"]).contains("the only owner"), "nothing is asked before");
    let owns = folder.refused(&["user", "delete", "ann", "--yes"]);
    assert!(owns.contains("the only owner of: App;") && owns.contains("tombolo project delete"), "{owns}");
    assert!(!owns.contains("stays") && !owns.contains("erases"), "nothing is shown that does not come: {owns}");
    assert_eq!(folder.json(&["user", "list"]).as_array().unwrap().len(), 2);

    folder.sql(
        "INSERT INTO projects SELECT 172, 'td', 'Old', '', 'old', 1, 5, 5, 1000000 * unixepoch();
         INSERT INTO projects SELECT 173, 'td', 'Both', '', 'both', 1, 5, 5, 1000000 * unixepoch();
         INSERT INTO projects VALUES (174, 'td', 'Ancient', '', 'ancient', 1, 5, 5, 6);
         INSERT INTO memberships VALUES (172, 1, 'owner', NULL, 5), (173, 1, 'owner', NULL, 5),
             (173, 2, 'owner', NULL, 5), (174, 1, 'owner', NULL, 5)",
    );
    folder.sql("INSERT INTO memberships VALUES (171, 2, 'owner', NULL, 5)");
    let unsure = folder.refused(&["user", "delete", "ann"]);
    assert!(unsure.contains("tombolo user delete ann --yes"), "{unsure}");
    assert!(folder.refused(&["user", "delete", "ann", "--json"]).contains("--yes"), "nobody reads a question");
    let output = folder.run(&["user", "delete", "ann", "--yes"]);
    assert!(output.status.success());
    let (said, shown) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("Deleted the user ann") && said.contains("Backups"), "{said}");
    assert!(!said.contains("hold copies"), "{said}");
    assert!(shown.contains("2 tokens") && shown.contains("tasks of Tickit, with the history: 1 change\n"), "{shown}");
    assert!(shown.contains("unless somebody else owns them too: Old, Both\n"), "{shown}");
    assert!(said.contains("could have been brought back went too: Old\n"), "{said}");
    assert!(said.contains("The name is free.\n"), "{said}");
    assert!(shown.contains("projects that others own stays: App"), "{shown}");
    let file = String::from_utf8_lossy(&std::fs::read(folder.0.join("tombolo.db")).unwrap()).into_owned();
    assert!(!file.contains("mark-of-1") && !file.contains("ann@example.org") && file.contains("mark-of-2"));
    let (users, tokens) = (folder.json(&["user", "list"]), folder.json(&["token", "--list"]));
    assert_eq!((users.as_array().unwrap().len(), &users[0]["name"]), (1, &"bob".into()));
    assert_eq!((tokens.as_array().unwrap().len(), &tokens[0]["user"]), (1, &"bob".into()));
    folder.ok(&["user", "add", "ann", "--email", "ann@example.org"]);
    let deleted = folder.json(&["user", "delete", "ann", "--yes"]);
    let expected = serde_json::json!({
        "name": "ann", "deleted": true, "tokens": 0, "changes": 0, "rooms": 0, "swept": true
    });
    assert_eq!(deleted, expected);
}

/// What somebody wrote to simple-sync stays, and nobody else is taken for them there.
#[test]
fn nobody_is_known_in_simple_sync_as_one_who_was_deleted() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "ann"]);
    folder.ok(&["token", "--for", "simple-sync", "--user", "ann"]);
    let output = folder.run(&["user", "delete", "ann", "--yes"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("simple-sync stays"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("free, except in simple-sync, where what they wrote stays under it."), "{said}");
    folder.ok(&["user", "add", "ann"]);
    let complaint = folder.refused(&["token", "--for", "simple-sync", "--user", "ann"]);
    assert!(complaint.contains("ann, who was deleted"), "{complaint}");
    folder.ok(&["token", "--for", "td", "--user", "ann"]);
    let said = folder.ok(&["user", "delete", "ann", "--yes"]);
    assert!(said.contains("free, except in simple-sync"), "it still is the one's who was deleted before: {said}");
}

#[test]
fn projects_are_listed_deleted_and_restored() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "ann"]);
    assert!(folder.ok(&["project", "list"]).contains("no projects yet"));
    folder.sql(
        "INSERT INTO projects VALUES (171, 'td', 'App\u{7}', '', 'app', 1, 5, 5, NULL), (172, 'td', 'Old', '', 'old', 1, 6, 6, 6);
         INSERT INTO memberships VALUES (171, 1, 'owner', NULL, 5);
         INSERT INTO spaces (owner, purpose, number, head_seq, created_at) VALUES (1, 'td', 171, 42, 5), (1, 'tickit', 0, 7, 5)",
    );
    let listed = folder.json(&["project", "list"]);
    let first = serde_json::json!({
        "id": "p_00000000000000ab", "name": "App\u{7}", "members": 1, "changes": 42,
        "created_at": "1970-01-01T00:00:00.000005Z", "deleted_at": null
    });
    assert_eq!((&listed[0], &listed[1]["id"]), (&first, &"p_00000000000000ac".into()));
    assert!(folder.ok(&["project", "list"]).contains("App\u{fffd}"), "a name moves no cursor");

    assert!(folder.refused(&["project", "restore", "p_00000000000000ab"]).contains("is not deleted"));
    let deleted = folder.json(&["project", "delete", "p_00000000000000ab"]);
    assert_eq!(deleted, serde_json::json!({"id": "p_00000000000000ab", "deleted": true}));
    assert!(folder.json(&["project", "list"])[0]["deleted_at"].is_string());
    assert!(folder.refused(&["project", "delete", "p_00000000000000ab"]).contains("not deleted already"));
    assert!(folder.ok(&["project", "restore", "p_00000000000000ab"]).contains("Restored"));
    assert!(folder.json(&["project", "list"])[0]["deleted_at"].is_null());
    let complaints = [
        (["project", "restore", "p_00000000000000ac"], "more than 30 days ago"),
        (["project", "restore", "p_00000000000000ad"], "there is no project"),
        (["project", "delete", "p_00000000000000ad"], "there is no project"),
        (["project", "delete", "171"], "is no project's id"),
    ];
    for (args, words) in complaints {
        let complaint = folder.refused(&args);
        assert!(complaint.contains(words), "{args:?}: {complaint}");
    }
}

#[test]
fn a_key_of_rooms_is_a_url() {
    let folder = Folder::new();
    let public = ["--set", "public_url=https://sync.example.org/home/"];
    let made = folder.json(&[&["token", "--for", "rooms", "--name", "board"][..], &public].concat());
    let token = made["token"].as_str().unwrap();
    let expected = serde_json::json!({
        "name": "board", "user": "owner", "token": token, "url": format!("https://sync.example.org/home/k/{token}")
    });
    assert!(token.starts_with("rk_"));
    assert_eq!(made, expected);
    assert_eq!(folder.json(&["token", "--list"])[0]["for"], "rooms");

    let listen = ["--set", "listen=127.0.0.1:7777"];
    let quiet = folder.ok(&[&["token", "--for", "rooms", "--quiet"][..], &listen].concat());
    assert!(quiet.starts_with("http://127.0.0.1:7777/k/rk_") && quiet.lines().count() == 1, "{quiet}");
    folder.ok(&["user", "add", "ann"]);
    let told =
        folder
            .ok(&[&["token", "--for", "rooms", "--name", "Ann's", "--user", "ann", "--expires", "3"][..], &listen]
                .concat());
    assert!(told.starts_with("http://127.0.0.1:7777/k/rk_"), "{told}");
    for words in ["the rooms of ann", "It ends on", r"tombolo token --revoke 'Ann'\''s' --user ann"] {
        assert!(told.contains(words), "{words} is missing in: {told}");
    }
    folder.ok(&["token", "--revoke", "board"]);

    let other = folder.json(&["token", "--name", "laptop"]);
    assert!(other.as_object().unwrap().keys().eq(["name", "token", "user"]), "{other}");
}

/// Makes rooms and stores documents in them, as a server would.
fn furnish(folder: &Folder, rooms: &[(&str, &str, &[&str])]) {
    let env = Arc::new(TestEnv::new(7));
    let store = Sqlite::open(&folder.0.join("tombolo.db"), Role::Tool, env.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (number, (user, code, texts)) in (1..).zip(rooms) {
            let owner = store.user(&Name::parse(user).unwrap()).await.unwrap().unwrap().id;
            let room = Room {
                owner,
                number: SpaceNumber::new(number),
                code: RoomCode::parse(code).unwrap(),
                id: RoomId::make([9; 16]),
                host: PeerName::parse("host_1", 64).unwrap(),
                created_at: env.now(),
            };
            let space = room.space();
            store.add_room(NewRoom { room, of_owner_max: 10 }).await.unwrap();
            for text in *texts {
                env.advance(Duration::from_secs(1));
                let kept = VersionsKept { newest: 9, minutes: 0, hours: 0, days: 0, bytes_max: 1 << 20 };
                let put = DocumentPut { space, text: (*text).to_owned(), after: None, kept, now: env.now() };
                assert!(matches!(store.put_document(put).await.unwrap(), DocumentStored::Stored(_)));
            }
        }
        store.close().await.unwrap();
    });
}

#[test]
fn rooms_are_listed_and_their_versions_shown_and_restored() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "owner"]);
    folder.ok(&["user", "add", "ann"]);
    assert!(folder.ok(&["room", "list"]).contains("owner has no rooms yet"));
    furnish(
        &folder,
        &[
            ("ann", "HERS", &["x"]),
            ("owner", "Board-1", &["one", "สอง\n", &"3".repeat(2_048)]),
            ("owner", "EMPTY", &[]),
        ],
    );

    let listed = folder.json(&["room", "list"]);
    let board = serde_json::json!({
        "code": "Board-1", "created_at": "2027-01-15T08:00:01.000Z", "used_at": "2027-01-15T08:00:01.000Z",
        "open": false, "version": 3, "bytes": 2_048
    });
    assert_eq!((&listed[0], listed.as_array().unwrap().len()), (&board, 2));
    assert_eq!(
        (&listed[1]["code"], &listed[1]["version"], &listed[1]["bytes"]),
        (&"EMPTY".into(), &serde_json::Value::Null, &0.into())
    );
    let table = folder.ok(&["room", "list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["CODE", "CREATED", "LAST", "USED", "VERSION", "SIZE"]);
    assert_eq!(lines[1][0], "Board-1");
    assert_eq!(lines[1][3..], ["3", "2.0", "KiB"]);
    assert_eq!(folder.json(&["room", "list", "--user", "ann"])[0]["code"], "HERS");

    let history = folder.json(&["room", "history", "board-1"]);
    let expected = serde_json::json!({"room": "Board-1", "versions": [
        {"version": 3, "at": "2027-01-15T08:00:04.000Z", "bytes": 2_048},
        {"version": 2, "at": "2027-01-15T08:00:03.000Z", "bytes": 10},
        {"version": 1, "at": "2027-01-15T08:00:02.000Z", "bytes": 3},
    ]});
    assert_eq!(history, expected);
    assert!(folder.ok(&["room", "history", "EMPTY"]).contains("has no document yet"));

    assert_eq!(folder.ok(&["room", "show", "BOARD-1", "2"]), "สอง\n");
    assert_eq!(folder.ok(&["room", "show", "BOARD-1"]), "3".repeat(2_048));
    assert_eq!(folder.json(&["room", "show", "BOARD-1", "1"])["document"], "one");

    let restored = folder.json(&["room", "restore", "BOARD-1", "2"]);
    assert_eq!(restored, serde_json::json!({"room": "Board-1", "restored": 2, "version": 4, "changed": true}));
    assert_eq!(folder.ok(&["room", "show", "BOARD-1"]), "สอง\n");
    assert!(folder.ok(&["room", "restore", "BOARD-1", "2"]).contains("4, says what version 2 says"));
    assert!(folder.ok(&["room", "restore", "BOARD-1", "1"]).contains("it is version 5 now"));
    assert_eq!(folder.json(&["check"])["ok"], true);
}

#[test]
fn a_room_or_version_that_is_not_there_is_named_with_those_that_are() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "ann"]);
    furnish(&folder, &[("ann", "HERS", &["1", "2", "3", "4", "5", "6"]), ("ann", "EMPTY", &[])]);
    assert!(folder.ok(&["room", "list"]).contains("ann (--user ann)"));
    let complaints = [
        (&["room", "show", "HERS"][..], "owner has no room HERS; there is one of ann (--user ann)"),
        (&["room", "show", "NONE", "--user", "ann"], "ann has no room NONE; tombolo room list"),
        (&["room", "history", "NO"], "\"NO\" is no room's code: a room's code has 4 to 64 letters"),
        (&["room", "list", "--user", "bob"], "there is no user bob"),
        (
            &["room", "show", "HERS", "9", "--user", "ann"],
            "no version 9 (any more); there are 6, 5, 4, 3, 2, and older ones",
        ),
        (&["room", "restore", "EMPTY", "1", "--user", "ann"], "has no document yet"),
        (&["room", "show", "EMPTY", "--user", "ann"], "has no document yet"),
        (&["room", "restore", "HERS", "newest", "--user", "ann"], "\"newest\" is no version's number"),
    ];
    for (args, words) in complaints {
        let complaint = folder.refused(args);
        assert!(complaint.contains(words), "{args:?}: {complaint}");
    }
}

#[cfg(unix)]
#[test]
fn who_reaches_rooms_is_said_at_the_start() {
    let folder = Folder::new();
    let start = |rooms: &str| Server::start(&folder, &["serve", "--listen", "127.0.0.1:0", "--rooms", rooms]);
    let said = |mut server: Server| {
        server.address();
        let told = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let mut rest = String::new();
        server.lines.read_to_string(&mut rest).unwrap();
        assert!(server.child.wait().unwrap().success());
        rest
    };
    assert!(!said(start("key")).contains("rooms are open"));
    assert_eq!(folder.json(&["user", "list"]), serde_json::json!([]));
    assert!(said(start("open")).contains("rooms are open"));
    assert_eq!(folder.json(&["user", "list"])[0]["name"], "owner");
    assert!(!said(start("off")).contains("rooms are open"));
    assert!(folder.refused(&["serve", "--rooms", "on"]).contains("[possible values: key, open, off]"));
}

#[test]
fn an_unknown_key_stops_every_command() {
    let folder = Folder::new();
    for args in [&["init"][..], &["serve"], &["token", "--list"], &["user", "list"], &["refused"], &["check"]] {
        let complaint = folder.refused(&[args, &["--set", "lisen=1"]].concat());
        assert!(complaint.contains("unknown key lisen"), "{complaint}");
    }
    assert!(!folder.0.exists());
}

#[test]
fn what_has_no_database_is_not_called_sound_or_empty() {
    let folder = Folder::new();
    for command in [
        &["check"][..],
        &["token", "--list"],
        &["token", "--revoke", "laptop"],
        &["user", "list"],
        &["user", "disable", "ann"],
        &["login", "list"],
        &["login", "approve", "K7WQM3RT"],
        &["acl", "list"],
        &["user", "password", "ann"],
        &["project", "list"],
        &["project", "restore", "p_00000000000000ab"],
        &["room", "list"],
        &["room", "history", "BOARD"],
        &["room", "show", "BOARD"],
        &["room", "restore", "BOARD", "1"],
        &["refused"],
    ] {
        let complaint = folder.refused(command);
        assert!(complaint.contains("there is no database") && complaint.contains("--data"), "{command:?}: {complaint}");
        assert!(!folder.0.exists(), "{command:?} made something");
    }
    folder.ok(&["init"]);
    assert_eq!(folder.json(&["check"])["ok"], true);
    assert_eq!(folder.json(&["refused"]), serde_json::json!([]));
}

#[cfg(unix)]
#[test]
fn a_server_starts_without_init_listens_where_it_says_and_stops_when_told() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let (first, second) = (server.address(), server.address());
    assert_ne!(first, second);
    for address in [&first, &second] {
        assert!(!address.ends_with(":0"));
        TcpStream::connect(address).unwrap();
    }
    assert!(folder.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("serves the data folder"));
    folder.ok(&["token", "--name", "laptop"]);
    server.stop();
    let mut again = Server::start(&folder, &["serve", "--listen", &first]);
    assert_eq!(again.address(), first);
    again.stop();
}

#[test]
fn an_address_in_use_is_named() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(folder.refused(&["serve", "--listen", &address]).contains(&address));
}

/// The status of a sync with `token`, sent as a client would.
fn sync_status(address: &str, token: &str) -> String {
    use std::io::Write as _;
    let body = r#"{"device_id":"5c7a1f0e-8c1e-4b53-9d64-3f6f0a1b2c3d","last_sync":null,"changes":[]}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /api/v1/sync HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    status.split(' ').nth(1).unwrap().to_owned()
}

/// Waits until a sync has `status`, a second at most.
fn await_status(address: &str, token: &str, status: &str) {
    let tries = (0..20).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        sync_status(address, token) == status
    });
    assert!(tries, "no {status} within a second");
}

#[cfg(unix)]
#[test]
fn a_token_made_or_revoked_beside_a_running_server_counts_within_a_second() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let token = folder.json(&["token", "--name", "laptop"])["token"].as_str().unwrap().to_owned();
    assert_eq!(sync_status(&address, &token), "200");
    assert_eq!(sync_status(&address, &token), "200");
    folder.ok(&["token", "--revoke", "laptop"]);
    await_status(&address, &token, "401");
    let token = folder.json(&["token", "--name", "laptop"])["token"].as_str().unwrap().to_owned();
    assert_eq!(sync_status(&address, &token), "200");
    folder.ok(&["user", "disable", "owner"]);
    await_status(&address, &token, "401");
    server.stop();
}

#[cfg(unix)]
#[test]
fn wrong_tokens_are_limited_and_when_a_token_was_last_used_is_kept_at_the_end() {
    let folder = Folder::new();
    let token = folder.json(&["token", "--name", "laptop"])["token"].as_str().unwrap().to_owned();
    let mut server = Server::start(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let answers: Vec<_> = (0..35).map(|_| sync_status(&address, "tks_wrong")).collect();
    assert_eq!(answers[..30], vec!["401"; 30]);
    assert!(answers.contains(&"429".to_owned()), "{answers:?}");
    assert_eq!(sync_status(&address, &token), "200");
    server.stop();
    assert!(folder.json(&["token", "--list"])[0]["last_used_at"].is_string());
}
