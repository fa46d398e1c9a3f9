//! Being told that what lets people in was changed.

use tokio::sync::watch;

/// Tells requests that stay open that keys, members or accounts were changed, here or elsewhere: each then asks again
/// whether it still may.
#[derive(Debug)]
pub struct AccessChanges(watch::Sender<u64>);

impl Default for AccessChanges {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl AccessChanges {
    /// Tells everyone who listens. It costs nothing while nobody does.
    pub fn tell(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> AccessListener {
        AccessListener(self.0.subscribe())
    }
}

/// One who listens.
#[derive(Debug)]
pub struct AccessListener(watch::Receiver<u64>);

impl AccessListener {
    /// Whether something was changed since this, or [`Self::changed`], last said so.
    pub fn has_changed(&mut self) -> bool {
        let has_changed = self.0.has_changed().unwrap_or(false);
        if has_changed {
            self.0.mark_unchanged();
        }
        has_changed
    }

    /// Waits for the next change; several that came since the last call are one. May be dropped midway: nothing is
    /// lost by it.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left to tell anything: the server is ending.
            std::future::pending::<()>().await;
        }
    }
}
