//! Heartbeats: whether each task still runs. Knows nothing of the crate.
//!
//! The monitor sends a beat, each task answers it in its loop. An idle task answers as well as a
//! busy one; one that is stalled does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use crate::sync::lock;

/// Sends beats and checks who answered. Clones monitor the same tasks.
#[derive(Clone, Debug)]
pub struct LivenessMonitor {
    beat: watch::Sender<u64>,
    tasks: Arc<Mutex<Vec<MonitoredTask>>>,
}

/// A task's name and the last beat it answered, as long as it runs.
type MonitoredTask = (String, Weak<AtomicU64>);

/// A task's side.
#[derive(Debug)]
pub struct Heartbeat {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Default for LivenessMonitor {
    fn default() -> Self {
        Self { beat: watch::Sender::new(0), tasks: Arc::default() }
    }
}

impl LivenessMonitor {
    /// Adds a task, until its heartbeat is dropped.
    pub fn register(&self, name: impl Into<String>) -> Heartbeat {
        let mut tasks = lock(&self.tasks);
        let answered = Arc::new(AtomicU64::new(*self.beat.borrow()));
        tasks.push((name.into(), Arc::downgrade(&answered)));
        Heartbeat { beat: self.beat.subscribe(), answered }
    }

    /// Returns the tasks that have not answered the last beat, and sends the next one.
    pub fn stalled_tasks(&self) -> Vec<String> {
        let mut tasks = lock(&self.tasks);
        let last = *self.beat.borrow();
        let mut stalled = Vec::new();
        tasks.retain(|(name, answered)| {
            let Some(answered) = answered.upgrade() else { return false };
            if answered.load(Ordering::Relaxed) < last {
                stalled.push(name.clone());
            }
            true
        });
        self.beat.send_replace(last + 1);
        stalled
    }
}

impl Heartbeat {
    /// Answers every beat and does nothing else. Cancel safe.
    pub async fn beat_forever(&mut self) -> std::convert::Infallible {
        loop {
            self.beat().await;
        }
    }

    /// Waits for a beat and answers it; never returns once the monitor is gone. Cancel safe.
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
    async fn a_task_that_does_not_answer_shows() {
        let monitor = LivenessMonitor::default();
        let mut alive = monitor.register("alive");
        let stalled = monitor.register("stalled");
        assert_eq!(monitor.stalled_tasks(), Vec::<String>::new());
        alive.beat().await;
        assert_eq!(monitor.stalled_tasks(), ["stalled"]);
        assert_eq!(monitor.stalled_tasks(), ["alive", "stalled"]);
        alive.beat().await;
        assert_eq!(monitor.stalled_tasks(), ["stalled"]);
        drop(stalled);
        assert_eq!(monitor.stalled_tasks(), ["alive"], "one that has ended is monitored no longer");
    }
}
