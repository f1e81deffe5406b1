//! The last hour in samples: throughput and lag.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;

use crate::sync::lock;

/// Between two samples.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Samples that are kept: an hour.
const MAX_SAMPLES: usize = 360;
/// Samples in one point of a chart.
const SAMPLES_PER_POINT: usize = 3;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) received: u64,
    /// Events delivered, at each sink.
    pub(super) delivered: u64,
    /// Those of them whose lag counts: not what was redelivered.
    pub(super) with_lag: u64,
    /// The sum of their lags.
    pub(super) lag_seconds: f64,
}

/// Half a minute of the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct HistoryPoint {
    pub(super) received_per_second: f64,
    pub(super) delivered_per_second: f64,
    /// From an event's first pull to its delivery, on average; none without a delivery.
    pub(super) lag_seconds: Option<f64>,
}

/// Samples, the oldest first; nothing where the journal could not be read.
#[derive(Debug, Default)]
pub(super) struct ActivityHistory(Mutex<VecDeque<Option<Totals>>>);

impl ActivityHistory {
    pub(super) fn push(&self, totals: Option<Totals>) {
        let mut samples = lock(&self.0);
        if samples.len() > MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(totals);
    }

    /// Returns the points of a chart over the last hour, the newest last; none for the time before
    /// the start.
    pub(super) fn points(&self) -> Vec<Option<HistoryPoint>> {
        let samples = lock(&self.0);
        let mut newest_first = samples.iter().rev().step_by(SAMPLES_PER_POINT);
        let mut later = newest_first.next().copied().flatten();
        let mut points = Vec::with_capacity(MAX_SAMPLES / SAMPLES_PER_POINT);
        for earlier in newest_first {
            points.push(
                later.zip(*earlier).map(|(later, earlier)| HistoryPoint::between(earlier, later)),
            );
            later = *earlier;
        }
        points.resize(MAX_SAMPLES / SAMPLES_PER_POINT, None);
        points.reverse();
        points
    }
}

impl HistoryPoint {
    fn between(earlier: Totals, later: Totals) -> Self {
        let seconds = SAMPLE_INTERVAL.as_secs_f64() * SAMPLES_PER_POINT as f64;
        let delivered = later.delivered.saturating_sub(earlier.delivered);
        let with_lag = later.with_lag.saturating_sub(earlier.with_lag);
        let lag = (later.lag_seconds - earlier.lag_seconds).max(0.0);
        Self {
            received_per_second: later.received.saturating_sub(earlier.received) as f64 / seconds,
            delivered_per_second: delivered as f64 / seconds,
            lag_seconds: (with_lag > 0).then(|| lag / with_lag as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(received: u64) -> Option<Totals> {
        Some(Totals {
            received,
            delivered: received * 2,
            with_lag: received * 2,
            lag_seconds: received as f64,
        })
    }

    #[test]
    fn a_chart_is_an_hour_wide_from_the_first_sample_on() {
        let history = ActivityHistory::default();
        assert_eq!(history.points(), [None; 120]);
        for sample in 0..=6 {
            history.push(totals(sample * 10));
        }
        let points = history.points();
        assert_eq!(points.iter().flatten().count(), 2);
        let point = HistoryPoint {
            received_per_second: 1.0,
            delivered_per_second: 2.0,
            lag_seconds: Some(0.5),
        };
        assert_eq!(points[119], Some(point));
    }

    #[test]
    fn what_is_older_than_an_hour_goes_and_gaps_stay_gaps() {
        let history = ActivityHistory::default();
        for sample in 0..10_000 {
            history.push(if sample == 9_994 { None } else { totals(5) });
        }
        let points = history.points();
        assert_eq!(points.len(), 120);
        assert_eq!(points.iter().filter(|point| point.is_none()).count(), 0);
        assert_eq!(points[0].unwrap().lag_seconds, None);
        history.push(None);
        assert_eq!(history.points()[119], None);
    }
}
