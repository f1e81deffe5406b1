//! Whether a sink is up or down, and whether its rejections prove bad events. Pure: the time is
//! passed in.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::MaxRejects;
use crate::journal::{EventId, SinkHistory};
use crate::limits::Backoff;

/// Failures of so many different events in a row mean that the sink fails.
const DOWN_AFTER: usize = 5;
/// In drain mode the next probe is waited for no longer than this.
const MAX_DRAIN_PAUSE: Duration = Duration::from_secs(2);

/// The circuit breaker of a sink.
///
/// A rejection proves a bad event only where the sink accepts others. While it has accepted none,
/// or has rejected as many in a row as `max_rejects`, which is its *brake*, a rejection is a
/// failure of the sink like any other. The first success lifts the brake.
#[derive(Debug)]
pub(super) struct Breaker {
    max_rejects: MaxRejects,
    /// Whether it has ever accepted an event.
    has_taken: bool,
    /// Different events that failed since the last success; no more than [`DOWN_AFTER`].
    failed: BTreeSet<EventId>,
    /// Different events that were rejected since the last one accepted; no more than `max_rejects`.
    rejected: BTreeSet<EventId>,
    /// Rejections of events up to this one prove them to be bad, whatever the sink accepts: somebody
    /// said so.
    bad_up_to: Option<EventId>,
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
    /// A sink that is up and has accepted nothing yet; while it is down it is probed at these
    /// pauses.
    pub(super) fn new(max_rejects: MaxRejects, pauses: Backoff) -> Self {
        Self {
            max_rejects,
            has_taken: false,
            failed: BTreeSet::new(),
            rejected: BTreeSet::new(),
            bad_up_to: None,
            down: None,
            pauses,
        }
    }

    /// Resumes where an earlier run has ended: with the brake on it is down, and probed at once.
    pub(super) fn resume(&mut self, history: SinkHistory, now: Instant) {
        self.has_taken = history.has_taken;
        self.rejected = history.rejected.into_iter().collect();
        self.restart(now);
    }

    /// A sink that is down is probed at `now`, whatever the pause.
    pub(super) fn probe_now(&mut self, now: Instant) {
        if let Some(down) = &mut self.down {
            down.next_probe = down.next_probe.min(now);
        }
    }

    /// From here on rejections of events up to this one prove them to be bad. That lifts the brake.
    pub(super) fn accept_rejects(&mut self, up_to: EventId) {
        self.bad_up_to = Some(up_to);
        self.rejected.clear();
    }

    /// Whether a rejection of this event proves it to be bad because somebody said so.
    pub(super) fn is_bad_if_rejected(&self, event: EventId) -> bool {
        self.bad_up_to.is_some_and(|up_to| event <= up_to)
    }

    /// Nothing is delivered for a time: what went before says nothing of how the sink is then. Its
    /// brake stays on.
    pub(super) fn pause(&mut self) {
        self.on_answer();
    }

    /// Deliveries go on: with the brake on it is down, and probed at once.
    pub(super) fn restart(&mut self, now: Instant) {
        self.down =
            self.is_braked().then_some(Down { probes: 0, pause: Duration::ZERO, next_probe: now });
    }

    /// Records that the sink accepted an event. Returns whether it was down.
    pub(super) fn on_success(&mut self) -> bool {
        self.has_taken = true;
        self.rejected.clear();
        self.on_answer()
    }

    /// Records that the sink rejected an event. Returns whether that proves the event to be bad; if
    /// not, it is a [failure](Breaker::on_failure).
    pub(super) fn on_reject(&mut self, event: EventId) -> bool {
        match self.max_rejects {
            MaxRejects::Off => true,
            MaxRejects::At(_) if self.is_bad_if_rejected(event) => true,
            MaxRejects::At(_) if !self.has_taken || self.is_braked() => false,
            MaxRejects::At(_) => {
                self.rejected.insert(event);
                true
            }
        }
    }

    /// Records an answer for an event, if only a rejection that proves it to be bad. Returns
    /// whether the sink was down.
    pub(super) fn on_answer(&mut self) -> bool {
        self.failed.clear();
        self.down.take().is_some()
    }

    /// Records a probe that said nothing of the sink: the next one follows after as long a pause.
    pub(super) fn on_no_answer(&mut self, now: Instant) {
        if let Some(down) = &mut self.down
            && now >= down.next_probe
        {
            down.next_probe = now + down.pause.max(self.pauses.base);
        }
    }

    /// Records that nothing waits for the sink: there is nothing to probe it with. Only its brake
    /// stays on. Returns whether it is up.
    pub(super) fn on_empty_backlog(&mut self) -> bool {
        self.bad_up_to = None;
        if !self.is_braked() {
            self.on_answer();
        }
        self.down.is_none()
    }

    /// Records a failed delivery of an event. `waiting` events wait for the sink, this one
    /// included. `asked` is the wait that the target asked for. Returns whether the sink went down
    /// by it. A lone event takes a sink down only if it has never accepted any, or by its brake.
    pub(super) fn on_failure(
        &mut self,
        event: EventId,
        waiting: u64,
        asked: Option<Duration>,
        now: Instant,
    ) -> bool {
        if let Some(down) = &mut self.down {
            // What was in flight when it went down fails as well and is no probe.
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

    /// Returns when a sink that is down is probed next; `None` while it is up.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.down.as_ref().map(|down| down.next_probe)
    }

    /// Whether it is down, and probes of others than took it down have failed as well, or the next
    /// one is far away.
    pub(super) fn is_down_for_long(&self) -> bool {
        self.down.as_ref().is_some_and(|down| down.pause > MAX_DRAIN_PAUSE)
    }

    /// Returns what the operator of a sink that is down should know besides its error.
    pub(super) fn hint(&self, sink: &str) -> Option<String> {
        if self.is_braked() {
            Some(format!(
                "it rejected {} different events in a row and accepted none between them, so \
                 rejected events wait and make no dead letters; correct the sink or, if the events \
                 are bad: sprited sinks retry {sink} --accept-rejects, or max_rejects = \"off\"",
                self.rejected.len()
            ))
        } else if !self.has_taken {
            Some(format!(
                "it has accepted no event yet: check its settings, and what answers there; sprited \
                 sinks test {sink} sends it a test"
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        let mut breaker = untried(MaxRejects::default());
        breaker.on_success();
        breaker
    }

    /// A sink that has accepted nothing yet.
    fn untried(max_rejects: MaxRejects) -> Breaker {
        let pauses = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        Breaker::new(max_rejects, pauses)
    }

    #[test]
    fn five_different_events_in_a_row_take_it_down() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert!((0..4).all(|n| !breaker.on_failure(EventId(n), 100, None, now)));
        assert!(breaker.on_failure(EventId(4), 100, None, now));
        assert!(breaker.next_probe().unwrap() > now);
        assert!(breaker.on_answer());
        assert_eq!(breaker.next_probe(), None);
    }

    #[test]
    fn one_event_never_does_and_a_success_between_starts_anew() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert!((0..100).all(|_| !breaker.on_failure(EventId(7), 1, None, now)));
        breaker.on_answer();
        for n in 0..20 {
            assert!(!breaker.on_failure(EventId(n), 100, None, now));
            assert!(!breaker.on_answer());
        }
    }

    #[test]
    fn all_that_wait_take_it_down_if_they_are_two_or_more() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert!(!breaker.on_failure(EventId(1), 2, None, now));
        assert!(breaker.on_failure(EventId(2), 2, None, now));
    }

    #[test]
    fn a_sink_that_has_accepted_nothing_is_down_at_its_first_failure_or_rejection() {
        let now = Instant::now();
        let mut breaker = untried(MaxRejects::default());
        assert!(breaker.on_failure(EventId(7), 100, None, now) && breaker.next_probe().is_some());
        let mut breaker = untried(MaxRejects::default());
        // It proves nothing, however often, and is no part of the brake.
        assert!((0..50).all(|n| !breaker.on_reject(EventId(n))));
        assert!(breaker.on_failure(EventId(0), 1, None, now));
        assert!(!breaker.is_braked());
        assert!(breaker.on_empty_backlog(), "the next event shows how it is");
        breaker.on_success();
        assert!(!breaker.on_failure(EventId(7), 1, None, now) && breaker.on_reject(EventId(8)));
    }

    #[test]
    fn twenty_different_rejections_with_none_accepted_between_put_the_brake_on() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert!((0..19).all(|n| breaker.on_reject(EventId(n)) && !breaker.is_braked()));
        // The same once more, as after a redelivery, and failures between.
        assert!((0..19).all(|n| breaker.on_reject(EventId(n)) && !breaker.is_braked()));
        assert!(!breaker.on_failure(EventId(50), 100, None, now));
        assert!(breaker.on_reject(EventId(19)) && breaker.is_braked());
        assert!(breaker.on_failure(EventId(19), 1, None, now), "a lone event as well");
        assert!((10..40).all(|n| !breaker.on_reject(EventId(n))), "they prove nothing any more");
        assert!(!breaker.on_empty_backlog() && breaker.is_braked(), "only a success lifts it");
        assert!(breaker.on_success() && !breaker.is_braked());
        assert_eq!(breaker.next_probe(), None);
        assert!((0..19).all(|n| breaker.on_reject(EventId(n)) && !breaker.is_braked()));
        breaker.on_success();
        assert!(breaker.on_reject(EventId(19)) && !breaker.is_braked(), "it begins anew");
    }

    #[test]
    fn the_limit_is_the_sinks_own() {
        let at = |max| MaxRejects::At(std::num::NonZeroU32::new(max).unwrap());
        let mut breaker = untried(at(1));
        breaker.on_success();
        assert!(breaker.on_reject(EventId(1)) && !breaker.on_reject(EventId(2)));
        let mut breaker = untried(MaxRejects::Off);
        assert!((0..1000).all(|n| breaker.on_reject(EventId(n)) && !breaker.is_braked()));
        assert!(breaker.rejected.is_empty(), "nothing is kept of them");
    }

    #[test]
    fn an_earlier_run_is_resumed() {
        let now = Instant::now();
        let history = |has_taken, rejected| SinkHistory {
            has_taken,
            rejected: (0..rejected).map(EventId).collect(),
        };
        let mut breaker = untried(MaxRejects::default());
        breaker.resume(history(true, 19), now);
        assert!(!breaker.is_braked() && breaker.next_probe().is_none());
        assert!(breaker.on_reject(EventId(3)) && !breaker.is_braked());
        assert!(breaker.on_reject(EventId(19)) && breaker.is_braked());

        let mut breaker = untried(MaxRejects::default());
        breaker.resume(history(true, 20), now);
        assert!(breaker.is_braked() && !breaker.is_down_for_long());
        assert_eq!(breaker.next_probe(), Some(now), "it is asked at once");
        assert!(!breaker.on_reject(EventId(20)));

        let mut breaker = untried(MaxRejects::default());
        breaker.resume(history(false, 0), now);
        assert!(!breaker.on_reject(EventId(1)) && breaker.on_failure(EventId(1), 9, None, now));
        let mut breaker = untried(MaxRejects::default());
        breaker.resume(history(true, 0), now);
        assert!(!breaker.on_failure(EventId(1), 9, None, now));
    }

    #[test]
    fn a_brake_that_somebody_lifts_stays_off_for_what_waits_and_holds_for_what_comes() {
        let now = Instant::now();
        let mut breaker = breaker();
        assert!((0..20).all(|n| breaker.on_reject(EventId(n))));
        assert!(breaker.on_failure(EventId(19), 100, None, now) && breaker.is_braked());
        breaker.accept_rejects(EventId(100));
        breaker.probe_now(now);
        assert!(!breaker.is_braked() && breaker.next_probe() == Some(now));
        assert!((20..=100).all(|n| breaker.on_reject(EventId(n))));
        assert!(breaker.on_answer() && breaker.rejected.is_empty());
        assert!((101..121).all(|n| breaker.on_reject(EventId(n))) && breaker.is_braked());
        assert!(breaker.on_reject(EventId(50)) && !breaker.on_reject(EventId(121)));
        breaker.on_empty_backlog();
        assert!(!breaker.on_reject(EventId(50)), "nothing of that waits any more");

        let mut untried = untried(MaxRejects::default());
        assert!(!untried.on_reject(EventId(1)) && untried.on_failure(EventId(1), 9, None, now));
        untried.accept_rejects(EventId(5));
        assert!(untried.on_reject(EventId(1)) && untried.on_answer());
        assert!(!untried.on_reject(EventId(6)), "it has accepted none");
    }

    #[test]
    fn after_a_pause_only_the_brake_is_left() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert_eq!((0..5).filter(|n| breaker.on_failure(EventId(*n), 100, None, now)).count(), 1);
        breaker.pause();
        breaker.restart(now);
        assert_eq!(breaker.next_probe(), None);
        assert!((0..20).all(|n| breaker.on_reject(EventId(n))));
        breaker.pause();
        assert_eq!(breaker.next_probe(), None);
        breaker.restart(now);
        assert!(breaker.is_braked() && breaker.next_probe() == Some(now));
    }

    #[test]
    fn a_sink_is_down_for_long_when_probes_have_failed_too_or_are_far_away() {
        let (mut breaker, mut now) = (untried(MaxRejects::default()), Instant::now());
        assert!(!breaker.is_down_for_long());
        breaker.on_failure(EventId(0), 9, None, now);
        let mut probes = 0;
        while !breaker.is_down_for_long() {
            now = breaker.next_probe().unwrap();
            breaker.on_failure(EventId(probes), 9, None, now);
            probes += 1;
        }
        assert_eq!(probes, 2);
        assert!(breaker.on_success() && !breaker.is_down_for_long());
        let mut breaker = untried(MaxRejects::default());
        breaker.on_failure(EventId(0), 9, Some(Duration::from_secs(60)), now);
        assert!(breaker.is_down_for_long());
    }

    #[test]
    fn what_was_in_flight_when_it_went_down_does_not_put_off_the_first_probe() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert_eq!((0..16).filter(|n| breaker.on_failure(EventId(*n), 100, None, now)).count(), 1);
        assert!(breaker.next_probe().unwrap() <= now + Duration::from_secs(1));
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept() {
        let (mut breaker, now, asked) = (breaker(), Instant::now(), Duration::from_secs(120));
        (0..5).for_each(|n| {
            assert_eq!(breaker.on_failure(EventId(n), 100, Some(asked), now), n == 4)
        });
        assert!(breaker.next_probe().unwrap() >= now + asked);
    }

    #[test]
    fn probes_come_at_growing_pauses() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        assert_eq!((0..5).filter(|n| breaker.on_failure(EventId(*n), 100, None, now)).count(), 1);
        let mut pauses = Vec::new();
        for n in 5..15 {
            let probe = breaker.next_probe().unwrap();
            pauses.push(probe - now);
            now = probe;
            assert!(!breaker.on_failure(EventId(n), 100, None, now));
        }
        assert!(pauses[0] <= Duration::from_secs(1) && pauses[9] >= Duration::from_secs(30));
    }
}
