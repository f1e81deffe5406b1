//! How long to wait before the next try.

use std::time::Duration;

/// The longest wait that a target may ask for, as by Retry-After.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Between tries to write to the journal, or to read it.
pub const JOURNAL_RETRIES: Backoff =
    Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Waits that double from `base` to `max`, each shortened at random by up to half, so that many
/// that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// Returns the wait after the `failures`th failure in a row, counted from 1.
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = self.base.saturating_mul(1_u32 << failures.saturating_sub(1).min(30));
        doubled.min(self.max).mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Returns the wait after the `failures`th failure, but no less than the target asked for, up
    /// to [`MAX_RETRY_AFTER`].
    pub fn wait_or(&self, failures: u32, asked: Option<Duration>) -> Duration {
        self.wait(failures).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_limit_and_are_never_nothing() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        for (failures, most) in [(0, 1), (1, 1), (2, 2), (3, 4), (7, 60), (u32::MAX, 60)] {
            let wait = backoff.wait(failures).as_secs_f64();
            assert!(wait <= f64::from(most) && wait >= f64::from(most) / 2.0, "{failures}: {wait}");
        }
    }

    #[test]
    fn what_is_asked_for_is_honoured_within_bounds() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        let asked = |seconds| backoff.wait_or(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(120), Duration::from_secs(120));
        assert_eq!(asked(1_000_000), MAX_RETRY_AFTER);
        assert!(asked(0) >= Duration::from_millis(500));
    }
}
