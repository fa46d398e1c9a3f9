//! What is noted as an edit, and what becomes of it on its way.

use super::*;

#[test]
fn nothing_is_tracked_and_no_trigger_is_there_until_it_begins() {
    let mut device = Device::off();
    device.mood(1, 5, "before");
    assert_eq!(device.pending(), 0);
    assert!(device.read("SELECT name FROM sqlite_schema WHERE type = 'trigger'").is_empty());
    device.local.begin_afresh().unwrap();
    device.mood(2, 6, "after");
    let batch = device.batch();
    assert_eq!(batch.len(), 2);
    assert!(batch.iter().all(|change| change.base == Base::Nothing));
    device.local.end().unwrap();
    assert!(device.read("SELECT name FROM sqlite_schema WHERE type = 'trigger'").is_empty());
    device.mood(3, 7, "later");
    assert_eq!((device.pending(), device.batch().len()), (0, 0));
}

#[test]
fn a_row_is_said_as_its_columns_are_declared() {
    let mut device = Device::new();
    device.run(
        "INSERT INTO moods (id, value, note, tags, weight, done, at, updated_at)
         VALUES (?1, 6, NULL, '[1, \"a\"]', 0.5, 1, '2026-11-20 20:00:00', '2026-11-20 21:00:00')",
        [id(1)],
    );
    let batch = device.batch();
    let expected = serde_json::json!({"value": 6, "note": null, "tags": [1, "a"], "weight": 0.5, "done": true,
        "recorded_at": data(&batch[0])["recorded_at"]});
    assert_eq!(data(&batch[0]), expected);
    assert_eq!(
        expected["recorded_at"].as_str().unwrap().parse(),
        Ok("2026-11-20T20:00:00Z".parse::<tombolo_wellbeing::Timestamp>().unwrap())
    );
    assert_eq!(batch[0].updated_at, "2026-11-20T21:00:00Z".parse().unwrap());
}

#[test]
fn an_update_that_changes_no_synced_column_marks_nothing() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("UPDATE moods SET updated_at = '2030-01-01', value = 5, key = 77", []);
    assert_eq!(device.pending(), 0);
    device.run("UPDATE moods SET note = 'X'", []);
    assert_eq!(device.pending(), 1);
}

#[test]
fn a_capital_letter_is_an_edit_whatever_the_collation() {
    let mut device = Device::off();
    device.app.execute_batch("DROP TABLE activities; CREATE TABLE activities (id TEXT PRIMARY KEY, name TEXT COLLATE NOCASE, updated_at TEXT, deleted_at TEXT)").unwrap();
    device.local.begin_afresh().unwrap();
    device.activity(1, "run");
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("UPDATE activities SET name = 'Run'", []);
    assert_eq!(device.pending(), 1);
}

#[test]
fn an_edit_during_the_flight_stays_pending_on_what_was_stored() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.run("UPDATE moods SET note = 'y'", []);
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    assert_eq!(device.pending(), 1);
    let next = device.batch();
    assert_eq!((data(&next[0])["note"].as_str(), &next[0].base), (Some("y"), &Base::Version("v1".to_owned())));
    device.local.settle_batch(&stored(&next, "2")).unwrap();
    assert_eq!((device.pending(), device.batch().len()), (0, 0));
}

#[test]
fn a_retry_sends_the_very_same_also_after_a_restart_and_an_edit() {
    let mut device = Device::new();
    (0..5).for_each(|number| device.mood(number, 5, "x"));
    let text = |batch: &[SyncChange]| serde_json::to_string(batch).unwrap();
    let first = text(&device.batch());
    device.run("UPDATE moods SET note = 'y', updated_at = '2030-01-01'", []);
    device.mood(9, 1, "new");
    assert_eq!(text(&device.batch()), first);
    device.restart(vec![activities(), moods()]);
    assert_eq!(text(&device.batch()), first);
}

#[test]
fn a_smaller_request_takes_a_part_of_what_is_on_its_way_and_its_answer_settles_that() {
    let mut device = Device::new();
    (0..4).for_each(|number| device.mood(number, 5, "x"));
    assert_eq!(device.batch().len(), 4);
    let half = device.local.next_batch(BatchBounds { changes_max: 2, ..BOUNDS }).unwrap();
    assert_eq!(half.len(), 2);
    device.local.settle_batch(&stored(&half, "1")).unwrap();
    assert_eq!(device.pending(), 2);
    let rest = device.batch();
    assert_eq!(rest.iter().map(|change| change.id.to_string()).collect::<Vec<_>>(), [id(2), id(3)]);
}

#[test]
fn a_batch_is_bounded_by_count_and_bytes_but_a_large_change_goes_alone() {
    let mut device = Device::new();
    device.mood(1, 5, &"x".repeat(5_000));
    device.mood(2, 5, "small");
    device.mood(3, 5, "small");
    let bounds = BatchBounds { changes_max: 100, bytes_max: 1_000 };
    let mut sizes = Vec::new();
    while let Some(batch) = Some(device.local.next_batch(bounds).unwrap()).filter(|batch| !batch.is_empty()) {
        sizes.push(batch.len());
        device.local.settle_batch(&stored(&batch, "1")).unwrap();
    }
    assert_eq!(sizes, [1, 2]);
}

#[test]
fn the_base_is_that_of_the_first_edit_which_was_not_sent() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "v1", r#"{"value":5,"note":"a"}"#)]);
    device.run("UPDATE moods SET note = 'b'", []);
    device.take(&[mood_told(1, "v2", r#"{"value":6,"note":"a"}"#)]);
    device.run("UPDATE moods SET note = 'c'", []);
    let batch = device.batch();
    assert_eq!(batch[0].base, Base::Version("v1".to_owned()));
    assert_eq!(data(&batch[0])["value"], 5, "the row with an unsent edit was overwritten");
}

#[test]
fn a_change_that_lost_is_stored_and_one_that_is_invalid_waits_for_an_edit() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    let versions = [(batch[0].id, "v7".to_owned())].into();
    device.local.settle_batch(&SyncUploadResponse { versions, ..refused(&batch[0], "server_newer") }).unwrap();
    assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (0, 0));
    device.run("UPDATE moods SET note = 'y'", []);
    let batch = device.batch();
    assert_eq!(batch[0].base, Base::Version("v7".to_owned()));
    device.local.settle_batch(&refused(&batch[0], "invalid: the note is too long")).unwrap();
    assert_eq!((device.pending(), device.local.set_aside_count().unwrap(), device.batch().len()), (0, 1, 0));
    device.take(&[mood_told(1, "v8", r#"{"value":1}"#)]);
    assert_eq!(device.read("SELECT note FROM moods"), ["y"], "an edit that was refused is still one");
    device.run("UPDATE moods SET note = 'z'", []);
    assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (1, 0));
    assert_eq!(device.batch()[0].base, Base::Version("v7".to_owned()));
}

#[test]
fn an_invalid_change_that_was_edited_meanwhile_is_sent_again() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.run("UPDATE moods SET note = 'y'", []);
    device.local.settle_batch(&refused(&batch[0], "invalid: no")).unwrap();
    assert_eq!(data(&device.batch()[0])["note"], "y");
}

#[test]
fn deletions_are_sent_soft_or_hard_and_a_row_nobody_heard_of_is_not() {
    let mut device = Device::new();
    (1..=2).for_each(|number| device.mood(number, 5, "x"));
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.mood(3, 5, "never sent");
    device.run("DELETE FROM moods WHERE id = ?1", [id(1)]);
    device.run("UPDATE moods SET deleted_at = CURRENT_TIMESTAMP WHERE id = ?1", [id(2)]);
    device.run("DELETE FROM moods WHERE id = ?1", [id(3)]);
    let batch = device.batch();
    assert_eq!(batch.len(), 2);
    for change in &batch {
        assert!(change.deleted && change.data.is_none() && change.base == Base::Version("v1".to_owned()));
    }
    assert_eq!(
        device.read("SELECT count(*) FROM tombolo_rows WHERE data IS NOT NULL"),
        ["1"],
        "the deleted text stays"
    );
    device.local.settle_batch(&stored(&batch, "2")).unwrap();
    device.run("UPDATE moods SET deleted_at = NULL WHERE id = ?1", [id(2)]);
    device.mood(1, 4, "again");
    let batch = device.batch();
    assert!(batch.iter().all(|change| !change.deleted && change.base == Base::Version("v2".to_owned())), "{batch:?}");
    assert_eq!(batch.len(), 2);
}

#[test]
fn a_row_created_sent_and_deleted_before_the_answer_is_deleted_after_it() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.run("DELETE FROM moods", []);
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    let next = device.batch();
    assert!(next[0].deleted && next[0].base == Base::Version("v1".to_owned()));
}

#[test]
fn a_row_replaced_through_another_unique_column_is_deleted_and_the_other_is_new() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (key, id, value) VALUES (1, ?1, 5)", [id(1)]);
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("INSERT OR REPLACE INTO moods (key, id, value) VALUES (1, ?1, 6)", [id(2)]);
    let made = device.batch();
    assert_eq!((made.len(), made[0].id.to_string(), made[0].deleted), (1, id(2), false));
    device.local.settle_batch(&stored(&made, "2")).unwrap();
    let gone = device.batch();
    assert_eq!((gone.len(), gone[0].id.to_string(), gone[0].deleted), (1, id(1), true));
    assert_eq!(gone[0].base, Base::Version("v1".to_owned()));
}

#[test]
fn a_replaced_row_that_nobody_noticed_yet_is_not_brought_back_by_a_download() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (key, id, value) VALUES (1, ?1, 5)", [id(1)]);
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("INSERT OR REPLACE INTO moods (key, id, value) VALUES (1, ?1, 6)", [id(2)]);
    device.take(&[mood_told(1, "v2", r#"{"value":7}"#)]);
    assert_eq!(device.read("SELECT value FROM moods"), ["6"]);
    assert!(device.batch().iter().any(|change| change.deleted && change.base == Base::Version("v1".to_owned())));
}

#[test]
fn replace_and_ignore_by_the_app_do_not_disturb_the_outbox() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    for _ in 0..3 {
        device.run("INSERT OR REPLACE INTO moods (id, value) VALUES (?1, 6)", [id(1)]);
    }
    device.app.execute("INSERT OR IGNORE INTO moods (id, value) VALUES (?1, 7)", [id(1)]).unwrap();
    device.run("UPDATE OR IGNORE moods SET value = 3", []);
    device.run("UPDATE OR REPLACE moods SET value = 4", []);
    let batch = device.batch();
    assert_eq!((batch.len(), &batch[0].base), (1, &Base::Version("v1".to_owned())), "the first base was lost");
    assert_eq!(data(&batch[0])["value"], 4);
}

#[test]
fn a_row_that_gets_another_id_is_a_deletion_and_a_new_record() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("UPDATE moods SET id = ?1", [id(2)]);
    let batch = device.batch();
    let said: Vec<_> = batch.iter().map(|change| (change.id.to_string(), change.deleted)).collect();
    assert_eq!(said, [(id(1), true), (id(2), false)]);
}

#[test]
fn rows_that_cannot_be_sent_are_set_aside_and_the_others_go() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (value) VALUES (5)", []);
    device.run("INSERT INTO moods (id) VALUES ('no uuid')", []);
    device.run("INSERT INTO moods (id) VALUES (upper(?1))", ["abcdef00-0000-4000-8000-000000000000"]);
    device.run("INSERT INTO moods (id, note) VALUES (?1, x'00ff')", [id(1)]);
    device.run("INSERT INTO moods (id, at) VALUES (?1, 'yesterday')", [id(2)]);
    device.run("INSERT INTO moods (id, tags) VALUES (?1, '{')", [id(3)]);
    device.run("INSERT INTO moods (id, weight) VALUES (?1, 9e999)", [id(4)]);
    device.mood(5, 5, "good");
    let batch = device.batch();
    assert_eq!(batch.iter().map(|change| change.id.to_string()).collect::<Vec<_>>(), [id(5)]);
    assert_eq!(device.local.set_aside_count().unwrap(), 7);
    let aside = device.local.set_aside().unwrap();
    let said = |wanted: Option<&str>| aside.iter().find(|row| row.id.as_deref() == wanted).unwrap().reason.as_str();
    assert_eq!((aside.len(), said(None)), (7, "it has no id"));
    assert_eq!(said(Some("no uuid")), "its id is no UUID in lower case with hyphens");
    assert_eq!(said(Some(&id(1))), "the column note holds bytes, which cannot be synced");
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("UPDATE moods SET at = NULL WHERE id = ?1", [id(2)]);
    device.run("UPDATE moods SET id = ?1 WHERE id IS NULL", [id(6)]);
    assert_eq!(device.batch().len(), 2);
    assert_eq!(device.local.set_aside_count().unwrap(), 5);
}

#[test]
fn a_row_that_could_not_be_sent_and_is_deleted_is_done() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (id) VALUES ('no uuid')", []);
    assert_eq!((device.batch().len(), device.local.set_aside_count().unwrap()), (0, 1));
    device.run("DELETE FROM moods", []);
    assert_eq!((device.batch().len(), device.local.set_aside_count().unwrap(), device.pending()), (0, 0, 0));
}

#[test]
fn a_row_that_is_deleted_and_written_anew_keeps_what_only_others_know() {
    let mut device = Device::new();
    let told = r#"{"value":5,"theirs":1}"#;
    device.take(&[mood_told(1, "a", told), mood_told(2, "b", told), mood_told(3, "c", told)]);
    let anew = format!("DELETE FROM moods WHERE id = '{0}'; INSERT INTO moods (id, value) VALUES ('{0}', 6);", id(1));
    device.app.execute_batch(&format!("BEGIN; {anew} COMMIT; PRAGMA recursive_triggers = ON;")).unwrap();
    device.run("INSERT OR REPLACE INTO moods (id, value) VALUES (?1, 6)", [id(2)]);
    device.run("DELETE FROM moods WHERE id = ?1", [id(3)]);
    let batch = device.batch();
    assert_eq!((data(&batch[0])["theirs"].as_i64(), data(&batch[1])["theirs"].as_i64()), (Some(1), Some(1)));
    assert_eq!((batch.len(), batch[2].deleted), (3, true));
    assert_eq!(device.read("SELECT count(*) FROM tombolo_rows WHERE data IS NULL"), ["1"]);
}

#[test]
fn the_time_is_the_rows_own_where_the_edit_set_it_and_the_clocks_else() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (id, updated_at) VALUES (?1, '2020-01-01 00:00:00')", [id(1)]);
    assert_eq!(device.batch()[0].updated_at, "2020-01-01T00:00:00Z".parse().unwrap());
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.run("UPDATE moods SET value = 3", []);
    let batch = device.batch();
    assert!(batch[0].updated_at > "2026-01-01T00:00:00Z".parse().unwrap(), "the old time was sent with a new edit");
    device.local.settle_batch(&stored(&batch, "2")).unwrap();
    device.run("UPDATE moods SET value = 4, updated_at = 'nonsense'", []);
    assert!(device.batch()[0].updated_at > "2026-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn two_records_of_one_id_do_not_share_a_batch() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    device.activity(1, "Run");
    let batch = device.batch();
    assert_eq!(batch.len(), 1);
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    assert_eq!((device.pending(), device.batch().len()), (1, 1));
}

#[test]
fn an_erased_account_is_sent_nothing_until_it_begins_afresh() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    device.local.note_erased().unwrap();
    assert!(device.local.standing().unwrap().erased);
    assert!(device.batch().is_empty());
    device.take(&[mood_told(2, "v1", "{}")]);
    assert_eq!(device.read("SELECT count(*) FROM moods"), ["1"]);
    device.local.begin_afresh().unwrap();
    assert_eq!(device.batch().len(), 1);
    assert!(!device.local.standing().unwrap().erased);
}
