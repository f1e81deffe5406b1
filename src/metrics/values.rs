//! What the library lacks: gauges with a fraction, gauges that may have no value, and a histogram
//! of times whose average can be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::labels::Unlabelled;

/// Times in buckets. Clones share them.
#[derive(Clone, Debug)]
pub struct Times {
    histogram: Histogram,
    all: Arc<All>,
}

#[derive(Debug, Default)]
struct All {
    count: AtomicU64,
    micros: AtomicU64,
}

impl Times {
    /// An empty histogram; `bounds` are in seconds.
    #[must_use]
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Self {
        Self { histogram: Histogram::new(bounds), all: Arc::default() }
    }

    /// Records a time.
    pub fn observe(&self, time: Duration) {
        self.histogram.observe(time.as_secs_f64());
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.all.micros.fetch_add(micros, Ordering::Relaxed);
        self.all.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of times.
    pub fn count(&self) -> u64 {
        self.all.count.load(Ordering::Relaxed)
    }

    /// Returns their sum in seconds.
    pub fn sum(&self) -> f64 {
        self.all.micros.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Returns their average in seconds, if there are any.
    pub fn average(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum() / count as f64)
    }
}

impl EncodeMetric for Times {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.histogram.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl TypedMetric for Times {
    const TYPE: MetricType = MetricType::Histogram;
}

/// A gauge with a fraction.
pub type FloatGauge = Gauge<f64, AtomicU64>;

/// A gauge that has no value while it is unknown.
pub type OptionalGauge<G> = Family<Unlabelled, G>;

/// Sets such a gauge, or clears it.
pub fn set_known<N, A>(gauge: &OptionalGauge<Gauge<N, A>>, value: Option<N>)
where
    A: Atomic<N>,
    Gauge<N, A>: Default,
{
    match value {
        Some(value) => drop(gauge.get_or_create(&Unlabelled {}).set(value)),
        None => gauge.clear(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_an_average_once_there_is_one() {
        let times = Times::new([1.0]);
        assert_eq!(times.average(), None);
        times.observe(Duration::from_millis(500));
        times.clone().observe(Duration::from_millis(1500));
        assert_eq!((times.count(), times.average()), (2, Some(1.0)));
    }
}
