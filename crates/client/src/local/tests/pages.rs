//! What a page does to the app's tables.

use super::*;

#[test]
fn applied_rows_are_written_as_the_app_spells_them_and_mark_nothing() {
    let mut device = Device::new();
    device.take(&[mood_told(
        1,
        "v1",
        r#"{"value":5,"note":"x","tags":["a"],"weight":2,"done":true,"recorded_at":"2026-11-20T21:00:00.500+01:00"}"#,
    )]);
    let row = device.read("SELECT value, note, tags, weight, done, at, updated_at, deleted_at FROM moods");
    assert_eq!(row, ["5 x [\"a\"] 2.0 1 2026-11-20 20:00:00.500 2026-11-20 20:00:00 -"]);
    assert_eq!((device.pending(), device.batch().len()), (0, 0));
    assert_eq!(device.local.standing().unwrap().cursor.as_deref(), Some("c"));
}

#[test]
fn what_nobody_edited_goes_back_as_it_came() {
    let mut device = Device::new();
    let came = r#"{"value":5.0,"weight":7,"recorded_at":"2026-11-20T21:00:00+01:00","tags":[ 1.50 ],"later":{"x":1.0},"done":true}"#;
    device.take(&[mood_told(1, "v1", came)]);
    device.run("UPDATE moods SET note = 'edited'", []);
    let batch = device.batch();
    let sent = batch[0].data.as_ref().unwrap().get();
    for member in [
        r#""value":5.0"#,
        r#""weight":7"#,
        r#""recorded_at":"2026-11-20T21:00:00+01:00""#,
        r#""tags":[ 1.50 ]"#,
        r#""later":{"x":1.0}"#,
        r#""note":"edited""#,
    ] {
        assert!(sent.contains(member), "{member} is not in {sent}");
    }
    device.local.settle_batch(&stored(&batch, "2")).unwrap();
    device.run("UPDATE moods SET weight = NULL", []);
    let again = device.batch();
    assert!(again[0].data.as_ref().unwrap().get().contains(r#""later":{"x":1.0}"#), "lost with the second edit");
    assert_eq!(data(&again[0])["weight"], serde_json::Value::Null);
}

#[test]
fn a_member_that_was_absent_stays_so_and_a_column_that_is_cleared_is_null() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "v1", r#"{"value":5,"note":"x"}"#)]);
    device.run("UPDATE moods SET note = NULL", []);
    let batch = device.batch();
    assert_eq!(data(&batch[0]), serde_json::json!({"value": 5, "note": null}));
}

#[test]
fn a_field_of_an_object_is_a_column_and_the_rest_of_the_object_is_kept() {
    let mut device = Device::off();
    device.app.execute_batch("ALTER TABLE activities ADD COLUMN created TEXT").unwrap();
    device.restart(vec![activities().column(Column::time("created").field("metadata.created_at"))]);
    device.local.begin_afresh().unwrap();
    let came = r#"{"label":"Run","metadata":{"created_at":"2026-01-01T00:00:00.000Z","by":"a"}}"#;
    device.take(&[told(1, "Activity", "2026-11-20T20:00:00Z", "v1", came)]);
    assert_eq!(device.read("SELECT created FROM activities"), ["2026-01-01 00:00:00"]);
    device.run("UPDATE activities SET name = 'Walk'", []);
    let sent = data(&device.batch()[0]);
    assert_eq!(sent["metadata"], serde_json::json!({"created_at": "2026-01-01T00:00:00.000Z", "by": "a"}));
    assert_eq!(sent["label"], "Walk");
}

#[test]
fn a_page_is_applied_once_and_its_own_echo_not_at_all() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    device.app.execute_batch("CREATE TABLE writes (n); CREATE TRIGGER watch AFTER UPDATE ON moods BEGIN INSERT INTO writes VALUES (1); END").unwrap();
    let echo = SyncChange { version: Some("v1".to_owned()), base: Base::Unsaid, ..batch[0].clone() };
    device.take(&[echo]);
    let other = mood_told(1, "v2", r#"{"value":6}"#);
    device.take(&[other.clone(), other]);
    assert_eq!(device.read("SELECT count(*) FROM writes"), ["1"]);
    assert_eq!(device.pending(), 0);
}

#[test]
fn a_deletion_leaves_no_content_where_the_constraints_allow_that() {
    let mut device = Device::new();
    device.take(&[
        mood_told(1, "v1", r#"{"value":5,"note":"private","tags":["private"]}"#),
        told(2, "Activity", "2026-11-20T20:00:00Z", "v1", r#"{"label":"Private"}"#),
    ]);
    let gone = |number, kind| told(number, kind, "2026-11-20T21:00:00Z", "v2", "null");
    device.take(&[gone(1, "MoodEntry"), gone(2, "Activity"), gone(3, "MoodEntry")]);
    assert_eq!(device.read("SELECT value, note, tags, deleted_at FROM moods"), ["- - - 2026-11-20 21:00:00"]);
    assert_eq!(device.read("SELECT name, deleted_at FROM activities"), [" 2026-11-20 21:00:00"]);
    assert_eq!(device.read("SELECT count(*) FROM tombolo_rows WHERE data IS NOT NULL"), ["0"]);
    assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (0, 0));
}

#[test]
fn a_deletion_that_may_not_blank_is_a_deletion() {
    let mut device = Device::off();
    device.app.execute_batch("DROP TABLE activities; CREATE TABLE activities (id TEXT PRIMARY KEY, name TEXT NOT NULL CHECK (length(name) > 0), updated_at TEXT, deleted_at TEXT)").unwrap();
    device.local.begin_afresh().unwrap();
    device.take(&[told(1, "Activity", "2026-11-20T20:00:00Z", "v1", r#"{"label":"Run"}"#)]);
    device.take(&[told(1, "Activity", "2026-11-20T21:00:00Z", "v2", "null")]);
    assert_eq!(device.read("SELECT name, deleted_at FROM activities"), ["Run 2026-11-20 21:00:00"]);
}

#[test]
fn an_undeleted_record_is_there_again() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "v1", r#"{"value":5}"#)]);
    device.take(&[told(1, "MoodEntry", "2026-11-20T21:00:00Z", "v2", "null")]);
    device.take(&[mood_told(1, "v3", r#"{"value":6}"#)]);
    assert_eq!(device.read("SELECT value, deleted_at FROM moods"), ["6 -"]);
}

#[test]
fn a_change_that_the_app_refuses_is_set_aside_and_tried_again_and_the_page_goes_on() {
    let mut device = Device::new();
    device.app.execute_batch("CREATE TRIGGER weekends BEFORE INSERT ON moods WHEN NEW.note = 'later' AND NOT EXISTS (SELECT 1 FROM activities) BEGIN SELECT RAISE(ABORT, 'not yet'); END").unwrap();
    device.take(&[
        mood_told(1, "v1", r#"{"value":9}"#),
        mood_told(2, "v1", r#"{"value":5,"note":"later"}"#),
        mood_told(3, "v1", r#"{"value":[]}"#),
        mood_told(4, "v1", r#"{"enc":"v1","box":"x"}"#),
        mood_told(5, "v1", r#"7"#),
        mood_told(6, "v1", r#"{"value":6}"#),
    ]);
    assert_eq!(device.read("SELECT value FROM moods"), ["6"]);
    assert_eq!(device.local.set_aside_count().unwrap(), 5);
    device.activity(1, "Run");
    device.take(&[]);
    assert_eq!(device.read("SELECT value FROM moods ORDER BY id"), ["5", "6"]);
    assert_eq!(device.local.set_aside_count().unwrap(), 4);
    device.take(&[mood_told(1, "v2", r#"{"value":3}"#)]);
    assert_eq!(device.read("SELECT value FROM moods ORDER BY id"), ["3", "5", "6"]);
    assert_eq!(device.local.set_aside_count().unwrap(), 3);
}

#[test]
fn what_was_set_aside_is_not_applied_over_what_is_newer() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "v1", r#"{"value":5}"#)]);
    device.take(&[mood_told(1, "v2", r#"{"value":9}"#)]);
    device.run("UPDATE moods SET value = 4", []);
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "3")).unwrap();
    assert_eq!(device.local.set_aside_count().unwrap(), 0);
    device.take(&[]);
    assert_eq!(device.read("SELECT value FROM moods"), ["4"]);
}

#[test]
fn a_unique_column_that_replaces_does_not_take_another_row_away() {
    let mut device = Device::off();
    device.app.execute_batch("DROP TABLE activities; CREATE TABLE activities (id TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE, updated_at TEXT, deleted_at TEXT)").unwrap();
    device.restart(vec![Table::new("activities", "Activity").column(Column::plain("name"))]);
    device.local.begin_afresh().unwrap();
    device.activity(1, "Run");
    device.take(&[told(2, "Activity", "2026-11-20T20:00:00Z", "v1", r#"{"name":"Run"}"#)]);
    assert_eq!(device.read("SELECT id FROM activities"), [id(1)]);
    assert_eq!(device.local.set_aside_count().unwrap(), 1);
}

#[test]
fn the_apps_own_triggers_run_and_do_not_restamp_what_arrived() {
    let mut device = Device::new();
    device.app.execute_batch(
        "CREATE TABLE found (note TEXT);
         CREATE TRIGGER stamp AFTER UPDATE ON moods BEGIN UPDATE moods SET updated_at = '2099-01-01' WHERE id = NEW.id; END;
         CREATE TRIGGER stamp_new AFTER INSERT ON moods BEGIN UPDATE moods SET updated_at = '2099-01-01' WHERE id = NEW.id; END;
         CREATE TRIGGER search AFTER INSERT ON moods BEGIN INSERT INTO found VALUES (NEW.note); END;",
    ).unwrap();
    device.take(&[mood_told(1, "v1", r#"{"value":5,"note":"x"}"#)]);
    device.take(&[mood_told(1, "v2", r#"{"value":6,"note":"x"}"#)]);
    assert_eq!(device.read("SELECT updated_at FROM moods"), ["2026-11-20 20:00:00"]);
    assert_eq!((device.read("SELECT note FROM found"), device.pending()), (vec!["x".to_owned()], 0));
    device.run("UPDATE moods SET value = 7", []);
    assert_eq!((device.pending(), device.read("SELECT updated_at FROM moods")), (1, vec!["2099-01-01".to_owned()]));
}

#[test]
fn kinds_without_a_table_are_kept_and_applied_once_there_is_one() {
    let mut device = Device::new();
    device.take(&[told(1, "SleepLog", "2026-11-20T20:00:00Z", "v1", r#"{"hours":8,"more":true}"#)]);
    assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (0, 0));
    device
        .app
        .execute_batch("CREATE TABLE sleep (id TEXT PRIMARY KEY, hours INTEGER, updated_at TEXT, deleted_at TEXT)")
        .unwrap();
    device.run("INSERT INTO sleep (id, hours) VALUES (?1, 3)", [id(2)]);
    device.restart(vec![activities(), moods(), Table::new("sleep", "SleepLog").column(Column::plain("hours"))]);
    assert_eq!(device.read("SELECT hours FROM sleep ORDER BY id"), ["8", "3"]);
    assert_eq!((device.pending(), device.read("SELECT * FROM tombolo_foreign").len()), (1, 0));
    device.run("UPDATE sleep SET hours = 7 WHERE hours = 8", []);
    let batch = device.batch();
    assert_eq!(
        (data(&batch[0]), &batch[0].base),
        (serde_json::json!({"hours": 7, "more": true}), &Base::Version("v1".to_owned()))
    );
}

#[test]
fn rows_come_in_any_order_whatever_refers_to_them() {
    let mut device = Device::off();
    device.app.execute_batch("PRAGMA foreign_keys = ON; CREATE TABLE logs (id TEXT PRIMARY KEY, activity TEXT NOT NULL REFERENCES activities, updated_at TEXT, deleted_at TEXT)").unwrap();
    device.restart(vec![Table::new("logs", "ActivityLog").column(Column::plain("activity")), activities()]);
    device.local.begin_afresh().unwrap();
    let log = format!(r#"{{"activity":"{}"}}"#, id(1));
    device.take(&[told(2, "ActivityLog", "2026-11-20T20:00:00Z", "v1", &log)]);
    device.take(&[told(1, "Activity", "2026-11-20T20:00:00Z", "v1", r#"{"label":"Run"}"#)]);
    assert_eq!(device.read("PRAGMA foreign_key_check").len(), 0);
    assert_eq!(device.read("SELECT count(*) FROM logs"), ["1"]);
}

#[test]
fn a_page_that_brings_nothing_new_writes_nothing() {
    let mut device = Device::new();
    device.take(&[]);
    let before = device.read("PRAGMA data_version");
    device.take(&[]);
    assert!(device.batch().is_empty());
    assert_eq!(device.read("PRAGMA data_version"), before);
    device.take(&[mood_told(1, "v1", "{}")]);
    assert_ne!(device.read("PRAGMA data_version"), before);
}
