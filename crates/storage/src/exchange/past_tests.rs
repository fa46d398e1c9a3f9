use std::sync::Arc;

use tombolo_core::{Purpose, UserId, Verdict};
use tombolo_testkit::replicas_suite::Diary;
use tombolo_testkit::{NOTE, Note, TestEnv, at, key, wait};

use super::*;
use crate::memory::{BYTES_READ, CHANGES_READ, Memory};
use crate::{Action, Fate, Replicas as _, SpaceAddress, Upload, Uploaded};

/// What became of writes, and how many changes were read for them.
fn upload(store: &Memory, device: &str, presented: Option<SpaceCursor>, writes: Vec<Write>) -> (Vec<Fate>, usize) {
    let upload = Upload {
        space: SpaceAddress::only(UserId::new(1), Purpose::Wellbeing),
        replica: ReplicaName::parse(device).unwrap(),
        presented,
        writes,
        refused: Vec::new(),
        policy: Arc::new(Diary),
        now: TestEnv::START.plus(std::time::Duration::from_secs(1_000_000)),
    };
    let before = CHANGES_READ.get();
    let Uploaded::Done { fates, .. } = wait(store.upload(upload)).unwrap() else { panic!("it may upload") };
    (fates, CHANGES_READ.get() - before)
}

fn says(n: i64, secs: i64, base: NamedBase) -> Write {
    written(&Note::new(&n.to_string(), "1"), secs, base)
}

fn written(note: &Note, secs: i64, base: NamedBase) -> Write {
    let action = Action::Put(note.to_payload());
    Write { key: key(NOTE, "n"), action, written_at: at(secs), is_home: false, base }
}

fn version(fate: &Fate) -> RecordVersion {
    let Fate::Judged { version, .. } = fate else { panic!("it was judged: {fate:?}") };
    *version
}

/// Many writes of one record are judged in a time that grows with their number, whatever they say of their base, also
/// when they come again, and when they lose.
#[test]
fn a_record_many_times_in_one_request_is_judged_in_linear_time() {
    const COUNT: i64 = 600;
    // By how much the next one is later.
    for rise in [1, 0, -1] {
        for kind in 0..3 {
            let store = Memory::new();
            let (first, _) = upload(&store, "a", None, vec![says(0, 1_000, NamedBase::Nothing)]);
            let base = [NamedBase::Nothing, NamedBase::Version(version(&first[0])), NamedBase::Unsaid][kind];
            let writes: Vec<Write> = (1..=COUNT).map(|n| says(n, 1_000 + rise * n, base)).collect();
            for time in ["first", "again"] {
                let (fates, read) = upload(&store, "b", None, writes.clone());
                assert_eq!(fates.len(), writes.len());
                // A merge looks at some of what was written since the base; that is bounded by itself.
                let is_merged = kind == 1 && time == "first";
                let most = if is_merged { limits::TRACE_MAX + 20 } else { 20 };
                assert!(read <= most * writes.len(), "{rise} {base:?} {time}: {read}");
            }
        }
    }
}

/// One upload reads a bounded part of the past, however many records it leads to.
#[test]
fn no_repeat_is_looked_for_far_back() {
    let store = Memory::new();
    let writes = (0..2_000).map(|n| says(n, 1_000 + n, NamedBase::Nothing)).collect();
    upload(&store, "a", None, writes);
    let (_, read) = upload(&store, "b", None, vec![says(-1, 9_000, NamedBase::Nothing)]);
    assert!(read <= REPEAT_WALK + 10, "{read}");
}

/// A base counts however long ago it was the record's state.
#[test]
fn a_named_base_is_found_however_far_back() {
    let store = Memory::new();
    let (first, _) = upload(&store, "a", None, vec![says(0, 1_000, NamedBase::Nothing)]);
    let count = i64::try_from(limits::BASE_WALK_MAX).unwrap() + 10;
    let writes = (1..count).map(|n| says(n, 1_000 + n, NamedBase::Nothing)).collect();
    upload(&store, "a", None, writes);
    let edit = written(&Note::new("0", "2"), 1_001, NamedBase::Version(version(&first[0])));
    let (fates, read) = upload(&store, "b", None, vec![edit]);
    // Without it, it would have lost as a whole.
    assert!(matches!(fates[0], Fate::Judged { verdict: Verdict::Merged, .. }), "{:?}", fates[0]);
    assert!(read <= REPEAT_WALK + limits::TRACE_MAX + 20, "{read}");
}

/// A merge with many large contents reads a bounded part of them, and none of them twice.
#[test]
fn a_merge_reads_no_content_twice_and_a_bounded_part() {
    const LARGE: usize = 1 << 20;
    for (count, most) in [(5, 7), (40, 20)] {
        let store = Memory::new();
        let x = |n: i64| format!("{n}").repeat(LARGE / n.to_string().len());
        let (first, _) = upload(&store, "a", None, vec![written(&Note::new(&x(1), "1"), 1_000, NamedBase::Nothing)]);
        let mut base = version(&first[0]);
        for n in 2..count + 2 {
            let edit = written(&Note::new(&x(n), "1"), 1_000 + n, NamedBase::Version(base));
            base = version(&upload(&store, "a", None, vec![edit]).0[0]);
        }
        let edit = written(&Note::new(&x(1), "2"), 1_001, NamedBase::Version(version(&first[0])));
        let before = BYTES_READ.get();
        let (fates, _) = upload(&store, "b", None, vec![edit]);
        assert!(matches!(fates[0], Fate::Judged { verdict: Verdict::Merged, .. }), "{:?}", fates[0]);
        let read = (BYTES_READ.get() - before) / LARGE;
        assert!(read <= most, "{count}: {read} MiB");
    }
}
