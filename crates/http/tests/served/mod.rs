//! A server without its listener.

use std::sync::Arc;

use tokio::sync::watch;
use tombolo_core::{Env, Purpose};
use tombolo_http::{APPROVE_PATH, App, Arriving, Metrics, Options, room_codec, simple_sync_codec};
use tombolo_service::{
    AccessChanges, AdmissionOptions, Admissions, Events, Feeds, Journal, Keyring, Keys, Outbox, Participants, Post,
    Projects, RateLimitOptions, RateLimits, Replication, RoomOptions, Rooms, Watchers,
};
use tombolo_storage::Store;

/// What the routes need, of a server on `store` that limits requests as it does by itself.
pub(crate) fn app(store: Arc<dyn Store>, env: Arc<dyn Env>, options: Options) -> Arc<App> {
    let keyring = Arc::new(Keyring::new(store.clone(), env.clone()));
    let (changes, watchers) = (Arc::new(AccessChanges::default()), Arc::new(Watchers::new(store.clone())));
    let base_url = "http://localhost:3030".to_owned();
    let post = Post { outbox: Outbox::closed(), base_url: base_url.clone(), letter: |_| String::new() };
    let admission =
        AdmissionOptions { base_url, approve_path: APPROVE_PATH, allow_signup: false, web_callback_url: None };
    let codec = simple_sync_codec();
    let events =
        Events::new(store.clone(), env.clone(), keyring.clone(), watchers.clone(), changes.clone(), codec, 1 << 20);
    Arc::new(App {
        events,
        participants: Participants::new(store.clone(), env.clone(), keyring.clone(), Purpose::SimpleSync),
        replication: Replication::new(store.clone(), env.clone()),
        projects: Projects::new(store.clone(), env.clone(), changes.clone(), post),
        journal: Journal::new(store.clone(), env.clone()),
        keys: Keys::new(store.clone(), keyring.clone(), changes.clone()),
        feeds: Feeds::new(store.clone(), env.clone(), watchers, changes.clone()),
        rooms: Arc::new(Rooms::new(store.clone(), env.clone(), changes, room_codec(), RoomOptions::default())),
        arriving: Arriving::default(),
        stopping: watch::channel(false).1,
        rate_limits: RateLimits::new(RateLimitOptions::default(), env.clone()),
        metrics: Arc::new(Metrics::new(env.now())),
        admissions: Arc::new(Admissions::new(store, env.clone(), Outbox::closed(), admission)),
        keyring,
        env,
        options,
    })
}
