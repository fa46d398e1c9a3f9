//! A server whose file was set back to a backup: its devices give it back what it lost.

use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Folder, Served};

use crate::serve;
use crate::wellbeing_app::App;

/// A copy of the server's file, and the server set back to it.
fn backup(served: &mut Served) -> Vec<u8> {
    assert!(served.terminate().success());
    let file = std::fs::read(served.install.database()).unwrap();
    served.start_again();
    file
}

fn restore(served: &mut Served, backup: &[u8]) {
    assert!(served.terminate().success());
    for end in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(served.install.database().with_extension(end));
    }
    std::fs::write(served.install.database(), backup).unwrap();
    served.start_again();
}

#[test]
fn devices_bring_again_what_a_restored_server_lacks() {
    let (mut served, folder) = (serve(), Folder::new());
    let key = served.install.wb_for("owner");
    let proxy = Proxy::before(served.address());
    let url = format!("http://{}", proxy.address());
    let [a, b] = ["a", "b"].map(|name| App::syncing(folder.path(), name, &url, &key));
    a.add("old", ("Read", "#111111", "book"));
    a.add("edited", ("Run", "#111111", "shoe"));
    a.add("gone", ("Smoke", "#111111", "fire"));
    a.sync().unwrap();
    b.sync().unwrap();
    let file = backup(&mut served);
    proxy.lead_to(served.address());
    a.sync().unwrap();
    b.sync().unwrap();
    // All of this happens after the backup, and is acknowledged.
    a.add("new", ("Swim", "#222222", "wave"));
    assert!(a.edit("edited", "color", "#333333") && a.delete("gone"));
    a.sync().unwrap();
    b.sync().unwrap();
    let rows = b.rows();
    restore(&mut served, &file);
    proxy.lead_to(served.address());
    let c = App::syncing(folder.path(), "c", &url, &key);
    c.sync().unwrap();
    assert_eq!(c.rows().len(), 3, "the server knows nothing of it");
    for app in [&b, &a, &c, &b, &a, &c] {
        app.sync().unwrap();
    }
    for app in [&a, &b, &c] {
        assert_eq!(app.rows(), rows);
        assert_eq!(app.pending(), 0);
    }
}
