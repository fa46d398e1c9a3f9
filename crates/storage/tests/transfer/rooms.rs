//! Rooms, whose logs let go of old versions and end, while they are copied and after.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tombolo_core::Seq;
use tombolo_storage::transfer::{self, Step};
use tombolo_storage::{DocumentStored, Rooms};
use tombolo_testkit::wait;

use crate::rig::{Move, STEPS, add_room, end_rooms, meanwhile, room, write};

/// The rooms' codes.
fn codes(store: &dyn Rooms) -> Vec<String> {
    wait(store.rooms(None)).unwrap().into_iter().map(|overview| overview.room.code.to_string()).collect()
}

/// The numbers of the versions of a room, newest first, and what the newest says.
fn shown(store: &dyn Rooms, number: u8) -> (Vec<u64>, Option<String>) {
    let versions = wait(store.versions(room(number).space())).unwrap();
    let newest = wait(store.document(room(number).space(), None)).unwrap();
    (versions.iter().map(|version| version.version.get()).collect(), newest.map(|newest| newest.text))
}

#[test]
fn what_is_written_and_made_during_a_move_arrives() {
    let Some(one) = Move::new() else { return };
    assert_eq!(codes(&*one.sqlite), ["Board-1", "Board-3", "Board-4", "Board-5"]);
    assert_eq!(shown(&*one.sqlite, 1), (vec![4, 3], Some("งาน 4".to_owned())));
    let mut made = 10;
    let report = one.run_with(|step| {
        if !STEPS[..4].contains(&step) {
            return;
        }
        made += 1;
        meanwhile(|| {
            let text = format!("{step:?}");
            // What was copied stays, and so does everything that might have been.
            assert!(matches!(write(&*one.sqlite, 1, &text, 1), DocumentStored::Stored(_)));
            assert_eq!(end_rooms(&*one.sqlite, 0), 0);
            add_room(&*one.sqlite, made);
            assert_eq!(write(&*one.sqlite, made, &text, 1), DocumentStored::Stored(Seq::new(1)));
        });
    });
    report.unwrap();
    one.is_there();
    let _checked = one.there();
    let here = one.database.node(one.place.env.clone());
    let expected = ["1", "11", "12", "13", "14", "3", "4", "5"].map(|number| format!("Board-{number}"));
    assert_eq!(codes(&*here), expected);
    assert_eq!(shown(&*here, 1), ((3..=8).rev().collect(), Some("Pause".to_owned())));
    assert_eq!(shown(&*here, 2), (Vec::new(), None), "it had ended before");
    assert_eq!(shown(&*here, 3), (Vec::new(), None));
    assert_eq!(shown(&*here, 12), (vec![1], Some("CatchUp".to_owned())));
    // Who had it open had it so on the old server.
    let (found, nodes) = wait(here.room(room(1).owner, &room(1).code)).unwrap().unwrap();
    assert_eq!((found, nodes), (room(1), Vec::new()));
    // All goes on where it was, and what had to stay goes.
    assert_eq!(write(&*here, 1, "Pause", 1), DocumentStored::Unchanged(Seq::new(8)));
    assert_eq!(write(&*here, 1, "after", 2), DocumentStored::Stored(Seq::new(9)));
    assert_eq!(shown(&*here, 1), (vec![9, 8], Some("after".to_owned())));
    assert_eq!(write(&*here, 3, "after", 2), DocumentStored::Stored(Seq::new(1)));
    let _checked = one.there();
    assert_eq!(end_rooms(&*here, 950), 4, "those that were made meanwhile: nobody used them since");
    assert_eq!(codes(&*here), ["Board-1", "Board-3", "Board-4", "Board-5"]);
    add_room(&*here, 2);
    let _checked = one.there();
}

#[test]
fn what_was_let_go_between_two_runs_is_gone() {
    for (step, is_undone) in [(Step::Compare, true), (Step::Compare, false), (Step::Rest, true)] {
        let Some(one) = Move::new() else { return };
        add_room(&*one.sqlite, 7);
        write(&*one.sqlite, 7, "to end", 9);
        write(&*one.sqlite, 3, "one", 9);
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{step:?} is a step");
        // While the journal of the killed run is there, nothing goes.
        if is_undone {
            transfer::undo(one.file()).unwrap();
        }
        write(&*one.sqlite, 1, "between", 1);
        write(&*one.sqlite, 3, "two", 1);
        let (ended, first) = if is_undone { (1, vec![5]) } else { (0, vec![5, 4, 3]) };
        assert_eq!(end_rooms(&*one.sqlite, 950), ended);
        assert_eq!(shown(&*one.sqlite, 1).0, first);
        let _report = one.run().unwrap();
        one.is_there();
        let _checked = one.there();
        let here = one.database.node(one.place.env.clone());
        assert_eq!(shown(&*here, 1), (first, Some("between".to_owned())));
        assert_eq!(shown(&*here, 7).0.is_empty(), is_undone);
    }
}

#[test]
fn what_had_to_stay_goes_when_a_move_was_given_up() {
    let Some(one) = Move::new() else { return };
    let killed = catch_unwind(AssertUnwindSafe(|| one.run_with(|_| resume_unwind(Box::new("killed")))));
    assert!(killed.is_err());
    write(&*one.sqlite, 1, "during", 1);
    assert_eq!((shown(&*one.sqlite, 1).0, end_rooms(&*one.sqlite, 900)), (vec![5, 4, 3], 0));
    transfer::undo(one.file()).unwrap();
    write(&*one.sqlite, 1, "after", 1);
    assert_eq!((shown(&*one.sqlite, 1).0, end_rooms(&*one.sqlite, 900)), (vec![6], 3));
    assert_eq!(codes(&*one.sqlite), ["Board-1"]);
}
