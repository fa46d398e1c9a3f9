//! What a queue holds, what it drops, and what it never drops in silence.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};

use proptest::prelude::*;

use super::*;
use crate::rooms::codec::Notice;
use crate::rooms::lines::{Lines, drain, take};
use crate::rooms::options::RoomOptions;

const SHORT: usize = WHEN_SHORT_BYTES_MAX;

fn printer(queue_count_max: usize, queue_bytes_max: usize, waiting_bytes_max: usize) -> Arc<Printer> {
    let options = RoomOptions { queue_count_max, queue_bytes_max, waiting_bytes_max, ..RoomOptions::default() };
    Printer::new(Arc::new(Lines), &options)
}

fn outlet(printer: &Arc<Printer>) -> Arc<Outlet> {
    Arc::new(Outlet::new(Arc::clone(printer)))
}

/// A message of so many bytes.
fn error(printer: &Printer, bytes: usize) -> Parcel {
    printer.error(&"x".repeat(bytes - "error ".len()))
}

fn document(printer: &Printer, text: &str) -> Parcel {
    printer.parcel(Notice::Document(text))
}

fn queue_bytes(printer: &Printer) -> u64 {
    printer.tally().read(0).queue_bytes
}

fn closes(printer: &Printer, reason: CloseReason) -> u64 {
    printer.tally().read(0).closes.into_iter().find(|closes| closes.0 == reason).unwrap().1
}

const GIVEN_UP: [&str; 2] = ["error You are reading too slowly: reconnect to go on", "closed TooSlow"];

#[test]
fn an_empty_one_is_small() {
    assert!(size_of::<Outlet>() <= 128, "{}", size_of::<Outlet>());
    let printer = printer(4_096, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    assert_eq!(outlet.queue().parcels.capacity(), 0);
    (0..1_000).for_each(|_| outlet.push(printer.error("x")));
    assert_eq!(drain(&outlet).len(), 1_000);
    assert_eq!(outlet.queue().parcels.capacity(), 0, "what a burst took is given back");
}

#[test]
fn a_client_is_asked_once_for_each_time_that_all_documents_are_written() {
    for merge in [false, true] {
        let printer =
            Printer::new(Arc::new(Lines), &RoomOptions { merge, queue_count_max: 2, ..RoomOptions::default() });
        let outlet = outlet(&printer);
        let expected = |ordinal| if merge { Some(ordinal) } else { None };
        assert_eq!(outlet.to_ask(), None, "nothing was sent");
        outlet.push(document(&printer, "a"));
        assert_eq!(outlet.to_ask(), None, "it waits");
        drain(&outlet);
        assert_eq!((outlet.to_ask(), outlet.to_ask()), (expected(1), None));
        outlet.push(printer.error("x"));
        drain(&outlet);
        assert_eq!(outlet.to_ask(), None, "it was no document");
        // Two of them are dropped.
        ["b", "c", "d"].into_iter().for_each(|text| outlet.push(document(&printer, text)));
        assert_eq!(drain(&outlet), ["document d"]);
        assert!(!outlet.has_asked(4));
        assert_eq!(outlet.to_ask(), expected(4));
        assert_eq!((outlet.has_asked(4), outlet.has_asked(5)), (merge, false));
        outlet.push(document(&printer, "e"));
        outlet.close(CloseReason::Left, None);
        drain(&outlet);
        assert_eq!(outlet.to_ask(), None, "nothing is written any more");
    }
}

#[test]
fn what_is_taken_at_once_is_bounded() {
    let printer = printer(4_096, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    let mut taken = Vec::new();
    (0..100).for_each(|_| outlet.push(printer.error("x")));
    assert_eq!(take(&outlet, &mut taken), Some(Taken::Some));
    assert_eq!(taken.len(), TAKEN_COUNT_MAX);
    drain(&outlet);
    for (bytes, count) in [(TAKEN_BYTES_MAX / 2, 2), (TAKEN_BYTES_MAX / 2 + 1, 1), (TAKEN_BYTES_MAX * 3, 1)] {
        (0..3).for_each(|_| outlet.push(error(&printer, bytes)));
        taken.clear();
        assert_eq!(take(&outlet, &mut taken), Some(Taken::Some));
        assert_eq!(taken.len(), count, "{bytes}");
        drain(&outlet);
    }
    assert_eq!(take(&outlet, &mut taken), None);
}

#[test]
fn a_waiting_taker_is_woken_once() {
    struct Counted(AtomicUsize);
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let printer = printer(10, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&counted));
    let mut into = Vec::new();
    let mut waiting = Box::pin(outlet.take(&mut into));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    outlet.push(printer.error("one"));
    outlet.push(printer.error("two"));
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    assert_eq!(waiting.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Taken::Some));
    drop(waiting);
    assert_eq!(into.len(), 2);
    let mut waiting = Box::pin(outlet.take(&mut into));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    outlet.close(CloseReason::Left, None);
    assert_eq!(counted.0.load(Ordering::Relaxed), 2);
    // It was dropped midway: nothing is lost by it.
    drop(waiting);
    assert_eq!(drain(&outlet), ["closed Left"]);
}

#[test]
fn a_close_comes_last_and_once() {
    let printer = printer(10, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    outlet.push(printer.error("one"));
    assert!(!outlet.is_closing());
    outlet.close(CloseReason::Limited, Some(printer.error("too much")));
    outlet.close(CloseReason::Stopping, Some(printer.error("stopping")));
    outlet.push(printer.error("two"));
    assert!(outlet.is_closing());
    let told = ["error one", "error too much", "closed Limited"];
    assert_eq!(drain(&outlet), told);
    assert_eq!(drain(&outlet), told[2..]);
    assert_eq!((closes(&printer, CloseReason::Limited), closes(&printer, CloseReason::Stopping)), (1, 0));
}

#[test]
fn who_is_revoked_is_not_sent_what_waits() {
    for (reason, is_sent) in [(CloseReason::Revoked, false), (CloseReason::Gone, false), (CloseReason::Left, true)] {
        let printer = printer(10, 1 << 30, 1 << 30);
        let outlet = outlet(&printer);
        outlet.push(printer.error("one"));
        outlet.close(reason, Some(printer.error("why")));
        assert_eq!(drain(&outlet).contains(&"error one".to_owned()), is_sent, "{reason:?}");
        assert_eq!(queue_bytes(&printer), 0);
    }
}

#[test]
fn superseded_documents_go_first() {
    let printer = printer(4, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    outlet.push(document(&printer, "a"));
    outlet.push(printer.error("one"));
    outlet.push(document(&printer, "b"));
    outlet.push(printer.error("two"));
    outlet.push(printer.error("three"));
    assert_eq!(drain(&outlet), ["error one", "document b", "error two", "error three"]);
}

#[test]
fn who_is_too_slow_is_told_and_closed() {
    let printer = printer(2, 1 << 30, 1 << 30);
    let outlet = outlet(&printer);
    ["one", "two", "three", "four"].iter().for_each(|text| outlet.push(printer.error(text)));
    assert!(outlet.is_closing());
    assert_eq!(drain(&outlet), GIVEN_UP);
    assert_eq!(closes(&printer, CloseReason::TooSlow), 1);
    assert_eq!((queue_bytes(&printer), printer.tally().waiting_bytes()), (0, 0));
}

#[test]
fn bytes_are_bounded_but_for_one_message_alone() {
    let printer = printer(100, 1_000, 1 << 30);
    let outlet = outlet(&printer);
    outlet.push(error(&printer, 5_000));
    assert!(!outlet.is_closing());
    outlet.push(error(&printer, 10));
    assert_eq!(drain(&outlet), GIVEN_UP);
}

#[test]
fn when_the_node_is_short_who_has_much_before_it_is_given_up() {
    let printer = printer(100, 1 << 30, 4 * SHORT);
    let [stalled, modest, next] = [0; 3].map(|_| outlet(&printer));
    modest.push(printer.error("one"));
    (0..4).for_each(|_| stalled.push(error(&printer, SHORT)));
    assert!(stalled.is_closing());
    assert_eq!(drain(&stalled), GIVEN_UP);
    let shared = error(&printer, SHORT);
    next.push(shared.clone());
    // One message that waits for many is counted once.
    let many: Vec<_> = (0..10).map(|_| outlet(&printer)).collect();
    many.iter().for_each(|outlet| outlet.push(shared.clone()));
    assert!(many.iter().chain([&next, &modest]).all(|outlet| !outlet.is_closing()));
    assert_eq!(drain(&modest), ["error one"]);
}

#[test]
fn who_holds_most_is_given_up_for_what_others_are_to_be_sent() {
    let printer = printer(100, 1 << 30, 8 * SHORT);
    let [most, much, light, reader] = [0; 4].map(|_| outlet(&printer));
    light.push(error(&printer, SHORT));
    (0..3).for_each(|_| most.push(error(&printer, SHORT)));
    (0..2).for_each(|_| much.push(error(&printer, SHORT)));
    let large = "x".repeat(2 * SHORT + SHORT / 2);
    let shared = document(&printer, &large);
    assert!(most.is_closing(), "it is more than may wait");
    // Many who share one message hold little of it each, and nobody is given up for what he alone is to be sent.
    let many: Vec<_> = (0..10).map(|_| outlet(&printer)).collect();
    many.iter().for_each(|outlet| outlet.push(shared.clone()));
    let alone = document(&printer, &large);
    assert!(much.is_closing());
    reader.push(alone);
    assert!(many.iter().chain([&light, &reader]).all(|outlet| !outlet.is_closing()));
    assert_eq!(drain(&reader), [format!("document {large}")]);
    assert_eq!(
        (drain(&most), drain(&much)),
        (GIVEN_UP.map(String::from).to_vec(), GIVEN_UP.map(String::from).to_vec())
    );
}

#[test]
fn who_is_being_closed_and_does_not_read_holds_nothing_either() {
    let printer = printer(100, 1 << 30, 4 * SHORT);
    let stalled = outlet(&printer);
    (0..3).for_each(|_| stalled.push(error(&printer, SHORT)));
    stalled.close(CloseReason::Left, None);
    let _next = error(&printer, 2 * SHORT);
    assert_eq!((drain(&stalled), queue_bytes(&printer)), (vec!["closed Left".to_owned()], 0));
    assert_eq!(closes(&printer, CloseReason::TooSlow), 0);
}

#[test]
fn superseded_documents_are_dropped_before_anybody_is_given_up() {
    let printer = printer(100, 1 << 30, 4 * SHORT);
    let slow = outlet(&printer);
    (0..4).for_each(|_| slow.push(document(&printer, &"x".repeat(SHORT - "document ".len()))));
    slow.push(printer.error("one"));
    assert!(!slow.is_closing());
    assert_eq!(drain(&slow).len(), 2);
}

#[test]
fn who_holds_much_is_known_while_it_does() {
    let printer = printer(100, 1 << 30, 1 << 30);
    let [read, dropped, closed] = [0; 3].map(|_| outlet(&printer));
    let all = [read, dropped, closed];
    all.iter().for_each(|outlet| outlet.push(error(&printer, SHORT)));
    assert_eq!(printer.heavy().count(), 0);
    all.iter().for_each(|outlet| outlet.push(error(&printer, SHORT)));
    assert_eq!(printer.heavy().count(), 3);
    let [read, dropped, closed] = all;
    take(&read, &mut Vec::new());
    assert_eq!(printer.heavy().count(), 2);
    drop(dropped);
    assert_eq!(printer.heavy().count(), 1);
    closed.close(CloseReason::Gone, None);
    assert_eq!(printer.heavy().count(), 0);
}

#[test]
fn bytes_that_wait_are_counted_until_the_last_holder_drops_them() {
    let printer = printer(100, 1 << 30, 1 << 30);
    let [one, other] = [0; 2].map(|_| outlet(&printer));
    let parcel = error(&printer, 100);
    one.push(parcel.clone());
    other.push(parcel);
    assert_eq!((printer.tally().waiting_bytes(), queue_bytes(&printer)), (100, 200));
    let mut written = Vec::new();
    take(&one, &mut written);
    drop(other);
    assert_eq!((printer.tally().waiting_bytes(), queue_bytes(&printer)), (100, 0));
    drop(written);
    assert_eq!(printer.tally().waiting_bytes(), 0);
    // A document that is kept for those who come later waits for nobody.
    let mut sheet = printer.sheet("a,b");
    let parcels = [sheet.parcel(&printer), sheet.parcel(&printer)];
    assert_eq!(printer.tally().waiting_bytes(), "document a,b".len());
    drop(parcels);
    assert_eq!(printer.tally().waiting_bytes(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Push { is_document: bool, bytes: usize },
    Take,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let push = (any::<bool>(), 20..400_usize).prop_map(|(is_document, bytes)| Op::Push { is_document, bytes });
    proptest::collection::vec(prop_oneof![4 => push, 1 => Just(Op::Take)], 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whoever reads finds everything that must arrive, in order, and the newest document; or is told that it does not.
    #[test]
    fn nothing_is_lost_in_silence(ops in ops(), count_max in 1..12_usize, bytes_max in 100..2_000_usize) {
        let printer = printer(count_max, bytes_max, 1 << 30);
        let outlet = outlet(&printer);
        let (mut pushed, mut read) = (Vec::new(), Vec::new());
        for (number, op) in ops.iter().enumerate() {
            let is_document = match *op {
                Op::Take => {
                    take(&outlet, &mut read);
                    continue;
                }
                Op::Push { is_document, bytes } => {
                    let text = format!("{number:>bytes$}");
                    let parcel = if is_document { document(&printer, &text) } else { printer.error(&text) };
                    outlet.push(parcel.clone());
                    pushed.push(parcel);
                    is_document
                }
            };
            let queue = outlet.queue();
            prop_assert!(queue.parcels.len() <= count_max.max(1));
            prop_assert!(queue.bytes <= bytes_max || queue.parcels.len() == 1);
            prop_assert_eq!(queue.bytes, queue.parcels.iter().map(|parcel| parcel.bytes.len()).sum::<usize>());
            let documents = queue.parcels.iter().filter(|parcel| parcel.kind == ParcelKind::Document).count();
            prop_assert_eq!(queue.documents, documents);
            prop_assert!(queue.closing.is_some() || documents > 0 || !is_document);
        }
        let was_closing = outlet.is_closing();
        while take(&outlet, &mut read) == Some(Taken::Some) {}
        let lines = |parcels: &[Parcel]| parcels.iter().map(|parcel| parcel.bytes.clone()).collect::<Vec<_>>();
        if was_closing {
            prop_assert_eq!(&read.pop().unwrap().bytes, GIVEN_UP[0]);
        } else {
            // All but documents that a later one superseded.
            let must = |parcels: &[Parcel]| {
                lines(&parcels.iter().filter(|parcel| parcel.kind == ParcelKind::Other).cloned().collect::<Vec<_>>())
            };
            prop_assert_eq!(must(&pushed), must(&read));
            let newest = |parcels: &[Parcel]| {
                parcels.iter().rfind(|parcel| parcel.kind == ParcelKind::Document).map(|parcel| parcel.bytes.clone())
            };
            prop_assert_eq!(newest(&pushed), newest(&read));
        }
        // What was read is in the order in which it was pushed, each once.
        let mut left = lines(&pushed).into_iter();
        for line in lines(&read) {
            prop_assert!(left.any(|pushed| pushed == line));
        }
        drop((pushed, read));
        prop_assert_eq!(queue_bytes(&printer), 0);
        prop_assert_eq!(printer.tally().waiting_bytes(), 0);
    }
}
