//! Bringing a replica's writes to its log, and the log's news to the replica.

use std::sync::Arc;

use tombolo_core::{Env, Instant, Policy, Purpose, ReplicaName, SpaceCursor};
use tombolo_storage::{
    CommitCounts, Download, Downloaded, Exchange, Exchanged, Refused, SpaceAddress, Store, Totals, Upload, Uploaded,
    Write,
};

use crate::{Caller, ServiceError};

/// One request of a replica that resumes by a time.
#[derive(Clone)]
pub struct ExchangeRequest {
    /// The protocol whose space of the caller it is about.
    pub purpose: Purpose,
    /// The device.
    pub replica: ReplicaName,
    /// The time that it presents as its cursor.
    pub presented: Option<Instant>,
    /// Its writes, judged in this order.
    pub writes: Vec<Write>,
    /// What was refused before it became a write.
    pub refused: Vec<Refused>,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
    /// What one reply may carry.
    pub reply: ReplyBounds,
}

/// What a replica that resumes by a cursor brings.
#[derive(Clone)]
pub struct UploadRequest {
    /// The protocol whose space of the caller it is about.
    pub purpose: Purpose,
    /// The device.
    pub replica: ReplicaName,
    /// Where it resumes, if it says so.
    pub presented: Option<SpaceCursor>,
    /// Its writes, judged in this order.
    pub writes: Vec<Write>,
    /// What was refused before it became a write.
    pub refused: Vec<Refused>,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
}

/// What such a replica asks for.
#[derive(Clone)]
pub struct DownloadRequest {
    /// The protocol whose space of the caller it is about.
    pub purpose: Purpose,
    /// The device.
    pub replica: ReplicaName,
    /// Where it resumes; `None` for the beginning.
    pub since: Option<SpaceCursor>,
    /// Records of one page, at most.
    pub count_max: usize,
    /// How the protocol's records are read.
    pub policy: Arc<dyn Policy>,
    /// What one reply may carry.
    pub reply: ReplyBounds,
}

/// What one reply may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyBounds {
    /// Bytes of all deliveries together.
    pub page_bytes_max: usize,
    /// Bytes that a delivery takes besides its payload and name, at most.
    pub delivery_overhead_bytes: usize,
}

/// What replicas do with their logs.
pub struct Replication {
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
}

impl Replication {
    /// Replication on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, env: Arc<dyn Env>) -> Self {
        Self { store, env }
    }

    /// Brings a replica's writes to the caller's own space, and reads what is new to the replica.
    ///
    /// All or nothing, and durable when it returns `Ok`. Dropped midway it is done or not done: the same request sent
    /// again is recognised.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; the same request may be sent again.
    pub async fn exchange(&self, caller: Caller, request: ExchangeRequest) -> Result<Exchanged, ServiceError> {
        let ExchangeRequest { purpose, replica, presented, writes, refused, policy, reply } = request;
        let exchange = Exchange {
            space: SpaceAddress::only(caller.user, purpose),
            replica,
            presented,
            writes,
            refused,
            policy,
            now: self.env.now(),
            page_bytes_max: reply.page_bytes_max,
            delivery_overhead_bytes: reply.delivery_overhead_bytes,
        };
        Ok(self.store.exchange(exchange).await?)
    }

    /// Stores what a replica brings to the caller's own space, which need not take anything back.
    ///
    /// All or nothing, and durable when it returns `Ok`. Dropped midway it is done or not done: the same request sent
    /// again is recognised.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; the same request may be sent again.
    pub async fn upload(&self, caller: Caller, request: UploadRequest) -> Result<Uploaded, ServiceError> {
        let UploadRequest { purpose, replica, presented, writes, refused, policy } = request;
        let space = SpaceAddress::only(caller.user, purpose);
        let upload = Upload { space, replica, presented, writes, refused, policy, now: self.env.now() };
        Ok(self.store.upload(upload).await?)
    }

    /// Reads a page of what changed in the caller's own space since a cursor.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; the same request may be sent again.
    pub async fn download(&self, caller: Caller, request: DownloadRequest) -> Result<Downloaded, ServiceError> {
        let DownloadRequest { purpose, replica, since, count_max, policy, reply } = request;
        let download = Download {
            space: SpaceAddress::only(caller.user, purpose),
            replica,
            since,
            count_max,
            page_bytes_max: reply.page_bytes_max,
            delivery_overhead_bytes: reply.delivery_overhead_bytes,
            policy,
            now: self.env.now(),
        };
        Ok(self.store.download(download).await?)
    }

    /// Erases the caller's own space of a protocol, with its history and its devices; `false` when there was none.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; it may be asked again.
    pub async fn erase(&self, caller: Caller, purpose: Purpose) -> Result<bool, ServiceError> {
        Ok(self.store.erase_space(SpaceAddress::only(caller.user, purpose), self.env.now()).await?)
    }

    /// How much is stored.
    ///
    /// # Errors
    /// [`ServiceError::Store`] when it cannot be counted now.
    pub async fn totals(&self) -> Result<Totals, ServiceError> {
        Ok(self.store.totals().await?)
    }

    /// How the store's commits went since the process began.
    #[must_use]
    pub fn commits(&self) -> CommitCounts {
        self.store.commits()
    }

    /// Whether the store can be written to now.
    ///
    /// # Errors
    /// [`ServiceError::Store`] says why not.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        Ok(self.store.ready().await?)
    }
}
