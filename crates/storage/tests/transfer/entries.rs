//! What is only appended, while it is copied and after.

use tombolo_core::Seq;
use tombolo_storage::transfer::Step;
use tombolo_storage::{Appended, Entries as _, Place};
use tombolo_testkit::team::ALL;
use tombolo_testkit::wait;

use crate::rig::{ENTRIES, Move, RULED, RULED_ENTRIES, SPACE, STEPS, append, append_under_rules, meanwhile};

#[test]
fn entries_have_their_places_on_the_other_side_and_are_known_there() {
    let Some(one) = Move::new() else { return };
    let mut count = ENTRIES;
    let _report = one
        .run_with(|step| {
            if STEPS[..4].contains(&step) {
                meanwhile(|| append(&*one.sqlite, &format!("{step:?}"), 25));
                meanwhile(|| append_under_rules(&*one.sqlite, &format!("ruled {step:?}")));
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

#[test]
fn a_log_under_rules_is_read_alike_on_the_other_side() {
    let Some(one) = Move::new() else { return };
    // Once it is moved, nothing is read of the file any more.
    let nowhere = Place { millis: i64::MIN, seq: Seq::ZERO };
    let end = Seq::new(RULED_ENTRIES as u64);
    let before = wait(one.sqlite.timeline(RULED, nowhere, end, ALL)).unwrap();
    let rulings = wait(one.sqlite.rulings(RULED, Seq::ZERO, ALL)).unwrap();
    assert_eq!((before.len(), rulings.len()), (RULED_ENTRIES, 1));
    let _report = one.run().unwrap();
    let here = one.database.node(one.place.env.clone());
    assert_eq!(wait(here.timeline(RULED, nowhere, end, ALL)).unwrap(), before);
    assert_eq!(wait(here.rulings(RULED, Seq::ZERO, ALL)).unwrap(), rulings);
    append_under_rules(&*here, "ruled before");
    assert_eq!(wait(here.log_end(RULED)).unwrap().head, end, "all of it is known");
    append_under_rules(&*here, "ruled after");
    assert_eq!(wait(here.rulings(RULED, Seq::ZERO, ALL)).unwrap().len(), 2);
    let _checked = one.there();
}
