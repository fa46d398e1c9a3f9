//! A server that was set back.

use super::*;

fn mood(number: u32, at: &str, version: &str, note: &str) -> SyncChange {
    told(number, "MoodEntry", at, version, &serde_json::json!({ "note": note }).to_string())
}

const EARLY: &str = "2026-11-20T20:00:00Z";
const LATE: &str = "2026-11-20T21:00:00Z";

/// What is offered after `page` was all that a restored server had.
fn after(device: &mut Device, page: &[SyncChange]) -> Vec<SyncChange> {
    device.local.reset(Reset::Restored).unwrap();
    assert_eq!(device.local.standing().unwrap().cursor, None);
    device.take(page);
    device.batch()
}

use crate::local::Reset;

#[test]
fn what_the_server_lacks_is_offered_again_without_a_base() {
    let mut device = Device::new();
    device.take(&[
        mood(1, EARLY, "a", "kept"),
        mood(2, LATE, "b", "lost"),
        told(3, "MoodEntry", LATE, "c", "null"),
        told(4, "SleepLog", LATE, "d", r#"{"hours":8}"#),
    ]);
    let offered = after(&mut device, &[mood(1, EARLY, "a", "kept")]);
    let said: Vec<_> = offered.iter().map(|change| (change.id.to_string(), change.deleted)).collect();
    assert_eq!(said, [(id(2), false), (id(3), true), (id(4), false)]);
    assert!(offered.iter().all(|change| change.base == Base::Nothing && change.updated_at == LATE.parse().unwrap()));
    assert_eq!(data(&offered[2])["hours"], 8);
    device.local.settle_batch(&stored(&offered, "9")).unwrap();
    device.take(&[]);
    assert_eq!((device.pending(), device.batch().len()), (0, 0));
}

#[test]
fn an_older_row_of_the_server_does_not_overwrite_and_a_newer_one_does() {
    let mut device = Device::new();
    device.take(&[
        mood(1, LATE, "a", "later here"),
        mood(2, EARLY, "b", "earlier here"),
        told(3, "MoodEntry", LATE, "c", "null"),
    ]);
    let offered =
        after(&mut device, &[mood(1, EARLY, "x", "old"), mood(2, LATE, "y", "new"), mood(3, EARLY, "z", "back")]);
    assert_eq!(device.read("SELECT note FROM moods ORDER BY id"), ["later here", "new"]);
    let said: Vec<_> = offered.iter().map(|change| (change.id.to_string(), change.deleted, &change.base)).collect();
    assert_eq!(said, [(id(1), false, &Base::Nothing), (id(3), true, &Base::Nothing)]);
}

#[test]
fn times_of_a_second_compare_right_with_others() {
    let mut device = Device::new();
    device.run("INSERT INTO moods (id, note, updated_at) VALUES (?1, 'mine', '2026-11-20 20:00:01')", [id(1)]);
    let batch = device.batch();
    device.local.settle_batch(&stored(&batch, "1")).unwrap();
    let offered = after(&mut device, &[mood(1, "2026-11-20T20:00:00.999Z", "x", "theirs")]);
    assert_eq!((offered.len(), device.read("SELECT note FROM moods")), (1, vec!["mine".to_owned()]));
    device.local.settle_batch(&stored(&offered, "2")).unwrap();
    assert!(after(&mut device, &[mood(1, "2026-11-20T20:00:01.001Z", "y", "theirs")]).is_empty());
    assert_eq!(device.read("SELECT note FROM moods"), ["theirs"]);
}

#[test]
fn nothing_is_offered_before_the_last_page() {
    let mut device = Device::new();
    device.take(&[mood(1, LATE, "a", "lost"), mood(2, EARLY, "b", "kept")]);
    device.local.reset(Reset::Restored).unwrap();
    let page = SyncDownloadResponse { server_cursor: "1".to_owned(), changes: vec![], has_more: true };
    device.local.apply_page(&page).unwrap();
    assert_eq!(device.pending(), 0);
    device.restart(vec![activities(), moods()]);
    device.take(&[mood(2, EARLY, "b", "kept")]);
    assert_eq!(device.batch().iter().map(|change| change.id.to_string()).collect::<Vec<_>>(), [id(1)]);
}

#[test]
fn after_any_other_reset_rows_are_taken_from_the_server_but_for_edits() {
    let mut device = Device::new();
    device.take(&[mood(1, LATE, "a", "later here"), mood(2, LATE, "b", "edited"), mood(3, LATE, "c", "not there")]);
    device.run("UPDATE moods SET note = 'edit' WHERE id = ?1", [id(2)]);
    device.local.reset(Reset::Other).unwrap();
    device.take(&[mood(1, EARLY, "x", "theirs"), mood(2, EARLY, "y", "theirs")]);
    assert_eq!(device.read("SELECT note FROM moods ORDER BY id"), ["theirs", "edit", "not there"]);
    assert_eq!(device.pending(), 1);
}

#[test]
fn beginning_afresh_offers_all_with_what_the_server_said_beside_the_columns() {
    let mut device = Device::new();
    let mood = r#"{"note":"x","later":1}"#;
    device.take(&[mood_told(1, "a", mood), told(2, "MoodEntry", LATE, "b", "null"), mood_told(3, "c", mood)]);
    device.run("DELETE FROM moods WHERE id = ?1", [id(3)]);
    device.local.end().unwrap();
    assert_eq!(device.read("SELECT data FROM tombolo_rows"), [r#"{"later":1}"#]);
    device.local.begin_afresh().unwrap();
    let batch = device.batch();
    assert_eq!(batch.len(), 1);
    assert_eq!((data(&batch[0])["later"].as_i64(), data(&batch[0])["note"].as_str()), (Some(1), Some("x")));
    assert_eq!((&batch[0].base, device.local.standing().unwrap().cursor), (&Base::Nothing, None));
}
