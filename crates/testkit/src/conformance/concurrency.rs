//! Real threads.

use std::sync::atomic::{AtomicBool, Ordering};

use tombolo_core::Seq;

use crate::eventually::SetOnDrop;
use crate::{Note, Peer, Place, Told, at, put, wait};

const WRITERS: usize = 6;
const WRITES: usize = 25;

/// Many push to one space while others read: the log has no gap, also while it grows, and everyone has everything.
pub fn pushes_from_many_threads(place: &Place) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut peer = Peer::new(&format!("w{writer}"));
                    for n in 0..WRITES {
                        let second = i64::try_from(n).expect("a small number");
                        let shared = Note::new(&format!("{writer}-{n}"), "1");
                        peer.sync(
                            place,
                            vec![
                                put(&format!("n{writer}-{n}"), &shared, at(second)),
                                put("shared", &shared, at(second)),
                            ],
                        );
                    }
                })
            })
            .collect();
        let watch = scope.spawn(|| watch(place, &done));
        let mut reader = Peer::new("reader");
        let mut seen = std::collections::BTreeSet::new();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let reply = reader.sync(place, Vec::new());
            seen.extend(reply.deliveries.into_iter().map(|delivery| delivery.key));
        }
        writers.into_iter().for_each(|writer| writer.join().expect("a writer ends well"));
        drop(over);
        watch.join().expect("no gap was seen");
        let last = reader.sync(place, Vec::new());
        let shared = last.note("shared");
        seen.extend(last.deliveries.into_iter().map(|delivery| delivery.key));
        assert_eq!(seen.len(), WRITERS * WRITES + 1, "who resumes from his cursor gets everything");
        assert!(shared.is_none() || shared == place.note("shared"));
    });
}

/// Reads on from where it is, again and again: what lies below the head that was seen is there.
fn watch(place: &Place, done: &AtomicBool) {
    let mut last = Seq::ZERO;
    while !done.load(Ordering::SeqCst) {
        let head = place.head().seq;
        assert!(head >= last, "the head never falls");
        let news = wait(place.store.changes(place.address, &place.policy, last, 1_000_000)).expect("the log reads");
        for change in &news {
            assert_eq!(change.seq, last.next(), "no gap, now or later");
            last = change.seq;
        }
        assert!(last >= head, "what the head counts can be read");
    }
}

/// One device, two requests at once: both are answered, and both writes are there.
pub fn one_device_twice_at_once(place: &Place) {
    for round in 0..20_i64 {
        let device = Peer::new("twin");
        let keys = [format!("l{round}"), format!("r{round}")];
        std::thread::scope(|scope| {
            for id in &keys {
                let device = device.clone();
                scope.spawn(move || device.lost(place, vec![put(id, &Note::new("1", "1"), at(round))]).answers);
            }
        });
        assert!(keys.iter().all(|id| place.note(id).is_some()));
    }
}
