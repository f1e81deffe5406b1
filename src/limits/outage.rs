//! When to log a failure that goes on: once as it begins, once a minute while it lasts, once when
//! it is over. Pure: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two log lines of one outage.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// An outage, or the lack of one.
#[derive(Debug, Default)]
pub struct Outage(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    since: Instant,
    logged: Instant,
    failures: u64,
}

/// What a log line says of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageReport {
    /// How long it has lasted.
    pub lasted: Duration,
    /// Failures in it.
    pub failures: u64,
}

impl OutageReport {
    /// Whether it has lasted so long that it will not pass by itself. Its log line is an error then.
    pub fn needs_a_person(&self) -> bool {
        self.lasted >= REMINDER_INTERVAL
    }
}

/// Logs an outage that begins as a warning, and one that [needs a
/// person](OutageReport::needs_a_person) as an error: the report, then what `tracing` takes.
macro_rules! log_outage {
    ($report:expr, $($event:tt)+) => {
        if $report.needs_a_person() {
            tracing::error!($($event)+)
        } else {
            tracing::warn!($($event)+)
        }
    };
}
pub(crate) use log_outage;

impl Outage {
    /// Records a failure; `Some` if it is to be logged.
    pub fn failed(&mut self, now: Instant) -> Option<OutageReport> {
        let Some(lasting) = &mut self.0 else {
            self.0 = Some(Lasting { since: now, logged: now, failures: 1 });
            return Some(OutageReport { lasted: Duration::ZERO, failures: 1 });
        };
        lasting.failures += 1;
        self.remind(now)
    }

    /// Returns what is to be logged of it though nothing has failed anew.
    pub fn remind(&mut self, now: Instant) -> Option<OutageReport> {
        self.next_reminder().filter(|at| *at <= now)?;
        let lasting = self.0.as_mut()?;
        lasting.logged = now;
        Some(OutageReport { lasted: now.duration_since(lasting.since), failures: lasting.failures })
    }

    /// Returns when it is to be logged again.
    pub fn next_reminder(&self) -> Option<Instant> {
        self.0.as_ref().map(|lasting| lasting.logged + REMINDER_INTERVAL)
    }

    /// Records a success; `Some` if it ends an outage.
    pub fn recovered(&mut self, now: Instant) -> Option<OutageReport> {
        let lasting = self.0.take()?;
        Some(OutageReport { lasted: now.duration_since(lasting.since), failures: lasting.failures })
    }

    /// Whether it lasts.
    pub fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the failures in it so far; 0 if there is none.
    pub fn failures(&self) -> u64 {
        self.0.as_ref().map_or(0, |lasting| lasting.failures)
    }
}

/// Without a failure for this time, an intermittent outage is over.
const PROBATION: Duration = Duration::from_secs(10);

/// An outage of something that works now and then while it lasts, as a disk that is nearly full:
/// over when it has worked, and has not failed for [`PROBATION`].
#[derive(Debug, Default)]
pub struct IntermittentOutage {
    outage: Outage,
    /// The last failure.
    failed: Option<Instant>,
    has_worked: bool,
}

impl IntermittentOutage {
    /// Records a failure; `Some` if it is to be logged.
    pub fn failed(&mut self, now: Instant) -> Option<OutageReport> {
        self.failed = Some(now);
        self.has_worked = false;
        self.outage.failed(now)
    }

    /// Records that it worked.
    pub fn worked(&mut self) {
        self.has_worked = true;
    }

    /// When it is over if nothing fails until then. `None` if there is none, or nothing has worked
    /// since the last failure.
    pub fn over_at(&self) -> Option<Instant> {
        let failed = self.failed.filter(|_| self.has_worked)?;
        Some(failed + PROBATION)
    }

    /// Ends it if it is over; `Some` if it ends now.
    pub fn recovered(&mut self, now: Instant) -> Option<OutageReport> {
        self.over_at().filter(|at| *at <= now)?;
        self.failed = None;
        self.outage.recovered(now)
    }

    /// Whether it lasts.
    pub fn lasts(&self) -> bool {
        self.outage.lasts()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    #[test]
    fn what_works_now_and_then_is_one_outage_until_it_has_worked_for_a_while() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut outage = IntermittentOutage::default();
        outage.worked();
        assert_eq!(
            (outage.lasts(), outage.over_at(), outage.recovered(at(0.0))),
            (false, None, None)
        );
        // A failure every other second for a minute, and a success after each.
        let mut logged = Vec::new();
        for second in (0..=60).step_by(2) {
            let second = f64::from(second);
            assert_eq!(outage.recovered(at(second)), None, "{second}");
            logged.extend(outage.failed(at(second)).map(|_| second));
            assert_eq!(outage.over_at(), None);
            outage.worked();
            assert!(outage.lasts());
        }
        assert_eq!(logged, [0.0, 60.0]);
        assert_eq!(outage.over_at(), Some(at(70.0)));
        assert_eq!(outage.recovered(at(69.9)), None);
        let report = outage.recovered(at(70.0)).unwrap();
        assert_eq!((report.lasted.as_secs(), report.failures), (70, 31));
        assert_eq!((outage.lasts(), outage.recovered(at(99.0))), (false, None));
        // Nothing that only waits ends it.
        assert!(outage.failed(at(100.0)).is_some());
        assert_eq!(outage.recovered(at(500.0)), None);
        outage.worked();
        assert!(outage.recovered(at(500.0)).is_some());
    }

    #[test]
    fn is_logged_as_it_begins_once_a_minute_and_when_it_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!(outage.recovered(at(0)), None);
        let logged = (0..=120).filter(|second| outage.failed(at(*second)).is_some());
        assert_eq!(logged.collect::<Vec<_>>(), [0, 60, 120]);
        let report = outage.recovered(at(121)).unwrap();
        assert_eq!((report.lasted.as_secs(), report.failures), (121, 121));
        assert!(!outage.lasts());
    }

    #[test]
    fn what_nothing_tries_is_logged_once_a_minute_as_well() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!((outage.next_reminder(), outage.remind(at(500))), (None, None));
        outage.failed(at(0)).unwrap();
        assert_eq!((outage.next_reminder(), outage.remind(at(59))), (Some(at(60)), None));
        let report = outage.remind(at(60)).unwrap();
        assert_eq!((report.lasted.as_secs(), report.failures), (60, 1));
        assert_eq!((outage.next_reminder(), outage.failed(at(119))), (Some(at(120)), None));
        assert_eq!(outage.failures(), 2);
    }

    #[test]
    fn it_is_an_error_once_it_has_lasted_for_a_minute() {
        let (levels, start) = (Levels::default(), Instant::now());
        let log = levels.clone();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            let mut outage = Outage::default();
            for second in [0, 30, 59, 60, 61, 130] {
                let at = start + Duration::from_secs(second);
                if let Some(report) = outage.failed(at) {
                    log_outage!(report, failures = report.failures, "fails");
                }
            }
        });
        assert_eq!(*levels.0.lock().unwrap(), [Level::WARN, Level::ERROR, Level::ERROR]);
    }

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: tracing::Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }
}
