//! One space of a store under test, and raw replicas that speak to it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tombolo_core::{Cursor, Env, Instant, Op, Policy, Purpose, RecordKey, ReplicaName, Resume, Seq, UserId};
use tombolo_storage::{
    Answer, Delivery, Exchange, Exchanged, LoggedChange, Logs, Refused, SpaceAddress, StoreError, Upkeep, Write,
};

use crate::env::TestEnv;
use crate::notes::{NOTE, Note, Notes, key};

/// What the suites need of a store.
pub trait LogStore: Logs + Upkeep {}

impl<T: Logs + Upkeep> LogStore for T {}

/// Where a suite gets its stores from.
///
/// # Contract
/// `open` gives the store of the same data each time; only one is open at a time. User 1 exists in it.
pub trait Stores {
    /// Opens the store.
    fn open(&self, env: &Arc<TestEnv>) -> Arc<dyn LogStore>;

    /// The one file that holds everything, when there is one: what is in it outlives the store.
    fn file(&self) -> Option<&Path>;
}

/// The runtime of this process's tests. There is one: a store's connections live as long as the runtime they were
/// opened on.
///
/// # Panics
/// When no runtime can be made.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
    RUNTIME.get_or_init(build)
}

/// Waits for a store's answer on this thread.
pub fn wait<T>(reply: impl Future<Output = T>) -> T {
    runtime().block_on(reply)
}

/// One space of a store, with the clock of its server.
#[derive(Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn LogStore>,
    /// The server's environment.
    pub env: Arc<TestEnv>,
    /// How its records are read.
    pub policy: Arc<dyn Policy>,
    /// The space.
    pub address: SpaceAddress,
    /// Bytes that one reply may take; each delivery counts its payload, its name and 10 bytes.
    pub page_bytes_max: usize,
}

impl Place {
    /// The space of notes of user 1, an hour after [`TestEnv::START`], with replies as large as they need be.
    #[must_use]
    pub fn new(stores: &dyn Stores) -> Self {
        let env = Arc::new(TestEnv::new(1));
        env.advance(Duration::from_secs(3_600));
        Self::on(stores.open(&env), env)
    }

    /// The space of notes of user 1 in a store that is open already.
    #[must_use]
    pub fn on(store: Arc<dyn LogStore>, env: Arc<TestEnv>) -> Self {
        let address = SpaceAddress::only(UserId::new(1), Purpose::Tickit);
        Self { store, env, policy: Arc::new(Notes), address, page_bytes_max: 10_000_000 }
    }

    /// The request that [`Self::exchange`] sends.
    ///
    /// # Panics
    /// When `replica` is no name.
    #[must_use]
    pub fn request(&self, replica: &str, presented: Option<Instant>, writes: Vec<Write>) -> Exchange {
        Exchange {
            space: self.address,
            replica: ReplicaName::parse(replica).expect("a test's names are names"),
            presented,
            writes,
            refused: Vec::new(),
            policy: Arc::clone(&self.policy),
            now: self.env.now(),
            page_bytes_max: self.page_bytes_max,
            delivery_overhead_bytes: 10,
        }
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// The store's.
    pub fn send(&self, request: Exchange) -> Result<Exchanged, StoreError> {
        wait(self.store.exchange(request))
    }

    /// Sends one request of a replica.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn exchange(&self, replica: &str, presented: Option<Instant>, writes: Vec<Write>) -> Exchanged {
        self.send(self.request(replica, presented, writes)).expect("the store answers")
    }

    /// Sends one request that brings only refusals.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn refuse(&self, replica: &str, presented: Option<Instant>, refused: Vec<Refused>) -> Exchanged {
        let request = Exchange { refused, ..self.request(replica, presented, Vec::new()) };
        self.send(request).expect("the store answers")
    }

    /// The whole log.
    ///
    /// # Panics
    /// When the store fails, or the log is not dense and in order of time.
    #[must_use]
    pub fn log(&self) -> Vec<LoggedChange> {
        let log = wait(self.store.changes(self.address, &self.policy, Seq::ZERO, 1_000_000)).expect("the log reads");
        for (place, change) in log.iter().enumerate() {
            assert_eq!(change.seq.get(), place as u64 + 1, "the log is dense");
        }
        assert!(log.windows(2).all(|two| two[0].committed_at < two[1].committed_at), "commit time is sequence order");
        log
    }

    /// The log's head.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn head(&self) -> Cursor {
        wait(self.store.head(self.address)).expect("the head reads")
    }

    /// Whether a replica may go on from `cursor`.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn resume(&self, cursor: Cursor) -> Resume {
        wait(self.store.resume(self.address, cursor)).expect("the head reads")
    }

    /// What a device that was never here is sent: every live record, as the server has it.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn live(&self) -> Vec<Delivery> {
        static STRANGERS: AtomicU64 = AtomicU64::new(0);
        let mut stranger = Peer::new(&format!("stranger-{}", STRANGERS.fetch_add(1, Ordering::Relaxed)));
        let mut live = Vec::new();
        loop {
            let reply = stranger.sync(self, Vec::new());
            // From its second page on it is no stranger any more, and hears of deletions.
            live.extend(reply.deliveries.into_iter().filter(|delivery| delivery.op == Op::Put));
            if !reply.more {
                break;
            }
        }
        live
    }

    /// A note as the server has it; `None` when it is not there.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn note(&self, id: &str) -> Option<Note> {
        let found = self.live().into_iter().find(|delivery| delivery.key == key(NOTE, id));
        found.map(|delivery| Note::parse(&delivery.payload).expect("a stored note reads"))
    }
}

/// A raw replica: a name and the cursor of its last reply. Its copies are clones of the device; an older copy is the
/// device set back.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The replica's name.
    pub name: String,
    /// What it presents next.
    pub cursor: Option<Instant>,
}

impl Peer {
    /// A device that was never here.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cursor: None }
    }

    /// One request; its reply is acknowledged by the next.
    pub fn sync(&mut self, place: &Place, writes: Vec<Write>) -> Exchanged {
        let reply = self.lost(place, writes);
        self.cursor = Some(reply.cursor);
        reply
    }

    /// One request whose reply the device never gets.
    #[must_use]
    pub fn lost(&self, place: &Place, writes: Vec<Write>) -> Exchanged {
        place.env.advance(Duration::from_millis(10));
        place.exchange(&self.name, self.cursor, writes)
    }

    /// A request that brings everything and nothing of the past.
    pub fn forced(&mut self, place: &Place, writes: Vec<Write>) -> Exchanged {
        self.cursor = None;
        self.sync(place, writes)
    }
}

/// What a reply tells of one record.
pub trait Told {
    /// The record's delivery.
    fn delivery(&self, key: &RecordKey) -> Option<&Delivery>;
    /// The note as it was delivered; `None` when it was not, or as a deletion.
    fn note(&self, id: &str) -> Option<Note>;
    /// The only verdict.
    fn verdict(&self) -> tombolo_core::Verdict;
}

impl Told for Exchanged {
    fn delivery(&self, key: &RecordKey) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| delivery.key == *key)
    }

    fn note(&self, id: &str) -> Option<Note> {
        let found = self.delivery(&key(NOTE, id)).filter(|delivery| delivery.op == Op::Put)?;
        Some(Note::parse(&found.payload).expect("a delivered note reads"))
    }

    fn verdict(&self) -> tombolo_core::Verdict {
        match self.answers.as_slice() {
            [Answer::Judged(verdict)] => *verdict,
            other => panic!("one judged write was expected, not {other:?}"),
        }
    }
}
