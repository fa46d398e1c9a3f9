//! Devices that do as they like come to agree, and lose no edit of a field.

use super::*;

/// A sequence that looks random and is the same for one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One edit by a person: what it does is counted in `time`, so that each is told apart and each is later than the last.
fn edit(device: &Device, dice: &mut Dice, time: u64) {
    let number = u32::try_from(dice.roll(6)).unwrap();
    let at = format!("2026-11-20 {:02}:{:02}:{:02}", time / 3_600, time / 60 % 60, time % 60);
    let (id, text) = (id(number), time.to_string());
    let changed = match dice.roll(7) {
        0 => {
            device.app.execute("INSERT OR IGNORE INTO moods (id, note, updated_at) VALUES (?1, ?2, ?3)", (id, text, at))
        }
        1 | 2 => device.app.execute("UPDATE moods SET note = ?2, updated_at = ?3 WHERE id = ?1", (id, text, at)),
        3 => device.app.execute("UPDATE moods SET weight = ?2, updated_at = ?3 WHERE id = ?1", (id, text, at)),
        4 => {
            device.app.execute("UPDATE moods SET tags = json_array(?2), updated_at = ?3 WHERE id = ?1", (id, text, at))
        }
        5 => device
            .app
            .execute("INSERT OR IGNORE INTO activities (id, name, updated_at) VALUES (?1, 'Run', ?3)", (id, text, at)),
        _ => device.app.execute(
            "UPDATE moods SET deleted_at = iif(deleted_at IS NULL, ?3, NULL), note = ?2, updated_at = ?3 WHERE id = ?1",
            (id, text, at),
        ),
    };
    match changed {
        Ok(_) => {}
        // A name that is taken: the person chooses another thing to do.
        Err(error) => assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation)),
    }
}

/// A sync in which answers get lost, edits are made and the device stops.
fn shaky_sync(device: &mut Device, server: &mut Server, dice: &mut Dice, time: &mut u64) {
    for _ in 0..3 {
        let batch = device.local.next_batch(BatchBounds { changes_max: 2, ..BOUNDS }).unwrap();
        let answer = server.upload_once(&batch);
        if dice.roll(3) == 0 {
            *time += 1;
            edit(device, dice, *time);
        }
        match dice.roll(4) {
            0 => return,
            1 => device.restart(vec![moods(), activities()]),
            _ => device.local.settle_batch(&answer).unwrap(),
        }
    }
    let page = server.download(device.local.standing().unwrap().cursor.as_deref());
    if dice.roll(4) > 0 {
        device.local.apply_page(&page).unwrap();
    }
}

#[test]
fn devices_converge_whatever_gets_lost() {
    for seed in 0..16 {
        let mut dice = Dice(seed);
        let mut server = Server::default();
        let mut devices = [Device::new(), Device::new(), Device::new()];
        let mut time = 0;
        for _ in 0..40 {
            time += 1;
            let device = usize::try_from(dice.roll(3)).unwrap();
            if dice.roll(3) == 0 {
                shaky_sync(&mut devices[device], &mut server, &mut dice, &mut time);
            } else {
                edit(&devices[device], &mut dice, time);
            }
        }
        for _ in 0..6 {
            devices.iter_mut().for_each(|device| device.sync(&mut server));
        }
        let live = "SELECT id, value, note, tags, weight, done FROM moods WHERE deleted_at IS NULL ORDER BY id";
        let said = |device: &Device| (device.read(live), device.names());
        let expected = said(&devices[0]);
        for device in &devices {
            assert_eq!(said(device), expected, "seed {seed}");
            assert_eq!((device.pending(), device.local.set_aside_count().unwrap()), (0, 0), "seed {seed}");
        }
        for (key, at) in &server.heads {
            let row = format!("SELECT count(*) FROM moods WHERE id = '{}' AND deleted_at IS NULL", key.1);
            if key.0 == "MoodEntry" {
                assert_eq!(devices[0].read(&row), [u8::from(!server.log[*at].deleted).to_string()], "seed {seed}");
            }
        }
        let stored = server.log.len();
        devices.iter_mut().for_each(|device| device.sync(&mut server));
        assert_eq!(server.log.len(), stored, "seed {seed}: the devices go on about it");
    }
}

#[test]
fn two_devices_that_edit_two_fields_of_one_row_keep_both() {
    let mut server = Server::default();
    let mut devices = [Device::new(), Device::new()];
    devices[0].mood(1, 5, "x");
    devices.iter_mut().for_each(|device| device.sync(&mut server));
    devices[0].run("UPDATE moods SET note = 'mine', updated_at = '2030-01-01'", []);
    devices[1].run("UPDATE moods SET value = 7, updated_at = '2029-01-01'", []);
    for _ in 0..2 {
        devices.iter_mut().for_each(|device| device.sync(&mut server));
    }
    for device in &devices {
        assert_eq!(device.read("SELECT value, note FROM moods"), ["7 mine"]);
    }
}

#[test]
fn an_app_in_either_mode_reads_and_writes_beside_the_sync() {
    for mode in ["wal", "delete"] {
        let mut device = Device::off();
        device.read(&format!("PRAGMA journal_mode = {mode}"));
        device.local.begin_afresh().unwrap();
        device.take(&[mood_told(1, "v1", r#"{"value":5}"#)]);
        device.run("UPDATE moods SET value = 6", []);
        assert_eq!(device.batch().len(), 1);
        assert_eq!(device.read("PRAGMA journal_mode"), [mode]);
    }
}

#[test]
fn a_busy_database_is_an_error_and_changes_nothing() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    device.local.db.busy_timeout(std::time::Duration::ZERO).unwrap();
    device.app.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = device.local.next_batch(BOUNDS);
    assert!(matches!(busy, Err(crate::local::LocalError::Sqlite(error))
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)));
    device.app.execute_batch("COMMIT").unwrap();
    assert_eq!(device.batch().len(), 1);
}

#[test]
fn nobody_writes_between_what_the_sync_reads_and_what_it_writes() {
    let mut device = Device::new();
    device.read("PRAGMA journal_mode = wal");
    device.app.busy_timeout(std::time::Duration::ZERO).unwrap();
    let app = &device.app;
    let edit = || app.execute("INSERT INTO moods (id) VALUES (?1)", [id(1)]);
    let during = device.local.write(|_| Ok(edit().is_err())).unwrap();
    assert!(during, "the app wrote inside a transaction of the sync");
    assert!(edit().is_ok());
}
