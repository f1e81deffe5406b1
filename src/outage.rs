//! Says when to log a failure that goes on: once as it begins, once a minute while it lasts,
//! once when it is over. Pure; knows nothing of the crate.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two log lines of one outage.
const REMIND: Duration = Duration::from_secs(60);

/// An outage, or the lack of one.
#[derive(Debug, Default)]
pub struct Outage(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    since: Instant,
    logged: Instant,
    failures: u64,
}

/// What a log line of an outage tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How long it has lasted.
    pub lasted: Duration,
    /// Failures in it.
    pub failures: u64,
}

impl Outage {
    /// Another failure; `Some` if it is to be logged.
    pub fn failed(&mut self, now: Instant) -> Option<Report> {
        let Some(lasting) = &mut self.0 else {
            self.0 = Some(Lasting { since: now, logged: now, failures: 1 });
            return Some(Report { lasted: Duration::ZERO, failures: 1 });
        };
        lasting.failures += 1;
        if now.duration_since(lasting.logged) < REMIND {
            return None;
        }
        lasting.logged = now;
        Some(Report { lasted: now.duration_since(lasting.since), failures: lasting.failures })
    }

    /// A success; `Some` if it ends an outage.
    pub fn recovered(&mut self, now: Instant) -> Option<Report> {
        let lasting = self.0.take()?;
        Some(Report { lasted: now.duration_since(lasting.since), failures: lasting.failures })
    }

    /// Whether it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
