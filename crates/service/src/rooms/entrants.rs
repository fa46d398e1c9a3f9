//! Who is connected, and for how long he may be.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tombolo_core::{CredentialId, ServerTime};

use super::Rooms;
use super::connection::Entrant;
use super::live::ConnectionId;
use super::lock::lock;
use super::outlet::{CloseReason, Outlet};
use crate::ServiceError;
use crate::windows::network;

/// Keys that are asked for in one question.
const ASKED_MAX: usize = 1_000;
/// Before keys are asked for again, when the store failed: whoever was revoked is closed a second later.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A key's end is waited for no longer in one piece: the clock may be set.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What is told to one whose key is no more.
const REVOKED: &str = "This link was revoked";

/// Why a connection is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotConnected {
    /// Its address has as many as it may.
    TooMany,
    /// The server stops.
    Stopping,
}

/// The connections of this node.
pub(super) struct Entrants {
    of_address_max: usize,
    next: AtomicU64,
    known: Mutex<Known>,
    /// Told when there is a connection whose key has not been asked for.
    came: Notify,
}

#[derive(Default)]
struct Known {
    connections: HashMap<ConnectionId, Admitted>,
    by_address: HashMap<IpAddr, usize>,
    /// Keys that may have been revoked between being looked at and being known here.
    fresh: HashSet<CredentialId>,
    is_closed: bool,
}

struct Admitted {
    credential: Option<CredentialId>,
    expires_at: Option<ServerTime>,
    address: IpAddr,
    outlet: Arc<Outlet>,
}

impl Entrants {
    pub(super) fn new(of_address_max: usize) -> Self {
        Self { of_address_max, next: AtomicU64::new(0), known: Mutex::default(), came: Notify::new() }
    }

    /// Takes a connection in.
    pub(super) fn enter(&self, entrant: Entrant, outlet: &Arc<Outlet>) -> Result<ConnectionId, NotConnected> {
        let Entrant { credential, expires_at, address, .. } = entrant;
        let address = network(address);
        let mut known = lock(&self.known);
        if known.is_closed {
            return Err(NotConnected::Stopping);
        }
        if known.by_address.get(&address).is_some_and(|count| *count >= self.of_address_max) {
            return Err(NotConnected::TooMany);
        }
        *known.by_address.entry(address).or_default() += 1;
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        known.connections.insert(id, Admitted { credential, expires_at, address, outlet: Arc::clone(outlet) });
        if let Some(credential) = credential {
            known.fresh.insert(credential);
            self.came.notify_one();
        }
        Ok(id)
    }

    /// A connection is gone.
    pub(super) fn leave(&self, id: ConnectionId) {
        let mut known = lock(&self.known);
        let Some(Admitted { address, .. }) = known.connections.remove(&id) else { return };
        if let Some(count) = known.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                known.by_address.remove(&address);
            }
        }
    }

    /// Takes no more from now on.
    pub(super) fn shut(&self) {
        lock(&self.known).is_closed = true;
    }

    /// What all are sent through.
    pub(super) fn outlets(&self) -> Vec<Arc<Outlet>> {
        self.outlets_of(|_| true)
    }

    fn outlets_of(&self, is_meant: impl Fn(&Admitted) -> bool) -> Vec<Arc<Outlet>> {
        let known = lock(&self.known);
        known.connections.values().filter(|one| is_meant(one)).map(|one| Arc::clone(&one.outlet)).collect()
    }

    fn take_fresh(&self) -> HashSet<CredentialId> {
        std::mem::take(&mut lock(&self.known).fresh)
    }

    fn credentials(&self) -> HashSet<CredentialId> {
        lock(&self.known).connections.values().filter_map(|one| one.credential).collect()
    }

    /// When the next key ends after `now`.
    fn next_end(&self, now: ServerTime) -> Option<ServerTime> {
        lock(&self.known).connections.values().filter_map(|one| one.expires_at).filter(|at| *at > now).min()
    }
}

impl Rooms {
    /// Closes connections whose key is no more, for ever.
    pub(super) async fn close_who_may_not(&self) {
        let mut changes = self.changes.listen();
        // What was changed before it listened.
        let mut are_all_in_doubt = true;
        loop {
            are_all_in_doubt |= changes.has_changed();
            let fresh = self.entrants.take_fresh();
            let asked = if are_all_in_doubt { self.entrants.credentials() } else { fresh };
            are_all_in_doubt = match self.close_revoked(asked).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::warn!(%error, "whether keys of connections still hold is unknown; it is asked again");
                    sleep(AGAIN_AFTER).await;
                    true
                }
            };
            if !are_all_in_doubt {
                let wait = self.close_expired();
                tokio::select! {
                    () = changes.changed() => are_all_in_doubt = true,
                    () = self.entrants.came.notified() => {}
                    () = wait_for(wait) => {}
                }
            }
        }
    }

    async fn close_revoked(&self, asked: HashSet<CredentialId>) -> Result<(), ServiceError> {
        let asked: Vec<CredentialId> = asked.into_iter().collect();
        let mut gone = HashSet::new();
        for some in asked.chunks(ASKED_MAX) {
            let live: HashSet<CredentialId> = self.store.live_credentials(some).await?.into_iter().collect();
            gone.extend(some.iter().copied().filter(|credential| !live.contains(credential)));
        }
        if !gone.is_empty() {
            self.close_those(|one| one.credential.is_some_and(|credential| gone.contains(&credential)));
        }
        Ok(())
    }

    /// Closes those whose key has ended; how long until the next one does.
    fn close_expired(&self) -> Option<Duration> {
        let now = self.env.now();
        self.close_those(|one| one.expires_at.is_some_and(|at| at <= now));
        Some(self.entrants.next_end(now)?.since(now).min(WAIT_MAX))
    }

    fn close_those(&self, is_meant: impl Fn(&Admitted) -> bool) {
        self.close_outlets(&self.entrants.outlets_of(is_meant), CloseReason::Revoked, REVOKED);
    }

    /// Tells connections why, and closes them.
    pub(super) fn close_outlets<'a>(
        &self,
        outlets: impl IntoIterator<Item = &'a Arc<Outlet>>,
        reason: CloseReason,
        text: &str,
    ) {
        let mut outlets = outlets.into_iter().filter(|outlet| !outlet.is_closing()).peekable();
        let is_told = outlets.peek().is_some() && !text.is_empty();
        let last = is_told.then(|| self.common.printer.error(text));
        outlets.for_each(|outlet| outlet.close(reason, last.clone()));
    }
}

async fn wait_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}
