//! `tombolo serve`: start, run, stop.

mod rooms;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tombolo_core::{Env, Purpose, UserId};
use tombolo_http::{App, Arriving, MailFate, Metrics, Options};
use tombolo_service::{
    AccessChanges, AdmissionOptions, Admissions, CloseReason, Events, Feeds, Journal, Keyring, Keys, Outbox,
    Participants, Post, Projects, RateLimits, Replication, Rooms, Watchers,
};
use tombolo_storage::sqlite::Role;
use tombolo_storage::{Accounts, Elsewhere, SignIns, Store};

use super::{explain, make_folder, open_store, server_url};
use crate::config::Config;
use crate::env::SystemEnv;
use crate::folder::Lock;
use crate::listener::{CONNECTIONS_MAX, answer, stopped};
use crate::mail::{Closing, Postman};
use crate::{open_files, output, telemetry};

/// How often the database is asked whether another process wrote to it. A token made or revoked on the command line
/// counts within a second; the question costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the heads of watched logs are looked at, so that a message which was lost delays news by no more.
const LOOK_AT_HEADS_EVERY: Duration = Duration::from_secs(5);
/// Times of last use are to the minute, so more often would write the same.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How long requests in flight may take to end after SIGTERM. Container runtimes kill after 10 s, and the store needs
/// a moment after that.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long mails may take beyond that: none is worth being killed for.
const LAST_MAILS_MAX: Duration = Duration::from_secs(1);

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::start(config.log);
    open_files::allow_all();
    make_folder(config)?;
    // A file has one server; PostgreSQL has as many nodes as one likes.
    let _lock = config.database().file().map(|_| Lock::take(&config.data)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async { serve(config, open_store(config, Role::Server).await?).await })
}

async fn serve(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<()> {
    let env: Arc<dyn Env> = Arc::new(SystemEnv);
    let accounts: Arc<dyn Accounts> = store.clone();
    let keyring = Arc::new(Keyring::new(accounts, env.clone()));
    // From here on a foreign commit is noticed: before the first token is remembered.
    store.changed_elsewhere().await.map_err(explain)?;

    let metrics = Arc::new(Metrics::new(env.now()));
    let postman = Postman::of(config, &metrics)?;
    let mut signals = Signals::catch()?;
    let listeners = bind(&config.listen).await?;
    let (stop, stopping) = watch::channel(false);
    let (drained, is_drained) = watch::channel(false);
    let closing = Closing { stopping: stopping.clone(), drained: is_drained.clone() };
    let (outbox, mut mailing) = post(postman, &metrics, closing);
    let first = listeners.first().and_then(|listener| listener.local_addr().ok());
    let base_url = server_url(config, first.as_ref());
    let watchers = Arc::new(Watchers::new(store.clone()));
    let changes = Arc::new(AccessChanges::default());
    let invitations =
        Post { outbox: outbox.clone(), base_url: base_url.clone(), letter: tombolo_http::invitation_letter };
    let events = Events::new(
        store.clone(),
        env.clone(),
        keyring.clone(),
        watchers.clone(),
        changes.clone(),
        tombolo_http::simple_sync_codec(),
        config.simple_sync.cache_bytes,
    );
    let codec = tombolo_http::room_codec();
    let live_rooms = Arc::new(Rooms::new(store.clone(), env.clone(), changes.clone(), codec, config.rooms.options));
    let open_to = rooms::open_to(config, &store).await?;
    let app = Arc::new(App {
        keyring: keyring.clone(),
        replication: Replication::new(store.clone(), env.clone()),
        projects: Projects::new(store.clone(), env.clone(), changes.clone(), invitations),
        journal: Journal::new(store.clone(), env.clone()),
        keys: Keys::new(store.clone(), keyring.clone(), changes.clone()),
        feeds: Feeds::new(store.clone(), env.clone(), watchers.clone(), changes.clone()),
        events,
        participants: Participants::new(store.clone(), env.clone(), keyring.clone(), Purpose::SimpleSync),
        rooms: live_rooms.clone(),
        arriving: Arriving::default(),
        admissions: admissions(config, base_url, &store, &env, outbox),
        rate_limits: RateLimits::new(config.rate_limits, env.clone()),
        metrics,
        stopping: stopping.clone(),
        env: env.clone(),
        options: options(config, open_to),
    });
    let router = tombolo_http::router(app.clone());
    let mut servers = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for listener in listeners {
        let address = listener.local_addr().context("a listener has no address")?;
        servers.spawn(answer(listener, router.clone(), places.clone(), stopping.clone()));
        output::say(format_args!("listening on http://{address}"));
        tracing::info!(%address, "listening");
    }
    if config.protocols.td && config.mail.smtp_url.is_none() {
        let how = "no mail server: approve sign-ins of td with: tombolo login list";
        output::say(how);
        tracing::info!("{how}");
    }
    rooms::announce(open_to);
    let mut keepers = JoinSet::new();
    keepers.spawn(watch_foreign_commits(store.clone(), app, watchers.clone(), changes, stopping.clone()));
    keepers.spawn(hear_what_grew(watchers.clone(), stopping.clone()));
    keepers.spawn(look_at_heads(watchers, stopping.clone()));
    keepers.spawn(flush_last_used(keyring.clone(), stopping));
    let mut room_keepers = rooms::keep(config, &live_rooms, &is_drained);
    let tended = store.clone();
    let mut tender = JoinSet::new();
    tender.spawn(async move { tended.tend().await });

    let (reason, failure) = tokio::select! {
        signal = signals.next() => (signal, None),
        Some(ended) = servers.join_next() => bail!("a listener ended by itself: {ended:?}"),
        // Nothing would be stored of rooms any more: whoever watches over the process starts it again.
        Some(ended) = room_keepers.join_next() => ("a bug", Some(format!("what keeps rooms ended by itself: {ended:?}"))),
    };
    tracing::info!(reason, "stopping");
    stop.send_replace(true);
    live_rooms.close_all(CloseReason::Stopping, "The server stops");
    let end = Instant::now() + DRAIN_MAX;
    if timeout_at(end, async { while servers.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(seconds = DRAIN_MAX.as_secs(), "requests in flight were cut off");
        servers.shutdown().await;
    }
    drained.send_replace(true);
    while room_keepers.join_next().await.is_some() {}
    let stored = live_rooms.store_all().await;
    if let Err(error) = &stored {
        tracing::error!(%error, "the last edits in rooms could not be stored");
    }
    if timeout_at(end + LAST_MAILS_MAX, async { while mailing.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("mails that could not be sent in time are lost");
        mailing.shutdown().await;
    }
    while keepers.join_next().await.is_some() {}
    if let Err(error) = keyring.flush_last_used().await {
        tracing::warn!(%error, "when tokens were last used could not be written down");
    }
    store.close().await.map_err(explain)?;
    // It ends with the store.
    while tender.join_next().await.is_some() {}
    tracing::info!("stopped");
    stored.context("the last edits in rooms could not be stored")?;
    failure.map_or(Ok(()), |failure| bail!(failure))
}

/// Starts what sends mail, if anything does, and says where mails are left for it.
fn post(postman: Option<Postman>, metrics: &Arc<Metrics>, closing: Closing) -> (Outbox, JoinSet<()>) {
    let mut mailing = JoinSet::new();
    let Some(postman) = postman else { return (Outbox::closed(), mailing) };
    let metrics = metrics.clone();
    let (outbox, mails) = Outbox::open(Arc::new(move || metrics.mail(MailFate::Dropped)));
    mailing.spawn(postman.deliver(mails, closing));
    (outbox, mailing)
}

fn admissions(
    config: &Config,
    base_url: String,
    store: &Arc<dyn Store>,
    env: &Arc<dyn Env>,
    outbox: Outbox,
) -> Arc<Admissions> {
    let store: Arc<dyn SignIns> = store.clone();
    let web_callback_url = config.td.web_callback_url.clone();
    let approve_path = tombolo_http::APPROVE_PATH;
    let options = AdmissionOptions { base_url, approve_path, allow_signup: config.allow_signup, web_callback_url };
    Arc::new(Admissions::new(store, env.clone(), outbox, options))
}

/// How it is served.
fn options(config: &Config, rooms_open_to: Option<UserId>) -> Options {
    Options {
        tickit: config.protocols.tickit,
        td: config.protocols.td,
        td_exclude_client: config.td.exclude_client,
        simple_sync: config.protocols.simple_sync,
        simple_sync_strict: config.simple_sync.strict,
        jwt_secret: config.simple_sync.jwt_secret.clone(),
        rooms: config.protocols.rooms,
        rooms_open_to,
        wellbeing: config.protocols.wellbeing,
        public_url: config.public_url.clone(),
        path_prefix: config.path_prefix(),
        trusted_proxies: config.trusted_proxies.clone(),
        cors_origins: config.cors_origins.clone(),
    }
}

async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.with_context(|| format!("cannot listen on {address}; choose another with --listen"))?);
    }
    Ok(listeners)
}

/// Tells the keyring, the watchers, and what else remembers something, when another process wrote to the database. What
/// failed is tried again at the next look.
async fn watch_foreign_commits(
    store: Arc<dyn Store>,
    app: Arc<App>,
    watchers: Arc<Watchers>,
    changes: Arc<AccessChanges>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_stale, mut is_other) = (false, false);
    while tick(&mut ticks, &mut stopping).await {
        match store.changed_elsewhere().await {
            Ok(Elsewhere::Nothing) => {}
            Ok(Elsewhere::Committed) => is_stale = true,
            Ok(Elsewhere::Replaced) => is_other = true,
            // Whether something was revoked is unknown; a disk that cannot be read is logged by the store.
            Err(error) => tracing::debug!(%error, "could not ask whether another process wrote"),
        }
        if std::mem::take(&mut is_other) {
            app.keyring.forget();
            app.events.forget();
            app.participants.forget();
            app.rooms.forget();
            watchers.forget();
        }
        if is_stale {
            match app.keyring.refresh().await {
                Ok(()) => is_stale = false,
                Err(error) => tracing::warn!(%error, "tokens are looked up again, since the database failed"),
            }
            changes.tell();
            look(&watchers).await;
            rooms::look(&app.rooms).await;
        }
    }
}

/// Tells watchers what grows, as soon as it does.
async fn hear_what_grew(watchers: Arc<Watchers>, stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = watchers.hear() => {}
        () = stopped(stopping) => {}
    }
}

/// Tells watchers what grew and was not heard.
async fn look_at_heads(watchers: Arc<Watchers>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(LOOK_AT_HEADS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while tick(&mut ticks, &mut stopping).await {
        look(&watchers).await;
    }
}

async fn look(watchers: &Watchers) {
    if let Err(error) = watchers.look().await {
        tracing::debug!(%error, "how far watched logs go could not be read; it is tried again");
    }
}

async fn flush_last_used(keyring: Arc<Keyring>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while tick(&mut ticks, &mut stopping).await {
        if let Err(error) = keyring.flush_last_used().await {
            tracing::warn!(%error, "when tokens were last used could not be written down yet");
        }
    }
}

/// Waits for the next tick; `false` when it is time to stop.
async fn tick(ticks: &mut tokio::time::Interval, stopping: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        () = stopped(stopping.clone()) => false,
    }
}

/// The signals that ask the process to stop. They are caught from the moment this exists.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn catch() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next one, and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signal that asks the process to stop.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn catch() -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Waits for it, and names it.
    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
