//! The metrics of one sink: looked up once, not for each event.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::event::MirrorResult;
use crate::metrics::{ByCode, BySink, BySinkAndOutcome, Metrics, Times};

#[derive(Debug)]
pub(super) struct DeliveryCounters {
    pub(super) delivered: Counter,
    pub(super) retried: Counter,
    pub(super) dead: Counter,
    pub(super) recovered: Counter,
    /// Of deliveries.
    pub(super) durations: Times,
    /// From the first pull of an event to its delivery.
    pub(super) lags: Times,
    pub(super) in_flight: Gauge,
    pub(super) up: Gauge,
    pub(super) paused: Gauge,
    pub(super) sources_down: Gauge,
    findings: Family<ByCode, Counter>,
}

impl DeliveryCounters {
    pub(super) fn new(metrics: &Metrics, sink: &str) -> Self {
        let by_sink = BySink { sink: sink.to_owned() };
        let deliveries = |outcome| {
            let labels = BySinkAndOutcome { sink: sink.to_owned(), outcome };
            metrics.deliveries.get_or_create_owned(&labels)
        };
        Self {
            delivered: deliveries("delivered"),
            retried: deliveries("retry"),
            dead: deliveries("dead"),
            recovered: deliveries("recovered"),
            durations: metrics.delivery_seconds.get_or_create_owned(&by_sink),
            lags: metrics.delivery_lag_seconds.get_or_create_owned(&by_sink),
            in_flight: metrics.sink_in_flight.get_or_create_owned(&by_sink),
            up: metrics.sink_up.get_or_create_owned(&by_sink),
            paused: metrics.sink_paused.get_or_create_owned(&by_sink),
            sources_down: metrics.sink_sources_down.get_or_create_owned(&by_sink),
            findings: metrics.mirror_findings.clone(),
        }
    }

    /// Counts what is wrong with sprites that a mirror has.
    pub(super) fn count_findings(&self, mirrored: &[MirrorResult]) {
        for finding in mirrored.iter().flat_map(|result| &result.findings) {
            self.findings.get_or_create(&ByCode { code: finding.code.clone() }).inc();
        }
    }
}
