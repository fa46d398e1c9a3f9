//! The real td command line against the real server: a team on several machines, and nothing is lost.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod terminal;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use terminal::{Generation, Terminal};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::postgres::Cluster;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Install, Served};

/// The nodes that serve a team, and the client that they use.
struct Team {
    nodes: Vec<Served>,
    client: PathBuf,
    terminals: Cell<usize>,
}

impl Team {
    /// One server on a SQLite file.
    fn on_sqlite(generation: Generation) -> Option<Self> {
        let client = generation.client()?;
        let nodes = vec![Install::new(env!("CARGO_BIN_EXE_tombolo")).serve()];
        Some(Self { nodes, client, terminals: Cell::new(0) })
    }

    /// Two nodes on one PostgreSQL database; `None` where there is no PostgreSQL, which was said loudly.
    fn on_two_nodes(generation: Generation) -> Option<Self> {
        let client = generation.client()?;
        let database = Arc::new(Cluster::shared()?.database());
        let node = || Install::new(env!("CARGO_BIN_EXE_tombolo")).on(&database).set("postgres.connections_max=6");
        Some(Self { nodes: vec![node().serve(), node().serve()], client, terminals: Cell::new(0) })
    }

    fn install(&self) -> &Install {
        &self.nodes[0].install
    }

    /// A terminal of somebody, each at the next node; he has an account and is signed in.
    fn terminal(&self, name: &str) -> Terminal {
        let terminal = self.stranger();
        let email = format!("{name}@example.org");
        let _ = self.install().run(&["user", "add", name, "--email", &email]);
        terminal.sign_in(&email, self.install());
        terminal
    }

    /// A terminal of somebody who is not signed in.
    fn stranger(&self) -> Terminal {
        let at = self.terminals.replace(self.terminals.get() + 1) % self.nodes.len();
        Terminal::new(&self.client, self.nodes[at].address())
    }

    /// How many changes the log of a project has.
    fn changes(&self, project: &str) -> u64 {
        let listed = self.install().json(&["project", "list"]);
        let found = listed.as_array().unwrap().iter().find(|listed| listed["id"] == project);
        found.unwrap_or_else(|| panic!("{project} is not in {listed}"))["changes"].as_u64().unwrap()
    }

    /// Two people in one project: its id, and their terminals, linked and in sync.
    fn pair(&self) -> (String, Terminal, Terminal) {
        let (ada, bob) = (self.terminal("ada"), self.terminal("bob"));
        let project = ada.create_project("Lighthouse repairs");
        ada.link(&project);
        ada.ok(&["sync-project", "invite", "bob@example.org", "writer"]);
        bob.link(&project);
        (project, ada, bob)
    }
}

/// Makes of each named history a test on SQLite with each generation of the client, and one on two nodes.
macro_rules! histories {
    ($($history:ident),* $(,)?) => {
        histories!(@ sqlite_and_the_client_that_signs_in_by_code, on_sqlite, Code, $($history),*);
        histories!(@ sqlite_and_the_client_that_signs_in_by_link, on_sqlite, Link, $($history),*);
        histories!(@ two_nodes, on_two_nodes, Link, $($history),*);
    };
    (@ $module:ident, $place:ident, $generation:ident, $($history:ident),*) => {
        mod $module {
            $(#[test]
            fn $history() {
                if let Some(team) = super::Team::$place(super::Generation::$generation) {
                    super::$history(team);
                }
            })*
        }
    };
}

histories!(
    what_one_writes_the_other_reads,
    the_same_field_edited_on_both_with_autosync_ends_equal,
    who_joins_late_gets_everything,
    a_reader_may_pull_and_not_push,
    the_server_is_killed_and_started_in_between,
    a_lost_reply_loses_nothing_also_from_another_session,
    who_is_removed_is_told_so_at_once,
    a_slash_at_the_end_of_the_url_does_no_harm,
    a_revoked_key_is_told_so_at_once,
);

fn sync(terminals: &[&Terminal]) {
    // Twice: the first one has not seen what the last one pushed.
    for terminal in terminals.iter().chain(terminals) {
        terminal.ok(&["sync"]);
    }
}

fn what_one_writes_the_other_reads(team: Team) {
    let (_, ada, bob) = team.pair();
    let lamp = ada.create("Replace the lamp of the tower");
    ada.ok(&["update", &lamp, "--priority", "P1", "--description", "The spare one lies in the ☂ shed"]);
    let paint = bob.create("Paint the gallery before autumn");
    sync(&[&ada, &bob]);
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(ada.issues().len(), 2);
    bob.ok(&["update", &lamp, "--title", "Replace the lamp, and its socket"]);
    ada.ok(&["delete", &paint]);
    sync(&[&bob, &ada]);
    assert_eq!(ada.title(&lamp), "Replace the lamp, and its socket");
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(bob.issues().len(), 1);
}

fn the_same_field_edited_on_both_with_autosync_ends_equal(team: Team) {
    let (_, mut ada, mut bob) = team.pair();
    let lamp = ada.create("Replace the lamp of the tower");
    sync(&[&ada, &bob]);
    // Both edit while apart; then each goes on by itself: the history in which the original server made them differ.
    ada.ok(&["update", &lamp, "--title", "The lamp, as Ada would have it"]);
    bob.ok(&["update", &lamp, "--title", "The lamp, as Bob would have it"]);
    ada.sync_by_itself();
    bob.sync_by_itself();
    for _ in 0..2 {
        bob.ok(&["update", &lamp, "--priority", "P0"]);
        ada.ok(&["update", &lamp, "--priority", "P3"]);
    }
    sync(&[&ada, &bob]);
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(ada.issues().len(), 1);
}

fn who_joins_late_gets_everything(team: Team) {
    let (project, ada, bob) = team.pair();
    for n in 0..20 {
        ada.create(&format!("Check the bolts of step {n} of the stairs"));
    }
    let note = bob.create("Write down what was found there");
    sync(&[&ada, &bob]);
    bob.ok(&["update", &note, "--title", "Write down what was found, with pictures"]);
    sync(&[&bob, &ada]);
    let cem = team.terminal("cem");
    // The client links without asking; then it is told.
    cem.link(&project);
    let said = cem.refused(&["sync"]);
    assert!(said.contains("permission") || said.contains("member"), "{said}");
    ada.ok(&["sync-project", "invite", "cem@example.org", "reader"]);
    cem.link(&project);
    cem.ok(&["sync", "--pull"]);
    assert_eq!(cem.issues(), ada.issues());
    assert_eq!(cem.issues().len(), 21);
}

fn a_reader_may_pull_and_not_push(team: Team) {
    let (project, ada, _) = team.pair();
    ada.create("Replace the lamp of the tower");
    ada.ok(&["sync"]);
    let cem = team.terminal("cem");
    ada.ok(&["sync-project", "invite", "cem@example.org", "reader"]);
    cem.link(&project);
    cem.ok(&["sync", "--pull"]);
    assert_eq!(cem.issues(), ada.issues());
    cem.create("Something that a reader may not share");
    let said = cem.refused(&["sync"]);
    assert!(said.contains("permission") || said.contains("forbidden"), "{said}");
    ada.ok(&["sync"]);
    assert_eq!(ada.issues().len(), 1);
    assert_eq!(cem.issues().len(), 2, "what could not be pushed stays where it was written");
}

fn the_server_is_killed_and_started_in_between(mut team: Team) {
    let (_, mut ada, mut bob) = team.pair();
    ada.create("Replace the lamp of the tower");
    ada.ok(&["sync"]);
    for node in &mut team.nodes {
        node.kill();
    }
    bob.create("Written while the server was away");
    assert!(!bob.run(&["sync"]).status.success());
    for node in &mut team.nodes {
        node.start_again();
    }
    let last = team.nodes.len() - 1;
    ada.connect(team.nodes[0].address());
    bob.connect(team.nodes[last].address());
    sync(&[&ada, &bob]);
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(ada.issues().len(), 2);
}

fn a_lost_reply_loses_nothing_also_from_another_session(team: Team) {
    let (project, mut ada, bob) = team.pair();
    ada.create("Replace the lamp of the tower");
    let before = team.changes(&project);
    let proxy = Proxy::before(team.nodes[0].address());
    ada.connect(proxy.address());
    proxy.lose_replies(usize::MAX);
    ada.refused(&["sync", "--push"]);
    proxy.lose_replies(0);
    let pushed = team.changes(&project);
    assert!(pushed > before, "the server has it, and the client does not know");
    ada.session("another window");
    sync(&[&ada, &bob]);
    assert_eq!(team.changes(&project), pushed, "two sessions sent it, and it is there once");
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(bob.issues().len(), 1);
}

fn who_is_removed_is_told_so_at_once(team: Team) {
    let (_, ada, bob) = team.pair();
    bob.ok(&["sync"]);
    let members = ada.ok(&["sync-project", "members"]);
    let row = members.lines().find(|line| line.contains("bob@example.org") || line.contains("writer")).unwrap();
    let at = row.find("u_").unwrap_or_else(|| panic!("no user's id in: {members}"));
    let user: String = row[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    ada.ok(&["sync-project", "kick", &user]);
    let said = bob.refused(&["sync"]);
    assert!(said.contains("permission") || said.contains("forbidden") || said.contains("member"), "{said}");
}

fn a_slash_at_the_end_of_the_url_does_no_harm(team: Team) {
    let (_, mut ada, bob) = team.pair();
    ada.add_slash();
    ada.create("Replace the lamp of the tower");
    sync(&[&ada, &bob]);
    assert_eq!(ada.issues(), bob.issues());
    assert_eq!(bob.issues().len(), 1);
}

fn a_revoked_key_is_told_so_at_once(team: Team) {
    let ada = team.terminal("ada");
    let keys = team.install().json(&["token", "--list"]);
    let name = keys[0]["name"].as_str().unwrap().to_owned();
    team.install().ok(&["token", "--revoke", &name, "--user", "ada"]);
    let refused = || {
        let output = ada.run(&["sync-project", "list"]);
        (!output.status.success())
            .then(|| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let said = eventually("a key that opens nothing", FOREVER, refused);
    assert!(said.contains("unauthorized"), "{said}");
}
