//! Shows that a loop still comes round. Knows nothing of the crate.
//!
//! The watch sends a beat, each loop answers it when it comes round. A loop with nothing to do
//! answers as well as a busy one; a loop that is stuck does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

/// Sends beats and looks who answered. Clones watch over the same loops.
#[derive(Clone, Debug)]
pub struct LivenessMonitor {
    beat: watch::Sender<u64>,
    loops: Arc<Mutex<Vec<Watched>>>,
}

/// A loop's name and the last beat it answered, as long as it runs.
type Watched = (String, Weak<AtomicU64>);

/// A loop's side.
#[derive(Debug)]
pub struct Heartbeat {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Default for LivenessMonitor {
    fn default() -> Self {
        Self { beat: watch::Sender::new(0), loops: Arc::default() }
    }
}

impl LivenessMonitor {
    /// Adds a loop to watch, until its pulse is dropped.
    pub fn register(&self, name: impl Into<String>) -> Heartbeat {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = Arc::new(AtomicU64::new(*self.beat.borrow()));
        loops.push((name.into(), Arc::downgrade(&answered)));
        Heartbeat { beat: self.beat.subscribe(), answered }
    }

    /// The loops that have not answered the last beat; then sends the next one.
    pub fn stalled_tasks(&self) -> Vec<String> {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *self.beat.borrow();
        let mut stuck = Vec::new();
        loops.retain(|(name, answered)| {
            let Some(answered) = answered.upgrade() else { return false };
            if answered.load(Ordering::Relaxed) < last {
                stuck.push(name.clone());
            }
            true
        });
        self.beat.send_replace(last + 1);
        stuck
    }
}

impl Heartbeat {
    /// Answers every beat and does nothing else. Cancel safe.
    pub async fn beat_forever(&mut self) -> std::convert::Infallible {
        loop {
            self.beat().await;
        }
    }

    /// Waits for a beat and answers it; never returns once the watch is gone. Cancel safe.
    pub async fn beat(&mut self) {
        if self.beat.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.answered.store(*self.beat.borrow_and_update(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_does_not_come_round_shows() {
        let watch = LivenessMonitor::default();
        let mut alive = watch.register("alive");
        let stuck = watch.register("stuck");
        assert_eq!(watch.stalled_tasks(), Vec::<String>::new());
        alive.beat().await;
        assert_eq!(watch.stalled_tasks(), ["stuck"]);
        assert_eq!(watch.stalled_tasks(), ["alive", "stuck"]);
        alive.beat().await;
        assert_eq!(watch.stalled_tasks(), ["stuck"]);
        drop(stuck);
        assert_eq!(watch.stalled_tasks(), ["alive"], "one that has ended is watched no longer");
    }
}
