//! A log's history, read while others write to it: on every store, by one process and by two.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tombolo_core::{Cursor, Digest, Env, Name, Purpose, Seq, UserId};
use tombolo_service::{
    AccessChanges, Asked, Encoding, EventCodec, Events, Form, History, Keyring, NewEntry, PageBounds, Shown, Since,
    Submission, Submitted, Watchers,
};
use tombolo_storage::memory::Memory;
use tombolo_storage::postgres::{Options, Postgres, Url};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Entry, IdentityKey, SpaceAddress, Store, Upkeep as _};
use tombolo_testkit::postgres::Cluster;
use tombolo_testkit::{TestEnv, at, runtime, wait};

const CACHE_BYTES: usize = 64 << 20;
const CODEC: EventCodec = EventCodec { purpose: Purpose::SimpleSync, ruling: |_| None, write, is_same: |a, b| a == b };

fn write(payload: &[u8], form: Form, text: &mut Vec<u8>) {
    text.push(b'"');
    text.push(if form == Form::Today { b'T' } else { b'F' });
    text.extend_from_slice(payload);
    text.push(b'"');
}

fn events(store: Arc<dyn Store>, env: &Arc<TestEnv>, codec: EventCodec, cache_bytes: usize) -> Events {
    let keyring = Arc::new(Keyring::new(store.clone(), env.clone()));
    let watchers = Arc::new(Watchers::new(store.clone()));
    Events::new(store, env.clone(), keyring, watchers, Arc::new(AccessChanges::default()), codec, cache_bytes)
}

/// A store with one user, and what one can do with its log.
struct Bench {
    store: Arc<dyn Store>,
    events: Events,
    user: UserId,
}

impl Bench {
    fn new(store: Arc<dyn Store>, codec: EventCodec, cache_bytes: usize) -> Self {
        let env = Arc::new(TestEnv::new(3));
        let name = Name::parse("ada").unwrap();
        let user = wait(async {
            store.add_user(&name, None, env.now()).await.unwrap();
            store.user(&name).await.unwrap().unwrap().id
        });
        Self { events: events(store.clone(), &env, codec, cache_bytes), store, user }
    }

    async fn push(&self, entries: Vec<NewEntry>) {
        let submission = Submission { entries, weights: Vec::new() };
        let submitted = self.events.submit(self.user, submission, |_, _| Ok::<(), ()>(())).await.unwrap();
        assert!(matches!(submitted, Submitted::Done(_)), "{submitted:?}");
    }

    async fn shown(&self, asked: Asked) -> Shown {
        match self.events.history(asked).await.unwrap() {
            History::Shown(shown) => shown,
            History::Unchanged(cursor) => panic!("it is asked for anew at {cursor}"),
        }
    }

    async fn text(&self, asked: Asked) -> (Cursor, String) {
        text(self.shown(asked).await).await
    }

    /// The log, as the store has it.
    async fn log(&self) -> Vec<Entry> {
        let root = IdentityKey::Subject(Name::parse(".root").unwrap());
        let Some(root) = self.store.identity(Purpose::SimpleSync, root).await.unwrap() else { return Vec::new() };
        let all = PageBounds { count_max: 1_000_000, bytes_max: usize::MAX };
        let space = SpaceAddress::only(root.user, Purpose::SimpleSync);
        self.store.entries(space, Seq::ZERO, all).await.unwrap().entries
    }
}

/// On the model, on a file, and on PostgreSQL.
fn on_all(codec: EventCodec, cache_bytes: usize, test: impl Fn(&Bench)) {
    test(&Bench::new(Arc::new(Memory::new()), codec, cache_bytes));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombolo.db");
    let store = Arc::new(Sqlite::open(&path, Role::Server, Arc::new(TestEnv::new(1))).unwrap());
    test(&Bench::new(store.clone(), codec, cache_bytes));
    wait(store.close()).unwrap();
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let options = Options { connections_max: 8, ..Options::new(Url::parse(database.url()).unwrap()) };
    let store = Arc::new(wait(Postgres::open(options, Arc::new(TestEnv::new(1)))).unwrap());
    test(&Bench::new(store.clone(), codec, cache_bytes));
    wait(store.close()).unwrap();
}

fn entry(second: i64, name: &str) -> NewEntry {
    let mut key = [0; 16];
    key[..name.len()].copy_from_slice(name.as_bytes());
    let payload = format!("{second} {name} {}", "x".repeat(300)).into_bytes();
    NewEntry { key: Digest::from_bytes(key), written_at: at(second), payload }
}

/// As many entries as a request may bring, at whatever times.
fn batch(names: &str, count: i64) -> Vec<NewEntry> {
    (0..count).map(|n| entry(n * 7_919 % 1_009, &format!("{names}{n}"))).collect()
}

fn asked(form: Form, encoding: Encoding) -> Asked {
    Asked { form, encoding, from_millis: None, known: None }
}

const PLAIN: Asked = Asked { form: Form::Today, encoding: Encoding::Identity, from_millis: None, known: None };

async fn bytes(shown: Shown) -> Vec<u8> {
    let mut parts = shown.parts;
    let mut bytes = Vec::new();
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part.unwrap());
    }
    assert!(shown.bytes.is_none_or(|expected| expected == bytes.len() as u64));
    bytes
}

async fn text(shown: Shown) -> (Cursor, String) {
    let (cursor, encoding) = (shown.cursor, shown.encoding);
    let bytes = bytes(shown).await;
    let mut text = String::new();
    match encoding {
        Encoding::Identity => text = String::from_utf8(bytes).unwrap(),
        Encoding::Gzip => {
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        }
    }
    (cursor, text)
}

fn array<'e>(entries: impl IntoIterator<Item = &'e Entry>, form: Form) -> String {
    let mut parts = Vec::new();
    for entry in entries {
        let mut part = Vec::new();
        write(&entry.payload, form, &mut part);
        parts.push(String::from_utf8(part).unwrap());
    }
    format!("[{}]", parts.join(","))
}

/// The history of a log up to a cursor.
fn history(log: &[Entry], cursor: Cursor, form: Form) -> String {
    let mut entries: Vec<&Entry> = log.iter().filter(|entry| entry.seq <= cursor.seq).collect();
    entries.sort_by_key(|entry| (entry.written_at, entry.seq));
    array(entries, form)
}

#[test]
fn before_anybody_wrote_there_is_nothing_and_a_cursor_to_go_on_from() {
    on_all(CODEC, CACHE_BYTES, |bench| {
        wait(async {
            let (cursor, nothing) = bench.text(PLAIN).await;
            assert_eq!((cursor.seq, nothing.as_str()), (Seq::ZERO, "[]"));
            let unchanged = bench.events.history(Asked { known: Some(cursor), ..PLAIN }).await.unwrap();
            assert!(matches!(unchanged, History::Unchanged(same) if same == cursor));
            bench.push(vec![entry(9, "b"), entry(3, "a")]).await;
            let log = bench.log().await;
            let (now, all) = bench.text(Asked { known: Some(cursor), ..PLAIN }).await;
            assert_eq!((now.seq.get(), all), (2, history(&log, now, Form::Today)));
            for after in [None, Some(cursor)] {
                let Since::News(news) = bench.events.since(after, Form::First).await.unwrap() else { panic!("known") };
                assert_eq!(text(news).await, (now, array(&log, Form::First)));
            }
        });
    });
}

#[test]
fn an_entry_is_encoded_once_for_each_form() {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    fn counted(payload: &[u8], form: Form, text: &mut Vec<u8>) {
        WRITTEN.fetch_add(1, Ordering::Relaxed);
        write(payload, form, text);
    }
    let codec = EventCodec { write: counted, ..CODEC };
    on_all(codec, CACHE_BYTES, |bench| {
        let events = wait(bench.log()).len();
        assert_eq!(events, 0);
        wait(async {
            bench.push(batch("a", 1_000)).await;
            bench.push(batch("b", 1_000)).await;
            WRITTEN.store(0, Ordering::Relaxed);
            let all = (0..40)
                .map(|n| bench.text(asked(Form::Today, if n % 3 == 0 { Encoding::Gzip } else { Encoding::Identity })));
            let all = join_all(all).await;
            let log = bench.log().await;
            assert!(all.iter().all(|(cursor, text)| *text == history(&log, *cursor, Form::Today)));
            assert_eq!(WRITTEN.swap(0, Ordering::Relaxed), 2_000);
            bench.push(vec![entry(77, "c")]).await;
            let (cursor, text) = bench.text(PLAIN).await;
            assert_eq!((cursor.seq.get(), WRITTEN.swap(0, Ordering::Relaxed)), (2_001, 1));
            assert_eq!(text, history(&bench.log().await, cursor, Form::Today));
            bench.text(asked(Form::First, Encoding::Gzip)).await;
            assert_eq!(WRITTEN.load(Ordering::Relaxed), 2_001);
        });
    });
}

/// On several threads, with a cache that holds all, one form only, or nothing.
#[test]
fn each_reader_sees_the_log_as_of_his_cursor_while_others_write() {
    for cache_bytes in [CACHE_BYTES, 500_000, 1_000] {
        on_all(CODEC, cache_bytes, |bench| {
            wait(bench.push(batch("a", 900)));
            let bench = Arc::new(Bench {
                store: bench.store.clone(),
                events: events(bench.store.clone(), &Arc::new(TestEnv::new(4)), CODEC, cache_bytes),
                user: bench.user,
            });
            let writers = (0..4).map(|writer| {
                let bench = bench.clone();
                runtime().spawn(async move {
                    for n in 0..10 {
                        bench.push(batch(&format!("w{writer}-{n}-"), 3)).await;
                        let (cursor, text) = bench.text(PLAIN).await;
                        assert!(text.contains(&format!(" w{writer}-{n}-2 ")), "who wrote sees it at {cursor}");
                    }
                })
            });
            let readers = (0..4).map(|reader| {
                let bench = bench.clone();
                runtime().spawn(async move {
                    let mut seen = Vec::new();
                    for n in 0..10 {
                        let form = if reader % 2 == 0 { Form::Today } else { Form::First };
                        let encoding = if n % 2 == 0 { Encoding::Gzip } else { Encoding::Identity };
                        seen.push((form, bench.text(asked(form, encoding)).await));
                    }
                    seen
                })
            });
            let (writers, readers): (Vec<_>, Vec<_>) = (writers.collect(), readers.collect());
            wait(async {
                for writer in writers {
                    writer.await.unwrap();
                }
                let log = bench.log().await;
                for reader in readers {
                    for (form, (cursor, text)) in reader.await.unwrap() {
                        assert_eq!(text, history(&log, cursor, form), "at {cursor}");
                    }
                }
                assert_eq!(log.len(), 1_020);
            });
        });
    }
}

#[test]
fn what_another_process_wrote_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombolo.db");
    let open = |role| Arc::new(Sqlite::open(&path, role, Arc::new(TestEnv::new(1))).unwrap());
    let (server, tool) = (open(Role::Server), open(Role::Tool));
    let here = Bench::new(server.clone(), CODEC, CACHE_BYTES);
    let there = Bench {
        events: events(tool.clone(), &Arc::new(TestEnv::new(5)), CODEC, CACHE_BYTES),
        store: tool.clone(),
        user: here.user,
    };
    wait(async {
        assert_eq!(here.text(PLAIN).await.1, "[]");
        for n in 0..3 {
            there.push(batch(&n.to_string(), 10)).await;
            let (cursor, text) = here.text(PLAIN).await;
            assert_eq!(text, history(&there.log().await, cursor, Form::Today));
            assert_eq!(cursor.seq.get(), (n + 1) * 10);
        }
        tool.close().await.unwrap();
        server.close().await.unwrap();
    });
}

#[test]
fn a_cursor_outlives_a_restart_and_not_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombolo.db");
    // One source of randomness: each run of the database has an id of its own.
    let env = Arc::new(TestEnv::new(1));
    let open = || Arc::new(Sqlite::open(&path, Role::Server, env.clone()).unwrap());
    let store = open();
    let bench = Bench::new(store.clone(), CODEC, CACHE_BYTES);
    let cursor = wait(async {
        bench.push(batch("a", 10)).await;
        let (cursor, _) = bench.text(PLAIN).await;
        store.close().await.unwrap();
        cursor
    });
    drop((bench, store));
    let store = open();
    let events = events(store.clone(), &Arc::new(TestEnv::new(6)), CODEC, CACHE_BYTES);
    wait(async {
        let again = events.history(Asked { known: Some(cursor), ..PLAIN }).await.unwrap();
        assert!(matches!(again, History::Unchanged(_)));
        let Since::News(news) = events.since(Some(cursor), Form::Today).await.unwrap() else { panic!("known") };
        assert_eq!(text(news).await.1, "[]");
        let lost = Cursor { seq: Seq::new(11), ..cursor };
        assert!(matches!(events.since(Some(lost), Form::Today).await.unwrap(), Since::Unknown));
        store.close().await.unwrap();
    });
}

/// Readers of gzip that are not ours, where the machine has them.
#[test]
fn others_read_what_is_compressed() {
    on_all(CODEC, CACHE_BYTES, |bench| {
        let (packed, plain) = wait(async {
            bench.push(batch("a", 1_000)).await;
            let shown = bench.shown(asked(Form::Today, Encoding::Gzip)).await;
            assert_eq!(shown.encoding, Encoding::Gzip);
            (bytes(shown).await, bench.text(PLAIN).await.1)
        });
        assert!(packed.len() * 5 < plain.len());
        let python = "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
        for (program, arguments) in [("gzip", vec!["-dc"]), ("python3", vec!["-c", python])] {
            let piped = Command::new(program).args(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let Ok(mut child) = piped else { continue };
            let mut input = child.stdin.take().unwrap();
            let sent = packed.clone();
            std::thread::scope(|scope| {
                scope.spawn(move || input.write_all(&sent).unwrap());
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{program} cannot read it");
                assert_eq!(String::from_utf8(output.stdout).unwrap(), plain, "{program}");
            });
        }
    });
}
