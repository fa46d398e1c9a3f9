//! The file of SQLite: where it lies, who may open it.

use tombolo_testkit::http::Request;
use tombolo_testkit::served::Folder;

use crate::{install, serve};

#[test]
fn the_database_may_lie_elsewhere() {
    let folder = Folder::new();
    let elsewhere = folder.path().join("elsewhere.db");
    let served = install().set(&format!("database={}", elsewhere.display())).serve();
    served.install.token("laptop");
    assert!(elsewhere.exists() && !served.install.database().exists());
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
}

#[test]
fn one_folder_is_served_once() {
    let served = serve();
    let complaint = served.install.refused(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(complaint.contains("another tombolo serves the data folder"), "{complaint}");
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let install = install();
    install.ok(&["init"]);
    let version = |set: Option<i64>| -> i64 {
        let database = rusqlite::Connection::open(install.database()).unwrap();
        if let Some(version) = set {
            database.pragma_update(None, "user_version", version).unwrap();
        }
        database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let newer = version(None) + 1;
    version(Some(newer));
    for args in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["token", "--name", "x"],
        &["token", "--list"],
        &["check"],
        &["init"],
    ] {
        let complaint = install.refused(args);
        assert!(complaint.contains(&format!("schema {newer}")) && complaint.contains("newer"), "{args:?}: {complaint}");
    }
    assert_eq!(version(None), newer);
}
