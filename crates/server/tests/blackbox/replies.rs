//! What a sync is answered with, beside what the transcripts show.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use time::Duration as Span;
use tombolo_testkit::eventually::{Stopwatch, spawn};
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{
    Device, REPLY_BYTES_MAX, Reply, ago, deleted, edited, inbox, list, now, parse_time, read_strictly, tag, task,
    written,
};
use tombolo_testkit::transcript::uuid;

use crate::serve;

fn device(served: &Served, name: &str) -> Device {
    Device::new(name, &served.install.token(name))
}

fn titles(reply: &Reply) -> HashSet<String> {
    reply.of_type("task").map(|task| task["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_time_lies_behind_and_only_goes_forward_when_something_was_exchanged() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let mut last = None;
    for n in 0..20 {
        let inbox = anne.inbox.clone();
        let reply = anne.sync(&served, &[task(&uuid("milk"), &format!("Milk {n}"), &inbox, &written(now()))]);
        let behind = now() - reply.time();
        assert!((Span::minutes(1)..=Span::minutes(5)).contains(&behind), "{behind} behind");
        assert!(last.is_none_or(|last| reply.time() > last), "{n}: {last:?} then {}", reply.server_time);
        last = Some(reply.time());
        for _ in 0..2 {
            let nothing = anne.sync(&served, &[]);
            assert_eq!((nothing.changes.len(), Some(nothing.time())), (0, last));
        }
    }
}

#[test]
fn a_last_sync_comes_back_as_the_moment_that_it_is_in_whatever_spelling() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let issued = anne.join(&served, &[]).time();
    let offset = issued.to_offset(time::UtcOffset::from_hms(2, 0, 0).unwrap());
    anne.last_sync = Some(offset.format(&time::format_description::well_known::Rfc3339).unwrap());
    let reply = anne.sync(&served, &[]);
    assert_eq!((reply.changes.len(), reply.time()), (0, issued));
}

#[test]
fn polls_write_nothing() {
    let served = serve();
    let mut anne = device(&served, "anne");
    anne.join(&served, &[]);
    anne.sync(&served, &[]);
    let before = crate::written(&served);
    for _ in 0..50 {
        anne.sync(&served, &[]);
    }
    assert_eq!(crate::written(&served), before);
}

#[test]
fn ten_thousand_tasks_in_a_first_sync() {
    const COUNT: usize = 10_000;
    let served = serve();
    let mut anne = device(&served, "anne");
    let inbox = anne.inbox.clone();
    let tasks: Vec<Value> = (0..COUNT)
        .map(|n| {
            let mut task = task(&uuid(&format!("t{n}")), &format!("Task {n}"), &inbox, &ago(3_600));
            task["description"] =
                "Twenty words of the sort that people write about what they still have to do, in two lines.".into();
            task
        })
        .collect();
    let stopwatch = Stopwatch::start();
    let reply = anne.join(&served, &tasks);
    // The requirement says 5 s of a release build; this may be a debug build on a busy machine. The desktop gives up
    // after 30 s.
    assert!(stopwatch.elapsed() < Duration::from_secs(30), "{:?}", stopwatch.elapsed());
    assert!(reply.conflicts.is_empty() && reply.refused.is_empty());
    assert_eq!(titles(&reply).len(), COUNT);
    let mut bert = device(&served, "bert");
    assert_eq!(titles(&bert.join(&served, &[])).len(), COUNT);
    // What comes again is known.
    let again = anne.sync(&served, &tasks);
    assert_eq!((again.changes.len(), again.conflicts.len()), (0, 0));
    assert_eq!(bert.sync(&served, &[]).changes.len(), 0);
}

#[test]
fn what_does_not_fit_one_reply_comes_with_the_next_and_everything_comes() {
    const COUNT: usize = 150;
    let served = serve();
    let mut anne = device(&served, "anne");
    let text = "x".repeat(200_000);
    let (work, own) = (uuid("work"), anne.inbox.clone());
    // 30 MB, above what one request may bring. Its lists come last.
    for third in 0..3 {
        let tasks: Vec<Value> = (0..COUNT / 3)
            .map(|n| {
                let n = third * COUNT / 3 + n;
                let mut task = task(&uuid(&format!("t{n}")), &format!("Task {n}"), &work, &ago(600));
                task["description"] = text.clone().into();
                task
            })
            .collect();
        anne.sync(&served, &tasks);
    }
    anne.sync(
        &served,
        &[list(&work, "Work", &ago(600)), inbox(&own, &ago(600)), tag(&uuid("soon"), "soon", &ago(600))],
    );
    let mut bert = device(&served, "bert");
    let mut seen: HashSet<String> = HashSet::new();
    let mut pages = 0;
    loop {
        let reply = bert.sync(&served, &[]);
        assert!(reply.bytes < REPLY_BYTES_MAX, "{} bytes", reply.bytes);
        if pages == 0 {
            assert_eq!((reply.of_type("list").count(), reply.of_type("tag").count()), (1, 1), "before their tasks");
            assert!(reply.more);
        } else {
            assert_eq!(reply.of_type("list").count() + reply.of_type("tag").count(), 0);
        }
        for title in titles(&reply) {
            assert!(seen.insert(title.clone()), "{title} came twice");
        }
        pages += 1;
        if !reply.more {
            break;
        }
        assert!(pages < 20, "it does not end");
    }
    assert!(pages >= 4, "{pages} pages for 30 MB");
    assert_eq!(seen.len(), COUNT);
    assert_eq!(bert.sync(&served, &[]).changes.len(), 0);
}

#[test]
fn an_edit_between_two_pages_loses_nothing() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let (a_box, b_box) = (anne.inbox.clone(), bert.inbox.clone());
    let milk = task(&uuid("milk"), "Milk", &a_box, &ago(600));
    anne.join(&served, std::slice::from_ref(&milk));
    bert.join(&served, &[]);
    let mut filler: Vec<Value> = Vec::new();
    for n in 0..100 {
        filler.push(edited(
            &task(&uuid(&format!("f{n}")), "Filler", &a_box, &ago(500)),
            "description",
            "y".repeat(150_000),
            &ago(500),
        ));
    }
    anne.sync(&served, &filler);
    anne.sync(&served, &[edited(&milk, "description", "oat", &ago(400))]);
    let first = bert.sync(&served, &[]);
    assert!(first.more && first.record(&uuid("milk")).is_none(), "Milk is meant to be on a later page");
    let mine = edited(&task(&uuid("milk"), "Milk", &b_box, ""), "priority", "high", &ago(1));
    let mut reply = bert.sync(&served, &[mine]);
    assert!(reply.conflicts.is_empty());
    while reply.more {
        reply = bert.sync(&served, &[]);
    }
    anne.sync(&served, &[]);
    anne.last_sync = None;
    let mut everything = anne.sync(&served, &[]);
    while everything.record(&uuid("milk")).is_none() {
        everything = anne.sync(&served, &[]);
    }
    let milk = everything.record(&uuid("milk")).unwrap();
    assert_eq!((&milk["description"], &milk["priority"]), (&"oat".into(), &"high".into()));
}

#[test]
fn a_record_that_no_reply_could_carry_is_refused_alone() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let inbox = anne.inbox.clone();
    let sized = |name: &str, bytes: usize| {
        edited(&task(&uuid(name), name, &inbox, ""), "description", "z".repeat(bytes), &ago(60))
    };
    let reply = anne.join(&served, &[sized("huge", 10_000_000), sized("milk", 10), sized("most", 7_990_000)]);
    let refused: Vec<&str> = reply.refused.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(refused, [uuid("huge")]);
    assert!(reply.refused[0].2.contains("larger than a reply"), "{:?}", reply.refused);
    // Quotes and newlines take two bytes each on the wire, and may not make a reply too large either.
    let escaped = edited(&sized("escaped", 0), "description", "\n\"".repeat(1_900_000), &ago(50));
    anne.sync(&served, &[escaped]);
    let mut bert = device(&served, "bert");
    let mut seen = HashSet::new();
    loop {
        let reply = bert.sync(&served, &[]);
        seen.extend(titles(&reply));
        if !reply.more {
            break;
        }
    }
    assert_eq!(seen, HashSet::from(["milk", "most", "escaped"].map(str::to_owned)));
    assert_eq!(served.install.json(&["refused"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_refused_records_are_kept_up_to_a_thousand_newest_first() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let inbox = anne.inbox.clone();
    let bad: Vec<Value> = (0..1_100).map(|n| task(&format!("bad-{n}"), "x", &inbox, &ago(60))).collect();
    let reply = anne.join(&served, &[&bad[..], &[task(&uuid("milk"), "Milk", &inbox, &ago(60))]].concat());
    assert_eq!(titles(&reply).len(), 1);
    assert!(reply.refused.len() >= 1_000);
    let kept = served.install.json(&["refused"]);
    let kept = kept.as_array().unwrap();
    assert_eq!((kept.len(), &kept[0]["record"], &kept[999]["record"]), (1_000, &"bad-1099".into(), &"bad-100".into()));
    let keys: Vec<&str> = kept[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(HashSet::from_iter(keys), HashSet::from(["user", "device", "record", "type", "reason", "at"]));
}

#[test]
fn three_devices_each_have_their_own_inbox() {
    let served = serve();
    let mut devices = ["anne", "bert", "carl"].map(|name| device(&served, name));
    let names = ["Milk", "Bread", "Jam"];
    for (device, name) in devices.iter_mut().zip(names) {
        let inbox = device.inbox.clone();
        device.join(&served, &[task(&uuid(name), name, &inbox, &ago(600))]);
    }
    for device in &mut devices {
        device.last_sync = None;
        let own = device.inbox.clone();
        let reply = device.sync(&served, &[]);
        assert_eq!(titles(&reply), HashSet::from(names.map(str::to_owned)));
        assert!(reply.of_type("task").all(|task| task["list_id"] == own));
        let inboxes: Vec<_> = reply.of_type("list").map(|list| list["id"].clone()).collect();
        assert_eq!(inboxes, [own]);
    }
    // Moved out of the inbox by one, and back by another.
    let work = uuid("work");
    devices[0].sync(&served, &[list(&work, "Work", &ago(30)), task(&uuid("Milk"), "Milk", &work, &ago(30))]);
    let moved = devices[1].sync(&served, &[]);
    assert_eq!(moved.record(&uuid("Milk")).unwrap()["list_id"], work);
    let own = devices[1].inbox.clone();
    devices[1].sync(&served, &[task(&uuid("Milk"), "Milk", &own, &ago(1))]);
    let back = devices[2].sync(&served, &[]);
    assert_eq!(back.record(&uuid("Milk")).unwrap()["list_id"], devices[2].inbox);
}

#[test]
fn a_device_without_an_inbox_still_gets_tasks_that_it_can_read() {
    let served = serve();
    let (mut anne, mut watcher) = (device(&served, "anne"), device(&served, "watcher"));
    let inbox = anne.inbox.clone();
    anne.join(
        &served,
        &[task(&uuid("milk"), "Milk", &inbox, &ago(600)), task(&uuid("lost"), "Lost", &uuid("nolist"), &ago(600))],
    );
    let reply = watcher.sync(&served, &[]);
    assert_eq!(titles(&reply).len(), 2);
    // A task whose list nobody knows is in the inbox.
    anne.last_sync = None;
    let all = anne.sync(&served, &[]);
    assert_eq!(all.record(&uuid("lost")).unwrap()["list_id"], inbox);
}

#[test]
fn instants_that_differ_by_nanoseconds_are_different() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let (a_box, b_box) = (anne.inbox.clone(), bert.inbox.clone());
    let second = written(now() - Span::seconds(60));
    let nanos = |n: u32| second.replace('Z', "").split_once('.').map(|(base, _)| format!("{base}.{n:09}Z")).unwrap();
    anne.join(&served, &[task(&uuid("milk"), "Milk", &a_box, &ago(600))]);
    bert.join(&served, &[]);
    let mine =
        |text: &str, list: &str, n| edited(&task(&uuid("milk"), "Milk", list, ""), "description", text, &nanos(n));
    // Two edits of one device within a microsecond are two edits.
    anne.sync(&served, &[mine("first", &a_box, 100)]);
    anne.sync(&served, &[mine("second", &a_box, 101)]);
    // Concurrent, and later by a nanosecond: it wins.
    let reply = bert.sync(&served, &[mine("third", &b_box, 102)]);
    assert!(reply.conflicts.is_empty(), "{:?}", reply.conflicts);
    let told = anne.sync(&served, &[]);
    assert_eq!(told.record(&uuid("milk")).unwrap()["description"], "third");
}

#[test]
fn conflicts_name_what_did_not_survive_and_nothing_else() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let (a_box, b_box) = (anne.inbox.clone(), bert.inbox.clone());
    let names = ["same", "both", "mine", "apart", "gone"];
    let tasks: Vec<Value> = names.iter().map(|name| task(&uuid(name), name, &a_box, &ago(600))).collect();
    anne.join(&served, &tasks);
    bert.join(&served, &[]);
    let of = |name: &str, list: &str| task(&uuid(name), name, list, "");
    anne.sync(
        &served,
        &[
            edited(&of("same", &a_box), "description", "alike", &ago(50)),
            edited(&of("both", &a_box), "description", "anne", &ago(50)),
            edited(&of("apart", &a_box), "priority", "high", &ago(50)),
            edited(&of("gone", &a_box), "description", "kept", &ago(50)),
        ],
    );
    let reply = bert.sync(
        &served,
        &[
            edited(&of("same", &b_box), "description", "alike", &ago(90)),
            edited(&of("both", &b_box), "description", "bert", &ago(90)),
            edited(&of("mine", &b_box), "description", "bert", &ago(90)),
            edited(&of("apart", &b_box), "url", "http://x.example", &ago(90)),
            deleted("task", &uuid("gone"), &ago(90)),
        ],
    );
    let lost: HashSet<&str> = reply.conflicts.iter().map(String::as_str).collect();
    let expected = [uuid("both"), uuid("gone")];
    assert_eq!(lost, expected.iter().map(String::as_str).collect());
    let merged = reply.record(&uuid("apart")).unwrap();
    assert_eq!((&merged["priority"], &merged["url"]), (&"high".into(), &"http://x.example".into()));
    assert_eq!(reply.record(&uuid("gone")).unwrap()["description"], "kept");
}

#[test]
fn requests_of_one_device_that_overlap_are_all_taken() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let inbox = anne.inbox.clone();
    anne.join(&served, &[]);
    let address = served.address();
    let sent: Vec<_> = (0..16)
        .map(|n| {
            let request = anne.request(&[task(&uuid(&format!("t{n}")), &format!("Task {n}"), &inbox, &ago(60 - n))]);
            spawn(move || request.send(address).unwrap())
        })
        .collect();
    for reply in sent {
        let response = reply.join().unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        read_strictly(&response.body).unwrap();
    }
    let mut bert = device(&served, "bert");
    assert_eq!(titles(&bert.sync(&served, &[])).len(), 16);
    anne.last_sync = None;
    assert_eq!(titles(&anne.sync(&served, &[])).len(), 16);
}

#[test]
fn what_goes_out_is_later_than_the_time_that_the_device_presents() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let inbox = anne.inbox.clone();
    bert.join(&served, &[]);
    anne.join(&served, &[task(&uuid("milk"), "Milk", &inbox, "2020-01-01T00:00:00Z")]);
    let presented = parse_time(bert.last_sync.as_ref().unwrap()).unwrap();
    let reply = bert.sync(&served, &[]);
    let came = parse_time(reply.record(&uuid("milk")).unwrap()["updated_at"].as_str().unwrap()).unwrap();
    assert!(came > presented && came < now(), "{came}");
}

#[test]
fn a_record_that_comes_twice_in_one_request_is_taken_in_the_order_of_its_times() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let inbox = anne.inbox.clone();
    let of = |text: &str, at: &str| edited(&task(&uuid("milk"), "Milk", &inbox, ""), "description", text, at);
    anne.join(&served, &[of("first", &ago(90))]);
    let reply = anne.sync(&served, &[of("third", &ago(30)), of("second", &ago(60))]);
    assert!(reply.conflicts.is_empty(), "{:?}", reply.conflicts);
    let mut bert = device(&served, "bert");
    assert_eq!(bert.join(&served, &[]).record(&uuid("milk")).unwrap()["description"], "third");
}

#[test]
fn what_was_deleted_may_come_back() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let inbox = anne.inbox.clone();
    let milk = |at: &str| task(&uuid("milk"), "Milk", &inbox, at);
    anne.join(&served, &[milk(&ago(600))]);
    bert.join(&served, &[]);
    anne.sync(&served, &[deleted("task", &uuid("milk"), &ago(60))]);
    assert_eq!(bert.sync(&served, &[]).of_type("deleted").count(), 1);
    // Taken back by who deleted it; its tombstone goes along once more.
    let reply = anne.sync(&served, &[milk(&ago(30)), deleted("task", &uuid("milk"), &ago(60))]);
    assert!(reply.conflicts.is_empty(), "{:?}", reply.conflicts);
    let told = bert.sync(&served, &[]);
    assert_eq!((told.of_type("task").count(), told.of_type("deleted").count()), (1, 0));
    let mut carl = device(&served, "carl");
    let fresh = carl.join(&served, &[]);
    assert_eq!((fresh.of_type("task").count(), fresh.of_type("deleted").count()), (1, 0));
}

#[test]
fn one_id_may_be_a_task_and_a_tag() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let (inbox, same) = (anne.inbox.clone(), uuid("same"));
    anne.join(&served, &[task(&same, "Milk", &inbox, &ago(600)), tag(&same, "soon", &ago(600))]);
    bert.join(&served, &[]);
    anne.sync(&served, &[deleted("tag", &same, &ago(60))]);
    let told = bert.sync(&served, &[]);
    let gone: Vec<_> = told.of_type("deleted").map(|deleted| deleted["record_type"].clone()).collect();
    assert_eq!(gone, ["tag"]);
    bert.last_sync = None;
    assert_eq!(bert.sync(&served, &[]).of_type("task").count(), 1);
}

#[test]
fn a_renamed_tag_or_list_is_renamed_everywhere() {
    let served = serve();
    let (mut anne, mut bert) = (device(&served, "anne"), device(&served, "bert"));
    let (soon, late, work) =
        (tag(&uuid("soon"), "soon", &ago(900)), tag(&uuid("late"), "late", &ago(800)), uuid("work"));
    let inbox = anne.inbox.clone();
    let mut milk = task(&uuid("milk"), "Milk", &inbox, &ago(600));
    milk["tag_ids"] = serde_json::json!([uuid("late")]);
    anne.join(&served, &[soon.clone(), late.clone(), list(&work, "Work", &ago(900)), milk]);
    bert.join(&served, &[]);
    anne.sync(&served, &[edited(&soon, "name", "now", &ago(60)), list(&work, "Office", &ago(60))]);
    let told = bert.sync(&served, &[]);
    assert_eq!(told.record(&uuid("soon")).unwrap()["name"], "now");
    assert_eq!(told.record(&work).unwrap()["name"], "Office");
    // A tag that takes another's name becomes that one; its tasks go along.
    anne.sync(&served, &[edited(&late, "name", "Now ", &ago(30))]);
    let told = bert.sync(&served, &[]);
    assert_eq!(told.record(&uuid("late")).unwrap()["type"], "deleted");
    assert_eq!(told.record(&uuid("milk")).unwrap()["tag_ids"], serde_json::json!([uuid("soon")]));
}

#[test]
fn a_tag_for_a_task_that_nobody_knows_is_no_reason_to_fail() {
    let served = serve();
    let mut anne = device(&served, "anne");
    let of = |task: &str, tag: &str| serde_json::json!({"type": "task_tag", "task_id": uuid(task), "tag_id": uuid(tag), "created_at": ago(60)});
    let inbox = anne.inbox.clone();
    let milk = task(&uuid("milk"), "Milk", &inbox, &ago(600));
    let reply = anne.join(&served, &[milk, of("nobody", "nothing"), of("milk", "nothing")]);
    assert_eq!(reply.record(&uuid("milk")).unwrap()["tag_ids"], serde_json::json!([]));
    let refused: Vec<(&str, &str)> = reply.refused.iter().map(|(id, kind, _)| (id.as_str(), kind.as_str())).collect();
    assert_eq!(refused, [(uuid("nobody").as_str(), "task_tag"), (uuid("milk").as_str(), "task_tag")]);
    // The operator is told as well.
    let kept = served.install.json(&["refused"]);
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["type"]), (2, &"task_tag".into()));
}

#[test]
fn a_request_of_very_many_bad_records_is_bounded() {
    let served = serve();
    let anne = device(&served, "anne");
    let body = |count: usize| {
        let zeros = vec!["0"; count].join(",");
        format!(r#"{{"device_id":"{}","last_sync":null,"changes":[{zeros}]}}"#, anne.id)
    };
    let send = |count: usize| {
        served.send(&tombolo_testkit::http::Request::post("/api/v1/sync", body(count)).bearer(&anne.token))
    };
    let many = send(100_000);
    assert_eq!(many.status, 200);
    let reply = read_strictly(&many.body).unwrap();
    assert!(reply.refused.len() <= 1_000 && reply.bytes < REPLY_BYTES_MAX);
    let too_many = send(300_000);
    assert_eq!(too_many.status, 422, "{}", too_many.text());
}

#[test]
fn a_phone_that_forces_a_full_sync_without_its_tags_gets_them_back() {
    let served = serve();
    let (mut anne, mut phone) = (device(&served, "anne"), device(&served, "phone"));
    let (a_box, p_box, soon) = (anne.inbox.clone(), phone.inbox.clone(), tag(&uuid("soon"), "soon", &ago(600)));
    let milk = edited(&task(&uuid("milk"), "Milk", &a_box, ""), "tag_ids", vec![uuid("soon")], &ago(600));
    anne.join(&served, &[milk, soon]);
    let instant_of = |reply: &Reply| reply.record(&uuid("milk")).unwrap()["updated_at"].as_str().unwrap().to_owned();
    let mut held = instant_of(&phone.join(&served, &[]));
    // Whether the reply before was acknowledged or not.
    for acknowledges in [true, false, true, false] {
        if acknowledges {
            phone.sync(&served, &[]);
        }
        phone.last_sync = None;
        let reply = phone.join(&served, &[task(&uuid("milk"), "Milk", &p_box, &held)]);
        assert!(reply.conflicts.is_empty(), "{:?}", reply.conflicts);
        assert_eq!(reply.record(&uuid("milk")).unwrap()["tag_ids"], serde_json::json!([uuid("soon")]));
        let now = instant_of(&reply);
        assert!(parse_time(&now) > parse_time(&held), "{now} is not later than {held}: the phone would not take it");
        held = now;
    }
    assert_eq!(anne.sync(&served, &[]).changes.len(), 0);
}
