//! How many deliveries a sink gets at once. Pure: the time is passed in.

use tokio::time::Instant;

/// Deliveries at once to begin with.
const START: usize = 8;

/// Within the sink's limit: one more after each delivery that was taken while there was no room
/// for another, half as many after one that failed.
#[derive(Debug)]
pub(super) struct ConcurrencyWindow {
    max: usize,
    size: usize,
    cut: Option<Instant>,
}

impl ConcurrencyWindow {
    /// For a sink that takes up to `max` at once.
    pub(super) fn new(max: usize) -> Self {
        Self { max, size: START.min(max), cut: None }
    }

    /// Deliveries at once at most, as of now.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The sink took a delivery, one of `under_way`.
    pub(super) fn taken(&mut self, under_way: usize) {
        if under_way >= self.size {
            self.size = (self.size + 1).min(self.max);
        }
    }

    /// The delivery that began at `began` failed. Those that were under way together count once.
    pub(super) fn failed(&mut self, began: Instant, now: Instant) {
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
        window.taken(7);
        assert_eq!(window.size(), 8, "there was room");
        (0..10).for_each(|_| window.taken(window.size()));
        assert_eq!(window.size(), 12);
        let later = start + Duration::from_secs(1);
        (0..5).for_each(|_| window.failed(start, later));
        assert_eq!(window.size(), 6);
        (0..5).for_each(|turn| window.failed(later + Duration::from_secs(turn), later));
        assert_eq!(window.size(), 1);
        window.taken(1);
        assert_eq!(window.size(), 2);
        assert_eq!(ConcurrencyWindow::new(1).size(), 1);
    }
}
