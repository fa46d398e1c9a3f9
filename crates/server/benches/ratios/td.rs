//! td: pushes of 500 events, as the command line sends them, and a pull of a whole project in pages of 1,000.

use std::time::Instant;

use crate::Scale;
use crate::client::Client;
use crate::load::{ColdPull, Measured, Pushes, measure, memory_pull};
use crate::process::Served;
use crate::table::Table;

/// What the command line sends in one request.
const EVENTS: usize = 500;
/// What it asks for in one request.
const PAGE: usize = 1_000;

pub(crate) fn run(table: &mut Table, scale: Scale) {
    for clients in [1, 16] {
        let pushes = Pushes { changes: EVENTS, clients, seconds: scale.seconds };
        let mut rounds: Vec<(Measured, Measured)> = (0..scale.rounds)
            .map(|_| {
                let floor = Served::floor();
                let bare = push_floor(&floor, pushes);
                drop(floor);
                (bare, push_tombolo(&Served::tombolo_td(clients), pushes))
            })
            .collect();
        rounds.sort_by(|(a, b), (c, d)| (b.per_second / a.per_second).total_cmp(&(d.per_second / c.per_second)));
        let (bare, ours) = rounds.swap_remove(rounds.len() / 2);
        eprintln!("td push {EVENTS} × {clients}: {:.0} of {:.0} a second", ours.per_second, bare.per_second);
        table.events(pushes, &bare, &ours);
    }
    let served = Served::tombolo_td(1);
    let project = fill(&served, scale.cold_records);
    let pull = pull(&served, &project, scale.cold_records);
    let floor = Served::floor();
    let memory = memory_pull(&floor, &pull.page_bytes);
    table.cold_on("td ", &pull, &memory, "≥ 0.40");
}

/// An event as the command line sends it, about 500 bytes.
fn event(client: usize, n: usize) -> String {
    format!(
        r#"{{"client_action_id":{n},"action_type":"create","entity_type":"issues","entity_id":"td-{client:x}-{n:x}","payload":{{"schema_version":1,"new_data":{{"id":"td-{client:x}-{n:x}","title":"Replace the lamp of the tower {n}","description":"The spare one lies in the shed","status":"open","type":"task","priority":"P2","points":0,"labels":"","parent_id":"","acceptance":"","creator_session":"ses_2d7beb","created_at":"2026-11-20T23:53:11Z","updated_at":"2026-11-20T23:53:11Z","minor":false}},"previous_data":{{}}}},"client_timestamp":"2026-11-20T23:53:11Z"}}"#
    )
}

fn request(client: usize, events: &[String]) -> Vec<u8> {
    format!(r#"{{"device_id":"device-{client}","session_id":"ses_2d7beb","events":[{}]}}"#, events.join(","))
        .into_bytes()
}

fn new_project(served: &Served, client: usize) -> String {
    let mut connection = Client::new(served.address, "/v1/projects", &served.tokens[client]);
    let made: serde_json::Value = serde_json::from_slice(&connection.post(br#"{"name":"Bench"}"#)).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn push_tombolo(served: &Served, pushes: Pushes) -> Measured {
    measure(std::slice::from_ref(served), pushes, |client| {
        let path = format!("/v1/projects/{}/sync/push", new_project(served, client));
        let mut connection = Client::new(served.address, &path, &served.tokens[client]);
        let mut next = 0;
        move || {
            let events: Vec<String> = (next..next + EVENTS).map(|n| event(client, n)).collect();
            next += EVENTS;
            let reply = connection.post(&request(client, &events));
            assert!(reply.starts_with(br#"{"accepted":500,"#), "{}", String::from_utf8_lossy(&reply));
        }
    })
}

fn push_floor(served: &Served, pushes: Pushes) -> Measured {
    measure(std::slice::from_ref(served), pushes, |client| {
        let mut connection = Client::new(served.address, &format!("/append/{client}"), "none");
        let mut next = 0;
        move || {
            let events: Vec<String> = (next..next + EVENTS).map(|n| event(client, n)).collect();
            next += EVENTS;
            connection.post(events.join("\n").as_bytes());
        }
    })
}

fn fill(served: &Served, count: usize) -> String {
    let project = new_project(served, 0);
    let mut connection = Client::new(served.address, &format!("/v1/projects/{project}/sync/push"), &served.tokens[0]);
    let mut next = 0;
    while next < count {
        let events: Vec<String> = (next..count.min(next + EVENTS)).map(|n| event(0, n)).collect();
        next += events.len();
        connection.post(&request(0, &events));
    }
    project
}

/// A clone that joins late takes everything.
fn pull(served: &Served, project: &str, count: usize) -> ColdPull {
    let mut best: Option<ColdPull> = None;
    for _ in 0..3 {
        let mut connection = Client::new(served.address, "/", &served.tokens[0]);
        let begun = Instant::now();
        let (mut page_bytes, mut after) = (Vec::new(), 0);
        loop {
            let reply =
                connection.get(&format!("/v1/projects/{project}/sync/pull?after_server_seq={after}&limit={PAGE}"));
            page_bytes.push(reply.len());
            let end = std::str::from_utf8(&reply[reply.len() - 60..]).unwrap();
            let (_, last) = end.split_once(r#""last_server_seq":"#).expect("where the page ends");
            after = last.split(',').next().unwrap().parse::<usize>().unwrap();
            if last.ends_with(r#""has_more":false}"#) {
                break;
            }
        }
        assert_eq!(after, count);
        let pull = ColdPull { records: count, page_bytes, took: begun.elapsed() };
        if best.as_ref().is_none_or(|best| pull.took < best.took) {
            best = Some(pull);
        }
    }
    best.unwrap()
}
