//! What moves at a sink now: figures that fade with time, and need no timer. Pure: the time is
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// How fast deliveries fade from the rate.
const RATE_TAU: Duration = Duration::from_secs(5);
/// A rate below this is none: its last deliveries are half a minute old.
const MIN_RATE: f64 = 0.01;
/// How fast a delivery's lag fades from the average.
const LAG_TAU: Duration = Duration::from_secs(20);
/// After so long without a delivery there is no lag.
const LAG_MEMORY: Duration = Duration::from_secs(60);

/// A sum whose parts fade with their age.
#[derive(Clone, Copy, Debug)]
struct FadingSum {
    tau: Duration,
    sum: f64,
    at: Instant,
}

impl FadingSum {
    fn new(tau: Duration, now: Instant) -> Self {
        Self { tau, sum: 0.0, at: now }
    }

    fn add(&mut self, amount: f64, now: Instant) {
        self.sum = self.at(now) + amount;
        self.at = now;
    }

    fn at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.sum * (-age / self.tau.as_secs_f64()).exp()
    }
}

/// Events per second, of about the last [`RATE_TAU`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RateMeter(FadingSum);

impl RateMeter {
    pub(super) fn new(now: Instant) -> Self {
        Self(FadingSum::new(RATE_TAU, now))
    }

    pub(super) fn add(&mut self, events: u64, now: Instant) {
        self.0.add(events as f64, now);
    }

    /// Returns 0 where nothing moves.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        let rate = self.0.at(now) / RATE_TAU.as_secs_f64();
        if rate < MIN_RATE { 0.0 } else { rate }
    }
}

/// The average lag of about the last [`LAG_MEMORY`], newer deliveries counting more.
#[derive(Clone, Copy, Debug)]
pub(super) struct LagMeter {
    seconds: FadingSum,
    events: FadingSum,
    last: Option<Instant>,
}

impl LagMeter {
    pub(super) fn new(now: Instant) -> Self {
        let none = FadingSum::new(LAG_TAU, now);
        Self { seconds: none, events: none, last: None }
    }

    /// Adds the deliveries of so many events, with the sum of their lags.
    pub(super) fn add(&mut self, events: u64, seconds: f64, now: Instant) {
        if events == 0 {
            return;
        }
        self.seconds.add(seconds, now);
        self.events.add(events as f64, now);
        self.last = Some(now);
    }

    /// Returns `None` where nothing was delivered for [`LAG_MEMORY`].
    pub(super) fn average(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.last?);
        (age < LAG_MEMORY).then(|| self.seconds.at(now) / self.events.at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> impl Fn(f64) -> Instant {
        let start = Instant::now();
        move |seconds| start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_steady_rate_is_shown_as_it_is_and_fades_to_nothing() {
        let at = clock();
        let mut rate = RateMeter::new(at(0.0));
        assert_eq!(rate.per_second(at(9.0)), 0.0);
        for tenth in 0..600 {
            rate.add(10, at(f64::from(tenth) / 10.0));
        }
        let shown = rate.per_second(at(60.0));
        assert!((95.0..105.0).contains(&shown), "{shown}");
        assert!(rate.per_second(at(65.0)) < 40.0);
        assert!(rate.per_second(at(70.0)) < 15.0);
        assert_eq!(rate.per_second(at(120.0)), 0.0);
    }

    #[test]
    fn it_follows_a_change_within_seconds() {
        let at = clock();
        let mut rate = RateMeter::new(at(0.0));
        for second in 0..60 {
            rate.add(1000, at(f64::from(second)));
        }
        for second in 60..80 {
            rate.add(10, at(f64::from(second)));
        }
        let shown = rate.per_second(at(80.0));
        assert!((8.0..30.0).contains(&shown), "{shown}");
    }

    #[test]
    fn the_lag_is_of_the_last_minute_and_newer_ones_count_more() {
        let at = clock();
        let mut lag = LagMeter::new(at(0.0));
        assert_eq!(lag.average(at(1.0)), None);
        lag.add(100, 100.0 * 120.0, at(10.0));
        assert_eq!(lag.average(at(10.0)), Some(120.0));
        assert_eq!(lag.average(at(69.0)).map(f64::round), Some(120.0));
        assert_eq!(lag.average(at(70.0)), None, "an idle sink has none");
        lag.add(0, 0.0, at(71.0));
        assert_eq!(lag.average(at(71.0)), None, "none that counts");
        lag.add(100, 100.0 * 0.1, at(75.0));
        let shown = lag.average(at(75.0)).unwrap();
        assert!(shown < 6.0, "{shown}");
        lag.add(1, 0.1, at(1e9));
        assert!((lag.average(at(1e9)).unwrap() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_clock_that_another_thread_read_earlier_harms_nothing() {
        let at = clock();
        let (mut rate, mut lag) = (RateMeter::new(at(5.0)), LagMeter::new(at(5.0)));
        rate.add(10, at(5.0));
        lag.add(1, 3.0, at(5.0));
        assert_eq!((rate.per_second(at(4.0)), lag.average(at(4.0))), (2.0, Some(3.0)));
    }
}
