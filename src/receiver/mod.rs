//! Receives the events that the cloud posts to a URL (normal callback), and hands them to ingest.
//!
//! Owns who may post and what: path and token, limits, signature. Knows no queue and no sink. An
//! event is answered with 200 when it is on disk, and else not before the cloud has given up
//! waiting: by its documents it repeats what timed out, whatever a fast answer says.

mod body;
mod progress;
mod refusal;
mod rules;
mod sample;
mod settings;
mod signature;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use chrono::Utc;
use serde::de::IgnoredAny;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::{self, AppId, Entry, EntryReader, Key, PostedEntry};
use crate::ingest::{Ingest, IngestSource};
use crate::journal::{Appended, Journal, PullReceipt};
use crate::limits::{Backoff, JOURNAL_RETRIES};
use crate::listener::{self, ConnectionHandle, ConnectionLimits};
use crate::metrics::{ByApp, ByOutcome, ByReason, Metrics};
use crate::sync::lock;
use body::ReceivedBody;
use refusal::{LOG_INTERVAL, ReceiveRefusal, RefusalLog, RefusedRequest};
use settings::Verify;
use signature::{SignatureError, Signed};

pub use progress::{PostLosses, ReceiveProgress};
pub use rules::ReceiveRules;
pub use sample::sample_event;
pub use settings::{ListenAddress, ReceiveSettings};

/// How long the journal is tried. The cloud waits 5 s, and repeats what it has no answer to.
const STORE_TIME: Duration = Duration::from_secs(8);
/// Between the tries: one is due soon whenever within that time the journal accepts events again.
const STORE_RETRIES: Backoff = Backoff { max: Duration::from_secs(1), ..JOURNAL_RETRIES };
/// An answer that was out by then has reached the cloud while it waited.
const PROMPT: Duration = Duration::from_secs(4);
/// How long requests in hand may take after the stop.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// Of it, how long a request may still come over an idle connection: one that is being sent.
const IDLE_GRACE: Duration = Duration::from_millis(500);
/// A larger body is read in memory of its own, so that others do not wait for it.
const SHARED_READER_BYTES: usize = 64 * 1024;
/// What an accepted event is answered with: nobody is known to read it; sister products of the cloud
/// ask for this.
pub const ACCEPTED: &str = r#"{"code":0}"#;

/// What it takes to receive events.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The applications that events are received for.
    pub apps: Vec<AppId>,
    /// Where they go.
    pub ingest: Ingest,
    /// Told of answers that arrived.
    pub journal: Journal,
    /// Where they are counted.
    pub metrics: Metrics,
    /// The rules in use.
    pub rules: watch::Receiver<ReceiveRules>,
    /// Where events are recorded that may not come again.
    pub losses: PostLosses,
}

/// The limits of the connections. A proxy keeps idle ones for a minute or so, and posts over one
/// that is closed here at that moment would be lost: so they are kept longer, and as long as others
/// do not need their slots.
fn limits(rules: &ReceiveRules) -> ConnectionLimits {
    ConnectionLimits {
        connections: rules.max_connections,
        answers: usize::MAX,
        unlimited_paths: &[],
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(300),
        answer_timeout: Duration::from_secs(20),
        max_age: None,
        idle_grace: IDLE_GRACE,
        stop_grace: STOP_GRACE,
        max_head_bytes: 16 * 1024,
    }
}

impl Receiver {
    /// Receives events until `stop`; what is in hand then gets a moment.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let mut rules = self.rules.clone();
        let (limiting, limited) = watch::channel(limits(&rules.borrow_and_update()));
        let reception = Arc::new(Reception::new(self, stop.clone()));
        let router = Router::new().fallback(receive).with_state(reception.clone());
        let follow_rules = async {
            while rules.changed().await.is_ok() {
                limiting.send_replace(limits(&rules.borrow_and_update()));
            }
            stop.cancelled().await;
        };
        let serving = async {
            listener::serve(listener, router, limited, stop.clone()).await;
            reception.acknowledging.close();
            reception.acknowledging.wait().await;
        };
        tokio::join!(
            stop.run_until_cancelled(follow_rules),
            stop.run_until_cancelled(reception.log_refusals()),
            serving,
        );
        reception.log.finish();
    }
}

/// The state of the receiver.
struct Reception {
    receiver: Receiver,
    /// One event after the other is read in the same memory.
    reader: Mutex<EntryReader>,
    budget: Arc<Semaphore>,
    log: RefusalLog,
    /// Wait until an answer is out.
    acknowledging: TaskTracker,
    /// Of events that can happen again word for word: equal ones wait for one another's answers.
    turns: Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>,
    stop: CancellationToken,
}

/// A request whose path is right.
struct AcceptedRequest {
    app: AppId,
    rules: ReceiveRules,
    connection: ConnectionHandle,
    start: Instant,
}

async fn receive(State(reception): State<Arc<Reception>>, request: Request) -> Response {
    let start = Instant::now();
    let Some(connection) = request.extensions().get::<ConnectionHandle>().cloned() else {
        // The listener puts it there.
        return ReceiveRefusal::Aborted.answer();
    };
    let rules = reception.receiver.rules.borrow().clone();
    let peer = connection.peer();
    let Some(app) = rules.application(request.uri().path(), &reception.receiver.apps) else {
        return reception.refuse(ReceiveRefusal::Path, peer, 0);
    };
    connection.trust();
    let accepted = AcceptedRequest { app, rules, connection, start };
    match reception.take(accepted, request).await {
        Ok(response) => response,
        Err((refusal, bytes)) => reception.refuse(refusal, peer, bytes),
    }
}

impl Reception {
    fn new(receiver: Receiver, stop: CancellationToken) -> Self {
        let metrics = &receiver.metrics;
        for refusal in ReceiveRefusal::COUNTED {
            drop(metrics.received_refused.get_or_create(&ByReason { reason: refusal.name() }));
        }
        let (reader, log, acknowledging, turns) = Default::default();
        Self { receiver, reader, budget: body::budget(), log, acknowledging, turns, stop }
    }

    async fn log_refusals(&self) {
        let mut ticks = interval(LOG_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.log.flush(Instant::now());
        }
    }

    /// Takes a request with the right token. On a refusal also returns how much of it was read.
    async fn take(
        &self,
        accepted: AcceptedRequest,
        request: Request,
    ) -> Result<Response, (ReceiveRefusal, usize)> {
        let AcceptedRequest { app, rules, connection, start } = accepted;
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err((ReceiveRefusal::Method, 0));
        }
        if is_encoded(&head.headers) {
            return Err((ReceiveRefusal::Encoding, 0));
        }
        connection.reads_body();
        let cut = |bytes| self.record_cut(&connection, bytes);
        let body = body::read(body, rules.max_body, &self.budget, cut).await;
        connection.has_body();
        // Counted as in hand until the end, as what was read from it.
        let ReceivedBody { bytes: body, reserved: _reserved } = body?;
        let bytes = body.len();
        let text = String::from_utf8_lossy(&body);
        if serde_json::from_str::<IgnoredAny>(&text).is_err() {
            return Err((ReceiveRefusal::Json, bytes));
        }
        let is_replaced = matches!(text, Cow::Owned(_));
        let received = Utc::now();
        let posted = if bytes <= SHARED_READER_BYTES {
            lock(&self.reader).read_posted(app, &text, is_replaced, received)
        } else {
            EntryReader::default().read_posted(app, &text, is_replaced, received)
        };
        drop(text);
        // The event has a copy, and may have to wait for the journal.
        drop(body);
        let query = head.uri.query().unwrap_or_default();
        let verified = verify(&rules, &posted, query, &head.headers, received.timestamp());
        if let Err(error) = verified {
            self.unverified(error, rules.verify, &posted.entry, connection.peer(), bytes)?;
        }
        let (entry, deadline) = (&posted.entry, Instant::now() + STORE_TIME);
        let unstored = (ReceiveRefusal::Unstored, bytes);
        let turn = match entry.event.is_repeatable() {
            true => Some(self.turn(entry.event.key, deadline).await.ok_or(unstored)?),
            false => None,
        };
        let appended = self.store(app, entry, received, deadline).await.ok_or(unstored)?;
        self.count(app, &appended, start);
        if let Some(turn) = turn {
            self.acknowledge_if_prompt(&appended, &connection, start, turn);
        }
        let mut response = Response::new(Body::from(ACCEPTED));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    /// Waits until no equal event waits for its answer: until then it is not known whether this one
    /// is the same. `None` if that is not in time.
    async fn turn(&self, key: Key, deadline: Instant) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = lock(&self.turns);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(key, Arc::downgrade(&turn));
            turn
        };
        timeout_at(deadline, turn.lock_owned()).await.ok()
    }

    /// Stores an event; `None` if the journal does not take it in time. It may be stored then.
    async fn store(
        &self,
        app: AppId,
        entry: &Entry,
        received: chrono::DateTime<Utc>,
        deadline: Instant,
    ) -> Option<Appended> {
        let app_name = (self.receiver.apps.len() > 1).then_some(app);
        let retries = STORE_RETRIES;
        let source = IngestSource { app_name, request_id: None, retries, on_append: &|_| {} };
        let (entries, receipt) = (std::slice::from_ref(entry), PullReceipt::from(received));
        // At the stop the connection is given its time, and then dropped with this.
        let never = CancellationToken::new();
        let storing = self.receiver.ingest.store(entries, &receipt, source, &never);
        timeout_at(deadline, storing).await.ok()??.pop()
    }

    fn count(&self, app: AppId, appended: &Appended, start: Instant) {
        let metrics = &self.receiver.metrics;
        let outcome = if appended.is_new { "new" } else { "duplicate" };
        metrics.received.get_or_create(&ByOutcome { outcome }).inc();
        metrics.receive_seconds.observe(start.elapsed());
        metrics.last_received.get_or_create(&ByApp::of(app)).set(Utc::now().timestamp());
    }

    /// Tells the journal when the answer is out, if it is in time: the cloud does not post this
    /// event again then, and an equal one is another.
    fn acknowledge_if_prompt(
        &self,
        appended: &Appended,
        connection: &ConnectionHandle,
        start: Instant,
        turn: OwnedMutexGuard<()>,
    ) {
        let (event, flushed, journal) =
            (appended.id, connection.flushed(), self.receiver.journal.clone());
        let stop = self.stop.clone();
        self.acknowledging.spawn(async move {
            if flushed.await.is_ok() && start.elapsed() < PROMPT {
                let mut failures = 0;
                while let Err(error) = journal.acknowledge(event).await {
                    failures += 1;
                    let pause = tokio::time::sleep(JOURNAL_RETRIES.wait(failures));
                    if error.is_final() || stop.run_until_cancelled(pause).await.is_none() {
                        tracing::debug!(%error, "answer to a posted event not recorded");
                        break;
                    }
                }
            }
            // Until here an equal event was not known to be another.
            drop(turn);
        });
    }

    /// Counts and logs an event whose signature does not hold; refuses it unless it is to be taken
    /// all the same.
    fn unverified(
        &self,
        error: SignatureError,
        verify: Verify,
        entry: &Entry,
        peer: SocketAddr,
        bytes: usize,
    ) -> Result<(), (ReceiveRefusal, usize)> {
        let refusal = match error {
            SignatureError::Invalid => ReceiveRefusal::Signature,
            SignatureError::Expired => ReceiveRefusal::Expired,
        };
        let event = &entry.event;
        let is_known = event::known_types().any(|known| known == event.event_type);
        let is_taken = verify == Verify::Log;
        if is_taken {
            self.receiver.metrics.received_unverified.inc();
        } else {
            self.count_refused(refusal);
            if is_known {
                self.receiver.losses.lost();
            }
        }
        let task = event.task_id.as_deref().filter(|_| is_known);
        let request = RefusedRequest { refusal, peer, bytes, task, is_taken };
        self.log.record(&request, Instant::now());
        if is_taken { Ok(()) } else { Err((refusal, bytes)) }
    }

    /// Counts and logs a request whose connection has ended in the body.
    fn record_cut(&self, connection: &ConnectionHandle, bytes: usize) {
        let refusal = ReceiveRefusal::of_cut(connection.is_evicted());
        drop(self.refuse(refusal, connection.peer(), bytes));
    }

    fn count_refused(&self, refusal: ReceiveRefusal) {
        let metrics = &self.receiver.metrics;
        metrics.received.get_or_create(&ByOutcome { outcome: "refused" }).inc();
        metrics.received_refused.get_or_create(&ByReason { reason: refusal.name() }).inc();
    }

    fn refuse(&self, refusal: ReceiveRefusal, peer: SocketAddr, bytes: usize) -> Response {
        // Those of a signature are counted and logged with their event.
        if !matches!(refusal, ReceiveRefusal::Signature | ReceiveRefusal::Expired) {
            match refusal {
                ReceiveRefusal::Unstored => self.receiver.losses.unstored(),
                _ => self.count_refused(refusal),
            }
            let request = RefusedRequest { refusal, peer, bytes, task: None, is_taken: false };
            self.log.record(&request, Instant::now());
        }
        refusal.answer()
    }
}

/// Whether the body is compressed or otherwise encoded.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !is_identity(value))
}

/// Looks for the signature in the body, the query and the header, in this order.
fn verify(
    rules: &ReceiveRules,
    posted: &PostedEntry,
    query: &str,
    headers: &HeaderMap,
    now: i64,
) -> Result<(), SignatureError> {
    if rules.sign_keys.is_empty() {
        return Ok(());
    }
    let body = Signed { sign: posted.sign.as_deref(), expires: posted.expires.as_deref() };
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let in_query = |name: &str| {
        let pair = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        pair.map(|(_, value)| value.as_ref())
    };
    let query = Signed { sign: in_query("Sign"), expires: in_query("T") };
    let in_header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let header = Signed { sign: in_header("sign"), expires: in_header("t") };
    signature::verify(&rules.sign_keys, [body, query, header], now)
}
