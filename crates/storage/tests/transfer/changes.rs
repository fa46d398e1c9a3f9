//! What changes while it is copied.

use tombolo_storage::postgres::Url;
use tombolo_storage::transfer::{self, Event, Report, Step};
use tombolo_testkit::{Note, at, label, put, wait};

use crate::dump::dump_postgres;
use crate::rig::{Move, STEPS, meanwhile, run};
use crate::support::OnPostgres;

/// Statements that change each table in each way that it has, and leave it sound.
const CHANGES: &str = "
    UPDATE users SET email = 'ada@example.org' WHERE id = 1;
    INSERT INTO users (name, created_at) VALUES ('new-STEP', 5);
    UPDATE credentials SET last_used_at = last_used_at + 1 WHERE id = 1;
    DELETE FROM credentials WHERE prefix = 'p-again';
    INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at)
        SELECT max(id), 'again', 'tickit', 'p-again', 'h', 5 FROM users;
    INSERT OR REPLACE INTO refusals (user_id, device, record, kind, reason, at) VALUES (1, 'd', 'r', 'k', 'w', 1);
    INSERT OR REPLACE INTO refusals (user_id, device, record, kind, reason, at) VALUES (1, 'd', 'r', 'k', 'w', 2);
    UPDATE refusals SET at = at + 1 WHERE device = 'a1';
    UPDATE users SET email_key = 'eve-STEP@example.org', confirmed_at = 6 WHERE id = (SELECT max(id) FROM users);
    INSERT OR IGNORE INTO projects SELECT 7, 'td', 'again', '', 'again', max(id), 5, 5, NULL FROM users;
    UPDATE projects SET name = 'STEP', deleted_at = 9 WHERE id = 7;
    DELETE FROM memberships WHERE project = 7 AND user_id = 1;
    INSERT INTO memberships SELECT 7, 1, 'writer', max(id), 5 FROM users;
    INSERT OR IGNORE INTO memberships SELECT 7, max(id), 'owner', NULL, 5 FROM users;
    UPDATE memberships SET role = 'reader' WHERE user_id = 2;
    DELETE FROM invitations WHERE email = 'again@example.org';
    INSERT INTO invitations (project, email, email_key, role, invited_by, status, created_at, expires_at)
        VALUES (7, 'again@example.org', 'again@example.org', 'reader', 1, 'pending', 5, 6);
    UPDATE invitations SET status = 'declined' WHERE id = 1;
    DELETE FROM sign_ins WHERE request = 'AGAIN';
    INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, links, created_at, expires_at, user_id)
        SELECT 'AGAIN', 'web', 'a@b', 'a@b', 'd', x'a9', 0, 5, 6, max(id) FROM users;
    UPDATE sign_ins SET link = randomblob(32), links = links + 1, linked_at = 9 WHERE id = 1;
    DELETE FROM refusals WHERE id = (SELECT min(id) FROM refusals);
    INSERT INTO spaces (owner, purpose, created_at) SELECT max(id), 'tickit', 5 FROM users;
    UPDATE spaces SET head_time = head_time + 1 WHERE id = 1;
    DELETE FROM rooms WHERE code_key = 'GONE-STEP';
    UPDATE rooms SET code_key = 'GONE-STEP' WHERE code_key = 'AGAIN';
    INSERT INTO rooms SELECT max(id), 1, 'AGAIN', 'again', randomblob(16), 'host', 5, 5 FROM spaces;
    UPDATE rooms SET used_at = used_at + 1, host = 'STEP' WHERE code_key = 'BOARD-1';
    DELETE FROM rooms WHERE code_key = 'BOARD-5';
    INSERT OR REPLACE INTO forks (space, generation, seq) SELECT max(id), 1, 0 FROM spaces;
    UPDATE forks SET seq = seq + 1 WHERE space > 1;
    INSERT INTO generations (id, started_at) VALUES (randomblob(16), 5);
    UPDATE generations SET started_at = started_at + 1 WHERE ordinal = 2;
    INSERT INTO records (space, collection, name, rank, seq) SELECT max(id), 'note', 'n', 1, 1 FROM spaces;
    UPDATE records SET rank = 1 - rank WHERE id = 1;
    DELETE FROM traffic WHERE replica = (SELECT id FROM replicas WHERE name = 'again');
    DELETE FROM cursors WHERE replica = (SELECT id FROM replicas WHERE name = 'again');
    DELETE FROM replicas WHERE name = 'again';
    INSERT INTO replicas (space, name, added_at) VALUES (1, 'again', 5);
    UPDATE replicas SET floor = 9, home = 'h-STEP' WHERE id = 2;
    INSERT INTO cursors SELECT max(id), 7, NULL, NULL, 0, 1, 1, x'00' FROM replicas;
    INSERT INTO traffic SELECT max(id), 1, x'01', x'02', NULL, NULL, NULL, NULL, NULL FROM replicas;
    UPDATE cursors SET polled = 1 - polled, alias = randomblob(12) WHERE replica = 2;
    DELETE FROM cursors WHERE replica = 2 AND token = (SELECT max(token) FROM cursors WHERE replica = 2);
    UPDATE traffic SET last = randomblob(12) WHERE replica = 3;
    DELETE FROM traffic WHERE replica = 1;
    UPDATE replicas SET acknowledged = acknowledged + 1, given = given + 2 WHERE id = 3;
    DELETE FROM replica_spaces WHERE name = 'gone';
    INSERT OR REPLACE INTO replica_spaces VALUES ('wellbeing', 'gone', 1), ('wellbeing', 'd-STEP', 2);
    UPDATE replica_spaces SET space = space + 1 WHERE name = 'phone';
    INSERT OR REPLACE INTO erased_spaces VALUES (1000, 1, 'wellbeing', 5);
    INSERT INTO erased_spaces (owner, purpose, erased_at) VALUES (2, 'wellbeing', 6);
    UPDATE users SET deleted_at = 5 WHERE name = 'new-STEP';
    UPDATE changes SET payload = NULL, checksum = 0, digest = zeroblob(16) WHERE space = 1 AND seq IN
        (SELECT seq FROM changes c WHERE space = 1 AND payload IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM records r WHERE r.seq = c.seq) ORDER BY seq LIMIT 2);
    DELETE FROM refs WHERE source = 9;
    INSERT OR IGNORE INTO refs VALUES (9, 1), (9, 2);
    UPDATE refs SET target = target + 100 WHERE source = 9 AND target = 2;
    UPDATE refs SET target = target + 1000 WHERE source = (SELECT max(source) FROM refs);
    INSERT OR REPLACE INTO aliases VALUES (1, 'label', 'alias', 'c-STEP', 77), (1, 'label', 'b-STEP', 'c', 78);
    DELETE FROM aliases WHERE name = 'soon-b1';
    INSERT OR REPLACE INTO uniques VALUES (1, 'label', CAST('again' AS BLOB), (SELECT max(id) FROM records));
    DELETE FROM uniques WHERE length(value) > 2000 AND record < 20;
    INSERT OR REPLACE INTO uniques VALUES (1, 'label', zeroblob(2000), 5);
    INSERT INTO idempotency_keys VALUES (1, randomblob(16), 5);
    INSERT OR REPLACE INTO idempotency_keys VALUES (1, x'01', 1);
    UPDATE idempotency_keys SET seq = seq + 1 WHERE key = x'01' OR seq = 3;
    DELETE FROM idempotency_keys WHERE seq = 7;
";

#[test]
fn each_change_of_each_table_arrives_whenever_it_is_made() {
    for steps in [&[Step::Copy][..], &[Step::CatchUp], &[Step::Compare], &[Step::Pause], &STEPS[..4]] {
        let Some(one) = Move::new() else { return };
        let mut server = one.peers[0].clone();
        let report = one.run_with(|step| {
            if !steps.contains(&step) {
                return;
            }
            let connection = rusqlite::Connection::open(one.file()).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            connection.execute_batch(&CHANGES.replace("STEP", &format!("{step:?}"))).unwrap();
            let id = format!("{step:?}");
            let writes = vec![put(&id, &Note::new("1", "1"), at(9_000)), label(&id, &id, 9_000, at(9_000))];
            let _reply = meanwhile(|| server.sync(&one.place, writes));
        });
        let report = report.unwrap_or_else(|error| panic!("{steps:?}: {error}"));
        one.is_there();
        let rows: u64 = report.tables.iter().map(|table| table.count).sum();
        assert_eq!(rows, dump_postgres(&one).len() as u64, "{steps:?}");
    }
}

#[test]
fn who_is_added_between_two_tables_arrives_with_all_that_is_theirs() {
    let Some(one) = Move::new() else { return };
    let mut count = 0;
    let mut progress = |event| {
        // After each table of the copy.
        if let Event::Progress { .. } = event
            && count < 12
        {
            count += 1;
            let add = format!(
                "INSERT INTO users (name, created_at) VALUES ('u{count}', 5);
                 INSERT INTO credentials (user_id, name, purpose, prefix, hash, created_at)
                     SELECT max(id), 'phone', 'tickit', 'u{count}', 'h', 5 FROM users;
                 INSERT INTO refusals (user_id, device, record, kind, reason, at)
                     SELECT max(id), 'd', 'r', 'k', 'w', 1 FROM users;
                 INSERT INTO spaces (owner, purpose, created_at) SELECT max(id), 'tickit', 5 FROM users;
                 INSERT INTO rooms SELECT max(id), owner, 'CODE', 'code', x'00', 'h', 5, 5 FROM spaces;
                 INSERT INTO projects SELECT {count}, 'td', 'p', '', 's', max(id), 5, 5, NULL FROM users;
                 INSERT INTO memberships SELECT {count}, max(id), 'owner', NULL, 5 FROM users;
                 INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, links, created_at,
                         expires_at, user_id)
                     SELECT 'R{count}', 'web', 'a@b', 'a@b', 'd', randomblob(32), 0, 5, 6, max(id) FROM users"
            );
            rusqlite::Connection::open(one.file()).unwrap().execute_batch(&add).unwrap();
        }
    };
    wait(transfer::run(one.file(), &one.url(), &*one.place.env, &mut progress)).unwrap();
    assert_eq!(one.sql("SELECT count(*) FROM users WHERE name LIKE 'u%'"), "12");
    one.is_there();
}

#[test]
fn a_changed_value_has_another_digest_and_an_equal_one_the_same() {
    let Some(one) = Move::new() else { return };
    let digests = |report: &Report| -> Vec<_> { report.tables.iter().map(|table| table.digest.clone()).collect() };
    let first = digests(&one.run().unwrap());
    assert!(transfer::undo(one.file()).unwrap());
    let run_to_another = |at: &dyn Fn(Step)| {
        let other = OnPostgres::new().unwrap();
        let url = Url::parse(other.database().url()).unwrap();
        let report = run(one.file(), &url, &*one.place.env, at).unwrap();
        assert!(transfer::undo(one.file()).unwrap());
        digests(&report)
    };
    assert_eq!(run_to_another(&|_| ()), first);
    let set = |aliases: &str| {
        let connection = rusqlite::Connection::open(one.file()).unwrap();
        connection.execute(&format!("UPDATE aliases SET canonical = {aliases} WHERE name = 'soon-b1'"), []).unwrap();
    };
    set("canonical || 'x'");
    let other = run_to_another(&|_| ());
    let differ: Vec<_> = other.iter().zip(&first).map(|(left, right)| left != right).collect();
    assert_eq!(differ.iter().filter(|differs| **differs).count(), 1);
    // The digest follows what is copied after everything was compared.
    let last = run_to_another(&|step| {
        if step == Step::Pause {
            set("rtrim(canonical, 'x')")
        }
    });
    assert_eq!(last, first);
}
