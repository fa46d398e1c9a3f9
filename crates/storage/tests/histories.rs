//! The histories that lose data where a server merges without the base of each write, one test each, on every store.
//!
//! `x` and `y` are fields of a note; devices are called A, B, C as in `docs/merging.md`.

mod support;

use std::time::Duration;

use support::on_all_stores;
use tombolo_core::{Op, Verdict};
use tombolo_testkit::{
    Device, FOLDER, Kind, LABEL, NOTE, Note, Peer, Place, TestEnv, Told, at, delete, folder, key, label, put,
};

on_all_stores!(
    page_cut,
    forced_echo,
    forced_echo_of_what_was_taken_back,
    restored_home,
    restored_home_whose_lost_edits_were_uploaded,
    clone,
    overlap,
    losers_next_edit,
    forced_with_less,
    forced_with_less_to_a_server_that_never_met_it,
    far_future,
    far_future_between_real_clients,
    clock_set_right_after_an_upload,
    slow_clock_deletes,
    slow_clock_deletes_on_the_phone,
    delete_and_two_edits,
    grouped_fields,
    two_tags_added,
    list_deleted_while_a_task_arrives,
    lost_reply_after_a_merge,
    lost_reply_after_a_merge_by_a_real_client,
);

/// Devices that hold the note `n` with `x=1` and `y=1`, written at second 10 by the first.
fn given<const N: usize>(place: &Place, names: [&str; N]) -> [Peer; N] {
    let mut peers = names.map(Peer::new);
    peers[0].sync(place, vec![put("n", &Note::new("1", "1"), at(10))]);
    for peer in &mut peers {
        peer.sync(place, Vec::new());
        peer.sync(place, Vec::new());
    }
    peers
}

/// Desktops and phones that hold the note `n` with `x=1` and `y=1`.
fn devices<const N: usize>(place: &Place, kinds: [(&str, Kind); N]) -> [Device; N] {
    let mut devices = kinds.map(|(name, kind)| Device::new(name, kind, place));
    devices[0].edit(place, "n", |note| (note.x, note.y) = ("1".into(), "1".into()));
    settle(place, &mut devices.each_mut());
    devices
}

/// Lets everyone sync until nothing is left to be said.
fn settle(place: &Place, devices: &mut [&mut Device]) {
    for _ in 0..6 {
        let before = place.head();
        let mut delivered = 0;
        for device in devices.iter_mut() {
            later(place);
            delivered += device.sync(place).deliveries.len();
        }
        if delivered == 0 && place.head() == before {
            let states: Vec<_> = devices.iter().map(|device| device.state()).collect();
            assert!(states.windows(2).all(|two| two[0] == two[1]), "the replicas are equal: {states:#?}");
            return;
        }
    }
    panic!("the devices do not come to rest");
}

fn later(place: &Place) {
    place.env.advance(Duration::from_secs(7));
}

fn shown(device: &Device) -> (String, String) {
    device.note("n").map_or_else(Default::default, |note| (note.x, note.y))
}

fn pair(x: &str, y: &str) -> (String, String) {
    (x.to_owned(), y.to_owned())
}

/// History 1: What lay beyond the page was not delivered, not even in its older state within the page's bound.
fn page_cut(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    // A's x, another record, A's y: the first page of B ends between them.
    a.sync(place, vec![put("n", &Note::new("2", "1"), at(20)), put("other", &Note::new("", ""), at(21))]);
    a.sync(place, vec![put("n", &Note::new("2", "2"), at(22))]);
    let mut narrow = place.clone();
    narrow.page_bytes_max = 100;
    let first = b.sync(&narrow, Vec::new());
    assert!(first.more, "the page is cut");
    assert!(first.note("other").is_some() && first.note("n").is_none(), "and n lies beyond it");
    // B still shows x=1, y=1, and edits y.
    b.sync(place, vec![put("n", &Note::new("1", "9"), at(30))]);
    assert_eq!(place.note("n"), Some(Note::new("2", "9")));
    b.sync(place, Vec::new());
    assert_eq!(a.sync(place, Vec::new()).note("n"), Some(Note::new("2", "9")));
}

/// History 2: A stale row that was stamped anew is no edit, also when the device asks for everything, twice.
fn forced_echo(place: &Place) {
    let [mut a, mut b] = devices(place, [("a", Kind::Desktop), ("b", Kind::Desktop)]);
    later(place);
    a.edit(place, "n", |note| note.x = "2".into());
    later(place);
    b.force(place);
    later(place);
    a.sync(place);
    later(place);
    b.force(place);
    assert_eq!(place.note("n").map(|note| note.x), Some("2".into()), "A's edit stands");
    b.force(place);
    settle(place, &mut [&mut a, &mut b]);
    assert_eq!(place.note("n").map(|note| (note.x, note.y)), Some(pair("2", "1")));
    // The same by raw requests, with the stale row at ever newer instants.
    let [mut a, mut b] = [Peer::new("c"), Peer::new("d")];
    a.sync(place, vec![put("m", &Note::new("1", "1"), at(10))]);
    b.forced(place, Vec::new());
    b.sync(place, Vec::new());
    b.forced(place, vec![put("m", &Note::new("1", "1"), at(50))]);
    let lost = b.clone();
    a.sync(place, vec![put("m", &Note::new("2", "1"), at(40))]);
    b.forced(place, vec![put("m", &Note::new("1", "1"), at(60))]);
    assert_eq!(place.note("m"), Some(Note::new("2", "1")));
    let _never_arrives = Peer { cursor: None, ..lost }.lost(place, vec![put("m", &Note::new("1", "1"), at(70))]);
    assert_eq!(place.note("m"), Some(Note::new("2", "1")));
}

/// History 2: B was sent A's edit, and stamped it anew; A takes it back; B asks for everything at once.
fn forced_echo_of_what_was_taken_back(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![put("n", &Note::new("2", "1"), at(20))]);
    assert_eq!(b.sync(place, Vec::new()).note("n"), Some(Note::new("2", "1")));
    a.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(30))]);
    let forced = b.forced(place, vec![put("n", &Note::new("2", "1"), at(40))]);
    assert_eq!(forced.verdict(), Verdict::Unchanged);
    assert_eq!(forced.note("n"), Some(Note::new("1", "1")));
    assert_eq!(place.note("n"), Some(Note::new("1", "1")));
}

/// History 3: A device that was set back presents an old cursor: what it holds is what it held then.
fn restored_home(place: &Place) {
    let [mut a, mut b] = devices(place, [("a", Kind::Desktop), ("b", Kind::Desktop)]);
    let backup = b.snapshot();
    for (x, y) in [("2", "1"), ("2", "2"), ("3", "3")] {
        later(place);
        a.edit(place, "n", |note| (note.x, note.y) = (x.into(), y.into()));
        a.edit(place, "since", |note| note.x = x.into());
        settle(place, &mut [&mut a, &mut b]);
        a.sync(place);
        b.sync(place);
        b.sync(place);
    }
    b.restore(&backup);
    later(place);
    assert_eq!(shown(&b), pair("1", "1"));
    b.edit(place, "n", |note| note.y = "9".into());
    settle(place, &mut [&mut a, &mut b]);
    assert_eq!(shown(&a), pair("3", "9"), "only the one edit is new");
    assert_eq!(b.note("since").map(|note| note.x), Some("3".into()));
}

/// History 3: The same, when the device had edited and uploaded in the time that was lost: its own later uploads are not what
/// it holds now.
fn restored_home_whose_lost_edits_were_uploaded(place: &Place) {
    let [mut a, mut b] = devices(place, [("a", Kind::Desktop), ("b", Kind::Phone)]);
    let backup = b.snapshot();
    later(place);
    b.edit(place, "n", |note| note.x = "2".into());
    settle(place, &mut [&mut a, &mut b]);
    b.sync(place);
    a.sync(place);
    later(place);
    a.sync(place);
    b.sync(place);
    b.restore(&backup);
    later(place);
    b.edit(place, "n", |note| note.y = "9".into());
    settle(place, &mut [&mut a, &mut b]);
    assert_eq!(shown(&a), pair("2", "9"));
}

/// History 4: A copied device brings its name and its cursor along; both go on.
fn clone(place: &Place) {
    for (kind, note) in [(Kind::Desktop, "n"), (Kind::Phone, "m")] {
        let name = format!("{note}-original");
        let mut original = Device::new(&name, kind, place);
        let mut other = Device::new(&format!("{note}-other"), Kind::Desktop, place);
        original.edit(place, note, |note| (note.x, note.y) = ("1".into(), "1".into()));
        settle(place, &mut [&mut original, &mut other]);
        original.sync(place);
        other.sync(place);
        original.sync(place);
        let mut copy = original.clone();
        later(place);
        other.edit(place, note, |note| note.x = "2".into());
        other.sync(place);
        for _ in 0..2 {
            for device in [&mut original, &mut copy] {
                later(place);
                device.sync(place);
            }
        }
        later(place);
        copy.edit(place, note, |note| note.y = "9".into());
        let mut all = [original, copy, other];
        settle(place, &mut all.each_mut());
        for device in &all {
            let shown = device.note(note).expect("the note is there");
            assert_eq!((shown.x, shown.y), pair("2", "9"), "only that edit");
        }
        let edits = place.log().into_iter().filter(|change| change.key == key(NOTE, note) && change.replica.is_some());
        assert_eq!(edits.count(), 3, "made, x by the other, y by the copy: nothing else was taken for an edit");
    }
}

/// History 5: Two requests of one device overtake each other.
fn overlap(place: &Place) {
    let [a, mut b] = given(place, ["a", "b"]);
    assert_eq!(a.lost(place, vec![put("n", &Note::new("1", "12"), at(32))]).verdict(), Verdict::Applied);
    assert_eq!(a.lost(place, vec![put("n", &Note::new("1", "11"), at(31))]).verdict(), Verdict::Unchanged);
    assert_eq!(place.note("n"), Some(Note::new("1", "12")));
    assert_eq!(b.sync(place, Vec::new()).note("n"), Some(Note::new("1", "12")));
    // In order, both are edits.
    let [c, _] = [Peer { name: "a".into(), ..a.clone() }, b];
    let _reply = c.lost(place, vec![put("n", &Note::new("1", "13"), at(33))]);
    let _reply = c.lost(place, vec![put("n", &Note::new("1", "14"), at(34))]);
    assert_eq!(place.note("n"), Some(Note::new("1", "14")));
}

/// History 6: The device that lost is told, so its next edit is an edit, and the winner's echo is none.
fn losers_next_edit(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![put("n", &Note::new("1", "2"), at(40))]);
    let lost = b.sync(place, vec![put("n", &Note::new("1", "3"), at(30))]);
    assert_eq!(lost.verdict(), Verdict::Superseded);
    assert_eq!(lost.note("n"), Some(Note::new("1", "2")), "B is told");
    let told = lost.delivery(&key(NOTE, "n")).expect("B is told").instant;
    assert!(told > at(30), "and takes it");
    // B edits again, still with an older clock than A's.
    let again = b.sync(place, vec![put("n", &Note::new("1", "4"), at(35))]);
    assert_eq!(again.verdict(), Verdict::Applied);
    // A has not heard of it; its desktop saved the row again.
    let echo = a.sync(place, vec![put("n", &Note::new("1", "2"), at(90))]);
    assert_eq!(echo.verdict(), Verdict::Unchanged);
    assert_eq!(echo.note("n"), Some(Note::new("1", "4")));
    assert_eq!(a.sync(place, vec![put("n", &Note::new("1", "4"), at(91))]).verdict(), Verdict::Unchanged);
    assert_eq!(place.note("n"), Some(Note::new("1", "4")));
    let log = place.log();
    assert!(
        log.iter()
            .any(|change| change.verdict == Verdict::Superseded && change.payload == Note::new("1", "3").to_payload()),
        "what lost is readable"
    );
}

/// History 7: A full sync with less, to a server that knows the device: an equal instant is an echo, whatever it brings.
fn forced_with_less(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![label("red", "Red", 1, at(11)), put("n", &Note::new("1", "1").labelled(["red"]), at(20))]);
    let sent = b.sync(place, Vec::new());
    let instant = sent.delivery(&key(NOTE, "n")).expect("B is sent the note").instant;
    b.sync(place, Vec::new());
    // B's full sync sends what it was sent, under the instants that it came with, without the tags. Its replies are lost.
    for _ in 0..2 {
        let lost = Peer { cursor: None, ..b.clone() }.lost(place, vec![put("n", &Note::new("1", "1"), instant)]);
        assert_eq!(lost.verdict(), Verdict::Unchanged);
    }
    // So is one that brings a newer state of the record.
    a.sync(place, vec![put("n", &Note::new("2", "1").labelled(["red"]), at(21))]);
    for _ in 0..2 {
        let news = b.lost(place, Vec::new());
        assert_eq!(news.note("n"), Some(Note::new("2", "1").labelled(["red"])));
    }
    let forced = b.forced(place, vec![put("n", &Note::new("1", "1"), instant)]);
    assert_eq!(forced.verdict(), Verdict::Unchanged);
    assert_eq!(forced.note("n"), Some(Note::new("2", "1").labelled(["red"])));
    // So does the device that wrote it, with the instant of its own.
    assert_eq!(a.forced(place, vec![put("n", &Note::new("2", "1"), at(21))]).verdict(), Verdict::Unchanged);
    assert_eq!(place.note("n"), Some(Note::new("2", "1").labelled(["red"])));
}

/// History 7: To a server that never met the device, which got its rows elsewhere: an equal instant is no later one.
fn forced_with_less_to_a_server_that_never_met_it(place: &Place) {
    let [mut a] = given(place, ["a"]);
    a.sync(place, vec![label("red", "Red", 1, at(11)), put("n", &Note::new("1", "1").labelled(["red"]), at(20))]);
    let instant = Peer::new("b").sync(place, Vec::new()).delivery(&key(NOTE, "n")).expect("it is there").instant;
    // A phone that was given the rows by A's instant, or by the one under which the note goes out.
    for (name, instant) in [("p", at(20)), ("q", instant)] {
        let phone = Peer::new(name).forced(place, vec![put("n", &Note::new("1", "1"), instant)]);
        assert_ne!(phone.verdict(), Verdict::Applied);
        assert_eq!(phone.note("n"), Some(Note::new("1", "1").labelled(["red"])), "and it is sent the tags");
        assert_eq!(place.note("n"), Some(Note::new("1", "1").labelled(["red"])));
    }
    assert!(a.sync(place, Vec::new()).note("n").is_none_or(|note| note.labels.contains("red")));
}

/// History 8: A device in the far future gains nothing but the present, and still takes others' edits.
fn far_future(place: &Place) {
    let [mut a, mut b, mut c] = given(place, ["a", "b", "c"]);
    let future = tombolo_core::Instant::parse("2999-01-01T00:00:00Z").expect("it is an instant");
    assert_eq!(a.sync(place, vec![put("n", &Note::new("2", "2"), future)]).verdict(), Verdict::Applied);
    let told = b.sync(place, Vec::new());
    let seen = told.delivery(&key(NOTE, "n")).expect("B is told").instant;
    assert!(seen < at(4_000), "nobody else is drawn into the future: {seen}");
    assert_eq!(told.note("n"), Some(Note::new("2", "2")));
    // B edits what it saw; C edits what it had not seen, later than A by the server's clock.
    later(place);
    assert_eq!(b.sync(place, vec![put("n", &Note::new("3", "2"), at(3_603))]).verdict(), Verdict::Applied);
    let now = at(3_620);
    place.env.set(TestEnv::START.plus(Duration::from_secs(3_621)));
    let third = c.sync(place, vec![put("n", &Note::new("1", "4"), now)]);
    assert_eq!(third.verdict(), Verdict::Merged);
    assert_eq!(place.note("n"), Some(Note::new("3", "4")), "they wrote later, so they win");
    let back = a.sync(place, Vec::new());
    let delivery = back.delivery(&key(NOTE, "n")).expect("the device in the future is told");
    assert_eq!(back.note("n"), Some(Note::new("3", "4")));
    assert!(delivery.instant > future, "it applies only what is newer than its own");
    assert_eq!(delivery.instant, future.millisecond_later(), "and no more than that");
    assert!(back.cursor < at(4_000), "its cursor is of the server's time");
    // Its next edits are edits, too; so are the others'.
    assert_eq!(
        a.sync(place, vec![put("n", &Note::new("5", "4"), delivery.instant.millisecond_later())]).verdict(),
        Verdict::Applied
    );
    assert_eq!(b.sync(place, Vec::new()).note("n"), Some(Note::new("5", "4")));
    assert_eq!(b.sync(place, vec![put("n", &Note::new("6", "4"), at(3_700))]).verdict(), Verdict::Applied);
}

/// History 8: The same with whole clients: every kind of each.
fn far_future_between_real_clients(place: &Place) {
    let kinds = [("a", Kind::Desktop), ("b", Kind::Phone), ("c", Kind::Desktop), ("d", Kind::Phone)];
    let mut all = devices(place, kinds);
    let in_ms = 973 * 365 * 86_400_000_i64;
    for (future, value) in [(0, "2"), (1, "3")] {
        all[future].set_clock(in_ms);
        later(place);
        all[future].edit(place, "n", |note| note.x = value.into());
        settle(place, &mut all.each_mut());
        for (editor, value) in [(2, "4"), (3, "5"), (1 - future, "6"), (future, "7")] {
            later(place);
            all[editor].edit(place, "n", |note| note.y = format!("{future}{value}"));
            settle(place, &mut all.each_mut());
            assert_eq!(shown(&all[future]).1, format!("{future}{value}"), "the last to edit wins");
        }
    }
}

/// History 8: A clock that was ahead is set right, and the next edit meets the millisecond in which the last upload was
/// committed, which is the instant under which others are sent that upload. The device never held it under that one.
fn clock_set_right_after_an_upload(place: &Place) {
    for (name, kind) in [("desktop", Kind::Desktop), ("phone", Kind::Phone)] {
        for deletes in [false, true] {
            let (first, second) = (format!("a-{name}-{deletes}"), format!("b-{name}-{deletes}"));
            let [mut a, mut b] = devices(place, [(first.as_str(), kind), (second.as_str(), Kind::Desktop)]);
            later(place);
            a.set_clock(365 * 86_400_000);
            if deletes {
                a.delete(place, &key(NOTE, "n"));
            } else {
                a.edit(place, "n", |note| note.x = "2".into());
            }
            a.sync(place);
            a.set_clock(0);
            a.edit(place, "n", |note| (note.x, note.y) = ("3".into(), "3".into()));
            settle(place, &mut [&mut a, &mut b]);
            assert_eq!(shown(&b), pair("3", "3"), "{name}, deletes: {deletes}");
        }
    }
}

/// History 9: A device a year behind deletes what it saw.
fn slow_clock_deletes(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![put("n", &Note::new("2", "2"), at(3_600))]);
    b.sync(place, Vec::new());
    let year_ago = at(-365 * 86_400);
    assert_eq!(b.sync(place, vec![delete(key(NOTE, "n"), year_ago)]).verdict(), Verdict::Applied);
    assert_eq!(place.note("n"), None);
    let told = a.sync(place, Vec::new());
    let deletion = told.delivery(&key(NOTE, "n")).expect("A is told");
    assert_eq!(deletion.op, Op::Delete);
    assert!(deletion.instant > at(3_600), "and takes it");
    assert_eq!(b.sync(place, vec![delete(key(NOTE, "n"), year_ago)]).verdict(), Verdict::Unchanged);
}

/// History 9: The same with a whole client, which presents times that nobody gave out.
fn slow_clock_deletes_on_the_phone(place: &Place) {
    let mut a = Device::new("a", Kind::Desktop, place);
    let mut b = Device::new("b", Kind::Phone, place).ahead_by(-365 * 86_400_000);
    a.edit(place, "n", |note| note.x = "1".into());
    settle(place, &mut [&mut a, &mut b]);
    later(place);
    a.edit(place, "n", |note| note.x = "2".into());
    settle(place, &mut [&mut a, &mut b]);
    later(place);
    b.delete(place, &key(NOTE, "n"));
    settle(place, &mut [&mut a, &mut b]);
    assert!([a, b].iter().all(|device| device.note("n").is_none()), "it is deleted everywhere");
    assert_eq!(place.note("n"), None);
}

/// History 10: A delete and two edits, in every order of arrival, at every order of their clocks.
fn delete_and_two_edits(place: &Place) {
    let orders: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for clocks in orders {
        let mut ends = Vec::new();
        for order in orders {
            let id = format!("n-{clocks:?}-{order:?}").replace([' ', ','], "");
            let mut peers = ["a", "b", "c"].map(|name| Peer::new(&format!("{name}-{id}")));
            peers[0].sync(place, vec![put(&id, &Note::new("1", "1"), at(10))]);
            for peer in &mut peers {
                peer.sync(place, Vec::new());
                peer.sync(place, Vec::new());
            }
            let when = |who: usize| at(100 + i64::try_from(clocks[who]).expect("a small number"));
            let writes = [
                delete(key(NOTE, &id), when(0)),
                put(&id, &Note::new("2", "1"), when(1)),
                put(&id, &Note::new("1", "2"), when(2)),
            ];
            let mut held = [(); 3].map(|()| Some(Note::new("1", "1")));
            held[0] = None;
            held[1] = Some(Note::new("2", "1"));
            held[2] = Some(Note::new("1", "2"));
            let mut take = |who: usize, reply: &tombolo_storage::Exchanged| {
                if reply.delivery(&key(NOTE, &id)).is_some() {
                    held[who] = reply.note(&id);
                }
            };
            for who in order {
                let reply = peers[who].sync(place, vec![writes[who].clone()]);
                take(who, &reply);
            }
            for _ in 0..2 {
                for (who, peer) in peers.iter_mut().enumerate() {
                    let reply = peer.sync(place, Vec::new());
                    take(who, &reply);
                }
            }
            let stored = place.note(&id);
            assert_eq!(held, [stored.clone(), stored.clone(), stored.clone()], "{clocks:?} {order:?}");
            // Whoever brings it back, brings back both edits: neither was lost under the tombstone.
            let under = place
                .log()
                .into_iter()
                .rfind(|change| change.key == key(NOTE, &id) && change.verdict == Verdict::Applied);
            assert!(under.is_some(), "{clocks:?} {order:?}");
            ends.push((order, stored));
        }
        assert!(
            ends.windows(2).all(|two| two[0].1 == two[1].1),
            "the same way, whatever the order: {clocks:?} {ends:#?}"
        );
        let deletes_last = clocks[0] == 2;
        assert_eq!(
            ends[0].1,
            (!deletes_last).then(|| Note::new("2", "2")),
            "the later of delete and edit wins: {clocks:?}"
        );
    }
}

/// History 11: Half of one repetition and half of another make no sense.
fn grouped_fields(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![put("n", &Note::new("1", "1").repeating("week", "mon"), at(20))]);
    b.sync(place, Vec::new());
    a.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("1", "1").repeating("week", "fri"), at(31))]);
    let reply = b.sync(place, vec![put("n", &Note::new("1", "2").repeating("month", "mon"), at(30))]);
    assert_eq!(reply.verdict(), Verdict::Superseded, "its repetition lost");
    assert_eq!(place.note("n"), Some(Note::new("1", "2").repeating("week", "fri")), "its y did not");
    // What makes no sense together goes to the greater stamp as a whole.
    a.sync(place, Vec::new());
    b.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("bad", "2"), at(41))]);
    b.sync(place, vec![put("n", &Note::new("1", "worse"), at(40))]);
    assert_eq!(place.note("n"), Some(Note::new("bad", "2")));
    assert_eq!(b.sync(place, Vec::new()).deliveries, Vec::new(), "B was told at once");
}

/// History 11: Sets merge by element.
fn two_tags_added(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    let tags = ["red", "blue", "old"].map(|name| label(name, name, 1, at(11)));
    a.sync(place, tags.to_vec());
    a.sync(place, vec![put("n", &Note::new("1", "1").labelled(["old"]), at(20))]);
    b.sync(place, Vec::new());
    a.sync(place, vec![put("n", &Note::new("1", "1").labelled(["old", "red"]), at(30))]);
    let reply = b.sync(place, vec![put("n", &Note::new("1", "1").labelled(["blue"]), at(25))]);
    assert_eq!(reply.verdict(), Verdict::Merged);
    assert_eq!(reply.note("n"), Some(Note::new("1", "1").labelled(["blue", "red"])));
    assert_eq!(a.sync(place, Vec::new()).note("n"), Some(Note::new("1", "1").labelled(["blue", "red"])));
}

/// History 11: A list is deleted while a task for it is on its way.
fn list_deleted_while_a_task_arrives(place: &Place) {
    let [mut a, mut b] = given(place, ["a", "b"]);
    a.sync(place, vec![folder("work", "Work", at(12)), put("n", &Note::new("1", "1").within("work"), at(20))]);
    b.sync(place, Vec::new());
    a.sync(place, vec![delete(key(FOLDER, "work"), at(30))]);
    assert_eq!(a.sync(place, Vec::new()).note("n"), None, "A was told already");
    assert_eq!(place.note("n"), Some(Note::new("1", "1")), "its notes are in the inbox");
    let late = b.sync(
        place,
        vec![
            put("late", &Note::new("7", "7").within("work"), at(31)),
            put("n", &Note::new("1", "2").within("work"), at(29)),
        ],
    );
    assert_eq!(late.delivery(&key(FOLDER, "work")).map(|delivery| delivery.op), Some(Op::Delete));
    assert_eq!(late.note("late"), Some(Note::new("7", "7")), "B is told where it went");
    assert_eq!(late.note("n"), Some(Note::new("1", "2")), "and that its own edit survived");
    let told = a.sync(place, Vec::new());
    assert_eq!((told.note("late"), told.note("n")), (Some(Note::new("7", "7")), Some(Note::new("1", "2"))));
    assert!(place.live().iter().all(|delivery| delivery.key != key(FOLDER, "work")));
    // The other order: the task is there when the list goes, and its move by a device beats the cascade.
    a.sync(place, vec![folder("home", "Home", at(40)), folder("club", "Club", at(40))]);
    a.sync(place, vec![put("n", &Note::new("1", "2").within("home"), at(41))]);
    b.sync(place, Vec::new());
    a.sync(place, vec![delete(key(FOLDER, "home"), at(60))]);
    let moved = b.sync(place, vec![put("n", &Note::new("1", "2").within("club"), at(50))]);
    assert_eq!(moved.verdict(), Verdict::Applied);
    assert_eq!(place.note("n"), Some(Note::new("1", "2").within("club")), "what the server derived loses to an edit");
    // A deleted label is stripped.
    a.sync(
        place,
        vec![label("red", "Red", 1, at(70)), put("n", &Note::new("1", "2").within("club").labelled(["red"]), at(71))],
    );
    b.sync(place, Vec::new());
    a.sync(place, vec![delete(key(LABEL, "red"), at(72))]);
    let told = b.sync(place, vec![put("n", &Note::new("3", "2").within("club").labelled(["red"]), at(73))]);
    assert_eq!(told.note("n"), Some(Note::new("3", "2").within("club")));
    assert_eq!(place.note("n"), Some(Note::new("3", "2").within("club")));
}

/// History 12: The reply is lost after a merge: the retry gets the first verdict, and the next edit does not undo the merge.
fn lost_reply_after_a_merge(place: &Place) {
    for (id, at_b, verdict) in [("m", 25, Verdict::Merged), ("s", 25, Verdict::Superseded), ("w", 35, Verdict::Merged)]
    {
        let (mut a, mut b) = (Peer::new(&format!("a-{id}")), Peer::new(&format!("b-{id}")));
        a.sync(place, vec![put(id, &Note::new("1", "1"), at(10))]);
        b.sync(place, Vec::new());
        b.sync(place, Vec::new());
        let theirs = if verdict == Verdict::Superseded { Note::new("2", "3") } else { Note::new("2", "1") };
        a.sync(place, vec![put(id, &theirs, at(30))]);
        let write = put(id, &Note::new("1", "2"), at(at_b));
        assert_eq!(b.lost(place, vec![write.clone()]).verdict(), verdict, "{id}");
        let changes = place.log().len();
        assert_eq!(b.lost(place, vec![write.clone()]).verdict(), verdict, "{id}: the retry");
        assert_eq!(place.log().len(), changes, "{id}: is stored once");
        // B never heard of x=2, and edits y again.
        let next = b.sync(place, vec![put(id, &Note::new("1", "4"), at(40))]);
        assert_eq!(place.note(id), Some(Note::new("2", "4")), "{id}");
        assert_eq!(next.note(id), Some(Note::new("2", "4")), "{id}");
        assert_eq!(
            b.sync(place, vec![put(id, &Note::new("2", "4"), at(90))]).verdict(),
            Verdict::Unchanged,
            "{id}: an echo"
        );
    }
}

/// History 12: The same with whole clients.
fn lost_reply_after_a_merge_by_a_real_client(place: &Place) {
    for (a_kind, b_kind) in [(Kind::Desktop, Kind::Phone), (Kind::Phone, Kind::Desktop)] {
        let names = [format!("a-{b_kind:?}"), format!("b-{b_kind:?}")];
        let [mut a, mut b] = devices(place, [(names[0].as_str(), a_kind), (names[1].as_str(), b_kind)]);
        later(place);
        a.edit(place, "n", |note| note.x = "2".into());
        b.edit(place, "n", |note| note.y = "2".into());
        a.sync(place);
        let first = b.sync_in_vain(place);
        let again = b.sync_in_vain(place);
        assert_eq!(first.answers, again.answers);
        later(place);
        b.edit(place, "n", |note| note.y = "3".into());
        settle(place, &mut [&mut a, &mut b]);
        assert_eq!(shown(&a), pair("2", "3"));
    }
}
