//! What is left of a journal to wait for.

use super::lock;

/// The journal's writer thread and its lock; [`Closing::wait`] after the last
/// [`Journal`](super::Journal) is gone.
#[derive(Debug)]
pub struct Closing {
    pub(super) thread: std::thread::JoinHandle<()>,
    pub(super) _lock: lock::Guard,
}

impl Closing {
    /// Waits for the last commit. Every [`Journal`](super::Journal) must have been dropped, else it
    /// never ends.
    pub async fn wait(self) {
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("journal writer panicked");
        }
    }
}
