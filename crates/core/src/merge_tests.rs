//! The rules as tables of cases. Whole histories, with their cursors, are tested against the stores.

use super::*;
use crate::{PolicyError, RecordKey, ReplicaName, Unique};

const NOTES: CollectionName = CollectionName::new("note");

/// Content `x|y|a,b`: two plain fields and a set; an `x` of "bad" together with a `y` of "worse" fails validation.
struct Notes;

impl Policy for Notes {
    fn collections(&self) -> &'static [CollectionName] {
        &[NOTES]
    }
    fn rank(&self, _: CollectionName) -> usize {
        0
    }
    fn split<'a>(&self, _: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        let mut parts = payload.split(|byte| *byte == b'|');
        Ok(["x", "y", "set"]
            .map(|name| (Cow::Borrowed(name), Cow::Borrowed(parts.next().unwrap_or_default())))
            .to_vec())
    }
    fn join(&self, _: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        let joined = fields.iter().map(|(_, value)| value.as_ref()).collect::<Vec<_>>().join(&b'|');
        (!joined.starts_with(b"bad|worse")).then_some(joined)
    }
    fn same(&self, _: CollectionName, _: &str, left: &[u8], right: &[u8]) -> bool {
        left.eq_ignore_ascii_case(right)
    }
    fn merge_set(&self, _: CollectionName, field: &str, base: &[u8], left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
        let parts =
            |set: &[u8]| -> std::collections::BTreeSet<u8> { set.iter().copied().filter(|b| *b != b',').collect() };
        let (base, left, right) = (parts(base), parts(left), parts(right));
        let merged: Vec<u8> = left
            .union(&right)
            .filter(|e| !base.contains(e) || (left.contains(e) && right.contains(e)))
            .copied()
            .collect();
        (field == "set").then_some(merged)
    }
    fn digest(&self, _: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        Ok(Digest::of(payload))
    }
    fn references(&self, _: CollectionName, _: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        Ok(Vec::new())
    }
    fn redirect(
        &self,
        _: CollectionName,
        payload: &[u8],
        _: &RecordKey,
        _: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        Ok(payload.to_vec())
    }
    fn attach(&self, _: CollectionName, _: &[u8], _: &RecordKey) -> Result<Option<Vec<u8>>, PolicyError> {
        Ok(None)
    }
    fn unique(&self, _: CollectionName, _: &[u8]) -> Result<Option<Unique>, PolicyError> {
        Ok(None)
    }
    fn clients_restamp(&self) -> bool {
        true
    }
    fn home(&self) -> Option<RecordKey> {
        None
    }
}

fn at(seconds: i128) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000).unwrap()
}

fn stamp(seconds: i128, replica: &str) -> Stamp {
    Stamp { at: at(seconds), replica: Some(ReplicaName::parse(replica).unwrap()), digest: Digest::DELETED }
}

fn state(seq: u64, content: &str, seconds: i128) -> State {
    let op = if content == "-" { Op::Delete } else { Op::Put };
    let digest = if op == Op::Delete { Digest::DELETED } else { Digest::of(content.as_bytes()) };
    State {
        seq: Seq::new(seq),
        op,
        stamp: stamp(seconds, "b"),
        written_at: at(seconds),
        public_at: at(seconds),
        digest,
    }
}

fn incoming(content: &str, seconds: i128) -> Incoming {
    let State { op, written_at, digest, .. } = state(1, content, seconds);
    Incoming { op, written_at, digest }
}

#[derive(Default)]
struct Case {
    delivered: Option<State>,
    unconfirmed: Option<State>,
    own: Option<Own>,
    exchanged: Option<i128>,
    tombstone: Option<i128>,
    head: Option<State>,
    is_home: bool,
    clients_keep: bool,
}

fn step(write: &Incoming, case: &Case) -> Step {
    let facts = Facts {
        incoming: write,
        delivered: case.delivered.as_ref(),
        unconfirmed: case.unconfirmed.as_ref(),
        own: case.own.as_ref(),
        exchanged: [case.exchanged.map(at), None, None, None, None],
        tombstone: case.tombstone.map(at),
        head: case.head.as_ref(),
        clients_restamp: !case.clients_keep,
        is_home: case.is_home,
    };
    weigh(&facts, |base| Stamp { at: write.written_at.max(base.unwrap_or(at(0))), ..stamp(0, "a") })
}

#[test]
fn a_first_write_applies() {
    assert_eq!(step(&incoming("1|1|", 5), &Case::default()), Step::Apply { base: None });
    assert_eq!(step(&incoming("-", 5), &Case::default()), Step::Apply { base: None });
}

#[test]
fn what_the_replica_was_given_is_an_echo_whatever_its_instant() {
    let v = state(1, "1|1|", 5);
    let newer = state(2, "2|1|", 6);
    let case = Case { delivered: Some(v.clone()), head: Some(newer), ..Case::default() };
    assert_eq!(step(&incoming("1|1|", 99), &case), Step::Unchanged);
    let forced = Case { delivered: Some(v.clone()), head: Some(v), exchanged: Some(7), ..Case::default() };
    assert_eq!(step(&incoming("1|1|different", 7), &forced), Step::Unchanged);
    assert!(matches!(step(&incoming("1|1|different", 8), &forced), Step::Apply { .. }));
}

#[test]
fn what_a_reply_brought_that_may_have_been_lost_is_an_echo() {
    let (first, second, undone) = (state(1, "1|1|", 5), state(2, "2|1|", 6), state(3, "1|1|", 7));
    let case = Case { delivered: Some(first), unconfirmed: Some(second), head: Some(undone), ..Case::default() };
    assert_eq!(step(&incoming("2|1|", 99), &case), Step::Unchanged);
    assert!(matches!(step(&incoming("3|1|", 99), &case), Step::Merge { base } if base.seq == Seq::new(1)));
}

#[test]
fn a_write_on_the_head_applies_whatever_the_clock() {
    let v = state(3, "1|1|", 500);
    let case = Case { delivered: Some(v.clone()), head: Some(v), ..Case::default() };
    assert_eq!(step(&incoming("-", 1), &case), Step::Apply { base: Some(Base { seq: Seq::new(3), at: at(500) }) });
    assert!(matches!(step(&incoming("2|1|", 1), &case), Step::Apply { .. }));
}

#[test]
fn a_deletion_seen_before_is_no_new_one_even_when_the_record_lives_again() {
    let revived = state(5, "1|1|", 9);
    let case = Case { delivered: Some(revived.clone()), head: Some(revived), tombstone: Some(4), ..Case::default() };
    assert_eq!(step(&incoming("-", 4), &case), Step::Unchanged);
    assert!(matches!(step(&incoming("-", 10), &case), Step::Apply { .. }));
}

#[test]
fn without_a_base_the_later_wins_whole_and_the_server_keeps_ties() {
    let head = state(1, "1|1|", 50);
    let check = |write: Incoming, expected: Step| {
        let case = Case { head: Some(head.clone()), ..Case::default() };
        assert_eq!(step(&write, &case), expected, "{write:?}");
    };
    check(incoming("2|2|", 51), Step::Apply { base: None });
    check(incoming("2|2|", 50), Step::Supersede);
    check(incoming("2|2|", 49), Step::Supersede);
    check(incoming("1|1|", 99), Step::Unchanged);
    check(incoming("-", 51), Step::Apply { base: None });
    check(incoming("-", 49), Step::Supersede);
}

#[test]
fn where_clients_keep_instants_ties_go_to_the_greater_stamp() {
    let check = |replica: &str, expected: Step| {
        let mut head = state(1, "1|1|", 50);
        head.stamp = stamp(50, replica);
        let case = Case { head: Some(head), clients_keep: true, ..Case::default() };
        assert_eq!(step(&incoming("2|2|", 50), &case), expected, "against {replica}");
    };
    check("0", Step::Apply { base: None });
    check("b", Step::Supersede);
}

#[test]
fn a_replicas_own_home_is_no_edit_until_it_has_a_base() {
    let head = state(1, "1|1|", 50);
    let first = Case { head: Some(head.clone()), is_home: true, ..Case::default() };
    assert_eq!(step(&incoming("2|2|", 60), &first), Step::Unchanged);
    let later = Case { delivered: Some(head.clone()), head: Some(head), is_home: true, ..Case::default() };
    assert!(matches!(step(&incoming("2|2|", 60), &later), Step::Apply { .. }));
}

#[test]
fn repeats_and_late_arrivals_of_one_device() {
    let sent = Own { state: state(4, "2|1|", 20), verdict: Verdict::Merged, same_cursor: true };
    let case = Case {
        delivered: Some(state(1, "1|1|", 5)),
        own: Some(sent),
        head: Some(state(5, "2|2|", 20)),
        ..Case::default()
    };
    assert_eq!(step(&incoming("2|1|", 20), &case), Step::Repeat(Verdict::Merged));
    assert_eq!(step(&incoming("3|1|", 19), &case), Step::Unchanged);
    assert_eq!(step(&incoming("3|1|", 21), &case), Step::Merge { base: Base { seq: Seq::new(4), at: at(20) } });
    assert!(matches!(step(&incoming("-", 19), &case), Step::Merge { .. }), "a delete is never late");
}

fn content(text: &str) -> Content<'_> {
    let (deleted, text) = text.strip_prefix('-').map_or((false, text), |under| (true, under));
    Content { deleted, fields: Notes.split(NOTES, text.as_bytes()).unwrap() }
}

/// The head was made by one write at second 50, on the base.
fn merged(base: &str, head: &str, write: &str, seconds: i128) -> (String, bool) {
    let entry = Entry {
        stamp: stamp(50, "b"),
        op: if head.starts_with('-') { Op::Delete } else { Op::Put },
        fields: content(head).fields,
        base: Some(content(base).fields),
    };
    let trace = Trace { entries: vec![entry], head: stamp(50, "b"), complete: true };
    let scheme = Scheme { policy: &Notes, collection: NOTES };
    let result = merge(scheme, &content(base), &content(head), &content(write), &stamp(seconds, "a"), &trace).unwrap();
    let text = String::from_utf8(result.payload).unwrap();
    (if result.deleted { format!("-{text}") } else { text }, result.lost)
}

#[test]
fn fields_merge_against_the_base() {
    let check = |base, head, write, seconds, expected: &str, lost| {
        assert_eq!(
            merged(base, head, write, seconds),
            (expected.to_owned(), lost),
            "{base} {head} {write} at {seconds}"
        );
    };
    // Different fields survive, whatever the clocks.
    check("1|1|", "2|1|", "1|2|", 1, "2|2|", false);
    check("1|1|", "2|1|", "1|2|", 99, "2|2|", false);
    // One field on both sides: the greater stamp; ties go by replica, here b over a.
    check("1|1|", "2|1|", "3|1|", 49, "2|1|", true);
    check("1|1|", "2|1|", "3|1|", 50, "2|1|", true);
    check("1|1|", "2|1|", "3|1|", 51, "3|1|", false);
    // The same edit twice is nobody's loss.
    check("1|1|", "2|1|", "2|1|", 1, "2|1|", false);
    // Sets merge by element.
    check("1|1|ab", "1|1|abc", "1|1|bd", 1, "1|1|bcd", false);
    // A losing field does not take the others along.
    check("1|1|", "2|1|", "3|3|", 1, "2|3|", true);
    // Delete against edit: the later; an edit that loses lies under the tombstone.
    check("1|1|", "-1|1|", "1|2|", 49, "-1|2|", true);
    check("1|1|", "-1|1|", "1|2|", 51, "1|2|", false);
    check("1|1|", "1|2|", "-1|1|", 49, "1|2|", true);
    check("1|1|", "1|2|", "-1|1|", 51, "-1|2|", false);
    // What fails validation together goes whole to the greater stamp.
    check("1|1|", "bad|1|", "1|worse|", 51, "1|worse|", false);
    check("1|1|", "bad|1|", "1|worse|", 49, "bad|1|", true);
}

#[test]
fn a_field_that_may_have_been_sent_is_no_edit() {
    let scheme = Scheme { policy: &Notes, collection: NOTES };
    let check = |base, unconfirmed, write, expected: &str| {
        let picked = probable_base(scheme, content(base), &content(unconfirmed), &content(write));
        let values: Vec<_> = picked.fields.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
        assert_eq!(values.join("|"), expected, "{base} {unconfirmed} {write}");
    };
    check("1|1|", "1|2|", "9|2|", "1|2|");
    check("1|1|", "1|2|", "9|1|", "1|1|");
    check("1|1|", "2|2|", "2|9|", "2|1|");
}

#[test]
fn what_the_server_derived_loses_to_an_edit() {
    let scheme = Scheme { policy: &Notes, collection: NOTES };
    let trace = Trace { entries: Vec::new(), head: stamp(50, "b"), complete: true };
    let run = |complete| {
        let trace = Trace { complete, ..trace.clone() };
        merge(scheme, &content("1|1|"), &content("derived|1|"), &content("mine|1|"), &stamp(1, "a"), &trace)
            .unwrap()
            .payload
    };
    assert_eq!(run(true), b"mine|1|");
    assert_eq!(run(false), b"derived|1|", "an unread past counts as the head's stamp");
}
