//! simple-sync: pushes of one event into a long history, which every reply carries whole unless it is asked not to.

use crate::Scale;
use crate::client::Client;
use crate::load::{Measured, Pushes, measure};
use crate::process::Served;
use crate::table::Table;

const PATH: &str = "/api/v1/events";
/// What one request brings while the history is filled.
const EVENTS: usize = 1_000;

pub(crate) fn run(table: &mut Table, scale: Scale) {
    let served = Served::tombolo_simple_sync();
    let (empty, _) = repeat(&served, scale, |client, _| client.exchange("POST", PATH, "", b"[]").1.len());
    let mut next = fill(&served, scale.cold_records);
    let count = scale.cold_records;

    for (what, headers) in [("", ""), (", compressed", "Accept-Encoding: gzip\r\n")] {
        let (ours, bytes) = repeat(&served, scale, |client, _| {
            next += 1;
            client.exchange("POST", PATH, headers, &request(next..next + 1)).1.len()
        });
        table.history(&format!("simple-sync push of 1 into {count} events{what}"), bytes, &ours, &empty);
    }

    let (ours, bytes) = repeat(&served, scale, |client, state| {
        if state.is_empty() {
            *state = header(&client.exchange("GET", PATH, "", b"").0, "etag: ").replace('w', "W");
        }
        let (head, body) = client.exchange("GET", PATH, &format!("If-None-Match: {state}\r\n"), b"");
        assert!(head.starts_with("http/1.1 304"), "{head}");
        body.len()
    });
    table.history(&format!("simple-sync, {count} events known by their ETag"), bytes, &ours, &empty);

    let (ours, bytes) = repeat(&served, scale, |client, cursor| {
        if cursor.is_empty() {
            *cursor = header(&client.exchange("GET", PATH, "", b"").0, "sync-cursor: ");
        }
        next += 1;
        let path = format!("{PATH}?after={cursor}");
        let (head, body) = client.exchange("POST", &path, "", &request(next..next + 1));
        *cursor = header(&head, "sync-cursor: ");
        assert!(body.len() < 1_000, "one event is new");
        body.len()
    });
    table.history(&format!("simple-sync push of 1 into {count} events, after a cursor"), bytes, &ours, &empty);
    table.note("simple-sync, resident after it", &format!("{:.1} MiB", served.resident_kib() as f64 / 1024.0), "");
}

/// Asks one request after the other; the client has a text to remember. Says what they took, and how many bytes the
/// last reply was.
fn repeat(
    served: &Served,
    scale: Scale,
    request: impl FnMut(&mut Client, &mut String) -> usize + Send,
) -> (Measured, usize) {
    let request = std::sync::Mutex::new((request, 0));
    let measured =
        measure(std::slice::from_ref(served), Pushes { changes: 1, clients: 1, seconds: scale.seconds }, |_| {
            let mut client = Client::new(served.address, PATH, &served.tokens[0]);
            let mut state = String::new();
            let request = &request;
            move || {
                let mut request = request.lock().unwrap();
                request.1 = (request.0)(&mut client, &mut state);
            }
        });
    (measured, request.into_inner().unwrap().1)
}

fn header(head: &str, name: &str) -> String {
    let value = head.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name}in {head}")).to_owned()
}

/// An event as a client writes it, about 250 bytes.
fn event(n: usize) -> String {
    let seconds = 1_700_000_000 + n;
    let millis = seconds * 1_000;
    let (high, low) = (millis >> 16, millis & 0xffff);
    format!(
        r#"{{"uuid":"{high:08x}-{low:04x}-7000-8000-{n:012x}","timestamp":{seconds},"user":".root","item":"task.{}","action":"edit","payload":"{{\"title\":\"Replace the lamp of the tower {n}\",\"done\":false}}"}}"#,
        n % 1_000
    )
}

fn request(events: std::ops::Range<usize>) -> Vec<u8> {
    format!("[{}]", events.map(event).collect::<Vec<_>>().join(",")).into_bytes()
}

/// Fills the history, and returns the number of its last event.
fn fill(served: &Served, count: usize) -> usize {
    let mut client = Client::new(served.address, PATH, &served.tokens[0]);
    let (mut next, mut cursor) = (0, String::new());
    while next < count {
        let until = count.min(next + EVENTS);
        let (head, _) = client.exchange("POST", &format!("{PATH}?after={cursor}"), "", &request(next..until));
        cursor = header(&head, "sync-cursor: ");
        next = until;
    }
    next
}
