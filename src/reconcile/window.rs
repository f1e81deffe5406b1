//! Which span of time a run looks at. Pure: the time is passed in.

use chrono::{DateTime, TimeDelta, Utc};

use super::settings::{MAX_REACH, ReconcileSettings};

/// A span of time: the tasks that finished from `from` on and before `until`, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The beginning.
    pub from: DateTime<Utc>,
    /// The end.
    pub until: DateTime<Utc>,
    /// The time before `from` that no run has looked at and none will.
    pub skipped: Option<Skipped>,
}

/// A span of time that no run looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The beginning.
    pub from: DateTime<Utc>,
    /// The end.
    pub until: DateTime<Utc>,
}

/// What the journal says of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSpan {
    /// When it was made, or its first event was stored. What finished before is another journal's.
    pub begun: DateTime<Utc>,
    /// The end of the last window that was completed.
    pub reconciled_until: Option<DateTime<Utc>>,
}

impl Window {
    /// The window of a run at `now`; `None` if there is nothing to look at yet.
    #[must_use]
    pub fn next(
        settings: &ReconcileSettings,
        now: DateTime<Utc>,
        span: JournalSpan,
    ) -> Option<Self> {
        let settle = delta(settings.settle);
        let wanted = match span.reconciled_until {
            Some(until) => (until - settle).max(span.begun),
            None => span.begun,
        };
        let reach = match span.reconciled_until {
            Some(_) => MAX_REACH,
            None => settings.lookback,
        };
        let from = wanted.max(now - delta(reach));
        let skipped = (from > wanted).then_some(Skipped { from: wanted, until: from });
        Self { from, until: now - settle, skipped }.in_whole_seconds()
    }

    /// The window from `since` on, whatever the journal says; `None` if there is nothing in it.
    #[must_use]
    pub fn since(
        settings: &ReconcileSettings,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Option<Self> {
        let from = since.max(now - delta(MAX_REACH));
        Self { from, until: now - delta(settings.settle), skipped: None }.in_whole_seconds()
    }

    fn in_whole_seconds(self) -> Option<Self> {
        let floor = |time: DateTime<Utc>| DateTime::from_timestamp(time.timestamp(), 0);
        let (from, until) = (floor(self.from)?, floor(self.until)?);
        (from < until).then_some(Self { from, until, ..self })
    }
}

fn delta(duration: std::time::Duration) -> TimeDelta {
    // No setting is so long.
    TimeDelta::from_std(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-12-01T00:00:00.7Z".parse().unwrap()
    }

    fn ago(text: &str) -> DateTime<Utc> {
        now() - delta(humantime::parse_duration(text).unwrap())
    }

    fn next(begun: &str, until: Option<&str>) -> Option<Window> {
        let span = JournalSpan { begun: ago(begun), reconciled_until: until.map(ago) };
        Window::next(&ReconcileSettings::default(), now(), span)
    }

    fn seconds(window: Window) -> [i64; 2] {
        [window.from, window.until].map(|time| time.timestamp() - now().timestamp())
    }

    #[test]
    fn it_begins_where_the_last_one_ended_less_the_time_to_settle() {
        let window = next("30d", Some("25m")).unwrap();
        assert_eq!(seconds(window), [-35 * 60, -10 * 60]);
        assert_eq!(window.skipped, None);
        // After a weekend, all of it.
        assert_eq!(seconds(next("30d", Some("64h")).unwrap())[0], -(64 * 60 + 10) * 60);
    }

    #[test]
    fn the_first_one_looks_back_for_a_while_and_never_before_the_journal() {
        let window = next("30d", None).unwrap();
        assert_eq!(seconds(window), [-6 * 3600, -10 * 60]);
        assert_eq!(window.skipped, Some(Skipped { from: ago("30d"), until: ago("6h") }));
        let window = next("1h", None).unwrap();
        assert_eq!((seconds(window)[0], window.skipped), (-3600, None));
        // Nor does a later one.
        assert_eq!(seconds(next("15m", Some("10m")).unwrap())[0], -15 * 60);
    }

    #[test]
    fn what_is_out_of_reach_is_told() {
        let window = next("30d", Some("80h")).unwrap();
        assert_eq!(seconds(window)[0], -70 * 3600);
        let skipped = Skipped { from: ago("80h") - TimeDelta::minutes(10), until: ago("70h") };
        assert_eq!(window.skipped, Some(skipped));
        assert_eq!(next("30d", Some("69h")).unwrap().skipped, None);
    }

    #[test]
    fn what_has_not_settled_is_left_to_the_next_one() {
        assert_eq!(next("5m", None), None);
        assert_eq!(next("10m", None), None);
        assert!(next("601s", None).is_some());
    }

    #[test]
    fn two_in_a_row_leave_no_gap() {
        let settings = ReconcileSettings::default();
        let (mut span, mut at) =
            (JournalSpan { begun: ago("40h"), reconciled_until: None }, ago("30h"));
        let mut end: Option<DateTime<Utc>> = None;
        for step in [900_000, 1, 999, 61_500, 70 * 3_600_000 - 600_001] {
            at += TimeDelta::milliseconds(step);
            let window = Window::next(&settings, at, span).unwrap();
            assert!(end.is_none_or(|end| window.from <= end), "{window:?}");
            (end, span.reconciled_until) = (Some(window.until), Some(window.until));
        }
    }

    #[test]
    fn one_that_is_asked_for_begins_there_but_not_beyond_the_reach() {
        let since = |text| Window::since(&ReconcileSettings::default(), now(), ago(text)).unwrap();
        assert_eq!(seconds(since("24h")), [-24 * 3600, -10 * 60]);
        assert_eq!(seconds(since("71h"))[0], -70 * 3600);
    }
}
