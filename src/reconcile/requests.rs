//! Requests at a limited rate, those that fail repeated for a while.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{Backoff, RateLimiter};
use crate::sync::lock;
use crate::vod::{Advice, VodError};

/// Tries of a request before its failure is told.
const TRIES: u32 = 5;
/// Between them.
const BETWEEN_TRIES: Backoff =
    Backoff { base: Duration::from_millis(500), max: Duration::from_secs(10) };

/// The rate of requests, which all applications share.
#[derive(Debug)]
pub struct TaskRequests(Mutex<RateLimiter>);

impl TaskRequests {
    /// At most `rate` requests a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self(Mutex::new(RateLimiter::new(rate.into(), Instant::now())))
    }

    /// Changes the rate.
    pub fn set_rate(&self, rate: u32) {
        lock(&self.0).set_max(rate.into());
    }

    /// Makes the request that `call` makes, again if it fails by something that passes.
    ///
    /// # Errors
    /// When it fails by something else, or for the fifth time.
    pub(super) async fn make<T, F>(&self, call: impl Fn() -> F) -> Result<T, VodError>
    where
        F: Future<Output = Result<T, VodError>>,
    {
        let mut failures = 0;
        loop {
            let sent = self.turn().await;
            let error = match call().await {
                Ok(answer) => {
                    lock(&self.0).accepted(sent);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            failures += 1;
            let wait = BETWEEN_TRIES.wait(failures);
            if error.advice() == Advice::Throttled {
                lock(&self.0).refused(sent, Instant::now(), wait);
            }
            let passes = match error.advice() {
                Advice::Throttled | Advice::Service | Advice::Transport => true,
                Advice::Answer => !error.is_too_large(),
                Advice::Clock
                | Advice::Credentials
                | Advice::Refused
                | Advice::InvalidParameters => false,
            };
            if !passes || failures == TRIES {
                return Err(error);
            }
            tracing::debug!(%error, failures, "request for tasks failed; repeating it");
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until a request may go; returns when it went.
    async fn turn(&self) -> Instant {
        loop {
            let at = {
                let (mut limiter, now) = (lock(&self.0), Instant::now());
                let at = limiter.ready_at();
                if at <= now {
                    limiter.take(now);
                    return now;
                }
                at
            };
            tokio::time::sleep_until(at).await;
        }
    }
}
