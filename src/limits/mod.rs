//! How fast and how often: the rate of requests, how many at once, how long to wait after a
//! failure, and when to log one. Pure: the time is passed in. Knows nothing of the crate.

mod backoff;
mod concurrency;
mod outage;
mod rate;

pub use backoff::{Backoff, JOURNAL_RETRIES, MAX_RETRY_AFTER};
pub use concurrency::{NextPull, PullLimits, PullOutcome, PullScheduler};
pub(crate) use outage::log_outage;
pub use outage::{IntermittentOutage, Outage, OutageReport};
pub use rate::RateLimiter;
