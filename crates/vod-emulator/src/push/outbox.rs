//! Which events are still to be posted, and when.
//!
//! A pure structure: it knows no clock and no network.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::outcome::{PushEnd, PushOutcome};
use super::settings::{PushRetry, PushSettings};
use crate::content::Content;

#[derive(Debug)]
struct Posting {
    url: Arc<str>,
    content: Content,
    /// How often it has been sent.
    tries: u32,
    is_answered: bool,
}

/// An event that is to be sent now.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingPush {
    pub(crate) event: u64,
    pub(crate) url: Arc<str>,
    pub(crate) content: Content,
}

/// The events that are to be posted.
#[derive(Debug)]
pub(crate) struct Outbox {
    tries: u32,
    spacing: TimeDelta,
    retry: PushRetry,
    is_repeated: bool,
    postings: HashMap<u64, Posting>,
    due: BTreeSet<(DateTime<Utc>, u64)>,
}

impl Outbox {
    pub(crate) fn new(settings: &PushSettings) -> Self {
        Self {
            tries: settings.tries,
            // Checked to be a day at most.
            spacing: TimeDelta::from_std(settings.spacing).unwrap_or_default(),
            retry: settings.retry,
            is_repeated: settings.late,
            postings: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Adds an event that is to be sent at `due`.
    pub(crate) fn add(&mut self, event: u64, due: DateTime<Utc>, url: Arc<str>, content: Content) {
        self.postings.insert(event, Posting { url, content, tries: 0, is_answered: false });
        self.due.insert((due, event));
    }

    /// Takes the event that is due first, if one is due by `now`. [`Self::ended`] has to follow.
    pub(crate) fn next(&mut self, now: DateTime<Utc>) -> Option<OutgoingPush> {
        let &(due, event) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, event));
        let posting = self.postings.get(&event)?;
        Some(OutgoingPush {
            event,
            url: Arc::clone(&posting.url),
            content: posting.content.clone(),
        })
    }

    /// When the next event is due.
    pub(crate) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Records the end of a try at `now`, and decides whether there is another one.
    pub(crate) fn ended(
        &mut self,
        event: u64,
        outcome: PushOutcome,
        now: DateTime<Utc>,
    ) -> Option<PushEnd> {
        let posting = self.postings.get_mut(&event)?;
        posting.tries += 1;
        let end = match outcome {
            _ if posting.is_answered => PushEnd::Repeated,
            PushOutcome::Answered => PushEnd::Answered,
            _ if posting.tries >= self.tries => PushEnd::Lost,
            PushOutcome::TimedOut => PushEnd::Again,
            _ if self.retry == PushRetry::Failure => PushEnd::Again,
            _ => PushEnd::Lost,
        };
        posting.is_answered |= end == PushEnd::Answered;
        if end == PushEnd::Again || end == PushEnd::Answered && self.is_repeated {
            self.due.insert((now + self.spacing, event));
        } else {
            self.postings.remove(&event);
        }
        Some(end)
    }

    /// Events that are not at their end.
    pub(crate) fn len(&self) -> usize {
        self.postings.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_004_000 + seconds, 0).unwrap()
    }

    /// What becomes of an event whose tries end so, each 5 s after it began.
    fn ends(settings: &PushSettings, outcomes: &[PushOutcome]) -> Vec<(i64, PushEnd)> {
        let mut outbox = Outbox::new(settings);
        outbox.add(1, at(0), "http://x".into(), Content::raw("{}"));
        let mut ends = Vec::new();
        for outcome in outcomes {
            let Some(due) = outbox.next_due() else { break };
            assert!(outbox.next(due - TimeDelta::milliseconds(1)).is_none());
            let push = outbox.next(due).unwrap();
            assert!(outbox.next(due).is_none(), "it is under way");
            let end = outbox.ended(push.event, *outcome, due + TimeDelta::seconds(5)).unwrap();
            ends.push(((due - at(0)).num_seconds(), end));
        }
        assert_eq!(outbox.len(), usize::from(outbox.next_due().is_some()));
        ends
    }

    #[test]
    fn by_the_documented_rule_only_a_timeout_is_followed_by_another_try() {
        use PushOutcome::{Answered, Refused, TimedOut, Unreachable};
        let settings = PushSettings::default();
        let three = [TimedOut, TimedOut, TimedOut, TimedOut];
        assert_eq!(
            ends(&settings, &three),
            [(0, PushEnd::Again), (5, PushEnd::Again), (10, PushEnd::Lost)]
        );
        assert_eq!(ends(&settings, &[Refused(503), Answered]), [(0, PushEnd::Lost)]);
        assert_eq!(ends(&settings, &[Unreachable, Answered]), [(0, PushEnd::Lost)]);
        assert_eq!(
            ends(&settings, &[TimedOut, Answered, Answered]),
            [(0, PushEnd::Again), (5, PushEnd::Answered)]
        );
    }

    #[test]
    fn by_the_rule_of_sister_products_each_failure_is_at_their_interval() {
        use PushOutcome::{Answered, Refused, TimedOut, Unreachable};
        let settings = PushSettings {
            retry: PushRetry::Failure,
            tries: 13,
            spacing: Duration::from_secs(60),
            ..PushSettings::default()
        };
        let ended = ends(&settings, &[Refused(503), Unreachable, TimedOut, Answered]);
        assert_eq!(
            ended,
            [
                (0, PushEnd::Again),
                (65, PushEnd::Again),
                (130, PushEnd::Again),
                (195, PushEnd::Answered)
            ]
        );
        let all = ends(&settings, &[Refused(500); 20]);
        assert_eq!((all.len(), all[12].1), (13, PushEnd::Lost));
    }

    #[test]
    fn a_late_repetition_is_one_whatever_comes_of_it() {
        use PushOutcome::{Answered, TimedOut};
        let settings = PushSettings { late: true, tries: 1, ..PushSettings::default() };
        for second in [Answered, TimedOut] {
            let ended = ends(&settings, &[Answered, second, Answered]);
            assert_eq!(ended, [(0, PushEnd::Answered), (5, PushEnd::Repeated)]);
        }
        assert_eq!(ends(&settings, &[TimedOut, Answered]), [(0, PushEnd::Lost)]);
    }
}
