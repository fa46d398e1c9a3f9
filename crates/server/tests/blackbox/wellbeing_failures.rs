//! How syncs of such apps fail, each way a test: by clocks, by cursors, by what is thrown away.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tombolo_testkit::eventually::spawn;
use tombolo_testkit::served::Served;
use tombolo_testkit::transcript::uuid;
use tombolo_testkit::wellbeing::{Phone, activity, gone, mood, now_and, on};

use crate::serve;

/// Three devices of one account.
fn devices(served: &Served) -> [Phone; 3] {
    let key = served.install.wb_for("owner");
    ["a", "b", "c"].map(|name| Phone::new(name, &key))
}

fn ids(changes: &[Value]) -> Vec<&str> {
    changes.iter().map(|change| change["id"].as_str().unwrap()).collect()
}

#[test]
fn f1_a_late_writer_is_heard() {
    let served = serve();
    let [a, mut b, c] = devices(&served);
    a.put(&served, &[mood("first", 4, "", &now_and(-10))]);
    assert_eq!(b.download(&served).len(), 1);
    c.put(&served, &[mood("late", 2, "", &now_and(-86_400))]);
    assert_eq!(ids(&b.download(&served)), [uuid("late")], "an older time, and news all the same");
}

#[test]
fn f2_a_fast_clock_poisons_nothing() {
    let served = serve();
    let [mut a, mut b, _] = devices(&served);
    a.put(&served, &[activity("x", "From 2031", "#111111", "2031-01-01T00:00:00Z")]);
    let shown = b.download(&served);
    assert!(shown[0]["updated_at"].as_str().unwrap() < now_and(1).as_str(), "it is replaced by the time of receipt");
    b.put(&served, &[on(shown[0]["version"].clone(), activity("x", "From now", "#111111", &now_and(0)))]);
    a.download(&served);
    assert_eq!(a.everything(&served)[&uuid("x")]["data"]["label"], "From now");
    // Nor does it shut others out who name no base.
    let [_, _, c] = devices(&served);
    c.put(&served, &[activity("x", "From nobody", "#111111", &now_and(1))]);
    b.put(&served, &[mood("m", 1, "", &now_and(0))]);
    assert_eq!(ids(&a.download(&served)), [uuid("x"), uuid("m")]);
}

#[test]
fn f2_a_stamp_from_the_future_is_replaced_once() {
    let served = serve();
    let [a, mut b, _] = devices(&served);
    let change = activity("x", "From 2031", "#111111", "2031-01-01T00:00:00Z");
    a.put(&served, std::slice::from_ref(&change));
    let first = b.download(&served);
    a.put(&served, std::slice::from_ref(&change));
    assert_eq!(b.download(&served), Vec::<Value>::new(), "the same again is nothing new");
    assert_eq!(b.everything(&served)[&uuid("x")]["updated_at"], first[0]["updated_at"]);
    // A clock that is ahead by as much as clocks are is believed.
    let ahead = now_and(120);
    a.put(&served, &[activity("y", "Ahead", "#111111", &ahead)]);
    assert_eq!(b.download(&served)[0]["updated_at"], Value::from(ahead));
}

#[test]
fn f3_the_same_change_again_is_applied_again_and_stored_once() {
    let served = serve();
    let [a, mut b, _] = devices(&served);
    let at = now_and(-5);
    let change = mood("m", 5, "walked", &at);
    let first = a.put(&served, std::slice::from_ref(&change));
    b.download(&served);
    let again = a.put(&served, std::slice::from_ref(&change));
    assert_eq!(again["versions"], first["versions"]);
    assert_eq!(b.download(&served), Vec::<Value>::new());
}

#[test]
fn f3_equal_times_are_decided_by_the_device_in_any_order() {
    let served = serve();
    let [a, b, mut c] = devices(&served);
    let at = now_and(-5);
    let of = |name: &str, label: &str| activity(name, label, "#123456", &at);
    a.upload(&served, &[of("x", "by a")]);
    b.upload(&served, &[of("x", "by b")]);
    b.upload(&served, &[of("y", "by b")]);
    a.upload(&served, &[of("y", "by a")]);
    let all = c.everything(&served);
    assert_eq!(all[&uuid("x")]["data"]["label"], "by b");
    assert_eq!(all[&uuid("y")]["data"]["label"], "by b");
    c.download(&served);
    assert_eq!(c.everything(&served), all);
}

#[test]
fn f4_a_deletion_of_what_is_unknown_is_kept() {
    let served = serve();
    let [a, b, mut c] = devices(&served);
    a.put(&served, &[gone("MoodEntry", "m", &now_and(-10))]);
    let late = b.upload(&served, &[mood("m", 3, "older than its deletion", &now_and(-60))]);
    assert_eq!(late["conflicts"][0]["reason"], "server_newer");
    assert_eq!(late["conflicts"][0]["server"]["deleted"], true);
    let all = c.download(&served);
    assert_eq!((all.len(), &all[0]["deleted"], &all[0]["data"]), (1, &json!(true), &Value::Null));
}

#[test]
fn f5_whoever_loses_is_told_what_stands() {
    let served = serve();
    let [a, mut b, _] = devices(&served);
    a.put(&served, &[activity("x", "Run", "#111111", &now_and(-100))]);
    let version = b.download(&served)[0]["version"].clone();
    a.put(&served, &[activity("x", "Run far", "#111111", &now_and(-10))]);
    // It fetches, and passes over what it edited itself.
    assert_eq!(b.download(&served).len(), 1);
    let lost = b.upload(&served, &[on(version, activity("x", "Run fast", "#111111", &now_and(-50)))]);
    let conflict = &lost["conflicts"][0];
    assert_eq!((&conflict["id"], &conflict["reason"]), (&uuid("x").into(), &"server_newer".into()));
    assert_eq!(conflict["server"]["data"]["label"], "Run far");
    let told = b.download(&served);
    assert_eq!((told.len(), &told[0]["data"]["label"]), (1, &"Run far".into()), "also by its next download");
}

#[test]
fn f9_edits_of_different_fields_both_survive() {
    let served = serve();
    let [a, mut b, c] = devices(&served);
    a.put(&served, &[activity("x", "Run", "#111111", &now_and(-100))]);
    let version = b.download(&served)[0]["version"].clone();
    a.put(&served, &[on(version.clone(), activity("x", "Jog", "#111111", &now_and(-50)))]);
    b.put(&served, &[on(version, activity("x", "Run", "#222222", &now_and(-60)))]);
    let data = &c.everything(&served)[&uuid("x")]["data"];
    assert_eq!((&data["label"], &data["color_hex"]), (&"Jog".into(), &"#222222".into()));
}

#[test]
fn f9_they_survive_where_no_base_is_named_too() {
    let served = serve();
    let [mut a, mut b, c] = devices(&served);
    a.put(&served, &[activity("x", "Run", "#111111", &now_and(-100))]);
    a.download(&served);
    b.download(&served);
    a.put(&served, &[activity("x", "Jog", "#111111", &now_and(-50))]);
    b.put(&served, &[activity("x", "Run", "#222222", &now_and(-60))]);
    let data = &c.everything(&served)[&uuid("x")]["data"];
    assert_eq!((&data["label"], &data["color_hex"]), (&"Jog".into(), &"#222222".into()));
    // Nor where the device does not say where it is: it is known what it was last given.
    b.download(&served);
    let silent = Phone { cursor: None, ..b };
    a.put(&served, &[activity("x", "Stroll", "#222222", &now_and(-40))]);
    silent.put(&served, &[activity("x", "Jog", "#333333", &now_and(-30))]);
    let data = &c.everything(&served)[&uuid("x")]["data"];
    assert_eq!((&data["label"], &data["color_hex"]), (&"Stroll".into(), &"#333333".into()));
}

#[test]
fn f10_a_download_is_bounded_and_goes_on_where_it_ended() {
    let served = serve();
    let [a, mut b, _] = devices(&served);
    let all: Vec<Value> = (0..250).map(|n| mood(&format!("{n:03}"), 3, "", &now_and(-n))).collect();
    a.put(&served, &all);
    let mut seen = Vec::new();
    loop {
        let (changes, more) = b.page(&served, Some(100));
        assert!(changes.len() <= 100);
        if seen.len() == 100 {
            // What is written meanwhile is neither lost nor skipped.
            a.put(&served, &[mood("000", 7, "edited between two pages", &now_and(0))]);
        }
        seen.extend(changes);
        if !more {
            break;
        }
    }
    assert_eq!(seen.len(), 251);
    assert_eq!(seen.last().unwrap()["data"]["note"], "edited between two pages");
    // A client that does not know of pages asks until nothing comes.
    assert_eq!(b.page(&served, None), (Vec::new(), false));
}

#[test]
fn f11_what_is_written_while_others_read_is_skipped_by_nobody() {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let served = serve();
    let key = served.install.wb_for("owner");
    let address = served.address();
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| {
            let phone = Phone::new(&format!("w{w}"), &key);
            spawn(move || {
                for n in 0..EACH {
                    let request = phone.uploading(&[mood(&format!("{w}.{n}"), 3, "", &now_and(0))]);
                    assert_eq!(request.send(address).unwrap().status, 200);
                }
            })
        })
        .collect();
    let mut reader = Phone::new("reader", &key);
    let mut seen = BTreeSet::new();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let (changes, _) = reader.page(&served, Some(7));
        seen.extend(changes.iter().map(|change| change["id"].as_str().unwrap().to_owned()));
    }
    for writer in writers {
        writer.join().unwrap();
    }
    seen.extend(reader.download(&served).iter().map(|change| change["id"].as_str().unwrap().to_owned()));
    assert_eq!(seen.len(), WRITERS * EACH);
}

#[test]
fn f12_one_bad_change_sinks_nothing_else() {
    let served = serve();
    let [a, b, _] = devices(&served);
    let mut wrong = mood("wrong", 3, "secret words", &now_and(0));
    wrong["data"]["value"] = json!(9);
    let answer = a.upload(&served, &[mood("one", 1, "", &now_and(0)), wrong, mood("two", 2, "", &now_and(0))]);
    assert_eq!(answer["applied_ids"], json!([uuid("one"), uuid("two")]));
    let conflict = &answer["conflicts"][0];
    assert_eq!((&conflict["entity_type"], &conflict["id"]), (&"MoodEntry".into(), &uuid("wrong").into()));
    assert!(conflict["reason"].as_str().unwrap().starts_with("invalid"), "{conflict}");
    assert!(!answer.to_string().contains("secret words"), "no content is sent back");
    assert_eq!(b.everything(&served).len(), 2);
}

#[test]
fn f13_a_cursor_of_another_history_is_noticed() {
    let served = serve();
    let [mut a, ..] = devices(&served);
    a.put(&served, &[mood("m", 3, "", &now_and(0))]);
    a.download(&served);
    let cursor = a.cursor.clone().unwrap();
    let check = |served: &Served, phone: &Phone, reason: &str| {
        let changes = [mood("never", 3, "", &now_and(0))];
        for request in [phone.downloading(None), phone.uploading(&changes)] {
            let response = served.send(&request);
            assert_eq!(response.status, 409, "{reason}: {}", response.text());
            let problem = response.json();
            assert_eq!((&problem["code"], &problem["reason"]), (&"cursor_reset".into(), &reason.into()));
        }
        let fresh = Phone { cursor: None, ..phone.clone() };
        assert!(!fresh.everything(served).contains_key(&uuid("never")), "{reason}: nothing is stored");
    };
    let other_user = Phone { cursor: Some(cursor.clone()), ..Phone::new("x", &served.install.wb_for("ann")) };
    check(&served, &other_user, "other_account");
    let (head, number) = cursor.rsplit_once('.').unwrap();
    let beyond = format!("{head}.{}", number.parse::<u64>().unwrap() + 1);
    check(&served, &Phone { cursor: Some(beyond), ..a.clone() }, "ahead");
    check(&served, &Phone { cursor: Some("12:00:10".to_owned()), ..a.clone() }, "unreadable");
    let elsewhere = serve();
    let there = Phone { key: elsewhere.install.wb_for("owner"), ..a.clone() };
    check(&elsewhere, &there, "restored");
}

#[test]
fn f13_a_cursor_survives_a_restart_and_a_crash() {
    let mut served = serve();
    let [mut a, b, _] = devices(&served);
    b.put(&served, &[mood("one", 3, "", &now_and(0))]);
    a.download(&served);
    assert!(served.terminate().success());
    served.start_again();
    b.put(&served, &[mood("two", 3, "", &now_and(0))]);
    assert_eq!(ids(&a.download(&served)), [uuid("two")]);
    served.kill();
    served.start_again();
    b.put(&served, &[mood("three", 3, "", &now_and(0))]);
    assert_eq!(ids(&a.download(&served)), [uuid("three")]);
}
