//! A crash between any two statements leaves all as it was, or done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::local::Reset;

/// Everything that is kept, the app's rows and ours; without what the clock said.
fn whole(device: &Device) -> Vec<String> {
    let names = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY 1";
    let tables = device.read(&names.replace("WHERE", "WHERE type = 'table' AND"));
    let rows =
        tables.iter().flat_map(|table| device.read(&format!("SELECT '{table}', * FROM \"{table}\" ORDER BY 1, 2, 3")));
    let is_clock =
        |word: &str| word.len() > 8 && word.bytes().all(|byte| byte.is_ascii_digit() || b"-:.".contains(&byte));
    let timeless = |row: String| row.split(' ').filter(|word| !is_clock(word)).collect::<Vec<_>>().join(" ");
    rows.map(timeless).chain(device.read(names)).collect()
}

fn device() -> Device {
    let mut device = Device::new();
    let run = told(2, "Activity", "2026-11-20T20:00:00Z", "b", r#"{"label":"Run"}"#);
    device.take(&[mood_told(1, "a", r#"{"note":"x"}"#), run]);
    device.run("UPDATE moods SET note = 'y', updated_at = '2026-11-21 00:00:00'", []);
    device.run("INSERT INTO moods (id, note, updated_at) VALUES (?1, 'new', '2026-11-21 00:00:00')", [id(3)]);
    device
}

/// Does `work` with a crash at each step in turn, until it is done without one: each time, nothing of it was done, or all.
fn crash_everywhere(prepare: impl Fn(&mut Device), work: impl Fn(&mut Device)) {
    let mut outcomes = [0, 0];
    for steps in 1..200 {
        let mut device = device();
        prepare(&mut device);
        let before = whole(&device);
        arm(Some(steps));
        let has_crashed = catch_unwind(AssertUnwindSafe(|| work(&mut device))).is_err();
        arm(None);
        device.restart(vec![activities(), moods()]);
        let after = whole(&device);
        if !has_crashed {
            assert_eq!(outcomes[1], 1, "the last step comes after the commit, and no other");
            assert!(outcomes[0] > 0 && before != after, "there was nothing in it");
            return;
        }
        let mut done = self::device();
        prepare(&mut done);
        work(&mut done);
        assert!(before == after || after == whole(&done), "a half was kept at step {steps}: {after:#?}");
        outcomes[usize::from(before != after)] += 1;
        assert_eq!(device.read("PRAGMA integrity_check"), ["ok"]);
    }
    panic!("it never came to an end");
}

#[test]
fn while_a_batch_is_noted() {
    crash_everywhere(|_| (), |device| assert_eq!(device.batch().len(), 2));
}

#[test]
fn while_an_answer_is_noted() {
    let noted = |device: &mut Device| {
        let batch = [1, 3].map(|number| mood_told(number, "", "{}"));
        device.local.settle_batch(&stored(&batch, "9")).unwrap();
    };
    crash_everywhere(|device| assert_eq!(device.batch().len(), 2), noted);
}

#[test]
fn while_a_page_is_applied() {
    let page = [
        mood_told(4, "c", r#"{"value":5}"#),
        mood_told(5, "d", r#"{"value":99}"#),
        told(1, "Activity", "2026-11-20T20:00:00Z", "e", r#"{"label":"Run"}"#),
        told(6, "SleepLog", "2026-11-20T20:00:00Z", "f", "{}"),
    ];
    crash_everywhere(|_| (), |device| device.take(&page));
}

#[test]
fn while_all_begins_again() {
    crash_everywhere(|_| (), |device| device.local.begin_afresh().unwrap());
    crash_everywhere(|_| (), |device| device.local.reset(Reset::Restored).unwrap());
    crash_everywhere(|_| (), |device| device.local.end().unwrap());
}
