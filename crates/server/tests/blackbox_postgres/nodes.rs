//! Several nodes on one database, and a client that meets now the one, now the other.

use std::sync::Arc;
use std::time::Duration;

use tombolo_testkit::eventually::eventually;
use tombolo_testkit::http::Request;
use tombolo_testkit::postgres::Database;
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{Device, ago, edited, task};
use tombolo_testkit::transcript::uuid;

use crate::load::{Load, verify};
use crate::{database, node};

fn three() -> (Arc<Database>, [Served; 3]) {
    let database = database();
    let nodes = std::array::from_fn(|_| node(&database).serve());
    (database, nodes)
}

#[test]
fn three_nodes_of_which_one_is_killed_lose_nothing_and_store_nothing_twice() {
    let (database, mut nodes) = three();
    let tokens: Vec<String> = (0..9).map(|n| nodes[0].install.token(&format!("device {n}"))).collect();
    let load = Load::start(&tokens, &nodes.each_ref().map(Served::address));
    load.acknowledges(60);
    nodes[1].kill();
    load.acknowledges(60);
    nodes[1].start_again();
    load.acknowledges(30);
    nodes[0].kill();
    load.acknowledges(60);
    let seen = load.stop();
    assert!(seen.broken > 0, "somebody met a node that was gone");
    verify(&nodes[2], &tokens[0], &database, &seen);
    assert!(nodes[2].terminate().success());
}

#[test]
fn a_stopped_process_holds_nobody_up() {
    let (database, nodes) = three();
    let tokens: Vec<String> = (0..6).map(|n| nodes[0].install.token(&format!("device {n}"))).collect();
    let load = Load::start(&tokens, &[nodes[0].address(), nodes[1].address()]);
    load.acknowledges(20);
    let mut outsider = Device::new("outsider", &tokens[0]);
    outsider.join(&nodes[2], &[]);
    // It stands still in the middle of whatever it does, as a machine does that is suspended: no lock of its keeps
    // the others out.
    nodes[0].signal("STOP");
    for n in 0..20 {
        outsider.sync(&nodes[2], &[task(&uuid(&format!("o{n}")), "Jam", &outsider.inbox.clone(), &ago(60))]);
    }
    nodes[0].signal("CONT");
    load.acknowledges(20);
    let seen = load.stop();
    verify(&nodes[2], &tokens[0], &database, &seen);
}

#[test]
fn edits_of_one_task_by_way_of_two_nodes_both_survive() {
    let (_database, nodes) = three();
    let token = nodes[0].install.token("phone");
    let (mut anne, mut bert) = (Device::new("anne", &token), Device::new("bert", &token));
    let inbox = anne.inbox.clone();
    let milk = task(&uuid("milk"), "Milk", &inbox, &ago(600));
    anne.join(&nodes[0], std::slice::from_ref(&milk));
    bert.join(&nodes[1], &[]);
    anne.sync(&nodes[2], &[edited(&milk, "description", "two bottles", &ago(300))]);
    bert.sync(&nodes[0], &[edited(&milk, "title", "Oat milk", &ago(200))]);
    let told = anne.sync(&nodes[1], &[]);
    let told = told.record(&uuid("milk")).unwrap();
    assert_eq!((&told["title"], &told["description"]), (&"Oat milk".into(), &"two bottles".into()));
}

#[test]
fn a_retry_on_another_node_is_recognised() {
    let (database, nodes) = three();
    let token = nodes[0].install.token("phone");
    let mut anne = Device::new("anne", &token);
    let milk = task(&uuid("milk"), "Milk", &anne.inbox.clone(), &ago(600));
    anne.join(&nodes[0], &[]);
    let first = anne.send(&nodes[0], std::slice::from_ref(&milk));
    let count = || database.sql("SELECT count(*) FROM changes");
    let stored = count();
    for node in &nodes {
        let again = anne.send(node, std::slice::from_ref(&milk));
        assert_eq!((again.status, again.json()["conflicts"].clone()), (200, first.json()["conflicts"].clone()));
    }
    assert_eq!(count(), stored);
}

#[test]
fn a_revoked_token_is_out_on_every_node_within_two_seconds() {
    let (_database, nodes) = three();
    for (round, revoke) in [&["token", "--revoke", "phone"][..], &["user", "disable", "owner"]].into_iter().enumerate()
    {
        let token = nodes[0].install.token(if round == 0 { "phone" } else { "tablet" });
        let empty = Device::new("anne", &token).request(&[]);
        let status = |served: &Served| served.send(&empty).status;
        for node in &nodes {
            assert_eq!((status(node), status(node)), (200, 200), "it is remembered");
        }
        // By the command line of another machine: it knows the database, and no node.
        nodes[1].install.ok(revoke);
        eventually("every node refuses the token", Duration::from_secs(2), || {
            nodes.iter().all(|node| status(node) == 401).then_some(())
        });
    }
}

#[test]
fn nodes_that_start_at_once_on_an_empty_database_make_it_once() {
    let database = database();
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let install = node(&database);
            tombolo_testkit::eventually::spawn(move || install.serve())
        })
        .collect();
    let nodes: Vec<Served> = starting.into_iter().map(|served| served.join().unwrap()).collect();
    let token = nodes[0].install.token("phone");
    for (n, served) in nodes.iter().enumerate() {
        assert_eq!(served.send(&Request::get("/ready")).status, 200);
        Device::new(&format!("device {n}"), &token).join(served, &[]);
    }
    assert_eq!(database.sql("SELECT count(*) FROM generations"), "1", "they are of one run of the database");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let database = database();
    node(&database).ok(&["init"]);
    database.sql("UPDATE tombolo_schema SET version = version + 1");
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["token", "--name", "x"], &["check"], &["init"]] {
        let complaint = node(&database).refused(args);
        assert!(complaint.contains("schema") && complaint.contains("newer"), "{args:?}: {complaint}");
    }
}

#[test]
fn a_database_that_is_not_there_is_named_and_its_password_is_not() {
    let database = database();
    let (start, _) = database.url().rsplit_once('/').unwrap();
    let url = format!("{}/nowhere", start.replace("tombolo@", "tombolo:hunter2@"));
    let install = node(&database).variable("TOMBOLO_DATABASE", &url);
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["token", "--list"], &["check"]] {
        let complaint = install.refused(args);
        assert!(complaint.contains("nowhere") && !complaint.contains("hunter2"), "{args:?}: {complaint}");
    }
}
