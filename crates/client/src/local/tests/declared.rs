//! What is declared and what is there.

use super::*;
use crate::local::LocalError;

/// What attaching says of a table made by `sql`.
fn complaint(sql: &str, table: Table) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let said = Local::attach(&path, vec![table]);
    match said {
        Ok(_) => None,
        Err(LocalError::Table { what, .. }) => Some(what),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_table_that_is_not_as_declared_is_told_apart() {
    let check = |sql: &str, table: Table, expected: &str| {
        let said = complaint(sql, table).unwrap_or_default();
        assert!(said.contains(expected), "{sql}: {said}");
    };
    let tail = "updated_at TEXT, deleted_at TEXT";
    let plain = || Table::new("t", "Thing").column(Column::plain("a"));
    let with = |columns: &str| format!("CREATE TABLE t ({columns}, {tail})");
    check("", plain(), "there is no such table");
    check("CREATE VIEW t AS SELECT 1 AS id", plain(), "a view");
    check(&with("id TEXT PRIMARY KEY"), plain(), "there is no column a");
    check("CREATE TABLE t (id TEXT PRIMARY KEY, a)", plain(), "there is no column updated_at");
    check(&with("id INTEGER PRIMARY KEY, a"), plain(), "UUIDs as text");
    check(&with("id TEXT, a"), plain(), "two rows could have one id");
    check(&(with("id TEXT, a") + "; CREATE UNIQUE INDEX i ON t (id, a)"), plain(), "two rows could have one id");
    check(&(with("id TEXT, a") + "; CREATE UNIQUE INDEX i ON t (id) WHERE a > 1"), plain(), "two rows could");
    check(&with("id TEXT PRIMARY KEY, a BLOB"), plain(), "holds bytes");
    check(&with("id TEXT PRIMARY KEY, b, a AS (b + 1)"), plain(), "is computed");
    check(
        "CREATE TABLE t (id TEXT PRIMARY KEY, a, updated_at TEXT, deleted_at TEXT NOT NULL)",
        plain(),
        "must be null",
    );
    check(&with("id TEXT PRIMARY KEY, a"), plain().column(Column::plain("A")), "declared twice");
    check(&with("id TEXT PRIMARY KEY, a, b"), plain().column(Column::plain("b").field("a")), "another column's too");
    check(&with("id TEXT PRIMARY KEY, a, b"), plain().column(Column::plain("b").field("a.x")), "another column's too");
    check(&with("id TEXT PRIMARY KEY, a, b"), plain().column(Column::plain("b").field("x.")), "neither a name");
    check(&with("id TEXT PRIMARY KEY, a"), plain().unique_name("b"), "the unique name b");
    check(&with("id TEXT PRIMARY KEY, a"), Table::new("t", "no type"), "an entity type is");
}

#[test]
fn tables_of_every_shape_are_taken() {
    let tail = "updated_at TEXT, deleted_at TEXT";
    let plain = || Table::new("T", "Thing").column(Column::plain("A"));
    for sql in [
        format!("CREATE TABLE t (id TEXT PRIMARY KEY, a, {tail})"),
        format!("CREATE TABLE t (id TEXT PRIMARY KEY, a, b AS (a + 1), {tail}) WITHOUT ROWID"),
        format!("CREATE TABLE t (k INTEGER PRIMARY KEY, id TEXT UNIQUE, a TEXT DEFAULT (upper('x')), {tail}) STRICT"),
        format!(
            "CREATE TABLE t (k INTEGER PRIMARY KEY, a, {tail}); ALTER TABLE t ADD COLUMN id TEXT; CREATE UNIQUE INDEX i ON t (id)"
        ),
    ] {
        assert_eq!(complaint(&sql, plain()), None, "{sql}");
    }
}

#[test]
fn odd_names_are_names() {
    let mut device = Device::off();
    device.app.execute_batch("CREATE TABLE \"my \"\"table\" (\"the 'id\" TEXT PRIMARY KEY, \"order\" TEXT, updated_at TEXT, deleted_at TEXT)").unwrap();
    device.restart(vec![Table::new("my \"table", "Odd_one").id("the 'id").column(Column::plain("order"))]);
    device.local.begin_afresh().unwrap();
    device.run("INSERT INTO \"my \"\"table\" (\"the 'id\", \"order\") VALUES (?1, 'x')", [id(1)]);
    assert_eq!(data(&device.batch()[0])["order"], "x");
    device.take(&[told(2, "Odd_one", "2026-11-20T20:00:00Z", "v1", r#"{"order":"y"}"#)]);
    assert_eq!(device.read("SELECT \"order\" FROM \"my \"\"table\""), ["x", "y"]);
}

#[test]
fn no_such_database_is_an_error_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.db");
    assert!(matches!(Local::attach(&path, vec![]), Err(LocalError::Sqlite(_))));
    assert!(!path.exists());
}

#[test]
fn attaching_again_changes_nothing() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    let before = device.read("PRAGMA schema_version");
    device.restart(vec![activities(), moods()]);
    assert_eq!(device.read("PRAGMA schema_version"), before);
    assert_eq!(device.pending(), 1);
}

#[test]
fn a_column_that_is_declared_later_takes_what_others_said_and_offers_what_it_holds() {
    let mut device = Device::new();
    device.take(&[
        mood_told(1, "a", r#"{"note":"x","sleep":8}"#),
        mood_told(2, "b", r#"{"note":"y"}"#),
        mood_told(3, "c", r#"{"note":"z"}"#),
    ]);
    device.app.execute_batch("ALTER TABLE moods ADD COLUMN sleep INTEGER").unwrap();
    device.run("UPDATE moods SET sleep = 6 WHERE id = ?1", [id(3)]);
    assert_eq!(device.pending(), 0);
    device.restart(vec![activities(), moods().column(Column::plain("sleep"))]);
    assert_eq!(device.read("SELECT sleep FROM moods ORDER BY id"), ["8", "-", "6"]);
    let batch = device.batch();
    assert_eq!((batch.len(), data(&batch[0])["sleep"].as_i64()), (1, Some(6)));
    device.local.settle_batch(&stored(&batch, "2")).unwrap();
    device.run("UPDATE moods SET sleep = 9 WHERE id = ?1", [id(1)]);
    assert_eq!(data(&device.batch()[0])["sleep"], 9);
}

#[test]
fn a_column_that_is_no_longer_declared_keeps_what_others_know() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "a", r#"{"note":"x","weight":2}"#)]);
    let fewer = Table::new("moods", "MoodEntry").column(Column::plain("note"));
    device.restart(vec![activities(), fewer]);
    device.app.execute_batch("ALTER TABLE moods DROP COLUMN weight").unwrap();
    device.run("UPDATE moods SET note = 'y'", []);
    assert_eq!(data(&device.batch()[0]), serde_json::json!({"note": "y", "weight": 2}));
}

#[test]
fn a_table_made_anew_is_tracked_again_and_its_rows_are_offered_on_their_bases() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "a", r#"{"note":"x"}"#), mood_told(2, "b", r#"{"note":"y"}"#)]);
    device.app.execute_batch(
        "CREATE TABLE new (id TEXT PRIMARY KEY, value INTEGER, note TEXT, tags TEXT, weight REAL, done INTEGER, at TEXT,
            updated_at TEXT, deleted_at TEXT);
         INSERT INTO new SELECT id, value, note, tags, weight, done, at, updated_at, deleted_at FROM moods;
         DROP TABLE moods; ALTER TABLE new RENAME TO moods; UPDATE moods SET note = 'unseen' WHERE note = 'x';",
    ).unwrap();
    let batch = device.batch();
    assert_eq!(batch.len(), 2, "noticed without a restart");
    assert_eq!((data(&batch[0])["note"].as_str(), &batch[0].base), (Some("unseen"), &Base::Version("a".to_owned())));
    device.local.settle_batch(&stored(&batch, "2")).unwrap();
    device.run("UPDATE moods SET note = 'z' WHERE id = ?1", [id(1)]);
    assert_eq!(device.pending(), 1);
}

#[test]
fn a_table_made_anew_without_its_rows_deletes_nothing_and_is_filled_again() {
    let mut device = Device::new();
    device.take(&[mood_told(1, "a", r#"{"note":"x"}"#), mood_told(2, "b", r#"{"note":"y"}"#)]);
    device.run("UPDATE moods SET note = 'edited' WHERE id = ?1", [id(2)]);
    device.app.execute_batch(&format!("DROP TABLE moods; DROP TABLE activities; {APP}")).unwrap();
    assert_eq!(device.batch().len(), 0);
    let standing = device.local.standing().unwrap();
    assert_eq!((standing.cursor, standing.last_cursor.as_deref()), (None, Some("c")));
    device.local.reset(super::super::Reset::Other).unwrap();
    assert_eq!(device.local.standing().unwrap().last_cursor.as_deref(), Some("c"), "it is all that proves the log");
    device.take(&[mood_told(1, "a", r#"{"note":"x"}"#), mood_told(2, "b", r#"{"note":"y"}"#)]);
    assert_eq!(device.local.standing().unwrap().last_cursor, None);
    assert_eq!(device.read("SELECT note FROM moods ORDER BY id"), ["x", "y"]);
}

#[test]
fn a_table_that_is_gone_is_said() {
    let mut device = Device::new();
    device.mood(1, 5, "x");
    device.app.execute_batch("DROP TABLE moods").unwrap();
    assert!(matches!(device.local.next_batch(BOUNDS), Err(LocalError::Table { table, .. }) if table == "moods"));
    device
        .app
        .execute_batch(
            &APP.replace("CREATE TABLE activities", "CREATE TABLE other")
                .replace("CREATE UNIQUE INDEX names ON activities", "CREATE UNIQUE INDEX others ON other"),
        )
        .unwrap();
    assert!(device.batch().is_empty());
}

#[test]
fn another_layout_is_refused() {
    let device = Device::new();
    device.run("UPDATE tombolo_state SET layout = 2", []);
    let again = Local::attach(&device.folder.path().join("app.db"), vec![]);
    assert!(matches!(again, Err(LocalError::Table { what, .. }) if what.contains("update the app")));
}
