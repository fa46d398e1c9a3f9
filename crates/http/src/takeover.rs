//! A connection that leaves HTTP: what goes on with it afterwards.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// What is done with a connection when HTTP has ended on it.
pub type Afterwards = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a handler leaves what is to be done with its connection after it was upgraded.
///
/// The listener gives each request of a connection the same one, and does what it finds in it when HTTP has ended: in
/// the connection's own task, which holds its place among all connections and is waited for when the server stops.
#[derive(Clone, Default)]
pub struct Takeover(Arc<Mutex<Option<Afterwards>>>);

impl Takeover {
    /// Leaves what is to be done.
    pub fn leave(&self, afterwards: Afterwards) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(afterwards);
    }

    /// Takes what was left.
    #[must_use]
    pub fn take(&self) -> Option<Afterwards> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
