//! What is kept of histories, beside a log that is read anew each time.

mod room;

use std::cell::Cell;
use std::io::Read as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use flate2::read::GzDecoder;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use tombolo_core::{Generation, Purpose, UserId};
use tombolo_storage::{Entry, SpaceAddress};
use tombolo_testkit::TestEnv;

use super::fake_log::FakeLog;
use super::segments::place;
use super::shelves::IDLE;
use super::*;
use crate::events::Since;

const FORMS: [Form; 2] = [Form::Today, Form::First];
const LARGE: usize = 1 << 30;

thread_local! {
    /// Entries that this test encoded: each has a thread to itself.
    static ENCODED: Cell<usize> = const { Cell::new(0) };
}

fn write(payload: &[u8], form: Form, text: &mut Vec<u8>) {
    ENCODED.set(ENCODED.get() + 1);
    text.push(if form == Form::Today { b'T' } else { b'F' });
    text.extend_from_slice(payload);
}

/// What `write` was asked for since this was called last.
fn encoded() -> usize {
    ENCODED.replace(0)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A log, and a cache of its history.
struct Bench {
    log: Arc<FakeLog>,
    env: Arc<TestEnv>,
    cache: HistoryCache,
}

/// An answer with everything that was sent.
struct Sent {
    cursor: Cursor,
    encoding: Encoding,
    pieces: Vec<Bytes>,
}

impl Bench {
    fn new(bytes_max: usize) -> Self {
        let env = Arc::new(TestEnv::new(1));
        Self { log: Arc::new(FakeLog::new()), cache: HistoryCache::new(bytes_max, env.clone()), env }
    }

    /// With entries of a kilobyte, each a second after the one before.
    fn filled(bytes_max: usize, count: i64) -> Self {
        let bench = Self::new(bytes_max);
        (1..=count).for_each(|n| bench.log.push(n * 1_000, 1_000));
        bench
    }

    fn log(&self, form: Form) -> Log<FakeLog> {
        let space = SpaceAddress::only(UserId::new(1), Purpose::SimpleSync);
        Log { store: Arc::clone(&self.log), space, form, write }
    }

    async fn shown(&self, asked: Asked) -> Shown {
        match self.cache.show(&self.log(asked.form), asked).await.unwrap() {
            History::Shown(shown) => shown,
            History::Unchanged(cursor) => panic!("it is asked for anew at {cursor}"),
        }
    }

    async fn sent(&self, asked: Asked) -> Sent {
        take(self.shown(asked).await).await.unwrap()
    }

    /// What is to be sent of `entries`.
    fn expected(entries: &[Entry], asked: Asked) -> Vec<u8> {
        let mut entries: Vec<&Entry> =
            entries.iter().filter(|entry| asked.from_millis.is_none_or(|from| place(entry).millis >= from)).collect();
        entries.sort_by_key(|entry| place(entry));
        array(entries, asked.form)
    }

    /// The same log, with a cache that holds nothing yet.
    fn recached(self, bytes_max: usize) -> Self {
        Self { cache: HistoryCache::new(bytes_max, self.env.clone()), ..self }
    }

    fn bytes(&self) -> usize {
        self.cache.shelves().bytes()
    }
}

fn array<'e>(entries: impl IntoIterator<Item = &'e Entry>, form: Form) -> Vec<u8> {
    let letter = if form == Form::Today { "T" } else { "F" };
    let texts = entries.into_iter().map(|entry| [letter.as_bytes(), &entry.payload].concat());
    [b"[", texts.collect::<Vec<_>>().join(&b',').as_slice(), b"]"].concat()
}

impl Sent {
    fn text(&self) -> Vec<u8> {
        let bytes = self.pieces.concat();
        if self.encoding == Encoding::Identity {
            return bytes;
        }
        let mut text = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).unwrap();
        text
    }
}

/// Takes all pieces, and sees that there are as many bytes as was said.
async fn take(shown: Shown) -> Result<Sent, ServiceError> {
    let Shown { cursor, encoding, bytes, mut parts } = shown;
    let mut pieces = Vec::new();
    while let Some(piece) = parts.next().await {
        pieces.push(piece?);
    }
    let sent: usize = pieces.iter().map(Bytes::len).sum();
    assert!(bytes.is_none_or(|bytes| bytes == sent as u64), "{bytes:?} is not {sent}");
    Ok(Sent { cursor, encoding, pieces })
}

fn asked(form: Form, encoding: Encoding) -> Asked {
    Asked { form, encoding, from_millis: None, known: None }
}

const PLAIN: Asked = Asked { form: Form::Today, encoding: Encoding::Identity, from_millis: None, known: None };
const PACKED: Asked = Asked { encoding: Encoding::Gzip, ..PLAIN };

#[test]
fn an_empty_log_is_an_empty_array() {
    let bench = Bench::new(LARGE);
    wait(async {
        for asked in [PLAIN, PACKED, Asked { from_millis: Some(0), ..PACKED }] {
            let sent = bench.sent(asked).await;
            assert_eq!(
                (sent.text().as_slice(), sent.cursor.seq, sent.encoding),
                (b"[]".as_slice(), Seq::ZERO, Encoding::Identity)
            );
        }
        bench.log.push(5, 0);
        assert_eq!(bench.sent(PLAIN).await.text(), b"[T1/5/1/]");
        assert_eq!(bench.sent(Asked { from_millis: Some(5), ..PACKED }).await.text(), b"[T1/5/1/]");
        assert_eq!(bench.sent(Asked { from_millis: Some(6), ..PACKED }).await.text(), b"[]");
    });
}

#[test]
fn many_who_come_at_once_cause_one_load() {
    let bench = Bench::filled(LARGE, 3_000);
    wait(async {
        let sent = join_all((0..50).map(|n| bench.sent(if n % 2 == 0 { PLAIN } else { PACKED }))).await;
        let expected = Bench::expected(&bench.log.entries(), PLAIN);
        assert!(sent.iter().all(|sent| sent.text() == expected));
    });
    assert_eq!(encoded(), 3_000);
    let timelines = bench.log.timelines.load(Ordering::Relaxed);
    assert!((2..20).contains(&timelines), "{timelines} pages");
}

#[test]
fn a_push_costs_one_entry_and_one_segment() {
    let bench = Bench::filled(LARGE, 1_000);
    wait(async {
        for asked in [PLAIN, PACKED] {
            let before = bench.sent(asked).await;
            let counts = (bench.log.timelines.load(Ordering::Relaxed), bench.log.pages.load(Ordering::Relaxed));
            encoded();
            // At the end, and in between.
            for millis in [10_000_000, 500_500] {
                bench.log.push(millis, 100);
                let after = bench.sent(asked).await;
                assert_eq!(after.text(), Bench::expected(&bench.log.entries(), PLAIN));
                assert_eq!(encoded(), 1);
                let is_old = |piece: &&Bytes| before.pieces.iter().any(|old| old.as_ptr() == piece.as_ptr());
                let others = after.pieces.iter().filter(|piece| !is_old(piece));
                let bytes: usize = others.map(Bytes::len).sum();
                assert!(bytes < 4 * segments::SEGMENT_BYTES_MAX, "{bytes} of {}", after.pieces.len());
            }
            let now = (bench.log.timelines.load(Ordering::Relaxed), bench.log.pages.load(Ordering::Relaxed));
            assert_eq!(now, (counts.0, counts.1 + 2), "what is new is read, and nothing else");
        }
    });
}

#[test]
fn nobody_waits_until_all_of_a_long_history_is_compressed() {
    let bench = Bench::filled(LARGE, 5_000);
    let packed = || {
        let kept = bench.cache.shelves().get(Form::Today, Encoding::Gzip).unwrap();
        let list = kept.snapshot.segments.list();
        (list.iter().filter(|segment| segment.packed().is_some()).count(), list.len())
    };
    wait(async {
        // Of many who come at once, one does a part of it.
        bench.sent(PLAIN).await;
        let sent = join_all((0..20).map(|_| bench.sent(PACKED))).await;
        assert!(sent.iter().all(|sent| sent.encoding == Encoding::Identity));
        let (done, all) = packed();
        assert!(done == PACKED_AT_ONCE_MAX && all > 2 * PACKED_AT_ONCE_MAX && all < 3 * PACKED_AT_ONCE_MAX);
        // What is changed meanwhile is compressed as well.
        bench.log.push(500_500, 100);
        assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Identity);
        let sent = join_all((0..20).map(|_| bench.sent(PACKED))).await;
        let expected = Bench::expected(&bench.log.entries(), PLAIN);
        assert!(sent.iter().all(|sent| sent.encoding == Encoding::Gzip && sent.text() == expected));
        assert_eq!(packed(), (all, all));
    });
}

#[test]
fn two_readers_share_what_they_are_sent() {
    let bench = Bench::filled(LARGE, 1_000);
    wait(async {
        for asked in [PLAIN, PACKED] {
            let (one, other) = (bench.sent(asked).await, bench.sent(asked).await);
            let copied = |(one, other): &(&Bytes, &Bytes)| one.as_ptr() != other.as_ptr();
            let copied: usize = one.pieces.iter().zip(&other.pieces).filter(copied).map(|(piece, _)| piece.len()).sum();
            assert!(copied < 50 && one.pieces.len() > 10, "{copied} bytes are copied for each reader");
        }
        // From a time on, too: what is cut off is cut off in bench.
        let some = Asked { from_millis: Some(500_500), ..PLAIN };
        let (one, other) = (bench.sent(some).await, bench.sent(PLAIN).await);
        let whole = other.pieces.iter().map(|piece| piece.as_ref().as_ptr_range());
        assert!(one.pieces.iter().all(|piece| whole.clone().any(|range| range.contains(&piece.as_ptr()))));
    });
}

#[test]
fn a_reader_sees_the_history_as_it_was_when_he_came() {
    wait(async {
        for (bytes_max, asked) in [(LARGE, PLAIN), (LARGE, PACKED), (1_000, PLAIN)] {
            let bench = Bench::filled(bytes_max, 1_000);
            let expected = Bench::expected(&bench.log.entries(), asked);
            let mut slow = bench.shown(asked).await;
            let first = slow.parts.next().await.unwrap().unwrap();
            for n in 0..50 {
                bench.log.push(n * 20_000, 2_000);
                bench.sent(asked).await;
            }
            slow.bytes = None;
            let Sent { cursor, encoding, pieces } = take(slow).await.unwrap();
            let pieces = [vec![first], pieces].concat();
            assert_eq!(Sent { cursor, encoding, pieces }.text(), expected);
            assert_eq!(cursor.seq.get(), 1_000);
        }
    });
}

#[test]
fn an_answer_holds_all_up_to_its_cursor_and_nothing_after_it() {
    wait(async {
        for bytes_max in [LARGE, 1_000] {
            let bench = Bench::filled(bytes_max, 1_000);
            bench.log.is_busy.store(true, Ordering::Relaxed);
            let mut asked_for = vec![PLAIN, PACKED, PLAIN, asked(Form::First, Encoding::Gzip)];
            asked_for.extend([Asked { from_millis: Some(500_000), ..PACKED }, PLAIN]);
            for asked in asked_for {
                let sent = bench.sent(asked).await;
                let upto = usize::try_from(sent.cursor.seq.get()).unwrap();
                let entries = bench.log.entries();
                assert!(upto <= entries.len());
                assert_eq!(sent.text(), Bench::expected(&entries[..upto], asked));
                bench.log.push(5, 10);
            }
        }
    });
}

#[test]
fn who_has_all_is_sent_nothing() {
    let bench = Bench::filled(LARGE, 10);
    wait(async {
        let known = bench.sent(PLAIN).await.cursor;
        let is_unchanged = async |known| {
            let asked = Asked { known: Some(known), ..PLAIN };
            matches!(bench.cache.show(&bench.log(Form::Today), asked).await.unwrap(), History::Unchanged(cursor) if cursor.seq == known.seq)
        };
        assert!(is_unchanged(known).await);
        assert!(!is_unchanged(Cursor { seq: Seq::new(9), ..known }).await);
        assert!(!is_unchanged(Cursor { generation: Generation::from_bytes([9; 16]), ..known }).await);
        bench.log.restart();
        assert!(is_unchanged(known).await, "a server that is started again has the same history");
        bench.log.push(1, 1);
        assert!(!is_unchanged(known).await);
        bench.log.set_back(9);
        bench.log.push(1, 1);
        assert!(!is_unchanged(known).await, "as long, and another");
    });
}

#[test]
fn what_was_set_back_is_read_anew() {
    let bench = Bench::filled(LARGE, 100);
    wait(async {
        for asked in [PLAIN, PACKED] {
            bench.sent(asked).await;
            // As long as it was, and another.
            bench.log.set_back(bench.log.entries().len() - 1);
            bench.log.push(5_500, 10);
            assert_eq!(bench.sent(asked).await.text(), Bench::expected(&bench.log.entries(), asked));
            bench.log.restart();
            bench.log.push(5_500, 10);
            encoded();
            assert_eq!(bench.sent(asked).await.text(), Bench::expected(&bench.log.entries(), asked));
            assert_eq!(encoded(), 1, "what is only served anew is kept");
        }
    });
}

#[test]
fn a_load_that_is_dropped_is_gone_on_with() {
    let bench = Bench::filled(LARGE, 3_000);
    wait(async {
        let log = bench.log(Form::Today);
        {
            let mut load = pin!(bench.cache.show(&log, PLAIN));
            while bench.log.timelines.load(Ordering::Relaxed) < 4 {
                assert!(matches!(load.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            }
        }
        bench.log.fail_in(1);
        assert!(bench.cache.show(&log, PLAIN).await.is_err(), "a store that fails is told of");
        assert_eq!(bench.sent(PLAIN).await.text(), Bench::expected(&bench.log.entries(), PLAIN));
    });
    // A page was on its way when it was dropped, and one failed.
    assert_eq!(encoded(), 3_000);
}

#[test]
fn a_store_that_fails_midway_ends_the_reply_without_its_end() {
    let bench = Bench::filled(1_000, 2_000);
    wait(async {
        bench.sent(PLAIN).await;
        bench.log.fail_in(2);
        let mut parts = bench.shown(PLAIN).await.parts;
        let mut text = Vec::new();
        let error = loop {
            match parts.next().await.expect("it ends with an error") {
                Ok(piece) => text.extend_from_slice(&piece),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ServiceError::Store(StoreError::Busy)));
        assert!(parts.next().await.is_none() && text.len() > 1_000 && !text.ends_with(b"]"));
        // The first page is read before anything is sent.
        bench.log.fail_in(0);
        assert!(bench.cache.show(&bench.log(Form::Today), PLAIN).await.is_err());
    });
}

#[test]
fn an_order_of_writing_that_lacks_entries_is_not_served() {
    let bench = Bench::filled(LARGE, 10);
    wait(async {
        let log = bench.log(Form::Today);
        let beyond = Cursor { generation: Generation::from_bytes([0; 16]), seq: Seq::new(11) };
        let kept = Kept { snapshot: empty(&log, beyond, Meter::default()), extent: Extent::Part };
        let error = bench.cache.load(&log, Form::Today, kept).await.unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    });
}

#[test]
fn what_came_since_is_sent_in_the_order_of_arrival() {
    let bench = Bench::new(LARGE);
    wait(async {
        let since = async |after| bench.log(Form::First).since(after).await.unwrap();
        let news = async |after| match since(after).await {
            Since::News(shown) => take(shown).await.unwrap(),
            Since::Unknown => panic!("the cursor is of this history"),
        };
        let empty = news(None).await;
        assert_eq!((empty.text().as_slice(), empty.cursor.seq), (b"[]".as_slice(), Seq::ZERO));
        (1..=2_500).rev().for_each(|n| bench.log.push(n, 500));
        let entries = bench.log.entries();
        for (after, from) in
            [(Some(empty.cursor), 0), (None, 0), (Some(Cursor { seq: Seq::new(2_499), ..empty.cursor }), 2_499)]
        {
            let sent = news(after).await;
            assert_eq!((sent.text(), sent.cursor.seq.get()), (array(&entries[from..], Form::First), 2_500));
        }
        let end = news(None).await.cursor;
        assert_eq!(news(Some(end)).await.text(), b"[]");
        // What comes while it is sent is none of it.
        let Since::News(slow) = since(None).await else { panic!("it is the beginning") };
        (0..100).for_each(|n| bench.log.push(n, 500));
        assert_eq!(take(slow).await.unwrap().text(), array(&entries, Form::First));
        for unknown in
            [Cursor { seq: Seq::new(2_601), ..end }, Cursor { generation: Generation::from_bytes([9; 16]), ..end }]
        {
            assert!(matches!(since(Some(unknown)).await, Since::Unknown));
        }
        bench.log.fail_in(1);
        let Since::News(broken) = since(None).await else { panic!("it is the beginning") };
        assert!(take(broken).await.is_err());
    });
}

/// Bytes that a history of `count` entries takes, as text and compressed.
async fn sizes(count: i64) -> (usize, usize) {
    let bench = Bench::filled(LARGE, count);
    bench.sent(PLAIN).await;
    let text = bench.bytes();
    bench.sent(PACKED).await;
    (text, bench.bytes() - text)
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<(i64, usize)>),
    Ask(bool, bool, Option<i64>),
    Restart,
    SetBack(usize),
    Forget,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![4 => 0_usize..2_000, 1 => 10_000_usize..100_000];
    let step = prop_oneof![
        6 => prop::collection::vec((-20_i64..60, size), 1..12).prop_map(Step::Push),
        8 => (any::<bool>(), any::<bool>(), prop::option::weighted(0.3, -25_i64..65))
            .prop_map(|(first, gzip, from)| Step::Ask(first, gzip, from)),
        1 => Just(Step::Restart),
        1 => (0_usize..40).prop_map(Step::SetBack),
        1 => Just(Step::Forget),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever happens in whatever order, and however small the cache: the answer is the log, and the cache stays
    /// within its bound.
    #[test]
    fn a_history_is_its_log(steps in steps(), bytes_max in prop::sample::select(vec![0, 40_000, 200_000, 1_000_000, LARGE])) {
        let bench = Bench::new(bytes_max);
        wait(async {
            for step in steps {
                match step {
                    Step::Push(entries) => entries.into_iter().for_each(|(millis, bytes)| bench.log.push(millis, bytes)),
                    Step::Ask(is_first, is_packed, from_millis) => {
                        let encoding = if is_packed { Encoding::Gzip } else { Encoding::Identity };
                        let asked = Asked { from_millis, ..asked(FORMS[usize::from(is_first)], encoding) };
                        let sent = bench.sent(asked).await;
                        let entries = bench.log.entries();
                        assert_eq!(sent.text(), Bench::expected(&entries, asked));
                        assert_eq!(sent.cursor.seq.get(), entries.len() as u64);
                    }
                    Step::Restart => bench.log.restart(),
                    Step::SetBack(count) => bench.log.set_back(count.min(bench.log.entries().len())),
                    Step::Forget => bench.cache.forget(),
                    Step::Wait => bench.env.advance(IDLE),
                }
                assert!(bench.bytes() <= bytes_max, "{} bytes are kept", bench.bytes());
            }
        });
    }
}
