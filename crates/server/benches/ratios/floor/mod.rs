//! The floor: a bare axum server, and a bare group-committing SQLite writer that writes the same rows and indexes as a
//! push does, without deciding anything.

mod broadcast;

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

struct Push {
    client: i64,
    insert: Insert,
    body: Bytes,
    done: oneshot::Sender<()>,
}

/// Writes the rows of one push: the last sequence number of its space, and a number of its own.
type Insert = fn(&Connection, &Push, &mut i64, i64);

pub(crate) fn serve(folder: &Path) {
    let (queue, pushes) = sync_channel(1_024);
    let connection = Connection::open(folder.join("tombolo.db")).unwrap();
    std::thread::spawn(move || write(&connection, &pushes));
    let beside = Connection::open(folder.join("tombolo.db")).unwrap();
    std::thread::spawn(move || fold(&beside));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let router = Router::new()
            .route("/push/{client}", post(push))
            .route("/append/{client}", post(append))
            .route("/records/{client}", post(records))
            .route("/bytes", post(bytes))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(queue)
            .route("/ws", get(broadcast::upgrade))
            .with_state(tokio::sync::broadcast::Sender::new(broadcast::BEHIND_MAX));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on http://{}", listener.local_addr().unwrap());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.unwrap();
    });
}

async fn push(State(queue): State<SyncSender<Push>>, UrlPath(client): UrlPath<i64>, body: Bytes) -> &'static str {
    written(queue, client, insert, body).await;
    r#"{"server_time":"2026-11-20T23:53:11.651Z","changes":[],"conflicts":[],"refused":[],"more":false}"#
}

async fn append(State(queue): State<SyncSender<Push>>, UrlPath(client): UrlPath<i64>, body: Bytes) -> &'static str {
    written(queue, client, insert_entries, body).await;
    r#"{"accepted":0,"acks":null}"#
}

async fn records(State(queue): State<SyncSender<Push>>, UrlPath(client): UrlPath<i64>, body: Bytes) -> &'static str {
    written(queue, client, insert_records, body).await;
    r#"{"server_cursor":"","applied_ids":[],"conflicts":[]}"#
}

async fn written(queue: SyncSender<Push>, client: i64, insert: Insert, body: Bytes) {
    let (done, answered) = oneshot::channel();
    queue.send(Push { client: client + 1, insert, body, done }).unwrap();
    answered.await.unwrap();
}

/// As many bytes as the body asks for, from memory.
async fn bytes(body: String) -> Bytes {
    static MEMORY: [u8; 16 << 20] = [b' '; 16 << 20];
    Bytes::from_static(&MEMORY[..body.parse().unwrap()])
}

/// Folds the log into the database beside the commits, as the real one does: inside them it slows them all.
fn fold(connection: &Connection) {
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    }
}

/// Drains the queue, writes, commits together, answers.
fn write(connection: &Connection, pushes: &Receiver<Push>) {
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 0;")
        .unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    for space in 1..=64 {
        connection
            .execute("INSERT INTO spaces (id, owner, purpose, created_at) VALUES (?1, ?1, 'tickit', 0)", [space])
            .unwrap();
    }
    let mut seqs = [0_i64; 128];
    let mut token = 0;
    while let Ok(first) = pushes.recv() {
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        let mut done = Vec::new();
        let mut next = Some(first);
        while let Some(push) = next {
            token += 1;
            (push.insert)(connection, &push, &mut seqs[usize::try_from(push.client).unwrap()], token);
            done.push(push.done);
            next = if done.len() < 256 { pushes.try_recv().ok() } else { None };
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        for done in done {
            done.send(()).unwrap();
        }
    }
}

/// The rows of one record and its first change; its number.
fn insert_record(connection: &Connection, space: i64, seq: i64, id: &[u8], payload: &[u8]) -> i64 {
    let id = std::str::from_utf8(id).unwrap();
    connection
        .prepare_cached("INSERT INTO records (space, collection, name, rank, seq) VALUES (?1, 'task', ?2, 1, ?3)")
        .unwrap()
        .execute(params![space, id, seq])
        .unwrap();
    let record = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO changes (space, seq, record, prev, base, committed_at, written_at, stamp_at, public_at, actor,
                 replica, op, origin, verdict, digest, checksum, payload)
             VALUES (?1, ?2, ?3, NULL, NULL, ?4, ?5, ?4, ?4, 1, ?1, 0, 0, 0, ?6, 4000000000, ?7)",
        )
        .unwrap()
        .execute(params![space, seq, record, 1_763_000_000_000_000_i64, [7_u8; 12], [7_u8; 16], payload])
        .unwrap();
    record
}

/// The rows of records of replicas that the log alone says everything of: one to a line, the id first.
fn insert_records(connection: &Connection, push: &Push, seq: &mut i64, _: i64) {
    for line in push.body.split(|byte| *byte == b'\n') {
        *seq += 1;
        let (id, payload) = line.split_at(36);
        insert_record(connection, push.client, *seq, id, payload);
    }
    let sql = "UPDATE spaces SET head_seq = ?2, head_time = ?2 WHERE id = ?1";
    connection.prepare_cached(sql).unwrap().execute(params![push.client, *seq]).unwrap();
}

fn insert(connection: &Connection, push: &Push, seq: &mut i64, token: i64) {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).unwrap().execute(params).unwrap();
    };
    let time = [7_u8; 12];
    for task in push.body.split(|byte| *byte == b'\n') {
        *seq += 1;
        // The id's place in a task of load.rs.
        let record = insert_record(connection, push.client, *seq, &task[21..57], &task[58..]);
        run(
            "INSERT INTO traffic (replica, record, greatest, last, tombstone, upload, upload_under)
             VALUES (?1, ?2, ?3, ?3, NULL, ?4, ?5)",
            params![push.client, record, time, *seq, 1_763_000_000_000_i64 + token],
        );
    }
    run(
        "INSERT INTO cursors (replica, token, parent, alias, polled, complete, snapshot, pages)
         VALUES (?1, ?2, ?2, NULL, 0, ?3, ?3, NULL)",
        params![push.client, 1_763_000_000_000_i64 + token, *seq],
    );
    run("UPDATE spaces SET head_seq = ?2, head_time = ?2 WHERE id = ?1", params![push.client, *seq]);
}

/// The rows of entries that are appended: one to a line.
fn insert_entries(connection: &Connection, push: &Push, seq: &mut i64, token: i64) {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).unwrap().execute(params).unwrap();
    };
    let time = [7_u8; 12];
    for (n, event) in push.body.split(|byte| *byte == b'\n').enumerate() {
        *seq += 1;
        // As spread as the digest of a real one.
        let spread = (u128::try_from(token * 1_000).unwrap() + n as u128)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let key = spread.to_be_bytes();
        run(
            "INSERT INTO changes (space, seq, record, prev, base, committed_at, written_at, stamp_at, public_at, actor,
                 replica, op, origin, verdict, digest, checksum, payload)
             VALUES (?1, ?2, 0, NULL, NULL, ?3, ?4, ?3, ?3, 1, NULL, 0, 0, 0, ?5, 4000000000, ?6)",
            params![push.client, *seq, 1_763_000_000_000_000_i64, time, key, event],
        );
        run("INSERT INTO idempotency_keys (space, key, seq) VALUES (?1, ?2, ?3)", params![push.client, key, *seq]);
    }
    run("UPDATE spaces SET head_seq = ?2, head_time = ?2 WHERE id = ?1", params![push.client, *seq]);
}
