//! All that is counted, in one struct. No label ever comes from an event's content but its
//! type, and of those only the known ones.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// `outcome="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// What came of it.
    pub outcome: &'static str,
}

/// `sink="…", outcome="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySinkAndOutcome {
    /// The sink's name in the configuration.
    pub sink: String,
    /// What came of it.
    pub outcome: &'static str,
}

/// `sink="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySink {
    /// The sink's name in the configuration.
    pub sink: String,
}

/// The metrics of a daemon. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// PullEvents calls by outcome: `events`, `empty`, `throttled`, `failed`.
    pub pulls: Family<ByOutcome, Counter>,
    /// Pulls that may be in flight at once, as of now.
    pub pull_concurrency: Gauge,
    /// When a pull last succeeded, an empty one included, in seconds since 1970.
    pub last_good_pull: Gauge,
    /// Events received: `fresh`, `seen_again`, and `without_handle` beside those.
    pub events: Family<ByOutcome, Counter>,
    /// Failed appends to the journal.
    pub append_failures: Counter,
    /// Handles by what became of them: `confirmed`, `let_go`, `refused`.
    pub handles: Family<ByOutcome, Counter>,
    /// Handles confirmed on the journal's word, though their events were pending.
    pub confirmed_unsettled: Counter,
    /// ConfirmEvents calls by outcome: `ok`, `refused`, `failed`.
    pub confirms: Family<ByOutcome, Counter>,
    /// Verdicts of sinks: `delivered`, `retry`, `dead`, `recovered`.
    pub deliveries: Family<BySinkAndOutcome, Counter>,
    /// The time of a sink's `deliver`.
    pub delivery_seconds: Family<BySink, Histogram>,
    /// 1 while the sink is up, 0 while it is down.
    pub sink_up: Family<BySink, Gauge>,
    /// Deliveries owed to the sink.
    pub sink_pending: Family<BySink, Gauge>,
    /// What is added to the local clock to sign with the server's.
    pub clock_offset_seconds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sprited");
        let metrics = Self {
            registry: Arc::default(),
            pulls: Family::default(),
            pull_concurrency: Gauge::default(),
            last_good_pull: Gauge::default(),
            events: Family::default(),
            append_failures: Counter::default(),
            handles: Family::default(),
            confirmed_unsettled: Counter::default(),
            confirms: Family::default(),
            deliveries: Family::default(),
            delivery_seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY_BUCKETS)),
            sink_up: Family::default(),
            sink_pending: Family::default(),
            clock_offset_seconds: Gauge::default(),
        };
        metrics.register(&mut registry);
        Self { registry: Arc::new(registry), ..metrics }
    }
}

const DELIVERY_BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

impl Metrics {
    fn register(&self, to: &mut Registry) {
        to.register("pulls", "PullEvents calls by outcome", self.pulls.clone());
        to.register(
            "pull_concurrency",
            "Pulls that may be in flight at once",
            self.pull_concurrency.clone(),
        );
        to.register_with_unit(
            "last_good_pull_timestamp",
            "When a pull last succeeded, since 1970",
            Unit::Seconds,
            self.last_good_pull.clone(),
        );
        to.register("events", "Events received by outcome", self.events.clone());
        to.register(
            "append_failures",
            "Failed appends to the journal",
            self.append_failures.clone(),
        );
        to.register("handles", "Handles by what became of them", self.handles.clone());
        to.register(
            "confirmed_unsettled",
            "Handles confirmed on the journal's word, their events being pending",
            self.confirmed_unsettled.clone(),
        );
        to.register("confirms", "ConfirmEvents calls by outcome", self.confirms.clone());
        to.register("deliveries", "Verdicts of sinks", self.deliveries.clone());
        to.register_with_unit(
            "delivery_duration",
            "Time of a delivery to a sink",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        to.register("sink_up", "1 while the sink is up, 0 while it is down", self.sink_up.clone());
        to.register("sink_pending", "Deliveries owed to the sink", self.sink_pending.clone());
        to.register_with_unit(
            "clock_offset",
            "What is added to the local clock to sign with the server's",
            Unit::Seconds,
            self.clock_offset_seconds.clone(),
        );
    }

    /// All metrics in the text format that Prometheus scrapes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail; a partial page would say so by its missing EOF mark.
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }
}
