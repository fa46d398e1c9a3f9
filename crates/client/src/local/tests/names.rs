//! Names that two devices gave to different rows.

use super::*;

fn activity_told(number: u32, version: &str, name: &str) -> SyncChange {
    told(number, "Activity", "2026-11-20T20:00:00Z", version, &serde_json::json!({ "label": name }).to_string())
}

#[test]
fn of_two_the_greater_id_is_renamed_whichever_came_first_and_is_pending() {
    for (own, arriving) in [(1, 2), (2, 1)] {
        let mut device = Device::new();
        device.activity(own, "Run");
        let batch = device.batch();
        device.local.settle_batch(&stored(&batch, "1")).unwrap();
        device.take(&[activity_told(arriving, "v7", "Run")]);
        assert_eq!(device.names(), ["Run", "Run (2)"]);
        let batch = device.batch();
        assert_eq!((batch.len(), batch[0].id.to_string()), (1, id(2)));
        assert_eq!(data(&batch[0])["label"], "Run (2)");
        let base = if own == 2 { "v1" } else { "v7" };
        assert_eq!(batch[0].base, Base::Version(base.to_owned()));
    }
}

#[test]
fn a_number_that_is_taken_is_passed_over() {
    let mut device = Device::new();
    device.take(&[activity_told(1, "v1", "Run"), activity_told(2, "v1", "Run (2)"), activity_told(3, "v1", "Run")]);
    assert_eq!(device.names(), ["Run", "Run (2)", "Run (3)"]);
}

#[test]
fn deleted_rows_do_not_collide() {
    let mut device = Device::new();
    device.activity(1, "Run");
    device.run("UPDATE activities SET deleted_at = '2026-01-01'", []);
    device.take(&[activity_told(2, "v1", "Run")]);
    assert_eq!(device.names(), ["Run"]);
    assert_eq!(device.read("SELECT name FROM activities ORDER BY id"), ["Run", "Run"]);
}

#[test]
fn a_row_that_was_edited_here_is_renamed_too_and_keeps_its_edit() {
    let mut device = Device::new();
    device.take(&[activity_told(2, "v1", "Walk")]);
    device.run("UPDATE activities SET name = 'Run'", []);
    device.take(&[activity_told(1, "v1", "Run")]);
    assert_eq!(device.names(), ["Run", "Run (2)"]);
    let batch = device.batch();
    assert_eq!((data(&batch[0])["label"].as_str(), batch.len()), (Some("Run (2)"), 1));
}

#[test]
fn a_row_on_its_way_that_is_renamed_is_sent_again() {
    let mut device = Device::new();
    device.activity(2, "Run");
    let batch = device.batch();
    device.take(&[activity_told(1, "v1", "Run")]);
    assert_eq!(data(&device.batch()[0])["label"], "Run", "a retry is the very same");
    device.local.settle_batch(&stored(&batch, "5")).unwrap();
    let again = device.batch();
    assert_eq!((data(&again[0])["label"].as_str(), &again[0].base), (Some("Run (2)"), &Base::Version("v5".to_owned())));
}

#[test]
fn names_that_changed_places_arrive_as_they_are() {
    for order in [[1, 2], [2, 1]] {
        let mut device = Device::new();
        device.take(&[activity_told(1, "v1", "Run"), activity_told(2, "v1", "Walk")]);
        let swapped = |number| activity_told(number, "v2", if number == 1 { "Walk" } else { "Run" });
        device.take(&order.map(swapped));
        assert_eq!(device.names(), ["Walk", "Run"], "{order:?}");
        assert_eq!(device.pending(), 0, "{order:?}");
    }
}

#[test]
fn a_name_that_an_index_takes_for_the_same_is_one() {
    let mut device = Device::new();
    device
        .app
        .execute_batch(
            "DROP INDEX names; CREATE UNIQUE INDEX names ON activities (name COLLATE NOCASE) WHERE deleted_at IS NULL",
        )
        .unwrap();
    device.take(&[activity_told(1, "v1", "run"), activity_told(2, "v1", "Run")]);
    assert_eq!(device.names(), ["run", "Run (2)"]);
    device.take(&[activity_told(0, "v1", "RUN")]);
    assert_eq!(device.names(), ["RUN", "run (3)", "Run (2)"]);
    assert_eq!(device.local.set_aside_count().unwrap(), 0);
}

#[test]
fn three_devices_that_made_one_name_come_to_agree() {
    let mut server = Server::default();
    let mut devices = [Device::new(), Device::new(), Device::new()];
    for (number, device) in (1..).zip(&devices) {
        device.activity(number, "Run");
    }
    for _ in 0..4 {
        devices.iter_mut().for_each(|device| device.sync(&mut server));
    }
    let names = devices[0].names();
    assert_eq!((names.len(), names[0].as_str()), (3, "Run"));
    for device in &mut devices {
        assert_eq!(device.names(), names);
        assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (0, 0));
    }
    let stored = server.log.len();
    devices.iter_mut().for_each(|device| device.sync(&mut server));
    assert_eq!(server.log.len(), stored, "the devices go on about it");
}
