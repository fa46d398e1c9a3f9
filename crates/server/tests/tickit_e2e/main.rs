//! The real desktop client against the real server: two or three devices, and nothing is lost.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod desktop;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use desktop::{Desktop, Synced, client};
use tombolo_testkit::postgres::Cluster;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Install, Served};
use tombolo_testkit::tickit::Device;

/// The nodes that serve the devices of one person.
struct Home {
    nodes: Vec<Served>,
    client: PathBuf,
    desktops: Cell<usize>,
}

impl Home {
    /// One server on a SQLite file.
    fn on_sqlite() -> Option<Self> {
        Self::of(|| Some(vec![Install::new(env!("CARGO_BIN_EXE_tombolo")).serve()]))
    }

    /// Two nodes on one PostgreSQL database; `None` where there is no PostgreSQL, which was said loudly.
    fn on_two_nodes() -> Option<Self> {
        Self::of(|| {
            let database = Arc::new(Cluster::shared()?.database());
            let node = || Install::new(env!("CARGO_BIN_EXE_tombolo")).on(&database).set("postgres.connections_max=6");
            Some(vec![node().serve(), node().serve()])
        })
    }

    fn of(nodes: impl FnOnce() -> Option<Vec<Served>>) -> Option<Self> {
        let client = client()?;
        Some(Self { nodes: nodes()?, client, desktops: Cell::new(0) })
    }

    /// The server, or the first of the nodes.
    fn served(&self) -> &Served {
        &self.nodes[0]
    }

    /// A desktop, each at the next node.
    fn desktop(&self, name: &str) -> Desktop {
        let at = self.desktops.replace(self.desktops.get() + 1) % self.nodes.len();
        Desktop::new(&self.client, self.nodes[at].address(), &self.served().install.token(name))
    }

    /// A device that only watches.
    fn watcher(&self) -> Device {
        Device::new("watcher", &self.served().install.token("watcher"))
    }
}

/// Makes of each named history a test on SQLite, and one with the desktops at different nodes.
macro_rules! on_each_store {
    ($($history:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $history() {
                if let Some(home) = super::Home::on_sqlite() {
                    super::$history(&home);
                }
            })*
        }
        mod two_nodes {
            $(#[test]
            fn $history() {
                if let Some(home) = super::Home::on_two_nodes() {
                    super::$history(&home);
                }
            })*
        }
    };
}

on_each_store!(
    what_was_made_on_both_before_the_first_sync_is_on_both,
    offline_edits_of_two_devices_all_survive,
    of_one_field_edited_on_both_the_later_edit_stands_and_the_loser_is_told,
    there_is_no_ping_pong_and_what_is_uploaded_again_changes_nothing,
    a_task_in_the_inbox_is_completed_on_the_other_device,
    a_deleted_task_is_gone_everywhere_and_stays_gone,
    of_a_delete_and_a_later_edit_the_edit_stands_on_both,
    a_forced_sync_takes_nothing_back,
    a_lost_reply_loses_nothing,
    a_lost_first_reply_loses_nothing,
    the_tasks_of_a_deleted_list_are_in_the_inbox_of_each_device,
    tags_of_one_name_become_one_and_keep_their_tasks,
    a_restored_home_takes_nothing_back,
);

/// Syncs `desktops` in turn until none receives anything more, and returns what the last round said.
fn settle(desktops: &[&Desktop]) -> Vec<Synced> {
    const ROUNDS_MAX: usize = 4;
    for _ in 0..ROUNDS_MAX {
        let round: Vec<Synced> = desktops.iter().map(|desktop| desktop.sync()).collect();
        if round.iter().all(|synced| synced.received == 0) {
            return round;
        }
    }
    panic!("after {ROUNDS_MAX} rounds they still send each other something");
}

fn assert_equal(desktops: &[&Desktop]) {
    for desktop in &desktops[1..] {
        assert_eq!(desktops[0].tasks(), desktop.tasks());
    }
}

fn what_was_made_on_both_before_the_first_sync_is_on_both(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["lists", "add", "Work"]);
    a.ok(&["add", "Milk", "-p", "high", "--due", "2027-12-24"]);
    a.ok(&["add", "Report", "-l", "Work", "-d", "the long one", "-u", "http://x.example"]);
    b.ok(&["add", "Bread"]);
    b.ok(&["tags", "add", "soon"]);
    b.ok(&["add", "Ring Ann", "-t", "soon"]);
    // B's tasks are older than A's first sync, and come after it.
    let first = a.sync();
    // Two tasks and two lists, which come back: a first sync is answered with everything.
    assert_eq!(first, Synced { uploaded: 4, received: 4, conflicts: 0 });
    b.sync();
    settle(&[&a, &b]);
    assert_eq!(a.titles(), ["Bread", "Milk", "Report", "Ring Ann"]);
    assert_equal(&[&a, &b]);
    assert_eq!(b.task("Report").list.as_deref(), Some("Work"));
    assert_eq!(a.task("Ring Ann").tags, ["soon"]);
    assert_eq!(a.task("Bread").list.as_deref(), Some("Inbox"));
    assert_eq!((a.inbox_count(), b.inbox_count()), (1, 1));
}

fn offline_edits_of_two_devices_all_survive(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    for title in ["Milk", "Bread", "Salt"] {
        a.ok(&["add", title]);
    }
    settle(&[&a, &b]);
    // Offline: different tasks, different fields of one task, a new task on each. A's edit is the older one and
    // arrives last.
    a.ok(&["done", "Milk"]);
    a.ok(&["done", "Salt"]);
    a.ok(&["add", "Tea"]);
    b.edit("Salt", "description", &"the coarse one");
    b.edit("Salt", "priority", &"urgent");
    b.edit("Bread", "title", &"Rye bread");
    b.ok(&["add", "Jam"]);
    b.sync();
    let late = a.sync();
    assert_eq!(late.conflicts, 0);
    let last = settle(&[&b, &a]);
    assert!(last.iter().all(|synced| synced.conflicts == 0), "{last:?}");
    assert_equal(&[&a, &b]);
    assert_eq!(a.titles(), ["Jam", "Milk", "Rye bread", "Salt", "Tea"]);
    assert!(b.task("Milk").completed);
    let salt = b.task("Salt");
    assert_eq!(
        (salt.completed, salt.description.as_deref(), salt.priority.as_str()),
        (true, Some("the coarse one"), "urgent")
    );
}

fn of_one_field_edited_on_both_the_later_edit_stands_and_the_loser_is_told(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["add", "Milk"]);
    settle(&[&a, &b]);
    a.edit("Milk", "description", &"skimmed");
    b.edit("Milk", "description", &"full");
    b.sync();
    let loser = a.sync();
    assert_eq!((loser.conflicts, loser.received), (1, 1));
    settle(&[&a, &b]);
    assert_equal(&[&a, &b]);
    assert_eq!(a.task("Milk").description.as_deref(), Some("full"));
    // The loser's next edit is one.
    a.edit("Milk", "description", &"oat");
    assert_eq!(a.sync().conflicts, 0);
    settle(&[&b, &a]);
    assert_eq!(b.task("Milk").description.as_deref(), Some("oat"));
}

fn there_is_no_ping_pong_and_what_is_uploaded_again_changes_nothing(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    let mut watcher = home.watcher();
    a.ok(&["add", "Milk"]);
    b.ok(&["add", "Bread"]);
    settle(&[&a, &b]);
    a.ok(&["done", "Milk"]);
    for desktop in [&a, &b, &a, &b] {
        desktop.sync();
    }
    watcher.sync(home.served(), &[]);
    let mut uploaded = 0;
    for desktop in [&b, &b, &a, &a, &b, &a] {
        let synced = desktop.sync();
        assert_eq!((synced.received, synced.conflicts), (0, 0));
        uploaded += synced.uploaded;
    }
    // The time that the server gives lies behind: what was just edited or applied goes up again, and is no edit.
    assert!(uploaded > 0, "nothing was uploaded again, so this shows nothing");
    let seen = watcher.last_sync.clone();
    let reply = watcher.sync(home.served(), &[]);
    assert_eq!((reply.changes.len(), Some(reply.server_time)), (0, seen));
    assert_equal(&[&a, &b]);
}

fn a_task_in_the_inbox_is_completed_on_the_other_device(home: &Home) {
    let (a, b, c) = (home.desktop("a"), home.desktop("b"), home.desktop("c"));
    a.ok(&["add", "Milk"]);
    b.ok(&["add", "Bread"]);
    settle(&[&a, &b, &c]);
    let listed = b.ok(&["list"]);
    assert!(listed.contains("Milk [Inbox]") && !listed.contains("[?]"), "{listed}");
    assert!(b.ok(&["done", "Milk"]).contains("Completed"));
    assert!(c.ok(&["done", "Bread"]).contains("Completed"));
    settle(&[&b, &c, &a]);
    assert_equal(&[&a, &b, &c]);
    assert!(a.task("Milk").completed && a.task("Bread").completed);
    assert!(a.ok(&["undo", "Bread"]).contains("Reopened"));
    settle(&[&a, &b, &c]);
    assert!(!c.task("Bread").completed);
    assert_eq!([&a, &b, &c].map(Desktop::inbox_count), [1, 1, 1]);
}

fn a_deleted_task_is_gone_everywhere_and_stays_gone(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["add", "Milk"]);
    a.ok(&["add", "Bread"]);
    settle(&[&a, &b]);
    a.delete("task", "Milk");
    settle(&[&a, &b]);
    assert_eq!((a.titles(), b.titles()), (vec!["Bread".to_owned()], vec!["Bread".to_owned()]));
    // A forced sync of the other device does not bring it back, nor does it come to a new device.
    b.sync_by_force();
    let c = home.desktop("c");
    settle(&[&a, &b, &c]);
    for desktop in [&a, &b, &c] {
        assert_eq!(desktop.titles(), ["Bread"]);
    }
}

fn of_a_delete_and_a_later_edit_the_edit_stands_on_both(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["add", "Milk"]);
    settle(&[&a, &b]);
    a.delete("task", "Milk");
    b.edit("Milk", "description", &"oat");
    a.sync();
    b.sync();
    settle(&[&a, &b]);
    assert_equal(&[&a, &b]);
    assert_eq!(a.task("Milk").description.as_deref(), Some("oat"));
    // And the other way round: the delete is the later one.
    b.edit("Milk", "description", &"rice");
    a.delete("task", "Milk");
    a.sync();
    b.sync();
    settle(&[&a, &b]);
    assert_eq!((a.titles().len(), b.titles().len()), (0, 0));
}

fn a_forced_sync_takes_nothing_back(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["tags", "add", "soon"]);
    a.ok(&["add", "Milk", "-t", "soon"]);
    a.ok(&["add", "Bread"]);
    settle(&[&a, &b]);
    a.edit("Milk", "description", &"oat");
    a.sync();
    // B has not seen A's edit, and uploads everything it has.
    let forced = b.sync_by_force();
    assert_eq!(forced.conflicts, 0);
    settle(&[&a, &b]);
    let again = a.sync_by_force();
    assert_eq!(again.conflicts, 0);
    settle(&[&b, &a]);
    assert_equal(&[&a, &b]);
    let milk = b.task("Milk");
    assert_eq!((milk.description.as_deref(), milk.tags), (Some("oat"), vec!["soon".to_owned()]));
}

fn a_lost_reply_loses_nothing(home: &Home) {
    let proxy = Proxy::before(home.served().address());
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["add", "Milk"]);
    b.ok(&["add", "Bread"]);
    settle(&[&a, &b]);
    b.connect(proxy.address(), &home.served().install.token("b-again"));
    a.edit("Milk", "description", &"oat");
    a.ok(&["add", "Tea"]);
    a.sync();
    b.edit("Milk", "priority", &"high");
    b.ok(&["add", "Jam"]);
    proxy.lose_replies(1);
    let failed = b.run(&["sync"]);
    assert!(!failed.status.success() && proxy.lost() == 1, "the reply was meant to be lost");
    // Meanwhile it edits on, on what it had before.
    b.edit("Milk", "priority", &"urgent");
    let retried = b.sync();
    assert_eq!(retried.conflicts, 0);
    settle(&[&b, &a]);
    assert_equal(&[&a, &b]);
    assert_eq!(a.titles(), ["Bread", "Jam", "Milk", "Tea"]);
    let milk = a.task("Milk");
    assert_eq!((milk.description.as_deref(), milk.priority.as_str()), (Some("oat"), "urgent"));
}

fn a_lost_first_reply_loses_nothing(home: &Home) {
    let proxy = Proxy::before(home.served().address());
    let a = home.desktop("a");
    a.ok(&["add", "Milk"]);
    a.sync();
    let b = Desktop::new(&home.client, proxy.address(), &home.served().install.token("b"));
    b.ok(&["add", "Bread"]);
    proxy.lose_replies(1);
    assert!(!b.run(&["sync"]).status.success() && proxy.lost() == 1, "the reply was meant to be lost");
    let retried = b.sync();
    assert_eq!((retried.received, retried.conflicts), (3, 0), "both tasks and its inbox");
    settle(&[&b, &a]);
    assert_equal(&[&a, &b]);
    assert_eq!(a.titles(), ["Bread", "Milk"]);
}

fn the_tasks_of_a_deleted_list_are_in_the_inbox_of_each_device(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["lists", "add", "Work"]);
    a.ok(&["add", "Report", "-l", "Work"]);
    settle(&[&a, &b]);
    // B adds to the list that A deletes.
    b.ok(&["add", "Minutes", "-l", "Work"]);
    a.delete("list", "Work");
    a.sync();
    b.sync();
    settle(&[&a, &b]);
    assert_equal(&[&a, &b]);
    for desktop in [&a, &b] {
        assert_eq!(desktop.titles(), ["Minutes", "Report"]);
        let listed = desktop.ok(&["list"]);
        assert!(!listed.contains("[?]") && !listed.contains("Work"), "{listed}");
        assert!(desktop.tasks().iter().all(|task| task.list.as_deref() == Some("Inbox")));
    }
    b.ok(&["done", "Report"]);
    settle(&[&b, &a]);
    assert!(a.task("Report").completed);
}

fn tags_of_one_name_become_one_and_keep_their_tasks(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    for (desktop, name, title) in [(&a, "soon", "Milk"), (&b, "Soon", "Bread")] {
        desktop.ok(&["tags", "add", name]);
        desktop.ok(&["add", title, "-t", name]);
    }
    settle(&[&a, &b]);
    assert_equal(&[&a, &b]);
    for title in ["Milk", "Bread"] {
        assert_eq!(b.task(title).tags, ["soon"], "{title}");
    }
    let count = |desktop: &Desktop| -> u32 {
        desktop.database().query_row("SELECT count(*) FROM tags", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count(&a), count(&b)), (1, 1));
}

fn a_restored_home_takes_nothing_back(home: &Home) {
    let (a, b) = (home.desktop("a"), home.desktop("b"));
    a.ok(&["add", "Milk"]);
    a.ok(&["add", "Bread"]);
    settle(&[&a, &b]);
    let kept = b.backup();
    a.edit("Milk", "description", &"oat");
    a.sync();
    b.sync();
    b.edit("Milk", "priority", &"high");
    settle(&[&b, &a]);
    b.restore(&kept);
    b.edit("Bread", "title", &"Rye bread");
    settle(&[&b, &a]);
    assert_equal(&[&a, &b]);
    let milk = a.task("Milk");
    assert_eq!((milk.description.as_deref(), milk.priority.as_str()), (Some("oat"), "high"));
    assert_eq!(a.titles(), ["Milk", "Rye bread"]);
}
