//! Shows that a loop still comes round. Knows nothing of the crate.
//!
//! The watch sends a beat, each loop answers it when it comes round. A loop with nothing to do
//! answers as well as a busy one; a loop that is stuck does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

/// Sends beats and looks who answered. Clones watch over the same loops.
#[derive(Clone, Debug)]
pub struct Watch {
    beat: watch::Sender<u64>,
    loops: Arc<Mutex<Vec<Watched>>>,
}

/// A loop's name and the last beat it answered, as long as it runs.
type Watched = (String, Weak<AtomicU64>);

/// A loop's side.
#[derive(Debug)]
pub struct Pulse {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { beat: watch::Sender::new(0), loops: Arc::default() }
    }
}

impl Watch {
    /// Adds a loop to watch, until its pulse is dropped.
    pub fn add(&self, name: impl Into<String>) -> Pulse {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = Arc::new(AtomicU64::new(*self.beat.borrow()));
        loops.push((name.into(), Arc::downgrade(&answered)));
        Pulse { beat: self.beat.subscribe(), answered }
    }

    /// The loops that have not answered the last beat; then sends the next one.
    pub fn beat(&self) -> Vec<String> {
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

impl Pulse {
    /// Answers every beat and does nothing else. Cancel safe.
    pub async fn answer_all(&mut self) -> std::convert::Infallible {
        loop {
            self.answer().await;
        }
    }

    /// Waits for a beat and answers it; never returns once the watch is gone. Cancel safe.
    pub async fn answer(&mut self) {
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
        let watch = Watch::default();
        let mut alive = watch.add("alive");
        let stuck = watch.add("stuck");
        assert_eq!(watch.beat(), Vec::<String>::new());
        alive.answer().await;
        assert_eq!(watch.beat(), ["stuck"]);
        assert_eq!(watch.beat(), ["alive", "stuck"]);
        alive.answer().await;
        assert_eq!(watch.beat(), ["stuck"]);
        drop(stuck);
        assert_eq!(watch.beat(), ["alive"], "one that has ended is watched no longer");
    }
}
