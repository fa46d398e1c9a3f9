//! Migrations that do not come to their end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tombolo_core::{Name, UserId};
use tombolo_storage::postgres::{Options, Postgres};
use tombolo_storage::transfer::{self, Step, TransferError};
use tombolo_storage::{Accounts as _, StoreError};
use tombolo_testkit::{LABEL, NOTE, Note, at, delete, key, put, wait};

use crate::rig::{Move, STEPS};

#[test]
fn it_may_be_killed_at_any_step_and_run_again() {
    let Some(mut one) = Move::new() else { return };
    for step in STEPS {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{step:?} is a step");
        let is_marked = one.is_moved();
        assert_eq!(is_marked, matches!(step, Step::Rest | Step::Finish | Step::CleanUp), "{step:?}");
        let opened = wait(Postgres::open(Options::new(one.url()), one.place.env.clone()));
        match step {
            Step::CleanUp => drop(opened.unwrap()),
            _ => assert!(matches!(opened, Err(StoreError::Unfinished)), "{step:?}"),
        }
        if !is_marked {
            // The server goes on, and what it writes must not be missing.
            let note = Note::new("1", &format!("{step:?}"));
            let peer = &mut one.peers[0];
            let _reply = peer.sync(
                &one.place,
                vec![put(&format!("{step:?}"), &note, at(9_000)), delete(key(NOTE, "n1"), at(9_001))],
            );
        }
        if step == STEPS[6] {
            let again = one.run().unwrap();
            assert!(again.was_done_already);
            one.is_there();
        }
    }
    let _log = one.there().log();
}

#[test]
fn a_run_after_a_killed_one_finds_what_changed_meanwhile() {
    for step in [Step::CatchUp, Step::Rest] {
        let Some(mut one) = Move::new() else { return };
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new(()))
                }
            })
        }));
        assert!(killed.is_err());
        transfer::undo(one.file()).unwrap();
        let writes = vec![put("n1", &Note::new("7", "7"), at(9_000)), delete(key(LABEL, "soon1"), at(9_001))];
        let _reply = one.peers[0].sync(&one.place, writes);
        wait(one.sqlite.revoke_credential(UserId::new(1), &Name::parse("phone 0").unwrap())).unwrap();
        let _report = one.run().unwrap();
        one.is_there();
        let _log = one.there().log();
    }
}

#[test]
fn a_database_that_goes_away_gives_the_file_back() {
    for step in [Step::CatchUp, Step::Compare, Step::Rest] {
        let Some(one) = Move::new() else { return };
        let found = one.run_with(|at| {
            if at == step {
                let mine = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
                assert!(one.sql(mine).contains('t'));
            }
        });
        assert!(matches!(found, Err(TransferError::Target(_))), "{found:?}");
        one.goes_on();
        let _report = one.run().unwrap();
        one.is_there();
    }
}

#[test]
fn when_the_last_answer_is_lost_nothing_is_served_until_it_is_known() {
    let Some(one) = Move::new() else { return };
    let found = one.run_with(|at| {
        if at == Step::Finish {
            one.sql(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
    });
    assert!(matches!(found, Err(TransferError::Unknown(_))), "{found:?}");
    assert!(one.is_moved());
    assert!(!one.run().unwrap().was_done_already, "it was not done");
    one.is_there();
}
