//! Shows that a loop still comes round. Knows nothing of the crate.
//!
//! The watch sends a beat, each loop answers it when it comes round. A loop with nothing to do
//! answers as well as a busy one; a loop that is stuck does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Sends beats and looks who answered.
#[derive(Debug)]
pub struct Watch {
    beat: watch::Sender<u64>,
    loops: Vec<(String, Arc<AtomicU64>)>,
}

/// A loop's side.
#[derive(Debug)]
pub struct Pulse {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { beat: watch::Sender::new(0), loops: Vec::new() }
    }
}

impl Watch {
    /// Adds a loop to watch.
    pub fn add(&mut self, name: impl Into<String>) -> Pulse {
        let answered = Arc::new(AtomicU64::new(*self.beat.borrow()));
        self.loops.push((name.into(), answered.clone()));
        Pulse { beat: self.beat.subscribe(), answered }
    }

    /// The loops that have not answered the last beat; then sends the next one.
    pub fn beat(&self) -> Vec<&str> {
        let last = *self.beat.borrow();
        let stuck =
            self.loops.iter().filter(|(_, answered)| answered.load(Ordering::Relaxed) < last);
        let stuck = stuck.map(|(name, _)| name.as_str()).collect();
        self.beat.send_replace(last + 1);
        stuck
    }
}

impl Pulse {
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
        let mut watch = Watch::default();
        let mut alive = watch.add("alive");
        let _stuck = watch.add("stuck");
        assert_eq!(watch.beat(), Vec::<&str>::new());
        alive.answer().await;
        assert_eq!(watch.beat(), ["stuck"]);
        assert_eq!(watch.beat(), ["alive", "stuck"]);
        alive.answer().await;
        assert_eq!(watch.beat(), ["stuck"]);
    }
}
