//! What may be moved, and where to.

use std::sync::Arc;

use tombolo_core::Name;
use tombolo_storage::postgres::Url;
use tombolo_storage::transfer::{self, Report, Step, TransferError};
use tombolo_storage::{Accounts as _, Upkeep};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::{TestEnv, runtime, wait};

use crate::rig::{Move, meanwhile, run};
use crate::support::OnPostgres;

#[test]
fn only_an_empty_database_is_written_to() {
    let Some(one) = Move::new() else { return };
    let refused = |found: Result<Report, TransferError>, words: &str| match found {
        Err(TransferError::Refused(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{other:?}"),
    };
    // A server runs there.
    let served = one.database.node(one.place.env.clone());
    let tending = runtime().spawn({
        let served = Arc::clone(&served);
        async move { Upkeep::tend(&*served).await }
    });
    eventually("it listens", FOREVER, || {
        (one.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
            != "0")
            .then_some(())
    });
    refused(one.run(), "a server runs on");
    tending.abort();
    wait(Upkeep::close(&*served)).unwrap();
    // It holds a user.
    let there = one.database.node(one.place.env.clone());
    wait(there.add_user(&Name::parse("eve").unwrap(), None, TestEnv::START)).unwrap();
    refused(one.run(), "in use already");
    assert_eq!(one.sql("SELECT name FROM users"), "eve");
    one.goes_on();
    one.sql("DELETE FROM users");
    // Another file's migration is not finished.
    one.sql("INSERT INTO facts VALUES ('migration', 'copying 00')");
    refused(one.run(), "another file");
    one.sql("DELETE FROM facts WHERE name = 'migration'");
    one.goes_on();

    let _report = one.run().unwrap();
    let elsewhere = OnPostgres::new().unwrap();
    let url = Url::parse(elsewhere.database().url()).unwrap();
    refused(run(one.file(), &url, &*one.place.env, |_| ()), "was moved to postgres://");
    assert!(one.is_moved());
    assert!(transfer::undo(one.file()).unwrap());
    assert!(!transfer::undo(one.file()).unwrap(), "there is nothing to undo any more");
    one.goes_on();
    refused(one.run(), "which was undone");
    one.goes_on();
    let _report = run(one.file(), &url, &*one.place.env, |_| ()).unwrap();
}

#[test]
fn two_at_once_are_one_too_many() {
    let (Some(one), Some(two)) = (Move::new(), Move::new()) else { return };
    let mut refused = Vec::new();
    let _first = one
        .run_with(|step| {
            if step == Step::Compare {
                // Into another database, from another file, and back.
                refused.push(meanwhile(|| run(one.file(), &two.url(), &*one.place.env, |_| ()).map(drop)));
                refused.push(meanwhile(|| run(two.file(), &one.url(), &*one.place.env, |_| ()).map(drop)));
                refused.push(meanwhile(|| transfer::undo(one.file()).map(drop)));
            }
        })
        .unwrap();
    for (refused, words) in refused.into_iter().zip(["of this file", "into postgres://", "of this file"]) {
        assert!(matches!(&refused, Err(TransferError::Refused(text)) if text.contains(words)), "{refused:?}");
    }
    one.is_there();
    two.goes_on();
}
