//! Confirms the handles of events that are safe: one loop for all applications, so that they share
//! the rate and the reports of what is settled.
//!
//! Leases come from the ingest, reports that events are settled from the deliveries; it knows
//! neither. Nothing is sent for a handle past its deadline: its event is pulled again, and the
//! journal knows it.

mod application;
mod batches;
mod inbox;
mod leases;
mod records;
mod request;
mod settings;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{EventId, Journal};
use crate::lease::Lease;
use crate::limits::{Backoff, RateLimiter};
use crate::liveness::Heartbeat;
use crate::metrics::{ByOutcome, Metrics};
use crate::vod::{Client, MAX_HANDLES, VodError};
use application::ConfirmedApplication;
use batches::{ConfirmCall, Followup};
use inbox::settled;
use leases::{Added, OpenLeases, ReadyHandle};
use records::RecordQueue;
use request::{CallEnd, FinishedCall, confirm};

pub use application::ApplicationConfirms;
pub use inbox::Inbox;
pub use settings::{ConfirmAfter, ConfirmPacing, ConfirmSettings, MaxUnconfirmed};

/// How long a handle waits for company in its call.
const CONFIRM_LINGER: Duration = Duration::from_millis(4);
/// After being throttled; limits are counted by the second.
const THROTTLED: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// The loop that confirms.
#[derive(Debug)]
pub struct Confirmer {
    applications: Vec<ConfirmedApplication>,
    /// The application whose turn it is, if it has a call to make.
    turn: usize,
    journal: Journal,
    inbox: Inbox,
    pacing: watch::Receiver<ConfirmPacing>,
    after: ConfirmAfter,
    /// Calls in flight at most, of each application.
    max_concurrency: usize,
    leases: OpenLeases,
    records: RecordQueue,
    limiter: RateLimiter,
    metrics: Metrics,
    idle: watch::Sender<bool>,
}

impl Confirmer {
    /// A confirmer that learns what to do from `inbox`, does it by `clients`, one for each
    /// application, and goes by what `pacing` holds last.
    #[must_use]
    pub fn new(
        clients: Vec<Client>,
        mut pacing: watch::Receiver<ConfirmPacing>,
        journal: Journal,
        inbox: Inbox,
        metrics: Metrics,
    ) -> Self {
        let ConfirmPacing { settings, max_requests_per_second, max_concurrency } =
            pacing.borrow_and_update().clone();
        let max_rate = f64::from(max_requests_per_second);
        let is_one = clients.len() == 1;
        let application = |client: Client| {
            let name = (!is_one).then_some(client.app());
            ConfirmedApplication::new(client, name)
        };
        Self {
            applications: clients.into_iter().map(application).collect(),
            turn: 0,
            pacing,
            journal,
            inbox,
            after: settings.after,
            max_concurrency: max_concurrency as usize,
            leases: OpenLeases::new(settings.max_unconfirmed.limit()),
            records: RecordQueue::default(),
            limiter: RateLimiter::new(max_rate, Instant::now()),
            metrics,
            idle: watch::Sender::new(true),
        }
    }

    /// Returns whether nothing that could be confirmed is left unconfirmed.
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    /// Returns how confirming of each application goes.
    pub fn confirming(&self) -> Vec<ApplicationConfirms> {
        self.applications.iter().map(ConfirmedApplication::confirming).collect()
    }

    /// Confirms until `finish`, answering `heartbeat` on the way, then what can be confirmed without
    /// waiting for anybody. Dropping the future drops calls in flight; their events come again,
    /// if they do.
    pub async fn run(mut self, mut heartbeat: Heartbeat, finish: CancellationToken) {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, FinishedCall>> =
            FuturesUnordered::new();
        let mut checks: FuturesUnordered<BoxFuture<'static, Vec<EventId>>> =
            FuturesUnordered::new();
        let (mut leases_open, mut settled_open) = (true, true);
        loop {
            let now = Instant::now();
            if finish.is_cancelled() {
                self.drop_repeats(now);
            }
            self.expire(now);
            self.launch(&mut in_flight, now);
            let no_calls = self.applications.iter().all(|application| application.calls.is_empty());
            let is_done = no_calls && self.leases.ready() == 0 && self.records.is_empty();
            let is_idle = in_flight.is_empty() && is_done;
            if is_idle {
                self.applications.iter_mut().for_each(|application| application.record_idle(now));
            }
            self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
            let is_closed = !leases_open && !settled_open;
            if is_idle
                && (finish.is_cancelled() || is_closed)
                && self.inbox.leases.is_empty()
                && self.inbox.settled.is_empty()
            {
                return;
            }
            let wake = self.wake(in_flight.len());
            tokio::select! {
                biased;
                // Before all that a busy loop never runs out of.
                () = heartbeat.beat() => {}
                Ok(()) = self.pacing.changed() => self.apply_pacing(),
                () = self.records.write(&self.journal), if !self.records.is_empty() => {
                    if self.records.is_empty() {
                        self.wake_deferred();
                    }
                }
                Some(finished) = in_flight.next(), if !in_flight.is_empty() => self.record_call(finished),
                leases = self.inbox.leases.recv(), if leases_open => match leases {
                    Some(leases) => leases.into_iter().for_each(|lease| self.lease(lease)),
                    None => leases_open = false,
                },
                settled = self.inbox.settled.recv(), if settled_open => match settled {
                    Some(events) => self.leases.settle(&events, Instant::now()),
                    None => settled_open = false,
                },
                Some(events) = checks.next(), if !checks.is_empty() => {
                    self.leases.settle(&events, Instant::now());
                }
                // One check at a time: what changes meanwhile is seen by the next.
                Ok(()) = self.inbox.changed.changed(), if checks.is_empty() => {
                    checks.push(Box::pin(settled(self.journal.clone(), self.leases.pending())));
                }
                () = finish.cancelled(), if !finish.is_cancelled() => {}
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// A rate that was cut stays cut; what waits goes if it does not have to any more.
    fn apply_pacing(&mut self) {
        let ConfirmPacing { settings, max_requests_per_second, max_concurrency } =
            self.pacing.borrow_and_update().clone();
        let max_rate = f64::from(max_requests_per_second);
        self.limiter.set_max(max_rate);
        self.max_concurrency = max_concurrency as usize;
        self.after = settings.after;
        self.leases.set_max_unconfirmed(settings.max_unconfirmed.limit());
        if self.after == ConfirmAfter::Journal {
            let handles = self.leases.release_all(Instant::now());
            self.metrics.confirmed_early.inc_by(handles as u64);
        }
    }

    fn lease(&mut self, mut lease: Lease) {
        if self.after == ConfirmAfter::Journal && !lease.pending.is_empty() {
            lease.pending.clear();
            self.metrics.confirmed_early.inc();
        }
        if self.leases.add(lease, Instant::now()) == Added::ConfirmedEarly {
            self.metrics.confirmed_early.inc();
            tracing::debug!("event confirmed early: too many are pending past their lease");
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = self.leases.expire(now);
        if expired > 0 {
            self.count_handles("expired", expired);
            tracing::debug!(
                handles = expired,
                "leases expired while events are pending; these events are pulled again"
            );
        }
    }

    /// Starts the calls that are due, as fast as the rate allows.
    fn launch(
        &mut self,
        in_flight: &mut FuturesUnordered<BoxFuture<'static, FinishedCall>>,
        now: Instant,
    ) {
        while self.may_launch(in_flight.len()) && self.limiter.ready_at() <= now {
            let Some((place, mut call)) = self.next_call(now) else { return };
            let expired = call.take_expired(now);
            self.give_up(&expired, "expired", now);
            if call.is_repeatable()
                && let Err(until) = self.records.may_send(now)
            {
                let deferred = call.take_repeatable();
                self.applications[place].calls.defer(&call, deferred, until);
            }
            if call.handles.is_empty() {
                continue;
            }
            self.limiter.take(now);
            let application = &mut self.applications[place];
            application.in_flight += 1;
            let client = application.client.clone();
            let journal = self.journal.clone();
            in_flight.push(Box::pin(confirm(place, client, journal, now, call)));
        }
    }

    /// The next call that is due, of the applications in turn.
    fn next_call(&mut self, now: Instant) -> Option<(usize, ConfirmCall)> {
        let places = self.applications.len();
        for place in (self.turn..places).chain(0..self.turn) {
            let application = &mut self.applications[place];
            if application.in_flight >= self.max_concurrency {
                continue;
            }
            let app = application.client.app();
            let again = application.calls.take_due(now).map(|mut call| {
                let handles = call.handles.into_iter();
                call.handles = handles.filter_map(|ready| self.leases.renew(ready, now)).collect();
                call
            });
            let call = again.or_else(|| {
                let handles = self.leases.take_ready(app, MAX_HANDLES, CONFIRM_LINGER, now);
                (!handles.is_empty()).then(|| ConfirmCall::new(handles))
            });
            if let Some(call) = call {
                self.turn = (place + 1) % places;
                return Some((place, call));
            }
        }
        None
    }

    fn may_launch(&self, in_flight: usize) -> bool {
        self.records.has_room() && (!self.limiter.is_refused() || in_flight == 0)
    }

    /// When there is something to do though nothing arrives.
    fn wake(&self, in_flight: usize) -> Option<Instant> {
        let with_room = self.applications.iter().filter(|application| {
            self.may_launch(in_flight) && application.in_flight < self.max_concurrency
        });
        let due = with_room.flat_map(|ConfirmedApplication { client, calls, .. }| {
            [calls.next_due(), self.leases.ready_at(client.app(), MAX_HANDLES, CONFIRM_LINGER)]
        });
        let launch = due.flatten().min().map(|at| at.max(self.limiter.ready_at()));
        [launch, self.leases.next_deadline()].into_iter().flatten().min()
    }

    /// There is no time to wait for better ones.
    fn drop_repeats(&mut self, now: Instant) {
        for place in 0..self.applications.len() {
            for call in self.applications[place].calls.take_repeats() {
                self.give_up(&call.handles, "expired", now);
            }
        }
    }

    /// Nothing more is sent for these handles, unless they have come again since.
    fn give_up(&mut self, handles: &[ReadyHandle], outcome: &'static str, now: Instant) {
        if handles.is_empty() {
            return;
        }
        self.count_handles(outcome, handles.len());
        handles.iter().for_each(|ready| self.leases.call_ended(ready, false, now));
    }

    fn record_call(&mut self, finished: FinishedCall) {
        let now = Instant::now();
        let FinishedCall { place, sent, call, superseded, unrecorded, ended, record } = finished;
        self.applications[place].in_flight -= 1;
        self.give_up(&superseded, "superseded", now);
        self.records.push(record);
        if !unrecorded.is_empty() {
            let until = self.records.sending_failed(now);
            self.applications[place].calls.defer(&call, unrecorded, until);
        } else if call.is_repeatable() && self.records.sending_recorded() {
            self.wake_deferred();
        }
        match ended {
            CallEnd::Acknowledged => self.acknowledged(place, sent, &call, now),
            CallEnd::Failed(error) => self.failed(place, sent, call, &error, now),
            CallEnd::Expired => {
                self.count_call("failed");
                self.applications[place].calls.expired(call);
            }
            CallEnd::Unsent => {}
        }
    }

    fn wake_deferred(&mut self) {
        self.applications.iter_mut().for_each(|of| of.calls.wake());
    }

    fn acknowledged(&mut self, place: usize, sent: Instant, call: &ConfirmCall, now: Instant) {
        self.count_call("ok");
        self.limiter.accepted(sent);
        self.count_handles("confirmed", call.handles.len());
        for ready in &call.handles {
            let margin = ready.deadline.saturating_duration_since(now);
            self.metrics.confirm_margin_seconds.observe(margin);
            self.leases.call_ended(ready, true, now);
        }
        self.applications[place].calls.acknowledged(now);
        self.applications[place].record_good(now);
    }

    fn failed(
        &mut self,
        place: usize,
        sent: Instant,
        call: ConfirmCall,
        error: &VodError,
        now: Instant,
    ) {
        match self.applications[place].calls.failed(call, error, now) {
            Followup::Narrowed => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(%error, "confirm refused; splitting the call to find the refused handle");
            }
            Followup::Refused { ready, is_certain } => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(handle = %ready.handle.text, %error, "handle refused; its event is pulled again if the cloud still has it");
                self.give_up(&[ready], "refused", now);
                if is_certain {
                    self.applications[place].record_refused(error, now);
                } else {
                    self.applications[place].record_failed(error, now);
                }
            }
            Followup::Dropped(handles) => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(handles = handles.len(), %error, "repeated confirm refused after a lost answer; unconfirmed events are pulled again");
                self.give_up(&handles, "refused", now);
                if error.is_parameter_error() {
                    self.applications[place].record_recovered(now);
                }
            }
            Followup::Repeated { is_throttled, is_of_a_handle } => {
                self.count_call("failed");
                if is_throttled {
                    let wait = THROTTLED.wait(self.limiter.refusals() + 1);
                    self.limiter.refused(sent, now, wait);
                }
                if !is_of_a_handle {
                    self.applications[place].record_failed(error, now);
                }
            }
        }
    }

    fn count_call(&self, outcome: &'static str) {
        self.metrics.confirms.get_or_create(&ByOutcome { outcome }).inc();
    }

    fn count_handles(&self, outcome: &'static str, by: usize) {
        self.metrics.handles.get_or_create(&ByOutcome { outcome }).inc_by(by as u64);
    }
}
