//! What rooms need while they are served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tombolo_core::{Env as _, UserId};
use tombolo_service::{RENEW_EVERY, Rooms, SWEEP_EVERY, ServiceError};
use tombolo_storage::Store;

use super::{LOOK_AT_HEADS_EVERY, tick};
use crate::commands::Desk;
use crate::config::{Config, RoomAccess};
use crate::env::SystemEnv;
use crate::listener::stopped;
use crate::output;

/// Whose rooms everybody reaches: the owner's, who is made on first use, or nobody's.
pub(super) async fn open_to(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Option<UserId>> {
    if !config.protocols.rooms || config.rooms.access == RoomAccess::Key {
        return Ok(None);
    }
    let desk = Desk { config, store: store.clone() };
    let owner = desk.user_or_owner(None, SystemEnv.now()).await?;
    Ok(Some(owner.id))
}

/// Says that everybody may come in, where that is so.
pub(super) fn announce(open_to: Option<UserId>) {
    if open_to.is_some() {
        let what = "rooms are open: whoever reaches this server can use them, without a key";
        output::say(what);
        tracing::info!("{what}");
    }
}

/// Starts what rooms need, if they are served. It ends when all requests have, and not before: until then documents may
/// come.
pub(super) fn keep(config: &Config, rooms: &Arc<Rooms>, drained: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut keepers = JoinSet::new();
    if !config.protocols.rooms {
        return keepers;
    }
    keepers.spawn(hear(rooms.clone(), drained.clone()));
    keepers.spawn(store_what_is_due(rooms.clone(), drained.clone()));
    keepers.spawn(watch_access(rooms.clone(), drained.clone()));
    keepers.spawn(look_every_so_often(rooms.clone(), drained.clone()));
    keepers.spawn(renew(rooms.clone(), drained.clone()));
    keepers.spawn(sweep(rooms.clone(), drained.clone()));
    keepers
}

async fn hear(rooms: Arc<Rooms>, drained: watch::Receiver<bool>) {
    tokio::select! {
        () = rooms.hear() => {}
        () = stopped(drained) => {}
    }
}

async fn store_what_is_due(rooms: Arc<Rooms>, drained: watch::Receiver<bool>) {
    tokio::select! {
        () = rooms.store_what_is_due() => {}
        () = stopped(drained) => {}
    }
}

async fn watch_access(rooms: Arc<Rooms>, drained: watch::Receiver<bool>) {
    tokio::select! {
        () = rooms.watch_access() => {}
        () = stopped(drained) => {}
    }
}

async fn look_every_so_often(rooms: Arc<Rooms>, mut drained: watch::Receiver<bool>) {
    let mut ticks = every(LOOK_AT_HEADS_EVERY);
    while tick(&mut ticks, &mut drained).await {
        look(&rooms).await;
    }
}

/// Looks at what was stored elsewhere.
pub(super) async fn look(rooms: &Rooms) {
    note(rooms.look().await, "what others stored in rooms could not be read; it is tried again");
}

async fn renew(rooms: Arc<Rooms>, mut drained: watch::Receiver<bool>) {
    let mut ticks = every(RENEW_EVERY);
    while tick(&mut ticks, &mut drained).await {
        // After some of these other nodes end the room as one that was left.
        if let Err(error) = rooms.renew().await {
            tracing::warn!(%error, "rooms could not be held on to; it is tried again");
        }
    }
}

async fn sweep(rooms: Arc<Rooms>, mut drained: watch::Receiver<bool>) {
    let mut ticks = every(SWEEP_EVERY);
    while tick(&mut ticks, &mut drained).await {
        note(rooms.sweep().await, "rooms that were left could not be ended; it is tried again");
    }
}

fn every(span: Duration) -> Interval {
    let mut ticks = interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn note(done: Result<(), ServiceError>, what: &'static str) {
    if let Err(error) = done {
        tracing::debug!(%error, "{what}");
    }
}
