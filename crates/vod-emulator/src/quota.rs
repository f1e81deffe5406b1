//! How many requests an action may get.
//!
//! Owns the count of the last second. Pure: the time is passed in.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::action::ApiAction;
use super::settings::ThrottleBursts;

/// Requests a second for DescribeEventsState; the other actions have the configured rate.
const MAX_STATE_RATE: usize = 20;

/// Lets at most so many requests of each action through in any span of one second, the strictest
/// reading of a rate. Refused requests do not count.
#[derive(Debug)]
pub(super) struct Quota {
    rate: Option<usize>,
    bursts: Option<(DateTime<Utc>, ThrottleBursts)>,
    taken: HashMap<ApiAction, VecDeque<DateTime<Utc>>>,
}

impl Quota {
    /// A quota of `rate` requests a second for each action; `None` lets everything through, but
    /// in `bursts`, which are counted from `start`.
    pub(super) fn new(
        rate: Option<u32>,
        bursts: Option<ThrottleBursts>,
        start: DateTime<Utc>,
    ) -> Self {
        let rate = rate.map(|rate| usize::try_from(rate).unwrap_or(usize::MAX));
        Self { rate, bursts: bursts.map(|bursts| (start, bursts)), taken: HashMap::new() }
    }

    /// Whether a request of `action` at `now` is let through; if so, it counts.
    pub(super) fn admit(&mut self, action: ApiAction, now: DateTime<Utc>) -> bool {
        if self.is_in_burst(now) {
            return false;
        }
        let Some(rate) = self.rate else { return true };
        let rate =
            if action == ApiAction::DescribeEventsState { rate.min(MAX_STATE_RATE) } else { rate };
        let taken = self.taken.entry(action).or_default();
        while taken.front().is_some_and(|at| *at + TimeDelta::seconds(1) <= now) {
            taken.pop_front();
        }
        let admitted = taken.len() < rate;
        if admitted {
            taken.push_back(now);
        }
        admitted
    }

    fn is_in_burst(&self, now: DateTime<Utc>) -> bool {
        self.bursts.is_some_and(|(start, ThrottleBursts { length, every })| {
            let since = (now - start).to_std().unwrap_or_default();
            let into = since.as_nanos() % every.as_nanos().max(1);
            into >= (every - length).as_nanos()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_735_689_600_000 + millis).unwrap()
    }

    #[test]
    fn no_second_holds_more_than_the_rate() {
        let mut quota = Quota::new(Some(100), None, at(0));
        let burst = (0..150).filter(|_| quota.admit(ApiAction::PullEvents, at(900))).count();
        assert_eq!(burst, 100);
        assert!(!quota.admit(ApiAction::PullEvents, at(1_899)));
        assert!(quota.admit(ApiAction::PullEvents, at(1_900)));
    }

    #[test]
    fn each_action_has_its_own_and_the_state_a_smaller_one() {
        let mut quota = Quota::new(Some(100), None, at(0));
        while quota.admit(ApiAction::PullEvents, at(0)) {}
        let confirms = (0..150).filter(|_| quota.admit(ApiAction::ConfirmEvents, at(0))).count();
        let states =
            (0..150).filter(|_| quota.admit(ApiAction::DescribeEventsState, at(0))).count();
        assert_eq!((confirms, states), (100, 20));
    }

    #[test]
    fn a_burst_at_the_end_of_each_span_refuses_all() {
        let (length, every) = (Duration::from_secs(2), Duration::from_secs(20));
        let mut quota = Quota::new(None, Some(ThrottleBursts { length, every }), at(0));
        for (millis, admitted) in [
            (0, true),
            (17_999, true),
            (18_000, false),
            (19_999, false),
            (20_000, true),
            (38_000, false),
        ] {
            assert_eq!(quota.admit(ApiAction::PullEvents, at(millis)), admitted, "{millis}");
        }
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut quota = Quota::new(None, None, at(0));
        assert!((0..10_000).all(|_| quota.admit(ApiAction::PullEvents, at(0))));
    }
}
