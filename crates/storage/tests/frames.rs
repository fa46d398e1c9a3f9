//! Frames between nodes on one PostgreSQL: large ones, many, and such as cannot be sent.

mod support;

use support::OnPostgres;
use support::nodes::{Node, env, heard};
use tombolo_storage::{FRAME_BYTES_MAX, Message, Upkeep as _};
use tombolo_testkit::conformance::bus::frame;
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::wait;

/// Bytes that no notification holds.
const LARGE: usize = 100_000;

/// The node that hears of a large frame asks for it, and passes nothing on that came later before it has it.
#[test]
fn a_small_frame_waits_for_the_large_one_before_it() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let mut listener = here.listen();
    let sql = |sql: &str| database.database().sql(sql);
    // Whoever reads a payload waits; who writes one does not.
    sql("CREATE TABLE ends (n int);
         CREATE FUNCTION gate() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
             FOR n IN 1..1000 LOOP
                 EXIT WHEN EXISTS (SELECT FROM ends);
                 PERFORM pg_sleep(0.01);
             END LOOP;
             RETURN true;
         END $$;
         ALTER TABLE bus_payloads RENAME TO payloads;
         CREATE VIEW bus_payloads AS SELECT * FROM payloads WHERE gate()");
    let frames = [frame("large", LARGE), frame("small", 10)];
    there.publish(&frames[0]);
    let reads = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                 AND query LIKE 'SELECT payload FROM bus_payloads%'";
    eventually("a node that asks for the large frame", FOREVER, || (sql(reads) == "1").then_some(()));
    there.publish(&frames[1]);
    sql("INSERT INTO ends VALUES (1)");
    for frame in frames {
        assert_eq!(heard(&mut listener), Message::Frame(frame));
    }
}

/// A frame that did not reach the others is told them as a gap, before anything that comes after it.
#[test]
fn a_frame_that_cannot_be_sent_is_told_as_a_gap() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let (mut near, mut far) = (there.listen(), here.listen());
    let sql = |sql: &str| database.database().sql(sql);
    for is_followed in [false, true] {
        sql("ALTER TABLE bus_payloads RENAME TO gone");
        let lost = frame("lost", LARGE);
        wait(there.store.bus().publish(lost.clone())).expect_err("there is nowhere to put it");
        sql("ALTER TABLE gone RENAME TO bus_payloads");
        assert_eq!(heard(&mut near), Message::Frame(lost), "it needs no database to be heard here");
        let next = frame("next", if is_followed { LARGE } else { 10 });
        if !is_followed {
            assert_eq!(heard(&mut far), Message::Gap, "it is told by itself");
        }
        there.publish(&next);
        if is_followed {
            assert_eq!(heard(&mut far), Message::Gap);
        }
        // It may be told twice.
        let after = loop {
            match heard(&mut far) {
                Message::Gap => {}
                other => break other,
            }
        };
        assert_eq!(after, Message::Frame(next.clone()));
        assert_eq!(heard(&mut near), Message::Frame(next));
    }
}

/// The database cleaned it up before the node came to ask for it.
#[test]
fn a_large_frame_that_is_gone_is_told_as_a_gap() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let mut listener = here.listen();
    database.database().sql(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN DELETE FROM bus_payloads WHERE id = NEW.id; RETURN NULL; END $$;
         CREATE TRIGGER forget AFTER INSERT ON bus_payloads FOR EACH ROW EXECUTE FUNCTION forget();",
    );
    there.publish(&frame("large", LARGE));
    let next = frame("next", 10);
    there.publish(&next);
    assert_eq!(heard(&mut listener), Message::Gap);
    assert_eq!(heard(&mut listener), Message::Frame(next));
}

/// Frames that nobody hears hold no more of a node's memory than they may, wherever they come from.
#[test]
fn frames_beyond_what_may_wait_are_gaps() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let (here, there) = (Node::tended(&database, &env), Node::tended(&database, &env));
    let mut listeners = [here.listen(), there.listen()];
    let (large, last) = (frame("large", FRAME_BYTES_MAX), frame("last", 10));
    (0..4).for_each(|_| there.publish(&large));
    there.publish(&last);
    // Only once the other node has heard the last one is anything let go there.
    let mut quick = here.listen();
    let seen = frame("seen", 10);
    there.publish(&seen);
    while heard(&mut quick) != Message::Frame(seen.clone()) {}
    for listener in &mut listeners {
        for _ in 0..3 {
            assert_eq!(heard(listener), Message::Frame(large.clone()));
        }
        assert_eq!(heard(listener), Message::Gap, "a fourth one would be more than 64 MiB");
        assert_eq!(heard(listener), Message::Frame(last.clone()));
    }
}

/// What lies in the database for slow nodes goes when it is old, and when it is too much.
#[test]
fn large_frames_are_cleaned_up() {
    let Some(database) = OnPostgres::new() else { return };
    let env = env();
    let sql = |sql: &str| database.database().sql(sql);
    let deaf = Node::deaf(&database, &env);
    deaf.publish(&frame("left behind", LARGE));
    deaf.publish(&frame("not yet old", LARGE));
    sql("UPDATE bus_payloads SET at = at - interval '61 s' WHERE id = 1");
    let count = "SELECT count(*) FROM bus_payloads";
    assert_eq!(sql(count), "2");
    let node = Node::tended(&database, &env);
    eventually("a table without what a dead node left", FOREVER, || (sql(count) == "1").then_some(()));
    // While much is sent, too.
    sql("UPDATE bus_payloads SET at = at - interval '61 s'");
    let large = frame("large", FRAME_BYTES_MAX);
    node.publish(&large);
    assert_eq!(sql(count), "1");
    (0..9).for_each(|_| node.publish(&large));
    assert_eq!(sql("SELECT count(*), sum(octet_length(payload)) <= 128 * 1048576 FROM bus_payloads"), "7|t");
    assert_eq!(sql("SELECT min(id) FROM bus_payloads"), "6", "the oldest go");
}
