//! Wellbeing: what a device brings at its first sync, and what a new one takes; over the wire, and with the library in
//! an app's own database.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tombolo_client::{ApiKey, Client as Library, Column, Settings, Table as Synced};

use crate::Scale;
use crate::client::Client;
use crate::load::{ColdPull, Measured, Pushes, measure, memory_pull};
use crate::process::Served;
use crate::table::Table;

/// What is brought in one request.
const ENTRIES: usize = 10_000;
/// What is asked for in one request, at most.
const LIMIT: usize = 10_000;
const AT: &str = "2026-11-20T20:53:11.651Z";
const UPLOAD: &str = "/v1/sync/upload";
const DOWNLOAD: &str = "/v1/sync/download";

pub(crate) fn run(table: &mut Table, scale: Scale) {
    for (entries, clients) in [(1_000, 16), (ENTRIES, 1)] {
        let pushes = Pushes { changes: entries, clients, seconds: scale.seconds };
        let mut rounds: Vec<(Measured, Measured)> = (0..scale.rounds)
            .map(|_| {
                let floor = Served::floor();
                let bare = upload_floor(&floor, pushes);
                drop(floor);
                (bare, upload_tombolo(&Served::tombolo_wellbeing(clients), pushes))
            })
            .collect();
        rounds.sort_by(|(a, b), (c, d)| (b.per_second / a.per_second).total_cmp(&(d.per_second / c.per_second)));
        let (bare, ours) = rounds.swap_remove(rounds.len() / 2);
        eprintln!("wellbeing upload {entries} × {clients}: {:.2} of {:.2} a second", ours.per_second, bare.per_second);
        table.uploads(pushes, &bare, &ours);
    }
    let served = Served::tombolo_wellbeing(1);
    fill(&served, scale.cold_records);
    let pull = download(&served, scale.cold_records);
    let floor = Served::floor();
    let memory = memory_pull(&floor, &pull.page_bytes);
    table.cold_on("wellbeing ", &pull, &memory, "≥ 0.40");
    drop(floor);
    with_library(table, &served, scale.cold_records);
}

/// The library, with an app's database: what it sends at its first sync, and what it takes in; beside bare inserts of the
/// same rows, a thousand in a transaction.
fn with_library(table: &mut Table, served: &Served, count: usize) {
    let folder = served.folder();
    let begun = Instant::now();
    insert(&app(&folder.join("floor.db")), count);
    let floor = begun.elapsed();
    let new = folder.join("new.db");
    app(&new);
    let took = synced(&new, served, 0);
    table.library(&format!("library takes {count} entries into an empty app"), took, floor);

    let fresh = Served::tombolo_wellbeing(1);
    let full = folder.join("full.db");
    insert(&app(&full), ENTRIES);
    let begun = Instant::now();
    insert(&app(&folder.join("floor-full.db")), ENTRIES);
    let floor = begun.elapsed();
    let took = synced(&full, &fresh, ENTRIES);
    table.library(&format!("library sends {ENTRIES} entries of an app"), took, floor);
}

/// One sync of the app at `path`, which never synced.
fn synced(path: &Path, served: &Served, to_send: usize) -> Duration {
    let moods = Synced::new("moods", "MoodEntry").column(Column::plain("value")).column(Column::plain("note"));
    let moods = moods.column(Column::json("activities")).column(Column::time("recorded_at"));
    let library = Library::attach(path, vec![moods]).unwrap();
    let api_key = ApiKey::parse(&served.tokens[0]).unwrap();
    let endpoint = format!("http://{}", served.address);
    library.configure_sync(Settings { endpoint, api_key, device_id: None }).unwrap();
    let begun = Instant::now();
    let report = library.sync_once().unwrap();
    assert_eq!(usize::try_from(report.uploaded).unwrap(), to_send);
    begun.elapsed()
}

fn app(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE moods (id TEXT PRIMARY KEY, value INTEGER, note TEXT, activities TEXT, recorded_at TEXT,
                 updated_at TEXT, deleted_at TEXT)",
        )
        .unwrap();
    database
}

fn insert(database: &Connection, count: usize) {
    for from in (0..count).step_by(1_000) {
        database.execute_batch("BEGIN").unwrap();
        let sql = "INSERT INTO moods VALUES (?1, ?2, ?3, '[]', ?4, ?4, NULL)";
        let mut statement = database.prepare_cached(sql).unwrap();
        for n in from..count.min(from + 1_000) {
            let note = format!("Walked to the lighthouse and back, {n}");
            statement.execute(params![id(9, n), (n % 7 + 1) as u8, note, "2026-11-20 20:53:11.651"]).unwrap();
        }
        database.execute_batch("COMMIT").unwrap();
    }
}

fn id(client: usize, n: usize) -> String {
    format!("{client:08x}-0000-4000-8000-{n:012x}")
}

/// A mood as an app keeps it, about 300 bytes.
fn data(n: usize) -> String {
    let value = n % 7 + 1;
    format!(
        r#"{{"value":{value},"scale":7,"activities":["0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e"],"note":"Walked to the lighthouse and back, {n}","recorded_at":"{AT}","metadata":{{"created_at":"{AT}","updated_at":"{AT}"}}}}"#
    )
}

fn request(device: usize, cursor: Option<&str>, entries: std::ops::Range<usize>) -> Vec<u8> {
    let cursor = cursor.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
    let entries: Vec<String> = entries
        .map(|n| {
            let (id, data) = (id(device, n), data(n));
            format!(
                r#"{{"entity_type":"MoodEntry","id":"{id}","updated_at":"{AT}","deleted":false,"base":null,"data":{data}}}"#
            )
        })
        .collect();
    let device = id(device, 0xd);
    format!(r#"{{"device_id":"{device}","client_cursor":{cursor},"changes":[{}]}}"#, entries.join(",")).into_bytes()
}

/// The value of `server_cursor`, wherever it stands.
fn cursor_of(reply: &[u8]) -> String {
    let name = br#""server_cursor":""#;
    let at = reply.windows(name.len()).position(|window| window == name).expect("a reply has a cursor") + name.len();
    let end = at + reply[at..].iter().position(|byte| *byte == b'"').unwrap();
    String::from_utf8(reply[at..end].to_vec()).unwrap()
}

fn upload_tombolo(served: &Served, pushes: Pushes) -> Measured {
    measure(std::slice::from_ref(served), pushes, |client| {
        let mut connection = Client::new(served.address, UPLOAD, &served.tokens[client]);
        let mut cursor = cursor_of(&connection.post(&request(client, None, 0..1)));
        let mut next = 1;
        move || {
            let reply = connection.post(&request(client, Some(&cursor), next..next + pushes.changes));
            next += pushes.changes;
            assert!(reply.ends_with(br#""conflicts":[]}"#), "{}", String::from_utf8_lossy(&reply[reply.len() - 100..]));
            cursor = cursor_of(&reply);
        }
    })
}

fn upload_floor(served: &Served, pushes: Pushes) -> Measured {
    measure(std::slice::from_ref(served), pushes, |client| {
        let mut connection = Client::new(served.address, &format!("/records/{client}"), "none");
        let mut next = 0;
        move || {
            let lines: Vec<String> =
                (next..next + pushes.changes).map(|n| format!("{}{}", id(client, n), data(n))).collect();
            next += pushes.changes;
            connection.post(lines.join("\n").as_bytes());
        }
    })
}

fn fill(served: &Served, count: usize) {
    let mut connection = Client::new(served.address, UPLOAD, &served.tokens[0]);
    let (mut next, mut cursor) = (0, None);
    while next < count {
        let until = count.min(next + ENTRIES);
        cursor = Some(cursor_of(&connection.post(&request(0, cursor.as_deref(), next..until))));
        next = until;
    }
}

/// A new device takes everything.
fn download(served: &Served, count: usize) -> ColdPull {
    let mut best: Option<ColdPull> = None;
    for device in 1..=3 {
        let mut connection = Client::new(served.address, DOWNLOAD, &served.tokens[0]);
        let device = id(device, 0xd);
        let begun = Instant::now();
        let (mut page_bytes, mut records, mut since) = (Vec::new(), 0, String::new());
        loop {
            let body = format!(r#"{{"device_id":"{device}","since":"{since}","limit":{LIMIT}}}"#);
            let reply = connection.post(body.as_bytes());
            page_bytes.push(reply.len());
            let starts = reply.iter().enumerate().filter(|(_, byte)| **byte == b'{');
            records += starts.filter(|(at, _)| reply[*at..].starts_with(br#"{"entity_type""#)).count();
            since = cursor_of(&reply);
            if reply.ends_with(br#""has_more":false}"#) {
                break;
            }
        }
        assert_eq!(records, count);
        let pull = ColdPull { records, page_bytes, took: begun.elapsed() };
        if best.as_ref().is_none_or(|best| pull.took < best.took) {
            best = Some(pull);
        }
    }
    best.unwrap()
}
