//! What becomes of a write: the rules, pure, one mechanism for every record protocol.
//!
//! Clients send whole records and a clock. Taken alone that loses edits: two people change two fields of one task, and
//! one field goes; a device that merely saves again what it was sent looks newest. But the log knows what it delivered
//! to each replica, so each write has a *base*, what the replica had in hand, and two writes merge field by field
//! against it.
//!
//! [`weigh`] decides by comparing numbers and digests; only a write that is concurrent with another's goes on to
//! [`merge`], which reads contents. `docs/merging.md` gives the rules with their reasons.

use std::borrow::Cow;

use crate::policy::Fields;
use crate::{CollectionName, Digest, Instant, Op, Policy, Seq, Stamp, Verdict};

/// A state that a record has or had, or a write as it was sent: numbers only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The change that made it.
    pub seq: Seq,
    /// Put or deleted.
    pub op: Op,
    /// What decides for it.
    pub stamp: Stamp,
    /// When its writer says it wrote.
    pub written_at: Instant,
    /// The instant under which it goes out to a replica that never exchanged the record.
    pub public_at: Instant,
    /// The digest of its normalised content; [`Digest::DELETED`] when it is a deletion.
    pub digest: Digest,
}

/// A replica's own last upload of a record, when it still counts for the cursor that the request presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The upload as it came.
    pub state: State,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether it was made under the very cursor that this request presents.
    pub same_cursor: bool,
}

/// A write that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Put or delete.
    pub op: Op,
    /// When the client says it wrote.
    pub written_at: Instant,
    /// The digest of its normalised content; [`Digest::DELETED`] for a delete.
    pub digest: Digest,
}

/// What is known of a write before any content is read.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The write.
    pub incoming: &'a Incoming,
    /// The state delivered to the replica, as of the cursor that this request presents.
    pub delivered: Option<&'a State>,
    /// The state delivered in a later reply, of which it is not known whether it arrived.
    pub unconfirmed: Option<&'a State>,
    /// The replica's own last upload, if it counts.
    pub own: Option<&'a Own>,
    /// The instants under which this replica may have the record in hand: the one last exchanged, sent or seen; the one
    /// before it, while it is not known whether that one arrived; those under which `delivered` and `unconfirmed` go
    /// out; the one that stands for many of its first download.
    pub exchanged: [Option<Instant>; 5],
    /// The instant of the last deletion exchanged with this replica for this record.
    pub tombstone: Option<Instant>,
    /// The record's present state.
    pub head: Option<&'a State>,
    /// Whether clients put a new instant on what they merely apply.
    pub clients_restamp: bool,
    /// Whether every replica makes this record by itself, so that making it is no edit.
    pub is_home: bool,
}

/// What to do with a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was judged before: the same verdict again, and nothing is stored.
    Repeat(Verdict),
    /// It says nothing new: nothing is stored.
    Unchanged,
    /// It becomes the head.
    Apply {
        /// The deciding instant of what the replica had in hand.
        base: Option<Base>,
    },
    /// It loses as a whole: it is stored, and the head is confirmed after it.
    Supersede,
    /// Another wrote meanwhile: read the contents and [`merge`].
    Merge {
        /// What the replica had in hand.
        base: Base,
    },
}

/// What a replica had in hand when it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The change.
    pub seq: Seq,
    /// Its deciding instant.
    pub at: Instant,
}

impl Base {
    const fn of(state: &State) -> Self {
        Self { seq: state.seq, at: state.stamp.at }
    }
}

/// What the replica had in hand: the newer of what it was sent and what it sent itself.
///
/// An own upload counts when the device wrote it no later than this write, by its own clock.
#[must_use]
pub fn base<'a>(facts: &Facts<'a>) -> Option<&'a State> {
    let own = facts.own.map(|own| &own.state).filter(|own| own.written_at <= facts.incoming.written_at);
    match (facts.delivered, own) {
        (Some(delivered), Some(own)) => Some(if own.seq > delivered.seq { own } else { delivered }),
        (delivered, own) => delivered.or(own),
    }
}

/// Decides what can be decided by numbers and digests; `stamp` fixes the write's stamp on a given base.
#[must_use]
pub fn weigh(facts: &Facts<'_>, stamp: impl Fn(Option<Instant>) -> Stamp) -> Step {
    let incoming = facts.incoming;
    if let Some(own) = facts.own {
        let same = (own.state.op, own.state.written_at, own.state.digest);
        if same == (incoming.op, incoming.written_at, incoming.digest) {
            return Step::Repeat(own.verdict);
        }
        // Two requests of one device overlapped, and the later edit arrived first. A delete is no stale copy of
        // anything: nobody edits what he has deleted.
        if own.same_cursor && incoming.written_at < own.state.written_at && incoming.op == Op::Put {
            return Step::Unchanged;
        }
    }
    let base = base(facts);
    if is_echo(facts, base) {
        return Step::Unchanged;
    }
    match (facts.head, base) {
        (None, _) => Step::Apply { base: None },
        (Some(head), Some(base)) if head.seq == base.seq => Step::Apply { base: Some(Base::of(base)) },
        (Some(_), Some(base)) => Step::Merge { base: Base::of(base) },
        (Some(head), None) => without_base(facts, head, &stamp(None)),
    }
}

fn is_echo(facts: &Facts<'_>, base: Option<&State>) -> bool {
    let incoming = facts.incoming;
    match incoming.op {
        Op::Delete => facts.tombstone == Some(incoming.written_at) || base.is_some_and(|base| base.op == Op::Delete),
        Op::Put => {
            let is_of = |state: &State| state.op == Op::Put && state.digest == incoming.digest;
            let resaved = base.into_iter().chain(facts.unconfirmed).any(is_of);
            resaved || (facts.clients_restamp && facts.exchanged.contains(&Some(incoming.written_at)))
        }
    }
}

/// A replica and a record without any exchange: the later stamp wins as a whole. Where clients restamp, the server's
/// copy stays at equal instants, since a client that uploads all it has bears the instants under which it once got it.
fn without_base(facts: &Facts<'_>, head: &State, stamp: &Stamp) -> Step {
    let incoming = facts.incoming;
    let same = head.op == incoming.op && head.digest == incoming.digest;
    if facts.is_home || (same && (incoming.op == Op::Put || stamp.at <= head.stamp.at)) {
        return Step::Unchanged;
    }
    if !facts.clients_restamp {
        return if *stamp <= head.stamp { Step::Supersede } else { Step::Apply { base: None } };
    }
    // What goes out may bear an instant a few milliseconds above the stamp, and a few more with each confirmation.
    let is_no_later = incoming.written_at == head.written_at || incoming.written_at <= head.public_at;
    if is_no_later || stamp.at <= head.stamp.at { Step::Supersede } else { Step::Apply { base: None } }
}

/// A record's content: its fields, and whether they lie under a tombstone.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    /// Whether the record is deleted.
    pub deleted: bool,
    /// Its fields, those under a tombstone included.
    pub fields: Fields<'a>,
}

/// One write that a replica sent for the record, read to tell which write set a field.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What decides for it.
    pub stamp: Stamp,
    /// Put or delete.
    pub op: Op,
    /// Its fields; empty for a delete.
    pub fields: Fields<'a>,
    /// The fields of what its replica had in hand.
    pub base: Option<Fields<'a>>,
}

/// The writes that made the head what it is, back to the base.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// What replicas sent; what the server derived is left out, so that it loses to them.
    pub entries: Vec<Entry<'a>>,
    /// The head's own stamp.
    pub head: Stamp,
    /// Whether the entries reach back to the base. If not, the head's stamp stands for what is not found.
    pub complete: bool,
}

impl Trace<'_> {
    fn newest(&self, matching: impl Fn(&Entry<'_>) -> bool) -> Option<&Stamp> {
        let found = self.entries.iter().filter(|entry| matching(entry)).map(|entry| &entry.stamp).max();
        found.or_else(|| (!self.complete).then_some(&self.head))
    }

    /// The greatest stamp of a write that gave `field` this value, other than by leaving it as it was. `None` when the
    /// server derived the value.
    fn of_field(&self, scheme: Scheme<'_>, field: &str, value: &[u8]) -> Option<&Stamp> {
        self.newest(|entry| {
            let was = entry.base.as_ref().map(|base| value_of(base, field));
            entry.op == Op::Put
                && scheme.same(field, value_of(&entry.fields, field), value)
                && was.is_none_or(|was| !scheme.same(field, was, value))
        })
    }

    /// The greatest stamp of a write that says whether the record is there. An edit says that it is.
    fn of_life(&self, deleted: bool) -> Option<&Stamp> {
        self.newest(|entry| (entry.op == Op::Delete) == deleted)
    }
}

/// A collection with its policy.
#[derive(Clone, Copy)]
pub struct Scheme<'a> {
    /// The protocol's policy.
    pub policy: &'a dyn Policy,
    /// The record's collection.
    pub collection: CollectionName,
}

impl Scheme<'_> {
    fn same(&self, field: &str, left: &[u8], right: &[u8]) -> bool {
        left == right || self.policy.same(self.collection, field, left, right)
    }
}

/// What two concurrent writes come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Whether the record is deleted.
    pub deleted: bool,
    /// The content, also that under a tombstone.
    pub payload: Vec<u8>,
    /// Whether a value that the incoming write brought did not survive.
    pub lost: bool,
}

/// Merges `incoming` with `head`, field by field against `base`.
///
/// A field that one side changed keeps that side's value; a field that both changed goes to the greater stamp; sets
/// merge by element; what the server derived loses to a replica's edit. Of a delete and an edit the later wins, and an
/// edit that loses to a delete is still merged into what lies under the tombstone: so the order of arrival does not
/// matter. A result that fails its validation falls back to the greater stamp as a whole.
///
/// `None` when not even the sides themselves can be put together again, which is a bug of the policy.
#[must_use]
pub fn merge(
    scheme: Scheme<'_>,
    base: &Content<'_>,
    head: &Content<'_>,
    incoming: &Content<'_>,
    stamp: &Stamp,
    trace: &Trace<'_>,
) -> Option<Merged> {
    let wins = |other: Option<&Stamp>| other.is_none_or(|other| stamp > other);
    let deleted = if incoming.deleted == head.deleted || wins(trace.of_life(head.deleted)) {
        incoming.deleted
    } else {
        head.deleted
    };
    let mut lost = deleted != incoming.deleted;
    // A delete says nothing about fields.
    let edited = if incoming.deleted { &base.fields } else { &incoming.fields };
    let mut fields: Fields<'_> = Vec::with_capacity(head.fields.len());
    for name in names(&head.fields, edited) {
        let (was, theirs, ours) = (value_of(&base.fields, name), value_of(&head.fields, name), value_of(edited, name));
        let value = if scheme.same(name, ours, was) || scheme.same(name, ours, theirs) {
            Cow::Borrowed(theirs)
        } else if scheme.same(name, theirs, was) {
            Cow::Borrowed(ours)
        } else if let Some(union) = scheme.policy.merge_set(scheme.collection, name, was, theirs, ours) {
            Cow::Owned(union)
        } else if wins(trace.of_field(scheme, name, theirs)) {
            Cow::Borrowed(ours)
        } else {
            lost = true;
            Cow::Borrowed(theirs)
        };
        fields.push((Cow::Borrowed(name), value));
    }
    if fields.is_empty() {
        return Some(Merged { deleted, payload: Vec::new(), lost });
    }
    if let Some(payload) = scheme.policy.join(scheme.collection, &fields) {
        return Some(Merged { deleted, payload, lost });
    }
    let whole = if wins(Some(&trace.head)) { edited } else { &head.fields };
    let lost = lost || !wins(Some(&trace.head));
    scheme.policy.join(scheme.collection, whole).map(|payload| Merged { deleted, payload, lost })
}

/// The base to judge `incoming` by, when a later reply that brought `unconfirmed` may have arrived or not: a field that
/// is as that one says is no edit.
#[must_use]
pub fn probable_base<'a>(
    scheme: Scheme<'_>,
    base: Content<'a>,
    unconfirmed: &Content<'a>,
    incoming: &Content<'_>,
) -> Content<'a> {
    let pick = |name: &str| {
        let (was, later) = (value_of(&base.fields, name), value_of(&unconfirmed.fields, name));
        let arrived = scheme.same(name, value_of(&incoming.fields, name), later);
        (Cow::Owned(name.to_owned()), Cow::Owned(if arrived { later } else { was }.to_vec()))
    };
    let fields = names(&base.fields, &unconfirmed.fields).into_iter().map(pick).collect();
    Content { deleted: base.deleted, fields }
}

fn names<'a>(head: &'a Fields<'_>, incoming: &'a Fields<'_>) -> Vec<&'a str> {
    let mut names: Vec<&str> = head.iter().map(|(name, _)| name.as_ref()).collect();
    for (name, _) in incoming {
        if !names.contains(&name.as_ref()) {
            names.push(name);
        }
    }
    names
}

fn value_of<'a>(fields: &'a Fields<'_>, name: &str) -> &'a [u8] {
    fields.iter().find(|(field, _)| field == name).map_or(&[], |(_, value)| value.as_ref())
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
