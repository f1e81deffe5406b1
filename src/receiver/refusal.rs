//! What is refused, and what is said of it: to the client a status, to the log a line a minute.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::time::Instant;

use crate::sync::lock;

/// The time between two log lines of one reason.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Task ids that one line names at most.
const MAX_TASKS: usize = 50;
/// What a client is asked to wait for before it comes again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReceiveRefusal {
    /// Wrong token or application, or no path of the receiver.
    Path,
    Method,
    /// Compressed.
    Encoding,
    Size,
    Slow,
    /// The connection ended in the body, or it is malformed.
    Aborted,
    /// The connection was closed in the body, for another one.
    Evicted,
    Json,
    Signature,
    Expired,
    /// The journal did not take it in time, or too much is in hand.
    Unstored,
}

impl ReceiveRefusal {
    /// Of a body that was cut off: for another connection, or by its own.
    pub(super) fn of_cut(is_evicted: bool) -> Self {
        if is_evicted { Self::Evicted } else { Self::Aborted }
    }

    /// All that count as refused, and not as unstored.
    pub(super) const COUNTED: [Self; 10] = [
        Self::Path,
        Self::Method,
        Self::Encoding,
        Self::Size,
        Self::Slow,
        Self::Aborted,
        Self::Evicted,
        Self::Json,
        Self::Signature,
        Self::Expired,
    ];

    /// Its name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::Encoding => "encoding",
            Self::Size => "size",
            Self::Slow => "slow",
            Self::Aborted => "aborted",
            Self::Evicted => "evicted",
            Self::Json => "json",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Unstored => "unstored",
        }
    }

    /// Its answer, whose body is empty.
    pub(super) fn answer(self) -> Response {
        let status = match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Size => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            // Of one that is evicted nobody gets it.
            Self::Aborted | Self::Evicted | Self::Json => StatusCode::BAD_REQUEST,
            Self::Signature | Self::Expired => StatusCode::FORBIDDEN,
            Self::Unstored => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // Answers without a body pile up for a client that sends on and reads none of them.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self {
            Self::Method => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
            Self::Unstored => headers.insert(header::RETRY_AFTER, RETRY_AFTER),
            _ => None,
        };
        response
    }
}

/// A request that is refused, or taken though it should not be: all that may be said of it.
#[derive(Debug)]
pub(super) struct RefusedRequest<'a> {
    pub(super) refusal: ReceiveRefusal,
    pub(super) peer: SocketAddr,
    pub(super) bytes: usize,
    /// Of an event that is the cloud's by its form.
    pub(super) task: Option<&'a str>,
    /// Whether it is taken all the same.
    pub(super) is_taken: bool,
}

/// Logs the first of a reason, and then each minute how many more there were.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<BTreeMap<(ReceiveRefusal, bool), Unlogged>>);

#[derive(Debug)]
struct Unlogged {
    logged: Instant,
    requests: u64,
    /// The last one.
    peer: SocketAddr,
    bytes: usize,
    tasks: Vec<String>,
}

impl RefusalLog {
    /// Records a request, and logs it if none of its reason was logged within the last minute.
    pub(super) fn record(&self, request: &RefusedRequest<'_>, now: Instant) {
        let RefusedRequest { refusal, peer, bytes, task, is_taken } = *request;
        let mut all = lock(&self.0);
        let place = all.entry((refusal, is_taken));
        let is_first = matches!(place, Entry::Vacant(_));
        let unlogged = place.or_insert_with(|| Unlogged {
            logged: now,
            requests: 0,
            peer,
            bytes,
            tasks: Vec::new(),
        });
        unlogged.requests += 1;
        (unlogged.peer, unlogged.bytes) = (peer, bytes);
        if let Some(task) = task.filter(|_| unlogged.tasks.len() < MAX_TASKS) {
            unlogged.tasks.push(task.to_owned());
        }
        if is_first || now.duration_since(unlogged.logged) >= LOG_INTERVAL {
            unlogged.log(refusal, is_taken, now);
        }
    }

    /// Logs what a minute has brought since the last line of its reason; a reason of which nothing
    /// has come is new when it comes again.
    pub(super) fn flush(&self, now: Instant) {
        lock(&self.0).retain(|(refusal, is_taken), unlogged| {
            if now.duration_since(unlogged.logged) < LOG_INTERVAL {
                return true;
            }
            let has_come = unlogged.requests > 0;
            if has_come {
                unlogged.log(*refusal, *is_taken, now);
            }
            has_come
        });
    }

    /// Logs what is left.
    pub(super) fn finish(&self) {
        for ((refusal, is_taken), unlogged) in lock(&self.0).iter_mut() {
            if unlogged.requests > 0 {
                unlogged.log(*refusal, *is_taken, Instant::now());
            }
        }
    }
}

impl Unlogged {
    fn log(&mut self, refusal: ReceiveRefusal, is_taken: bool, now: Instant) {
        let requests = std::mem::take(&mut self.requests);
        let tasks = std::mem::take(&mut self.tasks);
        let tasks = (!tasks.is_empty()).then(|| tasks.join(" "));
        let (reason, peer, bytes) = (refusal.name(), self.peer, self.bytes);
        self.logged = now;
        if is_taken {
            tracing::warn!(
                reason, %peer, bytes, requests, tasks,
                "posted event not verified; stored all the same"
            );
        } else {
            tracing::warn!(reason, %peer, bytes, requests, tasks, "posted event refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_due_once_a_minute_and_forgets_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let request =
            |refusal, task| RefusedRequest { refusal, peer, bytes: 7, task, is_taken: false };
        let log = RefusalLog::default();
        let unlogged = || {
            let all = lock(&log.0);
            let each = all.iter().map(|((refusal, _), unlogged)| {
                (refusal.name(), unlogged.requests, unlogged.tasks.len())
            });
            each.collect::<Vec<_>>()
        };
        log.record(&request(ReceiveRefusal::Signature, Some("task")), at(0));
        assert_eq!(unlogged(), [("signature", 0, 0)]);
        for _ in 0..100 {
            log.record(&request(ReceiveRefusal::Signature, Some("task")), at(59));
        }
        log.record(&request(ReceiveRefusal::Path, None), at(59));
        assert_eq!(unlogged(), [("path", 0, 0), ("signature", 100, MAX_TASKS)]);
        log.flush(at(59));
        assert_eq!(unlogged(), [("path", 0, 0), ("signature", 100, MAX_TASKS)]);
        log.flush(at(60));
        assert_eq!(unlogged(), [("path", 0, 0), ("signature", 0, 0)]);
        log.flush(at(119));
        assert_eq!(unlogged(), [("signature", 0, 0)]);
        log.record(&request(ReceiveRefusal::Signature, None), at(119));
        log.finish();
        assert_eq!(unlogged(), [("signature", 0, 0)]);
    }
}
