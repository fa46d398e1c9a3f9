//! A project of a store under test, and those who belong to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tombolo_core::{
    Digest, EmailAddress, Env as _, Name, ProjectId, Purpose, Role, Seq, ServerTime, SpaceNumber, UserId,
};
use tombolo_storage::{
    Accounts, Added, Append, Appended, Entries, Entry, EntryPage, Guard, Logs, MemberAdded, NewEntry, NewProject,
    NotAppended, PageBounds, Projects, Ruled, SpaceAddress, StoreError, Upkeep, Who,
};

use crate::{TestEnv, at, wait};

/// What the suite of entries needs of a store.
pub trait EntryStore: Entries + Projects + Accounts + Logs + Upkeep {}

impl<T: Entries + Projects + Accounts + Logs + Upkeep> EntryStore for T {}

/// A project with a member of each role, on one node or on several that answer in turn.
pub struct Team {
    nodes: Vec<Arc<dyn EntryStore>>,
    turn: AtomicUsize,
    /// The servers' clock.
    pub env: Arc<TestEnv>,
    /// The project.
    pub project: ProjectId,
    /// Its log.
    pub space: SpaceAddress,
    /// Who made it.
    pub owner: UserId,
    /// A member who may write.
    pub writer: UserId,
    /// A member who may not.
    pub reader: UserId,
    /// A user who does not belong to it.
    pub stranger: UserId,
}

const USERS: [&str; 4] = ["owner", "writer", "reader", "stranger"];

fn address(owner: UserId) -> (ProjectId, SpaceAddress) {
    let project = ProjectId::new(0x1234_5678_9abc);
    (project, SpaceAddress { owner, purpose: Purpose::Td, number: SpaceNumber::new(project.get()) })
}

/// An entry that is told from others by `name`, which is also its content.
///
/// # Panics
/// Never: the instant is one.
#[must_use]
pub fn entry(name: &str) -> NewEntry {
    NewEntry { key: Digest::of(name.as_bytes()), written_at: at(5), payload: name.as_bytes().to_vec() }
}

/// Entries of these names.
#[must_use]
pub fn entries<S: AsRef<str>>(names: &[S]) -> Vec<NewEntry> {
    names.iter().map(|name| entry(name.as_ref())).collect()
}

/// Names from `prefix-0` on.
#[must_use]
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// As much as there is.
pub const ALL: PageBounds = PageBounds { count_max: 1_000_000, bytes_max: usize::MAX };

impl Team {
    /// Makes the project and its members through the first of `nodes`.
    ///
    /// # Panics
    /// When the store fails, or knows them already.
    #[must_use]
    pub fn new(nodes: Vec<Arc<dyn EntryStore>>, env: Arc<TestEnv>) -> Self {
        let store = Arc::clone(&nodes[0]);
        let [owner, writer, reader, stranger] = USERS.map(|name| {
            let email = EmailAddress::parse(&format!("{name}@example.org")).expect("it is an address");
            let name = Name::parse(name).expect("it is a name");
            match wait(store.add_user(&name, Some(&email), env.now())).expect("the store answers") {
                Added::New(user) => user,
                other => panic!("{name} is there already: {other:?}"),
            }
        });
        let (project, space) = address(owner);
        let new = NewProject {
            id: project,
            purpose: Purpose::Td,
            name: "Work".to_owned(),
            description: String::new(),
            slug: "work".to_owned(),
            created_by: owner,
            now: env.now(),
        };
        let made = wait(store.add_project(new)).expect("the store answers").expect("there is room");
        assert_eq!(made.space(), space);
        let team = Self { nodes, turn: AtomicUsize::new(0), env, project, space, owner, writer, reader, stranger };
        team.add(writer, Role::Writer);
        team.add(reader, Role::Reader);
        team
    }

    /// The project that an earlier [`Self::new`] made in the same store.
    ///
    /// # Panics
    /// When the store fails, or there was none.
    #[must_use]
    pub fn existing(nodes: Vec<Arc<dyn EntryStore>>, env: Arc<TestEnv>) -> Self {
        let [owner, writer, reader, stranger] = USERS.map(|name| {
            let name = Name::parse(name).expect("it is a name");
            wait(nodes[0].user(&name)).expect("the store answers").expect("he was added").id
        });
        let (project, space) = address(owner);
        Self { nodes, turn: AtomicUsize::new(0), env, project, space, owner, writer, reader, stranger }
    }

    /// Adds a member.
    ///
    /// # Panics
    /// When the store fails, or he is one already.
    pub fn add(&self, user: UserId, role: Role) {
        let now = self.env.now();
        let known = wait(self.node().user_by_id(user)).expect("the store answers").expect("he was added");
        let email = EmailAddress::parse(&known.email.expect("all have one")).expect("it is an address");
        let added = self.node().add_member(self.project, self.owner, Who::Address(email), role, now);
        let added = wait(added).expect("the store answers").expect("the owner may");
        assert!(matches!(added, MemberAdded::Added(_)), "{added:?}");
    }

    /// The node whose turn it is.
    pub fn node(&self) -> &dyn EntryStore {
        &*self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    /// The first node, whose bus hears what happens there.
    pub fn first(&self) -> &dyn EntryStore {
        &*self.nodes[0]
    }

    /// What a user sends.
    #[must_use]
    pub fn request(&self, user: UserId, entries: Vec<NewEntry>) -> Append {
        let guard = Guard::Member { project: self.project, user };
        Append { guard, entries, weights: Vec::new(), is_same: None, now: self.env.now() }
    }

    /// The servers' time.
    #[must_use]
    pub fn now(&self) -> ServerTime {
        self.env.now()
    }

    /// Sends it.
    ///
    /// # Errors
    /// The store's; also when it says what it never says to a member.
    pub fn send(&self, append: Append) -> Result<Ruled<Vec<Appended>>, StoreError> {
        self.env.advance(Duration::from_millis(1));
        match wait(self.node().append(append))? {
            Ok(appended) => Ok(Ok(appended)),
            Err(NotAppended::Refused(refusal)) => Ok(Err(refusal)),
            Err(other) => Err(StoreError::Internal(format!("a member's entries were not appended: {other:?}"))),
        }
    }

    /// The writer appends entries of these names.
    ///
    /// # Panics
    /// When the store fails or refuses.
    pub fn push<S: AsRef<str>>(&self, names: &[S]) -> Vec<Appended> {
        let sent = self.send(self.request(self.writer, entries(names)));
        sent.expect("the store answers").expect("the writer may")
    }

    /// A page of the log.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn page(&self, after: u64, bounds: PageBounds) -> EntryPage {
        wait(self.node().entries(self.space, Seq::new(after), bounds)).expect("the log reads")
    }

    /// The whole log.
    ///
    /// # Panics
    /// When the store fails, or the log is not dense and in order of time.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        let EntryPage { entries, head } = self.page(0, ALL);
        for (place, entry) in (1..).zip(&entries) {
            assert_eq!(entry.seq.get(), place, "the log is dense");
        }
        assert!(entries.windows(2).all(|two| two[0].committed_at < two[1].committed_at), "commit time is the order");
        assert_eq!(head.get(), entries.len() as u64);
        entries
    }

    /// The names of the log's entries.
    ///
    /// # Panics
    /// As [`Self::log`].
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        let name = |entry: Entry| String::from_utf8(entry.payload).expect("a test's contents are names");
        self.log().into_iter().map(name).collect()
    }

    /// What a check of the whole store finds.
    ///
    /// # Panics
    /// When it cannot be checked.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        wait(self.node().check(Vec::new(), Box::new(|_, _| {}))).expect("the store can be checked").faults
    }

    /// Closes every node.
    ///
    /// # Panics
    /// When one does not end cleanly.
    pub fn close(&self) {
        self.nodes.iter().for_each(|node| wait(node.close()).expect("the store ends cleanly"));
    }
}
