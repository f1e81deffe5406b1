//! Gauges with a fraction, and gauges that may have no value.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};

use super::labels::Unlabelled;

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
