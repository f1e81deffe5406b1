//! The `[poll]` table.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// The most of `max_concurrency`.
const MAX_MAX_CONCURRENCY: u32 = 256;
/// The most of `max_requests_per_second`.
const MAX_RATE: u32 = 1000;

/// The `[poll]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PollSettings {
    /// Least time between the starts of two pulls that found nothing; zero is allowed, since
    /// the server holds such a pull itself.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    pub interval: Duration,
    /// Pulls in flight at most, and confirms in flight, for each application; 1 to 256. The limit
    /// is reached with as many as the requests a second times the round trip in seconds.
    #[schemars(range(min = 1, max = MAX_MAX_CONCURRENCY))]
    pub max_concurrency: u32,
    /// Requests a second at most, for each of PullEvents and ConfirmEvents and of all applications
    /// together; 1 to 1000.
    #[schemars(range(min = 1, max = MAX_RATE))]
    pub max_requests_per_second: u32,
}

/// What the puller is paced by; can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollPacing {
    /// The `[poll]` table.
    pub settings: PollSettings,
    /// How long a handle is good for from the sending of its pull, its margin taken off.
    pub good_for: Duration,
    /// How long the cloud lends an event.
    pub lease: Duration,
    /// Pending events at most that are pulled again: those above are confirmed early.
    /// `None`: all of them.
    pub max_circulating: Option<usize>,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), max_concurrency: 32, max_requests_per_second: 100 }
    }
}

impl PollSettings {
    /// Returns the mistakes in the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.interval > Duration::from_secs(3600) {
            mistakes.push("interval: more than 1h would leave finished events waiting".to_owned());
        }
        if !(1..=MAX_MAX_CONCURRENCY).contains(&self.max_concurrency) {
            mistakes.push(format!(
                "max_concurrency: {} is not between 1 and {MAX_MAX_CONCURRENCY}",
                self.max_concurrency
            ));
        }
        if !(1..=MAX_RATE).contains(&self.max_requests_per_second) {
            mistakes.push(format!(
                "max_requests_per_second: {} is not between 1 and {MAX_RATE}",
                self.max_requests_per_second
            ));
        }
        mistakes
    }
}
