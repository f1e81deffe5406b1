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
    /// The time for a request's head, and for the next request to begin.
    pub head_timeout: Duration,
    /// The time of an answer, from its request to its last byte.
    pub answer_timeout: Duration,
    /// The age at which a connection ends with the answer in progress.
    pub max_age: Duration,
    /// The largest head of a request.
    pub max_head_bytes: usize,
}
