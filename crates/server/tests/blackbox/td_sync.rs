//! td's push and pull, seen from outside: nothing is lost, nothing is there twice, whatever is lost on the way.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tombolo_testkit::eventually::spawn;
use tombolo_testkit::http::Request;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::Served;
use tombolo_testkit::td::{Teammate, event};

use crate::install;

fn team() -> (Served, Teammate, String) {
    let served = install().set("rate_limit.push=0").set("rate_limit.pull=0").serve();
    let ada = Teammate::new(&served.install, "ada");
    let project = ada.create(&served, "Lighthouse repairs");
    (served, ada, project)
}

/// A generator of numbers that look random and are the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((n ^ (n >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }
}

/// Notes what a push answered: each event has one number for ever.
fn note(numbers: &mut BTreeMap<String, u64>, sent: &[Value], answer: &Value) {
    let known = |id: &Value, seq: &Value, numbers: &mut BTreeMap<String, u64>| {
        let event = sent.iter().find(|event| event["client_action_id"] == *id).expect("what was sent");
        let seq = seq.as_u64().expect("a number");
        let before = numbers.insert(event["entity_id"].as_str().unwrap().to_owned(), seq);
        assert!(before.is_none_or(|before| before == seq), "{event} had {before:?}, and has {seq}");
    };
    for ack in answer["acks"].as_array().into_iter().flatten() {
        known(&ack["client_action_id"], &ack["server_seq"], numbers);
    }
    for rejected in answer["rejected"].as_array().into_iter().flatten() {
        assert_eq!(rejected["reason"], "duplicate", "{rejected}");
        known(&rejected["client_action_id"], &rejected["server_seq"], numbers);
    }
}

/// Asserts that the log has each event once, under the number that it was acknowledged with.
fn assert_log(served: &Served, ada: &Teammate, project: &str, numbers: &BTreeMap<String, u64>) {
    let log = ada.pull(served, project, 0, 7);
    let logged: BTreeMap<String, u64> = log
        .iter()
        .map(|event| (event["entity_id"].as_str().unwrap().to_owned(), event["server_seq"].as_u64().unwrap()))
        .collect();
    assert_eq!(&logged, numbers);
    assert_eq!(log.len(), numbers.len(), "something is there twice");
    let seqs: Vec<u64> = log.iter().map(|event| event["server_seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=u64::try_from(log.len()).unwrap()).collect::<Vec<_>>(), "there is a gap");
}

#[test]
fn lost_repeated_and_reordered_pushes_of_several_sessions_are_stored_once() {
    let (served, mut ada, project) = team();
    let proxy = Proxy::before(served.address());
    let mut dice = Dice(1);
    let batches: Vec<Vec<Value>> = (0..12)
        .map(|batch| {
            let count = 1 + dice.throw(9);
            (0..count)
                .map(|n| i64::try_from(batch * 10 + n).unwrap())
                .map(|action| event(action, &format!("td-{action}"), &format!("Bolt {action}")))
                .collect()
        })
        .collect();
    let mut numbers = BTreeMap::new();
    for _ in 0..120 {
        let batch = &batches[dice.throw(batches.len())];
        // In any order, some of it twice, from any window.
        let mut sent = batch.clone();
        let twice = sent[dice.throw(sent.len())].clone();
        let at = dice.throw(sent.len() + 1);
        sent.insert(at, twice);
        sent.rotate_left(at % batch.len());
        ada.session = format!("ses_{}", dice.throw(3));
        let path = format!("/v1/projects/{project}/sync/push");
        let request = ada.request("POST", &path, &ada.batch(&sent));
        if dice.throw(3) == 0 {
            proxy.lose_replies(1);
            assert!(request.send(proxy.address()).is_err(), "its reply was to be lost");
        } else {
            let answer = served.send(&request);
            assert_eq!(answer.status, 200, "{}", answer.text());
            note(&mut numbers, &sent, &answer.json());
        }
    }
    for batch in &batches {
        note(&mut numbers, batch, &ada.push(&served, &project, batch).json());
    }
    assert_log(&served, &ada, &project, &numbers);
}

#[test]
fn a_kill_between_commit_and_reply_loses_nothing_and_doubles_nothing() {
    let (mut served, ada, project) = team();
    let mut numbers = BTreeMap::new();
    for round in 0..6_i64 {
        let events: Vec<Value> =
            (0..200).map(|n| event(round * 1_000 + n, &format!("td-{round}-{n}"), "A bolt")).collect();
        let path = format!("/v1/projects/{project}/sync/push");
        let request = ada.request("POST", &path, &ada.batch(&events));
        let address = served.address();
        let pushing = {
            let request = request.clone();
            spawn(move || request.send(address))
        };
        // In some rounds before, in some after the commit.
        for _ in 0..round * 3 {
            ada.ok(&served, "GET", &format!("/v1/projects/{project}/sync/status"), &Value::Null);
        }
        served.kill();
        if let Ok(Ok(answer)) = pushing.join()
            && answer.status == 200
        {
            note(&mut numbers, &events, &answer.json());
        }
        served.start_again();
        let answer = served.send(&request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        note(&mut numbers, &events, &answer.json());
    }
    assert_log(&served, &ada, &project, &numbers);
    served.install.ok(&["check"]);
}

#[test]
fn whatever_differs_makes_another_event() {
    let (served, ada, project) = team();
    let first = event(1, "td-1", "The lamp");
    let mut variants = vec![first.clone(); 7];
    variants[1]["client_action_id"] = json!(2);
    variants[2]["entity_type"] = json!("notes");
    variants[3]["entity_id"] = json!("td-2");
    variants[4]["action_type"] = json!("update");
    variants[5]["client_timestamp"] = json!("2026-11-20T23:53:12Z");
    variants[6]["payload"]["new_data"]["title"] = json!("The lamps");
    let answer = ada.push(&served, &project, &variants).json();
    assert_eq!(answer["accepted"], 7, "{answer}");
    let other = Teammate { device: "another machine".to_owned(), ..ada.clone() };
    assert_eq!(other.push(&served, &project, &variants).json()["accepted"], 7);
    let window = Teammate { session: "another window".to_owned(), ..ada.clone() };
    let again = window.push(&served, &project, &variants).json();
    assert_eq!((&again["accepted"], &again["acks"]), (&json!(0), &Value::Null));
    let seqs: Vec<&Value> = again["rejected"].as_array().unwrap().iter().map(|one| &one["server_seq"]).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7].map(|n| json!(n)).iter().collect::<Vec<_>>());
}

#[test]
fn a_payload_that_is_no_object_is_refused_alone() {
    let (served, ada, project) = team();
    let mut events: Vec<Value> = (1..=7).map(|n| event(n, &format!("td-{n}"), "A bolt")).collect();
    events[0].as_object_mut().unwrap().remove("payload");
    events[1]["payload"] = Value::Null;
    events[2]["payload"] = json!("text");
    events[3]["payload"] = json!([1]);
    events[4]["payload"] = json!(7);
    events[5]["entity_id"] = json!("");
    let answer = ada.push(&served, &project, &events).json();
    assert_eq!((&answer["accepted"], &answer["acks"][0]["client_action_id"]), (&json!(1), &json!(7)), "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 6);
    for (one, word) in rejected.iter().zip(["missing", "null", "string", "array", "number", "entity_id"]) {
        assert!(one["reason"].as_str().unwrap().contains(word), "{one}");
        assert!(one.get("server_seq").is_none(), "{one}");
    }
}

#[test]
fn a_whole_request_is_refused_only_for_what_no_part_of_it_can_be_judged_without() {
    let (served, ada, project) = team();
    let path = format!("/v1/projects/{project}/sync/push");
    let good = event(1, "td-1", "The lamp");
    let mut bad_type = good.clone();
    bad_type["entity_type"] = json!("ghosts");
    let mut bad_time = good.clone();
    bad_time["client_timestamp"] = json!("yesterday");
    let mut bad_id = good.clone();
    bad_id["client_action_id"] = json!("one");
    let cases = [
        ("{".to_owned(), "invalid json body"),
        (json!({ "session_id": "s", "events": [good] }).to_string(), "device_id is required"),
        (json!({ "device_id": "d", "events": [good] }).to_string(), "session_id is required"),
        (json!({ "device_id": "d", "session_id": "s", "events": [] }).to_string(), "events array is empty"),
        (json!({ "device_id": "d", "session_id": "s" }).to_string(), "events array is empty"),
        (
            json!({ "device_id": "d", "session_id": "s", "events": vec![&good; 1_001] }).to_string(),
            "batch size 1001 exceeds max 1000",
        ),
        (ada.batch(&[good.clone(), bad_type]).to_string(), "invalid entity_type: ghosts"),
        (ada.batch(&[good.clone(), bad_time]).to_string(), "invalid timestamp for action 1"),
        (ada.batch(&[good.clone(), bad_id]).to_string(), "invalid json body"),
    ];
    for (body, message) in cases {
        let response = served.send(&Request::post(&path, body).bearer(&ada.key));
        assert_eq!(response.status, 400, "{message}: {}", response.text());
        assert!(response.json()["message"].as_str().unwrap().contains(message), "{}", response.text());
    }
    let large = json!({ "device_id": "d", "session_id": "s", "events": [], "x": "x".repeat(11 << 20) }).to_string();
    let response = served.send(&Request::post(&path, large).bearer(&ada.key));
    assert_eq!(response.status, 413);
    assert!(response.json()["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert_eq!(ada.pull(&served, &project, 0, 100), Vec::<Value>::new());
}

#[test]
fn what_comes_back_is_what_was_sent_value_for_value() {
    let (served, ada, project) = team();
    let payload = r#"{"schema_version":1,"new_data":{"n":123456789012345678901234567890,"f":1.10,"e":1e400,"s":"\u00e9 \ud83d\ude00 \u0000 \\","deep":[[[{"a":[]}]]],"worktree_id":"kept"},"previous_data":{}}"#;
    let body = format!(
        r#"{{"device_id":"d","session_id":"s","events":[{{"client_action_id":1,"action_type":"create","entity_type":"Issue","entity_id":"td-\u00fc\u0000","payload":{payload},"client_timestamp":"2026-01-01T10:00:00.123456789+09:00"}}]}}"#
    );
    let path = format!("/v1/projects/{project}/sync/push");
    let pushed = served.send(&Request::post(&path, body).bearer(&ada.key));
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    let pulled = ada.send(&served, "GET", &format!("/v1/projects/{project}/sync/pull"), &Value::Null);
    let text = pulled.text();
    assert!(text.contains(r#""n":123456789012345678901234567890,"f":1.10,"e":1e400"#), "{text}");
    assert!(text.contains(r#""client_timestamp":"2026-01-01T10:00:00.123456789+09:00""#), "{text}");
    assert!(text.contains(r#""entity_type":"issues""#), "{text}");
    assert!(text.contains("kept"), "{text}");
    let session = json!({
        "client_action_id": 2, "action_type": "create", "entity_type": "work_session", "entity_id": "ws-1",
        "payload": { "worktree_id": "x", "new_data": { "repo_root": "/home/ada", "name": "n" }, "previous_data": {} },
        "client_timestamp": "2026-01-01T10:00:00Z"
    });
    ada.push(&served, &project, &[session]);
    let scrubbed = &ada.pull(&served, &project, 1, 10)[0];
    assert_eq!(scrubbed["payload"], json!({ "new_data": { "name": "n" }, "previous_data": {} }));
}

#[test]
fn pages_joined_are_the_log_and_the_end_is_told() {
    let (served, ada, project) = team();
    let events: Vec<Value> = (1..=25).map(|n| event(n, &format!("td-{n}"), "A bolt")).collect();
    ada.push(&served, &project, &events);
    let all = ada.pull(&served, &project, 0, 1_000);
    assert_eq!(all.len(), 25);
    for limit in [1, 2, 5, 24, 25, 26] {
        assert_eq!(ada.pull(&served, &project, 0, limit), all, "in pages of {limit}");
    }
    assert_eq!(ada.pull(&served, &project, 20, 2), all[20..]);
    let get =
        |query: &str| ada.send(&served, "GET", &format!("/v1/projects/{project}/sync/pull?{query}"), &Value::Null);
    assert_eq!(get("after_server_seq=99").json(), json!({ "events": [], "last_server_seq": 99, "has_more": false }));
    assert_eq!(get("after_server_seq=-5&limit=99999").json()["events"].as_array().map(Vec::len), Some(25));
    for bad in ["limit=0", "limit=-1", "limit=x", "after_server_seq=x", "after_server_seq=1.5"] {
        assert_eq!(get(bad).status, 400, "{bad}");
    }
    // Its own events are not left out: a device that never saw them in their order would differ from all others.
    assert_eq!(get(&format!("exclude_client={}", ada.device)).json()["events"].as_array().map(Vec::len), Some(25));
    let status = ada.ok(&served, "GET", &format!("/v1/projects/{project}/sync/status"), &Value::Null);
    assert_eq!((&status["event_count"], &status["last_server_seq"]), (&json!(25), &json!(25)));
    assert!(status["last_event_time"].is_string());
}

#[test]
fn a_device_that_excludes_itself_may_do_so_where_the_owner_says() {
    let served = install().set("td.exclude_client=true").serve();
    let ada = Teammate::new(&served.install, "ada");
    let other = Teammate { device: "other".to_owned(), ..ada.clone() };
    let project = ada.create(&served, "Lighthouse repairs");
    for n in 1..=10 {
        let who = if n % 5 == 0 { &other } else { &ada };
        who.push(&served, &project, &[event(n, &format!("td-{n}"), "A bolt")]);
    }
    let path = format!("/v1/projects/{project}/sync/pull?limit=1&exclude_client={}", ada.device);
    let page = ada.ok(&served, "GET", &path, &Value::Null);
    assert_eq!((&page["events"][0]["server_seq"], &page["has_more"]), (&json!(5), &json!(true)), "{page}");
    let page = ada.ok(&served, "GET", &format!("{path}&after_server_seq=5"), &Value::Null);
    assert_eq!(page["events"][0]["server_seq"], 10, "{page}");
}
