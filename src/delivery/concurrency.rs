//! How many deliveries a sink gets at once. Pure: the time is passed in.

use tokio::time::Instant;

/// Deliveries at once to begin with.
const INITIAL_SIZE: usize = 8;

/// Within the sink's limit: one more after each success while the window was full, half as many
/// after a failure.
#[derive(Debug)]
pub(super) struct ConcurrencyWindow {
    max: usize,
    size: usize,
    cut: Option<Instant>,
}

impl ConcurrencyWindow {
    pub(super) fn new(max: usize) -> Self {
        Self { max, size: INITIAL_SIZE.min(max), cut: None }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Records a success, one of `in_flight`.
    pub(super) fn on_success(&mut self, in_flight: usize) {
        if in_flight >= self.size {
            self.size = (self.size + 1).min(self.max);
        }
    }

    /// Records a failure of the delivery that began at `began`. Those that were in flight together
    /// count once.
    pub(super) fn on_failure(&mut self, began: Instant, now: Instant) {
        if self.cut.is_none_or(|cut| began >= cut) {
            self.size = (self.size / 2).max(1);
            self.cut = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_widens_while_it_is_full_and_halves_once_for_those_that_fail_together() {
        let start = Instant::now();
        let mut window = ConcurrencyWindow::new(12);
        assert_eq!(window.size(), 8);
        window.on_success(7);
        assert_eq!(window.size(), 8, "there was room");
        (0..10).for_each(|_| window.on_success(window.size()));
        assert_eq!(window.size(), 12);
        let later = start + Duration::from_secs(1);
        (0..5).for_each(|_| window.on_failure(start, later));
        assert_eq!(window.size(), 6);
        (0..5).for_each(|turn| window.on_failure(later + Duration::from_secs(turn), later));
        assert_eq!(window.size(), 1);
        window.on_success(1);
        assert_eq!(window.size(), 2);
        assert_eq!(ConcurrencyWindow::new(1).size(), 1);
    }
}
