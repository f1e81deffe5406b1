//! How many requests an action may get.
//!
//! Owns the count of the last second. Pure: the time is passed in.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::Action;

/// Requests a second for DescribeEventsState; the other actions have the configured rate.
const STATE_RATE: usize = 20;

/// Lets at most so many requests of each action through in any span of one second, the strictest
/// reading of a rate. Refused requests do not count.
#[derive(Debug)]
pub(super) struct Quota {
    rate: Option<usize>,
    taken: HashMap<Action, VecDeque<DateTime<Utc>>>,
}

impl Quota {
    /// A quota of `rate` requests a second for each action; `None` lets everything through.
    pub(super) fn new(rate: Option<u32>) -> Self {
        let rate = rate.map(|rate| usize::try_from(rate).unwrap_or(usize::MAX));
        Self { rate, taken: HashMap::new() }
    }

    /// Whether a request of `action` at `now` is let through; if so, it counts.
    pub(super) fn admit(&mut self, action: Action, now: DateTime<Utc>) -> bool {
        let Some(rate) = self.rate else { return true };
        let rate = if action == Action::DescribeEventsState { rate.min(STATE_RATE) } else { rate };
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_735_689_600_000 + millis).unwrap()
    }

    #[test]
    fn no_second_holds_more_than_the_rate() {
        let mut quota = Quota::new(Some(100));
        let burst = (0..150).filter(|_| quota.admit(Action::PullEvents, at(900))).count();
        assert_eq!(burst, 100);
        assert!(!quota.admit(Action::PullEvents, at(1_899)));
        assert!(quota.admit(Action::PullEvents, at(1_900)));
    }

    #[test]
    fn each_action_has_its_own_and_the_state_a_smaller_one() {
        let mut quota = Quota::new(Some(100));
        while quota.admit(Action::PullEvents, at(0)) {}
        let confirms = (0..150).filter(|_| quota.admit(Action::ConfirmEvents, at(0))).count();
        let states = (0..150).filter(|_| quota.admit(Action::DescribeEventsState, at(0))).count();
        assert_eq!((confirms, states), (100, 20));
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut quota = Quota::new(None);
        assert!((0..10_000).all(|_| quota.admit(Action::PullEvents, at(0))));
    }
}
