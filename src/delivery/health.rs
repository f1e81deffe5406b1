//! Whether a sink is up or down. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::journal::EventId;
use crate::retry::Backoff;

/// Failures of so many different events in a row mean that it is the sink that fails.
const DOWN_AFTER: usize = 5;

/// The health of a sink.
#[derive(Debug)]
pub(super) struct Health {
    /// Different events that failed since the last success; no more than [`DOWN_AFTER`].
    failed: BTreeSet<EventId>,
    down: Option<Down>,
    pauses: Backoff,
}

#[derive(Debug)]
struct Down {
    probes: u32,
    next_probe: Instant,
}

impl Health {
    /// A sink that is up; while it is down it is probed at these pauses.
    pub(super) fn new(pauses: Backoff) -> Self {
        Self { failed: BTreeSet::new(), down: None, pauses }
    }

    /// The sink answered for an event. Tells whether it was down.
    pub(super) fn answered(&mut self) -> bool {
        self.failed.clear();
        self.down.take().is_some()
    }

    /// The delivery of an event failed. `waiting` events wait for the sink, this one included.
    /// `asked` is the wait that the target asked for. Tells whether the sink went down by it. A lone event never takes a sink down.
    pub(super) fn failed(
        &mut self,
        event: EventId,
        waiting: u64,
        asked: Option<Duration>,
        now: Instant,
    ) -> bool {
        if let Some(down) = &mut self.down {
            // What was under way when it went down fails as well and is no probe.
            if now >= down.next_probe {
                down.probes += 1;
                down.next_probe = now + self.pauses.wait_or(down.probes, asked);
            }
            return false;
        }
        if self.failed.len() < DOWN_AFTER {
            self.failed.insert(event);
        }
        let failed = self.failed.len();
        let is_down = failed >= DOWN_AFTER || (failed > 1 && failed as u64 >= waiting);
        if is_down {
            self.down = Some(Down { probes: 1, next_probe: now + self.pauses.wait_or(1, asked) });
        }
        is_down
    }

    /// When a sink that is down may be asked next; `None` while it is up.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.down.as_ref().map(|down| down.next_probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) })
    }

    #[test]
    fn five_different_events_in_a_row_take_it_down() {
        let (mut health, now) = (health(), Instant::now());
        assert!((0..4).all(|n| !health.failed(EventId(n), 100, None, now)));
        assert!(health.failed(EventId(4), 100, None, now));
        assert!(health.next_probe().unwrap() > now);
        assert!(health.answered());
        assert_eq!(health.next_probe(), None);
    }

    #[test]
    fn one_event_never_does_and_a_success_between_starts_anew() {
        let (mut health, now) = (health(), Instant::now());
        assert!((0..100).all(|_| !health.failed(EventId(7), 1, None, now)));
        health.answered();
        for n in 0..20 {
            assert!(!health.failed(EventId(n), 100, None, now));
            assert!(!health.answered());
        }
    }

    #[test]
    fn all_that_wait_take_it_down_if_they_are_two_or_more() {
        let (mut health, now) = (health(), Instant::now());
        assert!(!health.failed(EventId(1), 2, None, now));
        assert!(health.failed(EventId(2), 2, None, now));
    }

    #[test]
    fn what_was_under_way_when_it_went_down_does_not_put_off_the_first_probe() {
        let (mut health, now) = (health(), Instant::now());
        assert_eq!((0..16).filter(|n| health.failed(EventId(*n), 100, None, now)).count(), 1);
        assert!(health.next_probe().unwrap() <= now + Duration::from_secs(1));
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept() {
        let (mut health, now, asked) = (health(), Instant::now(), Duration::from_secs(120));
        (0..5).for_each(|n| assert_eq!(health.failed(EventId(n), 100, Some(asked), now), n == 4));
        assert!(health.next_probe().unwrap() >= now + asked);
    }

    #[test]
    fn probes_come_at_growing_pauses() {
        let (mut health, mut now) = (health(), Instant::now());
        assert_eq!((0..5).filter(|n| health.failed(EventId(*n), 100, None, now)).count(), 1);
        let mut pauses = Vec::new();
        for n in 5..15 {
            let probe = health.next_probe().unwrap();
            pauses.push(probe - now);
            now = probe;
            assert!(!health.failed(EventId(n), 100, None, now));
        }
        assert!(pauses[0] <= Duration::from_secs(1) && pauses[9] >= Duration::from_secs(30));
    }
}
