//! Which span of time a run looks at. Pure: the time is passed in. All times are the cloud's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::settings::{MAX_REACH, ReconcileSettings};

/// How far a window reaches into the one before it, at least: the cloud may list a task a while
/// after it finished.
const MIN_OVERLAP: Duration = Duration::from_secs(600);

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
    /// When a daemon first had the application and the journal, or its first event was stored. What
    /// finished before is another journal's.
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
        let begun = span.begun.min(now);
        // An end that is to come was set while a clock was wrong: it says nothing.
        let reconciled_until = span.reconciled_until.filter(|until| *until <= now);
        let wanted = match reconciled_until {
            Some(until) => (until - delta(settings.settle.max(MIN_OVERLAP))).max(begun),
            None => begun,
        };
        let reach = match reconciled_until {
            Some(_) => MAX_REACH,
            None => settings.lookback,
        };
        let from = wanted.max(now - delta(reach));
        let skipped = (from > wanted).then_some(Skipped { from: wanted, until: from });
        Self { from, until: settled(settings, now), skipped }.in_whole_seconds()
    }

    /// The window from `since` on, whatever the journal says; `None` if there is nothing in it.
    #[must_use]
    pub fn since(
        settings: &ReconcileSettings,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Option<Self> {
        let from = since.max(now - delta(MAX_REACH));
        Self { from, until: settled(settings, now), skipped: None }.in_whole_seconds()
    }

    /// The end up to which all was compared, if a run began at `now`, as far as is known after it;
    /// `None` if that is before the window.
    #[must_use]
    pub fn completed(
        &self,
        settings: &ReconcileSettings,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        Some(self.until.min(settled(settings, now))).filter(|until| *until > self.from)
    }

    fn in_whole_seconds(self) -> Option<Self> {
        let floor = |time: DateTime<Utc>| DateTime::from_timestamp(time.timestamp(), 0);
        let (from, until) = (floor(self.from)?, floor(self.until)?);
        (from < until).then_some(Self { from, until, ..self })
    }
}

fn settled(settings: &ReconcileSettings, now: DateTime<Utc>) -> DateTime<Utc> {
    now - delta(settings.settle)
}

fn delta(duration: Duration) -> TimeDelta {
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
    fn a_clock_that_was_ahead_hides_nothing() {
        let settings = ReconcileSettings::default();
        let ahead = now() + TimeDelta::hours(2);
        let span = JournalSpan { begun: ago("3h"), reconciled_until: Some(ahead) };
        let window = Window::next(&settings, now(), span).unwrap();
        assert_eq!(seconds(window), [-3 * 3600, -10 * 60]);
        // A journal that was made in the future begins as soon as there is something to look at.
        let span = JournalSpan { begun: ahead, reconciled_until: None };
        assert_eq!(Window::next(&settings, now(), span), None);
        // What the difference turned out to be counts for the end.
        assert_eq!(window.completed(&settings, now()), Some(window.until));
        let end = window.completed(&settings, ago("1h"));
        assert_eq!(end, Some(ago("70m")));
        assert_eq!(window.completed(&settings, ago("3h")), None);
    }

    #[test]
    fn windows_overlap_by_ten_minutes_at_least() {
        let settings = ReconcileSettings { settle: Duration::ZERO, ..ReconcileSettings::default() };
        let span = JournalSpan { begun: ago("30d"), reconciled_until: Some(ago("15m")) };
        assert_eq!(seconds(Window::next(&settings, now(), span).unwrap()), [-25 * 60, 0]);
    }

    #[test]
    fn one_that_is_asked_for_begins_there_but_not_beyond_the_reach() {
        let since = |text| Window::since(&ReconcileSettings::default(), now(), ago(text)).unwrap();
        assert_eq!(seconds(since("24h")), [-24 * 3600, -10 * 60]);
        assert_eq!(seconds(since("71h"))[0], -70 * 3600);
    }
}
