//! Contents that a deletion takes with it, and logs that are erased, while a move is under way or given up.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rusqlite::Connection;
use tombolo_storage::transfer::{self, Step};

use crate::dump::dump_postgres;
use crate::rig::{Move, STEPS};

/// Three logs of the wellbeing protocol, of nine changes each of one record.
const LOGS: &str = "
    INSERT INTO spaces (id, owner, purpose, head_seq, head_time, generation, created_at)
        SELECT 1000 + value, value, 'wellbeing', 9, 9, 1, 5 FROM generate_series(1, 3);
    INSERT INTO records (id, space, collection, name, rank, seq)
        SELECT 1000 + value, 1000 + value, 'note', 'n', 0, 9 FROM generate_series(1, 3);
    INSERT INTO changes (space, seq, record, prev, committed_at, written_at, stamp_at, public_at, actor, op, origin,
            verdict, digest, checksum, payload)
        SELECT s.id, n.value, s.id, nullif(n.value - 1, 0), n.value, zeroblob(12), 0, n.value, s.owner, 0, 0, 0,
            zeroblob(16), 0, x'5ec4e7' FROM spaces s, generate_series(1, 9) n WHERE s.purpose = 'wellbeing';
";

fn execute(one: &Move, sql: &str) {
    let connection = Connection::open(one.file()).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// The library has no table of numbers: they are written out.
fn logs() -> String {
    let series = |bound: u8| (1..=bound).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    let of = |bound: u8| format!("(SELECT column1 AS value FROM (VALUES {}))", series(bound));
    LOGS.replace("generate_series(1, 3)", &of(3)).replace("generate_series(1, 9)", &of(9))
}

/// Takes the content out of changes of each log, as a deletion does.
fn blank(one: &Move, up_to: usize) {
    execute(one, &format!("UPDATE changes SET payload = NULL WHERE space > 1000 AND seq <= {up_to}"));
}

const LEFT: &str = "SELECT count(*) FROM changes WHERE space > 1000 AND payload IS NOT NULL";

#[test]
fn what_a_deletion_takes_with_it_is_gone_on_the_other_side() {
    let Some(one) = Move::new() else { return };
    execute(&one, &logs());
    let mut blanked = 1;
    blank(&one, blanked);
    let report = one.run_with(|step| {
        if STEPS[..4].contains(&step) {
            blanked += 1;
            blank(&one, blanked);
            // One that was not copied yet.
            execute(
                &one,
                "UPDATE spaces SET head_seq = head_seq + 1 WHERE id = 1003;
                 INSERT INTO changes SELECT space, seq + 1, record, seq, base, committed_at + 1, written_at, stamp_at,
                         public_at, actor, replica, op, origin, verdict, digest, checksum, payload
                     FROM changes WHERE space = 1003 ORDER BY seq DESC LIMIT 1;
                 UPDATE changes SET checksum = 7 WHERE space = 1003 AND seq = (SELECT max(seq) FROM changes
                     WHERE space = 1003)",
            );
        }
    });
    let report = report.unwrap();
    one.is_there();
    assert_eq!(one.sql(LEFT), (3 * (9 - blanked) + 4).to_string());
    let rows: u64 = report.tables.iter().map(|table| table.count).sum();
    assert_eq!(rows, dump_postgres(&one).len() as u64);
}

#[test]
fn what_was_erased_between_two_runs_is_gone() {
    for step in [Step::CatchUp, Step::Compare, Step::Rest] {
        let Some(one) = Move::new() else { return };
        execute(&one, &logs());
        let killed = catch_unwind(AssertUnwindSafe(|| {
            one.run_with(|at| {
                if at == step {
                    resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{step:?} is a step");
        assert_eq!(one.sql(LEFT), "27");
        transfer::undo(one.file()).unwrap();
        blank(&one, 5);
        // A whole log, and one of another protocol, as when a user is deleted.
        execute(
            &one,
            "DELETE FROM changes WHERE space = 1002; DELETE FROM records WHERE space = 1002;
             DELETE FROM spaces WHERE id = 1002; INSERT INTO erased_spaces VALUES (1002, 2, 'wellbeing', 7);
             DELETE FROM changes WHERE space = 2; DELETE FROM idempotency_keys WHERE space = 2;
             DELETE FROM forks WHERE space = 2; DELETE FROM spaces WHERE id = 2",
        );
        let _report = one.run().unwrap();
        one.is_there();
        assert_eq!(one.sql(LEFT), "8");
        assert_eq!(one.sql("SELECT count(*) FROM changes WHERE space IN (2, 1002)"), "0");
    }
}
