//! When dead letters are logged: a few by name, a storm of them as it begins, once a minute while it
//! lasts, and when it is over. Pure: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Dead letters within a minute that are logged by name.
const NAMED: u64 = 20;
/// The time between two log lines of a storm, and without a dead letter after which it is over.
const MINUTE: Duration = Duration::from_secs(60);

/// The dead letters of a sink within a minute.
#[derive(Debug, Default)]
pub(super) struct DeadLetterBurst(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    since: Instant,
    /// When the minute began that is counted.
    minute: Instant,
    in_minute: u64,
    all: u64,
    /// Whether there were more than [`NAMED`] within a minute.
    is_storm: bool,
}

/// How a dead letter is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadLetterLog {
    /// By name.
    Named,
    /// As the first of a storm.
    Begins,
    /// Not at all: it is counted.
    Counted,
}

/// What a log line of a storm tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BurstReport {
    /// How long it has lasted.
    pub(super) lasted: Duration,
    /// Dead letters in it, with those that were named before.
    pub(super) dead: u64,
    /// Whether it is over.
    pub(super) is_over: bool,
}

impl DeadLetterBurst {
    /// Another dead letter.
    pub(super) fn dead(&mut self, now: Instant) -> DeadLetterLog {
        if self.0.as_ref().is_some_and(|lasting| !lasting.is_storm && lasting.is_past(now)) {
            self.0 = None;
        }
        let fresh = Lasting { since: now, minute: now, in_minute: 0, all: 0, is_storm: false };
        let lasting = self.0.get_or_insert(fresh);
        lasting.in_minute += 1;
        lasting.all += 1;
        if lasting.is_storm {
            DeadLetterLog::Counted
        } else if lasting.all > NAMED {
            lasting.is_storm = true;
            lasting.minute = now;
            lasting.in_minute = 0;
            DeadLetterLog::Begins
        } else {
            DeadLetterLog::Named
        }
    }

    /// When [`Storm::report`] has something to say.
    pub(super) fn next_report(&self) -> Option<Instant> {
        self.0.as_ref().filter(|lasting| lasting.is_storm).map(|lasting| lasting.minute + MINUTE)
    }

    /// What to log of a storm, once a minute.
    pub(super) fn report(&mut self, now: Instant) -> Option<BurstReport> {
        let lasting = self.0.as_mut().filter(|lasting| lasting.is_storm && lasting.is_past(now))?;
        let is_over = lasting.in_minute == 0;
        let report = BurstReport { lasted: now - lasting.since, dead: lasting.all, is_over };
        (lasting.minute, lasting.in_minute) = (now, 0);
        if is_over {
            self.0 = None;
        }
        Some(report)
    }

    /// What to log of a storm as the loop ends.
    pub(super) fn end(&mut self, now: Instant) -> Option<BurstReport> {
        let lasting = self.0.take().filter(|lasting| lasting.is_storm)?;
        Some(BurstReport { lasted: now - lasting.since, dead: lasting.all, is_over: true })
    }
}

impl Lasting {
    fn is_past(&self, now: Instant) -> bool {
        now >= self.minute + MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_many_are_counted_once_a_minute() {
        let (mut storm, start) = (DeadLetterBurst::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..NAMED).all(|_| storm.dead(at(0)) == DeadLetterLog::Named));
        assert_eq!((storm.next_report(), storm.report(at(300))), (None, None), "no storm");
        // A minute later that many are named again.
        assert!((0..NAMED).all(|_| storm.dead(at(60)) == DeadLetterLog::Named));
        assert_eq!(storm.dead(at(61)), DeadLetterLog::Begins);
        assert!((0..9000).all(|_| storm.dead(at(62)) == DeadLetterLog::Counted));
        assert_eq!(storm.next_report(), Some(at(121)));
        assert_eq!(storm.report(at(120)), None);
        let lasts =
            |lasted, dead, is_over| Some(BurstReport { lasted: at(lasted) - at(0), dead, is_over });
        assert_eq!(storm.report(at(121)), lasts(61, 9021, false));
        assert_eq!(storm.dead(at(150)), DeadLetterLog::Counted);
        assert_eq!(storm.report(at(181)), lasts(121, 9022, false));
        assert_eq!(storm.report(at(241)), lasts(181, 9022, true));
        assert_eq!((storm.next_report(), storm.dead(at(242))), (None, DeadLetterLog::Named));
    }

    #[test]
    fn a_storm_that_lasts_to_the_end_is_told_of() {
        let (mut storm, start) = (DeadLetterBurst::default(), Instant::now());
        assert_eq!((0..30).filter(|_| storm.dead(start) == DeadLetterLog::Begins).count(), 1);
        let report = storm.end(start).unwrap();
        assert_eq!((report.dead, report.is_over), (30, true));
        storm.dead(start);
        assert_eq!(storm.end(start), None);
    }
}
