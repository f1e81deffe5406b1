//! The sprite tasks that were made.

use serde::Serialize;

use crate::sprites::{NotifyMode, Task};

/// Counters of sprite tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskTotals {
    /// Tasks that ended, failed ones included.
    pub finished: u64,
    /// Of these, those that report to nobody.
    pub silent: u64,
    /// Of these, those whose event was lost by order.
    pub lost: u64,
    /// Tasks that were aborted.
    pub aborted: u64,
}

impl TaskTotals {
    pub(super) fn count(&mut self, task: &Task) {
        if task.is_aborted() {
            self.aborted += 1;
            return;
        }
        self.finished += 1;
        if task.notify_mode() == NotifyMode::None {
            self.silent += 1;
        } else if task.reports().is_empty() {
            self.lost += 1;
        }
    }
}
