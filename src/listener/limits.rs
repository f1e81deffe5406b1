//! What a listener allows its clients.

use std::time::Duration;

/// The limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once, beside those that are being closed for another.
    pub connections: usize,
    /// Of them, those that are being answered at once, but for `unlimited_paths`.
    pub answers: usize,
    /// Paths whose answers are a few bytes and do not count as `answers`.
    pub unlimited_paths: &'static [&'static str],
    /// The time from the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// The time for the first request, and the next one, to begin.
    pub idle_timeout: Duration,
    /// The time of an answer, from its request to its last byte.
    pub answer_timeout: Duration,
    /// The age from which on an answer is the last one of its connection; `None` where it never is.
    pub max_age: Option<Duration>,
    /// How long a request may still begin after the stop, over a connection that there is: it may
    /// be on its way. Each answer from the stop on is the last of its connection.
    pub idle_grace: Duration,
    /// How long requests in progress may take after the stop.
    pub stop_grace: Duration,
    /// The largest head of a request.
    pub max_head_bytes: usize,
}
