//! Who stays connected reads on for as long as he may, and not a page longer.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env as _, Name, Purpose, Seq, UserId};
use tombolo_service::{Access, AccessChanges, Caller, Feed, Feeds, Keyring, Made, NewToken, Opened, Watchers};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Projects as _};
use tombolo_testkit::team::{Team, names};
use tombolo_testkit::{TestEnv, wait};

/// A project with a backlog of several pages, and its reader's key, which ends in an hour.
struct Bench {
    store: Arc<Memory>,
    env: Arc<TestEnv>,
    team: Team,
    changes: Arc<AccessChanges>,
    feeds: Feeds,
    caller: Caller,
}

impl Bench {
    fn new() -> Self {
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(7)));
        let team = Team::new(vec![store.clone()], env.clone());
        team.push(&names("bolt", 350));
        let changes = Arc::new(AccessChanges::default());
        let watchers = Arc::new(Watchers::new(store.clone()));
        let feeds = Feeds::new(store.clone(), env.clone(), watchers, changes.clone());
        let caller = caller(&store, &env, team.reader);
        Self { store, env, team, changes, feeds, caller }
    }

    fn open(&self, after: u64) -> Box<Feed> {
        match wait(self.feeds.open(self.caller, self.team.project, Some(Seq::new(after)))).unwrap() {
            Opened::Feed(feed) => feed,
            Opened::Refused(refusal) => panic!("{refusal:?}"),
            Opened::TooMany => panic!("it is the first"),
        }
    }

    fn remove_reader(&self) {
        let Team { project, owner, reader, .. } = self.team;
        wait(self.store.remove_member(project, owner, reader)).unwrap().unwrap();
    }
}

fn caller(store: &Arc<Memory>, env: &Arc<TestEnv>, user: UserId) -> Caller {
    let keyring = Keyring::new(store.clone(), env.clone());
    let expires_at = Some(env.now().plus(Duration::from_secs(3_600)));
    let new = NewToken { user, name: Name::parse("terminal").unwrap(), purpose: Purpose::Td, expires_at };
    let Made::Token(token) = wait(keyring.make_token(new)).unwrap() else { panic!("the name is free") };
    let access = keyring.authenticate(token.secret().reveal(), Purpose::Td, IpAddr::from([192, 0, 2, 1]));
    let Access::Granted(caller) = wait(access).unwrap() else { panic!("the key is good") };
    caller
}

fn next(feed: &mut Feed) -> Option<usize> {
    wait(feed.next()).unwrap().map(|entries| entries.len())
}

#[test]
fn who_is_removed_reads_no_further_page_however_much_lies_before_him() {
    let bench = Bench::new();
    let mut feed = bench.open(0);
    assert_eq!(next(&mut feed), Some(100));
    bench.remove_reader();
    bench.changes.tell();
    assert_eq!(next(&mut feed), None);
    assert_eq!(next(&mut feed), None, "and it stays so");
}

#[test]
fn who_may_read_on_after_a_change_does() {
    let bench = Bench::new();
    let mut feed = bench.open(0);
    assert_eq!(next(&mut feed), Some(100));
    bench.changes.tell();
    assert_eq!([next(&mut feed), next(&mut feed), next(&mut feed)], [Some(100), Some(100), Some(50)]);
}

#[test]
fn a_revoked_key_reads_nothing_even_where_nobody_told_of_it() {
    let bench = Bench::new();
    let mut feed = bench.open(0);
    let caller = bench.caller;
    wait(bench.store.revoke_credential_by_id(caller.user, caller.credential, Purpose::Td)).unwrap();
    assert_eq!(next(&mut feed), None);
}

#[test]
fn a_feed_ends_with_its_key() {
    let bench = Bench::new();
    let mut feed = bench.open(0);
    assert_eq!(feed.expires_at(), bench.caller.expires_at);
    assert_eq!(next(&mut feed), Some(100));
    bench.env.advance(Duration::from_secs(3_600));
    assert_eq!(next(&mut feed), None);
}

#[test]
fn a_place_beyond_the_log_begins_at_its_end() {
    let bench = Bench::new();
    let feed = bench.open(900);
    assert_eq!((feed.is_beyond(), feed.sent()), (true, Seq::new(350)));
    bench.team.push(&["one more"]);
    // Whoever keeps the watchers would tell; a feed that begins now knows it by itself.
    let mut later = bench.open(350);
    assert_eq!((later.is_beyond(), next(&mut later)), (false, Some(1)));
}
