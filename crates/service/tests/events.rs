//! What the rules let is in the log, and nothing else; who stays connected is told of it, for as long as he may.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod shared;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::{Node, READ, entry, judge, judge_line, lines, name, rulings};
use tombolo_core::acl::Request;
use tombolo_core::{Cursor, Env as _, Generation, Purpose, Seq, UserId, limits};
use tombolo_service::{
    Access, Admission, Appended, Asked, Caller, Effect, Encoding, EventStream, EventsOpened, Form, History, Made,
    NewEntry, NewIdentity, NewToken, ROOT, Rulebook, STREAMS_EACH_MAX, ServiceError, Since, StreamFrom, Submission,
    Submitted, Unfit, Username, Weight,
};
use tombolo_storage::Store;
use tombolo_storage::memory::Memory;
use tombolo_testkit::eventually::{FOREVER, SetOnDrop, eventually};
use tombolo_testkit::{TestEnv, wait};

fn node() -> Node {
    Node::new(Arc::new(Memory::new()), Arc::new(TestEnv::new(7)))
}

/// Another process on the same database.
fn beside(node: &Node) -> Node {
    Node::new(node.store.clone(), node.env.clone())
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

#[test]
fn without_rules_nobody_writes_but_root_and_nothing_is_made_for_it() {
    let node = node();
    let ann = node.add("ann", None);
    assert_eq!(node.submit(ann, lines(&["ann task.1 edit"])), Submitted::Denied(0, ()));
    assert_eq!(wait(node.participants.known(&name(ROOT))).unwrap(), None);
    let root = node.root();
    assert_eq!(node.submit(root, lines(&[".root task.1 edit"])), Submitted::Done(vec![Appended::New(Seq::new(1))]));
    assert_eq!(node.submit(ann, lines(&[])), Submitted::Done(Vec::new()));
}

#[test]
fn rules_count_from_the_next_submission_on_on_every_node() {
    let one = node();
    let other = beside(&one);
    let ann = one.add("ann", None);
    assert_eq!(other.submit(ann, lines(&["ann task.1 edit"])), Submitted::Denied(0, ()));
    one.rule(&["+A ann|task.*|*"]);
    for node in [&one, &other] {
        let done = node.submit(ann, lines(&["ann task.1 edit"]));
        assert!(matches!(done, Submitted::Done(_)), "{done:?}");
        assert_eq!(node.submit(ann, lines(&["ann task.2 edit", "ann list.1 edit"])), Submitted::Denied(1, ()));
    }
    other.rule(&["+D ann|task.*|*"]);
    // The one still remembers the old ones: the store tells it.
    assert_eq!(one.submit(ann, lines(&["ann task.3 edit"])), Submitted::Denied(0, ()));
    assert_eq!(one.log().iter().filter(|line| line.starts_with("ann")).count(), 1);
}

#[test]
fn a_list_takes_the_place_of_the_one_before() {
    let node = node();
    node.rule(&["=A ann|*|*,D *|*|*"]);
    node.rule(&["+A bob|*|*", "=D *|task.*|*", "not a ruling"]);
    let book = wait(node.events.rulebook()).unwrap();
    assert_eq!((book.ruling, book.rules.len()), (Seq::new(4), 1));
    let list = book.list.as_ref().unwrap();
    assert_eq!(list.rules().len(), 1);
    assert!(!list.decide(Request { user: "ann", item: "task.1", action: "edit" }).is_allowed);
}

/// What is judged `count` times is judged by rules that were replaced meanwhile: each time by another ruling.
fn judged_while_ruled(rule: &'static str, count: usize) -> (Node, usize, Result<Submitted<()>, ServiceError>) {
    let node = node();
    let ann = node.add("ann", None);
    node.rule(&["+A ann|*|*"]);
    let other = beside(&node);
    let root = node.root();
    let (judged, asked) = (AtomicUsize::new(0), lines(&["ann task.1 edit"]));
    let judge_and_rule = |book: &Rulebook, place: usize| {
        if judged.fetch_add(1, Ordering::Relaxed) < count {
            let submitted = other.events.submit(root, rulings(&[rule]), |_, _| Ok::<_, ()>(()));
            let submitted = submitted.now_or_never().expect("a store in memory does not wait");
            assert!(matches!(submitted.unwrap(), Submitted::Done(_)));
        }
        judge(book, &asked, place)
    };
    let submitted = wait(node.events.submit(ann, asked.clone(), judge_and_rule));
    (node, judged.into_inner(), submitted)
}

#[test]
fn what_is_ruled_between_judging_and_committing_is_judged_by() {
    let (node, judged, submitted) = judged_while_ruled("+D ann|*|*", 1);
    assert_eq!((judged, submitted.unwrap()), (2, Submitted::Denied(0, ())));
    assert!(!node.log().iter().any(|line| line.starts_with("ann")));
    let (node, judged, submitted) = judged_while_ruled("+A bob|*|*", 1);
    assert_eq!((judged, submitted.unwrap()), (2, Submitted::Done(vec![Appended::New(Seq::new(3))])));
    assert_eq!(node.log()[2], "ann task.1 edit");
}

#[test]
fn rules_that_change_all_the_time_are_not_run_after_for_ever() {
    let (_, judged, submitted) = judged_while_ruled("+A bob|*|*", limits::JUDGED_MAX - 1);
    assert!(matches!(submitted, Ok(Submitted::Done(_))), "{submitted:?}");
    assert_eq!(judged, limits::JUDGED_MAX);
    let (node, judged, submitted) = judged_while_ruled("+A bob|*|*", usize::MAX);
    assert!(matches!(submitted, Err(ServiceError::Busy)), "{submitted:?}");
    assert_eq!(judged, limits::JUDGED_MAX);
    assert!(!node.log().iter().any(|line| line.starts_with("ann")));
}

#[test]
fn a_denial_by_rules_that_were_replaced_is_looked_at_again() {
    let node = node();
    let ann = node.add("ann", None);
    node.rule(&["+D ann|*|*"]);
    assert_eq!(node.submit(ann, lines(&["ann task.1 edit"])), Submitted::Denied(0, ()));
    beside(&node).rule(&["+A ann|*|*"]);
    assert!(matches!(node.submit(ann, lines(&["ann task.1 edit"])), Submitted::Done(_)));
}

#[test]
fn what_is_stored_already_is_answered_as_it_was_whatever_the_rules_are() {
    let node = node();
    let ann = node.add("ann", None);
    node.rule(&["+A ann|*|*"]);
    // More than are compared at a time.
    let texts: Vec<String> = (0..40).map(|n| format!("ann task.{n} edit")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Submitted::Done(first) = node.submit(ann, lines(&texts)) else { panic!("the rules let it") };
    node.rule(&["+D ann|*|*"]);
    let again = first.iter().map(|answer| match answer {
        Appended::New(seq) | Appended::Repeat(seq) => Appended::Repeat(*seq),
    });
    assert_eq!(node.submit(ann, lines(&texts)), Submitted::Done(again.collect()));
    // One that is new among them, or another under the same key, is denied.
    assert_eq!(node.submit(ann, lines(&[texts[0], "ann task.40 edit", texts[1]])), Submitted::Denied(1, ()));
    assert_eq!(node.submit(ann, lines(&[texts[0], "ann task.1 edit/other"])), Submitted::Denied(1, ()));
    assert_eq!(node.log().len(), 42);
}

#[test]
fn many_are_judged_in_turns_and_none_after_one_that_is_denied() {
    let node = node();
    let ann = node.add("ann", None);
    node.rule(&["+A ann|task.*|*"]);
    let texts: Vec<String> = (0..200).map(|n| format!("ann task.{n} edit")).collect();
    let asked = lines(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let judged = AtomicUsize::new(0);
    let judge_counted = |book: &Rulebook, place: usize| {
        judged.fetch_add(1, Ordering::Relaxed);
        judge(book, &asked, place)
    };
    // What is remembered denies it: those in force are read, and judged by. Each turn is short.
    let mut submitting = std::pin::pin!(node.events.submit(ann, asked.clone(), judge_counted));
    let mut turns = Vec::new();
    let submitted = loop {
        let before = judged.load(Ordering::Relaxed);
        let submitted = submitting.as_mut().now_or_never();
        turns.push(judged.load(Ordering::Relaxed) - before);
        if let Some(submitted) = submitted {
            break submitted.unwrap();
        }
    };
    assert!(matches!(submitted, Submitted::Done(_)));
    assert!(turns.len() >= 200 / 32 && turns.iter().all(|count| *count <= 32), "{turns:?}");
    // The first is not stored: what follows need not be judged.
    let texts: Vec<String> = (0..200).map(|n| format!("ann list.{n} edit")).collect();
    let asked = lines(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    judged.store(0, Ordering::Relaxed);
    let judge_counted = |book: &Rulebook, place: usize| {
        judged.fetch_add(1, Ordering::Relaxed);
        judge(book, &asked, place)
    };
    let submitted = wait(node.events.submit(ann, asked.clone(), judge_counted)).unwrap();
    assert_eq!(submitted, Submitted::Denied(0, ()));
    assert!(judged.load(Ordering::Relaxed) <= 32);
}

#[test]
fn what_the_log_cannot_take_is_told_with_its_place() {
    let node = node();
    let (ann, root) = (node.add("ann", None), node.root());
    node.rule(&["+A ann|*|*"]);
    assert!(matches!(node.submit(ann, lines(&["ann task.1 edit"])), Submitted::Done(_)));
    assert_eq!(node.submit(ann, lines(&["ann task.2 edit", "ann task.1 edit/other"])), Submitted::Clash(1));
    // What the rules deny comes first.
    node.rule(&["+D ann|list.*|*"]);
    assert_eq!(node.submit(ann, lines(&["ann task.1 edit/other", "ann list.1 edit"])), Submitted::Denied(1, ()));
    let identity = |who: &str| {
        let subject = name(who);
        NewIdentity { purpose: Purpose::SimpleSync, subject, username: Username::Subject, password: None }
    };
    let create = |who: &str| {
        let weight = Weight { is_ruling: false, effect: Some(Effect::AddIdentity(identity(who))) };
        Submission { entries: vec![entry(&format!(".root .user.{who} .user.create"))], weights: vec![weight] }
    };
    assert!(matches!(node.submit(root, create("bob")), Submitted::Done(_)));
    assert!(matches!(node.submit(root, create("bob")), Submitted::Done(_)), "a retry");
    assert_eq!(node.submit(root, create("ann")), Submitted::Unfit(0, Unfit::Known));
    wait(node.store.disable_user(&name("ann"), node.env.now())).unwrap();
    assert_eq!(node.submit(ann, lines(&["ann task.3 edit"])), Submitted::Disabled);
}

#[test]
fn rules_are_read_once_and_again_when_the_database_may_be_another_one() {
    let node = node();
    let rules: Vec<String> = (0..2_500).map(|n| format!("+A user.{n}|*|*")).collect();
    for some in rules.chunks(500) {
        node.rule(&some.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let read = || {
        READ.set(0);
        let book = wait(node.events.rulebook()).unwrap();
        assert_eq!([usize::try_from(book.ruling.get()).unwrap(), book.rules.len()], [node.log().len(); 2]);
        READ.get()
    };
    // Each is judged by those before it, which were read then.
    assert!(read() <= 2_500);
    assert_eq!(read(), 0);
    node.rule(&["+A one.more|*|*"]);
    assert_eq!(read(), 1);
    node.events.forget();
    assert_eq!(read(), 2_501);
    assert_eq!(wait(beside(&node).events.rulebook()).unwrap().rules.len(), 2_501);
}

#[test]
fn no_entry_slips_in_under_a_rule_that_was_replaced() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let first = Node::new(store.clone(), Arc::new(TestEnv::new(7)));
    let ann = first.add("ann", None);
    first.root();
    let (is_done, stored) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let over = SetOnDrop(&is_done);
        for writer in 0..3 {
            let node = beside(&first);
            let (is_done, stored) = (&is_done, &stored);
            scope.spawn(move || {
                for n in 0.. {
                    let line = format!("ann task.{writer}.{n} edit");
                    let judge = |rules: &Rulebook, _: usize| {
                        let judged = judge_line(rules, &line);
                        std::thread::yield_now();
                        judged
                    };
                    let submitted = wait(node.events.submit(ann, lines(&[&line]), judge));
                    assert!(submitted.is_ok() || matches!(submitted, Err(ServiceError::Busy)));
                    stored.fetch_add(usize::from(matches!(submitted, Ok(Submitted::Done(_)))), Ordering::Relaxed);
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..50 {
            let before = stored.load(Ordering::Relaxed);
            first.rule(&["+A ann|*|*"]);
            eventually("a line is stored", FOREVER, || (stored.load(Ordering::Relaxed) > before).then_some(()));
            // In the midst of it.
            first.rule(&["+D ann|*|*"]);
        }
        drop(over);
    });
    let mut may_ann = false;
    for line in first.log() {
        match line.as_bytes()[0] {
            b'+' => may_ann = line.starts_with("+A"),
            _ => assert!(may_ann, "{line} was denied"),
        }
    }
}

/// A key of somebody, which ends in an hour.
fn key(node: &Node, user: UserId) -> (String, Caller) {
    let expires_at = Some(node.env.now().plus(Duration::from_secs(3_600)));
    let new = NewToken { user, name: name("key"), purpose: Purpose::SimpleSync, expires_at };
    let Made::Token(token) = wait(node.keyring.make_token(new)).unwrap() else { panic!("the name is free") };
    let text = token.secret().reveal().to_owned();
    match authenticate(node, &text) {
        Access::Granted(caller) => (text, caller),
        Access::Refused(denial) => panic!("{denial:?}"),
    }
}

fn authenticate(node: &Node, text: &str) -> Access {
    wait(node.keyring.authenticate(text, Purpose::SimpleSync, ADDRESS)).unwrap()
}

fn with_key(caller: Caller) -> Admission {
    Admission { user: caller.user, credential: Some(caller.credential), ends_at: caller.expires_at }
}

fn with_password(user: UserId) -> Admission {
    Admission { user, credential: None, ends_at: None }
}

fn open(node: &Node, admission: Admission, from: StreamFrom) -> Box<EventStream> {
    match wait(node.events.stream(admission, from)).unwrap() {
        EventsOpened::Stream(stream) => stream,
        EventsOpened::UnknownCursor => panic!("the cursor is of this history"),
        EventsOpened::TooMany => panic!("there are few"),
    }
}

fn read(stream: &mut EventStream) -> Option<Vec<(Cursor, String)>> {
    let line = |(cursor, entry): (Cursor, tombolo_service::Entry)| (cursor, String::from_utf8(entry.payload).unwrap());
    wait(stream.next()).unwrap().map(|entries| entries.into_iter().map(line).collect())
}

/// Revokes all keys of somebody, as a submission does.
fn revoke_keys(node: &Node, of: &str) {
    let weight = Weight { is_ruling: false, effect: Some(Effect::RevokeKeys { subject: name(of) }) };
    let entries: Vec<NewEntry> = vec![entry(&format!(".root .user.{of} .user.resetKey"))];
    let done = node.submit(node.root(), Submission { entries, weights: vec![weight] });
    assert!(matches!(done, Submitted::Done(_)), "{done:?}");
}

#[test]
fn a_key_that_a_submission_revokes_opens_nothing_from_then_on() {
    let node = node();
    let (ann, bob) = (node.add("ann", None), node.add("bob", None));
    let ((of_ann, caller), (of_bob, _)) = (key(&node, ann), key(&node, bob));
    let mut stream = open(&node, with_key(caller), StreamFrom::Now);
    let mut listener = node.changes.listen();
    revoke_keys(&node, "ann");
    assert!(listener.has_changed(), "who stays connected is told");
    assert!(matches!(authenticate(&node, &of_ann), Access::Refused(_)));
    assert!(matches!(authenticate(&node, &of_bob), Access::Granted(_)));
    assert_eq!(read(&mut stream), None);
}

#[test]
fn a_stream_begins_behind_its_cursor_or_now() {
    let node = node();
    let ann = node.add("ann", None);
    node.rule(&["+A ann|*|*"]);
    let texts: Vec<String> = (0..250).map(|n| format!("ann task.{n} edit")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(matches!(node.submit(ann, lines(&texts)), Submitted::Done(_)));
    let (_, caller) = key(&node, ann);
    let space = tombolo_storage::SpaceAddress::only(node.root(), Purpose::SimpleSync);
    let head = wait(node.store.head(space)).unwrap();
    let mut stream = open(&node, with_key(caller), StreamFrom::Cursor(Cursor { seq: Seq::new(1), ..head }));
    let mut seen = Vec::new();
    while seen.len() < 250 {
        seen.extend(read(&mut stream).unwrap());
    }
    assert!(seen.iter().map(|(_, line)| line.as_str()).eq(texts.iter().copied()));
    assert_eq!((seen[0].0, seen[249].0), (Cursor { seq: Seq::new(2), ..head }, head));

    let foreign = Cursor { generation: Generation::from_bytes([9; 16]), ..head };
    let beyond = Cursor { seq: Seq::new(252), ..head };
    for cursor in [foreign, beyond] {
        let opened = wait(node.events.stream(with_key(caller), StreamFrom::Cursor(cursor))).unwrap();
        assert!(matches!(opened, EventsOpened::UnknownCursor), "{cursor}");
        assert!(!wait(node.events.knows(cursor)).unwrap(), "{cursor}");
    }
    assert!(wait(node.events.knows(head)).unwrap());
    assert_eq!(wait(node.events.head()).unwrap(), head);
    assert!(read(&mut open(&node, with_key(caller), StreamFrom::Beginning)).unwrap()[0].1.starts_with("+A ann|*|*"));

    let mut stream = open(&node, with_password(ann), StreamFrom::Now);
    assert!(matches!(node.submit(ann, lines(&["ann list.1 edit"])), Submitted::Done(_)));
    // Whoever keeps the watchers tells.
    wait(node.watchers.look()).unwrap();
    assert_eq!(read(&mut stream).unwrap()[0].1, "ann list.1 edit");
}

#[test]
fn a_stream_of_a_log_that_nobody_wrote_to_yet_waits_for_the_first() {
    let node = node();
    let ann = node.add("ann", None);
    let mut stream = open(&node, with_password(ann), StreamFrom::Now);
    node.rule(&["+A ann|*|*"]);
    wait(node.watchers.look()).unwrap();
    assert!(read(&mut stream).unwrap()[0].1.starts_with("+A ann|*|*"));
}

#[test]
fn a_cursor_of_a_log_that_nobody_wrote_to_yet_is_the_beginning_of_what_is_written() {
    let node = node();
    let ann = node.add("ann", None);
    let asked = Asked { form: Form::Today, encoding: Encoding::Identity, from_millis: None, known: None };
    let History::Shown(nothing) = wait(node.events.history(asked)).unwrap() else { panic!("nothing is known yet") };
    assert_eq!(wait(node.participants.known(&name(ROOT))).unwrap(), None);
    // The first entry is of one who is not the log's owner, and makes the log.
    let done = wait(node.events.submit(ann, lines(&["ann task.1 edit"]), |_, _| Ok::<_, ()>(()))).unwrap();
    assert_eq!(done, Submitted::Done(vec![Appended::New(Seq::new(1))]));
    let seen = read(&mut open(&node, with_password(ann), StreamFrom::Cursor(nothing.cursor))).unwrap();
    assert_eq!(seen, [(Cursor { seq: Seq::new(1), ..nothing.cursor }, "ann task.1 edit".to_owned())]);
    let Since::News(news) = wait(node.events.since(Some(nothing.cursor), Form::Today)).unwrap() else {
        panic!("it is of this history");
    };
    assert_eq!(news.cursor, seen[0].0);
}

#[test]
fn a_stream_ends_with_what_let_in() {
    let node = node();
    let (ann, bob) = (node.add("ann", None), node.add("bob", None));
    node.rule(&["+A *|*|*"]);
    let (_, caller) = key(&node, ann);
    let start = StreamFrom::Beginning;
    let mut by_key = open(&node, with_key(caller), start);
    let mut by_password = open(&node, with_password(bob), start);
    assert_eq!(by_key.ends_at(), caller.expires_at);
    node.env.advance(Duration::from_secs(3_599));
    assert!(read(&mut by_key).is_some());
    node.env.advance(Duration::from_secs(1));
    assert_eq!(read(&mut by_key), None);
    assert!(read(&mut by_password).is_some());

    let mut disabled_before = open(&node, with_password(bob), start);
    wait(node.store.disable_user(&name("bob"), node.env.now())).unwrap();
    node.changes.tell();
    for stream in [&mut by_password, &mut disabled_before] {
        assert_eq!(read(stream), None);
    }
    // Without anybody having told of it.
    assert_eq!(read(&mut open(&node, with_password(bob), start)), None);
}

#[test]
fn each_key_and_each_user_without_one_has_so_many_streams() {
    let node = node();
    let ann = node.add("ann", None);
    let (_, caller) = key(&node, ann);
    let is_too_many =
        |admission| matches!(wait(node.events.stream(admission, StreamFrom::Now)).unwrap(), EventsOpened::TooMany);
    let held: Vec<_> = (0..STREAMS_EACH_MAX).map(|_| open(&node, with_password(ann), StreamFrom::Now)).collect();
    assert!(is_too_many(with_password(ann)));
    assert!(!is_too_many(with_key(caller)));
    drop(held);
    assert!(!is_too_many(with_password(ann)));
}
