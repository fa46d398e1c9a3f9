//! What `Entries` promises.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use tombolo_core::{Name, ProjectId, Refusal, Resume, Role, Seq, ServerTime, UserId, limits};
use tombolo_storage::{
    Append, Appended, EntryPage, Guard, LogEnd, Message, NewEntry, PageBounds, SpaceAddress, StoreError, Totals,
};

use super::bus::next;
use crate::eventually::SetOnDrop;
use crate::team::{ALL, Team, entries, entry, names};
use crate::wait;

fn new(places: impl IntoIterator<Item = u64>) -> Vec<Appended> {
    places.into_iter().map(|place| Appended::New(Seq::new(place))).collect()
}

fn repeats(places: impl IntoIterator<Item = u64>) -> Vec<Appended> {
    places.into_iter().map(|place| Appended::Repeat(Seq::new(place))).collect()
}

fn end(team: &Team) -> LogEnd {
    wait(team.node().log_end(team.space)).expect("the store answers")
}

/// What is appended comes back as it was, in its order, and whatever tells where the log ends says the same.
pub fn entries_are_kept_in_their_order(team: &Team) {
    assert_eq!(end(team), LogEnd { head: Seq::ZERO, committed_at: None });
    assert_eq!(team.push(&["a", "b"]), new(1..=2));
    assert_eq!(team.push(&["c"]), new([3]));
    assert_eq!(team.logged(), ["a", "b", "c"]);
    // Contents of any bytes, and none.
    let odd = [b"\0\xff".to_vec(), Vec::new(), vec![7; 100_000]];
    let odd_entries = odd.iter().map(|payload| NewEntry { payload: payload.clone(), ..entry(&format!("{payload:?}")) });
    let sent = team.send(team.request(team.owner, odd_entries.collect())).expect("the store answers");
    assert_eq!(sent, Ok(new(4..=6)));
    let log = team.log();
    assert!(log[3..].iter().zip(&odd).all(|(entry, payload)| entry.payload == *payload));
    let last = log.last().expect("it has some").committed_at;
    assert_eq!(end(team), LogEnd { head: Seq::new(6), committed_at: Some(last) });
    assert_eq!(wait(team.node().heads(&[team.space])).expect("the store answers"), [Seq::new(6)]);
    let cursor = wait(team.node().head(team.space)).expect("the store answers");
    assert_eq!(cursor.seq, Seq::new(6));
    assert_eq!(wait(team.node().resume(team.space, cursor)).expect("the store answers"), Resume::From(cursor.seq));
    assert_eq!(wait(team.node().totals()).expect("the store answers"), Totals { spaces: 1, changes: 6 });
}

/// The clock of the server that appends stands still or was set back: the log's time goes on.
pub fn time_goes_on_in_the_log(team: &Team) {
    team.push(&names("a", 3));
    team.env.set(ServerTime::from_micros(1_000));
    team.push(&names("b", 3));
    team.push(&names("c", 3));
    assert_eq!(team.log().len(), 9);
}

/// What is sent again is stored once, and told the place that it was given: in the same request, in a later one, by
/// another member, beside what is new.
pub fn repeats_are_answered_with_their_place(team: &Team) {
    assert_eq!(team.push(&["a", "b", "a"]), [new([1, 2]), repeats([1])].concat());
    assert_eq!(team.push(&["a", "b", "a"]), repeats([1, 2, 1]));
    assert_eq!(
        team.push(&["b", "c", "a", "d", "c"]),
        [repeats([2]), new([3]), repeats([1]), new([4]), repeats([3])].concat()
    );
    let sent = team.send(team.request(team.owner, entries(&["d", "a"]))).expect("the store answers");
    assert_eq!(sent, Ok(repeats([4, 1])));
    assert_eq!(team.push::<&str>(&[]), []);
    assert_eq!(team.logged(), ["a", "b", "c", "d"]);
    // The key says what is the same, not the content.
    let other = NewEntry { payload: b"other".to_vec(), ..entry("a") };
    let sent = team.send(team.request(team.writer, vec![other])).expect("the store answers");
    assert_eq!(sent, Ok(repeats([1])));
    assert_eq!(team.logged()[0], "a");
}

/// The same key in another project is another entry.
pub fn a_key_is_of_one_project(team: &Team) {
    team.push(&["a", "b"]);
    let other = other_project(team);
    let append = Append {
        guard: Guard::Member { project: other, user: team.owner },
        entries: entries(&["b", "c"]),
        weights: Vec::new(),
        is_same: None,
        now: team.now(),
    };
    assert_eq!(team.send(append).expect("the store answers"), Ok(new(1..=2)));
    assert_eq!(team.logged(), ["a", "b"]);
    assert_eq!(wait(team.node().totals()).expect("the store answers"), Totals { spaces: 2, changes: 4 });
}

fn other_project(team: &Team) -> ProjectId {
    let id = ProjectId::new(team.project.get() + 1);
    let made = team.node().add_project(tombolo_storage::NewProject {
        id,
        purpose: team.space.purpose,
        name: "Other".to_owned(),
        description: String::new(),
        slug: "other".to_owned(),
        created_by: team.owner,
        now: team.now(),
    });
    wait(made).expect("the store answers").expect("there is room").id
}

/// Members whose role suffices append; all others are told why not, whatever they bring, and change nothing.
pub fn who_may_append(team: &Team) {
    let attempt =
        |user: UserId, name: &str| team.send(team.request(user, entries(&[name]))).expect("the store answers");
    let lacks = Refusal::Lacks { have: Role::Reader, need: Role::Writer };
    assert_eq!(attempt(team.owner, "a"), Ok(new([1])));
    assert_eq!(attempt(team.writer, "b"), Ok(new([2])));
    assert_eq!(attempt(team.reader, "c"), Err(lacks));
    assert_eq!(attempt(team.reader, "a"), Err(lacks), "also what is there already");
    assert_eq!(team.send(team.request(team.reader, Vec::new())).expect("the store answers"), Err(lacks));
    assert_eq!(attempt(team.stranger, "c"), Err(Refusal::NotMember));
    assert_eq!(attempt(UserId::new(99_999), "c"), Err(Refusal::NotMember));
    let unknown = Guard::Member { project: ProjectId::new(77), user: team.owner };
    let append =
        Append { guard: unknown, entries: entries(&["c"]), weights: Vec::new(), is_same: None, now: team.now() };
    assert_eq!(team.send(append).expect("the store answers"), Err(Refusal::NotMember));

    let changed = team.node().change_role(team.project, team.owner, team.reader, Role::Writer);
    wait(changed).expect("the store answers").expect("the owner may");
    assert_eq!(attempt(team.reader, "c"), Ok(new([3])));
    let removed = team.node().remove_member(team.project, team.owner, team.reader);
    wait(removed).expect("the store answers").expect("the owner may");
    assert_eq!(attempt(team.reader, "d"), Err(Refusal::NotMember));
    let writer = Name::parse("writer").expect("it is a name");
    assert!(wait(team.node().disable_user(&writer, team.now())).expect("the store answers"));
    assert_eq!(attempt(team.writer, "d"), Err(Refusal::NotMember), "a disabled user has no role");

    let deleted = team.node().delete_project(team.project, team.owner, team.now());
    wait(deleted).expect("the store answers").expect("the owner may");
    assert_eq!(attempt(team.owner, "d"), Err(Refusal::Deleted));
    assert_eq!(attempt(team.stranger, "d"), Err(Refusal::NotMember));
    assert_eq!(team.logged(), ["a", "b", "c"], "the log stays");
    let restored = team.node().restore_project(team.project, crate::TestEnv::START, team.now());
    assert_eq!(wait(restored).expect("the store answers"), tombolo_storage::Restored::Done);
    assert_eq!(attempt(team.owner, "d"), Ok(new([4])));
}

/// Pages of any size joined are the log, and each says where that ends.
pub fn pages_joined_are_the_log(team: &Team) {
    let sizes = [1, 50, 3, 0, 0, 400, 20, 20, 60, 1];
    let sized = |(n, size): (usize, &usize)| NewEntry { payload: vec![b'x'; *size], ..entry(&format!("e{n}")) };
    let sent = team.send(team.request(team.writer, sizes.iter().enumerate().map(sized).collect()));
    assert_eq!(sent.expect("the store answers"), Ok(new(1..=10)));
    let log = team.log();
    for (count_max, bytes_max) in
        [(1, 1_000), (3, 1_000), (100, 0), (100, 1), (100, 60), (2, 21), (100, 554), (100, 555)]
    {
        let bounds = PageBounds { count_max, bytes_max };
        let mut joined = Vec::new();
        let mut pages = 0;
        loop {
            let EntryPage { entries, head } = team.page(joined.len() as u64, bounds);
            assert_eq!(head, Seq::new(10));
            let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
            assert!(entries.len() <= count_max && (entries.len() <= 1 || bytes <= bytes_max), "{bounds:?}");
            // No smaller than it could be.
            if let Some(next) = log.get(joined.len() + entries.len()).filter(|_| entries.len() < count_max) {
                assert!(bytes + next.payload.len() > bytes_max, "{bounds:?}");
            }
            if entries.is_empty() {
                break;
            }
            joined.extend(entries);
            pages += 1;
        }
        assert_eq!(joined, log, "{bounds:?}");
        assert!(pages >= 1 && (count_max > 1 || pages == 10));
    }
    assert_eq!(team.page(0, PageBounds { count_max: 0, bytes_max: 9 }).entries, []);
    for beyond in [10, 11, 1_000_000] {
        assert_eq!(team.page(beyond, ALL), EntryPage { entries: Vec::new(), head: Seq::new(10) });
    }
}

/// What is not there has no entries.
pub fn an_unknown_space_is_an_empty_log(team: &Team) {
    team.push(&["a"]);
    for space in [
        SpaceAddress { owner: UserId::new(99_999), ..team.space },
        SpaceAddress { owner: team.writer, ..team.space },
        SpaceAddress::only(team.owner, team.space.purpose),
    ] {
        let page = wait(team.node().entries(space, Seq::ZERO, ALL)).expect("the store answers");
        assert_eq!(page, EntryPage { entries: Vec::new(), head: Seq::ZERO });
        let end = wait(team.node().log_end(space)).expect("the store answers");
        assert_eq!(end, LogEnd { head: Seq::ZERO, committed_at: None });
    }
}

/// As many as a request may bring are stored; one more, and nothing is.
pub fn too_many_at_once_are_refused(team: &Team) {
    let sent = team.send(team.request(team.writer, entries(&names("a", limits::ENTRIES_MAX + 1))));
    assert!(matches!(sent, Err(StoreError::Internal(_))), "{sent:?}");
    assert_eq!(end(team).head, Seq::ZERO);
    assert_eq!(team.push(&names("a", limits::ENTRIES_MAX)), new(1..=limits::ENTRIES_MAX as u64));
    assert_eq!(team.logged(), names("a", limits::ENTRIES_MAX));
}

/// A listener is told how far the log goes, after each request that made it longer, and after no other.
pub fn what_is_appended_is_told(team: &Team) {
    let mut listener = team.first().bus().listen();
    let push = |user: UserId, names: &[&str]| {
        let sent = wait(team.first().append(team.request(user, entries(names)))).expect("the store answers");
        sent.map(|answers| answers.len())
    };
    assert_eq!(push(team.writer, &["a", "b"]), Ok(2));
    assert_eq!(push(team.writer, &["a"]), Ok(1));
    assert!(push(team.reader, &["c"]).is_err());
    assert_eq!(push(team.owner, &["a", "c"]), Ok(2));
    for head in [2, 3] {
        assert_eq!(wait(next(&mut listener)), Message::Grew(team.space, Seq::new(head)));
    }
}

/// Once a removal is answered, nothing of the removed one appears in the log any more, also of what was on its way.
pub fn whoever_is_removed_appends_nothing_afterwards(team: &Team) {
    for round in 0..10 {
        let of_him = |log: &[String]| log.iter().filter(|name| name.starts_with(&format!("his-{round}-"))).count();
        std::thread::scope(|scope| {
            let (began, begun) = std::sync::mpsc::sync_channel(1);
            let pushing = scope.spawn(move || {
                for n in 0.. {
                    let entries = entries(&names(&format!("his-{round}-{n}"), 3));
                    match team.send(team.request(team.writer, entries)).expect("the store answers") {
                        Ok(_) => drop(began.try_send(())),
                        Err(refusal) => return assert_eq!(refusal, Refusal::NotMember),
                    }
                }
            });
            begun.recv().expect("he may at first");
            let removed = team.node().remove_member(team.project, team.owner, team.writer);
            wait(removed).expect("the store answers").expect("the owner may");
            let at_once = of_him(&team.logged());
            pushing.join().expect("he ends well");
            assert_eq!(of_him(&team.logged()), at_once);
        });
        team.add(team.writer, Role::Writer);
    }
}

const WRITERS: usize = 6;
const ROUNDS: usize = 12;
const BATCH: usize = 8;

/// Many append at once, much of it the same, while others read: each key is there once, whoever is told a place finds
/// it there, nobody sees a place before all below it, and nobody sees a part of a request.
pub fn appends_from_many_threads(team: &Team) {
    let done = AtomicBool::new(false);
    // What two writers bring in the same round.
    let shared = |round: usize, pair: usize| names(&format!("shared-{round}-{pair}"), 3);
    let own = |writer: usize, round: usize| names(&format!("own-{writer}-{round}"), BATCH);
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let batch = [own(writer, round), shared(round, writer / 2)].concat();
                        let answers = team.push(&batch);
                        assert_eq!(answers.len(), batch.len());
                        let places: Vec<u64> = answers[..BATCH].iter().map(|answer| place(*answer)).collect();
                        assert!(answers[..BATCH].iter().all(|answer| matches!(answer, Appended::New(_))));
                        assert!(places.windows(2).all(|two| two[1] == two[0] + 1), "what is new lies together");
                        let page = team.page(places[0] - 1, PageBounds { count_max: BATCH, bytes_max: usize::MAX });
                        let found = page.entries.iter().map(|entry| entry.payload.as_slice());
                        assert!(found.eq(batch[..BATCH].iter().map(String::as_bytes)), "what is acknowledged is there");
                    }
                })
            })
            .collect();
        let watch = scope.spawn(|| watch(team, &done));
        writers.into_iter().for_each(|writer| writer.join().expect("a writer ends well"));
        drop(over);
        watch.join().expect("no gap was seen");
    });
    let logged = team.logged();
    let all: BTreeSet<_> = logged.iter().collect();
    assert_eq!(all.len(), logged.len(), "each key once");
    assert_eq!(logged.len(), WRITERS * ROUNDS * BATCH + WRITERS / 2 * ROUNDS * 3);
    assert_eq!(end(team).head.get(), logged.len() as u64);
}

fn place(answer: Appended) -> u64 {
    match answer {
        Appended::New(seq) | Appended::Repeat(seq) => seq.get(),
    }
}

/// Reads on from where it is, again and again.
fn watch(team: &Team, done: &AtomicBool) {
    let mut last = 0;
    while !done.load(Ordering::SeqCst) {
        let head = end(team).head.get();
        assert!(head >= last, "the head never falls");
        let page = team.page(last, ALL);
        for entry in &page.entries {
            assert_eq!(entry.seq.get(), last + 1, "no gap, now or later");
            last = entry.seq.get();
        }
        assert!(last >= head, "what the head counts can be read");
        assert_eq!(last, page.head.get(), "the page and the head are of one snapshot");
        // A request's entries are all there, or none.
        let text = page.entries.last().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned());
        let ends = |text: &str| text.ends_with(&format!("-{}", if text.starts_with("own-") { BATCH - 1 } else { 2 }));
        assert!(text.as_deref().is_none_or(ends), "{text:?}");
    }
}
