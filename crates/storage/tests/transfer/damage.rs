//! A copy that is not what was copied.

use tombolo_storage::transfer::{Step, TransferError};
use tombolo_testkit::{Note, at, put};

use crate::rig::{Move, meanwhile};

/// What one value of the copy is changed to, and what the complaint names.
const DAMAGES: [(&str, &str); 34] = [
    ("UPDATE changes SET payload = payload || 'x' WHERE seq = 3", "changes: space 1, seq 3"),
    ("UPDATE changes SET stamp_at = stamp_at + 1 WHERE seq = 9", "changes: space 1, seq 9"),
    ("DELETE FROM changes WHERE seq = 5", "changes: space 1, seq 5"),
    ("UPDATE generations SET started_at = 1 WHERE ordinal = 1", "generations: ordinal 1"),
    ("UPDATE users SET email = 'x' WHERE id = 1", "users: id 1"),
    ("UPDATE users SET confirmed_at = confirmed_at + 1 WHERE id = 2", "users: id 2"),
    ("UPDATE rooms SET used_at = 1", "rooms: space 4"),
    ("UPDATE changes SET payload = 'x' WHERE space = 4 AND seq = 3", "changes: space 4, seq 3"),
    ("UPDATE projects SET slug = 'x'", "projects: id 4611686018427387904"),
    ("UPDATE memberships SET role = 'owner'", "memberships: project 4611686018427387904, user_id 3"),
    ("UPDATE invitations SET expires_at = expires_at + 1", "invitations: id 1"),
    ("UPDATE sign_ins SET user_id = NULL WHERE id = 2", "sign_ins: id 2"),
    ("UPDATE credentials SET hash = 'x' WHERE id = 1", "credentials: id 1"),
    ("DELETE FROM refusals", "refusals: id"),
    ("UPDATE spaces SET head_time = 1", "spaces: id 1"),
    ("UPDATE forks SET seq = seq + 1 WHERE generation = 2", "forks: space 1, generation 2"),
    ("UPDATE records SET seq = 1 WHERE id = 7", "records: space 1, id 7"),
    ("UPDATE replicas SET floor = 1 WHERE id = 1", "replicas: space 1, id 1"),
    ("UPDATE replicas SET given = 1 WHERE id = 2", "replicas: space 1, id 2"),
    ("UPDATE replica_spaces SET space = 1", "replica_spaces: purpose wellbeing, name phone"),
    ("DELETE FROM erased_spaces", "erased_spaces: space 99"),
    ("UPDATE changes SET payload = NULL, checksum = 0, digest = '' WHERE seq = 3", "changes: space 1, seq 3"),
    ("UPDATE cursors SET snapshot = 1 WHERE replica = 2", "cursors: space 1, replica 2"),
    (
        "INSERT INTO traffic VALUES (1, 1, 99, '', '', NULL, NULL, NULL, NULL, NULL)",
        "traffic: space 1, replica 1, record 99",
    ),
    ("DELETE FROM refs WHERE ctid = (SELECT min(ctid) FROM refs)", "refs: space 1, source"),
    (
        "UPDATE uniques SET record = record + 1000 WHERE ctid = (SELECT min(ctid) FROM uniques)",
        "uniques: space 1, collection label",
    ),
    ("UPDATE idempotency_keys SET seq = 77 WHERE seq = 2", "idempotency_keys: space 2, key a value of 16 bytes"),
    ("DELETE FROM idempotency_keys WHERE seq = 4", "idempotency_keys: space 2, key a value of 16 bytes"),
    ("UPDATE identities SET password = 'x' WHERE user_id = 2", "identities: user_id 2, purpose simple-sync"),
    ("UPDATE setup_tokens SET expires_at = 1", "setup_tokens: user_id 2, purpose simple-sync"),
    ("UPDATE tickets SET credential = 2 WHERE credential = 1", "tickets: hash a value of 32 bytes"),
    ("UPDATE secrets SET value = 'x'", "secrets: name signing"),
    ("DELETE FROM rulings", "rulings: space 3, seq 2"),
    ("UPDATE timeline SET millis = millis - 1 WHERE seq = 4", "timeline: space 3, millis 179"),
];

#[test]
fn a_damaged_copy_is_named_and_the_server_goes_on() {
    let Some(one) = Move::new() else { return };
    for (damage, words) in DAMAGES {
        let found = one.run_with(|step| {
            if step == Step::Compare {
                drop(one.sql(damage));
            }
        });
        match found {
            Err(TransferError::Differs(text)) => assert!(text.contains(words), "{damage}: {text}"),
            other => panic!("{damage}: {other:?}"),
        }
        assert!(!one.is_moved());
        one.goes_on();
        // What was copied of the log is kept for the next run.
        one.sql("DELETE FROM changes");
    }
    let _report = one.run().unwrap();
    one.is_there();
}

#[test]
fn a_copy_that_is_damaged_during_the_pause_is_named_and_the_server_goes_on() {
    for (table, set) in [("changes", "NEW.public_at = 1"), ("records", "NEW.rank = 5"), ("cursors", "NEW.snapshot = 0")]
    {
        let Some(mut one) = Move::new() else { return };
        let mut peer = one.peers.remove(0);
        let mut was_marked = false;
        let found = one.run_with(|step| match step {
            Step::Pause => {
                one.sql(&format!(
                    "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {set}; RETURN NEW; END';
                     CREATE TRIGGER damage BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION damage()"
                ));
                let _last = meanwhile(|| peer.sync(&one.place, vec![put("last", &Note::new("1", "1"), at(9_000))]));
            }
            Step::Rest => was_marked = meanwhile(|| one.is_moved()),
            _ => {}
        });
        assert!(was_marked);
        match found {
            Err(TransferError::Differs(text)) => assert!(text.contains(&format!("{table}: space 1")), "{text}"),
            other => panic!("{table}: {other:?}"),
        }
        assert!(!one.is_moved());
        one.goes_on();
    }
}
