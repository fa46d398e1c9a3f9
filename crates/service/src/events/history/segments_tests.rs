//! A history as a list of segments, beside a list that is sorted.

use std::pin::pin;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tombolo_core::{Instant, Seq, ServerTime};
use tombolo_testkit::wait;

use super::*;

impl Segments {
    fn grown(&self, new: &Run) -> Self {
        wait(self.with(new))
    }
}

/// An entry of that millisecond and number; its text is as long as it is told to be.
fn entry(millis: i64, seq: u64, bytes: usize) -> Entry {
    let written_at = Instant::from_nanos(i128::from(millis) * 1_000_000).unwrap();
    let payload = format!("{millis}/{seq}/{}", "x".repeat(bytes)).into_bytes();
    Entry { seq: Seq::new(seq), committed_at: ServerTime::from_micros(0), written_at, payload }
}

fn run(entries: &[Entry]) -> Run {
    Run::of(entries.to_vec(), |payload, text| text.extend_from_slice(payload))
}

fn text(segments: &Segments, from_millis: Option<i64>) -> String {
    let Some(start) = segments.seek(from_millis) else { return String::new() };
    let texts = segments.list()[start.segment..].iter().map(|segment| segment.text().as_ref());
    String::from_utf8(texts.collect::<Vec<_>>().concat()[start.byte..].to_vec()).unwrap()
}

/// What is to be shown of entries.
fn expected(entries: &[Entry], from_millis: Option<i64>) -> String {
    let mut entries: Vec<&Entry> =
        entries.iter().filter(|entry| from_millis.is_none_or(|from| place(entry).millis >= from)).collect();
    entries.sort_by_key(|entry| (entry.written_at, entry.seq));
    let texts = entries.iter().map(|entry| String::from_utf8(entry.payload.clone()).unwrap());
    texts.collect::<Vec<_>>().join(",")
}

/// How many segments there are of both that are the same memory.
fn shared(one: &Segments, other: &Segments) -> usize {
    let is_in_other = |segment: &&Segment| {
        let text = segment.text();
        other.list().iter().any(|it| it.text().as_ptr() == text.as_ptr() && it.text().len() == text.len())
    };
    one.list().iter().filter(is_in_other).count()
}

#[test]
fn the_place_of_an_entry_is_to_the_millisecond() {
    let check = |nanos: i128, millis: i64| {
        let written_at = Instant::from_nanos(nanos).unwrap();
        assert_eq!(place(&Entry { written_at, ..entry(0, 7, 0) }), Place { millis, seq: Seq::new(7) });
    };
    check(0, 0);
    check(1_999_999, 1);
    check(-1, -1);
}

#[test]
fn nothing_is_no_segment() {
    let none = Segments::default();
    assert_eq!((none.seek(None), none.seek(Some(0)), none.last()), (None, None, None));
    assert!(none.grown(&run(&[])).list().is_empty());
}

#[test]
fn what_comes_last_changes_the_last_segment_only() {
    let mut segments = Segments::default();
    let mut entries = Vec::new();
    for n in 1..=2_000 {
        let new = entry(n, n.unsigned_abs(), 200);
        let next = segments.grown(&run(std::slice::from_ref(&new)));
        assert!(shared(&next, &segments) + 1 >= segments.list().len());
        entries.push(new);
        segments = next;
    }
    assert_eq!(text(&segments, None), expected(&entries, None));
    assert_eq!(segments.count(), 2_000);
    // They are filled, but for the last one.
    let full = &segments.list()[..segments.list().len() - 1];
    assert!(full.len() >= 6 && full.iter().all(|segment| segment.text().len() > SEGMENT_BYTES_MAX - 300));
    assert!(full.iter().all(|segment| segment.level == Level::Thorough));
    assert_eq!(segments.list().last().unwrap().level, Level::Quick);
}

#[test]
fn what_comes_in_between_changes_one_segment_and_halves_it_when_it_is_full() {
    let entries: Vec<Entry> = (1..=2_000).map(|n| entry(n * 10, n.unsigned_abs(), 200)).collect();
    let before = Segments::default().grown(&run(&entries));
    let after = before.grown(&run(&[entry(5_005, 2_001, 500)]));
    assert_eq!(after.list().len(), before.list().len() + 1);
    assert_eq!(shared(&after, &before), before.list().len() - 1);
    let halves: Vec<usize> = after.list().iter().map(|segment| segment.text().len()).collect();
    let small = halves[..halves.len() - 1].iter().filter(|bytes| **bytes < SEGMENT_BYTES_MAX - 1_000);
    assert!(small.clone().count() == 2 && small.clone().all(|bytes| *bytes > SEGMENT_BYTES_MAX / 3), "{halves:?}");
    // Whoever has the history as it was goes on having it.
    assert_eq!(text(&before, None), expected(&entries, None));
}

#[test]
fn others_come_in_between_segments_that_change() {
    let entries: Vec<Entry> = (1..=2_000).map(|n| entry(n * 10, n.unsigned_abs(), 200)).collect();
    let before = Segments::default().grown(&run(&entries));
    let count = before.list().len();
    let one_in_each = before.list().iter().enumerate();
    let one_in_each: Vec<Entry> =
        one_in_each.map(|(n, segment)| entry(segment.last().millis - 1, 2_001 + n as u64, 10)).collect();
    let new = run(&one_in_each);
    let mut growing = pin!(before.with(&new));
    let mut turns = 1;
    let after = loop {
        match growing.as_mut().now_or_never() {
            Some(after) => break after,
            None => turns += 1,
        }
    };
    assert!(turns == count && count > 5, "{turns} for {count}");
    assert_eq!(text(&after, None), expected(&[entries, one_in_each].concat(), None));
}

#[test]
fn an_entry_larger_than_a_segment_has_one_to_itself() {
    let large = |millis, seq| entry(millis, seq, 3 * SEGMENT_BYTES_MAX);
    let entries = [entry(1, 1, 10), large(2, 2), entry(3, 3, 10), large(4, 4), entry(5, 5, 10)];
    let all = Segments::default().grown(&run(&entries));
    assert_eq!((text(&all, None), all.list().len()), (expected(&entries, None), 5));
    let later = all.grown(&run(&[large(1, 6), entry(2, 7, 10)]));
    let all = [entries.as_slice(), &[large(1, 6), entry(2, 7, 10)]].concat();
    assert_eq!(text(&later, None), expected(&all, None));
}

#[test]
fn what_was_compressed_belongs_to_its_segment() {
    let entries: Vec<Entry> = (1..=1_000).map(|n| entry(n, n.unsigned_abs(), 200)).collect();
    let all = Segments::default().grown(&run(&entries));
    for segment in all.list() {
        assert!(all.holds(segment) && segment.keep(segment.pack()));
        assert!(!segment.keep(segment.pack()), "it is kept once");
    }
    let bytes: usize = all.list().iter().map(|segment| segment.packed().unwrap().bytes()).sum();
    assert_eq!((all.packed_bytes(), bytes > 0), (bytes, true));
    let later = all.grown(&run(&[entry(1_001, 1_001, 1)]));
    let (last, others) = later.list().split_last().unwrap();
    assert!(last.packed().is_none() && !all.holds(last) && others.iter().all(|segment| all.holds(segment)));
    let unpacked = all.unpacked();
    assert_eq!((unpacked.packed_bytes(), unpacked.bytes(), unpacked.count()), (0, all.bytes(), all.count()));
    assert!(unpacked.list().iter().all(|segment| !all.holds(segment)));
    assert_eq!(shared(&unpacked, &all), all.list().len(), "the text is the same");
}

/// Milliseconds that are few, so that many entries share one, and sizes of which some fill a segment.
fn batches() -> impl Strategy<Value = Vec<Vec<(i64, usize)>>> {
    let size = prop_oneof![6 => 0_usize..300, 2 => 5_000_usize..30_000, 1 => 60_000_usize..140_000];
    prop::collection::vec(prop::collection::vec((-20_i64..60, size), 0..20), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever comes in whatever order, it is shown in the order of writing, from wherever one asks, and pieces
    /// stay small; and whoever holds the history as it was sees nothing of it.
    #[test]
    fn a_history_is_a_sorted_list(batches in batches(), from in -25_i64..65) {
        let (mut segments, mut entries, mut seq) = (Segments::default(), Vec::new(), 0);
        for batch in batches {
            let new: Vec<Entry> = batch.into_iter().map(|(millis, bytes)| {
                seq += 1;
                entry(millis, seq, bytes)
            }).collect();
            let before = (segments.clone(), expected(&entries, None));
            segments = segments.grown(&run(&new));
            entries.extend(new);
            prop_assert_eq!(text(&before.0, None), before.1);
            prop_assert_eq!(text(&segments, None), expected(&entries, None));
            prop_assert_eq!(text(&segments, Some(from)), expected(&entries, Some(from)));
            prop_assert_eq!(segments.count(), seq);
            prop_assert_eq!(segments.last(), entries.iter().map(place).max());
            prop_assert_eq!(segments.bytes(), segments.list().iter().map(Segment::bytes).sum::<usize>());
            for segment in segments.list() {
                let is_single = segment.run.places.len() == 1;
                prop_assert!(is_single || segment.text().len() <= SEGMENT_BYTES_MAX);
                prop_assert!(segment.run.places.is_sorted());
            }
        }
    }
}
