//! What reading, writing and watching over a socket tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// A frame that is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Asks whether the client is there.
    Ping,
    /// Gives these bytes back.
    Pong(Vec<u8>),
    /// Closes, with this code.
    Close(Option<u16>),
}

/// What reading, writing and watching over one socket tell each other. All three are in one task.
pub(super) struct Signals {
    began: Instant,
    /// When the client was heard last, in milliseconds since then.
    heard_ms: AtomicU64,
    /// Whether what it sent is being done: meanwhile nothing is read.
    is_busy: AtomicBool,
    /// Whether it has closed.
    has_closed: AtomicBool,
    /// Whether the server has: nothing is written after it.
    is_closed: AtomicBool,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// What is to be written: of each kind the newest, so that this has a bound.
#[derive(Default)]
struct Waiting {
    close: Option<Option<u16>>,
    /// Of several pings the last one may be answered alone (RFC 6455, section 5.5.3).
    pong: Option<Vec<u8>>,
    is_ping: bool,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            is_busy: AtomicBool::new(false),
            has_closed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Notes that the client is there.
    pub(super) fn heard(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(since, Ordering::Relaxed);
    }

    /// When the client was heard last; now, while what it sent is being done.
    pub(super) fn heard_at(&self) -> Instant {
        if self.is_busy.load(Ordering::Relaxed) {
            self.heard();
        }
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    /// Notes whether what the client sent is being done.
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
        self.heard();
    }

    /// Notes that the client has closed.
    pub(super) fn client_closed(&self) {
        self.has_closed.store(true, Ordering::Relaxed);
    }

    /// Whether the client has closed.
    pub(super) fn has_client_closed(&self) -> bool {
        self.has_closed.load(Ordering::Relaxed)
    }

    /// Notes that a close is written.
    pub(super) fn server_closed(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether a close is written.
    pub(super) fn has_server_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Has `control` written, as soon as no frame is half written.
    pub(super) fn write(&self, control: Control) {
        let mut waiting = self.waiting();
        match control {
            Control::Ping => waiting.is_ping = true,
            Control::Pong(payload) => waiting.pong = Some(payload),
            Control::Close(code) => waiting.close = Some(code),
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// What is to be written next. May be dropped midway: nothing is lost by it.
    pub(super) async fn next(&self) -> Control {
        loop {
            if let Some(control) = self.take() {
                return control;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Option<Control> {
        let mut waiting = self.waiting();
        let close = waiting.close.take().map(Control::Close);
        close
            .or_else(|| waiting.pong.take().map(Control::Pong))
            .or_else(|| std::mem::take(&mut waiting.is_ping).then_some(Control::Ping))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
