//! The metrics that are read off the journal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::health::{DaemonState, Mood};
use crate::journal::{EventState, Overview, SinkOverview, StateCounts};
use crate::metrics::{ByCheck, BySink, BySinkAndState, ByState, Metrics, set_known};

/// Sets them; without a journal none of them is exported.
pub(super) fn set(metrics: &Metrics, journal: Option<&Overview>, now: DateTime<Utc>) {
    // Sinks that the journal forgot, and what cannot be read, are not exported any more.
    metrics.sink_events.clear();
    metrics.sink_oldest_pending_seconds.clear();
    metrics.sink_paused_seconds.clear();
    metrics.journal_events.clear();
    set_known(&metrics.journal_size, journal.map(|journal| int(journal.size.as_u64())));
    let unconfirmed = journal.map(|journal| seconds(journal.oldest_unconfirmed, now));
    set_known(&metrics.oldest_unconfirmed_seconds, unconfirmed);
    let paused = journal.map(|journal| seconds(journal.pulling_paused, now));
    set_known(&metrics.pulling_paused_seconds, paused);
    let Some(journal) = journal else { return };
    let unrouted = (EventState::Unrouted, journal.unrouted);
    for (state, count) in by_state(&journal.events).into_iter().chain([unrouted]) {
        let labels = ByState { state: state.as_str() };
        metrics.journal_events.get_or_create(&labels).set(int(count));
    }
    for SinkOverview { sink, events, oldest_pending, paused, .. } in &journal.sinks {
        for (state, count) in by_state(events) {
            let labels = BySinkAndState { sink: sink.name.clone(), state: state.as_str() };
            metrics.sink_events.get_or_create(&labels).set(int(count));
        }
        let labels = BySink { sink: sink.name.clone() };
        let age = seconds(*oldest_pending, now);
        metrics.sink_oldest_pending_seconds.get_or_create(&labels).set(age);
        if sink.active {
            let age = seconds(*paused, now);
            metrics.sink_paused_seconds.get_or_create(&labels).set(age);
        }
    }
}

/// Sets what the state of the daemon is told by.
pub(super) fn set_state(metrics: &Metrics, state: &DaemonState) {
    metrics.ready.set(i64::from(state.ready));
    for mood in Mood::ALL {
        let labels = ByState { state: mood.name() };
        metrics.state.get_or_create(&labels).set(i64::from(mood == state.mood));
    }
    let mut failed = BTreeMap::new();
    for check in &state.checks {
        *failed.entry(check.name).or_insert(0) += i64::from(!check.ok || check.degraded);
    }
    for (check, count) in failed {
        metrics.failed_checks.get_or_create(&ByCheck { check }).set(count);
    }
}

fn by_state(events: &StateCounts) -> [(EventState, u64); 3] {
    let StateCounts { pending, delivered, dead } = *events;
    [(EventState::Pending, pending), (EventState::Delivered, delivered), (EventState::Dead, dead)]
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The age of what there is; 0 if there is nothing.
fn seconds(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    let age = since.and_then(|since| (now - since).to_std().ok());
    age.unwrap_or_default().as_secs_f64()
}
