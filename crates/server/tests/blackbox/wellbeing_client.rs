//! The client library and the real server.

use tombolo_client::ErrorKind;
use tombolo_testkit::eventually::spawn;
use tombolo_testkit::http::Request;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::{Folder, Served};
use tombolo_testkit::transcript::uuid;
use tombolo_testkit::wellbeing::{DATA, Phone, activity, now_and};

use crate::serve;
use crate::wellbeing_app::{App, Row};

fn url(served: &Served) -> String {
    format!("http://{}", served.address())
}

/// Two devices of one account.
fn two(folder: &Folder, served: &Served) -> [App; 2] {
    let key = served.install.wb_for("owner");
    ["a", "b"].map(|name| App::syncing(folder.path(), name, &url(served), &key))
}

fn row(name: &str, color: &str, icon: &str) -> Option<Row> {
    Some((name.to_owned(), color.to_owned(), icon.to_owned()))
}

#[test]
fn two_devices_get_what_the_other_wrote() {
    let (served, folder) = (serve(), Folder::new());
    let [a, b] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "🏃"));
    b.add("read", ("Read", "#222222", "📖"));
    a.sync().unwrap();
    b.sync().unwrap();
    a.sync().unwrap();
    assert_eq!(a.rows(), b.rows());
    assert_eq!((a.rows().len(), a.row("read")), (2, row("Read", "#222222", "📖")));
    assert!(b.delete("run"));
    b.sync().unwrap();
    a.sync().unwrap();
    assert_eq!(a.row("run"), None);
    assert_eq!(a.rows(), b.rows());
}

#[test]
fn what_was_there_before_the_first_sync_is_brought_too() {
    let (served, folder) = (serve(), Folder::new());
    let key = served.install.wb_for("owner");
    let a = App::new(folder.path(), "a");
    a.add("run", ("Run", "#111111", "x"));
    a.configure(&url(&served), &key);
    assert_eq!(a.pending(), 1);
    a.sync().unwrap();
    let b = App::syncing(folder.path(), "b", &url(&served), &key);
    b.sync().unwrap();
    assert_eq!(b.rows(), a.rows());
}

#[test]
fn f6_what_was_edited_by_an_older_clock_is_sent() {
    let (served, folder) = (serve(), Folder::new());
    let [mut a, b] = two(&folder, &served);
    b.add("read", ("Read", "#222222", "x"));
    b.sync().unwrap();
    a.sync().unwrap();
    // Its own last sync lies after this edit, by the clock that it has now.
    a.clock = -86_400 * 365;
    a.add("run", ("Run", "#111111", "x"));
    assert!(a.edit("read", "color", "#333333"));
    a.sync().unwrap();
    b.sync().unwrap();
    assert_eq!((b.row("run"), b.row("read")), (row("Run", "#111111", "x"), row("Read", "#333333", "x")));
}

#[test]
fn f7_what_arrives_is_no_edit() {
    let (served, folder) = (serve(), Folder::new());
    let [a, b] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "x"));
    a.sync().unwrap();
    b.sync().unwrap();
    assert_eq!((a.pending(), b.pending()), (0, 0));
    for app in [&a, &b, &a, &b] {
        let report = app.sync().unwrap();
        assert_eq!((report.uploaded, app.pending()), (0, 0), "{report:?}");
    }
}

#[test]
fn f8_two_edits_in_one_second_are_two_edits() {
    let (served, folder) = (serve(), Folder::new());
    let [a, b] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "x"));
    // As apps write it: to the second, without a zone.
    let set = |app: &App, name: &str| {
        let sql = "UPDATE activities SET name = ?2, updated_at = datetime('now') WHERE id = ?1";
        app.own.execute(sql, [uuid("run").as_str(), name]).unwrap();
    };
    a.sync().unwrap();
    b.sync().unwrap();
    for n in 0..10 {
        let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
        set(from, &format!("Run {n}"));
        from.sync().unwrap();
        to.sync().unwrap();
        assert_eq!(to.row("run"), row(&format!("Run {n}"), "#111111", "x"));
    }
}

#[test]
fn edits_of_different_columns_both_survive() {
    let (served, folder) = (serve(), Folder::new());
    let [mut a, b] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "x"));
    a.sync().unwrap();
    b.sync().unwrap();
    a.clock = -3_600;
    assert!(a.edit("run", "name", "Jog") && b.edit("run", "color", "#222222"));
    b.sync().unwrap();
    a.sync().unwrap();
    b.sync().unwrap();
    assert_eq!((a.row("run"), b.row("run")), (row("Jog", "#222222", "x"), row("Jog", "#222222", "x")));
}

#[test]
fn two_activities_of_one_name_are_settled_alike_everywhere() {
    let (served, folder) = (serve(), Folder::new());
    let [a, b] = two(&folder, &served);
    a.add("aa", ("Exercise", "#111111", "x"));
    b.add("bb", ("Exercise", "#222222", "x"));
    for app in [&a, &b, &a, &b, &a, &b] {
        app.sync().unwrap();
    }
    assert_eq!(a.rows(), b.rows());
    assert_eq!(a.row("aa"), row("Exercise", "#111111", "x"));
    assert_eq!(a.row("bb"), row("Exercise (2)", "#222222", "x"));
    assert_eq!((a.pending(), b.pending()), (0, 0));
}

#[test]
fn an_edit_made_while_a_sync_is_under_way_keeps_both_sides_fields() {
    let (served, folder) = (serve(), Folder::new());
    let [a, b] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "x"));
    a.sync().unwrap();
    b.sync().unwrap();
    assert!(b.edit("run", "color", "#222222"));
    b.sync().unwrap();
    for n in 0..20 {
        let editing = App::new(folder.path(), "a");
        let edits = spawn(move || {
            for step in 0..20 {
                assert!(editing.edit("run", "name", &format!("Run {n}.{step}")));
            }
        });
        a.sync().unwrap();
        edits.join().unwrap();
        assert!(b.edit("run", "icon", &format!("{n}")));
        b.sync().unwrap();
    }
    a.sync().unwrap();
    b.sync().unwrap();
    assert_eq!(a.row("run"), row("Run 19.19", "#222222", "19"));
    assert_eq!(a.rows(), b.rows());
}

#[test]
fn a_lost_reply_is_made_up_for_by_the_next_sync() {
    let (served, folder) = (serve(), Folder::new());
    let proxy = Proxy::before(served.address());
    let key = served.install.wb_for("owner");
    let a = App::syncing(folder.path(), "a", &format!("http://{}", proxy.address()), &key);
    a.sync().unwrap();
    a.add("run", ("Run", "#111111", "x"));
    proxy.lose_replies(1);
    assert_eq!(a.sync().unwrap_err().kind(), ErrorKind::Network);
    assert_eq!((proxy.lost(), a.pending()), (1, 1));
    assert!(a.edit("run", "name", "Run far"));
    a.sync().unwrap();
    let b = App::syncing(folder.path(), "b", &url(&served), &key);
    b.sync().unwrap();
    assert_eq!((b.row("run"), a.pending()), (row("Run far", "#111111", "x"), 0));
}

#[test]
fn what_another_app_keeps_comes_back_to_it_as_it_was() {
    let (served, folder) = (serve(), Folder::new());
    let key = served.install.wb_for("owner");
    let a = App::syncing(folder.path(), "a", &url(&served), &key);
    let other = Phone::new("other", &key);
    let mut change = activity("run", "Run", "#111111", &now_and(-60));
    change["data"]["mood_after"] = serde_json::json!({ "value": 5 });
    other.put(&served, &[change]);
    a.sync().unwrap();
    assert!(a.edit("run", "name", "Jog"));
    a.sync().unwrap();
    let data = &other.everything(&served)[&uuid("run")]["data"];
    assert_eq!((&data["label"], &data["mood_after"]["value"]), (&"Jog".into(), &5.into()));
}

#[test]
fn after_everything_was_erased_nothing_is_sent_until_it_is_configured_again() {
    let (served, folder) = (serve(), Folder::new());
    let key = served.install.wb_for("owner");
    let a = App::syncing(folder.path(), "a", &url(&served), &key);
    a.add("run", ("Run", "#111111", "x"));
    a.sync().unwrap();
    assert_eq!(served.send(&Request::new("DELETE", DATA).bearer(&key)).status, 204);
    assert!(a.edit("run", "name", "Jog"));
    for _ in 0..2 {
        assert_eq!(a.sync().unwrap_err().kind(), ErrorKind::Erased);
        assert!(Phone::new("reader", &key).everything(&served).is_empty());
    }
    a.configure(&url(&served), &key);
    a.sync().unwrap();
    assert_eq!(Phone::new("reader", &key).everything(&served)[&uuid("run")]["data"]["label"], "Jog");
}

#[test]
fn a_key_that_was_revoked_is_said_and_nothing_is_lost() {
    let (served, folder) = (serve(), Folder::new());
    let [a, _] = two(&folder, &served);
    a.add("run", ("Run", "#111111", "x"));
    let keys = served.install.json(&["token", "--list"]);
    for key in keys.as_array().unwrap() {
        served.install.ok(&["token", "--revoke", key["name"].as_str().unwrap()]);
    }
    assert_eq!(a.sync().unwrap_err().kind(), ErrorKind::KeyRefused);
    assert_eq!((a.pending(), a.row("run")), (1, row("Run", "#111111", "x")));
}
