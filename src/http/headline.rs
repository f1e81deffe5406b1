//! The status in one sentence: what matters most, first.

use super::history::HistoryPoint;
use super::status::{Headline, JournalStatus, Mood, SinkStatus};
use crate::format::{counted, foreign, number, rate, time};
use crate::health::{PullState, Readiness};

#[derive(Debug)]
pub(super) struct Facts<'s> {
    pub(super) pulling: &'s PullState,
    pub(super) readiness: &'s Readiness,
    pub(super) journal: Option<&'s JournalStatus>,
    pub(super) journal_error: Option<&'s str>,
    pub(super) sinks: &'s [SinkStatus],
    /// The last half minute.
    pub(super) flow: Option<HistoryPoint>,
    pub(super) last_event_seconds: Option<f64>,
}

impl Facts<'_> {
    pub(super) fn headline(&self) -> Headline {
        let (mood, sentence) = self
            .not_pulling()
            .or_else(|| self.not_ready())
            .or_else(|| self.degraded())
            .unwrap_or_else(|| (Mood::Good, self.working()));
        Headline { sentence, mood }
    }

    fn not_pulling(&self) -> Option<(Mood, String)> {
        let more = match self.pulling {
            PullState::Pulling | PullState::Off => return None,
            // In passing: the last pulls before it are recent enough.
            PullState::CloudFailed { .. } if self.readiness.ready => return None,
            PullState::CloudFailed { .. } => ". See the log; retrying.",
            PullState::Starting => ": waiting for the first answer of the cloud.",
            PullState::JournalFailed(_) => ". Pulling resumes when that is fixed.",
            PullState::Stopping => ": deliveries in flight end, and what is safe is confirmed.",
            PullState::Ending(_) => ".",
        };
        let pulls_others =
            matches!(self.pulling, PullState::CloudFailed { pulls_others: true, .. });
        let mood = if pulls_others { Mood::Degraded } else { Mood::Bad };
        Some((mood, format!("{}{more}", foreign(&self.pulling.to_string()))))
    }

    fn not_ready(&self) -> Option<(Mood, String)> {
        let failed = self.readiness.checks.iter().find(|check| !check.ok)?;
        Some((Mood::Bad, format!("Not ready: {}: {}.", failed.name, failed.detail)))
    }

    fn degraded(&self) -> Option<(Mood, String)> {
        let down: Vec<_> = self.sinks.iter().filter(|sink| sink.state == "down").collect();
        let sentence = if let Some(error) = self.journal_error {
            format!("Degraded: the journal cannot be shown: {error}.")
        } else if !down.is_empty() {
            waiting_for(&down)
        } else {
            let check = self.readiness.checks.iter().find(|check| check.degraded)?;
            format!("Degraded: {}.", check.detail)
        };
        Some((Mood::Degraded, sentence))
    }

    fn working(&self) -> String {
        let pulls = !matches!(self.pulling, PullState::Off);
        let (doing, idle) = match pulls {
            true => ("Pulling", "The queue is empty"),
            false => ("Receiving", "Waiting for events"),
        };
        let Some(journal) = self.journal else { return format!("{doing} and delivering.") };
        if journal.pending > 0 {
            let delivered = self.flow.map(|point| point.delivered_per_second);
            let delivered = delivered.filter(|rate| *rate > 0.0);
            let pace = delivered.map_or_else(String::new, |pace| format!(" at {}", rate(pace)));
            return format!("Delivering{pace}; {} pending.", counted(journal.pending, "event"));
        }
        let received = self.flow.map(|point| point.received_per_second);
        if let Some(received) = received.filter(|rate| *rate > 0.0) {
            return format!("{doing} and delivering at {}; none pending.", rate(received));
        }
        match self.last_event_seconds {
            Some(age) => {
                format!("{idle}, all events are delivered; the last one came {} ago.", time(age))
            }
            None => format!("{idle}; no event has come yet."),
        }
    }
}

fn waiting_for(down: &[&SinkStatus]) -> String {
    let names: Vec<_> = down.iter().map(|sink| sink.name.as_str()).collect();
    let pending = down.iter().map(|sink| sink.pending).sum();
    let oldest = down.iter().filter_map(|sink| sink.oldest_pending_seconds).reduce(f64::max);
    let since = oldest.map_or_else(String::new, |age| format!(", the oldest for {}", time(age)));
    let (noun, verb) = if names.len() == 1 { ("sink", "is") } else { ("sinks", "are") };
    format!(
        "Degraded: {noun} {} {verb} down; {} in the journal{since}; none is lost.",
        names.join(", "),
        if pending == 1 {
            "1 event waits".to_owned()
        } else {
            format!("{} events wait", number(pending))
        },
    )
}
