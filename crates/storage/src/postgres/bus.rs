//! The bus between nodes: PostgreSQL's notifications.
//!
//! A notification is small, and is lost when nobody listens: it only wakes. What is too large for one lies in a table
//! that need not outlive a crash, and the notification names its row.

mod large;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use sqlx::postgres::{PgConnection, PgListener, PgNotification};
use sqlx::{PgPool, Row as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tombolo_core::{Purpose, Seq, ServerTime, SpaceNumber, UserId};

use super::connection::{Url, acquire, failed};
use super::tries::{ATTEMPT_MAX, Lane};
use super::{Postgres, lock};
use crate::bus::{Frame, Listener, LocalBus, Message};
use crate::{Bus, Elsewhere, Reply, SpaceAddress, StoreError};
use large::LargePayloads;

/// The channel of all nodes on one database.
const CHANNEL: &str = "tombolo";
/// PostgreSQL takes fewer than 8,000 bytes.
const NOTIFICATION_BYTES_MAX: usize = 7_900;
/// Spaces whose growth waits to be told; when there are more, the others are told to look for themselves.
const GROWN_MAX: usize = 10_000;
/// Between two notifications of what grew. A commit is told at once, and those that follow it together: each
/// notification is a transaction, and all of a database's wait for each other.
const TELL_EVERY: Duration = Duration::from_millis(5);
/// Before the next try to tell.
const TELL_AGAIN: Duration = Duration::from_millis(200);
/// Before the next try to listen.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);
/// How long listening may take to begin.
const LISTEN_MAX: Duration = Duration::from_secs(5);
/// How old a version of the accounts may be on a node that serves requests, when no notification came, and on one that
/// hears none.
const ASK_EVERY: Duration = Duration::from_millis(1_000);

/// What was last known of the accounts.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Calls, and the time, when they were last asked for; none when that failed.
    asked: Option<(u64, ServerTime)>,
    version: Option<String>,
    /// The database is another one than it was.
    pub(super) is_replaced: bool,
}

/// The bus of one node.
pub(super) struct PostgresBus {
    pool: PgPool,
    listen_url: Url,
    /// What tells this node's notifications from others'.
    node: String,
    local: LocalBus,
    grown: Mutex<HashMap<SpaceAddress, Seq>>,
    wake: Notify,
    is_listening: AtomicBool,
    have_accounts_changed: AtomicBool,
    /// Frames that did not reach the others, and as of how many of them they were told so.
    lost: AtomicU64,
    told_lost: AtomicU64,
    large: LargePayloads,
}

impl PostgresBus {
    pub(super) fn new(pool: PgPool, listen_url: Url, node: u64) -> Self {
        Self {
            pool,
            listen_url,
            node: format!("{node:016x}"),
            local: LocalBus::default(),
            grown: Mutex::default(),
            wake: Notify::new(),
            is_listening: AtomicBool::new(false),
            have_accounts_changed: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            told_lost: AtomicU64::new(0),
            large: LargePayloads::default(),
        }
    }

    /// Tells that a space grew: here at once, elsewhere soon.
    pub(super) fn grew(&self, space: SpaceAddress, head: Seq) {
        self.local.tell(Message::Grew(space, head));
        self.keep_to_tell([(space, head)]);
        self.wake.notify_one();
    }

    /// Keeps what others are to be told, up to what fits.
    fn keep_to_tell(&self, spaces: impl IntoIterator<Item = (SpaceAddress, Seq)>) {
        let mut grown = lock(&self.grown);
        for (space, head) in spaces {
            if grown.len() < GROWN_MAX || grown.contains_key(&space) {
                let known = grown.entry(space).or_insert(head);
                *known = head.max(*known);
            }
        }
    }

    /// Tells, with the commit of the transaction, that what lets people in was changed.
    pub(super) async fn accounts_changed(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(format!("{} a", self.node));
        notify.execute(connection).await.map(drop).map_err(failed)
    }

    /// Listens, tells and cleans up until the pool is closed.
    pub(super) async fn tend(&self) {
        let listen = async {
            while !self.pool.is_closed() {
                if let Err(error) = self.listen_once().await {
                    tracing::warn!(%error, "notifications of other nodes cannot be heard; it is tried again");
                }
                self.is_listening.store(false, Ordering::Relaxed);
                sleep(LISTEN_AGAIN).await;
            }
        };
        let tell = async {
            loop {
                self.wake.notified().await;
                while let Err(error) = self.tell_grown().await {
                    tracing::debug!(%error, "other nodes could not be told what grew; it is tried again");
                    sleep(TELL_AGAIN).await;
                }
                sleep(TELL_EVERY).await;
            }
        };
        // Neither telling nor cleaning has an end of its own.
        let on_and_on = futures_util::future::join(tell, self.large.clean_now_and_then(&self.pool));
        select(std::pin::pin!(listen), std::pin::pin!(on_and_on)).await;
    }

    async fn listen_once(&self) -> Result<(), StoreError> {
        // A connection of its own, not one of the pool: the pool may lead through something that passes none on.
        let pool = super::connection::pool(&self.listen_url, 1);
        let begin = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let begun = timeout(LISTEN_MAX, begin).await;
        let begun = begun.map_err(|_| StoreError::Unreachable("the database does not answer".into()))?;
        let mut listener = begun.map_err(failed)?;
        self.is_listening.store(true, Ordering::Relaxed);
        // Whatever was told until now was not heard.
        self.missed();
        let mut closed = std::pin::pin!(self.pool.close_event());
        let mut hear = std::pin::pin!(async {
            while let Some(notification) = listener.try_recv().await.map_err(failed)? {
                self.hear(&notification).await;
            }
            Err(StoreError::Unreachable("the connection for notifications was lost".into()))
        });
        match select(&mut closed, &mut hear).await {
            Either::Left(_) => Ok(()),
            Either::Right((ended, _)) => ended,
        }
    }

    fn missed(&self) {
        self.have_accounts_changed.store(true, Ordering::Relaxed);
        self.local.tell(Message::Gap);
    }

    async fn hear(&self, notification: &PgNotification) {
        let Some((node, rest)) = notification.payload().split_once(' ') else { return };
        if rest == "a" {
            // Also our own: what this node remembers of tokens is no older than others'.
            self.have_accounts_changed.store(true, Ordering::Relaxed);
            self.local.tell(Message::Accounts);
            return;
        }
        if node == self.node {
            return;
        }
        match self.read(rest).await {
            Some(messages) => messages.into_iter().for_each(|message| self.local.tell(message)),
            None => self.missed(),
        }
    }

    /// The messages of another node's notification; `None` when it cannot be read.
    async fn read(&self, text: &str) -> Option<Vec<Message>> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "g" => rest.split(';').map(read_grown).collect(),
            // They need not be passed on where nobody listens.
            "f" | "F" if !self.local.has_listeners() => Some(Vec::new()),
            "f" => {
                let (topic, payload) = rest.split_once(' ')?;
                Some(vec![frame(topic, from_hex(payload)?)?])
            }
            "F" => {
                let (topic, row) = rest.split_once(' ')?;
                let row: i64 = row.parse().ok()?;
                let mut lane = Lane::of(&self.pool).await.ok()?;
                let read = timeout(ATTEMPT_MAX, large::read(&mut lane.connection, row)).await;
                let payload = lane.settle(read).ok()??;
                Some(vec![frame(topic, payload)?])
            }
            "?" => Some(vec![Message::Gap]),
            _ => None,
        }
    }

    async fn tell_grown(&self) -> Result<(), StoreError> {
        if self.owes_gap().is_some() {
            self.tell_gap(&mut *acquire(&self.pool).await?).await?;
        }
        let grown = std::mem::take(&mut *lock(&self.grown));
        let told = self.tell_all(&grown).await;
        if told.is_err() {
            // A part of it may be told twice, which says nothing wrong.
            self.keep_to_tell(grown);
        }
        told
    }

    async fn tell_all(&self, grown: &HashMap<SpaceAddress, Seq>) -> Result<(), StoreError> {
        if grown.is_empty() {
            return Ok(());
        }
        let mut connection = acquire(&self.pool).await?;
        if grown.len() >= GROWN_MAX {
            return notify(&mut connection, &format!("{} ? ", self.node)).await;
        }
        let mut text = String::new();
        for (space, head) in grown {
            let one = format!("{} {} {} {head}", space.owner, space.purpose, space.number);
            if !text.is_empty() && self.node.len() + 4 + text.len() + one.len() > NOTIFICATION_BYTES_MAX {
                notify(&mut connection, &format!("{} g {text}", self.node)).await?;
                text.clear();
            }
            text.push_str(if text.is_empty() { "" } else { ";" });
            text.push_str(&one);
        }
        notify(&mut connection, &format!("{} g {text}", self.node)).await
    }

    /// The frames that were lost, if the others have still to be told so.
    fn owes_gap(&self) -> Option<u64> {
        let lost = self.lost.load(Ordering::Relaxed);
        (lost > self.told_lost.load(Ordering::Relaxed)).then_some(lost)
    }

    /// Tells the others to look for themselves, if they are owed it. Two at once may both tell it: neither goes on
    /// before it is told.
    async fn tell_gap(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if let Some(lost) = self.owes_gap() {
            notify(connection, &format!("{} ? ", self.node)).await?;
            self.told_lost.fetch_max(lost, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn send(&self, frame: Frame) -> Result<(), StoreError> {
        // Also of one that is given up midway nobody knows whether the others have it.
        let mut sending = Sending { bus: self, is_sent: false };
        let sent = self.send_after_gap(frame).await;
        sending.is_sent = sent.is_ok();
        sent
    }

    async fn send_after_gap(&self, frame: Frame) -> Result<(), StoreError> {
        let topic = to_hex(frame.topic.as_bytes());
        let mut connection = acquire(&self.pool).await?;
        // What was missed is told before what came after it.
        self.tell_gap(&mut connection).await?;
        let small = format!("{} f {topic} ", self.node);
        if small.len() + 2 * frame.payload.len() <= NOTIFICATION_BYTES_MAX {
            return notify(&mut connection, &format!("{small}{}", to_hex(&frame.payload))).await;
        }
        let text = format!("{} F {topic} ", self.node);
        self.large.send(&mut connection, &frame.payload, &text).await
    }
}

/// A frame on its way to the others. Dropped before it is sent, it is lost, which they are told.
struct Sending<'b> {
    bus: &'b PostgresBus,
    is_sent: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.is_sent {
            self.bus.lost.fetch_add(1, Ordering::Relaxed);
            self.bus.wake.notify_one();
        }
    }
}

impl Bus for PostgresBus {
    fn publish(&self, frame: Frame) -> Reply<'_, ()> {
        Box::pin(async move {
            frame.check()?;
            self.local.tell(Message::Frame(frame.clone()));
            self.send(frame).await
        })
    }

    fn listen(&self) -> Listener {
        self.local.listen()
    }
}

impl Postgres {
    pub(super) fn bus(&self) -> &PostgresBus {
        &self.bus
    }

    /// Whether credentials changed, by whoever's doing. A node that serves nobody and hears notifications asks nothing.
    pub(super) async fn look(&self) -> Result<Elsewhere, StoreError> {
        let (calls, now) = (self.calls.load(Ordering::Relaxed), self.env.now());
        let told = self.bus.have_accounts_changed.swap(false, Ordering::Relaxed);
        {
            let mut looked = lock(&self.looked);
            if std::mem::take(&mut looked.is_replaced) {
                return Ok(Elsewhere::Replaced);
            }
            let is_deaf = !self.bus.is_listening.load(Ordering::Relaxed);
            let is_due =
                |(calls_then, at)| (is_deaf || calls_then != calls) && (now < at || now.since(at) >= ASK_EVERY);
            if !looked.asked.is_none_or(is_due) {
                return Ok(if told { Elsewhere::Committed } else { Elsewhere::Nothing });
            }
            looked.asked = Some((calls, now));
        }
        let select = sqlx::query("SELECT value FROM facts WHERE name = 'accounts_version'");
        let asked = async { select.fetch_optional(&mut *acquire(&self.pool).await?).await.map_err(failed) }.await;
        let version: Option<String> = match asked {
            Ok(row) => row.map(|row| row.try_get(0).map_err(failed)).transpose()?,
            Err(error) => {
                // Asked again at the next look.
                lock(&self.looked).asked = None;
                self.bus.have_accounts_changed.fetch_or(told, Ordering::Relaxed);
                return Err(error);
            }
        };
        let before = std::mem::replace(&mut lock(&self.looked).version, version.clone());
        let is_other = before.is_some_and(|before| Some(before) != version);
        Ok(if told || is_other { Elsewhere::Committed } else { Elsewhere::Nothing })
    }
}

async fn notify(connection: &mut PgConnection, text: &str) -> Result<(), StoreError> {
    // Nothing is lost when a notification is: it need not wait for the disk.
    let sql = "WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
         SELECT pg_notify($1, $2) FROM relaxed";
    sqlx::query(sql).bind(CHANNEL).bind(text).execute(connection).await.map(drop).map_err(failed)
}

fn read_grown(text: &str) -> Option<Message> {
    let mut words = text.split(' ');
    let owner = UserId::new(words.next()?.parse().ok()?);
    let purpose = Purpose::parse(words.next()?).ok()?;
    let number = SpaceNumber::new(words.next()?.parse().ok()?);
    let head: i64 = words.next()?.parse().ok()?;
    Some(Message::Grew(SpaceAddress { owner, purpose, number }, crate::columns::seq_of(head)?))
}

fn frame(topic: &str, payload: Vec<u8>) -> Option<Message> {
    let topic = String::from_utf8(from_hex(topic)?).ok()?;
    Some(Message::Frame(Frame { topic: topic.into(), payload: payload.into() }))
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.is_ascii() && text.len().is_multiple_of(2);
    digits.then(|| (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect())?
}
