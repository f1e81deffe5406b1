//! All that is counted, in one struct. No label ever comes from an event's content but its
//! type, and of those only the known ones.

mod catalog;
mod failures;
mod labels;
mod process;
mod times;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};

use catalog::Catalog;
use process::Process;

pub use catalog::MetricEntry;
pub use failures::{SinkFailure, SinkFailures};
pub use labels::{
    ByApp, ByBuild, ByOutcome, BySink, BySinkAndOutcome, BySinkAndState, ByState, ByTypeAndOutcome,
    Unlabelled,
};
pub use times::Times;

/// A gauge with a fraction.
pub type FloatGauge = Gauge<f64, AtomicU64>;

/// A gauge of one value, or of none while it is not known.
pub type OptionalGauge<G> = Family<Unlabelled, G>;

/// Sets such a gauge.
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

/// The metrics of a daemon. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    catalog: Arc<Catalog>,
    process: Process,
    /// PullEvents calls by outcome: `events`, `empty`, `throttled`, `failed`.
    pub pulls: Family<ByOutcome, Counter>,
    /// The time of PullEvents calls, by the same outcomes.
    pub pull_seconds: Family<ByOutcome, Times>,
    /// Pulls that may be in flight at once, as of now.
    pub pull_concurrency: Gauge,
    /// Pulls a second that may be made, as of now.
    pub pull_rate: FloatGauge,
    /// The most that may be.
    pub pull_max_rate: FloatGauge,
    /// Events that came again within the last lease though a sink still has to take them.
    pub circulating_events: Gauge,
    /// When a pull last succeeded, an empty one included, in seconds since 1970; 0 before.
    pub last_successful_pull: Family<ByApp, Gauge>,
    /// Events received, by type and outcome: `new`, `duplicate`.
    pub events: Family<ByTypeAndOutcome, Counter>,
    /// Events received that cannot be confirmed.
    pub events_without_handle: Counter,
    /// Events stored as new though the confirmation of an equal one may not have been taken.
    pub possible_duplicates: Counter,
    /// Events that the cloud holds, by its own count of up to three minutes ago.
    pub cloud_backlog: Family<ByApp, Gauge>,
    /// 1 while the cloud keeps events to be pulled and reports those that sinks name, else 0.
    pub events_reported: Family<ByApp, Gauge>,
    /// Failed appends to the journal.
    pub append_failures: Counter,
    /// 1 while the journal takes events, 0 while it does not.
    pub journal_writable: Gauge,
    /// Events in the journal, by state over all sinks.
    pub journal_events: Family<ByState, Gauge>,
    /// Bytes in use in database and write-ahead log.
    pub journal_size: OptionalGauge<Gauge>,
    /// The most they may be.
    pub journal_max_size: Gauge,
    /// Age of the oldest event that the cloud did not take back, of those it still keeps.
    pub oldest_unconfirmed_seconds: OptionalGauge<FloatGauge>,
    /// Events in the journal, by sink and state there.
    pub sink_events: Family<BySinkAndState, Gauge>,
    /// Age of the oldest event that is pending for the sink; 0 if there is none.
    pub sink_oldest_pending_seconds: Family<BySink, FloatGauge>,
    /// 1 while the sink is up, 0 while it is down.
    pub sink_up: Family<BySink, Gauge>,
    /// What failed last at each sink, in words; not exported.
    pub sink_failures: SinkFailures,
    /// Events in memory for the sink.
    pub sink_in_flight: Family<BySink, Gauge>,
    /// Verdicts of sinks: `delivered`, `retry`, `dead`, `recovered`.
    pub deliveries: Family<BySinkAndOutcome, Counter>,
    /// The time of a sink's `deliver`.
    pub delivery_seconds: Family<BySink, Times>,
    /// From the first pull of an event to its delivery.
    pub delivery_lag_seconds: Family<BySink, Times>,
    /// ConfirmEvents calls by outcome: `ok`, `refused`, `failed`.
    pub confirms: Family<ByOutcome, Counter>,
    /// What was left of a handle's time when it was confirmed.
    pub confirm_margin_seconds: Times,
    /// Handles by what became of them: `confirmed`, `expired`, `refused`.
    pub handles: Family<ByOutcome, Counter>,
    /// Handles confirmed on the journal's word, though their events were pending.
    pub confirmed_early: Counter,
    /// How far the cloud's clock is ahead of this machine's, by its last answer.
    pub clock_offset_seconds: Gauge,
    /// When the credentials in use expire, in seconds since 1970.
    pub credentials_expiry: OptionalGauge<Gauge>,
    /// Reloads by outcome: `ok`, `failed`.
    pub reloads: Family<ByOutcome, Counter>,
}

const PULL: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 6.0, 10.0, 15.0];
const DELIVERY: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
const LAG: [f64; 12] =
    [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];
const MARGIN: [f64; 9] = [0.1, 1.0, 3.0, 5.0, 10.0, 15.0, 20.0, 25.0, 28.0];

impl Metrics {
    /// Metrics that begin at nothing, and the time of the journal's commits among them.
    #[must_use]
    pub fn new(commits: &Times) -> Self {
        let metrics = Self {
            catalog: Arc::default(),
            process: Process::default(),
            pulls: Family::default(),
            pull_seconds: Family::new_with_constructor(|| Times::new(PULL)),
            pull_concurrency: Gauge::default(),
            pull_rate: Gauge::default(),
            pull_max_rate: Gauge::default(),
            circulating_events: Gauge::default(),
            last_successful_pull: Family::default(),
            events: Family::default(),
            events_without_handle: Counter::default(),
            possible_duplicates: Counter::default(),
            cloud_backlog: Family::default(),
            events_reported: Family::default(),
            append_failures: Counter::default(),
            journal_writable: Gauge::default(),
            journal_events: Family::default(),
            journal_size: Family::default(),
            journal_max_size: Gauge::default(),
            oldest_unconfirmed_seconds: Family::default(),
            sink_events: Family::default(),
            sink_oldest_pending_seconds: Family::default(),
            sink_up: Family::default(),
            sink_failures: SinkFailures::default(),
            sink_in_flight: Family::default(),
            deliveries: Family::default(),
            delivery_seconds: Family::new_with_constructor(|| Times::new(DELIVERY)),
            delivery_lag_seconds: Family::new_with_constructor(|| Times::new(LAG)),
            confirms: Family::default(),
            confirm_margin_seconds: Times::new(MARGIN),
            handles: Family::default(),
            confirmed_early: Counter::default(),
            clock_offset_seconds: Gauge::default(),
            credentials_expiry: Family::default(),
            reloads: Family::default(),
        };
        metrics.begin_at_zero();
        let mut catalog = Catalog::default();
        metrics.register(&mut catalog, commits);
        metrics.process.register(&mut catalog);
        Self { catalog: Arc::new(catalog), ..metrics }
    }

    /// A counter that first appears with its first count shows no increase, and an alert on that
    /// would miss it.
    fn begin_at_zero(&self) {
        let begin = |family: &Family<ByOutcome, Counter>, outcomes: &[&'static str]| {
            for outcome in outcomes {
                drop(family.get_or_create(&ByOutcome { outcome }));
            }
        };
        begin(&self.pulls, &["events", "empty", "throttled", "failed"]);
        begin(&self.confirms, &["ok", "refused", "failed"]);
        begin(&self.handles, &["confirmed", "expired", "refused", "superseded"]);
        begin(&self.reloads, &["ok", "failed"]);
    }

    /// The sinks that are down, by name: each has failed before.
    #[must_use]
    pub fn sinks_down(&self) -> Vec<String> {
        let is_down = |sink: &String| {
            let up = self.sink_up.get(&BySink { sink: sink.clone() });
            up.is_some_and(|up| up.get() == 0)
        };
        self.sink_failures.sinks().into_iter().filter(is_down).collect()
    }

    /// Tells nothing any more of a sink that is gone, but what the journal keeps for it. Should it
    /// come back, its counters begin anew, as after a restart.
    pub fn forget_sink(&self, name: &str) {
        let sink = BySink { sink: name.to_owned() };
        self.sink_up.remove(&sink);
        self.sink_in_flight.remove(&sink);
        self.delivery_seconds.remove(&sink);
        self.delivery_lag_seconds.remove(&sink);
        for outcome in ["delivered", "retry", "dead", "recovered"] {
            self.deliveries.remove(&BySinkAndOutcome { sink: name.to_owned(), outcome });
        }
    }

    fn register(&self, to: &mut Catalog, commits: &Times) {
        let build: Family<ByBuild, Gauge> = Family::default();
        let this = ByBuild { version: env!("CARGO_PKG_VERSION"), commit: env!("SPRITED_COMMIT") };
        build.get_or_create(&this).set(1);
        to.gauge("sprited_build_info", "Always 1", &build);

        to.counter("sprited_pulls_total", "PullEvents calls", &self.pulls);
        let help = "Time of PullEvents calls; the cloud holds an empty one for up to 5 s";
        to.histogram("sprited_pull_duration_seconds", help, &self.pull_seconds);
        let help = "PullEvents calls that may be in flight at once, as of now";
        to.gauge("sprited_pull_concurrency", help, &self.pull_concurrency);
        let help = "PullEvents calls a second that may be made, as of now";
        to.gauge("sprited_pull_rate", help, &self.pull_rate);
        let help = "PullEvents calls a second at most: poll.max_requests_per_second";
        to.gauge("sprited_pull_max_rate", help, &self.pull_max_rate);
        let help =
            "Events that came again within the last lease though a sink still has to take them";
        to.gauge("sprited_circulating_events", help, &self.circulating_events);
        let help =
            "When a pull last succeeded, an empty one included, since 1970; 0 before the first";
        to.gauge(
            "sprited_last_successful_pull_timestamp_seconds",
            help,
            &self.last_successful_pull,
        );
        let help = "Events received; types that are not known count as other";
        to.counter("sprited_events_total", help, &self.events);
        let help = "Events received that have no handle and cannot be confirmed";
        to.counter("sprited_events_without_handle_total", help, &self.events_without_handle);
        let help = "Events stored as new that may have been stored before: no answer said that an equal one's confirmation was taken";
        to.counter("sprited_possible_duplicates_total", help, &self.possible_duplicates);
        let help = "Events that wait in the cloud, by its own count of up to three minutes ago; \
                    absent where the credentials may not ask for it";
        to.gauge("sprited_cloud_backlog_events", help, &self.cloud_backlog);
        let help = "1 while the cloud keeps events to be pulled and reports those that sinks name, 0 while its configuration says otherwise; absent where that is not known";
        to.gauge("sprited_events_reported", help, &self.events_reported);

        let help = "Appends to the journal that failed; pulling stops until one succeeds";
        to.counter("sprited_append_failures_total", help, &self.append_failures);
        let help = "Time of commits to the journal";
        to.histogram("sprited_journal_commit_duration_seconds", help, commits);
        let help = "1 while the journal takes events, 0 while it cannot be written or is full";
        to.gauge("sprited_journal_writable", help, &self.journal_writable);
        let help = "Events in the journal by state over all sinks";
        to.gauge("sprited_journal_events", help, &self.journal_events);
        let help = "Size of the journal: what is in use of the database, and its write-ahead log";
        to.gauge("sprited_journal_size_bytes", help, &self.journal_size);
        let help = "The most that the journal may take: journal.max_size";
        to.gauge("sprited_journal_max_size_bytes", help, &self.journal_max_size);
        let help = "Age of the oldest event that the cloud did not take back and still keeps: it \
                    forgets an event after four days; 0 if there is none";
        to.gauge("sprited_oldest_unconfirmed_age_seconds", help, &self.oldest_unconfirmed_seconds);

        let help = "Events in the journal by sink and state there";
        to.gauge("sprited_sink_events", help, &self.sink_events);
        let help = "Age of the oldest event pending for the sink; 0 if there is none";
        let ages = &self.sink_oldest_pending_seconds;
        to.gauge("sprited_sink_oldest_pending_age_seconds", help, ages);
        to.gauge("sprited_sink_up", "1 while the sink is up, 0 while it is down", &self.sink_up);
        let help = "Events in memory for the sink: they wait, are under way, or their verdict is \
                    being written";
        to.gauge("sprited_sink_in_flight_events", help, &self.sink_in_flight);
        to.counter("sprited_deliveries_total", "Verdicts of sinks", &self.deliveries);
        let help = "Time of a delivery to a sink, whatever came of it";
        to.histogram("sprited_delivery_duration_seconds", help, &self.delivery_seconds);
        let help = "Time from the first pull of an event to its delivery";
        to.histogram("sprited_delivery_lag_seconds", help, &self.delivery_lag_seconds);

        to.counter("sprited_confirms_total", "ConfirmEvents calls", &self.confirms);
        let help = "What was left of a handle's time when it was confirmed";
        to.histogram("sprited_confirm_margin_seconds", help, &self.confirm_margin_seconds);
        to.counter("sprited_handles_total", "Handles by what became of them", &self.handles);
        let help = "Handles confirmed on the journal's word, their events being pending";
        to.counter("sprited_confirmed_early_total", help, &self.confirmed_early);

        let help = "How far the cloud's clock is ahead of this machine's, by its last answer";
        to.gauge("sprited_clock_offset_seconds", help, &self.clock_offset_seconds);
        let help = "When the credentials in use expire, since 1970; absent if they do not";
        to.gauge("sprited_credentials_expiry_timestamp_seconds", help, &self.credentials_expiry);
        to.counter("sprited_reloads_total", "Reloads (SIGHUP)", &self.reloads);
    }

    /// All that there is, in the order of [`Metrics::encode`].
    #[must_use]
    pub fn entries(&self) -> &[MetricEntry] {
        self.catalog.entries()
    }

    /// All metrics in Prometheus' text format. Reads the process's figures from `/proc`.
    #[must_use]
    pub fn encode(&self) -> String {
        self.process.read();
        self.catalog.encode()
    }
}
