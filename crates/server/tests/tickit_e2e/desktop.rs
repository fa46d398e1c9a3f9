//! The real desktop client, each with a HOME of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ToSql;
use tombolo_testkit::served::{Folder, output_within};
use tombolo_testkit::tickit::now;

/// The client itself gives up after 30 s.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Where the client is: where `TOMBOLO_TICKIT` says, on the path, or where `scripts/install-tickit` puts it.
pub(crate) fn client() -> Option<PathBuf> {
    let named = std::env::var_os("TOMBOLO_TICKIT").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("tickit"));
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/tickit/bin/tickit");
    let mut places = named.into_iter().chain(on_path).chain([installed]);
    let found = places.find(|place| place.is_file());
    if found.is_none() {
        let how =
            "the tickit client is not installed: run scripts/install-tickit, or say in TOMBOLO_TICKIT where it is";
        assert!(std::env::var_os("TOMBOLO_REQUIRE_CLIENTS").is_none_or(|value| value != "1"), "{how}");
        // Past the test harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {how} ***\n");
    }
    found
}

/// A desktop.
pub(crate) struct Desktop {
    client: PathBuf,
    home: Folder,
}

/// What a sync said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) uploaded: u32,
    pub(crate) received: u32,
    pub(crate) conflicts: u32,
}

/// A task as the desktop keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) priority: String,
    pub(crate) completed: bool,
    /// The name of its list; `None` when the desktop does not know the list.
    pub(crate) list: Option<String>,
    pub(crate) tags: Vec<String>,
}

impl Desktop {
    pub(crate) fn new(client: &Path, server: SocketAddr, token: &str) -> Self {
        let desktop = Self { client: client.to_owned(), home: Folder::new() };
        std::fs::create_dir_all(desktop.folder()).unwrap();
        desktop.connect(server, token);
        desktop
    }

    /// Pastes the server's address and the token into the settings.
    pub(crate) fn connect(&self, server: SocketAddr, token: &str) {
        let settings = format!("[sync]\nenabled = true\nserver = \"http://{server}/\"\ntoken = \"{token}\"\n");
        std::fs::write(self.folder().join("config.toml"), settings).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(".config/tickit")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.client);
        command.args(args).env_remove("XDG_CONFIG_HOME").env("HOME", self.home.path());
        output_within(command, COMMAND_MAX)
    }

    /// What a command answered that did something.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "tickit {args:?}: {text}");
        text
    }

    pub(crate) fn sync(&self) -> Synced {
        self.sync_with(&["sync"])
    }

    pub(crate) fn sync_by_force(&self) -> Synced {
        self.sync_with(&["sync", "--force"])
    }

    fn sync_with(&self, args: &[&str]) -> Synced {
        let said = self.ok(args);
        assert!(said.contains("Sync complete"), "{said}");
        let number = |before: &str, after: &str| {
            let found = said.split_once(before).and_then(|(_, rest)| rest.split_once(after));
            found.and_then(|(number, _)| number.trim().parse().ok()).unwrap_or(0)
        };
        Synced {
            uploaded: number("Uploading", "changes"),
            received: number("Received", "changes"),
            conflicts: number("⚠", "conflicts"),
        }
    }

    pub(crate) fn database(&self) -> Connection {
        let database = Connection::open(self.folder().join("tickit.sqlite")).unwrap();
        database.busy_timeout(COMMAND_MAX).unwrap();
        database
    }

    /// Edits one field of a task, as the terminal interface does.
    pub(crate) fn edit(&self, title: &str, field: &str, value: &dyn ToSql) {
        let sql = format!("UPDATE tasks SET {field} = ?1, updated_at = ?2 WHERE title = ?3");
        let changed = self.database().execute(&sql, rusqlite::params![value, timestamp(), title]).unwrap();
        assert_eq!(changed, 1, "{title}");
    }

    /// Deletes a task or a list as the terminal interface does: with a tombstone. (The command leaves none.)
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        let (table, column) = if kind == "task" { ("tasks", "title") } else { ("lists", "name") };
        let mut database = self.database();
        let transaction = database.transaction().unwrap();
        let id: String = transaction
            .query_row(&format!("SELECT id FROM {table} WHERE {column} = ?1"), [name], |row| row.get(0))
            .unwrap();
        if kind == "list" {
            let moved = "UPDATE tasks SET list_id = (SELECT id FROM lists WHERE is_inbox = 1), updated_at = ?2 WHERE list_id = ?1";
            transaction.execute(moved, [&id, &timestamp()]).unwrap();
        }
        transaction.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [&id]).unwrap();
        let tombstone = "INSERT OR REPLACE INTO sync_tombstones (id, record_type, deleted_at) VALUES (?1, ?2, ?3)";
        transaction.execute(tombstone, [&id, kind, &timestamp()]).unwrap();
        transaction.commit().unwrap();
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        let database = self.database();
        let sql = "SELECT t.title, t.description, t.priority, t.completed, l.name, (
                       SELECT group_concat(name, ',') FROM (
                           SELECT coalesce(g.name, '?') AS name FROM task_tags tt LEFT JOIN tags g ON g.id = tt.tag_id
                           WHERE tt.task_id = t.id ORDER BY 1))
                   FROM tasks t LEFT JOIN lists l ON l.id = t.list_id ORDER BY t.title";
        let mut statement = database.prepare(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            let tags: Option<String> = row.get(5)?;
            Ok(Task {
                title: row.get(0)?,
                description: row.get(1)?,
                priority: row.get(2)?,
                completed: row.get(3)?,
                list: row.get(4)?,
                tags: tags.map(|tags| tags.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            })
        };
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn task(&self, title: &str) -> Task {
        let tasks = self.tasks();
        tasks.iter().find(|task| task.title == title).unwrap_or_else(|| panic!("no {title} in {tasks:#?}")).clone()
    }

    pub(crate) fn titles(&self) -> Vec<String> {
        self.tasks().into_iter().map(|task| task.title).collect()
    }

    /// A copy of the whole HOME.
    pub(crate) fn backup(&self) -> Folder {
        let copy = Folder::new();
        copy_files(&self.folder(), copy.path());
        copy
    }

    /// Puts a copy back.
    pub(crate) fn restore(&self, copy: &Folder) {
        copy_files(copy.path(), &self.folder());
    }

    pub(crate) fn inbox_count(&self) -> u32 {
        self.database().query_row("SELECT count(*) FROM lists WHERE is_inbox = 1", [], |row| row.get(0)).unwrap()
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Now, as the desktop writes it.
fn timestamp() -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]+00:00");
    now().format(format).unwrap()
}
