//! Whether a sink is up or down, and whether what it rejects is bad. Pure: the time is passed in.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::MaxRejects;
use crate::journal::{EventId, SinkHistory};
use crate::limits::Backoff;

/// Failures of so many different events in a row mean that it is the sink that fails.
const DOWN_AFTER: usize = 5;
/// A run that ends when nothing is left to do waits no longer than this for the next probe.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// The health of a sink.
///
/// A rejection proves a bad event only where the sink takes others. While it has taken none, or has
/// rejected as many in a row as `max_rejects`, which is its *brake*, a rejection is a failure of the
/// sink like any other. The brake is lifted by the first event taken.
#[derive(Debug)]
pub(super) struct Breaker {
    max_rejects: MaxRejects,
    /// Whether it has ever taken an event.
    has_taken: bool,
    /// Different events that failed since the last answer; no more than [`DOWN_AFTER`].
    failed: BTreeSet<EventId>,
    /// Different events that were rejected since the last one taken; no more than `max_rejects`.
    rejected: BTreeSet<EventId>,
    down: Option<Down>,
    pauses: Backoff,
}

#[derive(Debug)]
struct Down {
    probes: u32,
    pause: Duration,
    next_probe: Instant,
}

impl Breaker {
    /// A sink that is up and has taken nothing yet; while it is down it is probed at these pauses.
    pub(super) fn new(max_rejects: MaxRejects, pauses: Backoff) -> Self {
        Self {
            max_rejects,
            has_taken: false,
            failed: BTreeSet::new(),
            rejected: BTreeSet::new(),
            down: None,
            pauses,
        }
    }

    /// Goes on where an earlier run has ended: with the brake on it is down, and probed at once.
    pub(super) fn resume(&mut self, history: SinkHistory, now: Instant) {
        self.has_taken = history.has_taken;
        self.rejected = history.rejected.into_iter().collect();
        self.down =
            self.is_braked().then_some(Down { probes: 0, pause: Duration::ZERO, next_probe: now });
    }

    /// The sink took an event. Tells whether it was down.
    pub(super) fn took(&mut self) -> bool {
        self.has_taken = true;
        self.rejected.clear();
        self.answered()
    }

    /// The sink rejected an event. Tells whether that proves the event to be a bad one; if not,
    /// the delivery [failed](Health::failed).
    pub(super) fn rejected(&mut self, event: EventId) -> bool {
        match self.max_rejects {
            MaxRejects::Off => true,
            MaxRejects::At(_) if !self.has_taken || self.is_braked() => false,
            MaxRejects::At(_) => {
                self.rejected.insert(event);
                true
            }
        }
    }

    /// The sink answered for an event, if only by a rejection that proves it to be a bad one. Tells
    /// whether it was down.
    pub(super) fn answered(&mut self) -> bool {
        self.failed.clear();
        self.down.take().is_some()
    }

    /// Nothing waits for the sink any more: there is nothing to probe it with, and nothing to keep
    /// from it. Only its brake stays on. Tells whether it is up.
    pub(super) fn nothing_waits(&mut self) -> bool {
        if !self.is_braked() {
            self.answered();
        }
        self.down.is_none()
    }

    /// The delivery of an event failed. `waiting` events wait for the sink, this one included.
    /// `asked` is the wait that the target asked for. Tells whether the sink went down by it. A lone
    /// event takes a sink down only if it has never taken any, or by its brake.
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
                down.pause = self.pauses.wait_or(down.probes, asked);
                down.next_probe = now + down.pause;
            }
            return false;
        }
        if self.failed.len() < DOWN_AFTER {
            self.failed.insert(event);
        }
        let failed = self.failed.len();
        let is_all = failed > 1 && failed as u64 >= waiting;
        let is_down = failed >= DOWN_AFTER || is_all || !self.has_taken || self.is_braked();
        if is_down {
            let pause = self.pauses.wait_or(1, asked);
            self.down = Some(Down { probes: 1, pause, next_probe: now + pause });
        }
        is_down
    }

    /// Whether the sink has rejected so many in a row that its rejections prove nothing.
    pub(super) fn is_braked(&self) -> bool {
        match self.max_rejects {
            MaxRejects::Off => false,
            MaxRejects::At(max) => self.rejected.len() as u64 >= u64::from(max.get()),
        }
    }

    /// When a sink that is down may be asked next; `None` while it is up.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.down.as_ref().map(|down| down.next_probe)
    }

    /// Whether it is down, and probes of others than took it down have failed as well, or the next
    /// one is far away.
    pub(super) fn is_down_for_long(&self) -> bool {
        self.down.as_ref().is_some_and(|down| down.pause > LONG_PAUSE)
    }

    /// What the operator of a sink that is down should know of it, besides its error.
    pub(super) fn hint(&self) -> Option<String> {
        if self.is_braked() {
            Some(format!(
                "it rejected {} different events in a row and took none between them, so that what \
                 it rejects waits and makes no more dead letters; mend it, or set max_rejects = \
                 \"off\" if the events are bad indeed",
                self.rejected.len()
            ))
        } else if !self.has_taken {
            Some("it has taken no event yet: see its settings, and what answers there".to_owned())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Breaker {
        let mut health = untried(MaxRejects::default());
        health.took();
        health
    }

    /// A sink that has taken nothing yet.
    fn untried(max_rejects: MaxRejects) -> Breaker {
        let pauses = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        Breaker::new(max_rejects, pauses)
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
    fn a_sink_that_has_taken_nothing_is_down_at_its_first_failure_or_rejection() {
        let now = Instant::now();
        let mut health = untried(MaxRejects::default());
        assert!(health.failed(EventId(7), 100, None, now) && health.next_probe().is_some());
        let mut health = untried(MaxRejects::default());
        // It proves nothing, however often, and is no part of the brake.
        assert!((0..50).all(|n| !health.rejected(EventId(n))));
        assert!(health.failed(EventId(0), 1, None, now));
        assert!(!health.is_braked());
        assert!(health.nothing_waits(), "the next event shows how it is");
        health.took();
        assert!(!health.failed(EventId(7), 1, None, now) && health.rejected(EventId(8)));
    }

    #[test]
    fn twenty_different_rejections_with_none_taken_between_put_the_brake_on() {
        let (mut health, now) = (health(), Instant::now());
        assert!((0..19).all(|n| health.rejected(EventId(n)) && !health.is_braked()));
        // The same once more, as after a redelivery, and failures between.
        assert!((0..19).all(|n| health.rejected(EventId(n)) && !health.is_braked()));
        assert!(!health.failed(EventId(50), 100, None, now));
        assert!(health.rejected(EventId(19)) && health.is_braked());
        assert!(health.failed(EventId(19), 1, None, now), "a lone event as well");
        assert!((10..40).all(|n| !health.rejected(EventId(n))), "they prove nothing any more");
        assert!(!health.nothing_waits() && health.is_braked(), "only a taken one lifts it");
        assert!(health.took() && !health.is_braked());
        assert_eq!(health.next_probe(), None);
        assert!((0..19).all(|n| health.rejected(EventId(n)) && !health.is_braked()));
        health.took();
        assert!(health.rejected(EventId(19)) && !health.is_braked(), "it begins anew");
    }

    #[test]
    fn the_limit_is_the_sinks_own() {
        let at = |max| MaxRejects::At(std::num::NonZeroU32::new(max).unwrap());
        let mut health = untried(at(1));
        health.took();
        assert!(health.rejected(EventId(1)) && !health.rejected(EventId(2)));
        let mut health = untried(MaxRejects::Off);
        assert!((0..1000).all(|n| health.rejected(EventId(n)) && !health.is_braked()));
        assert!(health.rejected.is_empty(), "nothing is kept of them");
    }

    #[test]
    fn an_earlier_run_is_gone_on_with() {
        let now = Instant::now();
        let history = |has_taken, rejected| SinkHistory {
            has_taken,
            rejected: (0..rejected).map(EventId).collect(),
        };
        let mut health = untried(MaxRejects::default());
        health.resume(history(true, 19), now);
        assert!(!health.is_braked() && health.next_probe().is_none());
        assert!(health.rejected(EventId(3)) && !health.is_braked());
        assert!(health.rejected(EventId(19)) && health.is_braked());

        let mut health = untried(MaxRejects::default());
        health.resume(history(true, 20), now);
        assert!(health.is_braked() && !health.is_down_for_long());
        assert_eq!(health.next_probe(), Some(now), "it is asked at once");
        assert!(!health.rejected(EventId(20)));

        let mut health = untried(MaxRejects::default());
        health.resume(history(false, 0), now);
        assert!(!health.rejected(EventId(1)) && health.failed(EventId(1), 9, None, now));
        let mut health = untried(MaxRejects::default());
        health.resume(history(true, 0), now);
        assert!(!health.failed(EventId(1), 9, None, now));
    }

    #[test]
    fn a_sink_is_down_for_long_when_probes_have_failed_too_or_are_far_away() {
        let (mut health, mut now) = (untried(MaxRejects::default()), Instant::now());
        assert!(!health.is_down_for_long());
        health.failed(EventId(0), 9, None, now);
        let mut probes = 0;
        while !health.is_down_for_long() {
            now = health.next_probe().unwrap();
            health.failed(EventId(probes), 9, None, now);
            probes += 1;
        }
        assert_eq!(probes, 2);
        assert!(health.took() && !health.is_down_for_long());
        let mut health = untried(MaxRejects::default());
        health.failed(EventId(0), 9, Some(Duration::from_secs(60)), now);
        assert!(health.is_down_for_long());
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
