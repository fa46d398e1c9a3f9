//! Databases that an earlier version wrote.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::sync::Arc;

use support::{OnDisk, OnPostgres};
use tombolo_core::{EmailAddress, Purpose, SpaceNumber, UserId};
use tombolo_storage::{Accounts, Added, Logs, SpaceAddress, Upkeep as _};
use tombolo_testkit::{Stores as _, TestEnv, wait};

/// Users of whom two have one address, and spaces of which the last was removed.
const EARLIER: &str = "
    INSERT INTO users (id, name, email, created_at, disabled_at) VALUES
        (1, 'ann', 'Ann@Example.org', 11, NULL), (2, 'bob', 'ann@example.org', 12, 13), (3, 'cem', NULL, 14, NULL),
        (4, 'eve', 'Ève@example.org', 15, NULL);
    INSERT INTO spaces (id, owner, purpose, head_seq, head_time, generation, created_at) VALUES
        (5, 1, 'tickit', 7, 8, 1, 9), (6, 3, 'tickit', 2, 3, 1, 4), (9, 4, 'tickit', 0, 0, 0, 5);
    DELETE FROM spaces WHERE id = 9;
";

/// That everything is there, with what this version knows of it.
async fn is_carried_on(store: &(impl Accounts + Logs)) {
    let users = store.users().await.unwrap();
    let times: Vec<_> = users.iter().map(|user| (user.id.get(), user.confirmed_at.map(|at| at.micros()))).collect();
    assert_eq!(times, [(1, Some(11)), (2, Some(12)), (3, Some(14)), (4, Some(15))]);
    assert_eq!(users[1].email.as_deref(), Some("ann@example.org"), "it is shown, and finds the first");
    assert_eq!(users[1].disabled_at.map(|at| at.micros()), Some(13));
    let add = async |text: &str| {
        let email = EmailAddress::parse(text).unwrap();
        let name = tombolo_core::Name::parse(text).unwrap();
        store.add_user(&name, Some(&email), TestEnv::START).await.unwrap()
    };
    assert_eq!(add("ANN@example.org").await, Added::EmailTaken);
    assert_eq!(add("Ève@EXAMPLE.org").await, Added::EmailTaken);
    assert!(matches!(add("ève@example.org").await, Added::New(_)), "only ASCII letters have one case");
    let space = |owner| SpaceAddress::only(UserId::new(owner), Purpose::Tickit);
    let numbered = SpaceAddress { number: SpaceNumber::new(1), ..space(1) };
    let heads = store.heads(&[space(1), space(3), space(4), numbered]).await.unwrap();
    assert_eq!(heads.into_iter().map(tombolo_core::Seq::get).collect::<Vec<_>>(), [7, 2, 0, 0]);
}

#[test]
fn a_file_without_people_who_share() {
    let disk = OnDisk::default();
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    for migration in [
        include_str!("../src/sqlite/migrations/0001_initial.sql"),
        include_str!("../src/sqlite/migrations/0002_moved.sql"),
        EARLIER,
        "PRAGMA user_version = 2",
    ] {
        file.execute_batch(migration).unwrap();
    }
    let store = disk.server(Arc::new(TestEnv::new(1)));
    wait(is_carried_on(&store));
    wait(store.close()).unwrap();
    // No number of a space is ever given out again.
    let insert = "INSERT INTO spaces (owner, purpose, number, created_at) VALUES (1, 'td', 3, 4) RETURNING id";
    assert_eq!(file.query_row(insert, [], |row| row.get::<_, i64>(0)).unwrap(), 10);
    let twice = "INSERT INTO spaces (owner, purpose, number, created_at) VALUES (1, 'td', 3, 4)";
    assert!(file.execute(twice, []).is_err());
    let counters = "SELECT count(*) FROM sqlite_sequence WHERE name IN ('spaces', 'numbered_spaces')";
    assert_eq!(file.query_row(counters, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// A user who signs in with a key, one who is pending by an address, and a log of entries.
const PEOPLE: &str = "
    INSERT INTO users (id, name, email, email_key, created_at, confirmed_at) VALUES
        (1, 'ann', 'ann@example.org', 'ann@example.org', 11, 11),
        (2, 'bob@example.org', 'bob@example.org', 'bob@example.org', 12, NULL);
    INSERT INTO credentials (id, user_id, name, purpose, prefix, hash, created_at) VALUES
        (7, 1, 'key', 'td', 'p', '', 12);
    INSERT INTO spaces (id, owner, purpose, number, head_seq, head_time, generation, created_at) VALUES
        (5, 1, 'td', 3, 1, 8, 1, 9);
";

/// That what was there is, and that everything that this version adds begins empty and works.
async fn knows_people(store: &dyn tombolo_storage::Store) {
    let users: Vec<_> =
        store.users().await.unwrap().into_iter().map(|user| (user.id.get(), user.confirmed_at)).collect();
    assert_eq!(users.iter().map(|(id, at)| (*id, at.is_some())).collect::<Vec<_>>(), [(1, true), (2, false)]);
    assert!(store.find_credential("p").await.unwrap().is_some());
    let key = tombolo_storage::IdentityKey::User(UserId::new(1));
    assert_eq!(store.identity(Purpose::SimpleSync, key).await.unwrap(), None);
    tombolo_testkit::identities_suite::a_secret_stays(store).await;
    tombolo_testkit::ruled_suite::what_entries_do_beside_others(store).await;
}

/// A log of notes with a device, which an earlier version wrote.
const DEVICES: &str = "
    INSERT INTO users (id, name, email, email_key, created_at, confirmed_at) VALUES (1, 'ada', NULL, NULL, 11, 11);
    INSERT INTO spaces (id, owner, purpose, number, head_seq, head_time, generation, created_at) VALUES
        (5, 1, 'tickit', 1, 0, 0, 1, 9);
    INSERT INTO replicas (id, space, name, added_at) VALUES (3, 5, 'desktop', 12);
";

#[test]
fn a_file_without_replicas_of_two_requests() {
    let disk = OnDisk::default();
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    for migration in [
        include_str!("../src/sqlite/migrations/0001_initial.sql"),
        include_str!("../src/sqlite/migrations/0002_moved.sql"),
        include_str!("../src/sqlite/migrations/0003_people.sql"),
        include_str!("../src/sqlite/migrations/0004_entries.sql"),
        include_str!("../src/sqlite/migrations/0005_identities.sql"),
        include_str!("../src/sqlite/migrations/0006_rooms.sql"),
        DEVICES,
        "PRAGMA user_version = 6",
    ] {
        file.execute_batch(migration).unwrap();
    }
    let store = disk.server(Arc::new(TestEnv::new(1)));
    wait(tombolo_testkit::replicas_suite::a_device_is_one_users(&store));
    wait(store.close()).unwrap();
    let marks = "SELECT acknowledged + given FROM replicas WHERE name = 'desktop' AND space = 5";
    assert_eq!(file.query_row(marks, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn a_file_without_identities() {
    let disk = OnDisk::default();
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    for migration in [
        include_str!("../src/sqlite/migrations/0001_initial.sql"),
        include_str!("../src/sqlite/migrations/0002_moved.sql"),
        include_str!("../src/sqlite/migrations/0003_people.sql"),
        include_str!("../src/sqlite/migrations/0004_entries.sql"),
        PEOPLE,
        "PRAGMA user_version = 4",
    ] {
        file.execute_batch(migration).unwrap();
    }
    let store = disk.server(Arc::new(TestEnv::new(1)));
    wait(knows_people(&store));
    wait(store.close()).unwrap();
    assert_eq!(file.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 7);
}

#[test]
fn a_database_without_identities() {
    let Some(database) = OnPostgres::new() else { return };
    for migration in [
        include_str!("../src/postgres/migrations/0001_initial.sql"),
        include_str!("../src/postgres/migrations/0002_people.sql"),
        include_str!("../src/postgres/migrations/0003_entries.sql"),
        PEOPLE,
        "SELECT setval(pg_get_serial_sequence('users', 'id'), 2),
             setval(pg_get_serial_sequence('credentials', 'id'), 7),
             setval(pg_get_serial_sequence('spaces', 'id'), 5)",
        "CREATE TABLE tombolo_schema (version BIGINT NOT NULL)",
        "INSERT INTO tombolo_schema VALUES (3)",
    ] {
        database.database().sql(migration);
    }
    let store = database.node(Arc::new(TestEnv::new(1)));
    wait(knows_people(&*store));
    wait(store.close()).unwrap();
}

#[test]
fn a_database_without_people_who_share() {
    let Some(database) = OnPostgres::new() else { return };
    for migration in [
        include_str!("../src/postgres/migrations/0001_initial.sql"),
        EARLIER,
        "SELECT setval(pg_get_serial_sequence('users', 'id'), 4)",
        "CREATE TABLE tombolo_schema (version BIGINT NOT NULL)",
        "INSERT INTO tombolo_schema VALUES (1)",
    ] {
        database.database().sql(migration);
    }
    let store = database.node(Arc::new(TestEnv::new(1)));
    wait(is_carried_on(&*store));
    wait(store.close()).unwrap();
    let insert =
        "INSERT INTO spaces (id, owner, purpose, number, created_at) VALUES (20, 1, 'tickit', 3, 4) RETURNING id";
    assert_eq!(database.database().sql(insert).lines().next(), Some("20"));
}
