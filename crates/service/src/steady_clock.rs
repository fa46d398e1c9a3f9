//! A clock for waits and windows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tombolo_core::{Env, ServerTime};

/// A clock that never goes back, made from one that may: when the server's clock is set back, time goes on from where
/// it was, so that nobody is kept out for as long as the clock was wrong.
#[derive(Clone)]
pub(crate) struct SteadyClock {
    env: Arc<dyn Env>,
    read: Arc<Mutex<Reading>>,
}

struct Reading {
    at: ServerTime,
    elapsed: Duration,
}

impl SteadyClock {
    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        let read = Reading { at: env.now(), elapsed: Duration::ZERO };
        Self { env, read: Arc::new(Mutex::new(read)) }
    }

    /// How long it has run.
    pub(crate) fn now(&self) -> Duration {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.env.now();
        let passed = now.since(read.at);
        read.elapsed += passed;
        read.at = now;
        read.elapsed
    }
}
