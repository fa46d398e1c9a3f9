//! A log that holds its own rules, on several nodes of one PostgreSQL at once: what is decided on one holds on all.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use support::OnPostgres;
use tombolo_core::{Digest, EmailAddress, Env, Name, ProjectId, Purpose, Role, Seq, SpaceNumber, UserId};
use tombolo_storage::postgres::Postgres;
use tombolo_storage::{
    Accounts as _, Added, Append, Appended, Effect, Elsewhere, Entries as _, Entry, Guard, Identities as _,
    IdentityAdded, IdentityKey, MemberAdded, MemberChanged, NewCredential, NewEntry, NewIdentity, NewKey, NewProject,
    NotAppended, Place, Projects as _, Reading, SecretHash, SpaceAddress, StoreError, Unfit, Upkeep as _, Username,
    Weight, Who,
};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::team::ALL;
use tombolo_testkit::{TestEnv, at, wait};

/// How old what a busy node knows of credentials may be.
const STALE_MAX: Duration = Duration::from_secs(2);

const PURPOSE: Purpose = Purpose::SimpleSync;

fn name(text: &str) -> Name {
    Name::parse(text).expect("it is a name")
}

/// Nodes on one database, and the log that they share.
struct Nodes {
    nodes: Vec<Arc<Postgres>>,
    env: Arc<TestEnv>,
    root: UserId,
    space: SpaceAddress,
    database: OnPostgres,
}

impl Nodes {
    /// `None` where there is no PostgreSQL.
    fn new(count: usize) -> Option<Self> {
        let database = OnPostgres::new()?;
        let env = Arc::new(TestEnv::new(1));
        let nodes: Vec<_> = (0..count).map(|_| database.node(Arc::clone(&env) as Arc<dyn Env>)).collect();
        let root = known(&nodes[0], ".root");
        let space = SpaceAddress { owner: root, purpose: PURPOSE, number: SpaceNumber::ONLY };
        Some(Self { nodes, env, root, space, database })
    }

    /// What a user sends who was judged by `ruling`.
    fn request(&self, user: UserId, ruling: Seq, text: &str, weight: Weight) -> Append {
        let entry = NewEntry {
            key: Digest::of(text.as_bytes()),
            written_at: at(5),
            payload: text.split(' ').next().unwrap_or_default().as_bytes().to_vec(),
        };
        Append {
            guard: Guard::Rules { space: self.space, user, ruling },
            entries: vec![entry],
            weights: vec![weight],
            is_same: Some(|stored, sent| stored == sent),
            now: self.env.now(),
        }
    }

    /// `.root` does something on a node.
    fn act(&self, node: usize, text: &str, effect: Effect) -> Result<Vec<Appended>, NotAppended> {
        self.act_as(node, self.root, text, effect)
    }

    fn act_as(&self, node: usize, by: UserId, text: &str, effect: Effect) -> Result<Vec<Appended>, NotAppended> {
        let weight = Weight { is_ruling: false, effect: Some(effect) };
        let append = self.request(by, Seq::ZERO, text, weight);
        wait(self.nodes[node].append(append)).expect("the database answers")
    }

    /// What every ruling says, and everything in its place.
    fn log(&self) -> (BTreeSet<Seq>, Vec<Entry>) {
        let node = &self.nodes[0];
        let rulings = wait(node.rulings(self.space, Seq::ZERO, ALL)).expect("the rulings read");
        let log = wait(node.entries(self.space, Seq::ZERO, ALL)).expect("the log reads");
        (rulings.into_iter().map(|ruling| ruling.seq).collect(), log.entries)
    }

    /// Everything is in order, and nobody was in anybody's way for good.
    fn look_through(self) {
        let faults = faults(&self.nodes[0]);
        assert_eq!(faults, Vec::<String>::new());
        self.nodes.iter().for_each(|node| wait(node.close()).expect("the node ends cleanly"));
        // What a connection counted is known when it is gone.
        let sql = |sql: &str| self.database.database().sql(sql);
        eventually("connections that are gone", FOREVER, || {
            let others = "SELECT count(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
            (sql(others) == "0").then_some(())
        });
        assert_eq!(sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), "0");
    }
}

/// How the content of a ruling, and of nothing else, begins.
const RULING: &str = "ruling";

/// What a check finds.
fn faults(node: &Postgres) -> Vec<String> {
    let reading = Reading::of_rules(PURPOSE, |payload| payload.starts_with(RULING.as_bytes()));
    wait(node.check(vec![reading], Box::new(|_, _| {}))).expect("it can be checked").faults
}

/// Makes somebody known.
fn known(node: &Postgres, subject: &str) -> UserId {
    match wait(node.add_identity(identity(subject), TestEnv::START)).expect("the database answers") {
        IdentityAdded::New(user) => user,
        other => panic!("{subject} was not known: {other:?}"),
    }
}

fn identity(subject: &str) -> NewIdentity {
    NewIdentity { purpose: PURPOSE, subject: name(subject), username: Username::Subject, password: None }
}

fn hash(text: &str) -> SecretHash {
    let half = Digest::of(text.as_bytes()).to_bytes();
    SecretHash([half, half].concat().try_into().expect("two halves are a whole"))
}

fn key(text: &str) -> NewKey {
    NewKey { name: name("key"), purpose: PURPOSE, prefix: text.to_owned(), hash: String::new(), expires_at: None }
}

fn give(subject: &str, token: &str) -> Effect {
    let expires_at = TestEnv::START.plus(Duration::from_secs(3_600));
    Effect::GiveSetupToken { subject: name(subject), token: hash(token), expires_at }
}

fn exchange(token: &str, text: &str) -> Effect {
    Effect::UseSetupToken { token: hash(token), key: key(text) }
}

fn revoke(subject: &str) -> Effect {
    Effect::RevokeKeys { subject: name(subject) }
}

/// Rules that say one word: the only content that may be appended until others are made.
fn word(ruling: usize) -> String {
    format!("word-{ruling}")
}

/// Reads the rules until they are those by which an entry is stored, and says how often they had changed.
fn append_what_is_allowed(nodes: &Nodes, node: usize, user: UserId, name: &str) -> usize {
    let store = &nodes.nodes[node];
    for tries in 0.. {
        let rulings = wait(store.rulings(nodes.space, Seq::ZERO, ALL)).expect("the rulings read");
        let last = rulings.last().expect("there is one from the beginning");
        let ruling = String::from_utf8(last.payload.clone()).expect("it is a word");
        let allowed = ruling.trim_start_matches(RULING);
        let append = nodes.request(user, last.seq, &format!("{allowed} {name}"), Weight::default());
        match wait(store.append(append)).expect("the database answers") {
            Ok(appended) => {
                assert!(matches!(appended[..], [Appended::New(_)]), "{appended:?}");
                return tries;
            }
            Err(why) => assert_eq!(why, NotAppended::Outdated),
        }
    }
    unreachable!("there are tries without end")
}

/// Two nodes append while a third, and now and then one of them, changes the rules: the rule in force at its place
/// allowed each entry.
#[test]
fn no_entry_slips_in_under_rules_that_were_replaced() {
    const RULINGS: usize = 40;
    const ENTRIES: usize = 25;
    let Some(nodes) = Nodes::new(3) else { return };
    let users: Vec<UserId> = ["ann", "bob", "cleo", "dan"].map(|user| known(&nodes.nodes[0], user)).to_vec();
    let rule = |n: usize, ruling: Seq| {
        let weight = Weight { is_ruling: true, effect: None };
        let append = nodes.request(nodes.root, ruling, &format!("{RULING}{}", word(n)), weight);
        match wait(nodes.nodes[n % 3].append(append)).expect("the database answers").as_deref() {
            Ok([Appended::New(seq)]) => *seq,
            other => panic!("nobody else rules: {other:?}"),
        }
    };
    let first = rule(0, Seq::ZERO);
    let outdated = std::thread::scope(|scope| {
        let ruler = scope.spawn(|| (1..RULINGS).fold(first, |last, n| rule(n, last)));
        let writers: Vec<_> = (0..4)
            .map(|w| {
                let (nodes, user) = (&nodes, users[w]);
                let append = move |n| append_what_is_allowed(nodes, w % 2, user, &format!("{w}-{n}"));
                scope.spawn(move || (0..ENTRIES).map(append).sum::<usize>())
            })
            .collect();
        let outdated: usize = writers.into_iter().map(|writer| writer.join().expect("all are stored")).sum();
        ruler.join().expect("it rules");
        outdated
    });
    assert!(outdated > 0, "or nothing was in anybody's way");
    let (rulings, log) = nodes.log();
    assert_eq!((rulings.len(), log.len()), (RULINGS, RULINGS + 4 * ENTRIES));
    let mut in_force = None;
    for entry in &log {
        if rulings.contains(&entry.seq) {
            in_force = entry.payload.strip_prefix(RULING.as_bytes());
            continue;
        }
        assert_eq!(
            Some(entry.payload.as_slice()),
            in_force,
            "change {} was judged by the rules of its place",
            entry.seq
        );
    }
    // Also one by one: what was judged by any but the last is refused.
    let last = *rulings.last().expect("there are some");
    for ruling in rulings.iter().filter(|ruling| **ruling != last).chain([&Seq::ZERO, &last.next()]) {
        let append = nodes.request(users[0], *ruling, "late", Weight::default());
        let answer = wait(nodes.nodes[0].append(append)).expect("the database answers");
        assert_eq!(answer, Err(NotAppended::Outdated), "judged by {ruling}");
    }
    nodes.look_through();
}

/// Requests that waited for each other on one node share a transaction: one that was judged before another of them
/// ruled is outdated there, too.
#[test]
fn a_ruling_holds_within_its_own_transaction() {
    let Some(nodes) = Nodes::new(1) else { return };
    let node = &nodes.nodes[0];
    let append = |text: &str, is_ruling| {
        let append = nodes.request(nodes.root, Seq::ZERO, text, Weight { is_ruling, effect: None });
        wait(node.append(append)).expect("the database answers")
    };
    append("first", false).expect("there are no rules yet");
    let sql = |text: &str| nodes.database.database().sql(text);
    sql("CREATE TABLE ends (n int)");
    std::thread::scope(|scope| {
        let (append, sql) = (&append, &sql);
        let holder = scope.spawn(move || {
            sql("BEGIN; SELECT FROM spaces FOR UPDATE;
                 DO $$ BEGIN
                     FOR n IN 1..1000 LOOP
                         EXIT WHEN EXISTS (SELECT FROM ends);
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                 END $$; COMMIT")
        });
        let waiting = |count: &str| {
            let locks = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock'";
            eventually("requests that wait", FOREVER, || (sql(locks) == count).then_some(()));
        };
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'spaces'::regclass AND mode = 'RowShareLock'";
        eventually("a transaction that holds the space", FOREVER, || (sql(held) != "0").then_some(()));
        let leader = scope.spawn(move || append("leader", false));
        waiting("1");
        let in_line =
            |count| eventually("requests in line", FOREVER, || (node.commits().jobs_waiting == count).then_some(()));
        let ruler = scope.spawn(move || append("ruling", true));
        in_line(1);
        let late = scope.spawn(move || append("late", false));
        in_line(2);
        sql("INSERT INTO ends VALUES (1)");
        assert!(matches!(leader.join().expect("it is done").as_deref(), Ok([Appended::New(_)])));
        assert!(matches!(ruler.join().expect("it is done").as_deref(), Ok([Appended::New(_)])));
        assert_eq!(late.join().expect("it is done"), Err(NotAppended::Outdated));
        holder.join().expect("its transaction ends");
    });
    assert_eq!(nodes.log().1.len(), 3);
    nodes.look_through();
}

/// Does two things at once, each on a node of its own.
fn at_once<T: Send>(one: impl FnOnce() -> T + Send, other: impl FnOnce() -> T + Send) -> [T; 2] {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            barrier.wait();
            other()
        });
        barrier.wait();
        let one = one();
        [one, other.join().expect("it comes to something")]
    })
}

#[test]
fn a_setup_token_makes_one_key() {
    let Some(nodes) = Nodes::new(2) else { return };
    let bob = known(&nodes.nodes[0], "bob");
    for n in 0..10 {
        let token = format!("token-{n}");
        nodes.act(n % 2, &format!("give {n}"), give("bob", &token)).expect("he is known");
        let exchange = |node: usize| {
            let text = format!("key-{n}-{node}");
            nodes.act_as(node, bob, &format!("exchange {text}"), exchange(&token, &text))
        };
        let answers = at_once(|| exchange(0), || exchange(1));
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(made, 1, "{answers:?}");
        assert!(answers.contains(&Err(NotAppended::Unfit(0, Unfit::Spent))), "{answers:?}");
        let winner = answers.iter().position(Result::is_ok).expect("there is one");
        for node in [0, 1] {
            let key = format!("key-{n}-{node}");
            let found = wait(nodes.nodes[0].find_credential(&key)).expect("the database answers");
            let found = found.map(|found| found.user);
            assert_eq!(found, (node == winner).then_some(bob));
        }
    }
    assert_eq!(wait(nodes.nodes[0].credentials(Some(bob))).expect("the database answers").len(), 10);
    assert_eq!(nodes.log().1.len(), 20, "what was refused left nothing behind");
    nodes.look_through();
}

#[test]
fn a_user_is_made_once() {
    let Some(nodes) = Nodes::new(2) else { return };
    for n in 0..10 {
        let subject = format!("user-{n}");
        let create = |node: usize| {
            nodes.act(node, &format!("create {n} {node}"), Effect::AddIdentity(identity(&subject))).map(drop)
        };
        // In a log, and beside it.
        let add = || match wait(nodes.nodes[1].add_identity(identity(&subject), TestEnv::START)) {
            Ok(IdentityAdded::New(_)) => Ok(()),
            Ok(IdentityAdded::Known(_)) => Err(NotAppended::Unfit(0, Unfit::Known)),
            other => panic!("the name is free: {other:?}"),
        };
        let answers = if n % 2 == 0 { at_once(|| create(0), || create(1)) } else { at_once(|| create(0), add) };
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert!(answers.contains(&Err(NotAppended::Unfit(0, Unfit::Known))), "{answers:?}");
    }
    let users = wait(nodes.nodes[0].users()).expect("the database answers");
    assert_eq!(users.len(), 1 + 10, "each of them once");
    nodes.look_through();
}

/// What an entry does is known on the other nodes, with its commit.
#[test]
fn whoever_is_kept_out_on_one_node_is_kept_out_on_all() {
    let Some(nodes) = Nodes::new(2) else { return };
    let here = &nodes.nodes[0];
    let look = || wait(here.changed_elsewhere()).expect("the database answers");
    let look_later = || {
        wait(here.find_credential("unknown")).expect("it is looked for");
        nodes.env.advance(STALE_MAX);
        look()
    };
    look();
    nodes.act(1, "create", Effect::AddIdentity(identity("bob"))).expect("he is new");
    assert_eq!(look_later(), Elsewhere::Committed);
    nodes.act(1, "give", give("bob", "token")).expect("he is known");
    assert_eq!(look_later(), Elsewhere::Nothing, "a token lets nobody in by itself");
    nodes.act(1, "exchange", exchange("token", "key")).expect("it is good");
    assert_eq!(look_later(), Elsewhere::Committed);
    assert!(wait(here.find_credential("key")).expect("the database answers").is_some());
    nodes.act(1, "revoke", revoke("bob")).expect("he is known");
    assert_eq!(look_later(), Elsewhere::Committed);
    assert!(wait(here.find_credential("key")).expect("the database answers").is_none());
    // Once only, though it is sent again.
    let again = nodes.act(1, "revoke", revoke("bob")).expect("it is a repeat");
    assert!(matches!(again[..], [Appended::Repeat(_)]), "{again:?}");
    assert_eq!(look_later(), Elsewhere::Nothing);
    nodes.look_through();
}

/// A project with both of them, which the first made.
fn project_of(nodes: &Nodes, [first, second]: [UserId; 2]) -> ProjectId {
    let id = ProjectId::new(1);
    let new = NewProject {
        id,
        purpose: Purpose::Td,
        name: "Work".to_owned(),
        description: String::new(),
        slug: "work".to_owned(),
        created_by: first,
        now: TestEnv::START,
    };
    wait(nodes.nodes[0].add_project(new)).expect("the database answers").expect("there is room");
    let email = wait(nodes.nodes[0].user_by_id(second)).expect("the database answers").and_then(|user| user.email);
    let email = EmailAddress::parse(&email.expect("all have one")).expect("it is an address");
    let who = Who::Address(email);
    let added = wait(nodes.nodes[0].add_member(id, first, who, Role::Owner, TestEnv::START)).expect("it answers");
    assert!(matches!(added, Ok(MemberAdded::Added(_))), "{added:?}");
    id
}

/// Entries do what they do to people while others change who belongs to what, and what was last used, on other nodes:
/// everybody locks in one order, so that nobody waits for somebody who waits for him.
#[test]
fn effects_and_changes_of_people_are_in_nobodys_way() {
    const ROUNDS: usize = 40;
    let Some(nodes) = Nodes::new(3) else { return };
    let users = ["ann", "bob"].map(|user| {
        let email = EmailAddress::parse(&format!("{user}@example.org")).expect("it is an address");
        match wait(nodes.nodes[0].add_user(&name(user), Some(&email), TestEnv::START)).expect("it answers") {
            Added::New(id) => {
                assert_eq!(known(&nodes.nodes[0], user), id);
                id
            }
            other => panic!("{user} is new: {other:?}"),
        }
    });
    let project = project_of(&nodes, users);
    nodes.database.database().sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
         CREATE TRIGGER between_rows BEFORE UPDATE ON credentials FOR EACH ROW EXECUTE FUNCTION dawdle();",
    );
    let key_of = |user: usize, n: usize| format!("{user}-{n}");
    std::thread::scope(|scope| {
        let (nodes, users) = (&nodes, &users);
        // Each gives the other tokens, exchanges them, and revokes the other's keys.
        let givers = [0, 1].map(|one| {
            let other = ["bob", "ann"][one];
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let of = key_of(one, n);
                    let token = format!("token {of}");
                    let given = nodes.act_as(one, users[one], &format!("give {of}"), give(other, &token));
                    given.expect("the other is known");
                    let used = nodes.act_as(one, users[one], &format!("use {of}"), exchange(&token, &of));
                    used.expect("nobody else gives tokens to the other");
                    if n % 4 == 3 {
                        let revoked = nodes.act_as(one, users[one], &format!("revoke {of}"), revoke(other));
                        revoked.expect("it can always be");
                    }
                }
            })
        });
        // Each changes the other's role, and locks both.
        for one in [0, 1] {
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let role = if n % 2 == 0 { Role::Owner } else { Role::Writer };
                    let changed = wait(nodes.nodes[2].change_role(project, users[one], users[one], role));
                    let changed = changed.expect("nobody is in the way for good");
                    assert!(matches!(changed, Ok(MemberChanged::Done | MemberChanged::LastOwner) | Err(_)));
                    let who = Who::User(users[1 - one]);
                    let added = nodes.nodes[2].add_member(project, users[one], who, Role::Owner, TestEnv::START);
                    drop(wait(added).expect("nobody is in the way for good"));
                }
            });
        }
        for second in 0.. {
            let used = wait(nodes.nodes[2].credentials(None)).expect("the database answers");
            let time = TestEnv::START.plus(Duration::from_secs(second));
            let used: Vec<_> = used.into_iter().map(|credential| (credential.id, time)).rev().collect();
            wait(nodes.nodes[2].touch_credentials(&used)).expect("nobody is in the way for good");
            if givers.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
        }
    });
    let expected: usize = 2 * (2 * ROUNDS + ROUNDS / 4);
    assert_eq!(nodes.log().1.len(), expected);
    for user in ["ann", "bob"] {
        let key = IdentityKey::Subject(name(user));
        assert!(wait(nodes.nodes[0].identity(PURPOSE, key)).expect("the database answers").is_some());
    }
    nodes.look_through();
}

/// What was used is locked by number, wherever it lies and however the database comes to it.
#[test]
fn what_was_used_is_locked_in_order() {
    let Some(database) = OnPostgres::new() else { return };
    let sql = |text: &str| database.database().sql(text);
    let node = database.node(Arc::new(TestEnv::new(1)));
    // Rows are met where they lie, as there is nothing else to find them by.
    sql("ALTER TABLE credentials DROP CONSTRAINT credentials_pkey CASCADE");
    let user = known(&node, "ann");
    let ids = ["one", "two"].map(|text| {
        let new = NewCredential {
            user,
            name: name(text),
            purpose: PURPOSE,
            prefix: text.to_owned(),
            hash: String::new(),
            created_at: TestEnv::START,
            expires_at: None,
        };
        match wait(node.add_credential(new)).expect("the database answers") {
            Added::New(id) => id,
            other => panic!("{text} is free: {other:?}"),
        }
    });
    // The first one lies behind the second now.
    sql("UPDATE credentials SET hash = 'x' WHERE prefix = 'one'");
    sql("CREATE TABLE ends (n int)");
    let used = ids.map(|id| (id, TestEnv::START.plus(Duration::from_secs(9))));
    std::thread::scope(|scope| {
        let sql = &sql;
        let holder = scope.spawn(move || {
            sql("BEGIN; SELECT FROM credentials WHERE prefix = 'two' FOR UPDATE;
                 DO $$ BEGIN
                     FOR n IN 1..1000 LOOP
                         EXIT WHEN EXISTS (SELECT FROM ends);
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                 END $$; COMMIT")
        });
        let free = "SELECT prefix FROM credentials ORDER BY id FOR UPDATE SKIP LOCKED";
        eventually("a lock of the second", FOREVER, || (sql(free) == "one").then_some(()));
        let touching = scope.spawn(|| wait(node.touch_credentials(&used)));
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("somebody who waits for it", FOREVER, || (sql(waits) == "1").then_some(()));
        assert_eq!(sql(free), "", "the first is locked before the second");
        sql("INSERT INTO ends VALUES (1)");
        touching.join().expect("it ends").expect("the database answers");
        holder.join().expect("its transaction ends");
    });
    let all = wait(node.credentials(None)).expect("the database answers");
    assert!(all.iter().all(|one| one.last_used_at == Some(TestEnv::START.plus(Duration::from_secs(9)))), "{all:?}");
    wait(node.close()).expect("the node ends cleanly");
}

/// What would be read wrong is a failure, and what leads nowhere is named.
#[test]
fn damaged_rules_and_places_are_noticed() {
    let reads = |nodes: &Nodes| {
        let node = &nodes.nodes[0];
        let beginning = Place { millis: i64::MIN, seq: Seq::ZERO };
        [
            wait(node.rulings(nodes.space, Seq::ZERO, ALL)).map(|entries| entries.len()),
            wait(node.timeline(nodes.space, beginning, Seq::new(9), ALL)).map(|entries| entries.len()),
            wait(node.find_entries(nodes.space, &[Digest::of(b"ruling")])).map(|found| found.iter().flatten().count()),
        ]
    };
    for (damage, fault, is_read) in [
        ("SELECT 1", "", true),
        ("DELETE FROM timeline WHERE seq = 2", "change 2: it is missing in the order of writing", true),
        ("DELETE FROM timeline", "change 1: it is missing in the order of writing", true),
        ("UPDATE timeline SET millis = 1 WHERE seq = 1", "change 1: it is not where it was written", true),
        ("INSERT INTO timeline SELECT space, 1, 9 FROM timeline LIMIT 1", "order of writing names change 9", false),
        ("INSERT INTO rulings SELECT space, 9 FROM rulings", "the rules name change 9", false),
        ("DELETE FROM changes WHERE seq = 2", "the rules name change 2", false),
        ("UPDATE changes SET payload = 'x' WHERE seq = 2", "change 2: its content is not what was written", false),
    ] {
        let Some(nodes) = Nodes::new(1) else { return };
        for (text, is_ruling) in [("plain", false), ("ruling", true)] {
            let append = nodes.request(nodes.root, Seq::ZERO, text, Weight { is_ruling, effect: None });
            wait(nodes.nodes[0].append(append)).expect("the database answers").expect("nothing was ruled yet");
        }
        nodes.database.database().sql(damage);
        let faults = faults(&nodes.nodes[0]);
        let is_named = faults.iter().any(|found| found.contains(fault));
        assert_eq!((faults.is_empty(), is_named), (fault.is_empty(), !fault.is_empty()), "{damage}: {faults:?}");
        let reads = reads(&nodes);
        let is_corrupt = |read: &Result<usize, StoreError>| matches!(read, Err(StoreError::Corrupt(_)));
        assert!(reads.iter().all(|read| read.is_ok() || is_corrupt(read)), "{damage}: {reads:?}");
        assert_eq!(reads.iter().any(is_corrupt), !is_read, "{damage}: {reads:?}");
        // An entry that is sent again is compared with what is stored.
        let again = nodes.request(nodes.root, Seq::new(2), "ruling", Weight::default());
        let again = wait(nodes.nodes[0].append(again));
        match damage.contains(" changes ") {
            true => assert!(matches!(again, Err(StoreError::Corrupt(_))), "{damage}: {again:?}"),
            false if damage.contains("INTO rulings") => {
                assert_eq!(again.expect("it answers"), Err(NotAppended::Outdated))
            }
            false => assert_eq!(again.expect("it answers"), Ok(vec![Appended::Repeat(Seq::new(2))]), "{damage}"),
        }
    }
}
