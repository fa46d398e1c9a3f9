//! Erasing, on all stores, by one suite; and what is left in a file.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::OnDisk;
use support::suites::conforms;
use tombolo_core::{Env, Name, ServerTime};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Erasure as _, StoreError, Upkeep as _, UserDeleted};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::{Stores as _, TestEnv, erasure_suite, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

conforms!(
    erasure,
    erasure_suite,
    [
        a_cursor_of_an_erased_log_is_told,
        a_deleted_project_of_his_goes_with_him,
        a_log_is_erased_with_all_that_belongs_to_it,
        a_log_that_all_share_stays,
        a_name_is_free_and_nothing_comes_with_it,
        a_project_with_another_owner_stays,
        a_store_is_whole_after_erasing,
        a_subject_stays_taken,
        a_user_goes_with_all_that_is_his_alone,
        devices_are_free_once_their_log_is_erased,
        every_erasure_is_remembered,
        invitations_to_him_go,
        nothing_begins_of_one_who_was_deleted,
        the_last_owner_is_not_deleted,
        what_is_not_there_is_erased,
        who_is_not_there_is_not_deleted,
    ],
    at_once [
        a_log_is_erased_once,
        a_log_is_erased_while_a_device_writes,
        a_log_is_erased_while_devices_begin,
        a_user_is_deleted_while_he_writes,
        the_last_of_two_owners_stays,
    ]
);

/// What each of two users writes again and again, in what they keep.
const MARKS: [&str; 2] = ["confidential", "unconcerned"];

/// Records of each: their contents are of all sizes up to some pages, in some hundred pages.
const COUNT: usize = 400;

/// How often the file and its log hold a mark.
fn traces(disk: &OnDisk, mark: &str) -> usize {
    let file = disk.file().unwrap();
    let log = file.with_extension("db-wal");
    let count = |path: &std::path::Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(mark.len()).filter(|window| *window == mark.as_bytes()).count()
    };
    count(file) + count(&log)
}

/// Whether the log has nothing but what is noted last.
fn is_log_short(disk: &OnDisk) -> bool {
    const NOTED_BYTES_MAX: u64 = 64 << 10;
    let log = disk.file().unwrap().with_extension("db-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() < NOTED_BYTES_MAX)
}

/// Somebody who reads on what is there now.
fn reader(disk: &OnDisk) -> rusqlite::Connection {
    let reader = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM changes").unwrap();
    reader
}

fn sql(disk: &OnDisk, text: &str) -> i64 {
    rusqlite::Connection::open(disk.file().unwrap()).unwrap().query_row(text, [], |row| row.get(0)).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Right after it was said, and with the server still running: whatever ends it then ends it after this.
#[test]
fn an_erased_log_is_in_the_file_no_more() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    let before = MARKS.map(|mark| traces(&disk, mark));
    assert!(before.iter().all(|count| *count > COUNT), "{before:?}");
    wait(erasure_suite::erase_diary(&store, ann));
    assert_eq!(traces(&disk, MARKS[0]), 0);
    assert!(traces(&disk, MARKS[1]) > COUNT, "the other's is there");
    assert!(is_log_short(&disk));
    assert_eq!(sql(&disk, "SELECT erased - swept FROM sweeping"), 0);
    wait(store.close()).unwrap();
}

#[test]
fn a_deleted_user_is_in_the_file_no_more() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    assert!(traces(&disk, "ann@example.org") > 0);
    assert_eq!(wait(store.delete_user(&name("ann"), TestEnv::START)).unwrap(), UserDeleted::Gone);
    assert_eq!((traces(&disk, MARKS[0]), traces(&disk, "ann@example.org")), (0, 0));
    assert!(traces(&disk, MARKS[1]) > COUNT, "the other's is there");
    assert!(is_log_short(&disk));
    wait(store.close()).unwrap();
}

/// Somebody reads on what was there: it is said that it is not done, and asked again, it is.
#[test]
fn what_reads_hold_up_is_not_said_to_be_gone() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, 40));
    let reader = reader(&disk);
    let erase = || wait(store.erase_space(erasure_suite::diary(ann), TestEnv::START));
    let held_up = erase();
    assert!(matches!(held_up, Err(StoreError::Busy)), "{held_up:?}");
    assert!(traces(&disk, MARKS[0]) > 0, "somebody reads it");
    reader.execute_batch("COMMIT").unwrap();
    assert!(!erase().unwrap(), "the log was erased already");
    assert_eq!(traces(&disk, MARKS[0]), 0);
    wait(store.close()).unwrap();
}

/// While somebody reads on what was there, and one who erases waits for that, others write.
#[test]
fn others_write_while_reads_hold_up_an_erasure() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, 40));
    let reader = reader(&disk);
    std::thread::scope(|scope| {
        let erasing = scope.spawn(|| wait(store.erase_space(erasure_suite::diary(ann), TestEnv::START)));
        eventually("the rows are gone", FOREVER, || {
            (sql(&disk, "SELECT coalesce(max(erased - swept), 0) FROM sweeping") == 1).then_some(())
        });
        wait(erasure_suite::every_diary_is_whole(&store, 40));
        reader.execute_batch("COMMIT").unwrap();
        assert!(erasing.join().unwrap().unwrap(), "it waited still");
    });
    assert_eq!(traces(&disk, MARKS[0]), 0);
    wait(store.close()).unwrap();
}

/// A file that it takes long to write anew is not, each time that somebody erases what he just wrote: rows and log go
/// with the answer, and what unused parts of pages keep of them a while later.
#[test]
fn a_large_file_is_not_written_anew_each_time() {
    const BUT_FOR_PAUSE: &str = "SELECT erased - swept FROM sweeping";
    let disk = OnDisk::default();
    let clock = Arc::new(TestEnv::new(1));
    let store = disk.server(Arc::clone(&clock) as Arc<dyn Env>);
    let [ann, bob] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    file.execute_batch("CREATE TABLE large AS SELECT zeroblob(20 << 20)").unwrap();
    drop(file);
    let free = || sql(&disk, "PRAGMA freelist_count");
    wait(erasure_suite::erase_diary(&store, ann));
    assert_eq!((traces(&disk, MARKS[0]), free(), sql(&disk, BUT_FOR_PAUSE)), (0, 0, 0), "the first time it is");
    wait(erasure_suite::erase_diary(&store, bob));
    assert!(free() > 0, "the second time it is not");
    assert_eq!(sql(&disk, BUT_FOR_PAUSE), 1);
    assert!(is_log_short(&disk));
    assert!(traces(&disk, MARKS[1]) < COUNT / 10, "the rows are gone");
    clock.advance(Duration::from_secs(10 * 60));
    wait(store.ready()).unwrap();
    eventually("the file is written anew", FOREVER, || (sql(&disk, BUT_FOR_PAUSE) == 0).then_some(()));
    assert_eq!((traces(&disk, MARKS[1]), free()), (0, 0));
    wait(store.close()).unwrap();
}

/// The process ends between the erasure and the rest: the next one does it, before it serves.
#[test]
fn a_server_finishes_what_another_began() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    let reader = reader(&disk);
    wait(store.erase_space(erasure_suite::diary(ann), TestEnv::START)).unwrap_err();
    // As if it had been killed: what it left is what the next one finds.
    let copy = OnDisk::default();
    for ending in ["db", "db-wal"] {
        let from = disk.file().unwrap().with_extension(ending);
        std::fs::copy(from, copy.file().unwrap().with_extension(ending)).unwrap();
    }
    assert!(traces(&copy, MARKS[0]) > 0);
    let next = copy.server(Arc::new(TestEnv::new(2)));
    assert_eq!(traces(&copy, MARKS[0]), 0);
    wait(next.close()).unwrap();
    drop(reader);
    wait(store.close()).unwrap();
}

/// A command deletes a user while the server runs, which reads and writes between.
#[test]
fn a_command_deletes_beside_a_running_server() {
    let disk = OnDisk::default();
    let server = disk.server(env());
    wait(erasure_suite::two_diaries(&server, MARKS, COUNT));
    let command = Sqlite::open(disk.file().unwrap(), Role::Tool, env()).unwrap();
    assert_eq!(wait(command.delete_user(&name("ann"), TestEnv::START)).unwrap(), UserDeleted::Gone);
    wait(command.close()).unwrap();
    assert_eq!(traces(&disk, MARKS[0]), 0);
    wait(erasure_suite::every_diary_is_whole(&server, COUNT));
    wait(server.close()).unwrap();
}

/// Records that are deleted one by one: the log that has them is emptied at once, and what unused parts of pages keep
/// of them goes with the next start, or after a while.
#[test]
fn what_single_deletions_leave_goes_later() {
    for is_restarted in [true, false] {
        let disk = OnDisk::default();
        let clock = Arc::new(TestEnv::new(1));
        let store = disk.server(Arc::clone(&clock) as Arc<dyn Env>);
        let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
        let before = traces(&disk, MARKS[0]);
        wait(erasure_suite::delete_one_by_one(&store, ann, COUNT));
        eventually("the log is emptied", FOREVER, || is_log_short(&disk).then_some(()));
        let left = traces(&disk, MARKS[0]);
        println!("of {before} copies, {left} are left");
        assert!(left < before / 10);
        if is_restarted {
            wait(store.close()).unwrap();
            let store = disk.server(Arc::new(TestEnv::new(2)));
            assert_eq!(traces(&disk, MARKS[0]), 0);
            wait(erasure_suite::every_diary_is_whole(&store, COUNT));
            wait(store.close()).unwrap();
        } else {
            clock.advance(Duration::from_secs(3 * 60 * 60));
            wait(erasure_suite::every_diary_is_whole(&store, COUNT));
            eventually("the file is written anew", FOREVER, || (traces(&disk, MARKS[0]) == 0).then_some(()));
            wait(store.close()).unwrap();
        }
    }
}

/// A read that holds up the emptying of the log ends, and nobody writes after that.
#[test]
fn a_log_that_reads_held_up_is_emptied_without_a_write() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    let reader = reader(&disk);
    wait(erasure_suite::delete_one_by_one(&store, ann, COUNT));
    assert!(!is_log_short(&disk));
    drop(reader);
    eventually("the log is emptied", FOREVER, || is_log_short(&disk).then_some(()));
    wait(store.close()).unwrap();
}

/// A clock that goes on whenever somebody looks at it, once it is told to.
struct Ticking {
    env: TestEnv,
    tick_millis: AtomicU64,
}

impl Env for Ticking {
    fn now(&self) -> ServerTime {
        self.env.advance(Duration::from_millis(self.tick_millis.load(Ordering::SeqCst)));
        self.env.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.env.fill_random(bytes);
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        self.env.spawn(name, work);
    }
}

/// What single deletions leave goes when it is time, also when nobody asks for anything then.
#[test]
fn the_file_is_written_anew_in_time_by_a_server_that_is_asked_nothing() {
    let disk = OnDisk::default();
    let clock = Arc::new(Ticking { env: TestEnv::new(1), tick_millis: AtomicU64::new(0) });
    let store = disk.server(Arc::clone(&clock) as Arc<dyn Env>);
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, COUNT));
    wait(erasure_suite::delete_one_by_one(&store, ann, COUNT));
    eventually("the log is emptied", FOREVER, || is_log_short(&disk).then_some(()));
    // Nearly all of the time is over, and the rest takes more looks at the clock than one request.
    clock.env.advance(Duration::from_secs(3 * 60 * 60 - 2));
    clock.tick_millis.store(100, Ordering::SeqCst);
    wait(store.ready()).unwrap();
    eventually("the file is written anew", FOREVER, || (traces(&disk, MARKS[0]) == 0).then_some(()));
    wait(store.close()).unwrap();
}

/// What a migration copies must stay until it is done.
#[test]
fn nothing_is_erased_during_a_migration() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let [ann, _] = wait(erasure_suite::two_diaries(&store, MARKS, 5));
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    file.execute_batch("CREATE TABLE moving (id INTEGER PRIMARY KEY)").unwrap();
    let erased = wait(store.erase_space(erasure_suite::diary(ann), TestEnv::START));
    assert!(matches!(erased, Err(StoreError::Busy)), "{erased:?}");
    let deleted = wait(store.delete_user(&name("ann"), TestEnv::START));
    assert!(matches!(deleted, Err(StoreError::Busy)), "{deleted:?}");
    file.execute_batch("DROP TABLE moving").unwrap();
    assert!(wait(store.erase_space(erasure_suite::diary(ann), TestEnv::START)).unwrap());
    assert_eq!(wait(store.delete_user(&name("ann"), TestEnv::START)).unwrap(), UserDeleted::Gone);
    wait(store.close()).unwrap();
}

/// No table keeps a row of a user's own.
#[test]
fn no_table_keeps_a_row_of_a_deleted_user() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(erasure_suite::a_user_goes_with_all_that_is_his_alone(&store));
    let file = rusqlite::Connection::open(disk.file().unwrap()).unwrap();
    let count = |sql: &str| -> i64 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    for table in ["changes", "records", "replicas", "forks", "replica_spaces", "aliases", "uniques", "rooms"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE space NOT IN (SELECT id FROM spaces)");
        assert_eq!(count(&sql), 0, "{table}");
        assert!(
            ["aliases", "uniques"].contains(&table) || count(&format!("SELECT count(*) FROM {table}")) > 0,
            "{table}"
        );
    }
    for (table, column, of) in [
        ("cursors", "replica", "replicas"),
        ("traffic", "replica", "replicas"),
        ("refs", "source", "records"),
        ("room_leases", "space", "spaces"),
    ] {
        assert_eq!(count(&format!("SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM {of})")), 0);
    }
    for table in ["credentials", "refusals", "setup_tokens", "tickets", "memberships"] {
        let of_deleted = "user_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)";
        assert_eq!(count(&format!("SELECT count(*) FROM {table} WHERE {of_deleted}")), 0, "{table}");
    }
    assert_eq!(count("SELECT count(*) FROM users WHERE deleted_at IS NOT NULL AND email IS NULL"), 1);
    wait(store.close()).unwrap();
}
