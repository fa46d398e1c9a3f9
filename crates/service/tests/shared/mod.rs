//! A shared log in a protocol of its own: an entry is a line `user item action rest`; rules are lines that begin with
//! `+` and have one rule, and with `=` and have a list.

use std::cell::Cell;
use std::sync::Arc;

use tombolo_core::acl::{Effect as Says, Pattern, Request, Rule, RuleList};
use tombolo_core::{Digest, Name, Purpose, UserId};
use tombolo_service::{
    AccessChanges, EventCodec, Events, Keyring, NewEntry, NewIdentity, Participants, ROOT, Rulebook, Ruling,
    Submission, Submitted, Username, Watchers, Weight,
};
use tombolo_storage::{IdentityAdded, Store};
use tombolo_testkit::{TestEnv, wait};

thread_local! {
    /// Rulings that this thread read.
    pub(crate) static READ: Cell<usize> = const { Cell::new(0) };
}

pub(crate) const CODEC: EventCodec = EventCodec {
    purpose: Purpose::SimpleSync,
    ruling,
    write: |payload, _, out| out.extend_from_slice(payload),
    is_same,
};

fn ruling(payload: &[u8]) -> Option<Ruling> {
    READ.with(|read| read.set(read.get() + 1));
    let text = std::str::from_utf8(payload).unwrap();
    if let Some(text) = text.strip_prefix('+') {
        return Some(Ruling::Add(vec![rule(text)]));
    }
    text.strip_prefix('=').map(|text| Ruling::List(RuleList::new(text.split(',').map(rule).collect())))
}

fn is_same(stored: &[u8], sent: &[u8]) -> bool {
    stored == sent
}

/// `A user|item|action`, or `D …`; what follows a `#` makes it another line.
fn rule(text: &str) -> Rule {
    let text = text.split('#').next().unwrap();
    let (says, patterns) = text.split_once(' ').unwrap();
    let effect = if says == "A" { Says::Allow } else { Says::Deny };
    let [user, item, action] =
        patterns.split('|').map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>().try_into().unwrap();
    Rule { user, item, action, effect }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) env: Arc<TestEnv>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) changes: Arc<AccessChanges>,
    pub(crate) events: Events,
    pub(crate) participants: Participants,
}

impl Node {
    pub(crate) fn new(store: Arc<dyn Store>, env: Arc<TestEnv>) -> Self {
        let keyring = Arc::new(Keyring::new(store.clone(), env.clone()));
        let watchers = Arc::new(Watchers::new(store.clone()));
        let changes = Arc::new(AccessChanges::default());
        let (of_store, of_env) = (store.clone(), env.clone());
        let events = Events::new(of_store, of_env, keyring.clone(), watchers.clone(), changes.clone(), CODEC, 1 << 20);
        let participants = Participants::new(store.clone(), env.clone(), keyring.clone(), Purpose::SimpleSync);
        Self { store, env, keyring, watchers, changes, events, participants }
    }

    /// Somebody who is known, and not before.
    pub(crate) fn add(&self, who: &str, password: Option<&str>) -> UserId {
        let hash = |text: &str| wait(self.participants.hash(tombolo_core::Secret::new(text.to_owned()))).unwrap();
        let new = NewIdentity {
            purpose: Purpose::SimpleSync,
            subject: name(who),
            username: Username::Subject,
            password: password.map(hash),
        };
        match wait(self.participants.add(new)).unwrap() {
            IdentityAdded::New(user) => user,
            other => panic!("{who}: {other:?}"),
        }
    }

    /// `.root`, made if need be.
    pub(crate) fn root(&self) -> UserId {
        match wait(self.participants.known(&name(ROOT))).unwrap() {
            Some(identity) => identity.user,
            None => self.add(ROOT, None),
        }
    }

    /// Submits, judged by the rules.
    pub(crate) fn submit(&self, by: UserId, submission: Submission) -> Submitted<()> {
        let asked = submission.clone();
        wait(self.events.submit(by, submission, |rules, place| judge(rules, &asked, place))).unwrap()
    }

    /// Adds rules; nobody asks whether that may be.
    pub(crate) fn rule(&self, rules: &[&str]) {
        let done = wait(self.events.submit(self.root(), rulings(rules), |_, _| Ok::<_, ()>(()))).unwrap();
        assert!(matches!(done, Submitted::Done(_)), "{done:?}");
    }

    /// Everything that the log holds.
    pub(crate) fn log(&self) -> Vec<String> {
        let space = tombolo_storage::SpaceAddress::only(self.root(), Purpose::SimpleSync);
        let bounds = tombolo_service::PageBounds { count_max: 100_000, bytes_max: 1 << 30 };
        let page = wait(self.store.entries(space, tombolo_core::Seq::ZERO, bounds)).unwrap();
        page.entries.into_iter().map(|entry| String::from_utf8(entry.payload).unwrap()).collect()
    }
}

/// What the rules say of one line; `.root` may do everything.
pub(crate) fn judge(rules: &Rulebook, submission: &Submission, place: usize) -> Result<(), ()> {
    let line = String::from_utf8(submission.entries[place].payload.clone()).unwrap();
    judge_line(rules, &line)
}

pub(crate) fn judge_line(rules: &Rulebook, line: &str) -> Result<(), ()> {
    let mut words = line.split(' ');
    let (user, item, action) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let is_allowed = user == ROOT || rules.rules.decide(Request { user, item, action }).is_allowed;
    is_allowed.then_some(()).ok_or(())
}

/// An entry is known by its line up to a `/`.
pub(crate) fn entry(line: &str) -> NewEntry {
    let key = Digest::of(line.split('/').next().unwrap().as_bytes());
    NewEntry { key, written_at: TestEnv::START.to_instant(), payload: line.as_bytes().to_vec() }
}

pub(crate) fn lines(lines: &[&str]) -> Submission {
    Submission { entries: lines.iter().map(|line| entry(line)).collect(), weights: Vec::new() }
}

/// Lines that change the rules, each made another one.
pub(crate) fn rulings(rules: &[&str]) -> Submission {
    thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });
    let line = |rule: &&str| {
        let count = COUNT.with(|count| count.replace(count.get() + 1));
        entry(&format!("{rule}#{:?}.{count}", std::thread::current().id()))
    };
    let weights = rules.iter().map(|_| Weight { is_ruling: true, effect: None }).collect();
    Submission { entries: rules.iter().map(line).collect(), weights }
}
