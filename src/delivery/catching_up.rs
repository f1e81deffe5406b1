//! When a sink that was down has caught up with what waited for it. Pure: the time is passed in.

use chrono::{DateTime, Utc};

/// A sink that was down delivers what has waited, or does not.
#[derive(Debug, Default)]
pub(super) struct CatchingUp(Option<Lasting>);

#[derive(Clone, Copy, Debug)]
struct Lasting {
    since: DateTime<Utc>,
    /// Of the events that waited when it recovered those that have not had their turn. One that
    /// fails once more has had it: a bad event does not make it last for ever.
    left: u64,
}

impl CatchingUp {
    /// It recovers, and so many wait.
    pub(super) fn begin(&mut self, waiting: u64, now: DateTime<Utc>) {
        self.0 = (waiting > 0).then_some(Lasting { since: now, left: waiting });
    }

    /// It is down again.
    pub(super) fn interrupt(&mut self) {
        self.0 = None;
    }

    /// So many events had their turn.
    pub(super) fn tried(&mut self, events: u64) {
        self.leave(|left| left.saturating_sub(events));
    }

    /// No more than so many wait. Returns whether that ends it.
    pub(super) fn waiting(&mut self, events: u64) -> bool {
        let lasted = self.0.is_some();
        self.leave(|left| left.min(events));
        lasted && self.0.is_none()
    }

    /// Returns when it began, while it lasts.
    pub(super) fn since(&self) -> Option<DateTime<Utc>> {
        self.0.map(|lasting| lasting.since)
    }

    fn leave(&mut self, left: impl FnOnce(u64) -> u64) {
        let lasting = self.0.map(|lasting| Lasting { left: left(lasting.left), ..lasting });
        self.0 = lasting.filter(|lasting| lasting.left > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_until_as_many_had_their_turn_as_waited_or_no_more_wait() {
        let now = DateTime::UNIX_EPOCH;
        let mut catching_up = CatchingUp::default();
        catching_up.tried(5);
        assert!(!catching_up.waiting(0) && catching_up.since().is_none());
        catching_up.begin(10, now);
        catching_up.tried(9);
        assert!(!catching_up.waiting(500), "new ones came");
        assert_eq!(catching_up.since(), Some(now));
        catching_up.tried(3);
        assert_eq!(catching_up.since(), None);
        catching_up.begin(10, now);
        assert!(!catching_up.waiting(2) && catching_up.since().is_some());
        assert!(catching_up.waiting(0) && catching_up.since().is_none());
        catching_up.begin(10, now);
        catching_up.interrupt();
        assert_eq!(catching_up.since(), None);
    }
}
