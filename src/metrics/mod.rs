//! Every metric, declared in one place: a field of [`Metrics`] and a line of [`Metrics::new`],
//! which gives it its name, help and registration.
//!
//! No label comes from an event's content but its type, and of those only the known ones.

mod catalog;
mod labels;
mod process;
mod values;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use catalog::Catalog;
use process::Process;

pub use catalog::MetricEntry;
pub use labels::{
    ByApp, ByBuild, ByCheck, ByCode, ByOutcome, ByReason, BySink, BySinkAndOutcome, BySinkAndState,
    ByState, ByTypeOutcomeAndOrigin, Unlabelled,
};
pub use values::{FloatGauge, OptionalGauge, Times, set_known};

/// The metrics of a daemon. Clones share their values. What each one is stands in [`Metrics::new`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is described where it is declared, in Metrics::new")]
pub struct Metrics {
    catalog: Arc<Catalog>,
    process: Process,
    /// Read off the daemon's state at each scrape, as the two below it.
    pub ready: Gauge,
    /// 1 for the one that it is in.
    pub state: Family<ByState, Gauge>,
    pub failed_checks: Family<ByCheck, Gauge>,
    /// By outcome: `events`, `empty`, `throttled`, `failed`.
    pub pulls: Family<ByOutcome, Counter>,
    pub pull_seconds: Family<ByOutcome, Times>,
    pub pull_concurrency: Gauge,
    pub pull_rate: FloatGauge,
    pub pull_max_rate: FloatGauge,
    pub circulating_events: Gauge,
    /// 1 while it is.
    pub pulling_paused: Gauge,
    pub pulling_paused_seconds: OptionalGauge<FloatGauge>,
    pub last_successful_pull: Family<ByApp, Gauge>,
    /// By type and outcome: `new`, `duplicate`.
    pub events: Family<ByTypeOutcomeAndOrigin, Counter>,
    pub events_without_handle: Counter,
    pub possible_duplicates: Counter,
    /// By outcome: `new`, `duplicate`, `refused`.
    pub received: Family<ByOutcome, Counter>,
    pub received_refused: Family<ByReason, Counter>,
    pub received_unverified: Counter,
    pub received_lost: Counter,
    pub received_unstored: Counter,
    pub receive_seconds: Times,
    pub last_received: Family<ByApp, Gauge>,
    pub cloud_backlog: Family<ByApp, Gauge>,
    pub events_reported: Family<ByApp, Gauge>,
    /// By outcome: `known`, `added`, `unwanted`, `silent`, `aborted`, `gone`.
    pub reconciled_tasks: Family<ByOutcome, Counter>,
    /// Runs.
    pub reconcile_failures: Counter,
    /// Of each application, while it is on.
    pub last_reconciled: Family<ByApp, Gauge>,
    /// None while it is off.
    pub reconcile_interval: OptionalGauge<FloatGauge>,
    /// Of each application.
    pub reconcile_skipped: Family<ByApp, Counter>,
    /// Pulling stops until one succeeds.
    pub append_failures: Counter,
    pub commit_seconds: Times,
    /// Read off the journal's health at each scrape.
    pub journal_writable: Gauge,
    pub journal_events: Family<ByState, Gauge>,
    pub journal_size: OptionalGauge<Gauge>,
    pub journal_max_size: Gauge,
    pub oldest_unconfirmed_seconds: OptionalGauge<FloatGauge>,
    pub sink_events: Family<BySinkAndState, Gauge>,
    pub sink_oldest_pending_seconds: Family<BySink, FloatGauge>,
    /// Set by the sink's delivery loop.
    pub sink_up: Family<BySink, Gauge>,
    /// Set by the sink's delivery loop.
    pub sink_paused: Family<BySink, Gauge>,
    pub sink_paused_seconds: Family<BySink, FloatGauge>,
    pub sink_in_flight: Family<BySink, Gauge>,
    /// Set by the sink's delivery loop.
    pub sink_sources_down: Family<BySink, Gauge>,
    /// By outcome: `delivered`, `retry`, `dead`, `recovered`.
    pub deliveries: Family<BySinkAndOutcome, Counter>,
    pub delivery_seconds: Family<BySink, Times>,
    pub delivery_lag_seconds: Family<BySink, Times>,
    /// Of sprites that a mirror has.
    pub mirror_findings: Family<ByCode, Counter>,
    /// By outcome: `ok`, `refused`, `failed`.
    pub confirms: Family<ByOutcome, Counter>,
    pub confirm_margin_seconds: Times,
    /// By outcome: `confirmed`, `expired`, `refused`, `superseded`.
    pub handles: Family<ByOutcome, Counter>,
    pub confirmed_early: Counter,
    /// Positive where the cloud's clock is ahead.
    pub clock_offset_seconds: Gauge,
    pub credentials_expiry: OptionalGauge<Gauge>,
    /// By outcome: `ok`, `failed`.
    pub reloads: Family<ByOutcome, Counter>,
}

const PULL: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 6.0, 10.0, 15.0];
const RECEIVE: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
const DELIVERY: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
const LAG: [f64; 12] =
    [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];
const MARGIN: [f64; 9] = [0.1, 1.0, 3.0, 5.0, 10.0, 15.0, 20.0, 25.0, 28.0];

impl Metrics {
    /// Returns metrics at zero, each declared with its name and help in the order of the export;
    /// `commits` is the journal's own.
    #[must_use]
    pub fn new(commits: &Times) -> Self {
        let mut all = Catalog::default();
        let build: Family<ByBuild, Gauge> = all.gauge("sprited_build_info", "Build; always 1");
        let this = ByBuild { version: env!("CARGO_PKG_VERSION"), commit: env!("SPRITED_COMMIT") };
        build.get_or_create(&this).set(1);
        let metrics = Self {
            ready: all.gauge("sprited_ready", "1 if the daemon is ready: `/readyz` succeeds"),
            state: all.gauge("sprited_state", "1 for the state that the daemon is in"),
            failed_checks: all.gauge(
                "sprited_failed_checks",
                "Checks of the daemon's state that are degraded or not ready",
            ),
            pulls: all.counter("sprited_pulls_total", "PullEvents calls"),
            pull_seconds: all.histogram(
                "sprited_pull_duration_seconds",
                "Duration of PullEvents calls; an empty one takes up to 5 s",
                Family::new_with_constructor(|| Times::new(PULL)),
            ),
            pull_concurrency: all.gauge(
                "sprited_pull_concurrency",
                "Current limit of concurrent PullEvents calls",
            ),
            pull_rate: all
                .gauge("sprited_pull_rate", "Current limit of PullEvents calls per second"),
            pull_max_rate: all.gauge(
                "sprited_pull_max_rate",
                "Maximum PullEvents calls per second: poll.max_requests_per_second",
            ),
            circulating_events: all.gauge(
                "sprited_circulating_events",
                "Pending events received again within the last lease",
            ),
            pulling_paused: all
                .gauge("sprited_pulling_paused", "1 while pulling is paused by hand, else 0"),
            pulling_paused_seconds: all.gauge(
                "sprited_pulling_paused_age_seconds",
                "Time since pulling was paused by hand; 0 if it is not",
            ),
            last_successful_pull: all.gauge(
                "sprited_last_successful_pull_timestamp_seconds",
                "Unix time of the last successful pull, empty ones included; 0 before the first",
            ),
            events: all
                .counter("sprited_events_total", "Events received; unknown types count as other"),
            events_without_handle: all.counter(
                "sprited_events_without_handle_total",
                "Events pulled without a handle, which cannot be confirmed",
            ),
            possible_duplicates: all.counter(
                "sprited_possible_duplicates_total",
                "Events stored as new while no answer acknowledged the confirmation of an equal one",
            ),
            received: all
                .counter("sprited_received_total", "Events posted to the receiver, by outcome"),
            received_refused: all.counter(
                "sprited_received_refused_total",
                "Requests that the receiver refused, by reason",
            ),
            received_unverified: all.counter(
                "sprited_received_unverified_total",
                "Posted events stored though their signature does not hold: receive.verify is log",
            ),
            received_lost: all.counter(
                "sprited_received_lost_total",
                "Posted events of a known type that were refused for their signature; the cloud may \
                 not post them again",
            ),
            received_unstored: all.counter(
                "sprited_received_unstored_total",
                "Posts answered with 503 because the event could not be stored within 8 s",
            ),
            receive_seconds: all.histogram(
                "sprited_receive_seconds",
                "Time from a posted event's request to its commit",
                Times::new(RECEIVE),
            ),
            last_received: all.gauge(
                "sprited_last_received_timestamp_seconds",
                "Unix time of the last posted event that was stored; absent before the first",
            ),
            cloud_backlog: all.gauge(
                "sprited_cloud_backlog_events",
                "Events waiting in the cloud, by its own count of up to three minutes ago; absent \
                 without permission to ask for it",
            ),
            events_reported: all.gauge(
                "sprited_events_reported",
                "1 if the application keeps the events that sinks name to be pulled, 0 if its \
                 configuration says otherwise; absent if unknown",
            ),
            reconciled_tasks: all.counter(
                "sprited_reconcile_tasks_total",
                "Finished tasks compared with the journal by reconciliation",
            ),
            reconcile_failures: all
                .counter("sprited_reconcile_failures_total", "Failed runs of reconciliation"),
            last_reconciled: all.gauge(
                "sprited_reconcile_last_timestamp_seconds",
                "Unix time of the last completed run of reconciliation; absent while it is off",
            ),
            reconcile_interval: all.gauge(
                "sprited_reconcile_interval_seconds",
                "Time between two runs of reconciliation: reconcile.every; absent while it is off",
            ),
            reconcile_skipped: all.counter(
                "sprited_reconcile_skipped_seconds_total",
                "Time whose finished tasks no run of reconciliation looked at: beyond its reach",
            ),
            append_failures: all
                .counter("sprited_append_failures_total", "Failed appends to the journal"),
            commit_seconds: all.histogram(
                "sprited_journal_commit_duration_seconds",
                "Duration of journal commits",
                commits.clone(),
            ),
            journal_writable: all.gauge(
                "sprited_journal_writable",
                "1 if the journal accepts events, 0 if it is full or cannot be written",
            ),
            journal_events: all
                .gauge("sprited_journal_events", "Events in the journal by state, over all sinks"),
            journal_size: all.gauge(
                "sprited_journal_size_bytes",
                "Size of the journal: database pages in use and write-ahead log",
            ),
            journal_max_size: all.gauge(
                "sprited_journal_max_size_bytes",
                "Maximum size of the journal: journal.max_size",
            ),
            oldest_unconfirmed_seconds: all.gauge(
                "sprited_oldest_unconfirmed_age_seconds",
                "Age of the oldest unconfirmed event that the cloud still keeps, for four days at \
                 most; 0 if there is none",
            ),
            sink_events: all
                .gauge("sprited_sink_events", "Events in the journal by sink and state there"),
            sink_oldest_pending_seconds: all.gauge(
                "sprited_sink_oldest_pending_age_seconds",
                "Age of the oldest event pending for the sink; 0 if there is none",
            ),
            sink_up: all.gauge("sprited_sink_up", "1 if the sink is up or paused, 0 if it is down"),
            sink_paused: all
                .gauge("sprited_sink_paused", "1 while the sink is paused by hand, else 0"),
            sink_paused_seconds: all.gauge(
                "sprited_sink_paused_age_seconds",
                "Time since the sink was paused by hand; 0 if it is not",
            ),
            sink_in_flight: all.gauge(
                "sprited_sink_in_flight_events",
                "Events in memory for the sink: waiting, in delivery, or being recorded",
            ),
            sink_sources_down: all.gauge(
                "sprited_sink_sources_down",
                "Hosts that the sink cannot get anything from; its events of others go on",
            ),
            deliveries: all.counter("sprited_deliveries_total", "Delivery verdicts of sinks"),
            delivery_seconds: all.histogram(
                "sprited_delivery_duration_seconds",
                "Duration of deliveries, whatever their outcome",
                Family::new_with_constructor(|| Times::new(DELIVERY)),
            ),
            delivery_lag_seconds: all.histogram(
                "sprited_delivery_lag_seconds",
                "Time from the first pull of an event to its delivery; redelivered events do not count",
                Family::new_with_constructor(|| Times::new(LAG)),
            ),
            mirror_findings: all.counter(
                "sprited_mirror_findings_total",
                "Things that are wrong with mirrored sprites, though they can be used",
            ),
            confirms: all.counter("sprited_confirms_total", "ConfirmEvents calls"),
            confirm_margin_seconds: all.histogram(
                "sprited_confirm_margin_seconds",
                "Time left of a handle at its confirmation",
                Times::new(MARGIN),
            ),
            handles: all.counter("sprited_handles_total", "Handles by outcome"),
            confirmed_early: all.counter(
                "sprited_confirmed_early_total",
                "Handles confirmed while their event was pending",
            ),
            clock_offset_seconds: all.gauge(
                "sprited_clock_offset_seconds",
                "Offset of the cloud's clock from the local one, by its last answer",
            ),
            credentials_expiry: all.gauge(
                "sprited_credentials_expiry_timestamp_seconds",
                "Unix time at which the credentials in use expire; absent if they do not",
            ),
            reloads: all.counter("sprited_reloads_total", "Reloads (`sprited reload`, SIGHUP)"),
            process: Process::new(&mut all),
            catalog: Arc::default(),
        };
        metrics.begin_at_zero();
        Self { catalog: Arc::new(all), ..metrics }
    }

    /// Creates the series of known outcomes: a counter that first appears with its first count
    /// shows no increase, and an alert on that would miss it.
    fn begin_at_zero(&self) {
        let begin = |family: &Family<ByOutcome, Counter>, outcomes: &[&'static str]| {
            for outcome in outcomes {
                drop(family.get_or_create(&ByOutcome { outcome }));
            }
        };
        begin(&self.pulls, &["events", "empty", "throttled", "failed"]);
        begin(&self.received, &["new", "duplicate", "refused"]);
        begin(&self.confirms, &["ok", "refused", "failed"]);
        begin(&self.handles, &["confirmed", "expired", "refused", "superseded"]);
        begin(&self.reconciled_tasks, &["known", "added", "unwanted", "silent", "aborted", "gone"]);
        begin(&self.reloads, &["ok", "failed"]);
    }

    /// Removes the series of a sink that is gone, but for what the journal keeps for it. Should it
    /// come back, its counters begin at zero, as after a restart.
    pub fn forget_sink(&self, name: &str) {
        let sink = BySink { sink: name.to_owned() };
        self.sink_up.remove(&sink);
        self.sink_paused.remove(&sink);
        self.sink_in_flight.remove(&sink);
        self.sink_sources_down.remove(&sink);
        self.delivery_seconds.remove(&sink);
        self.delivery_lag_seconds.remove(&sink);
        for outcome in ["delivered", "retry", "dead", "recovered"] {
            self.deliveries.remove(&BySinkAndOutcome { sink: name.to_owned(), outcome });
        }
    }

    /// Returns what is exported, in the order of [`Metrics::encode`].
    pub fn entries(&self) -> &[MetricEntry] {
        self.catalog.entries()
    }

    /// Returns all metrics in Prometheus' text format. Reads the process's figures from `/proc`.
    pub fn encode(&self) -> String {
        self.process.read();
        self.catalog.encode()
    }
}
