//! What is only appended, while it is copied and after.

use tombolo_core::Seq;
use tombolo_storage::transfer::Step;
use tombolo_storage::{Appended, Entries as _};
use tombolo_testkit::team::ALL;
use tombolo_testkit::wait;

use crate::rig::{ENTRIES, Move, SPACE, STEPS, append, meanwhile};

#[test]
fn entries_have_their_places_on_the_other_side_and_are_known_there() {
    let Some(one) = Move::new() else { return };
    let mut count = ENTRIES;
    let _report = one
        .run_with(|step| {
            if STEPS[..4].contains(&step) {
                meanwhile(|| append(&*one.sqlite, &format!("{step:?}"), 25));
                count += 25;
            }
        })
        .unwrap();
    one.is_there();
    let _checked = one.there();
    let here = one.database.node(one.place.env.clone());
    let page = wait(here.entries(SPACE, Seq::ZERO, ALL)).unwrap();
    assert_eq!((page.head, page.entries.len()), (Seq::new(count as u64), count));
    let places = |from: usize, count: usize| (from + 1..=from + count).map(|place| Seq::new(place as u64));
    let known: Vec<_> = places(0, ENTRIES).map(Appended::Repeat).collect();
    assert_eq!(append(&*here, "before", ENTRIES), known);
    let paused: Vec<_> = places(count - 25, 25).map(Appended::Repeat).collect();
    assert_eq!(append(&*here, &format!("{:?}", Step::Pause), 25), paused);
    let new: Vec<_> = places(count, 2).map(Appended::New).collect();
    assert_eq!(append(&*here, "after", 2), new);
    let _checked = one.there();
}
